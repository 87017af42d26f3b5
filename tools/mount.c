/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See mount.h.
 */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/cleanup.h"
#include "find_own.h"

#define FUSE_PROGRAM "cowherd-fuse"
#define FUSE_TYPE "fuse.cowherd"
#define SOURCE_PREFIX "cowherd:"
#define WORDS_MAX 16

/* ---------------------------------------------------------------- start */

struct words {
	const char *v[WORDS_MAX];
	size_t n;
};

static void add(struct words *w, const char *word)
{
	w->v[w->n++] = word;
}

static void words_of(const struct cow_mount *m, const char *fd, struct words *w)
{
	*w = (struct words){0};
	add(w, FUSE_PROGRAM);
	add(w, "--status-fd");
	add(w, fd);
	if (m->read_only)
		add(w, "--read-only");
	if (m->writeback)
		add(w, "--writeback");
	if (m->client) {
		add(w, "--store");
		add(w, m->store);
		add(w, "--client");
		add(w, m->client);
	}
	if (m->image) {
		add(w, "--image");
		add(w, m->image);
	}
	add(w, "--");
	if (m->root)
		add(w, m->root);
	add(w, m->point);
	add(w, NULL);
}

static int find_program(char **ret, struct cow_err *err)
{
	cow_autofree char *dir = NULL;
	int r = cow_find_own("", "COWHERD_LIBEXEC", "fuse", COW_LIBEXECDIR, FUSE_PROGRAM, X_OK,
			     &dir, err);
	if (r < 0)
		return cow_err_hint(
		    err, r,
		    "it was not built without libfuse3-dev: run tools/setup and build "
		    "again.");
	return asprintf(ret, "%s/" FUSE_PROGRAM, dir) < 0 ? cow_err_set(err, -ENOMEM, FUSE_PROGRAM)
							  : 0;
}

/* Only calls that are safe between fork and exec. */
static _Noreturn void run_child(const struct cow_mount *m, const char *program,
				const struct words *w, int status_fd, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		(void)dup2(null, STDIN_FILENO);
	(void)setsid(); /* no ^C of the terminal: it ends when it is unmounted */
	if (m->child && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
		_exit(1);
	(void)fcntl(status_fd, F_SETFD, 0);
	(void)execv(program, (char *const *)(uintptr_t)w->v);
	_exit(127);
}

/* "ok", or the exit status and a message, or nothing when it died. */
static int read_status(int fd, struct cow_err *err)
{
	char text[COW_ERR_TEXT_MAX + 16];
	size_t len = 0;
	while (len < sizeof(text) - 1) {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "ok") == 0)
		return 0;
	char *message = strchr(text, ' ');
	uint64_t status;
	if (!message)
		return cow_err_say(err, COW_ERR_FAILED, -EIO,
				   FUSE_PROGRAM " ended before it mounted");
	*message++ = '\0';
	if (cow_parse_u64(text, 1, 255, &status) < 0)
		status = COW_ERR_FAILED;
	return cow_err_say(err, (enum cow_err_code)status, status == COW_ERR_BUSY ? -EBUSY : -EIO,
			   "%s", message);
}

int cow_mount_start(const struct cow_mount *m, pid_t *ret_pid, struct cow_err *err)
{
	cow_autofree char *program = NULL;
	char fd_text[16];
	struct words w;
	int pipe_fd[2];
	int r = find_program(&program, err);
	if (r != 0 || !program)
		return r;
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return cow_err_set(err, -errno, "start " FUSE_PROGRAM);
	(void)snprintf(fd_text, sizeof(fd_text), "%d", pipe_fd[1]);
	words_of(m, fd_text, &w);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		run_child(m, program, &w, pipe_fd[1], parent);
	r = pid < 0 ? cow_err_set(err, -errno, "start " FUSE_PROGRAM) : 0;
	(void)close(pipe_fd[1]);
	if (r == 0)
		r = read_status(pipe_fd[0], err);
	(void)close(pipe_fd[0]);
	if (r < 0 && pid > 0)
		(void)waitpid(pid, NULL, 0); /* it has said why */
	if (r == 0 && m->child)
		*ret_pid = pid;
	return r;
}

int cow_mount_wait(pid_t pid, struct cow_err *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cow_err_set(err, -errno, "wait for " FUSE_PROGRAM);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return cow_err_say(err, COW_ERR_FAILED, -EIO,
			   FUSE_PROGRAM " failed; its last changes may not be on disk");
}

/* ---------------------------------------------------------------- find */

static const char *client_of(struct libmnt_fs *fs)
{
	const char *source = mnt_fs_get_source(fs);
	if (!source || strncmp(source, SOURCE_PREFIX, strlen(SOURCE_PREFIX)) != 0)
		return "";
	return source + strlen(SOURCE_PREFIX);
}

int cow_mount_each(const char *client, int (*fn)(void *ctx, const char *client, const char *point),
		   void *ctx, struct cow_err *err)
{
	struct libmnt_fs *fs;
	int r = 0;
	struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_BACKWARD);
	if (!table || !iter)
		r = cow_err_set(err, -errno, "read the list of mounts");
	while (r == 0 && mnt_table_next_fs(table, iter, &fs) == 0) {
		const char *type = mnt_fs_get_fstype(fs);
		if (!type || strcmp(type, FUSE_TYPE) != 0)
			continue;
		if (!client || strcmp(client_of(fs), client) == 0)
			r = fn(ctx, client_of(fs), mnt_fs_get_target(fs));
	}
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return r;
}
