/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What writer and readers of image.ovm compute alike. Format: ovm_format.h.
 */
#include <xxhash.h>

#include "manifest.h"
#include "ovm_format.h"

const size_t cow_ovm_record_len[COW_OVM_NSECTIONS] = {
    [COW_OVM_INODES] = sizeof(struct cow_ovm_inode),
    [COW_OVM_DIRENTS] = sizeof(struct cow_ovm_dirent),
    [COW_OVM_XSETS] = sizeof(struct cow_ovm_xset),
    [COW_OVM_XATTRS] = sizeof(struct cow_ovm_xattr),
    [COW_OVM_DIGESTS] = sizeof(struct cow_ovm_digest),
    [COW_OVM_HLINKS] = sizeof(struct cow_ovm_hlink),
    [COW_OVM_STRINGS] = 1,
    [COW_OVM_VALUES] = 1,
};

const char *const cow_ovm_section_name[COW_OVM_NSECTIONS] = {
    [COW_OVM_INODES] = "INODES",   [COW_OVM_DIRENTS] = "DIRENTS", [COW_OVM_XSETS] = "XSETS",
    [COW_OVM_XATTRS] = "XATTRS",   [COW_OVM_DIGESTS] = "DIGESTS", [COW_OVM_HLINKS] = "HLINKS",
    [COW_OVM_STRINGS] = "STRINGS", [COW_OVM_VALUES] = "VALUES",
};

uint64_t cow_ovm_hash(const uint8_t key[COW_SIPHASH_KEY_LEN], const char *name, size_t len)
{
	uint64_t h = cow_siphash24(key, name, len) & INT64_MAX;
	return h < COW_MAN_COOKIE_MIN ? h + COW_MAN_COOKIE_MIN : h;
}

uint64_t cow_ovm_header_sum(const struct cow_ovm_header *h)
{
	return XXH64(h, offsetof(struct cow_ovm_header, sum), 0);
}
