/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Line by line through config.txt: see tftp/config_txt.h.
 *
 * os_prefix= stays: the firmware puts it in front of the names it asks for, cmdline.txt's too, and whose kernel
 * lies in such a folder boots from there.
 */
#include "tftp/config_txt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MARK "# Added by cowherd when this file is served."

static const char *const always[] = {"cmdline", "boot_ramdisk", NULL};
static const char *const of_initramfs[] = {"auto_initramfs", "initramfs", "ramfsaddr", "ramfsfile",
					   NULL};

/* The next line without its end. Return: false: there is none. */
static bool next_line(const char **p, const char *end, const char **ret, size_t *ret_len)
{
	if (*p == end)
		return false;

	const char *lf = memchr(*p, '\n', (size_t)(end - *p));

	*ret = *p;
	*ret_len = (size_t)((lf ? lf : end) - *p);
	*p = lf ? lf + 1 : end;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The word a line begins with, "initramfs" of "initramfs initrd.img followkernel". */
static size_t key_of(const char *line, size_t len, const char **ret)
{
	size_t n = 0;

	while (len > 0 && is_blank(*line)) {
		line++;
		len--;
	}
	while (n < len && !is_blank(line[n]) && line[n] != '=')
		n++;
	*ret = line;
	return n;
}

static bool is_one_of(const char *key, size_t len, const char *const *list)
{
	for (; *list; list++) {
		if (strlen(*list) == len && strncasecmp(*list, key, len) == 0)
			return true;
	}
	return false;
}

static bool goes(const char *line, size_t len, bool initramfs)
{
	const char *key;
	size_t n = key_of(line, len, &key);

	return is_one_of(key, n, always) || (!initramfs && is_one_of(key, n, of_initramfs));
}

/* What stays; each line gets an end. */
static void put_rest(FILE *f, const char *in, size_t len, bool initramfs)
{
	const char *p = in, *end = in + len, *line;
	size_t n;

	while (next_line(&p, end, &line, &n)) {
		if (n == strlen(MARK) && memcmp(line, MARK, n) == 0)
			break; /* ours, of a file that was served and put back */
		if (goes(line, n, initramfs))
			continue;
		(void)fwrite(line, 1, n, f);
		(void)fputc('\n', f);
	}
}

static int make(const char *in, size_t len, bool initramfs, bool ours, char **ret, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return -ENOMEM;
	put_rest(f, in, len, initramfs);
	if (ours)
		(void)fprintf(f, MARK "\n[all]\n%scmdline=cmdline.txt\n",
			      initramfs ? "" : "auto_initramfs=0\n");
	if (fclose(f) != 0) { /* a memory stream fails for want of memory alone */
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}

int cow_tftp_config_pi(const char *in, size_t len, bool initramfs, char **ret, size_t *ret_len)
{
	return make(in, len, initramfs, true, ret, ret_len);
}

int cow_tftp_config_included(const char *in, size_t len, bool initramfs, char **ret,
			     size_t *ret_len)
{
	return make(in, len, initramfs, false, ret, ret_len);
}

bool cow_tftp_config_includes(const char *in, size_t len, const char *path)
{
	static const char word[] = "include";
	const char *p = in, *end = in + len, *line, *key;
	size_t n;

	while (next_line(&p, end, &line, &n)) {
		size_t at = key_of(line, n, &key);

		if (at != strlen(word) || strncasecmp(key, word, at) != 0)
			continue;
		size_t left = n - (size_t)(key - line) - at;
		const char *name = key + at;

		while (left > 0 && (is_blank(*name) || *name == '=')) {
			name++;
			left--;
		}
		while (left > 0 && is_blank(name[left - 1]))
			left--;
		if (left > 0 && left == strlen(path) && memcmp(name, path, left) == 0)
			return true;
	}
	return false;
}
