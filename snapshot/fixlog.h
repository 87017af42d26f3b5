/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the fix-ups changed in the tree of a version, so that it can be taken back: image.fixups beside image.conf,
 * see cowherd-store(5) for the text. One section for each fix-up, in it one change for each path: what was there
 * before its first change and what it left there.
 *
 * Of a file that was rewritten only the lines are kept that are gone: .head bytes and .tail bytes are still in what the
 * fix-up left. .put are the lines that stand there instead, so that they can be found, once, when somebody
 * else has changed the file in another place.
 */
#ifndef COW_SNAPSHOT_FIXLOG_H
#define COW_SNAPSHOT_FIXLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "common/err.h"
#include "fill.h"

#define COW_FIXLOG_NAME "image.fixups"
#define COW_FIXLOG_ROOM (768u << 10) /* of text: with image.conf it fits into one record of an archive */
#define COW_FIXLOG_SIZE_MAX (UINT64_C(1) << 40) /* of a file that is put back */
#define COW_FIXLOG_ALSO_MAX 16			/* other names of a file */
#define COW_FIXLOG_SUM_LEN 32			/* SHA-256 */

enum cow_fixlog_kind {
	COW_FIXLOG_NONE, /* nothing */
	COW_FIXLOG_DIR,	 /* before: nothing, but what was made is a directory for something else */
	COW_FIXLOG_FILE,
	COW_FIXLOG_LINK,
	COW_FIXLOG_NODE, /* device, fifo, socket; before only */
};

struct cow_fixlog_bytes {
	char *p; /* NUL behind it where it is not NULL */
	size_t len;
};

struct cow_fixlog_xattr {
	char *name;
	struct cow_fixlog_bytes value;
};

struct cow_fixlog_change {
	char *path;		   /* in the tree */
	enum cow_fixlog_kind kind; /* of what was there */
	bool lost;		   /* it was too much to keep */
	struct cow_meta meta;
	uint64_t size, head, tail; /* FILE: .head of what is there now, .cut, .tail of it, zeros */
	struct cow_fixlog_bytes cut; /* LINK: the target */
	struct cow_fixlog_bytes put;
	struct cow_fixlog_xattr *xattr;
	size_t nxattr;
	char *also[COW_FIXLOG_ALSO_MAX]; /* other names it had, as far as they are known */
	size_t nalso;
	struct {
		enum cow_fixlog_kind kind; /* NONE, FILE or LINK */
		mode_t mode;
		uid_t uid;
		gid_t gid;
		uint64_t size;
		uint8_t sum[COW_FIXLOG_SUM_LEN];
		char *target;
	} now;
	/* While the fix-ups run, to look for other names. ino 0: not known */
	dev_t dev;
	ino_t ino;
	bool linked; /* it had more than one */
};

struct cow_fixlog_step {
	char name[COW_LABEL_MAX + 1];
	char *did; /* in words; NULL: nothing */
	bool lost; /* more was changed than is said here */
	struct cow_fixlog_change *change;
	size_t n;
};

struct cow_fixlog {
	struct cow_fixlog_step *step;
	size_t n;
	size_t used; /* of COW_FIXLOG_ROOM, about */
};
#define COW_FIXLOG_EMPTY                                                                           \
	{                                                                                          \
		.step = NULL                                                                       \
	}
void cow_fixlog_done(struct cow_fixlog *log);
#define cow_autofixlog __attribute__((cleanup(cow_fixlog_done))) struct cow_fixlog
void cow_fixlog_change_done(struct cow_fixlog_change *c);

/* NULL: the fix-up has changed nothing. */
struct cow_fixlog_step *cow_fixlog_find(const struct cow_fixlog *log, const char *name);
struct cow_fixlog_change *cow_fixlog_find_path(const struct cow_fixlog_step *step, const char *path);

/* Say what a fix-up did, behind what it did before. Makes the section. */
int cow_fixlog_did(struct cow_fixlog *log, const char *name, const char *what);
/* It has changed what is not known. */
int cow_fixlog_lost(struct cow_fixlog *log, const char *name);
/* One more change, or another one of the same path, by a fix-up; takes what @c holds. What is too much is left out. */
int cow_fixlog_put(struct cow_fixlog *log, const char *name, struct cow_fixlog_change *c);
void cow_fixlog_count(struct cow_fixlog *log); /* .used anew, after changes were changed */
/* Its changes were taken back. */
void cow_fixlog_drop(struct cow_fixlog *log, const char *name);

int cow_fixlog_bytes_set(struct cow_fixlog_bytes *b, const void *p, size_t len);
int cow_fixlog_sum(const void *p, size_t len, uint8_t ret[COW_FIXLOG_SUM_LEN]);

/* ---- fixlog_text.c */

struct cow_kv;
/* -EBADMSG: none of ours. */
int cow_fixlog_parse(const struct cow_kv *kv, struct cow_fixlog *ret);
int cow_fixlog_format(const struct cow_fixlog *log, struct cow_kv **ret);

/* The record of the version in this directory; none there is an empty one. -EBADMSG: damaged. */
int cow_fixlog_read(int version_dir, struct cow_fixlog *ret, struct cow_err *err);
/* Nothing when it is empty. */
int cow_fixlog_write(int version_dir, const struct cow_fixlog *log, struct cow_err *err);

/* ---- fixlog_content.c */

/* .head, .tail, .cut and .put of a file that was @was and becomes @now. */
int cow_fixlog_compare(struct cow_fixlog_change *c, const struct cow_fixlog_bytes *was,
		       const struct cow_fixlog_bytes *now);
/*
 * cow_fixlog_before - what a file was, from what it is now; of a link that became one, the target.
 * Return: 1 it is as the fix-up left it; 2 it was changed since, in other lines; 0 it was changed
 * since, in the same lines; -errno. *ret (set for 1 and 2) is without zeros at its end.
 */
int cow_fixlog_before(const struct cow_fixlog_change *c, const struct cow_fixlog_bytes *now,
		      struct cow_fixlog_bytes *ret);

#endif
