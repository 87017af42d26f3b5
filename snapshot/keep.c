/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reading keep-lists.
 */
#include "keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "common/log.h"
#include "store_internal.h"

/* The machine id and the host name are written anew into every root from what is known of the client; here are
 * for what the machine made of them itself. */
static const char default_list[] = "/etc/machine-id\n"
				   "/etc/hostname\n"
				   "/etc/ssh/ssh_host_*\n"
				   "/home\n"
				   "/root/.ssh\n";

void cow_keep_done(struct cow_keep *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->path[i]);
	free(k->path);
	*k = (struct cow_keep){0};
}

static int add(struct cow_keep *k, const char *path, size_t len)
{
	if (k->n == COW_KEEP_PATHS_MAX)
		return -E2BIG;
	char **grown = reallocarray(k->path, k->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	k->path = grown;
	k->path[k->n] = strndup(path, len);
	if (!k->path[k->n])
		return -ENOMEM;
	k->n++;
	return 0;
}

/* What is wrong with a path, or NULL. It begins with a slash. */
static const char *fault_of(const char *p, size_t len)
{
	const char *end = p + len;
	if (len > COW_PATH_MAX)
		return "is too long";
	for (const char *c = p; c < end; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return "has a control character";
	while (p < end) {
		const char *name = p + 1, *slash = memchr(name, '/', (size_t)(end - name));
		size_t n = (size_t)((slash ? slash : end) - name);
		if (n == 0)
			return len == 1 ? "is the whole root"
					: "has an empty component: no '//', and no '/' at the end";
		if (n > COW_NAME_MAX)
			return "has a component that is too long";
		if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')))
			return "has '.' or '..' in it";
		p = name + n;
	}
	return NULL;
}

static int bad_line(const char *what, unsigned number, const char *line, size_t len,
		    const char *fault, struct cow_err *err)
{
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_USAGE, -EINVAL, "keep-list %s, line %u: %s %s",
					what, number, cow_quote(line, len).s, fault),
			    "a line is an absolute path such as /home or /etc/ssh/ssh_host_*");
}

static int take_line(struct cow_keep *k, const char *line, size_t len, const char *what,
		     unsigned number, struct cow_err *err)
{
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
		len--;
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	if (!len || *line == '#')
		return 0;
	const char *fault = *line == '/' ? fault_of(line, len) : "does not begin with '/'";
	if (fault)
		return bad_line(what, number, line, len, fault, err);
	int r = add(k, line + 1, len - 1);
	if (r == -E2BIG)
		return cow_err_say(err, COW_ERR_USAGE, r, "keep-list %s: more than %d paths", what,
				   COW_KEEP_PATHS_MAX);
	return r < 0 ? cow_err_set(err, r, "read keep-list %s", what) : 0;
}

int cow_keep_parse(const char *text, size_t len, const char *what, struct cow_keep *k,
		   struct cow_err *err)
{
	const char *end = text + len;
	int r = 0;
	for (unsigned number = 1; r == 0 && text < end; number++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		r = take_line(k, text, (size_t)((nl ? nl : end) - text), what, number, err);
		text = nl ? nl + 1 : end;
	}
	return r;
}

/* ---------------------------------------------------------------- the store's */

static int load_one(struct cow_store *s, const char *name, struct cow_keep *k, struct cow_err *err)
{
	cow_autofree char *text = NULL;
	size_t len = 0;
	if (cow_label_check(name) < 0)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_USAGE, -EINVAL,
						"%s is no name of a keep-list", COW_Q(name)),
				    "names with commas between them, or '" COW_KEEP_NONE "'");
	cow_autoclose int dir = cow_opendir_at(s->fd, "keep");
	int r = dir < 0 ? dir : cow_read_file_at(dir, name, COW_KEEP_FILE_MAX, &text, &len);
	if (r == -ENOENT && strcmp(name, COW_KEEP_DEFAULT) == 0)
		return cow_keep_parse(default_list, strlen(default_list), name, k, err);
	if (r == -ENOENT)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_NOT_FOUND, r, "no keep-list %s", name),
				    "write it to %s/keep/%s: one path a line", s->path, name);
	if (r < 0)
		return cow_err_set(err, r, "read '%s/keep/%s'", s->path, name);
	return cow_keep_parse(text, len, name, k, err);
}

int cow_keep_load(struct cow_store *s, const char *names, struct cow_keep *ret, struct cow_err *err)
{
	cow_autokeep k = {0};
	cow_autofree char *copy = strdup(names);
	char *rest = copy;
	int r = copy ? 0 : cow_err_set(err, -ENOMEM, "read keep-lists");
	if (strcmp(names, COW_KEEP_NONE) == 0)
		rest = NULL;
	for (char *name = strsep(&rest, ","); r == 0 && name; name = strsep(&rest, ","))
		r = load_one(s, name, &k, err);
	if (r < 0)
		return r;
	*ret = k;
	k = (struct cow_keep){0};
	return 0;
}

int cow_keep_check(struct cow_store *s, const char *names, struct cow_err *err)
{
	cow_autokeep k = {0};
	return cow_keep_load(s, names, &k, err);
}
