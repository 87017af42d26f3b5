/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Cleaning and splitting of requested names: see tftp/name.h.
 */
#include "tftp/name.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "tftp/loader.h"

/* Copy component by component; what cannot be a plain relative path is refused. */
static int clean(const char *raw, size_t len, char out[COW_TFTP_NAME_MAX + 1])
{
	size_t n = 0, start = 0;

	if (len > COW_TFTP_NAME_MAX)
		return -ENAMETOOLONG;
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = i < len ? (unsigned char)raw[i] : '/';

		if (c < 0x20 || c == 0x7f)
			return -EACCES;
		if (c != '/' && c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		size_t comp = n - start;

		if (comp == 2 && out[start] == '.' && out[start + 1] == '.')
			return -EACCES;
		if (comp == 1 && out[start] == '.')
			n = start;
		else if (comp > 0 && i < len)
			out[n++] = '/';
		start = n;
	}
	if (n == 0 || out[n - 1] == '/')
		return -ENOENT;
	out[n] = '\0';
	return 0;
}

static bool is_serial(const char *s, size_t len)
{
	if (len != COW_TFTP_SERIAL_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f') ||
			   (s[i] >= 'A' && s[i] <= 'F');

		if (!hex)
			return false;
	}
	return true;
}

static void split_prefix(const char *full, struct cow_tftp_name *ret)
{
	const char *slash = strchr(full, '/');
	const char *rest = full;

	ret->prefix = COW_TFTP_PREFIX_NONE;
	if (slash) {
		size_t len = (size_t)(slash - full);

		if (is_serial(full, len)) {
			ret->prefix = COW_TFTP_PREFIX_SERIAL;
			for (size_t i = 0; i < len; i++)
				ret->serial[i] =
				    (char)(full[i] >= 'A' && full[i] <= 'F' ? full[i] | 0x20
									    : full[i]);
			ret->serial[len] = '\0';
			rest = slash + 1;
		} else if (cow_mac_parse(full, len, &ret->mac) == 0) {
			ret->prefix = COW_TFTP_PREFIX_MAC;
			rest = slash + 1;
		}
	}
	memcpy(ret->path, rest, strlen(rest) + 1);
	if (ret->prefix == COW_TFTP_PREFIX_NONE && cow_tftp_loader_mac(rest, &ret->mac) == 0) {
		ret->prefix = COW_TFTP_PREFIX_MAC;
		ret->mac_in_file = true;
	}
}

int cow_tftp_name_parse(const char *raw, size_t len, struct cow_tftp_name *ret)
{
	char full[COW_TFTP_NAME_MAX + 1];
	struct cow_tftp_name name = {0};
	int r = clean(raw, len, full);

	if (r < 0)
		return r;
	split_prefix(full, &name);
	*ret = name;
	return 0;
}

const char *cow_tftp_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
