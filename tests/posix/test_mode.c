/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * chmod(2), and what else changes a mode: chown(2), writes, setgid directories.
 */
#include "posix.h"

#include <signal.h>

static void chmod_sets_all_bits(void)
{
	static const mode_t modes[] = {0, 0777, 04755, 02755, 01777, 07777, 0600};
	mode_t type = look(subject).st_mode & S_IFMT;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		OK(chmod(subject, modes[i]));
		MODE(subject, modes[i]);
		EQ(look(subject).st_mode & S_IFMT, type);
	}
}

static void chmod_follows_links(void)
{
	OK(chmod("link", 0600));
	MODE("file", 0600);
	EQ(look("link").st_mode, S_IFLNK | 0777);
}

static void chmod_of_a_link_itself(void)
{
	FAILS(EOPNOTSUPP, fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW));
	EQ(look("link").st_mode, S_IFLNK | 0777);
}

static void chmod_by_fd(void)
{
	int fd = FD(open("file", O_RDONLY));
	OK(fchmod(fd, 0600));
	MODE("file", 0600);
	int dir = FD(open("dir", O_RDONLY));
	OK(fchmod(dir, 0700));
	MODE("dir", 0700);
	FAILS(EBADF, fchmod(FD(open("file", O_PATH)), 0));
}

static void chmod_errors(void)
{
	FAILS(ENOENT, chmod("nothing", 0));
	FAILS(ENOTDIR, chmod("file/x", 0));
	FAILS(ENOENT, chmod("", 0));
}

static void chmod_by_the_owner_only(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(BOB, STAFF) FAILS(EPERM, chmod("file", 0777));
	MODE("file", 0644);
	as_user(ANN, GUESTS) OK(chmod("file", 0600));
	MODE("file", 0600);
}

static void chmod_setgid_outside_the_group(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(ANN, GUESTS) OK(chmod("file", 02755));
	MODE("file", 0755);
	as_user(ANN, GUESTS, STAFF) OK(chmod("file", 02755));
	MODE("file", 02755);
	OK(chown("dir", ANN, STAFF));
	as_user(ANN, GUESTS) OK(chmod("dir", 02755));
	MODE("dir", 0755);
}

static void chmod_sticky_file_by_anybody(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF) OK(chmod("file", 01644));
	MODE("file", 01644);
}

static void chmod_of_open_file_keeps_access(void)
{
	char c;
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF)
	{
		int fd = open_rw("file");
		OK(chmod("file", 0));
		EQ(pread(fd, &c, 1, 0), 1);
		EQ(pwrite(fd, "x", 1, 0), 1);
		FAILS(EACCES, open("file", O_RDONLY));
	}
}

/* ---------------------------------------------------------------- who strips setuid and setgid */

static void write_strips_setuid(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 06777));
	as_user(BOB, GUESTS)
	{
		int fd = open_rw("file");
		MODE("file", 06777);
		EQ(pwrite(fd, "x", 1, 0), 1);
	}
	MODE("file", 0777);
}

static void write_of_owner_strips_setuid(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 06755));
	as_user(ANN, STAFF) EQ(pwrite(open_rw("file"), "x", 1, 0), 1);
	MODE("file", 0755);
}

static void write_of_root_keeps_setuid(void)
{
	OK(chmod("file", 06755));
	EQ(pwrite(open_rw("file"), "x", 1, 0), 1);
	MODE("file", 06755);
}

static void write_keeps_mandatory_lock_bit(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 02666)); /* setgid without group execution */
	as_user(ANN, STAFF) EQ(pwrite(open_rw("file"), "x", 1, 0), 1);
	MODE("file", 02666);
}

static void truncate_strips_setuid(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 06777));
	as_user(BOB, GUESTS) OK(truncate("file", 3));
	MODE("file", 0777);
	OK(chmod("file", 06777));
	as_user(BOB, GUESTS) OK(close(FD(open("file", O_WRONLY | O_TRUNC))));
	MODE("file", 0777);
}

static void fallocate_strips_setuid(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 06777));
	as_user(BOB, GUESTS) OK(fallocate(open_rw("file"), 0, 0, 100000));
	MODE("file", 0777);
}

static void reading_keeps_setuid(void)
{
	OK(chmod("file", 06777));
	as_user(BOB, GUESTS) DATA("file", LETTERS);
	MODE("file", 06777);
}

static void chown_strips_setuid(void)
{
	OK(chmod("file", 06755));
	OK(chown("file", ANN, STAFF)); /* also by root */
	MODE("file", 0755);
	OK(chmod("file", 06755));
	OK(chown("file", (uid_t)-1, GUESTS));
	MODE("file", 0755);
}

static void chown_to_nobody_strips_setuid(void)
{
	OK(chmod("file", 06755));
	OK(chown("file", (uid_t)-1, (gid_t)-1));
	MODE("file", 0755);
}

static void chown_keeps_setgid_without_execution(void)
{
	OK(chmod("file", 02644));
	OK(chown("file", ANN, STAFF));
	MODE("file", 02644);
}

static void chown_keeps_bits_of_directories(void)
{
	OK(chmod("dir", 07755));
	OK(chown("dir", ANN, STAFF));
	MODE("dir", 07755);
}

static void chgrp_by_owner_strips_setuid(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 06755));
	as_user(ANN, STAFF, GUESTS) OK(chown("file", (uid_t)-1, GUESTS));
	MODE("file", 0755);
	OWNER("file", ANN, GUESTS);
}

/* ---------------------------------------------------------------- setgid directories */

static void setgid_directory(void)
{
	OK(chown("dir", 0, STAFF));
	OK(chmod("dir", 02777));
}

static void setgid_directory_gives_its_group(void)
{
	as_user(ANN, GUESTS)
	{
		put("dir/f", "x");
		OK(symlink("x", "dir/l"));
		OK(mkfifo("dir/p", 0644));
	}
	OWNER("dir/f", ANN, STAFF);
	OWNER("dir/l", ANN, STAFF);
	OWNER("dir/p", ANN, STAFF);
	MODE("dir/f", 0644);
}

static void setgid_directory_hands_down(void)
{
	as_user(ANN, GUESTS) OK(mkdir("dir/d", 0755));
	OWNER("dir/d", ANN, STAFF);
	MODE("dir/d", 02755);
	OK(mkdir("dir/r", 0700));
	MODE("dir/r", 02700);
}

static void setgid_directory_strips_from_strangers(void)
{
	(void)umask(0);
	as_user(ANN, GUESTS) OK(close(FD(open("dir/f", O_CREAT | O_WRONLY, 02755))));
	MODE("dir/f", 0755);
	as_user(ANN, GUESTS, STAFF) OK(close(FD(open("dir/g", O_CREAT | O_WRONLY, 02755))));
	MODE("dir/g", 02755);
}

static void plain_directory_gives_own_group(void)
{
	OK(chown("dir", 0, STAFF));
	OK(chmod("dir", 0777));
	as_user(ANN, GUESTS) put("dir/f", "x");
	OWNER("dir/f", ANN, GUESTS);
}

/* ---------------------------------------------------------------- setuid that counts */

/* Text of /proc/PID/status, once the process has become the program. */
static void status_of(pid_t pid, char *text, size_t len)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	for (int i = 0; i < 500; i++, pause_ms(2)) {
		int fd = FD(open(path, O_RDONLY));
		text[OK(read(fd, text, len - 1))] = 0;
		OK(close(fd));
		if (strstr(text, "Name:\texe\n"))
			return;
	}
	fail(HERE, "the program did not start");
}

static void setuid_program_runs_as_owner(void)
{
	pid_t pid;
	char line[64], text[4096];
	OK(chown("exe", ANN, STAFF));
	OK(chmod("exe", 06755));
	if (start(&pid)) {
		(void)execl("./exe", "exe", "10", (char *)NULL);
		fail(HERE, "cannot run it: %s", strerrorname_np(errno));
	}
	status_of(pid, text, sizeof(text));
	OK(kill(pid, SIGKILL));
	(void)snprintf(line, sizeof(line), "Uid:\t0\t%d\t", ANN);
	IS(strstr(text, line) != NULL);
	(void)snprintf(line, sizeof(line), "Gid:\t0\t%d\t", STAFF);
	IS(strstr(text, line) != NULL);
}

static const struct check checks[] = {
    CHECK_NOT_LINKS(chmod_sets_all_bits),
    CHECK(chmod_follows_links, NEED_FILE | NEED_LINK),
    CHECK(chmod_of_a_link_itself, NEED_LINK),
    CHECK(chmod_by_fd, NEED_FILE | NEED_DIR),
    CHECK(chmod_errors, NEED_FILE),
    CHECK(chmod_by_the_owner_only, NEED_FILE),
    CHECK(chmod_setgid_outside_the_group, NEED_FILE | NEED_DIR),
    CHECK(chmod_sticky_file_by_anybody, NEED_FILE),
    CHECK(chmod_of_open_file_keeps_access, NEED_FILE),
    CHECK(write_strips_setuid, NEED_FILE),
    CHECK(write_of_owner_strips_setuid, NEED_FILE),
    CHECK(write_of_root_keeps_setuid, NEED_FILE),
    CHECK(write_keeps_mandatory_lock_bit, NEED_FILE),
    CHECK(truncate_strips_setuid, NEED_FILE),
    CHECK(fallocate_strips_setuid, NEED_FILE),
    CHECK(reading_keeps_setuid, NEED_FILE),
    CHECK(chown_strips_setuid, NEED_FILE),
    CHECK(chown_to_nobody_strips_setuid, NEED_FILE),
    CHECK(chown_keeps_setgid_without_execution, NEED_FILE),
    CHECK(chown_keeps_bits_of_directories, NEED_DIR),
    CHECK(chgrp_by_owner_strips_setuid, NEED_FILE),
    CHECK_WITH(setgid_directory_gives_its_group, NEED_DIR, setgid_directory),
    CHECK_WITH(setgid_directory_hands_down, NEED_DIR, setgid_directory),
    CHECK_WITH(setgid_directory_strips_from_strangers, NEED_DIR, setgid_directory),
    CHECK(plain_directory_gives_own_group, NEED_DIR),
    CHECK(setuid_program_runs_as_owner, NEED_EXE),
};
TOPIC(mode);
