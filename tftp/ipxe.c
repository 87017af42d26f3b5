/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * boot.ipxe. iPXE splits lines at blanks, knows no quotes, expands ${...} and takes the words "||",
 * "&&", ";" and "#" as its own: what would be read that way is left out.
 */
#include "tftp/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "nfswords.h"

int cow_tftp_loader_name_ok(const char *name)
{
	size_t n =
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-");

	return n > 0 && name[n] == '\0' && name[0] != '-';
}

static bool ipxe_takes_literally(const char *w, size_t len)
{
	static const char *const special[] = {"||", "&&", ";", "#"};

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (strlen(special[i]) == len && memcmp(w, special[i], len) == 0)
			return false;
	}
	return cow_tftp_word_ok(w, len) && !memmem(w, len, "${", 2);
}

static void put_words(FILE *f, const char *words)
{
	const char *p = words, *end = words + strlen(words), *w;
	size_t len;

	while (cow_tftp_word_next(&p, end, &w, &len)) {
		if (ipxe_takes_literally(w, len))
			(void)fprintf(f, " %.*s", (int)len, w);
	}
}

/* For echo: words as above, from strings somebody chose. */
static void put_title(FILE *f, const struct cow_tftp_boot *b)
{
	(void)fprintf(f, "echo cowherd: client %s,", b->mac);
	put_words(f, b->name);
	(void)fprintf(f, ", image");
	put_words(f, b->image);
	(void)fprintf(f, " version %u\n", b->version);
}

static int put_kernel_line(FILE *f, const struct cow_tftp_boot *b, const char *kernel,
			   const char *initrd)
{
	char root[COW_TFTP_ROOT_WORDS_MAX];
	int r = cow_tftp_root_words(b, initrd != NULL, root, sizeof(root));

	if (r < 0)
		return r;
	(void)fprintf(f, "kernel %s", kernel);
	if (initrd) /* UEFI kernels find it by this name */
		(void)fprintf(f, " initrd=%s", initrd);
	(void)fprintf(f, " %s", root);
	put_words(f, b->words);
	(void)fprintf(f, " || goto failed\n");
	return 0;
}

int cow_tftp_ipxe_script(const struct cow_tftp_boot *b, const char *kernel, const char *initrd,
			 char **ret, size_t *ret_len)
{
	cow_autofree char *text = NULL;
	size_t len = 0;

	if (!cow_tftp_loader_name_ok(kernel) || (initrd && !cow_tftp_loader_name_ok(initrd)))
		return -EINVAL;

	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	(void)fprintf(f, "#!ipxe\n");
	put_title(f, b);
	int r = put_kernel_line(f, b, kernel, initrd);

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
	bool failed = ferror(f);

	if (fclose(f) != 0 || failed)
		return -ENOMEM;
	if (r < 0)
		return r;
	*ret = cow_steal_ptr(&text);
	*ret_len = len;
	return 0;
}
