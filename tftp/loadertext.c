/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See loadertext.h.
 */
#include "loadertext.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cow_tftp_loader_name_ok(const char *name)
{
	size_t n =
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-");

	return n > 0 && name[n] == '\0' && name[0] != '-';
}

int cow_tftp_text_begin(struct cow_tftp_text *t, const struct cow_tftp_boot *b, const char *kernel,
			const char *initrd)
{
	if (!cow_tftp_loader_name_ok(kernel) || (initrd && !cow_tftp_loader_name_ok(initrd)))
		return -EINVAL;
	int r = cow_tftp_root_words(b, initrd != NULL, t->root, sizeof(t->root));

	if (r < 0)
		return r;
	t->buf = NULL;
	t->f = open_memstream(&t->buf, &t->len);
	return t->f ? 0 : -ENOMEM;
}

int cow_tftp_text_end(struct cow_tftp_text *t, char **ret, size_t *ret_len)
{
	bool failed = ferror(t->f);

	if (fclose(t->f) != 0 || failed) {
		free(t->buf);
		return -ENOMEM;
	}
	*ret = t->buf;
	*ret_len = t->len;
	return 0;
}

void cow_tftp_text_words(struct cow_tftp_text *t, const char *words,
			 bool (*taken_literally)(const char *w, size_t len))
{
	const char *p = words, *end = words + strlen(words), *w;
	size_t len;

	while (cow_tftp_word_next(&p, end, &w, &len)) {
		if (taken_literally(w, len))
			(void)fprintf(t->f, " %.*s", (int)len, w);
	}
}
