/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Inside of clients, for snapshot/ only.
 *
 *	clients/.add-HEX/		being made; invisible, swept under STORE/lock
 *	clients/ID/client.conf		what the administrator decided
 *	clients/ID/lock			held while one changes the client
 *	clients/ID/current		-> roots/N: the only thing that says which root counts
 *	clients/ID/epoch		8 bytes, host byte order: epoch of the current root's instance
 *	clients/ID/roots/N/root.conf	where root N came from, and which root it replaced
 *	clients/ID/roots/N/{instance,lock}	the engine's
 *	clients/ID/roots/N/tree/	backend btrfs: writable snapshot of the image
 *	clients/ID/roots/N/{upper,work}/	backend overlay: what differs from the image
 *	clients/ID/next			what is to be done at its next boot, see client_next.c
 *	clients/ID/roots/.new-HEX/	being made; swept under the client's lock
 *	clients/ID/state/{boot,nfs}	see client_state.c
 *	clients/ID/state/{boots,requests}	see client_history.c
 *	clients/ID/boot/		the administrator's own boot files
 *
 * What depends on the root (image, version, boot_dir, previous root) lies in root.conf, so that the
 * one swap of `current` changes all of it at once (I2).
 */
#ifndef COW_SNAPSHOT_CLIENT_INTERNAL_H
#define COW_SNAPSHOT_CLIENT_INTERNAL_H

#include <stdint.h>

#include "carry.h"
#include "common/fs.h"
#include "common/kv.h"
#include "image_internal.h"
#include "snapshot/client.h"
#include "store_internal.h"

#define COW_ADD_PREFIX ".add-"
#define COW_NEW_PREFIX ".new-"
#define COW_CLIENT_LOCK_NAME "lock"

/* ---------------------------------------------------------------- who uses which image */

struct cow_user {
	char id[COW_MAC_TEXT_LEN + 1];
	char image[COW_LABEL_MAX + 1];
	unsigned version;
	enum cow_user_why {
		COW_USER_CURRENT,
		COW_USER_KEPT, /* an overlay root kept for rollback, or being made */
		COW_USER_NEXT, /* what it goes to at its next boot */
	} why;
};
struct cow_users {
	struct cow_user *list;
	size_t n, room;
};
#define COW_USERS_EMPTY                                                                            \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}
enum cow_users_mode {
	COW_USERS_ALL, /* a damaged client is an error: removing an image must not rest on a guess
			*/
	COW_USERS_READABLE, /* damaged ones are left out: for listings */
};
int cow_users_read(struct cow_store *s, enum cow_users_mode mode, struct cow_users *ret,
		   struct cow_err *err);
void cow_users_done(struct cow_users *u);
#define cow_autousers __attribute__((cleanup(cow_users_done)))
/* Clients whose current root came from it. */
unsigned cow_users_count(const struct cow_users *u, const char *image, unsigned version);
/* One that needs it: current roots first, then kept ones; NULL: none. */
const struct cow_user *cow_users_first(const struct cow_users *u, const char *image,
				       unsigned version);

/* ---------------------------------------------------------------- records */

/* root.conf */
struct cow_root {
	char image[COW_LABEL_MAX + 1];
	unsigned version;
	enum cow_backend backend; /* records of old have none: btrfs */
	unsigned previous;	  /* 0: none */
	unsigned highest; /* number that was ever current: what is above was never finished */
	int64_t made_s, swapped_s;     /* when it became current; made_s 0: not known */
	enum cow_root_why why;	       /* it became current */
	char name[COW_NAME_MAX + 1];   /* host name it was made with; "": not known */
	char order[COW_HEX64_LEN + 1]; /* of the order at boot it was made by; "" */
	const char *boot_dir;	       /* static text */
	const char *initramfs;	       /* static text */
};
int cow_root_read(int root_dir, struct cow_root *ret, struct cow_err *err);

enum cow_put {
	COW_PUT_DURABLE, /* synced, replaces atomically */
	COW_PUT_STAGED,	 /* not synced: in a place that is synced as a whole before it is published
			  */
};
int cow_root_write(int root_dir, const struct cow_root *root, enum cow_put how,
		   struct cow_err *err);

/* Number N of current -> roots/N. */
int cow_client_current(int client_dir, unsigned *ret);

/* Open roots/N. -> fd or -errno */
int cow_client_root_dir(int client_dir, unsigned n);

/* A client's current root, opened. */
struct cow_client_at {
	int dir, root; /* clients/ID, roots/N */
	unsigned n;
	struct cow_root conf;
};
#define COW_CLIENT_AT_EMPTY                                                                        \
	{                                                                                          \
		.dir = -1, .root = -1                                                              \
	}
int cow_client_open_root(struct cow_store *s, const char *id, struct cow_client_at *ret,
			 struct cow_err *err);
void cow_client_at_done(struct cow_client_at *at);
#define cow_autoclientat __attribute__((cleanup(cow_client_at_done)))

/* The image a root came from. */
int cow_client_find_image(struct cow_store *s, const struct cow_root *root, struct cow_image **ret,
			  struct cow_err *err);

/* Its manifest; *ret NULL for backends that need none. */
int cow_client_manifest(struct cow_store *s, const struct cow_root *root,
			struct cow_ovl_image **ret, struct cow_err *err);

/* What the root has otherwise than its image, see cow_client_diff(). */
int cow_client_diff_root(struct cow_store *s, const struct cow_client_at *at, cow_ovl_diff_fn fn,
			 void *ctx, struct cow_err *err);

/* Everything but `root` and what comes from root.conf: the client as its client.conf says. */
int cow_client_conf_read(int client_dir, struct cow_client *c, struct cow_kv **ret_kv,
			 struct cow_err *err);
int cow_client_conf_write(int client_dir, const struct cow_kv *kv, enum cow_put how,
			  struct cow_err *err);

/* The whole client from an open directory. */
int cow_client_read(int client_dir, const char *id, struct cow_client **ret, struct cow_err *err);

/* Host names: 1..63 letters, digits and '-', no '-' at the ends (RFC 1123 2.1). */
int cow_hostname_check(const char *name);

/* -EEXIST another client has this name or serial (NULL: not asked). */
int cow_client_check_unique(struct cow_store *s, const char *id, const char *name,
			    const char *serial, struct cow_err *err);

/* The keys of client.conf an administrator sets (client_set.c), the @n-th; NULL: no more. */
const char *cow_client_key(size_t n);
int cow_client_keys_copy(const struct cow_kv *from, struct cow_kv *to); /* those that are there */
/* May a client follow it from now on? NULL: nothing is asked. The caller holds STORE/lock. */
int cow_client_follow_check(struct cow_store *s, const char *id, const char *ref,
			    struct cow_err *err);
/* Change one in an open directory, durably. The caller holds the client's lock and has checked it. NULL: remove. */
int cow_client_key_write(int client_dir, const char *key, const char *value, struct cow_err *err);
/* Would cow_client_set() take it, which has STORE/lock? @value: may be normalised in place. */
int cow_client_key_check(struct cow_store *s, const char *id, const char *key, char *value,
			 struct cow_err *err);

/* ---------------------------------------------------------------- adding */

/* -EEXIST: there is one; says what an import can do. */
int cow_client_refuse_existing(struct cow_store *s, const char *id, struct cow_err *err);

/* A client whose first root is there. */
struct cow_client_made {
	int dir;			/* the root's directory is @root in here; moved */
	const char *root;
	const struct cow_image *image;	/* it stands on: name, version and id */
	const struct cow_kv *settings;	/* see cow_client_keys_copy() */
};
/*
 * cow_client_add_made - publish it. @c: id, name, serial, follows, backend, durability, ephemeral, created_s; the
 * export id is set. The caller holds STORE/lock. Return: 0; -EEXIST; -ENOENT the image is gone; -errno.
 * Crash: as cow_client_add(); after a failure the root may be gone.
 */
int cow_client_add_made(struct cow_store *s, struct cow_client *c,
			const struct cow_client_made *made, struct cow_err *err);

/* ---------------------------------------------------------------- changing */

/* Open a client's directory and take its lock. @ret_lock: close to unlock. -> directory fd */
int cow_client_lock(struct cow_store *s, const char *id, unsigned wait_ms, int *ret_lock,
		    struct cow_err *err);

/*
 * cow_root_fill - a fresh root in the empty directory @dir: instance, layers, root.conf; not synced.
 * The caller holds STORE/lock, so the image stays, and has asked for room: cow_store_check_space().
 */
struct cow_root_how {
	enum cow_backend backend;
	enum cow_ovl_durability durability;
	unsigned previous, highest; /* see cow_root */
	enum cow_root_why why;
	const char *order;	   /* NULL: none */
	const struct cow_mac *mac; /* whose identity it gets, with @name; NULL: nobody's */
	const char *name;
};
int cow_root_fill(struct cow_store *s, int dir, const struct cow_image *image,
		  const struct cow_root_how *how, struct cow_err *err);

/*
 * cow_client_make_root - a fresh root number @n below the open `roots`, complete but neither synced
 * nor referenced. The caller holds STORE/lock, so the image stays.
 */
int cow_client_make_root(struct cow_store *s, int roots, unsigned n, const struct cow_client *c,
			 const struct cow_image *image, const struct cow_root_how *how,
			 struct cow_err *err);

/* Numbers of the client's roots, sorted. The caller frees *ret. */
int cow_client_root_numbers(int client_dir, unsigned **ret, size_t *ret_n);

/* Move the roots that are not kept, and unfinished ones, to the trash. @c is as it was read with the client's
 * lock held, which the caller holds still. */
int cow_client_sweep_roots(struct cow_store *s, int client_dir, const struct cow_client *c);

/* Make `epoch` say what the current root's instance says. Caller holds the client's lock. */
int cow_client_epoch_write(int client_dir, uint64_t epoch);
int cow_client_epoch_repair(int client_dir, struct cow_err *err);

/*
 * cow_identity_write - write what tells this client from its siblings into a fresh root.
 * @tree: what the root shows, to look at: the root's own tree, or the image's
 * @put:  replaces or makes a regular file of the root, see cow_tree_write()
 */
struct cow_identity {
	int tree;
	int (*put)(void *ctx, const char *path, const void *buf, size_t len, mode_t mode);
	void *ctx;
};
int cow_identity_write(struct cow_store *s, const struct cow_identity *to,
		       const struct cow_mac *mac, const char *name, struct cow_err *err);

/* -EBUSY while somebody has its root mounted on this machine. @doing: "commit" */
int cow_client_refuse_mounted(struct cow_store *s, const struct cow_mac *mac, const char *doing,
			      struct cow_err *err);
int cow_client_refuse_running(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			      const char *doing, struct cow_err *err);

/* Make root @want, 0: the previous one, ready for a swap. @order: NULL: none. */
int cow_client_go_back(int client_dir, const struct cow_client *c, unsigned want, const char *order,
		       unsigned *ret_n, struct cow_err *err);
/* There is no root to go back to; or not that one. */
int cow_client_no_previous(struct cow_err *err);
int cow_client_no_root(const struct cow_client *c, unsigned n, struct cow_err *err);

/* ---------------------------------------------------------------- at the next boot (client_next.c) */

#define COW_NEXT_NAME "next"

/* clients/ID/next. Return: 0, ret->what is COW_SWAP_NONE when there is none or it has been done; -errno. */
int cow_next_read(int client_dir, struct cow_next *ret, struct cow_err *err);
int cow_next_drop(int client_dir);
/* It could not be done at a boot. To lose that is no failure of its own. */
void cow_next_failed(int client_dir, bool hold, const char *why);
/* The root of an order is the current one: what else belongs to it, then it goes. None: 0. */
int cow_next_finish(int client_dir, struct cow_err *err);

/* ---------------------------------------------------------------- keep-lists (client_keep.c) */

struct cow_keep_use {
	struct cow_store *s;
	const struct cow_client *c; /* as it was */
	const char *names;	    /* of lists; NULL: the client's */
	int from, to;		    /* directories of the roots; @to is nobody's yet */
	void (*conflict)(void *ctx, const char *path, const char *what);
	int (*stop)(void *ctx); /* see cow_carry_opts */
	void *ctx;
	struct cow_carry_stats stats; /* found out */
	/* Images loaded, for a next call with the same: */
	struct cow_ovl_image **hold;
	size_t nhold, hold_room;
};
/* Carry what is kept from one root to the other. */
int cow_client_keep_apply(struct cow_keep_use *u, struct cow_err *err);
/* The lists of a client when it is reset or rolled and none are given. */
int cow_client_keep_names(struct cow_store *s, const struct cow_client *c, char **ret,
			  struct cow_err *err);

/* ---------------------------------------------------------------- rebase (client_rebase.c) */

struct cow_rebase_how {
	const struct cow_rebase_opts *opts;
	bool boots;		/* the machine boots: it does not run, whenever its root was used */
	int (*stop)(void *ctx); /* see cow_carry_opts */
	void *ctx;
};
/*
 * cow_rebase_apply - make the client's changes in @to, the directory of a fresh root that nobody has.
 * @c: as it is; nobody changes its current root. Return: as cow_clients_swap() with a rebase; what stop() says.
 */
int cow_rebase_apply(struct cow_store *s, const struct cow_client *c, int to,
		     const struct cow_rebase_how *how, struct cow_err *err);

/* Lines of words with v=1 of a file, which may be missing; and a file replaced by rename, not synced: one writer. */
int cow_lines_each_at(int dir, const char *name, size_t max, cow_history_fn fn, void *ctx);
int cow_lines_write_at(int dir, const char *name, const char *temp, const char *text, size_t len);

/* clients/ID/state, made if @make: a client that was never seen has none. Return: fd; -ENOENT none, or no client. */
int cow_client_state_dir(struct cow_store *s, const struct cow_mac *mac, int make);

#endif
