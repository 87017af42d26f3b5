/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * btrfs send streams for tests, command by command.
 */
#ifndef COW_TESTS_STREAM_TEST_H
#define COW_TESTS_STREAM_TEST_H

#include "cow_test.h"

#include <ext2fs/ext2fs.h>
#include <stdbool.h>

#include "common/checked.h"

enum {
	C_SUBVOL = 1,
	C_SNAPSHOT,
	C_MKFILE,
	C_MKDIR,
	C_MKNOD,
	C_MKFIFO,
	C_MKSOCK,
	C_SYMLINK,
	C_RENAME,
	C_LINK,
	C_UNLINK,
	C_RMDIR,
	C_SET_XATTR,
	C_WRITE = 15,
	C_CLONE,
	C_TRUNCATE,
	C_CHMOD,
	C_CHOWN,
	C_UTIMES,
	C_END,
	C_UPDATE_EXTENT,
	C_ENCODED_WRITE = 25,
};
enum {
	A_UUID = 1,
	A_CTRANSID,
	A_INO,
	A_SIZE,
	A_MODE,
	A_UID,
	A_GID,
	A_RDEV,
	A_CTIME,
	A_MTIME,
	A_ATIME,
	A_PATH = 15,
	A_PATH_TO,
	A_PATH_LINK,
	A_FILE_OFFSET,
	A_DATA,
	A_CLONE_UUID,
	A_CLONE_CTRANSID,
	A_CLONE_PATH,
	A_CLONE_OFFSET,
	A_CLONE_LEN,
};

struct stream {
	uint8_t p[1 << 16];
	size_t len, command; /* where the last begins */
};

static inline void stream_put(struct stream *s, const void *p, size_t len)
{
	assert_true(len <= sizeof(s->p) - s->len);
	memcpy(s->p + s->len, p, len);
	s->len += len;
}

static inline void stream_begin(struct stream *s, unsigned version)
{
	uint8_t v[4];
	s->len = 0;
	cow_put_le32(v, version);
	stream_put(s, "btrfs-stream", 13);
	stream_put(s, v, sizeof(v));
}

/* The last command is complete: its length and its sum. */
static inline void stream_seal(struct stream *s)
{
	uint8_t *c = s->p + s->command;
	size_t len = s->len - s->command;
	cow_put_le32(c, (uint32_t)len - 10);
	memset(c + 6, 0, 4);
	cow_put_le32(c + 6, ext2fs_crc32c_le(0, c, len));
}

static inline void stream_command(struct stream *s, unsigned number)
{
	uint8_t head[10] = {0};
	head[4] = (uint8_t)number;
	head[5] = (uint8_t)(number >> 8);
	s->command = s->len;
	stream_put(s, head, sizeof(head));
	stream_seal(s);
}

static inline void stream_attr(struct stream *s, unsigned type, const void *p, size_t len)
{
	const uint8_t head[4] = {(uint8_t)type, (uint8_t)(type >> 8), (uint8_t)len,
				 (uint8_t)(len >> 8)};
	stream_put(s, head, sizeof(head));
	stream_put(s, p, len);
	stream_seal(s);
}

static inline void stream_text(struct stream *s, unsigned type, const char *text)
{
	stream_attr(s, type, text, strlen(text));
}

static inline void stream_number(struct stream *s, unsigned type, uint64_t n)
{
	uint8_t v[8];
	cow_put_le64(v, n);
	stream_attr(s, type, v, sizeof(v));
}

static const uint8_t own_uuid[16] = "its own subvolum", parent_uuid[16] = "what it stands o";

static inline void stream_subvol(struct stream *s, const char *name)
{
	stream_command(s, C_SUBVOL);
	stream_text(s, A_PATH, name);
	stream_attr(s, A_UUID, own_uuid, sizeof(own_uuid));
	stream_number(s, A_CTRANSID, 7);
}

static inline void stream_snapshot(struct stream *s, const char *name)
{
	stream_command(s, C_SNAPSHOT);
	stream_text(s, A_PATH, name);
	stream_attr(s, A_UUID, own_uuid, sizeof(own_uuid));
	stream_number(s, A_CTRANSID, 7);
	stream_attr(s, A_CLONE_UUID, parent_uuid, sizeof(parent_uuid));
	stream_number(s, A_CLONE_CTRANSID, 5);
}

/* What makes something called @path. */
static inline void stream_make(struct stream *s, unsigned number, const char *path)
{
	stream_command(s, number);
	stream_text(s, A_PATH, path);
	stream_number(s, A_INO, 300);
	if (number != C_MKNOD)
		return;
	stream_number(s, A_RDEV, 0x103); /* /dev/null */
	stream_number(s, A_MODE, S_IFCHR | 0600);
}

static inline void stream_link(struct stream *s, unsigned number, const char *path,
			       const char *target)
{
	stream_command(s, number);
	stream_text(s, A_PATH, path);
	stream_text(s, number == C_RENAME ? A_PATH_TO : A_PATH_LINK, target);
	if (number == C_SYMLINK)
		stream_number(s, A_INO, 300);
}

static inline void stream_write(struct stream *s, const char *path, const char *text)
{
	stream_command(s, C_WRITE);
	stream_text(s, A_PATH, path);
	stream_number(s, A_FILE_OFFSET, 0);
	stream_text(s, A_DATA, text);
}

static inline void stream_clone(struct stream *s, const char *path, const uint8_t *uuid,
				const char *from)
{
	stream_command(s, C_CLONE);
	stream_number(s, A_FILE_OFFSET, 0);
	stream_number(s, A_CLONE_LEN, 4096);
	stream_text(s, A_PATH, path);
	stream_attr(s, A_CLONE_UUID, uuid, 16);
	stream_number(s, A_CLONE_CTRANSID, 5);
	stream_text(s, A_CLONE_PATH, from);
	stream_number(s, A_CLONE_OFFSET, 0);
}

#endif
