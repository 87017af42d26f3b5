/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * boot.ipxe. iPXE splits lines at blanks, knows no quotes, expands ${...} and takes the words "||",
 * "&&", ";" and "#" as its own: what would be read that way is left out.
 */
#include "tftp/cmdline.h"

#include <stdio.h>
#include <string.h>

#include "loadertext.h"

static bool taken_literally(const char *w, size_t len)
{
	static const char *const special[] = {"||", "&&", ";", "#"};

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (strlen(special[i]) == len && memcmp(w, special[i], len) == 0)
			return false;
	}
	return cow_tftp_word_ok(w, len) && !memmem(w, len, "${", 2);
}

/* For echo: words as below, from strings somebody chose. */
static void put_title(struct cow_tftp_text *t, const struct cow_tftp_boot *b)
{
	(void)fprintf(t->f, "echo cowherd: client %s,", b->mac);
	cow_tftp_text_words(t, b->name, taken_literally);
	(void)fprintf(t->f, ", image");
	cow_tftp_text_words(t, b->image, taken_literally);
	(void)fprintf(t->f, " version %u\n", b->version);
}

static void put_kernel_line(struct cow_tftp_text *t, const struct cow_tftp_boot *b,
			    const char *kernel, const char *initrd)
{
	(void)fprintf(t->f, "kernel %s", kernel);
	if (initrd) /* UEFI kernels find it by this name */
		(void)fprintf(t->f, " initrd=%s", initrd);
	(void)fprintf(t->f, " %s", t->root);
	cow_tftp_text_words(t, b->words, taken_literally);
	(void)fprintf(t->f, " || goto failed\n");
}

int cow_tftp_ipxe_script(const struct cow_tftp_boot *b, const char *kernel, const char *initrd,
			 char **ret, size_t *ret_len)
{
	struct cow_tftp_text t;
	int r = cow_tftp_text_begin(&t, b, kernel, initrd);

	if (r < 0)
		return r;
	FILE *f = t.f;

	(void)fprintf(f, "#!ipxe\n");
	put_title(&t, b);
	put_kernel_line(&t, b, kernel, initrd);
	if (initrd)
		(void)fprintf(f, "initrd %s || goto failed\n", initrd);
	(void)fprintf(f,
		      "boot || goto failed\n"
		      ":failed\n"
		      "imgfree\n"
		      "echo cowherd: the boot files could not be loaded or started\n"
		      "prompt --key s --timeout 10000 Press s for a shell; next try in 10 seconds "
		      "&& shell ||\n"
		      "chain --replace --autofree boot.ipxe || goto failed\n");
	return cow_tftp_text_end(&t, ret, ret_len);
}
