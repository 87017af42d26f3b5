/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct cow_table {
	unsigned columns;
	size_t rows;
	char **cells; /* rows * columns, owned */
};

int cow_table_new(unsigned columns, struct cow_table **ret)
{
	struct cow_table *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->columns = columns;
	*ret = t;
	return 0;
}

void cow_table_free(struct cow_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

/* Control bytes would let a name move the cursor; bytes above 127 are left to the terminal. */
static char *safe_copy(const char *cell)
{
	char *copy = strdup(*cell ? cell : "-");
	for (char *p = copy; p && *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	return copy;
}

int cow_table_row(struct cow_table *t, const char *const *cells)
{
	char **grown = reallocarray(t->cells, (t->rows + 1) * t->columns, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->cells = grown;
	char **row = grown + t->rows * t->columns;
	for (unsigned i = 0; i < t->columns; i++) {
		row[i] = safe_copy(cells[i] ? cells[i] : "");
		if (row[i])
			continue;
		while (i--)
			free(row[i]);
		return -ENOMEM;
	}
	t->rows++;
	return 0;
}

static size_t column_width(const struct cow_table *t, unsigned column)
{
	size_t width = 0;
	for (size_t row = 0; row < t->rows; row++) {
		size_t len = strlen(t->cells[row * t->columns + column]);
		if (len > width)
			width = len;
	}
	return width;
}

void cow_table_print(const struct cow_table *t)
{
	for (size_t row = 0; row < t->rows; row++) {
		for (unsigned i = 0; i < t->columns; i++) {
			int last = i + 1 == t->columns;
			(void)printf("%-*s%s", last ? 0 : (int)column_width(t, i),
				     t->cells[row * t->columns + i], last ? "\n" : "  ");
		}
	}
}
