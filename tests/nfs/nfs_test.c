/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nfs_test.h"

#include <nfsc/libnfs-raw.h> /* not before libnfs.h: it uses its macros */

#define TIMEOUT_S 60 /* of the whole program */
/* libnfs 4.0 cannot encode 4 KiB of data into one compound. */
#define CHUNK ((size_t)(nfs_where.version == 4 ? 2 : 256) * 1024)

struct nfs_where nfs_where = {.version = 3};
static const char *running = "set-up";

void nfs_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)printf("not ok - v%u %s\n", nfs_where.version, running);
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s:%d: v%u %s: ", file, line, nfs_where.version, running);
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

struct nfs_context *nfs_client_of(unsigned version, uint32_t uid, uint32_t gid,
				  const uint32_t *groups, uint32_t n_groups)
{
	static unsigned number;
	char url[512], name[64];
	uint32_t copy[16] = {0};
	struct nfs_context *nfs = nfs_init_context();
	TRUE_(nfs && n_groups <= COUNT(copy));
	if (n_groups)
		memcpy(copy, groups, n_groups * sizeof(*groups));
	(void)snprintf(url, sizeof(url), "nfs://%s%s?nfsport=%u&mountport=%u&version=%u",
		       nfs_where.server, nfs_where.path, nfs_where.port, nfs_where.mount_port,
		       version);
	struct nfs_url *u = nfs_parse_url_dir(nfs, url);
	if (!u)
		nfs_fail(__FILE__, __LINE__, "%s: %s", url, nfs_get_error(nfs));
	/* Version 4: two clients of one name would take each other's state. */
	(void)snprintf(name, sizeof(name), "cowherd-test-%d-%u", (int)getpid(), number++);
	nfs4_set_client_name(nfs, name);
	nfs_set_auth(nfs, libnfs_authunix_create("test", uid, gid, n_groups, copy));
	OK(nfs, nfs_mount(nfs, u->server, u->path));
	nfs_destroy_url(u);
	return nfs;
}

struct nfs_context *nfs_client(uint32_t uid, uint32_t gid, const uint32_t *groups,
			       uint32_t n_groups)
{
	return nfs_client_of(nfs_where.version, uid, gid, groups, n_groups);
}

static int usage(const char *me)
{
	(void)fprintf(
	    stderr,
	    "usage: %s --server ADDR --port N --mount-port N --path PATH --version 3|4 [--only "
	    "CASE]\n",
	    me);
	return 2;
}

static int parse(int argc, char **argv, const char **ret_only)
{
	static const struct option opts[] = {
	    {"server", 1, NULL, 's'}, {"port", 1, NULL, 'p'},	 {"mount-port", 1, NULL, 'm'},
	    {"path", 1, NULL, 'e'},   {"version", 1, NULL, 'v'}, {"only", 1, NULL, 'o'},
	    {NULL, 0, NULL, 0}};
	int c;
	while ((c = getopt_long(argc, argv, "", opts, NULL)) >= 0) {
		switch (c) {
		case 's':
			nfs_where.server = optarg;
			break;
		case 'p':
			nfs_where.port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			nfs_where.mount_port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'e':
			nfs_where.path = optarg;
			break;
		case 'v':
			nfs_where.version = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			*ret_only = optarg;
			break;
		default:
			return -1;
		}
	}
	return nfs_where.server && nfs_where.path && nfs_where.port && optind == argc ? 0 : -1;
}

int nfs_test_main(int argc, char **argv, const struct nfs_case *cases, size_t n)
{
	const char *only = NULL;
	size_t ran = 0;
	if (parse(argc, argv, &only) < 0)
		return usage(argv[0]);
	alarm(TIMEOUT_S);
	for (size_t i = 0; i < n; i++) {
		if (cases[i].version && cases[i].version != nfs_where.version)
			continue;
		if (only && strcmp(only, cases[i].name) != 0)
			continue;
		running = cases[i].name;
		cases[i].run();
		(void)printf("ok - v%u %s\n", nfs_where.version, running);
		(void)fflush(stdout);
		ran++;
	}
	return ran ? 0 : 1;
}

void nfs_put(struct nfs_context *nfs, const char *path, int mode, const void *data, size_t len)
{
	struct nfsfh *f;
	/* Over v4 this client asks for a guarded create whenever O_CREAT is there. */
	int r = nfs_open(nfs, path, O_WRONLY, &f);
	if (r == -ENOENT)
		r = nfs_open2(nfs, path, O_CREAT | O_WRONLY, mode, &f);
	OK(nfs, r);
	for (size_t at = 0; at < len;) {
		size_t part = len - at < CHUNK ? len - at : CHUNK;
		r = nfs_pwrite(nfs, f, at, part, (const char *)data + at);
		if (r <= 0)
			nfs_fail(__FILE__, __LINE__, "write '%s': %s", path, nfs_get_error(nfs));
		at += (size_t)r;
	}
	OK(nfs, nfs_fsync(nfs, f));
	OK(nfs, nfs_close(nfs, f));
}

char *nfs_take(struct nfs_context *nfs, const char *path, size_t *ret_len)
{
	struct nfsfh *f;
	struct nfs_stat_64 st;
	OK(nfs, nfs_open(nfs, path, O_RDONLY, &f));
	OK(nfs, nfs_fstat64(nfs, f, &st));
	char *buf = calloc(1, st.nfs_size + 1);
	TRUE_(buf);
	size_t at = 0;
	while (at < st.nfs_size) {
		size_t part = st.nfs_size - at < CHUNK ? st.nfs_size - at : CHUNK;
		int r = nfs_pread(nfs, f, at, part, buf + at);
		if (r <= 0)
			nfs_fail(__FILE__, __LINE__, "read '%s' at %zu of %llu: %d %s", path, at,
				 (unsigned long long)st.nfs_size, r, nfs_get_error(nfs));
		at += (size_t)r;
	}
	EQUAL(nfs_pread(nfs, f, at, 16, buf), 0); /* end of file is said */
	OK(nfs, nfs_close(nfs, f));
	*ret_len = at;
	return buf;
}

struct nfs_stat_64 nfs_look(struct nfs_context *nfs, const char *path)
{
	struct nfs_stat_64 st;
	OK(nfs, nfs_lstat64(nfs, path, &st));
	return st;
}

size_t nfs_count(struct nfs_context *nfs, const char *path)
{
	struct nfsdir *d;
	const struct nfsdirent *e;
	size_t n = 0;
	OK(nfs, nfs_opendir(nfs, path, &d));
	while ((e = nfs_readdir(nfs, d)))
		n += strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0;
	nfs_closedir(nfs, d);
	return n;
}

static void wipe_entries(struct nfs_context *nfs, const char *path)
{
	struct nfsdir *d;
	const struct nfsdirent *e;
	char sub[1024];
	OK(nfs, nfs_opendir(nfs, path, &d));
	while ((e = nfs_readdir(nfs, d))) {
		if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
			continue;
		TRUE_((size_t)snprintf(sub, sizeof(sub), "%s/%s", path, e->name) < sizeof(sub));
		nfs_wipe(nfs, sub);
	}
	nfs_closedir(nfs, d);
}

void nfs_wipe(struct nfs_context *nfs, const char *path)
{
	struct nfs_stat_64 st;
	int r = nfs_lstat64(nfs, path, &st);
	if (r == -ENOENT)
		return;
	OK(nfs, r);
	if (!S_ISDIR(st.nfs_mode)) {
		OK(nfs, nfs_unlink(nfs, path));
		return;
	}
	wipe_entries(nfs, path);
	OK(nfs, nfs_rmdir(nfs, path));
}
