/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image receive: the other end of `cowherd image push`, started by it through ssh.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "image_push.h"
#include "options.h"
#include "progress.h"
#include "snapshot/image.h"

static const char receive_help[] =
    "usage: cowherd image receive\n"
    "\n"
    "Take what 'cowherd image push' sends; it starts this by itself, through ssh.\n"
    "\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

static int say_have(void *ctx, const struct cow_image *i)
{
	(void)ctx;
	if (*i->id) /* one without a manifest is no base */
		(void)printf("have %s %u %s\n", i->name, i->version, i->id);
	return 0;
}

/* A line without its end; nothing behind it is read. Return: length; 0 at the end; -errno. */
static int read_line(char *buf, size_t room)
{
	size_t n = 0;
	while (n + 1 < room) {
		ssize_t got = read(STDIN_FILENO, buf + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0 || buf[n] == '\n') {
			buf[n] = 0;
			return (int)n;
		}
		n++;
	}
	return -EMSGSIZE;
}

static int say_failed(const struct cow_err *err, int r)
{
	int status = cow_err_exit_status(err, r);
	(void)printf("failed %d %s\n", status, cow_err_str(err));
	(void)fflush(stdout); /* who does not hear it sees the end */
	return status;
}

static int step(void *ctx, const struct cow_import_progress *now)
{
	return cow_progress_step(ctx, now);
}

static int receive(struct cow_store *s, struct cow_err *err)
{
	static const char want[] = "import ";
	char line[COW_LABEL_MAX + sizeof(want) + 1];
	struct cow_progress progress;
	unsigned version = 0;
	(void)puts(COW_RECEIVE_HELLO);
	int r = cow_image_each(s, say_have, NULL, err);
	if (r < 0)
		return say_failed(err, r);
	(void)puts("end");
	r = cow_cli_flush();
	if (r != COW_OK)
		return r;
	r = read_line(line, sizeof(line));
	if (r == 0)
		return COW_OK; /* nothing is to come */
	if (r < 0 || strncmp(line, want, sizeof(want) - 1) != 0)
		return say_failed(err, cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
						   "this is no 'cowherd image push'"));
	cow_progress_begin(&progress);
	progress.on_terminal = 0; /* it would be the other's */
	const struct cow_import_opts opts = {.progress = step, .ctx = &progress};
	r = cow_image_import(s, line + sizeof(want) - 1, COW_IMPORT_STDIN, &opts, &version, err);
	cow_progress_end(&progress);
	if (r < 0)
		return say_failed(err, r);
	(void)printf("done %u\n", version);
	return cow_cli_flush();
}

int cow_cmd_image_receive(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	int status = cow_options_parse("image receive", receive_help, 0, 0, 0, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	return r < 0 ? say_failed(&err, r) : receive(s, &err);
}
