/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the parts of the FUSE front end share.
 *
 * A node id is the address of the engine's node, and every look-up the kernel counts is one
 * reference to it; so the engine's table of nodes is the only one. Node id 1 is the root.
 */
#ifndef COW_FUSE_INTERNAL_H
#define COW_FUSE_INTERNAL_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "fuse/front.h"
#include "passthrough.h"
#include "turn.h"

#define FRONT_GROUPS 64 /* supplementary groups that are asked for; more: the first ones */

/* Roots that were swapped away: the kernel may still ask for them. */
struct cow_old_root {
	struct cow_ovl_node *node;
	struct cow_old_root *next;
};

/* Before threads; see kernel.c. */
enum cow_init {
	COW_INIT_NOT_SEEN,
	COW_INIT_TO_ANSWER,
	COW_INIT_DONE,
};

/* What the kernel has open. Listed, since not every open is given back when a mount ends. */
struct cow_front_file {
	struct cow_ovl_open *o;
	LIST_ENTRY(cow_front_file) all; /* guarded by files_m */
};

struct cow_front {
	struct fuse_session *se;
	struct cow_ovl_inst *inst; /* guarded by swap */
	_Atomic(struct cow_ovl_node *) root;
	struct cow_old_root *old; /* guarded by swap */
	pthread_rwlock_t swap;
	struct cow_front_opts opts;
	pthread_mutex_t files_m;
	LIST_HEAD(, cow_front_file) files;
	double timeout_s;
	char *point;
	bool mounted;
	struct cow_turn turn;
	struct cow_passthrough pass;
	_Atomic(enum cow_init) init;
};

static inline struct cow_front *cow_front_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Borrowed: the kernel's count keeps it for the length of the request. */
static inline struct cow_ovl_node *cow_node_of(fuse_req_t req, fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return atomic_load(&cow_front_of(req)->root);
	return (struct cow_ovl_node *)(uintptr_t)ino;
}

static inline struct cow_front_file *cow_file_of(const struct fuse_file_info *fi)
{
	return (struct cow_front_file *)(uintptr_t)fi->fh;
}

static inline struct cow_ovl_open *cow_open_of(const struct fuse_file_info *fi)
{
	return cow_file_of(fi)->o;
}

static inline void cow_reply_int(fuse_req_t req, int r)
{
	(void)fuse_reply_err(req, r < 0 ? -r : 0); /* fails when the request was aborted */
}

/* ---- file.c: at the end, when nobody asks any more */
void cow_files_close(struct cow_front *f);

/* ---- attr.c */

void cow_stat_of(const struct cow_ovl_attr *a, struct stat *ret);
/* @n's reference goes to the kernel with the entry. */
void cow_entry_of(const struct cow_front *f, struct cow_ovl_node *n, const struct cow_ovl_attr *a,
		  struct fuse_entry_param *ret);

/* Who asks. Groups cost a read of /proc and are looked up only where a setgid bit hangs on them. */
struct cow_caller {
	struct cow_ovl_cred cred;
	gid_t groups[FRONT_GROUPS];
};
void cow_caller_of(fuse_req_t req, bool groups, struct cow_caller *ret);

/*
 * No space: what was removed a moment ago is given back when the kernel forgets it, which may still
 * be on its way. Waits for that. Return: whether to try again; @tries begins with 0.
 */
bool cow_front_again(fuse_req_t req, ssize_t r, unsigned *tries);

/* ---- names.c: make an object as the caller asks; the umask is applied here. Caller puts. */
int cow_front_make(fuse_req_t req, fuse_ino_t parent, const char *name, struct cow_ovl_create *how,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr);

/* ---- the operations, by file */

void cow_attr_ops(struct fuse_lowlevel_ops *ops);
void cow_dir_ops(struct fuse_lowlevel_ops *ops);
void cow_file_ops(struct fuse_lowlevel_ops *ops);
void cow_name_ops(struct fuse_lowlevel_ops *ops);
void cow_xattr_ops(struct fuse_lowlevel_ops *ops);

#endif
