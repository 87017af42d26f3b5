/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "tar_stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define CHUNK (256u << 10)
#define TAR_BLOCK 512

struct cow_tar {
	int fd;
	const char *what;
	uint64_t *read_bytes;
	struct archive *unpack; /* filters only */
	struct archive *tar;
	uint8_t last[TAR_BLOCK]; /* the last block handed to the tar reader */
	size_t last_len;
	int at_end;	/* the tar reader has been told that there is no more */
	int read_errno; /* of read(2) on fd */
	char buf[CHUNK];
};

static la_ssize_t read_file(struct archive *a, void *ctx, const void **ret)
{
	struct cow_tar *t = ctx;
	ssize_t n;
	do
		n = read(t->fd, t->buf, CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		t->read_errno = errno;
		archive_set_error(a, errno, "read error");
		return -1;
	}
	*t->read_bytes += (uint64_t)n;
	*ret = t->buf;
	return n;
}

static void remember_last(struct cow_tar *t, const uint8_t *p, size_t n)
{
	if (n >= TAR_BLOCK) {
		memcpy(t->last, p + n - TAR_BLOCK, TAR_BLOCK);
		t->last_len = TAR_BLOCK;
		return;
	}
	size_t keep = t->last_len < TAR_BLOCK - n ? t->last_len : TAR_BLOCK - n;
	memmove(t->last, t->last + t->last_len - keep, keep);
	memcpy(t->last + keep, p, n);
	t->last_len = keep + n;
}

static la_ssize_t read_unpacked(struct archive *a, void *ctx, const void **ret)
{
	struct cow_tar *t = ctx;
	size_t n = 0;
	la_int64_t off;
	int r;
	do
		r = archive_read_data_block(t->unpack, ret, &n, &off);
	while (r == ARCHIVE_OK && n == 0);
	if (r == ARCHIVE_EOF) {
		t->at_end = 1;
		return 0;
	}
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN) {
		const char *why = archive_error_string(t->unpack);
		archive_set_error(a, EBADMSG, "%s", why ? why : "the compressed data ends early");
		return -1;
	}
	remember_last(t, *ret, n);
	return (la_ssize_t)n;
}

void cow_tar_close(struct cow_tar *t)
{
	if (!t)
		return;
	(void)archive_read_free(t->tar);
	(void)archive_read_free(t->unpack);
	free(t);
}

static int damaged(struct cow_tar *t, struct archive *a, struct cow_err *err)
{
	if (t->read_errno)
		return cow_err_set(err, -t->read_errno, "read '%s'", t->what);
	const char *why = archive_error_string(a);
	if (archive_errno(a) == ENOMEM)
		return cow_err_set(err, -ENOMEM, "read '%s'", t->what);
	return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is damaged or cut short: %s",
			   t->what, why ? why : "unreadable");
}

static int no_tar(struct cow_tar *t, struct cow_err *err)
{
	return cow_err_hint(
	    err, cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is no tar archive", t->what),
	    "give a directory or a tar file, plain or compressed with gzip, xz or zstd");
}

static int open_unpack(struct cow_tar *t)
{
	int r = archive_read_support_format_raw(t->unpack);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_gzip(t->unpack);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_xz(t->unpack);
	if (r == ARCHIVE_OK)
		r = archive_read_support_filter_zstd(t->unpack);
	if (r == ARCHIVE_OK)
		r = archive_read_open(t->unpack, t, NULL, read_file, NULL);
	struct archive_entry *whole;
	if (r == ARCHIVE_OK)
		r = archive_read_next_header(t->unpack, &whole);
	return r;
}

int cow_tar_open(int fd, const char *what, uint64_t *read_bytes, struct cow_tar **ret,
		 struct cow_err *err)
{
	cow_autotar t = calloc(1, sizeof(*t));
	if (!t)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	t->fd = fd;
	t->what = what;
	t->read_bytes = read_bytes;
	t->unpack = archive_read_new();
	t->tar = archive_read_new();
	if (!t->unpack || !t->tar)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	if (open_unpack(t) != ARCHIVE_OK)
		return damaged(t, t->unpack, err);
	if (archive_read_support_format_tar(t->tar) != ARCHIVE_OK ||
	    archive_read_open(t->tar, t, NULL, read_unpacked, NULL) != ARCHIVE_OK)
		return t->last_len && !t->read_errno ? no_tar(t, err) : damaged(t, t->tar, err);
	*ret = cow_steal_ptr(&t);
	return 0;
}

static int ends_with_zeros(const struct cow_tar *t)
{
	if (t->last_len != TAR_BLOCK)
		return 0;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (t->last[i])
			return 0;
	return 1;
}

/* Read what is behind the end marker too: the sums of compressed files come last. */
static int check_end(struct cow_tar *t, struct cow_err *err)
{
	if (t->at_end && !ends_with_zeros(t))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "'%s' is cut short: it lacks the end of a tar archive", t->what);
	const void *p;
	while (!t->at_end)
		if (read_unpacked(t->tar, t, &p) < 0)
			return damaged(t, t->tar, err);
	return 0;
}

int cow_tar_next(struct cow_tar *t, struct archive_entry **ret, struct cow_err *err)
{
	int r = archive_read_next_header(t->tar, ret);
	if (r == ARCHIVE_EOF)
		return check_end(t, err);
	/* RETRY would go on behind a damaged header: half an image is none.
	 * WARN: a name is not UTF-8 and comes as the bytes it is, which is what we want. */
	if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
		return 1;
	return damaged(t, t->tar, err);
}

int cow_tar_data(struct cow_tar *t, const void **ret, size_t *ret_len, int64_t *ret_off,
		 struct cow_err *err)
{
	int r = archive_read_data_block(t->tar, ret, ret_len, ret_off);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
		return 1;
	return damaged(t, t->tar, err);
}
