/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the configuration files of all loaders have in common: names that are checked, the words that say where the root is, text
 * that grows; private to this folder.
 */
#ifndef COW_TFTP_LOADERTEXT_H
#define COW_TFTP_LOADERTEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "nfswords.h"

struct cow_tftp_text {
	FILE *f;
	char root[COW_TFTP_ROOT_WORDS_MAX]; /* see cow_tftp_root_words() */
	char *buf;
	size_t len;
};

/*
 * cow_tftp_text_begin - @initrd may be NULL.
 * Return: 0, to be ended by cow_tftp_text_end(); -EINVAL a name no loader takes as it stands; -E2BIG; -ENOMEM.
 */
int cow_tftp_text_begin(struct cow_tftp_text *t, const struct cow_tftp_boot *b, const char *kernel,
			const char *initrd);
/* The caller frees what was written. Return: 0; -ENOMEM. */
int cow_tftp_text_end(struct cow_tftp_text *t, char **ret, size_t *ret_len);

/* Those of @words that the loader takes as they stand, a blank before each. */
void cow_tftp_text_words(struct cow_tftp_text *t, const char *words,
			 bool (*taken_literally)(const char *w, size_t len));

#endif
