/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A folder as it was: everything in it is remembered once, and put back as often as wanted. What did not change is not
 * touched and keeps its inode, so that records which hold file handles stay true. Small folders only.
 */
#ifndef FUZZ_RESOLVE_KEPT_H
#define FUZZ_RESOLVE_KEPT_H

struct kept;

/* Ends the program when it cannot; so does kept_put_back(). Never freed. */
struct kept *kept_of(const char *path);
void kept_put_back(const struct kept *k, const char *path);

#endif
