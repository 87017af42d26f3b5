/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * pxelinux.cfg/ files. A line is a keyword and the rest as it stands; quotes mean nothing to PXELINUX or U-Boot.
 * What must be left out of the kernel's words: PXELINUX looks for "initrd=" in them, U-Boot expands
 * "${...}" and takes apostrophes and backslashes away (cmd/pxe: cli_simple_process_macros).
 */
#include "tftp/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "loadertext.h"

static bool taken_literally(const char *w, size_t len)
{
	static const char initrd[] = "initrd=";

	if (len >= sizeof(initrd) - 1 && memcmp(w, initrd, sizeof(initrd) - 1) == 0)
		return false;
	return cow_tftp_word_ok(w, len) && !memchr(w, '$', len) && !memchr(w, '\'', len) &&
	       !memchr(w, '\\', len);
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
	struct cow_tftp_text t;
	int r = dtbs && !is_folder_ok(dtbs) ? -EINVAL : cow_tftp_text_begin(&t, b, kernel, initrd);

	if (r < 0)
		return r;
	FILE *f = t.f;

	(void)fprintf(f, "say cowherd: client %s,", b->mac);
	cow_tftp_text_words(&t, b->name, taken_literally);
	(void)fprintf(f, ", image");
	cow_tftp_text_words(&t, b->image, taken_literally);
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
	(void)fprintf(f, "append %s", t.root);
	cow_tftp_text_words(&t, b->words, taken_literally);
	(void)fputc('\n', f);
	return cow_tftp_text_end(&t, ret, ret_len);
}
