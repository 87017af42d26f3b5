/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What every client does, over NFSv3 and NFSv4.0: names, data, attributes, directories, locks.
 * The export's root holds what run.sh puts into the test image: /big with 5000 files, /tree.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "nfs_test.h"

#define BIG 5000

static struct nfs_context *root_client(void)
{
	static struct nfs_context *nfs;
	if (!nfs)
		nfs = nfs_client(0, 0, NULL, 0);
	return nfs;
}

/* An empty directory for one case. */
static struct nfs_context *begin(const char *dir)
{
	struct nfs_context *nfs = root_client();
	nfs_wipe(nfs, dir);
	OK(nfs, nfs_mkdir(nfs, dir));
	return nfs;
}

static size_t walk(struct nfs_context *nfs, const char *path)
{
	struct nfsdir *d;
	const struct nfsdirent *e;
	char sub[1024];
	size_t n = 0;
	OK(nfs, nfs_opendir(nfs, path, &d));
	while ((e = nfs_readdir(nfs, d))) {
		if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
			continue;
		n++;
		(void)snprintf(sub, sizeof(sub), "%s/%s", path, e->name);
		if (S_ISDIR(nfs_look(nfs, sub).nfs_mode))
			n += walk(nfs, sub);
	}
	nfs_closedir(nfs, d);
	return n;
}

static void a_walk_sees_every_entry(void)
{
	/* run.sh: tree/d1..d5, each with f1..f4 and a link; tree/d1/d2/d3 */
	EQUAL(walk(root_client(), "/tree"), 5 + 5 * 5 + 2);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void five_thousand_entries_are_listed_once_each(void)
{
	struct nfs_context *nfs = root_client();
	static char *seen[BIG + 8];
	struct nfsdir *d;
	const struct nfsdirent *e;
	size_t n = 0;
	OK(nfs, nfs_opendir(nfs, "/big", &d));
	while ((e = nfs_readdir(nfs, d)))
		if (e->name[0] != '.' && n < COUNT(seen))
			seen[n++] = strdup(e->name);
	nfs_closedir(nfs, d);
	EQUAL(n, BIG);
	qsort(seen, n, sizeof(*seen), by_name);
	for (size_t i = 0; i < n; i++) {
		char want[32];
		(void)snprintf(want, sizeof(want), "f%04zu", i);
		if (strcmp(seen[i], want) != 0)
			nfs_fail(__FILE__, __LINE__, "entry %zu is '%s', want '%s'", i, seen[i],
				 want);
		free(seen[i]);
	}
}

static void written_data_reads_back(void)
{
	struct nfs_context *nfs = begin("/data");
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 1 << 20, (1 << 20) + 13, 3 << 20};
	char *out = malloc(3 << 20);
	TRUE_(out);
	for (size_t i = 0; i < (size_t)3 << 20; i++)
		out[i] = (char)(i * 2654435761u >> 24);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t len;
		nfs_put(nfs, "/data/f", 0644, out, sizes[i]);
		char *in = nfs_take(nfs, "/data/f", &len);
		EQUAL(len, sizes[i]);
		TRUE_(!memcmp(in, out, len));
		free(in);
		OK(nfs, nfs_unlink(nfs, "/data/f"));
	}
	free(out);
}

static void holes_read_as_zeros_and_truncation_holds(void)
{
	struct nfs_context *nfs = begin("/holes");
	struct nfsfh *f;
	char buf[64];
	OK(nfs, nfs_open2(nfs, "/holes/f", O_CREAT | O_RDWR, 0600, &f));
	EQUAL(nfs_pwrite(nfs, f, 10 << 20, 3, "end"), 3);
	EQUAL(nfs_pread(nfs, f, 5 << 20, sizeof(buf), buf), sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		EQUAL(buf[i], 0);
	EQUAL(nfs_look(nfs, "/holes/f").nfs_size, (10 << 20) + 3);
	OK(nfs, nfs_ftruncate(nfs, f, 7));
	EQUAL(nfs_look(nfs, "/holes/f").nfs_size, 7);
	OK(nfs, nfs_close(nfs, f));
	/* By path it opens and closes the file, which with this client ends every other open. */
	OK(nfs, nfs_truncate(nfs, "/holes/f", 100));
	EQUAL(nfs_look(nfs, "/holes/f").nfs_size, 100);
	OK(nfs, nfs_open(nfs, "/holes/f", O_RDONLY, &f));
	EQUAL(nfs_pread(nfs, f, 90, sizeof(buf), buf), 10);
	OK(nfs, nfs_close(nfs, f));
	EXPECT_EITHER(nfs, -EISDIR, -EINVAL, nfs_truncate(nfs, "/holes", 0));
}

static void exclusive_create_happens_once(void)
{
	struct nfs_context *nfs = begin("/excl");
	struct nfsfh *f;
	OK(nfs, nfs_open2(nfs, "/excl/f", O_CREAT | O_EXCL | O_WRONLY, 0640, &f));
	OK(nfs, nfs_close(nfs, f));
	EXPECT(nfs, -EEXIST, nfs_open2(nfs, "/excl/f", O_CREAT | O_EXCL | O_WRONLY, 0640, &f));
	EXPECT(nfs, -EEXIST, nfs_mkdir(nfs, "/excl/f"));
	EXPECT(nfs, -EEXIST, nfs_symlink(nfs, "x", "/excl/f"));
	nfs_put(nfs, "/excl/f", 0777, "abc", 3);
	/* without EXCL it opens what is there, with its content and mode (nfs_v42 does it over v4)
	 */
	if (nfs_where.version == 3) {
		OK(nfs, nfs_open2(nfs, "/excl/f", O_CREAT | O_RDONLY, 0777, &f));
		OK(nfs, nfs_close(nfs, f));
	}
	EQUAL(nfs_look(nfs, "/excl/f").nfs_mode & 07777, 0640);
	EQUAL(nfs_look(nfs, "/excl/f").nfs_size, 3);
}

static void rename_moves_and_replaces(void)
{
	struct nfs_context *nfs = begin("/ren");
	size_t len;
	OK(nfs, nfs_mkdir(nfs, "/ren/a"));
	OK(nfs, nfs_mkdir(nfs, "/ren/b"));
	OK(nfs, nfs_mkdir(nfs, "/ren/empty"));
	nfs_put(nfs, "/ren/a/f", 0644, "one", 3);
	nfs_put(nfs, "/ren/b/g", 0644, "two", 3);
	OK(nfs, nfs_rename(nfs, "/ren/a/f", "/ren/b/g")); /* another directory, over a file */
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/ren/a/f", &(struct nfs_stat_64){0}));
	char *s = nfs_take(nfs, "/ren/b/g", &len);
	TRUE_(len == 3 && !memcmp(s, "one", 3));
	free(s);
	EXPECT(nfs, -ENOENT, nfs_rename(nfs, "/ren/nothing", "/ren/x"));
	EXPECT_EITHER(nfs, -ENOTEMPTY, -EEXIST, nfs_rename(nfs, "/ren/a", "/ren/b"));
	EXPECT_EITHER(nfs, -EISDIR, -EEXIST, nfs_rename(nfs, "/ren/b/g", "/ren/a"));
	EXPECT_EITHER(nfs, -ENOTDIR, -EEXIST, nfs_rename(nfs, "/ren/a", "/ren/b/g"));
	EXPECT(nfs, -EINVAL, nfs_rename(nfs, "/ren/b", "/ren/b/sub")); /* into itself */
	OK(nfs, nfs_rename(nfs, "/ren/b", "/ren/empty"));	       /* over an empty one */
	EQUAL(nfs_count(nfs, "/ren/empty"), 1);
	OK(nfs, nfs_rename(nfs, "/ren/empty", "/ren/a/moved")); /* to another parent */
	EQUAL(nfs_count(nfs, "/ren/a/moved"), 1);
	EQUAL(nfs_count(nfs, "/ren"), 1);
}

static void hard_links_share_one_file(void)
{
	struct nfs_context *nfs = begin("/lnk");
	size_t len;
	nfs_put(nfs, "/lnk/a", 0644, "x", 1);
	struct nfs_stat_64 before = nfs_look(nfs, "/lnk");
	OK(nfs, nfs_link(nfs, "/lnk/a", "/lnk/b"));
	struct nfs_stat_64 after = nfs_look(nfs, "/lnk");
	EQUAL(before.nfs_mtime != after.nfs_mtime || before.nfs_mtime_nsec != after.nfs_mtime_nsec,
	      1);
	struct nfs_stat_64 a = nfs_look(nfs, "/lnk/a"), b = nfs_look(nfs, "/lnk/b");
	EQUAL(a.nfs_ino, b.nfs_ino);
	EQUAL(a.nfs_nlink, 2);
	EXPECT(nfs, -EEXIST, nfs_link(nfs, "/lnk/a", "/lnk/b"));
	nfs_put(nfs, "/lnk/b", 0644, "yz", 2);
	free(nfs_take(nfs, "/lnk/a", &len));
	EQUAL(len, 2);
	OK(nfs, nfs_unlink(nfs, "/lnk/a"));
	EQUAL(nfs_look(nfs, "/lnk/b").nfs_nlink, 1);
}

static void symlinks_keep_target_and_times(void)
{
	struct nfs_context *nfs = begin("/sym");
	struct timeval tv[2] = {{.tv_sec = 1111111111}, {.tv_sec = 1222222222}};
	char target[4097], back[4200] = "";
	OK(nfs, nfs_symlink(nfs, "../some/where", "/sym/l"));
	OK(nfs, nfs_readlink(nfs, "/sym/l", back, sizeof(back)));
	/* over v4 this client leaves bytes of its buffer behind the target */
	TRUE_(!strncmp(back, "../some/where", 13));
	TRUE_(S_ISLNK(nfs_look(nfs, "/sym/l").nfs_mode));
	if (nfs_where.version == 3) { /* over v4 this client follows the link */
		OK(nfs, nfs_lutimes(nfs, "/sym/l", tv));
		EQUAL(nfs_look(nfs, "/sym/l").nfs_mtime, 1222222222);
		OK(nfs, nfs_lchown(nfs, "/sym/l", 7, 8));
		EQUAL(nfs_look(nfs, "/sym/l").nfs_uid, 7);
	}
	memset(target, 'a', 1000);
	for (size_t i = 200; i < 1000; i += 200)
		target[i] = '/';
	target[1000] = '\0';
	OK(nfs, nfs_symlink(nfs, target, "/sym/long"));
	OK(nfs, nfs_readlink(nfs, "/sym/long", back, sizeof(back)));
	TRUE_(!strncmp(back, target, strlen(target)));
}

static void special_files_keep_type_and_number(void)
{
	struct nfs_context *nfs = begin("/dev2");
	OK(nfs, nfs_mknod(nfs, "/dev2/c", S_IFCHR | 0620, (int)makedev(4, 7)));
	OK(nfs, nfs_mknod(nfs, "/dev2/b", S_IFBLK | 0660, (int)makedev(8, 1)));
	TRUE_(S_ISCHR(nfs_look(nfs, "/dev2/c").nfs_mode));
	TRUE_(S_ISBLK(nfs_look(nfs, "/dev2/b").nfs_mode));
	EQUAL(nfs_look(nfs, "/dev2/c").nfs_mode & 07777, 0620);
	if (nfs_where.version == 4)
		return; /* this client asks neither for the rest nor for device numbers */
	EQUAL(nfs_look(nfs, "/dev2/b").nfs_rdev, makedev(8, 1));
	OK(nfs, nfs_mknod(nfs, "/dev2/p", S_IFIFO | 0600, 0));
	OK(nfs, nfs_mknod(nfs, "/dev2/s", S_IFSOCK | 0600, 0));
	TRUE_(S_ISFIFO(nfs_look(nfs, "/dev2/p").nfs_mode));
	TRUE_(S_ISSOCK(nfs_look(nfs, "/dev2/s").nfs_mode));
}

static void removal_asks_for_the_right_type(void)
{
	struct nfs_context *nfs = begin("/rm");
	OK(nfs, nfs_mkdir(nfs, "/rm/d"));
	nfs_put(nfs, "/rm/d/f", 0644, "", 0);
	EXPECT_EITHER(nfs, -ENOTEMPTY, -EEXIST, nfs_rmdir(nfs, "/rm/d"));
	if (nfs_where.version == 3) { /* v4 has one REMOVE for both */
		EXPECT_EITHER(nfs, -EISDIR, -EPERM, nfs_unlink(nfs, "/rm/d"));
		EXPECT(nfs, -ENOTDIR, nfs_rmdir(nfs, "/rm/d/f"));
	}
	OK(nfs, nfs_unlink(nfs, "/rm/d/f"));
	EXPECT(nfs, -ENOENT, nfs_unlink(nfs, "/rm/d/f"));
	OK(nfs, nfs_rmdir(nfs, "/rm/d"));
	EQUAL(nfs_count(nfs, "/rm"), 0);
}

static void attributes_stay_as_set(void)
{
	struct nfs_context *nfs = begin("/attr");
	struct timeval tv[2] = {{.tv_sec = 1000000000, .tv_usec = 250000},
				{.tv_sec = 1500000000, .tv_usec = 750000}};
	nfs_put(nfs, "/attr/f", 0644, "data", 4);
	OK(nfs, nfs_chown(nfs, "/attr/f", 1234, 4321));
	OK(nfs, nfs_chmod(nfs, "/attr/f", 06755));
	OK(nfs, nfs_utimes(nfs, "/attr/f", tv));
	struct nfs_stat_64 st = nfs_look(nfs, "/attr/f");
	EQUAL(st.nfs_mode & 07777, 06755);
	EQUAL(st.nfs_uid, 1234);
	EQUAL(st.nfs_gid, 4321);
	EQUAL(st.nfs_atime, 1000000000);
	EQUAL(st.nfs_mtime, 1500000000);
	if (nfs_where.version == 3) { /* over v4 this client wants to open what it changes */
		OK(nfs, nfs_chmod(nfs, "/attr", 01777));
		EQUAL(nfs_look(nfs, "/attr").nfs_mode & 07777, 01777);
	}
}

static void names_of_255_bytes_work_and_256_do_not(void)
{
	struct nfs_context *nfs = begin("/name");
	char path[300] = "/name/";
	memset(path + 6, 'n', 255);
	path[6 + 255] = '\0';
	nfs_put(nfs, path, 0644, "x", 1);
	EQUAL(nfs_look(nfs, path).nfs_size, 1);
	path[6 + 255] = 'n';
	path[6 + 256] = '\0';
	EXPECT(nfs, -ENAMETOOLONG, nfs_mkdir(nfs, path));
	nfs_put(nfs, "/name/\xff\xfe \\\"\t", 0644, "odd", 3);
	EQUAL(nfs_count(nfs, "/name"), 2);
}

static void statfs_tells_space_and_names(void)
{
	struct nfs_context *nfs = root_client();
	struct statvfs v;
	OK(nfs, nfs_statvfs(nfs, "/", &v));
	TRUE_(v.f_blocks > 0 && v.f_bavail > 0 && v.f_bavail <= v.f_blocks);
}

static void changes_of_one_client_show_at_the_other(void)
{
	struct nfs_context *nfs = begin("/two"), *other = nfs_client(0, 0, NULL, 0);
	nfs_put(nfs, "/two/f", 0644, "1", 1);
	EQUAL(nfs_look(other, "/two/f").nfs_size, 1);
	nfs_put(other, "/two/f", 0644, "22", 2);
	EQUAL(nfs_look(nfs, "/two/f").nfs_size, 2);
	OK(other, nfs_rename(other, "/two/f", "/two/g"));
	EXPECT(nfs, -ENOENT, nfs_lstat64(nfs, "/two/f", &(struct nfs_stat_64){0}));
	EQUAL(nfs_count(nfs, "/two"), 1);
	nfs_destroy_context(other);
}

static void an_open_file_outlives_its_name(void)
{
	struct nfs_context *nfs = begin("/gone"), *other = nfs_client(0, 0, NULL, 0);
	struct nfsfh *f;
	char buf[8];
	OK(nfs, nfs_open2(nfs, "/gone/f", O_CREAT | O_RDWR, 0600, &f));
	EQUAL(nfs_pwrite(nfs, f, 0, 4, "keep"), 4);
	OK(other, nfs_unlink(other, "/gone/f"));
	EQUAL(nfs_pread(nfs, f, 0, sizeof(buf), buf), 4);
	TRUE_(!memcmp(buf, "keep", 4));
	EQUAL(nfs_pwrite(nfs, f, 4, 1, "!"), 1);
	OK(nfs, nfs_close(nfs, f));
	EQUAL(nfs_count(nfs, "/gone"), 0);
	nfs_destroy_context(other);
}

static int lock(struct nfs_context *nfs, struct nfsfh *f, int type, uint64_t start, uint64_t len)
{
	struct nfs4_flock fl = {
	    .l_type = type, .l_whence = SEEK_SET, .l_pid = 1, .l_start = start, .l_len = len};
	return nfs_fcntl(nfs, f, NFS4_F_SETLK, &fl);
}

/* A client of its own for each lock that is refused: after that error this one counts its requests
 * wrong, and the server takes the next for a repetition. */
static int lock_of_another(int type, uint64_t start, uint64_t len)
{
	struct nfs_context *nfs = nfs_client(0, 0, NULL, 0);
	struct nfsfh *f;
	OK(nfs, nfs_open(nfs, "/lock/f", O_RDWR, &f));
	int r = lock(nfs, f, type, start, len);
	(void)nfs_close(nfs, f);
	nfs_destroy_context(nfs);
	return r;
}

static void locks_exclude_and_are_given_back(void)
{
	struct nfs_context *nfs = begin("/lock");
	struct nfsfh *f;
	OK(nfs, nfs_open2(nfs, "/lock/f", O_CREAT | O_RDWR, 0600, &f));
	OK(nfs, lock(nfs, f, F_WRLCK, 0, 100));
	TRUE_(lock_of_another(F_WRLCK, 50, 10) < 0);
	TRUE_(lock_of_another(F_RDLCK, 99, 1) < 0);
	EQUAL(lock_of_another(F_WRLCK, 100, 10), 0); /* beside it */
	EQUAL(nfs_pwrite(nfs, f, 0, 4, "mine"), 4);  /* I/O goes on under a lock */
	OK(nfs, lock(nfs, f, F_UNLCK, 0, 100));
	EQUAL(lock_of_another(F_WRLCK, 50, 10), 0);
	(void)nfs_close(nfs, f); /* it counts its requests wrong after any lock */
}

static const struct nfs_case cases[] = {
    {"a walk sees every entry", a_walk_sees_every_entry, 0},
    {"five thousand entries are listed once each", five_thousand_entries_are_listed_once_each, 0},
    {"written data reads back", written_data_reads_back, 0},
    {"holes read as zeros and truncation holds", holes_read_as_zeros_and_truncation_holds, 0},
    {"exclusive create happens once", exclusive_create_happens_once, 0},
    {"rename moves and replaces", rename_moves_and_replaces, 0},
    {"hard links share one file", hard_links_share_one_file, 0},
    {"symlinks keep target and times", symlinks_keep_target_and_times, 0},
    {"special files keep type and number", special_files_keep_type_and_number, 0},
    {"removal asks for the right type", removal_asks_for_the_right_type, 0},
    {"attributes stay as set", attributes_stay_as_set, 0},
    {"names of 255 bytes work and 256 do not", names_of_255_bytes_work_and_256_do_not, 0},
    {"statfs tells space and names", statfs_tells_space_and_names, 0},
    {"changes of one client show at the other", changes_of_one_client_show_at_the_other, 0},
    {"an open file outlives its name", an_open_file_outlives_its_name, 4},
    {"locks exclude and are given back", locks_exclude_and_are_given_back, 4},
};

int main(int argc, char **argv)
{
	return nfs_test_main(argc, argv, cases, COUNT(cases));
}
