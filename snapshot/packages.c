/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "snapshot/packages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image_internal.h"
#include "tree.h"

#define STATUS "var/lib/dpkg/status"
#define STATUS_MAX (64u << 20) /* 60 000 packages have 60 MB */

int cow_package_cmp(const struct cow_package *a, const struct cow_package *b)
{
	int r = strcmp(a->name, b->name);
	return r ? r : strcmp(a->arch, b->arch);
}

static int cmp(const void *a, const void *b)
{
	return cow_package_cmp(a, b);
}

/* The value of field @name in the line, terminated; NULL: another line. */
static char *field(char *line, const char *name)
{
	size_t len = strlen(name);
	if (strncmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " ");
}

/* Names and versions are ASCII; what is not is not worth a terminal's trouble. */
static void clean(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || (unsigned char)*line > '~')
			*line = '?';
}

struct paragraph {
	struct cow_package p;
	int installed;
};

static void take_line(struct paragraph *g, char *line)
{
	char *v;
	if ((v = field(line, "Package")))
		g->p.name = v;
	else if ((v = field(line, "Architecture")))
		g->p.arch = v;
	else if ((v = field(line, "Version")))
		g->p.version = v;
	else if ((v = field(line, "Status"))) {
		const char *last = strrchr(v, ' ');
		g->installed = last && strcmp(last + 1, "installed") == 0;
	}
}

static int add(struct cow_packages *ret, size_t *room, struct paragraph *g)
{
	static const struct paragraph empty = {.p = {"", "", ""}};
	if (*g->p.name && *g->p.version && g->installed) {
		if (ret->n == *room) {
			size_t more = *room ? *room * 2 : 1024;
			struct cow_package *grown = reallocarray(ret->list, more, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			ret->list = grown;
			*room = more;
		}
		ret->list[ret->n++] = g->p;
	}
	*g = empty;
	return 0;
}

int cow_packages_parse(char *text, struct cow_packages *ret)
{
	struct paragraph g = {.p = {"", "", ""}};
	size_t room = 0;
	int r = 0;
	*ret = (struct cow_packages){.text = text};
	for (char *line = text, *next; r == 0 && line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		clean(line);
		if (*line)
			take_line(&g, line);
		else
			r = add(ret, &room, &g);
	}
	if (r == 0)
		r = add(ret, &room, &g);
	if (r < 0)
		cow_packages_done(ret);
	else if (ret->n)
		qsort(ret->list, ret->n, sizeof(*ret->list), cmp);
	return r;
}

void cow_packages_done(struct cow_packages *p)
{
	free(p->list);
	free(p->text);
	*p = (struct cow_packages){0};
}

int cow_image_packages(struct cow_store *s, const struct cow_image *i, struct cow_packages *ret)
{
	char *text = NULL;
	size_t len;
	*ret = (struct cow_packages){0};
	cow_autoclose int tree = cow_image_tree(s, i);
	int r = tree < 0 ? tree : cow_tree_read(tree, STATUS, STATUS_MAX, &text, &len);
	return r < 0 ? r : cow_packages_parse(text, ret);
}
