/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where an archive goes. A file gets its name by one rename, when all of it is on disk (I2); until then it is
 * FILE.partial, which the same export goes on with after it was interrupted.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_read.h"
#include "archive_write.h"
#include "common/checked.h"
#include "common/fs.h"
#include "snapshot/archive.h"

#define PARTIAL ".partial"

struct cow_arc_out {
	const char *path;
	char *partial; /* NULL: standard output */
	int fd;
	uint64_t len;
	int goes_on; /* the same export could, with what is there */
	EVP_MD_CTX *sha;
};

static int out_fail(const struct cow_arc_out *o, int r, struct cow_err *err)
{
	return cow_err_set(err, r, "write '%s'", o->path);
}

/* Who held the lock before may have published the file, or removed it: then it is not ours to write.
 * Return: 1 or 0; -errno. */
static int is_named(const char *path, const struct stat *st)
{
	struct stat now;
	if (lstat(path, &now) < 0)
		return errno == ENOENT ? 0 : -errno;
	return now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

static int open_partial(struct cow_arc_out *o, struct cow_err *err)
{
	if (asprintf(&o->partial, "%s" PARTIAL, o->path) < 0) {
		o->partial = NULL;
		return out_fail(o, -ENOMEM, err);
	}
	/* As private as the image: it holds files of every user. */
	o->fd = open(o->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;
	if (o->fd < 0 || fstat(o->fd, &st) < 0)
		return cow_err_set(err, -errno, "write '%s'", o->partial);
	if (!S_ISREG(st.st_mode))
		return cow_err_say(err, COW_ERR_REFUSED, -EEXIST, "'%s' is there and no file",
				   o->partial);
	int r = flock(o->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : is_named(o->partial, &st);
	if (r < 0 && r != -EWOULDBLOCK)
		return cow_err_set(err, r, "lock '%s'", o->partial);
	if (r != 1)
		return cow_err_say(err, COW_ERR_BUSY, -EBUSY,
				   "'%s' is being written by another export", o->partial);
	return 0;
}

int cow_arc_out_open(const char *path, int fd, struct cow_arc_out **ret, struct cow_err *err)
{
	struct cow_arc_out *o = calloc(1, sizeof(*o));
	if (!o)
		return cow_err_set(err, -ENOMEM, "write an archive");
	if (path && strcmp(path, COW_EXPORT_STDOUT) == 0) {
		path = NULL;
		fd = STDOUT_FILENO;
	}
	o->path = path ? path : COW_EXPORT_STDOUT;
	o->fd = -1;
	o->sha = EVP_MD_CTX_new();
	int r = o->sha && EVP_DigestInit_ex2(o->sha, EVP_sha256(), NULL) == 1
		    ? 0
		    : out_fail(o, -ENOMEM, err);
	if (r == 0 && !path) {
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = o->fd < 0 ? out_fail(o, -errno, err) : 0;
	} else if (r == 0) {
		r = open_partial(o, err);
	}
	if (r < 0) {
		free(cow_steal_ptr(&o->partial)); /* it is not ours */
		cow_arc_out_close(o, r);
		return r;
	}
	*ret = o;
	return 0;
}

static int digest(struct cow_arc_out *o, const void *bytes, size_t len)
{
	o->len += len;
	return EVP_DigestUpdate(o->sha, bytes, len) == 1 ? 0 : -ENOMEM;
}

int cow_arc_out_write(struct cow_arc_out *o, const void *bytes, size_t len, struct cow_err *err)
{
	int r = digest(o, bytes, len);
	if (r == 0)
		r = cow_write_full(o->fd, bytes, len);
	return r < 0 ? out_fail(o, r, err) : 0;
}

uint64_t cow_arc_out_len(const struct cow_arc_out *o)
{
	return o->len;
}

/* ---------------------------------------------------------------- what is there already */

static int read_partial(void *ctx, void *buf, size_t len, size_t *ret_got)
{
	const int *fd = ctx;
	ssize_t n = cow_read_full(*fd, buf, len);
	*ret_got = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

/* The next record is this text. */
static int same_text(struct cow_arc_in *in, enum cow_arc_type want, const char *text)
{
	enum cow_arc_type type;
	struct cow_arc_block b;
	const uint8_t *plain;
	return cow_arc_in_next(in, &type, &b, NULL) == 1 && type == want &&
	       b.plain_len == strlen(text) && cow_arc_in_unpack(in, NULL, &plain, NULL) == 0 &&
	       memcmp(plain, text, b.plain_len) == 0;
}

static int same_slices(const struct cow_arc_slice *a, const struct cow_arc_slice *b, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (a[k].number != b[k].number || a[k].length != b[k].length ||
		    a[k].offset != b[k].offset)
			return 0;
	return 1;
}

static int same_block(const struct cow_arc_block *a, const struct cow_arc_block *b)
{
	return a->nown == b->nown && a->nfrom == b->nfrom && same_slices(a->own, b->own, a->nown) &&
	       same_slices(a->from, b->from, a->nfrom);
}

/* How many bytes of the partial file are what would be written, in whole records; *ret_blocks of data. */
static uint64_t find_good(struct cow_arc_out *o, const char *head, const char *conf,
			  const struct cow_arc_plan *plan, size_t *ret_blocks)
{
	cow_autoarcin in = NULL;
	struct cow_arc_block b;
	enum cow_arc_type type;
	size_t n = 0;
	if (cow_arc_in_new(read_partial, &o->fd, o->path, &in, NULL) < 0 ||
	    !same_text(in, COW_ARC_HEAD, head) || !same_text(in, COW_ARC_CONF, conf))
		return 0;
	uint64_t good = cow_arc_in_at(in);
	while (n < plan->nblocks && cow_arc_in_next(in, &type, &b, NULL) == 1 &&
	       type == COW_ARC_DATA && same_block(&b, &plan->blocks[n])) {
		good = cow_arc_in_at(in);
		n++;
	}
	*ret_blocks = n;
	return good;
}

/* They count for the digest. */
static int digest_good(struct cow_arc_out *o, uint64_t good)
{
	uint8_t buf[65536];
	if (lseek(o->fd, 0, SEEK_SET) < 0)
		return -errno;
	while (o->len < good) {
		uint64_t left = good - o->len;
		ssize_t n = cow_read_full(o->fd, buf, left < sizeof(buf) ? left : sizeof(buf));
		int r = n <= 0 ? (n < 0 ? (int)n : -EIO) : digest(o, buf, (size_t)n);
		if (r < 0)
			return r;
	}
	return ftruncate(o->fd, (off_t)good) < 0 ? -errno : 0;
}

static int write_text(struct cow_arc_out *o, enum cow_arc_type type, const void *text, size_t len,
		      struct cow_err *err)
{
	struct cow_arc_packed p = {.bytes = NULL};
	const struct cow_arc_block b = {.plain_len = (uint32_t)len};
	int r = cow_arc_pack(type, &b, NULL, text, 19, &p);
	r = r < 0 ? out_fail(o, r, err) : cow_arc_out_write(o, p.bytes, p.len, err);
	free(p.bytes);
	return r;
}

static int begin(struct cow_arc_out *o, unsigned flags, const char *head, const char *conf,
		 struct cow_err *err)
{
	struct cow_arc_file f = {.magic = COW_ARC_MAGIC, .version = {COW_ARC_VERSION}};
	cow_put_le32(f.flags, flags);
	int r = cow_arc_out_write(o, &f, sizeof(f), err);
	if (r == 0)
		r = write_text(o, COW_ARC_HEAD, head, strlen(head), err);
	return r < 0 ? r : write_text(o, COW_ARC_CONF, conf, strlen(conf), err);
}

int cow_arc_out_begin(struct cow_arc_out *o, const char *head, const char *conf,
		      const struct cow_arc_plan *plan, size_t *ret_first, struct cow_err *err)
{
	*ret_first = 0;
	o->goes_on = 1;
	uint64_t good = o->partial ? find_good(o, head, conf, plan, ret_first) : 0;
	int r = o->partial ? digest_good(o, good) : 0;
	if (r < 0)
		return out_fail(o, r, err);
	return good ? 0 : begin(o, 0, head, conf, err);
}

int cow_arc_out_begin_btrfs(struct cow_arc_out *o, const char *head, const char *conf,
			    struct cow_err *err)
{
	if (o->partial && ftruncate(o->fd, 0) < 0)
		return out_fail(o, -errno, err);
	return begin(o, COW_ARC_BTRFS, head, conf, err);
}

/* ---------------------------------------------------------------- the end */

static int publish(struct cow_arc_out *o)
{
	cow_autofree char *dir = strdup(o->path);
	if (!dir)
		return -ENOMEM;
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = 0;
	if (fsync(o->fd) < 0 || rename(o->partial, o->path) < 0)
		return -errno;
	free(cow_steal_ptr(&o->partial));
	return cow_fsync_dir_at(AT_FDCWD, slash ? dir : ".");
}

int cow_arc_out_finish(struct cow_arc_out *o, struct cow_err *err)
{
	uint8_t sum[COW_ARC_SHA256_LEN];
	if (EVP_DigestFinal_ex(o->sha, sum, NULL) != 1 ||
	    EVP_DigestInit_ex2(o->sha, EVP_sha256(), NULL) != 1)
		return out_fail(o, -ENOMEM, err);
	int r = write_text(o, COW_ARC_END, sum, sizeof(sum), err);
	if (r < 0 || !o->partial)
		return r;
	r = publish(o);
	return r < 0 ? out_fail(o, r, err) : 0;
}

static int can_go_on(const struct cow_arc_out *o, int r)
{
	return o->goes_on && (r == -EINTR || r == -ENOSPC || r == -EDQUOT);
}

void cow_arc_out_close(struct cow_arc_out *o, int r)
{
	if (!o)
		return;
	if (o->partial && !can_go_on(o, r))
		(void)unlink(o->partial); /* the next export would begin anew */
	if (o->fd >= 0)
		(void)close(o->fd); /* synced before */
	EVP_MD_CTX_free(o->sha);
	free(o->partial);
	free(o);
}
