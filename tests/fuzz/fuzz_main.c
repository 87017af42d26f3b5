/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * main() of a fuzz target without a fuzzer: replays the files and folders given, one input each,
 * then every prefix of each input up to 512 bytes, where parsers break first. Prints how many it
 * ran; none is a failure.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1u << 20)

static unsigned long inputs, runs;

/* In memory of exactly its size, so that sanitizers see a read past the end. */
static int run_exact(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return -1;
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	runs++;
	return 0;
}

static int replay_file(const char *path)
{
	static uint8_t buf[INPUT_MAX];
	FILE *f = fopen(path, "rbe");

	if (!f) {
		perror(path);
		return -1;
	}
	size_t n = fread(buf, 1, sizeof(buf), f);
	int failed = ferror(f);

	(void)fclose(f); /* opened for reading */
	if (failed)
		return -1;
	inputs++;
	for (size_t cut = 0; cut < n && cut < 512; cut++) {
		if (run_exact(buf, cut) < 0)
			return -1;
	}
	return run_exact(buf, n);
}

static int replay(const char *path);

static int replay_dir(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort), r = n < 0 ? -1 : 0;

	for (int i = 0; i < n; i++) {
		char child[4096];

		if (r == 0 && list[i]->d_name[0] != '.') {
			(void)snprintf(child, sizeof(child), "%s/%s", path, list[i]->d_name);
			r = replay(child);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return r;
}

static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	return S_ISDIR(st.st_mode) ? replay_dir(path) : replay_file(path);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]) < 0)
			return 1;
	}
	printf("%lu inputs, %lu runs with their prefixes\n", inputs, runs);
	return inputs ? 0 : 1;
}
