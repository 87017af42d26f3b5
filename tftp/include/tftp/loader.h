/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the loaders of PCs and U-Boot ask for: their configuration, under whatever name. Each of them tries
 * several, from its own MAC address down to one for everybody; any of them gets the asker's.
 *	iPXE      boot.ipxe
 *	PXELINUX, U-Boot
 *	          pxelinux.cfg/ + UUID | 01-MAC | IP address in hex, then less and less of it | default
 *	          (U-Boot also default-arm-BOARD, default-arm)
 *	GRUB      grub.cfg-01-MAC | grub.cfg- + IP address likewise | grub.cfg, in any folder
 */
#ifndef COW_TFTP_LOADER_H
#define COW_TFTP_LOADER_H

#include <stdbool.h>

#include "snapshot/mac.h"

enum cow_tftp_loader {
	COW_TFTP_LOADER_NONE, /* no loader's configuration */
	COW_TFTP_LOADER_IPXE,
	COW_TFTP_LOADER_PXELINUX, /* and U-Boot */
	COW_TFTP_LOADER_GRUB,
};

/* @path: clean and relative. */
enum cow_tftp_loader cow_tftp_loader_of(const char *path);

/* The MAC address in such a name. Return: 0; -ENOENT there is none. */
int cow_tftp_loader_mac(const char *path, struct cow_mac *ret);

/* Whether this is the name its loader asks for last. */
bool cow_tftp_loader_is_last(const char *path);

#endif
