/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Expectations and children. What went wrong is written into memory that all processes of a check
 * share; the first one to fail is heard.
 */
#include "frame.h"

#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

const char *subject;
static struct verdict *verdict;

struct verdict *frame_verdict(void)
{
	if (!verdict) {
		void *p = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			abort();
		verdict = p;
	}
	return verdict;
}

/* ---------------------------------------------------------------- expectations */

void fail(struct here h, const char *fmt, ...)
{
	va_list ap;
	if (!verdict->text[0]) {
		const char *slash = strrchr(h.file, '/');
		int n = snprintf(verdict->text, sizeof(verdict->text),
				 "%s:%d: ", slash ? slash + 1 : h.file, h.line);
		va_start(ap, fmt);
		(void)vsnprintf(verdict->text + n, sizeof(verdict->text) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	_exit(1);
}

void skip(const char *why)
{
	(void)snprintf(verdict->text, sizeof(verdict->text), "%s", why);
	_exit(EXIT_SKIPPED);
}

static const char *errno_name(int e)
{
	const char *name = strerrorname_np(e);
	return name ? name : "an unknown errno";
}

int64_t expect_ok(struct here h, const char *what, int64_t r)
{
	if (r < 0)
		fail(h, "%s: expected success, came %s", what, errno_name(errno));
	return r;
}

void expect_errno(struct here h, const char *what, int64_t r, int want)
{
	if (r >= 0)
		fail(h, "%s: expected %s, came success", what, errno_name(want));
	if (errno != want)
		fail(h, "%s: expected %s, came %s", what, errno_name(want), errno_name(errno));
}

void expect_eq(struct here h, const char *what, int64_t got, int64_t want)
{
	if (got == want)
		return;
	if (got == -1 && errno)
		fail(h, "%s: expected %jd, came -1, perhaps of %s", what, (intmax_t)want,
		     errno_name(errno));
	fail(h, "%s: expected %jd, came %jd", what, (intmax_t)want, (intmax_t)got);
}

void expect_mode(struct here h, const char *path, mode_t want)
{
	mode_t got = look(path).st_mode & 07777;
	if (got != want)
		fail(h, "mode of %s: expected %04o, came %04o", path, want, got);
}

void expect_data(struct here h, const char *path, const void *want, size_t len)
{
	static char buf[BIG_SIZE + 1];
	int fd = (int)expect_ok(h, path, open(path, O_RDONLY | O_CLOEXEC));
	ssize_t n = expect_ok(h, path, pread(fd, buf, sizeof(buf), 0));
	(void)close(fd);
	if ((size_t)n != len)
		fail(h, "%s: expected %zu bytes of data, came %zd", path, len, n);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != ((const char *)want)[i])
			fail(h, "%s: byte %zu: expected 0x%02x, came 0x%02x", path, i,
			     ((const unsigned char *)want)[i], (unsigned char)buf[i]);
}

void expect_same(struct here h, const char *a, const char *b, bool same)
{
	struct stat x = look(a), y = look(b);
	if ((x.st_dev == y.st_dev && x.st_ino == y.st_ino) != same)
		fail(h, "%s and %s: expected %s, came numbers %ju and %ju", a, b,
		     same ? "one object" : "two objects", (uintmax_t)x.st_ino, (uintmax_t)y.st_ino);
}

static bool moved(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

void expect_changes(struct here h, const char *path, const struct stat *before, const char *want)
{
	struct stat st = look(path);
	char got[4], *p = got;
	if (moved(&st.st_atim, &before->st_atim))
		*p++ = 'a';
	if (moved(&st.st_mtim, &before->st_mtim))
		*p++ = 'm';
	if (moved(&st.st_ctim, &before->st_ctim))
		*p++ = 'c';
	*p = 0;
	if (strcmp(got, want) != 0)
		fail(h, "changed times of %s: expected \"%s\", came \"%s\"", path, want, got);
}

/* ---------------------------------------------------------------- tools */

struct stat look(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		fail(HERE, "lstat %s: expected success, came %s", path, errno_name(errno));
	return st;
}

void put(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = FD(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	if (len)
		EQ(write(fd, text, len), len);
	OK(close(fd));
}

int open_rw(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail(HERE, "open %s for writing: expected success, came %s", path,
		     errno_name(errno));
	return fd;
}

struct dirent *next(DIR *d)
{
	errno = 0;
	return readdir(d); /* NOLINT(concurrency-mt-unsafe): one thread */
}

void pause_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	(void)nanosleep(&t, NULL);
}

void tick(void)
{
	struct timespec begin, now;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &begin);
	do {
		pause_ms(1);
		(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (!moved(&now, &begin));
}

/* ---------------------------------------------------------------- children */

bool start(pid_t *pid)
{
	*pid = fork();
	if (*pid < 0)
		fail(HERE, "fork: %s", errno_name(errno));
	if (*pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return *pid == 0;
}

void child_end(void)
{
	_exit(0);
}

void join(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail(HERE, "wait: %s", errno_name(errno));
	if (WIFSIGNALED(status))
		fail(HERE, "a child died of signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status)); /* it has said why */
}

bool child_same(void)
{
	pid_t pid;
	if (start(&pid))
		return true;
	join(pid);
	return false;
}

bool child_as(uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	if (!child_same())
		return false;
	OK(setgroups(n, groups));
	OK(setresgid(gid, gid, gid));
	OK(setresuid(uid, uid, uid)); /* drops all capabilities */
	return true;
}
