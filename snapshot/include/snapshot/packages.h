/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which packages are in a tree, by the database of dpkg(1): /var/lib/dpkg/status.
 */
#ifndef COW_SNAPSHOT_PACKAGES_H
#define COW_SNAPSHOT_PACKAGES_H

#include <stddef.h>

#include "common/cleanup.h"
#include "snapshot/image.h"

struct cow_package {
	const char *name, *arch, *version; /* in the list's own text */
};

struct cow_packages {
	struct cow_package *list; /* installed ones, by name, then architecture */
	size_t n;
	char *text;
};

/*
 * cow_packages_parse - @text: the database, taken over and written to.
 * What is no paragraph of a database is passed over. Return: 0; -ENOMEM, the text is freed.
 */
int cow_packages_parse(char *text, struct cow_packages *ret);
void cow_packages_done(struct cow_packages *p);
#define cow_autopackages COW_CLEANUP(cow_packages_done) struct cow_packages

/* Of the tree of an image. Return: 0; -ENOENT it has no such database; other -errno. */
int cow_image_packages(struct cow_store *s, const struct cow_image *i, struct cow_packages *ret);

/* Order of the list. */
int cow_package_cmp(const struct cow_package *a, const struct cow_package *b);

#endif
