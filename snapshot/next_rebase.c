/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "next_rebase.h"

#include <errno.h>
#include <stdlib.h>

#include "client_internal.h"
#include "common/log.h"

static int put_list(struct cow_kv *kv, const char *key, const char *const *list,
		    struct cow_err *err)
{
	for (; list && *list; list++) {
		int r = cow_kv_add(kv, "", key, *list);
		if (r == -EINVAL)
			return cow_err_say(err, COW_ERR_USAGE, r,
					   "--%s %s cannot wait for the boot: blanks at its ends, "
					   "or a line break in it",
					   key, COW_Q(*list));
		if (r < 0)
			return cow_err_set(err, r, "write what is to be done at the boot");
	}
	return 0;
}

int cow_next_rebase_put(struct cow_kv *kv, const struct cow_rebase_opts *opts, struct cow_err *err)
{
	int r = cow_kv_set(kv, "", "rebase", "yes");
	if (r == 0 && opts->flags & COW_REBASE_FORCE)
		r = cow_kv_set(kv, "", "force", "yes");
	if (r < 0)
		return cow_err_set(err, r, "write what is to be done at the boot");
	r = put_list(kv, "theirs", opts->theirs, err);
	return r < 0 ? r : put_list(kv, "both", opts->both, err);
}

static const char **get_list(const struct cow_kv *kv, const char *key)
{
	size_t n = 0;
	while (cow_kv_get_nth(kv, "", key, n))
		n++;
	const char **list = calloc(n + 1, sizeof(*list));
	for (size_t k = 0; list && k < n; k++)
		list[k] = cow_kv_get_nth(kv, "", key, k);
	return list;
}

int cow_next_rebase_read(int client_dir, struct cow_next_rebase *ret, struct cow_err *err)
{
	int force = 0;
	int r = cow_kv_read_at(client_dir, COW_NEXT_NAME, &ret->kv, err);
	if (r == 0)
		r = cow_kv_get_switch(ret->kv, "", "force", &force, err);
	if (r < 0)
		return r;
	ret->theirs = get_list(ret->kv, "theirs");
	ret->both = get_list(ret->kv, "both");
	if (!ret->theirs || !ret->both)
		return cow_err_set(err, -ENOMEM, "read what is to be done at the boot");
	ret->opts = (struct cow_rebase_opts){
	    .flags = force ? COW_REBASE_FORCE : 0,
	    .theirs = ret->theirs,
	    .both = ret->both,
	};
	return 0;
}

void cow_next_rebase_done(struct cow_next_rebase *n)
{
	free(n->theirs);
	free(n->both);
	cow_kv_free(n->kv);
}
