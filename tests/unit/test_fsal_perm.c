/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The permission rules the NFS plugin adds to the server's (ganesha-fsal/perm.h).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "perm.h"

static const gid_t groups[] = {2000, 2001};
static const struct cow_ovl_cred user = {.uid = 1000, .gid = 1000, .groups = groups, .ngroups = 2};

static struct cow_ovl_attr dir(mode_t mode, uid_t uid, gid_t gid)
{
	return (struct cow_ovl_attr){.mode = S_IFDIR | mode, .uid = uid, .gid = gid};
}

static void owner_group_and_others_get_their_class_and_no_more(void **state)
{
	const struct cow_ovl_attr own = dir(0700, 1000, 1), grp = dir(0070, 1, 2001);
	const struct cow_ovl_attr oth = dir(0007, 1, 1), less = dir(0077, 1000, 1000);
	assert_int_equal(cow_perm_check(&own, &user, 7), 0);
	assert_int_equal(cow_perm_check(&grp, &user, 7), 0);
	assert_int_equal(cow_perm_check(&oth, &user, 7), 0);
	assert_int_equal(cow_perm_check(&less, &user, COW_MAY_READ), -EACCES);
}

static void root_may_all_but_execute_what_nobody_may(void **state)
{
	const struct cow_ovl_attr d = dir(0, 1, 1);
	const struct cow_ovl_attr f = {.mode = S_IFREG | 0644, .uid = 1};
	const struct cow_ovl_attr x = {.mode = S_IFREG | 0010, .uid = 1};
	assert_int_equal(cow_perm_check(&d, &cow_ovl_root_cred, 7), 0);
	assert_int_equal(cow_perm_check(&f, &cow_ovl_root_cred, COW_MAY_READ | COW_MAY_WRITE), 0);
	assert_int_equal(cow_perm_check(&f, &cow_ovl_root_cred, COW_MAY_EXEC), -EACCES);
	assert_int_equal(cow_perm_check(&x, &cow_ovl_root_cred, COW_MAY_EXEC), 0);
}

static void adding_a_name_needs_write_and_search(void **state)
{
	const struct cow_ovl_attr w = dir(0002, 1, 1), x = dir(0001, 1, 1), wx = dir(0003, 1, 1);
	assert_int_equal(cow_perm_add(&w, &user), -EACCES);
	assert_int_equal(cow_perm_add(&x, &user), -EACCES);
	assert_int_equal(cow_perm_add(&wx, &user), 0);
}

static void sticky_directories_let_owners_remove(void **state)
{
	const struct cow_ovl_attr sticky = dir(01777, 1, 1), mine = dir(01777, 1000, 1);
	const struct cow_ovl_attr theirs_f = {.uid = 5}, mine_f = {.uid = 1000};
	assert_int_equal(cow_perm_remove(&sticky, &theirs_f, &user), -EPERM);
	assert_int_equal(cow_perm_remove(&sticky, &mine_f, &user), 0);
	assert_int_equal(cow_perm_remove(&mine, &theirs_f, &user), 0);
	assert_int_equal(cow_perm_remove(&sticky, &theirs_f, &cow_ovl_root_cred), 0);
}

static void only_root_gives_files_away(void **state)
{
	const struct cow_ovl_set other = {.mask = COW_SET_UID, .uid = 7};
	const struct cow_ovl_set self = {
	    .mask = COW_SET_UID | COW_SET_GID, .uid = 1000, .gid = 2001};
	const struct cow_ovl_set foreign = {.mask = COW_SET_GID, .gid = 7};
	assert_int_equal(cow_perm_give(&other, &user), -EPERM);
	assert_int_equal(cow_perm_give(&self, &user), 0);
	assert_int_equal(cow_perm_give(&foreign, &user), -EPERM);
	assert_int_equal(cow_perm_give(&other, &cow_ovl_root_cred), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(owner_group_and_others_get_their_class_and_no_more),
	    cmocka_unit_test(root_may_all_but_execute_what_nobody_may),
	    cmocka_unit_test(adding_a_name_needs_write_and_search),
	    cmocka_unit_test(sticky_directories_let_owners_remove),
	    cmocka_unit_test(only_root_gives_files_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
