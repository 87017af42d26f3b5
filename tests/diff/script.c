/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Scripts as text.
 */
#include "script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "util.h"

void ops_add(struct ops *o, const struct op *op)
{
	if (o->n == o->room) {
		o->room = o->room ? 2 * o->room : 64;
		o->v = must(reallocarray(o->v, o->room, sizeof(*o->v)));
	}
	o->v[o->n++] = *op;
}

void ops_free(struct ops *o)
{
	free(o->v);
	*o = (struct ops){0};
}

void script_free(struct script *s)
{
	ops_free(&s->lower);
	ops_free(&s->ops);
}

void script_print(FILE *out, const struct script *s)
{
	(void)fprintf(out, "keep %d\ndurability %s\nbatch %u\nlower:\n", s->keep,
		      cow_ovl_durability_name(s->durability), s->batch);
	for (size_t k = 0; k < s->lower.n; k++)
		op_print(out, &s->lower.v[k]);
	(void)fputs("script:\n", out);
	for (size_t k = 0; k < s->ops.n; k++)
		op_print(out, &s->ops.v[k]);
}

static bool parse_option(const char *line, struct script *s)
{
	unsigned v;
	char word[16];
	if (sscanf(line, "keep %u", &v) ==
	    1) { /* NOLINT(cert-err34-c): checked by the user's eye */
		s->keep = v != 0;
		return true;
	}
	if (sscanf(line, "batch %u", &v) == 1) { /* NOLINT(cert-err34-c) */
		s->batch = v ? v : 1;
		return true;
	}
	return sscanf(line, "durability %15s", word) == 1 &&
	       cow_ovl_durability_parse(word, &s->durability) == 0;
}

int script_parse(FILE *in, const char *name, struct script *ret)
{
	struct script s = {.durability = COW_OVL_RELAXED, .batch = 1};
	struct ops *to = NULL;
	cow_autofree char *line = NULL;
	size_t room = 0;
	unsigned number = 0;
	char msg[256] = "unknown line before 'lower:' or 'script:'";
	while (getline(&line, &room, in) > 0) {
		struct op op;
		number++;
		line[strcspn(line, "\r\n")] = '\0';
		const char *text = line + strspn(line, " \t");
		if (*text == '#' || *text == '\0')
			continue;
		if (strcmp(text, "lower:") == 0)
			to = &s.lower;
		else if (strcmp(text, "script:") == 0)
			to = &s.ops;
		else if (to && op_parse(text, &op, msg, sizeof(msg)) == 0)
			ops_add(to, &op);
		else if (to || !parse_option(text, &s)) {
			(void)fprintf(stderr, "%s:%u: %s\n", name, number, msg);
			script_free(&s);
			return -EINVAL;
		}
	}
	*ret = s;
	return 0;
}
