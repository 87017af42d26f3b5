/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Who may change which directory: the server's core checks none of this, an omission in the plugin
 * would show nowhere else. Caller: uid 1000, gid 1000, supplementary group 2000; root sets the
 * scene.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "nfs_test.h"

static struct nfs_context *root, *user;

static void dir(const char *path, int mode, int uid, int gid)
{
	OK(root, nfs_mkdir(root, path));
	OK(root, nfs_chown(root, path, uid, gid));
	OK(root, nfs_chmod(root, path, mode));
}

static void file(const char *path, int mode, int uid, int gid)
{
	nfs_put(root, path, 0600, "keep", 4);
	OK(root, nfs_chown(root, path, uid, gid));
	OK(root, nfs_chmod(root, path, mode));
}

static void begin(void)
{
	static const uint32_t groups[] = {2000};
	if (!root) {
		root = nfs_client_of(3, 0, 0, NULL, 0); /* over v4 this one cannot chmod */
		user = nfs_client(1000, 1000, groups, COUNT(groups));
	}
	nfs_wipe(root, "/perm");
	dir("/perm", 0755, 0, 0);
	dir("/perm/closed", 0755, 0, 0);
	dir("/perm/open", 0777, 0, 0);
	dir("/perm/sticky", 01777, 0, 0);
	file("/perm/closed/root", 0666, 0, 0);
	file("/perm/closed/mine", 0666, 1000, 1000);
	file("/perm/sticky/root", 0666, 0, 0);
	file("/perm/sticky/mine", 0644, 1000, 1000);
}

static int create(const char *path)
{
	struct nfsfh *f;
	int r = nfs_open2(user, path, O_CREAT | O_EXCL | O_WRONLY, 0644, &f);
	return r < 0 ? r : nfs_close(user, f);
}

static void a_closed_directory_takes_no_new_name(void)
{
	begin();
	EXPECT(user, -EACCES, create("/perm/closed/f"));
	EXPECT(user, -EACCES, nfs_mkdir(user, "/perm/closed/d"));
	EXPECT(user, -EACCES, nfs_symlink(user, "t", "/perm/closed/l"));
	EXPECT(user, -EACCES, nfs_link(user, "/perm/sticky/mine", "/perm/closed/h"));
	EXPECT(user, -EACCES, nfs_rename(user, "/perm/sticky/mine", "/perm/closed/r"));
	if (nfs_where.version == 3) /* libnfs makes no fifo over v4 */
		EXPECT(user, -EACCES, nfs_mknod(user, "/perm/closed/p", S_IFIFO | 0600, 0));
	EQUAL(nfs_count(root, "/perm/closed"), 2);
}

static void a_closed_directory_gives_no_name_away(void)
{
	begin();
	OK(root, nfs_mkdir(root, "/perm/closed/sub"));
	EXPECT(user, -EACCES, nfs_unlink(user, "/perm/closed/mine"));
	EXPECT(user, -EACCES, nfs_rmdir(user, "/perm/closed/sub"));
	EXPECT(user, -EACCES, nfs_rename(user, "/perm/closed/mine", "/perm/open/m"));
	EXPECT(user, -EACCES, nfs_rename(user, "/perm/closed/mine", "/perm/closed/m"));
	EQUAL(nfs_count(root, "/perm/closed"), 3);
}

static void an_open_directory_lets_the_caller_do_all(void)
{
	begin();
	OK(user, create("/perm/open/f"));
	EQUAL(nfs_look(root, "/perm/open/f").nfs_uid, 1000);
	EQUAL(nfs_look(root, "/perm/open/f").nfs_gid, 1000);
	OK(user, nfs_mkdir(user, "/perm/open/d"));
	EQUAL(nfs_look(root, "/perm/open/d").nfs_uid, 1000);
	OK(user, nfs_symlink(user, "t", "/perm/open/l"));
	EQUAL(nfs_look(root, "/perm/open/l").nfs_uid, 1000);
	OK(user, nfs_link(user, "/perm/open/f", "/perm/open/h"));
	OK(user, nfs_rename(user, "/perm/open/h", "/perm/open/d/h"));
	OK(user, nfs_unlink(user, "/perm/open/d/h"));
	OK(user, nfs_rmdir(user, "/perm/open/d"));
	if (nfs_where.version == 3)
		OK(user, nfs_mknod(user, "/perm/open/p", S_IFIFO | 0600, 0));
}

static void devices_are_for_root(void)
{
	begin();
	EXPECT_EITHER(user, -EPERM, -EACCES,
		      nfs_mknod(user, "/perm/open/c", S_IFCHR | 0600, (int)makedev(1, 3)));
	EXPECT_EITHER(user, -EPERM, -EACCES,
		      nfs_mknod(user, "/perm/open/b", S_IFBLK | 0600, (int)makedev(8, 0)));
	EQUAL(nfs_count(root, "/perm/open"), 0);
}

static void a_sticky_directory_protects_the_files_of_others(void)
{
	begin();
	EXPECT_EITHER(user, -EPERM, -EACCES, nfs_unlink(user, "/perm/sticky/root"));
	EXPECT_EITHER(user, -EPERM, -EACCES,
		      nfs_rename(user, "/perm/sticky/root", "/perm/sticky/x"));
	EXPECT_EITHER(user, -EPERM, -EACCES, nfs_rename(user, "/perm/sticky/root", "/perm/open/x"));
	EXPECT_EITHER(user, -EPERM, -EACCES,
		      nfs_rename(user, "/perm/sticky/mine", "/perm/sticky/root")); /* replaces it */
	OK(user, nfs_rename(user, "/perm/sticky/mine", "/perm/sticky/mine2"));
	OK(user, nfs_unlink(user, "/perm/sticky/mine2"));
	EQUAL(nfs_count(root, "/perm/sticky"), 1);
}

static void supplementary_groups_count(void)
{
	begin();
	dir("/perm/group", 0770, 0, 2000);
	dir("/perm/foreign", 0770, 0, 2001);
	OK(user, create("/perm/group/f"));
	OK(user, nfs_unlink(user, "/perm/group/f"));
	EXPECT(user, -EACCES, create("/perm/foreign/f"));
}

static void the_first_class_that_fits_decides(void)
{
	begin();
	dir("/perm/owner", 0077, 1000, 1000); /* less for the owner than for all others */
	EXPECT(user, -EACCES, nfs_mkdir(user, "/perm/owner/d"));
	dir("/perm/grp", 0707, 0, 2000);
	EXPECT(user, -EACCES, nfs_mkdir(user, "/perm/grp/d"));
}

static void searching_and_writing_are_both_needed(void)
{
	begin();
	dir("/perm/nox", 0776, 0, 0);
	EXPECT(user, -EACCES, nfs_mkdir(user, "/perm/nox/d"));
}

static void a_setgid_directory_hands_its_group_on(void)
{
	begin();
	dir("/perm/sgid", 02777, 0, 2000);
	OK(user, create("/perm/sgid/f"));
	EQUAL(nfs_look(root, "/perm/sgid/f").nfs_gid, 2000);
	OK(user, nfs_mkdir(user, "/perm/sgid/d"));
	EQUAL(nfs_look(root, "/perm/sgid/d").nfs_gid, 2000);
	TRUE_(nfs_look(root, "/perm/sgid/d").nfs_mode & S_ISGID);
}

static void owners_and_modes_are_their_owners(void)
{
	begin();
	EXPECT_EITHER(user, -EPERM, -EACCES, nfs_chmod(user, "/perm/sticky/root", 0777));
	EXPECT_EITHER(user, -EPERM, -EACCES, nfs_chown(user, "/perm/sticky/mine", 0, 1000));
	EXPECT_EITHER(user, -EPERM, -EACCES, nfs_chown(user, "/perm/sticky/root", 1000, 1000));
	OK(user, nfs_chmod(user, "/perm/sticky/mine", 0600));
	OK(user, nfs_chown(user, "/perm/sticky/mine", 1000, 2000));
}

static void content_of_others_is_not_truncated(void)
{
	struct nfsfh *f;
	size_t len;
	begin();
	file("/perm/open/ro", 0644, 0, 0);
	TRUE_(nfs_open(user, "/perm/open/ro", O_WRONLY, &f) < 0);
	TRUE_(nfs_open(user, "/perm/open/ro", O_WRONLY | O_TRUNC, &f) < 0);
	TRUE_(nfs_truncate(user, "/perm/open/ro", 0) < 0);
	free(nfs_take(root, "/perm/open/ro", &len));
	EQUAL(len, 4);
}

static void a_directory_of_others_keeps_its_parent(void)
{
	begin();
	dir("/perm/open/theirs", 0755, 0, 0);
	OK(user, nfs_mkdir(user, "/perm/open/mine"));
	/* renaming in place needs the parent, moving needs the directory as well */
	OK(user, nfs_rename(user, "/perm/open/theirs", "/perm/open/theirs2"));
	EXPECT(user, -EACCES, nfs_rename(user, "/perm/open/theirs2", "/perm/open/mine/t"));
}

static const struct nfs_case cases[] = {
    {"a closed directory takes no new name", a_closed_directory_takes_no_new_name, 0},
    {"a closed directory gives no name away", a_closed_directory_gives_no_name_away, 0},
    {"an open directory lets the caller do all", an_open_directory_lets_the_caller_do_all, 0},
    {"devices are for root", devices_are_for_root, 0},
    {"a sticky directory protects the files of others",
     a_sticky_directory_protects_the_files_of_others, 0},
    {"supplementary groups count", supplementary_groups_count, 0},
    {"the first class that fits decides", the_first_class_that_fits_decides, 0},
    {"searching and writing are both needed", searching_and_writing_are_both_needed, 0},
    {"a setgid directory hands its group on", a_setgid_directory_hands_its_group_on, 0},
    /* over v4 this client opens what it changes, and counts wrong when that is refused */
    {"owners and modes are their owners'", owners_and_modes_are_their_owners, 3},
    {"content of others is not truncated", content_of_others_is_not_truncated, 0},
    {"a directory of others keeps its parent", a_directory_of_others_keeps_its_parent, 0},
};

int main(int argc, char **argv)
{
	return nfs_test_main(argc, argv, cases, COUNT(cases));
}
