/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names of loaders' configuration files: see tftp/loader.h.
 */
#include "tftp/loader.h"

#include <errno.h>
#include <string.h>

#include "tftp/name.h"

#define HEX "0123456789abcdefABCDEF"
#define PXELINUX_DIR "pxelinux.cfg/"
#define GRUB_CFG "grub.cfg"

static bool is_address(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 8 && strspn(s, HEX) == n;
}

static bool is_uuid(const char *s)
{
	static const unsigned groups[] = {8, 4, 4, 4, 12};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (strspn(s, HEX) != groups[i])
			return false;
		s += groups[i];
		if (*s++ != (i < 4 ? '-' : '\0'))
			return false;
	}
	return true;
}

/* "01-dc-a6-32-01-02-03": hardware type, address. */
static bool is_hardware(const char *s, struct cow_mac *ret)
{
	return strspn(s, HEX) == 2 && s[2] == '-' && cow_mac_parse(s + 3, strlen(s + 3), ret) == 0;
}

/* Name in a folder pxelinux.cfg/; NULL: it is in none. */
static const char *in_pxelinux_dir(const char *path)
{
	const char *base = cow_tftp_basename(path);
	size_t dir = (size_t)(base - path), n = strlen(PXELINUX_DIR);

	return dir >= n && memcmp(base - n, PXELINUX_DIR, n) == 0 &&
		       (dir == n || base[-(ptrdiff_t)n - 1] == '/')
		   ? base
		   : NULL;
}

/* Behind "grub.cfg": "" or what follows a '-'; NULL: another name. */
static const char *behind_grub(const char *path)
{
	const char *base = cow_tftp_basename(path);
	size_t n = strlen(GRUB_CFG);

	if (strncmp(base, GRUB_CFG, n) != 0)
		return NULL;
	return base[n] == '\0' ? base + n : base[n] == '-' && base[n + 1] ? base + n + 1 : NULL;
}

enum cow_tftp_loader cow_tftp_loader_of(const char *path)
{
	struct cow_mac mac;
	const char *s;

	if (strcmp(path, "boot.ipxe") == 0)
		return COW_TFTP_LOADER_IPXE;
	s = in_pxelinux_dir(path);
	if (s && (strcmp(s, "default") == 0 || strncmp(s, "default-", 8) == 0 || is_uuid(s) ||
		  is_hardware(s, &mac) || is_address(s)))
		return COW_TFTP_LOADER_PXELINUX;
	s = behind_grub(path);
	if (s && (*s == '\0' || is_hardware(s, &mac) || is_address(s)))
		return COW_TFTP_LOADER_GRUB;
	return COW_TFTP_LOADER_NONE;
}

int cow_tftp_loader_mac(const char *path, struct cow_mac *ret)
{
	const char *s = in_pxelinux_dir(path);

	if (!s)
		s = behind_grub(path);
	return s && is_hardware(s, ret) ? 0 : -ENOENT;
}

bool cow_tftp_loader_is_last(const char *path)
{
	const char *base = cow_tftp_basename(path);

	return strcmp(base, "boot.ipxe") == 0 || strcmp(base, "default") == 0 ||
	       strcmp(base, GRUB_CFG) == 0;
}
