/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What belongs to a local disk: swap, growing partitions, trimming and checking.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "fixup_internal.h"
#include "tree.h"

int cow_fix_swap(struct cow_fix *f)
{
	int r = cow_fix_mask(f, "dphys-swapfile.service");
	if (r == 0 && cow_fix_has(f, "etc/dphys-swapfile"))
		r = cow_fix_remove(f, "var/swap");
	/* rpi-swap (Raspberry Pi OS from Debian 13): compressed memory is fine, a file behind it
	 * not. */
	if (r == 0 &&
	    (cow_fix_has(f, "etc/rpi/swap.conf") ||
	     cow_fix_has(f, "usr/lib/systemd/system-generators/rpi-swap-generator")))
		r = cow_fix_put(f, "etc/rpi/swap.conf.d/90-cowherd.conf",
				"[Main]\nMechanism=zram\n", 0644);
	return r;
}

/* Words of a kernel command line that make the first boot grow the disk or run a set-up from it. */
static int is_growing_word(const char *w, size_t len)
{
	static const char *const words[] = {"resize", "init=/usr/lib/raspi-config/init_resize.sh",
					    "init=/usr/lib/raspberrypi-sys-mods/firstboot"};
	static const char *const starts[] = {
	    "systemd.run=", "systemd.run_success_action=", "systemd.run_failure_action="};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strlen(words[i]) == len && memcmp(words[i], w, len) == 0)
			return 1;
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (len >= strlen(starts[i]) && memcmp(starts[i], w, strlen(starts[i])) == 0)
			return 1;
	return 0;
}

static int cmdline_words(void *ctx, const char *line, size_t len, struct cow_text *out)
{
	const char *end = line + len, *gap = line;
	(void)ctx;
	for (const char *p = line; p < end;) {
		while (p < end && *p == ' ')
			p++;
		const char *word = p;
		while (p < end && *p != ' ')
			p++;
		if (!is_growing_word(word, (size_t)(p - word))) {
			int r = cow_text_add(out, gap, (size_t)(p - gap));
			if (r < 0)
				return r;
		}
		gap = p;
	}
	return cow_text_add(out, "\n", 1);
}

int cow_fix_resize(struct cow_fix *f)
{
	static const char *const units[] = {"rpi-resize.service",
					    "resize2fs_once.service",
					    "init_resize.service",
					    "rpi-resizerootfs.service",
					    "systemd-growfs-root.service",
					    "systemd-repart.service",
					    NULL};
	char path[64];
	int r = cow_fix_mask_all(f, units);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/cmdline.txt", f->boot_dir);
	r = cow_fix_lines(f, path, cmdline_words, NULL);
	if (r > 0)
		cow_fix_did(f, "took resize and first-run words out of /%s", path);
	return r == -ENOENT || r > 0 ? 0 : r;
}

int cow_fix_disk_care(struct cow_fix *f)
{
	static const char *const units[] = {"fstrim.timer",	     "e2scrub_all.timer",
					    "e2scrub_reap.service",  "mdmonitor.service",
					    "smartmontools.service", NULL};
	return cow_fix_mask_all(f, units);
}
