/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image verify|dump
 */
#include "image_check.h"

#include <errno.h>
#include <stdio.h>

#include "cli.h"
#include "options.h"
#include "progress.h"
#include "snapshot/image.h"

#define COMMON_HELP                                                                                \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"

/* ---------------------------------------------------------------- verify */

static const char verify_help[] =
    "usage: cowherd image verify NAME[@VERSION|:TAG] [--json] [--quiet]\n"
    "\n"
    "Read all of an image and compare it with its manifest. Each difference is printed with its\n"
    "path. Exit status: 0 the image is as it was imported, 1 it is damaged.\n"
    "\n"
    "  --json           for programs\n"
    "  -q, --quiet      print nothing but errors\n" COMMON_HELP;

struct verify {
	struct cow_progress progress;
	unsigned given;
	struct json_object *list; /* for --json */
};

static int found_json(struct verify *v, const char *path, const char *what)
{
	int escaped;
	struct json_object *o = json_object_new_object();
	char *text = cow_cli_json_path(path, &escaped);
	cow_cli_json_str(o, "path", text);
	if (escaped)
		json_object_object_add(o, "path_escaped", json_object_new_boolean(1));
	cow_cli_json_str(o, "what", what);
	free(text);
	return json_object_array_add(v->list, o) < 0 ? -ENOMEM : 0;
}

static int found(void *ctx, const char *path, const char *what)
{
	struct verify *v = ctx;
	if (v->list)
		return found_json(v, path, what);
	if (v->given & COW_OPT_QUIET)
		return 0;
	cow_progress_wipe(&v->progress);
	if (*path == '/')
		cow_cli_path(stdout, path);
	else
		(void)fputs(path, stdout); /* the manifest itself */
	(void)printf(": %s\n", what);
	return 0;
}

static int step(void *ctx, uint64_t inodes, uint64_t bytes)
{
	struct verify *v = ctx;
	return cow_progress_count(&v->progress, "checked", inodes, bytes);
}

static int print_verdict(const struct verify *v, const struct cow_image *i, int64_t n)
{
	int status;
	if (v->list) {
		struct json_object *o = json_object_new_object();
		cow_cli_json_str(o, "image", i->name);
		cow_cli_json_u64(o, "version", i->version);
		cow_cli_json_str(o, "id", i->id);
		json_object_object_add(o, "ok", json_object_new_boolean(n == 0));
		json_object_object_add(o, "differences", v->list);
		status = cow_cli_json(o);
	} else if (v->given & COW_OPT_QUIET) {
		status = COW_OK;
	} else {
		if (n == 0)
			(void)printf("%s@%u is as it was imported: %llu objects\n", i->name,
				     i->version, (unsigned long long)i->inodes);
		else
			(void)printf("%s@%u is damaged: %lld differences\n", i->name, i->version,
				     (long long)n);
		status = cow_cli_flush();
	}
	return n ? COW_ERR_FAILED : status;
}

int cow_cmd_image_verify(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	int status = cow_options_parse("image verify", verify_help, COW_OPT_JSON | COW_OPT_QUIET, 1,
				       1, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &i, &err);
	if (r < 0 || !i)
		return cow_cli_fail(&err, r);
	struct verify v = {.given = o.given};
	if (o.given & COW_OPT_JSON)
		v.list = json_object_new_array();
	cow_progress_begin(&v.progress);
	if (o.given & COW_OPT_QUIET)
		v.progress.on_terminal = 0;
	int64_t n = cow_image_verify(s, i, found, step, &v, &err);
	cow_progress_end(&v.progress);
	if (n >= 0)
		return print_verdict(&v, i, n);
	json_object_put(v.list);
	if (n == -EINTR)
		(void)cow_err_set(&err, -EINTR, "check of image %s@%u was stopped", i->name,
				  i->version);
	return cow_cli_fail(&err, (int)n);
}

/* ---------------------------------------------------------------- dump */

static const char dump_help[] =
    "usage: cowherd image dump NAME[@VERSION|:TAG]\n"
    "\n"
    "Print the manifest of an image as text, one object a line, by path.\n"
    "\n" COMMON_HELP;

int cow_cmd_image_dump(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	cow_autoovlimage img = NULL;
	int status = cow_options_parse("image dump", dump_help, 0, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &i, &err);
	if (r == 0)
		r = cow_image_manifest(s, i, &img, &err);
	if (r < 0 || !img)
		return cow_cli_fail(&err, r);
	r = cow_ovl_image_dump(img, stdout);
	if (r < 0)
		return cow_cli_fail(
		    &err, cow_err_set(&err, r, "print the manifest of %s@%u", i->name, i->version));
	return cow_cli_flush();
}
