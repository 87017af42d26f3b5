/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What an initramfs made by initramfs-tools lacks to mount its root over any version of NFS, as an
 * archive to be appended to it. The kernel unpacks all archives of an initramfs, the later ones over
 * the earlier: linux/Documentation/driver-api/early-userspace/buffer-format.rst. So none has to be
 * taken apart, and nothing of the image is run, which may be for another processor.
 */
#ifndef COW_SNAPSHOT_INITRAMFS_PART_H
#define COW_SNAPSHOT_INITRAMFS_PART_H

#include "fixup_internal.h"

/* Files for the image's own update-initramfs, see share/initramfs. */
extern const char cow_initramfs_script[], cow_initramfs_hook[];

/*
 * cow_initramfs_part - a cpio archive (newc) with the boot script, klibc's mount, and the modules for
 * NFS of kernel @version with all they need.
 * Return: 0, ret->s is the caller's to free; -ENOENT no klibc mount, or a module is missing; -ENOPKG the kernel has
 * neither modules for NFS nor NFS built in; -EFBIG, -ENOMEM, errors of reading.
 */
int cow_initramfs_part(int tree, const char *version, struct cow_text *ret);

#endif
