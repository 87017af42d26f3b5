/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * ONC RPC over TCP by hand (RFC 5531), for requests no well-behaved client sends: forged handles,
 * and NFSv4.2 operations libnfs does not have. Blocking; every failure of the transport ends the
 * program.
 */
#ifndef COW_NFS_RAWRPC_H
#define COW_NFS_RAWRPC_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct xdr {
	uint8_t b[1 << 20];
	size_t len, at; /* filled; read position */
};

void x_u32(struct xdr *x, uint32_t v);
void x_u64(struct xdr *x, uint64_t v);
void x_raw(struct xdr *x, const void *p, size_t len);	 /* padded, no length: fixed opaque */
void x_opaque(struct xdr *x, const void *p, size_t len); /* with length */
void x_str(struct xdr *x, const char *s);

uint32_t r_u32(struct xdr *x);
uint64_t r_u64(struct xdr *x);
void r_raw(struct xdr *x, void *p, size_t len);
size_t r_opaque(struct xdr *x, void *p, size_t max);
void r_skip_opaque(struct xdr *x);

struct raw {
	int fd;
	uint32_t xid, uid, gid;
	uint32_t groups[16], n_groups;
};

/* stable_how of both versions' WRITE */
enum { RAW_UNSTABLE = 0, RAW_FILE_SYNC = 2 };

/* What is being tested, for messages; the first thing that is not so ends the program. */
extern const char *raw_running;
#define WANT(what, got, want)                                                                      \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_) {                                                               \
			(void)printf("not ok - %s\n", raw_running);                                \
			(void)fflush(stdout);                                                      \
			raw_die("%s:%d: %s: %s is %lld, want %lld", __FILE__, __LINE__,            \
				raw_running, what, got_, want_);                                   \
		}                                                                                  \
	} while (0)

struct raw raw_connect(const char *addr, unsigned port, uint32_t uid, uint32_t gid);

/* Send @args, leave the results in @res. The call must be accepted (RFC 5531, SUCCESS). */
void raw_call(struct raw *c, uint32_t prog, uint32_t vers, uint32_t proc, const struct xdr *args,
	      struct xdr *res);

/* The same for a call that may be refused. Return: 0 accepted; RFC 5531's accept_stat; RAW_DENIED and
 * the auth_stat when the server does not want to hear this caller. */
#define RAW_DENIED 1000u
uint32_t raw_try(struct raw *c, uint32_t prog, uint32_t vers, uint32_t proc, const struct xdr *args,
		 struct xdr *res);

_Noreturn void raw_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
