/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image diff: what differs between two versions, in packages and in files.
 */
#include "image_diff.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "cli.h"
#include "options.h"
#include "overlay/overlay.h"
#include "snapshot/image.h"
#include "snapshot/packages.h"

static const char diff_help[] =
    "usage: cowherd image diff OLD NEW [--json]\n"
    "\n"
    "What NEW has otherwise than OLD; each is NAME, NAME@VERSION or NAME:TAG. First the packages, "
    "when\n"
    "both have a database of dpkg, then the files, by path: A added, M content or type differs, T\n"
    "only attributes (mode, owner, times, extended attributes) differ, D deleted; with the sizes "
    "of\n"
    "files. No file is read: versions are compared by their manifests.\n"
    "\n"
    "  --json           for programs, with what differs\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

struct count {
	size_t added, modified, attributes, deleted;
	int64_t bytes;
	struct json_object *json; /* NULL: text */
};

/* ---------------------------------------------------------------- packages */

static void package_line(const struct cow_package *o, const struct cow_package *n)
{
	const struct cow_package *p = n ? n : o;
	(void)printf("package %s", p->name);
	if (*p->arch)
		(void)printf(":%s", p->arch);
	if (o && n)
		(void)printf(" %s -> %s\n", o->version, n->version);
	else
		(void)printf(" %s %s\n", p->version, n ? "added" : "removed");
}

static int package_json(struct json_object *list, const struct cow_package *o,
			const struct cow_package *n)
{
	struct json_object *j = json_object_new_object();
	cow_cli_json_str(j, "package", n ? n->name : o->name);
	cow_cli_json_str(j, "arch", n ? n->arch : o->arch);
	cow_cli_json_str(j, "old_version", o ? o->version : "");
	cow_cli_json_str(j, "version", n ? n->version : "");
	return json_object_array_add(list, j) < 0 ? -ENOMEM : 0;
}

static int diff_packages(const struct cow_packages *o, const struct cow_packages *n,
			 struct json_object *list)
{
	int r = 0;
	for (size_t a = 0, b = 0; r == 0 && (a < o->n || b < n->n);) {
		const struct cow_package *x = a < o->n ? &o->list[a] : NULL;
		const struct cow_package *y = b < n->n ? &n->list[b] : NULL;
		int order = !x ? 1 : !y ? -1 : cow_package_cmp(x, y);
		a += order <= 0;
		b += order >= 0;
		if (order == 0 && strcmp(x->version, y->version) == 0)
			continue;
		x = order <= 0 ? x : NULL;
		y = order >= 0 ? y : NULL;
		if (!x && !y)
			break; /* one of them was the smaller */
		if (list)
			r = package_json(list, x, y);
		else
			package_line(x, y);
	}
	return r;
}

/* *ret_list: NULL in text, or when an image has no packages. */
static int packages(struct cow_store *s, const struct cow_image *o, const struct cow_image *n,
		    struct json_object *list, struct cow_err *err)
{
	cow_autopackages old_ones = {0}, new_ones = {0};
	int r = cow_image_packages(s, o, &old_ones);
	if (r == 0)
		r = cow_image_packages(s, n, &new_ones);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = diff_packages(&old_ones, &new_ones, list);
	return r < 0 ? cow_err_set(err, r, "compare the packages of %s@%u and %s@%u", o->name,
				   o->version, n->name, n->version)
		     : 0;
}

/* ---------------------------------------------------------------- files */

static void count(struct count *n, const struct cow_ovl_image_change *c)
{
	n->added += c->kind == COW_CHANGE_ADDED;
	n->modified += c->kind == COW_CHANGE_MODIFIED;
	n->attributes += c->kind == COW_CHANGE_ATTRIBUTES;
	n->deleted += c->kind == COW_CHANGE_DELETED;
	n->bytes += (int64_t)c->size - (int64_t)c->old_size;
}

static int file_line(void *ctx, const struct cow_ovl_image_change *c)
{
	char before[COW_BYTES_LEN], now[COW_BYTES_LEN];
	count(ctx, c);
	(void)printf("%c ", cow_change_letter(c->kind));
	cow_cli_path(stdout, c->path);
	cow_cli_bytes(c->old_size, before);
	cow_cli_bytes(c->size, now);
	if (c->kind == COW_CHANGE_MODIFIED && c->old_size != c->size)
		(void)printf(" (%s -> %s)", before, now);
	else if (c->kind != COW_CHANGE_ATTRIBUTES && S_ISREG(c->type))
		(void)printf(" (%s)", c->kind == COW_CHANGE_DELETED ? before : now);
	(void)putchar('\n');
	return 0;
}

static int file_json(void *ctx, const struct cow_ovl_image_change *c)
{
	struct count *n = ctx;
	struct json_object *o = json_object_new_object();
	count(n, c);
	cow_change_json_path(o, "path", c->path);
	cow_change_json(o, c->kind, c->type, c->what);
	cow_cli_json_u64(o, "old_size", c->old_size);
	cow_cli_json_u64(o, "size", c->size);
	return json_object_array_add(n->json, o) < 0 ? -ENOMEM : 0;
}

static int files(struct cow_store *s, const struct cow_image *o, const struct cow_image *n,
		 struct count *sum, struct cow_err *err)
{
	cow_autoovlimage old_one = NULL;
	cow_autoovlimage new_one = NULL;
	int r = cow_image_manifest(s, o, &old_one, err);
	if (r == 0)
		r = cow_image_manifest(s, n, &new_one, err);
	if (r < 0)
		return r;
	r = cow_ovl_image_diff(old_one, new_one, sum->json ? file_json : file_line, sum);
	return r < 0 ? cow_err_set(err, r, "compare %s@%u and %s@%u", o->name, o->version, n->name,
				   n->version)
		     : 0;
}

static int print_sum(const struct count *n)
{
	char bytes[COW_BYTES_LEN];
	cow_cli_bytes((uint64_t)(n->bytes < 0 ? -n->bytes : n->bytes), bytes);
	(void)printf("%zu added, %zu modified, %zu with other attributes, %zu deleted; %s %s\n",
		     n->added, n->modified, n->attributes, n->deleted, bytes,
		     n->bytes < 0 ? "less" : "more");
	return cow_cli_flush();
}

/* ---------------------------------------------------------------- the command */

static int print_text(struct cow_store *s, const struct cow_image *o, const struct cow_image *n,
		      struct cow_err *err)
{
	struct count sum = {0};
	int r = packages(s, o, n, NULL, err);
	if (r == 0)
		r = files(s, o, n, &sum, err);
	return r < 0 ? cow_cli_fail(err, r) : print_sum(&sum);
}

static int print_json(struct cow_store *s, const struct cow_image *o, const struct cow_image *n,
		      struct cow_err *err)
{
	struct json_object *all = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct count sum = {.json = json_object_new_array()};
	json_object_object_add(all, "packages", list);
	json_object_object_add(all, "files", sum.json);
	int r = packages(s, o, n, list, err);
	if (r == 0)
		r = files(s, o, n, &sum, err);
	if (r == 0)
		return cow_cli_json(all);
	json_object_put(all);
	return cow_cli_fail(err, r);
}

int cow_cmd_image_diff(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage old_one = NULL;
	cow_autoimage new_one = NULL;
	int status = cow_options_parse("image diff", diff_help, COW_OPT_JSON, 2, 2, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &old_one, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words + 1], &new_one, &err);
	if (r < 0 || !old_one || !new_one)
		return cow_cli_fail(&err, r);
	return o.given & COW_OPT_JSON ? print_json(s, old_one, new_one, &err)
				      : print_text(s, old_one, new_one, &err);
}
