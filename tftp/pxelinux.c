/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * pxelinux.cfg/ files. A line is a keyword and the rest as it stands; quotes mean nothing to PXELINUX or U-Boot.
 * What must be left out of the kernel's words: PXELINUX looks for "initrd=" in them, U-Boot expands
 * "${...}" and takes apostrophes and backslashes away (cmd/pxe: cli_simple_process_macros).
 */
#include "tftp/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "nfswords.h"

static bool taken_literally(const char *w, size_t len)
{
	static const char initrd[] = "initrd=";

	if (len >= sizeof(initrd) - 1 && memcmp(w, initrd, sizeof(initrd) - 1) == 0)
		return false;
	return cow_tftp_word_ok(w, len) && !memchr(w, '$', len) && !memchr(w, '\'', len) &&
	       !memchr(w, '\\', len);
}

static void put_words(FILE *f, const char *words)
{
	const char *p = words, *end = words + strlen(words), *w;
	size_t len;

	while (cow_tftp_word_next(&p, end, &w, &len)) {
		if (taken_literally(w, len))
			(void)fprintf(f, " %.*s", (int)len, w);
	}
}

/* One folder, or one in another. */
static bool is_folder_ok(const char *path)
{
	const char *slash = strchr(path, '/');
	cow_autofree char *above = slash ? strndup(path, (size_t)(slash - path)) : NULL;

	if (!slash)
		return cow_tftp_loader_name_ok(path);
	return above && cow_tftp_loader_name_ok(above) && cow_tftp_loader_name_ok(slash + 1);
}

int cow_tftp_pxelinux_config(const struct cow_tftp_boot *b, const char *dir, const char *kernel,
			     const char *initrd, const char *dtbs, char **ret, size_t *ret_len)
{
	char root[COW_TFTP_ROOT_WORDS_MAX];
	cow_autofree char *text = NULL;
	size_t len = 0;

	if (!cow_tftp_loader_name_ok(kernel) || (initrd && !cow_tftp_loader_name_ok(initrd)) ||
	    (dtbs && !is_folder_ok(dtbs)))
		return -EINVAL;
	int r = cow_tftp_root_words(b, initrd != NULL, root, sizeof(root));

	if (r < 0)
		return r;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	(void)fprintf(f, "say cowherd: client %s,", b->mac);
	put_words(f, b->name);
	(void)fprintf(f, ", image");
	put_words(f, b->image);
	/* "linux", not "kernel": of that PXELINUX guesses the kind by the end of the name. */
	(void)fprintf(f,
		      " version %u\n"
		      "default cowherd\n"
		      "prompt 0\n"
		      "timeout 100\n"
		      "label cowherd\n"
		      "linux %s%s\n",
		      b->version, dir, kernel);
	if (initrd)
		(void)fprintf(f, "initrd %s%s\n", dir, initrd);
	if (dtbs)
		(void)fprintf(f, "fdtdir %s%s\n", dir, dtbs);
	(void)fprintf(f, "append %s", root);
	put_words(f, b->words);
	(void)fputc('\n', f);
	bool failed = ferror(f);

	if (fclose(f) != 0 || failed)
		return -ENOMEM;
	*ret = cow_steal_ptr(&text);
	*ret_len = len;
	return 0;
}
