/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * config.txt of a Raspberry Pi, turned towards the network. Pure text functions.
 */
#ifndef COW_TFTP_CONFIG_TXT_H
#define COW_TFTP_CONFIG_TXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * cow_tftp_config_pi - config.txt or tryboot.txt of a tree (@in, any bytes) made to boot from the network.
 * Lines that name another command line than cmdline.txt or a boot image in memory go, and unless
 * @initramfs those that load an initramfs: with one that cannot mount its root a board would hang, without
 * it the kernel mounts it by itself. All others stay as they are, filters too. Ours follow, for all boards.
 * Idempotent. Ownership: caller frees *ret. Return: 0; -ENOMEM.
 */
int cow_tftp_config_pi(const char *in, size_t len, bool initramfs, char **ret, size_t *ret_len);

/* The same for a file that config.txt includes: lines go, none follow. */
int cow_tftp_config_included(const char *in, size_t len, bool initramfs, char **ret,
			     size_t *ret_len);

/* Does this config.txt include that file? Source: "include" in the documentation of config.txt. */
bool cow_tftp_config_includes(const char *in, size_t len, const char *path);

#endif
