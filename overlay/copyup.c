/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Copy-up: an object of the image gets its upper, complete before it has a name (overlay.md 4.7).
 *
 *	1 the directory it is at home in is brought up, and those above it, from the top
 *	2 the copy is made in work/work: data that survives, owner, attributes, mode, times, and the
 *	  caller's change with them; then the only fsync of the protocol
 *	3 under the directory's names lock: anchor (several names in the image), then the name
 *
 * A crash before the name leaves a nameless inode or a temporary, swept at attach; after it all is
 * done (I2, I3). An error before it leaves the object as it was. n->copying is held throughout, so one thread
 * copies and the others wait; nobody who reads does.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct copy {
	struct cow_ovl_node *n;
	struct cow_ovl_inst *i;
	const struct cow_ovl_cred *cred;
	const struct cow_ovl_set *set;
	int fd;
	struct cow_fd *held;	 /* regular files: owns fd, once it is built */
	char temp[COW_TEMP_LEN]; /* "": it has no name yet */
	struct cow_fh fh;
	struct cow_reserved room;
};

/* ---------------------------------------------------------------- the copy */

static int open_unnamed(struct copy *c)
{
	c->fd = COW_FD_TRY(openat(c->i->workfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0));
	if (c->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return cow_nerr();
	cow_temp_name(c->i, c->temp);
	c->fd = COW_FD_TRY(
	    openat(c->i->workfd, c->temp, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0));
	return c->fd < 0 ? cow_nerr() : 0;
}

static int make_file(struct copy *c, bool *ret_sync)
{
	cow_autofd low = NULL;
	struct cow_ovl_attr attr;
	bool cloned;
	cow_man_attr(c->i->img, c->n->low, &attr);
	uint64_t size = attr.size, keep = attr.size;
	if (c->set && c->set->mask & COW_SET_SIZE) {
		size = c->set->size;
		keep = size < keep ? size : keep;
	}
	int r = cow_limit_take(c->i, keep < attr.bytes_used ? keep : attr.bytes_used, &c->room);
	if (r == 0)
		r = cow_fd_get(c->n, COW_FD_READ, &low);
	if (r == 0)
		r = open_unnamed(c);
	if (r == 0)
		r = cow_copy_data(low->fd, c->fd, keep, &cloned);
	if (r == 0 && ftruncate(c->fd, (off_t)size) < 0)
		r = cow_nerr();
	if (r == 0)
		*ret_sync = !cloned;
	return r;
}

static int make_other(struct copy *c)
{
	struct cow_ovl_attr attr;
	size_t len;
	int r;
	cow_man_attr(c->i->img, c->n->low, &attr);
	r = cow_limit_take(c->i, 0, &c->room);
	if (r < 0)
		return r;
	cow_temp_name(c->i, c->temp);
	if (S_ISDIR(attr.mode))
		r = mkdirat(c->i->workfd, c->temp, 0700);
	else if (S_ISLNK(attr.mode))
		r = symlinkat(cow_man_target(c->i->img, c->n->low, &len), c->i->workfd, c->temp);
	else
		r = mknodat(c->i->workfd, c->temp, attr.mode & S_IFMT, attr.rdev);
	if (r < 0) {
		c->temp[0] = '\0';
		return cow_nerr();
	}
	c->fd = COW_FD_TRY(openat(c->i->workfd, c->temp, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	return c->fd < 0 ? cow_nerr() : 0;
}

/* What says that it came from below, and what it is where that will not be plain. */
static int write_identity(struct copy *c)
{
	cow_autofd low = NULL;
	int r = cow_fd_get(c->n, COW_FD_PATH, &low);
	if (r == 0)
		r = cow_origin_write(c->fd, low->fd, cow_man_rootfd(c->i->img));
	if (r == 0 && (S_ISDIR(c->n->type) || cow_node_linked(c->n)))
		r = cow_ident_write(c->i, c->fd, c->n->low);
	return r;
}

/* The change the copy is made for; its size is made already. */
static int apply_set(struct copy *c)
{
	const struct cow_fd f = {
	    .fd = c->fd,
	    .level = S_ISREG(c->n->type) ? COW_FD_WRITE : COW_FD_PATH,
	};
	struct cow_ovl_set set = *c->set;
	int r = set.mask & COW_SET_SIZE ? cow_strip_caps(c->fd) : 0;
	if (r == 0 && set.mask & COW_SET_SIZE)
		r = cow_strip_for(&f, c->cred);
	if (r < 0)
		return r;
	if (set.mask & COW_SET_SIZE && !(set.mask & (COW_SET_MTIME | COW_SET_MTIME_NOW)))
		set.mask |= COW_SET_MTIME_NOW;
	set.mask &= ~(unsigned)COW_SET_SIZE;
	return cow_set_apply(c->n, &f, c->cred, &set);
}

static int build(struct copy *c)
{
	bool sync = false;
	int mnt_id;
	int r = S_ISREG(c->n->type) ? make_file(c, &sync) : make_other(c);
	if (r == 0)
		r = cow_copy_attrs(c->i, c->n->low, c->fd);
	if (r == 0)
		r = write_identity(c);
	if (r == 0)
		r = cow_copy_times(c->i, c->n->low, c->fd);
	if (r == 0 && c->set)
		r = apply_set(c);
	if (r == 0)
		r = cow_fh_of(c->fd, &c->fh, &mnt_id);
	if (r == 0 && sync && c->i->durability != COW_OVL_VOLATILE)
		r = cow_sync_fd(c->i, c->fd, false); /* I2: data is durable before its name */
	if (r == 0 && S_ISREG(c->n->type)) {
		r = cow_fd_adopt(c->i, NULL, c->fd, COW_FD_WRITE, &c->held);
		if (r < 0)
			c->fd = -1; /* taken over all the same */
	}
	return r;
}

static void drop(struct copy *c)
{
	cow_limit_cancel(c->i, &c->room);
	if (c->held)
		cow_fd_put(c->held);
	else if (c->fd >= 0)
		(void)close(c->fd); /* synced, or not wanted */
	if (c->temp[0])
		cow_work_drop(c->i, c->temp);
}

/* ---------------------------------------------------------------- the name */

/* Who has the object open for reading holds an fd of the image, so nothing but this keeps the upper
 * when its name goes. An open counts itself before it looks whether there is an upper; we look at
 * the count after there is one. */
static void pin(struct copy *c)
{
	if (!c->held || !cow_node_used(c->n))
		return;
	c->n->pin = cow_steal_ptr(&c->held);
	c->fd = -1;
	atomic_store(&c->n->pinned, true);
}

static int give_name(struct copy *c, int dirfd, const char *name)
{
	int r;
	if (!c->temp[0])
		r = linkat(c->fd, "", dirfd, name, AT_EMPTY_PATH);
	else
		r = renameat2(c->i->workfd, c->temp, dirfd, name, RENAME_NOREPLACE);
	if (r < 0)
		return errno == EEXIST ? -EIO : cow_nerr(); /* the upper is not what we know */
	c->temp[0] = '\0';
	return 0;
}

static void note(struct copy *c, struct cow_ovl_node *dir, const char *name)
{
	struct stat st;
	struct cow_dent e = {.number = c->n->low, .known = true, .type = c->n->type};
	if (fstat(c->fd, &st) == 0)
		e.ino = st.st_ino;
	cow_delta_put(dir, name, &e);
	if (S_ISDIR(c->n->type))
		(void)cow_delta_new(
		    &c->n->delta); /* empty; without memory it is read when needed */
	cow_limit_settle(c->n, c->fd, &c->room);
	cow_fd_went_up(c->n, &c->fh);
	pin(c);
}

void cow_restore_times(int dirfd, const struct stat *before)
{
	const struct timespec ts[2] = {before->st_atim, before->st_mtim};
	(void)utimensat(dirfd, "", ts,
			AT_EMPTY_PATH); /* what was done is done: no reason to fail */
}

/* The directory's own times are not changed by what its users did not do. */
static int publish_locked(struct copy *c, struct cow_ovl_node *dir, int dirfd, const char *name)
{
	struct stat before;
	bool anchored = cow_node_linked(c->n);
	if (fstat(dirfd, &before) < 0)
		return cow_nerr();
	int r = cow_impure_need(dir, dirfd);
	if (r == 0 && anchored)
		r = cow_anchor_add(c->i, c->n->low, c->fd, &c->fh);
	if (r < 0)
		return r;
	r = give_name(c, dirfd, name);
	if (r < 0 && anchored)
		cow_anchor_drop(c->i, c->n->low);
	if (r < 0)
		return r;
	cow_restore_times(dirfd, &before);
	atomic_fetch_add(&c->i->brought_up, 1); /* before anybody can write to it */
	note(c, dir, name);
	return 0;
}

/* Publish at name @k of the image. -ESTALE: that name does not show the object. */
static int publish_at(struct copy *c, size_t k)
{
	cow_autonode dir = NULL;
	cow_autofd d = NULL;
	struct cow_man_ent ent;
	struct cow_view v;
	uint32_t parent;
	cow_man_name(c->i->img, c->n->low, k, &parent, &ent);
	int r = cow_by_number(c->i, parent, &dir);
	if (r == 0)
		r = cow_bring_up(dir, NULL, NULL, NULL);
	if (r == 0)
		r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r == 0 && c->fd < 0)
		r = build(c);
	/* A directory is locked itself too: from one step to the next it has two layers. */
	struct cow_ovl_node *self = S_ISDIR(c->n->type) ? c->n : NULL;
	if (r == 0)
		r = cow_names_lock(dir, self, NULL);
	if (r != 0)
		return r;
	r = atomic_load(&dir->gone) ? -ESTALE : cow_view_locked(dir, d->fd, ent.name, ent.len, &v);
	if (r == 0 && (v.what != COW_LOWER || v.low.ino != c->n->low))
		r = -ESTALE;
	if (r == 0)
		r = publish_locked(c, dir, d->fd, ent.name);
	cow_names_unlock(dir, self, NULL);
	return r;
}

/* No name any more, but an open: an upper without one, for as long as it is open. */
static int keep_unnamed(struct copy *c)
{
	if (!cow_node_used(c->n) || !S_ISREG(c->n->type))
		return -ESTALE;
	int r = c->fd < 0 ? build(c) : 0;
	if (r < 0)
		return r;
	if (c->temp[0] && unlinkat(c->i->workfd, c->temp, 0) < 0)
		return cow_nerr();
	c->temp[0] = '\0';
	atomic_store(&c->n->orphan, true);
	cow_limit_settle(c->n, c->fd, &c->room);
	cow_fd_went_up(c->n, &c->fh);
	pin(c);
	return 0;
}

static int bring_up_locked(struct copy *c)
{
	int r = -ESTALE;
	size_t names = cow_man_nnames(c->i->img, c->n->low);
	for (size_t k = 0; k < names && r == -ESTALE && !atomic_load(&c->n->gone); k++)
		r = publish_at(c, k);
	return r == -ESTALE ? keep_unnamed(c) : r;
}

int cow_bring_up(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
		 const struct cow_ovl_set *set, bool *ret_done)
{
	struct copy c = {.n = n, .i = n->inst, .cred = cred, .set = set, .fd = -1};
	if (ret_done)
		*ret_done = false;
	if (atomic_load(&n->has_up))
		return 0;
	if (n->inst->flags & COW_OVL_OBSERVER)
		return -EROFS;
	pthread_mutex_lock(&n->copying);
	int r = 0;
	if (!atomic_load(&n->has_up)) { /* else another thread did it while we waited */
		r = bring_up_locked(&c);
		if (r == 0 && set)
			*ret_done = true;
		drop(&c);
	}
	pthread_mutex_unlock(&n->copying);
	return r;
}

void cow_unpin(struct cow_ovl_node *n)
{
	struct cow_fd *pin = NULL;
	if (!atomic_load(&n->pinned) || atomic_load(&n->kept))
		return;
	pthread_mutex_lock(&n->copying);
	if (!cow_node_used(n)) {
		pin = cow_steal_ptr(&n->pin);
		atomic_store(&n->pinned, false);
	}
	pthread_mutex_unlock(&n->copying);
	cow_fd_put(pin);
}

int cow_keep_begin(struct cow_ovl_node *n, struct cow_fd **ret)
{
	if (!(n->inst->flags & COW_OVL_LOCAL) || !atomic_load(&n->has_up))
		return 0;
	return cow_fd_get(n, COW_FD_PATH, ret);
}

void cow_keep_end(struct cow_ovl_node *n, struct cow_fd *f)
{
	cow_autofd mine = f;
	struct stat st;
	if (!(n->inst->flags & COW_OVL_LOCAL) || atomic_load(&n->kept))
		return;
	if (f ? fstat(f->fd, &st) < 0 || st.st_nlink > 0 : !atomic_load(&n->gone))
		return; /* another name is left */
	/* The names are locked, so `copying` is out of reach. */
	struct cow_fd *none = NULL;
	if (mine && atomic_compare_exchange_strong(&n->keep, &none, mine))
		mine = NULL;
	if (!atomic_exchange(&n->kept, true))
		atomic_fetch_add(&n->inst->kept, 1);
}
