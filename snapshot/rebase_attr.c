/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attributes of an object in the new root: some of the client, some of the new version. Extended
 * attributes are merged one by one, with v1 as what both began with.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "rebase_internal.h"

static const struct cow_ovl_cred *const root = &cow_ovl_root_cred;

const void *cow_rebase_xattr(const struct cow_ovl_image *img, uint32_t number, const char *name,
			     size_t *ret_len)
{
	const char *have;
	const void *value;
	for (size_t k = 0; cow_ovl_image_xattr(img, number, k, &have, &value, ret_len); k++)
		if (strcmp(have, name) == 0)
			return value;
	return NULL;
}

struct merge {
	struct cow_rebase *rb;
	const struct cow_rebase_entry *e;
	struct cow_ovl_node *ours, *to;
};

struct value {
	const void *p; /* NULL: the attribute is not there */
	size_t len;
};

static bool equal(struct value a, struct value b)
{
	return a.p && b.p ? a.len == b.len && memcmp(a.p, b.p, a.len) == 0 : !a.p && !b.p;
}

static int read_value(struct cow_ovl_node *n, const char *name, char *buf, struct value *ret)
{
	ssize_t len = cow_ovl_getxattr(n, name, buf, COW_XATTR_SIZE_MAX);
	*ret = len < 0 ? (struct value){0} : (struct value){buf, (size_t)len};
	return len < 0 && len != -ENODATA && len != -EOPNOTSUPP ? (int)len : 0;
}

/* Does the new root's object have this value? */
static int has_value(const struct merge *m, const char *name, struct value want)
{
	cow_autofree char *buf = malloc(COW_XATTR_SIZE_MAX);
	struct value have;
	int r = buf ? read_value(m->to, name, buf, &have) : -ENOMEM;
	return r < 0 ? r : equal(have, want);
}

static int put_value(const struct merge *m, const char *name, struct value want)
{
	int r = has_value(m, name, want);
	if (r != 0)
		return r < 0 ? r : 0;
	if (want.p)
		return cow_ovl_setxattr(m->to, root, name, want.p, want.len, 0);
	r = cow_ovl_removexattr(m->to, root, name);
	return r == -ENODATA ? 0 : r;
}

static int merge_one(const struct merge *m, const char *name)
{
	const struct cow_rebase *rb = m->rb;
	struct value ours, theirs = {0}, base = {0};
	int r = read_value(m->ours, name, rb->value, &ours);
	if (m->e->theirs)
		theirs.p = cow_rebase_xattr(rb->v2, m->e->theirs, name, &theirs.len);
	if (m->e->base)
		base.p = cow_rebase_xattr(rb->v1, m->e->base, name, &base.len);
	bool take_theirs = equal(ours, base) || (m->e->v.prefer_theirs && !equal(theirs, base));
	return r < 0 ? r : put_value(m, name, take_theirs ? theirs : ours);
}

static int merge_names_of(const struct merge *m, struct cow_ovl_node *n)
{
	cow_autofree char *names = malloc(COW_XATTR_LIST_MAX);
	ssize_t len = names ? cow_ovl_listxattr(n, names, COW_XATTR_LIST_MAX) : -ENOMEM;
	if (len < 0)
		return len == -EOPNOTSUPP ? 0 : (int)len;
	int r = 0;
	for (const char *x = names; r == 0 && x < names + len; x += strlen(x) + 1)
		r = merge_one(m, x);
	return r;
}

static int merge_xattrs(const struct merge *m)
{
	const char *name;
	const void *value;
	size_t len;
	int r = merge_names_of(m, m->ours);
	if (r == 0)
		r = merge_names_of(m, m->to);
	for (size_t k = 0; r == 0 && m->e->theirs &&
			   cow_ovl_image_xattr(m->rb->v2, m->e->theirs, k, &name, &value, &len);
	     k++)
		r = merge_one(m, name);
	return r;
}

static int set(struct cow_ovl_node *to, unsigned mask, const struct cow_ovl_attr *a)
{
	const struct cow_ovl_set how = {
	    .mask = mask,
	    .mode = a->mode & 07777,
	    .uid = a->uid,
	    .gid = a->gid,
	    .mtime = a->mtime,
	};
	return mask ? cow_ovl_setattr(to, root, &how, NULL) : 0;
}

/* @from: whose the fields are; @now: what the object has. A chown strips modes and capabilities, so the
 * mode comes last, and attributes are looked at again. */
static int dress(const struct merge *m, const struct cow_ovl_attr *from,
		 const struct cow_ovl_attr *now)
{
	unsigned fields = m->e->v.fields;
	bool link = S_ISLNK(now->mode), owner = fields & COW_CHANGED_OWNER;
	int r = set(m->to, owner ? COW_SET_UID | COW_SET_GID : 0, from);
	if (r == 0 && (owner || fields & COW_CHANGED_XATTRS))
		r = merge_xattrs(m);
	if (r == 0 && !link && (owner || fields & COW_CHANGED_MODE))
		r = set(m->to, COW_SET_MODE, fields & COW_CHANGED_MODE ? from : now);
	if (r == 0)
		r = set(m->to, COW_SET_MTIME, fields & COW_CHANGED_MTIME ? from : now);
	return r;
}

int cow_rebase_dress(struct cow_rebase *rb, const struct cow_rebase_entry *e,
		     struct cow_ovl_node *to)
{
	struct cow_ovl_attr ours = {0}, theirs, now = {0};
	cow_autonode n = NULL;
	if (!e->v.fields)
		return 0;
	int r = cow_rebase_node(rb->ours, e->path, &n, &ours);
	if (r == 0)
		r = cow_ovl_getattr(to, &now);
	if (r < 0)
		return r;
	struct merge m = {.rb = rb, .e = e, .ours = n, .to = to};
	if (e->v.act != COW_ACT_OURS)
		return dress(&m, &ours, &now);
	cow_ovl_image_attr(rb->v2, e->theirs, &theirs);
	return dress(&m, &theirs, &now);
}
