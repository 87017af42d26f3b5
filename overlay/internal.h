/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the files of the engine share. Lock order (docs/locking.md):
 *	inst->freeze (shared) > domains_m > node->copying (child before parent) > node->names (lower
 *	address first) > numbers.m, whiteout_m > shard->m > fd cache > domain->m
 * Public functions enter the instance, call one worker and leave it; workers (suffix _entered)
 * never enter again, since a waiting writer of `freeze` stops new readers.
 */
#ifndef COW_OVERLAY_INTERNAL_H
#define COW_OVERLAY_INTERNAL_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/bounds.h"
#include "manifest.h"
#include "overlay/overlay.h"
#include "record.h"

#define COW_NODE_SHARDS 64

/* The inode of an empty directory that stands where another subvolume was when a snapshot was made:
 * one number for all of them, so it names nothing. */
#define COW_BTRFS_EMPTY_SUBVOL_INO 2

/* Names below an instance's directory. */
#define COW_TREE_NAME "tree"   /* plain */
#define COW_UPPER_NAME "upper" /* overlay: the three of a kernel mount, workdir is "work" */
#define COW_WORK_NAME "work"
#define COW_LOCK_NAME "lock" /* held while attached */
#define COW_INDEX_NAME "index"
#define COW_WHITEOUT_NAME "#whiteout" /* in work/work: the inode whiteouts are links of */

struct cow_delta;
struct cow_domain;
struct cow_fd;
struct cow_numbers;

/* What a node is found by: its handle without instance, epoch and MAC. Zeros behind `len`. */
enum {
	COW_KIND_UPPER = 'U', /* bytes: handle of the upper file system */
	COW_KIND_LOWER = 'L', /* bytes: number in the image, le64; type 0 */
};
struct cow_key {
	uint8_t kind, type, len, bytes[COW_FH_MAX];
};

struct cow_shard {
	pthread_mutex_t m;
	/* guarded by m: */
	struct cow_ovl_node **bucket;
	size_t nbucket; /* power of two, 0 before the first node */
	size_t count;
	struct cow_ovl_node *spare; /* nobody's, for reuse */
	unsigned nspare;
};

struct cow_ovl_inst {
	/* Shared by every operation; exclusive to close. */
	pthread_rwlock_t freeze;
	atomic_bool closed; /* changes under freeze, exclusive */

	/* Constant from open on, also after close. */
	struct cow_record rec; /* flags and generation: only open and close look at them */
	enum cow_ovl_durability durability;
	unsigned flags; /* COW_OVL_OBSERVER, _LOCAL, _STAGED */
	bool renewed;	/* the epoch is another than the record has on disk */
	dev_t dev;
	int mnt_id;
	bool btrfs;

	/* Constant while open. */
	int recfd, lockfd, treefd; /* treefd: readable directory, also the mount fd of handles */
	struct cow_ovl_image *img; /* counted; NULL: plain */
	int workfd, indexfd;	   /* work/work, work/index; -1 in a plain one */
	struct cow_ovl_node *root;
	struct cow_domain *domain;

	struct cow_numbers *numbers; /* see number.c; NULL in a plain one */
	pthread_mutex_t whiteout_m;  /* held while the shared whiteout is made or replaced */
	atomic_uint_fast64_t temps;  /* names in work/work given out */

	atomic_uint_fast64_t limit, used; /* bytes; limit 0: none. See limit.c */
	pthread_mutex_t limit_m;

	atomic_size_t refs; /* memory: the opener, each node */
	atomic_uint_fast64_t nodes, kept, opens, fd_opens, commits, commit_waits;
	/* Objects brought up so far, and of these the ones whose names are on disk for sure. */
	atomic_uint_fast64_t brought_up, settled;
	LIST_HEAD(, cow_fd) fds; /* guarded by the fd cache lock */
	size_t nfds;		 /* likewise */
	struct cow_shard shard[COW_NODE_SHARDS];
};

struct cow_ovl_node {
	/* What is looked at to find one, close together: a table holds many, and memory is slow. */
	struct cow_ovl_node *next; /* guarded by the shard lock */
	uint64_t hash;
	struct cow_key key;
	atomic_uint refs; /* 0 -> 1 never; 1 -> 0 under the shard lock */

	struct cow_ovl_inst *inst; /* counted */
	atomic_uint opens;
	atomic_uint writers; /* those of them that may write */
	atomic_uint bump;    /* changes made through us, see attr.c */
	atomic_int wb_err;   /* negative errno of a write-back nobody was told about */
	atomic_bool dirty;   /* written since the last commit */
	atomic_bool orphan;  /* upper seen without a name, which is for ever: keep no idle fd */
	atomic_bool gone;    /* of an image object and of directories: no name left, for ever */
	mode_t type;
	uint64_t id;
	uint32_t low;	    /* number in the image; 0: born in the upper */
	atomic_bool has_up; /* false -> true once: under the fd cache lock, and under names of the
			       parent, where the object has one */
	struct cow_fh up;   /* constant once has_up */
	struct cow_fd *_Atomic fd; /* best cached fd; changes under the fd cache lock */
	struct cow_fd *pin; /* keeps the upper for opens made before it; guarded by `copying` */
	atomic_bool pinned; /* there is one */
	atomic_bool kept;   /* without a name, and works on until nobody holds it */
	struct cow_fd *_Atomic keep; /* by this, if it has an upper; set once */
	/* Held while the object is brought up and while names of an image object with several of them
	 * are counted or added. Spans the copying of data and its fsync. */
	pthread_mutex_t copying;
	/* Directories: held by every change of names, so that the object a name stands for is the
	 * same in all steps of one call; shared by look-ups where the answer has two sources. Spans
	 * system calls, never a group commit. */
	pthread_rwlock_t names;
	/* With a limit, guarded by inst->limit_m: */
	uint64_t cost;
	bool cost_known;
	bool cost_ends;		 /* its last name is gone: given back at the last close */
	struct cow_delta *delta; /* image directories with an upper: guarded by `names` */
	atomic_int impure_known; /* see ident.c */
};

struct cow_ovl_open {
	struct cow_ovl_node *node; /* counted */
	/* Pinned: the data outlives its last name. A lower one is passed over once the object has an
	 * upper. */
	struct cow_fd *fd;
	unsigned flags;
	struct cow_ovl_cred who; /* opened it: what his writes strip of setuid and setgid */
	gid_t groups[];		 /* of who */
};

/* ---- inst.c */
int cow_inst_enter(struct cow_ovl_inst *i);	   /* -ESTALE when closed */
int cow_inst_enter_change(struct cow_ovl_inst *i); /* also -EROFS for observers */
void cow_inst_leave(struct cow_ovl_inst *i);
void cow_inst_unref(struct cow_ovl_inst *i);

/* ---- tree_id.c */
struct cow_tree_id {
	int fd, mnt_id;
	dev_t dev;
	bool btrfs;
	struct cow_fh root;
	uint8_t fs_uuid[COW_REC_UUID_LEN];
};
/* Open the directory @name of a root and say which one it is. ret->fd is the caller's. */
int cow_tree_id(int dirfd, const char *name, struct cow_tree_id *ret, struct cow_err *err);
void cow_tree_to_record(const struct cow_tree_id *t, struct cow_record *rec);

/* ---- layers.c: what an instance with an image below has besides */
int cow_layers_open(struct cow_ovl_inst *i, int dirfd, struct cow_err *err);
int cow_layers_recover(struct cow_ovl_inst *i, struct cow_err *err);
/* work/ with what belongs there, where it is not there yet. */
int cow_layers_make_work(int dirfd);
/* ---- adopt.c: mark what the kernel brought up and moved while it had the root mounted */
int cow_adopt(struct cow_ovl_inst *i);

/* ---- kmount.c: is the directory the upper of a mounted overlay? 1, 0 or -errno. */
int cow_kernel_mounted(int dirfd);

/* ---- fsid.c */
/* UUID of the file system @fd is on; zeros where it has none we can ask for. */
void cow_fs_uuid(int fd, uint8_t ret[COW_REC_UUID_LEN]);
/* The same for btrfs alone. Return: 0; -EOPNOTSUPP another file system. */
int cow_btrfs_fsid(int fd, uint8_t ret[COW_REC_UUID_LEN]);

/* Enter for a call on @n; an observer looks whether a server has brought it up meanwhile. */
int cow_node_enter(struct cow_ovl_node *n);

/* ---- fh.c */
/* Handle and mount of an open object (any level). -EOVERFLOW: handles too long for ours. */
int cow_fh_of(int fd, struct cow_fh *ret, int *ret_mnt_id);
/* The same of a name in a directory; does not follow links. */
int cow_fh_of_name(int dirfd, const char *name, struct cow_fh *ret, int *ret_mnt_id);
/* Open by handle on the instance's mount. Return: fd or -errno. */
int cow_fh_open(struct cow_ovl_inst *i, const struct cow_fh *fh, int flags);

/* ---- node.c */
void cow_key_of_upper(const struct cow_fh *fh, struct cow_key *ret);
void cow_key_of_number(uint32_t number, struct cow_key *ret);
/* Counted node if it is in memory, else NULL. */
struct cow_ovl_node *cow_node_find(struct cow_ovl_inst *i, const struct cow_key *key);
/* Find or make the node of an object born in the upper. */
int cow_node_intern(struct cow_ovl_inst *i, const struct cow_fh *fh, uint64_t id, mode_t type,
		    struct cow_ovl_node **ret);
/* Find or make the node of an image object. @up: handle of its upper; NULL: it has none. */
int cow_node_intern_low(struct cow_ovl_inst *i, uint32_t number, const struct cow_fh *up,
			struct cow_ovl_node **ret);
/* The table's memory, when the last node is gone. */
void cow_nodes_free(struct cow_ovl_inst *i);
/* Take a reference unless the last one is gone. */
bool cow_node_try_get(struct cow_ovl_node *n);
/* Has the object several names in the image? */
bool cow_node_linked(const struct cow_ovl_node *n);

/* ---- upper.c: what an object of the upper tree is */
/*
 * cow_upper_node - node of an upper object just opened with O_PATH or better.
 * @dir:  directory it was found in; NULL: found by handle or by "..", which finds only what says
 *	  itself what it is.
 * @low:  what the image has under this name in @dir; NULL: nothing.
 * @fd:   taken over, also on failure; goes to the cache as @level.
 * Return: 0; -EXDEV another mount, file system or subvolume; -ESTALE no name left; -ENOENT a
 * whiteout; -ENOMEM…
 */
int cow_upper_node(struct cow_ovl_inst *i, struct cow_ovl_node *dir, const struct cow_man_ent *low,
		   int fd, unsigned level, struct cow_ovl_node **ret);
/* The same for what was just made in the upper and is no image object. @ret_attr may be NULL. */
int cow_upper_made(struct cow_ovl_inst *i, int fd, unsigned level, struct cow_ovl_node **ret,
		   struct cow_ovl_attr *ret_attr);
/* Node of an upper file system's handle that is kind U. */
int cow_upper_from_fh(struct cow_ovl_inst *i, const struct cow_fh *fh, struct cow_ovl_node **ret);

/* ---- fdcache.c: see there */
enum {
	COW_FD_PATH,  /* O_PATH: any type */
	COW_FD_READ,  /* O_RDONLY: regular files */
	COW_FD_WRITE, /* O_RDWR: regular files */
};
struct cow_fd {
	int fd; /* -1 after its instance was closed */
	unsigned level;
	/* guarded by the cache lock: */
	unsigned users;
	bool drop;  /* close when the last user leaves */
	bool lower; /* of the image's object: not for a node that has an upper */
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *node; /* whose slot holds us; NULL: replaced or private */
	TAILQ_ENTRY(cow_fd) idle;  /* linked while users == 0 */
	LIST_ENTRY(cow_fd) all;	   /* linked while fd >= 0 */
};

/* Cached or newly opened fd of at least @level. Inside an operation. Put with cow_fd_put(). */
int cow_fd_get(struct cow_ovl_node *n, unsigned level, struct cow_fd **ret);
/* Give an fd to the cache and use it; @fd is taken over, also on failure. @n NULL: private. */
int cow_fd_adopt(struct cow_ovl_inst *i, struct cow_ovl_node *n, int fd, unsigned level,
		 struct cow_fd **ret);
void cow_fd_put(struct cow_fd *f); /* NULL is fine; also outside an operation */
COW_DEFINE_AUTO(struct cow_fd, cow_fd_put)
#define cow_autofd COW_CLEANUP(cow_auto_cow_fd_put) struct cow_fd *
/* The object lost a name: keep no idle fd that would hold its space. */
void cow_fd_forget(struct cow_ovl_node *n);
/* The object has an upper from now on: its handle is @up, no fd of the image counts any more. */
void cow_fd_went_up(struct cow_ovl_node *n, const struct cow_fh *up);
/* The last reference to the node is gone. */
void cow_fd_node_gone(struct cow_ovl_node *n);
/* Close every fd of an instance. Only under freeze, exclusive. */
void cow_fd_purge(struct cow_ovl_inst *i);
size_t cow_fd_count(struct cow_ovl_inst *i);
/* True: worth trying again, after EINTR or after room was made for EMFILE and ENFILE. */
bool cow_fd_again(int errnum);
/* An expression that gives an fd or -1, tried again while there is something to close. */
#define COW_FD_TRY(expr)                                                                           \
	({                                                                                         \
		int fd_;                                                                           \
		do {                                                                               \
			fd_ = (expr);                                                              \
		} while (fd_ < 0 && cow_fd_again(errno));                                          \
		fd_;                                                                               \
	})

/* ---- attr.c */
/* Attributes of an open object of @n. -ESTALE: no name and no open left. */
int cow_attr_of(struct cow_ovl_node *n, int fd, struct cow_ovl_attr *ret);
/* Attributes before there is a node: checks file system and subvolume, takes nlink as it is. */
int cow_attr_of_fd(struct cow_ovl_inst *i, int fd, struct cow_ovl_attr *ret);
/* Attributes of a node, wherever it is. No `names` may be held. */
int cow_attr_get(struct cow_ovl_node *n, struct cow_ovl_attr *ret);
int cow_set_check(const struct cow_ovl_set *set, mode_t type);
/* Apply a checked set through @f; which level it needs: cow_set_level(). */
int cow_set_apply(struct cow_ovl_node *n, const struct cow_fd *f, const struct cow_ovl_cred *cred,
		  const struct cow_ovl_set *set);
unsigned cow_set_level(const struct cow_ovl_set *set);
/* chmod through an fd of any level. */
int cow_fd_chmod(const struct cow_fd *f, mode_t mode);
/* What every change of data does to capabilities. */
int cow_strip_caps(int fd);
/* What write(2) by @cred does to setuid and setgid; nothing for root. */
int cow_strip_for(const struct cow_fd *f, const struct cow_ovl_cred *cred);
void cow_node_bump(struct cow_ovl_node *n);

/* "/proc/self/fd/N": the object itself, whatever its type and the fd's level. */
#define COW_PROC_PATH_LEN 32
void cow_proc_path(int fd, char ret[COW_PROC_PATH_LEN]);

/* ---- lookup.c */
/* Name checked and terminated. -EINVAL, -ENAMETOOLONG. */
int cow_name_copy(const char *name, size_t len, char ret[COW_NAME_MAX + 1]);
/* An -ENOENT below a directory that is itself gone is -ESTALE; everything else is passed on. */
int cow_gone_is_stale(int dirfd, int r);
int cow_parent_entered(struct cow_ovl_node *dir, struct cow_ovl_node **ret);
/* O_PATH of a name in an upper directory. Return: fd; -ENOENT; -EXDEV. */
int cow_open_name(int dirfd, const char *name);
/* A name in a directory that is not one of the image, by the upper alone. */
int cow_lookup_upper(struct cow_ovl_node *dir, int dirfd, const char *name,
		     struct cow_ovl_node **ret);

/* ---- view.c: a name in a directory of two layers */
enum cow_what {
	COW_NOTHING,
	COW_LOWER, /* shows the image's object */
	COW_UPPER, /* shows the upper's */
};
struct cow_view {
	enum cow_what what;
	bool covered; /* nothing, because a whiteout is there */
	bool lower;   /* the image has the name here, so that removing leaves a whiteout */
	struct cow_man_ent low; /* with lower */
	mode_t type;		/* with COW_UPPER: S_IF*, 0 not known */
	uint64_t ino;		/* likewise: inode number in the upper file system */
	uint32_t number;	/* likewise: of an image object; 0: see known */
	bool known;		/* number is final */
};
/*
 * cow_names_lock - lock up to three directories for change, or one for look-ups, each with what is
 * needed to answer in memory. NULLs and twins are allowed.
 * Return: 0 or -errno, then nothing is locked.
 */
int cow_names_lock(struct cow_ovl_node *a, struct cow_ovl_node *b, struct cow_ovl_node *c);
void cow_names_unlock(struct cow_ovl_node *a, struct cow_ovl_node *b, struct cow_ovl_node *c);
int cow_names_lock_shared(struct cow_ovl_node *dir);
void cow_names_unlock_shared(struct cow_ovl_node *dir);
/* The directory needs no lock to be looked into: it is not one of the image. */
static inline bool cow_dir_simple(const struct cow_ovl_node *dir)
{
	return dir->low == 0;
}
/* What does @name show? Needs the names lock. @dirfd: upper directory; -1: it has none. */
int cow_view_locked(struct cow_ovl_node *dir, int dirfd, const char *name, size_t len,
		    struct cow_view *ret);
/* The node of a view that shows something. */
int cow_view_node_locked(struct cow_ovl_node *dir, int dirfd, const char *name,
			 const struct cow_view *v, struct cow_ovl_node **ret);
/* The same where the node is in memory as a rule, since somebody has just looked the name up. */
int cow_view_victim_locked(struct cow_ovl_node *dir, int dirfd, const char *name,
			 const struct cow_view *v, struct cow_ovl_node **ret);
/* Nothing visible in it? 1, 0 or -errno. Needs the names lock of @dir, exclusive. */
int cow_dir_empty_locked(struct cow_ovl_node *dir);

/* ---- delta.c: what an upper directory adds to and hides from the image's */
struct cow_dent {
	uint64_t cookie, ino;
	uint32_t number; /* of an image object; 0: none, or not looked at yet */
	bool known;	 /* number is final */
	bool whiteout;
	bool low; /* the image has the name here */
	uint8_t len;
	mode_t type;
	char name[]; /* terminated */
};
struct cow_delta;
int cow_delta_new(struct cow_delta **ret);
void cow_delta_free(struct cow_delta *d); /* NULL is fine */
/* Read the whole upper directory. */
int cow_delta_load(struct cow_ovl_node *dir, int dirfd, struct cow_delta **ret);
struct cow_dent *cow_delta_find(struct cow_ovl_node *dir, const char *name, size_t len);
/*
 * Tell the delta of a directory what was just done in it; on lack of memory it is dropped and read
 * again at next use, so these cannot fail. No-ops where there is no delta.
 */
void cow_delta_put(struct cow_ovl_node *dir, const char *name, const struct cow_dent *like);
void cow_delta_whiteout(struct cow_ovl_node *dir, const char *name);
void cow_delta_remove(struct cow_ovl_node *dir, const char *name);
/* First entry with a cookie above @cookie, or NULL. */
const struct cow_dent *cow_delta_after(const struct cow_delta *d, uint64_t cookie);
size_t cow_delta_count(const struct cow_delta *d);
size_t cow_delta_visible(const struct cow_delta *d); /* no whiteouts */
size_t cow_delta_covers(const struct cow_delta *d);  /* names of the image replaced or hidden */

/* ---- ident.c: attributes of upper objects, see idattr.h; @fd of any level */
bool cow_ident_can_read(void); /* may this process see them? */
/* *ret 0: not an image object. -EBADMSG: damaged or of another image, which is not the same as an
 * -EIO of the disk. */
int cow_ident_read(struct cow_ovl_inst *i, int fd, uint32_t *ret);
int cow_ident_write(struct cow_ovl_inst *i, int fd, uint32_t number);
int cow_opaque_read(int fd); /* 1, 0 or -errno */
int cow_opaque_write(int fd);
int cow_redirect_write(struct cow_ovl_inst *i, int fd, uint32_t number);
int cow_origin_has(int fd); /* 1, 0 or -errno */
/* @lowfd: the image's object, any level. @fsfd: what ioctl(2) can be asked on its file system, so none
 * of O_PATH. Silently nothing where the kernel could not use it. */
int cow_origin_write(int fd, int lowfd, int fsfd);
int cow_impure_get(int fd); /* 1, 0 or -errno */
int cow_impure_set(int fd);
int cow_impure_need(struct cow_ovl_node *dir, int dirfd); /* mark it, once */
int cow_impure_is(struct cow_ovl_node *dir, int dirfd);	  /* 1, 0 or -errno */

/* ---- number.c: from a number to its node */
int cow_numbers_load(struct cow_ovl_inst *i);
void cow_numbers_free(struct cow_numbers *m); /* NULL is fine */
/*
 * cow_by_number - node of an image object, wherever it is now. No `names` may be held.
 * Return: 0; -ESTALE it has no name left (and no open); -ENOMEM, -EIO…
 */
int cow_by_number(struct cow_ovl_inst *i, uint32_t number, struct cow_ovl_node **ret);
/* Upper of an image object with several names there, if it has been brought up. */
bool cow_anchor_find(struct cow_ovl_inst *i, uint32_t number, struct cow_fh *ret);
/* Give the unnamed or temporary object @fd its anchor, before any other name. */
int cow_anchor_add(struct cow_ovl_inst *i, uint32_t number, int fd, const struct cow_fh *fh);
void cow_anchor_drop(struct cow_ovl_inst *i, uint32_t number);
/* Upper of an image object that says itself what it is. -ENOENT there is none. */
int cow_moved_find(struct cow_ovl_inst *i, uint32_t number, struct cow_fh *ret);
/* An object of the image got a name away from home: remember where it is. */
void cow_moved_add(struct cow_ovl_node *n);
/* Names of an image object that has several in the image; needs n->copying. */
int cow_count_names(struct cow_ovl_node *n, uint32_t *ret);
/* @n lost a name, in a call that holds no lock any more. */
void cow_lost_a_name(struct cow_ovl_node *n);

/* ---- copyup.c */
/*
 * cow_bring_up - give an object its upper.
 * @set: changes to make on the way, so that they and the copy are one step; NULL: none. Checked.
 * @ret_done: true: @set is made. NULL without @set.
 * Holds no `names` of the caller. Crash: the image's object shows, or the whole copy does (I2).
 * Return: 0; -ESTALE no name and no open; -ENOSPC, -EDQUOT, -EIO: nothing has changed.
 */
int cow_bring_up(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
		 const struct cow_ovl_set *set, bool *ret_done);
/* After a change to a directory that its users did not ask for. */
void cow_restore_times(int dirfd, const struct stat *before);
/* The last open of @n was closed: let go of the upper that was kept for those made before it. */
void cow_unpin(struct cow_ovl_node *n);

/* An object that loses a name: what keeps it where that was the last one (COW_OVL_LOCAL). Before and,
 * if it is done, after the removal. */
int cow_keep_begin(struct cow_ovl_node *n, struct cow_fd **ret);
void cow_keep_end(struct cow_ovl_node *n, struct cow_fd *f);

/* Does it work without a name? */
static inline bool cow_node_used(const struct cow_ovl_node *n)
{
	return atomic_load(&n->opens) > 0 || atomic_load(&n->kept);
}
/* ---- copydata.c: the first @len bytes, holes kept. Sets *ret_cloned when nothing was copied. */
int cow_copy_data(int in, int out, uint64_t len, bool *ret_cloned);
/* Owner, mode, xattrs, times of an image object onto a new upper one; @set wins over them. */
int cow_copy_attrs(struct cow_ovl_inst *i, uint32_t number, int fd);
int cow_copy_times(struct cow_ovl_inst *i, uint32_t number, int fd);
/* The same from one upper object to another, of both any level. */
int cow_copy_looks(int from, int to);

/* ---- xattr.c: an attribute no client sees */
bool cow_xattr_hidden(const char *stored);

/* ---- work.c */
#define COW_TEMP_LEN 24
void cow_temp_name(struct cow_ovl_inst *i, char ret[COW_TEMP_LEN]);
/* Whatever @name in work/work is, it goes; a failure leaves it for the next attach (I3). */
void cow_work_drop(struct cow_ovl_inst *i, const char *name);
int cow_work_sweep(struct cow_ovl_inst *i);
/* A link of the shared whiteout as @name, which must not exist. */
int cow_whiteout_link(struct cow_ovl_inst *i, int dirfd, const char *name);
/* The same under a fresh name in work/work. */
int cow_whiteout_temp(struct cow_ovl_inst *i, char ret[COW_TEMP_LEN]);
bool cow_is_whiteout(mode_t mode, dev_t rdev);
/* A place in work/work where a new object is born as if in @dirfd: setgid, default ACL. */
struct cow_stage {
	int fd;
	char name[COW_TEMP_LEN]; /* "": work/work itself */
};
int cow_stage_begin(struct cow_ovl_inst *i, int dirfd, struct cow_stage *ret);
void cow_stage_end(struct cow_ovl_inst *i, struct cow_stage *s);

/* ---- names.c */
/* A directory about to be changed: brought up, its upper open. */
int cow_dir_up(struct cow_ovl_node *dir, struct cow_fd **ret);
/* -EEXIST the name is there for sure; 0: look again under the lock. */
int cow_name_free(struct cow_ovl_node *dir, const char *name, size_t len);
/* @n is about to get a name in @dir that the image does not give it. */
int cow_mark_away(struct cow_ovl_node *n, const struct cow_fd *f, struct cow_ovl_node *dir,
		  int dirfd);
/* @n lost a name that showed @what; needs the names lock. Then cow_lost_a_name() without it. */
void cow_unnamed(struct cow_ovl_node *n, enum cow_what what);
/* Whiteouts in a directory of the upper alone mean nothing but keep it from being removed or
 * replaced. -ENOTEMPTY: it holds something else. */
int cow_drop_strays(int dirfd);
/* For a change, a name that leads out of the tree is busy where it is a mount point. */
int cow_not_ours(struct cow_ovl_inst *i, int dirfd, const char *name, int r);
int cow_check_ours(struct cow_ovl_inst *i, int dirfd, const char *name);

/* ---- limit.c: what a root may use; all no-ops without a limit */
struct cow_reserved {
	uint64_t bytes;
};
/* Room for a new object of @bytes. -ENOSPC. Followed by settle or cancel. */
int cow_limit_take(struct cow_ovl_inst *i, uint64_t bytes, struct cow_reserved *ret);
/* Room for a change of a range of an upper file. -ENOSPC. Likewise. */
int cow_limit_grow(struct cow_ovl_node *n, int fd, uint64_t off, uint64_t len,
		   struct cow_reserved *ret);
/* The change is made, or not: count what the object costs now. */
void cow_limit_settle(struct cow_ovl_node *n, int fd, struct cow_reserved *res);
void cow_limit_cancel(struct cow_ovl_inst *i, struct cow_reserved *res);
/* @n lost a name and, if it was the last, will cost nothing from the last close on. */
void cow_limit_lost_name(struct cow_ovl_node *n);
void cow_limit_closed(struct cow_ovl_node *n);
void cow_limit_statfs(struct cow_ovl_inst *i, struct cow_ovl_statfs *st);

/* ---- readdir_layers.c */
int cow_readdir_layers(struct cow_ovl_node *dir, uint64_t cookie, unsigned flags,
		       cow_ovl_readdir_fn fn, void *ctx, int *ret_eof);

/* ---- cred.c */
struct cow_cred_saved;
bool cow_cred_is_root(const struct cow_ovl_cred *cred); /* NULL is root */
bool cow_cred_has_group(const struct cow_ovl_cred *cred, gid_t gid);
/*
 * Make new objects of this thread belong to the caller, and give back. Between the two calls only
 * the system call that creates.
 */
int cow_cred_assume(const struct cow_ovl_cred *cred, struct cow_cred_saved **ret);
void cow_cred_restore(struct cow_cred_saved *s); /* NULL is fine */

/* ---- sync.c */
/* @writes: it may be written to. */
int cow_domain_get(int dirfd, bool writes, struct cow_domain **ret);
void cow_domain_put(struct cow_domain *d); /* NULL is fine */
/*
 * One sync that began after the call is over; shared with other callers.
 * commit: names and attributes are on disk, as of all changes before; sync: data too.
 */
int cow_domain_commit(struct cow_domain *d, struct cow_ovl_inst *i);
int cow_domain_sync(struct cow_domain *d, struct cow_ovl_inst *i);
/* Copies brought up so far are on disk with their names and all directories above, or get there. */
int cow_inst_settle(struct cow_ovl_inst *i);
/* Only by group commits? */
bool cow_sync_whole(const struct cow_ovl_inst *i);
/* fdatasync(2) or fsync(2), or what has to take its place. No `names` may be held. */
int cow_sync_fd(struct cow_ovl_inst *i, int fd, bool data_only);
/* The end of every operation that changed names or attributes. */
int cow_inst_commit(struct cow_ovl_inst *i);

#endif
