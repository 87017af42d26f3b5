/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "tar_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAR_BLOCK 512

struct cow_tar {
	const char *what;
	struct cow_unpack *unpack; /* borrowed */
	struct archive *tar;
	uint8_t last[TAR_BLOCK]; /* the last block handed to the tar reader */
	size_t last_len;
	enum cow_tar_end end;
	int at_end;	/* the tar reader has been told that there is no more */
	int failed; /* of the bytes below: negative errno */
};

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
	int r = cow_unpack_next(t->unpack, ret, &n);
	if (r == 0) {
		t->at_end = 1;
		return 0;
	}
	if (r < 0) {
		t->failed = r;
		archive_set_error(a, -r, "%s", cow_unpack_why(t->unpack));
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
	free(t);
}

static int damaged(struct cow_tar *t, struct cow_err *err)
{
	if (t->failed && t->failed != -EBADMSG)
		return cow_err_set(err, t->failed, "read '%s'", t->what);
	const char *why = archive_error_string(t->tar);
	if (archive_errno(t->tar) == ENOMEM)
		return cow_err_set(err, -ENOMEM, "read '%s'", t->what);
	return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is damaged or cut short: %s",
			   t->what, why ? why : "unreadable");
}

static int no_tar(struct cow_tar *t, struct cow_err *err)
{
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
			"'%s' is neither a tar archive nor a disk image", t->what),
	    "give a directory, a tar file or a disk image; files may be compressed with gzip, bzip2, xz, "
	    "zstd or zip");
}

int cow_tar_open(struct cow_unpack *unpack, const char *what, enum cow_tar_end end,
		 struct cow_tar **ret, struct cow_err *err)
{
	cow_autotar t = calloc(1, sizeof(*t));
	if (!t)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	t->what = what;
	t->unpack = unpack;
	t->end = end;
	t->tar = archive_read_new();
	if (!t->tar)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	if (archive_read_support_format_tar(t->tar) != ARCHIVE_OK ||
	    archive_read_open(t->tar, t, NULL, read_unpacked, NULL) != ARCHIVE_OK)
		return t->last_len && !t->failed ? no_tar(t, err) : damaged(t, err);
	*ret = cow_steal_ptr(&t);
	return 0;
}

/* The sum of a header is that of its bytes, with blanks where it stands itself: tar(5). */
int cow_tar_begins(const uint8_t *head, size_t len)
{
	uint32_t sum = 0, said = 0;
	if (len < TAR_BLOCK)
		return 0;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : head[i];
	for (size_t i = 148; i < 156; i++)
		if (head[i] >= '0' && head[i] <= '7')
			said = said * 8 + head[i] - '0';
		else if (head[i] != ' ')
			break;
	return said == sum;
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
	if (t->at_end && t->end == COW_TAR_END_MARKED && !ends_with_zeros(t))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "'%s' is cut short: it lacks the end of a tar archive", t->what);
	const void *p;
	while (!t->at_end)
		if (read_unpacked(t->tar, t, &p) < 0)
			return damaged(t, err);
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
	return damaged(t, err);
}

int cow_tar_data(struct cow_tar *t, const void **ret, size_t *ret_len, int64_t *ret_off,
		 struct cow_err *err)
{
	int r = archive_read_data_block(t->tar, ret, ret_len, ret_off);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r == ARCHIVE_OK || r == ARCHIVE_WARN)
		return 1;
	return damaged(t, err);
}
