/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The words of a kernel command line that both kinds of boot file share; private to this folder.
 */
#ifndef COW_TFTP_NFSWORDS_H
#define COW_TFTP_NFSWORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "tftp/cmdline.h"

enum cow_tftp_mounter {
	COW_TFTP_MOUNT_KERNEL, /* the kernel itself */
	COW_TFTP_MOUNT_HOOK,   /* our initramfs script, boot=cowherd */
	COW_TFTP_MOUNT_KLIBC,  /* initramfs-tools' nfsmount, boot=nfs: version 3 only */
};

enum cow_tftp_mounter cow_tftp_mounter_of(const char *initramfs);

/* "SERVER:/clients/MAC,OPTIONS". Return: length, or -E2BIG when @buf is too small. */
int cow_tftp_nfsroot(const struct cow_tftp_boot *b, enum cow_tftp_mounter m, char *buf, size_t len);

/*
 * cow_tftp_root_words - what a PC's kernel needs to know: "[boot=...] root=/dev/nfs nfsroot=... ip=dhcp rw ...".
 * Only letters, digits and "=/.:,_-": no loader reads anything into them.
 * Return: 0; -E2BIG when @buf is too small.
 */
#define COW_TFTP_ROOT_WORDS_MAX 512
int cow_tftp_root_words(const struct cow_tftp_boot *b, bool initrd, char *buf, size_t len);

/*
 * cow_tftp_word_next - next blank-separated word of a command line; blanks inside double quotes do
 * not separate. @p moves behind it. Return: false at the end.
 */
bool cow_tftp_word_next(const char **p, const char *end, const char **ret, size_t *ret_len);

/* Printable, quotes closed: safe to stand on a line with others. */
bool cow_tftp_word_ok(const char *word, size_t len);

#endif
