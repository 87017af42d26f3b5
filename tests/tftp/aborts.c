/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * aborts PID PORT NAME COUNT - what boards do for each file before they fetch it, so many times: ask for its size, and
 * break off. The server, process PID on 127.0.0.1, must have neither more memory nor more open files afterwards.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sanitized.h"
#include "tftp_client.h"

#define WARM_UP 4000	/* until tables and caches are what they will be */
#define PER_ADDRESS 250 /* below what one host may ask for at once */
#define AT_FIRST 4	/* the table of hosts is memory from its first use on: all of it, please */
#if COW_SANITIZED
#define GROWTH_MAX_KB (1 << 20) /* it keeps what was freed */
#else
#define GROWTH_MAX_KB 128 /* the C library's to spend */
#endif
#define PATIENCE_MS 10000

struct use {
	long memory_kb;
	unsigned files;
};

static int look(const char *pid, struct use *ret)
{
	char path[64];
	long pages;

	(void)snprintf(path, sizeof(path), "/proc/%s/statm", pid);
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	int n = fscanf(f, "%*d %ld", &pages); /* NOLINT: the kernel's own numbers */

	(void)fclose(f);
	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *d = opendir(path);

	if (n != 1 || !d)
		return -EIO;
	ret->memory_kb = pages * (sysconf(_SC_PAGESIZE) / 1024);
	ret->files = 0;
	while (readdir(d)) /* NOLINT(concurrency-mt-unsafe): one thread */
		ret->files++;
	(void)closedir(d);
	return 0;
}

static int probe(const struct sockaddr_in *server, unsigned long nth, const void *rq, size_t len)
{
	static struct tftp_client c = {.fd = -1};
	uint8_t answer[600];

	bool warm = nth >= WARM_UP;

	if (nth % (warm ? PER_ADDRESS : AT_FIRST) == 0) {
		unsigned long host = warm ? nth / PER_ADDRESS + WARM_UP / AT_FIRST : nth / AT_FIRST;
		char source[32];

		(void)snprintf(source, sizeof(source), "127.%lu.%lu.%lu", 10 + host / 62500,
			       host / 250 % 250 + 1, host % 250 + 1);
		tftp_client_close(&c);
		int r = tftp_client_open(&c, source, server);

		if (r < 0)
			return r;
	}
	int r = tftp_client_request(&c, rq, len);
	long n = r < 0 ? r : tftp_client_recv(&c, answer, sizeof(answer), PATIENCE_MS);

	if (n < 4 || answer[1] != 6)
		return n < 0 ? (int)n : n == 0 ? -ETIMEDOUT : -EPROTO;
	return tftp_client_answer(&c, "\0\5\0\0Early terminate\0", 20);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = {.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct use before = {0}, after = {0};
	char rq[512];

	if (argc != 5) {
		(void)fprintf(stderr, "usage: aborts PID PORT NAME COUNT\n");
		return 2;
	}
	server.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	unsigned long count = strtoul(argv[4], NULL, 10);
	int len = snprintf(rq, sizeof(rq), "%c%c%s%coctet%ctsize%c0%cblksize%c1468%c", 0, 1,
			   argv[3], 0, 0, 0, 0, 0, 0);

	for (unsigned long i = 0; i < WARM_UP + count; i++) {
		int r = i == WARM_UP ? look(argv[1], &before) : 0;

		if (r == 0)
			r = probe(&server, i, rq, (size_t)len);
		if (r < 0) {
			(void)fprintf(stderr, "probe %lu: %s\n", i, strerrorname_np(-r));
			return 1;
		}
	}
	if (look(argv[1], &after) < 0)
		return 1;
	printf("%lu aborted probes: memory %ld -> %ld KiB, open files %u -> %u\n", count,
	       before.memory_kb, after.memory_kb, before.files, after.files);
	return after.memory_kb > before.memory_kb + GROWTH_MAX_KB || after.files > before.files + 2;
}
