/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd events - what happened in a store: boots, refused requests, restarts, resets, enrolments.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "cmd.h"
#include "common/clock.h"
#include "common/log.h"
#include "options.h"
#include "snapshot/events.h"

#define FOLLOW_MS 250

static const char help[] =
    "usage: cowherd events [--follow] [--json]\n"
    "\n"
    "Show what happened, oldest first: boots, machines that are not served or were enrolled,\n"
    "refused NFS requests, restarts of services, resets and other changes of clients.\n"
    "\n"
    "  --follow         go on with what happens from now on\n"
    "  --json           for programs: one object per line\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

/* The kind of a line, cut to fit. */
static void kind_of(const char *line, char ret[COW_FIELDS_KEY_MAX + 1])
{
	(void)snprintf(ret, COW_FIELDS_KEY_MAX + 1, "%.*s", (int)strcspn(line, " "), line);
}

static int print_json(const char *line)
{
	char kind[COW_FIELDS_KEY_MAX + 1], key[COW_FIELDS_KEY_MAX + 1];
	char value[COW_FIELDS_LINE_MAX];
	struct json_object *o = json_object_new_object();
	uint64_t when = 0;
	size_t pos = 0;
	int r;

	(void)cow_fields_get_u64(line, "time", INT64_MAX, &when); /* the reader has seen to it */
	kind_of(line, kind);
	cow_cli_json_time(o, "time", (int64_t)when);
	cow_cli_json_str(o, "event", kind);
	while ((r = cow_fields_next(line, &pos, key, value, sizeof(value))) != 0) {
		int escaped;

		if (r < 0 || strcmp(key, "v") == 0 || strcmp(key, "time") == 0)
			continue;
		cow_autofree char *text = cow_cli_json_path(value, &escaped);
		cow_cli_json_str(o, key, text);
	}
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return 0;
}

/* A value that is one plain word as it is, others in quotes with escapes. */
static void print_value(const char *value)
{
	bool plain = *value && !strpbrk(value, " \"\\");

	for (const char *p = value; *p; p++)
		plain = plain && *p > ' ' && *p < 0x7f;
	(void)fputs(plain ? value : COW_Q(value), stdout);
}

static int print_text(const char *line)
{
	char kind[COW_FIELDS_KEY_MAX + 1], key[COW_FIELDS_KEY_MAX + 1];
	char value[COW_FIELDS_LINE_MAX], when_text[COW_TIME_TEXT_LEN + 1];
	uint64_t when = 0;
	size_t pos = 0;
	int r;

	(void)cow_fields_get_u64(line, "time", INT64_MAX, &when);
	cow_time_text((int64_t)when, when_text);
	kind_of(line, kind);
	(void)printf("%s %-10s", when_text, kind);
	while ((r = cow_fields_next(line, &pos, key, value, sizeof(value))) != 0) {
		if (r < 0 || strcmp(key, "v") == 0 || strcmp(key, "time") == 0)
			continue;
		(void)printf(" %s=", key);
		print_value(value);
	}
	(void)putchar('\n');
	return 0;
}

static int print_event(void *ctx, const char *line)
{
	return ctx ? print_json(line) : print_text(line);
}

static int show(struct cow_store *s, const struct cow_options *o)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autoevents e = NULL;
	int json = (o->given & COW_OPT_JSON) != 0;
	int r = cow_events_open(s, &e);

	while (r == 0 && (r = cow_events_read(e, print_event, json ? &json : NULL)) == 0) {
		int status = cow_cli_flush();

		if (status != COW_OK || !(o->given & COW_OPT_FOLLOW))
			return status;
		(void)nanosleep(&(struct timespec){.tv_nsec = FOLLOW_MS * 1000000l}, NULL);
	}
	return cow_cli_fail(&err,
			    cow_err_set(&err, r, "read the events of '%s'", cow_store_path(s)));
}

int cow_cmd_events(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	int status =
	    cow_options_parse("events", help, COW_OPT_JSON | COW_OPT_FOLLOW, 0, 0, argc, argv, &o);

	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);

	return r < 0 ? cow_cli_fail(&err, r) : show(s, &o);
}
