/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Both ends of a push, an export to a pipe and an import of what comes out of it. Either end is killed at each of its
 * system calls, or has each of its calls failing once, or the stream ends anywhere. The other end ends by itself and
 * says why; the store has the version whole or not at all, and the same again succeeds (I2, I3).
 */
#include "archive_world.h"

#include <sys/wait.h>

/* How a process ended. */
enum end {
	WELL,	     /* and undisturbed */
	WELL_ANYWAY, /* one of its calls had failed */
	FAILED,	     /* and said so */
	BADLY,	     /* failed undisturbed, or without a word */
	KILLED,
};

struct fault {
	enum { NONE, CALL, KILL } what;
	int errnum;
	unsigned long nth;
};

static void arm(const struct fault *f)
{
	if (f->what == KILL)
		fault_arm_kill(f->nth);
	else if (f->what == CALL)
		fault_arm(f->errnum, f->nth);
}

/* In a process of its own: send @since..two to @fd, or take img from it. @apart: not for it. */
static pid_t start(bool receiver, const struct cow_image *since, int fd, int apart,
		   const struct fault *f)
{
	struct cow_err err = COW_ERR_INIT;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	(void)close(apart);
	if (receiver && dup2(fd, STDIN_FILENO) < 0)
		_exit(BADLY);
	arm(f);
	int r = receiver ? import_as(to, "img", COW_IMPORT_STDIN, NULL, &err)
			 : export_as(NULL, fd, since, NULL, &err);
	bool fired = fault_disarm();
	if (r == 0)
		_exit(fired ? WELL_ANYWAY : WELL);
	if (says(&err) && (f->what == NONE || fired))
		_exit(FAILED);
	(void)fprintf(stderr, "%d after %s: '%s'\n", r, f->what == NONE ? "" : fault_where(),
		      cow_err_str(&err));
	_exit(BADLY);
}

static enum end end_of(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? KILLED : (enum end)WEXITSTATUS(status);
}

struct ends {
	enum end sender, receiver;
};

static struct ends push(const struct cow_image *since, const struct fault *at_sender,
			const struct fault *at_receiver)
{
	int pipe_fds[2];
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t receiver = start(true, since, pipe_fds[0], pipe_fds[1], at_receiver);
	pid_t sender = start(false, since, pipe_fds[1], pipe_fds[0], at_sender);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	struct ends e = {.sender = end_of(sender)};
	e.receiver = end_of(receiver);
	return e;
}

static bool is_well(enum end e)
{
	return e == WELL || e == WELL_ANYWAY;
}

static void check(bool done, const struct cow_image *since)
{
	static const struct fault none = {NONE, 0, 0};
	if (check_left(done, true) == 0) {
		struct ends e = push(since, &none, &none);
		assert_int_equal(e.sender, WELL);
		assert_int_equal(e.receiver, WELL);
	}
	assert_int_equal(look_at_all(true), 1);
}

/* Return: did it come to it? */
static bool disturb(bool at_receiver, const struct cow_image *since, const struct fault *f)
{
	static const struct fault none = {NONE, 0, 0};
	only_base();
	struct ends e = push(since, at_receiver ? &none : f, at_receiver ? f : &none);
	enum end armed = at_receiver ? e.receiver : e.sender;
	if (e.sender == BADLY || e.receiver == BADLY ||
	    (is_well(e.sender) && !at_receiver && !is_well(e.receiver)))
		fail_msg("%s %d at %lu of %s: sender %d, receiver %d",
			 f->what == KILL ? "killed" : "errno", f->errnum, f->nth,
			 at_receiver ? "the receiver" : "the sender", (int)e.sender,
			 (int)e.receiver);
	check(is_well(e.receiver), since);
	return armed != WELL;
}

static void disturb_each(bool at_receiver, const struct cow_image *since, unsigned brief)
{
	static const int errnums[] = {0, EIO};
	unsigned long faults = 0, kills = 0, step = step_of(brief);
	for (size_t e = 0; e < sizeof(errnums) / sizeof(*errnums); e++)
		for (struct fault f = {CALL, errnums[e], 0}; disturb(at_receiver, since, &f);
		     f.nth += step)
			faults++;
	for (struct fault f = {KILL, 0, 0}; disturb(at_receiver, since, &f); f.nth += step)
		kills++;
	print_message("push%s, %s: %lu faults, %lu kills\n", since ? " of a difference" : "",
		      at_receiver ? "receiver" : "sender", faults, kills);
	assert_true(faults > 10 && kills > 4); /* else it tests nothing */
}

static void a_push_whose_sender_fails_or_dies(void **state)
{
	(void)state;
	disturb_each(false, NULL, 7);
	disturb_each(false, one, 7);
}

static void a_push_whose_receiver_fails_or_dies(void **state)
{
	(void)state;
	disturb_each(true, NULL, 29);
	disturb_each(true, one, 29);
}

/* The first @len bytes come, and the end. */
static void cut(const struct bytes *archive, size_t len, const struct cow_image *since)
{
	static const struct fault none = {NONE, 0, 0};
	int pipe_fds[2];
	only_base();
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t pid = start(true, since, pipe_fds[0], pipe_fds[1], &none);
	(void)close(pipe_fds[0]);
	int r = cow_write_full(pipe_fds[1], archive->p, len);
	(void)close(pipe_fds[1]);
	enum end e = end_of(pid);
	assert_true(r == 0 || e != WELL);
	assert_int_equal(e, len == archive->len ? WELL : FAILED);
	check(e == WELL, since);
}

static void cut_each(const struct bytes *archive, const struct cow_image *since)
{
	unsigned long n = 0;
	for (size_t len = 0; len < archive->len; len += step_of(16) * 16 + 1, n++)
		cut(archive, len, since);
	cut(archive, archive->len, since);
	print_message("push%s, cut after %lu lengths\n", since ? " of a difference" : "", n);
	assert_true(n > 4);
}

static void a_push_whose_stream_ends_early(void **state)
{
	(void)state;
	cut_each(&full, NULL);
	cut_each(&difference, one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_push_whose_sender_fails_or_dies),
	    cmocka_unit_test(a_push_whose_receiver_fails_or_dies),
	    cmocka_unit_test(a_push_whose_stream_ends_early),
	};
	if (geteuid() != 0) {
		(void)fputs("needs root: owners and trusted attributes\n", stderr);
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
