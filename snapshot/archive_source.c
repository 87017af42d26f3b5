/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive_hash.h"
#include "archive_write.h"
#include "common/fs.h"
#include "common/log.h"

struct cow_arc_source {
	const struct cow_ovl_image *img;
	uint32_t unchecked;
	uint32_t number; /* open; 0: none */
	int fd;
	struct cow_arc_hash hash;
};

int cow_arc_source_new(const struct cow_ovl_image *img, uint32_t unchecked,
		       struct cow_arc_source **ret)
{
	cow_autoarcsource s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->img = img;
	s->unchecked = unchecked;
	s->fd = -1;
	int r = cow_arc_hash_init(&s->hash);
	if (r == 0)
		*ret = cow_steal_ptr(&s);
	return r;
}

void cow_arc_source_free(struct cow_arc_source *s)
{
	if (!s)
		return;
	cow_arc_hash_done(&s->hash);
	if (s->fd >= 0)
		(void)close(s->fd); /* only read from */
	free(s);
}

static int file_fail(const struct cow_ovl_image *img, uint32_t number, int r, struct cow_err *err)
{
	cow_autofree char *path = cow_ovl_image_path(img, number);
	if (r == -EIO || r == -EBADMSG)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
						"the image is damaged: %s is not as recorded",
						COW_Q(path ? path : "?")),
				    "cowherd image verify tells what differs");
	return cow_err_set(err, r, "read %s", COW_Q(path ? path : "?"));
}

int cow_arc_source_end(struct cow_arc_source *s, struct cow_err *err)
{
	struct cow_ovl_image_object o;
	if (s->number == 0)
		return 0;
	uint32_t number = s->number;
	s->number = 0;
	(void)close(cow_steal_fd(&s->fd)); /* only read from */
	(void)cow_ovl_image_object(s->img, number, &o); /* it was opened */
	int r = cow_arc_hash_end(&s->hash, o.attr.size, o.digest);
	return r < 0 && number != s->unchecked ? file_fail(s->img, number, r, err) : 0;
}

static int begin(struct cow_arc_source *s, uint32_t number, struct cow_err *err)
{
	int r = cow_arc_source_end(s, err);
	if (r < 0)
		return r;
	s->fd = cow_ovl_image_open_data(s->img, number);
	if (s->fd < 0)
		return file_fail(s->img, number, s->fd, err);
	s->number = number;
	r = cow_arc_hash_begin(&s->hash);
	return r < 0 ? file_fail(s->img, number, r, err) : 0;
}

static int read_slice(const struct cow_ovl_image *img, int fd, const struct cow_arc_slice *slice,
		      uint8_t *to, struct cow_err *err)
{
	ssize_t n = cow_pread_full(fd, to, slice->length, (off_t)slice->offset);
	if (n == (ssize_t)slice->length)
		return 0;
	return file_fail(img, slice->number, n < 0 ? (int)n : -EIO, err);
}

static void copy_manifest(const struct cow_ovl_image *img, const struct cow_arc_slice *slice,
			  uint8_t *to)
{
	size_t len;
	const uint8_t *p = cow_ovl_image_bytes(img, &len);
	memcpy(to, p + slice->offset, slice->length);
}

int cow_arc_source_read(struct cow_arc_source *s, const struct cow_arc_slice *slices, size_t n,
			uint8_t *to, struct cow_err *err)
{
	for (size_t k = 0; k < n; to += slices[k++].length) {
		int r = 0;
		const struct cow_arc_slice *i = &slices[k];
		if (i->number == COW_ARC_MANIFEST_NUMBER) {
			copy_manifest(s->img, i, to);
			continue;
		}
		if (i->number != s->number)
			r = begin(s, i->number, err);
		if (r == 0)
			r = read_slice(s->img, s->fd, i, to, err);
		if (r < 0)
			return r;
		r = cow_arc_hash_add(&s->hash, i->offset, to, i->length);
		if (r < 0)
			return file_fail(s->img, i->number, r, err);
	}
	return 0;
}

int cow_arc_read_slices(const struct cow_ovl_image *base, const struct cow_arc_slice *slices,
			size_t n, uint8_t *to, struct cow_err *err)
{
	int r = 0;
	for (size_t k = 0; r == 0 && k < n; to += slices[k++].length) {
		if (slices[k].number == COW_ARC_MANIFEST_NUMBER) {
			copy_manifest(base, &slices[k], to);
			continue;
		}
		cow_autoclose int fd = cow_ovl_image_open_data(base, slices[k].number);
		r = fd < 0 ? file_fail(base, slices[k].number, fd, err)
			   : read_slice(base, fd, &slices[k], to, err);
	}
	return r;
}
