/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "fixup.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "fixup_internal.h"

static const struct fixup {
	const char *name;
	int (*run)(struct cow_fix *f);
	const char *about;
} fixups[] = {
    {"fstab", cow_fix_fstab, "no partitions of a disk that is not there; boot files mounted"},
    {"machine-id", cow_fix_machine_id, "no identity or random seed shared by all machines"},
    {"ssh-host-keys", cow_fix_ssh_host_keys, "made on each machine at its first boot"},
    {"swap", cow_fix_swap, "no swap file on the network root"},
    {"resize", cow_fix_resize, "nothing grows a partition that is not there"},
    {"disk-care", cow_fix_disk_care, "no trim and no checks of a local disk"},
    {"network", cow_fix_network, "nothing takes the boot interface down or reconfigures it"},
    {"dns", cow_fix_dns, "name servers from the address lease of the boot"},
    {"journald", cow_fix_journald, "the journal stays in memory"},
    {"tmp", cow_fix_tmp, "/tmp stays in memory"},
    {"first-boot", cow_fix_first_boot, "no questions and no set-up that repeats on each machine"},
    {"clock", cow_fix_clock, "no hourly writing of the time to the root"},
    {"timers", cow_fix_timers, "daily jobs of the herd are spread over hours"},
    {"eeprom", cow_fix_eeprom, "no board flashes its boot loader by itself"},
    {"initramfs", cow_fix_initramfs, "the initramfs mounts the root over any version of NFS"},
};
#define NFIXUPS (sizeof(fixups) / sizeof(*fixups))
static_assert(NFIXUPS <= COW_FIXUPS_MAX, "commit.c keeps a list of them");

const char *cow_fixup_name(unsigned n, const char **ret_about)
{
	if (n >= NFIXUPS)
		return NULL;
	*ret_about = fixups[n].about;
	return fixups[n].name;
}

static int known(const char *name)
{
	for (size_t i = 0; i < NFIXUPS; i++)
		if (strcmp(fixups[i].name, name) == 0)
			return 1;
	return strcmp(name, "all") == 0;
}

int cow_fixup_check(const char *const *skip, struct cow_err *err)
{
	char list[512] = "all";
	for (; skip && *skip; skip++) {
		if (known(*skip))
			continue;
		for (size_t i = 0; i < NFIXUPS; i++) {
			size_t len = strlen(list);
			(void)snprintf(list + len, sizeof(list) - len, ", %s", fixups[i].name);
		}
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_USAGE, -EINVAL,
						"no fix-up is called %s", COW_Q(*skip)),
				    "there are: %s", list);
	}
	return 0;
}

int cow_fixup_skipped(const struct cow_fixup_skip *skip, const char *name)
{
	for (size_t i = 0; i < 2; i++)
		for (const char *const *s = skip->list[i]; s && *s; s++)
			if (strcmp(*s, name) == 0 || strcmp(*s, "all") == 0)
				return 1;
	return 0;
}

/* Return: 1 it changed something; 0 it did not; -errno. */
static int run(const struct fixup *x, int tree, const char *boot_dir, struct cow_fixlog *log,
	       cow_fixup_report report, void *ctx, struct cow_err *err)
{
	struct cow_fix f = {.tree = tree, .boot_dir = boot_dir, .log = log, .name = x->name};
	int r = x->run(&f);
	int done = r == 0 && *f.what;
	if (f.trouble)
		r = f.trouble;
	if (cow_fix_is_trouble(r))
		return cow_err_set(err, r, "fix-up %s", x->name);
	if (r < 0)
		cow_fix_did(&f, "stopped by: %s", strerrordesc_np(-r));
	/* Words without a change are kept once: what was "done" is then known to be nothing. */
	bool says = f.changes > 0 || (done && log && !cow_fixlog_find(log, x->name));
	if (log && says && cow_fixlog_did(log, x->name, f.what) < 0)
		return cow_err_set(err, -ENOMEM, "fix-up %s", x->name);
	report(ctx, x->name, done ? "done" : r < 0 ? "skipped" : "not needed", f.what);
	return f.changes > 0;
}

static int find_links(int tree, struct cow_fixlog *log, struct cow_err *err)
{
	const struct cow_fix f = {.tree = tree, .log = log};
	int r = log ? cow_fix_find_links(&f) : 0;
	return r < 0 ? cow_err_set(err, r, "look for links of what the fix-ups changed") : 0;
}

int cow_fixup_tree(int tree, const char *boot_dir, const struct cow_fixup_skip *skip,
		   struct cow_fixlog *log, cow_fixup_report report, void *ctx, struct cow_err *err)
{
	for (size_t i = 0; i < NFIXUPS; i++) {
		if (cow_fixup_skipped(skip, fixups[i].name)) {
			report(ctx, fixups[i].name, "skipped", "as asked");
			continue;
		}
		int r = run(&fixups[i], tree, boot_dir, log, report, ctx, err);
		if (r < 0)
			return r;
	}
	return find_links(tree, log, err);
}

int cow_fixup_one(int tree, const char *boot_dir, const char *name, struct cow_fixlog *log,
		  cow_fixup_report report, void *ctx, struct cow_err *err)
{
	for (size_t i = 0; i < NFIXUPS; i++) {
		if (strcmp(fixups[i].name, name) != 0)
			continue;
		int r = run(&fixups[i], tree, boot_dir, log, report, ctx, err);
		int found = r < 0 ? r : find_links(tree, log, err);
		return found < 0 ? found : r;
	}
	return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "no fix-up is called %s", COW_Q(name));
}
