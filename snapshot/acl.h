/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * POSIX ACLs of tar members, in the form the kernel takes them (system.posix_acl_*).
 *
 * Value: le32 version = 2, then entries { le16 tag, le16 perm, le32 id }, sorted by tag, then id.
 * Source: linux/posix_acl_xattr.h.
 */
#ifndef COW_SNAPSHOT_ACL_H
#define COW_SNAPSHOT_ACL_H

#include <archive_entry.h>
#include <stddef.h>
#include <stdint.h>

#define COW_ACL_ENTRIES_MAX 4096 /* what fits into an attribute of 32 KiB; btrfs takes less */

/* Number of a user (@want: 'u') or group ('g') by name in the image's own files; -ENOENT. */
typedef int (*cow_acl_lookup_fn)(void *ctx, int want, const char *name, uint32_t *ret_id);

/*
 * cow_acl_value - attribute value of a member's ACL.
 * @type: ARCHIVE_ENTRY_ACL_TYPE_ACCESS or _DEFAULT
 * @lookup: NULL: a name without a number is -EAGAIN (try again when the image is complete)
 * Return: 0; -ENODATA has none; -EAGAIN; -ENOENT unknown name; -EBADMSG. Caller frees *ret.
 */
int cow_acl_value(struct archive_entry *e, int type, cow_acl_lookup_fn lookup, void *ctx,
		  uint8_t **ret, size_t *ret_len);

/*
 * cow_acl_mode - permission bits of a member as stat(2) shows them. With an ACL the library gives
 * the owning group's own rights in the place of the mask, which is what the mode's middle bits are.
 */
unsigned cow_acl_mode(struct archive_entry *e);

#endif
