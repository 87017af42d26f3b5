/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Very many stateless reads of one file over NFSv3.
 *	nfs_reads ADDR NFSPORT HANDLE COUNT [create]
 * create: so many files are made in the directory of that handle instead, in all ways NFSv3 has; each of
 * them must be answered at once.
 * Prints the time they took.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raw3.h"

#define WANT_TEXT "golden\n"

static struct raw c;
static struct fh3 h;

static void read_once(unsigned long i)
{
	char buf[64];
	size_t n;
	uint32_t eof;
	(void)i;
	WANT("READ", n3_read(&c, &h, 0, buf, sizeof(buf), &n, &eof), 0);
	WANT("bytes", n, strlen(WANT_TEXT));
	WANT("content", memcmp(buf, WANT_TEXT, n), 0);
	WANT("end of file", eof, 1);
}

static void create_once(unsigned long i)
{
	char name[32];
	struct fh3 made;
	(void)snprintf(name, sizeof(name), "made-%lu", i);
	WANT(name, n3_create(&c, &h, name, i % 3, i, &made), 0);
	if (i % 16 == 0) { /* what is there already */
		WANT(name, n3_create(&c, &h, name, N3_UNCHECKED, 0, &made), 0);
		if (i % 3 == N3_EXCLUSIVE)
			WANT(name, n3_create(&c, &h, name, N3_EXCLUSIVE, i, &made), 0);
		WANT(name, n3_create(&c, &h, name, N3_GUARDED, 0, &made), N3_EXIST);
	}
}

int main(int argc, char **argv)
{
	struct timespec a, b;
	if (argc < 5 || argc > 6 || (argc == 6 && strcmp(argv[5], "create") != 0)) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT HANDLE COUNT [create]\n", argv[0]);
		return 2;
	}
	void (*once)(unsigned long) = argc == 6 ? create_once : read_once;
	raw_running = argc == 6 ? "creates" : "stateless reads";
	c = n3_connect(argv[1], argv[2], 0);
	h = n3_unhex(argv[3]);
	unsigned long count = strtoul(argv[4], NULL, 10);
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned long i = 0; i < count; i++)
		once(i);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	(void)printf("# %lu %s in %.2f s, %.0f a second\n", count, raw_running, s,
		     (double)count / s);
	return 0;
}
