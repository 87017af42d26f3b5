/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Load while exports come and go, until SIGTERM: mounts again whenever the export has gone. Every
 * answer is right but silence.
 *	nfs_load URL [list|lookup|write]	list: /big, 5000 entries; lookup: names in /some;
 *						write: a file of its own
 * Prints how many rounds it began and how many came to their end.
 */
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "nfs_test.h"

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static struct nfs_context *try_mount(const char *url)
{
	struct nfs_context *nfs = nfs_init_context();
	struct nfs_url *u = nfs ? nfs_parse_url_dir(nfs, url) : NULL;
	if (!u)
		nfs_fail(__FILE__, __LINE__, "cannot parse %s", url);
	nfs_set_autoreconnect(nfs, 0);
	int r = nfs_mount(nfs, u->server, u->path);
	nfs_destroy_url(u);
	if (r == 0)
		return nfs;
	nfs_destroy_context(nfs);
	return NULL;
}

static int list(struct nfs_context *nfs)
{
	struct nfsdir *d;
	if (nfs_opendir(nfs, "/big", &d) < 0)
		return -1;
	nfs_closedir(nfs, d);
	return 0;
}

static int look(struct nfs_context *nfs)
{
	struct nfs_stat_64 st;
	char path[32];
	int r = 0;
	for (unsigned i = 0; i < 100 && r == 0 && !stop; i++) {
		(void)snprintf(path, sizeof(path), "/some/f%03u", i);
		r = nfs_lstat64(nfs, path, &st);
	}
	return r;
}

static int write_some(struct nfs_context *nfs)
{
	static char block[2048];
	char path[32];
	struct nfsfh *f;
	(void)snprintf(path, sizeof(path), "/load-%d", (int)getpid());
	int r = nfs_open(nfs, path, O_WRONLY, &f);
	if (r == -ENOENT)
		r = nfs_open2(nfs, path, O_CREAT | O_WRONLY, 0600, &f);
	if (r < 0)
		return r;
	for (uint64_t at = 0; at < 50 * sizeof(block) && r >= 0 && !stop; at += sizeof(block))
		r = nfs_pwrite(nfs, f, at, sizeof(block), block);
	(void)nfs_close(nfs, f);
	return r < 0 ? r : 0;
}

static int (*round_of(const char *name))(struct nfs_context *)
{
	if (!strcmp(name, "list"))
		return list;
	if (!strcmp(name, "lookup"))
		return look;
	return strcmp(name, "write") ? NULL : write_some;
}

int main(int argc, char **argv)
{
	struct timespec pause = {.tv_nsec = 2000000};
	unsigned long begun = 0, done = 0;
	int (*one)(struct nfs_context *) = round_of(argc == 3 ? argv[2] : "list");
	if (argc < 2 || argc > 3 || !one) {
		(void)fprintf(stderr, "usage: %s URL [list|lookup|write]\n", argv[0]);
		return 2;
	}
	alarm(600);
	(void)signal(SIGTERM, on_term);
	while (!stop) {
		struct nfs_context *nfs = try_mount(argv[1]);
		if (!nfs) {
			(void)nanosleep(&pause, NULL);
			continue;
		}
		int r = 0;
		while (!stop && r == 0) {
			begun++;
			r = one(nfs);
			done += r == 0;
		}
		nfs_destroy_context(nfs);
	}
	(void)printf("%lu %lu\n", begun, done);
	return 0;
}
