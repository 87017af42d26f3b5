/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client mount|unmount|exec.
 */
#include "client_mount.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"
#include "common/checked.h"
#include "common/cleanup.h"
#include "mount.h"
#include "options.h"
#include "snapshot/client.h"
#include "tree_run.h"

#define WAIT_MS 60000 /* for the last sync of what was mounted */

#define COMMON_HELP                                                                                \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"

static int open_client(const struct cow_options *o, const char *which, struct cow_store **ret_s,
		       struct cow_client **ret_c, struct cow_err *err)
{
	int r = cow_cli_store_open(&o->where, ret_s, err);
	return r < 0 ? r : cow_client_find(*ret_s, which, ret_c, err);
}

static bool is_mount(const char *who)
{
	return strncmp(who, COW_CLIENT_MOUNT_HOLDER, strlen(COW_CLIENT_MOUNT_HOLDER)) == 0;
}

static int hint_busy(struct cow_store *s, const struct cow_client *c, struct cow_err *err, int r)
{
	char who[COW_OVL_HOLDER_MAX];
	if (r != -EBUSY)
		return r;
	if (cow_client_holder(s, &c->mac, who) == 0 && is_mount(who))
		return cow_err_hint(err, r, "unmount it first, or look with --read-only");
	return cow_err_hint(
	    err, r, "shut the machine down and try again in a minute, or look with --read-only");
}

/* ---------------------------------------------------------------- mount */

static const char mount_help[] =
    "usage: cowherd client mount MAC|NAME DIR [--read-only] [--writeback]\n"
    "\n"
    "Mount a client's root on a directory of this machine. Until it is unmounted nobody else has "
    "it,\n"
    "the NFS server neither.\n"
    "\n"
    "  --read-only      look only; also while the client runs\n"
    "  --writeback      gather small writes: faster, but lost when cowherd-fuse is "
    "killed\n" COMMON_HELP;

int cow_cmd_client_mount(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse("client mount", mount_help,
				       COW_OPT_READ_ONLY | COW_OPT_WRITEBACK, 2, 2, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = open_client(&o, argv[o.words], &s, &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	cow_autofree char *point = realpath(argv[o.words + 1], NULL);
	if (!point)
		return cow_cli_fail(
		    &err, cow_err_set(&err, -errno, "mount point '%s'", argv[o.words + 1]));
	const struct cow_mount m = {
	    .store = cow_store_path(s),
	    .client = c->id,
	    .point = point,
	    .read_only = o.given & COW_OPT_READ_ONLY,
	    .writeback = o.given & COW_OPT_WRITEBACK,
	};
	r = hint_busy(s, c, &err, cow_mount_start(&m, NULL, &err));
	if (r < 0)
		return cow_cli_fail(&err, cow_err_prefix(&err, r, "mount %s", c->id));
	(void)printf("mounted %s (%s) on %s%s\n", c->id, c->name, point,
		     m.read_only ? ", read-only" : "");
	return cow_cli_flush();
}

/* ---------------------------------------------------------------- unmount */

static const char unmount_help[] = "usage: cowherd client unmount MAC|NAME|DIR [--lazy]\n"
				   "\n"
				   "Undo client mount: what was written is on disk when it "
				   "returns. With MAC or NAME all mounts of the\n"
				   "client go. Also after cowherd-fuse was killed.\n"
				   "\n"
				   "  --lazy           also while files in it are open; it ends "
				   "with the last of them\n" COMMON_HELP;

struct unmount {
	struct cow_store *store;
	const char *dir; /* this one only; NULL: all of the client */
	bool lazy;
	unsigned count;
	struct cow_err *err;
};

/* The process that has the client's root attached, if that is the mount on @point; else -1. */
static int holder_pidfd(struct cow_store *s, const char *client, const char *point)
{
	char who[COW_OVL_HOLDER_MAX];
	struct cow_mac mac;
	uint64_t pid;
	if (cow_mac_parse(client, strlen(client), &mac) < 0 || cow_client_holder(s, &mac, who) < 0)
		return -1;
	if (!is_mount(who))
		return -1;
	const char *text = who + strlen(COW_CLIENT_MOUNT_HOLDER);
	size_t len = strspn(text, "0123456789");
	char number[16];
	if (len == 0 || len >= sizeof(number))
		return -1;
	memcpy(number, text, len);
	number[len] = '\0';
	text += len;
	if (strncmp(text, " on ", 4) != 0 || strcmp(text + 4, point) != 0 ||
	    cow_parse_u64(number, 1, INT32_MAX, &pid) < 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

static int wait_end(int pidfd, const char *point, struct cow_err *err)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n;
	do {
		n = poll(&p, 1, WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	return n < 0 ? cow_err_set(err, -errno, "wait for the end of the mount on '%s'", point)
		     : cow_err_say(err, COW_ERR_FAILED, -ETIMEDOUT,
				   "'%s' is unmounted, but what was written is not on disk after a "
				   "minute; cowherd-fuse still works on it",
				   point);
}

static int unmount_one(void *ctx, const char *client, const char *point)
{
	struct unmount *u = ctx;
	if (u->dir && strcmp(u->dir, point) != 0)
		return 0;
	cow_autoclose int pidfd = holder_pidfd(u->store, client, point);
	if (umount2(point, UMOUNT_NOFOLLOW | (u->lazy ? MNT_DETACH : 0)) < 0) {
		int r = cow_err_set(u->err, -errno, "unmount '%s'", point);
		return r == -EBUSY ? cow_err_hint(u->err, r, "files in it are open; or give --lazy")
				   : r;
	}
	u->count++;
	(void)printf("unmounted %s from %s\n", *client ? client : "a root", point);
	return pidfd >= 0 && !u->lazy ? wait_end(pidfd, point, u->err) : 0;
}

/* The kernel's name of a directory. realpath(3) would ask the mount, which may be dead. */
static char *kernel_path(const char *arg)
{
	cow_autofree char *copy = strdup(arg);
	char *full = NULL;
	if (!copy)
		return NULL;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	char *slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	cow_autofree char *parent = realpath(!slash ? "." : slash == copy ? "/" : copy, NULL);
	if (!parent || asprintf(&full, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent,
				slash ? slash + 1 : copy) < 0)
		return NULL;
	return full;
}

int cow_cmd_client_unmount(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT, none = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status =
	    cow_options_parse("client unmount", unmount_help, COW_OPT_LAZY, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	const char *which = argv[o.words];
	struct unmount u = {.lazy = o.given & COW_OPT_LAZY, .err = &err};
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	u.store = s;
	bool by_dir = strchr(which, '/') || cow_client_find(s, which, &c, &none) < 0;
	cow_autofree char *dir = by_dir ? kernel_path(which) : NULL;
	u.dir = dir;
	r = cow_mount_each(c ? c->id : NULL, unmount_one, &u, &err);
	if (r == 0 && u.count == 0)
		r = c ? cow_err_say(&err, COW_ERR_NOT_FOUND, -ENOENT,
				    "client %s is not mounted here", c->id)
		      : cow_err_say(
			    &err, COW_ERR_NOT_FOUND, -ENOENT,
			    "'%s' is neither a client nor a directory a client is mounted on",
			    which);
	return r < 0 ? cow_cli_fail(&err, r) : cow_cli_flush();
}

/* ---------------------------------------------------------------- exec */

static const char exec_help[] =
    "usage: cowherd client exec MAC|NAME [--read-only] [-- COMMAND [ARG]...]\n"
    "\n"
    "Run a command (default: a shell) in a client's root, as root of it, with this machine's "
    "network,\n"
    "/dev, /proc and /sys. What it starts ends with it. The exit status is the command's.\n"
    "\n"
    "  --read-only      nothing can be changed; also while the client runs\n" COMMON_HELP;

int cow_cmd_client_exec(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status =
	    cow_options_parse("client exec", exec_help, COW_OPT_READ_ONLY, 1, -1, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = open_client(&o, argv[o.words], &s, &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	const struct cow_tree_run run = {
	    .mount = {.store = cow_store_path(s),
		      .client = c->id,
		      .read_only = o.given & COW_OPT_READ_ONLY},
	    .argv = argv + o.words + 1,
	    .name = c->name,
	};
	r = hint_busy(s, c, &err, cow_tree_run(&run, &status, &err));
	return r < 0 ? cow_cli_fail(&err, cow_err_prefix(&err, r, "run in %s", c->id)) : status;
}
