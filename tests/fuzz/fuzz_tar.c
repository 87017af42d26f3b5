/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of tar archives: whatever the bytes, nothing is made outside of the tree (I7), and the
 * import ends with a result. Each input is unpacked into DIR/tree of a fresh temporary folder;
 * afterwards DIR holds nothing but tree and the file it was given.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "fill.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNPACKED_MAX (16u << 20)

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

/* Archives of holes unpack to more than a fuzzer has room for. */
static int enough(void *ctx, const struct cow_import_progress *p)
{
	(void)ctx;
	return p->bytes > UNPACKED_MAX ? -EINTR : 0;
}

static void check_outside(int dir)
{
	char buf[8] = "";
	struct stat st;
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int names = 0;
	must(d != NULL);
	while (readdir(d)) /* NOLINT(concurrency-mt-unsafe): one thread */
		names++;
	(void)closedir(d);
	must(names == 4); /* ".", "..", "tree", "outside" */
	must(fstatat(dir, "outside", &st, AT_SYMLINK_NOFOLLOW) == 0);
	must(S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size == 6 &&
	     (st.st_mode & 07777) == 0600);
	int fd = openat(dir, "outside", O_RDONLY | O_CLOEXEC);
	must(read(fd, buf, 6) == 6 && strcmp(buf, "intact") == 0);
	(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[FUZZ_SCRATCH_MAX];
	struct cow_err err = COW_ERR_INIT;
	struct cow_import_opts opts = {.progress = enough};
	must(fuzz_scratch(path) == 0);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(cow_mkdir_at(dir, "tree", 0700) == 0);
	must(cow_write_file_at(dir, "outside", "intact", 6, 0600) == 0);
	int in = memfd_create("input", MFD_CLOEXEC);
	must(in >= 0 && cow_write_full(in, data, size) == 0 && lseek(in, 0, SEEK_SET) == 0);

	struct cow_fill fill = {.tree = cow_opendir_at(dir, "tree"), .opts = &opts};
	uint64_t bytes = 0;
	struct cow_unpack *unpack = NULL;
	int r = cow_unpack_open(in, "input", &bytes, &unpack, &err);
	if (r == 0)
		r = cow_import_tar(&fill, unpack, "input", &err);
	cow_unpack_close(unpack);
	must(r == 0 || (r < 0 && err.code != COW_OK && *cow_err_str(&err)));
	cow_fill_done(&fill);
	check_outside(dir);

	(void)close(fill.tree);
	(void)close(in);
	must(cow_rm_rf_at(dir, "tree", 0) == 0 && unlinkat(dir, "outside", 0) == 0);
	(void)close(dir);
	must(rmdir(path) == 0);
	return 0;
}
