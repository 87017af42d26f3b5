/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "common/fs.h"
#include "names.h"

void cow_users_done(struct cow_users *u)
{
	free(u->list);
	*u = (struct cow_users)COW_USERS_EMPTY;
}

static int add_user(int clients, const char *id, struct cow_users *u, struct cow_err *err)
{
	unsigned n = 0;
	struct cow_root root = {0};
	cow_autoclose int dir = cow_opendir_at(clients, id);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0;
	int r = dir < 0 ? dir : cow_client_current(dir, &n);
	if (r < 0)
		return cow_err_set(err, r, "find the root of client %s", id);
	cow_autoclose int root_dir = cow_client_root_dir(dir, n);
	r = root_dir < 0 ? cow_err_set(err, root_dir, "open root %u", n)
			 : cow_root_read(root_dir, &root, err);
	if (r < 0)
		return cow_err_prefix(err, r, "client %s", id);
	struct cow_user *user = &u->list[u->n++];
	memcpy(user->id, id, sizeof(user->id));
	memcpy(user->image, root.image, sizeof(user->image));
	user->version = root.version;
	return 0;
}

int cow_users_read(struct cow_store *s, enum cow_users_mode mode, struct cow_users *ret,
		   struct cow_err *err)
{
	struct cow_mac mac;
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autousers struct cow_users users = COW_USERS_EMPTY;
	int r = cow_names_read(s->fd, "clients", &names);
	if (r < 0)
		return cow_err_set(err, r, "list the clients of '%s'", s->path);
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	if (clients < 0)
		return cow_err_set(err, clients, "list the clients of '%s'", s->path);
	users.list = calloc(names.n + 1, sizeof(*users.list));
	if (!users.list)
		return cow_err_set(err, -ENOMEM, "list the clients of '%s'", s->path);
	for (size_t i = 0; i < names.n; i++) {
		if (strlen(names.name[i]) != COW_MAC_TEXT_LEN ||
		    cow_mac_parse(names.name[i], COW_MAC_TEXT_LEN, &mac) < 0)
			continue;
		r = add_user(clients, names.name[i], &users, mode == COW_USERS_ALL ? err : NULL);
		if (r < 0 && mode == COW_USERS_ALL)
			return r;
	}
	*ret = users;
	users = (struct cow_users)COW_USERS_EMPTY;
	return 0;
}

unsigned cow_users_count(const struct cow_users *u, const char *image, unsigned version)
{
	unsigned count = 0;
	for (size_t i = 0; i < u->n; i++)
		count += u->list[i].version == version && strcmp(u->list[i].image, image) == 0;
	return count;
}

const char *cow_users_first(const struct cow_users *u, const char *image, unsigned version)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->list[i].version == version && strcmp(u->list[i].image, image) == 0)
			return u->list[i].id;
	return NULL;
}
