/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The list of boot files: see tftp/policy.h. Patterns are matched against the last component
 * without regard to case, since boot partitions are FAT; the file itself is then looked up exactly.
 */
#include "tftp/policy.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>

#include "tftp/loader.h"
#include "tftp/name.h"

/* autoboot.txt could turn a one-shot try of new boot files into the permanent choice. */
static const char *const never[] = {"autoboot.txt", NULL};

/*
 * Secrets and first-boot answers; and files that would flash one board's boot loader settings into
 * every board of the herd.
 */
static const char *const override_only[] = {
    "user-data",   "meta-data",	     "network-config", "userconf*", "wpa_supplicant*",
    "custom.toml", "firstrun.sh",    "ssh*",	       "*.key",	    "*.pem",
    "*.crt",	   "*.nmconnection", "*.conf",	       "*.json",    "pieeprom*",
    "vl805*",	   "recovery*",	     "recover4.elf",   "boot.sig",  NULL,
};

static const char *const boot_files[] = {
    /* Raspberry Pi: firmware, its configuration, device trees */
    "*.elf",
    "*.bin",
    "*.dat",
    "*.dtb",
    "*.dtbo",
    "*.txt",
    "*.img",
    "bootsig.bin",
    "README",
    "LICENCE*",
    "COPYING*",
    /* kernels and initial RAM disks; the last ones are Raspberry Pi OS and Ubuntu names */
    "vmlinuz*",
    "vmlinux*",
    "initrd*",
    "initramfs*",
    "kernel*",
    "Image",
    "zImage",
    "uImage",
    /* loaders of PCs and U-Boot and what they read, beside tftp/loader.h */
    "*.efi",
    "*.ipxe",
    "*.kpxe",
    "*.pxe",
    "*.c32",
    "*.0",
    "*.scr",
    "*.uimg",
    NULL,
};

static bool matches(const char *const *patterns, const char *name)
{
	for (; *patterns; patterns++) {
		if (fnmatch(*patterns, name, FNM_CASEFOLD) == 0)
			return true;
	}
	return false;
}

enum cow_tftp_policy cow_tftp_policy_of(const char *path)
{
	const char *name = cow_tftp_basename(path);

	if (matches(never, name))
		return COW_TFTP_NEVER;
	if (matches(override_only, name))
		return COW_TFTP_OVERRIDE;
	return cow_tftp_loader_of(path) != COW_TFTP_LOADER_NONE || matches(boot_files, name)
		   ? COW_TFTP_ANYWHERE
		   : COW_TFTP_OVERRIDE;
}
