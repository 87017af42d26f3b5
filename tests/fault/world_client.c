/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client's root through the engine.
 */
#include "world.h"

static void show_dir(FILE *out, struct cow_ovl_node *dir, const char *path);

static int show(void *ctx, const struct cow_ovl_dirent *e)
{
	void **args = ctx;
	FILE *out = args[0];
	char path[256], text[64] = "";
	struct iovec iov = {text, sizeof(text) - 1};
	cow_autoopen o = NULL;
	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)args[1], e->name);
	if (S_ISREG(e->type)) {
		assert_int_equal(cow_ovl_open(e->node, &cow_ovl_root_cred, COW_OPEN_READ, &o), 0);
		assert_true(cow_ovl_read(o, &iov, 1, 0) >= 0);
	}
	unsigned nlink =
	    S_ISDIR(e->type) ? 0 : e->attr->nlink; /* of directories it depends on the layers */
	(void)fprintf(out, "%s %o %u %s\n", path, e->attr->mode, nlink, text);
	if (S_ISDIR(e->type))
		show_dir(out, e->node, path);
	return 0;
}

static void show_dir(FILE *out, struct cow_ovl_node *dir, const char *path)
{
	int eof;
	void *args[2] = {out, (void *)(uintptr_t)path};
	assert_int_equal(cow_ovl_readdir(dir, 0, COW_READDIR_NODES, show, args, &eof), 0);
}

static int by_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In which order a directory is read is its own business. */
static char *sorted(char *text)
{
	char *lines[256], *save = NULL, *out = NULL;
	size_t n = 0, len;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_true(n < sizeof(lines) / sizeof(*lines));
		lines[n++] = l;
	}
	qsort(lines, n, sizeof(*lines), by_line);
	FILE *f = open_memstream(&out, &len);
	for (size_t k = 0; k < n; k++)
		(void)fprintf(f, "%s\n", lines[k]);
	assert_int_equal(fclose(f), 0);
	free(text);
	return out;
}

char *client_shown(struct cow_store *s, const struct cow_mac *mac)
{
	char *text = NULL;
	size_t len = 0;
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *i = NULL;
	FILE *out = open_memstream(&text, &len);
	must(cow_client_attach(s, mac, COW_OVL_OBSERVER, &i, &err), &err);
	{
		cow_autonode root = NULL;
		assert_int_equal(cow_ovl_root(i, &root), 0);
		show_dir(out, root, "");
	}
	assert_int_equal(cow_ovl_inst_close(i), 0);
	assert_int_equal(fclose(out), 0);
	return sorted(text);
}

struct cow_ovl_node *node_child(struct cow_ovl_node *dir, const char *name)
{
	struct cow_ovl_node *n = NULL;
	assert_int_equal(cow_ovl_lookup(dir, name, strlen(name), &n, NULL), 0);
	return n;
}

void node_make(struct cow_ovl_node *dir, const char *name, mode_t type, const char *text)
{
	const struct cow_ovl_create how = {.type = type, .mode = 0750};
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	assert_int_equal(
	    cow_ovl_create(dir, name, strlen(name), &cow_ovl_root_cred, &how, &n, NULL), 0);
	if (!S_ISREG(type))
		return;
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o), 0);
	assert_int_equal(cow_ovl_write(o, &iov, 1, 0, 0), strlen(text));
}

void node_drop(struct cow_ovl_node *dir, const char *name)
{
	assert_int_equal(
	    cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred, COW_REMOVE_FILE), 0);
}
