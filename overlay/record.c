/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reading and writing the `instance` file. Format and crash rules: record.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "overlay/overlay.h"
#include "record.h"

static const uint8_t MAGIC[8] = "COWINST1";

/* A writer at work can tear both slots for one reader, one after the other. */
#define READ_TRIES 3

/* Four bits at a time: a record is read and written at each attach. */
static uint32_t crc32_ieee(const uint8_t *p, size_t len)
{
	static const uint32_t of[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
					0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
					0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
					0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t c = 0xffffffffu;
	for (size_t k = 0; k < len; k++) {
		c ^= p[k];
		c = c >> 4 ^ of[c & 15];
		c = c >> 4 ^ of[c & 15];
	}
	return ~c;
}

static void encode(const struct cow_record *rec, struct cow_rec_slot *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->magic, MAGIC, sizeof(s->magic));
	cow_put_le32(s->version, COW_REC_VERSION);
	cow_put_le32(s->kind, rec->kind);
	cow_put_le32(s->flags, rec->flags);
	cow_put_le32(s->durability, rec->durability);
	cow_put_le64(s->generation, rec->generation);
	memcpy(s->uuid, rec->uuid, sizeof(s->uuid));
	cow_put_le64(s->epoch, rec->epoch);
	memcpy(s->mac_key, rec->mac_key, sizeof(s->mac_key));
	cow_put_le64(s->id_base, rec->id_base);
	memcpy(s->fs_uuid, rec->fs_uuid, sizeof(s->fs_uuid));
	cow_put_le32(s->root_type, rec->root.type);
	cow_put_le32(s->root_len, rec->root.len);
	memcpy(s->root_fh, rec->root.bytes, rec->root.len);
	memcpy(s->image, rec->image, sizeof(s->image));
	memcpy(s->lineage, rec->lineage, sizeof(s->lineage));
	cow_put_le32(s->work_type, rec->work.type);
	cow_put_le32(s->work_len, rec->work.len);
	memcpy(s->work_fh, rec->work.bytes, rec->work.len);
	cow_put_le32(s->crc, crc32_ieee((const uint8_t *)s, offsetof(struct cow_rec_slot, crc)));
}

static bool decode_fh(const uint8_t type[4], const uint8_t len[4], const uint8_t *bytes,
		      struct cow_fh *ret)
{
	if (cow_get_le32(type) > UINT8_MAX || cow_get_le32(len) > COW_FH_MAX)
		return false;
	ret->type = (uint8_t)cow_get_le32(type);
	ret->len = (uint8_t)cow_get_le32(len);
	memcpy(ret->bytes, bytes, ret->len);
	return true;
}

/* Return: 0; -EBADMSG not whole; -EOPNOTSUPP whole, but not for us. */
static int decode(const struct cow_rec_slot *s, struct cow_record *rec)
{
	uint32_t crc = crc32_ieee((const uint8_t *)s, offsetof(struct cow_rec_slot, crc));
	if (memcmp(s->magic, MAGIC, sizeof(s->magic)) != 0 || cow_get_le32(s->crc) != crc)
		return -EBADMSG;
	*rec = (struct cow_record){
	    .kind = cow_get_le32(s->kind),
	    .flags = cow_get_le32(s->flags),
	    .durability = cow_get_le32(s->durability),
	    .generation = cow_get_le64(s->generation),
	    .epoch = cow_get_le64(s->epoch),
	    .id_base = cow_get_le64(s->id_base),
	};
	if (cow_get_le32(s->version) != COW_REC_VERSION ||
	    (rec->kind != COW_REC_KIND_PLAIN && rec->kind != COW_REC_KIND_OVERLAY) ||
	    rec->flags & COW_REC_MUST_KNOW & ~(uint32_t)COW_REC_KNOWN_FLAGS)
		return -EOPNOTSUPP;
	if (rec->epoch == 0 || rec->durability > COW_OVL_VOLATILE ||
	    !decode_fh(s->root_type, s->root_len, s->root_fh, &rec->root) ||
	    !decode_fh(s->work_type, s->work_len, s->work_fh, &rec->work))
		return -EBADMSG;
	memcpy(rec->uuid, s->uuid, sizeof(s->uuid));
	memcpy(rec->mac_key, s->mac_key, sizeof(s->mac_key));
	memcpy(rec->fs_uuid, s->fs_uuid, sizeof(s->fs_uuid));
	memcpy(rec->image, s->image, sizeof(s->image));
	memcpy(rec->lineage, s->lineage, sizeof(s->lineage));
	return 0;
}

int cow_record_renew(struct cow_record *rec)
{
	do {
		int r = cow_random(&rec->epoch, sizeof(rec->epoch));
		if (r < 0)
			return r;
	} while (rec->epoch == 0); /* 0 is "no epoch" in the file that servers map */
	return cow_random(rec->mac_key, sizeof(rec->mac_key));
}

static int write_staged(int dirfd, const void *buf, size_t len)
{
	cow_autoclose int fd =
	    openat(dirfd, COW_REC_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return cow_nerr();
	int r = cow_write_full(fd, buf, len);
	if (r < 0)
		(void)unlinkat(dirfd, COW_REC_NAME, 0); /* a part of one would pass for damaged */
	return r;
}

int cow_record_create(int dirfd, struct cow_record *rec, enum cow_rec_place place,
		      struct cow_err *err)
{
	struct cow_rec_slot slots[COW_REC_SLOTS];
	for (unsigned k = 0; k < COW_REC_SLOTS; k++) {
		rec->generation++;
		encode(rec, &slots[k]);
	}
	int r = place == COW_REC_STAGED
		    ? write_staged(dirfd, slots, sizeof(slots))
		    : cow_write_file_at(dirfd, COW_REC_NAME, slots, sizeof(slots), 0600);
	return r < 0 ? cow_err_set(err, r, "write the instance record") : 0;
}

/* @ret_slot: where it was found. Short files are zeros at the end, hence no valid slot there. */
static int read_slots(int fd, struct cow_record *ret, unsigned *ret_slot)
{
	struct cow_rec_slot slot;
	int found = -EBADMSG;
	for (unsigned k = 0; k < COW_REC_SLOTS; k++) {
		struct cow_record rec;
		memset(&slot, 0, sizeof(slot));
		ssize_t got = cow_pread_full(fd, &slot, sizeof(slot), (off_t)k * COW_REC_SLOT_LEN);
		if (got < 0 && got != -EIO) /* a sector that cannot be read is a damaged slot */
			return (int)got;
		int r = decode(&slot, &rec);
		if (r == -EOPNOTSUPP)
			return r;
		if (r < 0 || (found == 0 && rec.generation <= ret->generation))
			continue;
		*ret = rec;
		*ret_slot = k;
		found = 0;
	}
	return found;
}

static int read_retry(int fd, struct cow_record *ret, unsigned *ret_slot, struct cow_err *err)
{
	int r = -EBADMSG;
	for (unsigned n = 0; n < READ_TRIES && r == -EBADMSG; n++)
		r = read_slots(fd, ret, ret_slot);
	if (r == -EBADMSG)
		return cow_err_say(
		    err, COW_ERR_FAILED, r,
		    "the instance record is damaged: neither of its two copies is whole");
	if (r == -EOPNOTSUPP)
		return cow_err_say(err, COW_ERR_REFUSED, r,
				   "the instance record is of a kind this version does not know");
	return r < 0 ? cow_err_set(err, r, "read the instance record") : 0;
}

int cow_record_read(int fd, struct cow_record *ret, struct cow_err *err)
{
	unsigned slot = 0;
	struct cow_record rec = {0};
	int r = read_retry(fd, &rec, &slot, err);
	if (r < 0)
		return r;
	*ret = rec;
	return 0;
}

int cow_record_write(int fd, struct cow_record *rec, enum cow_rec_place place, struct cow_err *err)
{
	unsigned newest = 0;
	struct cow_record old = {0};
	int r = read_retry(fd, &old, &newest, err);
	if (r < 0)
		return r;
	for (unsigned k = 1; k <= COW_REC_SLOTS; k++) {
		struct cow_rec_slot slot;
		unsigned where = (newest + k) % COW_REC_SLOTS;
		rec->generation = old.generation + k;
		encode(rec, &slot);
		r = cow_pwrite_full(fd, &slot, sizeof(slot), (off_t)where * COW_REC_SLOT_LEN);
		if (r == 0 && place == COW_REC_PUBLISHED && fdatasync(fd) < 0)
			r = cow_nerr();
		if (r < 0)
			return cow_err_set(err, r, "write the instance record");
	}
	return 0;
}
