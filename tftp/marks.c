/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The reader of marks: see marks.h. Questions and answers are packets of a local socket, one at a
 * time: a name with the file attached, then the result (bytes or -errno) with the value.
 */
#include "marks.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "confine.h"
#include "overlay/overlay.h"
#include "privileges.h"

#define NAME_MAX_LEN 63
#define VALUE_MAX 256 /* the longest that observers ask for has 20 bytes */

struct answer {
	int32_t result;
	uint8_t value[VALUE_MAX];
};

/* Of the process: the engine's hook has no context. */
static int to_reader = -1;
static pid_t reader_pid;

/* ---------------------------------------------------------------- the reader */

/* Return: length of the name; 0 the other end is gone; -EBADMSG one without exactly one file. */
static ssize_t take_question(int sock, char name[NAME_MAX_LEN + 1], int *ret_fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = name, .iov_len = NAME_MAX_LEN};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t len;

	do {
		len = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len <= 0)
		return 0;
	name[len] = '\0';
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return len;
}

static _Noreturn void read_marks(int sock)
{
	for (;;) {
		char name[NAME_MAX_LEN + 1];
		struct answer a;
		cow_autoclose int fd = -1;
		ssize_t len = take_question(sock, name, &fd);

		if (len == 0)
			_exit(0);
		if (len > 0)
			len = cow_ovl_mark_read(fd, name, a.value, sizeof(a.value));
		a.result = (int32_t)len;
		len = len > 0 ? len : 0;
		if (send(sock, &a, offsetof(struct answer, value) + (size_t)len, MSG_NOSIGNAL) < 0)
			_exit(0);
	}
}

/* Nothing of the daemon's but the socket and standard error stays open. */
static _Noreturn void be_reader(int sock, const char *user)
{
	struct cow_err err = COW_ERR_INIT;

	if (dup2(sock, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(1);
	(void)prctl(PR_SET_NAME, "tftpd-marks", 0, 0, 0);
	if (cow_tftp_drop_privileges(user, CAP_SYS_ADMIN, &err) < 0) {
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
		_exit(1);
	}
	/* After the ids, whose change takes it back. Our parent may be gone by now: the socket tells. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (cow_tftp_confine(COW_TFTP_PART_MARKS, &err) < 0) {
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
		_exit(1);
	}
	read_marks(3);
}

/* ---------------------------------------------------------------- the daemon */

static int ask(int fd, const char *name, struct answer *ret, size_t *ret_len)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (char *)(uintptr_t)name, .iov_len = strlen(name)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(to_reader, &m, MSG_NOSIGNAL) < 0)
		return -errno;
	ssize_t len = recv(to_reader, ret, sizeof(*ret), 0);

	if (len < (ssize_t)offsetof(struct answer, value))
		return len < 0 ? -errno : -EPIPE;
	*ret_len = (size_t)len - offsetof(struct answer, value);
	return 0;
}

static ssize_t read_mark(int fd, const char *name, void *buf, size_t len)
{
	struct answer a = {0};
	size_t got = 0;
	int r = ask(fd, name, &a, &got);

	if (r < 0) {
		/* Whoever started us does so again, with a new one. */
		cow_log(COW_LOG_ERROR, "the reader of marks is gone: %s", strerrorname_np(-r));
		_exit(1);
	}
	if (a.result < 0)
		return a.result;
	if (len == 0) /* asks for the size */
		return (ssize_t)got;
	if (got > len)
		return -ERANGE;
	memcpy(buf, a.value, got);
	return (ssize_t)got;
}

int cow_tftp_marks_start(const char *user, struct cow_err *err)
{
	int pair[2];

	if (geteuid() != 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cow_err_set(err, -errno, "make a socket for the reader of marks");
	reader_pid = fork();
	if (reader_pid == 0)
		be_reader(pair[1], user);
	(void)close(pair[1]);
	if (reader_pid < 0) {
		(void)close(pair[0]);
		return cow_err_set(err, -errno, "start the reader of marks");
	}
	to_reader = pair[0];
	cow_ovl_set_mark_reader(read_mark);
	return 0;
}

void cow_tftp_marks_stop(void)
{
	if (to_reader < 0)
		return;
	(void)close(to_reader);
	to_reader = -1;
	(void)waitpid(reader_pid, NULL, 0);
}
