/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image push: a version goes to the store of another machine, without what that has.
 */
#include "image_push.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "common/checked.h"
#include "options.h"
#include "progress.h"
#include "snapshot/archive.h"

#define SSH_WORDS_MAX 16

static const char push_help[] =
    "usage: cowherd image push NAME[@VERSION|:TAG] [USER@]HOST[:STORE] [--level N]\n"
    "                          [--ssh COMMAND] [--remote PROGRAM]\n"
    "\n"
    "Send a version to the store of another machine, through ssh. Only what none of the versions\n"
    "there has is sent; there it gets the same image id. STORE is a directory on that machine.\n"
    "\n"
    "  --level N        of compression, 1 to 19; default: 9\n"
    "  --ssh COMMAND    instead of ssh; words are separated by blanks\n"
    "  --remote PROGRAM what cowherd is called there; default: cowherd\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

/* The other machine. */
struct peer {
	const char *where; /* as given, for messages */
	char *host, *command;
	pid_t pid;
	int to;
	FILE *from;
};

struct push {
	struct cow_store *s;
	const struct cow_image *i;
	struct peer *p;
	/* Found out: */
	unsigned there;		/* its number, if the image has it there; 0: it has not */
	bool another;		/* what has its number there is another version */
	struct cow_image *base; /* best of ours that is there too; NULL: none */
	uint64_t shared;	/* bytes of it that are not sent */
	struct cow_err *err;
};

/* ---------------------------------------------------------------- starting the other end */

/* 'TEXT', as a shell reads it. */
static char *quoted(const char *s)
{
	char *out = malloc(4 * strlen(s) + 3), *to = out;
	if (!out)
		return NULL;
	*to++ = '\'';
	for (; *s; s++) {
		if (*s == '\'') {
			memcpy(to, "'\\'", 3);
			to += 3;
		}
		*to++ = *s;
	}
	*to++ = '\'';
	*to = 0;
	return out;
}

/* "[USER@]HOST[:STORE]", an IPv6 address in brackets. */
static int parse_where(struct peer *p, const char *remote, struct cow_err *err)
{
	const char *end = strchr(p->where, ']');
	const char *colon = strchr(end ? end : p->where, ':');
	size_t len = colon ? (size_t)(colon - p->where) : strlen(p->where);
	if (len == 0 || *p->where == '-')
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "'%s': not HOST or HOST:STORE",
				   p->where);
	p->host = strndup(p->where, len);
	for (char *c = p->host; c && end && *c; c++)
		if (*c == '[' || *c == ']')
			memmove(c, c + 1, strlen(c));
	cow_autofree char *store = quoted(colon ? colon + 1 : "");
	int n = store ? asprintf(&p->command, "%s image receive%s%s", remote,
				 colon ? " --store " : "", colon ? store : "")
		      : -1;
	if (n < 0)
		p->command = NULL;
	return p->host && p->command ? 0 : cow_err_set(err, -ENOMEM, "push to '%s'", p->where);
}

static int spawn(struct peer *p, char **argv)
{
	extern char **environ;
	int in[2], out[2];
	posix_spawn_file_actions_t fa;
	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		int r = -errno;
		(void)close(in[0]);
		(void)close(in[1]);
		return r;
	}
	int r = -posix_spawn_file_actions_init(&fa);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&fa, in[0], STDIN_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&fa, out[1], STDOUT_FILENO);
	if (r == 0)
		r = -posix_spawnp(&p->pid, argv[0], &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)close(in[0]);
	(void)close(out[1]);
	p->to = in[1];
	p->from = fdopen(out[0], "re");
	if (!p->from)
		(void)close(out[0]);
	return r < 0 ? r : (p->from ? 0 : -ENOMEM);
}

static int start(struct peer *p, const char *ssh, const char *remote, struct cow_err *err)
{
	char *argv[SSH_WORDS_MAX + 3], *save = NULL;
	size_t n = 0;
	int r = parse_where(p, remote, err);
	if (r < 0)
		return r;
	cow_autofree char *words = strdup(ssh);
	for (char *w = words ? strtok_r(words, " ", &save) : NULL; w && n < SSH_WORDS_MAX;
	     w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	if (n == 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "--ssh '%s': no command", ssh);
	argv[n++] = p->host;
	argv[n++] = p->command;
	argv[n] = NULL;
	r = spawn(p, argv);
	return r < 0 ? cow_err_set(err, r, "run '%s'", argv[0]) : 0;
}

/* Its exit status; -1: killed. */
static int end_peer(struct peer *p)
{
	int status = -1;
	if (p->to >= 0)
		(void)close(p->to);
	if (p->from)
		(void)fclose(p->from); /* only read from */
	if (p->pid > 0)
		while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
			;
	free(p->host);
	free(p->command);
	return p->pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---------------------------------------------------------------- what is there */

/* The next line; NULL at the end. */
static char *next_line(struct peer *p, char *buf, size_t room)
{
	if (!fgets(buf, (int)room, p->from))
		return NULL;
	buf[strcspn(buf, "\n")] = 0;
	return buf;
}

/* What "failed STATUS TEXT" says, or that nothing was said. */
static int peer_failed(const struct peer *p, const char *line, struct cow_err *err)
{
	unsigned status = COW_ERR_FAILED;
	int at = 0;
	if (line && sscanf(line, "failed %u %n", &status, &at) == 1 && at > 0 && /* NOLINT(cert-err34-c) */
	    status > COW_OK && status <= COW_ERR_REFUSED)
		return cow_err_say(err, (enum cow_err_code)status, -EREMOTEIO, "'%s': %s", p->where,
				   line + at);
	cow_err_say(err, COW_ERR_FAILED, -EREMOTEIO,
		    "'%s' ended without an answer: no connection, or no cowherd that receives", p->where);
	return cow_err_hint(err, -EREMOTEIO, "try: ssh HOST cowherd image receive --help");
}

/* How much of what @i holds does this one of ours hold? */
static int consider(struct push *x, const char *name, const char *id)
{
	cow_autoimage ours = NULL;
	uint64_t shared = 0;
	int r = cow_image_find_id(x->s, id, name, &ours, NULL);
	if (r == -ENOENT)
		return 0; /* it has one that we have not */
	if (r == 0)
		r = cow_image_shared(x->s, x->i, ours, &shared, NULL);
	if (r == -ENOMEM)
		return cow_err_set(x->err, r, "compare images");
	if (r < 0 || shared <= x->shared) /* one of ours that cannot be read is no base */
		return 0;
	cow_image_free(x->base);
	x->base = cow_steal_ptr(&ours);
	x->shared = shared;
	return 0;
}

static int look(struct push *x)
{
	char line[1024], name[COW_LABEL_MAX + 1], id[COW_IMAGE_ID_LEN + 1], version[16];
	uint64_t n;
	const char *hello = next_line(x->p, line, sizeof(line));
	if (!hello || strcmp(hello, COW_RECEIVE_HELLO) != 0)
		return peer_failed(x->p, hello, x->err);
	while (next_line(x->p, line, sizeof(line))) {
		if (strcmp(line, "end") == 0)
			return 0;
		if (sscanf(line, "have %64s %15s %64s", name, version, id) != 3 ||
		    cow_parse_u64(version, 1, UINT32_MAX, &n) < 0)
			return peer_failed(x->p, line, x->err);
		if (strcmp(id, x->i->id) == 0 && strcmp(name, x->i->name) == 0)
			x->there = (unsigned)n;
		else if (n == x->i->version && strcmp(name, x->i->name) == 0)
			x->another = true;
		int r = x->there ? 0 : consider(x, name, id);
		if (r < 0)
			return r;
	}
	return peer_failed(x->p, NULL, x->err);
}

/* ---------------------------------------------------------------- sending */

static int step(void *ctx, uint64_t done, uint64_t total)
{
	return cow_progress_part(ctx, "sent", done, total);
}

static int send_version(struct push *x, int level, struct cow_export_done *done,
			unsigned *ret_version)
{
	char line[COW_ERR_TEXT_MAX + 64];
	struct cow_progress progress;
	uint64_t n = 0;
	const struct cow_export_opts opts = {
	    .fd = x->p->to,
	    .level = level,
	    .progress = step,
	    .ctx = &progress,
	};
	if (dprintf(x->p->to, "import %s\n", x->i->name) < 0)
		return peer_failed(x->p, next_line(x->p, line, sizeof(line)), x->err);
	cow_progress_begin(&progress);
	int r = cow_image_export(x->s, x->i, x->base, &opts, done, x->err);
	cow_progress_end(&progress);
	(void)close(cow_steal_fd(&x->p->to)); /* the other end sees the end of the archive */
	if (r < 0 && r != -EPIPE)
		return r;
	const char *answer = next_line(x->p, line, sizeof(line));
	if (r < 0 || !answer || strncmp(answer, "done ", 5) != 0 ||
	    cow_parse_u64(answer + 5, 1, UINT32_MAX, &n) < 0)
		return peer_failed(x->p, answer, x->err);
	*ret_version = (unsigned)n;
	return 0;
}

static int print_pushed(const struct push *x, const struct cow_export_done *done, unsigned version)
{
	char bytes[COW_BYTES_LEN];
	if (x->there) {
		(void)printf("%s@%u is there already: %s@%u on %s\n", x->i->name, x->i->version,
			     x->i->name, x->there, x->p->where);
		return cow_cli_flush();
	}
	cow_cli_bytes(done->bytes, bytes);
	(void)printf("pushed %s@%u to %s as %s@%u: %s", x->i->name, x->i->version, x->p->where,
		     x->i->name, version, bytes);
	if (x->base)
		(void)printf(", since %s@%u", x->base->name, x->base->version);
	(void)putchar('\n');
	if (x->another && version != x->i->version)
		(void)printf("note: %s@%u there is another version, and stays\n", x->i->name,
			     x->i->version);
	return cow_cli_flush();
}

static int push(struct push *x, const struct cow_options *o, int level)
{
	struct cow_export_done done = {.bytes = 0};
	unsigned version = 0;
	const char *ssh = o->ssh ? o->ssh : "ssh", *remote = o->remote ? o->remote : "cowherd";
	int r = start(x->p, ssh, remote, x->err);
	if (r == 0)
		r = look(x);
	if (r == 0 && !x->there)
		r = send_version(x, level, &done, &version);
	(void)end_peer(x->p); /* what it said counts */
	int status = r < 0 ? cow_cli_fail(x->err, r) : print_pushed(x, &done, version);
	cow_image_free(x->base);
	return status;
}

int cow_cmd_image_push(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	uint64_t level = COW_EXPORT_LEVEL;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	int status = cow_options_parse("image push", push_help, COW_OPT_PUSH | COW_OPT_LEVEL, 2, 2,
				       argc, argv, &o);
	if (status >= 0)
		return status;
	if (o.level && cow_parse_u64(o.level, 1, COW_EXPORT_LEVEL_MAX, &level) < 0)
		return cow_cli_usage("image push", "--level '%s': 1 to %d", o.level,
				     COW_EXPORT_LEVEL_MAX);
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &i, &err);
	if (r < 0 || !i)
		return cow_cli_fail(&err, r);
	(void)signal(SIGPIPE, SIG_IGN); /* its last words tell more */
	struct peer p = {.where = argv[o.words + 1], .to = -1};
	struct push x = {.s = s, .i = i, .p = &p, .err = &err};
	return push(&x, &o, (int)level);
}
