/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * clients/ID/state/{boots,requests}: the last boots and the last requests for boot files, one line of words each
 * (common/fields.h). Written by `cowherd serve` alone, replaced by rename and not synced, as the other records there; a torn
 * or foreign line is passed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "common/fields.h"
#include "common/fs.h"

#define BOOTS_BYTES_MAX ((size_t)COW_CLIENT_BOOTS * COW_FIELDS_LINE_MAX)
#define REQUESTS_BYTES_MAX ((size_t)COW_CLIENT_REQUESTS * COW_FIELDS_LINE_MAX)

static bool is_known(const char *line)
{
	uint64_t v;

	return cow_fields_get_u64(line, "v", 1, &v) == 0 && v == 1;
}

/* Each whole line of a file, or of text. */
static int each_line(char *text, cow_history_fn fn, void *ctx)
{
	char *nl;
	int r = 0;

	for (; r == 0 && (nl = strchr(text, '\n')) != NULL; text = nl + 1) {
		*nl = '\0';
		if (is_known(text))
			r = fn(ctx, text);
	}
	return r;
}

static int read_text(int dir, const char *name, size_t max, char **ret)
{
	size_t len = 0;
	int r = cow_read_file_at(dir, name, max, ret, &len);

	if (r == -ENOENT || r == -EFBIG) { /* none, or not ours */
		*ret = strdup("");
		r = *ret ? 0 : -ENOMEM;
	}
	return r;
}

int cow_lines_each_at(int dir, const char *name, size_t max, cow_history_fn fn, void *ctx)
{
	cow_autofree char *text = NULL;
	int r = read_text(dir, name, max, &text);

	return r < 0 ? r : each_line(text, fn, ctx);
}

int cow_lines_write_at(int dir, const char *name, const char *temp, const char *text, size_t len)
{
	cow_autoclose int fd =
	    openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : cow_write_full(fd, text, len);

	return r == 0 && renameat(dir, temp, dir, name) < 0 ? -errno : r;
}

static int history_each(struct cow_store *s, const struct cow_mac *mac, const char *name,
			size_t max, cow_history_fn fn, void *ctx)
{
	cow_autoclose int dir = cow_client_state_dir(s, mac, 0);

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	return cow_lines_each_at(dir, name, max, fn, ctx);
}

int cow_client_boots_each(struct cow_store *s, const struct cow_mac *mac, cow_history_fn fn,
			  void *ctx)
{
	return history_each(s, mac, "boots", BOOTS_BYTES_MAX, fn, ctx);
}

int cow_client_requests_each(struct cow_store *s, const struct cow_mac *mac, cow_history_fn fn,
			     void *ctx)
{
	return history_each(s, mac, "requests", REQUESTS_BYTES_MAX, fn, ctx);
}

/* The lines that are kept: pointers into texts, a ring. */
struct ring {
	const char *line[COW_CLIENT_REQUESTS];
	size_t size, count;
	const char *but; /* value of "start" whose line is left out; NULL: none */
};

static int keep(void *ctx, const char *line)
{
	struct ring *g = ctx;
	char start[24];

	if (g->but && cow_fields_get(line, "start", start, sizeof(start)) == 0 &&
	    strcmp(start, g->but) == 0)
		return 0;
	g->line[g->count++ % g->size] = line;
	return 0;
}

static int write_ring(int dir, const char *name, const char *temp, const struct ring *g)
{
	size_t first = g->count > g->size ? g->count - g->size : 0, len = 0;
	cow_autofree char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	for (size_t i = first; i < g->count; i++)
		(void)fprintf(f, "%s\n", g->line[i % g->size]);
	if (fclose(f) != 0) /* a memory stream fails for want of memory alone */
		return -ENOMEM;
	return cow_lines_write_at(dir, name, temp, text, len);
}

static int history_add(struct cow_store *s, const struct cow_mac *mac, const char *name,
		       const char *temp, size_t max, struct ring *g, const char *lines)
{
	cow_autofree char *old = NULL;
	cow_autofree char *new = strdup(lines);
	cow_autoclose int dir = new ? cow_client_state_dir(s, mac, 1) : -ENOMEM;
	int r = dir < 0 ? dir : read_text(dir, name, max, &old);

	if (r == 0)
		r = each_line(old, keep, g);
	g->but = NULL;
	if (r == 0)
		r = each_line(new, keep, g);
	return r < 0 ? r : write_ring(dir, name, temp, g);
}

int cow_client_boots_add(struct cow_store *s, const struct cow_mac *mac, const char *line)
{
	struct ring g = {.size = COW_CLIENT_BOOTS};
	char start[24];

	if (cow_fields_get(line, "start", start, sizeof(start)) == 0)
		g.but = start;
	return history_add(s, mac, "boots", ".boots", BOOTS_BYTES_MAX, &g, line);
}

int cow_client_requests_add(struct cow_store *s, const struct cow_mac *mac, const char *lines)
{
	struct ring g = {.size = COW_CLIENT_REQUESTS};

	return history_add(s, mac, "requests", ".requests", REQUESTS_BYTES_MAX, &g, lines);
}
