/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NFSv3 (and NFSv4.0 compounds without state) over TCP by hand, many calls in flight over many
 * connections from one thread: a load that costs little beside the server it measures. Every
 * failure of the transport ends the program.
 */
#ifndef COW_BENCH_NFSRPC_H
#define COW_BENCH_NFSRPC_H

#include <stddef.h>
#include <stdint.h>

#define NFS_FH_MAX 64

struct fh {
	uint32_t len;
	uint8_t b[NFS_FH_MAX];
};

/* Being sent: grows. Being received: p and len are the reply, at the position. */
struct enc {
	uint8_t *p;
	size_t len, room;
};
struct dec {
	const uint8_t *p;
	size_t len, at;
};

void e_u32(struct enc *e, uint32_t v);
void e_u64(struct enc *e, uint64_t v);
void e_raw(struct enc *e, const void *p, size_t len); /* padded; @p may be NULL: zeros */
void e_opaque(struct enc *e, const void *p, size_t len);
void e_str(struct enc *e, const char *s);
void e_fh(struct enc *e, const struct fh *h);

uint32_t d_u32(struct dec *d);
uint64_t d_u64(struct dec *d);
const uint8_t *d_raw(struct dec *d, size_t len);
const uint8_t *d_opaque(struct dec *d, uint32_t *ret_len);
void d_fh(struct dec *d, struct fh *h);

#define NFS_PROG 100003
#define MOUNT_PROG 100005

/* One piece of work: one call, or several one after the other. */
struct job {
	struct client *c;
	uint64_t n;    /* which one */
	unsigned step; /* calls that were answered */
	uint64_t off;  /* the work's own */
	uint64_t verf;
	struct fh fh;
	uint32_t xid; /* of the call under way */
	int busy;
};

struct work {
	unsigned prog, vers;
	/* Fill in the next job; 0: there is none. */
	int (*next)(struct client *c, struct job *j);
	/* Arguments of the job's next call. Return: procedure. */
	uint32_t (*call)(struct job *j, struct enc *e);
	/* The answer. Return: 1 the job has one more call. */
	int (*answer)(struct job *j, struct dec *d);
};

struct client {
	int fd;
	unsigned depth, busy;
	const struct work *work;
	void *arg; /* the work's own */
	struct fh root;
	uint64_t calls;
	int idle; /* no next job any more */
	/* private: */
	struct job *job;
	struct enc out;
	size_t sent;
	uint8_t *in;
	size_t in_len, in_room;
	uint32_t events;
};

/* @depth: most calls in flight. */
void rpc_open(struct client *c, const char *addr, unsigned port, unsigned depth);
void rpc_close(struct client *c);

/* Run each client's work to its end. */
void rpc_run(struct client *c, size_t n);

/* MNT of @path; the root's handle to c->root. */
void rpc_mount(struct client *c, const char *addr, unsigned port, const char *path);

_Noreturn void rpc_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
