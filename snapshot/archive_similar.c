/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A guess costs nothing but length when it is wrong. Runs of digits in a path, with the points and dashes between
 * them, count as one: /lib/modules/6.1.0-37-amd64 became /lib/modules/6.1.0-40-amd64.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive_plan.h"

#define SIMILAR_LOOKED_AT 64 /* files of one name: "copyright" */

struct file {
	char *path; /* with '#' for versions */
	const char *name;
	uint32_t number;
	uint64_t size;
};

struct cow_arc_similar {
	const struct cow_ovl_image *img, *base;
	struct file *by_path, *by_name; /* the same files, sorted in two ways */
	size_t n;
	int lineage; /* both count their objects together */
};

static int digit(char c)
{
	return c >= '0' && c <= '9';
}

/* In place. */
static void no_versions(char *s)
{
	char *to = s;
	while (*s) {
		if (!digit(*s)) {
			*to++ = *s++;
			continue;
		}
		while (digit(*s) || (*s && strchr(".-_+~", *s) && digit(s[1])))
			s++;
		*to++ = '#';
	}
	*to = 0;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int by_path(const void *pa, const void *pb)
{
	const struct file *a = pa, *b = pb;
	int order = strcmp(a->path, b->path);
	return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int by_name(const void *pa, const void *pb)
{
	const struct file *a = pa, *b = pb;
	int order = strcmp(a->name, b->name);
	return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int list_base(struct cow_arc_similar *s, const struct cow_ovl_image_info *info)
{
	struct cow_ovl_image_object o;
	s->by_path = calloc(info->inodes, sizeof(*s->by_path));
	s->by_name = calloc(info->inodes, sizeof(*s->by_name));
	if (!s->by_path || !s->by_name)
		return -ENOMEM;
	for (uint32_t k = 0; k < info->next_number; k++) {
		if (!cow_ovl_image_object(s->base, k, &o) || !S_ISREG(o.attr.mode) || !o.attr.size)
			continue;
		struct file *f = &s->by_path[s->n];
		*f = (struct file){.path = cow_ovl_image_path(s->base, k), .number = k};
		if (!f->path)
			return -ENOMEM;
		no_versions(f->path);
		f->name = name_of(f->path);
		f->size = o.attr.size;
		s->by_name[s->n++] = *f;
	}
	qsort(s->by_path, s->n, sizeof(*s->by_path), by_path);
	qsort(s->by_name, s->n, sizeof(*s->by_name), by_name);
	return 0;
}

int cow_arc_similar_new(const struct cow_ovl_image *img, const struct cow_ovl_image *base,
			struct cow_arc_similar **ret)
{
	struct cow_ovl_image_info of_img, of_base;
	cow_autoarcsimilar s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->img = img;
	s->base = base;
	cow_ovl_image_info(img, &of_img);
	cow_ovl_image_info(base, &of_base);
	s->lineage = memcmp(of_img.lineage, of_base.lineage, sizeof(of_img.lineage)) == 0;
	int r = list_base(s, &of_base);
	if (r == 0)
		*ret = cow_steal_ptr(&s);
	return r;
}

void cow_arc_similar_free(struct cow_arc_similar *s)
{
	if (!s)
		return;
	for (size_t k = 0; s->by_path && k < s->n; k++)
		free(s->by_path[k].path);
	free(s->by_path);
	free(s->by_name);
	free(s);
}

static int usable(const struct cow_arc_similar *s, uint32_t number)
{
	struct cow_ovl_image_object o;
	return number && cow_ovl_image_object(s->base, number, &o) && S_ISREG(o.attr.mode) &&
	       o.attr.size;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Among equals by @order the one with the size that is nearest. */
static uint32_t nearest(const struct file *list, size_t n, const struct file *key,
			int (*order)(const void *, const void *), uint64_t size)
{
	size_t lo = 0, hi = n;
	const struct file *best = NULL;
	while (lo < hi) { /* key->number is 0, so that all equals stand behind */
		size_t mid = lo + (hi - lo) / 2;
		if (order(&list[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t k = lo; k < n && k < lo + SIMILAR_LOOKED_AT; k++) {
		struct file plain = list[k];
		plain.number = 0;
		if (order(&plain, key) != 0)
			break;
		if (!best || apart(list[k].size, size) < apart(best->size, size))
			best = &list[k];
	}
	return best ? best->number : 0;
}

uint32_t cow_arc_similar_find(const struct cow_arc_similar *s, uint32_t number, const char *path,
			      uint64_t size)
{
	uint32_t same = cow_ovl_image_number(s->base, path);
	if (usable(s, same))
		return same;
	if (s->lineage && usable(s, number))
		return number;
	cow_autofree char *plain = strdup(path);
	if (!plain)
		return 0; /* without it the archive is longer, that is all */
	no_versions(plain);
	struct file key = {.path = plain, .name = name_of(plain)};
	uint32_t found = nearest(s->by_path, s->n, &key, by_path, size);
	return found ? found : nearest(s->by_name, s->n, &key, by_name, size);
}
