/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * open(2): every flag.
 */
#include "posix.h"

#include <linux/openat2.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>

static void open_missing(void)
{
	FAILS(ENOENT, open("nothing", O_RDONLY));
	FAILS(ENOENT, open("nothing/x", O_RDONLY | O_CREAT, 0644));
	FAILS(ENOENT, open("", O_RDONLY));
	FAILS(ENOTDIR, open("file/x", O_RDONLY));
	FAILS(ENOTDIR, open("file/", O_RDONLY));
}

static void open_access_modes(void)
{
	char c;
	int fd = FD(open("file", O_RDONLY));
	FAILS(EBADF, write(fd, "x", 1));
	EQ(read(fd, &c, 1), 1);
	fd = FD(open("file", O_WRONLY));
	FAILS(EBADF, read(fd, &c, 1));
	EQ(write(fd, "x", 1), 1);
	EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
}

static void open_create_exclusive(void)
{
	FAILS(EEXIST, open(subject, O_CREAT | O_EXCL | O_WRONLY, 0644));
	OK(close(FD(open("new", O_CREAT | O_EXCL | O_RDONLY, 0600))));
	MODE("new", 0600);
	FAILS(EEXIST, open("new", O_CREAT | O_EXCL | O_WRONLY, 0644));
}

static void open_create_exclusive_on_dangling_link(void)
{
	FAILS(EEXIST, open("link", O_CREAT | O_EXCL | O_WRONLY, 0644));
	GONE("file");
}

static void open_create_keeps_the_existing(void)
{
	int fd = FD(open("file", O_CREAT | O_RDWR, 0777));
	MODE("file", 0644);
	EQ(lseek(fd, 0, SEEK_END), LETTERS_LEN);
}

static void open_directory_for_writing(void)
{
	FAILS(EISDIR, open("dir", O_WRONLY));
	FAILS(EISDIR, open("dir", O_RDWR));
	FAILS(EISDIR, open("dir", O_RDONLY | O_CREAT, 0755));
	FAILS(EISDIR, open("dir", O_RDONLY | O_TRUNC));
	FAILS(EISDIR, open(".", O_WRONLY));
}

static void open_directory_flag(void)
{
	FAILS(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
	FAILS(ENOTDIR, open("link", O_RDONLY | O_DIRECTORY));
	FAILS(ENOTDIR, open("fifo", O_RDONLY | O_DIRECTORY));
	OK(close(FD(open("dir", O_RDONLY | O_DIRECTORY))));
	FAILS(ENOENT, open("nothing", O_RDONLY | O_DIRECTORY));
}

static void open_nofollow(void)
{
	FAILS(ELOOP, open("link", O_RDONLY | O_NOFOLLOW));
	FAILS(ELOOP, open("link", O_RDONLY | O_NOFOLLOW | O_CREAT, 0644));
	OK(close(FD(open("file", O_RDONLY | O_NOFOLLOW))));
	FAILS(ENOTDIR, open("link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
}

static void open_path_only(void)
{
	struct stat st;
	char c;
	OK(chmod("file", 0));
	as_user(ANN, STAFF)
	{
		int fd = FD(open("file", O_PATH)); /* needs no permission */
		OK(fstat(fd, &st));
		EQ(st.st_size, LETTERS_LEN);
		FAILS(EBADF, read(fd, &c, 1));
		FAILS(EBADF, fchmod(fd, 0777));
	}
}

static void open_path_of_a_link(void)
{
	char buf[8];
	int fd = FD(open("link", O_PATH | O_NOFOLLOW));
	EQ(readlinkat(fd, "", buf, sizeof(buf)), 4);
	OK(unlink("link"));
	EQ(readlinkat(fd, "", buf, sizeof(buf)), 4);
}

static void open_path_then_for_real(void)
{
	char path[32];
	int fd = FD(open("file", O_PATH));
	OK(rename("file", "new"));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int w = FD(open(path, O_RDWR));
	EQ(write(w, "X", 1), 1);
	DATA("new", "Xbcdefghijklmnopqrstuvwxyz");
}

static void open_tmpfile(void)
{
	char path[32];
	struct stat st;
	int fd = FD(open("dir", O_TMPFILE | O_RDWR, 0640));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_mode, S_IFREG | 0640);
	EQ(write(fd, "tmp", 3), 3);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "dir/new", AT_SYMLINK_FOLLOW));
	DATA("dir/new", "tmp");
	NLINK("dir/new", 1);
}

static void open_tmpfile_exclusive(void)
{
	char path[32];
	int fd = FD(open("dir", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FAILS(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "dir/new", AT_SYMLINK_FOLLOW));
}

static void open_tmpfile_errors(void)
{
	FAILS(EINVAL, open("dir", O_TMPFILE | O_RDONLY, 0640));
	FAILS(ENOTDIR, open("file", O_TMPFILE | O_RDWR, 0640));
}

static void open_append(void)
{
	int fd = FD(open("file", O_WRONLY | O_APPEND));
	int other = open_rw("file");
	EQ(write(fd, "1", 1), 1);
	EQ(pwrite(other, "22", 2, LETTERS_LEN + 1), 2);
	EQ(write(fd, "3", 1), 1);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(write(fd, "4", 1), 1);
	EQ(pwrite(fd, "5", 1, 0), 1); /* Linux: appends too */
	DATA("file", LETTERS "122345");
}

static void open_append_by_two_processes(void)
{
	pid_t pid[2];
	for (int k = 0; k < 2; k++)
		if (start(&pid[k])) {
			int fd = FD(open("file", O_WRONLY | O_APPEND));
			for (int i = 0; i < 100; i++)
				EQ(write(fd, k ? "1234567890" : "abcdefghij", 10), 10);
			child_end();
		}
	join(pid[0]);
	join(pid[1]);
	SIZE("file", LETTERS_LEN + 2000);
}

static void open_sync(void)
{
	static const int flags[] = {O_SYNC, O_DSYNC};
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		int fd = FD(open("file", O_RDWR | flags[i]));
		EQ(write(fd, "sync", 4), 4);
		OK(close(fd));
	}
	DATA("file", "syncefghijklmnopqrstuvwxyz");
}

static void open_direct(void)
{
	char *buf = aligned_alloc(4096, 8192);
	IS(buf != NULL);
	int fd = FD(open("big", O_RDWR | O_DIRECT));
	EQ(pread(fd, buf, 8192, 4096), 8192);
	for (size_t i = 0; i < 8192; i++)
		EQ(buf[i], big_byte(4096 + i));
	memset(buf, 'D', 8192);
	EQ(pwrite(fd, buf, 8192, 8192), 8192);
	OK(close(fd));
	fd = FD(open("big", O_RDONLY));
	EQ(pread(fd, buf, 8192, 8192 - 100), 8192);
	EQ(buf[99], big_byte(8191));
	EQ(buf[100], 'D');
	free(buf);
}

static void open_direct_sees_buffered(void)
{
	char *buf = aligned_alloc(4096, 4096);
	IS(buf != NULL);
	int fd = FD(open("big", O_RDWR | O_DIRECT)), other = open_rw("big");
	EQ(pwrite(other, "buffered", 8, 4096), 8);
	EQ(pread(fd, buf, 4096, 4096), 4096);
	IS(memcmp(buf, "buffered", 8) == 0);
	memset(buf, 'D', 4096);
	EQ(pwrite(fd, buf, 4096, 0), 4096);
	EQ(pread(other, buf, 1, 0), 1);
	EQ(buf[0], 'D');
	free(buf);
}

static void open_direct_misaligned(void)
{
	char *buf = aligned_alloc(4096, 8192);
	IS(buf != NULL);
	int fd = FD(open("big", O_RDWR | O_DIRECT));
	FAILS(EINVAL, pread(fd, buf, 100, 0));
	FAILS(EINVAL, pread(fd, buf, 4096, 3));
	free(buf);
}

static void open_text_busy(void)
{
	pid_t pid;
	char c;
	int fd[2];
	OK(pipe2(fd, O_CLOEXEC));
	if (start(&pid)) {
		(void)execl("./exe", "exe", "10", (char *)NULL);
		fail(HERE, "cannot run it: %s", strerrorname_np(errno));
	}
	OK(close(fd[1]));
	EQ(read(fd[0], &c, 1), 0); /* ends when it runs */
	FAILS(ETXTBSY, open("exe", O_WRONLY));
	FAILS(ETXTBSY, truncate("exe", 0));
	OK(unlink("exe"));
	OK(kill(pid, SIGKILL));
}

static void open_for_writing_blocks_execution(void)
{
	int fd = FD(open("exe", O_WRONLY));
	in_child() FAILS(ETXTBSY, execl("./exe", "exe", "0", (char *)NULL));
	OK(close(fd));
	in_child() OK(execl("./exe", "exe", "0", (char *)NULL));
}

static void open_socket(void)
{
	FAILS(ENXIO, open("sock", O_RDONLY));
	FAILS(ENXIO, open("sock", O_RDWR));
}

static void open_device_without_driver(void)
{
	FAILS(ENXIO, open("blk", O_RDONLY));
}

static void open_beneath(void)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
	int dir = FD(open("tree", O_RDONLY | O_DIRECTORY));
	OK(syscall(SYS_openat2, dir, "a/b/f", &how, sizeof(how)));
	FAILS(EXDEV, syscall(SYS_openat2, dir, "../tree/f", &how, sizeof(how)));
	how.resolve = RESOLVE_IN_ROOT;
	OK(syscall(SYS_openat2, dir, "../f", &how, sizeof(how)));
}

static void open_two_independent_offsets(void)
{
	char c;
	int a = FD(open("file", O_RDONLY)), b = FD(open("file", O_RDONLY));
	EQ(lseek(a, 5, SEEK_SET), 5);
	EQ(read(b, &c, 1), 1);
	EQ(c, 'a');
	EQ(read(a, &c, 1), 1);
	EQ(c, 'f');
}

static void open_reader_sees_later_writer(void)
{
	char buf[4] = "";
	int fd = FD(open("file", O_RDONLY)); /* before anything is changed */
	put("file", "new");
	EQ(pread(fd, buf, 4, 0), 3);
	IS(strcmp(buf, "new") == 0);
}

static void open_handle_by_name(void)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} a = {.h.handle_bytes = MAX_HANDLE_SZ}, b = a;
	int mount;
	char text[8] = "";
	OK(name_to_handle_at(AT_FDCWD, "file", &a.h, &mount, 0));
	OK(rename("file", "new"));
	OK(name_to_handle_at(AT_FDCWD, "new", &b.h, &mount, 0));
	EQ(a.h.handle_bytes, b.h.handle_bytes);
	IS(memcmp(a.h.f_handle, b.h.f_handle, a.h.handle_bytes) == 0);
	int fd = FD(open_by_handle_at(FD(open(".", O_RDONLY)), &a.h, O_RDONLY));
	EQ(read(fd, text, 3), 3);
	IS(strcmp(text, "abc") == 0);
}

static const struct check checks[] = {
    CHECK(open_missing, NEED_FILE),
    CHECK(open_access_modes, NEED_FILE),
    CHECK_EACH(open_create_exclusive),
    CHECK(open_create_exclusive_on_dangling_link, NEED_LINK),
    CHECK(open_create_keeps_the_existing, NEED_FILE),
    CHECK(open_directory_for_writing, NEED_DIR),
    CHECK(open_directory_flag, NEED_FILE | NEED_DIR | NEED_LINK | NEED_FIFO),
    CHECK(open_nofollow, NEED_FILE | NEED_LINK),
    CHECK(open_path_only, NEED_FILE),
    CHECK(open_path_of_a_link, NEED_LINK),
    CHECK(open_path_then_for_real, NEED_FILE),
    CHECK(open_tmpfile, NEED_DIR),
    CHECK(open_tmpfile_exclusive, NEED_DIR),
    CHECK(open_tmpfile_errors, NEED_FILE | NEED_DIR),
    CHECK(open_append, NEED_FILE),
    CHECK(open_append_by_two_processes, NEED_FILE),
    CHECK(open_sync, NEED_FILE),
    CHECK(open_direct, NEED_BIG),
    CHECK(open_direct_sees_buffered, NEED_BIG),
    CHECK(open_direct_misaligned, NEED_BIG),
    CHECK(open_text_busy, NEED_EXE),
    CHECK(open_for_writing_blocks_execution, NEED_EXE),
    CHECK(open_socket, NEED_SOCK),
    CHECK(open_device_without_driver, NEED_BLK),
    CHECK(open_beneath, NEED_TREE),
    CHECK(open_two_independent_offsets, NEED_FILE),
    CHECK(open_reader_sees_later_writer, NEED_FILE),
    CHECK(open_handle_by_name, NEED_FILE),
};
TOPIC(open);
