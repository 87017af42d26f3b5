/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * File handles of the upper file system: name_to_handle_at(2) and open_by_handle_at(2) in our terms.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "internal.h"

/* ext4 says ENOMEM for the handle of a dead inode whose number is just being given to a new one
 * (iget_locked() finds it in creation); when that is over it is the ESTALE it should be. Mostly at
 * once, but the creation may have to wait for the journal, so as long as a slow disk keeps that. */
#define REUSE_YIELDS 100
#define REUSE_WAIT_MS 5000

static int fh_read(int dirfd, const char *name, int flags, struct cow_fh *ret, int *ret_mnt_id)
{
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + COW_FH_MAX] = {0};
	struct file_handle *h = (struct file_handle *)buf;
	h->handle_bytes = COW_FH_MAX;
	if (name_to_handle_at(dirfd, name, h, ret_mnt_id, flags) < 0)
		return cow_nerr();
	if (h->handle_bytes == 0 || h->handle_bytes > COW_FH_MAX || h->handle_type < 0 ||
	    h->handle_type > UINT8_MAX)
		return -EOVERFLOW;
	memset(ret, 0, sizeof(*ret));
	ret->type = (uint8_t)h->handle_type;
	ret->len = (uint8_t)h->handle_bytes;
	memcpy(ret->bytes, h->f_handle, h->handle_bytes);
	return 0;
}

int cow_fh_of(int fd, struct cow_fh *ret, int *ret_mnt_id)
{
	return fh_read(fd, "", AT_EMPTY_PATH, ret, ret_mnt_id);
}

int cow_fh_of_name(int dirfd, const char *name, struct cow_fh *ret, int *ret_mnt_id)
{
	return fh_read(dirfd, name, 0, ret, ret_mnt_id);
}

/* Wait a little for ENOMEM to become another answer. Return: false when it has been long enough. */
static bool reuse_wait(unsigned nth)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	if (nth < REUSE_YIELDS)
		(void)sched_yield();
	else
		(void)nanosleep(&ms, NULL);
	return nth < REUSE_YIELDS + REUSE_WAIT_MS;
}

int cow_fh_open(struct cow_ovl_inst *i, const struct cow_fh *fh, int flags)
{
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + COW_FH_MAX] = {0};
	struct file_handle *h = (struct file_handle *)buf;
	int fd, r;
	unsigned n = 0;
	h->handle_bytes = fh->len;
	h->handle_type = fh->type;
	memcpy(h->f_handle, fh->bytes, fh->len);
	do {
		fd = COW_FD_TRY(open_by_handle_at(i->treefd, h, flags));
		r = fd < 0 ? cow_nerr() : 0;
	} while (r == -ENOMEM && reuse_wait(n++));
	if (r < 0)
		return r;
	atomic_fetch_add(&i->fd_opens, 1);
	return fd;
}
