/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd gc - removes versions nobody needs and what is left over.
 */
#include <errno.h>
#include <stdio.h>

#include "cli.h"
#include "cmd.h"
#include "options.h"
#include "snapshot/gc.h"
#include "snapshot/space.h"

static const char help[] =
    "usage: cowherd gc [--dry-run] [--json]\n"
    "\n"
    "Remove the versions of images that nobody needs: not among the last ones ([store] "
    "keep_last),\n"
    "without a tag, not followed and not used by a client, a kept root or an edit. Delete what\n"
    "interrupted commands have left, and the trash.\n"
    "\n"
    "  --dry-run        say what would go, what stays and why, and how much room it frees\n"
    "  --json           for programs\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

struct gc_out {
	int dry;
	struct json_object *gone, *kept; /* NULL: text */
};

static int print_version(const struct gc_out *out, const char *name, unsigned version,
			 const char *why, uint64_t own)
{
	char bytes[COW_BYTES_LEN];

	if (why && out->dry)
		(void)printf("%s@%u stays: %s\n", name, version, why);
	if (why)
		return 0;
	cow_cli_bytes(own, bytes);
	(void)printf("%s %s@%u: %s of its own\n", out->dry ? "would remove" : "removed", name,
		     version, bytes);
	return 0;
}

static int tell(void *ctx, const char *name, unsigned version, const char *why, uint64_t own)
{
	const struct gc_out *out = ctx;

	if (!out->gone)
		return print_version(out, name, version, why, own);
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "name", name);
	cow_cli_json_u64(o, "version", version);
	if (why)
		cow_cli_json_str(o, "why", why);
	else
		cow_cli_json_u64(o, "bytes_own", own);
	return json_object_array_add(why ? out->kept : out->gone, o) < 0 ? -ENOMEM : 0;
}

static int print_sum(const struct cow_store *s, const struct gc_out *out,
		     const struct cow_gc_sum *sum)
{
	char bytes[COW_BYTES_LEN], free_text[COW_BYTES_LEN];
	struct cow_space now = {0};

	cow_cli_bytes(sum->bytes, bytes);
	if (sum->versions == 0)
		(void)puts(out->dry ? "nothing to remove" : "nothing was to be removed");
	else
		(void)printf("%u versions, %s %s\n", sum->versions, bytes,
			     out->dry ? "would be free" : "are free");
	if (cow_store_space(s, &now) == 0 && now.level != COW_SPACE_OK) {
		cow_cli_bytes(now.free, free_text);
		(void)printf("%s free is still less than [store] space_%s\n", free_text,
			     cow_space_level_name(now.level));
	}
	return cow_cli_flush();
}

static int print_json(struct gc_out *out, const struct cow_gc_sum *sum)
{
	struct json_object *top = json_object_new_object();

	json_object_object_add(top, "dry_run", json_object_new_boolean(out->dry));
	json_object_object_add(top, "removed", json_object_get(out->gone));
	json_object_object_add(top, "kept", json_object_get(out->kept));
	cow_cli_json_u64(top, "bytes_freed", sum->bytes);
	return cow_cli_json(top);
}

static int run(const struct cow_options *o, struct cow_store *s, const struct cow_config *config)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_gc_sum sum = {0};
	struct gc_out out = {.dry = (o->given & COW_OPT_DRY_RUN) != 0};
	const struct cow_gc_opts opts = {
	    .keep_last = config->keep_last,
	    .keep_ref = config->enrol_image,
	    .flags = out.dry ? COW_GC_DRY_RUN : 0,
	    .fn = tell,
	    .ctx = &out,
	};

	if (o->given & COW_OPT_JSON) {
		out.gone = json_object_new_array();
		out.kept = json_object_new_array();
	}
	int r = cow_store_gc(s, &opts, &sum, &err);
	int status = r < 0	? cow_cli_fail(&err, r)
		     : out.gone ? print_json(&out, &sum)
				: print_sum(s, &out, &sum);
	json_object_put(out.gone);
	json_object_put(out.kept);
	return status;
}

int cow_cmd_gc(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autoconfig config = NULL;
	cow_autostore s = NULL;
	int status =
	    cow_options_parse("gc", help, COW_OPT_JSON | COW_OPT_DRY_RUN, 0, 0, argc, argv, &o);

	if (status >= 0)
		return status;
	int r = cow_config_load(o.where.config, &config, &err);
	if (r == 0)
		r = cow_cli_store_open(&o.where, &s, &err);
	return r < 0 ? cow_cli_fail(&err, r) : run(&o, s, config);
}
