/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * grub.cfg. GRUB's script language takes away quotes as a shell does; within apostrophes nothing has a meaning.
 * The words of `linux` are then put in double quotes where they hold blanks, and every quote, apostrophe and
 * backslash in them gets a backslash, which the kernel would keep (GRUB: grub_create_loader_cmdline). So
 * the quotes of a word go before, as the kernel would take them away, and words with the others are left out.
 */
#include "tftp/cmdline.h"

#include <stdio.h>
#include <string.h>

#include "loadertext.h"

static bool taken_literally(const char *w, size_t len)
{
	return cow_tftp_word_ok(w, len) && !memchr(w, '\'', len) && !memchr(w, '\\', len);
}

static void put_words(FILE *f, const char *words)
{
	const char *p = words, *end = words + strlen(words), *w;
	size_t len;

	while (cow_tftp_word_next(&p, end, &w, &len)) {
		if (!taken_literally(w, len))
			continue;
		(void)fputs(" '", f);
		for (size_t i = 0; i < len; i++) {
			if (w[i] != '"')
				(void)fputc(w[i], f);
		}
		(void)fputc('\'', f);
	}
}

int cow_tftp_grub_config(const struct cow_tftp_boot *b, const char *kernel, const char *initrd,
			 char **ret, size_t *ret_len)
{
	struct cow_tftp_text t;
	int r = cow_tftp_text_begin(&t, b, kernel, initrd);

	if (r < 0)
		return r;
	FILE *f = t.f;

	(void)fprintf(f, "echo 'cowherd: client %s,'", b->mac);
	put_words(f, b->name);
	(void)fprintf(f, " ', image'");
	put_words(f, b->image);
	(void)fprintf(f, " 'version %u'\nif linux /%s/%s %s", b->version, b->mac, kernel, t.root);
	put_words(f, b->words);
	(void)fputs("\nthen\n", f);
	if (initrd)
		(void)fprintf(f, "if initrd /%s/%s\nthen\nboot\nfi\n", b->mac, initrd);
	else
		(void)fputs("boot\n", f);
	(void)fputs("fi\n"
		    "echo 'cowherd: the boot files could not be loaded or started'\n"
		    "echo 'Escape for a prompt; else the machine starts anew in 10 seconds'\n"
		    "if sleep --interruptible 10\n"
		    "then\n"
		    "reboot\n"
		    "fi\n",
		    f);
	return cow_tftp_text_end(&t, ret, ret_len);
}
