/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two walks through the manifest: what is there before content comes, and what is last.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_tree.h"
#include "common/bounds.h"
#include "common/fs.h"

struct walk {
	struct cow_arc_tree *t;
	/* For each name of a directory that is no directory. */
	int (*other)(struct cow_arc_tree *t, const struct cow_ovl_image_name *n, int dir);
	int make; /* directories are made; else they get their attributes when they are left */
};

static int walk_dir(const struct walk *w, uint32_t number, int dir, unsigned depth);

static int walk_subdir(const struct walk *w, const struct cow_ovl_image_name *n, int dir,
		       unsigned depth)
{
	struct cow_arc_tree *t = w->t;
	if (depth > COW_DEPTH_MAX)
		return cow_arc_tree_fail(t, n->number, -ELOOP, "make");
	if (w->make && mkdirat(dir, n->name, 0700) < 0)
		return cow_arc_tree_fail(t, n->number, -errno, "make");
	cow_autoclose int sub = cow_opendir_at(dir, n->name);
	if (sub < 0)
		return cow_arc_tree_fail(t, n->number, sub, "open");
	return walk_dir(w, n->number, sub, depth);
}

static int walk_dir(const struct walk *w, uint32_t number, int dir, unsigned depth)
{
	struct cow_ovl_image_name n;
	size_t count = cow_ovl_image_nnames(w->t->img, number);
	int r = 0;
	for (size_t k = 0; r == 0 && k < count; k++) {
		cow_ovl_image_name(w->t->img, number, k, &n);
		r = S_ISDIR(n.type) ? walk_subdir(w, &n, dir, depth + 1) : w->other(w->t, &n, dir);
	}
	if (w->make)
		w->t->fill->inodes++;
	if (r < 0 || w->make)
		return r;
	r = cow_arc_tree_attr(w->t, number, dir);
	return r < 0 ? cow_arc_tree_fail(w->t, number, r, "set the attributes of") : 0;
}

/* ---------------------------------------------------------------- the first walk */

static int digest_of_nothing(uint8_t ret[COW_OVM_ID_LEN])
{
	return EVP_Digest("", 0, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int make_empty(struct cow_arc_tree *t, const struct cow_ovl_image_name *n,
		      const struct cow_ovl_image_object *o, int dir)
{
	uint8_t nothing[COW_OVM_ID_LEN];
	int r = digest_of_nothing(nothing);
	if (r == 0 && memcmp(nothing, o->digest, sizeof(nothing)) != 0)
		return cow_arc_tree_bad(t, n->number, "an empty file with a digest of something");
	cow_autoclose int fd = r < 0 ? r : cow_fill_file(dir, n->name);
	r = fd < 0 ? fd : cow_arc_tree_attr(t, n->number, fd);
	if (r < 0)
		return cow_arc_tree_fail(t, n->number, r, "make");
	cow_arc_tree_set_done(t, n->number);
	return 0;
}

static int make_node(struct cow_arc_tree *t, const struct cow_ovl_image_name *n,
		     const struct cow_ovl_image_object *o, int dir)
{
	struct cow_meta m = cow_meta_of(&o->attr);
	int r = cow_fill_node(dir, n->name, &m, o->target);
	if (r == 0)
		r = cow_arc_tree_attr_at(t, n->number, dir, n->name);
	return r < 0 ? cow_arc_tree_fail(t, n->number, r, "make") : 0;
}

static int make_first(struct cow_arc_tree *t, const struct cow_ovl_image_name *n, int dir)
{
	struct cow_ovl_image_object o;
	if (!n->first)
		return 0;
	(void)cow_ovl_image_object(t->img, n->number, &o); /* it has a name */
	t->fill->inodes++;
	int r = cow_fill_progress(t->fill);
	if (r < 0)
		return cow_arc_tree_fail(t, n->number, r, "make");
	if (!S_ISREG(o.attr.mode))
		return make_node(t, n, &o, dir);
	if (o.attr.size == 0)
		return make_empty(t, n, &o, dir);
	r = t->base ? cow_arc_share(t, n->number, dir, n->name) : 0;
	return r < 0 ? r : 0;
}

int cow_arc_skeleton_begin(struct cow_arc_tree *t)
{
	const struct walk w = {.t = t, .other = make_first, .make = 1};
	return walk_dir(&w, COW_OVL_IMAGE_ROOT, t->fill->tree, 0);
}

/* ---------------------------------------------------------------- the last one */

static int make_further(struct cow_arc_tree *t, const struct cow_ovl_image_name *n, int dir)
{
	cow_autofree char *first = NULL;
	int at = -1;
	if (n->first)
		return 0;
	int r = cow_arc_tree_parent(t, n->number, &at, &first);
	if (r == 0 && linkat(at, first, dir, n->name, 0) < 0)
		r = -errno;
	return r < 0 ? cow_arc_tree_fail(t, n->number, r, "make a link to") : 0;
}

int cow_arc_skeleton_finish(struct cow_arc_tree *t)
{
	const struct walk w = {.t = t, .other = make_further};
	return walk_dir(&w, COW_OVL_IMAGE_ROOT, t->fill->tree, 0);
}
