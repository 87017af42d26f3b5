/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Container images: bytes up to the first zero are the list of images (docker's manifest.json, or with
 * an 'O' in front the index.json of an OCI layout), the others are a layer, "l". "base" is a layer too.
 * Whatever the bytes are: nothing is made or taken away beside the tree.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "fill.h"
#include "scratch.h"

#define UNPACKED_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static int enough(void *ctx, const struct cow_import_progress *p)
{
	(void)ctx;
	return p->bytes > UNPACKED_MAX || p->inodes > 2000 ? -EINTR : 0;
}

static void put(int dir, const char *name, const void *p, size_t len)
{
	must(cow_write_file_at(dir, name, p, len, 0600) == 0);
}

/* A ustar member: a header that is right, and its data. */
static size_t member(char *at, const char *name, char type, const char *text)
{
	static const char magic[8] = {'u', 's', 't', 'a', 'r', 0, '0', '0'};
	size_t len = strlen(text);
	unsigned sum = 0;
	memset(at, 0, 1024);
	(void)snprintf(at, 100, "%s", name);
	(void)snprintf(at + 100, 8, "%07o", type == '5' ? 0755 : 0644);
	(void)snprintf(at + 108, 8, "%07o", 0);
	(void)snprintf(at + 116, 8, "%07o", 0);
	(void)snprintf(at + 124, 12, "%011o", (unsigned)len);
	(void)snprintf(at + 136, 12, "%011o", 0);
	at[156] = type;
	memcpy(at + 257, magic, sizeof(magic));
	memset(at + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)at[i];
	(void)snprintf(at + 148, 8, "%06o", sum);
	(void)snprintf(at + 512, 512, "%s", text);
	return len ? 1024 : 512;
}

/* What whiteouts of the layer under test have to take away. */
static void put_base(int layout)
{
	char tar[8192] = "";
	size_t n = 0;
	n += member(tar + n, "d/", '5', "");
	n += member(tar + n, "d/e/", '5', "");
	n += member(tar + n, "d/e/f", '0', "text");
	n += member(tar + n, "f", '0', "text");
	put(layout, "base", tar, n + 1024);
}

static void put_layout(int layout, const uint8_t *data, size_t size)
{
	int is_oci = size && *data == 'O';
	const uint8_t *text = data + is_oci;
	size_t all = size - (size_t)is_oci;
	const uint8_t *zero = all ? memchr(text, 0, all) : NULL;
	size_t len = zero ? (size_t)(zero - text) : all;
	put(layout, is_oci ? "index.json" : "manifest.json", text, len);
	if (is_oci)
		put(layout, "oci-layout", "{}", 2);
	if (zero)
		put(layout, "l", zero + 1, all - len - 1);
	put_base(layout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[FUZZ_SCRATCH_MAX], buf[8] = "";
	struct cow_err err = COW_ERR_INIT;
	struct cow_import_opts opts = {.progress = enough};
	must(fuzz_scratch(path) == 0);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(cow_mkdir_at(dir, "tree", 0700) == 0 && cow_mkdir_at(dir, "layout", 0700) == 0);
	put(dir, "outside", "intact", 6);
	int layout = cow_opendir_at(dir, "layout");
	put_layout(layout, data, size);

	struct cow_fill fill = {.tree = cow_opendir_at(dir, "tree"), .opts = &opts};
	int r = cow_import_oci(&fill, layout, "input", &err);
	must(r == 0 || (r < 0 && err.code != COW_OK && *cow_err_str(&err)));
	cow_fill_done(&fill);
	int fd = openat(dir, "outside", O_RDONLY | O_CLOEXEC);
	must(read(fd, buf, 7) == 6 && strcmp(buf, "intact") == 0);
	(void)close(fd);
	must(unlinkat(dir, "outside", 0) == 0);
	(void)close(fill.tree);
	(void)close(layout);
	must(cow_rm_rf_at(dir, "tree", 0) == 0 && cow_rm_rf_at(dir, "layout", 0) == 0);
	(void)close(dir);
	must(rmdir(path) == 0); /* and nothing else was there */
	return 0;
}
