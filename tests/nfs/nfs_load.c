/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Load while exports come and go: reads the export's directory /big over and over until SIGTERM,
 * mounting again whenever the export has gone. Every answer is right but silence.
 * Prints how many listings it began and how many came to their end.
 */
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

int main(int argc, char **argv)
{
	struct timespec pause = {.tv_nsec = 2000000};
	unsigned long begun = 0, done = 0;
	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s URL\n", argv[0]);
		return 2;
	}
	alarm(60);
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
			r = list(nfs);
			done += r == 0;
		}
		nfs_destroy_context(nfs);
	}
	(void)printf("%lu %lu\n", begun, done);
	return 0;
}
