/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every size that somebody outside can choose, with the reason for its ceiling.
 */
#ifndef COW_COMMON_BOUNDS_H
#define COW_COMMON_BOUNDS_H

#define COW_NAME_MAX 255	  /* one path component: NAME_MAX of every Linux file system */
#define COW_PATH_MAX 4095	  /* without the terminator: PATH_MAX - 1 */
#define COW_SYMLINK_MAX 4095	  /* longest target Linux stores */
#define COW_XATTR_NAME_MAX 255	  /* XATTR_NAME_MAX */
#define COW_XATTR_SIZE_MAX 65536  /* XATTR_SIZE_MAX: largest value the kernel takes */
#define COW_XATTR_LIST_MAX 65536  /* XATTR_LIST_MAX */
#define COW_IO_MAX (64u << 20)	  /* largest READ or WRITE: what Ganesha accepts as MaxRead/MaxWrite */
#define COW_KV_FILE_MAX (1u << 20) /* a record or configuration file; real ones are below 4 KiB */
#define COW_KV_LINE_MAX 8192	  /* longest line of one; image.conf lists fix-ups on one line each */
#define COW_DEPTH_MAX 2048	  /* directory depth of a tree we walk: PATH_MAX / 2 */
#define COW_LABEL_MAX 64	  /* image, tag, client and keep-list names */
#define COW_GROUPS_MAX 65536	  /* NGROUPS_MAX; AUTH_SYS carries 16 */

#endif
