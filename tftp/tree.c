/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files of a client's own tree, through the engine: see files.h.
 */
#include "files.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tftp/limits.h"
#include "tftp/vercmp.h"

/* ---------------------------------------------------------------- content */

struct tree_content {
	struct cow_tftp_content base;
	struct cow_tftp_view *view;
	struct cow_ovl_open *open;
};

static int tree_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	struct tree_content *t = (struct tree_content *)c;

	while (len > 0) {
		struct iovec iov = {.iov_base = buf, .iov_len = len};
		ssize_t n = cow_ovl_read(t->open, &iov, 1, off);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO; /* the client has cut the file meanwhile */
		buf = (char *)buf + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static void tree_free(struct cow_tftp_content *c)
{
	struct tree_content *t = (struct tree_content *)c;

	cow_ovl_close(t->open);
	cow_tftp_view_put(t->view);
	free(t);
}

/* ---------------------------------------------------------------- walk */

/* Every component by look-up: nothing on the way is followed, so nothing leads out of the tree. */
static int walk(struct cow_ovl_node *from, const char *path, struct cow_ovl_node **ret,
		struct cow_ovl_attr *ret_attr)
{
	cow_autonode dir = cow_ovl_get(from);

	for (;;) {
		size_t len = strcspn(path, "/");
		struct cow_ovl_node *next;
		int r = cow_ovl_lookup(dir, path, len, &next, ret_attr);

		if (r < 0)
			return r;
		cow_ovl_put(dir);
		dir = next;
		if (cow_ovl_type(dir) == S_IFLNK)
			return -ELOOP;
		if (path[len] == '\0')
			break;
		if (cow_ovl_type(dir) != S_IFDIR)
			return -ENOTDIR;
		path += len + 1;
	}
	*ret = cow_steal_ptr(&dir);
	return 0;
}

static bool may_read(const char *path, mode_t mode)
{
	return (mode & S_IROTH) || fnmatch("vmlinuz*", cow_tftp_basename(path), 0) == 0;
}

static int find_file(struct cow_tftp_view *v, const char *path, struct cow_ovl_node **ret,
		     struct cow_ovl_attr *ret_attr)
{
	cow_autonode node = NULL;
	int r = walk(v->boot, path, &node, ret_attr);

	if (r < 0)
		return r;
	if (cow_ovl_type(node) != S_IFREG)
		return -ENOENT;
	if (!may_read(path, ret_attr->mode))
		return -EACCES;
	if (ret_attr->size == 0)
		return -ENOENT;
	*ret = cow_steal_ptr(&node);
	return 0;
}

int cow_tftp_tree_open(struct cow_tftp_view *v, const char *path, struct cow_tftp_content **ret)
{
	cow_autonode node = NULL;
	struct cow_ovl_attr attr;
	int r = find_file(v, path, &node, &attr);

	if (r < 0)
		return r;

	struct tree_content *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	r = cow_ovl_open(node, &cow_ovl_root_cred, COW_OPEN_READ | COW_OPEN_STAY, &t->open);
	if (r < 0) {
		free(t);
		return r;
	}
	struct cow_tftp_file_id file = {0};

	(void)cow_ovl_open_golden_id(t->open, &file.dev, &file.ino); /* the client's own has none */
	t->base = (struct cow_tftp_content){.size = attr.size,
					    .file = file,
					    .settled = cow_ovl_open_is_golden(t->open),
					    .read = tree_read,
					    .free = tree_free};
	t->view = cow_tftp_view_get(v);
	*ret = &t->base;
	return 0;
}

/* ---------------------------------------------------------------- kernels */

#define KERNEL "vmlinuz-"
#define INITRD "initrd.img-"

struct search {
	struct cow_tftp_view *view;
	char *best; /* version */
	int want_initrd;
	unsigned seen;
};

/* Left-overs of package managers and people. */
static bool is_spare(const char *name)
{
	static const char *const patterns[] = {"*.old",	  "*.bak", "*.dpkg-*",
					       "*.ucf-*", "*~",	   "*.new"};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	}
	return false;
}

static bool is_served(struct cow_tftp_view *v, const char *prefix, const char *version)
{
	char name[COW_NAME_MAX + 16];
	struct cow_ovl_attr attr;
	cow_autonode node = NULL;
	int n = snprintf(name, sizeof(name), "%s%s", prefix, version);

	return n > 0 && (size_t)n <= COW_NAME_MAX && cow_tftp_loader_name_ok(name) &&
	       find_file(v, name, &node, &attr) == 0;
}

static int look_at(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct search *s = ctx;
	const char *version = ent->name + strlen(KERNEL);

	if (++s->seen > COW_TFTP_BOOT_ENTRIES_MAX)
		return -E2BIG;
	if (strncmp(ent->name, KERNEL, strlen(KERNEL)) != 0 || is_spare(ent->name) ||
	    (s->best && cow_tftp_vercmp(version, s->best) <= 0))
		return 0;
	if (!is_served(s->view, KERNEL, version) ||
	    (s->want_initrd && !is_served(s->view, INITRD, version)))
		return 0;

	char *copy = strdup(version);

	if (!copy)
		return -ENOMEM;
	free(s->best);
	s->best = copy;
	return 0;
}

int cow_tftp_tree_kernel(struct cow_tftp_view *v, char **ret_kernel, char **ret_initrd)
{
	struct search s = {.view = v, .want_initrd = ret_initrd != NULL};
	int eof, r = cow_ovl_readdir(v->boot, 0, 0, look_at, &s, &eof);
	cow_autofree char *best = s.best;
	cow_autofree char *kernel = NULL;
	char *initrd = NULL;

	if (r < 0)
		return r;
	if (!best)
		return -ENOENT;
	if (asprintf(&kernel, KERNEL "%s", best) < 0) {
		kernel = NULL; /* asprintf(3) leaves it undefined */
		return -ENOMEM;
	}
	if (ret_initrd && asprintf(&initrd, INITRD "%s", best) < 0)
		return -ENOMEM;
	*ret_kernel = cow_steal_ptr(&kernel);
	if (ret_initrd)
		*ret_initrd = initrd;
	return 0;
}

static bool is_folder(struct cow_tftp_view *v, const char *path)
{
	cow_autonode node = NULL;
	struct cow_ovl_attr attr;

	return walk(v->boot, path, &node, &attr) == 0 && cow_ovl_type(node) == S_IFDIR;
}

int cow_tftp_tree_dtbs(struct cow_tftp_view *v, const char *kernel, char **ret)
{
	static const char *const of_version[] = {"dtbs/", "dtb-"}, *const of_any[] = {"dtbs",
										      "dtb"};
	const char *version = kernel + strlen(KERNEL);

	for (size_t i = 0; i < 2; i++) {
		cow_autofree char *path = NULL;

		if (asprintf(&path, "%s%s", of_version[i], version) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		if (is_folder(v, path)) {
			*ret = cow_steal_ptr(&path);
			return 0;
		}
	}
	for (size_t i = 0; i < 2; i++) {
		if (!is_folder(v, of_any[i]))
			continue;
		*ret = strdup(of_any[i]);
		return *ret ? 0 : -ENOMEM;
	}
	return -ENOENT;
}
