/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every protocol of the engine, in every situation that makes it go another way: objects of the image
 * as they are, brought up, moved; of the upper alone; whiteouts. The last step of a line is the one
 * that is cut, at each of its system calls.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "crash.h"
#include "util.h"

static const char *const cases[] = {
    /* copy-up of every type, by every kind of change */
    "!chmod f1 0600",
    "chmod f1 0600",
    "chmod f0 0600",
    "chmod f4 0640",
    "chmod f5 0755",
    "chmod f6 0600",
    "chmod d1/s/f1 0600",
    "chown f3 1002",
    "utimes f2 77",
    "setxattr f2 5",
    "removexattr f2",
    "truncate f3 0 0 10",
    "truncate f3 0 0 0",
    "truncate f3 0 0 100000",
    "truncate f0 0 0 5000",
    "truncate f6 0 0 5000",
    "!write f2 3 100 10",
    "write f2 3 100 10",
    "write f6 3 500000 100",
    "write f0 3 0 4096",
    "write f4 3 100000 5000",
    "stable f2 3 100 10",
    "stable f3 3 69990 100",
    "rewrite f3 3 0 5000",
    "alloc f2 0 4000 20000",
    "scratch f2 3 100 10",
    "chown l1 1001",
    "chown l2 1001",
    "chown p 1001",
    "chown c 1001",
    "chmod d1 0700",
    "chmod d1/s 0700",
    "chown d5 1001",
    "setxattr d1 5",
    /* what is up already */
    "chmod f1 0600;write f1 3 10 10",
    "chmod f2 0600;truncate f2 0 0 10",
    "chmod d1 0700;chmod d1 0711",
    "create n0 0644;write n0 3 0 5000",
    "create n0 0644;write n0 3 0 5000;truncate n0 0 0 10",
    /* several names in the image */
    "!chmod h1 0600",
    "chmod h1 0600",
    "write h2 3 100 10",
    "stable d2/h3 3 0 10",
    "remove h1",
    "remove h1;remove h2;remove d2/h3",
    "write h1 3 0 10;remove h2",
    "write h1 3 0 10;remove h1",
    "write h1 3 0 10;remove h1;remove h2;remove d2/h3",
    "rename h1 n0",
    "write h1 3 0 10;rename h2 n0",
    "write h1 3 0 10;exchange h2 f1",
    "exchange h1 f1",
    "rename f1 h1",
    "rename h1 f1",
    "link h1 n0",
    "write h1 3 0 10;link h2 n0",
    "link h1 n0;remove h1;remove h2;remove d2/h3;remove n0",
    /* new objects */
    "!create n0 0644",
    "create n0 0644",
    "create d1/s/n0 0640",
    "!mkdir n0 0755",
    "mkdir n0 0755",
    "mkdir d1/s/n0 0755",
    "symlink n0 target",
    "fifo n0 0600",
    "create d5/n0 0644",
    "mkdir d5/n0 0755",
    /* over whiteouts */
    "remove f1;create f1 0644",
    "remove f1;mkdir f1 0755",
    "remove d1/x;symlink d1/x target",
    "remove f1;fifo f1 0600",
    "remove f1;link f2 f1",
    "remove f1;create n0 0644;link n0 f1",
    "remove d5/x;create d5/x 0644",
    "remove d5/x;mkdir d5/x 0755",
    "remove d3;mkdir d3 0755",
    /* removal */
    "!remove f1",
    "remove f1",
    "remove d1/s/f1",
    "chmod f1 0600;remove f1",
    "create n0 0644;remove n0",
    "remove l1",
    "remove d3",
    "chmod d3 0700;remove d3",
    "remove d4/x;remove d4",
    "mkdir n0 0755;remove n0",
    "rename d3 n0;remove n0",
    "remove d3;mkdir d3 0755;remove d3",
    "rename d4 n0;remove n0/x;remove n0",
    "mkdir n0 0755;create n0/a 0644;rename n0/a a;remove n0",
    /* renames of files */
    "!rename f1 n0",
    "rename f1 n0",
    "rename l1 n0",
    "rename p n0",
    "chmod f1 0600;rename f1 n0",
    "create n0 0644;rename n0 n1",
    "rename f1 f2",
    "create n0 0644;rename f1 n0",
    "create n0 0644;rename n0 f1",
    "remove f2;rename f1 f2",
    "remove f2;create n0 0644;rename n0 f2",
    "rename d1/x d2/n0",
    "rename f1 d1/s/n0",
    "rename f1 d1/s/f1",
    "rename f1 n0;rename n0 f1",
    "rename f1 n0;rename f2 f1",
    /* renames of directories */
    "!rename d1 n0",
    "rename d1 n0",
    "create d1/n1 0644;rename d1 n0",
    "mkdir n0 0755;rename n0 n1",
    "mkdir n0 0755;remove f1;rename n0 f1",
    "mkdir n0 0755;remove d3;rename n0 d3",
    "remove f1;rename d1 f1",
    "mkdir n0 0755;rename n0 d3",
    "rename d1 d3",
    "chmod d3 0700;rename d1 d3",
    "remove d4/x;rename d1 d4",
    "remove d4/x;mkdir n0 0755;rename n0 d4",
    "remove d4/x;chown d4 1001;setxattr d4 4;rename d1 d4",
    "rename d4 n0;remove n0/x;rename d1 n0",
    "rename d1 n0;rename n0 n1",
    "rename d1 n0;rename n0 d1",
    "rename d1 d2/n0",
    "rename d1/s n0",
    "rename d1 n0;rename n0/s d1",
    "mkdir n0 0755;mkdir n1 0755;rename n0 n1",
    /* exchange */
    "!exchange f1 f2",
    "exchange f1 f2",
    "exchange f1 d1",
    "exchange d1 d2",
    "create n0 0644;exchange n0 f1",
    "mkdir n0 0755;exchange n0 d1",
    "mkdir n0 0755;exchange d1/s n0",
    /* made durable by a commit of the data alone; matters where the mode is relaxed */
    "chmod d4/x 0600;sync;rename d4/x n0;write n0 3 0 10",
    "sync;rename d4/x n0;write n0 3 0 10",
    "chmod f1 0600;sync;rename f1 f2;write f2 3 0 10",
    "chmod f1 0600;sync;rename f1 n0;rename f2 f1;write f1 3 0 10",
    "chmod h1 0600;sync;rename h1 n0;write n0 3 0 10",
    "rename d4 n0;sync;rename n0/x n1;write n1 3 0 10",
    "sync;rename d4 n0;write n0/x 3 0 10",
    "sync;create d1/s/n0 0644;write d1/s/n0 3 0 10",
    "sync;remove f1;create f1 0644;write f1 3 0 10",
    "chmod f1 0600;sync;exchange f1 f2;write f1 3 0 10",
    "write f1 2 0 10;sync;chmod f1 0640;write f1 3 0 10",
    "write f1 2 0 10;sync;chown f1 1001;setxattr f1 5;write f1 3 0 10",
    /* links */
    "!link f1 n0",
    "link f1 n0",
    "link f1 d1/s/n0",
    "link l1 n0",
    "link p n0",
    "chmod f1 0600;link f1 n0",
    "create n0 0644;link n0 n1",
    "remove f2;link f1 f2",
};
const size_t case_count = sizeof(cases) / sizeof(*cases);

const char *case_text(size_t k)
{
	return cases[k];
}

static const struct {
	const char *name;
	enum kind kind;
} kinds[] = {
    {"create", K_CREATE},   {"mkdir", K_MKDIR},	      {"symlink", K_SYMLINK},
    {"fifo", K_FIFO},	    {"link", K_LINK},	      {"rename", K_RENAME},
    {"remove", K_REMOVE},   {"exchange", K_EXCHANGE}, {"chmod", K_CHMOD},
    {"chown", K_CHOWN},	    {"utimes", K_UTIMES},     {"setxattr", K_SETXATTR},
    {"write", K_WRITE},	    {"stable", K_STABLE},     {"removexattr", K_REMOVEXATTR},
    {"alloc", K_ALLOC},	    {"rewrite", K_REWRITE},   {"truncate", K_TRUNCATE},
    {"scratch", K_SCRATCH}, {"sync", K_SYNC},
};

/* "KIND PATH [PATH2] [ARG [OFF LEN]]"; PATH2 where the word is no number. */
static void parse(char *text, struct step *ret)
{
	char *save, *word = strtok_r(text, " ", &save);
	size_t k = 0;
	uint64_t numbers[3] = {0};
	unsigned n = 0;
	while (k < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[k].name, word) != 0)
		k++;
	if (k == sizeof(kinds) / sizeof(*kinds))
		trouble("no step '%s'", word);
	*ret = (struct step){.kind = kinds[k].kind};
	word = strtok_r(NULL, " ", &save);
	if (!word)
		return;
	(void)snprintf(ret->path, PATH_LEN, "%s", strcmp(word, ".") == 0 ? "" : word);
	while ((word = strtok_r(NULL, " ", &save)))
		if (*word >= '0' && *word <= '9' && n < 3)
			numbers[n++] = strtoull(word, NULL, 0);
		else
			(void)snprintf(ret->path2, PATH_LEN, "%s", word);
	ret->arg = (unsigned)numbers[0];
	ret->off = numbers[1];
	ret->len = numbers[2];
}

void oracle_open(struct ground *g, struct seat *ret)
{
	char path[POINT_LEN], why[WHY_LEN];
	const struct cow_ovl_create_opts opts = {.durability = COW_OVL_VOLATILE};
	struct cow_err err = COW_ERR_INIT;
	(void)snprintf(path, sizeof(path), "%s/oracle", g->base);
	if (mkdir(path, 0700) < 0)
		trouble("make %s", path);
	cow_autoclose int fd = cow_opendir_at(AT_FDCWD, path);
	if (cow_ovl_inst_create(fd, g->img, &opts, &err) < 0)
		trouble("make an instance: %s", cow_err_str(&err));
	if (seat_open(g, g->base, "oracle", false, 0, ret, why) < 0)
		trouble("attach: %s", why);
}

void oracle_close(struct ground *g, struct seat *s)
{
	(void)seat_close(s);
	cow_autoclose int fd = cow_opendir_at(AT_FDCWD, g->base);
	if (cow_rm_rf_at(fd, "oracle", 0) < 0)
		trouble("remove an instance");
}

struct history *case_history(struct ground *g, size_t k)
{
	char text[256], *save, *one;
	struct seat oracle;
	struct history *h = must(calloc(1, sizeof(*h)));
	(void)snprintf(h->top, sizeof(h->top), TOP_FMT, 0);
	(void)snprintf(text, sizeof(text), "%s%s", *cases[k] == '!' ? "" : "chmod . 0711;",
		       cases[k] + (*cases[k] == '!'));
	for (one = strtok_r(text, ";", &save); one; one = strtok_r(NULL, ";", &save))
		parse(one, &h->step[++h->n]);
	/* What comes before the last is not what is asked about, unless the case says so. */
	if (!strstr(cases[k], "sync;")) {
		h->step[h->n + 1] = h->step[h->n];
		h->step[h->n++] = (struct step){.kind = K_SYNC};
	}
	oracle_open(g, &oracle);
	history_make(h, oracle.i, NULL, 0);
	oracle_close(g, &oracle);
	return h;
}

void make_histories(struct ground *g, uint64_t number, unsigned threads, size_t steps,
		    struct history *ret[THREADS])
{
	struct seat oracle;
	oracle_open(g, &oracle);
	for (unsigned t = 0; t < threads; t++) {
		struct rng gen = rng_part(g->seed, number * 16 + t);
		ret[t] = must(calloc(1, sizeof(*ret[t])));
		(void)snprintf(ret[t]->top, sizeof(ret[t]->top), TOP_FMT, t);
		history_make(ret[t], oracle.i, &gen, steps);
	}
	oracle_close(g, &oracle);
}
