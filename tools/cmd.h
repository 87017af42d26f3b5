/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The commands of `cowherd`. Each gets its own words (argv[0] is the command's name), parses them
 * with getopt_long() after setting optind = 0, and returns the exit status (enum cow_err_code).
 */
#ifndef COW_TOOLS_CMD_H
#define COW_TOOLS_CMD_H

struct cow_cmd {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args;    /* for the usage text */
	const char *summary; /* one line, lower case */
};

/*
 * cow_cmd_dispatch - run argv[1] of a table that ends with a NULL name.
 * @prog: words before it, "cowherd" or "cowherd image". Without a word, or with --help, the table
 * is printed. Return: exit status; COW_ERR_USAGE for an unknown word.
 */
int cow_cmd_dispatch(const char *prog, const struct cow_cmd *table, int argc, char **argv);

int cow_cmd_init(int argc, char **argv);
int cow_cmd_image(int argc, char **argv);
int cow_cmd_client(int argc, char **argv);
int cow_cmd_events(int argc, char **argv);
int cow_cmd_gc(int argc, char **argv);
int cow_cmd_serve(int argc, char **argv);
int cow_cmd_status(int argc, char **argv);
int cow_cmd_doctor(int argc, char **argv);

#endif
