/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What is on a disk image: which of its file systems is the root, which the boot partition of a
 * Raspberry Pi or the EFI system partition. Nothing is mounted. Source: libblkid.
 */
#ifndef COW_SNAPSHOT_DISK_H
#define COW_SNAPSHOT_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct cow_disk_part {
	unsigned number;    /* 0: the whole disk, there is no partition table */
	uint64_t off, size; /* bytes */
	char fs[16];	    /* libblkid's name: "ext4", "vfat", "btrfs"; never "" */
	char label[64];
};

struct cow_disk {
	struct cow_disk_part root, boot; /* boot.size == 0: there is none */
	char others[256];		 /* Linux file systems that were not taken, in words; "" */
};

/* Can this be the beginning of a disk or of a file system? */
int cow_disk_begins(const uint8_t *head, size_t len);

/*
 * cow_disk_look - find root and boot partition of the @size bytes behind @fd (seekable, borrowed).
 * Of several Linux file systems the root is the one named so, else the largest.
 * Return: 0; -ENODATA no Linux file system on it, the message lists what is; -EBADMSG a partition it
 * needs ends behind the end; -ENOMEM; -EIO.
 */
int cow_disk_look(int fd, uint64_t size, const char *what, struct cow_disk *ret,
		  struct cow_err *err);

/* "ext4", "ext3" or "ext2"? 1 or 0. */
int cow_disk_is_ext(const struct cow_disk_part *p);

#endif
