/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The copy-on-write tree engine. Front ends (NFS plugin, FUSE, TFTP) map their protocol onto this
 * handle- and node-based interface and hold no file-system logic of their own.
 *
 *	instance   one client's root: a directory holding `instance`, `lock` and the tree's layers
 *	node       one object (file, directory, link, device) of an instance, counted
 *	open       one use of a regular file's data, counted against unlink
 *	handle     bytes that name a node across restarts; authenticated, bound to instance and epoch
 *
 * A *plain* instance has no lower layer: its data is the directory `tree/` (on btrfs a writable
 * snapshot of the image). Instances with a lower layer (manifest below, kernel-format upper above)
 * are opened through the same calls with a `struct cow_ovl_image`.
 *
 * Rules for all calls
 *  - 0 (or a count) or a negative errno; `ret_` arguments are written on success only.
 *  - Names are counted bytes, one component: 1..255 bytes, no '/', no NUL, not "." or "..", else
 *    -EINVAL (-ENAMETOOLONG when longer).
 *  - The engine acts as root. The caller's credentials give ownership at birth; permission checks
 *    belong to the front end. The process's umask must be 0.
 *  - Threads: any, also on one object. No lock is held while a callback runs.
 *  - A node whose object is gone, and every node of a closed instance, answers -ESTALE; but see
 *    COW_OVL_LOCAL.
 *  - Durability follows the instance's mode (enum cow_ovl_durability). In `strict` a call that
 *    changed names or attributes returns after the change is on disk (I2). That says nothing of data
 *    that was written and not committed.
 */
#ifndef COW_OVERLAY_OVERLAY_H
#define COW_OVERLAY_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"

struct cow_ovl_image; /* golden image: manifest and data root */
struct cow_ovl_inst;
struct cow_ovl_node;
struct cow_ovl_open;
struct cow_ovl_attr;

/* ---------------------------------------------------------------- instance */

enum cow_ovl_durability {
	COW_OVL_STRICT,	  /* changes of names and attributes answered after a group commit */
	COW_OVL_RELAXED,  /* they ride the file system's journal; commit of data is honoured */
	COW_OVL_VOLATILE, /* nothing is synced; after a crash the root is refused */
};

/* "strict", "relaxed", "volatile". -EINVAL. */
int cow_ovl_durability_parse(const char *s, enum cow_ovl_durability *ret);
const char *cow_ovl_durability_name(enum cow_ovl_durability d);

struct cow_ovl_create_opts {
	enum cow_ovl_durability durability;
};

/*
 * cow_ovl_inst_create - make the instance record of a new root.
 * @dirfd: the root's directory (STORE/clients/MAC/roots/N); for a plain instance `tree/` is in it,
 *	   else upper/ is made in it.
 * @img:   NULL: plain
 * Crash:  without a complete `instance` file the directory is no instance and is swept (I3).
 * Return: 0; -EEXIST has one; -ENOENT no tree/; -ENOSPC; -EIO.
 */
int cow_ovl_inst_create(int dirfd, const struct cow_ovl_image *img,
			const struct cow_ovl_create_opts *opts, struct cow_err *err);

/*
 * cow_ovl_inst_create_peek - make a fresh root on an image without loading it: `upper/` as a copy of
 * the image's root directory, and the instance record. Costs the same for every image; `work/` is
 * made at the first attach.
 * @dirfd:       the root's directory; an `upper/` that is there is kept
 * @image_dirfd: holds image.ovm, of which only the header is read, and tree/
 * Crash:  as cow_ovl_inst_create(), but for this: nothing is synced, the record neither. Whoever
 *         publishes the root syncs it as a whole first.
 * Return: as cow_ovl_inst_create() and cow_ovl_image_peek().
 */
int cow_ovl_inst_create_peek(int dirfd, int image_dirfd, const struct cow_ovl_create_opts *opts,
			     struct cow_err *err);

/*
 * cow_ovl_seed_begin - put files into a fresh overlay root before it is attached for the first time.
 * @dirfd, @image_dirfd: as above; `upper/` exists. Both are used until cow_ovl_seed_end().
 * Paths are relative, and resolved as the machine that boots the root would do it: symbolic links in
 * the image are followed inside the image. The last component is never followed. Missing directories
 * are made: copies of the image's in the kernel's format where it has them, else 0755 and root's.
 * The times of directories stay those of the image. Nothing is synced.
 * Threads: one per root.
 */
struct cow_ovl_seed;
int cow_ovl_seed_begin(int dirfd, int image_dirfd, struct cow_ovl_seed **ret, struct cow_err *err);
void cow_ovl_seed_end(struct cow_ovl_seed *s); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_ovl_seed, cow_ovl_seed_end)
#define cow_autoseed COW_CLEANUP(cow_auto_cow_ovl_seed_end) struct cow_ovl_seed *

/* Replace or make a regular file. Owner and mode of a regular file the image has there are kept, else
 * it belongs to root and gets @mode. Return: 0; -EISDIR; -ENOTDIR, -ELOOP on the way; -errno. */
int cow_ovl_seed_file(struct cow_ovl_seed *s, const char *path, const void *buf, size_t len,
		      mode_t mode);
/* Replace or make a symbolic link, which later paths do not follow. */
int cow_ovl_seed_symlink(struct cow_ovl_seed *s, const char *path, const char *target);

enum {
	/* Look only: no lock, nothing cached between calls, every change is -EROFS. Works while a
	 * front end serves the same root. */
	COW_OVL_OBSERVER = 1 << 0,
	/* As a kernel's own file system is used: a strict root is relaxed, since its users' fsync(2)
	 * reaches us; and a node works on after its last name is gone, for as long as it is held. */
	COW_OVL_LOCAL = 1 << 1,
	/* The root is being made: nothing of it is synced, its record neither. Whoever publishes it syncs it as a
	 * whole first; until then a crash leaves what is swept. Whatever its durability, which it keeps. */
	COW_OVL_STAGED = 1 << 2,
};

/*
 * cow_ovl_inst_open - attach an instance.
 * Takes `lock` (unless observer), reads the newer valid slot of `instance`, checks that the tree is
 * the one it was made with (a copied or restored tree gets a new epoch), sweeps leftovers.
 * Return: 0; -EBUSY attached elsewhere, or its upper is that of a mounted overlay; -ENOENT no instance
 *         here; -EBADMSG record damaged; -ESTALE a volatile root after a crash, or another image;
 *         -EINVAL unknown flag.
 * Privilege: CAP_DAC_READ_SEARCH (handles); with an image below CAP_SYS_ADMIN too, else -EPERM, see
 * cow_ovl_set_mark_reader().
 */
int cow_ovl_inst_open(int dirfd, struct cow_ovl_image *img, unsigned flags,
		      struct cow_ovl_inst **ret, struct cow_err *err);

/*
 * cow_ovl_inst_close - detach: sync (volatile too: a clean mark speaks of data on disk), mark clean,
 * give the lock and every fd back.
 * Nodes and opens that are still held stay valid as memory and answer -ESTALE; the last put frees.
 * NULL is fine. Return: 0 or the error of the last sync (the instance is closed all the same).
 */
int cow_ovl_inst_close(struct cow_ovl_inst *i);

/*
 * cow_ovl_inst_hold_as - what others are told who find the instance attached: "PROGRAM pid N on PATH".
 * Forgotten when it is detached. Return: 0; -ENAMETOOLONG; -EROFS an observer; -errno.
 * cow_ovl_inst_holder - read it. Return: 0, perhaps with ""; -ENOENT nobody has it attached; -errno.
 */
#define COW_OVL_HOLDER_MAX 4352 /* with a path and its terminator */
int cow_ovl_inst_hold_as(struct cow_ovl_inst *i, const char *who);
int cow_ovl_inst_holder(int dirfd, char ret[COW_OVL_HOLDER_MAX]);

/* Epoch: changes with every swap of the root and with nothing else; part of each handle. */
uint64_t cow_ovl_inst_epoch(const struct cow_ovl_inst *i);
enum cow_ovl_durability cow_ovl_inst_durability(const struct cow_ovl_inst *i);

/*
 * cow_ovl_inst_renew - give a detached instance a new random epoch and key, so that every handle
 * given out so far is dead (rollback to a kept root).
 * Return: 0; -EBUSY attached.
 */
int cow_ovl_inst_renew(int dirfd, uint64_t *ret_epoch, struct cow_err *err);

/* @path: below upper/, with a leading slash, or "work/…". Non-zero stops. */
typedef int (*cow_ovl_check_fn)(void *ctx, const char *path, const char *what);

/*
 * cow_ovl_inst_check - look for what must not be in a root with an image below: marks that
 * contradict each other or the image, lost marks, leftovers. Changes nothing; runs beside a server.
 * Return: number of findings; the callback's value; -errno, as cow_ovl_inst_open().
 */
int64_t cow_ovl_inst_check(int dirfd, struct cow_ovl_image *img, cow_ovl_check_fn fn, void *ctx,
			   struct cow_err *err);

/* Read the epoch of a detached or attached instance from its record. */
int cow_ovl_inst_read_epoch(int dirfd, uint64_t *ret_epoch, struct cow_err *err);

enum cow_ovl_change_kind {
	COW_CHANGE_ADDED,
	COW_CHANGE_MODIFIED,   /* content, target or type differ, perhaps attributes too */
	COW_CHANGE_ATTRIBUTES, /* nothing but attributes */
	COW_CHANGE_DELETED,    /* with everything below it */
	COW_CHANGE_MOVED,      /* perhaps modified too */
};
enum {
	COW_CHANGED_DATA = 1 << 0, /* content, or target of a link, or number of a device */
	COW_CHANGED_TYPE = 1 << 1,
	COW_CHANGED_MODE = 1 << 2,
	COW_CHANGED_OWNER = 1 << 3,
	COW_CHANGED_MTIME = 1 << 4, /* not looked at for directories */
	COW_CHANGED_XATTRS = 1 << 5,
};
struct cow_ovl_change {
	enum cow_ovl_change_kind kind;
	unsigned what;	      /* COW_CHANGED_*; 0 for ADDED and DELETED */
	mode_t type;	      /* S_IF* of what is there now; DELETED: of what was */
	const char *path;     /* no leading slash; "" is the root itself */
	const char *old_path; /* MOVED: where the image has it; else NULL */
};
/* A non-zero value stops. */
typedef int (*cow_ovl_diff_fn)(void *ctx, const struct cow_ovl_change *change);

/*
 * cow_ovl_inst_diff - what a root changed of its image, by path. Walks `upper/` alone and takes no
 * lock: works on a detached root and beside a server, which may change things meanwhile.
 * @fn: called after the walk, sorted by path (bytes)
 * An object that was moved is found by its own mark (ours, or the kernel's redirect of directories);
 * a file that the kernel's overlayfs moved is one deletion and one addition.
 * Return: 0; the callback's value; -ELOOP deeper than COW_DEPTH_MAX or more open directories than
 * allowed; -errno.
 */
int cow_ovl_inst_diff(int dirfd, const struct cow_ovl_image *img, cow_ovl_diff_fn fn, void *ctx,
		      struct cow_err *err);

/* One difference between two versions of an image. */
struct cow_ovl_image_change {
	enum cow_ovl_change_kind kind; /* never MOVED */
	unsigned what;		       /* COW_CHANGED_*; 0 for ADDED and DELETED */
	mode_t type;		       /* S_IF* of what is there now; DELETED: of what was */
	const char *path;	       /* no leading slash; "" is the root itself */
	uint64_t old_size, size;       /* of regular files; 0: it is none, or not there */
};
/* A non-zero value stops. */
typedef int (*cow_ovl_image_diff_fn)(void *ctx, const struct cow_ovl_image_change *change);

/*
 * cow_ovl_image_diff - what @new_img has that @old_img has not, and the other way round, by name, a
 * directory before what is in it. Opens no file: content is compared by the digests of the manifests.
 * Return: 0; the callback's value; -ENOMEM. Threads: any.
 */
int cow_ovl_image_diff(const struct cow_ovl_image *old_img, const struct cow_ovl_image *new_img,
		       cow_ovl_image_diff_fn fn, void *ctx);

/*
 * Objects of an image by their numbers, for who compares three trees. Nothing here makes a system call.
 * cow_ovl_image_number - of the object at @path (no leading slash, "" the root); 0: none.
 * cow_ovl_image_has - is there an object with this number?
 * cow_ovl_image_attr - what the manifest says of it.
 * cow_ovl_image_xattr - its attribute number @idx, by name; false: it has not so many. Valid as long as the image.
 * cow_ovl_image_names - all paths of it, one but for hard links; the callback's non-zero value stops.
 * cow_ovl_image_linked - the next object after number @after that has several names; 0: none.
 * cow_ovl_image_compare - COW_CHANGED_* of @n in @new_img against @o in @old_img; 0: the same.
 * @number, @o, @n: there is such an object.
 */
uint32_t cow_ovl_image_number(const struct cow_ovl_image *img, const char *path);
bool cow_ovl_image_has(const struct cow_ovl_image *img, uint32_t number);
void cow_ovl_image_attr(const struct cow_ovl_image *img, uint32_t number,
			struct cow_ovl_attr *ret);
bool cow_ovl_image_xattr(const struct cow_ovl_image *img, uint32_t number, size_t idx,
			 const char **ret_name, const void **ret_value, size_t *ret_len);
int cow_ovl_image_names(const struct cow_ovl_image *img, uint32_t number,
			int (*fn)(void *ctx, const char *path), void *ctx);
uint32_t cow_ovl_image_linked(const struct cow_ovl_image *img, uint32_t after);
unsigned cow_ovl_image_compare(const struct cow_ovl_image *old_img, uint32_t o,
			       const struct cow_ovl_image *new_img, uint32_t n);

/* Everything changed so far is on disk when it returns. Observer: -EROFS. */
int cow_ovl_inst_sync(struct cow_ovl_inst *i);

/*
 * cow_ovl_inst_limit - how many bytes a root with an image below may use in its upper; 0: no limit.
 * More is -ENOSPC, to this root alone; what is there stays readable and can be removed. Counts the
 * upper once, which takes some microseconds for each object in it, with all calls waiting.
 * Return: 0; -EOPNOTSUPP a plain root; -EROFS an observer; -EIO, -ESTALE.
 */
int cow_ovl_inst_limit(struct cow_ovl_inst *i, uint64_t bytes);

struct cow_ovl_statfs {
	uint64_t bytes_total, bytes_free, bytes_avail;
	uint64_t files_total, files_free;
	uint32_t name_max;
};
int cow_ovl_statfs(struct cow_ovl_inst *i, struct cow_ovl_statfs *ret);

struct cow_ovl_stats {
	uint64_t nodes, opens, fds, fd_opens, commits, commit_waits;
	uint64_t kept; /* nodes without a name that somebody holds: their space comes back later */
	uint64_t limit, used; /* bytes; used only with a limit */
};
void cow_ovl_stats(struct cow_ovl_inst *i, struct cow_ovl_stats *ret);

/*
 * cow_ovl_set_mark_reader - objects of an upper are marked by attributes trusted.*, which the kernel
 * shows to CAP_SYS_ADMIN alone. A process that has given it up names here who reads them for it.
 * @read: as getxattr(2) of an open file, also an O_PATH one; bytes or -errno. From any thread.
 *	  NULL: the engine itself.
 * Threads: before the first attach. Observers only: nobody sets marks for the process.
 */
void cow_ovl_set_mark_reader(ssize_t (*read)(int fd, const char *name, void *buf, size_t len));

/* The other end: read a mark. Return: bytes; -EPERM @name is no mark of ours; -errno of getxattr(2).
 * Privilege: CAP_SYS_ADMIN. */
ssize_t cow_ovl_mark_read(int fd, const char *name, void *buf, size_t len);

/* Ceiling of file descriptors all instances of the process keep open for reuse; the default is half
 * of RLIMIT_NOFILE at first use, 65536 at most. Opens in use are not counted. */
void cow_ovl_set_fd_limit(size_t max_fds);

/* ---------------------------------------------------------------- nodes */

/* The root directory; never -ESTALE while attached. Caller puts it. */
int cow_ovl_root(struct cow_ovl_inst *i, struct cow_ovl_node **ret);
struct cow_ovl_node *cow_ovl_get(struct cow_ovl_node *n);
void cow_ovl_put(struct cow_ovl_node *n); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_ovl_node, cow_ovl_put)
#define cow_autonode COW_CLEANUP(cow_auto_cow_ovl_put) struct cow_ovl_node *

/*
 * cow_ovl_forget_all - put every node there is, but the root and those that are open, as often as it
 * was got: for a front end whose holders went without a word, as a kernel does that unmounts.
 * Threads: nothing else is under way.
 */
void cow_ovl_forget_all(struct cow_ovl_inst *i);

/*
 * Handles. Layout (docs/handles.md), all integers little endian:
 *	0 version u8 = 1 | 1 kind u8 'U', 'L' | 2 fh_type u8 | 3 fh_len u8 | 4 instance u32 | 8 epoch u64
 *	16 payload[fh_len] | 16+fh_len mac u64 = SipHash-2-4(instance key, all bytes before)
 * Kind U: payload is the file handle of the upper file system (name_to_handle_at(2)).
 * Kind L: fh_type 0, payload is the number of the object in the image, u64. The *key* of
 * a node is its handle without the mac: what a front end may use to index its own cache.
 */
#define COW_OVL_HANDLE_MAX 44
#define COW_OVL_HANDLE_MAC_LEN 8

/* @buf has COW_OVL_HANDLE_MAX bytes. Never fails. Return: length. */
size_t cow_ovl_handle(const struct cow_ovl_node *n, uint8_t *buf);

/*
 * cow_ovl_handle_check - is this a handle this instance has given out? No system call, no lookup.
 * Return: 0; -EBADMSG malformed or forged; -ESTALE another instance or epoch.
 */
int cow_ovl_handle_check(const struct cow_ovl_inst *i, const uint8_t *buf, size_t len);

/* Node of a handle. Return: 0; as cow_ovl_handle_check(); -ESTALE object gone. Caller puts. */
int cow_ovl_from_handle(struct cow_ovl_inst *i, const uint8_t *buf, size_t len,
			struct cow_ovl_node **ret);

/* File id (inode number) and type (S_IF*), final for the life of the node. */
uint64_t cow_ovl_id(const struct cow_ovl_node *n);
mode_t cow_ovl_type(const struct cow_ovl_node *n);

/* ---------------------------------------------------------------- attributes */

struct cow_ovl_attr {
	uint64_t id;
	uint64_t change; /* differs after every change of data or attributes (ctime in ns) */
	uint64_t size, bytes_used;
	mode_t mode; /* with type */
	uint32_t nlink;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	struct timespec atime, mtime, ctime, btime; /* btime 0 where unknown */
};

enum {
	COW_SET_MODE = 1 << 0,
	COW_SET_UID = 1 << 1,
	COW_SET_GID = 1 << 2,
	COW_SET_SIZE = 1 << 3,
	COW_SET_ATIME = 1 << 4,
	COW_SET_MTIME = 1 << 5,
	COW_SET_ATIME_NOW = 1 << 6, /* the server's clock; wins over COW_SET_ATIME */
	COW_SET_MTIME_NOW = 1 << 7,
};

struct cow_ovl_set {
	unsigned mask; /* COW_SET_*; unknown bits: -EINVAL */
	mode_t mode;   /* permission bits, 07777 */
	uid_t uid;
	gid_t gid;
	uint64_t size;
	struct timespec atime, mtime;
};

/* Caller's identity, already squashed by the front end. */
struct cow_ovl_cred {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t ngroups;
};
extern const struct cow_ovl_cred cow_ovl_root_cred;

int cow_ovl_getattr(struct cow_ovl_node *n, struct cow_ovl_attr *ret);

/*
 * cow_ovl_setattr - change attributes; order: size, owner, mode, times, so that what a chown strips
 * is set again by an explicit mode. A caller that is not root and sets the group of a file whose
 * group he is not in loses setgid, as with chmod(2).
 * Crash: each attribute is old or new; the order above is kept. @ret may be NULL. A failure can come
 * after the change: when it cannot be read back for @ret.
 * Return: 0; -EISDIR size of a directory; -EINVAL size of another type; -EPERM, -ENOSPC, -EDQUOT…
 */
int cow_ovl_setattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
		    const struct cow_ovl_set *set, struct cow_ovl_attr *ret);

/* @buf gets at most @len bytes, no terminator. Return: length of the target; -ERANGE @len too small;
 * -EINVAL no symlink. */
ssize_t cow_ovl_readlink(struct cow_ovl_node *n, char *buf, size_t len);

/*
 * Extended attributes by full name ("user.x"). The engine's own are hidden ("trusted.cowherd.*": get
 * -ENODATA, set -EPERM); "trusted.overlay.*" here are the client's, who may be an overlay himself, and
 * never the engine's: they are stored under another name. @len 0 asks for the size.
 * @flags: 0, XATTR_CREATE, XATTR_REPLACE. Source: xattr(7).
 */
ssize_t cow_ovl_getxattr(struct cow_ovl_node *n, const char *name, void *buf, size_t len);
int cow_ovl_setxattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, const char *name,
		     const void *value, size_t len, int flags);
int cow_ovl_removexattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, const char *name);
/* Names, each with its NUL, as listxattr(2). */
ssize_t cow_ovl_listxattr(struct cow_ovl_node *n, char *buf, size_t len);

/* ---------------------------------------------------------------- names */

/*
 * cow_ovl_lookup - @ret_attr may be NULL. Caller puts the node.
 * Return: 0; -ENOENT; -ENOTDIR; -EXDEV the name is a mount point or another subvolume.
 */
int cow_ovl_lookup(struct cow_ovl_node *dir, const char *name, size_t len,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr);

/* Parent of a directory; of the root: the root. */
int cow_ovl_parent(struct cow_ovl_node *dir, struct cow_ovl_node **ret);

struct cow_ovl_dirent {
	const char *name; /* name_len bytes and a NUL */
	size_t name_len;
	uint64_t cookie; /* continue after this entry; >= 3, below 2^63; valid across restarts */
	uint64_t id;
	mode_t type;		   /* S_IF* */
	struct cow_ovl_node *node; /* with COW_READDIR_NODES; borrowed, cow_ovl_get() to keep */
	const struct cow_ovl_attr *attr; /* with COW_READDIR_NODES */
};

/* Return: 0 go on; > 0 stop, the entry was taken; < 0 stop, the entry was not taken, passed on. */
typedef int (*cow_ovl_readdir_fn)(void *ctx, const struct cow_ovl_dirent *ent);

enum {
	COW_READDIR_NODES = 1 << 0,
};

/*
 * cow_ovl_readdir - entries after @cookie (0: from the start), without "." and "..".
 * An entry present during the whole scan is reported exactly once, whatever is created or removed
 * meanwhile. An entry that vanishes between listing and look-up is left out.
 * @ret_eof: 1 when the end was reached. Return: 0; the callback's negative value; -errno.
 */
int cow_ovl_readdir(struct cow_ovl_node *dir, uint64_t cookie, unsigned flags,
		    cow_ovl_readdir_fn fn, void *ctx, int *ret_eof);

struct cow_ovl_create {
	mode_t type;		/* S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK */
	mode_t mode;		/* permission bits */
	dev_t rdev;		/* devices */
	const char *target;	/* symlinks: 1..COW_SYMLINK_MAX bytes, terminated */
	struct cow_ovl_set set; /* further attributes; mode and owner above them */
};

/*
 * cow_ovl_create - make a new object owned by the caller; setgid directories and default ACLs act
 * as on a local file system. Never opens an existing one.
 * Return: 0; -EEXIST; -EPERM (character device 0/0: reserved); -ENOSPC, -EDQUOT, …
 * Crash: the object is there with its type, owner and mode, or it is not.
 */
int cow_ovl_create(struct cow_ovl_node *dir, const char *name, size_t len,
		   const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr);

int cow_ovl_link(struct cow_ovl_node *n, struct cow_ovl_node *dir, const char *name, size_t len,
		 const struct cow_ovl_cred *cred);

enum {
	COW_REMOVE_FILE = 1 << 0, /* only what is not a directory, else -EISDIR */
	COW_REMOVE_DIR = 1 << 1,  /* only an empty directory, else -ENOTDIR, -ENOTEMPTY */
};
int cow_ovl_remove(struct cow_ovl_node *dir, const char *name, size_t len,
		   const struct cow_ovl_cred *cred, unsigned flags);

/* @flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2). */
int cow_ovl_rename(struct cow_ovl_node *dir1, const char *name1, size_t len1,
		   struct cow_ovl_node *dir2, const char *name2, size_t len2, unsigned flags,
		   const struct cow_ovl_cred *cred);

/* ---------------------------------------------------------------- data */

enum {
	COW_OPEN_READ = 1 << 0,
	COW_OPEN_WRITE = 1 << 1,
	COW_OPEN_TRUNC = 1 << 2, /* with COW_OPEN_WRITE */
	/* With COW_OPEN_READ alone: a file of the image is read as it was, also when the client's copy has taken its
	 * place since. Else what is read is what is there now. */
	COW_OPEN_STAY = 1 << 3,
};

/*
 * cow_ovl_open - regular files only (-EISDIR, -EINVAL for others). The data stays readable and
 * writable after the last name is gone, until close. With COW_OPEN_TRUNC a failure may leave it cut.
 */
int cow_ovl_open(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, unsigned flags,
		 struct cow_ovl_open **ret);
void cow_ovl_close(struct cow_ovl_open *o); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_ovl_open, cow_ovl_close)
#define cow_autoopen COW_CLEANUP(cow_auto_cow_ovl_close) struct cow_ovl_open *

/* How many opens of the node may write. */
unsigned cow_ovl_writers(const struct cow_ovl_node *n);

/*
 * cow_ovl_backing - a descriptor of the file, for who reads and writes its data without us, as the
 * kernel can for a FUSE file system. The caller answers for what a write strips.
 * Return: borrowed, valid until the open is closed; -EXDEV the data is the image's; -EDQUOT the root has a
 * limit, so what is written has to be counted; -EROFS an observer.
 */
int cow_ovl_backing(struct cow_ovl_open *o);

/* Is what it reads the image's own, which nobody writes? With COW_OPEN_STAY for as long as it is open. */
bool cow_ovl_open_is_golden(const struct cow_ovl_open *o);

/*
 * cow_ovl_open_golden_id - device and inode of the image's file it reads, the same through every root of the image.
 * Return: 0; -ENOENT it is not the image's, or may become the root's own while it is open; -errno.
 */
int cow_ovl_open_golden_id(const struct cow_ovl_open *o, uint64_t *ret_dev, uint64_t *ret_ino);

/* Node of an open: borrowed. */
struct cow_ovl_node *cow_ovl_open_node(const struct cow_ovl_open *o);

/* Return: bytes; less than asked only at end of file. -EBADF not opened for it. */
ssize_t cow_ovl_read(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt, uint64_t off);

/* The same if it needs no disk. Return: as cow_ovl_read(); -EAGAIN it does, or nobody can tell. */
ssize_t cow_ovl_read_cached(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt,
			    uint64_t off);

enum {
	COW_WRITE_STABLE = 1 << 0,   /* data and what is needed to find it are on disk on return */
	COW_WRITE_GATHERED = 1 << 1, /* not by whoever opened it: setuid and setgid stay */
};
/* Return: bytes, possibly fewer than asked (ENOSPC in the middle). Clears setuid and setgid for a
 * caller that is not root, as write(2) does. */
ssize_t cow_ovl_write(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt, uint64_t off,
		      unsigned flags);

/* @mode: 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE without
 * or with FALLOC_FL_KEEP_SIZE. */
int cow_ovl_fallocate(struct cow_ovl_open *o, int mode, uint64_t off, uint64_t len);

/* @whence: SEEK_DATA or SEEK_HOLE. Return: 0; -ENXIO beyond the end or no more data. */
int cow_ovl_seek(struct cow_ovl_open *o, uint64_t off, int whence, uint64_t *ret_off);

/* Data written to the node through any open is on disk on return; an earlier write-back error is
 * reported once. Not for observers. No-op in volatile mode. */
int cow_ovl_commit(struct cow_ovl_node *n);
/* The same, and so are its owner, mode, times and extended attributes, as fsync(2) has it: in relaxed
 * mode these wait for the journal otherwise. */
int cow_ovl_fsync(struct cow_ovl_node *n);

/* Copy between two opens of one file system, by reflink where it can (FICLONERANGE rules). */
int cow_ovl_clone(struct cow_ovl_open *src, uint64_t src_off, struct cow_ovl_open *dst,
		  uint64_t dst_off, uint64_t len);

/*
 * cow_ovl_copy - as copy_file_range(2): what lies beyond the source's end is not copied, ranges of one
 * file must not overlap (-EINVAL). Shares blocks where cow_ovl_clone() does.
 * Return: bytes, 0 at or beyond the end; -errno, then an unknown part may have been copied.
 */
ssize_t cow_ovl_copy(struct cow_ovl_open *src, uint64_t src_off, struct cow_ovl_open *dst,
		     uint64_t dst_off, uint64_t len);

/* ---------------------------------------------------------------- copying a tree */

/* Number of the image's object that the node is, also after it was changed or moved; 0: it was born in
 * the upper, or there is no image. */
uint32_t cow_ovl_number(const struct cow_ovl_node *n);

/* Does the image have this very object under this name in this directory? Asks memory alone. */
bool cow_ovl_at_home(const struct cow_ovl_node *dir, const char *name, size_t len,
		     const struct cow_ovl_node *n);

struct cow_ovl_source {
	int fd;	     /* regular files: readable; others: O_PATH. The caller closes it. */
	bool golden; /* of the image's tree: nothing of the object has been changed (I1) */
};
/*
 * cow_ovl_source - the object itself as it lies on the disk, to be cloned, or linked when it is golden.
 * Never to be written through. An observer may find it changed a moment later.
 * Return: 0; -EIO the image was changed behind our back; -ESTALE; -errno.
 */
int cow_ovl_source(struct cow_ovl_node *n, struct cow_ovl_source *ret);

/* The image's object that the node is or was before it was changed, as in cow_ovl_source. -> fd, the
 * caller closes it; -ENODATA it was born in the upper; -errno as above. */
int cow_ovl_origin(struct cow_ovl_node *n);

#endif
