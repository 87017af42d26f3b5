/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A manifest as it may lie on a disk. Checksums are made right first, so that the records themselves
 * are what is tested. What loads is then read to the last byte through every accessor, and must be
 * the tree the format promises: each name found again, each path leading back (I7).
 *
 * An input that begins with "F" instead of "C" is helped further: sections are put one behind the
 * other, the last one made to end with the file, and names get the cookies that belong to them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/ovm_seal.h"
#include "image_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define PATH_ROOM 65536

static volatile uint8_t seen; /* reads are not optimised away */

static void touch(const void *p, size_t len)
{
	for (size_t k = 0; k < len; k++)
		seen ^= ((const uint8_t *)p)[k];
}

static void read_dir(const struct cow_ovl_image *img, uint32_t dir)
{
	uint64_t before = 0;
	size_t n = cow_man_nchild(img, dir);
	for (size_t k = 0; k < n; k++) {
		struct cow_man_ent ent, again;
		cow_man_child(img, dir, k, &ent);
		CHECK(ent.cookie > before && ent.cookie >= COW_MAN_COOKIE_MIN);
		CHECK(strlen(ent.name) == ent.len && cow_man_has(img, ent.ino));
		CHECK(cow_man_type(img, ent.ino) == ent.type);
		CHECK(cow_man_after(img, dir, before) == k);
		CHECK(cow_man_find(img, dir, ent.name, ent.len, &again) && again.name == ent.name);
		CHECK(cow_man_at_cookie(img, dir, ent.cookie, &again) && again.ino == ent.ino);
		before = ent.cookie;
	}
	CHECK(cow_man_after(img, dir, before) == n);
}

static void read_names(const struct cow_ovl_image *img, uint32_t ino)
{
	size_t n = cow_man_nnames(img, ino);
	CHECK((n == 0) == (ino == COW_MAN_ROOT));
	for (size_t k = 0; k < n; k++) {
		struct cow_man_ent ent, again;
		uint32_t parent;
		cow_man_name(img, ino, k, &parent, &ent);
		CHECK(ent.ino == ino);
		CHECK(cow_man_find(img, parent, ent.name, ent.len, &again) && again.ino == ino);
	}
}

static void read_object(const struct cow_ovl_image *img, uint32_t ino)
{
	static char path[PATH_ROOM];
	struct cow_ovl_attr attr;
	size_t len;
	cow_man_attr(img, ino, &attr);
	CHECK(attr.nlink > 0);
	read_names(img, ino);
	if (S_ISDIR(attr.mode))
		read_dir(img, ino);
	if (S_ISREG(attr.mode))
		touch(cow_man_digest(img, ino), COW_OVM_DIGEST_LEN);
	if (S_ISLNK(attr.mode))
		CHECK(strlen(cow_man_target(img, ino, &len)) == len && len == attr.size);
	for (size_t k = 0; k < cow_man_nxattr(img, ino); k++) {
		const char *name;
		const void *value;
		cow_man_xattr(img, ino, k, &name, &value, &len);
		CHECK(*name);
		touch(value, len);
	}
	ssize_t n = cow_man_path(img, ino, path, sizeof(path));
	if (n >= 0)
		CHECK((size_t)n == strlen(path) && cow_man_lookup_path(img, path) == ino);
}

static void read_all(const struct cow_ovl_image *img)
{
	uint64_t objects = 0;
	for (uint32_t ino = 0; ino < img->info.next_number; ino++) {
		if (!cow_man_has(img, ino))
			continue;
		objects++;
		read_object(img, ino);
	}
	CHECK(objects == img->info.inodes && !cow_man_has(img, img->info.next_number));
	FILE *null = fopen("/dev/null", "we");
	CHECK(null && cow_ovl_image_dump(img, null) == 0 && fclose(null) == 0);
}

static void set_cookies(const struct cow_ovm_header *h, uint8_t *dirents, size_t n,
			const uint8_t *strings, size_t len)
{
	for (struct cow_ovm_dirent *d = (struct cow_ovm_dirent *)dirents; n > 0; n--, d++) {
		size_t at = cow_get_le32(d->name);
		if (at < len && d->name_len < len - at)
			cow_put_le64(
			    d->cookie,
			    cow_ovm_hash(h->hash_key, (const char *)strings + at, d->name_len));
	}
}

static void help(uint8_t *bytes, size_t size)
{
	struct cow_ovm_header *h = (struct cow_ovm_header *)bytes;
	uint64_t at = sizeof(*h), end = size, offset[COW_OVM_NSECTIONS], length[COW_OVM_NSECTIONS];
	for (unsigned k = 0; k < COW_OVM_NSECTIONS; k++) {
		offset[k] = at;
		length[k] = cow_get_le64(h->section[k].length);
		if (k == COW_OVM_VALUES)
			length[k] = end - at;
		if (length[k] > end - at)
			return;
		cow_put_le64(h->section[k].offset, at);
		cow_put_le64(h->section[k].length, length[k]);
		at += length[k];
	}
	bytes[0] = COW_OVM_MAGIC[0];
	set_cookies(h, bytes + offset[COW_OVM_DIRENTS],
		    length[COW_OVM_DIRENTS] / sizeof(struct cow_ovm_dirent),
		    bytes + offset[COW_OVM_STRINGS], length[COW_OVM_STRINGS]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_ovl_image img = {.filefd = -1, .rootfd = -1};
	struct cow_err err = COW_ERR_INIT;
	uint8_t *copy = malloc(size ? size : 1);
	CHECK(copy);
	memcpy(copy, data, size);
	if (size >= sizeof(struct cow_ovm_header) && copy[0] == 'F')
		help(copy, size);
	ovm_seal(copy, size);
	int r = cow_image_load_bytes(&img, copy, size, &err);
	free(copy);
	CHECK(r == 0 || r == -EBADMSG || r == -EOPNOTSUPP);
	if (r == 0)
		read_all(&img);
	else
		CHECK(*cow_err_str(&err));
	cow_image_unload(&img);
	return 0;
}
