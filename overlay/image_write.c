/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Writing image.ovm. Format: ovm_format.h.
 */
#include "image_write.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/checked.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "record.h"

/* SHA-256 of the header and all sections. */
static int digest_all(const struct cow_ovm_header *h, const struct cow_image_parts *parts,
		      uint8_t ret[COW_OVM_ID_LEN])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		 EVP_DigestUpdate(md, h, sizeof(*h)) == 1;
	for (unsigned k = 0; ok && k < COW_OVM_NSECTIONS; k++)
		ok = EVP_DigestUpdate(md, parts->section[k].bytes, parts->section[k].len) == 1;
	ok = ok && EVP_DigestFinal_ex(md, ret, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok ? 0 : -ENOMEM;
}

/* Everything but uuid and sum. */
static int fill_header(struct cow_ovm_header *h, const struct cow_image_parts *parts,
		       const struct cow_ovl_image_info *info)
{
	*h = (struct cow_ovm_header){0};
	memcpy(h->magic, COW_OVM_MAGIC, sizeof(h->magic));
	cow_put_le32(h->version, COW_OVM_VERSION);
	memcpy(h->parent, info->parent, sizeof(h->parent));
	memcpy(h->lineage, info->lineage, sizeof(h->lineage));
	memcpy(h->hash_key, parts->hash_key, sizeof(h->hash_key));
	cow_put_le64(h->inodes, info->inodes);
	cow_put_le64(h->bytes, info->bytes);
	cow_put_le32(h->next_number, info->next_number);
	uint64_t at = sizeof(*h);
	for (unsigned k = 0; k < COW_OVM_NSECTIONS; k++) {
		size_t len = parts->section[k].len;
		cow_put_le64(h->section[k].offset, at);
		cow_put_le64(h->section[k].length, len);
		cow_put_le64(h->section[k].xxh64, XXH64(parts->section[k].bytes, len, 0));
		at += len;
	}
	return at > COW_OVM_FILE_MAX ? -EFBIG : 0;
}

/* UUID version 8 (RFC 9562): made by us. */
static int fill_uuid(struct cow_ovm_header *h, const struct cow_image_parts *parts)
{
	uint8_t digest[COW_OVM_ID_LEN];
	int r = digest_all(h, parts, digest);
	if (r < 0)
		return r;
	memcpy(h->uuid, digest, sizeof(h->uuid));
	h->uuid[6] = (uint8_t)((h->uuid[6] & 0x0f) | 0x80);
	h->uuid[8] = (uint8_t)((h->uuid[8] & 0x3f) | 0x80);
	cow_put_le64(h->sum, cow_ovm_header_sum(h));
	return 0;
}

static int write_parts(int dirfd, const char *tmp, const struct cow_ovm_header *h,
		       const struct cow_image_parts *parts)
{
	cow_autoclose int fd =
	    openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return cow_nerr();
	if (fchmod(fd, 0400) < 0)
		return cow_nerr();
	int r = cow_write_full(fd, h, sizeof(*h));
	for (unsigned k = 0; r == 0 && k < COW_OVM_NSECTIONS; k++)
		r = cow_write_full(fd, parts->section[k].bytes, parts->section[k].len);
	if (r == 0 && fsync(fd) < 0) /* I2: data before its name */
		r = cow_nerr();
	return r;
}

static int publish(int dirfd, const struct cow_ovm_header *h, const struct cow_image_parts *parts)
{
	char hex[COW_HEX64_LEN + 1], tmp[64];
	int r = cow_random_hex(hex);
	if (r < 0)
		return r;
	/* The name is one cow_sweep_tmp_at() removes (I3). */
	(void)snprintf(tmp, sizeof(tmp), ".tmp-%s-%s", COW_OVM_NAME, hex); /* fits */
	r = write_parts(dirfd, tmp, h, parts);
	if (r == 0 && renameat2(dirfd, tmp, dirfd, COW_OVM_NAME, RENAME_NOREPLACE) < 0)
		r = cow_nerr();
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0); /* stale temporary, swept later (I3) */
		return r;
	}
	return cow_fsync_dir_at(dirfd, ".");
}

int cow_image_write(int dirfd, const struct cow_image_parts *parts, struct cow_ovl_image_info *info,
		    struct cow_err *err)
{
	struct cow_ovm_header h;
	int r = fill_header(&h, parts, info);
	if (r == -EFBIG)
		return cow_err_say(err, COW_ERR_REFUSED, r, "the tree has too many objects");
	if (r == 0)
		r = fill_uuid(&h, parts);
	if (r == 0)
		r = digest_all(&h, parts, info->id);
	if (r == 0)
		r = publish(dirfd, &h, parts);
	if (r < 0)
		return cow_err_set(err, r, "write the manifest '%s'", COW_OVM_NAME);
	memcpy(info->uuid, h.uuid, sizeof(info->uuid));
	return 0;
}
