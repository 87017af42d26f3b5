/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A file handle as it comes from a client. As it stands it must be refused unless it is the genuine
 * one; with our number, epoch and MAC put on it, as if the key were known, its payload must at
 * worst be stale. Two instances in a temporary directory serve all inputs: a plain one and one with an
 * image below, so that both kinds of handles are decoded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "common/siphash.h"
#include "overlay/image.h"
#include "overlay/overlay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define HEAD 16
#define RECORD_KEY 56 /* offset of the key in the instance record */

enum {
	PLAIN,
	LAYERED,
	N,
};

struct own {
	struct cow_ovl_inst *inst;
	uint8_t genuine[COW_OVL_HANDLE_MAX], key[COW_SIPHASH_KEY_LEN];
	size_t len;
};

static struct own own[N];
static struct cow_ovl_image *image;
static char path[32];
static int tmp = -1; /* /tmp */

static void clean_up(void)
{
	for (int k = 0; k < N; k++)
		(void)cow_ovl_inst_close(own[k].inst);
	cow_ovl_image_close(image);
	(void)cow_rm_rf_at(tmp, path + strlen("/tmp/"), 0);
	(void)close(tmp);
}

static int make_dir(int dirfd, const char *name)
{
	CHECK(mkdirat(dirfd, name, 0755) == 0);
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static void make_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	(void)close(fd);
}

/* 1 the top, and some more numbers: a file, a directory, a link, a file of two names. */
static void make_image(int dirfd)
{
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	int tree = make_dir(dirfd, "tree"), dir = make_dir(tree, "dir");
	make_file(tree, "file");
	make_file(dir, "one");
	CHECK(linkat(dir, "one", tree, "two", 0) == 0);
	CHECK(symlinkat("file", tree, "link") == 0);
	(void)close(dir);
	(void)close(tree);
	CHECK(cow_ovl_image_build(dirfd, &how, &info, NULL) == 0);
	CHECK(cow_ovl_image_open(dirfd, &image, NULL) == 0);
}

/* One of them gone, one brought up, one moved. */
static void change(int dirfd)
{
	struct cow_ovl_inst *i;
	struct cow_ovl_node *root;
	const struct cow_ovl_cred *cred = &cow_ovl_root_cred;
	CHECK(cow_ovl_inst_open(dirfd, image, 0, &i, NULL) == 0);
	CHECK(cow_ovl_root(i, &root) == 0);
	CHECK(cow_ovl_remove(root, "file", 4, cred, COW_REMOVE_FILE) == 0);
	CHECK(cow_ovl_rename(root, "two", 3, root, "TWO", 3, 0, cred) == 0);
	CHECK(cow_ovl_rename(root, "dir", 3, root, "DIR", 3, 0, cred) == 0);
	cow_ovl_put(root);
	CHECK(cow_ovl_inst_close(i) == 0);
}

static void attach(struct own *o, int dirfd, struct cow_ovl_image *img)
{
	struct cow_ovl_node *root;
	CHECK(cow_ovl_inst_open(dirfd, img, COW_OVL_OBSERVER, &o->inst, NULL) == 0);
	CHECK(cow_ovl_root(o->inst, &root) == 0);
	o->len = cow_ovl_handle(root, o->genuine);
	cow_ovl_put(root);
	int rec = openat(dirfd, "instance", O_RDONLY | O_CLOEXEC);
	CHECK(pread(rec, o->key, sizeof(o->key), RECORD_KEY) == sizeof(o->key));
	(void)close(rec);
	(void)close(dirfd);
}

static void set_up(void)
{
	strcpy(path, "/tmp/cow-fuzz-XXXXXX");
	CHECK(mkdtemp(path));
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(tmp >= 0 && top >= 0 && atexit(clean_up) == 0);
	int plain = make_dir(top, "plain"), layered = make_dir(top, "layered"),
	    img = make_dir(top, "image");
	(void)close(make_dir(plain, "tree"));
	CHECK(cow_ovl_inst_create(plain, NULL, NULL, NULL) == 0);
	make_image(img);
	CHECK(cow_ovl_inst_create(layered, image, NULL, NULL) == 0);
	change(layered);
	attach(&own[PLAIN], plain, NULL);
	attach(&own[LAYERED], layered, image);
	(void)close(img);
	(void)close(top);
}

static int try(const struct own *o, const uint8_t *h, size_t len)
{
	struct cow_ovl_node *n = NULL;
	int checked = cow_ovl_handle_check(o->inst, h, len);
	int r = cow_ovl_from_handle(o->inst, h, len, &n);
	CHECK(checked == 0 || checked == r);
	CHECK((r == 0) == (n != NULL));
	cow_ovl_put(n);
	return r;
}

static void raw(const struct own *o, const uint8_t *data, size_t size)
{
	int r = try(o, data, size);
	if (size == o->len && memcmp(data, o->genuine, size) == 0)
		CHECK(r == 0);
	else
		CHECK(r == -EBADMSG || r == -ESTALE);
}

static void signed_by_us(const struct own *o, const uint8_t *data, size_t size)
{
	uint8_t h[COW_OVL_HANDLE_MAX];
	if (size < HEAD || size > sizeof(h) - COW_OVL_HANDLE_MAC_LEN)
		return;
	memcpy(h, data, size);
	memcpy(h + 4, o->genuine + 4, HEAD - 4); /* instance and epoch */
	cow_put_le64(h + size, cow_siphash24(o->key, h, size));
	int r = try(o, h, size + COW_OVL_HANDLE_MAC_LEN);
	CHECK(r == 0 || r == -ESTALE || r == -EBADMSG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!own[PLAIN].inst)
		set_up();
	for (int k = 0; k < N; k++) {
		raw(&own[k], data, size);
		signed_by_us(&own[k], data, size);
	}
	return 0;
}
