/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * treecmp - compare two directory trees in everything a root file system is made of: names, types,
 * modes, owners, times to the nanosecond, hard links, link targets, device numbers, extended
 * attributes with ACLs, holes, content.
 *
 *	treecmp [--ignore PATH]... [--now SECONDS] A B	print differences; exit 0 equal, 1 different, 2 trouble
 *	treecmp --sum [--ignore PATH]... DIR	print one checksum of the tree
 *
 * --ignore PATH: this path with everything below it, and the times of the directory it is in.
 * --now SECONDS: two times from then on are equal: both trees were worked on since.
 * Access times are not compared: looking changes them. Directory sizes belong to the file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/siphash.h"

#define IGNORE_MAX 64
#define XATTR_ROOM 65536
#define HOLE_SLACK 65536 /* file systems round holes to their blocks */

static const char *ignored[IGNORE_MAX];
static size_t nignored;
static unsigned long differences;
static long long now_from = LLONG_MAX;

/* ---------------------------------------------------------------- trouble and differences */

static void __attribute__((noreturn, format(printf, 1, 2))) trouble(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;
	va_start(ap, fmt);
	(void)fputs("treecmp: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, ": %s\n", strerrordesc_np(saved));
	va_end(ap);
	exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void __attribute__((format(printf, 2, 3))) differ(const char *path, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)printf("/%s: ", path);
	(void)vprintf(fmt, ap);
	(void)putchar('\n');
	va_end(ap);
	differences++;
}

static void *must(void *p)
{
	if (!p)
		trouble("memory");
	return p;
}

static int is_ignored(const char *path)
{
	for (size_t i = 0; i < nignored; i++) {
		size_t n = strlen(ignored[i]);
		if (strncmp(path, ignored[i], n) == 0 && (!path[n] || path[n] == '/'))
			return 1;
	}
	return 0;
}

/* Is something right in this directory ignored? Then its times differ for a reason. */
static int holds_ignored(const char *path)
{
	size_t n = strlen(path);
	for (size_t i = 0; i < nignored; i++) {
		const char *rest = ignored[i];
		if (n) {
			if (strncmp(rest, path, n) != 0 || rest[n] != '/')
				continue;
			rest += n + 1;
		}
		if (!strchr(rest, '/'))
			return 1;
	}
	return 0;
}

/* ---------------------------------------------------------------- looking at one object */

struct side {
	int fd; /* O_PATH of the root, then of directories on the way */
	void *links;
	unsigned long nlinks;
	int number_all; /* also what has one name, or others outside of the tree */
};

struct object {
	struct stat st;
	char target[PATH_MAX];
	char *xattrs; /* "name=" hex "\n" ..., sorted by name; owned */
};

static void proc_path(char *buf, size_t len, int dir, const char *name)
{
	(void)snprintf(buf, len, "/proc/self/fd/%d/%s", dir, name);
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *read_xattrs(const char *path)
{
	char *names = must(malloc(XATTR_ROOM)), *value = must(malloc(XATTR_ROOM)), *out = NULL;
	char *list[1024];
	size_t n = 0, out_len;
	ssize_t len = llistxattr(path, names, XATTR_ROOM);
	FILE *f = must(open_memstream(&out, &out_len));
	if (len < 0 && errno != EOPNOTSUPP)
		trouble("xattrs of %s", path);
	for (char *p = names; len > 0 && p < names + len && n < 1024; p += strlen(p) + 1)
		if (strncmp(p, "trusted.SGI_ACL_", 16) != 0) /* of XFS: access lists again */
			list[n++] = p;
	if (n)
		qsort(list, n, sizeof(*list), name_cmp);
	for (size_t i = 0; i < n; i++) {
		ssize_t v = lgetxattr(path, list[i], value, XATTR_ROOM);
		if (v < 0)
			trouble("xattr %s of %s", list[i], path);
		(void)fprintf(f, "%s=", list[i]);
		for (ssize_t k = 0; k < v; k++)
			(void)fprintf(f, "%02x", (unsigned char)value[k]);
		(void)fputc('\n', f);
	}
	if (fclose(f) != 0)
		trouble("memory");
	free(names);
	free(value);
	return out;
}

static struct object look(int dir, const char *name)
{
	struct object o = {0};
	char path[PATH_MAX];
	proc_path(path, sizeof(path), dir, name);
	if (fstatat(dir, *name ? name : ".", &o.st, AT_SYMLINK_NOFOLLOW) < 0)
		trouble("look at %s", name);
	if (S_ISLNK(o.st.st_mode)) {
		ssize_t n = readlinkat(dir, name, o.target, sizeof(o.target) - 1);
		if (n < 0)
			trouble("read link %s", name);
	}
	o.xattrs = read_xattrs(*name ? path : (proc_path(path, sizeof(path), dir, "."), path));
	return o;
}

/* ---------------------------------------------------------------- hard links */

struct first {
	dev_t dev;
	ino_t ino;
	unsigned long number; /* order in which files with several names are met */
};

static int first_cmp(const void *a, const void *b)
{
	const struct first *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* Both trees are walked in one order, so the same links give the same numbers. 0: one name only. */
static unsigned long link_number(struct side *s, const struct stat *st)
{
	if (S_ISDIR(st->st_mode) || (st->st_nlink < 2 && !s->number_all))
		return 0;
	struct first *f = must(malloc(sizeof(*f)));
	*f = (struct first){st->st_dev, st->st_ino, s->nlinks + 1};
	struct first **found = must(tsearch(f, &s->links, first_cmp));
	if (*found == f)
		s->nlinks++;
	else
		free(f);
	return (*found)->number;
}

/* ---------------------------------------------------------------- content */

static off_t hole_bytes(int fd, off_t size)
{
	off_t holes = 0, off = 0;
	while (off < size) {
		off_t data = lseek(fd, off, SEEK_DATA);
		if (data < 0)
			return holes + size - off;
		holes += data - off;
		off = lseek(fd, data, SEEK_HOLE);
		if (off < 0)
			trouble("seek");
	}
	return holes;
}

static int open_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		trouble("open %s", name);
	return fd;
}

static void compare_content(const char *path, int da, int db, const char *name, off_t size)
{
	static char a[1 << 18], b[1 << 18];
	cow_autoclose int fa = open_file(da, name);
	cow_autoclose int fb = open_file(db, name);
	off_t ha = hole_bytes(fa, size), hb = hole_bytes(fb, size);
	if (ha > hb + HOLE_SLACK || hb > ha + HOLE_SLACK)
		differ(path, "holes %lld and %lld bytes", (long long)ha, (long long)hb);
	for (off_t off = 0;; off += (off_t)sizeof(a)) {
		ssize_t na = pread(fa, a, sizeof(a), off), nb = pread(fb, b, sizeof(b), off);
		if (na < 0 || nb < 0)
			trouble("read %s", path);
		if (na != nb || memcmp(a, b, (size_t)na) != 0) {
			differ(path, "content differs");
			return;
		}
		if (na < (ssize_t)sizeof(a))
			return;
	}
}

/* ---------------------------------------------------------------- names of a directory */

struct names {
	char **v;
	size_t n;
};

static struct names read_names(int dir)
{
	struct names l = {0};
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		trouble("list a directory");
	struct dirent *e;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((errno = 0, e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		l.v = must(reallocarray(l.v, l.n + 1, sizeof(*l.v)));
		l.v[l.n++] = must(strdup(e->d_name));
	}
	if (errno)
		trouble("list a directory");
	(void)closedir(d);
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), name_cmp);
	return l;
}

static void free_names(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}

static char *join(const char *dir, const char *name)
{
	char *path;
	if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
		trouble("memory");
	return path;
}

static int enter(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		trouble("open directory %s", name);
	return fd;
}

/* ---------------------------------------------------------------- two trees */

static void compare_dirs(struct side *a, struct side *b, const char *path);

static void compare_attributes(struct side *a, struct side *b, const char *path,
			       const struct object *x, const struct object *y)
{
	const struct stat *s = &x->st, *t = &y->st;
	if (s->st_mode != t->st_mode)
		differ(path, "mode %06o and %06o", s->st_mode, t->st_mode);
	if (s->st_uid != t->st_uid || s->st_gid != t->st_gid)
		differ(path, "owner %u:%u and %u:%u", s->st_uid, s->st_gid, t->st_uid, t->st_gid);
	if ((s->st_mtim.tv_sec != t->st_mtim.tv_sec || s->st_mtim.tv_nsec != t->st_mtim.tv_nsec) &&
	    !(s->st_mtim.tv_sec >= now_from && t->st_mtim.tv_sec >= now_from) &&
	    !(S_ISDIR(s->st_mode) && holds_ignored(path)))
		differ(path, "mtime %lld.%09ld and %lld.%09ld", (long long)s->st_mtim.tv_sec,
		       s->st_mtim.tv_nsec, (long long)t->st_mtim.tv_sec, t->st_mtim.tv_nsec);
	if ((S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode)) && s->st_rdev != t->st_rdev)
		differ(path, "device %u:%u and %u:%u", major(s->st_rdev), minor(s->st_rdev),
		       major(t->st_rdev), minor(t->st_rdev));
	if (!S_ISDIR(s->st_mode) && s->st_nlink != t->st_nlink)
		differ(path, "%lu and %lu links", (unsigned long)s->st_nlink,
		       (unsigned long)t->st_nlink);
	if (link_number(a, s) != link_number(b, t))
		differ(path, "linked to other files");
	if (strcmp(x->target, y->target) != 0)
		differ(path, "target '%s' and '%s'", x->target, y->target);
	if (strcmp(x->xattrs, y->xattrs) != 0)
		differ(path, "extended attributes:\n%sand:\n%s", x->xattrs, y->xattrs);
}

static void compare_one(struct side *a, struct side *b, const char *path, const char *name)
{
	struct object x = look(a->fd, name), y = look(b->fd, name);
	compare_attributes(a, b, path, &x, &y);
	if (S_ISREG(x.st.st_mode) && S_ISREG(y.st.st_mode)) {
		if (x.st.st_size != y.st.st_size)
			differ(path, "size %lld and %lld", (long long)x.st.st_size,
			       (long long)y.st.st_size);
		else
			compare_content(path, a->fd, b->fd, name, x.st.st_size);
	} else if (S_ISDIR(x.st.st_mode) && S_ISDIR(y.st.st_mode)) {
		int da = a->fd, db = b->fd;
		a->fd = enter(da, name);
		b->fd = enter(db, name);
		compare_dirs(a, b, path);
		(void)close(a->fd);
		(void)close(b->fd);
		a->fd = da;
		b->fd = db;
	}
	free(x.xattrs);
	free(y.xattrs);
}

static void compare_dirs(struct side *a, struct side *b, const char *path)
{
	struct names l = read_names(a->fd), r = read_names(b->fd);
	for (size_t i = 0, k = 0; i < l.n || k < r.n;) {
		int c = i == l.n ? 1 : k == r.n ? -1 : strcmp(l.v[i], r.v[k]);
		char *child = join(path, c <= 0 ? l.v[i] : r.v[k]);
		if (is_ignored(child))
			;
		else if (c == 0)
			compare_one(a, b, child, l.v[i]);
		else
			differ(child, "only in the %s tree", c < 0 ? "first" : "second");
		free(child);
		i += c <= 0;
		k += c >= 0;
	}
	free_names(&l);
	free_names(&r);
}

/* ---------------------------------------------------------------- checksum of one */

struct sum {
	uint64_t h[2];
};

/* Two keyed 64-bit sums: enough against accidents, which is what tests look for. */
static void sum_add(struct sum *s, const void *data, size_t len)
{
	for (uint8_t i = 0; i < 2; i++) {
		uint8_t key[COW_SIPHASH_KEY_LEN] = {i};
		memcpy(key + 8, &s->h[i], 8);
		s->h[i] = cow_siphash24(key, data, len);
	}
}

static void sum_dir(struct side *a, const char *path, struct sum *s);

static void sum_content(int dir, const char *name, struct sum *s)
{
	static char buf[1 << 18];
	cow_autoclose int fd = open_file(dir, name);
	ssize_t n;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sum_add(s, buf, (size_t)n);
	if (n < 0)
		trouble("read %s", name);
}

static void sum_one(struct side *a, const char *path, const char *name, struct sum *s)
{
	struct object o = look(a->fd, name);
	int times = !(S_ISDIR(o.st.st_mode) && holds_ignored(path));
	char *line;
	int len = asprintf(&line, "%s %o %u %u %lld.%ld %llu %lu %lld %s\n%s", path, o.st.st_mode,
			   o.st.st_uid, o.st.st_gid, times ? (long long)o.st.st_mtim.tv_sec : 0,
			   times ? o.st.st_mtim.tv_nsec : 0, (unsigned long long)o.st.st_rdev,
			   link_number(a, &o.st),
			   S_ISREG(o.st.st_mode) ? (long long)o.st.st_size : 0, o.target, o.xattrs);
	if (len < 0)
		trouble("memory");
	sum_add(s, line, (size_t)len);
	free(line);
	free(o.xattrs);
	if (S_ISREG(o.st.st_mode))
		sum_content(a->fd, name, s);
	if (!S_ISDIR(o.st.st_mode))
		return;
	int dir = a->fd;
	a->fd = enter(dir, name);
	sum_dir(a, path, s);
	(void)close(a->fd);
	a->fd = dir;
}

static void sum_dir(struct side *a, const char *path, struct sum *s)
{
	struct names l = read_names(a->fd);
	for (size_t i = 0; i < l.n; i++) {
		char *child = join(path, l.v[i]);
		if (!is_ignored(child))
			sum_one(a, child, l.v[i], s);
		free(child);
	}
	free_names(&l);
}

/* ---------------------------------------------------------------- main */

static struct side open_side(const char *path)
{
	struct side s = {.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (s.fd < 0)
		trouble("open %s", path);
	return s;
}

static void close_side(struct side *s)
{
	tdestroy(s->links, free);
	(void)close(s->fd);
}

static int sum_main(const char *path)
{
	struct side a = open_side(path);
	a.number_all = 1; /* versions of an image come and go that share files with this one */
	struct sum s = {{1, 2}};
	struct object o = look(a.fd, "");
	free(o.xattrs);
	sum_dir(&a, "", &s);
	close_side(&a);
	(void)printf("%016llx%016llx\n", (unsigned long long)s.h[0], (unsigned long long)s.h[1]);
	return fflush(stdout) == 0 ? 0 : 2;
}

static int compare_main(const char *left, const char *right)
{
	struct side a = open_side(left), b = open_side(right);
	struct object x = look(a.fd, ""), y = look(b.fd, "");
	compare_attributes(&a, &b, "", &x, &y);
	free(x.xattrs);
	free(y.xattrs);
	compare_dirs(&a, &b, "");
	close_side(&a);
	close_side(&b);
	return fflush(stdout) != 0 ? 2 : differences != 0;
}

int main(int argc, char **argv)
{
	int sum = 0, i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--sum") == 0) {
			sum = 1;
		} else if (strcmp(argv[i], "--ignore") == 0 && i + 1 < argc &&
			   nignored < IGNORE_MAX) {
			const char *p = argv[++i];
			ignored[nignored++] = p + strspn(p, "/");
		} else if (strcmp(argv[i], "--now") == 0 && i + 1 < argc) {
			now_from = strtoll(argv[++i], NULL, 10);
		} else {
			break;
		}
	}
	if (argc - i != 2 - sum) {
		(void)fputs("usage: treecmp [--ignore PATH]... [--now SECONDS] A B\n"
			    "       treecmp --sum [--ignore PATH]... DIR\n",
			    stderr);
		return 2;
	}
	return sum ? sum_main(argv[i]) : compare_main(argv[i], argv[i + 1]);
}
