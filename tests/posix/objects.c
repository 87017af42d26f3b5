/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The objects that checks ask for, made in the current directory. Times are set last, from the inside
 * out.
 */
#include "posix.h"

#include <sys/sysmacros.h>

static void age(const char *path)
{
	const struct timespec old[2] = {{OLD_S, OLD_NS}, {OLD_S, OLD_NS}};
	OK(utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW));
}

static void make_dir(const char *path)
{
	OK(mkdir(path, 0755));
}

static void make_text(const char *path, const char *text)
{
	put(path, text);
	OK(chmod(path, 0644)); /* whatever the umask was */
	age(path);
}

static void make_node(const char *path, mode_t type, dev_t dev)
{
	OK(mknod(path, type | 0644, dev));
	age(path);
}

static void make_big(void)
{
	static char buf[BIG_SIZE];
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = big_byte(i);
	int fd = FD(open("big", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
	EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	OK(close(fd));
	age("big");
}

static void make_hole(void)
{
	int fd = FD(open("hole", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
	OK(ftruncate(fd, BIG_SIZE));
	EQ(pwrite(fd, LETTERS, LETTERS_LEN, HOLE_DATA), LETTERS_LEN);
	OK(close(fd));
	age("hole");
}

static void make_exe(void)
{
	static char buf[1 << 16];
	ssize_t n;
	int in = FD(open("/bin/sleep", O_RDONLY | O_CLOEXEC));
	int out = FD(open("exe", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
	while ((n = OK(read(in, buf, sizeof(buf)))) > 0)
		EQ(write(out, buf, (size_t)n), n);
	OK(close(out));
	OK(close(in));
	age("exe");
}

static void make_tree(void)
{
	make_dir("tree");
	make_dir("tree/a");
	make_dir("tree/a/b");
	make_text("tree/f", "tree/f");
	make_text("tree/a/f", "tree/a/f");
	make_text("tree/a/b/f", "tree/a/b/f");
	age("tree/a/b");
	age("tree/a");
	age("tree");
}

static void make_many(void)
{
	char name[16];
	make_dir("many");
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "many/%03d", i);
		make_text(name, "");
	}
	age("many");
}

void make_objects(unsigned needs)
{
	if (needs & NEED_FILE)
		make_text("file", LETTERS);
	if (needs & NEED_DIR) {
		make_dir("dir");
		make_text("dir/in", "in");
		age("dir");
	}
	if (needs & NEED_EMPTY) {
		make_dir("empty");
		age("empty");
	}
	if (needs & NEED_LINK) {
		OK(symlink("file", "link"));
		age("link");
	}
	if (needs & NEED_FIFO)
		make_node("fifo", S_IFIFO, 0);
	if (needs & NEED_SOCK)
		make_node("sock", S_IFSOCK, 0);
	if (needs & NEED_CHR)
		make_node("chr", S_IFCHR, makedev(1, 3));
	if (needs & NEED_BLK)
		make_node("blk", S_IFBLK, makedev(250, 250));
	if (needs & NEED_HARD) {
		make_text("hard1", LETTERS);
		OK(link("hard1", "hard2"));
	}
	if (needs & NEED_BIG)
		make_big();
	if (needs & NEED_EXE)
		make_exe();
	if (needs & NEED_TREE)
		make_tree();
	if (needs & NEED_MANY)
		make_many();
	if (needs & NEED_HOLE)
		make_hole();
	age(".");
}
