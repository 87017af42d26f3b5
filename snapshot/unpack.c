/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (256u << 10)

struct cow_unpack {
	int fd;
	const char *what;
	uint64_t *read_bytes;
	struct archive *a;
	uint8_t head[COW_UNPACK_HEAD];
	size_t head_len, head_given;
	const uint8_t *rest; /* of the piece the end of the head lies in */
	size_t rest_len;
	uint64_t at; /* bytes that came out so far */
	int ended;
	int read_errno; /* of read(2) on fd */
	char why[256];
	char buf[CHUNK];
};

static la_ssize_t read_file(struct archive *a, void *ctx, const void **ret)
{
	struct cow_unpack *u = ctx;
	ssize_t n;
	do
		n = read(u->fd, u->buf, CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		u->read_errno = errno;
		archive_set_error(a, errno, "read error");
		return -1;
	}
	*u->read_bytes += (uint64_t)n;
	*ret = u->buf;
	return n;
}

static int broken(struct cow_unpack *u)
{
	const char *why = archive_error_string(u->a);
	size_t len = strnlen(why ? why : "unreadable", sizeof(u->why) - 1);
	memcpy(u->why, why ? why : "unreadable", len);
	u->why[len] = 0;
	if (u->read_errno)
		return -u->read_errno;
	return archive_errno(u->a) == ENOMEM ? -ENOMEM : -EBADMSG;
}

/* Pieces may leave holes out, which a stream cannot: they are as good as an error of the file. */
static int next_block(struct cow_unpack *u, const void **ret, size_t *ret_len)
{
	la_int64_t off = 0;
	int r;
	do
		r = archive_read_data_block(u->a, ret, ret_len, &off);
	while (r == ARCHIVE_OK && *ret_len == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return broken(u);
	if ((uint64_t)off != u->at)
		return broken(u);
	u->at += *ret_len;
	return 1;
}

static int fill_head(struct cow_unpack *u)
{
	while (u->head_len < sizeof(u->head)) {
		const void *p;
		size_t n;
		int r = next_block(u, &p, &n);
		if (r < 0)
			return r;
		if (r == 0) {
			u->ended = 1;
			break;
		}
		size_t take = sizeof(u->head) - u->head_len;
		take = take < n ? take : n;
		memcpy(u->head + u->head_len, p, take);
		u->head_len += take;
		u->rest = (const uint8_t *)p + take;
		u->rest_len = n - take;
	}
	return 0;
}

static int support(struct archive *a)
{
	int r = archive_read_support_format_raw(a);
	if (r == ARCHIVE_OK)
		r = archive_read_support_format_zip_streamable(a);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_gzip(a);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_bzip2(a);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_xz(a);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_zstd(a);
	return r;
}

static int is_zip(const struct cow_unpack *u)
{
	return archive_format(u->a) == ARCHIVE_FORMAT_ZIP;
}

/* Of a zip file the member that is an image; the others are notes and sums. */
static int counts(struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e);
	const char *dot = name ? strrchr(name, '.') : NULL;
	return archive_entry_filetype(e) == S_IFREG && dot &&
	       (strcasecmp(dot, ".img") == 0 || strcasecmp(dot, ".tar") == 0);
}

static int find_member(struct cow_unpack *u, struct cow_err *err)
{
	struct archive_entry *e;
	int r;
	while ((r = archive_read_next_header(u->a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN)
		if (!is_zip(u) || counts(e))
			return 0;
	if (r == ARCHIVE_EOF && is_zip(u))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "no member of the zip file '%s' ends in .img or .tar", u->what);
	if (r == ARCHIVE_EOF) { /* an empty file is an empty stream */
		u->ended = 1;
		return 0;
	}
	return broken(u);
}

static int damaged(struct cow_unpack *u, int r, struct cow_err *err)
{
	if (r != -EBADMSG)
		return cow_err_set(err, r, "read '%s'", u->what);
	return cow_err_say(err, COW_ERR_FAILED, r, "'%s' is damaged or cut short: %s", u->what,
			   u->why);
}

int cow_unpack_open(int fd, const char *what, uint64_t *read_bytes, struct cow_unpack **ret,
		    struct cow_err *err)
{
	cow_autounpack u = calloc(1, sizeof(*u));
	if (!u)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	u->fd = fd;
	u->what = what;
	u->read_bytes = read_bytes;
	u->a = archive_read_new();
	if (!u->a)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	if (support(u->a) != ARCHIVE_OK ||
	    archive_read_open(u->a, u, NULL, read_file, NULL) != ARCHIVE_OK)
		return damaged(u, broken(u), err);
	int r = find_member(u, err);
	if (r < 0)
		return *u->why ? damaged(u, r, err) : r;
	if (!u->ended)
		r = fill_head(u);
	if (r < 0)
		return damaged(u, r, err);
	*ret = cow_steal_ptr(&u);
	return 0;
}

void cow_unpack_close(struct cow_unpack *u)
{
	if (!u)
		return;
	(void)archive_read_free(u->a);
	free(u);
}

size_t cow_unpack_head(const struct cow_unpack *u, const uint8_t **ret)
{
	*ret = u->head;
	return u->head_len;
}

int cow_unpack_is_plain(const struct cow_unpack *u)
{
	/* The last filter is the reader of the file. */
	return !is_zip(u) && archive_filter_count(u->a) == 1;
}

int cow_unpack_next(struct cow_unpack *u, const void **ret, size_t *ret_len)
{
	if (u->head_given < u->head_len) {
		*ret = u->head;
		*ret_len = u->head_len;
		u->head_given = u->head_len;
		return 1;
	}
	if (u->rest_len) {
		*ret = u->rest;
		*ret_len = u->rest_len;
		u->rest_len = 0;
		return 1;
	}
	if (u->ended)
		return 0;
	int r = next_block(u, ret, ret_len);
	u->ended = r == 0;
	return r;
}

const char *cow_unpack_why(const struct cow_unpack *u)
{
	return u->why;
}
