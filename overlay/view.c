/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a name in a directory shows. Three kinds of directory: born in the upper (simple: the upper
 * alone knows, but whiteouts are not shown), of the image without an upper (the image alone knows),
 * of the image with an upper (the delta hides and replaces names of the image). An observer keeps no
 * delta and asks the upper directory each time.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "names_each.h"

/* ---------------------------------------------------------------- locks */

static bool wants_delta(const struct cow_ovl_node *dir)
{
	return dir && dir->low != 0 && S_ISDIR(dir->type) && atomic_load(&dir->has_up) &&
	       !(dir->inst->flags & COW_OVL_OBSERVER);
}

/* Needs the lock, exclusive. */
static int delta_need(struct cow_ovl_node *dir)
{
	cow_autofd f = NULL;
	if (!wants_delta(dir) || dir->delta || atomic_load(&dir->gone))
		return 0;
	int r = cow_fd_get(dir, COW_FD_PATH, &f);
	return r < 0 ? r : cow_delta_load(dir, f->fd, &dir->delta);
}

static void sort3(struct cow_ovl_node *v[3])
{
	for (int a = 0; a < 2; a++)
		for (int b = 0; b < 2 - a; b++)
			if ((uintptr_t)v[b] > (uintptr_t)v[b + 1]) {
				struct cow_ovl_node *t = v[b];
				v[b] = v[b + 1];
				v[b + 1] = t;
			}
}

int cow_names_lock(struct cow_ovl_node *a, struct cow_ovl_node *b, struct cow_ovl_node *c)
{
	struct cow_ovl_node *v[3] = {a, b, c};
	int r = 0;
	sort3(v);
	for (int k = 0; k < 3; k++)
		if (v[k] && (k == 0 || v[k] != v[k - 1]))
			pthread_rwlock_wrlock(&v[k]->names);
	for (int k = 0; k < 3 && r == 0; k++)
		r = delta_need(v[k]);
	if (r < 0)
		cow_names_unlock(a, b, c);
	return r;
}

void cow_names_unlock(struct cow_ovl_node *a, struct cow_ovl_node *b, struct cow_ovl_node *c)
{
	if (a)
		pthread_rwlock_unlock(&a->names);
	if (b && b != a)
		pthread_rwlock_unlock(&b->names);
	if (c && c != a && c != b)
		pthread_rwlock_unlock(&c->names);
}

int cow_names_lock_shared(struct cow_ovl_node *dir)
{
	for (;;) {
		pthread_rwlock_rdlock(&dir->names);
		if (!wants_delta(dir) || dir->delta || atomic_load(&dir->gone))
			return 0;
		pthread_rwlock_unlock(&dir->names);
		int r = cow_names_lock(dir, NULL, NULL);
		if (r < 0)
			return r;
		cow_names_unlock(dir, NULL, NULL);
	}
}

void cow_names_unlock_shared(struct cow_ovl_node *dir)
{
	pthread_rwlock_unlock(&dir->names);
}

/* ---------------------------------------------------------------- one name */

static void from_image(struct cow_view *v)
{
	v->what = v->lower ? COW_LOWER : COW_NOTHING;
}

static int from_upper(int dirfd, const char *name, struct cow_view *v)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return cow_nerr();
		from_image(v);
		return 0;
	}
	v->covered = cow_is_whiteout(st.st_mode, st.st_rdev);
	v->what = v->covered ? COW_NOTHING : COW_UPPER;
	v->type = st.st_mode & S_IFMT;
	v->ino = st.st_ino;
	return 0;
}

static void from_delta(struct cow_ovl_node *dir, const char *name, size_t len, struct cow_view *v)
{
	const struct cow_dent *e = cow_delta_find(dir, name, len);
	if (!e) {
		from_image(v);
		return;
	}
	v->covered = e->whiteout;
	v->what = e->whiteout ? COW_NOTHING : COW_UPPER;
	v->type = e->type;
	v->ino = e->ino;
	v->known = __atomic_load_n(&e->known, __ATOMIC_ACQUIRE);
	v->number = v->known ? __atomic_load_n(&e->number, __ATOMIC_RELAXED) : 0;
}

int cow_view_locked(struct cow_ovl_node *dir, int dirfd, const char *name, size_t len,
		    struct cow_view *ret)
{
	struct cow_view v = {0};
	int r = 0;
	if (dir->low != 0)
		v.lower = cow_man_find(dir->inst->img, dir->low, name, len, &v.low);
	if (dir->delta)
		from_delta(dir, name, len, &v);
	else if (atomic_load(&dir->has_up))
		r = from_upper(dirfd, name, &v);
	else
		from_image(&v);
	if (r == 0)
		*ret = v;
	return r;
}

static void remember(struct cow_ovl_node *dir, const char *name, const struct cow_ovl_node *n)
{
	struct cow_dent *e = dir->delta ? cow_delta_find(dir, name, strlen(name)) : NULL;
	if (!e || __atomic_load_n(&e->known, __ATOMIC_ACQUIRE))
		return;
	/* Under the shared lock: several threads write the same values. */
	__atomic_store_n(&e->number, n->low, __ATOMIC_RELAXED);
	__atomic_store_n(&e->known, true, __ATOMIC_RELEASE);
}

int cow_view_node_locked(struct cow_ovl_node *dir, int dirfd, const char *name,
			 const struct cow_view *v, struct cow_ovl_node **ret)
{
	struct cow_ovl_inst *i = dir->inst;
	if (v->what == COW_LOWER)
		return cow_node_intern_low(i, v->low.ino, NULL, ret);
	if (v->known && v->number != 0) {
		struct cow_key key;
		cow_key_of_number(v->number, &key);
		*ret = cow_node_find(i, &key);
		if (*ret)
			return 0;
	}
	int fd = cow_open_name(dirfd, name);
	if (fd < 0)
		return fd;
	int r = cow_upper_node(i, dir, v->lower ? &v->low : NULL, fd, COW_FD_PATH, ret);
	if (r == 0)
		remember(dir, name, *ret);
	return r;
}

/* An object of the image is found by its number alone, so this finds none, and no whiteout. */
static struct cow_ovl_node *find_born(struct cow_ovl_inst *i, int dirfd, const char *name)
{
	struct cow_fh fh;
	struct cow_key key;
	int mnt_id;
	if (cow_fh_of_name(dirfd, name, &fh, &mnt_id) < 0 || mnt_id != i->mnt_id)
		return NULL;
	cow_key_of_upper(&fh, &key);
	return cow_node_find(i, &key);
}

int cow_view_victim_locked(struct cow_ovl_node *dir, int dirfd, const char *name,
			   const struct cow_view *v, struct cow_ovl_node **ret)
{
	*ret = v->what == COW_UPPER && (!v->known || v->number == 0)
		   ? find_born(dir->inst, dirfd, name)
		   : NULL;
	return *ret ? 0 : cow_view_node_locked(dir, dirfd, name, v, ret);
}

/* ---------------------------------------------------------------- emptiness */

static int is_visible(void *ctx, const char *name)
{
	struct stat st;
	if (fstatat(*(int *)ctx, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	return !cow_is_whiteout(st.st_mode, st.st_rdev);
}

int cow_dir_empty_locked(struct cow_ovl_node *dir)
{
	cow_autofd f = NULL;
	size_t nchild = dir->low ? cow_man_nchild(dir->inst->img, dir->low) : 0;
	if (!atomic_load(&dir->has_up))
		return nchild == 0;
	if (dir->delta)
		return cow_delta_visible(dir->delta) == 0 && cow_delta_covers(dir->delta) == nchild;
	int r = cow_fd_get(dir, COW_FD_PATH, &f);
	if (r < 0)
		return r;
	r = cow_names_each(f->fd, is_visible, &f->fd);
	return r < 0 ? r : r == 0;
}
