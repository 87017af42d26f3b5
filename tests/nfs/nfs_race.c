/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two races nfs-ganesha 4.3 has of its own, which the plugin must not make worse and is tested against
 * as it is loaded:
 *	create	several clients create one name at the same time, without saying that it must be new:
 *		each must get the file, none may be told that the name does not exist
 *	rename	one client renames over a name again and again, others look it up: it is there always
 * Versions 3 and 4.1 beside each other.
 *	nfs_race ADDR NFSPORT MOUNTPORT EXPORT ROUNDS
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

static const char *addr, *port, *mount_port, *path;
static struct raw c3;
static struct session s4;
static struct fh3 top3;
static struct fh top;

static void connect_all(const char *who)
{
	char name[64];
	struct raw mnt = n3_connect(addr, mount_port, 0);
	c3 = n3_connect(addr, port, 0);
	(void)snprintf(name, sizeof(name), "cowherd-race-%d-%s", (int)getpid(), who);
	s4 = n4_session(addr, port, 1, name, 0);
	WANT("mount", n3_mount(&mnt, path, &top3), 0);
	top = n4_walk(&s4, path);
}

/* Starts with the others: when the write end of the pipe is closed. */
static pid_t child(int gate[2], const char *who, void (*fn)(unsigned), unsigned rounds)
{
	char c;
	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	(void)close(gate[1]);
	connect_all(who);
	(void)!read(gate[0], &c, 1);
	fn(rounds);
	exit(0);
}

static void all_well(pid_t *pids, int n)
{
	int status, bad = 0;
	while (n--) {
		if (waitpid(pids[n], &status, 0) < 0 || status != 0)
			bad = 1;
	}
	if (bad)
		raw_die("%s: a client met what must not be", raw_running);
}

static void create_v3(unsigned rounds)
{
	char name[32];
	struct fh3 h;
	for (unsigned i = 0; i < rounds; i++) {
		(void)snprintf(name, sizeof(name), "race-%u", i);
		uint32_t r;
		while ((r = n3_create(&c3, &top3, name, N3_UNCHECKED, 0, &h)) == N3_JUKEBOX)
			;
		WANT(name, r, 0);
	}
}

static void create_v4(unsigned rounds)
{
	char name[32];
	struct fh h;
	struct stateid st;
	const struct open_how how = {.access = BOTH, .create = CREATE_UNCHECKED};
	for (unsigned i = 0; i < rounds; i++) {
		(void)snprintf(name, sizeof(name), "race-%u", i);
		uint32_t r;
		while ((r = n4_open(&s4, &top, name, how, &h, &st)) == ERR_DELAY)
			;
		WANT(name, r, NFS4_OK);
		WANT("CLOSE", n4_close(&s4, &h, &st), NFS4_OK);
	}
}

static void creates(unsigned rounds)
{
	int gate[2];
	char name[32];
	struct fh3 h;
	raw_running = "one name is created by several";
	if (pipe(gate) < 0)
		raw_die("pipe");
	pid_t pids[] = {child(gate, "a", create_v3, rounds), child(gate, "b", create_v4, rounds),
			child(gate, "c", create_v3, rounds), child(gate, "d", create_v4, rounds)};
	(void)close(gate[0]);
	(void)usleep(300000);
	(void)close(gate[1]);
	all_well(pids, 4);
	for (unsigned i = 0; i < rounds; i++) {
		(void)snprintf(name, sizeof(name), "race-%u", i);
		WANT(name, n3_lookup(&c3, &top3, name, &h), 0);
		WANT(name, n3_remove(&c3, &top3, name), 0);
	}
	(void)printf("ok - %s, %u times\n", raw_running, rounds);
}

static void rename_over(unsigned rounds)
{
	struct fh3 h;
	char name[32];
	for (unsigned i = 0; i < rounds; i++) {
		(void)snprintf(name, sizeof(name), "next-%d", (int)(i & 1));
		WANT(name, n3_create(&c3, &top3, name, N3_GUARDED, 0, &h), 0);
		uint32_t r;
		while ((r = n3_rename(&c3, &top3, name, &top3, "target")) == N3_JUKEBOX)
			;
		WANT("RENAME", r, 0);
	}
	WANT("the sign to stop", n3_create(&c3, &top3, "stop", N3_GUARDED, 0, &h), 0);
}

static int stopped(unsigned i)
{
	struct fh3 h;
	return i % 64 == 0 && n3_lookup(&c3, &top3, "stop", &h) == 0;
}

static void look_v3(unsigned rounds)
{
	struct fh3 h;
	(void)rounds;
	for (unsigned i = 1; !stopped(i); i++) {
		uint32_t r = n3_lookup(&c3, &top3, "target", &h);
		if (r != N3_JUKEBOX)
			WANT("LOOKUP", r, 0);
	}
}

static void look_v4(unsigned rounds)
{
	struct fh h;
	struct stateid st;
	const struct open_how how = {.access = READ};
	(void)rounds;
	/* The server looks up first and opens what it found second: it may have lost its name in between.
	 */
	for (unsigned i = 1; !stopped(i); i++) {
		uint32_t r = n4_open(&s4, &top, "target", how, &h, &st);
		if (r == NFS4_OK)
			(void)n4_close(&s4, &h, &st);
		else if (r != ERR_DELAY)
			WANT("OPEN", r, NFS4_OK);
	}
}

static void renames(unsigned rounds)
{
	int gate[2];
	struct fh3 h;
	raw_running = "a name that is renamed over is always there";
	WANT("CREATE", n3_create(&c3, &top3, "target", N3_GUARDED, 0, &h), 0);
	if (pipe(gate) < 0)
		raw_die("pipe");
	pid_t pids[] = {child(gate, "a", rename_over, rounds), child(gate, "b", look_v3, 0),
			child(gate, "c", look_v4, 0), child(gate, "d", look_v3, 0)};
	(void)close(gate[0]);
	(void)usleep(300000);
	(void)close(gate[1]);
	all_well(pids, 4);
	WANT("REMOVE", n3_remove(&c3, &top3, "target"), 0);
	WANT("REMOVE", n3_remove(&c3, &top3, "stop"), 0);
	(void)printf("ok - %s, %u times\n", raw_running, rounds);
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT MOUNTPORT EXPORT ROUNDS\n", argv[0]);
		return 2;
	}
	addr = argv[1];
	port = argv[2];
	mount_port = argv[3];
	path = argv[4];
	unsigned rounds = (unsigned)strtoul(argv[5], NULL, 10);
	connect_all("main");
	creates(rounds);
	renames(rounds);
	return 0;
}
