/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Load while exports come and go, on one connection, until SIGTERM. Any status is right; an answer must
 * come.
 *	nfs_storm ADDR NFSPORT MOUNTPORT EXPORT 3|4 list|lookup|write
 * list: /big over and over, lookup: names of /some, write: a file of its own.
 * Prints how many rounds it began and how many came to their end.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

static volatile sig_atomic_t stop;
static struct raw c3, mnt;
static struct session s4;
static const char *path;
static int version;
static struct fh3 top3;
static struct fh top4;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void drop_entry(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	(void)arg;
	(void)name;
	(void)fileid;
	(void)cookie;
}

static uint32_t list(void)
{
	struct fh3 dir = {.len = 0};
	uint64_t cookie = 0, verifier = 0;
	uint32_t eof = 0;
	uint32_t r = n3_lookup(&c3, &top3, "big", &dir);
	while (r == 0 && !eof && !stop)
		r = n3_readdir(&c3, &dir, 4096, &cookie, &verifier, drop_entry, NULL, &eof);
	return r;
}

static uint32_t list4(void)
{
	struct fh dir = {.len = 0};
	uint32_t r = n4_lookup(&s4, &top4, "big", &dir);
	for (unsigned i = 0; r == 0 && !stop && i < 10; i++) {
		n4_begin(&s4);
		n4_put_fh(&dir);
		n4_op(OP_READDIR);
		x_u64(&n4_args, 0);
		x_u64(&n4_args, 0);
		x_u32(&n4_args, 32768);
		x_u32(&n4_args, 32768);
		x_u32(&n4_args, 1);
		x_u32(&n4_args, 1u << 20);
		r = n4_send(&s4);
	}
	return r;
}

static uint32_t lookup(void)
{
	char name[16];
	struct fh3 dir = {.len = 0}, h;
	struct n3_attr a;
	uint32_t r = n3_lookup(&c3, &top3, "some", &dir);
	for (unsigned i = 0; r == 0 && !stop && i < 600; i++) {
		(void)snprintf(name, sizeof(name), "f%03u", i);
		r = n3_lookup(&c3, &dir, name, &h);
		if (r == 0)
			r = n3_getattr(&c3, &h, &a);
	}
	return r;
}

static uint32_t lookup4(void)
{
	char name[16];
	struct fh dir = {.len = 0}, h;
	uint32_t r = n4_lookup(&s4, &top4, "some", &dir);
	for (unsigned i = 0; r == 0 && !stop && i < 600; i++) {
		(void)snprintf(name, sizeof(name), "f%03u", i);
		r = n4_lookup(&s4, &dir, name, &h);
	}
	return r;
}

static uint32_t write3(void)
{
	static const char block[4096];
	char name[32];
	struct fh3 h;
	(void)snprintf(name, sizeof(name), "storm-%d", (int)getpid());
	uint32_t r = n3_create(&c3, &top3, name, N3_UNCHECKED, 0, &h);
	for (unsigned i = 0; r == 0 && !stop && i < 50; i++)
		r = n3_write(&c3, &h, i * sizeof(block), block, sizeof(block));
	return r;
}

/* The file stays open when its export goes in the middle. */
static uint32_t write4(void)
{
	static const char block[4096];
	char name[32];
	struct fh h;
	struct stateid st;
	const struct open_how how = {.access = BOTH, .create = CREATE_UNCHECKED};
	(void)snprintf(name, sizeof(name), "storm-%d", (int)getpid());
	uint32_t r = n4_open(&s4, &top4, name, how, &h, &st);
	if (r)
		return r;
	for (unsigned i = 0; r == 0 && !stop && i < 50; i++) {
		n4_begin(&s4);
		n4_put_fh(&h);
		n4_op(OP_WRITE);
		x_raw(&n4_args, st.b, sizeof(st.b));
		x_u64(&n4_args, i * sizeof(block));
		x_u32(&n4_args, 0);
		x_opaque(&n4_args, block, sizeof(block));
		r = n4_send(&s4);
	}
	(void)n4_close(&s4, &h, &st);
	return r;
}

static int mounted(void)
{
	if (version == 3)
		return n3_mount(&mnt, path, &top3) == 0;
	return n4_try_walk(&s4, path, &top4) == NFS4_OK;
}

static uint32_t (*round_of(const char *name))(void)
{
	if (!strcmp(name, "list"))
		return version == 3 ? list : list4;
	if (!strcmp(name, "lookup"))
		return version == 3 ? lookup : lookup4;
	if (!strcmp(name, "write"))
		return version == 3 ? write3 : write4;
	return NULL;
}

int main(int argc, char **argv)
{
	struct timespec pause = {.tv_nsec = 2000000};
	unsigned long begun = 0, done = 0;
	char name[64];
	version = argc == 7 ? atoi(argv[5]) : 0;
	uint32_t (*one)(void) = argc == 7 ? round_of(argv[6]) : NULL;
	if (!one || (version != 3 && version != 4)) {
		(void)fprintf(stderr,
			      "usage: %s ADDR NFSPORT MOUNTPORT EXPORT 3|4 list|lookup|write\n",
			      argv[0]);
		return 2;
	}
	(void)signal(SIGTERM, on_term);
	path = argv[4];
	raw_running = "storm";
	mnt = n3_connect(argv[1], argv[3], 0);
	c3 = n3_connect(argv[1], argv[2], 0);
	(void)snprintf(name, sizeof(name), "cowherd-storm-%d", (int)getpid());
	if (version == 4)
		s4 = n4_session(argv[1], argv[2], 1, name, 0);
	while (!stop) {
		if (!mounted()) {
			(void)nanosleep(&pause, NULL);
			continue;
		}
		for (uint32_t r = 0; !stop && r == 0; done += r == 0) {
			begun++;
			r = one();
		}
	}
	(void)printf("%lu %lu\n", begun, done);
	return 0;
}
