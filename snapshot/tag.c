/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Tags: names for versions that may be moved, images/NAME/tags/TAG -> ../VERSION. A tag is made, moved
 * and removed by one rename or unlink; a version that has one is not removed (image.c), both with
 * STORE/lock held, so that no tag points nowhere.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "common/log.h"
#include "image_internal.h"
#include "names.h"

#define TAGS "tags"

static int tags_open(struct cow_store *s, const char *image)
{
	cow_autoclose int dir = cow_image_dir(s, image);
	return dir < 0 ? dir : cow_opendir_at(dir, TAGS);
}

static int tags_make(struct cow_store *s, const char *image)
{
	cow_autoclose int dir = cow_image_dir(s, image);
	if (dir < 0)
		return dir;
	int r = cow_mkdir_at(dir, TAGS, 0755);
	if (r < 0 && r != -EEXIST)
		return r;
	if (r == 0)
		r = cow_fsync_dir_at(dir, ".");
	return r < 0 && r != -EEXIST ? r : cow_opendir_at(dir, TAGS);
}

/* Version a tag points to; 0: it is none of ours. */
static unsigned tag_version(int tags, const char *tag)
{
	cow_autofree char *target = NULL;
	uint64_t v = 0;
	if (cow_label_check(tag) < 0 || cow_readlink_at(tags, tag, &target) < 0 ||
	    strncmp(target, "../", 3) != 0 || cow_parse_u64(target + 3, 1, UINT32_MAX, &v) < 0)
		return 0;
	return (unsigned)v;
}

int cow_image_tag(struct cow_store *s, const char *ref, const char *tag, struct cow_image **ret,
		  unsigned *ret_before, struct cow_err *err)
{
	cow_autoimage i = NULL;
	char target[24];
	*ret_before = 0;
	if (cow_label_check(tag) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s is no tag: 1 to %d letters, digits, '.', '_', '-'",
				   COW_Q(tag), COW_LABEL_MAX);
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	int r = cow_image_find(s, ref, &i, err);
	if (r < 0)
		return r;
	cow_autoclose int tags = tags_make(s, i->name);
	if (tags < 0)
		return cow_err_set(err, tags, "tag image %s@%u", i->name, i->version);
	*ret_before = tag_version(tags, tag);
	(void)snprintf(target, sizeof(target), "../%u", i->version);
	r = cow_symlink_swap_at(tags, target, tag);
	if (r < 0)
		return cow_err_set(err, r, "tag image %s@%u as %s", i->name, i->version, tag);
	*ret = cow_steal_ptr(&i);
	return 0;
}

int cow_image_untag(struct cow_store *s, const char *ref, struct cow_err *err)
{
	cow_autoimage i = NULL;
	const char *tag = strchr(ref, ':');
	if (!tag)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "%s names no tag: write NAME:TAG",
				   COW_Q(ref));
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	int r = cow_image_find(s, ref, &i, err);
	if (r < 0)
		return r;
	cow_autoclose int tags = tags_open(s, i->name);
	if (tags < 0 || unlinkat(tags, tag + 1, 0) < 0)
		return cow_err_set(err, tags < 0 ? tags : -errno, "remove tag %s", COW_Q(ref));
	r = cow_fsync_dir_at(tags, ".");
	return r < 0 ? cow_err_set(err, r, "remove tag %s", COW_Q(ref)) : 0;
}

int cow_image_tags(struct cow_store *s, const struct cow_image *i,
		   int (*fn)(void *ctx, const char *tag), void *ctx)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autoclose int tags = tags_open(s, i->name);
	if (tags == -ENOENT)
		return 0;
	int r = tags < 0 ? tags : cow_names_read(tags, ".", &names);
	for (size_t k = 0; r == 0 && k < names.n; k++)
		if (tag_version(tags, names.name[k]) == i->version)
			r = fn(ctx, names.name[k]);
	return r;
}
