/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cmd.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"

static void print_table(FILE *to, const char *prog, const struct cow_cmd *table)
{
	(void)fprintf(to, "usage: %s COMMAND [OPTIONS]\n\n", prog);
	for (const struct cow_cmd *c = table; c->name; c++)
		(void)fprintf(to, "  %-9s %-34s %s\n", c->name, c->args, c->summary);
	(void)fprintf(to, "\n%s COMMAND --help tells more about each.\n", prog);
}

int cow_cmd_dispatch(const char *prog, const struct cow_cmd *table, int argc, char **argv)
{
	if (argc < 2) {
		print_table(stderr, prog, table);
		return COW_ERR_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_table(stdout, prog, table);
		return cow_cli_flush();
	}
	for (const struct cow_cmd *c = table; c->name; c++)
		if (strcmp(argv[1], c->name) == 0)
			return c->run(argc - 1, argv + 1);
	(void)fprintf(stderr, "%s: no command '%s'; %s --help lists them\n", prog, argv[1], prog);
	return COW_ERR_USAGE;
}
