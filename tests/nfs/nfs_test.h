/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Small frame for test programs that are NFS clients (libnfs): one case is one function whose name
 * says what must hold; the first thing that does not ends the program with the place and the
 * reason.
 */
#ifndef COW_NFS_TEST_H
#define COW_NFS_TEST_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <nfsc/libnfs.h>

struct nfs_where {
	const char *server, *path;
	unsigned port, mount_port, version; /* version 3 or 4 */
};

struct nfs_case {
	const char *name;
	void (*run)(void);
	unsigned version; /* 0: both */
};

extern struct nfs_where nfs_where;

/* Reads --server A --port N --mount-port N --path P --version V [--only CASE] and runs the cases.
 */
int nfs_test_main(int argc, char **argv, const struct nfs_case *cases, size_t n);

/* A mounted client with these credentials; ends the program when it cannot mount. */
struct nfs_context *nfs_client(uint32_t uid, uint32_t gid, const uint32_t *groups,
			       uint32_t n_groups);
/* The same over that version of the protocol. */
struct nfs_context *nfs_client_of(unsigned version, uint32_t uid, uint32_t gid,
				  const uint32_t *groups, uint32_t n_groups);

_Noreturn void nfs_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* libnfs call on @nfs that must return @want (0 or a negative errno). */
#define EXPECT(nfs, want, call)                                                                    \
	do {                                                                                       \
		int got_ = (call);                                                                 \
		int want_ = (want);                                                                \
		if (got_ != want_)                                                                 \
			nfs_fail(__FILE__, __LINE__, "%s gave %d (%s), want %d", #call, got_,      \
				 got_ < 0 ? nfs_get_error(nfs) : "success", want_);                \
	} while (0)
#define OK(nfs, call) EXPECT(nfs, 0, call)

/* One of two errors: protocol versions and clients differ in which one they have. */
#define EXPECT_EITHER(nfs, want1, want2, call)                                                     \
	do {                                                                                       \
		int got_ = (call);                                                                 \
		if (got_ != (want1) && got_ != (want2))                                            \
			nfs_fail(__FILE__, __LINE__, "%s gave %d (%s), want %d or %d", #call,      \
				 got_, got_ < 0 ? nfs_get_error(nfs) : "success", (want1),         \
				 (want2));                                                         \
	} while (0)

#define TRUE_(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			nfs_fail(__FILE__, __LINE__, "not so: %s", #cond);                         \
	} while (0)

#define EQUAL(a, b)                                                                                \
	do {                                                                                       \
		long long a_ = (long long)(a), b_ = (long long)(b);                                \
		if (a_ != b_)                                                                      \
			nfs_fail(__FILE__, __LINE__, "%s is %lld, want %lld", #a, a_, b_);         \
	} while (0)

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Helpers on top of libnfs that end the program on any error. */
void nfs_put(struct nfs_context *nfs, const char *path, int mode, const void *data, size_t len);
char *nfs_take(struct nfs_context *nfs, const char *path, size_t *ret_len); /* caller frees */
struct nfs_stat_64 nfs_look(struct nfs_context *nfs, const char *path);	    /* does not follow */
size_t nfs_count(struct nfs_context *nfs, const char *path); /* entries of a directory */
void nfs_wipe(struct nfs_context *nfs, const char *path);    /* a tree; absent is fine */

#endif
