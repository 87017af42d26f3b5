/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Open images of the process: one object for one image, however often it is opened. An image that is
 * being loaded is listed already, so that a second opener waits for the first instead of loading it
 * twice; the lock is not held meanwhile. The open file keeps its inode number from coming back while
 * the image is listed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "image_internal.h"
#include "overlay/image_read.h"
#include "record.h"

static struct {
	pthread_mutex_t m;
	pthread_cond_t loaded; /* some image is no longer loading, or gone */
	/* guarded by m: */
	LIST_HEAD(, cow_ovl_image) all;
} registry = {.m = PTHREAD_MUTEX_INITIALIZER, .loaded = PTHREAD_COND_INITIALIZER};

static void lock(void)
{
	(void)pthread_mutex_lock(&registry.m); /* a default mutex: fails only when misused */
}

static void unlock(void)
{
	(void)pthread_mutex_unlock(&registry.m);
}

static bool same_key(const struct cow_image_key *a, const struct cow_image_key *b)
{
	return a->file_dev == b->file_dev && a->file_ino == b->file_ino &&
	       a->tree_dev == b->tree_dev && a->tree_ino == b->tree_ino;
}

/* Counted image with this key, loaded; NULL: none, and none is being loaded. */
static struct cow_ovl_image *find_locked(const struct cow_image_key *key)
{
	struct cow_ovl_image *img;
again:
	LIST_FOREACH(img, &registry.all, all)
	{
		if (!same_key(&img->key, key))
			continue;
		if (!img->loading) {
			img->refs++;
			return img;
		}
		(void)pthread_cond_wait(&registry.loaded, &registry.m);
		goto again;
	}
	return NULL;
}

static void image_free(struct cow_ovl_image *img)
{
	cow_image_unload(img);
	free(img);
}

/* The two fds of an image and what makes it this one. */
static int open_files(struct cow_ovl_image *img, int dirfd, struct cow_err *err)
{
	struct stat st;
	img->filefd = cow_image_open_file(dirfd, err);
	if (img->filefd < 0)
		return img->filefd;
	if (fstat(img->filefd, &st) < 0)
		return cow_err_set(err, cow_nerr(), "examine the manifest");
	img->key.file_dev = st.st_dev;
	img->key.file_ino = st.st_ino;
	img->rootfd = cow_image_open_tree(dirfd, err);
	if (img->rootfd < 0)
		return img->rootfd;
	if (fstat(img->rootfd, &st) < 0)
		return cow_err_set(err, cow_nerr(), "examine the data root");
	img->key.tree_dev = st.st_dev;
	img->key.tree_ino = st.st_ino;
	img->root_dev = st.st_dev;
	return 0;
}

/* Not listed yet, not loaded. NULL: @err says why. */
static struct cow_ovl_image *image_new(int dirfd, int *ret_r, struct cow_err *err)
{
	struct cow_ovl_image *img = calloc(1, sizeof(*img));
	if (!img) {
		*ret_r = cow_err_set(err, -ENOMEM, "open the image");
		return NULL;
	}
	img->rootfd = img->filefd = -1;
	img->refs = 1;
	img->loading = true;
	*ret_r = open_files(img, dirfd, err);
	if (*ret_r < 0) {
		image_free(img);
		return NULL;
	}
	return img;
}

/* Listed as loading by the caller: load, then let the others have it or try for themselves. */
static int load_listed(struct cow_ovl_image *img, struct cow_err *err)
{
	int r = cow_ovm_load(img, img->filefd, err);
	lock();
	img->loading = false;
	if (r < 0)
		LIST_REMOVE(img, all);
	(void)pthread_cond_broadcast(&registry.loaded);
	unlock();
	return r;
}

int cow_ovl_image_open(int dirfd, struct cow_ovl_image **ret, struct cow_err *err)
{
	int r;
	struct cow_ovl_image *img = image_new(dirfd, &r, err);
	if (!img)
		return r;
	lock();
	struct cow_ovl_image *found = find_locked(&img->key);
	if (!found)
		LIST_INSERT_HEAD(&registry.all, img, all);
	unlock();
	if (found) {
		image_free(img);
		*ret = found;
		return 0;
	}
	r = load_listed(img, err);
	if (r < 0) {
		image_free(img);
		return r;
	}
	*ret = img;
	return 0;
}

/* Listed with a key that no file has, so that it is never found and closed like any other. */
int cow_ovl_image_parse(const void *bytes, size_t len, struct cow_ovl_image **ret,
			struct cow_err *err)
{
	struct cow_ovl_image *img = calloc(1, sizeof(*img));
	if (!img)
		return cow_err_set(err, -ENOMEM, "load a manifest");
	img->rootfd = img->filefd = -1;
	img->refs = 1;
	int r = cow_image_load_bytes(img, bytes, len, err);
	if (r < 0) {
		image_free(img);
		return r;
	}
	lock();
	LIST_INSERT_HEAD(&registry.all, img, all);
	unlock();
	*ret = img;
	return 0;
}

struct cow_ovl_image *cow_ovl_image_get(struct cow_ovl_image *img)
{
	lock();
	img->refs++;
	unlock();
	return img;
}

void cow_ovl_image_close(struct cow_ovl_image *img)
{
	if (!img)
		return;
	lock();
	bool last = --img->refs == 0;
	if (last)
		LIST_REMOVE(img, all);
	unlock();
	if (last)
		image_free(img);
}

void cow_ovl_image_info(const struct cow_ovl_image *img, struct cow_ovl_image_info *ret)
{
	*ret = img->info;
}

int cow_ovl_image_peek(int dirfd, struct cow_ovl_image_info *ret, struct cow_err *err)
{
	struct cow_ovm_header h = {0};
	cow_autoclose int fd = cow_image_open_file(dirfd, err);
	if (fd < 0)
		return fd;
	ssize_t got = cow_pread_full(fd, &h, sizeof(h), 0);
	if (got < 0)
		return cow_err_set(err, (int)got, "read the manifest");
	return cow_image_header(&h, ret, err); /* a short one has no magic or a wrong sum */
}
