/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Trees as lists of objects, and their comparison.
 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "util.h"
#include "values.h"

#define USED_SLACK (256u << 10) /* preallocation, metadata, blocks: file systems differ by that */
#define DIFFERENCES_MAX 12	/* more say nothing new */

void tree_add(struct tree *t, const struct object *o)
{
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->v = must(reallocarray(t->v, t->room, sizeof(*t->v)));
	}
	t->v[t->n++] = *o;
}

static int object_cmp(const void *a, const void *b)
{
	return strcmp(((const struct object *)a)->path, ((const struct object *)b)->path);
}

void tree_sort(struct tree *t)
{
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), object_cmp);
}

void tree_free(struct tree *t)
{
	for (size_t k = 0; k < t->n; k++) {
		free(t->v[k].path);
		free(t->v[k].target);
		free(t->v[k].xattrs);
		free(t->v[k].data);
	}
	free(t->v);
	*t = (struct tree){0};
}

/* ---------------------------------------------------------------- attributes */

struct attr attr_of_stat(const struct stat *st)
{
	return (struct attr){
	    .mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .size = (uint64_t)st->st_size,
	    .used = (uint64_t)st->st_blocks * 512,
	    .nlink = st->st_nlink,
	    .rdev = st->st_rdev,
	    .id = st->st_ino,
	    .mtime = st->st_mtim,
	    .atime = st->st_atim,
	};
}

struct attr attr_of_engine(const struct cow_ovl_attr *a)
{
	return (struct attr){
	    .mode = a->mode,
	    .uid = a->uid,
	    .gid = a->gid,
	    .size = a->size,
	    .used = a->bytes_used,
	    .nlink = a->nlink,
	    .rdev = a->rdev,
	    .id = a->id,
	    .mtime = a->mtime,
	    .atime = a->atime,
	};
}

static void time_text(FILE *f, const char *what, const struct timespec *ts)
{
	if (is_old(ts))
		(void)fprintf(f, " %s=%lld.%09ld", what, (long long)ts->tv_sec, ts->tv_nsec);
	else
		(void)fprintf(f, " %s=now", what);
}

void attr_text(char *buf, size_t len, const struct attr *a, unsigned what)
{
	FILE *f = must(fmemopen(buf, len, "w"));
	(void)fprintf(f, "mode=%06o owner=%u:%u", a->mode, a->uid, a->gid);
	if (S_ISREG(a->mode) || S_ISLNK(a->mode))
		(void)fprintf(f, " size=%llu", (unsigned long long)a->size);
	if (S_ISCHR(a->mode) || S_ISBLK(a->mode))
		(void)fprintf(f, " rdev=%#llx", (unsigned long long)a->rdev);
	if (!S_ISDIR(a->mode) && what & ATTR_NLINK)
		(void)fprintf(f, " nlink=%llu", (unsigned long long)a->nlink);
	if (what & ATTR_TIMES)
		time_text(f, "mtime", &a->mtime);
	if (what & ATTR_ATIME)
		time_text(f, "atime", &a->atime);
	(void)fputc('\0', f);
	(void)fclose(f);
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *xattrs_text(char *names, size_t len, xattr_get_fn get, void *ctx)
{
	static uint8_t value[COW_XATTR_SIZE_MAX];
	char *list[256], *out = NULL;
	size_t n = 0, out_len;
	for (char *p = names; p < names + len && n < 256; p += strlen(p) + 1)
		list[n++] = p;
	if (n == 0)
		return must(strdup(""));
	qsort(list, n, sizeof(*list), name_cmp);
	FILE *f = must(open_memstream(&out, &out_len));
	for (size_t k = 0; k < n; k++) {
		if (strcmp(list[k], "security.selinux") == 0)
			continue; /* the machine's, not the script's */
		ssize_t got = get(ctx, list[k], value, sizeof(value));
		(void)fprintf(f, "%s=", list[k]);
		if (got < 0)
			(void)fprintf(f, "error %s", errname((int)got));
		for (ssize_t b = 0; b < got; b++)
			(void)fprintf(f, "%02x", value[b]);
		(void)fputc('\n', f);
	}
	if (fclose(f) != 0)
		must(NULL);
	return out;
}

/* ---------------------------------------------------------------- comparison */

static void different(const struct compare *how, unsigned *count, const char *path, const char *a,
		      const char *b)
{
	if ((*count)++ < DIFFERENCES_MAX)
		(void)fprintf(how->out, "  /%s:\n    %s: %s\n    %s: %s\n", path, how->name_a, a,
			      how->name_b, b);
}

static const char *text_or(const char *s)
{
	return s ? s : "";
}

static void compare_data(const struct object *x, const struct object *y, const struct compare *how,
			 unsigned *count)
{
	char a[64], b[64];
	size_t n = x->data_len < y->data_len ? x->data_len : y->data_len, at = 0;
	while (at < n && x->data[at] == y->data[at])
		at++;
	if (at == n && x->data_len == y->data_len)
		return;
	(void)snprintf(a, sizeof(a), "%zu bytes, at %zu: %02x", x->data_len, at,
		       at < x->data_len ? x->data[at] : 0);
	(void)snprintf(b, sizeof(b), "%zu bytes, at %zu: %02x", y->data_len, at,
		       at < y->data_len ? y->data[at] : 0);
	different(how, count, x->path, a, b);
}

/* The other side may use more: the kernel's copy-up fills holes, and so does its way to clone. */
static void compare_used(const struct object *x, const struct object *y, const struct compare *how,
			 unsigned *count)
{
	char a[64], b[64];
	if (x->attr.used <= y->attr.used + USED_SLACK)
		return;
	(void)snprintf(a, sizeof(a), "%llu bytes on disk", (unsigned long long)x->attr.used);
	(void)snprintf(b, sizeof(b), "%llu bytes on disk", (unsigned long long)y->attr.used);
	different(how, count, x->path, a, b);
}

/* The first name of the same object: hard links are equal when they are so grouped. */
static const char *first_name(const struct tree *t, size_t k)
{
	if (!S_ISDIR(t->v[k].attr.mode) && t->v[k].attr.nlink > 1)
		for (size_t j = 0; j < k; j++)
			if (t->v[j].attr.id == t->v[k].attr.id && !S_ISDIR(t->v[j].attr.mode))
				return t->v[j].path;
	return t->v[k].path;
}

static void compare_one(const struct tree *ta, size_t i, const struct tree *tb, size_t j,
			const struct compare *how, unsigned *count)
{
	const struct object *x = &ta->v[i], *y = &tb->v[j];
	char a[256], b[256];
	/* The root's own times begin when a side is set up. */
	bool vague = !*x->path || (how->what & ATTR_VAGUE_DIRS && S_ISDIR(x->attr.mode));
	unsigned what = vague ? how->what & ~(unsigned)(ATTR_TIMES | ATTR_ATIME) : how->what;
	attr_text(a, sizeof(a), &x->attr, what);
	attr_text(b, sizeof(b), &y->attr, what);
	if (strcmp(a, b) != 0)
		different(how, count, x->path, a, b);
	if (strcmp(text_or(x->target), text_or(y->target)) != 0)
		different(how, count, x->path, text_or(x->target), text_or(y->target));
	if (strcmp(x->xattrs, y->xattrs) != 0)
		different(how, count, x->path, x->xattrs, y->xattrs);
	if (S_ISREG(x->attr.mode) && S_ISREG(y->attr.mode)) {
		compare_data(x, y, how, count);
		if (how->what & ATTR_USED)
			compare_used(x, y, how, count);
	}
	const char *la = first_name(ta, i), *lb = first_name(tb, j);
	if (strcmp(la, lb) != 0) {
		(void)snprintf(a, sizeof(a), "the same object as /%.200s", la);
		(void)snprintf(b, sizeof(b), "the same object as /%.200s", lb);
		different(how, count, x->path, a, b);
	}
}

unsigned tree_compare(const struct tree *a, const struct tree *b, const struct compare *how)
{
	unsigned count = 0;
	for (size_t i = 0, j = 0; i < a->n || j < b->n;) {
		int c = i == a->n ? 1 : j == b->n ? -1 : strcmp(a->v[i].path, b->v[j].path);
		if (c == 0)
			compare_one(a, i, b, j, how, &count);
		else if (c < 0)
			different(how, &count, a->v[i].path, "there", "not there");
		else
			different(how, &count, b->v[j].path, "not there", "there");
		i += c <= 0;
		j += c >= 0;
	}
	return count;
}
