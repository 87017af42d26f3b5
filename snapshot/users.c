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

static void add_user(struct cow_users *u, const char *id, const struct cow_root *root, int kept)
{
	struct cow_user *user = &u->list[u->n++];
	memcpy(user->id, id, sizeof(user->id));
	memcpy(user->image, root->image, sizeof(user->image));
	user->version = root->version;
	user->kept = kept;
}

static int read_root(int client_dir, unsigned n, struct cow_root *ret, struct cow_err *err)
{
	cow_autoclose int dir = cow_client_root_dir(client_dir, n);
	if (dir < 0)
		return cow_err_set(err, dir, "open root %u", n);
	return cow_root_read(dir, ret, err);
}

/* At most two users: the current root and the one kept. */
static int add_client(int clients, const char *id, struct cow_users *u, struct cow_err *err)
{
	unsigned n = 0;
	struct cow_err why = COW_ERR_INIT;
	struct cow_root root = {0}, kept = {0};
	cow_autoclose int dir = cow_opendir_at(clients, id);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0;
	int r = dir < 0 ? dir : cow_client_current(dir, &n);
	if (r < 0)
		return cow_err_set(err, r, "find the root of client %s", id);
	r = read_root(dir, n, &root, err);
	if (r < 0)
		return cow_err_prefix(err, r, "client %s", id);
	add_user(u, id, &root, 0);
	if (!root.previous)
		return 0;
	r = read_root(dir, root.previous, &kept, &why);
	if (r == -ENOENT)
		return 0; /* swept, or never there */
	if (r < 0) {
		if (err)
			*err = why;
		return cow_err_prefix(err, r, "client %s", id);
	}
	if (kept.backend == COW_BACKEND_OVERLAY)
		add_user(u, id, &kept, 1);
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
	users.list = calloc(2 * names.n + 1, sizeof(*users.list));
	if (!users.list)
		return cow_err_set(err, -ENOMEM, "list the clients of '%s'", s->path);
	for (size_t i = 0; i < names.n; i++) {
		if (strlen(names.name[i]) != COW_MAC_TEXT_LEN ||
		    cow_mac_parse(names.name[i], COW_MAC_TEXT_LEN, &mac) < 0)
			continue;
		r = add_client(clients, names.name[i], &users, mode == COW_USERS_ALL ? err : NULL);
		if (r < 0 && mode == COW_USERS_ALL)
			return r;
	}
	*ret = users;
	users = (struct cow_users)COW_USERS_EMPTY;
	return 0;
}

static int uses(const struct cow_user *u, const char *image, unsigned version)
{
	return u->version == version && strcmp(u->image, image) == 0;
}

unsigned cow_users_count(const struct cow_users *u, const char *image, unsigned version)
{
	unsigned count = 0;
	for (size_t i = 0; i < u->n; i++)
		count += !u->list[i].kept && uses(&u->list[i], image, version);
	return count;
}

const struct cow_user *cow_users_first(const struct cow_users *u, const char *image,
				       unsigned version)
{
	for (int kept = 0; kept <= 1; kept++)
		for (size_t i = 0; i < u->n; i++)
			if (u->list[i].kept == kept && uses(&u->list[i], image, version))
				return &u->list[i];
	return NULL;
}
