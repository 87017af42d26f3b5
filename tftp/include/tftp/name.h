/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names as clients send them: cleaned, checked, and split into who asks and what for.
 */
#ifndef COW_TFTP_NAME_H
#define COW_TFTP_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "snapshot/mac.h"
#include "tftp/limits.h"

enum cow_tftp_prefix {
	COW_TFTP_PREFIX_NONE,
	COW_TFTP_PREFIX_MAC,	/* "dc-a6-32-01-02-03/", any spelling of a MAC */
	COW_TFTP_PREFIX_SERIAL, /* "9ffefdef/": the last 8 hex digits of a board's serial number */
};

#define COW_TFTP_SERIAL_LEN 8

struct cow_tftp_name {
	enum cow_tftp_prefix prefix;
	bool mac_in_file; /* the MAC is not in front but in a loader's file name (tftp/loader.h) */
	struct cow_mac mac;
	char serial[COW_TFTP_SERIAL_LEN + 1]; /* lower case */
	char path[COW_TFTP_NAME_MAX + 1];     /* the rest; relative, clean, never empty */
};

/*
 * cow_tftp_name_parse - leading '/' go, '\' is '/', "//" and "./" collapse.
 * Return: 0; -EACCES "..", a NUL or control byte; -ENOENT nothing left, or a directory ("x/");
 * -ENAMETOOLONG.
 */
int cow_tftp_name_parse(const char *raw, size_t len, struct cow_tftp_name *ret);

/* Last component of a path. */
const char *cow_tftp_basename(const char *path);

#endif
