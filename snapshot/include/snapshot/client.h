/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Clients: one directory per machine under STORE/clients/MAC/, its roots, and the swap between them.
 *
 * Every swap (reset, roll, rollback) makes the new root complete and durable, changes the link `current`
 * in one rename, then writes the new root's epoch into `epoch`, the 8 bytes that servers map.
 * A crash between the two is repaired by cow_store_sweep() and by the next swap.
 */
#ifndef COW_SNAPSHOT_CLIENT_H
#define COW_SNAPSHOT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bounds.h"
#include "overlay/overlay.h"
#include "snapshot/image.h"
#include "snapshot/mac.h"
#include "snapshot/store.h"

/* How a root became the current one. */
enum cow_root_why {
	COW_WHY_UNKNOWN, /* made by an older version */
	COW_WHY_ADD,
	COW_WHY_RESET,
	COW_WHY_ROLL,
	COW_WHY_ROLLBACK,
};
const char *cow_root_why_name(enum cow_root_why why);

enum cow_swap_what {
	COW_SWAP_NONE,
	COW_SWAP_RESET,	   /* a fresh root of what the client follows */
	COW_SWAP_ROLL,	   /* of another version */
	COW_SWAP_ROLLBACK, /* back to a root that is kept */
	COW_SWAP_BOOT,	   /* what is to be done when the machine boots, if anything */
};
const char *cow_swap_name(enum cow_swap_what what); /* "reset" */

/* What is to be done when the machine boots next. */
struct cow_next {
	enum cow_swap_what what;     /* COW_SWAP_NONE: nothing */
	char to[COW_LABEL_MAX + 16]; /* COW_SWAP_ROLL: NAME@VERSION */
	unsigned root;		     /* COW_SWAP_ROLLBACK */
	char keep[256];		     /* keep-lists; "": the client's */
	char follow[2 * COW_LABEL_MAX + 2]; /* COW_SWAP_ROLL: what it follows from then on; "" */
	bool rebase; /* COW_SWAP_ROLL: all the client's changes are taken along */
	bool held;   /* it was refused at a boot, as it would be at any other: not tried again */
	int64_t failed_s;	     /* when it failed at a boot; 0: it has not */
	char why[512];		     /* then */
	int64_t since_s;	     /* when it was ordered */
	char order[17];		     /* tells it from others */
};

struct cow_client {
	struct cow_mac mac;
	char id[COW_MAC_TEXT_LEN + 1]; /* dashes, lower case */
	char *name;		       /* host name; never empty: made from the MAC if not given */
	char image[COW_LABEL_MAX + 1]; /* what the current root came from */
	unsigned version;
	char *follows;		  /* "raspios", "raspios:stable" or "raspios@3": what reset takes */
	enum cow_backend backend; /* what reset makes */
	enum cow_backend root_backend; /* what the current root is */
	enum cow_ovl_durability durability;
	unsigned export_id; /* 1..65535; chosen once, never reused while the store remembers it */
	char *address;	    /* configured address; "" : learnt at boot */
	char *serial;	    /* 8 hex digits of a Raspberry Pi; "" */
	char *nfs;	    /* "3", "4.0", "4.1", "4.2"; "": the server's default */
	char *cmdline;	    /* words added to the kernel command line; "" */
	char *group;	    /* a label; "" */
	char *keep; /* names of keep-lists with commas, "none"; "": the group's or the default */
	unsigned keep_roots; /* how many roots before the current one are kept */
	struct cow_next next;
	int ephemeral;	      /* reset at every boot */
	uint64_t limit_bytes; /* what an overlay root may use; 0: no limit */
	char *boot_dir;	      /* of the current root's image */
	char *initramfs;      /* likewise, see cow_image */
	unsigned root;	      /* N of current -> roots/N */
	unsigned previous;    /* kept for rollback; 0: none */
	unsigned highest;     /* number of a root that was ever current */
	int64_t created_s, swapped_s;
};
void cow_client_free(struct cow_client *c); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_client, cow_client_free)
#define cow_autoclient COW_CLEANUP(cow_auto_cow_client_free) struct cow_client *

struct cow_client_add_opts {
	const char *image;	  /* reference, see cow_image_find(); followed from now on */
	const char *name;	  /* may be NULL */
	enum cow_backend backend; /* COW_BACKEND_NONE: the store's default */
	enum cow_ovl_durability durability;
	int ephemeral;
};

/*
 * cow_client_add - fresh root from the image; milliseconds, whatever the image's size.
 * Return: 0; -EEXIST has one (exit 5); -ENOENT no such image (exit 3); -ENOSPC.
 * Crash: before the final rename nothing is visible (I2, I3).
 */
int cow_client_add(struct cow_store *s, const struct cow_mac *mac,
		   const struct cow_client_add_opts *opts, struct cow_err *err);

int cow_client_load(struct cow_store *s, const struct cow_mac *mac, struct cow_client **ret,
		    struct cow_err *err);

/* Find by MAC in any spelling, or by name. Return: 0; -ENOENT (exit 3); -EINVAL not a MAC. */
int cow_client_find(struct cow_store *s, const char *mac_or_name, struct cow_client **ret,
		    struct cow_err *err);

/* All clients by MAC. The callback's non-zero value stops and is returned. A damaged record does not
 * stop the walk: the callback gets @c NULL, the directory's name and the error. */
int cow_client_each(struct cow_store *s,
		    int (*fn)(void *ctx, const struct cow_client *c, const char *id,
			      const struct cow_err *why),
		    void *ctx, struct cow_err *err);

/* Change one key of client.conf an administrator may change: name, follows, address, serial, nfs,
 * cmdline, backend, durability, ephemeral, limit, group, keep, keep_roots. Value NULL or "": back to the default. -EINVAL says what
 * is allowed. A new backend or durability holds from the next reset. */
int cow_client_set(struct cow_store *s, const struct cow_mac *mac, const char *key,
		   const char *value, struct cow_err *err);

enum {
	COW_SWAP_NOW = 1 << 0,	   /* also while the client runs: it sees ESTALE and must reboot */
	COW_SWAP_FACTORY = 1 << 1, /* reset and roll: nothing is kept */
};

struct cow_rebase_opts;

/* One swap of many. What is not set does not matter. */
struct cow_swap {
	struct cow_mac mac;
	enum cow_swap_what what;
	unsigned flags;	  /* COW_SWAP_* */
	const char *to;	  /* ROLL: image reference; NULL: what the client follows */
	unsigned root;	  /* ROLLBACK: number; 0: the previous one */
	const char *follow; /* ROLL: what the client follows from then on; NULL: as before */
	const char *keep; /* RESET, ROLL: names of keep-lists; NULL: the client's */
	/* ROLL: all the client's changes are taken along instead, see snapshot/rebase.h; never while it runs. */
	const struct cow_rebase_opts *rebase;
	/* What has not begun to swap at this time of cow_now_ms() does not any more: -ETIME. 0: no end. */
	uint64_t until_ms;
	void (*conflict)(void *ctx, const char *path, const char *what); /* see carry.h; NULL */
	void *ctx;
	/* Found out: */
	int r; /* 1: there was nothing to do */
	struct cow_err err;
	enum cow_swap_what did;	   /* of BOOT: what it was */
	struct cow_client *now;	   /* as it is afterwards; NULL after a failure */
	uint64_t kept, kept_bytes; /* objects made in the new root, and their data */
	uint64_t conflicts;	   /* of a rebase that was ordered for the boot */
};
void cow_swaps_done(struct cow_swap *list, size_t n); /* frees what was found out */

/*
 * cow_clients_swap - give clients other roots, each on its own: a failure of one hinders no other. Images are
 * loaded once, and all roots are made before the disk is waited for, so many cost little more than one.
 *
 * RESET and ROLL make a fresh root and carry what the keep-lists name from the current one. A client that has
 * the version a roll goes to keeps its root. The root it had is kept for ROLLBACK, as many as keep_roots
 * says; others go to the trash, see cow_store_empty_trash(). An order for the next boot is overtaken.
 * Of each: 0; 1 nothing to do; -EBUSY it runs, or somebody holds the root to go back to; -ENOENT no such client,
 * image, root; -EOPNOTSUPP as cow_client_add(); -ETIME; what the keep-lists meet.
 * Crash: each client has its old root or its new one, complete and durable (I2); leftovers are swept (I3).
 * Return: 0 all done; else the first failure.
 */
int cow_clients_swap(struct cow_store *s, struct cow_swap *list, size_t n);

/* One client's RESET and ROLLBACK by their short names. */
int cow_client_reset(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		     struct cow_err *err);
int cow_client_rollback(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			struct cow_err *err);

/*
 * cow_client_next_set - order a swap for the client's next boot: `cowherd serve` does it before the first file
 * is answered. It replaces another order. @what: RESET, ROLL or ROLLBACK, with .to, .root, .keep, .follow, .rebase as there.
 * A rebase is planned as things are, also while the client runs, and again at the boot; one that is refused then
 * is kept and not tried again, everything else that fails is tried at each boot.
 * Return: 0; 1 a roll to what it has; -ENOENT; -EPERM as of a rebase; -errno. cow_client_next_cancel(): -ENOENT there is none (exit 3).
 */
int cow_client_next_set(struct cow_store *s, const struct cow_swap *order, struct cow_err *err);
int cow_client_next_cancel(struct cow_store *s, const struct cow_mac *mac, struct cow_err *err);

/* The roots there are, the current one first, then by number, the last made first. */
struct cow_root_info {
	unsigned n, version;
	const char *image;
	enum cow_backend backend;
	enum cow_root_why why;
	int64_t made_s, swapped_s; /* 0: not known */
	int current;
};
int cow_client_roots_each(struct cow_store *s, const struct cow_mac *mac,
			  int (*fn)(void *ctx, const struct cow_root_info *root), void *ctx,
			  struct cow_err *err);

/*
 * cow_client_kept_each - what of the current root the keep-lists name: each path, with the objects and bytes
 * there. @names: NULL: the client's lists. Return: 0; the callback's value; -errno.
 */
int cow_client_kept_each(struct cow_store *s, const struct cow_mac *mac, const char *names,
			 int (*fn)(void *ctx, const char *path, uint64_t objects, uint64_t bytes),
			 void *ctx, struct cow_err *err);

/* Was its root used by NFS lately? 1 with @ret_ago_s; 0; -errno. */
int cow_client_is_running(struct cow_store *s, const struct cow_mac *mac, int64_t *ret_ago_s,
			  struct cow_err *err);

/* Unpublish at once, delete in the background. -EBUSY running, without COW_SWAP_NOW. */
int cow_client_rm(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		  struct cow_err *err);

/*
 * cow_client_diff - what the current root has that its image has not, and the other way round.
 * @fn: each change, sorted by path; its non-zero value stops and is returned. On backend btrfs moves
 * are reported as one deletion and one addition, and all files that may have changed are read.
 * Works while the client runs: what changes meanwhile may or may not be seen.
 * Return: 0; -ENOENT the image of a btrfs root is gone; -errno.
 */
int cow_client_diff(struct cow_store *s, const struct cow_mac *mac, cow_ovl_diff_fn fn, void *ctx,
		    struct cow_err *err);

/* -------------------------------------------------- for servers */

/*
 * cow_client_check - look through the current root for what must not be in it, see
 * cow_ovl_inst_check(). Return: number of findings; -EOPNOTSUPP backend btrfs (exit 5); -errno.
 */
int64_t cow_client_check(struct cow_store *s, const struct cow_mac *mac, cow_ovl_check_fn fn,
			 void *ctx, struct cow_err *err);

/*
 * cow_client_attach - open the engine on the current root. The image below an overlay root is loaded
 * once per process, whatever the number of clients.
 * @flags: of cow_ovl_inst_open(). Return: as cow_ovl_inst_open() and cow_ovl_image_open(); -ENOENT no
 * such client.
 */
int cow_client_attach(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		      struct cow_ovl_inst **ret, struct cow_err *err);

/* Who has the current root attached, see cow_ovl_inst_holder(). Return: 0; -ENOENT nobody; -errno. */
int cow_client_holder(struct cow_store *s, const struct cow_mac *mac, char ret[COW_OVL_HOLDER_MAX]);

/* What cowherd-fuse calls itself there; an administrator's mount, unlike the NFS server's hold. */
#define COW_CLIENT_MOUNT_HOLDER "cowherd-fuse pid "

/*
 * cow_client_epoch_map - map the client's epoch. The mapping sees every swap at once, costs no system
 * call to read, and stays valid (with the last value) after the client is removed.
 * Release with cow_client_epoch_unmap().
 */
int cow_client_epoch_map(struct cow_store *s, const struct cow_mac *mac,
			 const volatile uint64_t **ret, struct cow_err *err);
void cow_client_epoch_unmap(const volatile uint64_t *epoch); /* NULL is fine */

/*
 * State of a client, STORE/clients/MAC/state/: small records, one writer each.
 *	boot	written by `cowherd serve` for the TFTP server: time, address, file
 *	nfs	written by the NFS plugin while the root is used: time, address
 *	refused	written by the NFS plugin: how many requests for the root it refused; the last one's
 *		time and address
 */
struct cow_client_state {
	int64_t boot_s;	    /* last boot; 0: never */
	char boot_addr[46]; /* "" unknown */
	int64_t nfs_s;	    /* last NFS request; 0: never */
	char nfs_addr[46];
	uint64_t refused;  /* requests for the root that were refused */
	int64_t refused_s; /* the last of them; 0: never */
	char refused_addr[46];
};
int cow_client_state_read(struct cow_store *s, const struct cow_mac *mac,
			  struct cow_client_state *ret, struct cow_err *err);
int cow_client_state_boot(struct cow_store *s, const struct cow_mac *mac, int64_t when_s,
			  const char *addr, struct cow_err *err);
int cow_client_state_nfs(struct cow_store *s, const struct cow_mac *mac, int64_t when_s,
			 const char *addr, struct cow_err *err);

/* @more: requests that were refused since the last call. */
int cow_client_state_refused(struct cow_store *s, const struct cow_mac *mac, int64_t when_s,
			     const char *addr, uint64_t more, struct cow_err *err);

/*
 * History of a client, also in state/, written by `cowherd serve` for the TFTP server: lines of words (common/fields.h) with v=1.
 *	boots		the last COW_CLIENT_BOOTS; "boot v=1 start=SECONDS ...", cowherd-store(5) has the keys
 *	requests	the last COW_CLIENT_REQUESTS for a boot file; "request v=1 at=SECONDS ..."
 * Return: 0; the callback's non-zero value, which stops; -errno. A client that was never seen has none: 0.
 */
#define COW_CLIENT_BOOTS 20
#define COW_CLIENT_REQUESTS 200
typedef int (*cow_history_fn)(void *ctx, const char *line);
int cow_client_boots_each(struct cow_store *s, const struct cow_mac *mac, cow_history_fn fn,
			  void *ctx);
int cow_client_requests_each(struct cow_store *s, const struct cow_mac *mac, cow_history_fn fn,
			     void *ctx);

/* Add one boot, with its LF; it replaces the one with the same start. */
int cow_client_boots_add(struct cow_store *s, const struct cow_mac *mac, const char *line);
/* Add requests, each with its LF. */
int cow_client_requests_add(struct cow_store *s, const struct cow_mac *mac, const char *lines);

/*
 * Machines that asked for boot files and are no clients, written by `cowherd serve`: lines "pending v=1 mac= addr= serial= model=
 * first= last= count=", COW_PENDING_MAX at most. Clients may be among those of a while ago.
 */
#define COW_PENDING_MAX 256
int cow_store_pending_each(struct cow_store *s, cow_history_fn fn, void *ctx);
int cow_store_pending_write(struct cow_store *s, const char *lines);

/* Clients that `cowherd serve` made without being asked for each are marked. */
int cow_client_enrolled_mark(struct cow_store *s, const struct cow_mac *mac);
bool cow_client_enrolled(struct cow_store *s, const struct cow_mac *mac);

#define COW_CLIENT_KEEP_ROOTS 1 /* where client.conf does not say */
#define COW_CLIENT_KEEP_ROOTS_MAX 100

/* A client counts as running when its root was used by NFS in the last 90 seconds. */
#define COW_CLIENT_RUNNING_S 90

#endif
