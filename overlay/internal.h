/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the files of the engine share. Lock order (docs/locking.md):
 *	inst->freeze (shared) > domains_m > node->names (lower address first) > shard->m > fd cache >
 *	domain->m
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
#include "overlay/overlay.h"
#include "record.h"

#define COW_NODE_SHARDS 64

/* The inode of an empty directory that stands where another subvolume was when a snapshot was made:
 * one number for all of them, so it names nothing. */
#define COW_BTRFS_EMPTY_SUBVOL_INO 2

struct cow_domain;
struct cow_fd;

struct cow_shard {
	pthread_mutex_t m;
	/* guarded by m: */
	struct cow_ovl_node **bucket;
	size_t nbucket; /* power of two, 0 before the first node */
	size_t count;
};

struct cow_ovl_inst {
	/* Shared by every operation; exclusive to close. */
	pthread_rwlock_t freeze;
	atomic_bool closed; /* changes under freeze, exclusive */

	/* Constant from open on, also after close. */
	struct cow_record rec; /* flags and generation: only open and close look at them */
	enum cow_ovl_durability durability;
	unsigned flags; /* COW_OVL_OBSERVER */
	dev_t dev;
	int mnt_id;
	bool btrfs;

	/* Constant while open. */
	int recfd, lockfd, treefd; /* treefd: readable directory, also the mount fd of handles */
	struct cow_ovl_node *root;
	struct cow_domain *domain;

	atomic_size_t refs; /* memory: the opener, each node */
	atomic_uint_fast64_t nodes, opens, fd_opens, commits, commit_waits;
	LIST_HEAD(, cow_fd) fds; /* guarded by the fd cache lock */
	size_t nfds;		 /* likewise */
	struct cow_shard shard[COW_NODE_SHARDS];
};

struct cow_ovl_node {
	struct cow_ovl_inst *inst; /* counted */
	struct cow_ovl_node *next; /* guarded by the shard lock */
	atomic_uint refs;	   /* 0 -> 1 never; 1 -> 0 under the shard lock */
	atomic_uint opens;
	atomic_uint bump;   /* changes made through us, see attr.c */
	atomic_int wb_err;  /* negative errno of a write-back nobody was told about */
	atomic_bool dirty;  /* written since the last commit */
	atomic_bool orphan; /* seen without a name, which is for ever: keep no idle fd */
	mode_t type;
	uint64_t hash, id;
	struct cow_fh fh;
	struct cow_fd *fd; /* best cached fd; guarded by the fd cache lock */
	/* Directories: held by every change of names, so that the object a name stands for is the
	 * same in all steps of one call. Spans system calls, never a group commit. */
	pthread_mutex_t names;
};

struct cow_ovl_open {
	struct cow_ovl_node *node; /* counted */
	struct cow_fd *fd;	   /* pinned: the data outlives its last name */
	unsigned flags;
	bool strip; /* writer is not root: writes clear setuid and setgid */
};

/* ---- inst.c */
int cow_inst_enter(struct cow_ovl_inst *i);	   /* -ESTALE when closed */
int cow_inst_enter_change(struct cow_ovl_inst *i); /* also -EROFS for observers */
void cow_inst_leave(struct cow_ovl_inst *i);
void cow_inst_unref(struct cow_ovl_inst *i);

/* ---- fsid.c */
/* UUID of the file system @fd is on; zeros where it has none we can ask for. */
void cow_fs_uuid(int fd, uint8_t ret[COW_REC_UUID_LEN]);
/* The same for btrfs alone. Return: 0; -EOPNOTSUPP another file system. */
int cow_btrfs_fsid(int fd, uint8_t ret[COW_REC_UUID_LEN]);

/* ---- node.c */
/* Handle and mount of an open object (any level). -EOVERFLOW: handles too long for ours. */
int cow_fh_of(int fd, struct cow_fh *ret, int *ret_mnt_id);
/* The same of a name in a directory; does not follow links. */
int cow_fh_of_name(int dirfd, const char *name, struct cow_fh *ret, int *ret_mnt_id);
/* Open by handle on the instance's mount. Return: fd or -errno. */
int cow_fh_open(struct cow_ovl_inst *i, const struct cow_fh *fh, int flags);
/* Counted node if it is in memory, else NULL. */
struct cow_ovl_node *cow_node_find(struct cow_ovl_inst *i, const struct cow_fh *fh);
/* Find or make. */
int cow_node_intern(struct cow_ovl_inst *i, const struct cow_fh *fh, uint64_t id, mode_t type,
		    struct cow_ovl_node **ret);
/* Take a reference unless the last one is gone. */
bool cow_node_try_get(struct cow_ovl_node *n);
/*
 * cow_node_of_fd - node of an object just opened; the fd goes to the cache.
 * @fd: taken over, also on failure.
 * Return: 0; -EXDEV another mount, file system or subvolume; -ESTALE no name left; -ENOMEM…
 */
int cow_node_of_fd(struct cow_ovl_inst *i, int fd, unsigned level, struct cow_ovl_node **ret,
		   struct cow_ovl_attr *ret_attr);
int cow_node_from_fh(struct cow_ovl_inst *i, const struct cow_fh *fh, struct cow_ovl_node **ret);

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
	bool drop; /* close when the last user leaves */
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
int cow_set_check(const struct cow_ovl_set *set, mode_t type);
/* Apply a checked set through @f; which level it needs: cow_set_level(). */
int cow_set_apply(struct cow_ovl_node *n, const struct cow_fd *f, const struct cow_ovl_cred *cred,
		  const struct cow_ovl_set *set);
unsigned cow_set_level(const struct cow_ovl_set *set);
/* chmod through an fd of any level. */
int cow_fd_chmod(const struct cow_fd *f, mode_t mode);
/* What write(2) by an ordinary user does to setuid and setgid. */
int cow_strip_suid(const struct cow_fd *f);
void cow_node_bump(struct cow_ovl_node *n);

/* "/proc/self/fd/N": the object itself, whatever its type and the fd's level. */
#define COW_PROC_PATH_LEN 32
void cow_proc_path(int fd, char ret[COW_PROC_PATH_LEN]);

/* ---- names.c */
/* Name checked and terminated. -EINVAL, -ENAMETOOLONG. */
int cow_name_copy(const char *name, size_t len, char ret[COW_NAME_MAX + 1]);
/* An -ENOENT below a directory that is itself gone is -ESTALE; everything else is passed on. */
int cow_gone_is_stale(int dirfd, int r);
int cow_lookup_entered(struct cow_ovl_node *dir, int dirfd, const char *name,
		       struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr);

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
int cow_domain_get(int dirfd, struct cow_domain **ret);
void cow_domain_put(struct cow_domain *d); /* NULL is fine */
/* One syncfs(2) that began after the call is over; shared with other callers. */
int cow_domain_commit(struct cow_domain *d, struct cow_ovl_inst *i);
/* The end of every operation that changed names or attributes. */
int cow_inst_commit(struct cow_ovl_inst *i);

#endif
