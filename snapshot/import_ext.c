/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A root file system of kind ext2, ext3 or ext4 in a disk image, read by libext2fs: no loop device,
 * no mount, and a damaged one (I7) meets a library in this process instead of the kernel. The file
 * data itself is read from the image directly, by the extents the library tells.
 */
#include <errno.h>
#include <et/com_err.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/growpath.h"
#include "common/log.h"
#include "fill.h"

struct ext {
	struct cow_fill *f;
	struct cow_err *err;
	const char *what;
	int fd;
	uint64_t off; /* of the file system in @fd */
	ext2_filsys fs;
	ext2fs_inode_bitmap entered; /* a directory with two names could be entered for ever */
	struct cow_fill_copier copier;
	struct cow_fill_links links;
	struct cow_growpath path; /* of the object at hand */
};

/* What is being made: @m of @inode, as @name in @dir. */
struct object {
	ext2_ino_t ino;
	struct ext2_inode_large inode;
	struct cow_meta m;
	int dir;
	const char *name;
};

static const char *here(const struct ext *x)
{
	return x->path.len ? x->path.s : "/";
}

static int fail(struct ext *x, int r, const char *doing)
{
	if (r == -EINTR)
		return cow_err_set(x->err, r, "import of '%s' was stopped", x->what);
	return cow_err_set(x->err, r, "%s %s of '%s'", doing, COW_Q(here(x)), x->what);
}

/* @e: of the library. */
static int damaged(struct ext *x, errcode_t e, const char *doing)
{
	if (e == EXT2_ET_NO_MEMORY)
		return fail(x, -ENOMEM, doing);
	return cow_err_hint(x->err,
			    cow_err_say(x->err, COW_ERR_FAILED, -EBADMSG, "%s %s of '%s': %s",
					doing, COW_Q(here(x)), x->what, error_message(e)),
			    "the file system in it is damaged; e2fsck may mend a copy of it");
}

static int odd(struct ext *x, const char *why)
{
	return cow_err_say(x->err, COW_ERR_FAILED, -EBADMSG, "%s of '%s' %s", COW_Q(here(x)),
			   x->what, why);
}

/* ---------------------------------------------------------------- inodes */

/* Seconds are signed, two bits more lie in front of the nanoseconds. */
static struct timespec time_of(uint32_t seconds, uint32_t extra, int has_extra)
{
	struct timespec t = {.tv_sec = (int32_t)seconds};
	if (has_extra) {
		t.tv_sec += (int64_t)(extra & 3) << 32;
		t.tv_nsec = extra >> 2;
	}
	if (t.tv_nsec > 999999999)
		t.tv_nsec = 0;
	return t;
}

static int has_field(const struct ext *x, const struct ext2_inode_large *i, size_t end)
{
	return EXT2_INODE_SIZE(x->fs->super) > EXT2_GOOD_OLD_INODE_SIZE &&
	       (size_t)EXT2_GOOD_OLD_INODE_SIZE + i->i_extra_isize >= end;
}

static dev_t device_of(const struct ext2_inode_large *i)
{
	uint32_t old = i->i_block[0], new = i->i_block[1];
	if (old)
		return makedev(old >> 8 & 0xff, old & 0xff);
	return makedev(new >> 8 & 0xfff, (new & 0xff) | (new >> 12 & 0xfff00));
}

static struct cow_meta meta_of(const struct ext *x, const struct ext2_inode_large *i)
{
	struct cow_meta m = {
	    .mode = i->i_mode,
	    .uid = inode_uid(*i),
	    .gid = inode_gid(*i),
	    .rdev = device_of(i),
	    .times = {time_of(i->i_atime, i->i_atime_extra,
			      has_field(x, i, offsetof(struct ext2_inode_large, i_crtime))),
		      time_of(i->i_mtime, i->i_mtime_extra,
			      has_field(x, i, offsetof(struct ext2_inode_large, i_atime_extra)))},
	};
	return m;
}

static int read_object(struct ext *x, struct object *o)
{
	errcode_t e =
	    ext2fs_read_inode_full(x->fs, o->ino, (struct ext2_inode *)&o->inode, sizeof(o->inode));
	if (e)
		return damaged(x, e, "read");
	if (!o->inode.i_links_count || o->inode.i_dtime)
		return odd(x, "is a name of something deleted: the file system is damaged");
	if (o->inode.i_flags & EXT4_ENCRYPT_FL)
		return odd(x, "is encrypted, and the key is not in the image");
	o->m = meta_of(x, &o->inode);
	/* -1 means "leave alone" to chown(2). */
	if (o->m.uid == UINT32_MAX || o->m.gid == UINT32_MAX)
		return odd(x, "has an owner that is out of range");
	return 0;
}

/* ---------------------------------------------------------------- attributes */

struct xattrs {
	struct ext *x;
	struct ext2_xattr_handle *h;
	const struct object *o;
	int fd; /* -1: by name */
	int r;
	errcode_t e;
};

static void set_one(struct xattrs *w, const char *name, const void *value, size_t len)
{
	w->r =
	    cow_fill_xattr(w->x->f, w->fd, w->o->dir, w->o->name, w->x->path.s, name, value, len);
}

/* ACLs have another form on the disk, which only ext2fs_xattr_get() makes the usual one. */
static void set_acl(struct xattrs *w, const char *name)
{
	void *value = NULL;
	size_t len;
	w->e = ext2fs_xattr_get(w->h, name, &value, &len);
	if (!w->e)
		set_one(w, name, value, len);
	(void)ext2fs_free_mem(&value);
}

static int one_xattr(char *name, char *value, size_t len, void *ctx)
{
	struct xattrs *w = ctx;
	if (strcmp(name, "system.data") == 0) /* the end of a file that lies in its inode */
		return 0;
	if (strncmp(name, "system.posix_acl_", 17) == 0)
		set_acl(w, name);
	else
		set_one(w, name, value, len);
	return w->r < 0 || w->e ? XATTR_ABORT : 0;
}

static int set_xattrs(struct ext *x, const struct object *o, int fd)
{
	struct xattrs w = {.x = x, .o = o, .fd = fd};
	errcode_t e = ext2fs_xattrs_open(x->fs, o->ino, &w.h);
	if (!e)
		e = ext2fs_xattrs_read(w.h);
	if (!e)
		e = ext2fs_xattrs_iterate(w.h, one_xattr, &w);
	if (w.h)
		(void)ext2fs_xattrs_close(&w.h); /* nothing was written */
	if (!e)
		e = w.e;
	if (e)
		return damaged(x, e, "read the attributes of");
	return w.r < 0 ? fail(x, w.r, "set the attributes of") : 0;
}

/* Has it no attributes but, maybe, the end of its data? */
static int is_plain(struct ext *x, const struct object *o)
{
	struct ext2_xattr_handle *h = NULL;
	size_t count = 1;
	if (o->inode.i_flags & EXT4_INLINE_DATA_FL || ext2fs_xattrs_open(x->fs, o->ino, &h))
		return 0;
	if (ext2fs_xattrs_read(h) || ext2fs_xattrs_count(h, &count))
		count = 1;	       /* what is wrong with it, who sets them will say */
	(void)ext2fs_xattrs_close(&h); /* nothing was written */
	return count == 0;
}

/* ---------------------------------------------------------------- data */

struct data {
	struct ext *x;
	struct cow_fill_out *dst;
	uint64_t size;
	uint64_t next_block; /* extents come in order, or there is more data than file */
	int r;
};

/* @count blocks of the file from @block on lie at @at. */
static int copy_run(struct data *d, uint64_t block, uint64_t at, uint64_t count)
{
	const struct ext *x = d->x;
	uint64_t bs = x->fs->blocksize, all = ext2fs_blocks_count(x->fs->super);
	if (at >= all || count > all - at || block < d->next_block || block > UINT32_MAX)
		return -EBADMSG;
	d->next_block = block + count;
	uint64_t from = block * bs, end = from + count * bs;
	end = end < d->size ? end : d->size;
	if (from >= end)
		return 0;
	return cow_fill_range(&d->x->copier, x->fd, (off_t)(x->off + at * bs), d->dst, (off_t)from,
			      end - from);
}

static int copy_extents(struct data *d, struct object *o)
{
	ext2_extent_handle_t h;
	struct ext2fs_extent extent;
	struct ext *x = d->x;
	errcode_t e = ext2fs_extent_open2(x->fs, o->ino, (struct ext2_inode *)&o->inode, &h);
	if (e)
		return damaged(x, e, "read");
	for (int op = EXT2_EXTENT_ROOT; d->r == 0; op = EXT2_EXTENT_NEXT) {
		e = ext2fs_extent_get(h, op, &extent);
		if (e)
			break;
		if ((extent.e_flags & EXT2_EXTENT_FLAGS_LEAF) &&
		    !(extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT))
			d->r = copy_run(d, extent.e_lblk, extent.e_pblk, extent.e_len);
	}
	ext2fs_extent_free(h);
	return e && e != EXT2_ET_EXTENT_NO_NEXT ? damaged(x, e, "read") : 0;
}

static int one_block(ext2_filsys fs, blk64_t *at, e2_blkcnt_t block, blk64_t ref, int ref_off,
		     void *ctx)
{
	struct data *d = ctx;
	(void)fs, (void)ref, (void)ref_off;
	if (block < 0)
		return 0;
	d->r = copy_run(d, (uint64_t)block, *at, 1);
	return d->r < 0 ? BLOCK_ABORT : 0;
}

static int copy_blocks(struct data *d, struct object *o)
{
	errcode_t e = ext2fs_block_iterate3(
	    d->x->fs, o->ino, BLOCK_FLAG_DATA_ONLY | BLOCK_FLAG_READ_ONLY, NULL, one_block, d);
	return e ? damaged(d->x, e, "read") : 0;
}

/* What is small enough to be read whole: data in the inode, targets of links. *ret_len: room, then
 * what was read. */
static int read_small(struct ext *x, ext2_ino_t ino, char *buf, size_t *ret_len)
{
	ext2_file_t file;
	unsigned got = 0;
	errcode_t e = ext2fs_file_open(x->fs, ino, 0, &file);
	if (e)
		return damaged(x, e, "read");
	e = ext2fs_file_read(file, buf, (unsigned)*ret_len, &got);
	(void)ext2fs_file_close(file); /* nothing was written */
	*ret_len = got;
	return e ? damaged(x, e, "read") : 0;
}

static int copy_inline(struct data *d, struct object *o)
{
	char buf[4096]; /* more than an inode has */
	size_t len = sizeof(buf);
	int r = read_small(d->x, o->ino, buf, &len);
	if (r == 0)
		d->r = cow_fill_out_write(d->dst, buf, len, 0);
	return r;
}

/* As cow_fill_out_end(). */
static int copy_data(struct ext *x, struct object *o, struct cow_fill_out *dst)
{
	struct data d = {.x = x, .dst = dst, .size = EXT2_I_SIZE(&o->inode)};
	int r;
	if (d.size > INT64_MAX)
		return odd(x, "has an impossible size");
	if (o->inode.i_flags & EXT4_INLINE_DATA_FL)
		r = copy_inline(&d, o);
	else if (o->inode.i_flags & EXT4_EXTENTS_FL)
		r = copy_extents(&d, o);
	else
		r = copy_blocks(&d, o);
	if (r < 0)
		return r;
	if (d.r == -EBADMSG)
		return odd(x, "lies where no block can be: the file system is damaged");
	if (d.r < 0)
		return fail(x, d.r, "copy the data of");
	r = cow_fill_out_end(dst, (off_t)d.size);
	return r < 0 ? fail(x, r, "write") : r;
}

/* ---------------------------------------------------------------- objects */

static int import_file(struct ext *x, struct object *o)
{
	cow_autofillout struct cow_fill_out out = COW_FILL_OUT_EMPTY;
	int r = cow_fill_out_begin(x->f, o->dir, o->name, x->path.s, is_plain(x, o) ? &o->m : NULL,
				   EXT2_I_SIZE(&o->inode), &out);
	if (r < 0)
		return fail(x, r, "make");
	r = copy_data(x, o, &out);
	if (r != 0)
		return r < 0 ? r : 0;
	r = cow_fill_owner(out.fd, &o->m);
	if (r < 0)
		return fail(x, r, "set the owner of");
	r = set_xattrs(x, o, out.fd);
	if (r < 0)
		return r;
	r = cow_fill_finish_fd(out.fd, &o->m);
	return r < 0 ? fail(x, r, "set the attributes of") : 0;
}

static int read_target(struct ext *x, struct object *o, char target[COW_SYMLINK_MAX + 1])
{
	size_t len = COW_SYMLINK_MAX;
	int r = 0;
	if (EXT2_I_SIZE(&o->inode) == 0 || EXT2_I_SIZE(&o->inode) > COW_SYMLINK_MAX)
		return odd(x, "is a symbolic link without a usable target");
	if (ext2fs_is_fast_symlink((struct ext2_inode *)&o->inode)) {
		len = EXT2_I_SIZE(&o->inode);
		if (len > sizeof(o->inode.i_block))
			return odd(x, "is a symbolic link without a usable target");
		memcpy(target, o->inode.i_block, len);
	} else {
		r = read_small(x, o->ino, target, &len);
	}
	target[len] = 0;
	if (r == 0 && (len == 0 || strlen(target) != len))
		return odd(x, "is a symbolic link without a usable target");
	return r;
}

static int import_node(struct ext *x, struct object *o)
{
	char target[COW_SYMLINK_MAX + 1] = "";
	int r = S_ISLNK(o->m.mode) ? read_target(x, o, target) : 0;
	if (r < 0)
		return r;
	r = cow_fill_node_at(x->f, o->dir, o->name, x->path.s, &o->m, target,
			     x->f->base && is_plain(x, o));
	if (r == -EPERM)
		return odd(x, "is character device 0/0, which overlay mounts reserve");
	if (r != 0)
		return r < 0 ? fail(x, r, "make") : 0;
	r = set_xattrs(x, o, -1);
	if (r < 0)
		return r;
	r = cow_fill_finish_at(o->dir, o->name, &o->m);
	return r < 0 ? fail(x, r, "set the attributes of") : 0;
}

/* ---------------------------------------------------------------- directories */

struct listed {
	ext2_ino_t ino;
	char *name;
};

struct list {
	struct listed *v;
	size_t n, room;
	int r;
};

static int list_name(ext2_ino_t dir, int entry, struct ext2_dir_entry *e, int offset, int blocksize,
		     char *buf, void *ctx)
{
	struct list *l = ctx;
	size_t len = (size_t)ext2fs_dirent_name_len(e);
	(void)dir, (void)entry, (void)offset, (void)blocksize, (void)buf;
	if (len && len <= 2 && memcmp(e->name, "..", len) == 0)
		return 0; /* itself and its parent, wherever they are listed */
	if (len == 0 || memchr(e->name, '/', len) || memchr(e->name, 0, len)) {
		l->r = -EBADMSG;
		return DIRENT_ABORT;
	}
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 32;
		struct listed *grown = reallocarray(l->v, room, sizeof(*grown));
		if (!grown) {
			l->r = -ENOMEM;
			return DIRENT_ABORT;
		}
		l->v = grown;
		l->room = room;
	}
	char *name = strndup(e->name, len);
	if (!name) {
		l->r = -ENOMEM;
		return DIRENT_ABORT;
	}
	l->v[l->n++] = (struct listed){.ino = e->inode, .name = name};
	return 0;
}

static void list_done(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
}

/* Inodes lie on the disk by number. */
static int by_inode(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

static int import_children(struct ext *x, ext2_ino_t dir, int dst, unsigned depth);

static int import_dir(struct ext *x, struct object *o, unsigned depth)
{
	if (depth > COW_DEPTH_MAX)
		return fail(x, -ELOOP, "enter");
	if (ext2fs_test_inode_bitmap2(x->entered, o->ino))
		return odd(x, "is a directory with two names: the file system is damaged");
	ext2fs_mark_inode_bitmap2(x->entered, o->ino);
	int r = *o->name ? cow_fill_dir(x->f, o->dir, o->name) : 0;
	if (r < 0)
		return fail(x, r, "make");
	cow_autoclose int dst = cow_opendir_at(o->dir, *o->name ? o->name : ".");
	if (dst < 0)
		return fail(x, dst, "open the copy of");
	r = import_children(x, o->ino, dst, depth);
	if (r < 0)
		return r;
	r = cow_fill_owner(dst, &o->m);
	if (r < 0)
		return fail(x, r, "set the owner of");
	r = set_xattrs(x, o, dst);
	if (r < 0)
		return r;
	r = cow_fill_finish_dir(dst, &o->m);
	return r < 0 ? fail(x, r, "set the attributes of") : 0;
}

static int import_one(struct ext *x, ext2_ino_t ino, int dst, const char *name, unsigned depth)
{
	struct object o = {.ino = ino, .dir = dst, .name = name};
	int r = read_object(x, &o);
	if (r < 0)
		return r;
	x->f->inodes++;
	r = cow_fill_progress(x->f);
	if (r < 0)
		return fail(x, r, "copy");
	if (S_ISDIR(o.m.mode))
		return import_dir(x, &o, depth);
	if (o.inode.i_links_count > 1) {
		r = cow_fill_link_earlier(&x->links, x->f, 0, ino, x->path.s, dst, name);
		if (r < 0)
			return fail(x, r, "make the link");
		if (r > 0) {
			x->f->inodes--; /* a name, not an inode */
			return 0;
		}
	}
	if (S_ISREG(o.m.mode))
		return import_file(x, &o);
	if (S_ISLNK(o.m.mode) || S_ISCHR(o.m.mode) || S_ISBLK(o.m.mode) || S_ISFIFO(o.m.mode) ||
	    S_ISSOCK(o.m.mode))
		return import_node(x, &o);
	return odd(x, "is of an unknown type: the file system is damaged");
}

/* What e2fsck found is of no use to a machine without this disk. */
static int left_out(const struct ext *x, const struct listed *e)
{
	return x->path.len == 0 && e->ino == EXT2_FIRST_INODE(x->fs->super) &&
	       strcmp(e->name, "lost+found") == 0;
}

static int import_children(struct ext *x, ext2_ino_t dir, int dst, unsigned depth)
{
	struct list l = {0};
	size_t old;
	errcode_t e = ext2fs_dir_iterate2(x->fs, dir, 0, NULL, list_name, &l);
	int r = e ? damaged(x, e, "list") : 0;
	if (r == 0 && l.r == -EBADMSG)
		r = odd(x, "has an entry with an impossible name: the file system is damaged");
	else if (r == 0 && l.r < 0)
		r = fail(x, l.r, "list");
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_inode);
	for (size_t i = 0; i < l.n && r == 0; i++) {
		if (left_out(x, &l.v[i]))
			continue;
		r = cow_growpath_push(&x->path, l.v[i].name, &old);
		if (r < 0) {
			r = fail(x, r, "copy");
			break;
		}
		r = import_one(x, l.v[i].ino, dst, l.v[i].name, depth + 1);
		cow_growpath_pop(&x->path, old);
	}
	list_done(&l);
	return r;
}

/* ---------------------------------------------------------------- the whole */

/* The library opens by name. */
static errcode_t open_fs(struct ext *x)
{
	char name[64], options[64];
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", x->fd);
	(void)snprintf(options, sizeof(options), "offset=%llu", (unsigned long long)x->off);
	return ext2fs_open2(name, options, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &x->fs);
}

static int open_all(struct ext *x)
{
	errcode_t e = open_fs(x);
	if (e)
		return damaged(x, e, "open");
	if (ext2fs_has_feature_journal_needs_recovery(x->fs->super))
		return -EUCLEAN;
	e = ext2fs_allocate_inode_bitmap(x->fs, "directories entered", &x->entered);
	if (e)
		return damaged(x, e, "open");
	x->f->bytes_total =
	    (ext2fs_blocks_count(x->fs->super) - ext2fs_free_blocks_count(x->fs->super)) *
	    x->fs->blocksize;
	if (cow_fill_copier_init(&x->copier, x->f) < 0)
		return cow_err_set(x->err, -ENOMEM, "import '%s'", x->what);
	return 0;
}

int cow_import_ext(struct cow_fill *f, int fd, uint64_t off, const char *what, struct cow_err *err)
{
	struct ext x = {.f = f, .err = err, .what = what, .fd = fd, .off = off};
	if (cow_growpath_init(&x.path) < 0)
		return cow_err_set(err, -ENOMEM, "import '%s'", what);
	int r = open_all(&x);
	if (r == 0)
		r = import_one(&x, EXT2_ROOT_INO, f->tree, "", 0);
	if (r == 0)
		r = cow_fill_base_end(f, what, err);
	cow_fill_links_done(&x.links);
	cow_fill_copier_done(&x.copier);
	cow_growpath_done(&x.path);
	if (x.entered)
		ext2fs_free_inode_bitmap(x.entered);
	if (x.fs)
		(void)ext2fs_close_free(&x.fs); /* nothing was written */
	return r;
}
