/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * statfs(2), pathconf(3), limits.
 */
#include "posix.h"

#include <sys/statvfs.h>
#include <sys/vfs.h>

static void statfs_is_sane(void)
{
	struct statfs s;
	OK(statfs(".", &s));
	EQ(s.f_namelen, 255);
	IS(s.f_bsize >= 512 && s.f_bsize <= 1 << 20);
	IS(s.f_blocks > 0);
	IS(s.f_bavail <= s.f_bfree && s.f_bfree <= s.f_blocks);
	IS(s.f_files > 0);
	IS(s.f_ffree <= s.f_files);
}

static void statfs_is_one_file_system(void)
{
	struct statfs a, b;
	OK(statfs(".", &a));
	OK(statfs("tree/a/b/f", &b));
	EQ(a.f_blocks, b.f_blocks);
	EQ(a.f_type, b.f_type);
	EQ(a.f_files, b.f_files);
	IS(memcmp(&a.f_fsid, &b.f_fsid, sizeof(a.f_fsid)) == 0);
	OK(fstatfs(FD(open("tree", O_RDONLY)), &b));
	EQ(a.f_blocks, b.f_blocks);
}

static void statfs_shows_use(void)
{
	struct statvfs a, b;
	OK(statvfs(".", &a));
	int fd = FD(open("new", O_CREAT | O_RDWR, 0644));
	OK(fallocate(fd, 0, 0, 8 << 20));
	OK(statvfs(".", &b));
	IS((a.f_bfree - b.f_bfree) * a.f_frsize >= 8 << 20);
	OK(close(fd));
	OK(unlink("new"));
	OK(statvfs(".", &b));
	IS((a.f_bfree - b.f_bfree) * a.f_frsize < 8 << 20 || b.f_bfree >= a.f_bfree);
}

static void statfs_counts_inodes(void)
{
	struct statvfs a, b;
	char name[8];
	OK(mkdir("d", 0755));
	OK(statvfs(".", &a));
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		put(name, "");
	}
	OK(statvfs(".", &b));
	/* What earlier checks removed may be given back only now. */
	IS(a.f_ffree > b.f_ffree && a.f_ffree - b.f_ffree <= 20);
}

static void statfs_errors(void)
{
	struct statfs s;
	FAILS(ENOENT, statfs("nothing", &s));
	FAILS(ENOTDIR, statfs("file/x", &s));
	as_user(ANN, STAFF) OK(statfs("file", &s));
}

static void statfs_of_an_unlinked_file(void)
{
	struct statfs s;
	int fd = FD(open("file", O_RDONLY));
	OK(unlink("file"));
	OK(fstatfs(fd, &s));
	EQ(s.f_namelen, 255);
}

static void pathconf_limits(void)
{
	EQ(pathconf(".", _PC_NAME_MAX), 255);
	EQ(pathconf("file", _PC_NO_TRUNC), 1);
	EQ(pathconf("file", _PC_CHOWN_RESTRICTED), 1);
}

static const struct check checks[] = {
    CHECK(statfs_is_sane, 0),	       CHECK(statfs_is_one_file_system, NEED_TREE),
    CHECK(statfs_shows_use, 0),	       CHECK(statfs_counts_inodes, 0),
    CHECK(statfs_errors, NEED_FILE),   CHECK(statfs_of_an_unlinked_file, NEED_FILE),
    CHECK(pathconf_limits, NEED_FILE),
};
TOPIC(statfs);
