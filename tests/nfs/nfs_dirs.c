/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Listings with cookies, in small pieces: over changes, over a restart of the server, of very many
 * names. NFSv3 and NFSv4.
 *	nfs_dirs ADDR NFSPORT MOUNTPORT EXPORT changes
 *	nfs_dirs ADDR NFSPORT MOUNTPORT EXPORT half FILE	lists half of /some and notes what it saw
 *	nfs_dirs ADDR NFSPORT MOUNTPORT EXPORT rest FILE	the other half; all must have been there
 *	nfs_dirs ADDR NFSPORT MOUNTPORT EXPORT huge COUNT
 * The image holds /some/f000 … f599.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

#define SOME 600u

static const char *addr, *port, *path;
static struct raw c3;
static struct session s4;
static struct fh3 top3;

/* Names "<letter><number>": how often each was seen. */
struct seen {
	unsigned old[SOME], new[SOME];
	unsigned others; /* . and .. */
	uint64_t first_cookie, last_cookie, max_cookie;
	unsigned n;
};

static void note(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	struct seen *s = arg;
	char *end;
	WANT("a number", fileid != 0, 1);
	WANT("a cookie of an entry", cookie >= 1, 1);
	s->n++;
	s->last_cookie = cookie;
	if (!s->first_cookie)
		s->first_cookie = cookie;
	if (cookie > s->max_cookie)
		s->max_cookie = cookie;
	if (!strcmp(name, ".") || !strcmp(name, "..")) {
		s->others++;
		return;
	}
	unsigned long i = strtoul(name + 1, &end, 10);
	if (*end || i >= SOME || (name[0] != 'f' && name[0] != 'n'))
		raw_die("%s: '%s' is listed", raw_running, name);
	if (name[0] == 'f')
		s->old[i]++;
	else
		s->new[i]++;
}

/* -------------------------------------------------- one READDIR of v4 */

static uint32_t readdir4(const struct fh *dir, uint32_t bytes, uint64_t *cookie, uint64_t *verifier,
			 n3_entry entry, void *arg, uint32_t *ret_eof)
{
	char name[256];
	n4_begin(&s4);
	n4_put_fh(dir);
	n4_op(OP_READDIR);
	x_u64(&n4_args, *cookie);
	x_raw(&n4_args, verifier, 8);
	x_u32(&n4_args, bytes);
	x_u32(&n4_args, bytes);
	x_u32(&n4_args, 1);
	x_u32(&n4_args, 1u << 20); /* fileid */
	uint32_t r = n4_send_on_fh(&s4);
	if (r)
		return r;
	n4_result(OP_READDIR);
	r_raw(&n4_res, verifier, 8);
	while (r_u32(&n4_res)) {
		*cookie = r_u64(&n4_res);
		name[r_opaque(&n4_res, name, sizeof(name) - 1)] = '\0';
		WANT("attributes of an entry", r_u32(&n4_res), 1);
		WANT("attributes of an entry", r_u32(&n4_res), 1u << 20);
		WANT("attributes of an entry", r_u32(&n4_res), 8);
		entry(arg, name, r_u64(&n4_res), *cookie);
	}
	*ret_eof = r_u32(&n4_res);
	return r;
}

/* A directory as both versions see it. */
struct dir {
	struct fh3 h3;
	struct fh h4;
	uint32_t version;
	uint64_t cookie, verifier;
	uint32_t eof;
};

static void piece(struct dir *d, uint32_t bytes, n3_entry entry, void *arg)
{
	uint32_t r =
	    d->version == 3
		? n3_readdir(&c3, &d->h3, bytes, &d->cookie, &d->verifier, entry, arg, &d->eof)
		: readdir4(&d->h4, bytes, &d->cookie, &d->verifier, entry, arg, &d->eof);
	WANT("READDIR", r, 0);
}

static struct dir open_dir(uint32_t version, const char *name)
{
	struct dir d = {.version = version};
	WANT(name, n3_lookup(&c3, &top3, name, &d.h3), 0);
	struct fh top = n4_walk(&s4, path);
	WANT(name, n4_lookup(&s4, &top, name, &d.h4), NFS4_OK);
	return d;
}

/* -------------------------------------------------- changes between two pieces */

static void make(const struct fh3 *dir, char letter, unsigned i)
{
	char name[16];
	struct fh3 h;
	(void)snprintf(name, sizeof(name), "%c%03u", letter, i);
	WANT(name, n3_create(&c3, dir, name, N3_GUARDED, 0, &h), 0);
}

static uint32_t drop(const struct fh3 *dir, char letter, unsigned i)
{
	char name[16];
	(void)snprintf(name, sizeof(name), "%c%03u", letter, i);
	return n3_remove(&c3, dir, name);
}

/*
 * What is there from beginning to end is listed once. A third of the names is removed on the way, half
 * of them before they were seen; new ones come.
 */
static void a_listing_survives_changes(struct dir *d)
{
	struct seen s = {.n = 0};
	unsigned at = 0, pieces = 0;
	char gone[SOME] = {0};
	while (!d->eof) {
		unsigned before[SOME];
		memcpy(before, s.old, sizeof(before));
		piece(d, 512, note, &s);
		pieces++;
		for (unsigned i = 0; i < SOME; i++)
			if (gone[i] && s.old[i] != before[i])
				raw_die("%s: f%03u is listed after its end", raw_running, i);
		for (unsigned i = 0; i < 6 && at < SOME; i++, at += 3) {
			WANT("REMOVE", drop(&d->h3, 'f', at), 0);
			gone[at] = 1;
			make(&d->h3, 'n', at);
		}
	}
	WANT("more than a few pieces", pieces > 10, 1);
	for (unsigned i = 0; i < SOME; i++) {
		if (gone[i] ? s.old[i] > 1 : s.old[i] != 1)
			raw_die("%s: f%03u was listed %u times", raw_running, i, s.old[i]);
		if (s.new[i] > 1)
			raw_die("%s: n%03u was listed %u times", raw_running, i, s.new[i]);
	}
	for (unsigned i = 0; i < at; i += 3) { /* as it was */
		WANT("REMOVE", drop(&d->h3, 'n', i), 0);
		make(&d->h3, 'f', i);
	}
}

struct last {
	char name[256];
	uint64_t cookie;
	unsigned n;
};

static void note_last(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	struct last *l = arg;
	(void)fileid;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	l->cookie = cookie;
	l->n++;
}

static void note_first(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	struct last *l = arg;
	if (l->n == 0)
		note_last(arg, name, fileid, cookie);
}

/* The entry the cookie belongs to may go: the listing goes on behind where it was. */
static void a_cookie_outlives_its_entry(struct dir *d)
{
	struct last l = {.n = 0}, next = {.n = 0}, again = {.n = 0};
	piece(d, 1024, note_last, &l);
	struct dir saved = *d;
	piece(d, 512, note_first, &next);
	WANT("REMOVE", n3_remove(&c3, &d->h3, l.name), 0);
	*d = saved;
	piece(d, 512, note_first, &again);
	if (strcmp(next.name, again.name) != 0)
		raw_die("%s: after '%s' came '%s', and '%s' when it was gone", raw_running, l.name,
			next.name, again.name);
	struct fh3 h;
	WANT("create", n3_create(&c3, &d->h3, l.name, N3_GUARDED, 0, &h), 0);
}

static void a_listing_can_be_repeated_from_any_cookie(struct dir *d)
{
	uint64_t cookies[64];
	struct last first[64];
	unsigned n = 0;
	for (; !d->eof && n < 64; n++) {
		cookies[n] = d->cookie;
		first[n] = (struct last){.n = 0};
		piece(d, 512, note_first, &first[n]);
	}
	while (n--) { /* backwards */
		struct last l = {.n = 0};
		d->cookie = cookies[n];
		piece(d, 2048, note_first, &l);
		WANT("cookie", l.cookie, first[n].cookie);
		WANT("name", strcmp(l.name, first[n].name), 0);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

struct numbers {
	uint64_t *fileid, *cookie;
	size_t n, max;
};

static void note_numbers(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	struct numbers *s = arg;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return;
	WANT("room", s->n < s->max, 1);
	s->fileid[s->n] = fileid;
	s->cookie[s->n++] = cookie;
}

static void distinct(const char *what, uint64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	for (size_t i = 1; i < n; i++)
		if (v[i] == v[i - 1])
			raw_die("%s: two entries have %s %llx", raw_running, what,
				(unsigned long long)v[i]);
}

static unsigned bits(uint64_t v)
{
	unsigned n = 0;
	for (; v; v >>= 1)
		n++;
	return n;
}

static struct numbers list_numbers(struct dir *d, size_t max, uint32_t bytes)
{
	struct numbers s = {.fileid = calloc(max, 8), .cookie = calloc(max, 8), .max = max};
	WANT("memory", s.fileid && s.cookie, 1);
	while (!d->eof)
		piece(d, bytes, note_numbers, &s);
	return s;
}

/* What a client of 32 bits would have to squeeze is told, not judged. */
static void numbers_are_distinct(struct dir *d)
{
	struct numbers s = list_numbers(d, 6000, 8192);
	WANT("entries of /big", s.n, 5000);
	distinct("the number", s.fileid, s.n);
	distinct("the cookie", s.cookie, s.n);
	WANT("smallest cookie", s.cookie[0] >= 3, 1);
	(void)printf("# v%u: file numbers have up to %u bits, cookies %u\n", d->version,
		     bits(s.fileid[s.n - 1]), bits(s.cookie[s.n - 1]));
	free(s.fileid);
	free(s.cookie);
}

static void numbers_agree_with_getattr(void)
{
	struct dir d = open_dir(3, "some");
	struct numbers s = list_numbers(&d, SOME + 8, 1024);
	unsigned found = 0;
	distinct("the number", s.fileid, s.n);
	for (unsigned i = 0; i < SOME; i += 37) {
		char name[16];
		struct fh3 h;
		struct fh h4;
		struct n3_attr a;
		struct n4_attr a4;
		(void)snprintf(name, sizeof(name), "f%03u", i);
		WANT(name, n3_lookup(&c3, &d.h3, name, &h), 0);
		WANT(name, n3_getattr(&c3, &h, &a), 0);
		WANT(name, n4_lookup(&s4, &d.h4, name, &h4), NFS4_OK);
		WANT(name, n4_getattr(&s4, &h4, &a4), NFS4_OK);
		WANT("number over v3 and v4", a.fileid, a4.fileid);
		found += bsearch(&a.fileid, s.fileid, s.n, 8, by_value) != NULL;
	}
	WANT("numbers of the listing", found, (SOME + 36) / 37);
	free(s.fileid);
	free(s.cookie);
}

/* -------------------------------------------------- restart */

static void half(const char *file)
{
	struct seen s = {.n = 0};
	struct dir d = open_dir(3, "some");
	while (s.n < SOME / 2)
		piece(&d, 512, note, &s);
	FILE *f = fopen(file, "we");
	if (!f || fwrite(&s, sizeof(s), 1, f) != 1 || fwrite(&d.cookie, 8, 1, f) != 1 ||
	    fwrite(&d.verifier, 8, 1, f) != 1 || fclose(f) != 0)
		raw_die("cannot write %s", file);
}

static void rest(const char *file, uint32_t version)
{
	struct seen s;
	struct dir d = open_dir(version, "some");
	FILE *f = fopen(file, "re");
	if (!f || fread(&s, sizeof(s), 1, f) != 1 || fread(&d.cookie, 8, 1, f) != 1 ||
	    fread(&d.verifier, 8, 1, f) != 1)
		raw_die("cannot read %s", file);
	(void)fclose(f);
	while (!d.eof)
		piece(&d, 512, note, &s);
	for (unsigned i = 0; i < SOME; i++)
		if (s.old[i] != 1)
			raw_die("f%03u was listed %u times over a restart", i, s.old[i]);
	(void)printf("ok - v%u a listing goes on over a restart of the server\n", version);
}

/* -------------------------------------------------- huge */

static double seconds(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void huge(unsigned count)
{
	char name[32];
	struct fh3 dir, h;
	double t = seconds();
	raw_running = "a huge directory";
	WANT("MKDIR", n3_mkdir(&c3, &top3, "huge", 0755, &dir), 0);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "file-%07u", i);
		WANT(name, n3_create(&c3, &dir, name, N3_UNCHECKED, 0, &h), 0);
	}
	(void)printf("# %u files made in %.1f s, %.0f a second\n", count, seconds() - t,
		     count / (seconds() - t));
	for (uint32_t version = 3; version <= 4; version++) {
		s4 = n4_session(addr, port, 1, "cowherd-huge", 0);
		struct dir d = open_dir(version, "huge");
		t = seconds();
		struct numbers s = list_numbers(&d, count + 8, 32768);
		WANT("entries", s.n, count);
		distinct("the cookie", s.cookie, s.n);
		distinct("the number", s.fileid, s.n);
		(void)printf("# v%u: listed in %.2f s\n", version, seconds() - t);
		free(s.fileid);
		free(s.cookie);
	}
	t = seconds();
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "file-%07u",
			       (unsigned)((uint64_t)i * 2654435761u % count));
		WANT(name, n3_lookup(&c3, &dir, name, &h), 0);
	}
	(void)printf("# a look-up takes %.0f us\n", (seconds() - t) * 1000);
	(void)printf("ok - a directory of %u files\n", count);
}

/* -------------------------------------------------- all */

static void run(const char *name, void (*fn)(struct dir *), const char *dir)
{
	raw_running = name;
	for (uint32_t version = 3; version <= 4; version++) {
		struct dir d = open_dir(version, dir);
		fn(&d);
		(void)printf("ok - v%u %s\n", version, name);
	}
	(void)fflush(stdout);
}

static void changes(void)
{
	run("a listing survives changes", a_listing_survives_changes, "some");
	run("a cookie outlives its entry", a_cookie_outlives_its_entry, "some");
	run("a listing can be repeated from any cookie", a_listing_can_be_repeated_from_any_cookie,
	    "some");
	run("numbers and cookies are distinct", numbers_are_distinct, "big");
	raw_running = "numbers agree with GETATTR";
	numbers_agree_with_getattr();
	(void)printf("ok - %s\n", raw_running);
}

static int usage(const char *me)
{
	(void)fprintf(stderr,
		      "usage: %s ADDR NFSPORT MOUNTPORT EXPORT changes | half FILE | rest FILE | "
		      "huge COUNT\n",
		      me);
	return 2;
}

int main(int argc, char **argv)
{
	char name[64];
	if (argc < 6 || argc > 7 || (argc == 6) != !strcmp(argv[5], "changes"))
		return usage(argv[0]);
	addr = argv[1];
	port = argv[2];
	path = argv[4];
	struct raw mnt = n3_connect(addr, argv[3], 0);
	c3 = n3_connect(addr, port, 0);
	(void)snprintf(name, sizeof(name), "cowherd-dirs-%d", (int)getpid());
	if (strcmp(argv[5], "huge") != 0) /* that takes longer than a lease */
		s4 = n4_session(addr, port, 1, name, 0);
	WANT("mount", n3_mount(&mnt, path, &top3), 0);
	if (!strcmp(argv[5], "changes")) {
		changes();
	} else if (!strcmp(argv[5], "half")) {
		half(argv[6]);
	} else if (!strcmp(argv[5], "rest")) {
		rest(argv[6], 3);
		rest(argv[6], 4);
	} else if (!strcmp(argv[5], "huge")) {
		huge((unsigned)strtoul(argv[6], NULL, 10));
	} else {
		return usage(argv[0]);
	}
	return 0;
}
