/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the daemon serves: from who asks and a name to the content. The parts behind it, in the
 * order they are asked; this is cowherd-tftpd's resolver. One thread.
 */
#ifndef COW_TFTP_FILES_H
#define COW_TFTP_FILES_H

#include "clients.h"
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
	int loader_fd; /* directory of the loaders; -1: none */
	int event_fd;  /* boots are reported there; -1: nobody listens */
};

struct cow_tftp_files {
	struct cow_tftp_site site;
	struct cow_tftp_clients *clients;
	int neigh_fd;	      /* -1: no neighbour table */
	bool supervisor_lags; /* the last report could not be written; said once */
	struct {	      /* machines that are no clients, to be named once per boot */
		struct cow_tftp_session session;
	} strangers[64];
};

/* The resolver's functions; @ctx is a struct cow_tftp_files. */
int cow_tftp_files_open(void *ctx, const struct cow_tftp_who *who, const char *raw, size_t len,
			struct cow_tftp_content **ret);
void cow_tftp_files_tick(void *ctx, uint64_t now_ms);

/*
 * cow_tftp_identify - the client of a request: by its MAC prefix, its serial prefix, the neighbour table. A
 * serial that no record has counts as that of the on-link client, if that client's record names
 * none. A prefix is believed unless the neighbour table knows better; with COW_TFTP_TRUST_OPEN also then.
 * @ret_mac: the MAC as far as known, also of a stranger; all zero: unknown.
 * Return: 0; -ENOENT no client; -EPERM the client with that MAC has another serial; -EACCES the
 * Ethernet address is not that of the client it says it is; -errno.
 */
int cow_tftp_identify(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      const struct cow_tftp_name *name, struct cow_tftp_client **ret,
		      struct cow_mac *ret_mac);

/* Report and log a boot when one begins with this request. @c NULL: not served, because @why. */
void cow_tftp_announce(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		       struct cow_tftp_client *c, const struct cow_mac *mac, const char *path,
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

/* Generated files. -ENOENT when @name is none of them. */
int cow_tftp_generate(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      struct cow_tftp_client *c, const struct cow_tftp_name *name,
		      struct cow_tftp_content **ret);

#endif
