/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One workload on one NFS server, measured from its first call to its last answer:
 *
 *	nfswork --server ADDRESS --port N --mount-port N --path PATH [--pid SERVER] [--depth N]
 *		[--clients N] [--list FILE] [--times N] WORK [NUMBER]
 *
 * Prints a line: operations, nanoseconds, nanoseconds of CPU the server (--pid) took meanwhile, and
 * nanoseconds of CPU taken here. Works, over the files of the list that `map` prints:
 *
 *	null		NUMBER empty calls: what the server's own machinery costs
 *	map		prints: type, handle, size, line of the parent, name
 *	lookup, lookup4	each name in its directory (4: NFSv4.0, with handle and attributes)
 *	getattr, getattr4	each handle
 *	list		READDIRPLUS of each directory; an operation is an entry
 *	small, small4	READ of each file up to 64 KiB, whole
 *	read, read4	READ of the largest file from its start to its end, 1 MiB each
 *	random		NUMBER times READ of 4 KiB anywhere in it
 *	create		CREATE of NUMBER files in new directories, one for each client
 *	create-one	the same, all clients in one directory
 *	stable, unstable	NUMBER times WRITE of 4 KiB, FILE_SYNC, or UNSTABLE and COMMIT at the end
 *	write		NUMBER MiB by WRITE of 1 MiB, UNSTABLE, and COMMIT
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "nfsrpc.h"

enum { V3_GETATTR = 1, V3_LOOKUP = 3, V3_READ = 6, V3_WRITE, V3_CREATE, V3_MKDIR };
enum { V3_READDIRPLUS = 17, V3_COMMIT = 21 };
enum { V4_GETATTR = 9, V4_GETFH, V4_LOOKUP = 15, V4_PUTFH = 22, V4_READ = 25 };
#define SMALL 65536u
#define MIB 1048576u
#define CLIENTS_MAX 256

struct file {
	char type; /* d, f or another */
	struct fh fh;
	uint64_t size;
	size_t parent;
	char *name;
};

static struct {
	const char *server, *path, *list;
	unsigned port, mount_port, depth, clients;
	pid_t pid;
	uint64_t number, times;
	/* the list */
	struct file *file;
	size_t files;
	/* what the work goes through; shared by all clients */
	size_t *todo;
	size_t todos;
	uint64_t at, ops;
	size_t big;
} g = {.depth = 16, .clients = 1, .times = 1};

/* -------------------------------------------------- the list */

static size_t add_file(char type, const struct fh *fh, uint64_t size, size_t parent,
		       const char *name, size_t name_len)
{
	if ((g.files & (g.files - 1)) == 0) {
		g.file = realloc(g.file, (g.files ? g.files * 2 : 1) * sizeof(*g.file));
		if (!g.file)
			rpc_die("no memory");
	}
	g.file[g.files] = (struct file){type, *fh, size, parent, strndup(name, name_len)};
	if (!g.file[g.files].name)
		rpc_die("no memory");
	return g.files++;
}

static void print_list(void)
{
	for (size_t k = 0; k < g.files; k++) {
		const struct file *f = &g.file[k];
		(void)printf("%c ", f->type);
		for (uint32_t b = 0; b < f->fh.len; b++)
			(void)printf("%02x", f->fh.b[b]);
		(void)printf(" %" PRIu64 " %zu %s\n", f->size, f->parent, f->name);
	}
	if (fflush(stdout) != 0)
		rpc_die("write the list: %m");
}

static void load_list(void)
{
	char type, hex[2 * NFS_FH_MAX + 1], name[256];
	uint64_t size;
	size_t parent;
	FILE *f = fopen(g.list ? g.list : "", "r");
	if (!f)
		rpc_die("--list: %m");
	while (fscanf(f, "%c %128s %" SCNu64 " %zu %255[^\n]\n", &type, hex, &size, &parent,
		      name) == 5) {
		struct fh fh = {.len = (uint32_t)strlen(hex) / 2};
		for (uint32_t b = 0; b < fh.len; b++)
			(void)sscanf(hex + 2 * b, "%2hhx", &fh.b[b]);
		size_t k = add_file(type, &fh, size, parent, name, strlen(name));
		if (g.file[g.big].type != 'f' || (type == 'f' && size > g.file[g.big].size))
			g.big = k;
	}
	if (ferror(f) || !feof(f) || g.files == 0)
		rpc_die("--list: not a list");
	(void)fclose(f); /* was read only */
}

/* -------------------------------------------------- attributes and answers */

static void ok(struct dec *d, const char *what)
{
	uint32_t stat = d_u32(d);
	if (stat != 0)
		rpc_die("%s: status %u", what, stat);
}

struct attr {
	uint32_t type;
	uint64_t size, id;
};

static void d_attr(struct dec *d, struct attr *a)
{
	a->type = d_u32(d);
	(void)d_raw(d, 16); /* mode, links, owner */
	a->size = d_u64(d);
	(void)d_raw(d, 24); /* used, device, file system */
	a->id = d_u64(d);
	(void)d_raw(d, 24); /* times */
}

static void d_post_attr(struct dec *d, struct attr *a)
{
	*a = (struct attr){0};
	if (d_u32(d))
		d_attr(d, a);
}

static void d_wcc(struct dec *d)
{
	struct attr a;
	if (d_u32(d))
		(void)d_raw(d, 24);
	d_post_attr(d, &a);
}

static int next_todo(struct client *c, struct job *j)
{
	(void)c;
	if (g.at == g.todos * g.times)
		return 0;
	j->n = g.todo[g.at++ % g.todos];
	return 1;
}

static void pick(int (*want)(const struct file *))
{
	g.todo = calloc(g.files, sizeof(*g.todo));
	if (!g.todo)
		rpc_die("no memory");
	for (size_t k = 0; k < g.files; k++)
		if (want(&g.file[k]))
			g.todo[g.todos++] = k;
}

static int all_but_root(const struct file *f)
{
	return f != g.file;
}
static int all(const struct file *f)
{
	(void)f;
	return 1;
}
static int dirs(const struct file *f)
{
	return f->type == 'd';
}
static int small_files(const struct file *f)
{
	return f->type == 'f' && f->size <= SMALL;
}

static int next_number(struct client *c, struct job *j)
{
	(void)c;
	if (g.at == g.number * g.times)
		return 0;
	j->n = g.at++ % g.number;
	return 1;
}

static uint32_t null_call(struct job *j, struct enc *e)
{
	(void)j;
	(void)e;
	return 0;
}

static int null_answer(struct job *j, struct dec *d)
{
	(void)j;
	(void)d;
	g.ops++;
	return 0;
}

/* -------------------------------------------------- metadata */

static uint32_t lookup_call(struct job *j, struct enc *e)
{
	e_fh(e, &g.file[g.file[j->n].parent].fh);
	e_str(e, g.file[j->n].name);
	return V3_LOOKUP;
}

static int lookup_answer(struct job *j, struct dec *d)
{
	struct fh fh;
	ok(d, "LOOKUP");
	d_fh(d, &fh);
	if (fh.len != g.file[j->n].fh.len || memcmp(fh.b, g.file[j->n].fh.b, fh.len) != 0)
		rpc_die("LOOKUP %s: another handle than before", g.file[j->n].name);
	g.ops++;
	return 0;
}

static uint32_t getattr_call(struct job *j, struct enc *e)
{
	e_fh(e, &g.file[j->n].fh);
	return V3_GETATTR;
}

static int getattr_answer(struct job *j, struct dec *d)
{
	struct attr a;
	ok(d, "GETATTR");
	d_attr(d, &a);
	if (g.file[j->n].type == 'f' && a.size != g.file[j->n].size)
		rpc_die("GETATTR %s: another size than before", g.file[j->n].name);
	g.ops++;
	return 0;
}

static uint32_t list_call(struct job *j, struct enc *e)
{
	e_fh(e, &g.file[j->n].fh);
	e_u64(e, j->off); /* cookie */
	e_u64(e, j->verf);
	e_u32(e, 8192);
	e_u32(e, 32768);
	return V3_READDIRPLUS;
}

static int is_dot(const uint8_t *name, uint32_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* @keep: this is `map`, which remembers them. */
static int entries(struct job *j, struct dec *d, int keep)
{
	struct attr a;
	uint32_t len;
	ok(d, "READDIRPLUS");
	d_post_attr(d, &a);
	j->verf = d_u64(d);
	while (d_u32(d)) {
		struct fh fh = {0};
		(void)d_u64(d); /* number */
		const uint8_t *name = d_opaque(d, &len);
		j->off = d_u64(d);
		d_post_attr(d, &a);
		if (d_u32(d))
			d_fh(d, &fh);
		g.ops++;
		if (!keep || is_dot(name, len))
			continue;
		if (!fh.len || !a.type)
			rpc_die("READDIRPLUS: an entry without handle or attributes");
		(void)add_file(a.type == 2   ? 'd'
			       : a.type == 1 ? 'f'
					     : 'o',
			       &fh, a.size, j->n, (const char *)name, len);
	}
	return !d_u32(d);
}

static int list_answer(struct job *j, struct dec *d)
{
	return entries(j, d, 0);
}

static int map_next(struct client *c, struct job *j)
{
	(void)c;
	while (g.at < g.files && g.file[g.at].type != 'd')
		g.at++;
	j->n = g.at++;
	return j->n < g.files;
}

static int map_answer(struct job *j, struct dec *d)
{
	return entries(j, d, 1);
}

/* -------------------------------------------------- NFSv4.0, no state */

/* The list has handles of NFSv3. Ganesha's of NFSv4 are the same without the padding: five bytes, the
 * last of which is the length of what follows. */
static void e_compound(struct enc *e, uint32_t ops, const struct fh *fh)
{
	e_str(e, "");
	e_u32(e, 0); /* minor version */
	e_u32(e, ops);
	e_u32(e, V4_PUTFH);
	e_opaque(e, fh->b, 5u + fh->b[4]);
}

/* type, change, size, fsid, fileid, mode, numlinks, owner, group, used, times: what clients ask. */
static void e_getattr4(struct enc *e)
{
	e_u32(e, V4_GETATTR);
	e_u32(e, 2);
	e_u32(e, 0x0010011a);
	e_u32(e, 0x00b0a23a);
}

static void compound_ok(struct dec *d, const char *what)
{
	uint32_t len;
	ok(d, what);
	(void)d_opaque(d, &len);
	(void)d_u32(d);
}

static uint32_t lookup4_call(struct job *j, struct enc *e)
{
	e_compound(e, 4, &g.file[g.file[j->n].parent].fh);
	e_u32(e, V4_LOOKUP);
	e_str(e, g.file[j->n].name);
	e_u32(e, V4_GETFH);
	e_getattr4(e);
	return 1;
}

static uint32_t getattr4_call(struct job *j, struct enc *e)
{
	e_compound(e, 2, &g.file[j->n].fh);
	e_getattr4(e);
	return 1;
}

static int meta4_answer(struct job *j, struct dec *d)
{
	(void)j;
	compound_ok(d, "COMPOUND");
	g.ops++;
	return 0;
}

static uint32_t e_read4(struct enc *e, const struct fh *fh, uint64_t off, uint32_t len)
{
	e_compound(e, 2, fh);
	e_u32(e, V4_READ);
	e_raw(e, NULL, 16); /* the anonymous state */
	e_u64(e, off);
	e_u32(e, len);
	return 1;
}

static uint32_t d_read4(struct dec *d)
{
	uint32_t len;
	compound_ok(d, "READ");
	(void)d_raw(d, 16); /* PUTFH and READ: operation, status */
	(void)d_u32(d);	    /* end of file */
	(void)d_opaque(d, &len);
	return len;
}

/* -------------------------------------------------- reading */

static uint32_t e_read(struct enc *e, const struct fh *fh, uint64_t off, uint32_t len)
{
	e_fh(e, fh);
	e_u64(e, off);
	e_u32(e, len);
	return V3_READ;
}

static uint32_t d_read(struct dec *d)
{
	struct attr a;
	ok(d, "READ");
	d_post_attr(d, &a);
	return d_u32(d);
}

static void got(const struct file *f, uint64_t want, uint64_t len)
{
	if (len != want)
		rpc_die("READ %s: %" PRIu64 " bytes, not %" PRIu64, f->name, len, want);
	g.ops++;
}

static uint32_t small_call(struct job *j, struct enc *e)
{
	return e_read(e, &g.file[j->n].fh, 0, SMALL);
}

static int small_answer(struct job *j, struct dec *d)
{
	got(&g.file[j->n], g.file[j->n].size, d_read(d));
	return 0;
}

static uint32_t small4_call(struct job *j, struct enc *e)
{
	return e_read4(e, &g.file[j->n].fh, 0, SMALL);
}

static int small4_answer(struct job *j, struct dec *d)
{
	got(&g.file[j->n], g.file[j->n].size, d_read4(d));
	return 0;
}

static uint32_t read_call(struct job *j, struct enc *e)
{
	return e_read(e, &g.file[g.big].fh, j->n * MIB, MIB);
}

static int read_answer(struct job *j, struct dec *d)
{
	(void)j;
	got(&g.file[g.big], MIB, d_read(d));
	return 0;
}

static uint32_t read4_call(struct job *j, struct enc *e)
{
	return e_read4(e, &g.file[g.big].fh, j->n * MIB, MIB);
}

static int read4_answer(struct job *j, struct dec *d)
{
	(void)j;
	got(&g.file[g.big], MIB, d_read4(d));
	return 0;
}

static uint64_t anywhere(uint64_t n, uint64_t pages)
{
	return (n * 0x9e3779b97f4a7c15u >> 20) % pages;
}

static uint32_t random_call(struct job *j, struct enc *e)
{
	const struct file *f = &g.file[g.big];
	return e_read(e, &f->fh, 4096 * anywhere(j->n, f->size / 4096), 4096);
}

static int random_answer(struct job *j, struct dec *d)
{
	(void)j;
	got(&g.file[g.big], 4096, d_read(d));
	return 0;
}

/* -------------------------------------------------- writing */

static uint8_t pattern[MIB];

/* What a client makes before the clock runs: its directory or its file, in c->root. */
struct make {
	char name[64];
	int is_dir;
};

static int make_next(struct client *c, struct job *j)
{
	(void)j;
	return c->calls == 0;
}

static uint32_t e_create(struct enc *e, const struct fh *dir, const char *name, int is_dir)
{
	e_fh(e, dir);
	e_str(e, name);
	if (!is_dir)
		e_u32(e, 0); /* UNCHECKED */
	e_u32(e, 1);
	e_u32(e, is_dir ? 0755 : 0644);
	for (int k = 0; k < 5; k++)
		e_u32(e, 0); /* owner, group, size, times: as they come */
	return is_dir ? V3_MKDIR : V3_CREATE;
}

static void d_create(struct dec *d, struct fh *fh)
{
	ok(d, "CREATE or MKDIR");
	if (!d_u32(d))
		rpc_die("CREATE or MKDIR: no handle");
	d_fh(d, fh);
}

static uint32_t make_call(struct job *j, struct enc *e)
{
	const struct make *m = j->c->arg;
	return e_create(e, &j->c->root, m->name, m->is_dir);
}

static int make_answer(struct job *j, struct dec *d)
{
	d_create(d, &j->c->root);
	return 0;
}

static const struct work make_work = {NFS_PROG, 3, make_next, make_call, make_answer};

static uint32_t create_call(struct job *j, struct enc *e)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "file-%" PRIu64, j->n);
	return e_create(e, &j->c->root, name, 0);
}

static int create_answer(struct job *j, struct dec *d)
{
	struct fh fh;
	(void)j;
	d_create(d, &fh);
	g.ops++;
	return 0;
}

static uint32_t e_write(struct enc *e, const struct fh *fh, uint64_t off, uint32_t len, int stable)
{
	e_fh(e, fh);
	e_u64(e, off);
	e_u32(e, len);
	e_u32(e, stable ? 2 : 0);
	e_opaque(e, pattern, len);
	return V3_WRITE;
}

static void d_write(struct dec *d, uint32_t len, int stable)
{
	ok(d, "WRITE");
	d_wcc(d);
	if (d_u32(d) != len)
		rpc_die("WRITE: a short one");
	if (stable && d_u32(d) != 2)
		rpc_die("WRITE: asked for FILE_SYNC, got less");
	g.ops++;
}

static uint32_t stable_call(struct job *j, struct enc *e)
{
	return e_write(e, &j->c->root, j->n * 4096, 4096, 1);
}
static int stable_answer(struct job *j, struct dec *d)
{
	(void)j;
	d_write(d, 4096, 1);
	return 0;
}

static uint32_t unstable_call(struct job *j, struct enc *e)
{
	return e_write(e, &j->c->root, j->n * 4096, 4096, 0);
}
static int unstable_answer(struct job *j, struct dec *d)
{
	(void)j;
	d_write(d, 4096, 0);
	return 0;
}

static uint32_t write_call(struct job *j, struct enc *e)
{
	return e_write(e, &j->c->root, j->n * MIB, MIB, 0);
}
static int write_answer(struct job *j, struct dec *d)
{
	(void)j;
	d_write(d, MIB, 0);
	return 0;
}

static int commit_next(struct client *c, struct job *j)
{
	(void)j;
	uint64_t was = (uint64_t)(uintptr_t)c->arg;
	return c->calls == was;
}

static uint32_t commit_call(struct job *j, struct enc *e)
{
	e_fh(e, &j->c->root);
	e_u64(e, 0);
	e_u32(e, 0);
	return V3_COMMIT;
}

static int commit_answer(struct job *j, struct dec *d)
{
	(void)j;
	ok(d, "COMMIT");
	return 0;
}

static const struct work commit_work = {NFS_PROG, 3, commit_next, commit_call, commit_answer};

static void commit_all(struct client *c)
{
	for (unsigned k = 0; k < g.clients; k++) {
		c[k].work = &commit_work;
		c[k].arg = (void *)(uintptr_t)c[k].calls; /* from this one on */
	}
	rpc_run(c, g.clients);
}

/* -------------------------------------------------- all of them */

enum needs { NOTHING, NUMBER, LIST, OWN_DIR, ONE_DIR, OWN_FILE };

static const struct {
	const char *name;
	enum needs needs;
	int commits;
	int (*want)(const struct file *);
	struct work w;
} works[] = {
    {"null", NUMBER, 0, NULL, {NFS_PROG, 3, next_number, null_call, null_answer}},
    {"map", NOTHING, 0, NULL, {NFS_PROG, 3, map_next, list_call, map_answer}},
    {"lookup", LIST, 0, all_but_root, {NFS_PROG, 3, next_todo, lookup_call, lookup_answer}},
    {"lookup4", LIST, 0, all_but_root, {NFS_PROG, 4, next_todo, lookup4_call, meta4_answer}},
    {"getattr", LIST, 0, all, {NFS_PROG, 3, next_todo, getattr_call, getattr_answer}},
    {"getattr4", LIST, 0, all, {NFS_PROG, 4, next_todo, getattr4_call, meta4_answer}},
    {"list", LIST, 0, dirs, {NFS_PROG, 3, next_todo, list_call, list_answer}},
    {"small", LIST, 0, small_files, {NFS_PROG, 3, next_todo, small_call, small_answer}},
    {"small4", LIST, 0, small_files, {NFS_PROG, 4, next_todo, small4_call, small4_answer}},
    {"read", LIST, 0, NULL, {NFS_PROG, 3, next_number, read_call, read_answer}},
    {"read4", LIST, 0, NULL, {NFS_PROG, 4, next_number, read4_call, read4_answer}},
    {"random", LIST, 0, NULL, {NFS_PROG, 3, next_number, random_call, random_answer}},
    {"create", OWN_DIR, 0, NULL, {NFS_PROG, 3, next_number, create_call, create_answer}},
    {"create-one", ONE_DIR, 0, NULL, {NFS_PROG, 3, next_number, create_call, create_answer}},
    {"stable", OWN_FILE, 0, NULL, {NFS_PROG, 3, next_number, stable_call, stable_answer}},
    {"unstable", OWN_FILE, 1, NULL, {NFS_PROG, 3, next_number, unstable_call, unstable_answer}},
    {"write", OWN_FILE, 1, NULL, {NFS_PROG, 3, next_number, write_call, write_answer}},
};
#define WORKS (sizeof(works) / sizeof(works[0]))

static uint64_t ns_of(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) < 0)
		rpc_die("clock: %m");
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void prepare(struct client *c, enum needs needs, const char *work)
{
	struct make m[CLIENTS_MAX];
	unsigned makers = needs == ONE_DIR ? 1 : g.clients;
	if (needs < OWN_DIR)
		return;
	for (unsigned k = 0; k < makers; k++) {
		(void)snprintf(m[k].name, sizeof(m[k].name), "%s-%d-%u", work, (int)getpid(), k);
		m[k].is_dir = needs != OWN_FILE;
		c[k].work = &make_work;
		c[k].arg = &m[k];
	}
	rpc_run(c, makers);
	for (unsigned k = makers; k < g.clients; k++)
		c[k].root = c[0].root;
}

static void run(size_t w, const char *name)
{
	static struct client c[CLIENTS_MAX];
	clockid_t cpu = CLOCK_PROCESS_CPUTIME_ID;
	for (unsigned k = 0; k < g.clients; k++) {
		rpc_open(&c[k], g.server, g.port, g.depth);
		if (k == 0)
			rpc_mount(&c[k], g.server, g.mount_port, g.path);
		else
			c[k].root = c[0].root;
	}
	prepare(c, works[w].needs, name);
	if (works[w].needs == NOTHING)
		(void)add_file('d', &c[0].root, 0, 0, "/", 1);
	if (g.pid && (errno = clock_getcpuclockid(g.pid, &cpu)) != 0)
		rpc_die("--pid: %m");
	for (unsigned k = 0; k < g.clients; k++)
		c[k].work = &works[w].w;
	uint64_t own = ns_of(CLOCK_PROCESS_CPUTIME_ID), server = ns_of(cpu);
	uint64_t start = ns_of(CLOCK_MONOTONIC);
	rpc_run(c, g.clients);
	if (works[w].commits)
		commit_all(c);
	uint64_t ns = ns_of(CLOCK_MONOTONIC) - start;
	server = ns_of(cpu) - server;
	own = ns_of(CLOCK_PROCESS_CPUTIME_ID) - own;
	if (works[w].needs == NOTHING)
		print_list();
	else
		(void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", g.ops, ns, server,
			     own);
	for (unsigned k = 0; k < g.clients; k++)
		rpc_close(&c[k]);
}

static uint64_t number(const char *text)
{
	char *end;
	errno = 0;
	uint64_t n = strtoull(text, &end, 10);
	if (errno || end == text || *end)
		rpc_die("not a number: %s", text);
	return n;
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {{"server", 1, NULL, 's'},	    {"port", 1, NULL, 'p'},
					      {"mount-port", 1, NULL, 'm'}, {"path", 1, NULL, 'a'},
					      {"pid", 1, NULL, 'P'},	    {"depth", 1, NULL, 'd'},
					      {"clients", 1, NULL, 'c'},    {"list", 1, NULL, 'l'},
					      {"times", 1, NULL, 't'},	    {0}};
	int o;
	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (o) {
		case 's':
			g.server = optarg;
			break;
		case 'a':
			g.path = optarg;
			break;
		case 'l':
			g.list = optarg;
			break;
		case 'p':
			g.port = (unsigned)number(optarg);
			break;
		case 'm':
			g.mount_port = (unsigned)number(optarg);
			break;
		case 'd':
			g.depth = (unsigned)number(optarg);
			break;
		case 'c':
			g.clients = (unsigned)number(optarg);
			break;
		case 't':
			g.times = number(optarg);
			break;
		case 'P':
			g.pid = (pid_t)number(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (!g.server || !g.path || !g.port || !g.mount_port || optind >= argc || g.depth < 1 ||
	    g.depth > 2048 || g.clients < 1 || g.clients > CLIENTS_MAX)
		rpc_die("usage: nfswork --server A --port N --mount-port N --path P WORK [NUMBER]");
	if (!strcmp(argv[optind], "map"))
		g.depth = 1; /* its jobs come from the answers */
}

int main(int argc, char **argv)
{
	options(argc, argv);
	const char *name = argv[optind];
	size_t w = 0;
	while (w < WORKS && strcmp(works[w].name, name) != 0)
		w++;
	if (w == WORKS)
		rpc_die("no such work: %s", name);
	if (works[w].needs == LIST)
		load_list();
	if (works[w].want)
		pick(works[w].want);
	if (optind + 1 < argc)
		g.number = number(argv[optind + 1]);
	else if (works[w].w.next == next_number)
		g.number = g.file ? g.file[g.big].size / MIB : 0;
	memset(pattern, 0x5a, sizeof(pattern));
	run(w, name);
	return 0;
}
