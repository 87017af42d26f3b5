/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "version_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/clock.h"
#include "common/kv.h"

static int step(void *ctx, const struct cow_import_progress *now)
{
	struct cow_version_report *r = ctx;
	return cow_progress_step(&r->progress, now);
}

static void print_fixup(void *ctx, const char *name, const char *result, const char *what)
{
	struct cow_version_report *r = ctx;
	cow_progress_wipe(&r->progress);
	if (strcmp(result, "not needed") != 0)
		(void)printf("  %-14s %s%s%s\n", name, result, *what ? ": " : "", what);
}

void cow_version_report_begin(struct cow_version_report *r, const struct cow_options *o)
{
	*r = (struct cow_version_report){
	    .opts =
		{
		    .comment = o->comment,
		    .skip_fixups = o->no_fixup,
		    .exclude = o->exclude,
		    .everything = o->everything,
		    .progress = step,
		    .fixup = print_fixup,
		    .ctx = r,
		},
	    .start_ms = cow_now_ms(),
	};
	cow_progress_begin(&r->progress);
}

void cow_version_report_end(struct cow_version_report *r)
{
	cow_progress_end(&r->progress);
}

/* Which machines will start from it. */
static void print_boards(const struct cow_kv *conf)
{
	const char *boards = cow_kv_get(conf, "", "boards");
	const char *text;
	if (boards && *boards)
		(void)printf("  %-14s %s\n", "boots", boards);
	else
		(void)printf("warning: no machine can boot from it\n");
	for (size_t i = 0; (text = cow_kv_get_nth(conf, "", "lacks", i)); i++)
		(void)printf("  %-14s %s\n", "lacks", text);
}

/* What got lost on the way or will not work over NFS. */
static void print_warnings(const struct cow_kv *conf)
{
	const char *caps = cow_kv_get(conf, "", "capabilities");
	const char *text;
	if (caps && strcmp(caps, "0") != 0) {
		(void)printf("warning: NFS does not carry file capabilities; %s files have some:",
			     caps);
		for (size_t i = 0; i < 4 && (text = cow_kv_get_nth(conf, "", "capability", i)); i++)
			(void)printf("%s /%s", i ? "," : "", text);
		(void)printf("%s\n", cow_kv_get_nth(conf, "", "capability", 4) ? ", ..." : "");
	}
	for (size_t i = 0; (text = cow_kv_get_nth(conf, "", "note", i)); i++)
		(void)printf("warning: %s\n", text);
}

/* What the import did not need room for. */
static void print_shared(const struct cow_kv *conf)
{
	char bytes[COW_BYTES_LEN];
	const char *shared = cow_kv_get(conf, "", "shared");
	const char *parent = cow_kv_get(conf, "", "parent");
	if (!shared || !parent)
		return;
	cow_cli_bytes(strtoull(shared, NULL, 10), bytes);
	(void)printf("shared %s with %s\n", bytes, parent);
}

/* An archive's version got another number, and what has its number here is not it. */
static void print_origin(struct cow_store *s, const struct cow_kv *conf, const char *name,
			 unsigned version)
{
	char ref[COW_LABEL_MAX + 16];
	uint64_t was = 0;
	cow_autoimage other = NULL;
	const char *origin = cow_kv_get(conf, "", "origin");
	const char *at = origin ? strrchr(origin, '@') : NULL;
	if (!at || cow_parse_u64(at + 1, 1, UINT32_MAX, &was) < 0 || was == version)
		return;
	(void)snprintf(ref, sizeof(ref), "%s@%llu", name, (unsigned long long)was);
	if (cow_image_find(s, ref, &other, NULL) == 0)
		(void)printf("note: it was %s where it comes from; %s here is another version, and "
			     "stays\n",
			     origin, ref);
}

int cow_version_report_print(const struct cow_version_report *r, struct cow_store *s,
			     const char *verb, const char *name, unsigned version,
			     struct cow_err *err)
{
	char ref[COW_LABEL_MAX + 16], bytes[COW_BYTES_LEN];
	uint64_t ms = cow_now_ms() - r->start_ms;
	cow_autoimage i = NULL;
	cow_autokv conf = NULL;
	(void)snprintf(ref, sizeof(ref), "%s@%u", name, version);
	int found = cow_image_find(s, ref, &i, err);
	if (found == 0)
		found = cow_image_conf(s, i, &conf, err);
	if (found < 0 || !i)
		return cow_cli_fail(err, found);
	print_boards(conf);
	print_warnings(conf);
	print_shared(conf);
	print_origin(s, conf, name, version);
	cow_cli_bytes(i->bytes, bytes);
	(void)printf("%s %s: %s%s%s, %llu objects, %s, in %llu.%llu s\n", verb, ref,
		     *i->os ? i->os : "unknown system", *i->arch ? ", " : "", i->arch,
		     (unsigned long long)i->inodes, bytes, (unsigned long long)(ms / 1000),
		     (unsigned long long)(ms % 1000 / 100));
	return cow_cli_flush();
}
