/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Edits: images/NAME/edit/ is a root as clients have them, without a client.
 *
 *	edit.conf	who began it, and when
 *	editor		lock of who works in it, with his name in it; given back by a crash
 *	root.conf, instance, lock, upper/, work/, tree/		as in a client's roots/N
 *
 * It is made below .new-HEX/ with STORE/lock held, so a .new-* that is seen with that lock is dead. It
 * goes by one rename into the trash.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commit_internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

#define LOCK_NAME "editor"
#define WHO_MAX 256

void cow_edit_free(struct cow_edit *e)
{
	if (!e)
		return;
	free(e->by);
	free(e->root);
	free(e->below);
	if (e->lock >= 0)
		(void)close(e->lock); /* nothing in it that must last */
	if (e->dir >= 0)
		(void)close(e->dir);
	free(e);
}

/* ---------------------------------------------------------------- who works in it */

/* @dir: the edit's. -> lock, or -EBUSY */
static int take_lock(int dir, const char *by)
{
	char text[WHO_MAX];
	int fd = cow_lock_at(dir, LOCK_NAME, 0);
	if (fd < 0)
		return fd;
	int len = snprintf(text, sizeof(text), "%s\n", by);
	/* For people; the lock is what counts. */
	if (ftruncate(fd, 0) < 0 ||
	    pwrite(fd, text, (size_t)len < sizeof(text) ? (size_t)len : 0, 0) < 0)
		return fd;
	return fd;
}

/* Asks without taking it, so that nobody else finds it taken. 1, 0 or -errno */
static int is_locked(int dir)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cow_autoclose int fd = openat(dir, LOCK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lk) < 0)
		return -errno;
	return lk.l_type != F_UNLCK;
}

static void read_holder(int dir, char who[WHO_MAX])
{
	cow_autofree char *text = NULL;
	size_t len;
	who[0] = 0;
	if (cow_read_file_at(dir, LOCK_NAME, WHO_MAX, &text, &len) == 0)
		(void)snprintf(who, WHO_MAX, "%.*s", (int)strcspn(text, "\n"), text);
}

static int say_busy(const struct cow_edit *e, struct cow_err *err)
{
	char who[WHO_MAX];
	read_holder(e->dir, who);
	return cow_err_say(err, COW_ERR_BUSY, -EBUSY, "%s works in the edit of image %s",
			   *who ? who : "another process", e->image);
}

static int say_there_is_one(const struct cow_edit *e, struct cow_err *err)
{
	char when[COW_TIME_TEXT_LEN + 1];
	if (e->busy)
		return say_busy(e, err);
	cow_time_text(e->begun_s, when);
	cow_err_say(err, COW_ERR_BUSY, -EBUSY,
		    "an edit of image %s is open, begun by %s at %s on %s@%u", e->image, e->by,
		    when, e->image, e->version);
	return cow_err_hint(err, -EBUSY,
			    "go on with it (--resume), or end it (--commit, --discard)");
}

static char *who_am_i(const struct cow_edit_opts *opts)
{
	char *who = NULL;
	int len = opts && opts->by ? asprintf(&who, "%s (pid %d)", opts->by, (int)getpid())
				   : asprintf(&who, "process %d", (int)getpid());
	return len < 0 ? NULL : who;
}

/* ---------------------------------------------------------------- looking at it */

static int read_conf(struct cow_edit *e, struct cow_err *err)
{
	struct cow_root root;
	cow_autokv conf = NULL;
	int r = cow_root_read(e->dir, &root, err);
	if (r == 0)
		r = cow_kv_read_at(e->dir, "edit.conf", &conf, err);
	if (r < 0)
		return cow_err_prefix(err, r, "edit of image %s", e->image);
	const char *by = cow_kv_get(conf, "", "by");
	e->version = root.version;
	e->backend = root.backend;
	e->begun_s = root.swapped_s;
	e->by = strdup(by ? by : "somebody");
	return e->by ? 0 : cow_err_set(err, -ENOMEM, "edit of image %s", e->image);
}

static int set_paths(struct cow_store *s, struct cow_edit *e, struct cow_err *err)
{
	if (asprintf(&e->root, "%s/images/%s/" COW_EDIT_NAME, s->path, e->image) < 0)
		e->root = NULL;
	if (e->backend == COW_BACKEND_OVERLAY &&
	    asprintf(&e->below, "%s/images/%s/%u", s->path, e->image, e->version) < 0)
		e->below = NULL;
	if (!e->root || (e->backend == COW_BACKEND_OVERLAY && !e->below))
		return cow_err_set(err, -ENOMEM, "edit of image %s", e->image);
	return 0;
}

static struct cow_edit *edit_new(const char *image)
{
	struct cow_edit *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->dir = e->lock = -1;
	(void)snprintf(e->image, sizeof(e->image), "%s", image);
	return e;
}

/* -ENOENT there is none, without words. */
static int look(struct cow_store *s, const char *image, struct cow_edit **ret, struct cow_err *err)
{
	cow_autoedit e = edit_new(image);
	if (!e)
		return cow_err_set(err, -ENOMEM, "edit of image %s", image);
	cow_autoclose int dir = cow_image_dir(s, image);
	if (dir < 0)
		return dir == -ENOENT ? dir : cow_err_set(err, dir, "open image %s", image);
	e->dir = cow_opendir_at(dir, COW_EDIT_NAME);
	if (e->dir < 0)
		return e->dir == -ENOENT
			   ? -ENOENT
			   : cow_err_set(err, e->dir, "open the edit of image %s", image);
	int r = read_conf(e, err);
	if (r == 0)
		r = set_paths(s, e, err);
	if (r < 0)
		return r;
	r = is_locked(e->dir);
	if (r < 0)
		return cow_err_set(err, r, "look who works in the edit of image %s", image);
	e->busy = r;
	*ret = cow_steal_ptr(&e);
	return 0;
}

int cow_edit_find(struct cow_store *s, const char *image, unsigned flags, struct cow_edit **ret,
		  struct cow_err *err)
{
	cow_autoedit e = NULL;
	if (flags & ~(unsigned)COW_EDIT_LOOK)
		return cow_err_set(err, -EINVAL, "find an edit: flags %#x", flags);
	if (cow_label_check(image) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "%s is no image name",
				   COW_Q(image));
	int r = look(s, image, &e, err);
	if (r == -ENOENT)
		return cow_err_say(err, COW_ERR_NOT_FOUND, r, "no edit of image %s is open", image);
	if (r == 0 && e && !(flags & COW_EDIT_LOOK)) {
		cow_autofree char *who = who_am_i(NULL);
		r = who ? take_lock(e->dir, who) : -ENOMEM;
		if (r == -EBUSY)
			return say_busy(e, err);
		if (r < 0)
			return cow_err_set(err, r, "lock the edit of image %s", image);
		e->lock = r;
		r = 0;
	}
	if (r == 0)
		*ret = cow_steal_ptr(&e);
	return r;
}

int cow_edit_version(int dir, unsigned *ret, struct cow_err *err)
{
	struct cow_root root;
	cow_autoclose int edit = cow_opendir_at(dir, COW_EDIT_NAME);
	*ret = 0;
	if (edit < 0)
		return edit == -ENOENT ? 0 : cow_err_set(err, edit, "open the edit");
	int r = cow_root_read(edit, &root, err);
	if (r == 0)
		*ret = root.version;
	return r < 0 ? cow_err_prefix(err, r, "the edit of this image") : 0;
}

/* ---------------------------------------------------------------- beginning */

static int write_conf(int dir, const char *who, struct cow_err *err)
{
	cow_autokv kv = NULL;
	cow_autofree char *by = cow_conf_text(who);
	int r = by ? cow_kv_new(&kv) : -ENOMEM;
	if (r == 0)
		r = cow_kv_set(kv, "", "by", by);
	return r < 0 ? cow_err_set(err, r, "write edit.conf")
		     : cow_kv_write_at(dir, "edit.conf", kv, 0644, err);
}

static int publish(int dir, const char *temp, struct cow_edit *e, struct cow_err *err)
{
	if (syncfs(e->dir) < 0) /* I2: all of it is on disk before it has its name */
		return cow_err_set(err, -errno, "write the edit of image %s to disk", e->image);
	if (renameat2(dir, temp, dir, COW_EDIT_NAME, RENAME_NOREPLACE) < 0)
		return cow_err_set(err, -errno, "publish the edit of image %s", e->image);
	int r = cow_fsync_dir_at(dir, ".");
	return r < 0 ? cow_err_set(err, r, "publish the edit of image %s", e->image) : 0;
}

static int begin_at(struct cow_store *s, int dir, const struct cow_image *image,
		    const struct cow_edit_opts *opts, struct cow_edit *e, struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1], temp[sizeof(COW_EDIT_NEW_PREFIX) + COW_HEX64_LEN];
	/* Who mounts it hears of every fsync and relaxes it (COW_OVL_LOCAL). */
	const struct cow_root_how how = {
	    .backend = opts && opts->backend != COW_BACKEND_NONE ? opts->backend
								 : cow_store_default_backend(s),
	    .durability = COW_OVL_STRICT,
	};
	int r = cow_store_check_space(s, err);
	if (r < 0)
		return r;
	e->by = who_am_i(opts);
	r = e->by ? cow_random_hex(hex) : -ENOMEM;
	if (r < 0)
		return cow_err_set(err, r, "begin an edit of image %s", image->name);
	(void)snprintf(temp, sizeof(temp), COW_EDIT_NEW_PREFIX "%s", hex);
	r = cow_mkdir_at(dir, temp, 0700);
	if (r == 0)
		r = e->dir = cow_opendir_at(dir, temp);
	if (r < 0)
		return cow_err_set(err, r, "begin an edit of image %s", image->name);
	r = cow_root_fill(s, e->dir, image, &how, err);
	if (r == 0)
		r = write_conf(e->dir, e->by, err);
	if (r == 0) {
		r = e->lock = take_lock(e->dir, e->by);
		r = r < 0 ? cow_err_set(err, r, "lock the edit of image %s", image->name)
			  : publish(dir, temp, e, err);
	}
	if (r < 0)
		(void)cow_tree_delete_at(dir, temp); /* else the sweep has it */
	e->version = image->version;
	e->backend = how.backend;
	e->begun_s = cow_realtime_s();
	return r;
}

int cow_edit_begin(struct cow_store *s, const char *ref, const struct cow_edit_opts *opts,
		   struct cow_edit **ret, struct cow_err *err)
{
	cow_autoimage image = NULL;
	cow_autoedit there = NULL;
	cow_autoedit e = NULL;
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	int r = cow_image_find(s, ref, &image, err);
	if (r < 0)
		return r;
	r = look(s, image->name, &there, err);
	if (r != -ENOENT)
		return r < 0 || !there ? r : say_there_is_one(there, err);
	cow_autoclose int dir = cow_image_dir(s, image->name);
	if (dir < 0)
		return cow_err_set(err, dir, "open image %s", image->name);
	e = edit_new(image->name);
	if (!e)
		return cow_err_set(err, -ENOMEM, "begin an edit of image %s", image->name);
	r = begin_at(s, dir, image, opts, e, err);
	if (r == 0)
		r = set_paths(s, e, err);
	if (r == 0)
		*ret = cow_steal_ptr(&e);
	return r;
}

/* ---------------------------------------------------------------- ending */

static int check_held(const struct cow_edit *e, struct cow_err *err)
{
	return e->lock >= 0
		   ? 0
		   : cow_err_set(err, -EINVAL, "the edit of image %s is not held", e->image);
}

int cow_edit_discard(struct cow_store *s, struct cow_edit *e, struct cow_err *err)
{
	char who[COW_OVL_HOLDER_MAX];
	int r = check_held(e, err);
	if (r < 0)
		return r;
	if (cow_ovl_inst_holder(e->dir, who) == 0)
		return cow_err_say(err, COW_ERR_BUSY, -EBUSY, "the edit of image %s is mounted%s%s",
				   e->image, *who ? ": " : "", who);
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	cow_autoclose int dir = cow_image_dir(s, e->image);
	r = dir < 0 ? dir : cow_trash_put(s, dir, COW_EDIT_NAME);
	if (r == 0)
		r = cow_fsync_dir_at(dir, ".");
	return r < 0 ? cow_err_set(err, r, "discard the edit of image %s", e->image) : 0;
}

int cow_edit_commit(struct cow_store *s, struct cow_edit *e, const struct cow_import_opts *opts,
		    unsigned *ret_version, struct cow_err *err)
{
	char doing[COW_LABEL_MAX + sizeof("commit of the edit of image ")];
	struct cow_commit c = {
	    .s = s,
	    .root = e->dir,
	    .image = e->image,
	    .source = "edit",
	    .doing = doing,
	    .opts = opts,
	};
	(void)snprintf(doing, sizeof(doing), "commit of the edit of image %s", e->image);
	int r = check_held(e, err);
	if (r == 0)
		r = cow_root_read(e->dir, &c.conf, err);
	if (r == 0)
		r = cow_commit_root(&c, ret_version, err);
	if (r < 0)
		return cow_err_prefix(err, r, "commit the edit of image %s", e->image);
	r = cow_edit_discard(s, e, err);
	return r < 0 ? cow_err_prefix(err, r, "image %s@%u is made, but", e->image, *ret_version)
		     : 0;
}
