/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The kernel's end of a session: mount(2), and what libfuse 3.14 cannot ask for.
 *
 * FUSE_HANDLE_KILLPRIV_V2 says that we take setuid, setgid and capabilities from a file that is
 * written to. Without it the kernel asks for security.capability before each write, one more round
 * trip. The flag is added to libfuse's answer to INIT on its way out, where the library does not know
 * it. Source: linux/fuse.h.
 */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"

int cow_kernel_mount(const char *point, const char *source, bool read_only, struct cow_err *err)
{
	char data[128];
	cow_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return cow_err_set(err, -errno, "open /dev/fuse: does this kernel have FUSE?");
	(void)snprintf(data, sizeof(data),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
		       fd);
	if (mount(source, point, "fuse.cowherd", read_only ? MS_RDONLY : 0, data) < 0)
		return cow_err_set(err, -errno, "mount on '%s'", point);
	return cow_steal_fd(&fd);
}

/* The first request is INIT, and nothing else comes before its answer. */
static ssize_t take_request(int fd, void *buf, size_t len, void *ctx)
{
	struct cow_front *f = ctx;
	ssize_t n = cow_turn_read(&f->turn, fd, buf, len);
	const struct fuse_in_header *head = buf;
	if (n < (ssize_t)sizeof(*head) || f->init != COW_INIT_NOT_SEEN)
		return n;
	const struct fuse_init_in *in = (const void *)(head + 1);
	bool offered = head->opcode == FUSE_INIT && (size_t)n >= sizeof(*head) + 16 &&
		       in->flags & FUSE_HANDLE_KILLPRIV_V2;
	f->init = offered ? COW_INIT_TO_ANSWER : COW_INIT_DONE;
	return n;
}

static ssize_t give_answer(int fd, struct iovec *iov, int count, void *ctx)
{
	struct cow_front *f = ctx;
	if (f->init == COW_INIT_TO_ANSWER && count == 2 &&
	    iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
		struct fuse_init_out *out = iov[1].iov_base;
		out->flags |= FUSE_HANDLE_KILLPRIV_V2;
		f->init = COW_INIT_DONE;
	}
	return writev(fd, iov, count);
}

#if FUSE_USE_VERSION >= 317
/* A thread's own descriptor of the same session, as libfuse makes it where it mounts itself. */
static int clone_fd(int master)
{
	uint32_t arg = (uint32_t)master;
	cow_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FUSE_DEV_IOC_CLONE, &arg) < 0)
		return -1;
	return cow_steal_fd(&fd);
}
#endif

int cow_kernel_connect(struct cow_front *f, int fd)
{
	static const struct fuse_custom_io io = {
		.read = take_request,
		.writev = give_answer,
#if FUSE_USE_VERSION >= 317
		.clone_fd = clone_fd,
#endif
	};
#if FUSE_USE_VERSION >= 317
	return fuse_session_custom_io(f->se, &io, sizeof(io), fd);
#else
	return fuse_session_custom_io(f->se, &io, fd);
#endif
}
