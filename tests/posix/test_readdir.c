/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Listing directories: complete, once each, also while they change; places; numbers and types.
 */
#include "posix.h"

#include <stdlib.h>
#include <sys/syscall.h>

/* How often each of "000".."MANY+…" was listed; others are counted in *ret_others. */
struct census {
	unsigned char times[2 * MANY];
	unsigned others, dots;
};

static void count(struct census *c, const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		c->dots++;
	else if (*end || n >= sizeof(c->times))
		c->others++;
	else
		c->times[n]++;
}

static DIR *open_dir(const char *path)
{
	DIR *d = opendir(path);
	if (!d)
		fail(HERE, "opendir %s: %s", path, strerrorname_np(errno));
	return d;
}

static void take(DIR *d, struct census *c, unsigned n)
{
	struct dirent *e;
	while (n-- && (e = next(d)))
		count(c, e->d_name);
}

static struct census census_of(const char *path)
{
	struct census c = {0};
	DIR *d = open_dir(path);
	take(d, &c, UINT32_MAX);
	(void)closedir(d);
	return c;
}

static void expect_all(struct here h, const struct census *c, unsigned from, unsigned to,
		       unsigned times)
{
	for (unsigned i = from; i < to; i++)
		if (c->times[i] != times)
			fail(h, "entry %03u: expected %u times, came %u times", i, times,
			     c->times[i]);
}

static char *nth(unsigned i)
{
	static char name[16];
	(void)snprintf(name, sizeof(name), "many/%03u", i);
	return name;
}

static void readdir_lists_all_once(void)
{
	struct census c = census_of("many");
	expect_all(HERE, &c, 0, MANY, 1);
	EQ(c.others, 0);
	EQ(c.dots, 2);
}

static void readdir_of_an_empty_directory(void)
{
	struct census c = census_of("empty");
	EQ(c.dots, 2);
	EQ(c.others, 0);
}

static void readdir_after_changes(void)
{
	for (unsigned i = 0; i < MANY; i += 2)
		OK(unlink(nth(i)));
	for (unsigned i = MANY; i < MANY + 50; i++)
		put(nth(i), "");
	OK(rename("many/001", "many/renamed"));
	struct census c = census_of("many");
	for (unsigned i = 3; i < MANY; i++)
		EQ(c.times[i], i % 2);
	EQ(c.times[1], 0);
	expect_all(HERE, &c, MANY, MANY + 50, 1);
	EQ(c.others, 1);
}

static void readdir_thousands(void)
{
	char name[32];
	OK(mkdir("new", 0755));
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "new/a_rather_long_name_%04d", i);
		OK(mknod(name, S_IFREG | 0644, 0));
	}
	struct census c = census_of("new");
	EQ(c.others, 2000);
}

static void readdir_while_removing(void)
{
	struct census c = {0};
	struct dirent *e;
	DIR *d = open_dir("many");
	while ((e = next(d))) {
		count(&c, e->d_name);
		if (e->d_name[0] != '.')
			OK(unlinkat(dirfd(d), e->d_name, 0)); /* as rm -r */
	}
	expect_all(HERE, &c, 0, MANY, 1);
	OK(closedir(d));
	OK(rmdir("many"));
}

static void readdir_while_removing_others(void)
{
	struct census c = {0};
	DIR *d = open_dir("many");
	take(d, &c, 20);
	for (unsigned i = 0; i < MANY; i += 2)
		OK(unlink(nth(i)));
	take(d, &c, UINT32_MAX);
	for (unsigned i = 1; i < MANY; i += 2)
		EQ(c.times[i], 1);
	for (unsigned i = 0; i < MANY; i += 2)
		IS(c.times[i] <= 1);
	(void)closedir(d);
}

static void readdir_while_making(void)
{
	struct census c = {0};
	DIR *d = open_dir("many");
	take(d, &c, 20);
	for (unsigned i = MANY; i < 2 * MANY; i++)
		put(nth(i), "");
	take(d, &c, UINT32_MAX);
	expect_all(HERE, &c, 0, MANY, 1);
	for (unsigned i = MANY; i < 2 * MANY; i++)
		IS(c.times[i] <= 1);
	(void)closedir(d);
}

static void readdir_while_changing_attributes(void)
{
	struct census c = {0};
	DIR *d = open_dir("many");
	take(d, &c, 50);
	for (unsigned i = 0; i < MANY; i++)
		OK(chown(nth(i), ANN, STAFF)); /* each is copied up */
	take(d, &c, UINT32_MAX);
	expect_all(HERE, &c, 0, MANY, 1);
	(void)closedir(d);
}

static void readdir_rewinds(void)
{
	struct census c = {0}, again = {0};
	DIR *d = open_dir("many");
	take(d, &c, UINT32_MAX);
	put("many/new", "");
	OK(unlink("many/000"));
	rewinddir(d);
	take(d, &again, UINT32_MAX);
	EQ(again.others, 1);
	EQ(again.times[0], 0);
	expect_all(HERE, &again, 1, MANY, 1);
	(void)closedir(d);
}

static void readdir_seeks_back(void)
{
	DIR *d = open_dir("many");
	struct dirent *e;
	static struct {
		long place;
		char name[8];
	} seen[MANY + 2];
	unsigned n = 0;
	for (long place = telldir(d); (e = next(d)); place = telldir(d)) {
		IS(n < MANY + 2);
		seen[n].place = place;
		(void)snprintf(seen[n++].name, sizeof(seen->name), "%.7s", e->d_name);
	}
	EQ(n, MANY + 2);
	for (unsigned i = 0; i < n; i += 7) {
		unsigned k = (i * 37) % n;
		seekdir(d, seen[k].place);
		e = next(d);
		IS(e != NULL);
		if (strcmp(e->d_name, seen[k].name) != 0)
			fail(HERE, "after seekdir to entry %u: expected %s, came %s", k,
			     seen[k].name, e->d_name);
	}
	(void)closedir(d);
}

static void readdir_seeks_after_removals(void)
{
	struct census c = {0};
	DIR *d = open_dir("many");
	take(d, &c, 100);
	long place = telldir(d);
	for (unsigned i = 0; i < MANY; i++)
		if (c.times[i])
			OK(unlink(nth(i)));
	seekdir(d, place);
	take(d, &c, UINT32_MAX);
	expect_all(HERE, &c, 0, MANY, 1);
	(void)closedir(d);
}

static void readdir_numbers_and_types(void)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d = open_dir(".");
	while ((e = next(d))) {
		struct stat st = look(e->d_name);
		if (strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_ino != st.st_ino)
			fail(HERE, "d_ino of %s: expected %ju, came %ju", e->d_name,
			     (uintmax_t)st.st_ino, (uintmax_t)e->d_ino);
		if (e->d_type != IFTODT(st.st_mode))
			fail(HERE, "d_type of %s: expected %d, came %d", e->d_name,
			     IFTODT(st.st_mode), e->d_type);
		n++;
	}
	EQ(n, 10);
	(void)closedir(d);
}

static void readdir_number_of_dotdot(void)
{
	struct dirent *e;
	DIR *d = open_dir("dir");
	while ((e = next(d)))
		if (strcmp(e->d_name, "..") == 0)
			EQ(e->d_ino, look(".").st_ino);
	(void)closedir(d);
}

static void readdir_numbers_after_changes(void)
{
	OK(chmod("file", 0600));
	OK(chmod("dir", 0700));
	OK(rename("fifo", "pipe"));
	OK(lchown("link", ANN, STAFF));
	OK(chmod("hard1", 0600));
	readdir_numbers_and_types();
}

static void readdir_by_two_readers(void)
{
	struct census a = {0}, b = {0};
	DIR *x = open_dir("many"), *y = open_dir("many");
	for (unsigned i = 0; i < 10; i++) {
		take(x, &a, 29);
		take(y, &b, 13);
	}
	take(x, &a, UINT32_MAX);
	take(y, &b, UINT32_MAX);
	expect_all(HERE, &a, 0, MANY, 1);
	expect_all(HERE, &b, 0, MANY, 1);
	(void)closedir(x);
	(void)closedir(y);
}

static void readdir_small_buffer(void)
{
	char buf[16];
	int fd = FD(open("dir", O_RDONLY | O_DIRECTORY));
	FAILS(EINVAL, syscall(SYS_getdents64, fd, buf, sizeof(buf)));
}

static void readdir_of_a_file(void)
{
	char buf[64];
	int fd = FD(open("file", O_RDONLY));
	FAILS(ENOTDIR, syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	IS(!opendir("file") && errno == ENOTDIR);
}

static void readdir_needs_r_at_open(void)
{
	as_user(ANN, STAFF)
	{
		DIR *d = open_dir("dir");
		(void)closedir(d);
	}
	OK(chmod("dir", 0711));
	as_user(ANN, STAFF) IS(!opendir("dir") && errno == EACCES);
}

static void readdir_directory_that_was_replaced(void)
{
	OK(unlink("dir/in"));
	OK(rmdir("dir"));
	OK(mkdir("dir", 0755));
	put("dir/new", "");
	struct census c = census_of("dir");
	EQ(c.others, 1);
	THERE("dir/new");
}

static const struct check checks[] = {
    CHECK(readdir_lists_all_once, NEED_MANY),
    CHECK(readdir_of_an_empty_directory, NEED_EMPTY),
    CHECK(readdir_after_changes, NEED_MANY),
    CHECK(readdir_thousands, 0),
    CHECK(readdir_while_removing, NEED_MANY),
    CHECK(readdir_while_removing_others, NEED_MANY),
    CHECK(readdir_while_making, NEED_MANY),
    CHECK(readdir_while_changing_attributes, NEED_MANY),
    CHECK(readdir_rewinds, NEED_MANY),
    CHECK(readdir_seeks_back, NEED_MANY),
    CHECK(readdir_seeks_after_removals, NEED_MANY),
#define ONE_OF_EACH                                                                                \
	NEED_FILE | NEED_DIR | NEED_LINK | NEED_FIFO | NEED_SOCK | NEED_CHR | NEED_BLK | NEED_HARD
    CHECK(readdir_numbers_and_types, ONE_OF_EACH),
    CHECK(readdir_numbers_after_changes, ONE_OF_EACH),
    CHECK(readdir_number_of_dotdot, NEED_DIR),
    CHECK(readdir_by_two_readers, NEED_MANY),
    CHECK(readdir_small_buffer, NEED_DIR),
    CHECK(readdir_of_a_file, NEED_FILE),
    CHECK(readdir_needs_r_at_open, NEED_DIR),
    CHECK(readdir_directory_that_was_replaced, NEED_DIR),
};
TOPIC(readdir);
