/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image import|list|show|rm; verify and dump are in image_check.c, edit in image_edit.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cmd.h"
#include "common/clock.h"
#include "common/kv.h"
#include "image_check.h"
#include "image_diff.h"
#include "image_edit.h"
#include "image_export.h"
#include "image_fixup.h"
#include "image_push.h"
#include "options.h"
#include "snapshot/archive.h"
#include "snapshot/commit.h"
#include "version_report.h"

#define COMMON_HELP                                                                                \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"

/* ---------------------------------------------------------------- import */

static const char import_help[] =
    "usage: cowherd image import NAME SOURCE [--comment TEXT] [--no-fixup NAME]...\n"
    "                            [--exclude PATH]... [--everything]\n"
    "       cowherd image import FILE [--comment TEXT]\n"
    "\n"
    "Make a new version of image NAME from SOURCE: a directory, a tar file, a disk image, a\n"
    "disk, or a container image (OCI layout or archive, docker save). Files may be compressed\n"
    "with gzip, bzip2, xz, zstd or zip; \"-\" is standard input.\n"
    "What a root for a disk needs changed to run from the network is changed, listed and kept\n"
    "in the image's record. Then all of it is read once more for the manifest.\n"
    "Of an archive of 'cowherd image export' the same version is made again, with nothing\n"
    "changed; without NAME it is called as in the archive.\n"
    "\n"
    "  --comment TEXT   kept with the image\n"
    "  --no-fixup NAME  leave one of the changes out; \"all\" leaves the tree as it is\n"
    "  --exclude PATH   do not take that path of a directory; with wildcards\n"
    "  --everything     of the root this machine runs on also caches, temporary files, swap and\n"
    "                   what others have mounted\n" COMMON_HELP;

static int cmd_import(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_version_report report;
	cow_autostore s = NULL;
	struct cow_archive_info info;
	unsigned version = 0;
	int status =
	    cow_options_parse("image import", import_help,
			      COW_OPT_IMPORT | COW_OPT_EXCLUDE, 1, 2, argc, argv, &o);
	if (status >= 0)
		return status;
	const char *name = argv[o.words], *source = argv[argc - 1];
	int r = 0;
	if (argc - o.words == 1 && strcmp(source, COW_IMPORT_STDIN) == 0)
		return cow_cli_usage("image import", "say what to call it: NAME -");
	if (argc - o.words == 1) {
		r = cow_archive_peek(source, &info, &err);
		name = info.name;
	}
	if (r == 0)
		r = cow_cli_store_open(&o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	cow_version_report_begin(&report, &o);
	r = cow_image_import(s, name, source, &report.opts, &version, &err);
	cow_version_report_end(&report);
	if (r < 0)
		return cow_cli_fail(&err, r);
	return cow_version_report_print(&report, s, "imported", name, version, &err);
}

/* ---------------------------------------------------------------- list */

static const char list_help[] = "usage: cowherd image list [--json]\n"
				"\n"
				"List all versions of all images.\n"
				"\n"
				"  --json           for programs\n" COMMON_HELP;

static int tag_json(void *ctx, const char *tag)
{
	return json_object_array_add(ctx, json_object_new_string(tag)) < 0 ? -ENOMEM : 0;
}

static struct json_object *image_json(struct cow_store *s, const struct cow_image *i)
{
	struct json_object *tags = json_object_new_array();
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "name", i->name);
	cow_cli_json_u64(o, "version", i->version);
	cow_cli_json_str(o, "os", i->os);
	cow_cli_json_str(o, "arch", i->arch);
	cow_cli_json_str(o, "source", i->source);
	cow_cli_json_str(o, "comment", i->comment);
	cow_cli_json_str(o, "backend", cow_backend_name(i->backend));
	cow_cli_json_str(o, "id", i->id);
	cow_cli_json_str(o, "boot_dir", i->boot_dir);
	cow_cli_json_str(o, "initramfs", i->initramfs);
	cow_cli_json_u64(o, "inodes", i->inodes);
	cow_cli_json_u64(o, "bytes", i->bytes);
	cow_cli_json_u64(o, "clients", i->clients);
	json_object_object_add(o, "edited", json_object_new_boolean(i->edited));
	(void)cow_image_tags(s, i, tag_json, tags); /* what can be read of them */
	json_object_object_add(o, "tags", tags);
	cow_cli_json_time(o, "created", i->created_s);
	return o;
}

struct listing {
	struct cow_store *s;
	struct json_object *json;
	struct cow_table *table;
};

static int list_json(void *ctx, const struct cow_image *i)
{
	struct listing *l = ctx;
	return json_object_array_add(l->json, image_json(l->s, i)) < 0 ? -ENOMEM : 0;
}

static int add_tag(void *ctx, const char *tag)
{
	char *list = ctx;
	size_t len = strlen(list);
	(void)snprintf(list + len, COW_KV_LINE_MAX - len, "%s%s", len ? " " : "", tag);
	return 0;
}

static int list_row(void *ctx, const struct cow_image *i)
{
	struct listing *l = ctx;
	char ref[COW_LABEL_MAX + 16], bytes[COW_BYTES_LEN], inodes[24], clients[16],
	    ago[COW_AGO_LEN], comment[COW_KV_LINE_MAX], tags[COW_KV_LINE_MAX] = "";
	(void)cow_image_tags(l->s, i, add_tag, tags); /* what can be read of them */
	(void)snprintf(ref, sizeof(ref), "%s@%u", i->name, i->version);
	(void)snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)i->inodes);
	(void)snprintf(clients, sizeof(clients), "%u", i->clients);
	cow_cli_bytes(i->bytes, bytes);
	cow_cli_ago(i->created_s, cow_realtime_s(), ago);
	(void)snprintf(comment, sizeof(comment), "%s%s", i->edited ? "[edit open] " : "",
		       i->comment);
	const char *cells[] = {ref, tags, i->arch, i->os, bytes, inodes, clients, ago, comment};
	return cow_table_row(l->table, cells);
}

static int cmd_list(int argc, char **argv)
{
	static const char *const heading[] = {"IMAGE",	 "TAGS",    "ARCH",    "SYSTEM", "SIZE",
					      "OBJECTS", "CLIENTS", "CREATED", "COMMENT"};
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autotable t = NULL;
	int status = cow_options_parse("image list", list_help, COW_OPT_JSON, 0, 0, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	if (o.given & COW_OPT_JSON) {
		struct json_object *all = json_object_new_array();
		struct listing l = {.s = s, .json = all};
		r = cow_image_each(s, list_json, &l, &err);
		if (r == 0)
			return cow_cli_json(all);
		json_object_put(all);
		return cow_cli_fail(&err, r);
	}
	r = cow_table_new(sizeof(heading) / sizeof(*heading), &t);
	if (r == 0)
		r = cow_table_row(t, heading);
	if (r < 0)
		return cow_cli_fail(&err, cow_err_set(&err, r, "list images"));
	struct listing l = {.s = s, .table = t};
	r = cow_image_each(s, list_row, &l, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	cow_table_print(t);
	return cow_cli_flush();
}

/* ---------------------------------------------------------------- show */

static const char show_help[] =
    "usage: cowherd image show NAME[@VERSION|:TAG] [--json]\n"
    "\n"
    "Show the record of an image: where it came from and what was changed in it.\n"
    "\n"
    "  --json           for programs; repeated keys become lists\n" COMMON_HELP;

/* Keys that may come more than once are always lists. */
static int is_list_key(const char *key)
{
	return strcmp(key, "fixup") == 0 || strcmp(key, "note") == 0 ||
	       strcmp(key, "capability") == 0 || strcmp(key, "lacks") == 0;
}

static struct json_object *conf_json(struct cow_store *s, const struct cow_image *i,
				     const struct cow_kv *conf)
{
	struct json_object *o = image_json(s, i);
	const char *section, *key, *value;
	static const char *const lists[] = {"fixup", "note", "capability", "lacks"};
	json_object_object_del(o, "clients"); /* counted by list only */
	for (size_t n = 0; n < sizeof(lists) / sizeof(*lists); n++)
		json_object_object_add(o, lists[n], json_object_new_array());
	for (size_t n = 0; cow_kv_entry(conf, n, &section, &key, &value) == 0; n++) {
		struct json_object *list;
		if (is_list_key(key) && json_object_object_get_ex(o, key, &list))
			(void)json_object_array_add(list, json_object_new_string(value));
		else if (!json_object_object_get_ex(o, key, NULL))
			cow_cli_json_str(o, key, value);
	}
	return o;
}

/* The edit that stands on this version; none that can be looked at: NULL. */
static struct cow_edit *edit_of(struct cow_store *s, const struct cow_image *i)
{
	struct cow_edit *e = NULL;
	if (cow_edit_find(s, i->name, COW_EDIT_LOOK, &e, NULL) < 0 || e->version == i->version)
		return e;
	cow_edit_free(e);
	return NULL;
}

static void print_edit(const struct cow_edit *e)
{
	char when[COW_TIME_TEXT_LEN + 1];
	cow_time_text(e->begun_s, when);
	(void)printf("edit = begun by %s at %s%s\n", e->by, when,
		     e->busy ? ", being worked in" : "");
}

static int cmd_show(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	cow_autokv conf = NULL;
	const char *section, *key, *value;
	int status = cow_options_parse("image show", show_help, COW_OPT_JSON, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &i, &err);
	if (r == 0)
		r = cow_image_conf(s, i, &conf, &err);
	if (r < 0 || !i)
		return cow_cli_fail(&err, r);
	cow_autoedit edit = edit_of(s, i);
	i->edited = edit != NULL;
	if (o.given & COW_OPT_JSON)
		return cow_cli_json(conf_json(s, i, conf));
	(void)printf("image = %s@%u\n", i->name, i->version);
	for (size_t n = 0; cow_kv_entry(conf, n, &section, &key, &value) == 0; n++)
		(void)printf("%s = %s\n", key, value);
	char tags[COW_KV_LINE_MAX] = "";
	(void)cow_image_tags(s, i, add_tag, tags); /* what can be read of them */
	if (*tags)
		(void)printf("tags = %s\n", tags);
	if (edit)
		print_edit(edit);
	return cow_cli_flush();
}

/* ---------------------------------------------------------------- rm */

static const char rm_help[] =
    "usage: cowherd image rm NAME@VERSION [--dry-run]\n"
    "\n"
    "Remove one version of an image. Refused while a client's root came from it, an edit\n"
    "stands on it, or it has a tag.\n"
    "\n"
    "  --dry-run        say what would be removed\n" COMMON_HELP;

static int dry_rm(struct cow_store *s, const struct cow_image *i)
{
	struct cow_err why = COW_ERR_INIT;
	int r = cow_image_check_unused(s, i, &why);
	if (r < 0 && r != -EBUSY)
		return cow_cli_fail(&why, r);
	if (r < 0)
		(void)printf("%s@%u would be refused: %s\n", i->name, i->version,
			     cow_err_str(&why));
	else
		(void)printf("would remove %s@%u\n", i->name, i->version);
	int status = cow_cli_flush();
	return r < 0 ? COW_ERR_BUSY : status;
}

static int cmd_rm(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	int status = cow_options_parse("image rm", rm_help, COW_OPT_DRY_RUN, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	const char *ref = argv[o.words];
	if (!strpbrk(ref, "@:"))
		return cow_cli_usage("image rm", "'%s': say which version, as in %s@1", ref, ref);
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, ref, &i, &err);
	if (r < 0 || !i)
		return cow_cli_fail(&err, r);
	if (o.given & COW_OPT_DRY_RUN)
		return dry_rm(s, i);
	r = cow_image_rm(s, i, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	(void)printf("removed %s@%u\n", i->name, i->version);
	return cow_cli_flush();
}

/* ---------------------------------------------------------------- tag */

static const char tag_help[] =
    "usage: cowherd image tag NAME[@VERSION|:TAG] TAG\n"
    "       cowherd image tag --delete NAME:TAG\n"
    "\n"
    "Let NAME:TAG name that version from now on. Clients that follow NAME:TAG take it with their\n"
    "next reset or roll. A version that has a tag is not removed.\n"
    "\n"
    "  --delete         remove the tag; the version stays\n" COMMON_HELP;

static int delete_tag(struct cow_store *s, const char *ref, struct cow_err *err)
{
	int r = cow_image_untag(s, ref, err);
	if (r < 0)
		return cow_cli_fail(err, r);
	(void)printf("removed tag %s\n", ref);
	return cow_cli_flush();
}

static int cmd_tag(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	unsigned before = 0;
	int status = cow_options_parse("image tag", tag_help, COW_OPT_DELETE, 1, 2, argc, argv, &o);
	if (status >= 0)
		return status;
	int words = o.given & COW_OPT_DELETE ? 1 : 2;
	if (argc - o.words != words)
		return cow_cli_usage("image tag", words == 2 ? "say which tag" : "one NAME:TAG");
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	if (words == 1)
		return delete_tag(s, argv[o.words], &err);
	r = cow_image_tag(s, argv[o.words], argv[o.words + 1], &i, &before, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	(void)printf("%s:%s is %s@%u", i->name, argv[o.words + 1], i->name, i->version);
	if (before && before != i->version)
		(void)printf(", it was %s@%u", i->name, before);
	(void)putchar('\n');
	return cow_cli_flush();
}

int cow_cmd_image(int argc, char **argv)
{
	static const struct cow_cmd commands[] = {
	    {"import", cmd_import, "NAME SOURCE", "make a version from what there is"},
	    {"list", cmd_list, "", "all images"},
	    {"show", cmd_show, "NAME[@VERSION|:TAG]", "the record of one"},
	    {"verify", cow_cmd_image_verify, "NAME[@VERSION|:TAG]",
	     "compare one with its manifest"},
	    {"diff", cow_cmd_image_diff, "OLD NEW", "what differs between two versions"},
	    {"dump", cow_cmd_image_dump, "NAME[@VERSION|:TAG]", "its manifest as text"},
	    {"export", cow_cmd_image_export, "NAME[@VERSION] -o FILE",
	     "write one as an archive for another store"},
	    {"push", cow_cmd_image_push, "NAME[@VERSION] HOST[:STORE]",
	     "send one to another machine's store"},
	    {"receive", cow_cmd_image_receive, "", "the other end of push"},
	    {"edit", cow_cmd_image_edit, "NAME [-- COMMAND...]",
	     "change one from inside: a new version"},
	    {"fixup", cow_cmd_image_fixup, "NAME[@VERSION] [--undo FIXUP]",
	     "what was changed for the network, and to take it back"},
	    {"tag", cmd_tag, "NAME[@VERSION] TAG", "name a version"},
	    {"rm", cmd_rm, "NAME@VERSION", "remove one"},
	    {NULL, NULL, NULL, NULL},
	};
	return cow_cmd_dispatch("cowherd image", commands, argc, argv);
}
