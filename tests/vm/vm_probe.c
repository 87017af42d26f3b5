/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * vm_probe DIR TALK - what a client waits for its server: stat, read and write of a file in DIR, past all caches, over and
 * over. When TALK/begin is there, it is removed and a window begins; when TALK/end is there, it is removed and the
 * window ends: a line of output with the longest call in microseconds and the number of calls. The clock of a virtual client
 * goes astray, so the other side does not tell it a time.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "vm_client.h"

#define BLOCK 4096

static char block[BLOCK] __attribute__((aligned(BLOCK)));

static void one_call(int fd, unsigned n)
{
	struct statx st;
	if (n % 3 == 0)
		OK(statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st));
	else if (n % 3 == 1)
		OK(pread(fd, block, BLOCK, 0));
	else
		OK(pwrite(fd, block, BLOCK, 0));
}

/* Was there such a file? Then it is gone now. */
static int told(const char *dir, const char *what)
{
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, what);
	return unlink(path) == 0;
}

int main(int argc, char **argv)
{
	if (argc != 3 || chdir(argv[1]) < 0)
		DIE("usage: vm_probe DIR TALK");
	int fd = (int)OK(open("probe", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644));
	OK(pwrite(fd, block, BLOCK, 0));
	double longest = 0;
	unsigned calls = 0;
	for (unsigned n = 0;; n++) {
		if (told(argv[2], "begin")) {
			longest = 0;
			calls = 0;
		}
		double start = now_s(CLOCK_MONOTONIC);
		one_call(fd, n);
		double took = now_s(CLOCK_MONOTONIC) - start;
		longest = took > longest ? took : longest;
		calls++;
		if (told(argv[2], "end")) {
			(void)printf("%.0f %u\n", longest * 1e6, calls);
			(void)fflush(stdout);
		}
	}
}
