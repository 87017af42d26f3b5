/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * posix - what Linux promises of a file system, as ext4 keeps it; docs/posix.md.
 *
 *	posix [--only PATTERN] DIR	each check in a fresh directory below DIR
 *	posix --lower-setup DIR		only make the objects of all checks, in DIR/NAME
 *	posix --lower DIR		the same checks on these objects, in an overlay over DIR or a
 *					copy; NAME is printed as NAME@lower
 *	posix --list
 *
 * PATTERN is a glob of names. One line per check: "ok NAME", "FAIL NAME: what was expected, what came",
 * "SKIP NAME: why". What a check made is removed after it, and a removal that fails is a failure.
 * Exit status: 0 none failed, 1 some, 2 trouble. Needs root.
 */
#include "frame.h"

#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/fs.h"

#define CHECK_SECONDS 60

static const struct topic *const topics[] = {
    &topic_files,    &topic_dirs,   &topic_links,   &topic_rename,  &topic_mode,
    &topic_owner,    &topic_access, &topic_times,   &topic_xattr,   &topic_acl,
    &topic_truncate, &topic_open,   &topic_io,	    &topic_mmap,    &topic_fallocate,
    &topic_unlinked, &topic_locks,  &topic_readdir, &topic_special, &topic_statfs,
    &topic_full,     &topic_races,
};

static enum { RUN_FRESH, RUN_LOWER, RUN_SETUP, RUN_LIST } mode;
static const char *only = "*";
static unsigned long failures;

static void __attribute__((noreturn)) trouble(const char *what)
{
	(void)fprintf(stderr, "posix: %s: %s\n", what, strerrordesc_np(errno));
	exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

/* ---------------------------------------------------------------- one check */

static void prepare(const struct check *c)
{
	mode_t mask = umask(0);
	make_objects(c->needs);
	if (c->prepare)
		c->prepare();
	(void)umask(mask);
}

static void __attribute__((noreturn)) body(int dirfd, const struct check *c)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(CHECK_SECONDS);
	if (mode != RUN_LOWER)
		OK(mkdirat(dirfd, c->name, 0755));
	int fd = FD(openat(dirfd, c->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	OK(fchdir(fd));
	OK(close(fd));
	subject = c->subject;
	(void)umask(022);
	if (mode != RUN_LOWER)
		prepare(c);
	if (mode != RUN_SETUP)
		c->run();
	_exit(0);
}

static void tell(const char *status, const struct check *c, const char *why)
{
	if (mode == RUN_SETUP && strcmp(status, "ok") == 0)
		return;
	(void)printf("%s %s%s%s%s\n", status, c->name, mode == RUN_LOWER ? "@lower" : "",
		     *why ? ": " : "", why);
	(void)fflush(stdout);
}

/* Over NFS a removed file has a name for as long as it is open, and the kernel may close what a process had
 * open some time after its end. */
static int remove_all(int dirfd, const char *name)
{
	int r = cow_rm_rf_at(dirfd, name, 0);
	for (int i = 0; i < 200 && (r == -ENOTEMPTY || r == -EBUSY); i++) {
		pause_ms(10);
		r = cow_rm_rf_at(dirfd, name, 0);
	}
	return r;
}

static void run_check(int dirfd, const struct check *c)
{
	struct verdict *v = frame_verdict();
	int status;
	*v->text = 0;
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		trouble("fork");
	if (pid == 0)
		body(dirfd, c);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			trouble("wait");
	(void)kill(-pid, SIGKILL); /* children it left */
	bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED;
	if (WIFSIGNALED(status))
		(void)snprintf(v->text, sizeof(v->text), "expected an end, came signal %d%s",
			       WTERMSIG(status),
			       WTERMSIG(status) == SIGALRM ? " (out of time)" : "");
	int r = mode == RUN_SETUP ? 0 : remove_all(dirfd, c->name);
	if (r < 0 && (skipped || status == 0)) {
		(void)snprintf(v->text, sizeof(v->text),
			       "removing its directory: expected success, came %s",
			       strerrorname_np(-r));
		skipped = false;
		status = 1;
	}
	failures += status != 0 && !skipped;
	tell(status == 0 ? "ok" : skipped ? "SKIP" : "FAIL", c, v->text);
}

static void run_all(int dirfd)
{
	for (size_t t = 0; t < sizeof(topics) / sizeof(*topics); t++)
		for (size_t k = 0; k < topics[t]->n; k++) {
			const struct check *c = &topics[t]->checks[k];
			if (fnmatch(only, c->name, 0) != 0)
				continue;
			if (mode == RUN_LIST)
				(void)puts(c->name);
			else
				run_check(dirfd, c);
		}
}

/* ---------------------------------------------------------------- main */

static void __attribute__((noreturn)) usage(void)
{
	(void)fputs("usage: posix [--lower | --lower-setup] [--only PATTERN] DIR | --list\n",
		    stderr);
	exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"only", 1, NULL, 'o'},
	    {"lower", 0, NULL, RUN_LOWER},
	    {"lower-setup", 0, NULL, RUN_SETUP},
	    {"list", 0, NULL, RUN_LIST},
	    {NULL, 0, NULL, 0},
	};
	int c;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c == 'o')
			only = optarg;
		else if (c == RUN_LOWER || c == RUN_SETUP || c == RUN_LIST)
			mode = c;
		else
			usage();
	if (argc - optind != (mode == RUN_LIST ? 0 : 1))
		usage();
	cow_autoclose int fd = -1;
	if (mode != RUN_LIST) {
		fd = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			trouble(argv[optind]);
		if (geteuid() != 0) {
			errno = EPERM;
			trouble("needs root");
		}
	}
	run_all(fd);
	return failures ? 1 : 0;
}
