/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * When a look at the upper layers is enough to know that there is nothing to carry. What must not be missed counts:
 * each row is a change that has to be found.
 */
#include "cow_test.h"

#include <sys/xattr.h>

#include "keep.h"

struct roots {
	struct tmpdir *tmp;
	int from, to;
};

static void put(int root, const char *path, const char *text)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static void dir(int root, const char *path)
{
	assert_true(mkdirat(root, path, 0755) == 0 || errno == EEXIST);
}

/* As two fresh roots are. */
static void both(struct roots *r)
{
	const int roots[] = {r->from, r->to};

	for (size_t i = 0; i < 2; i++) {
		dir(roots[i], "upper");
		dir(roots[i], "upper/etc");
		put(roots[i], "upper/etc/hostname", "pi\n");
		dir(roots[i], "work");
	}
}

static int setup(void **state)
{
	struct roots *r = calloc(1, sizeof(*r));
	void *tmp = NULL;

	if (!r || tmpdir_setup(&tmp) < 0)
		return -1;
	r->tmp = tmp;
	dir(r->tmp->fd, "from");
	dir(r->tmp->fd, "to");
	r->from = cow_opendir_at(r->tmp->fd, "from");
	r->to = cow_opendir_at(r->tmp->fd, "to");
	both(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct roots *r = *state;
	void *tmp = r->tmp;

	(void)close(r->from);
	(void)close(r->to);
	int e = tmpdir_teardown(&tmp);

	free(r);
	return e;
}

static int idle(struct roots *r)
{
	static const char text[] = "/etc/machine-id\n/etc/hostname\n/etc/ssh/ssh_host_*\n/home\n/srv/*/data\n";
	struct cow_err err = COW_ERR_INIT;
	cow_autokeep k = {0};

	assert_int_equal(cow_keep_parse(text, sizeof(text) - 1, "test", &k, &err), 0);
	return cow_keep_is_idle(&k, r->from, r->to);
}

static void fresh_roots_have_nothing_to_carry(void **state)
{
	assert_int_equal(idle(*state), 1);
}

static void what_is_not_on_the_list_does_not_count(void **state)
{
	struct roots *r = *state;

	put(r->from, "upper/etc/fstab", "x");
	dir(r->from, "upper/etc/ssh");
	put(r->from, "upper/etc/ssh/sshd_config", "x");
	dir(r->from, "upper/srv");
	dir(r->from, "upper/srv/a");
	put(r->from, "upper/srv/a/other", "x");
	put(r->from, "upper/srv/file", "x");
	put(r->from, "upper/homework", "x");
	/* srv/file is no directory to the pattern's eye, so it is looked at by the engine */
	assert_int_equal(idle(r), 0);
	assert_int_equal(unlinkat(r->from, "upper/srv/file", 0), 0);
	assert_int_equal(idle(r), 1);
}

/* Each makes one change below FROM/upper that has to be found. */
static void changed_content(struct roots *r)
{
	put(r->from, "upper/etc/hostname", "po\n");
}
static void changed_length(struct roots *r)
{
	put(r->from, "upper/etc/hostname", "pi2\n");
}
static void changed_mode(struct roots *r)
{
	assert_int_equal(fchmodat(r->from, "upper/etc/hostname", 0600, 0), 0);
}
static void new_attribute(struct roots *r)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/from/upper/etc/hostname", r->tmp->path);
	assert_int_equal(setxattr(path, "user.x", "y", 1, 0), 0);
}
static void new_link(struct roots *r)
{
	assert_int_equal(linkat(r->from, "upper/etc/hostname", r->from, "upper/etc/other", 0), 0);
}
static void other_kind(struct roots *r)
{
	assert_int_equal(unlinkat(r->from, "upper/etc/hostname", 0), 0);
	assert_int_equal(symlinkat("x", r->from, "upper/etc/hostname"), 0);
}
static void gone_here(struct roots *r)
{
	assert_int_equal(unlinkat(r->from, "upper/etc/hostname", 0), 0);
}
static void gone_there(struct roots *r)
{
	assert_int_equal(unlinkat(r->to, "upper/etc/hostname", 0), 0);
}
static void new_file(struct roots *r)
{
	put(r->from, "upper/etc/machine-id", "x");
}
static void directory_entered(struct roots *r)
{
	dir(r->from, "upper/home"); /* something in it, or its attributes, may be the client's */
}
static void pattern_matches(struct roots *r)
{
	dir(r->from, "upper/etc/ssh");
	put(r->from, "upper/etc/ssh/ssh_host_rsa_key", "x");
}
static void whiteout_for_the_name(struct roots *r)
{
	dir(r->from, "upper/etc/ssh");
	assert_int_equal(mknodat(r->from, "upper/etc/ssh/ssh_host_rsa_key", S_IFCHR, 0), 0);
}
static void whiteout_above(struct roots *r)
{
	assert_int_equal(mknodat(r->from, "upper/etc/ssh", S_IFCHR, 0), 0);
}
static void pattern_in_the_middle(struct roots *r)
{
	dir(r->from, "upper/srv");
	dir(r->from, "upper/srv/a");
	dir(r->from, "upper/srv/a/data");
}
static void mark(struct roots *r, const char *name, const char *value)
{
	char path[96];

	dir(r->from, "upper/etc/ssh");
	(void)snprintf(path, sizeof(path), "%s/from/upper/etc/ssh", r->tmp->path);
	assert_int_equal(setxattr(path, name, value, strlen(value), 0), 0);
}
static void directory_made_again(struct roots *r)
{
	mark(r, "trusted.overlay.opaque", "y");
}
static void directory_moved_there(struct roots *r)
{
	mark(r, "trusted.overlay.redirect", "/etc/other");
}
static void written_by_another_name(struct roots *r)
{
	dir(r->from, "work/index");
	put(r->from, "work/index/00fb", "x");
}

static void no_change_is_missed(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct roots *r);
	} rows[] = {
#define ROW(f) {#f, f}
	    ROW(changed_content),      ROW(changed_length),	   ROW(changed_mode),
	    ROW(new_attribute),	       ROW(new_link),		   ROW(other_kind),
	    ROW(gone_here),	       ROW(gone_there),		   ROW(new_file),
	    ROW(directory_entered),    ROW(pattern_matches),	   ROW(whiteout_for_the_name),
	    ROW(whiteout_above),       ROW(pattern_in_the_middle), ROW(directory_made_again),
	    ROW(directory_moved_there), ROW(written_by_another_name),
#undef ROW
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct roots *r = *state;

		assert_int_equal(cow_rm_rf_at(r->from, "upper", 0), 0);
		assert_int_equal(cow_rm_rf_at(r->from, "work", 0), 0);
		assert_int_equal(cow_rm_rf_at(r->to, "upper", 0), 0);
		both(r);
		assert_int_equal(idle(r), 1);
		rows[i].change(r);
		if (idle(r) != 0)
			fail_msg("%s is not found", rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(fresh_roots_have_nothing_to_carry, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_not_on_the_list_does_not_count, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(no_change_is_missed, setup, teardown),
	};

	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root: devices and marks of an overlay\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
