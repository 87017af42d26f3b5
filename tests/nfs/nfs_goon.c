/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Writes a file block by block for some seconds, through whatever happens to the server meanwhile,
 * then reads all of it back. Says "started" after the first block.
 */
#include <fcntl.h>
#include <time.h>

#include "nfs_test.h"

#define BLOCK 4096u
#define SECONDS 3

static void fill(char *b, unsigned n)
{
	for (unsigned i = 0; i < BLOCK; i++)
		b[i] = (char)(n * 31 + i);
}

static unsigned write_blocks(struct nfs_context *nfs, struct nfsfh *f)
{
	char b[BLOCK];
	unsigned n = 0;
	time_t end = time(NULL) + SECONDS;
	const struct timespec pause = {.tv_nsec = 2000000};
	do {
		fill(b, n);
		EQUAL(nfs_pwrite(nfs, f, (uint64_t)n * BLOCK, BLOCK, b), BLOCK);
		if (n++ == 0) {
			(void)printf("started\n");
			(void)fflush(stdout);
		}
		(void)nanosleep(&pause, NULL);
	} while (time(NULL) < end);
	return n;
}

static void blocks_are_all_there(void)
{
	char want[BLOCK];
	size_t len;
	struct nfsfh *f;
	struct nfs_context *nfs = nfs_client(0, 0, NULL, 0);
	nfs_set_autoreconnect(nfs, -1); /* try for ever */
	nfs_wipe(nfs, "/goon");
	OK(nfs, nfs_open2(nfs, "/goon", O_CREAT | O_RDWR, 0600, &f));
	unsigned n = write_blocks(nfs, f);
	OK(nfs, nfs_fsync(nfs, f));
	OK(nfs, nfs_close(nfs, f));
	char *got = nfs_take(nfs, "/goon", &len);
	EQUAL(len, (size_t)n * BLOCK);
	for (unsigned i = 0; i < n; i++) {
		fill(want, i);
		TRUE_(!memcmp(got + (size_t)i * BLOCK, want, BLOCK));
	}
	free(got);
}

static const struct nfs_case cases[] = {{"blocks are all there", blocks_are_all_there, 0}};

int main(int argc, char **argv)
{
	return nfs_test_main(argc, argv, cases, COUNT(cases));
}
