/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the daemon's processes may not do once they are confined, each in a process of its own; and what they still can.
 */
#include "cow_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sanitized.h"
#include "confine.h"

#define SKIP 77

/* Does @act in a process that is confined. Return: its exit status, or the signal that ended it, negative. */
static int confined(enum cow_tftp_part part, int (*act)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct cow_err err = COW_ERR_INIT;

		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core of a death that is wanted */
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || cow_tftp_confine(part, &err) < 0)
			_exit(100);
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int make_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int open_to_write(void)
{
	return result(openat(AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC));
}

static int make_file(void)
{
	return result(openat(AT_FDCWD, "/tmp/cow-confined", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int open_to_read(void)
{
	return result(openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC));
}

static int allocate(void)
{
	char *p = malloc(8 << 20);

	if (!p)
		return ENOMEM;
	memset(p, 1, 8 << 20);
	free(p);
	return 0;
}

static int remove_file(void)
{
	return result(unlink("/tmp/cow-confined"));
}

static int kill_another(void)
{
	return result(kill(getppid(), 0));
}

static int type_into_a_terminal(void)
{
	return result(ioctl(0, TIOCSTI, "x"));
}

static int run_a_program(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	return result(execv("/bin/true", argv));
}

static int start_a_process(void)
{
	return result(fork());
}

static int trace(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static void what_is_not_on_the_list_is_refused(void **state)
{
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, make_socket), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, open_to_write), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, make_file), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, remove_file), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, kill_another), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, type_into_a_terminal), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_MARKS, make_socket), ENOSYS);
	assert_int_equal(confined(COW_TFTP_PART_MARKS, open_to_read), ENOSYS);
}

static void what_takes_over_a_machine_ends_the_process(void **state)
{
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, run_a_program), -SIGSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, start_a_process), -SIGSYS);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, trace), -SIGSYS);
	assert_int_equal(confined(COW_TFTP_PART_MARKS, run_a_program), -SIGSYS);
}

static void files_can_be_read_and_memory_had(void **state)
{
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, open_to_read), 0);
	assert_int_equal(confined(COW_TFTP_PART_NETWORK, allocate), 0);
	assert_int_equal(confined(COW_TFTP_PART_MARKS, allocate), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_on_the_list_is_refused),
	    cmocka_unit_test(what_takes_over_a_machine_ends_the_process),
	    cmocka_unit_test(files_can_be_read_and_memory_had),
	};

#if COW_SANITIZED
	(void)fprintf(stderr, "SKIPPED: a sanitizer needs calls that are forbidden else\n");
	return SKIP;
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
