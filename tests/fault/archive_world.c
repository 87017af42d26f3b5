/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_world.h"

#include <openssl/evp.h>
#include <signal.h>
#include <sys/xattr.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ARCHIVE_MAX ((size_t)4 << 20)

struct cow_store *from, *to;
struct cow_image *one, *two;
struct bytes full, difference;
int source = -1;
size_t big = (size_t)1 << 20;

/* Calls that only archives make, and that can lack memory. */
#define WRAP_LIBRARY(type, name, params, args, failed)                                             \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fault_due(true, #name) ? (failed) : __real_##name args;                     \
	}
#define NO_MEMORY ((size_t)-ZSTD_error_memory_allocation)
WRAP_LIBRARY(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
WRAP_LIBRARY(ZSTD_CCtx *, ZSTD_createCCtx, (void), (), NULL)
WRAP_LIBRARY(ZSTD_DCtx *, ZSTD_createDCtx, (void), (), NULL)
WRAP_LIBRARY(int, EVP_DigestInit_ex2,
	     (EVP_MD_CTX * c, const EVP_MD *type, const OSSL_PARAM *params), (c, type, params), 0)
WRAP_LIBRARY(size_t, ZSTD_compress2,
	     (ZSTD_CCtx * c, void *at, size_t room, const void *p, size_t len),
	     (c, at, room, p, len), NO_MEMORY)
WRAP_LIBRARY(size_t, ZSTD_decompressDCtx,
	     (ZSTD_DCtx * c, void *at, size_t room, const void *p, size_t len),
	     (c, at, room, p, len), NO_MEMORY)
WRAP_LIBRARY(size_t, ZSTD_decompressStream,
	     (ZSTD_DCtx * c, ZSTD_outBuffer *out, ZSTD_inBuffer *in), (c, out, in), NO_MEMORY)

/* ---------------------------------------------------------------- two versions and their archives */

static void put_big(int dir, unsigned changed)
{
	char *p = malloc(big);
	assert_non_null(p);
	for (size_t k = 0; k < big; k++)
		p[k] = (char)(k >> 12);
	memset(p + big / 2, (int)changed, 100);
	assert_int_equal(cow_write_file_at(dir, "big", p, big, 0600), 0);
	free(p);
}

static void make_source(void)
{
	assert_int_equal(mkdirat(tmp->fd, "src", 0755), 0);
	source = cow_opendir_at(tmp->fd, "src");
	assert_true(source >= 0);
	assert_int_equal(mkdirat(source, "tree", 0755), 0);
	cow_autoclose int tree = cow_opendir_at(source, "tree");
	assert_int_equal(mkdirat(tree, "sub", 0750), 0);
	assert_int_equal(fchownat(tree, "sub", 3, 4, 0), 0);
	put(tree, "same", "the same in both versions");
	put(tree, "changes", "one");
	put(tree, "empty", "");
	cow_autoclose int sub = cow_opendir_at(tree, "sub");
	put(sub, "a", "twice the same content");
	put(sub, "b", "twice the same content");
	put_big(tree, 1);
	assert_int_equal(linkat(tree, "same", tree, "sub/linked", 0), 0);
	assert_int_equal(symlinkat("sub/a", tree, "link"), 0);
	assert_int_equal(mknodat(tree, "fifo", S_IFIFO | 0620, 0), 0);
	cow_autoclose int hole = openat(tree, "hole", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(pwrite(hole, "data", 4, 1 << 20), 4);
	assert_int_equal(ftruncate(hole, 2 << 20), 0);
	assert_int_equal(fsetxattr(hole, "trusted.x", "of a file", 9, 0), 0);
	assert_int_equal(fsetxattr(tree, "trusted.x", "of the root", 11, 0), 0);
	assert_int_equal(lsetxattr(path_of("src/tree/link"), "trusted.x", "of a link", 9, 0), 0);
}

static void change_source(void)
{
	cow_autoclose int tree = cow_opendir_at(source, "tree");
	put(tree, "changes", "two");
	put(tree, "new", "only in the second");
	put_big(tree, 2);
	assert_int_equal(unlinkat(tree, "sub/b", 0), 0);
}

int export_as(const char *path, int fd, const struct cow_image *since, int *ret_resumed,
	      struct cow_err *err)
{
	const struct cow_export_opts opts = {.output = path, .fd = fd, .level = 1};
	struct cow_export_done done = {.resumed = 0};
	int r = cow_image_export(from, two, since, &opts, &done, err);
	if (ret_resumed)
		*ret_resumed = done.resumed;
	return r;
}

static struct bytes load(const char *name)
{
	struct bytes b;
	assert_int_equal(cow_read_file_at(tmp->fd, name, ARCHIVE_MAX, &b.p, &b.len), 0);
	return b;
}

int group_setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	if (world_begin() < 0)
		return -1;
	make_source();
	must(cow_store_init(path_of("from"), &err), &err);
	must(cow_store_init(path_of("to"), &err), &err);
	must(cow_store_open(path_of("from"), &from, &err), &err);
	must(cow_store_open(path_of("to"), &to, &err), &err);
	must(import_as(from, "img", path_of("src/tree"), NULL, &err), &err);
	change_source();
	must(import_as(from, "img", path_of("src/tree"), NULL, &err), &err);
	must(cow_image_find(from, "img@1", &one, &err), &err);
	must(cow_image_find(from, "img@2", &two, &err), &err);
	must(export_as(path_of("full.cow"), -1, NULL, NULL, &err), &err);
	must(export_as(path_of("difference.cow"), -1, one, NULL, &err), &err);
	full = load("full.cow");
	difference = load("difference.cow");
	const struct cow_export_opts opts = {.output = path_of("base.cow"), .level = 1};
	struct cow_export_done done;
	must(cow_image_export(from, one, NULL, &opts, &done, &err), &err);
	must(import_as(to, "base", path_of("base.cow"), NULL, &err), &err);
	return 0;
}

int group_teardown(void **state)
{
	(void)state;
	cow_image_free(one);
	cow_image_free(two);
	cow_store_close(from);
	cow_store_close(to);
	free(full.p);
	free(difference.p);
	(void)close(source);
	return world_end();
}

/* ---------------------------------------------------------------- what must hold in @to */

struct seen {
	unsigned bases, images;
	bool all_are_two;
};

/* Every version there is is whole. */
static int look(void *ctx, const struct cow_image *i)
{
	struct seen *s = ctx;
	struct cow_err err = COW_ERR_INIT;
	bool is_base = strcmp(i->name, "base") == 0;
	int64_t differences = cow_image_verify(to, i, NULL, NULL, NULL, &err);
	if (differences != 0)
		fail_msg("%s@%u after %s: %s", i->name, i->version, fault_where(),
			 cow_err_str(&err));
	assert_true(is_base || strcmp(i->name, "img") == 0);
	if (is_base)
		assert_string_equal(i->id, one->id);
	else if (strcmp(i->id, two->id) != 0)
		s->all_are_two = false;
	s->bases += is_base;
	s->images += !is_base;
	return 0;
}

unsigned look_at_all(bool only_two)
{
	struct cow_err err = COW_ERR_INIT;
	struct seen s = {.all_are_two = true};
	must(cow_image_each(to, look, &s, &err), &err);
	assert_int_equal(s.bases, 1);
	assert_true(s.all_are_two || !only_two);
	return s.images;
}

unsigned check_left(bool done, bool only_two)
{
	struct cow_err err = COW_ERR_INIT;
	unsigned images = look_at_all(only_two);
	assert_in_range(images, done, 1);
	must(cow_store_sweep(to, &err), &err);
	assert_int_equal(entries("to/images/img", "."), 0);
	assert_int_equal(entries("to/trash", ""), 0);
	assert_int_equal(look_at_all(only_two), images);
	return images;
}

static int rm(void *ctx, const struct cow_image *i)
{
	struct cow_err err = COW_ERR_INIT;
	(void)ctx;
	if (strcmp(i->name, "img") == 0)
		must(cow_image_rm(to, i, &err), &err);
	return 0;
}

void only_base(void)
{
	struct cow_err err = COW_ERR_INIT;
	must(cow_image_each(to, rm, NULL, &err), &err);
}
