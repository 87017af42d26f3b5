/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * vm_journal write DIR ACKS STOP - changes in DIR that the server has acknowledged; each is noted in ACKS, outside
 *	of the file system under test, right after. Ends when STOP is there.
 * vm_journal check DIR ACKS - is everything that was acknowledged in DIR, and nothing that cannot be?
 *
 * A server that was killed may get a request again that it has carried out: a rename, an unlink that finds its work
 * done is counted, not a failure. Any other error is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "vm_client.h"

#define RECORD 16 /* bytes of a record of "log" */
#define KEPT 50	  /* names there at a time */

static unsigned long replayed;

static void name_of(char *buf, size_t size, unsigned long n, const char *suffix)
{
	(void)snprintf(buf, size, "names/%lu%s", n, suffix);
}

static void put_record(int fd, unsigned long n)
{
	char buf[RECORD + 1];
	(void)snprintf(buf, sizeof(buf), "%0*lu\n", RECORD - 1, n);
	if (OK(pwrite(fd, buf, RECORD, (off_t)(n * RECORD))) != RECORD)
		DIE("short write");
	OK(fsync(fd));
}

static void put_name(unsigned long n)
{
	char tmp[64], name[64], text[32];
	name_of(tmp, sizeof(tmp), n, ".tmp");
	name_of(name, sizeof(name), n, "");
	int len = snprintf(text, sizeof(text), "%lu\n", n);
	int fd = (int)OK(open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	OK(write(fd, text, (size_t)len));
	OK(fsync(fd));
	OK(close(fd));
	if (rename(tmp, name) < 0) {
		if (errno != ENOENT || !there(name))
			DIE("rename %s: %m", tmp);
		replayed++;
	}
}

static void drop_name(unsigned long n)
{
	char name[64];
	name_of(name, sizeof(name), n, "");
	if (unlink(name) < 0) {
		if (errno != ENOENT)
			DIE("unlink %s: %m", name);
		replayed++;
	}
}

static int write_all(int acks, const char *stop)
{
	int fd = (int)OK(open("log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	unsigned long n = 0;
	OK(mkdir("names", 0755));
	for (; !there(stop); n++) {
		put_record(fd, n);
		OK(dprintf(acks, "w %lu\n", n));
		put_name(n);
		OK(dprintf(acks, "n %lu\n", n));
		if (n >= KEPT) {
			drop_name(n - KEPT);
			OK(dprintf(acks, "u %lu\n", n - KEPT));
		}
	}
	OK(close(fd));
	(void)printf("%lu rounds, %lu requests found their work done\n", n, replayed);
	return 0;
}

/* ---------------------------------------------------------------- check */

static void check_record(int fd, unsigned long n)
{
	char buf[RECORD + 1] = "", want[RECORD + 1];
	(void)snprintf(want, sizeof(want), "%0*lu\n", RECORD - 1, n);
	OK(pread(fd, buf, RECORD, (off_t)(n * RECORD)));
	if (memcmp(buf, want, RECORD) != 0)
		DIE("record %lu was acknowledged and is not there", n);
}

static void check_name(unsigned long n)
{
	char name[64], buf[32] = "";
	name_of(name, sizeof(name), n, "");
	int fd = (int)OK(open(name, O_RDONLY | O_CLOEXEC));
	OK(read(fd, buf, sizeof(buf) - 1));
	OK(close(fd));
	if (strtoul(buf, NULL, 10) != n)
		DIE("%s has other content", name);
}

static void check_gone(unsigned long n)
{
	char name[64];
	name_of(name, sizeof(name), n, "");
	if (there(name))
		DIE("%s was removed and is there", name);
}

static int check_all(FILE *acks)
{
	char what;
	unsigned long n, records = 0, names = 0, gone = 0;
	int fd = (int)OK(open("log", O_RDONLY | O_CLOEXEC));
	while (fscanf(acks, " %c %lu", &what, &n) == 2) {
		if (what == 'w')
			check_record(fd, records = n);
		else if (what == 'n')
			names = n;
		else
			check_gone(gone = n);
	}
	for (n = names < KEPT ? 0 : gone + 1; n <= names; n++)
		check_name(n);
	(void)printf("%lu records, names up to %lu, removed up to %lu: all there\n", records + 1,
		     names, gone);
	if (records == 0)
		DIE("nothing was acknowledged");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "write") == 0) {
		int acks = (int)OK(open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
		OK(chdir(argv[2]));
		return write_all(acks, argv[4]);
	}
	if (argc == 4 && strcmp(argv[1], "check") == 0) {
		FILE *acks = fopen(argv[3], "re");
		if (!acks)
			DIE("%s: %m", argv[3]);
		OK(chdir(argv[2]));
		return check_all(acks);
	}
	DIE("usage: vm_journal write DIR ACKS STOP | check DIR ACKS");
}
