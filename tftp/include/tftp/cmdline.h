/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Kernel command lines: the words that make a kernel mount its client's tree, a Raspberry Pi's
 * cmdline.txt rewritten around them, and what the loaders of PCs read. Pure text functions.
 */
#ifndef COW_TFTP_CMDLINE_H
#define COW_TFTP_CMDLINE_H

#include <stddef.h>

/* Everything the words depend on. Strings are borrowed, never NULL. */
struct cow_tftp_boot {
	const char *mac;       /* dashes, lower case */
	const char *name;      /* host name, for the person at the console */
	const char *image;     /* likewise */
	unsigned version;      /* likewise */
	const char *server;    /* IPv4 address, as the client reached us */
	const char *nfs;       /* "3", "4.0", "4.1", "4.2" */
	unsigned nfs_port;     /* 2049: not written */
	unsigned mount_port;   /* 0: ask rpcbind; written for version 3 only */
	const char *initramfs; /* "cowherd", "klibc", "none" */
	const char *words;     /* of client.conf; "" */
};

/*
 * cow_tftp_cmdline_pi - cmdline.txt of a tree (@in, any bytes) made to boot from the network.
 * Its first line's words are kept but those that say where the root is, how it is checked or
 * resized, and our own; ours and the client's are appended. One line, COW_TFTP_CMDLINE_MAX bytes
 * without its newline; kept words that do not fit are left out from the end (*ret_dropped counts
 * them; may be NULL). Idempotent. The kernel mounts the root itself unless the image's initramfs is
 * "cowherd". Ownership: caller frees *ret. Return: 0; -E2BIG our own words do not fit; -ENOMEM.
 */
int cow_tftp_cmdline_pi(const struct cow_tftp_boot *b, const char *in, size_t len, char **ret,
			size_t *ret_len, unsigned *ret_dropped);

/*
 * cow_tftp_ipxe_script - boot.ipxe: load @kernel and @initrd (NULL: none; names next to the script)
 * and boot; on failure offer a shell for ten seconds, then fetch the script afresh and try again.
 * Ownership: caller frees *ret. Return: 0; -EINVAL a name iPXE would not take literally; -ENOMEM.
 */
int cow_tftp_ipxe_script(const struct cow_tftp_boot *b, const char *kernel, const char *initrd,
			 char **ret, size_t *ret_len);

/*
 * cow_tftp_pxelinux_config - the same for PXELINUX and U-Boot, which read the same file; @dir stands in front
 * of the names of files, "" or with a '/' at its end. After a failure PXELINUX tries again when ten seconds pass
 * without a key. Words of client.conf that U-Boot would expand, or that name an initrd, are left out.
 * @dtbs: folder with device trees, of which U-Boot knows its own by name; NULL: the one U-Boot has is good.
 * Ownership: caller frees *ret. Return: 0; -EINVAL as above; -ENOMEM.
 */
int cow_tftp_pxelinux_config(const struct cow_tftp_boot *b, const char *dir, const char *kernel,
			     const char *initrd, const char *dtbs, char **ret, size_t *ret_len);

/*
 * cow_tftp_grub_config - the same for GRUB, as a script without a menu; files are named from the server's
 * root, with the client's MAC address in front. After a failure the machine starts anew ten seconds later, or
 * Escape leads to a prompt. Words of client.conf with a backslash or an apostrophe are left out: GRUB would put
 * a backslash in front.
 * Ownership: caller frees *ret. Return: 0; -EINVAL as above; -ENOMEM.
 */
int cow_tftp_grub_config(const struct cow_tftp_boot *b, const char *kernel, const char *initrd,
			 char **ret, size_t *ret_len);

/* A file name every loader takes as it is: letters, digits and "._+~-". */
int cow_tftp_loader_name_ok(const char *name);

#endif
