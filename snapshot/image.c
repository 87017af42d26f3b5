/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "snapshot/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/fs.h"
#include "common/log.h"
#include "image_internal.h"
#include "names.h"

int cow_image_dir(struct cow_store *s, const char *name)
{
	cow_autoclose int images = cow_opendir_at(s->fd, "images");
	return images < 0 ? images : cow_opendir_at(images, name);
}

int cow_image_version(struct cow_store *s, const struct cow_image *i)
{
	char number[16];
	cow_autoclose int dir = cow_image_dir(s, i->name);
	if (dir < 0)
		return dir;
	(void)snprintf(number, sizeof(number), "%u", i->version);
	return cow_opendir_at(dir, number);
}

int cow_image_tree(struct cow_store *s, const struct cow_image *i)
{
	cow_autoclose int version = cow_image_version(s, i);
	return version < 0 ? version : cow_opendir_at(version, "tree");
}

/* ---------------------------------------------------------------- versions of a name */

int cow_image_versions(int dir, unsigned **ret, size_t *ret_n)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	int r = cow_names_read(dir, ".", &names);
	if (r < 0)
		return r;
	unsigned *list = calloc(names.n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < names.n; i++) {
		uint64_t v;
		if (cow_parse_u64(names.name[i], 1, UINT32_MAX, &v) == 0)
			list[n++] = (unsigned)v;
	}
	cow_numbers_sort(list, n);
	*ret = list;
	*ret_n = n;
	return 0;
}

int cow_image_newest(int dir, unsigned *ret)
{
	cow_autofree unsigned *list = NULL;
	size_t n;
	int r = cow_image_versions(dir, &list, &n);
	if (r == 0)
		*ret = n ? list[n - 1] : 0;
	return r;
}

/* ---------------------------------------------------------------- finding */

static int no_such_image(struct cow_store *s, const char *name, struct cow_err *err)
{
	char known[256] = "";
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	(void)cow_names_read(s->fd, "images", &names); /* only for the hint */
	for (size_t i = 0; i < names.n && strlen(known) + COW_LABEL_MAX + 3 < sizeof(known); i++) {
		if (cow_label_check(names.name[i]) < 0)
			continue;
		size_t len = strlen(known);
		(void)snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "",
			       names.name[i]);
	}
	cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "no image %s", COW_Q(name));
	return cow_err_hint(
	    err, -ENOENT, "%s%s",
	    *known ? "there are: " : "make one with 'cowherd image import NAME SOURCE'", known);
}

static int no_such_version(int dir, const char *name, const char *what, struct cow_err *err)
{
	char known[256] = "";
	cow_autofree unsigned *list = NULL;
	size_t n = 0;
	(void)cow_image_versions(dir, &list, &n); /* only for the hint */
	for (size_t i = n > 16 ? n - 16 : 0; i < n; i++) {
		size_t len = strlen(known);
		(void)snprintf(known + len, sizeof(known) - len, "%s%s@%u", len ? ", " : "", name,
			       list[i]);
	}
	cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "image %s has no %s", name, what);
	return *known ? cow_err_hint(err, -ENOENT, "there are: %s", known) : -ENOENT;
}

static int resolve_tag(int dir, const char *name, const char *tag, unsigned *ret,
		       struct cow_err *err)
{
	cow_autofree char *target = NULL;
	char what[COW_LABEL_MAX + 32];
	uint64_t v = 0;
	cow_autoclose int tags = cow_opendir_at(dir, "tags");
	int r = tags < 0 ? tags : cow_readlink_at(tags, tag, &target);
	if (r == 0 &&
	    (strncmp(target, "../", 3) != 0 || cow_parse_u64(target + 3, 1, UINT32_MAX, &v) < 0))
		r = -EBADMSG;
	(void)snprintf(what, sizeof(what), "tag %s", tag);
	if (r == -ENOENT)
		return no_such_version(dir, name, what, err);
	if (r < 0)
		return cow_err_set(err, r, "read tag %s:%s", name, tag);
	*ret = (unsigned)v;
	return 0;
}

/* "NAME", "NAME@V", "NAME:TAG" taken apart; @name has COW_LABEL_MAX + 1 bytes. */
static int split_ref(const char *ref, char *name, const char **ret_rest)
{
	size_t len = strcspn(ref, "@:");
	if (len > COW_LABEL_MAX)
		return -EINVAL;
	memcpy(name, ref, len);
	name[len] = 0;
	*ret_rest = ref + len;
	return cow_label_check(name);
}

static int resolve(int dir, const char *name, const char *rest, unsigned *ret, struct cow_err *err)
{
	uint64_t v;
	char what[64];
	int r;
	switch (*rest) {
	case 0:
		r = cow_image_newest(dir, ret);
		if (r < 0)
			return cow_err_set(err, r, "list image %s", name);
		return *ret ? 0 : no_such_version(dir, name, "version", err);
	case '@':
		if (cow_parse_u64(rest + 1, 1, UINT32_MAX, &v) < 0)
			return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "'%s%s': not NAME@NUMBER",
					   name, rest);
		*ret = (unsigned)v;
		(void)snprintf(what, sizeof(what), "%u", *ret);
		r = cow_exists_at(dir, what);
		if (r < 0)
			return cow_err_set(err, r, "look for image %s@%u", name, *ret);
		if (r > 0)
			return 0;
		(void)snprintf(what, sizeof(what), "version %u", *ret);
		return no_such_version(dir, name, what, err);
	default:
		if (cow_label_check(rest + 1) < 0)
			return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "'%s%s': not NAME:TAG",
					   name, rest);
		return resolve_tag(dir, name, rest + 1, ret, err);
	}
}

int cow_image_find(struct cow_store *s, const char *ref, struct cow_image **ret,
		   struct cow_err *err)
{
	char name[COW_LABEL_MAX + 1];
	const char *rest;
	unsigned version = 0;
	if (split_ref(ref, name, &rest) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s names no image: write NAME, NAME@VERSION or NAME:TAG",
				   COW_Q(ref));
	cow_autoclose int dir = cow_image_dir(s, name);
	if (dir == -ENOENT)
		return no_such_image(s, name, err);
	if (dir < 0)
		return cow_err_set(err, dir, "open image %s", name);
	int r = resolve(dir, name, rest, &version, err);
	return r < 0 ? r : cow_image_record(dir, name, version, ret, NULL, err);
}

int cow_image_conf(struct cow_store *s, const struct cow_image *i, struct cow_kv **ret,
		   struct cow_err *err)
{
	cow_autoclose int dir = cow_image_dir(s, i->name);
	if (dir < 0)
		return cow_err_set(err, dir, "open image %s", i->name);
	return cow_image_record(dir, i->name, i->version, NULL, ret, err);
}

/* ---------------------------------------------------------------- listing */

struct each {
	int (*fn)(void *ctx, const struct cow_image *i);
	void *ctx;
	const struct cow_users *users;
	struct cow_err *err;
};

static int each_version(struct cow_store *s, const char *name, const struct each *e)
{
	cow_autofree unsigned *list = NULL;
	size_t n;
	cow_autoclose int dir = cow_image_dir(s, name);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0;
	if (dir < 0)
		return cow_err_set(e->err, dir, "open image %s", name);
	unsigned edited = 0;
	(void)cow_edit_version(dir, &edited,
			       NULL); /* one that cannot be read is not worth the list */
	int r = cow_image_versions(dir, &list, &n);
	if (r < 0)
		return cow_err_set(e->err, r, "list image %s", name);
	for (size_t v = 0; v < n; v++) {
		cow_autoimage i = NULL;
		r = cow_image_record(dir, name, list[v], &i, NULL, e->err);
		if (r == -ENOENT)
			continue; /* removed meanwhile */
		if (r < 0)
			return r;
		i->clients = cow_users_count(e->users, name, list[v]);
		i->edited = list[v] == edited;
		r = e->fn(e->ctx, i);
		if (r)
			return r;
	}
	return 0;
}

int cow_image_each(struct cow_store *s, int (*fn)(void *ctx, const struct cow_image *i), void *ctx,
		   struct cow_err *err)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autousers struct cow_users users = COW_USERS_EMPTY;
	int r = cow_users_read(s, COW_USERS_READABLE, &users, err);
	if (r < 0)
		return r;
	r = cow_names_read(s->fd, "images", &names);
	if (r < 0)
		return cow_err_set(err, r, "list the images of '%s'", s->path);
	struct each e = {.fn = fn, .ctx = ctx, .users = &users, .err = err};
	for (size_t i = 0; i < names.n; i++) {
		r = cow_label_check(names.name[i]) < 0 ? 0 : each_version(s, names.name[i], &e);
		if (r)
			return r;
	}
	return 0;
}

/* ---------------------------------------------------------------- removal */

static int in_use(const struct cow_users *users, const struct cow_user *user,
		  const struct cow_image *i, struct cow_err *err)
{
	if (user->why == COW_USER_NEXT)
		return cow_err_hint(
		    err,
		    cow_err_say(err, COW_ERR_BUSY, -EBUSY,
				"image %s@%u is what client %s goes to at its next boot", i->name,
				i->version, user->id),
		    "'cowherd client roll %s --cancel' takes that back", user->id);
	if (user->why == COW_USER_KEPT)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_BUSY, -EBUSY,
						"image %s@%u is in use by the root that client %s "
						"keeps for rollback",
						i->name, i->version, user->id),
				    "reset that client once more, or remove it");
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_BUSY, -EBUSY, "image %s@%u is in use by client %s (%u in all)",
			i->name, i->version, user->id, cow_users_count(users, i->name, i->version)),
	    "reset them to another version or remove them first");
}

static int check_unedited(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	unsigned version = 0;
	cow_autoclose int dir = cow_image_dir(s, i->name);
	if (dir < 0)
		return cow_err_set(err, dir, "open image %s", i->name);
	int r = cow_edit_version(dir, &version, err);
	if (r < 0 || version != i->version)
		return r;
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_BUSY, -EBUSY, "an edit stands on image %s@%u", i->name,
			i->version),
	    "commit or discard it: cowherd image edit %s --commit TEXT, or --discard", i->name);
}

static int tagged(void *ctx, const char *tag)
{
	(void)snprintf(ctx, COW_LABEL_MAX + 1, "%s", tag);
	return 1;
}

static int check_untagged(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	char tag[COW_LABEL_MAX + 1];
	int r = cow_image_tags(s, i, tagged, tag);
	if (r < 0)
		return cow_err_set(err, r, "read the tags of image %s", i->name);
	if (r == 0)
		return check_unedited(s, i, err);
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_BUSY, -EBUSY, "image %s@%u has the tag %s", i->name,
			i->version, tag),
	    "give the tag to another version, or remove it: cowherd image tag --delete "
	    "%s:%s",
	    i->name, tag);
}

int cow_image_check_unused(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	cow_autousers struct cow_users users = COW_USERS_EMPTY;
	int r = cow_users_read(s, COW_USERS_ALL, &users, err);
	if (r < 0)
		return r;
	const struct cow_user *user = cow_users_first(&users, i->name, i->version);
	return user ? in_use(&users, user, i, err) : check_untagged(s, i, err);
}

static int rm_locked(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	char number[16];
	int r = cow_image_check_unused(s, i, err);
	if (r < 0)
		return r;
	cow_autoclose int dir = cow_image_dir(s, i->name);
	if (dir < 0)
		return cow_err_set(err, dir, "open image %s", i->name);
	(void)snprintf(number, sizeof(number), "%u", i->version);
	r = cow_trash_put(s, dir, number);
	if (r == 0)
		r = cow_fsync_dir_at(dir, ".");
	return r < 0 ? cow_err_set(err, r, "remove image %s@%u", i->name, i->version) : 0;
}

int cow_image_rm(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	int r = rm_locked(s, i, err);
	if (r < 0)
		return r;
	(void)close(cow_steal_fd(&lock)); /* deleting takes long and needs no lock */
	r = cow_trash_empty(s);
	return r < 0 ? cow_err_set(err, r,
				   "delete image %s@%u (it is out of use; the rest of it "
				   "is in the trash)",
				   i->name, i->version)
		     : 0;
}
