/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the daemon serves: from who asks and a name to the content. The parts behind it, in the
 * order they are asked; this is cowherd-tftpd's resolver. One thread.
 */
#ifndef COW_TFTP_FILES_H
#define COW_TFTP_FILES_H

#include "clients.h"
#include "leases.h"
#include "options.h"
#include "tftp/cmdline.h"
#include "tftp/content.h"
#include "tftp/name.h"
#include "tftp/server.h"

/* Fixed for the life of the process. */
struct cow_tftp_site {
	const char *nfs; /* default version for clients */
	unsigned nfs_port, mount_port;
	enum cow_tftp_trust trust;
	enum cow_tftp_enrol enrol;
	int loader_fd; /* directory of the loaders; -1: none */
	int event_fd;  /* boots are reported there; -1: nobody listens */
};

struct cow_tftp_files {
	struct cow_tftp_site site;
	struct cow_tftp_clients *clients;
	int neigh_fd;			/* -1: no neighbour table */
	struct cow_tftp_leases *leases; /* NULL: none */
	bool supervisor_lags;		/* the last report could not be written; said once */
	struct { /* machines that are no clients, to be named once per boot */
		struct cow_tftp_session session;
		uint64_t waits_ms; /* since then for being enrolled; 0: does not */
	} strangers[64];
};

/* The resolver's functions; @ctx is a struct cow_tftp_files. */
int cow_tftp_files_open(void *ctx, const struct cow_tftp_who *who, const char *raw, size_t len,
			struct cow_tftp_content **ret);
void cow_tftp_files_ended(void *ctx, const struct cow_tftp_ended *e);
void cow_tftp_files_tick(void *ctx, uint64_t now_ms);

/*
 * cow_tftp_identify - the client of a request: by its MAC prefix, its serial prefix, the neighbour table. A
 * serial that no record has counts as that of the on-link client, if that client's record names
 * none; so does that of the client with the Ethernet address a board up to Pi 3 of this serial number has. A prefix is believed unless the neighbour table knows better; with COW_TFTP_TRUST_OPEN also then.
 * @ret_mac: the MAC as far as known, also of a stranger; all zero: unknown.
 * Return: 0; -ENOENT no client; -EPERM the client with that MAC has another serial; -EACCES the
 * Ethernet address is not that of the client it says it is; -errno.
 */
int cow_tftp_identify(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      const struct cow_tftp_name *name, struct cow_tftp_client **ret,
		      struct cow_mac *ret_mac);

/*
 * cow_tftp_may_learn - is the serial number of this request the client's, whose record has none? The sender's Ethernet
 * address is the client's, and where the one follows from the other (boards up to Pi 3) they agree.
 */
bool cow_tftp_may_learn(const struct cow_tftp_files *f, const struct cow_tftp_who *who,
			const struct cow_tftp_name *name, const struct cow_tftp_client *c);

/* Is @mac the Ethernet address of who sent the request, for certain? */
bool cow_tftp_is_sender(const struct cow_tftp_files *f, const struct cow_tftp_who *who,
			const struct cow_mac *mac);

/* A boot begins: a client that gets a fresh root each time asks for it, see fresh.c. */
void cow_tftp_fresh_ask(struct cow_tftp_files *f, const struct cow_tftp_who *who,
			struct cow_tftp_client *c);

/* Return: 0 go on; 1 go on with the root that has come, the pin is of the old one; -EINPROGRESS not yet. */
int cow_tftp_fresh_wait(struct cow_tftp_client *c, uint64_t now_ms);

/* The pair of MAC and serial number is to be remembered: tell the supervisor, once per boot. */
void cow_tftp_announce_serial(struct cow_tftp_files *f, const struct cow_client *conf,
			      const char *serial);

/* A boot begins with this request for @file: report and log it. */
void cow_tftp_announce(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		       struct cow_tftp_client *c, const char *file);

/* Tell what a boot asked for and got since this was told. False: the supervisor does not read; try again. */
bool cow_tftp_report(struct cow_tftp_files *f, struct cow_tftp_pin *p);

/* The clients' cache calls this for a session that is over; @ctx: as above. */
void cow_tftp_files_over(void *ctx, struct cow_tftp_pin *p);

/*
 * cow_tftp_announce_stranger - somebody who is no client: logged, and told to the supervisor, once per boot.
 * @why: as cow_tftp_identify(). Return: true: he may be made a client at this moment, and is not answered meanwhile.
 */
bool cow_tftp_announce_stranger(struct cow_tftp_files *f, const struct cow_tftp_who *who,
				const struct cow_mac *mac, const struct cow_tftp_name *name,
				int why);

/*
 * cow_tftp_tree_open - a regular file below the view's boot directory. Links are refused (-ELOOP),
 * as are empty files (-ENOENT: firmware cannot tell them from failure) and files not everybody may
 * read (-EACCES), but for kernels, which Ubuntu installs with mode 0600.
 */
int cow_tftp_tree_open(struct cow_tftp_view *v, const char *path, struct cow_tftp_content **ret);

/*
 * cow_tftp_tree_kernel - newest "vmlinuz-V" of the boot directory, with "initrd.img-V" beside it if
 * @initrd is not NULL. Caller frees both. Return: 0; -ENOENT none; -errno.
 */
int cow_tftp_tree_kernel(struct cow_tftp_view *v, char **ret_kernel, char **ret_initrd);

/*
 * cow_tftp_tree_dtbs - folder of the boot directory with the device trees of @kernel: "dtbs/V" (flash-kernel), "dtb-V"
 * (Fedora, Armbian), or "dtbs", "dtb" for any version. Caller frees. Return: 0; -ENOENT none; -ENOMEM.
 */
int cow_tftp_tree_dtbs(struct cow_tftp_view *v, const char *kernel, char **ret);

/* Generated files. -ENOENT when @name is none of them. */
int cow_tftp_generate(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      struct cow_tftp_client *c, const struct cow_tftp_name *name,
		      struct cow_tftp_content **ret);

#endif
