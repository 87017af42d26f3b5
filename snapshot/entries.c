/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void cow_entries_done(struct cow_entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->list[i].name);
		cow_ovl_put(e->list[i].node);
	}
	free(e->list);
	*e = (struct cow_entries)COW_ENTRIES_EMPTY;
}

static int take_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct cow_entries *e = ctx;
	if (e->n == e->room) {
		size_t room = e->room ? e->room * 2 : 32;
		struct cow_entry *grown = reallocarray(e->list, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		e->list = grown;
		e->room = room;
	}
	char *name = strndup(ent->name, ent->name_len);
	if (!name)
		return -ENOMEM;
	e->list[e->n++] = (struct cow_entry){
	    .name = name,
	    .len = ent->name_len,
	    .node = cow_ovl_get(ent->node),
	    .attr = *ent->attr,
	};
	return 0;
}

int cow_entries_read(struct cow_ovl_node *dir, struct cow_entries *ret)
{
	int eof = 0;
	return cow_ovl_readdir(dir, 0, COW_READDIR_NODES, take_entry, ret, &eof);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct cow_entry *)a)->name, ((const struct cow_entry *)b)->name);
}

void cow_entries_sort(struct cow_entries *e)
{
	if (e->n > 1)
		qsort(e->list, e->n, sizeof(*e->list), by_name);
}

const struct cow_entry *cow_entries_find(const struct cow_entries *e, const char *name)
{
	const struct cow_entry key = {.name = (char *)(uintptr_t)name};
	return e->n ? bsearch(&key, e->list, e->n, sizeof(key), by_name) : NULL;
}
