/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The store through its C interface, as servers use it: backend btrfs on a loop-mounted btrfs, backend
 * overlay there and on the file system of TMPDIR. In a mount namespace of its own: when this process
 * ends, in whatever way, the mount and the loop device go with it.
 */
#include "cow_test.h"

#include <time.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>

#include "btrfs.h"
#include "client_internal.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/fs.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

static struct tmpdir *tmp;
static char store_path[96];
static enum cow_backend backend; /* of the group that runs */
static int on_loop;		 /* its store is a btrfs file */
static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
#define ID "02-00-00-00-00-01"

struct fixture {
	struct cow_store *s;
	struct cow_err err;
};

static int group_setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	char file[96], source[96];
	void *t = NULL;
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	(void)snprintf(store_path, sizeof(store_path), "%s/store", tmp->path);
	(void)snprintf(file, sizeof(file), "%s/img", tmp->path);
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	int r = on_loop ? cow_store_init_loop(store_path, file, 512 << 20, &err)
			: cow_store_init(store_path, &err);
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", cow_err_str(&err));
		return -1;
	}
	assert_int_equal(mkdirat(tmp->fd, "src", 0755), 0);
	assert_int_equal(mkdirat(tmp->fd, "src/etc", 0755), 0);
	int src = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cow_write_file_at(src, "file", "golden", 6, 0644), 0);
	(void)close(src);
	return 0;
}

static int group_teardown(void **state)
{
	void *t = tmp;
	if (on_loop)
		(void)umount2(store_path, MNT_DETACH);
	return tmpdir_teardown(&t);
}

/* A store with one image and one client. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char source[96];
	unsigned version;
	struct cow_client_add_opts opts = {.image = "img", .backend = backend};
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	assert_int_equal(cow_store_open(store_path, &f->s, &f->err), 0);
	assert_int_equal(cow_image_import(f->s, "img", source, NULL, &version, &f->err), 0);
	assert_int_equal(cow_client_add(f->s, &mac, &opts, &f->err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	(void)cow_client_rm(f->s, &mac, COW_SWAP_NOW, NULL);
	cow_store_close(f->s);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- events, history */

struct lines_seen {
	unsigned lines;
	char last[COW_FIELDS_LINE_MAX];
};

static int see_line(void *ctx, const char *line)
{
	struct lines_seen *seen = ctx;

	seen->lines++;
	(void)snprintf(seen->last, sizeof(seen->last), "%s", line);
	return 0;
}

static void put_state(struct fixture *f, const char *name, int flags, const char *text)
{
	cow_autoclose int fd =
	    openat(cow_store_fd(f->s), name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	assert_int_equal(cow_write_full(fd, text, strlen(text)), 0);
}

static void events_are_read_in_order_and_torn_ones_passed_over(void **state)
{
	struct fixture *f = *state;
	struct lines_seen seen = {0};
	char value[64];
	cow_autoevents e = NULL;

	(void)unlinkat(cow_store_fd(f->s), "state/events", 0);
	assert_int_equal(cow_events_open(f->s, &e), 0);
	assert_int_equal(cow_events_read(e, see_line, &seen), 0);
	assert_int_equal(seen.lines, 0);
	assert_int_equal(cow_store_event(f->s, "reset", "client", ID, "name", "a b\n\33[2J", "none",
					 NULL, "root", "2", NULL),
			 0);
	assert_int_equal(cow_events_read(e, see_line, &seen), 0);
	assert_int_equal(seen.lines, 1);
	assert_true(cow_fields_is(seen.last, "reset"));
	assert_int_equal(cow_fields_get(seen.last, "name", value, sizeof(value)), 0);
	assert_string_equal(value, "a b\n\33[2J");
	assert_int_equal(cow_fields_get(seen.last, "none", value, sizeof(value)), -ENOENT);
	put_state(f, "state/events", O_APPEND, "reset v=1 ti");
	assert_int_equal(cow_store_event(f->s, "boot", NULL), 0);
	put_state(f, "state/events", O_APPEND, "boot v=2 time=1\nboot v=1\n\n = =\n");
	assert_int_equal(cow_store_event(f->s, "boot", NULL), 0);
	assert_int_equal(cow_events_read(e, see_line, &seen), 0);
	assert_int_equal(seen.lines, 3);
}

static void the_log_is_turned_over_and_followed_across(void **state)
{
	struct fixture *f = *state;
	struct lines_seen seen = {0};
	struct stat st;
	cow_autoevents e = NULL;
	cow_autoevents late = NULL;
	char long_text[500];
	unsigned n = 0;

	(void)unlinkat(cow_store_fd(f->s), "state/events", 0);
	memset(long_text, ' ', sizeof(long_text) - 1); /* three bytes each */
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(cow_events_open(f->s, &e), 0);
	for (; n < 800; n++) {
		assert_int_equal(cow_store_event(f->s, "x", "long", long_text, NULL), 0);
		if (n % 100 == 0)
			assert_int_equal(cow_events_read(e, see_line, &seen), 0);
	}
	assert_int_equal(cow_events_read(e, see_line, &seen), 0);
	assert_int_equal(seen.lines, n);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    fstatat(cow_store_fd(f->s), i ? "state/events.1" : "state/events", &st, 0), 0);
		assert_true(st.st_size < COW_EVENTS_FILE_MAX + COW_FIELDS_LINE_MAX);
	}
	seen.lines = 0; /* from the start: both files */
	assert_int_equal(cow_events_open(f->s, &late), 0);
	assert_int_equal(cow_events_read(late, see_line, &seen), 0);
	assert_true(seen.lines > n / 3 && seen.lines < n);
}

static void history_keeps_the_last_and_replaces_what_is_told_again(void **state)
{
	struct fixture *f = *state;
	struct lines_seen seen = {0};
	char line[128];
	uint64_t n;

	assert_int_equal(cow_client_boots_each(f->s, &mac, see_line, &seen), 0);
	assert_int_equal(seen.lines, 0);
	for (unsigned i = 0; i < COW_CLIENT_BOOTS + 5; i++) {
		(void)snprintf(line, sizeof(line), "boot v=1 start=%u files=1\n", 1000 + i);
		assert_int_equal(cow_client_boots_add(f->s, &mac, line), 0);
		(void)snprintf(line, sizeof(line), "boot v=1 start=%u files=2\n", 1000 + i);
		assert_int_equal(cow_client_boots_add(f->s, &mac, line), 0);
	}
	assert_int_equal(cow_client_boots_each(f->s, &mac, see_line, &seen), 0);
	assert_int_equal(seen.lines, COW_CLIENT_BOOTS);
	assert_int_equal(cow_fields_get_u64(seen.last, "files", 9, &n), 0);
	assert_int_equal(n, 2);
	/* torn, foreign, from the future */
	put_state(f, "clients/" ID "/state/boots", O_TRUNC,
		  "boot v=1 start=1\nnonsense\nboot v=2 start=2\nboot v=1 sta");
	seen.lines = 0;
	assert_int_equal(cow_client_boots_each(f->s, &mac, see_line, &seen), 0);
	assert_int_equal(seen.lines, 1);
	for (unsigned i = 0; i < 3; i++) {
		char text[100 * sizeof("request v=1 at=1 name=aaa\n") + 1] = "";

		for (unsigned k = 0; k < 100; k++)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
				       "request v=1 at=1 name=%u\n", 100 * i + k);
		assert_int_equal(cow_client_requests_add(f->s, &mac, text), 0);
	}
	seen.lines = 0;
	assert_int_equal(cow_client_requests_each(f->s, &mac, see_line, &seen), 0);
	assert_int_equal(seen.lines, COW_CLIENT_REQUESTS);
	assert_string_equal(seen.last, "request v=1 at=1 name=299");
}

static int client_dir(struct fixture *f)
{
	int fd = openat(cow_store_fd(f->s), "clients/" ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static uint64_t epoch_of_root(struct fixture *f)
{
	unsigned n;
	uint64_t epoch;
	int dir = client_dir(f);
	assert_int_equal(cow_client_current(dir, &n), 0);
	int root = cow_client_root_dir(dir, n);
	assert_int_equal(cow_ovl_inst_read_epoch(root, &epoch, NULL), 0);
	(void)close(root);
	(void)close(dir);
	return epoch;
}

static void a_mapped_epoch_sees_every_swap(void **state)
{
	struct fixture *f = *state;
	const volatile uint64_t *epoch;
	assert_int_equal(cow_client_epoch_map(f->s, &mac, &epoch, &f->err), 0);
	uint64_t before = *epoch;
	assert_int_equal(before, epoch_of_root(f));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), 0);
		assert_int_not_equal(*epoch, before);
		assert_int_equal(*epoch, epoch_of_root(f));
		before = *epoch;
	}
	assert_int_equal(cow_client_rollback(f->s, &mac, 0, &f->err), 0);
	assert_int_not_equal(*epoch, before);
	before = *epoch;
	assert_int_equal(cow_client_rm(f->s, &mac, 0, &f->err), 0);
	assert_int_equal(*epoch, before); /* still mapped, last value */
	cow_client_epoch_unmap(epoch);
	assert_int_equal(cow_client_epoch_map(f->s, &mac, &epoch, &f->err), -ENOENT);
}

static void attach_opens_the_current_root(void **state)
{
	struct fixture *f = *state;
	struct cow_ovl_inst *inst, *twice;
	struct cow_ovl_node *root, *file;
	struct cow_ovl_attr attr;
	(void)umask(0);
	assert_int_equal(cow_client_attach(f->s, &mac, 0, &inst, &f->err), 0);
	assert_int_equal(cow_ovl_inst_epoch(inst), epoch_of_root(f));
	assert_int_equal(cow_client_attach(f->s, &mac, 0, &twice, &f->err), -EBUSY);
	assert_int_equal(cow_client_attach(f->s, &mac, COW_OVL_OBSERVER, &twice, &f->err), 0);
	assert_int_equal(cow_ovl_inst_close(twice), 0);
	assert_int_equal(cow_ovl_root(inst, &root), 0);
	assert_int_equal(cow_ovl_lookup(root, "file", 4, &file, &attr), 0);
	assert_int_equal(attr.size, 6);
	cow_ovl_put(file);
	cow_ovl_put(root);
	assert_int_equal(cow_ovl_inst_close(inst), 0);
}

/* As a server does that has just seen the swap. */
static void *let_go_soon(void *inst)
{
	const struct timespec soon = {.tv_nsec = 400000000};
	(void)nanosleep(&soon, NULL);
	return cow_ovl_inst_close(inst) == 0 ? inst : NULL;
}

static void reset_works_under_an_attached_root_rollback_waits_for_it(void **state)
{
	struct fixture *f = *state;
	struct cow_ovl_inst *inst;
	pthread_t t;
	void *done = NULL;
	assert_int_equal(cow_client_attach(f->s, &mac, 0, &inst, &f->err), 0);
	assert_int_equal(cow_ovl_inst_hold_as(inst, "somebody slow"), 0);
	assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), 0);
	assert_int_equal(cow_client_rollback(f->s, &mac, 0, &f->err), -EBUSY);
	assert_int_equal(f->err.code, COW_ERR_BUSY);
	assert_non_null(strstr(cow_err_str(&f->err), "somebody slow"));
	assert_int_equal(pthread_create(&t, NULL, let_go_soon, inst), 0);
	assert_int_equal(cow_client_rollback(f->s, &mac, 0, &f->err), 0);
	assert_int_equal(pthread_join(t, &done), 0);
	assert_ptr_equal(done, inst);
}

static void a_root_that_is_deleted_under_its_server_does_no_harm(void **state)
{
	struct fixture *f = *state;
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *root;
	assert_int_equal(cow_client_attach(f->s, &mac, 0, &inst, &f->err), 0);
	assert_int_equal(cow_ovl_root(inst, &root), 0);
	assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), 0);
	assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err),
			 0); /* what is attached goes to the trash */
	assert_int_equal(cow_store_empty_trash(f->s, &f->err), 0);
	struct cow_ovl_node *file;
	assert_true(cow_ovl_lookup(root, "file", 4, &file, NULL) < 0);
	cow_ovl_put(root);
	(void)cow_ovl_inst_close(inst); /* its record is gone: an error is fine */
	assert_int_equal(cow_client_attach(f->s, &mac, 0, &inst, &f->err), 0);
	assert_int_equal(cow_ovl_inst_close(inst), 0);
}

static void state_records_come_back(void **state)
{
	struct fixture *f = *state;
	struct cow_client_state st;
	int64_t now = cow_realtime_s();
	assert_int_equal(cow_client_state_read(f->s, &mac, &st, &f->err), 0);
	assert_int_equal(st.boot_s, 0);
	assert_int_equal(st.nfs_s, 0);
	assert_string_equal(st.boot_addr, "");
	assert_int_equal(cow_client_state_boot(f->s, &mac, now - 500, "10.77.0.101", &f->err), 0);
	assert_int_equal(cow_client_state_nfs(f->s, &mac, now, "fd00::1", &f->err), 0);
	assert_int_equal(cow_client_state_nfs(f->s, &mac, now, "10.0.0.1\nx = y", &f->err),
			 -EINVAL);
	assert_int_equal(cow_client_state_read(f->s, &mac, &st, &f->err), 0);
	assert_int_equal(st.boot_s, now - 500);
	assert_string_equal(st.boot_addr, "10.77.0.101");
	assert_int_equal(st.nfs_s, now);
	assert_string_equal(st.nfs_addr, "fd00::1");
	assert_int_equal(st.refused, 0);
	assert_int_equal(cow_client_state_refused(f->s, &mac, now, "10.0.0.9", 3, &f->err), 0);
	assert_int_equal(cow_client_state_refused(f->s, &mac, now, "10.0.0.8", 2, &f->err), 0);
	assert_int_equal(cow_client_state_read(f->s, &mac, &st, &f->err), 0);
	assert_int_equal(st.refused, 5);
	assert_int_equal(st.refused_s, now);
	assert_string_equal(st.refused_addr, "10.0.0.8");
	assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), -EBUSY);
	assert_int_equal(cow_client_reset(f->s, &mac, COW_SWAP_NOW, &f->err), 0);
}

static int exists(struct fixture *f, const char *path)
{
	return faccessat(cow_store_fd(f->s), path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_tree(struct fixture *f, const char *path)
{
	int fd = cow_store_fd(f->s);
	assert_int_equal(mkdirat(fd, path, 0700), 0);
	int dir = openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(
	    f->s->btrfs ? cow_btrfs_subvol_create(dir, "tree") : mkdirat(dir, "tree", 0755), 0);
	(void)close(dir);
}

/* I3: what each step of an interrupted operation leaves is swept. */
static void sweep_removes_what_a_crash_left(void **state)
{
	static const char *const left[] = {
	    "clients/.add-0123456789abcdef", "clients/" ID "/roots/.new-0123456789abcdef",
	    "clients/" ID "/roots/9",	     "images/img/.import-0123456789abcdef",
	    "trash/0123456789abcdef",
	};
	struct fixture *f = *state;
	uint64_t wrong = 42;
	struct cow_client *c;
	for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++)
		make_tree(f, left[i]);
	int dir = client_dir(f);
	assert_int_equal(cow_client_epoch_write(dir, wrong), 0);
	(void)close(dir);
	assert_int_equal(cow_store_sweep(f->s, &f->err), 0);
	for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++)
		assert_int_equal(exists(f, left[i]), 0);
	const volatile uint64_t *epoch;
	assert_int_equal(cow_client_epoch_map(f->s, &mac, &epoch, &f->err), 0);
	assert_int_equal(*epoch, epoch_of_root(f)); /* the swap that was not told to servers */
	cow_client_epoch_unmap(epoch);
	assert_int_equal(cow_client_load(f->s, &mac, &c, &f->err), 0);
	assert_int_equal(c->root, 1);
	cow_client_free(c);
	assert_int_equal(exists(f, "images/img/1/tree/file"), 1);
}

static void sweep_leaves_alone_what_is_locked(void **state)
{
	struct fixture *f = *state;
	make_tree(f, "clients/" ID "/roots/.new-0123456789abcdef");
	make_tree(f, "images/img/.import-0123456789abcdef");
	int dir = client_dir(f);
	int images = openat(cow_store_fd(f->s), "images/img", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock1 = cow_lock_at(dir, "lock", 0), lock2 = cow_lock_at(images, "lock", 0);
	assert_true(lock1 >= 0 && lock2 >= 0);
	assert_int_equal(cow_store_sweep(f->s, &f->err), 0);
	assert_int_equal(exists(f, "clients/" ID "/roots/.new-0123456789abcdef"), 1);
	assert_int_equal(exists(f, "images/img/.import-0123456789abcdef"), 1);
	(void)close(lock1);
	(void)close(lock2);
	(void)close(dir);
	(void)close(images);
	assert_int_equal(cow_store_sweep(f->s, &f->err), 0);
	assert_int_equal(exists(f, "clients/" ID "/roots/.new-0123456789abcdef"), 0);
	assert_int_equal(exists(f, "images/img/.import-0123456789abcdef"), 0);
}

static void a_client_is_found_by_mac_and_by_name(void **state)
{
	struct fixture *f = *state;
	struct cow_client *c;
	assert_int_equal(cow_client_find(f->s, "client-020000000001", &c, &f->err), 0);
	assert_int_equal(memcmp(&c->mac, &mac, sizeof(mac)), 0);
	cow_client_free(c);
	assert_int_equal(cow_client_find(f->s, "02:00:00:00:00:01", &c, &f->err), 0);
	cow_client_free(c);
	assert_int_equal(cow_client_find(f->s, "nobody", &c, &f->err), -ENOENT);
	assert_int_equal(f->err.code, COW_ERR_NOT_FOUND);
}

/* An image is needed by the root kept for rollback as long as that is nothing without it. */
static void an_image_is_kept_for_the_root_that_is_kept(void **state)
{
	struct fixture *f = *state;
	struct cow_image *i;
	unsigned version;
	char source[96];
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	assert_int_equal(cow_image_find(f->s, "img", &i, &f->err), 0);
	assert_int_equal(cow_image_import(f->s, "img", source, NULL, &version, &f->err), 0);
	assert_int_equal(version, i->version + 1);
	assert_int_equal(cow_image_rm(f->s, i, &f->err), -EBUSY);
	assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), 0);
	if (backend == COW_BACKEND_OVERLAY) {
		assert_int_equal(cow_image_rm(f->s, i, &f->err), -EBUSY);
		assert_int_equal(cow_client_rollback(f->s, &mac, 0, &f->err), 0);
		assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), 0);
		assert_int_equal(cow_client_reset(f->s, &mac, 0, &f->err), 0);
	}
	assert_int_equal(cow_image_rm(f->s, i, &f->err), 0);
	cow_image_free(i);
}

struct seen {
	unsigned n;
	char letters[16], paths[16][64];
};

static int see(void *ctx, const struct cow_ovl_change *c)
{
	struct seen *s = ctx;
	if (s->n < 16) {
		s->letters[s->n] = "AMTDR"[c->kind];
		(void)snprintf(s->paths[s->n], sizeof(s->paths[s->n]), "%s", c->path);
	}
	s->n++;
	return 0;
}

static void diff_of_a_fresh_root_is_its_identity(void **state)
{
	static const char *const paths[] = {"etc/hostname", "etc/hosts", "etc/machine-id"};
	struct fixture *f = *state;
	struct seen s = {0};
	assert_int_equal(cow_client_diff(f->s, &mac, see, &s, &f->err), 0);
	assert_int_equal(s.n, 3);
	for (unsigned k = 0; k < 3; k++) {
		assert_int_equal(s.letters[k], 'A');
		assert_string_equal(s.paths[k], paths[k]);
	}
}

/* The next root is of the new kind, and rollback goes back to the old kind. */
static void a_client_changes_its_backend_at_the_next_reset(void **state)
{
	struct fixture *f = *state;
	struct cow_client *c;
	enum cow_backend other =
	    backend == COW_BACKEND_BTRFS ? COW_BACKEND_OVERLAY : COW_BACKEND_BTRFS;
	int r = cow_client_set(f->s, &mac, "backend", cow_backend_name(other), &f->err);
	if (!f->s->btrfs) {
		assert_int_equal(r, -EOPNOTSUPP);
		return;
	}
	assert_int_equal(r, 0);
	r = cow_client_reset(f->s, &mac, 0, &f->err);
	if (r == -EOPNOTSUPP)
		return; /* no overlay roots in this build */
	assert_int_equal(r, 0);
	assert_int_equal(cow_client_load(f->s, &mac, &c, &f->err), 0);
	assert_int_equal(c->root_backend, other);
	cow_client_free(c);
	assert_int_equal(cow_client_rollback(f->s, &mac, 0, &f->err), 0);
	assert_int_equal(cow_client_load(f->s, &mac, &c, &f->err), 0);
	assert_int_equal(c->root_backend, backend);
	cow_client_free(c);
}

/* 0 works; -EOPNOTSUPP not in this build, or not on this file system. */
static int try_group(void)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_client_add_opts opts = {.image = "img", .backend = backend};
	struct cow_store *s = NULL;
	char source[96];
	unsigned version;
	if (group_setup(NULL) < 0)
		return -EOPNOTSUPP;
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	int r = cow_store_open(store_path, &s, &err);
	if (r == 0)
		r = cow_image_import(s, "img", source, NULL, &version, &err);
	if (r == 0)
		r = cow_client_add(s, &mac, &opts, &err);
	if (r < 0)
		(void)printf("backend %s on %s: %s\n", cow_backend_name(backend),
			     on_loop ? "btrfs" : "TMPDIR", cow_err_str(&err));
	cow_store_close(s);
	(void)group_teardown(NULL);
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_mapped_epoch_sees_every_swap, setup, teardown),
	    cmocka_unit_test_setup_teardown(attach_opens_the_current_root, setup, teardown),
	    cmocka_unit_test_setup_teardown(events_are_read_in_order_and_torn_ones_passed_over,
					    setup, teardown),
	    cmocka_unit_test_setup_teardown(the_log_is_turned_over_and_followed_across, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(history_keeps_the_last_and_replaces_what_is_told_again,
					    setup, teardown),
	    cmocka_unit_test_setup_teardown(
		reset_works_under_an_attached_root_rollback_waits_for_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_root_that_is_deleted_under_its_server_does_no_harm,
					    setup, teardown),
	    cmocka_unit_test_setup_teardown(state_records_come_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(sweep_removes_what_a_crash_left, setup, teardown),
	    cmocka_unit_test_setup_teardown(sweep_leaves_alone_what_is_locked, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_client_is_found_by_mac_and_by_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_image_is_kept_for_the_root_that_is_kept, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(diff_of_a_fresh_root_is_its_identity, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_client_changes_its_backend_at_the_next_reset, setup,
					    teardown),
	};
	if (geteuid() != 0) {
		(void)puts("needs root (loop devices, mounts)");
		return 77;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("needs a mount namespace");
		return 77;
	}
	static const struct {
		enum cow_backend backend;
		int on_loop;
	} groups[] = {{COW_BACKEND_BTRFS, 1}, {COW_BACKEND_OVERLAY, 1}, {COW_BACKEND_OVERLAY, 0}};
	int failed = 0;
	for (size_t k = 0; k < sizeof(groups) / sizeof(*groups); k++) {
		backend = groups[k].backend;
		on_loop = groups[k].on_loop;
		int r = try_group();
		if (r == 0)
			failed += cmocka_run_group_tests(tests, group_setup, group_teardown);
		else if (r != -EOPNOTSUPP)
			failed++;
	}
	return failed;
}
