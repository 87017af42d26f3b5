/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Many clients of one NFS server, each doing what a recording says, one call after the other, all of
 * them at once:
 *
 *	nfsreplay --server ADDRESS --port N --mount-port N --pid SERVER RECORDING PATH...
 *
 * Each PATH is one client's root. Recording (bootlist makes one of boot-debian12.list), object 0 is the root:
 *	L PARENT NUMBER NAME	LOOKUP; the object gets this number
 *	N PARENT NAME		LOOKUP of what is not there
 *	G NUMBER		GETATTR
 *	A NUMBER		ACCESS
 *	K NUMBER		READLINK
 *	R NUMBER OFFSET LENGTH	READ, exactly so many bytes
 *	D NUMBER		READDIRPLUS to the end
 *	F, S, #			nothing to do: bootlist's and a reader's own lines
 * Prints a line: calls, nanoseconds, nanoseconds of CPU the server took, and here, KiB of memory of
 * the server at the end and at most. Any answer that is not the recorded one ends the program.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nfsrpc.h"

enum {
	V3_GETATTR = 1,
	V3_LOOKUP = 3,
	V3_ACCESS = 4,
	V3_READLINK = 5,
	V3_READ = 6,
	V3_READDIRPLUS = 17
};
#define NOENT 2
#define ACCESS_ALL 0x3f

struct op {
	char what;
	uint32_t object, made;
	uint64_t off;
	uint32_t len;
	char *name;
};

static struct {
	const char *server;
	unsigned port, mount_port;
	pid_t pid;
	struct op *op;
	size_t ops, objects;
} g;

struct player {
	size_t at;
	struct fh *fh;
};

/* -------------------------------------------------- the recording */

static void parse(const char *line, size_t nr)
{
	struct op *o = &g.op[g.ops];
	char name[256] = "";
	int n = 0;
	*o = (struct op){.what = line[0]};
	switch (line[0]) {
	case 'L':
		n = sscanf(line, "L %u %u %255[^\n]", &o->object, &o->made, name) == 3;
		break;
	case 'N':
		n = sscanf(line, "N %u %255[^\n]", &o->object, name) == 2;
		break;
	case 'G':
	case 'A':
	case 'K':
	case 'D':
		n = sscanf(line + 1, " %u", &o->object) == 1;
		break;
	case 'R':
		n = sscanf(line, "R %u %" SCNu64 " %u", &o->object, &o->off, &o->len) == 3;
		break;
	default:
		break;
	}
	if (!n || o->object >= g.objects || (o->what == 'L' && o->made != g.objects))
		rpc_die("recording, line %zu: %s", nr, line);
	if (o->what == 'L')
		g.objects++;
	o->name = strdup(name);
	if (!o->name)
		rpc_die("no memory");
	g.ops++;
}

static void load(const char *path)
{
	char line[512];
	size_t room = 0;
	FILE *f = fopen(path, "r");
	if (!f)
		rpc_die("%s: %m", path);
	g.objects = 1;
	for (size_t nr = 1; fgets(line, sizeof(line), f); nr++) {
		if (g.ops == room) {
			room = room * 2 + 1024;
			g.op = realloc(g.op, room * sizeof(*g.op));
			if (!g.op)
				rpc_die("no memory");
		}
		if (!strchr("FS#", *line))
			parse(line, nr);
	}
	if (ferror(f) || g.ops == 0)
		rpc_die("%s: no recording", path);
	(void)fclose(f); /* was read only */
}

/* -------------------------------------------------- playing */

static int next(struct client *c, struct job *j)
{
	struct player *p = c->arg;
	if (p->at == g.ops)
		return 0;
	j->n = p->at++;
	return 1;
}

static uint32_t call(struct job *j, struct enc *e)
{
	const struct player *p = j->c->arg;
	const struct op *o = &g.op[j->n];
	e_fh(e, &p->fh[o->object]);
	switch (o->what) {
	case 'L':
	case 'N':
		e_str(e, o->name);
		return V3_LOOKUP;
	case 'G':
		return V3_GETATTR;
	case 'A':
		e_u32(e, ACCESS_ALL);
		return V3_ACCESS;
	case 'K':
		return V3_READLINK;
	case 'R':
		e_u64(e, o->off);
		e_u32(e, o->len);
		return V3_READ;
	default:
		e_u64(e, j->off); /* cookie */
		e_u64(e, j->verf);
		e_u32(e, 8192);
		e_u32(e, 32768);
		return V3_READDIRPLUS;
	}
}

static void skip_attr(struct dec *d)
{
	if (d_u32(d))
		(void)d_raw(d, 84);
}

static int listed(struct job *j, struct dec *d)
{
	uint32_t len;
	skip_attr(d);
	j->verf = d_u64(d);
	while (d_u32(d)) {
		(void)d_u64(d);
		(void)d_opaque(d, &len);
		j->off = d_u64(d);
		skip_attr(d);
		if (d_u32(d))
			(void)d_opaque(d, &len);
	}
	return !d_u32(d);
}

static int answer(struct job *j, struct dec *d)
{
	struct player *p = j->c->arg;
	const struct op *o = &g.op[j->n];
	uint32_t stat = d_u32(d), want = o->what == 'N' ? NOENT : 0;
	if (stat != want)
		rpc_die("step %" PRIu64 ": %c %u %s: status %u, not %u", j->n + 1, o->what,
			o->object, o->name, stat, want);
	if (o->what == 'L') {
		d_fh(d, &p->fh[o->made]);
	} else if (o->what == 'R') {
		skip_attr(d);
		uint32_t got = d_u32(d);
		if (got != o->len)
			rpc_die("step %" PRIu64 ": %u bytes, not %u", j->n + 1, got, o->len);
	} else if (o->what == 'D') {
		return listed(j, d);
	}
	return 0;
}

static const struct work replay = {NFS_PROG, 3, next, call, answer};

/* -------------------------------------------------- measuring */

static uint64_t ns_of(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) < 0)
		rpc_die("clock: %m");
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void print_memory(void)
{
	char path[64], line[256];
	uint64_t now = 0, most = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)g.pid);
	FILE *f = fopen(path, "r");
	if (!f)
		rpc_die("%s: %m", path);
	while (fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "VmRSS: %" SCNu64, &now);
		(void)sscanf(line, "VmHWM: %" SCNu64, &most);
	}
	(void)fclose(f); /* was read only */
	(void)printf(" %" PRIu64 " %" PRIu64 "\n", now, most);
}

static void run(char **path, size_t n)
{
	struct client *c = calloc(n, sizeof(*c));
	struct player *p = calloc(n, sizeof(*p));
	clockid_t cpu;
	uint64_t calls = 0;
	if (!c || !p)
		rpc_die("no memory");
	if ((errno = clock_getcpuclockid(g.pid, &cpu)) != 0)
		rpc_die("--pid: %m");
	uint64_t own = ns_of(CLOCK_PROCESS_CPUTIME_ID), server = ns_of(cpu);
	uint64_t start = ns_of(CLOCK_MONOTONIC);
	for (size_t k = 0; k < n; k++) {
		rpc_open(&c[k], g.server, g.port, 1);
		rpc_mount(&c[k], g.server, g.mount_port, path[k]);
		p[k].fh = calloc(g.objects, sizeof(*p[k].fh));
		if (!p[k].fh)
			rpc_die("no memory");
		p[k].fh[0] = c[k].root;
		c[k].work = &replay;
		c[k].arg = &p[k];
	}
	rpc_run(c, n);
	uint64_t ns = ns_of(CLOCK_MONOTONIC) - start;
	server = ns_of(cpu) - server;
	own = ns_of(CLOCK_PROCESS_CPUTIME_ID) - own;
	for (size_t k = 0; k < n; k++) {
		calls += c[k].calls;
		rpc_close(&c[k]);
		free(p[k].fh);
	}
	(void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, calls, ns, server, own);
	print_memory();
	free(p);
	free(c);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"server", 1, NULL, 's'},
					      {"port", 1, NULL, 'p'},
					      {"mount-port", 1, NULL, 'm'},
					      {"pid", 1, NULL, 'P'},
					      {0}};
	int o;
	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;
		switch (o) {
		case 's':
			g.server = optarg;
			break;
		case 'p':
			g.port = (unsigned)n;
			break;
		case 'm':
			g.mount_port = (unsigned)n;
			break;
		case 'P':
			g.pid = (pid_t)n;
			break;
		default:
			return 2;
		}
	}
	if (!g.server || !g.port || !g.mount_port || g.pid <= 0 || argc - optind < 2)
		rpc_die("usage: nfsreplay --server A --port N --mount-port N --pid N RECORDING "
			"PATH...");
	load(argv[optind]);
	run(argv + optind + 1, (size_t)(argc - optind - 1));
	return 0;
}
