/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * FIFOs, sockets, devices: made, and used.
 */
#include "posix.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void mknod_makes_each_type(void)
{
	static const mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG};
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		OK(mknod("new", types[i] | 0640, makedev(12, 34)));
		struct stat st = look("new");
		EQ(st.st_mode, types[i] | 0640);
		EQ(st.st_nlink, 1);
		EQ(st.st_size, 0);
		if (S_ISCHR(types[i]) || S_ISBLK(types[i]))
			EQ(st.st_rdev, makedev(12, 34));
		OK(unlink("new"));
	}
}

static void mknod_large_device_numbers(void)
{
	const dev_t devs[] = {makedev(1, 1), makedev(255, 255), makedev(256, 0),
			      makedev(4095, 1048575)};
	for (size_t i = 0; i < sizeof(devs) / sizeof(*devs); i++) {
		OK(mknod("new", S_IFCHR | 0644, devs[i]));
		EQ(look("new").st_rdev, devs[i]);
		OK(unlink("new"));
	}
}

static void mknod_device_zero(void)
{
	OK(mknod("new", S_IFCHR | 0644, 0));
	IS(S_ISCHR(look("new").st_mode));
	EQ(look("new").st_rdev, 0);
}

static void mknod_errors(void)
{
	FAILS(EEXIST, mknod("fifo", S_IFIFO | 0644, 0));
	FAILS(EPERM, mknod("new", S_IFDIR | 0755, 0));
	FAILS(EINVAL, mknod("new", S_IFLNK | 0777, 0));
	FAILS(ENOENT, mknod("nothing/new", S_IFIFO | 0644, 0));
	FAILS(ENOENT, mkfifo("new/", 0644));
}

static void special_attributes_stay(void)
{
	struct stat st = look(subject);
	EQ(st.st_mtim.tv_sec, OLD_S);
	EQ(st.st_mtim.tv_nsec, OLD_NS);
	OK(chmod(subject, 0600));
	struct stat after = look(subject);
	EQ(after.st_rdev, st.st_rdev);
	EQ(after.st_mode & S_IFMT, st.st_mode & S_IFMT);
	EQ(after.st_mtim.tv_nsec, OLD_NS);
}

static void fifo_carries_data(void)
{
	pid_t pid;
	char buf[8] = "";
	if (start(&pid)) {
		int w = FD(open("fifo", O_WRONLY));
		EQ(write(w, "through", 7), 7);
		child_end();
	}
	int r = FD(open("fifo", O_RDONLY));
	EQ(read(r, buf, 7), 7);
	IS(strcmp(buf, "through") == 0);
	join(pid);
	EQ(read(r, buf, 1), 0); /* the writer is gone */
}

static void fifo_without_the_other_end(void)
{
	char c;
	FAILS(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
	int r = FD(open("fifo", O_RDONLY | O_NONBLOCK));
	EQ(read(r, &c, 1), 0);
	int w = FD(open("fifo", O_WRONLY | O_NONBLOCK));
	FAILS(EAGAIN, read(r, &c, 1));
	OK(close(r));
	FAILS(EPIPE, write(w, "x", 1));
	FAILS(ESPIPE, lseek(w, 0, SEEK_SET));
}

static void fifo_by_two_names(void)
{
	char c;
	OK(link("fifo", "second"));
	int r = FD(open("second", O_RDONLY | O_NONBLOCK));
	int w = FD(open("fifo", O_WRONLY | O_NONBLOCK));
	EQ(write(w, "x", 1), 1);
	EQ(read(r, &c, 1), 1);
}

static void fifo_after_a_change(void)
{
	char c;
	int r = FD(open("fifo", O_RDONLY | O_NONBLOCK));
	OK(chmod("fifo", 0666));
	OK(rename("fifo", "moved"));
	int w = FD(open("moved", O_WRONLY | O_NONBLOCK)); /* the same pipe */
	EQ(write(w, "x", 1), 1);
	EQ(read(r, &c, 1), 1);
	OK(unlink("moved"));
	EQ(write(w, "y", 1), 1);
	EQ(read(r, &c, 1), 1);
	EQ(c, 'y');
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static int try_bind(int fd, const char *path)
{
	struct sockaddr_un a = address(path);
	return bind(fd, (struct sockaddr *)&a, sizeof(a));
}

static int try_connect(int fd, const char *path)
{
	struct sockaddr_un a = address(path);
	return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static void socket_binds_and_connects(void)
{
	char c;
	int s = FD(socket(AF_UNIX, SOCK_STREAM, 0)), client = FD(socket(AF_UNIX, SOCK_STREAM, 0));
	(void)umask(0027);
	OK(try_bind(s, "new"));
	IS(S_ISSOCK(look("new").st_mode));
	MODE("new", 0750);
	OK(listen(s, 1));
	OK(try_connect(client, "new"));
	int peer = FD(accept(s, NULL, NULL));
	EQ(write(client, "x", 1), 1);
	EQ(read(peer, &c, 1), 1);
	FAILS(EADDRINUSE, try_bind(FD(socket(AF_UNIX, SOCK_STREAM, 0)), "new"));
}

static void socket_after_rename(void)
{
	int s = FD(socket(AF_UNIX, SOCK_STREAM, 0)), client = FD(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(try_bind(s, "dir/new"));
	OK(listen(s, 1));
	OK(chown("dir/new", ANN, STAFF));
	OK(rename("dir/new", "moved"));
	OK(try_connect(client, "moved"));
}

static void socket_without_listener(void)
{
	FAILS(ECONNREFUSED, try_connect(FD(socket(AF_UNIX, SOCK_STREAM, 0)), "sock"));
	FAILS(EADDRINUSE, try_bind(FD(socket(AF_UNIX, SOCK_STREAM, 0)), "sock"));
	OK(unlink("sock"));
	OK(try_bind(FD(socket(AF_UNIX, SOCK_STREAM, 0)), "sock"));
}

static void socket_needs_write_access(void)
{
	int s = FD(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(try_bind(s, "new"));
	OK(listen(s, 8));
	OK(chmod("new", 0644));
	as_user(ANN, STAFF) FAILS(EACCES, try_connect(FD(socket(AF_UNIX, SOCK_STREAM, 0)), "new"));
	OK(chmod("new", 0666));
	as_user(ANN, STAFF) OK(try_connect(FD(socket(AF_UNIX, SOCK_STREAM, 0)), "new"));
}

static void device_opens(void)
{
	char c;
	int fd = open_rw("chr"); /* the null device */
	EQ(write(fd, "x", 1), 1);
	EQ(read(fd, &c, 1), 0);
	OK(close(fd));
	SIZE("chr", 0);
}

static void device_obeys_its_mode(void)
{
	OK(chmod("chr", 0600));
	as_user(ANN, STAFF) FAILS(EACCES, open("chr", O_RDWR));
	OK(chown("chr", ANN, STAFF));
	as_user(ANN, STAFF) OK(close(open_rw("chr")));
}

static void device_made_here_opens(void)
{
	char c = 1;
	OK(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
	EQ(read(FD(open("zero", O_RDONLY)), &c, 1), 1);
	EQ(c, 0);
}

static const struct check checks[] = {
    CHECK(mknod_makes_each_type, 0),
    CHECK(mknod_large_device_numbers, 0),
    CHECK(mknod_device_zero, 0),
    CHECK(mknod_errors, NEED_FIFO),
    CHECK_SPECIALS(special_attributes_stay),
    CHECK(fifo_carries_data, NEED_FIFO),
    CHECK(fifo_without_the_other_end, NEED_FIFO),
    CHECK(fifo_by_two_names, NEED_FIFO),
    CHECK(fifo_after_a_change, NEED_FIFO),
    CHECK(socket_binds_and_connects, 0),
    CHECK(socket_after_rename, NEED_DIR),
    CHECK(socket_without_listener, NEED_SOCK),
    CHECK(socket_needs_write_access, 0),
    CHECK(device_opens, NEED_CHR),
    CHECK(device_obeys_its_mode, NEED_CHR),
    CHECK(device_made_here_opens, 0),
};
TOPIC(special);
