/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * POSIX ACLs in short text, as acl(5) but in one line, ids as numbers, in the kernel's order:
 *	u::rw-,u:12001:r--,g::r--,g:13001:rwx,m::rwx,o::---
 */
#ifndef COW_TESTS_POSIX_ACL_TEXT_H
#define COW_TESTS_POSIX_ACL_TEXT_H

#include "posix.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define ACL_TEXT_MAX 1024

/* Both as the system calls they make. */
int acl_set(const char *path, const char *attr, const char *text);
int acl_get(const char *path, const char *attr, char text[ACL_TEXT_MAX]);

void expect_acl(struct here h, const char *path, const char *attr, const char *want);
#define ACL(path, want) expect_acl(HERE, path, ACL_ACCESS, want)
#define DEFAULT_ACL(path, want) expect_acl(HERE, path, ACL_DEFAULT, want)
#define NO_ACL(path) FAILS(ENODATA, getxattr(path, ACL_ACCESS, NULL, 0))
#define NO_DEFAULT_ACL(path) FAILS(ENODATA, getxattr(path, ACL_DEFAULT, NULL, 0))

#endif
