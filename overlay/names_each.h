/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every name in a directory that may change under the walk, for the engine's own house-keeping.
 */
#ifndef COW_OVERLAY_NAMES_EACH_H
#define COW_OVERLAY_NAMES_EACH_H

/* @dirfd: any level. The callback may remove the name; its non-zero value stops and is returned. */
int cow_names_each(int dirfd, int (*fn)(void *ctx, const char *name), void *ctx);

#endif
