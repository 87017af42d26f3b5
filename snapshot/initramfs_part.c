/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "initramfs_part.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "initramfs_text.h"
#include "tree.h"

#define KLIBC_MOUNT "usr/lib/klibc/bin/mount"
#define FILE_MAX (64u << 20) /* of a module, an index or a program */

const char cow_initramfs_script[] = COW_INITRAMFS_SCRIPT;
const char cow_initramfs_hook[] = COW_INITRAMFS_HOOK;

/* As in share/initramfs/hooks/cowherd. */
static const char *const wanted[] = {"af_packet", "nfs", "nfsv3", "nfsv4", "overlay"};
#define NWANTED (sizeof(wanted) / sizeof(*wanted))

struct part {
	int tree;
	const char *version;
	struct archive *a;
	struct cow_text *out;
	struct cow_text dirs; /* paths that are in the archive, each with a line feed around it */
};

static la_ssize_t on_write(struct archive *a, void *ctx, const void *buf, size_t len)
{
	struct part *p = ctx;
	if (cow_text_add(p->out, buf, len) == 0)
		return (la_ssize_t)len;
	archive_set_error(a, ENOMEM, "no memory");
	return -1;
}

static int failure(struct part *p)
{
	int e = archive_errno(p->a);
	return e > 0 ? -e : -ENOMEM;
}

static int put(struct part *p, const char *path, unsigned type, unsigned mode, const void *data,
	       size_t len)
{
	struct archive_entry *e = archive_entry_new();
	if (!e)
		return -ENOMEM;
	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, mode);
	archive_entry_set_size(e, (la_int64_t)len);
	int r = archive_write_header(p->a, e) == ARCHIVE_OK ? 0 : failure(p);
	archive_entry_free(e);
	if (r == 0 && len > 0 && archive_write_data(p->a, data, len) != (la_ssize_t)len)
		r = failure(p);
	return r;
}

/* The directories above @path, but for the first one: "lib" may be a link to usr/lib in there, which an
 * entry of another type would replace. */
static int put_parents(struct part *p, const char *path)
{
	char dir[COW_PATH_MAX + 3];
	const char *first = strchr(path, '/');
	for (const char *at = first ? strchr(first + 1, '/') : NULL; at; at = strchr(at + 1, '/')) {
		int n = snprintf(dir, sizeof(dir), "\n%.*s\n", (int)(at - path), path);
		if (n < 0 || (size_t)n >= sizeof(dir))
			return -ENAMETOOLONG;
		if (p->dirs.s && strstr(p->dirs.s, dir))
			continue;
		int r = cow_text_add(&p->dirs, dir, (size_t)n);
		dir[n - 1] = '\0';
		if (r == 0)
			r = put(p, dir + 1, AE_IFDIR, 0755, NULL, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_file(struct part *p, const char *path, unsigned mode, const char *from)
{
	cow_autofree char *buf = NULL;
	size_t len;
	int r = cow_tree_read(p->tree, from, FILE_MAX, &buf, &len);
	if (r == 0)
		r = put_parents(p, path);
	return r < 0 ? r : put(p, path, AE_IFREG, mode, buf, len);
}

/* A file of lib/modules/VERSION, at the same place. */
static int put_modules_file(struct part *p, const char *name, size_t len)
{
	char path[COW_PATH_MAX + 1];
	int n = snprintf(path, sizeof(path), "lib/modules/%s/%.*s", p->version, (int)len, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return put_file(p, path, 0644, path);
}

/* ---------------------------------------------------------------- modules */

/* Is "kernel/fs/nfs/nfs.ko.xz" the module "nfs"? Names have '-' in files where modprobe(8) says '_'. */
static bool is_module(const char *path, size_t len, const char *name)
{
	const char *base = memrchr(path, '/', len);
	base = base ? base + 1 : path;
	size_t left = len - (size_t)(base - path), n = strlen(name);
	if (left < n + 3 || memcmp(base + n, ".ko", 3) != 0)
		return false;
	for (size_t k = 0; k < n; k++)
		if ((base[k] == '-' ? '_' : base[k]) != name[k])
			return false;
	return true;
}

/* The line of modules.dep(5): "MODULE: all it needs". NULL: there is none. */
static const char *find_line(const char *dep, const char *name)
{
	for (const char *line = dep; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, ":\n");
		if (line[len] == ':' && is_module(line, len, name))
			return line;
	}
	return NULL;
}

/* Each module on the line, unless it is in already. */
static int put_line(struct part *p, const char *line, struct cow_text *done)
{
	char mark[COW_PATH_MAX + 3];
	size_t end = strcspn(line, "\n");
	for (size_t at = 0; at < end;) {
		size_t len = strcspn(line + at, ": \n");
		int n = snprintf(mark, sizeof(mark), "\n%.*s\n", (int)len, line + at);
		if (n < 0 || (size_t)n >= sizeof(mark))
			return -ENAMETOOLONG;
		if (len > 0 && !(done->s && strstr(done->s, mark))) {
			int r = cow_text_add(done, mark, (size_t)n);
			if (r == 0)
				r = put_modules_file(p, line + at, len);
			if (r < 0)
				return r;
		}
		at += len + strspn(line + at + len, ": ");
	}
	return 0;
}

/* Text file of lib/modules/VERSION. */
static int read_index(const struct part *p, const char *name, char **ret)
{
	char path[COW_PATH_MAX + 1];
	size_t len;
	(void)snprintf(path, sizeof(path), "lib/modules/%s/%s", p->version, name);
	return cow_tree_read(p->tree, path, FILE_MAX, ret, &len);
}

/* modules.builtin has one path a line. */
static bool is_builtin(const struct part *p, const char *name)
{
	cow_autofree char *list = NULL;
	if (read_index(p, "modules.builtin", &list) < 0)
		return false;
	for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (is_module(line, strcspn(line, "\n"), name))
			return true;
	return false;
}

/* With the whole index: that of the initramfs may know only what is in there. */
static int put_modules(struct part *p)
{
	cow_autofree char *dep = NULL;
	struct cow_text done = {0};
	int r = read_index(p, "modules.dep", &dep);
	for (size_t k = 0; r == 0 && k < NWANTED; k++) {
		const char *line = find_line(dep, wanted[k]);
		if (line)
			r = put_line(p, line, &done);
		else if (strcmp(wanted[k], "nfs") == 0 && !is_builtin(p, wanted[k]))
			r = -ENOPKG;
	}
	if (r == 0 && done.len > 0)
		r = put_modules_file(p, "modules.dep", strlen("modules.dep"));
	if (r == 0 && done.len > 0)
		r = put_modules_file(p, "modules.dep.bin", strlen("modules.dep.bin"));
	free(done.s);
	return r;
}

/* ---------------------------------------------------------------- the archive */

static int fill(struct part *p)
{
	int r = put_file(p, "lib/cowherd/mount", 0755, KLIBC_MOUNT);
	if (r == 0)
		r = put(p, "scripts/cowherd", AE_IFREG, 0644, cow_initramfs_script,
			sizeof(cow_initramfs_script) - 1);
	return r < 0 ? r : put_modules(p);
}

int cow_initramfs_part(int tree, const char *version, struct cow_text *ret)
{
	struct part p = {.tree = tree, .version = version, .a = archive_write_new(), .out = ret};
	if (!p.a)
		return -ENOMEM;
	int r = archive_write_set_format_cpio_newc(p.a) == ARCHIVE_OK &&
			archive_write_set_bytes_in_last_block(p.a, 1) == ARCHIVE_OK &&
			archive_write_open(p.a, &p, NULL, on_write, NULL) == ARCHIVE_OK
		    ? fill(&p)
		    : failure(&p);
	if (r == 0 && archive_write_close(p.a) != ARCHIVE_OK)
		r = failure(&p);
	archive_write_free(p.a);
	free(p.dirs.s);
	if (r < 0) {
		free(ret->s);
		*ret = (struct cow_text){0};
	}
	return r;
}
