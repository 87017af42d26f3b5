/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One fix-up is one function: it looks, changes what it must through the helpers below, and each
 * helper that changed something adds a word about it. Nothing added means nothing was needed.
 */
#ifndef COW_SNAPSHOT_FIXUP_INTERNAL_H
#define COW_SNAPSHOT_FIXUP_INTERNAL_H

#include <stddef.h>

#include "fixlog.h"

struct cow_fix {
	int tree;
	const char *boot_dir;
	struct cow_fixlog *log; /* what is changed is recorded here; NULL: nowhere */
	const char *name;	/* of the fix-up, for the log */
	unsigned changes;	/* of the tree */
	int trouble;		/* a look at the tree failed, see cow_fix_is_trouble(); 0 */
	char what[384];		/* what was done, for people */
};

/* Add to what was done: "a, b, c"; too much is cut with "...". */
void cow_fix_did(struct cow_fix *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * cow_fix_change - the one way to change the tree: as cow_tree_write(), _symlink() or _unlink(), but recorded, and
 * the directories keep their times.
 */
struct cow_fix_to {
	enum cow_fixlog_kind kind; /* FILE, LINK; NONE: it goes */
	const void *bytes;	   /* FILE */
	size_t len;
	mode_t mode;
	struct cow_fixlog_bytes old; /* FILE: what a file there holds now, if the caller has read it */
	const char *target;	     /* LINK */
};
int cow_fix_change(struct cow_fix *f, const char *path, const struct cow_fix_to *to);
/* Text for a file, which held @old (NULL: not known). */
int cow_fix_write(struct cow_fix *f, const char *path, const char *old, const char *text,
		  unsigned mode);
int cow_fix_link(struct cow_fix *f, const char *path, const char *target);

/* After all: other names of what was changed, where it had some. */
int cow_fix_find_links(const struct cow_fix *f);

/* The host's trouble, and no oddity of the image? */
bool cow_fix_is_trouble(int r);

/* As cow_tree_has() and cow_tree_lstat(); trouble is noted, so that it is not taken for absence. */
int cow_fix_has(struct cow_fix *f, const char *path);
int cow_fix_lstat(struct cow_fix *f, const char *path, struct stat *ret);

/* Mask a systemd unit (link to /dev/null) if the image has it, as unit or as init script. */
int cow_fix_mask(struct cow_fix *f, const char *unit);
int cow_fix_mask_all(struct cow_fix *f, const char *const *units); /* NULL at the end */

/* Does the image have the unit? */
int cow_fix_has_unit(struct cow_fix *f, const char *unit);

/* Add a unit of ours and link it into a target's wants. */
int cow_fix_add_unit(struct cow_fix *f, const char *unit, const char *text, const char *target);

/* Remove a file or link if it is there. */
int cow_fix_remove(struct cow_fix *f, const char *path);

/* Write a file of ours; nothing when it has that content already. */
int cow_fix_put(struct cow_fix *f, const char *path, const char *text, unsigned mode);

/* Read a text file of the image, at most 1 MiB. -ENOENT; -EBADMSG holds NUL bytes. */
int cow_fix_read(const struct cow_fix *f, const char *path, char **ret);

/*
 * Rewrite a text file line by line. @fn appends to @out what becomes of a line (given without LF).
 * The file is replaced only when the result differs. -ENOENT: no such file.
 * Return: 1 changed, 0 not, -errno.
 */
struct cow_text {
	char *s;
	size_t len, cap;
};
int cow_text_add(struct cow_text *t, const char *s, size_t len);
int cow_fix_lines(struct cow_fix *f, const char *path,
		  int (*fn)(void *ctx, const char *line, size_t len, struct cow_text *out),
		  void *ctx);

/* etc/hosts of a machine called @name, from what the image has (NULL: nothing); see identity.c. */
int cow_identity_hosts(const char *old, const char *name, struct cow_text *out);

int cow_fix_fstab(struct cow_fix *f);
int cow_fix_machine_id(struct cow_fix *f);
int cow_fix_ssh_host_keys(struct cow_fix *f);
int cow_fix_swap(struct cow_fix *f);
int cow_fix_resize(struct cow_fix *f);
int cow_fix_disk_care(struct cow_fix *f);
int cow_fix_network(struct cow_fix *f);
int cow_fix_dns(struct cow_fix *f);
int cow_fix_journald(struct cow_fix *f);
int cow_fix_tmp(struct cow_fix *f);
int cow_fix_first_boot(struct cow_fix *f);
int cow_fix_clock(struct cow_fix *f);
int cow_fix_timers(struct cow_fix *f);
int cow_fix_eeprom(struct cow_fix *f);
int cow_fix_initramfs(struct cow_fix *f);

#endif
