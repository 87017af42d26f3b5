/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The attributes of idattr.h, read and written through an fd of any level. The kernel's `origin` is
 *
 *	0 version = 0 | 1 magic = 0xfb | 2 length of it all | 3 flags = 0 (little endian host)
 *	4 handle type | 5 uuid[16] of the lower file system | 21 handle
 *
 * and lets the kernel show the lower file's inode number when it mounts our upper. We only look
 * whether it is there.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/checked.h"
#include "idattr.h"
#include "internal.h"

#define ORIGIN_HANDLE_MAX 128 /* MAX_HANDLE_SZ */

static ssize_t get_direct(int fd, const char *name, void *buf, size_t len)
{
	char path[COW_PROC_PATH_LEN];
	cow_proc_path(fd, path);
	ssize_t got = getxattr(path, name, buf, len);
	return got < 0 ? cow_nerr() : got;
}

/* Set before the first attach, only read after it. */
static ssize_t (*get)(int fd, const char *name, void *buf, size_t len) = get_direct;

void cow_ovl_set_mark_reader(ssize_t (*read)(int fd, const char *name, void *buf, size_t len))
{
	get = read ? read : get_direct;
}

ssize_t cow_ovl_mark_read(int fd, const char *name, void *buf, size_t len)
{
	static const char *const marks[] = {COW_XA_ID, COW_XA_OPAQUE, COW_XA_REDIRECT,
					    COW_XA_ORIGIN, COW_XA_IMPURE};
	for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++)
		if (strcmp(name, marks[k]) == 0)
			return get_direct(fd, name, buf, len);
	return -EPERM;
}

/* xattr(7): without CAP_SYS_ADMIN attributes trusted.* seem absent. */
bool cow_ident_can_read(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	if (get != get_direct || syscall(SYS_capget, &head, data) < 0)
		return true;
	return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

static int set(int fd, const char *name, const void *value, size_t len)
{
	char path[COW_PROC_PATH_LEN];
	cow_proc_path(fd, path);
	return setxattr(path, name, value, len, 0) < 0 ? cow_nerr() : 0;
}

/* Is there an attribute whose value is "y"? */
static int get_flag(int fd, const char *name)
{
	char value;
	ssize_t got = get(fd, name, &value, 1);
	if (got == -ENODATA || got == -ERANGE || got == -EOPNOTSUPP)
		return 0;
	return got < 0 ? (int)got : got == 1 && value == 'y';
}

int cow_ident_read(struct cow_ovl_inst *i, int fd, uint32_t *ret)
{
	struct cow_id_attr attr;
	*ret = 0;
	ssize_t got = get(fd, COW_XA_ID, &attr, sizeof(attr));
	if (got == -ENODATA)
		return 0;
	if (got == -ERANGE)
		return -EBADMSG;
	if (got < 0)
		return (int)got;
	if (got != sizeof(attr) || memcmp(attr.lineage, i->rec.lineage, sizeof(attr.lineage)) != 0)
		return -EBADMSG;
	*ret = cow_get_le32(attr.number);
	return 0;
}

int cow_ident_write(struct cow_ovl_inst *i, int fd, uint32_t number)
{
	struct cow_id_attr attr;
	memcpy(attr.lineage, i->rec.lineage, sizeof(attr.lineage));
	cow_put_le32(attr.number, number);
	return set(fd, COW_XA_ID, &attr, sizeof(attr));
}

int cow_opaque_read(int fd)
{
	return get_flag(fd, COW_XA_OPAQUE);
}

int cow_opaque_write(int fd)
{
	return set(fd, COW_XA_OPAQUE, "y", 1);
}

int cow_redirect_write(struct cow_ovl_inst *i, int fd, uint32_t number)
{
	char path[COW_PATH_MAX + 2] = "/";
	ssize_t len = cow_man_path(i->img, number, path + 1, sizeof(path) - 1);
	return len < 0 ? (int)len : set(fd, COW_XA_REDIRECT, path, (size_t)len + 1);
}

int cow_origin_has(int fd)
{
	ssize_t got = get(fd, COW_XA_ORIGIN, NULL, 0);
	if (got == -ENODATA)
		return 0;
	return got < 0 ? (int)got : 1;
}

/* Without a handle or UUID of the lower file system the kernel writes an empty one: "it came from
 * below, nobody knows whence". */
int cow_origin_write(int fd, int lowfd, int fsfd)
{
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + ORIGIN_HANDLE_MAX];
	struct file_handle *h = (struct file_handle *)buf;
	uint8_t origin[COW_ORIGIN_HEAD + ORIGIN_HANDLE_MAX];
	static const uint8_t zeros[COW_REC_UUID_LEN];
	int mnt_id;
	h->handle_bytes = ORIGIN_HANDLE_MAX;
	cow_fs_uuid(fsfd, origin + 5);
	if (memcmp(origin + 5, zeros, sizeof(zeros)) == 0 ||
	    name_to_handle_at(lowfd, "", h, &mnt_id, AT_EMPTY_PATH) < 0 || h->handle_type < 0 ||
	    h->handle_type >= UINT8_MAX || h->handle_bytes > ORIGIN_HANDLE_MAX)
		return set(fd, COW_XA_ORIGIN, NULL, 0);
	origin[0] = 0;
	origin[1] = COW_ORIGIN_MAGIC;
	origin[2] = (uint8_t)(COW_ORIGIN_HEAD + h->handle_bytes);
	origin[3] = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	origin[4] = (uint8_t)h->handle_type;
	memcpy(origin + COW_ORIGIN_HEAD, h->f_handle, h->handle_bytes);
	return set(fd, COW_XA_ORIGIN, origin, origin[2]);
}

int cow_impure_get(int fd)
{
	return get_flag(fd, COW_XA_IMPURE);
}

int cow_impure_set(int fd)
{
	return set(fd, COW_XA_IMPURE, "y", 1);
}

enum {
	IMPURE_UNKNOWN,
	IMPURE_NO,
	IMPURE_YES,
};

int cow_impure_is(struct cow_ovl_node *dir, int dirfd)
{
	cow_autofd f = NULL;
	int known = atomic_load(&dir->impure_known);
	if (known != IMPURE_UNKNOWN)
		return known == IMPURE_YES;
	int r = dirfd >= 0 ? 0 : cow_fd_get(dir, COW_FD_PATH, &f);
	if (r == 0)
		r = get_flag(dirfd >= 0 ? dirfd : f->fd, COW_XA_IMPURE);
	if (r < 0)
		return r;
	/* An observer's directory may be marked by a server at any time. */
	if (r == 1 || !(dir->inst->flags & COW_OVL_OBSERVER)) {
		int unknown = IMPURE_UNKNOWN; /* never over a YES of cow_impure_need() */
		(void)atomic_compare_exchange_strong(&dir->impure_known, &unknown,
						     r ? IMPURE_YES : IMPURE_NO);
	}
	return r;
}

int cow_impure_need(struct cow_ovl_node *dir, int dirfd)
{
	if (atomic_load(&dir->impure_known) == IMPURE_YES)
		return 0;
	int r = cow_impure_set(dirfd);
	if (r == 0)
		atomic_store(&dir->impure_known, IMPURE_YES);
	return r;
}
