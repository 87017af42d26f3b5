/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the parts of fuzz_tftp_resolve share: the store on its tmpfs, the names in it, the bytes that say whose a file is,
 * and the state of one execution.
 */
#ifndef FUZZ_RESOLVE_RUN_H
#define FUZZ_RESOLVE_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "files.h"
#include "snapshot/client.h"
#include "snapshot/store.h"
#include "tftp/limits.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);              \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define LAB "/media" /* a tmpfs is put there, for this process alone */
#define STORE LAB "/store"
#define MAC_A "dc-a6-32-00-00-0a"
#define MAC_B "dc-a6-32-00-00-0b"
#define CLIENT_A STORE "/clients/" MAC_A
#define OWN_A CLIENT_A "/boot"
#define OWN_B STORE "/clients/" MAC_B "/boot"
#define CELL 8
#define SECRET "SECRET!\n"
#define TREE_A "t=treeA\n"
#define TREE_B "t=treeB\n"
#define ADMIN_A "d=admnA\n"
#define ADMIN_B "d=admnB\n"
#define GOLDEN "i=image\n"
#define LOADER "l=loadr\n"
#define BIG (COW_TFTP_PIN_COPY_MAX + 1u) /* too long to be copied for a boot */
#define DELIVERIES 6
#define GIVEN_MAX 64

enum who { A, B, STRANGER };

/* Below the boot directory and in the administrator's folder. */
#define NAMES 29u
extern const char *const names[NAMES];

/* Where links lead. */
#define TARGETS 15u
extern const char *const targets[TARGETS];

struct lab {
	struct cow_store *store;
	struct cow_tftp_leases *leases;
	struct cow_mac mac[2];
	int loader_fd;
};
extern struct lab lab; /* its store is NULL before lab_make() */

struct given {
	uint64_t ticket, size, sum;
	unsigned name;
};

/* A file on its way. */
struct delivery {
	struct cow_tftp_content *content;
	enum who who;
	uint64_t at, sum;
	bool may_change; /* R6 does not hold: too long for a copy, and the client's own */
};

struct run {
	const uint8_t *in, *end;
	struct cow_ovl_inst
	    *inst; /* A's root as the NFS server has it; NULL: it has not used it yet */
	struct cow_ovl_node *boot;
	struct cow_tftp_files files;
	uint64_t now_ms;
	struct delivery open[DELIVERIES];
	struct given given[GIVEN_MAX];
	unsigned given_count;
	bool moved_folder;    /* of the administrator */
	unsigned roots;	      /* made new */
	uint64_t old_tickets; /* up to this one: of boots from a root that is not A's any more */
};

static inline unsigned next(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

/* ---------------------------------------------------------------- lab.c: the store, once */

void must(int r, const char *what,
	  const struct cow_err *err); /* ends the program when @r is negative */
void lab_make(void);
void lab_put_back(void); /* A as it was made; it is not attached */

/* @len bytes, whole cells only. */
void repeat(char *buf, size_t len, const char *cell);
/* A file of so many bytes. What stands in the way stays; false then. */
bool put_at(int dirfd, const char *path, const char *cell, size_t size);
/* Of which size: an argument of a step. */
size_t size_of(unsigned arg);

/* ---------------------------------------------------------------- tree.c: A's tree, as its machine changes it */

void detach(struct run *r);
void create(struct run *r, const char *path);
void write_or_cut(struct run *r, const char *path);
void remove_at(struct run *r, const char *path);
void move(struct run *r, const char *from);
void change_mode(struct run *r, const char *path);
/* Reset, or back to the root before. */
void new_root(struct run *r);
/* NULL: there is none. @attr may be NULL. */
struct cow_ovl_node *find(struct run *r, const char *path, struct cow_ovl_attr *attr);

/* ---------------------------------------------------------------- admin.c: the administrator's folder of A */

void administrate(struct run *r, const char *name);

/* ---------------------------------------------------------------- requests.c: who asks for what */

void ask(struct run *r);     /* for one of names[], written in one of many ways */
void ask_raw(struct run *r); /* for anything */

/* ---------------------------------------------------------------- checks.c: what is given, against R1 to R6 */

/* Takes over @c. @name: of names[]; NAMES: any, of which nothing is known. */
void take(struct run *r, struct cow_tftp_content *c, unsigned name, bool buffered);
enum who server_says(struct run *r, const struct cow_tftp_content *c);
/* The next piece; the last one is followed by a look at all of it. False: it was the last. */
bool deliver(struct delivery *d);

#endif
