/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "common/growpath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cow_growpath_init(struct cow_growpath *p)
{
	*p = (struct cow_growpath){.s = calloc(1, 1), .room = 1};
	return p->s ? 0 : -ENOMEM;
}

void cow_growpath_done(struct cow_growpath *p)
{
	free(p->s);
	*p = (struct cow_growpath){0};
}

int cow_growpath_push(struct cow_growpath *p, const char *name, size_t *ret_old)
{
	size_t n = strlen(name), old = p->len;
	if (old + n + 2 > p->room) {
		size_t room = (old + n + 2) * 2;
		char *grown = realloc(p->s, room);
		if (!grown)
			return -ENOMEM;
		p->s = grown;
		p->room = room;
	}
	if (old)
		p->s[p->len++] = '/';
	memcpy(p->s + p->len, name, n + 1);
	p->len += n;
	*ret_old = old;
	return 0;
}

void cow_growpath_pop(struct cow_growpath *p, size_t old)
{
	p->len = old;
	p->s[old] = 0;
}
