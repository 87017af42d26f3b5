/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "client_pick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void cow_pick_done(struct cow_pick *p)
{
	for (size_t i = 0; i < p->n; i++)
		cow_client_free(p->client[i]);
	free(p->client);
	*p = (struct cow_pick){0};
}

static void note(struct cow_pick *p, int status)
{
	if (p->status == COW_OK)
		p->status = status;
}

static bool has(const struct cow_pick *p, const char *id)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->client[i]->id, id) == 0)
			return true;
	return false;
}

/* Takes @c over. */
static int add(struct cow_pick *p, struct cow_client *c)
{
	cow_autoclient mine = c;
	if (has(p, c->id))
		return 0;
	if (p->n == p->room) {
		size_t room = p->room ? p->room * 2 : 32;
		struct cow_client **grown =
		    reallocarray(p->client, room, sizeof(struct cow_client *));
		if (!grown)
			return -ENOMEM;
		p->client = grown;
		p->room = room;
	}
	p->client[p->n++] = cow_steal_ptr(&mine);
	return 0;
}

struct walk {
	struct cow_store *s;
	struct cow_pick *p;
	const char *group; /* NULL: all */
};

static int take(void *ctx, const struct cow_client *c, const char *id, const struct cow_err *why)
{
	struct walk *w = ctx;
	struct cow_err err = COW_ERR_INIT;
	cow_autoclient again = NULL;
	(void)id;
	if (!c) {
		note(w->p, cow_cli_fail(why, -EIO));
		return 0;
	}
	if (w->group && strcmp(c->group, w->group) != 0)
		return 0;
	int r = cow_client_load(w->s, &c->mac, &again, &err);
	if (r == -ENOENT)
		return 0; /* removed meanwhile */
	if (r == 0)
		return add(w->p, cow_steal_ptr(&again));
	note(w->p, cow_cli_fail(&err, r));
	return 0;
}

static int by_walk(struct cow_store *s, const struct cow_options *o, struct cow_pick *p)
{
	struct cow_err err = COW_ERR_INIT;
	struct walk w = {.s = s, .p = p, .group = o->group};
	int r = cow_client_each(s, take, &w, &err);
	if (r < 0)
		return cow_cli_fail(&err, err.code ? r : cow_err_set(&err, r, "list clients"));
	if (p->n == 0 && p->status == COW_OK) {
		r = o->group ? cow_err_say(&err, COW_ERR_NOT_FOUND, -ENOENT,
					   "no client is in group '%s'", o->group)
			     : cow_err_say(&err, COW_ERR_NOT_FOUND, -ENOENT, "there is no client");
		return cow_cli_fail(&err, r);
	}
	return COW_OK;
}

static int by_words(struct cow_store *s, int n, char **words, struct cow_pick *p)
{
	for (int i = 0; i < n; i++) {
		struct cow_err err = COW_ERR_INIT;
		struct cow_client *c = NULL;
		int r = cow_client_find(s, words[i], &c, &err);
		if (r == 0 && (r = add(p, c)) < 0)
			(void)cow_err_set(&err, r, "read client %s", words[i]);
		if (r < 0)
			note(p, cow_cli_fail(&err, r));
	}
	return COW_OK;
}

int cow_pick_read(struct cow_store *s, const char *command, const struct cow_options *o, int nwords,
		  char **words, struct cow_pick *ret)
{
	bool all = o->given & COW_OPT_ALL;
	if ((nwords > 0) + (o->group != NULL) + all != 1)
		return cow_cli_usage(command,
				     "say which clients: MAC|NAME..., --group GROUP or --all");
	return nwords > 0 ? by_words(s, nwords, words, ret) : by_walk(s, o, ret);
}
