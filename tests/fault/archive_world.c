/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_world.h"

#include <openssl/evp.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ARCHIVE_MAX ((size_t)4 << 20)

struct tmpdir *tmp;
struct cow_store *from, *to;
struct cow_image *one, *two;
struct bytes full, difference;
int source = -1;
size_t big = (size_t)1 << 20;

const char *path_of(const char *name)
{
	static char path[8][128];
	static unsigned next;
	char *p = path[next++ % 8];
	(void)snprintf(p, sizeof(path[0]), "%s/%s", tmp->path, name);
	return p;
}

void must(int r, const struct cow_err *err)
{
	if (r < 0)
		fail_msg("%s", cow_err_str(err));
}

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

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(cow_write_file_at(dir, name, text, strlen(text), 0644), 0);
}

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

int import_as(struct cow_store *s, const char *name, const char *what, struct cow_err *err)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	unsigned version;
	return cow_image_import(s, name, what, &opts, &version, err);
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
	void *t = NULL;
	(void)state;
	(void)umask(0);
	(void)signal(SIGPIPE, SIG_IGN);
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	make_source();
	must(cow_store_init(path_of("from"), &err), &err);
	must(cow_store_init(path_of("to"), &err), &err);
	must(cow_store_open(path_of("from"), &from, &err), &err);
	must(cow_store_open(path_of("to"), &to, &err), &err);
	must(import_as(from, "img", path_of("src/tree"), &err), &err);
	change_source();
	must(import_as(from, "img", path_of("src/tree"), &err), &err);
	must(cow_image_find(from, "img@1", &one, &err), &err);
	must(cow_image_find(from, "img@2", &two, &err), &err);
	must(export_as(path_of("full.cow"), -1, NULL, NULL, &err), &err);
	must(export_as(path_of("difference.cow"), -1, one, NULL, &err), &err);
	full = load("full.cow");
	difference = load("difference.cow");
	const struct cow_export_opts opts = {.output = path_of("base.cow"), .level = 1};
	struct cow_export_done done;
	must(cow_image_export(from, one, NULL, &opts, &done, &err), &err);
	must(import_as(to, "base", path_of("base.cow"), &err), &err);
	return 0;
}

int group_teardown(void **state)
{
	void *t = tmp;
	(void)state;
	cow_image_free(one);
	cow_image_free(two);
	cow_store_close(from);
	cow_store_close(to);
	free(full.p);
	free(difference.p);
	(void)close(source);
	return tmpdir_teardown(&t);
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

/* Names of a directory that begin with @prefix. */
static unsigned entries(const char *path, const char *prefix)
{
	unsigned n = 0;
	const struct dirent *e;
	cow_autodir DIR *d = opendir(path_of(path));
	while (d && cow_readdir(d, &e) == 1)
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	return n;
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

/* ---------------------------------------------------------------- trials */

unsigned long step_of(unsigned brief)
{
	const char *is_long = getenv("COWHERD_TEST_LONG"); /* NOLINT(concurrency-mt-unsafe): one thread */
	return is_long ? 1 : brief;
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	const struct dirent *e;
	cow_autodir DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (cow_readdir(d, &e) == 1)
		n++;
	return n;
}

bool says(const struct cow_err *err)
{
	const char *text = cow_err_str(err);
	size_t len = strlen(text);
	return err->code != COW_OK && len > 2 && strcmp(text + len - 2, ": ") != 0;
}

/* What it may end with when that was the fault. */
static bool may_be(int r, int errnum)
{
	return r == -(errnum ? errnum : ENOMEM) ||
	       (errnum == EIO && r == -EBADMSG) || /* the image cannot be read */
	       (r == -EAGAIN && strcmp(fault_where(), "pthread_create") == 0);
}

static bool fail_once(const struct trial *t, int errnum, unsigned long nth)
{
	struct cow_err err = COW_ERR_INIT;
	t->before(t);
	unsigned fds = open_fds();
	fault_arm(errnum, nth);
	int r = t->act(t, &err);
	bool fired = fault_disarm();
	if (open_fds() != fds || (r < 0 && (!fired || !says(&err) || !may_be(r, errnum))))
		fail_msg("%s, errno %d at %lu (%s): result %d, '%s', %u fds, before %u", t->what,
			 errnum, nth, fault_where(), r, cow_err_str(&err), open_fds(), fds);
	t->after(t, r == 0);
	return fired;
}

/* Return: was it killed? */
static bool kill_once(const struct trial *t, unsigned long nth)
{
	int status = 0;
	t->before(t);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct cow_err err = COW_ERR_INIT;
		fault_arm_kill(nth);
		_exit(t->act(t, &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (waitpid(-1, NULL, 0) > 0)
		; /* what it had started, where that is left to us */
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	t->after(t, !WIFSIGNALED(status));
	return WIFSIGNALED(status);
}

void each_fault_and_kill(const struct trial *t)
{
	static const int errnums[] = {0, EIO, ENOSPC};
	unsigned long faults = 0, kills = 0;
	for (size_t e = 0; e < sizeof(errnums) / sizeof(*errnums); e++)
		for (unsigned long nth = 0; fail_once(t, errnums[e], nth); nth += step_of(t->step))
			faults++;
	for (unsigned long nth = 0; kill_once(t, nth); nth += step_of(t->step))
		kills++;
	print_message("%s: %lu faults, %lu kills\n", t->what, faults, kills);
	assert_true(faults > 10 && kills > 4); /* else it tests nothing */
}
