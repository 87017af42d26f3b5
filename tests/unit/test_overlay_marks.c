/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The marks of an upper and who may see them: a process without CAP_SYS_ADMIN sees none, so it asks
 * one that can, or attaches nothing.
 */
#include "layer_test.h"

#include <linux/capability.h>
#include <sys/syscall.h>

/* Of this thread; what is given up is still permitted, so it can be taken back. */
static void set_sys_admin(bool on)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	ok(syscall(SYS_capget, &head, data));
	if (on)
		data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective |= CAP_TO_MASK(CAP_SYS_ADMIN);
	else
		data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	ok(syscall(SYS_capset, &head, data));
}

static unsigned asked;

/* As another process with that right would. */
static ssize_t read_for_us(int fd, const char *name, void *buf, size_t len)
{
	set_sys_admin(true);
	ssize_t r = cow_ovl_mark_read(fd, name, buf, len);
	set_sys_admin(false);
	asked++;
	return r;
}

static int observe(struct ovl *f, struct cow_ovl_inst **ret)
{
	struct cow_err err = COW_ERR_INIT;
	return cow_ovl_inst_open(f->dirfd, f->img, COW_OVL_OBSERVER, ret, &err);
}

static int look_up(struct cow_ovl_inst *i, const char *dir, const char *name)
{
	cow_autonode root = NULL;
	cow_autonode d = NULL;
	cow_autonode n = NULL;
	ok(cow_ovl_root(i, &root));
	ok(cow_ovl_lookup(root, dir, strlen(dir), &d, NULL));
	return cow_ovl_lookup(d, name, strlen(name), &n, NULL);
}

static void a_process_that_sees_no_marks_attaches_nothing(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i = NULL;
	set_sys_admin(false);
	int r = observe(f, &i);
	set_sys_admin(true);
	assert_int_equal(r, -EPERM);
	ok(observe(f, &i));
	ok(cow_ovl_inst_close(i));
}

static void it_sees_through_another_process_what_the_server_sees(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i = NULL;
	ok(cow_ovl_rename(f->root, "dir", 3, f->root, "moved", 5, 0, &cow_ovl_root_cred));
	ok(make_at(f, "dir", S_IFDIR, 0755));
	cow_ovl_set_mark_reader(read_for_us);
	set_sys_admin(false);
	int r = observe(f, &i);
	int moved = r < 0 ? r : look_up(i, "moved", "file");
	int hidden = r < 0 ? r : look_up(i, "dir", "file");
	set_sys_admin(true);
	cow_ovl_set_mark_reader(NULL);
	ok(r);
	ok(moved);
	assert_int_equal(hidden, -ENOENT);
	assert_true(asked > 0);
	ok(cow_ovl_inst_close(i));
}

static void nothing_but_marks_is_read_for_others(void **state)
{
	static const char *const names[] = {"trusted.overlayfoo",  "user.of",
					    "security.capability", "trusted.overlay.",
					    "trusted.cowherd.x",   ""};
	struct ovl *f = *state;
	char buf[64];
	cow_autoclose int fd = openat(f->tree, "file", O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
		assert_int_equal(cow_ovl_mark_read(fd, names[k], buf, sizeof(buf)), -EPERM);
	assert_int_equal(cow_ovl_mark_read(fd, "trusted.cowherd.id", buf, sizeof(buf)), -ENODATA);
	assert_true(cow_ovl_mark_read(-1, "trusted.cowherd.id", buf, sizeof(buf)) < 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_process_that_sees_no_marks_attaches_nothing),
	    T(it_sees_through_another_process_what_the_server_sees),
	    T(nothing_but_marks_is_read_for_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
