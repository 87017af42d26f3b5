/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Loaders for PCs and other machines with PXE firmware: which kind of firmware gets which file, and the folder
 * they are served from.
 */
#ifndef COW_TOOLS_SERVE_LOADERS_H
#define COW_TOOLS_SERVE_LOADERS_H

#include <stdbool.h>

#include "common/bounds.h"
#include "common/err.h"

/* [dhcp] loader; in the order of its words. */
enum cow_loader {
	COW_LOADER_IPXE,
	COW_LOADER_PXELINUX, /* BIOS alone; EFI firmware gets iPXE */
	COW_LOADER_GRUB,
	COW_LOADER_MAX,
};

/* The file for firmware of a processor architecture (RFC 4578 2.1, IANA); NULL: none. ARM gets GRUB. */
const char *cow_loader_file(unsigned arch, enum cow_loader loader);

/* Debian packages a file comes from; NULL: no loader of that name. */
const char *cow_loader_package(const char *name);

/* Whether the file, or what it is made of, is installed. */
bool cow_loader_found(const char *name, const char *ipxe_dir);

/*
 * cow_loaders_make - fill RUN/loaders anew with all loaders there are; one that is missing or cannot be made is
 * left out. Threads: before there are any. Return: 0; -errno the folder cannot be made.
 */
int cow_loaders_make(int run_fd, const char *run, const char *ipxe_dir, struct cow_err *err);

#endif
