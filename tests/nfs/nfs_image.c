/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a client does to the content its root came with, over NFSv3 and NFSv4.0: on a root with an
 * image below each of these is the moment a file is brought up, hidden or moved. Changes the root:
 * run.sh resets it before each run and says what it holds (make_image).
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "nfs_test.h"

static struct nfs_context *root_client(void)
{
	static struct nfs_context *nfs;
	if (!nfs)
		nfs = nfs_client(0, 0, NULL, 0);
	return nfs;
}

static void expect_content(struct nfs_context *nfs, const char *path, const char *want)
{
	size_t len;
	char *got = nfs_take(nfs, path, &len);
	if (len != strlen(want) || memcmp(got, want, len) != 0)
		nfs_fail(__FILE__, __LINE__, "'%s' holds '%s', want '%s'", path, got, want);
	free(got);
}

/* Another client's look, so that the first one's caches do not answer. */
static struct nfs_stat_64 fresh_look(const char *path)
{
	struct nfs_context *nfs = nfs_client(0, 0, NULL, 0);
	struct nfs_stat_64 st = nfs_look(nfs, path);
	nfs_destroy_context(nfs);
	return st;
}

static void a_changed_file_stays_the_same_file(void)
{
	struct nfs_context *nfs = root_client();
	struct nfs_stat_64 before = nfs_look(nfs, "/tree/d1/f1"), after;
	nfs_put(nfs, "/tree/d1/f1", 0644, "changed\n", 8);
	after = fresh_look("/tree/d1/f1");
	EQUAL(after.nfs_ino, before.nfs_ino);
	EQUAL(after.nfs_dev, before.nfs_dev);
	EQUAL(after.nfs_size, 8);
	EQUAL(after.nfs_mode, before.nfs_mode);
	expect_content(nfs, "/tree/d1/f1", "changed\n");
	before = nfs_look(nfs, "/tree/d1/f2");
	OK(nfs, nfs_chmod(nfs, "/tree/d1/f2", 0600));
	after = fresh_look("/tree/d1/f2");
	EQUAL(after.nfs_ino, before.nfs_ino);
	EQUAL(after.nfs_mode & 07777, 0600);
	EQUAL(after.nfs_mtime, before.nfs_mtime);
	expect_content(nfs, "/tree/d1/f2", "2\n");
	OK(nfs, nfs_truncate(nfs, "/tree/d1/f3", 1));
	expect_content(nfs, "/tree/d1/f3", "3");
	EQUAL(nfs_count(nfs, "/tree/d1"), 6);
}

/* The reader's open is of the image's file, the writer makes a copy of it. */
static void a_file_open_for_reading_shows_what_others_write(void)
{
	struct nfs_context *nfs = root_client(), *other = nfs_client(0, 0, NULL, 0);
	struct nfsfh *f;
	char buf[16];
	OK(nfs, nfs_open(nfs, "/tree/d2/f1", O_RDONLY, &f));
	EQUAL(nfs_pread(nfs, f, 0, sizeof(buf), buf), 2);
	nfs_put(other, "/tree/d2/f1", 0644, "fresh\n", 6);
	EQUAL(nfs_pread(nfs, f, 0, sizeof(buf), buf), 6);
	TRUE_(!memcmp(buf, "fresh\n", 6));
	OK(nfs, nfs_close(nfs, f));
	nfs_destroy_context(other);
}

/* run.sh: links/a and links/b are one file, links/far/c too. */
static void links_of_the_image_share_what_is_written(void)
{
	struct nfs_context *nfs = root_client();
	struct nfs_stat_64 a = nfs_look(nfs, "/links/a");
	EQUAL(a.nfs_nlink, 3);
	EQUAL(nfs_look(nfs, "/links/b").nfs_ino, a.nfs_ino);
	EQUAL(nfs_look(nfs, "/links/far/c").nfs_ino, a.nfs_ino);
	nfs_put(nfs, "/links/b", 0644, "through b\n", 10);
	expect_content(nfs, "/links/a", "through b\n");
	expect_content(nfs, "/links/far/c", "through b\n");
	EQUAL(nfs_look(nfs, "/links/far/c").nfs_ino, a.nfs_ino);
	OK(nfs, nfs_unlink(nfs, "/links/a"));
	EQUAL(nfs_look(nfs, "/links/b").nfs_nlink, 2);
	OK(nfs, nfs_link(nfs, "/links/far/c", "/links/d"));
	EQUAL(nfs_look(nfs, "/links/b").nfs_nlink, 3);
	EQUAL(nfs_look(nfs, "/links/d").nfs_ino, a.nfs_ino);
	OK(nfs, nfs_rename(nfs, "/links/b", "/links/far/b"));
	nfs_put(nfs, "/links/d", 0644, "through d\n", 10);
	expect_content(nfs, "/links/far/b", "through d\n");
	EQUAL(nfs_count(nfs, "/links"), 2);
	EQUAL(nfs_count(nfs, "/links/far"), 2);
}

static void a_moved_directory_takes_everything_along(void)
{
	struct nfs_context *nfs = root_client();
	uint64_t dir = nfs_look(nfs, "/tree/d3").nfs_ino, file;
	file = nfs_look(nfs, "/tree/d3/f1").nfs_ino;
	OK(nfs, nfs_mkdir(nfs, "/place"));
	OK(nfs, nfs_rename(nfs, "/tree/d3", "/place/moved"));
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/tree/d3/f1", &(struct nfs_stat_64){0}));
	EQUAL(nfs_look(nfs, "/place/moved").nfs_ino, dir);
	EQUAL(nfs_look(nfs, "/place/moved/f1").nfs_ino, file);
	EQUAL(nfs_count(nfs, "/place/moved"), 5);
	expect_content(nfs, "/place/moved/f1", "1\n");
	nfs_put(nfs, "/place/moved/f1", 0644, "moved\n", 6);
	expect_content(nfs, "/place/moved/f1", "moved\n");
	EQUAL(nfs_look(nfs, "/place/moved/f1").nfs_ino, file);
	/* a new one at its old place is empty, and no relation */
	OK(nfs, nfs_mkdir(nfs, "/tree/d3"));
	EQUAL(nfs_count(nfs, "/tree/d3"), 0);
	TRUE_(nfs_look(nfs, "/tree/d3").nfs_ino != dir);
	EQUAL(nfs_count(nfs, "/tree"), 5);
}

static void a_moved_file_leaves_its_name_free(void)
{
	struct nfs_context *nfs = root_client();
	uint64_t ino = nfs_look(nfs, "/tree/d4/f1").nfs_ino;
	OK(nfs, nfs_rename(nfs, "/tree/d4/f1", "/tree/d5/f1")); /* over another of the image */
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/tree/d4/f1", &(struct nfs_stat_64){0}));
	EQUAL(nfs_look(nfs, "/tree/d5/f1").nfs_ino, ino);
	EQUAL(nfs_count(nfs, "/tree/d4"), 4);
	EQUAL(nfs_count(nfs, "/tree/d5"), 5);
	OK(nfs, nfs_symlink(nfs, "elsewhere", "/tree/d4/f1"));
	TRUE_(S_ISLNK(nfs_look(nfs, "/tree/d4/f1").nfs_mode));
	OK(nfs, nfs_unlink(nfs, "/tree/d4/f1"));
	OK(nfs, nfs_mkdir(nfs, "/tree/d4/f1"));
	EQUAL(nfs_count(nfs, "/tree/d4/f1"), 0);
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/tree/d4/f1/x", &(struct nfs_stat_64){0}));
}

/* As `rm -r` does it: names vanish behind the cookie of the listing. */
static void a_big_directory_is_emptied_while_it_is_listed(void)
{
	struct nfs_context *nfs = root_client();
	struct nfsdir *d;
	const struct nfsdirent *e;
	char path[300];
	size_t seen = 0;
	OK(nfs, nfs_opendir(nfs, "/some", &d));
	while ((e = nfs_readdir(nfs, d))) {
		if (e->name[0] == '.')
			continue;
		if (seen++ % 2)
			continue;
		(void)snprintf(path, sizeof(path), "/some/%s", e->name);
		OK(nfs, nfs_unlink(nfs, path));
		(void)snprintf(path, sizeof(path), "/some/new-%s", e->name);
		nfs_put(nfs, path, 0644, "", 0);
	}
	nfs_closedir(nfs, d);
	EQUAL(seen, 600);
	EQUAL(nfs_count(nfs, "/some"), 600);
	EXPECT_EITHER(nfs, -ENOTEMPTY, -EEXIST, nfs_rmdir(nfs, "/some"));
	nfs_wipe(nfs, "/some");
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/some", &(struct nfs_stat_64){0}));
	OK(nfs, nfs_mkdir(nfs, "/some"));
	EQUAL(nfs_count(nfs, "/some"), 0);
	nfs_put(nfs, "/some/f001", 0644, "mine", 4);
	EQUAL(nfs_count(nfs, "/some"), 1);
	expect_content(nfs, "/some/f001", "mine");
}

/* The kernel's format marks a removed name by a device 0/0: a client must not see or make one. */
static void a_removed_name_is_nothing_at_all(void)
{
	struct nfs_context *nfs = root_client();
	struct nfs_stat_64 st;
	OK(nfs, nfs_unlink(nfs, "/hello"));
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/hello", &st));
	EXPECT(nfs, -ENOENT, nfs_unlink(nfs, "/hello"));
	EXPECT(nfs, -ENOENT, nfs_rename(nfs, "/hello", "/hello2"));
	EXPECT(nfs, -ENOENT, nfs_link(nfs, "/hello", "/hello2"));
	TRUE_(nfs_mknod(nfs, "/zero", S_IFCHR | 0600, 0) < 0);
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/zero", &st));
	nfs_put(nfs, "/hello", 0600, "again", 5);
	expect_content(nfs, "/hello", "again");
}

static const struct nfs_case cases[] = {
    {"a changed file stays the same file", a_changed_file_stays_the_same_file, 0},
    {"a file open for reading shows what others write",
     a_file_open_for_reading_shows_what_others_write, 0},
    {"links of the image share what is written", links_of_the_image_share_what_is_written, 0},
    {"a moved directory takes everything along", a_moved_directory_takes_everything_along, 0},
    {"a moved file leaves its name free", a_moved_file_leaves_its_name_free, 0},
    {"a big directory is emptied while it is listed", a_big_directory_is_emptied_while_it_is_listed,
     0},
    {"a removed name is nothing at all", a_removed_name_is_nothing_at_all, 0},
};

int main(int argc, char **argv)
{
	return nfs_test_main(argc, argv, cases, COUNT(cases));
}
