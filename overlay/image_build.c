/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making a manifest of a tree. One walk fills arrays that are sections already, or nearly: INODES by
 * number, DIRENTS directory after directory as they are visited (hence each behind its own name);
 * digests and links are put in the order of numbers at the end. Names are met in byte order and
 * numbers given in that order, so that the same tree and parent give the same file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"
#include "grow.h"
#include "image_intern.h"
#include "image_internal.h"
#include "image_scan.h"
#include "image_walk.h"
#include "image_write.h"
#include "record.h"

/* A name of the directory being visited. */
struct entry {
	uint64_t hash;
	const char *name;
	uint32_t len, string, ino;
	uint32_t seq;	 /* place in byte order */
	uint32_t dirent; /* index it got */
	mode_t type;
};

/* A name of an object that has several. */
struct link {
	uint32_t ino, dirent;
};

struct build {
	const struct cow_ovl_image *parent; /* NULL: none */
	struct cow_err *err;
	struct cow_walk *walk;
	struct cow_scan *scan;
	struct cow_image_parts parts;
	struct cow_ovl_image_info info;

	struct cow_ovm_inode *inodes; /* next_number of them are valid */
	size_t inodes_room;
	struct cow_ovm_dirent *dirents;
	size_t ndirents, dirents_room;
	struct cow_ovm_digest *digests; /* in the order they were made */
	size_t ndigests, digests_room;
	struct link *links; /* in the order of the walk */
	size_t nlinks, links_room;
	struct cow_intern strings, values;
	struct cow_intern xsets; /* a chunk is a set: its records in XATTRS */

	struct cow_linkmap numbers; /* inode number in the tree -> number, where st_nlink > 1 */
	uint8_t *taken; /* bit per number of the parent: given to an object of this tree */
	struct cow_linkmap moved; /* inode number in the tree -> number, of what the parent has
				     elsewhere */
	uint8_t *claimed;	  /* bit per number of the parent: one of these; NULL: none */

	struct entry *entries; /* of the directory being visited */
	size_t entries_room;
	struct cow_ovm_xattr *xattrs; /* of the object being recorded */
	size_t xattrs_room;
	struct cow_ovm_digest *digests_sorted;
	struct cow_ovm_hlink *hlinks;
	struct cow_ovm_xset *xset_records;
};

static void build_done(struct build *b)
{
	cow_walk_free(b->walk);
	cow_scan_free(b->scan);
	free(b->inodes);
	free(b->dirents);
	free(b->digests);
	free(b->links);
	cow_intern_done(&b->strings);
	cow_intern_done(&b->values);
	cow_intern_done(&b->xsets);
	cow_linkmap_done(&b->numbers);
	free(b->taken);
	cow_linkmap_done(&b->moved);
	free(b->claimed);
	free(b->entries);
	free(b->xattrs);
	free(b->digests_sorted);
	free(b->hlinks);
	free(b->xset_records);
}

/* ---------------------------------------------------------------- messages */

static int refuse(struct build *b, const char *name, const char *why)
{
	return cow_err_say(b->err, COW_ERR_REFUSED, -EPERM, "%s: %s",
			   COW_Q(cow_walk_path(b->walk, name)), why);
}

/* What went wrong with a name (NULL: the directory). */
static int explain(struct build *b, const char *name, int r)
{
	if (cow_scan_stopped(b->scan))
		return cow_err_set(b->err, r, "make the manifest");
	if (r == -EXDEV)
		return refuse(b, name, "a mount point or another subvolume cannot be in an image");
	if (r == -EAGAIN || r == -ENOENT)
		return cow_err_say(b->err, COW_ERR_FAILED, -EAGAIN, "%s changed while it was read",
				   COW_Q(cow_walk_path(b->walk, name)));
	return cow_err_set(b->err, r, "read %s", COW_Q(cow_walk_path(b->walk, name)));
}

/* ---------------------------------------------------------------- numbers */

static int number_new(struct build *b, uint32_t *ret)
{
	uint32_t ino = b->info.next_number;
	if (ino == COW_OVM_NUMBERS_MAX)
		return -EFBIG;
	int r = cow_grow(&b->inodes, &b->inodes_room, (size_t)ino + 1);
	if (r < 0)
		return r;
	memset(&b->inodes[ino], 0, sizeof(*b->inodes));
	b->info.next_number++;
	*ret = ino;
	return 0;
}

static bool has_bit(const uint8_t *bits, uint32_t ino)
{
	return bits && bits[ino / 8] & 1u << ino % 8;
}

static void set_bit(uint8_t *bits, uint32_t ino)
{
	bits[ino / 8] |= (uint8_t)(1u << ino % 8);
}

static bool take(struct build *b, uint32_t ino)
{
	if (has_bit(b->taken, ino))
		return false;
	set_bit(b->taken, ino);
	return true;
}

/* The number of an object that moved. */
static bool moved_number(struct build *b, uint64_t real, mode_t type, uint32_t *ret)
{
	uint32_t ino = (uint32_t)cow_linkmap_get(&b->moved, real);
	if (ino == 0 || cow_man_type(b->parent, ino) != type || !take(b, ino))
		return false;
	*ret = ino;
	return true;
}

/* The number the parent gave to this path, if it is of this type and has not gone elsewhere. A
 * directory that has a number of the parent's is that one, so its names are looked for there. */
static bool home_number(struct build *b, uint32_t dir, const struct entry *e, uint32_t *ret)
{
	struct cow_man_ent ent;
	if (dir >= b->parent->info.next_number ||
	    !cow_man_find(b->parent, dir, e->name, e->len, &ent) || ent.type != e->type ||
	    has_bit(b->claimed, ent.ino) || !take(b, ent.ino))
		return false;
	*ret = ent.ino;
	return true;
}

/* @real: inode number in the tree */
static int number_of(struct build *b, uint32_t dir, const struct entry *e, uint64_t real,
		     uint32_t *ret)
{
	if (b->parent && (moved_number(b, real, e->type, ret) || home_number(b, dir, e, ret)))
		return 0;
	return number_new(b, ret);
}

/* ---------------------------------------------------------------- one object */

static void put_time(uint8_t s[8], uint8_t ns[4], const struct statx_timestamp *t)
{
	cow_put_le64(s, (uint64_t)t->tv_sec);
	cow_put_le32(ns, t->tv_nsec);
}

static void record_attr(struct cow_ovm_inode *n, const struct statx *st)
{
	cow_put_le32(n->mode, st->stx_mode);
	cow_put_le32(n->uid, st->stx_uid);
	cow_put_le32(n->gid, st->stx_gid);
	cow_put_le64(n->size, st->stx_size);
	cow_put_le64(n->blocks, st->stx_blocks);
	/* Reading a link changes its access time, and nothing can prevent it: take another, or the
	 * same tree would not give the same manifest twice. */
	put_time(n->atime, n->atime_ns, S_ISLNK(st->stx_mode) ? &st->stx_mtime : &st->stx_atime);
	put_time(n->mtime, n->mtime_ns, &st->stx_mtime);
	put_time(n->ctime, n->ctime_ns, &st->stx_ctime);
}

static int string_add(struct build *b, const char *s, size_t len, uint32_t *ret)
{
	uint32_t chunk = 0;
	int r = cow_intern_add(&b->strings, s, len + 1, &chunk);
	if (r == 0)
		*ret = b->strings.chunks[chunk].off;
	return r;
}

static int record_xattrs(struct build *b, struct cow_ovm_inode *n,
			 const struct cow_scan_object *obj)
{
	uint32_t chunk = 0;
	if (obj->nxattr == 0)
		return 0;
	int r = cow_grow(&b->xattrs, &b->xattrs_room, obj->nxattr);
	for (size_t k = 0; r == 0 && k < obj->nxattr; k++) {
		const struct cow_scan_xattr *from = &obj->xattrs[k];
		struct cow_ovm_xattr *x = &b->xattrs[k];
		size_t name_len = strlen(from->name);
		uint32_t name = 0;
		r = string_add(b, from->name, name_len, &name);
		if (r == 0)
			r = cow_intern_add(&b->values, from->value, from->len, &chunk);
		if (r < 0)
			break;
		cow_put_le32(x->name, name);
		cow_put_le32(x->name_len, (uint32_t)name_len);
		cow_put_le32(x->value, b->values.chunks[chunk].off);
		cow_put_le32(x->value_len, (uint32_t)from->len);
	}
	if (r == 0)
		r = cow_intern_add(&b->xsets, b->xattrs, obj->nxattr * sizeof(*b->xattrs), &chunk);
	if (r == 0)
		cow_put_le32(n->xset, chunk + 1);
	return r;
}

static int record_digest(struct build *b, struct cow_ovm_inode *n,
			 const struct cow_scan_object *obj)
{
	int r = cow_grow(&b->digests, &b->digests_room, b->ndigests + 1);
	if (r < 0)
		return r;
	memcpy(b->digests[b->ndigests].sha256, obj->digest, sizeof(obj->digest));
	cow_put_le32(n->a, (uint32_t)b->ndigests++);
	return cow_add_ok(b->info.bytes, obj->st.stx_size, &b->info.bytes) ? 0 : -EOVERFLOW;
}

static int record_type(struct build *b, struct cow_ovm_inode *n, const struct cow_scan_object *obj)
{
	uint32_t target = 0;
	int r;
	switch (obj->st.stx_mode & S_IFMT) {
	case S_IFREG:
		return record_digest(b, n, obj);
	case S_IFLNK:
		r = string_add(b, obj->target, obj->target_len, &target);
		cow_put_le32(n->a, target);
		cow_put_le32(n->b, (uint32_t)obj->target_len);
		return r;
	case S_IFCHR:
	case S_IFBLK:
		cow_put_le32(n->a, obj->st.stx_rdev_major);
		cow_put_le32(n->b, obj->st.stx_rdev_minor);
		return 0;
	default:
		return 0;
	}
}

/* Everything of a new object but its names. @name NULL: the root, as "." of @dirfd. */
static int record_object(struct build *b, int dirfd, const char *name, struct cow_scan_object *obj,
			 uint32_t ino)
{
	const struct statx *st = &obj->st;
	if (S_ISCHR(st->stx_mode) && st->stx_rdev_major == 0 && st->stx_rdev_minor == 0)
		return refuse(b, name, "a character device 0/0 would mean a removed file");
	int r = cow_scan_rest(b->scan, dirfd, name ? name : ".", obj);
	if (r < 0)
		return explain(b, name, r);
	for (size_t k = 0; k < obj->nxattr; k++)
		if (cow_image_xattr_reserved(obj->xattrs[k].name))
			return refuse(b, name,
				      "attributes trusted.overlay.* and trusted.cowherd.* are "
				      "reserved");
	struct cow_ovm_inode *n = &b->inodes[ino];
	record_attr(n, st);
	r = record_xattrs(b, n, obj);
	if (r == 0)
		r = record_type(b, n, obj);
	if (r < 0)
		return explain(b, name, r);
	b->info.inodes++;
	return 0;
}

/* ---------------------------------------------------------------- one directory */

/* Find or make the object a name stands for. */
static int record_entry(struct build *b, const struct cow_walk_dir *dir, struct entry *e)
{
	struct cow_scan_object obj;
	int r = cow_scan_stat(b->scan, dir->fd, e->name, &obj);
	if (r < 0)
		return explain(b, e->name, r);
	e->type = obj.st.stx_mode & S_IFMT;
	bool linked = e->type != S_IFDIR && obj.st.stx_nlink > 1;
	e->ino = linked ? (uint32_t)cow_linkmap_get(&b->numbers, obj.st.stx_ino) : 0;
	if (e->ino)
		return 0;
	r = number_of(b, dir->tag, e, obj.st.stx_ino, &e->ino);
	if (r == 0 && linked)
		r = cow_linkmap_put(&b->numbers, obj.st.stx_ino, e->ino);
	if (r < 0)
		return explain(b, e->name, r);
	r = record_object(b, dir->fd, e->name, &obj, e->ino);
	if (r == 0 && e->type == S_IFDIR) {
		r = cow_walk_enter(b->walk, e->name, obj.st.stx_ino, e->ino);
		if (r < 0)
			r = explain(b, e->name, r);
	}
	return r;
}

static int by_hash(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int by_seq(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* The directory's part of DIRENTS: sorted, each with a cookie of its own. */
static int record_dirents(struct build *b, uint32_t dir, size_t n)
{
	int r = cow_grow(&b->dirents, &b->dirents_room, b->ndirents + n);
	if (r < 0)
		return r;
	if (b->ndirents + n >= UINT32_MAX)
		return -EFBIG;
	qsort(b->entries, n, sizeof(*b->entries), by_hash);
	uint64_t free_cookie = 0;
	for (size_t k = 0; k < n; k++) {
		struct entry *e = &b->entries[k];
		uint64_t cookie = e->hash < free_cookie ? free_cookie : e->hash;
		if (cookie > INT64_MAX)
			return -EOVERFLOW; /* as likely as two equal hashes, twice */
		free_cookie = cookie + 1;
		e->dirent = (uint32_t)b->ndirents++;
		struct cow_ovm_dirent *d = &b->dirents[e->dirent];
		*d = (struct cow_ovm_dirent){
		    .name_len = (uint8_t)e->len,
		    .type = (uint8_t)(e->type >> 12),
		};
		cow_put_le64(d->cookie, cookie);
		cow_put_le32(d->name, e->string);
		cow_put_le32(d->ino, e->ino);
		cow_put_le32(d->dir, dir);
	}
	return 0;
}

/* Tell the objects their names, in byte order: the first one an object gets is its first name. Links
 * are listed from the second name on and completed by sort_links(). */
static int record_names(struct build *b, size_t n)
{
	qsort(b->entries, n, sizeof(*b->entries), by_seq);
	for (size_t k = 0; k < n; k++) {
		const struct entry *e = &b->entries[k];
		struct cow_ovm_inode *node = &b->inodes[e->ino];
		if (e->type == S_IFDIR) {
			cow_put_le32(node->dirent, e->dirent);
			continue;
		}
		uint32_t nlink = cow_get_le32(node->nlink);
		cow_put_le32(node->nlink, nlink + 1);
		if (nlink == 0) {
			cow_put_le32(node->dirent, e->dirent);
			continue;
		}
		int r = cow_grow(&b->links, &b->links_room, b->nlinks + 1);
		if (r < 0)
			return r;
		b->links[b->nlinks++] = (struct link){.ino = e->ino, .dirent = e->dirent};
	}
	return 0;
}

/* Not changed since it was met as a name of its parent? */
static int dir_unchanged(const struct build *b, const struct cow_walk_dir *dir)
{
	const struct cow_ovm_inode *n = &b->inodes[dir->tag];
	struct stat st;
	if (fstat(dir->fd, &st) < 0)
		return cow_nerr();
	bool same = (uint64_t)st.st_mtim.tv_sec == cow_get_le64(n->mtime) &&
		    (uint32_t)st.st_mtim.tv_nsec == cow_get_le32(n->mtime_ns) &&
		    (uint64_t)st.st_ctim.tv_sec == cow_get_le64(n->ctime) &&
		    (uint32_t)st.st_ctim.tv_nsec == cow_get_le32(n->ctime_ns);
	return same ? 0 : -EAGAIN;
}

static int visit(void *ctx, struct cow_walk *w, const struct cow_walk_dir *dir)
{
	struct build *b = ctx;
	size_t first = b->ndirents, n = dir->count;
	uint32_t subdirs = 0;
	int r = cow_grow(&b->entries, &b->entries_room, n);
	for (size_t k = 0; r == 0 && k < n; k++) {
		struct entry *e = &b->entries[k];
		*e = (struct entry){
		    .name = dir->names[k].name,
		    .len = (uint32_t)dir->names[k].len,
		    .hash = cow_ovm_hash(b->parts.hash_key, dir->names[k].name, dir->names[k].len),
		    .seq = (uint32_t)k,
		};
		r = string_add(b, e->name, e->len, &e->string);
		if (r < 0)
			break;
		r = record_entry(b, dir, e);
		if (r < 0)
			return r; /* explained */
		subdirs += e->type == S_IFDIR;
	}
	if (r == 0)
		r = record_dirents(b, dir->tag, n);
	if (r == 0)
		r = record_names(b, n);
	if (r == 0)
		r = dir_unchanged(b, dir);
	if (r < 0)
		return explain(b, NULL, r);
	struct cow_ovm_inode *node = &b->inodes[dir->tag];
	cow_put_le32(node->nlink, 2 + subdirs);
	cow_put_le32(node->a, n ? (uint32_t)first : 0);
	cow_put_le32(node->b, (uint32_t)n);
	(void)w;
	return 0;
}

/* ---------------------------------------------------------------- the whole */

static int new_lineage(struct build *b)
{
	int r = cow_random(b->info.lineage, sizeof(b->info.lineage));
	if (r == 0)
		r = cow_random(b->parts.hash_key, sizeof(b->parts.hash_key));
	b->info.lineage[6] = (uint8_t)((b->info.lineage[6] & 0x0f) | 0x40); /* UUID version 4 */
	b->info.lineage[8] = (uint8_t)((b->info.lineage[8] & 0x3f) | 0x80);
	b->info.next_number = COW_MAN_ROOT + 1;
	return r;
}

/* What the caller says wrongly (twice the same, a number the parent has not) counts as not said. */
static int know_moved(struct build *b, const struct cow_ovl_image_build *how)
{
	if (how->nmoved == 0)
		return 0;
	b->claimed = calloc((size_t)b->parent->info.next_number / 8 + 1, 1);
	if (!b->claimed)
		return -ENOMEM;
	int r = 0;
	for (size_t k = 0; r == 0 && k < how->nmoved; k++) {
		const struct cow_ovl_image_moved *m = &how->moved[k];
		if (m->ino == 0 || cow_linkmap_get(&b->moved, m->ino) ||
		    !cow_man_has(b->parent, m->number) || m->number == COW_MAN_ROOT)
			continue;
		set_bit(b->claimed, m->number);
		r = cow_linkmap_put(&b->moved, m->ino, m->number);
	}
	return r;
}

static int old_lineage(struct build *b, const struct cow_ovl_image_build *how)
{
	const struct cow_ovl_image *parent = b->parent;
	memcpy(b->info.lineage, parent->info.lineage, sizeof(b->info.lineage));
	memcpy(b->info.parent, parent->info.uuid, sizeof(b->info.parent));
	memcpy(b->parts.hash_key, parent->head->hash_key, sizeof(b->parts.hash_key));
	b->info.next_number = parent->info.next_number > how->next_number_min
				  ? parent->info.next_number
				  : how->next_number_min;
	b->taken = calloc((size_t)parent->info.next_number / 8 + 1, 1);
	return b->taken ? know_moved(b, how) : -ENOMEM;
}

static int build_init(struct build *b, int rootfd, const struct cow_ovl_image_build *how)
{
	b->parent = how ? how->parent : NULL;
	int r = b->parent ? old_lineage(b, how) : new_lineage(b);
	if (r == 0)
		r = cow_grow(&b->inodes, &b->inodes_room, b->info.next_number);
	if (r == 0)
		r = cow_walk_new(rootfd, visit, b, &b->walk);
	if (r == 0)
		r = cow_scan_new(rootfd, how ? how->progress : NULL, how ? how->ctx : NULL,
				 &b->scan);
	if (r == 0)
		memset(b->inodes, 0, b->info.next_number * sizeof(*b->inodes));
	return r;
}

static int walk(struct build *b, int rootfd)
{
	struct cow_scan_object obj;
	int r = cow_scan_stat(b->scan, rootfd, ".", &obj);
	if (r < 0)
		return explain(b, NULL, r);
	r = record_object(b, rootfd, NULL, &obj, COW_MAN_ROOT);
	if (r < 0)
		return r;
	b->err->code = COW_OK;
	r = cow_walk_run(b->walk, COW_MAN_ROOT);
	/* The walk's own failures have no words yet. */
	return r < 0 && b->err->code == COW_OK ? explain(b, NULL, r) : r;
}

static int by_ino(const void *pa, const void *pb)
{
	const struct link *a = pa, *b = pb;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	/* The walk's order: what is visited later lies further back, but in one directory the order
	 * is that of the cookies, which is as good. */
	return a->dirent < b->dirent ? -1 : a->dirent > b->dirent;
}

/* HLINKS: by number, the first name first. */
static int sort_links(struct build *b, size_t *ret_count)
{
	size_t n = 0;
	if (b->nlinks)
		qsort(b->links, b->nlinks, sizeof(*b->links), by_ino);
	b->hlinks = reallocarray(NULL, 2 * b->nlinks + 1, sizeof(*b->hlinks));
	if (!b->hlinks)
		return -ENOMEM;
	for (size_t k = 0; k < b->nlinks; k++) {
		struct cow_ovm_inode *node = &b->inodes[b->links[k].ino];
		if (k == 0 || b->links[k].ino != b->links[k - 1].ino) {
			cow_put_le32(node->hlink, (uint32_t)n);
			memcpy(b->hlinks[n++].dirent, node->dirent, sizeof(node->dirent));
		}
		cow_put_le32(b->hlinks[n++].dirent, b->links[k].dirent);
	}
	*ret_count = n;
	return 0;
}

/* DIGESTS: by number. */
static int sort_digests(struct build *b)
{
	uint32_t n = 0;
	b->digests_sorted = reallocarray(NULL, b->ndigests + 1, sizeof(*b->digests_sorted));
	if (!b->digests_sorted)
		return -ENOMEM;
	for (uint32_t ino = COW_MAN_ROOT; ino < b->info.next_number; ino++) {
		struct cow_ovm_inode *node = &b->inodes[ino];
		if (!S_ISREG(cow_image_mode(node)))
			continue;
		b->digests_sorted[n] = b->digests[cow_get_le32(node->a)];
		cow_put_le32(node->a, n++);
	}
	return 0;
}

static int make_xsets(struct build *b)
{
	size_t n = b->xsets.count;
	b->xset_records = reallocarray(NULL, n + 1, sizeof(*b->xset_records));
	if (!b->xset_records)
		return -ENOMEM;
	for (size_t k = 0; k < n; k++) {
		const struct cow_intern_chunk *c = &b->xsets.chunks[k];
		cow_put_le32(b->xset_records[k].first, c->off / sizeof(struct cow_ovm_xattr));
		cow_put_le32(b->xset_records[k].count, c->len / sizeof(struct cow_ovm_xattr));
	}
	return 0;
}

static void set_part(struct build *b, enum cow_ovm_section which, const void *bytes, size_t count)
{
	b->parts.section[which].bytes = bytes ? bytes : "";
	b->parts.section[which].len = count * cow_ovm_record_len[which];
}

static int finish(struct build *b, int dirfd)
{
	size_t nhlinks = 0;
	int r = sort_links(b, &nhlinks);
	if (r == 0)
		r = sort_digests(b);
	if (r == 0)
		r = make_xsets(b);
	if (r < 0)
		return cow_err_set(b->err, r, "make the manifest");
	set_part(b, COW_OVM_INODES, b->inodes, b->info.next_number);
	set_part(b, COW_OVM_DIRENTS, b->dirents, b->ndirents);
	set_part(b, COW_OVM_XSETS, b->xset_records, b->xsets.count);
	set_part(b, COW_OVM_XATTRS, b->xsets.bytes, b->xsets.len / sizeof(struct cow_ovm_xattr));
	set_part(b, COW_OVM_DIGESTS, b->digests_sorted, b->ndigests);
	set_part(b, COW_OVM_HLINKS, b->hlinks, nhlinks);
	set_part(b, COW_OVM_STRINGS, b->strings.bytes, b->strings.len);
	set_part(b, COW_OVM_VALUES, b->values.bytes, b->values.len);
	return cow_image_write(dirfd, &b->parts, &b->info, b->err);
}

int cow_ovl_image_build(int dirfd, const struct cow_ovl_image_build *how,
			struct cow_ovl_image_info *ret, struct cow_err *err)
{
	struct cow_err own = COW_ERR_INIT;
	struct build b = {.err = err ? err : &own};
	if (faccessat(dirfd, COW_OVM_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return cow_err_set(b.err, -EEXIST, "make the manifest '%s'", COW_OVM_NAME);
	cow_autoclose int rootfd = cow_image_open_tree(dirfd, b.err);
	if (rootfd < 0)
		return rootfd;
	int r = build_init(&b, rootfd, how);
	if (r < 0)
		(void)cow_err_set(b.err, r, "prepare the manifest");
	if (r == 0)
		r = walk(&b, rootfd);
	if (r == 0)
		r = finish(&b, dirfd);
	build_done(&b);
	if (r == 0 && ret)
		*ret = b.info;
	return r;
}
