/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "origin_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "idattr.h"
#include "internal.h"

static int by_ino(const void *a, const void *b)
{
	const struct cow_inode_number *x = a, *y = b;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* One stat for each object of the image. */
static int fill(struct cow_origin_map *m, const struct cow_ovl_image *img)
{
	struct cow_ovl_image_info info;
	struct stat st;
	cow_ovl_image_info(img, &info);
	m->v = calloc(info.inodes + 1, sizeof(*m->v));
	if (!m->v)
		return -ENOMEM;
	if (fstat(cow_man_rootfd(img), &st) < 0)
		return cow_nerr();
	m->dev = st.st_dev;
	for (uint32_t k = 1; k < info.next_number; k++) {
		if (!cow_man_has(img, k))
			continue;
		cow_autoclose int fd = cow_man_open(img, k, O_PATH);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return cow_nerr();
		m->v[m->n++] = (struct cow_inode_number){.ino = st.st_ino, .number = k};
	}
	qsort(m->v, m->n, sizeof(*m->v), by_ino);
	m->filled = true;
	return 0;
}

/* The lower object an origin names, if it still does. -1: it does not. */
static int open_origin(const struct cow_ovl_image *img, int fd)
{
	char path[COW_PROC_PATH_LEN];
	uint8_t origin[UINT8_MAX + 1], uuid[COW_REC_UUID_LEN];
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + UINT8_MAX];
	struct file_handle *h = (struct file_handle *)buf;
	cow_proc_path(fd, path);
	ssize_t len = getxattr(path, COW_XA_ORIGIN, origin, sizeof(origin));
	if (len <= COW_ORIGIN_HEAD || origin[0] != 0 || origin[1] != COW_ORIGIN_MAGIC ||
	    origin[2] != len)
		return -1;
	cow_fs_uuid(cow_man_rootfd(img), uuid);
	if (memcmp(origin + 5, uuid, sizeof(uuid)) != 0)
		return -1;
	h->handle_type = origin[4];
	h->handle_bytes = (unsigned)(len - COW_ORIGIN_HEAD);
	memcpy(h->f_handle, origin + COW_ORIGIN_HEAD, h->handle_bytes);
	return COW_FD_TRY(open_by_handle_at(cow_man_rootfd(img), h, O_PATH | O_CLOEXEC));
}

int cow_origin_map_find(struct cow_origin_map *m, const struct cow_ovl_image *img, int fd,
			uint32_t *ret)
{
	struct stat st;
	*ret = 0;
	int r = m->filled ? 0 : fill(m, img);
	if (r < 0)
		return r;
	cow_autoclose int low = open_origin(img, fd);
	if (low < 0)
		return 0;
	if (fstat(low, &st) < 0)
		return cow_nerr();
	const struct cow_inode_number key = {.ino = st.st_ino};
	const struct cow_inode_number *found =
	    st.st_dev == m->dev ? bsearch(&key, m->v, m->n, sizeof(*m->v), by_ino) : NULL;
	if (found)
		*ret = found->number;
	return 0;
}

void cow_origin_map_free(struct cow_origin_map *m)
{
	free(m->v);
	*m = (struct cow_origin_map){0};
}
