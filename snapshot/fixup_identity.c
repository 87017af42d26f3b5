/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What must differ from machine to machine leaves the image; identity.c gives each client its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fixup_internal.h"
#include "tree.h"

int cow_fix_machine_id(struct cow_fix *f)
{
	struct stat st;
	/* Empty, not absent: systemd can then bind an id over it even on a read-only root. */
	if (cow_fix_lstat(f, "etc/machine-id", &st) == 0 &&
	    !(S_ISREG(st.st_mode) && st.st_size == 0)) {
		const struct cow_fix_to none = {.kind = COW_FIXLOG_NONE};
		int r = cow_fix_change(f, "etc/machine-id", &none);
		if (r == 0)
			r = cow_fix_write(f, "etc/machine-id", NULL, "", 0444);
		if (r < 0)
			return r;
		cow_fix_did(f, "emptied /etc/machine-id");
	}
	if (cow_fix_lstat(f, "var/lib/dbus/machine-id", &st) == 0 && !S_ISLNK(st.st_mode)) {
		int r = cow_fix_link(f, "var/lib/dbus/machine-id", "/etc/machine-id");
		if (r < 0)
			return r;
		cow_fix_did(f, "linked /var/lib/dbus/machine-id");
	}
	return cow_fix_remove(f, "var/lib/systemd/random-seed");
}

static const char ssh_unit[] = "[Unit]\n"
			       "Description=Make this machine's own SSH host keys\n"
			       "Before=ssh.service ssh.socket sshd.service\n"
			       "ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key\n"
			       "\n"
			       "[Service]\n"
			       "Type=oneshot\n"
			       "ExecStart=/usr/bin/ssh-keygen -A\n";

static int remove_key(void *ctx, const char *name)
{
	struct cow_fix *f = ctx;
	char path[300];
	if (strncmp(name, "ssh_host_", 9) != 0 || !strstr(name, "_key"))
		return 0;
	(void)snprintf(path, sizeof(path), "etc/ssh/%s", name);
	return cow_fix_remove(f, path);
}

int cow_fix_ssh_host_keys(struct cow_fix *f)
{
	int r = cow_tree_each(f->tree, "etc/ssh", remove_key, f);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return r;
	if (!cow_fix_has(f, "usr/sbin/sshd") || !cow_fix_has(f, "usr/bin/ssh-keygen"))
		return 0;
	/* Raspberry Pi OS has one of its own, which switches itself off after the first run. */
	r = cow_fix_mask(f, "regenerate_ssh_host_keys.service");
	return r < 0
		   ? r
		   : cow_fix_add_unit(f, "cowherd-ssh-keys.service", ssh_unit, "multi-user.target");
}
