/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "oci_layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive_hash.h"
#include "common/bounds.h"
#include "common/fs.h"
#include "common/growpath.h"
#include "common/log.h"

#define BUF_SIZE (256u << 10)

/* Two writers in a row: the first makes tar, whose digest is wanted too, the second packs it. */
struct layer {
	const struct cow_ovl_image *img;
	int fd;
	struct archive *tar, *gzip;
	struct archive_entry *e;
	EVP_MD_CTX *diff, *sum;
	struct cow_arc_hash hash; /* of the file at hand */
	struct cow_growpath path;
	char **first; /* by number: the path an object with several names was written by */
	uint8_t *buf;
	int (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
	uint64_t done, total;
	int r; /* of what the writers called */
	struct cow_oci_layer *ret;
	struct cow_err *err;
};

/* For messages and tar: the root is ".". */
static const char *path_of(const struct layer *l)
{
	return l->path.s && *l->path.s ? l->path.s : ".";
}

static int fail(struct layer *l, int r, const char *doing)
{
	if (r == -EINTR)
		return cow_err_set(l->err, r, "the export was stopped");
	if (r == -EIO || r == -EBADMSG)
		return cow_err_say(l->err, COW_ERR_FAILED, -EBADMSG,
				   "the image is damaged: %s is not as recorded", COW_Q(path_of(l)));
	return cow_err_set(l->err, r, "%s %s", doing, COW_Q(path_of(l)));
}

static la_ssize_t put_packed(struct archive *a, void *ctx, const void *p, size_t len)
{
	struct layer *l = ctx;
	int r = EVP_DigestUpdate(l->sum, p, len) == 1 ? cow_write_full(l->fd, p, len) : -ENOMEM;
	if (r < 0) {
		l->r = r;
		archive_set_error(a, -r, "write error");
		return -1;
	}
	l->ret->bytes += len;
	return (la_ssize_t)len;
}

static la_ssize_t put_tar(struct archive *a, void *ctx, const void *p, size_t len)
{
	struct layer *l = ctx;
	if (EVP_DigestUpdate(l->diff, p, len) == 1 &&
	    archive_write_data(l->gzip, p, len) == (la_ssize_t)len)
		return (la_ssize_t)len;
	l->r = l->r ? l->r : -ENOMEM;
	archive_set_error(a, -l->r, "write error");
	return -1;
}

/* What a writer said: our own error if one of ours was behind it. */
static int said(struct layer *l, struct archive *a, int la)
{
	if (la >= ARCHIVE_WARN)
		return 0;
	if (l->r < 0)
		return l->r;
	return archive_errno(a) == ENOMEM ? -ENOMEM : -EINVAL;
}

/* ---------------------------------------------------------------- objects */

static int set_xattrs(struct layer *l, uint32_t number)
{
	const char *name;
	const void *value;
	size_t len;
	for (size_t k = 0; cow_ovl_image_xattr(l->img, number, k, &name, &value, &len); k++)
		archive_entry_xattr_add_entry(l->e, name, value, len);
	return 0;
}

/* Where the data of a file lies, so that holes stay holes. */
static int set_sparse(struct layer *l, int fd, off_t size)
{
	for (off_t off = 0; off < size;) {
		off_t data = lseek(fd, off, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = size;
		off_t hole = data < 0 || data == size ? data : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if (data == 0 && hole >= size)
			return 0; /* no hole */
		archive_entry_sparse_add_entry(l->e, data, hole - data);
		off = hole;
	}
	return 0;
}

/* What the file gives is what the manifest says. */
static int write_data(struct layer *l, int fd, const struct cow_ovl_image_object *o)
{
	int r = cow_arc_hash_begin(&l->hash);
	while (r == 0) {
		ssize_t n = cow_read_full(fd, l->buf, BUF_SIZE);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return cow_arc_hash_end(&l->hash, o->attr.size, o->digest);
		if (archive_write_data(l->tar, l->buf, (size_t)n) != n)
			return said(l, l->tar, ARCHIVE_FATAL);
		l->done += (uint64_t)n;
		r = cow_arc_hash_add(&l->hash, l->hash.at, l->buf, (size_t)n);
		if (r == 0 && l->progress)
			r = l->progress(l->ctx, l->done, l->total);
	}
	return r;
}

static int write_file(struct layer *l, uint32_t number, const struct cow_ovl_image_object *o)
{
	cow_autoclose int fd = cow_ovl_image_open_data(l->img, number);
	if (fd < 0)
		return fd;
	int r = o->attr.bytes_used < o->attr.size ? set_sparse(l, fd, (off_t)o->attr.size) : 0;
	if (r == 0)
		r = said(l, l->tar, archive_write_header(l->tar, l->e));
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : write_data(l, fd, o);
}

static void describe(struct layer *l, const struct cow_ovl_attr *a)
{
	archive_entry_clear(l->e);
	archive_entry_copy_pathname(l->e, path_of(l));
	archive_entry_set_mode(l->e, a->mode);
	archive_entry_set_uid(l->e, a->uid);
	archive_entry_set_gid(l->e, a->gid);
	archive_entry_set_mtime(l->e, a->mtime.tv_sec, a->mtime.tv_nsec);
	archive_entry_set_size(l->e, S_ISREG(a->mode) ? (la_int64_t)a->size : 0);
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode))
		archive_entry_set_rdev(l->e, a->rdev);
}

static int write_object(struct layer *l, uint32_t number)
{
	struct cow_ovl_image_object o;
	(void)cow_ovl_image_object(l->img, number, &o); /* it has a name */
	describe(l, &o.attr);
	if (o.nnames > 1 && !S_ISDIR(o.attr.mode)) {
		if (l->first[number]) {
			archive_entry_set_size(l->e, 0);
			archive_entry_copy_hardlink(l->e, l->first[number]);
			return said(l, l->tar, archive_write_header(l->tar, l->e));
		}
		l->first[number] = strdup(path_of(l));
		if (!l->first[number])
			return -ENOMEM;
	}
	if (S_ISSOCK(o.attr.mode)) {
		l->ret->sockets++;
		return 0;
	}
	if (o.target)
		archive_entry_copy_symlink(l->e, o.target);
	int r = set_xattrs(l, number);
	if (r == 0)
		r = S_ISREG(o.attr.mode) && o.attr.size
			? write_file(l, number, &o)
			: said(l, l->tar, archive_write_header(l->tar, l->e));
	return r;
}

static int by_name(const void *pa, const void *pb)
{
	const struct cow_ovl_image_name *a = pa, *b = pb;
	return strcmp(a->name, b->name);
}

static int write_dir(struct layer *l, uint32_t dir, unsigned depth)
{
	size_t n = cow_ovl_image_nnames(l->img, dir), old;
	cow_autofree struct cow_ovl_image_name *names = calloc(n + 1, sizeof(*names));
	int r = names ? write_object(l, dir) : -ENOMEM;
	if (r == 0 && depth > COW_DEPTH_MAX)
		r = -ELOOP;
	if (r < 0)
		return fail(l, r, "pack");
	for (size_t k = 0; k < n; k++)
		cow_ovl_image_name(l->img, dir, k, &names[k]);
	qsort(names, n, sizeof(*names), by_name);
	for (size_t k = 0; r == 0 && k < n; k++) {
		r = cow_growpath_push(&l->path, names[k].name, &old);
		if (r < 0)
			return fail(l, r, "pack");
		if (S_ISDIR(names[k].type)) {
			r = write_dir(l, names[k].number, depth + 1);
		} else {
			r = write_object(l, names[k].number);
			r = r < 0 ? fail(l, r, "pack") : 0;
		}
		cow_growpath_pop(&l->path, old);
	}
	return r;
}

/* ---------------------------------------------------------------- the whole */

static int open_writers(struct layer *l)
{
	l->tar = archive_write_new();
	l->gzip = archive_write_new();
	l->e = archive_entry_new();
	l->diff = EVP_MD_CTX_new();
	l->sum = EVP_MD_CTX_new();
	l->buf = malloc(BUF_SIZE);
	if (!l->tar || !l->gzip || !l->e || !l->diff || !l->sum || !l->buf ||
	    EVP_DigestInit_ex2(l->diff, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex2(l->sum, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	archive_entry_set_filetype(l->e, S_IFREG);
	/* No time stamp in the gzip header; attributes once, in the form others read too. */
	int bad = archive_write_set_format_raw(l->gzip) != ARCHIVE_OK ||
		  archive_write_add_filter_gzip(l->gzip) != ARCHIVE_OK ||
		  archive_write_set_options(l->gzip, "gzip:!timestamp") != ARCHIVE_OK ||
		  archive_write_set_bytes_in_last_block(l->gzip, 1) != ARCHIVE_OK ||
		  archive_write_open(l->gzip, l, NULL, put_packed, NULL) != ARCHIVE_OK ||
		  archive_write_header(l->gzip, l->e) != ARCHIVE_OK ||
		  archive_write_set_format_pax(l->tar) != ARCHIVE_OK ||
		  archive_write_set_options(l->tar, "pax:xattrheader=SCHILY") != ARCHIVE_OK ||
		  archive_write_set_bytes_in_last_block(l->tar, 1) != ARCHIVE_OK ||
		  archive_write_open(l->tar, l, NULL, put_tar, NULL) != ARCHIVE_OK;
	return bad ? (l->r < 0 ? l->r : -EINVAL) : 0;
}

static int close_writers(struct layer *l)
{
	int r = said(l, l->tar, archive_write_close(l->tar));
	if (r == 0)
		r = said(l, l->gzip, archive_write_close(l->gzip));
	if (r == 0 && (EVP_DigestFinal_ex(l->diff, l->ret->diff, NULL) != 1 ||
		       EVP_DigestFinal_ex(l->sum, l->ret->sum, NULL) != 1))
		r = -ENOMEM;
	return r;
}

static void layer_done(struct layer *l, uint32_t numbers)
{
	(void)archive_write_free(l->tar);
	(void)archive_write_free(l->gzip);
	archive_entry_free(l->e);
	EVP_MD_CTX_free(l->diff);
	EVP_MD_CTX_free(l->sum);
	cow_arc_hash_done(&l->hash);
	for (uint32_t k = 0; l->first && k < numbers; k++)
		free(l->first[k]);
	free(l->first);
	free(l->buf);
	cow_growpath_done(&l->path);
}

int cow_oci_layer_write(const struct cow_ovl_image *img, int fd,
			int (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
			struct cow_oci_layer *ret, struct cow_err *err)
{
	struct cow_ovl_image_info info;
	struct layer l = {
	    .img = img, .fd = fd, .progress = progress, .ctx = ctx, .ret = ret, .err = err};
	cow_ovl_image_info(img, &info);
	*ret = (struct cow_oci_layer){.bytes = 0};
	l.total = info.bytes;
	l.first = calloc(info.next_number, sizeof(*l.first));
	if (!l.first)
		return cow_err_set(err, -ENOMEM, "pack the layer");
	int r = cow_arc_hash_init(&l.hash);
	if (r == 0)
		r = cow_growpath_init(&l.path);
	if (r == 0)
		r = open_writers(&l);
	if (r < 0)
		r = cow_err_set(err, r, "pack the layer");
	if (r == 0)
		r = write_dir(&l, COW_OVL_IMAGE_ROOT, 0);
	if (r == 0) {
		r = close_writers(&l);
		if (r < 0)
			r = cow_err_set(err, r, "pack the layer");
	}
	layer_done(&l, info.next_number);
	return r;
}
