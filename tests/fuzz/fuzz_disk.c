/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Disk images: the partition table, and ext file systems in them, become a tree. Whatever the bytes
 * are: the tree stays below its root, and a failure has a message.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "disk.h"
#include "fill.h"
#include "scratch.h"

#define COPIED_MAX (8u << 20)
#define OBJECTS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

/* One block can be said to hold more than a fuzzer has room for. */
static int enough(void *ctx, const struct cow_import_progress *p)
{
	(void)ctx;
	return p->bytes > COPIED_MAX || p->inodes > OBJECTS_MAX ? -EINTR : 0;
}

static void must_have_only_tree(int dir)
{
	const struct dirent *e;
	cow_autodir DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	must(d != NULL);
	while (cow_readdir(d, &e) > 0)
		must(strcmp(e->d_name, "tree") == 0);
}

static void import(int dir, int in, size_t size)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_disk disk;
	int r = cow_disk_look(in, size, "input", &disk, &err);
	must(r == 0 || *cow_err_str(&err));
	if (r < 0 || !cow_disk_is_ext(&disk.root))
		return;
	must(cow_mkdir_at(dir, "tree", 0700) == 0);
	struct cow_import_opts opts = {.progress = enough};
	struct cow_fill fill = {.tree = cow_opendir_at(dir, "tree"), .opts = &opts};
	r = cow_import_ext(&fill, in, disk.root.off, "input", &err);
	must(r == 0 || r == -EUCLEAN || (r < 0 && err.code != COW_OK && *cow_err_str(&err)));
	cow_fill_done(&fill);
	(void)close(fill.tree);
	must_have_only_tree(dir);
	must(cow_rm_rf_at(dir, "tree", 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[FUZZ_SCRATCH_MAX];
	if (size == 0)
		return 0;
	must(fuzz_scratch(path) == 0);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int in = memfd_create("input", MFD_CLOEXEC);
	must(in >= 0 && cow_write_full(in, data, size) == 0);
	import(dir, in, size);
	(void)close(in);
	(void)close(dir);
	must(rmdir(path) == 0);
	return 0;
}
