/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Changes that are not the client's own doing, or not to be judged file by file: what cowherd writes into
 * every root, and what the package manager owns.
 */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "common/fs.h"
#include "fixup_internal.h"
#include "rebase_internal.h"
#include "tree.h"

#define TEXT_MAX (1u << 20)

/* ---------------------------------------------------------------- identity */

static int read_ours(struct cow_rebase *rb, const char *path, char **ret)
{
	struct cow_ovl_source src = {.fd = -1};
	struct cow_ovl_attr attr;
	cow_autonode node = NULL;
	int r = cow_rebase_node(rb->ours, path, &node, &attr);
	if (r == 0 && (!S_ISREG(attr.mode) || attr.size > TEXT_MAX))
		return -ENOENT;
	if (r == 0)
		r = cow_ovl_source(node, &src);
	if (r < 0)
		return r;
	cow_autoclose int fd = src.fd;
	cow_autofree char *text = calloc(1, (size_t)attr.size + 1);
	if (!text)
		return -ENOMEM;
	ssize_t n = cow_pread_full(fd, text, (size_t)attr.size, 0);
	if (n < 0)
		return (int)n;
	*ret = cow_steal_ptr(&text);
	return 0;
}

/* Is the file what a root of v1 was born with? The client may have had another name then. */
static int hosts_is_as_born(struct cow_rebase *rb, bool *ret_is)
{
	cow_autofree char *now = NULL;
	cow_autofree char *name = NULL;
	cow_autofree char *golden = NULL;
	struct cow_text born = {0};
	size_t len;
	int r = read_ours(rb, "etc/hosts", &now);
	if (r == 0)
		r = read_ours(rb, "etc/hostname", &name);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	name[strcspn(name, "\n")] = 0;
	r = cow_tree_read(rb->tree1, "etc/hosts", TEXT_MAX, &golden, &len);
	if (r < 0 && r != -ENOENT)
		return r;
	r = cow_identity_hosts(golden, name, &born);
	*ret_is = r == 0 && strcmp(born.s, now) == 0;
	free(born.s);
	return r;
}

int cow_rebase_identity(struct cow_rebase *rb, const struct cow_ovl_change *change, bool *ret_is)
{
	static const char *const paths[] = {
	    "etc/hostname",
	    "etc/machine-id",
	    "etc/NetworkManager/conf.d/90-cowherd.conf",
	    "etc/systemd/network/05-cowherd-boot.network",
	};
	*ret_is = false;
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++)
		if (strcmp(change->path, paths[k]) == 0)
			*ret_is = true;
	if (strcmp(change->path, "etc/hosts") == 0 && change->kind != COW_CHANGE_DELETED)
		return hosts_is_as_born(rb, ret_is);
	return 0;
}

/* ---------------------------------------------------------------- packages */

static bool matches(const char *const *globs, size_t n, const char *path)
{
	for (size_t k = 0; k < n; k++)
		if (fnmatch(globs[k], path, 0) == 0)
			return true;
	return false;
}

#define MATCHES(globs, path) matches(globs, sizeof(globs) / sizeof(*(globs)), path)

static bool is_database(const char *path)
{
	static const char *const databases[] = {
	    "var/lib/dpkg/status",
	    "var/lib/dpkg/status.d*",
	    "var/lib/dpkg/info*",
	    "var/lib/dpkg/diversions",
	    "var/lib/dpkg/statoverride",
	    "var/lib/dpkg/alternatives*",
	    "var/lib/rpm*",
	    "usr/lib/sysimage/rpm*",
	    "var/lib/dpkg/triggers*",
	    "var/lib/dpkg/updates*",
	    "var/lib/dpkg",
	    "var/lib/dpkg/arch",
	};
	/* Locks, and what looking at the database leaves. */
	static const char *const scratch[] = {"*/.rpm.lock", "*/__db.*", "*-shm",
					      "var/lib/dpkg/triggers/Lock"};
	return MATCHES(databases, path) && !MATCHES(scratch, path);
}

/* Where packages put their files; what a local administrator adds is in usr/local. */
static bool is_package_place(const char *path)
{
	static const char *const places[] = {"usr",   "usr/*",	 "bin/*",  "sbin/*",
					     "lib/*", "lib32/*", "lib64/*"};
	return MATCHES(places, path) && fnmatch("usr/local/*", path, 0) != 0;
}

bool cow_rebase_package(const struct cow_ovl_change *change)
{
	const char *was = change->old_path ? change->old_path : change->path;
	switch (change->kind) {
	case COW_CHANGE_ADDED:
		return is_database(change->path);
	case COW_CHANGE_ATTRIBUTES: /* they can be merged */
		return false;
	case COW_CHANGE_MODIFIED:
	case COW_CHANGE_DELETED:
	case COW_CHANGE_MOVED:
		return is_database(change->path) || is_database(was) || is_package_place(was);
	}
	return false;
}
