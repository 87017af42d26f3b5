/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Filling the tree of a new image. import_dir.c and import_tar.c find out what is to be made; this
 * part makes it. The staging tree is ours alone (its parent is 0700), every object is made new, or is one
 * of the version before that is the same (fill_base.c), and nothing in it is ever followed or written through.
 *
 * Order for each object: create, data, owner, xattrs (a chown drops file capabilities), mode (a
 * chown drops setuid), times. Directories get theirs after everything in them.
 */
#ifndef COW_SNAPSHOT_FILL_H
#define COW_SNAPSHOT_FILL_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "common/err.h"
#include "overlay/overlay.h"
#include "snapshot/image.h"
#include "tar_stream.h"
#include "unpack.h"

#define COW_FILL_CAPS_NAMED 16 /* files with capabilities that are listed by name */

struct cow_fill_base;

struct cow_fill {
	int tree;		    /* root of the staging tree */
	struct cow_fill_base *base; /* what was in it to begin with; NULL: it was empty */
	const struct cow_import_opts *opts;
	struct cow_ovl_share *share; /* with the version before; NULL: none */
	uint64_t inodes, bytes;
	uint64_t source_bytes, source_total; /* of the archive file */
	enum cow_import_step step;
	uint64_t bytes_total; /* about what it will be; 0: unknown */
	uint64_t next_report_ms;
	uint64_t caps;	  /* files with security.capability, which NFS does not carry */
	int caps_unknown; /* nobody has looked */
	char *caps_names[COW_FILL_CAPS_NAMED];
	uint64_t xattrs_lost;	   /* of kinds btrfs does not store */
	char xattr_lost_name[256]; /* one of them */
	char *notes[16];	   /* things left out, in words */
	unsigned nnotes;
};

/* Release what the counters own; the struct itself is the caller's. */
void cow_fill_done(struct cow_fill *f);

/* Report progress if it is due. Return: 0 or the callback's negative value. */
int cow_fill_progress(struct cow_fill *f);

/* Remember something the administrator should know. Lossy when there are too many. */
void cow_fill_note(struct cow_fill *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct cow_meta {
	mode_t mode; /* with type */
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	struct timespec times[2]; /* atime, mtime */
};

/* What the engine says of an object. */
struct cow_meta cow_meta_of(const struct cow_ovl_attr *a);

/* Make what has no data: symlink (@target), device, fifo, socket; owner set. -EPERM character
 * device 0/0, which overlay file systems reserve. */
int cow_fill_node(int dir, const char *name, const struct cow_meta *m, const char *target);

/* Make a regular file, owner set; -> fd for writing. */
int cow_fill_file(int dir, const char *name);

/* A file that lies in the tree and may be the one to be made. */
struct cow_fill_there {
	ino_t ino; /* 0: there is none */
	int all;   /* its attributes are those to be set */
};

/*
 * A regular file being made that may turn out to be one the version before has: as long as it is the same,
 * nothing is written, and at the end it becomes a link to that file, or a clone.
 */
struct cow_fill_out {
	struct cow_fill *f;
	int dir;
	const char *name;
	int fd;	  /* to write to; -1: nothing had to be written so far */
	int twin; /* of the version before, the same up to .same; -1: there is none, or no more */
	uint32_t number;	     /* of the twin; 0: none */
	struct cow_fill_there there; /* this is the twin */
	off_t same;
	int reused; /* .fd is of an inode of the version before */
};
#define COW_FILL_OUT_EMPTY                                                                         \
	{                                                                                          \
		.fd = -1, .twin = -1                                                               \
	}
/*
 * cow_fill_out_begin - @path: in the image; @m: NULL: it has extended attributes, so it is made in any case.
 * @dir, @name, @f are kept. The caller ends with cow_fill_out_done() whatever comes.
 */
int cow_fill_out_begin(struct cow_fill *f, int dir, const char *name, const char *path,
		       const struct cow_meta *m, uint64_t size, struct cow_fill_out *ret);
/* In ascending order; what is left out is a hole. */
int cow_fill_out_write(struct cow_fill_out *o, const void *buf, size_t len, off_t off);
/* Has the twin these bytes there, and zeros where nothing was said? 1, 0 or -errno. */
int cow_fill_out_same(struct cow_fill_out *o, const void *buf, size_t len, off_t off);
/* There is no twin any more: an empty file is made. */
int cow_fill_out_give_up(struct cow_fill_out *o);
/* Return: 1 the file is there with all attributes; 0 it is .fd, which has only data yet; -errno. */
int cow_fill_out_end(struct cow_fill_out *o, off_t size);
void cow_fill_out_done(struct cow_fill_out *o);
#define cow_autofillout __attribute__((cleanup(cow_fill_out_done)))

/*
 * One extended attribute, on an open file (@fd) or, with @fd < 0, on @name in @dir itself. Names of
 * overlay file systems are dropped, kinds the file system has no place for are counted.
 * @path: for the list of capabilities.
 */
int cow_fill_xattr(struct cow_fill *f, int fd, int dir, const char *name, const char *path,
		   const char *xattr, const void *value, size_t len);

/* A file with capabilities came into the tree in another way. */
void cow_fill_capability(struct cow_fill *f, const char *path);

/*
 * A tree that is no empty one: a snapshot of the version before. All of it is a leftover until it is taken over because it is
 * what is to be made. Without .base all these do what is to be done in an empty tree.
 *
 * cow_fill_base_begin - .tree is such a snapshot, of @golden. -E2BIG, -EPERM, -EOPNOTSUPP: this one cannot be used.
 * cow_fill_base_end - when all is made: leftovers are removed, .base is NULL then. @what: the source, for messages.
 * cow_fill_base_done - forget about it.
 */
int cow_fill_base_begin(struct cow_fill *f, int golden);
int cow_fill_base_end(struct cow_fill *f, const char *what, struct cow_err *err);
void cow_fill_base_done(struct cow_fill *f);
/* What is at @name and is no leftover. -ENOENT nothing. */
int cow_fill_lstat(const struct cow_fill *f, int dir, const char *name, struct stat *ret);
/* No leftover is at @name any more. */
int cow_fill_room(struct cow_fill *f, int dir, const char *name);
/* A directory there that nobody has filled yet: made, with mode 0700, or taken over, without extended
 * attributes. Its other attributes are set at the end. */
int cow_fill_dir(struct cow_fill *f, int dir, const char *name);
/* As cow_fill_finish_fd(), for these, also after cow_fill_base_end(). */
int cow_fill_finish_dir(int fd, const struct cow_meta *m);
/*
 * cow_fill_node_at - as cow_fill_node(), or it is there. @path: in the image; @plain: it has no extended attributes.
 * Return: 1 it is there with all attributes; 0; -errno.
 */
int cow_fill_node_at(struct cow_fill *f, int dir, const char *name, const char *path,
		     const struct cow_meta *m, const char *target, int plain);
/*
 * cow_fill_base_file - for fill_out.c: a leftover that may be the file. @m: as cow_fill_out_begin(). -> fd to read;
 * -ENOENT; -errno.
 * cow_fill_base_take - it is, and nobody else gets it. Return: 1 with all attributes; 0 its content alone, and it has no
 * extended attributes; -ENOENT it cannot be; -errno.
 * cow_fill_base_reuse - a leftover that is a file becomes another one, of which it has the first @len bytes: its name
 * and its place in the directory stay. -> fd to write; -ENOENT there is none; -errno.
 */
int cow_fill_base_file(const struct cow_fill *f, int dir, const char *name,
		       const struct cow_meta *m, uint64_t size, struct cow_fill_there *ret);
int cow_fill_base_take(struct cow_fill *f, const struct cow_fill_there *t, int fd);
int cow_fill_base_reuse(struct cow_fill *f, int dir, const char *name, off_t len);

/* Owner of an open file or directory. */
int cow_fill_owner(int fd, const struct cow_meta *m);

/* Mode and times, last of all; of an open file or of a node by name. */
int cow_fill_finish_fd(int fd, const struct cow_meta *m);
int cow_fill_finish_at(int dir, const char *name, const struct cow_meta *m);

/* Objects with several names: a tree of those met so far. All zeros: none. */
struct cow_fill_links {
	void *root;
};
/*
 * cow_fill_link_earlier - make @name in @dst a link to the first name of the same object, if there is
 * one in the tree; else remember @path (in it) as the first.
 * @dev, @id: what makes two names one object. Return: 1 made; 0 remembered, to be made now; -errno.
 */
int cow_fill_link_earlier(struct cow_fill_links *links, struct cow_fill *f, uint64_t dev,
			  uint64_t id, const char *path, int dst, const char *name);
void cow_fill_links_done(struct cow_fill_links *links);

/* Data: by reflink where source and tree can, else copied with its holes. */
struct cow_fill_copier {
	struct cow_fill *f; /* counts bytes, reports progress */
	char *buf;
	int cannot_clone; /* learnt: source and tree are of different or simple file systems */
};
int cow_fill_copier_init(struct cow_fill_copier *c, struct cow_fill *f);
void cow_fill_copier_done(struct cow_fill_copier *c);
/* @st: of @src; a source that shrinks meanwhile gives a shorter file, or one with a hole. */
int cow_fill_data(struct cow_fill_copier *c, int src, int dst, const struct stat *st);
/* The whole content of @src for a file that is @st, which has a twin or has not. As cow_fill_out_end(). */
int cow_fill_out_data(struct cow_fill_copier *c, int src, struct cow_fill_out *out,
		      const struct stat *st);
/* @len bytes of @src at @from become those of @dst at @to. */
int cow_fill_range(struct cow_fill_copier *c, int src, off_t from, struct cow_fill_out *dst,
		   off_t to, uint64_t len);

/* Sources. @fd: the opened source; @what: its name for messages. */
int cow_import_dir(struct cow_fill *f, int fd, const char *what, dev_t store_dev, ino_t store_ino,
		   struct cow_err *err);
int cow_import_tar(struct cow_fill *f, struct cow_unpack *unpack, const char *what,
		   struct cow_err *err);

/*
 * Layers of a container image, the lowest first: cow_layers_new(), cow_layers_add() for each, at last
 * cow_layers_finish(), which sets what directories have only once all is there.
 * @end: of each archive. @fd: a layer, a seekable tar archive in any packing. @what, @err: kept. Failures: as cow_import_tar().
 */
struct cow_layers;
int cow_layers_new(struct cow_fill *f, const char *what, enum cow_tar_end end,
		   struct cow_layers **ret, struct cow_err *err);
int cow_layers_add(struct cow_layers *l, int fd);
int cow_layers_finish(struct cow_layers *l);
void cow_layers_free(struct cow_layers *l); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_layers, cow_layers_free)
#define cow_autolayers COW_CLEANUP(cow_auto_cow_layers_free) struct cow_layers *

/* Is the tree the layout or archive of a container image instead of a root? 1 or 0. The second asks @f's own, without
 * leftovers. */
int cow_oci_is(int tree);
int cow_oci_is_here(const struct cow_fill *f);
/* cow_import_oci - flatten the one image in the layout @layout, a descriptor; its blobs are checked. */
int cow_import_oci(struct cow_fill *f, int layout, const char *what, struct cow_err *err);
/* The same where the layout was unpacked into @f's own tree. */
int cow_import_oci_here(struct cow_fill *f, const char *what, struct cow_err *err);

/* @off: of the file system in the seekable @fd. -EUCLEAN, @err untouched: its journal must be
 * replayed first. */
int cow_import_ext(struct cow_fill *f, int fd, uint64_t off, const char *what, struct cow_err *err);
/*
 * cow_import_disk - root and boot partition of a disk image.
 * @fd: the source, from its beginning; @unpack: the same, of which nothing was read, for a source that
 * is packed or a pipe; @stage: where what it needs on the way may lie, nothing of which stays.
 */
int cow_import_disk(struct cow_fill *f, int fd, struct cow_unpack *unpack, int stage,
		    const char *what, struct cow_err *err);

#endif
