/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * After a crash: what is not published goes, what is published is made consistent (I3). Whatever is
 * locked is being worked on and is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "client_internal.h"
#include "common/fs.h"
#include "image_internal.h"
#include "names.h"

static int sweep_image(struct cow_store *s, int images, const char *name)
{
	cow_autoclose int dir = cow_opendir_at(images, name);
	if (dir < 0)
		return dir == -ENOENT || dir == -ENOTDIR ? 0 : dir;
	cow_autoclose int lock = cow_lock_at(dir, "lock", 0);
	if (lock == -EBUSY)
		return 0; /* an import is running */
	if (lock < 0)
		return lock;
	int r = cow_image_sweep_dir(dir);
	if (r == 0)
		cow_image_drop_if_unused(s, dir, name);
	return r;
}

static int sweep_images(struct cow_store *s, struct cow_err *err)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autoclose int images = cow_opendir_at(s->fd, "images");
	int r = images < 0 ? images : cow_names_read(images, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = sweep_image(s, images, names.name[i]);
	return r < 0 ? cow_err_set(err, r, "sweep the images of '%s'", s->path) : 0;
}

static int sweep_client(struct cow_store *s, int clients, const char *id, struct cow_err *err)
{
	cow_autoclient c = NULL;
	cow_autoclose int dir = cow_opendir_at(clients, id);
	if (dir < 0)
		return dir == -ENOENT || dir == -ENOTDIR ? 0 : cow_err_set(err, dir, "open %s", id);
	cow_autoclose int lock = cow_lock_at(dir, COW_CLIENT_LOCK_NAME, 0);
	if (lock == -EBUSY)
		return 0;
	if (lock < 0)
		return cow_err_set(err, lock, "lock client %s", id);
	int r = cow_client_read(dir, id, &c, err);
	if (r == 0)
		r = cow_client_epoch_repair(dir, err);
	if (r < 0)
		return r;
	r = cow_sweep_tmp_at(dir);
	if (r == 0 && c->next.what == COW_SWAP_NONE)
		r = cow_next_finish(dir, err); /* it has been done */
	if (r == 0)
		r = cow_client_sweep_roots(s, dir, c);
	return r < 0 ? cow_err_set(err, r, "sweep client %s", id) : 0;
}

static int sweep_clients(struct cow_store *s, struct cow_err *err)
{
	struct cow_mac mac;
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	int r = clients < 0 ? clients : cow_names_read(clients, ".", &names);
	if (r < 0)
		return cow_err_set(err, r, "sweep the clients of '%s'", s->path);
	int first = 0;
	struct cow_err why = COW_ERR_INIT;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.name[i];
		if (strncmp(name, COW_ADD_PREFIX, strlen(COW_ADD_PREFIX)) == 0) {
			r = cow_tree_delete_at(clients, name);
			if (r < 0)
				r = cow_err_set(&why, r, "delete the unfinished client %s", name);
		} else if (strlen(name) == COW_MAC_TEXT_LEN &&
			   cow_mac_parse(name, COW_MAC_TEXT_LEN, &mac) == 0) {
			r = sweep_client(s, clients, name, &why);
		}
		if (r < 0 &&
		    !first) { /* one damaged client must not keep the others from being swept */
			first = r;
			if (err)
				*err = why;
		}
	}
	return first;
}

int cow_store_sweep(struct cow_store *s, struct cow_err *err)
{
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	int r = cow_sweep_tmp_at(s->fd);
	if (r < 0)
		return cow_err_set(err, r, "sweep '%s'", s->path);
	r = sweep_images(s, err);
	if (r == 0)
		r = sweep_clients(s, err);
	(void)close(cow_steal_fd(&lock)); /* the trash is nobody's */
	int empty = cow_store_empty_trash(s, r == 0 ? err : NULL);
	return r < 0 ? r : empty;
}
