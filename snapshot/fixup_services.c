/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <stdio.h>

#include "fixup_internal.h"
#include "image_internal.h"
#include "tree.h"

static int has_systemd(struct cow_fix *f)
{
	return cow_fix_has(f, "usr/lib/systemd/systemd") ||
	       cow_fix_has(f, "lib/systemd/systemd");
}

/* Journal files are mapped into memory, which is slow over NFS and breaks when the server restarts.
 */
int cow_fix_journald(struct cow_fix *f)
{
	if (!has_systemd(f))
		return 0;
	return cow_fix_put(f, "etc/systemd/journald.conf.d/90-cowherd.conf",
			   "[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n", 0644);
}

static const char tmp_unit[] = "[Unit]\n"
			       "Description=Temporary files, in memory\n"
			       "ConditionPathIsSymbolicLink=!/tmp\n"
			       "DefaultDependencies=no\n"
			       "Conflicts=umount.target\n"
			       "Before=local-fs.target umount.target\n"
			       "After=swap.target\n"
			       "\n"
			       "[Mount]\n"
			       "What=tmpfs\n"
			       "Where=/tmp\n"
			       "Type=tmpfs\n"
			       "Options=mode=1777,strictatime,nosuid,nodev,size=50%\n";

/* Debian 13 does it by itself; an administrator who mounts something there knows why. */
int cow_fix_tmp(struct cow_fix *f)
{
	if (!has_systemd(f) || cow_fix_has_unit(f, "tmp.mount") ||
	    cow_detect_in_fstab(f->tree, "/tmp"))
		return 0;
	return cow_fix_add_unit(f, "tmp.mount", tmp_unit, "local-fs.target");
}

/*
 * Wizards that ask, or set up, on every machine anew. Accounts given by userconf.txt are left
 * alone: that runs without questions, and every client's root may do it for itself.
 */
int cow_fix_first_boot(struct cow_fix *f)
{
	int r = 0;
	if (cow_fix_has(f, "etc/cloud"))
		r = cow_fix_put(f, "etc/cloud/cloud-init.disabled",
				"Each root is made complete by cowherd.\n", 0644);
	if (r == 0)
		r = cow_fix_mask(f, "userconfig.service");
	if (r == 0)
		r = cow_fix_mask(f, "systemd-firstboot.service");
	return r < 0 ? r : cow_fix_remove(f, "etc/xdg/autostart/piwiz.desktop");
}

int cow_fix_clock(struct cow_fix *f)
{
	int r = cow_fix_remove(f, "etc/cron.hourly/fake-hwclock");
	return r < 0 ? r : cow_fix_mask(f, "fake-hwclock-save.timer");
}

int cow_fix_timers(struct cow_fix *f)
{
	static const char *const timers[] = {"apt-daily.timer",	       "apt-daily-upgrade.timer",
					     "man-db.timer",	       "plocate-updatedb.timer",
					     "mlocate-updatedb.timer", "dpkg-db-backup.timer",
					     "logrotate.timer"};
	char path[128];
	for (size_t i = 0; i < sizeof(timers) / sizeof(*timers); i++) {
		if (!cow_fix_has_unit(f, timers[i]))
			continue;
		(void)snprintf(path, sizeof(path), "etc/systemd/system/%s.d/90-cowherd.conf",
			       timers[i]);
		/* Persistent would run what was missed on all machines as they boot together. */
		int r = cow_fix_put(f, path, "[Timer]\nRandomizedDelaySec=6h\nPersistent=false\n",
				    0644);
		if (r < 0)
			return r;
	}
	return 0;
}

int cow_fix_eeprom(struct cow_fix *f)
{
	return cow_fix_mask(f, "rpi-eeprom-update.service");
}
