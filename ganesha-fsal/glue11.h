/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Inside the plugin: the NFS server's types (FSAL API 11, nfs-ganesha 4.x) around ours.
 *
 * Handles. On the wire: one byte COW_FSAL_HANDLE_V1, then the engine's handle. The engine's handle
 * is bound to instance, epoch and client by its keyed MAC, so a handle of another client, root or
 * generation is refused in wire_to_host, which runs for every request, also on cache hits.
 * Cache key (MDCACHE): the client's MAC address, then the engine's handle without its keyed MAC.
 * The root directory's key is the MAC address and 'R': constant, for the server keeps that object
 * as long as the export lives, while the tree behind it changes with the epoch.
 */
#ifndef COW_FSAL_GLUE11_H
#define COW_FSAL_GLUE11_H

#include "config.h" /* of the server, first: it decides layouts */
#include "fsal.h"
#include "fsal_api.h"
#include "fsal_convert.h"
#include "fsal_types.h"
#include "FSAL/fsal_commonlib.h"
#include "FSAL/fsal_config.h"
#include "FSAL/fsal_init.h"
#include "export_mgr.h"
#include "sal_data.h"

#include "nfs_root.h"
#include "perm.h"
#include "refuse.h"

#define COW_FSAL_NAME "COWHERD"
#define COW_FSAL_HANDLE_V1 0xc1
#define COW_FSAL_WIRE_MAX (1 + COW_OVL_HANDLE_MAX)
#define COW_FSAL_ROOT_FILEID                                                                       \
	1 /* survives a reset; no file system here gives number 1 to a file                        \
	   */

struct cow_module {
	struct fsal_module fsal; /* the server knows only this */
	struct fsal_obj_ops obj_ops;
	char *store_path; /* configuration */
	uint32_t idle_s;
	struct cow_store *store;
};
extern struct cow_module cow_module;

struct cow_export {
	struct fsal_export e;
	struct cow_nfs_root *root;
	char *path;
	fsal_fsid_t fsid;
	uint8_t root_key[sizeof(struct cow_mac) + 1];
	atomic_uint swaps; /* since the export was made */

	/* Readdir and removal of the export, see cow_export_enter_readdir(). */
	pthread_mutex_t readdir_lock;
	pthread_cond_t readdir_idle;
	unsigned readdirs;  /* guarded by readdir_lock */
	atomic_int closing; /* written under readdir_lock */
};

/* key: 6 bytes client MAC, then the engine's handle; a cache key is a prefix of it. */
struct cow_obj {
	struct fsal_obj_handle h;
	struct cow_nfs_root *root; /* counted: objects may outlive their export for a moment */
	struct cow_object listed;  /* not the root directory, which outlives swaps */
	struct cow_ovl_node *node; /* guarded by h.obj_lock; NULL for the root directory */
	uint64_t serial;	   /* bind the node came from; guarded by h.obj_lock */
	uint64_t epoch;
	struct fsal_share share; /* guarded by h.obj_lock */
	atomic_uint vanished;	 /* opens by name that found it without one */
	uint8_t is_root;
	uint8_t key_len;
	uint8_t handle_len;
	uint8_t key[sizeof(struct cow_mac) + COW_OVL_HANDLE_MAX];
};

/* One opened file of one state; counted, so that I/O under way outlives a close or reopen. */
struct cow_file {
	atomic_uint refs;
	fsal_openflags_t flags;
	struct cow_ovl_open *o;
	struct cow_nfs_root *root;
};

/* What the server allocates per open, lock, … : its part first. The fsal_fd right behind it is
 * where the server's own helpers look for the open flags. */
struct cow_state {
	struct state_t state;
	struct fsal_fd fd;
	pthread_mutex_t lock; /* guards file */
	struct cow_file *file;
};

/* The server's container_of() casts a const away on its way. */
#define COW_CONTAINER(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static inline struct cow_export *cow_export_of(struct fsal_export *e)
{
	return COW_CONTAINER(e, struct cow_export, e);
}
static inline struct cow_obj *cow_obj_of(struct fsal_obj_handle *h)
{
	return COW_CONTAINER(h, struct cow_obj, h);
}
static inline struct cow_state *cow_state_of(struct state_t *s)
{
	return COW_CONTAINER(s, struct cow_state, state);
}

static inline const struct cow_obj *cow_obj_of_const(const struct fsal_obj_handle *h)
{
	return (const struct cow_obj *)(const void *)((const char *)h -
						      offsetof(struct cow_obj, h));
}

/* -------------------------------------------------- errmap.c */

/* Status of an engine call: 0 or -errno. */
fsal_status_t cow_status(int r);

/* The same for a call on @o. The root directory is never stale: the server would drop the one
 * object it must keep; the client is asked to try again and meets the new tree. */
fsal_status_t cow_obj_status(const struct cow_obj *o, int r);

/* -------------------------------------------------- object.c */

/* The node to work on and the bind that keeps it alive. Zero-initialise; cow_use_done() at the end.
 */
struct cow_use {
	struct cow_nfs_bind *b;
	struct cow_ovl_node *n; /* counted */
};

/* Return: 0; -ESTALE the object is of an older root; errors of cow_nfs_root_bind(). */
int cow_use(struct cow_obj *o, struct cow_use *u);
void cow_use_done(struct cow_use *u);
#define cow_autouse COW_CLEANUP(cow_use_done) struct cow_use

/* New object for @n (one reference is taken). @n may be the root directory. NULL: no memory. */
struct cow_obj *cow_obj_new(struct cow_export *e, const struct cow_nfs_bind *b,
			    struct cow_ovl_node *n);

/* The root directory's object, without attaching anything. */
struct cow_obj *cow_obj_new_root(struct cow_export *e);

void cow_obj_free(struct cow_obj *o);

/* Engine attributes to the server's. @out may be NULL. */
void cow_attr_fill(const struct cow_obj *o, const struct cow_ovl_attr *a,
		   struct fsal_attrlist *out);

/* The same when only a status is at hand: @r < 0 is an error unless the server asked for attributes
 * only if they can be had (ATTR_RDATTR_ERR). */
fsal_status_t cow_attr_answer(const struct cow_obj *o, int r, const struct cow_ovl_attr *a,
			      struct fsal_attrlist *out);

/* Attributes to set, and the caller. The groups are borrowed from the request. */
void cow_set_from(const struct fsal_attrlist *in, struct cow_ovl_set *set);
struct cow_ovl_cred cow_caller(void);

/* -------------------------------------------------- export.c */

fsal_status_t cow_export_create(struct fsal_module *fsal, void *parse_node,
				struct config_error_type *err_type,
				const struct fsal_up_vector *up_ops);

/*
 * The server crashes when an export is removed while its directory is being read (a NULL entry is
 * locked). So each readdir is counted; cow_op_prepare_unexport() refuses new ones, makes running
 * ones stop at their next entry, and waits for them.
 * Return: 1 go on and call leave; 0 the export is being removed.
 */
int cow_export_enter_readdir(struct cow_export *e);
void cow_export_leave_readdir(struct cow_export *e);

/* -------------------------------------------------- handle.c: export operations on handles */

fsal_status_t cow_op_lookup_path(struct fsal_export *e, const char *path,
				 struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out);
fsal_status_t cow_op_wire_to_host(struct fsal_export *e, fsal_digesttype_t type,
				  struct gsh_buffdesc *fh, int flags);
fsal_status_t cow_op_host_to_key(struct fsal_export *e, struct gsh_buffdesc *fh);
fsal_status_t cow_op_create_handle(struct fsal_export *e, struct gsh_buffdesc *fh,
				   struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out);
fsal_status_t cow_op_handle_to_wire(const struct fsal_obj_handle *h, fsal_digesttype_t type,
				    struct gsh_buffdesc *fh);
void cow_op_handle_to_key(struct fsal_obj_handle *h, struct gsh_buffdesc *fh);

/* -------------------------------------------------- watch.c */

/* The request being served was refused. @e: the export it was for, NULL when it is none of ours. */
void cow_refused(struct cow_export *e, enum cow_refuse_cause cause);

/* Hear of what the server refuses without asking us, from now on. */
void cow_watch_start(void);
void cow_watch_stop(void);

/* -------------------------------------------------- operation tables */

void cow_obj_ops_init(struct fsal_obj_ops *ops);
void cow_ops_dir(struct fsal_obj_ops *ops);   /* dir.c: lookup, readdir */
void cow_ops_names(struct fsal_obj_ops *ops); /* names.c: create, link, rename, remove */
void cow_ops_file(struct fsal_obj_ops *ops);  /* file.c: open, close, share reservations */
void cow_ops_io(struct fsal_obj_ops *ops);    /* io.c: read, write, commit, seek, allocate */
void cow_ops_xattr(struct fsal_obj_ops *ops); /* xattr.c */
void cow_ops_stubs(struct fsal_obj_ops *ops); /* stubs.c: quiet refusals */

/* -------------------------------------------------- file.c, for io.c and others */

struct state_t *cow_op_alloc_state(struct fsal_export *e, enum state_type type,
				   struct state_t *related);
void cow_op_free_state(struct fsal_export *e, struct state_t *s);

/* May this state (NULL: none) do that, with the reservations others hold? */
fsal_status_t cow_share_allows(struct cow_obj *o, struct state_t *s, fsal_openflags_t flags,
			       bool bypass);

/*
 * cow_file_for - an open file to do I/O on.
 * With an open state that allows it: that one. With a lock state: the open it belongs to. Else one
 * just for this call, after a look at the share reservations of others (@bypass as in the server).
 * Caller puts.
 */
fsal_status_t cow_file_for(struct cow_obj *o, struct cow_use *u, struct state_t *s,
			   fsal_openflags_t flags, bool bypass, struct cow_file **ret);
void cow_file_put(struct cow_file *f); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_file, cow_file_put)
#define cow_autocfile COW_CLEANUP(cow_auto_cow_file_put) struct cow_file *

/* The server's count of open files: at load and unload of the plugin. */
void cow_fd_reserve(int on);

/* After a change the server does not see: its cached attributes are old. */
void cow_obj_changed(struct cow_obj *o);

#endif
