/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/fs.h"
#include "names.h"

void cow_users_done(struct cow_users *u)
{
	free(u->list);
	*u = (struct cow_users)COW_USERS_EMPTY;
}

static int add_user(struct cow_users *u, const char *id, const char *image, unsigned version,
		    enum cow_user_why why)
{
	if (u->n == u->room) {
		size_t room = u->room ? u->room * 2 : 64;
		struct cow_user *grown = reallocarray(u->list, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		u->list = grown;
		u->room = room;
	}
	struct cow_user *user = &u->list[u->n++];
	*user = (struct cow_user){.version = version, .why = why};
	(void)snprintf(user->id, sizeof(user->id), "%s", id);
	(void)snprintf(user->image, sizeof(user->image), "%s", image);
	return 0;
}

static int add_current(int dir, unsigned n, const char *id, struct cow_users *u,
		       struct cow_err *err)
{
	struct cow_root root = {0};
	cow_autoclose int at = cow_client_root_dir(dir, n);
	if (at < 0)
		return cow_err_set(err, at, "open root %u", n);
	int r = cow_root_read(at, &root, err);
	return r < 0 ? r : add_user(u, id, root.image, root.version, COW_USER_CURRENT);
}

/* One that is kept, or being made: it is nothing without its image, unless it is a snapshot. */
static int add_other(int roots, const char *name, const char *id, struct cow_users *u,
		     struct cow_err *err)
{
	struct cow_root root = {0};
	struct cow_err why = COW_ERR_INIT;
	cow_autoclose int at = cow_opendir_at(roots, name);
	int r = at < 0 ? at : cow_root_read(at, &root, &why);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0; /* swept, or begun by who died */
	if (r < 0) {
		if (err)
			*err = why;
		return r;
	}
	return root.backend == COW_BACKEND_OVERLAY
		   ? add_user(u, id, root.image, root.version, COW_USER_KEPT)
		   : 0;
}

static int add_others(int dir, unsigned current, const char *id, struct cow_users *u,
		      struct cow_err *err)
{
	char but[16];
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autoclose int roots = cow_opendir_at(dir, "roots");
	int r = roots < 0 ? roots : cow_names_read(roots, ".", &names);
	if (r < 0)
		return cow_err_set(err, r, "list its roots");
	(void)snprintf(but, sizeof(but), "%u", current);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (strcmp(names.name[i], but) != 0)
			r = add_other(roots, names.name[i], id, u, err);
	return r;
}

/* What the next boot goes to. */
static int add_next(int dir, const char *id, struct cow_users *u, struct cow_err *err)
{
	struct cow_next next;
	uint64_t version;
	int r = cow_next_read(dir, &next, err);
	char *at = r < 0 ? NULL : strrchr(next.to, '@');
	if (!at || cow_parse_u64(at + 1, 1, UINT32_MAX, &version) < 0)
		return r;
	*at = 0;
	return add_user(u, id, next.to, (unsigned)version, COW_USER_NEXT);
}

static int add_client(int clients, const char *id, struct cow_users *u, struct cow_err *err)
{
	unsigned n = 0;
	cow_autoclose int dir = cow_opendir_at(clients, id);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0;
	int r = dir < 0 ? dir : cow_client_current(dir, &n);
	if (r < 0)
		return cow_err_set(err, r, "find the root of client %s", id);
	r = add_current(dir, n, id, u, err);
	if (r == 0)
		r = add_others(dir, n, id, u, err);
	if (r == 0)
		r = add_next(dir, id, u, err);
	return r < 0 ? cow_err_prefix(err, r, "client %s", id) : 0;
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
		count += u->list[i].why == COW_USER_CURRENT && uses(&u->list[i], image, version);
	return count;
}

const struct cow_user *cow_users_first(const struct cow_users *u, const char *image,
				       unsigned version)
{
	for (unsigned why = COW_USER_CURRENT; why <= COW_USER_NEXT; why++)
		for (size_t i = 0; i < u->n; i++)
			if (u->list[i].why == why && uses(&u->list[i], image, version))
				return &u->list[i];
	return NULL;
}
