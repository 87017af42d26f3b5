/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "btrfs_stream.h"

#include <assert.h>
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"

#define MAGIC "btrfs-stream" /* with its NUL */
#define VERSION 1
#define COMMAND_MAX (64u << 10) /* of the kernel, version 1 */

struct head {
	uint8_t magic[13], version[4];
};
static_assert(sizeof(struct head) == 17, "on the wire");

struct command {
	uint8_t len[4], number[2], crc[4];
};
static_assert(sizeof(struct command) == 10, "on the wire");

struct attribute {
	uint8_t type[2], len[2];
};
static_assert(sizeof(struct attribute) == 4, "on the wire");

enum number {
	SUBVOL = 1,
	SNAPSHOT = 2,
	MKFILE = 3,
	MKSOCK = 7,
	SYMLINK = 8,
	WRITE = 15,
	CLONE = 16,
	UTIMES = 20,
	END = 21,
};

enum type {
	UUID = 1,
	PATH = 15,
	PATH_TO = 16,
	PATH_LINK = 17,
	DATA = 19,
	CLONE_UUID = 20,
	CLONE_CTRANSID = 21,
	CLONE_PATH = 22,
	TYPE_MAX = 24,
};

struct cow_btrfs_stream {
	struct cow_btrfs_stream_opts o;
	struct cow_err *err; /* of the call */
	uint8_t *buf;	     /* the head, or the command that comes */
	size_t have, want;
	bool begun, named, ended;
	uint8_t uuid[COW_BTRFS_UUID_LEN], parent[COW_BTRFS_UUID_LEN]; /* as the stream has them */
	struct cow_btrfs_stream_limits used;
};

static unsigned get_le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static int bad(const struct cow_btrfs_stream *s, const char *why)
{
	return cow_err_say(s->err, COW_ERR_FAILED, -EBADMSG, "'%s' is damaged: its stream: %s",
			   s->o.what, why);
}

/* ---------------------------------------------------------------- what a command says */

/* Relative, without "." and ".."; "" is the subvolume. */
static bool path_is_good(const uint8_t *p, size_t len)
{
	if (len > COW_PATH_MAX || memchr(p, 0, len))
		return false;
	for (size_t at = 0, n; at < len; at += n + 1) {
		const uint8_t *slash = memchr(p + at, '/', len - at);
		n = slash ? (size_t)(slash - p) - at : len - at;
		if (n == 0 || (slash && at + n + 1 == len) || (n == 1 && p[at] == '.') ||
		    (n == 2 && p[at] == '.' && p[at + 1] == '.'))
			return false;
	}
	return true;
}

static bool is_first(unsigned number)
{
	return number == SUBVOL || number == SNAPSHOT;
}

/* Return: 1 the value was changed; 0; -EBADMSG. */
static int check_clone_uuid(struct cow_btrfs_stream *s, unsigned number, uint8_t *value)
{
	if (number == SNAPSHOT)
		memcpy(s->parent, value, sizeof(s->parent));
	else if (memcmp(value, s->uuid, sizeof(s->uuid)) == 0)
		return 0;
	if (!s->o.difference || memcmp(value, s->parent, sizeof(s->parent)) != 0)
		return bad(s, "it takes from what it does not stand on");
	memcpy(value, s->o.parent, sizeof(s->o.parent));
	return 1;
}

static int check_attribute(struct cow_btrfs_stream *s, unsigned number, unsigned type,
			   uint8_t *value, size_t len)
{
	size_t name_len = strlen(s->o.name);
	switch (type) {
	case UUID:
		if (len != sizeof(s->uuid) || !is_first(number))
			return bad(s, "a UUID");
		memcpy(s->uuid, value, len);
		return 0;
	case PATH:
		if (is_first(number)) {
			s->named = len == name_len && memcmp(value, s->o.name, len) == 0;
			return s->named ? 0 : bad(s, "its subvolume has another name");
		}
		return path_is_good(value, len) ? 0 : bad(s, "a path");
	case PATH_LINK: /* of a symbolic link that is what it says, and it may say anything */
		return number == SYMLINK || path_is_good(value, len) ? 0 : bad(s, "a path");
	case PATH_TO:
	case CLONE_PATH:
		return path_is_good(value, len) ? 0 : bad(s, "a path");
	case DATA:
		s->used.bytes += len;
		return s->used.bytes <= s->o.limits.bytes ? 0
							  : bad(s, "more content than was said");
	case CLONE_UUID:
		return len == sizeof(s->uuid) ? check_clone_uuid(s, number, value)
					      : bad(s, "a UUID");
	case CLONE_CTRANSID:
		if (len != 8)
			return bad(s, "a number");
		if (!s->o.difference)
			return 0;
		cow_put_le64(value, s->o.parent_ctransid); /* nobody asks for that of its own */
		return 1;
	default:
		return type && type <= TYPE_MAX ? 0 : bad(s, "an unknown attribute");
	}
}

/* Return: 1 something was changed; 0; -errno. */
static int check_attributes(struct cow_btrfs_stream *s, unsigned number, uint8_t *p, size_t len)
{
	int changed = 0;
	while (len) {
		const struct attribute *a = (const void *)p;
		size_t n = len < sizeof(*a) ? SIZE_MAX : (size_t)get_le16(a->len) + sizeof(*a);
		if (n > len)
			return bad(s, "an attribute longer than its command");
		int r =
		    check_attribute(s, number, get_le16(a->type), p + sizeof(*a), n - sizeof(*a));
		if (r < 0)
			return r;
		changed |= r;
		p += n;
		len -= n;
	}
	return changed;
}

/* One subvolume, then what is in it, then the end. */
static int check_order(struct cow_btrfs_stream *s, unsigned number)
{
	if (number < SUBVOL || number > END)
		return bad(s, "an unknown command");
	if (is_first(number) != !s->begun || s->ended)
		return bad(s, "a command in the wrong place");
	if (!s->begun && (number == SNAPSHOT) != s->o.difference)
		return bad(s, s->o.difference ? "it stands on nothing" : "it stands on something");
	s->begun = true;
	s->ended = number == END;
	if (number >= MKFILE && number <= SYMLINK && ++s->used.objects > s->o.limits.objects)
		return bad(s, "more objects than were said");
	return 0;
}

static uint32_t crc(struct command *c, size_t len)
{
	memset(c->crc, 0, sizeof(c->crc));
	return ext2fs_crc32c_le(0, (const uint8_t *)c, len);
}

static int take_command(struct cow_btrfs_stream *s)
{
	struct command *c = (void *)s->buf;
	unsigned number = get_le16(c->number);
	uint32_t sum = cow_get_le32(c->crc), got = crc(c, s->have);
	if (sum != got)
		return bad(s, "the sum of a command");
	int r = check_order(s, number);
	if (r == 0)
		r = check_attributes(s, number, s->buf + sizeof(*c), s->have - sizeof(*c));
	if (r < 0)
		return r;
	if (is_first(number) && !s->named)
		return bad(s, "its subvolume has no name");
	cow_put_le32(c->crc, r ? crc(c, s->have) : got);
	return s->o.give(s->o.ctx, s->buf, s->have, s->err);
}

/* ---------------------------------------------------------------- bytes */

static int take_head(struct cow_btrfs_stream *s)
{
	const struct head *h = (const void *)s->buf;
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0)
		return bad(s, "it is none of btrfs");
	if (cow_get_le32(h->version) != VERSION)
		return cow_err_say(s->err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "'%s' holds a btrfs stream of version %u, and only %d is taken",
				   s->o.what, cow_get_le32(h->version), VERSION);
	return s->o.give(s->o.ctx, s->buf, s->have, s->err);
}

/* @s->buf is as long as was wanted. Return: 1 more is wanted of the same; 0 the next begins; -errno. */
static int look(struct cow_btrfs_stream *s, bool is_head)
{
	if (is_head)
		return take_head(s);
	if (s->have == sizeof(struct command)) {
		size_t len = cow_get_le32(((const struct command *)(const void *)s->buf)->len);
		if (len > COMMAND_MAX)
			return bad(s, "a command above the limits");
		s->want += len;
		if (len)
			return 1;
	}
	return take_command(s);
}

int cow_btrfs_stream_take(struct cow_btrfs_stream *s, const void *p, size_t len,
			  struct cow_err *err)
{
	const uint8_t *from = p;
	s->err = err;
	while (len) {
		bool is_head = s->used.length < sizeof(struct head);
		size_t n = s->want - s->have < len ? s->want - s->have : len;
		if (s->ended)
			return bad(s, "something follows its end");
		if (n > s->o.limits.length - s->used.length)
			return bad(s, "longer than was said");
		memcpy(s->buf + s->have, from, n);
		s->have += n;
		s->used.length += n;
		from += n;
		len -= n;
		if (s->have < s->want)
			return 0;
		int r = look(s, is_head);
		if (r < 0)
			return r;
		if (r == 0) {
			s->have = 0;
			s->want = sizeof(struct command);
		}
	}
	return 0;
}

int cow_btrfs_stream_end(const struct cow_btrfs_stream *s, struct cow_err *err)
{
	return s->ended ? 0
			: cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				      "'%s' is damaged: its stream: it is cut short", s->o.what);
}

int cow_btrfs_stream_new(const struct cow_btrfs_stream_opts *opts, struct cow_btrfs_stream **ret)
{
	cow_autobtrfsstream s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->buf = malloc(sizeof(struct command) + COMMAND_MAX);
	if (!s->buf)
		return -ENOMEM;
	s->o = *opts;
	s->want = sizeof(struct head);
	*ret = cow_steal_ptr(&s);
	return 0;
}

void cow_btrfs_stream_free(struct cow_btrfs_stream *s)
{
	if (!s)
		return;
	free(s->buf);
	free(s);
}
