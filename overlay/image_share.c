/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files of a version being made that an earlier version has as well lose their own data: by a hard link where
 * everything an inode holds is equal, else by shared extents. What is the same is found in the two manifests;
 * that it still is, is seen by comparing (an earlier version may have been damaged, and the new one must not
 * be then).
 *
 * The new version's manifest stays right: it names the same content and attributes, link counts in it
 * come from names, and directories get back the times it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "image_internal.h"
#include "image_share.h"
#include "record.h"

#define COMPARE_SIZE (128u << 10)
#define DEDUPE_SIZE (16u << 20) /* as much as btrfs does at a time */
#define TICK_FILES 512
#define NAMES_MAX 64 /* an object with more names keeps its own data */
#define TEMP_LEN 24

struct digested {
	const uint8_t *digest;
	uint32_t ino;
};

struct share {
	struct cow_ovl_share *so_far;
	const struct cow_ovl_image *new_img, *old_img;
	int stage; /* directory for temporary names, on the file system of the new tree */
	struct digested *by_digest; /* regular files of the old image with data */
	size_t nby_digest;
	uint8_t
	    *touched; /* bit per number of the new image: directory whose times must be put back */
	char *buf;    /* 2 * COMPARE_SIZE */
	bool cannot_link, cannot_dedupe; /* learnt */
	int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes);
	void *ctx;
	uint64_t looked_at, bytes;
};

static bool has_data(const struct cow_ovl_image *img, uint32_t ino, uint64_t *ret_size)
{
	if (!cow_man_has(img, ino) || cow_man_type(img, ino) != S_IFREG)
		return false;
	*ret_size = cow_get_le64(cow_image_inode(img, ino)->size);
	return *ret_size > 0;
}

static bool same_digest(const struct share *s, uint32_t n, uint32_t o)
{
	return memcmp(cow_man_digest(s->new_img, n), cow_man_digest(s->old_img, o),
		      COW_OVM_DIGEST_LEN) == 0;
}

/* Everything that lies in an inode and is an attribute of the image. */
static bool same_inode(const struct share *s, uint32_t n, uint32_t o)
{
	struct cow_ovl_attr a, b;
	cow_man_attr(s->new_img, n, &a);
	cow_man_attr(s->old_img, o, &b);
	return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
	       a.mtime.tv_sec == b.mtime.tv_sec && a.mtime.tv_nsec == b.mtime.tv_nsec &&
	       cow_man_same_xattrs(s->new_img, n, s->old_img, o);
}

/* ---------------------------------------------------------------- hard links */

static int same_content(const struct share *s, int a, int b)
{
	for (off_t off = 0;; off += COMPARE_SIZE) {
		ssize_t n = cow_pread_full(a, s->buf, COMPARE_SIZE, off);
		ssize_t m = n < 0 ? n : cow_pread_full(b, s->buf + COMPARE_SIZE, COMPARE_SIZE, off);
		if (m < 0)
			return (int)m;
		if (n != m || memcmp(s->buf, s->buf + COMPARE_SIZE, (size_t)n) != 0)
			return 0;
		if (n < COMPARE_SIZE)
			return 1;
	}
}

static void temp_name(char ret[TEMP_LEN], size_t idx)
{
	(void)snprintf(ret, TEMP_LEN, ".share-%zu", idx);
}

/* As many temporary links as the object has names, or none. Return: 1, 0 or -errno. */
static int make_links(struct share *s, int old, size_t count)
{
	char temp[TEMP_LEN];
	for (size_t k = 0; k < count; k++) {
		temp_name(temp, k);
		if (linkat(old, "", s->stage, temp, AT_EMPTY_PATH) == 0)
			continue;
		int r = cow_nerr();
		while (k--) {
			temp_name(temp, k);
			(void)unlinkat(s->stage, temp, 0); /* goes with the stage at the latest */
		}
		if (r == -EXDEV || r == -EOPNOTSUPP)
			s->cannot_link = true;
		return r == -EXDEV || r == -EOPNOTSUPP || r == -EMLINK || r == -EPERM ? 0 : r;
	}
	return 1;
}

static int put_link(struct share *s, uint32_t n, size_t idx)
{
	char temp[TEMP_LEN];
	uint32_t parent;
	struct cow_man_ent ent;
	cow_man_name(s->new_img, n, idx, &parent, &ent);
	cow_autoclose int dir = cow_man_open(s->new_img, parent, O_DIRECTORY);
	if (dir < 0)
		return dir;
	temp_name(temp, idx);
	if (renameat(s->stage, temp, dir, ent.name) < 0)
		return cow_nerr();
	cow_share_set(s->touched, parent);
	return 0;
}

/* Return: 1 the object is the old one now; 0 it keeps its own inode; -errno. */
static int share_inode(struct share *s, uint32_t n, int new_fd, uint32_t o, int old)
{
	size_t count = cow_man_nnames(s->new_img, n);
	if (s->cannot_link || cow_share_has(s->so_far->linked, o) || count > NAMES_MAX ||
	    !same_inode(s, n, o))
		return 0;
	int r = same_content(s, new_fd, old);
	if (r == -EIO)
		return 0; /* an old file that cannot be read is not to be shared */
	if (r > 0)
		r = make_links(s, old, count);
	if (r <= 0)
		return r;
	for (size_t k = 0; k < count; k++) {
		r = put_link(s, n, k);
		if (r < 0)
			return r;
	}
	return 1;
}

/* ---------------------------------------------------------------- extents */

/* The kernel compares, and neither file's attributes change. Works on read-only subvolumes too.
 * Return: 1 all of it is shared; 0 not all; -errno. */
static int share_extents(struct share *s, int new_fd, int old, uint64_t size)
{
	/* The range to write to lies behind the head. */
	union {
		struct file_dedupe_range head;
		uint8_t
		    room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
	} range;
	struct file_dedupe_range_info *to = range.head.info;
	if (s->cannot_dedupe)
		return 0;
	for (uint64_t off = 0; off < size;) {
		memset(&range, 0, sizeof(range));
		range.head.src_offset = off;
		range.head.src_length = size - off < DEDUPE_SIZE ? size - off : DEDUPE_SIZE;
		range.head.dest_count = 1;
		to->dest_fd = new_fd;
		to->dest_offset = off;
		int r = ioctl(old, FIDEDUPERANGE, &range.head) < 0 ? cow_nerr() : to->status;
		if (r == -EOPNOTSUPP || r == -ENOTTY || r == -EXDEV)
			s->cannot_dedupe = true;
		if (r == -EINTR || r == -ENOMEM || r == -ENOSPC)
			return r;
		if (r != FILE_DEDUPE_RANGE_SAME || to->bytes_deduped == 0)
			return 0; /* also what this one file is refused for */
		off += to->bytes_deduped;
	}
	return 1;
}

/* ---------------------------------------------------------------- one object */

static bool same_object(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Return: 1 shared; 0; -errno. */
static int share_with(struct share *s, uint32_t n, uint32_t o, uint64_t size)
{
	cow_autoclose int old = cow_man_open(s->old_img, o, O_RDONLY);
	if (old < 0) /* damaged, or the version is being removed */
		return old == -ENOMEM || old == -EMFILE || old == -ENFILE ? old : 0;
	cow_autoclose int new_fd = cow_man_open(s->new_img, n, O_RDONLY);
	if (new_fd < 0)
		return new_fd;
	int r = same_object(new_fd, old) ? 1 : share_inode(s, n, new_fd, o, old);
	if (r > 0)
		cow_share_set(s->so_far->linked, o);
	if (r == 0)
		r = share_extents(s, new_fd, old, size);
	if (r <= 0)
		return r;
	s->so_far->sum.files++;
	s->so_far->sum.bytes += size;
	return 1;
}

static int tick(struct share *s, uint64_t size)
{
	s->bytes += size;
	if (++s->looked_at % TICK_FILES != 0 || !s->progress)
		return 0;
	int r = s->progress(s->ctx, s->looked_at, s->bytes);
	return r < 0 ? r : 0;
}

/* The old image's file at the same path. */
static int share_same_path(struct share *s, uint32_t n, uint64_t size)
{
	char path[PATH_MAX];
	if (cow_man_path(s->new_img, n, path, sizeof(path)) < 0)
		return 0;
	uint32_t o = cow_man_lookup_path(s->old_img, path);
	if (o == 0 || cow_man_type(s->old_img, o) != S_IFREG || !same_digest(s, n, o))
		return 0;
	if (cow_share_has(s->so_far->filled, o)) {
		cow_share_set(s->so_far->tried, n);
		return 1;
	}
	int r = share_with(s, n, o, size);
	if (r > 0)
		cow_share_set(s->so_far->tried, n);
	return r;
}

/* ---------------------------------------------------------------- by digest */

static int by_digest(const void *pa, const void *pb)
{
	const struct digested *a = pa, *b = pb;
	int order = memcmp(a->digest, b->digest, COW_OVM_DIGEST_LEN);
	return order ? order : (a->ino > b->ino) - (a->ino < b->ino);
}

static size_t first_with_digest(const struct share *s, const uint8_t *digest)
{
	size_t lo = 0, hi = s->nby_digest;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (memcmp(s->by_digest[mid].digest, digest, COW_OVM_DIGEST_LEN) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One that can be linked is better than one whose data alone is the same. */
static int share_anywhere(struct share *s, uint32_t n, uint64_t size)
{
	size_t first = first_with_digest(s, cow_man_digest(s->new_img, n));
	uint32_t best = 0;
	for (size_t k = first; k < s->nby_digest; k++) {
		uint32_t o = s->by_digest[k].ino;
		if (!same_digest(s, n, o))
			break;
		if (best == 0)
			best = o;
		if (!cow_share_has(s->so_far->linked, o) && same_inode(s, n, o)) {
			best = o;
			break;
		}
	}
	if (!best) {
		s->so_far->left += size;
		return 0;
	}
	cow_share_set(s->so_far->tried, n);
	return share_with(s, n, best, size);
}

static int index_digests(struct share *s)
{
	uint64_t size;
	s->by_digest = calloc((size_t)s->old_img->info.inodes + 1, sizeof(*s->by_digest));
	if (!s->by_digest)
		return -ENOMEM;
	for (uint32_t o = COW_MAN_ROOT; o < s->old_img->info.next_number; o++)
		if (has_data(s->old_img, o, &size))
			s->by_digest[s->nby_digest++] =
			    (struct digested){.digest = cow_man_digest(s->old_img, o), .ino = o};
	qsort(s->by_digest, s->nby_digest, sizeof(*s->by_digest), by_digest);
	return 0;
}

/* ---------------------------------------------------------------- the whole */

static int each_file(struct share *s, int (*fn)(struct share *s, uint32_t n, uint64_t size))
{
	uint64_t size;
	int r = 0;
	for (uint32_t n = COW_MAN_ROOT; r >= 0 && n < s->new_img->info.next_number; n++) {
		if (!has_data(s->new_img, n, &size) || cow_share_has(s->so_far->tried, n))
			continue;
		r = fn(s, n, size);
		if (r >= 0)
			r = tick(s, size);
	}
	return r < 0 ? r : 0;
}

static int put_times_back(struct share *s)
{
	for (uint32_t n = COW_MAN_ROOT; n < s->new_img->info.next_number; n++) {
		struct cow_ovl_attr a;
		if (!cow_share_has(s->touched, n))
			continue;
		cow_autoclose int dir = cow_man_open(s->new_img, n, O_DIRECTORY);
		if (dir < 0)
			return dir;
		cow_man_attr(s->new_img, n, &a);
		const struct timespec times[2] = {a.atime, a.mtime};
		if (futimens(dir, times) < 0)
			return cow_nerr();
	}
	return 0;
}

static int share_all(struct share *s)
{
	size_t news = (size_t)s->new_img->info.next_number / 8 + 1;
	if (!s->so_far->tried)
		s->so_far->tried = calloc(news, 1);
	s->so_far->left = 0;
	s->touched = calloc(news, 1);
	s->buf = malloc((size_t)2 * COMPARE_SIZE);
	if (!s->so_far->tried || !s->touched || !s->buf)
		return -ENOMEM;
	int r = index_digests(s);
	if (r == 0)
		r = each_file(s, share_same_path);
	if (r == 0)
		r = each_file(s, share_anywhere);
	return r == 0 ? put_times_back(s) : r;
}

int cow_ovl_image_share(int dirfd, struct cow_ovl_share *share,
			int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes), void *ctx,
			struct cow_ovl_image_shared *ret, struct cow_err *err)
{
	cow_autoovlimage img = NULL;
	int r = cow_ovl_image_open(dirfd, &img, err);
	if (r < 0)
		return r;
	struct share s = {
	    .so_far = share,
	    .new_img = img,
	    .old_img = share->with,
	    .stage = dirfd,
	    .progress = progress,
	    .ctx = ctx,
	};
	r = share_all(&s);
	free(s.by_digest);
	free(s.touched);
	free(s.buf);
	if (r < 0)
		return cow_err_set(err, r, "share files with the version before");
	*ret = share->sum;
	return 0;
}
