/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making one object in the new root as the old one has it, and removing what stands in its place.
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "carry_internal.h"
#include "common/bounds.h"

static const struct cow_ovl_cred *const root = &cow_ovl_root_cred;

/* ---------------------------------------------------------------- hard links */

struct link_made {
	uint64_t id;		   /* in the old root */
	struct cow_ovl_node *node; /* in the new one */
};

static int link_cmp(const void *a, const void *b)
{
	const struct link_made *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

static void link_free(void *p)
{
	struct link_made *l = p;
	cow_ovl_put(l->node);
	free(l);
}

void cow_carry_links_done(struct cow_carry *c)
{
	tdestroy(c->links, link_free);
	tdestroy(c->taken, free);
	c->links = c->taken = NULL;
}

/* Return: 1 made as one more name; 0 it has none yet; -errno. */
static int link_earlier(struct cow_carry *c, const struct cow_entry *from,
			struct cow_ovl_node *to_dir)
{
	const struct link_made key = {.id = cow_ovl_id(from->node)};
	struct link_made **found = tfind(&key, &c->links, link_cmp);
	if (!found)
		return 0;
	int r = cow_ovl_link((*found)->node, to_dir, from->name, from->len, root);
	return r < 0 ? r : 1;
}

bool cow_carry_is_linked(const struct cow_carry *c, const struct cow_entry *from,
			 const struct cow_ovl_node *to)
{
	const struct link_made key = {.id = cow_ovl_id(from->node)};
	struct link_made **found = tfind(&key, &c->links, link_cmp);
	return found && cow_ovl_id((*found)->node) == cow_ovl_id(to);
}

static int link_remember(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to)
{
	struct link_made *l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct link_made){.id = cow_ovl_id(from->node), .node = cow_ovl_get(to)};
	if (tsearch(l, &c->links, link_cmp))
		return 0;
	link_free(l);
	return -ENOMEM;
}

static int id_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

int cow_carry_claim(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to)
{
	const struct link_made key = {.id = cow_ovl_id(from->node)};
	if (tfind(&key, &c->links, link_cmp))
		return 0;
	uint64_t *id = malloc(sizeof(*id));
	if (!id)
		return -ENOMEM;
	*id = cow_ovl_id(to);
	uint64_t **found = tsearch(id, &c->taken, id_cmp);
	if (!found || *found != id) {
		free(id);
		return found ? 0 : -ENOMEM;
	}
	int r = link_remember(c, from, to);
	return r < 0 ? r : 1;
}

/* ---------------------------------------------------------------- attributes */

static bool listed(const char *names, ssize_t len, const char *name)
{
	for (const char *x = names; x < names + len; x += strlen(x) + 1)
		if (strcmp(x, name) == 0)
			return true;
	return false;
}

/* What a new object got from its directory or its kernel, and an old one had. */
static int drop_others(struct cow_carry *c, ssize_t len, struct cow_ovl_node *to)
{
	ssize_t have = cow_ovl_listxattr(to, c->other_names, COW_XATTR_LIST_MAX);
	if (have < 0)
		return have == -EOPNOTSUPP ? 0 : (int)have;
	for (const char *x = c->other_names; x < c->other_names + have; x += strlen(x) + 1) {
		if (listed(c->names, len, x) || strcmp(x, "security.selinux") == 0)
			continue;
		int r = cow_ovl_removexattr(to, root, x);
		if (r < 0 && r != -ENODATA)
			return r;
	}
	return 0;
}

static int copy_xattrs(struct cow_carry *c, struct cow_ovl_node *from, struct cow_ovl_node *to)
{
	ssize_t len = cow_ovl_listxattr(from, c->names, COW_XATTR_LIST_MAX);
	if (len < 0)
		return len == -EOPNOTSUPP ? 0 : (int)len;
	int r = drop_others(c, len, to);
	for (const char *x = c->names; r == 0 && x < c->names + len; x += strlen(x) + 1) {
		ssize_t n = cow_ovl_getxattr(from, x, c->value, COW_XATTR_SIZE_MAX);
		if (n == -ENODATA || n == -EOPNOTSUPP)
			continue; /* listed for show */
		r = n < 0 ? (int)n : cow_ovl_setxattr(to, root, x, c->value, (size_t)n, 0);
	}
	return r;
}

int cow_carry_times(struct cow_ovl_node *n, const struct cow_ovl_attr *like)
{
	const struct cow_ovl_set set = {
	    .mask = COW_SET_ATIME | COW_SET_MTIME,
	    .atime = like->atime,
	    .mtime = like->mtime,
	};
	return cow_ovl_setattr(n, root, &set, NULL);
}

int cow_carry_dress(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to)
{
	/* The mode of a symbolic link is nobody's to set. A chown drops capabilities: it comes first. */
	const struct cow_ovl_set set = {
	    .mask = COW_SET_UID | COW_SET_GID | (S_ISLNK(from->attr.mode) ? 0 : COW_SET_MODE),
	    .mode = from->attr.mode & 07777,
	    .uid = from->attr.uid,
	    .gid = from->attr.gid,
	};
	int r = cow_ovl_setattr(to, root, &set, NULL);
	if (r == 0)
		r = copy_xattrs(c, from->node, to);
	return r < 0 ? r : cow_carry_times(to, &from->attr);
}

/* ---------------------------------------------------------------- making */

static int copy_data(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to)
{
	struct cow_ovl_source src;
	struct stat st;
	cow_autoopen o = NULL;
	int r = cow_ovl_source(from->node, &src);
	cow_autoclose int fd = r < 0 ? -1 : src.fd;
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0)
		r = cow_ovl_open(to, root, COW_OPEN_WRITE, &o);
	if (r < 0)
		return r;
	int dst = cow_ovl_backing(o);
	return dst < 0 ? dst : cow_fill_data(&c->copier, fd, dst, &st);
}

int cow_carry_mkdir(const struct cow_entry *from, struct cow_ovl_node *to_dir,
		    struct cow_ovl_node **ret)
{
	const struct cow_ovl_create how = {.type = S_IFDIR, .mode = 0700};
	return cow_ovl_create(to_dir, from->name, from->len, root, &how, ret, NULL);
}

static int make(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to_dir)
{
	char target[COW_SYMLINK_MAX + 1] = "";
	struct cow_ovl_create how = {
	    .type = from->attr.mode & S_IFMT,
	    .mode = 0600,
	    .rdev = from->attr.rdev,
	};
	if (S_ISLNK(from->attr.mode)) {
		ssize_t n = cow_ovl_readlink(from->node, target, COW_SYMLINK_MAX);
		if (n < 0)
			return (int)n;
		target[n] = 0;
		how.target = target;
	}
	cow_autonode to = NULL;
	int r = cow_ovl_create(to_dir, from->name, from->len, root, &how, &to, NULL);
	if (r == 0 && S_ISREG(from->attr.mode))
		r = copy_data(c, from, to);
	if (r == 0)
		r = cow_carry_dress(c, from, to);
	if (r == 0 && from->attr.nlink > 1)
		r = link_remember(c, from, to);
	return r;
}

int cow_carry_make(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to_dir)
{
	int r = from->attr.nlink > 1 ? link_earlier(c, from, to_dir) : 0;
	return r != 0 ? (r < 0 ? r : 0) : make(c, from, to_dir);
}

/* ---------------------------------------------------------------- removing */

static int empty(struct cow_carry *c, struct cow_ovl_node *dir, unsigned depth)
{
	cow_autoentries e = COW_ENTRIES_EMPTY;
	int r = depth > COW_DEPTH_MAX ? -ELOOP : cow_entries_read(dir, &e);
	for (size_t i = 0; r == 0 && i < e.n; i++)
		r = cow_carry_unmake(c, dir, &e.list[i], depth + 1);
	return r;
}

int cow_carry_unmake(struct cow_carry *c, struct cow_ovl_node *dir, const struct cow_entry *e,
		     unsigned depth)
{
	int is_dir = S_ISDIR(e->attr.mode);
	int r = is_dir ? empty(c, e->node, depth) : 0;
	return r < 0 ? r
		     : cow_ovl_remove(dir, e->name, e->len, root,
				      is_dir ? COW_REMOVE_DIR : COW_REMOVE_FILE);
}
