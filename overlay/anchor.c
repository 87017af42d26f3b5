/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Anchors. An image object with several names there, once brought up, must be found from each of
 * them, also from those the upper has not got yet. So before its first name it gets one more link in
 * work/index, and the map from number to upper is rebuilt from there at attach. The link's name is
 * the one the kernel's overlay would use: the object's origin in hex.
 *
 * What a crash leaves: an anchor before its object's first name (all names show it, the change under
 * way is made); one whose last name has gone (dropped by the sweep).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "idattr.h"
#include "internal.h"
#include "names_each.h"
#include "numbers.h"

#define ORIGIN_MAX 120 /* its hex digits must be a name */

static void origin_name(int fd, uint32_t number, char ret[COW_NAME_MAX + 1])
{
	char path[COW_PROC_PATH_LEN];
	uint8_t origin[ORIGIN_MAX];
	cow_proc_path(fd, path);
	ssize_t len = getxattr(path, COW_XA_ORIGIN, origin, sizeof(origin));
	if (len <= 0) {
		(void)snprintf(ret, COW_NAME_MAX + 1, "#%x", number);
		return;
	}
	for (ssize_t k = 0; k < len; k++)
		(void)snprintf(ret + 2 * k, 3, "%02x", origin[k]);
}

static int remember(struct cow_ovl_inst *i, uint32_t number, const struct cow_fh *fh,
		    const char *name)
{
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&i->numbers->m);
	int r = cow_nummap_put(&i->numbers->anchors, number, fh, copy);
	pthread_mutex_unlock(&i->numbers->m);
	return r;
}

/* One that the image does not know is no anchor of ours; it is left alone. */
static int load_one(void *ctx, const char *name)
{
	struct cow_ovl_inst *i = ctx;
	struct cow_fh fh;
	struct stat st;
	uint32_t number;
	int mnt_id;
	cow_autoclose int fd =
	    COW_FD_TRY(openat(i->indexfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	int r = cow_ident_read(i, fd, &number);
	if (r < 0 || number == 0 || !cow_man_has(i->img, number) ||
	    cow_man_type(i->img, number) != (st.st_mode & S_IFMT))
		return r == -EBADMSG ? 0 : r;
	r = cow_fh_of(fd, &fh, &mnt_id);
	return r < 0 ? r : remember(i, number, &fh, name);
}

int cow_anchors_load(struct cow_ovl_inst *i)
{
	if (i->indexfd < 0) /* an observer of a root of old that was never attached */
		return 0;
	return cow_names_each(i->indexfd, load_one, i);
}

static bool find(struct cow_ovl_inst *i, uint32_t number, struct cow_fh *ret)
{
	pthread_mutex_lock(&i->numbers->m);
	const struct cow_numplace *p = cow_nummap_get(&i->numbers->anchors, number);
	if (p)
		*ret = p->fh;
	pthread_mutex_unlock(&i->numbers->m);
	return p;
}

bool cow_anchor_find(struct cow_ovl_inst *i, uint32_t number, struct cow_fh *ret)
{
	if (find(i, number, ret))
		return true;
	if (!(i->flags & COW_OVL_OBSERVER))
		return false;
	/* A server may have made it since; what cannot be read now shows as not brought up. */
	(void)cow_anchors_load(i);
	return find(i, number, ret);
}

int cow_anchor_add(struct cow_ovl_inst *i, uint32_t number, int fd, const struct cow_fh *fh)
{
	char name[COW_NAME_MAX + 1];
	origin_name(fd, number, name);
	/* A crash before the object's first name leaves one that is alone: swept at attach. */
	if (linkat(fd, "", i->indexfd, name, AT_EMPTY_PATH) < 0)
		return cow_nerr();
	int r = remember(i, number, fh, name);
	if (r < 0)
		(void)unlinkat(i->indexfd, name, 0); /* it has no other name yet */
	return r;
}

void cow_anchor_drop(struct cow_ovl_inst *i, uint32_t number)
{
	pthread_mutex_lock(&i->numbers->m);
	const struct cow_numplace *p = cow_nummap_get(&i->numbers->anchors, number);
	if (p && p->name)
		(void)unlinkat(i->indexfd, p->name, 0); /* else swept at attach */
	cow_nummap_remove(&i->numbers->anchors, number);
	pthread_mutex_unlock(&i->numbers->m);
}

/* Numbers of anchors that are the only link; they may still be what other names show. */
struct lonely {
	struct cow_ovl_inst *i;
	uint32_t *number;
	size_t n;
};

static int collect_lonely(struct lonely *l)
{
	struct cow_nummap *m = &l->i->numbers->anchors;
	l->number = calloc(m->used + 1, sizeof(*l->number));
	if (!l->number)
		return -ENOMEM;
	for (size_t k = 0; k < m->nslot; k++) {
		struct stat st;
		if (m->slot[k].number != 0 &&
		    fstatat(l->i->indexfd, m->slot[k].name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_nlink == 1)
			l->number[l->n++] = m->slot[k].number;
	}
	return 0;
}

int cow_anchors_sweep(struct cow_ovl_inst *i)
{
	struct lonely l = {.i = i};
	int r = collect_lonely(&l);
	for (size_t k = 0; k < l.n && r == 0; k++) {
		cow_autonode n = NULL;
		r = cow_by_number(i, l.number[k], &n);
		if (r == -ESTALE) {
			cow_anchor_drop(i, l.number[k]);
			r = 0;
		}
	}
	free(l.number);
	return r;
}
