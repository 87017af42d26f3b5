/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A manifest as text, for eyes, diff(1) and tests. The format is described in image.ovm(5). Depth
 * costs memory, not stack.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "grow.h"
#include "image_internal.h"
#include "record.h"

/* A directory whose children are being written. */
struct level {
	struct cow_man_ent *list;
	size_t next, count, path; /* path: its length before this level */
};

struct dump {
	const struct cow_ovl_image *img;
	FILE *out;
	struct level *levels;
	size_t depth, room;
	char *path;
	size_t path_len, path_room;
};

/* Write errors stay in the stream; cow_ovl_image_dump() asks for them once, at the end. */
static void put(FILE *out, const char *s)
{
	(void)fputs(s, out); /* see above */
}

/* Printable ASCII but blank, backslash and @also; \xHH for the rest. */
static void put_escaped(FILE *out, const void *bytes, size_t len, char also)
{
	const unsigned char *p = bytes;
	for (size_t k = 0; k < len; k++) {
		if (p[k] > ' ' && p[k] < 0x7f && p[k] != '\\' && p[k] != (unsigned char)also)
			(void)fputc(p[k], out); /* see put() */
		else
			(void)fprintf(out, "\\x%02x", p[k]);
	}
}

static void put_hex(FILE *out, const uint8_t *p, size_t len)
{
	for (size_t k = 0; k < len; k++)
		(void)fprintf(out, "%02x", p[k]); /* see put() */
}

static void put_time(FILE *out, const struct timespec *t)
{
	(void)fprintf(out, " %" PRId64 ".%09ld", (int64_t)t->tv_sec, t->tv_nsec); /* see put() */
}

static char type_letter(mode_t type)
{
	switch (type) {
	case S_IFDIR:
		return 'd';
	case S_IFREG:
		return 'f';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	default:
		return 's';
	}
}

static void put_detail(const struct dump *d, uint32_t ino, const struct cow_ovl_attr *attr)
{
	size_t len;
	const char *target;
	(void)fputc(' ', d->out); /* see put() */
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		put_hex(d->out, cow_man_digest(d->img, ino), COW_OVM_DIGEST_LEN);
		break;
	case S_IFLNK:
		target = cow_man_target(d->img, ino, &len);
		put_escaped(d->out, target, len, '\0');
		break;
	case S_IFCHR:
	case S_IFBLK:
		(void)fprintf(d->out, "%u:%u", major(attr->rdev), minor(attr->rdev));
		break;
	case S_IFDIR:
		(void)fprintf(d->out, "%zu", cow_man_nchild(d->img, ino));
		break;
	default:
		put(d->out, "-");
	}
}

static void put_xattrs(const struct dump *d, uint32_t ino)
{
	for (size_t k = 0; k < cow_man_nxattr(d->img, ino); k++) {
		const char *name;
		const void *value;
		size_t len;
		cow_man_xattr(d->img, ino, k, &name, &value, &len);
		(void)fputc(' ', d->out); /* see put() */
		put_escaped(d->out, name, strlen(name), '=');
		(void)fputc('=', d->out);
		put_escaped(d->out, value, len, '\0');
	}
}

/* Is the name at d->path the object's first? Directories have one. */
static bool is_first_name(const struct dump *d, uint32_t dir, const struct cow_man_ent *ent)
{
	uint32_t parent;
	struct cow_man_ent first;
	cow_man_name(d->img, ent->ino, 0, &parent, &first);
	return parent == dir && first.cookie == ent->cookie;
}

static void put_path(const struct dump *d)
{
	put_escaped(d->out, d->path_len ? d->path : "/", d->path_len ? d->path_len : 1, '\0');
}

static void put_object(const struct dump *d, uint32_t ino)
{
	struct cow_ovl_attr a;
	cow_man_attr(d->img, ino, &a);
	put_path(d);
	(void)fprintf(
	    d->out, " %" PRIu32 " %c %04o %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64,
	    ino, type_letter(a.mode & S_IFMT), a.mode & 07777u, a.nlink, a.uid, a.gid, a.size,
	    a.bytes_used / 512);
	put_time(d->out, &a.atime);
	put_time(d->out, &a.mtime);
	put_time(d->out, &a.ctime);
	put_detail(d, ino, &a);
	put_xattrs(d, ino);
	(void)fputc('\n', d->out); /* see put() */
}

/* The directory at d->path becomes a level. */
static int enter(struct dump *d, uint32_t dir, size_t path)
{
	int r = cow_grow(&d->levels, &d->room, d->depth + 1);
	if (r < 0)
		return r;
	struct level *l = &d->levels[d->depth];
	*l = (struct level){.count = cow_man_nchild(d->img, dir), .path = path};
	r = cow_man_sorted(d->img, dir, &l->list);
	if (r == 0)
		d->depth++;
	return r;
}

/* One name of directory @dir; below it too, when it is a directory. */
static int dump_name(struct dump *d, uint32_t dir, const struct cow_man_ent *ent)
{
	size_t before = d->path_len;
	int r = cow_grow(&d->path, &d->path_room, before + ent->len + 1);
	if (r < 0)
		return r;
	d->path[before] = '/';
	memcpy(d->path + before + 1, ent->name, ent->len);
	d->path_len += ent->len + 1;
	if (is_first_name(d, dir, ent)) {
		put_object(d, ent->ino);
	} else {
		put_path(d);
		(void)fprintf(d->out, " %" PRIu32 " h\n", ent->ino); /* see put() */
	}
	if (ent->type == S_IFDIR)
		return enter(d, ent->ino, before);
	d->path_len = before;
	return 0;
}

/* Each level lists the directory its predecessor went to last. */
static int dump_tree(struct dump *d)
{
	put_object(d, COW_MAN_ROOT);
	int r = enter(d, COW_MAN_ROOT, 0);
	while (r == 0 && d->depth > 0) {
		struct level *l = &d->levels[d->depth - 1];
		if (l->next < l->count) {
			struct cow_man_ent ent = l->list[l->next++];
			uint32_t dir = COW_MAN_ROOT;
			if (d->depth > 1)
				dir = l[-1].list[l[-1].next - 1].ino;
			r = dump_name(d, dir, &ent);
			continue;
		}
		d->path_len = l->path;
		free(l->list);
		d->depth--;
	}
	return r;
}

static void put_head(const struct dump *d)
{
	const struct cow_ovl_image_info *info = &d->img->info;
	put(d->out, "cowherd-image 1\nid ");
	put_hex(d->out, info->id, sizeof(info->id));
	put(d->out, "\nuuid ");
	put_hex(d->out, info->uuid, sizeof(info->uuid));
	put(d->out, "\nparent ");
	put_hex(d->out, info->parent, sizeof(info->parent));
	put(d->out, "\nlineage ");
	put_hex(d->out, info->lineage, sizeof(info->lineage));
	(void)fprintf(d->out,
		      "\ninodes %" PRIu64 "\nbytes %" PRIu64 "\nnext_number %" PRIu32 "\n\n",
		      info->inodes, info->bytes, info->next_number); /* see put() */
}

int cow_ovl_image_dump(const struct cow_ovl_image *img, FILE *out)
{
	struct dump d = {.img = img, .out = out};
	put_head(&d);
	int r = dump_tree(&d);
	while (d.depth > 0)
		free(d.levels[--d.depth].list);
	free(d.levels);
	free(d.path);
	errno = 0;
	if (r == 0 && (fflush(out) != 0 || ferror(out)))
		r = errno ? cow_nerr() : -EIO;
	return r;
}
