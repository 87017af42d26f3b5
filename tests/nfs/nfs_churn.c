/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Resets in a row, each of a root that was used: objects of it are in the server's cache, files open,
 * and what is not closed stays open until its client "reboots", every tenth time.
 *	nfs_churn ADDR NFSPORT STORE MAC SERVER-PID CYCLES FILES
 * Prints the server's memory and open files after each fifth of the cycles; both must stay. The
 * image holds /some/f000… (run.sh).
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"
#include "snapshot/client.h"

/* The allocator's waste, and what the server itself keeps of each client that rebooted. An object that
 * is not let go costs 2 KiB; here are hundreds for each reset. */
#define MAY_GROW_KIB(resets) (12288l + 16l * (resets))
#define MAY_GROW_FDS 8

static const char *addr, *port, *store_path, *pid;
static struct cow_mac mac;
static char path[64];
static struct session s4;
static struct raw c3;

static void reboot(void)
{
	if (s4.minor)
		(void)close(s4.c.fd);
	s4 = n4_session(addr, port, 1, "cowherd-churn", 0);
}

static long rss_kib(void)
{
	char name[64], line[256];
	long kib = 0;
	(void)snprintf(name, sizeof(name), "/proc/%s/status", pid);
	FILE *f = fopen(name, "re");
	if (!f)
		raw_die("the server is gone");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	(void)fclose(f);
	return kib;
}

static int open_fds(void)
{
	char name[64];
	int n = 0;
	(void)snprintf(name, sizeof(name), "/proc/%s/fd", pid);
	DIR *d = opendir(name);
	if (!d)
		raw_die("the server is gone");
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void use_the_root(unsigned files, struct fh *ret_file, struct stateid *ret_state)
{
	char name[16];
	struct fh top = n4_walk(&s4, path), dir, h;
	struct n4_attr a;
	const struct open_how how = {.access = BOTH};
	WANT("/some", n4_lookup(&s4, &top, "some", &dir), NFS4_OK);
	for (unsigned i = 0; i < files; i++) {
		(void)snprintf(name, sizeof(name), "f%03u", i);
		WANT(name, n4_lookup(&s4, &dir, name, &h), NFS4_OK);
		if (i % 16 == 0)
			WANT(name, n4_getattr(&s4, &h, &a), NFS4_OK);
	}
	WANT("open", n4_open(&s4, &dir, "f000", how, ret_file, ret_state), NFS4_OK);
	WANT("write", n4_write(&s4, ret_file, ret_state, 0, "x", 1), NFS4_OK);
}

static void reset(struct cow_store *s)
{
	struct cow_err err = COW_ERR_INIT;
	if (cow_client_reset(s, &mac, COW_SWAP_NOW, &err) < 0)
		raw_die("reset: %s", cow_err_str(&err));
}

static void old_is_stale(const struct fh *file, const struct stateid *st)
{
	struct n4_attr a;
	struct fh3 h3 = {.len = (file->len + 3) / 4 * 4};
	memcpy(h3.b, file->b, file->len);
	WANT("old file, v4", n4_getattr(&s4, file, &a), ERR_STALE);
	n4_begin(&s4);
	n4_put_fh(file);
	n4_op(OP_CLOSE);
	x_u32(&n4_args, 0);
	x_raw(&n4_args, st->b, 16);
	WANT("close of what was open", n4_send(&s4), ERR_STALE);
	WANT("old file, v3", n3_getattr(&c3, &h3, &(struct n3_attr){0}), N3_STALE);
}

struct sample {
	long kib;
	int fds;
};

static struct sample settle(unsigned cycle)
{
	reboot();
	for (int i = 0; i < 3; i++) { /* the housekeeping has a round each second */
		struct n4_attr a;
		struct fh top = n4_walk(&s4, path);
		WANT("root", n4_getattr(&s4, &top, &a), NFS4_OK);
		(void)sleep(1);
	}
	struct sample s = {.kib = rss_kib(), .fds = open_fds()};
	(void)printf("# after %u resets: %ld KiB, %d open files\n", cycle, s.kib, s.fds);
	(void)fflush(stdout);
	return s;
}

static void cycles(struct cow_store *s, unsigned n, unsigned files)
{
	struct fh file;
	struct stateid st;
	struct sample first = {0}, last = {0};
	for (unsigned i = 1; i <= n; i++) {
		use_the_root(files, &file, &st);
		reset(s);
		old_is_stale(&file, &st);
		if (i % 10 == 0)
			reboot();
		/* the short form looks twice */
		if ((i % (n / 5) != 0 && i != n / 2) || (n <= 100 && i != n / 2 && i != n))
			continue;
		last = settle(i);
		if (!first.kib)
			first = last;
	}
	long grown = last.kib - first.kib;
	(void)printf("# %u resets of %u objects each: %ld KiB more since the first look\n", n,
		     files, grown);
	if (grown > MAY_GROW_KIB(n))
		raw_die("the server's memory grew by %ld KiB", grown);
	if (last.fds > first.fds + MAY_GROW_FDS)
		raw_die("the server's open files grew from %d to %d", first.fds, last.fds);
	(void)printf("ok - %u resets leave nothing behind\n", n);
}

int main(int argc, char **argv)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	if (argc != 8) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT STORE MAC PID CYCLES FILES\n",
			      argv[0]);
		return 2;
	}
	addr = argv[1];
	port = argv[2];
	store_path = argv[3];
	pid = argv[5];
	raw_running = "resets in a row";
	(void)snprintf(path, sizeof(path), "/clients/%s", argv[4]);
	if (cow_mac_parse(argv[4], strlen(argv[4]), &mac) < 0 ||
	    cow_store_open(store_path, &s, &err) < 0)
		raw_die("store: %s", cow_err_str(&err));
	reboot();
	c3 = n3_connect(addr, port, 0);
	cycles(s, (unsigned)strtoul(argv[6], NULL, 10), (unsigned)strtoul(argv[7], NULL, 10));
	return 0;
}
