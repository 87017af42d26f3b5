/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The `instance` file: what makes a directory an instance and its handles genuine. Two slots of
 * 4 KiB at offsets 0 and 4096 hold the same record; every update writes one and then the other,
 * each with the next generation and each made durable before the next step, so that a torn or
 * decayed slot never costs more than itself. All integers are little endian. docs/instance.md is the
 * reference for strangers; this header is the reference for the code.
 *
 *	  0 magic "COWINST1"     |   8 version u32 = 1     |  12 kind u32, 1: plain, 2: overlay
 *	 16 flags u32            |  20 durability u32      |  24 generation u64
 *	 32 uuid[16]             |  48 epoch u64           |  56 mac_key[16]
 *	 72 id_base u64          |  80 fs_uuid[16]         |  96 root_type u32
 *	100 root_len u32         | 104 root_fh[32]
 *	136 image[16]            | 152 lineage[16]         | 168 work_type u32
 *	172 work_len u32         | 176 work_fh[32]         | 208 zeros
 *	4092 crc u32: CRC-32 (IEEE 802.3, reflected, as in zlib) of bytes 0..4091
 *
 * Kind overlay: image and lineage are the manifest's, work_* is the handle of work/work; zeros in a
 * plain one. Readers refuse an unknown version or kind and unknown flags of bits 0-15; they keep bits 16-31.
 */
#ifndef COW_OVERLAY_RECORD_H
#define COW_OVERLAY_RECORD_H

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/siphash.h"

#define COW_REC_NAME "instance"
#define COW_REC_SLOT_LEN 4096
#define COW_REC_SLOTS 2
#define COW_REC_VERSION 1
#define COW_REC_KIND_PLAIN 1
#define COW_REC_KIND_OVERLAY 2
#define COW_REC_UUID_LEN 16
#define COW_FH_MAX 20 /* longest upper file handle that fits COW_OVL_HANDLE_MAX: btrfs */

enum {
	COW_REC_CLEAN = 1u << 0,	  /* detached in order */
	COW_REC_VOLATILE_DIRTY = 1u << 1, /* attached in volatile mode and not detached since */
	COW_REC_KNOWN_FLAGS = COW_REC_CLEAN | COW_REC_VOLATILE_DIRTY,
	COW_REC_MUST_KNOW = 0xffff,
};

/* The last system call's error as a return value: negative in an analyser's eyes too. */
static inline int cow_nerr(void)
{
	int r = -errno;
	return r < 0 ? r : -EIO;
}

struct cow_rec_slot {
	uint8_t magic[8], version[4], kind[4], flags[4], durability[4], generation[8];
	uint8_t uuid[COW_REC_UUID_LEN], epoch[8], mac_key[COW_SIPHASH_KEY_LEN], id_base[8];
	uint8_t fs_uuid[COW_REC_UUID_LEN], root_type[4], root_len[4], root_fh[32];
	uint8_t image[COW_REC_UUID_LEN], lineage[COW_REC_UUID_LEN];
	uint8_t work_type[4], work_len[4], work_fh[32];
	uint8_t zeros[3884], crc[4];
};
static_assert(sizeof(struct cow_rec_slot) == COW_REC_SLOT_LEN, "on-disk");
static_assert(offsetof(struct cow_rec_slot, flags) == 16, "on-disk");
static_assert(offsetof(struct cow_rec_slot, uuid) == 32, "on-disk");
static_assert(offsetof(struct cow_rec_slot, mac_key) == 56, "on-disk");
static_assert(offsetof(struct cow_rec_slot, fs_uuid) == 80, "on-disk");
static_assert(offsetof(struct cow_rec_slot, root_fh) == 104, "on-disk");
static_assert(offsetof(struct cow_rec_slot, image) == 136, "on-disk");
static_assert(offsetof(struct cow_rec_slot, work_fh) == 176, "on-disk");
static_assert(offsetof(struct cow_rec_slot, crc) == 4092, "on-disk");

/* A file handle of the upper file system, name_to_handle_at(2). */
struct cow_fh {
	uint8_t type, len, bytes[COW_FH_MAX];
};

struct cow_record {
	uint32_t kind, flags, durability;
	uint64_t generation, epoch, id_base;
	uint8_t uuid[COW_REC_UUID_LEN], fs_uuid[COW_REC_UUID_LEN]; /* fs_uuid zero: not known */
	uint8_t mac_key[COW_SIPHASH_KEY_LEN];
	struct cow_fh root;
	/* Kind overlay: */
	uint8_t image[COW_REC_UUID_LEN], lineage[COW_REC_UUID_LEN];
	struct cow_fh work; /* len 0: not known */
};

/* New random epoch (never 0) and key. Return: 0 or -errno. */
int cow_record_renew(struct cow_record *rec);

enum cow_rec_place {
	COW_REC_PUBLISHED, /* crash: the whole file or none (I3) */
	COW_REC_STAGED, /* not synced: the directory is synced as a whole before it is published */
};
/* Make the file, both slots filled, mode 0600. */
int cow_record_create(int dirfd, struct cow_record *rec, enum cow_rec_place place,
		      struct cow_err *err);

/*
 * cow_record_read - the newer valid slot.
 * Return: 0; -EBADMSG no slot is whole; -EOPNOTSUPP made by a newer version or of another kind.
 */
int cow_record_read(int fd, struct cow_record *ret, struct cow_err *err);

/* Write both slots in turn, the older one first, each followed by fdatasync, if it is published.
 * rec->generation grows. Crash: old or new record. */
int cow_record_write(int fd, struct cow_record *rec, enum cow_rec_place place, struct cow_err *err);

#endif
