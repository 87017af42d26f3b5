/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * `image.ovm`: the manifest of a golden image. Everything about an immutable tree but the content of
 * its files: names, attributes, links, extended attributes, digests. Written once by
 * cow_ovl_image_build(), then only read. All integers are little endian. image.ovm(5) is the
 * reference for strangers; this header is the reference for the code.
 *
 *	header (320 bytes) | INODES | DIRENTS | XSETS | XATTRS | DIGESTS | HLINKS | STRINGS | VALUES
 *
 * The sections follow each other without a gap, the last one ends with the file; each length is a
 * multiple of its record's. The SHA-256 of the whole file is the image id.
 *
 * Header
 *	  0 magic "COWIMAGE"    |   8 version u32 = 1     |  12 flags u32
 *	 16 uuid[16]            |  32 parent[16]          |  48 lineage[16]
 *	 64 hash_key[16]        |  80 inodes u64          |  88 bytes u64
 *	 96 next_number u32     | 100 zeros[12]           | 112 section[8] {offset u64, length u64, xxh64 u64}
 *	304 zeros[8]            | 312 sum u64: XXH64 of bytes 0..311
 * Magic, version and sum are where they are in every version. Readers refuse an unknown version and
 * unknown flags of bits 0-15; they ignore flags of bits 16-31. XXH64 has seed 0.
 *
 * INODES, 96 bytes each: the object with number N is record N. Record 0 is unused, record 1 is the
 * root, there are next_number of them. A number that is not in use is a record of zeros.
 *	  0 mode u32, with type |   4 nlink u32           |   8 uid u32
 *	 12 gid u32             |  16 size u64            |  24 blocks u64, of 512 bytes
 *	 32 atime i64           |  40 mtime i64           |  48 ctime i64
 *	 56 atime_ns u32        |  60 mtime_ns u32        |  64 ctime_ns u32
 *	 68 dirent u32: index of the first name; root: 0
 *	 72 xset u32: 0 none, else 1 + index of the set of extended attributes
 *	 76 a u32, 80 b u32: by type
 *		directory     index of the first child, number of children (no child: 0, 0)
 *		regular file  index of the digest, 0
 *		symlink       STRINGS offset of the target, its length without the NUL (= size)
 *		device        major, minor
 *		fifo, socket  0, 0
 *	 84 hlink u32: index of the first of nlink records in HLINKS; 0 where nlink is 1 and for directories
 *	 88 zeros[8]
 * nlink: the number of names in the tree; directories: 2 + the number of directories in it.
 *
 * DIRENTS, 24 bytes each: the names. Those of one directory are contiguous and ascend strictly by
 * cookie. The range of a directory lies behind the directory's own name, that of the root begins at
 * 0: so no directory can be below itself.
 *	  0 cookie u64          |   8 name u32: STRINGS offset
 *	 12 ino u32             |  16 dir u32: number of the directory it is in
 *	 20 name_len u8         |  21 type u8: mode >> 12 |  22 zeros[2]
 * The cookie is SipHash-2-4(hash_key, name) with bit 63 cleared, plus 3 when that is below 3. Where
 * names of a directory collide they take the next free values in the order of (hash, name), so that
 * from a name's hash to its cookie every value is in use.
 *
 * XSETS, 8 bytes each: 0 first u32 index in XATTRS | 4 count u32 >= 1. The sets lie in XATTRS one
 * after the other; together they are all of it.
 * XATTRS, 16 bytes each, in a set ascending by name:
 *	  0 name u32: STRINGS offset | 4 name_len u32 | 8 value u32: VALUES offset | 12 value_len u32
 * DIGESTS, 32 bytes each: SHA-256 of the content of the regular files, by number.
 * HLINKS, 4 bytes each: dirent indexes of the names of objects with nlink > 1, by number; the first
 * name first.
 * STRINGS: names, targets and names of extended attributes, each with a NUL. VALUES: bytes.
 */
#ifndef COW_OVERLAY_OVM_FORMAT_H
#define COW_OVERLAY_OVM_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "common/siphash.h"
#include "overlay/image.h"

#define COW_OVM_MAGIC "COWIMAGE"
#define COW_OVM_VERSION 1
#define COW_OVM_DIGEST_LEN 32
#define COW_OVM_NUMBERS_MAX                                                                        \
	(UINT32_C(1) << 31) /* next_number; ids of lower objects are below 2^31 */
/* Offsets in STRINGS and VALUES have 32 bits; a whole file of this size has some 20 M objects. */
#define COW_OVM_FILE_MAX (UINT64_C(4) << 30)

enum {
	COW_OVM_KNOWN_FLAGS = 0,
	COW_OVM_MUST_KNOW = 0xffff,
};

enum cow_ovm_section {
	COW_OVM_INODES,
	COW_OVM_DIRENTS,
	COW_OVM_XSETS,
	COW_OVM_XATTRS,
	COW_OVM_DIGESTS,
	COW_OVM_HLINKS,
	COW_OVM_STRINGS,
	COW_OVM_VALUES,
	COW_OVM_NSECTIONS,
};

struct cow_ovm_span {
	uint8_t offset[8], length[8], xxh64[8];
};

struct cow_ovm_header {
	uint8_t magic[8], version[4], flags[4];
	uint8_t uuid[COW_OVM_UUID_LEN], parent[COW_OVM_UUID_LEN], lineage[COW_OVM_UUID_LEN];
	uint8_t hash_key[COW_SIPHASH_KEY_LEN], inodes[8], bytes[8], next_number[4], zeros1[12];
	struct cow_ovm_span section[COW_OVM_NSECTIONS];
	uint8_t zeros2[8], sum[8];
};
static_assert(sizeof(struct cow_ovm_header) == 320, "on-disk");
static_assert(offsetof(struct cow_ovm_header, uuid) == 16, "on-disk");
static_assert(offsetof(struct cow_ovm_header, hash_key) == 64, "on-disk");
static_assert(offsetof(struct cow_ovm_header, next_number) == 96, "on-disk");
static_assert(offsetof(struct cow_ovm_header, section) == 112, "on-disk");
static_assert(offsetof(struct cow_ovm_header, sum) == 312, "on-disk");

struct cow_ovm_inode {
	uint8_t mode[4], nlink[4], uid[4], gid[4], size[8], blocks[8];
	uint8_t atime[8], mtime[8], ctime[8], atime_ns[4], mtime_ns[4], ctime_ns[4];
	uint8_t dirent[4], xset[4], a[4], b[4], hlink[4], zeros[8];
};
static_assert(sizeof(struct cow_ovm_inode) == 96, "on-disk");
static_assert(offsetof(struct cow_ovm_inode, size) == 16, "on-disk");
static_assert(offsetof(struct cow_ovm_inode, atime) == 32, "on-disk");
static_assert(offsetof(struct cow_ovm_inode, dirent) == 68, "on-disk");
static_assert(offsetof(struct cow_ovm_inode, a) == 76, "on-disk");
static_assert(offsetof(struct cow_ovm_inode, hlink) == 84, "on-disk");

struct cow_ovm_dirent {
	uint8_t cookie[8], name[4], ino[4], dir[4], name_len, type, zeros[2];
};
static_assert(sizeof(struct cow_ovm_dirent) == 24, "on-disk");
static_assert(offsetof(struct cow_ovm_dirent, dir) == 16, "on-disk");
static_assert(offsetof(struct cow_ovm_dirent, type) == 21, "on-disk");

struct cow_ovm_xset {
	uint8_t first[4], count[4];
};
static_assert(sizeof(struct cow_ovm_xset) == 8, "on-disk");

struct cow_ovm_xattr {
	uint8_t name[4], name_len[4], value[4], value_len[4];
};
static_assert(sizeof(struct cow_ovm_xattr) == 16, "on-disk");

struct cow_ovm_digest {
	uint8_t sha256[COW_OVM_DIGEST_LEN];
};
static_assert(sizeof(struct cow_ovm_digest) == 32, "on-disk");

struct cow_ovm_hlink {
	uint8_t dirent[4];
};
static_assert(sizeof(struct cow_ovm_hlink) == 4, "on-disk");

/* Length of one record of a section; 1 for bytes. */
extern const size_t cow_ovm_record_len[COW_OVM_NSECTIONS];
extern const char *const cow_ovm_section_name[COW_OVM_NSECTIONS];

/* The hash of a name, in the range of cookies. */
uint64_t cow_ovm_hash(const uint8_t key[COW_SIPHASH_KEY_LEN], const char *name, size_t len);

/* XXH64 of the header up to its own sum. */
uint64_t cow_ovm_header_sum(const struct cow_ovm_header *h);

#endif
