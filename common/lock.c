/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Lock files: open-file-description locks, so that threads of one process exclude each other too
 * and a crash leaves nothing to clean.
 */
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"

int cow_lock_at(int dirfd, const char *name, unsigned timeout_ms)
{
	cow_autoclose int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	uint64_t deadline = cow_now_ms() + timeout_ms;

	for (;;) {
		if (fcntl(fd, F_OFD_SETLK, &lk) == 0)
			return cow_steal_fd(&fd);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		if (cow_now_ms() >= deadline)
			return -EBUSY;
		struct timespec pause = {.tv_nsec = 5000000};
		(void)nanosleep(&pause, NULL); /* shorter is fine */
	}
}
