/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One operation of a script, and its form as a line of text:
 *
 *	KIND [PATH [PATH2]] [key=value]...
 *
 * A path is "/" for the root, or components with '/' between, none of them followed when it is a
 * symbolic link. Its first component may be "@N", the directory held in slot N (`hold`), or "%N",
 * the regular file open in slot N (`open`), whatever their names are by now.
 */
#ifndef COW_TESTS_DIFF_OP_H
#define COW_TESTS_DIFF_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PATH_LEN 1200
#define SLOTS 4

enum op_kind {
	OP_CREATE,
	OP_MKDIR,
	OP_SYMLINK, /* PATH2: the target */
	OP_MKNOD,
	OP_LINK,
	OP_RENAME,
	OP_UNLINK,
	OP_RMDIR,
	OP_RMTREE, /* remove what is listed, in small steps, then the directory */
	OP_WRITE,
	OP_APPEND,
	OP_REWRITE, /* open with truncation, write */
	OP_TRUNCATE,
	OP_FALLOCATE,
	OP_CLONE, /* the content of PATH onto the beginning of PATH2 */
	OP_CHMOD,
	OP_CHOWN,
	OP_UTIMENS,
	OP_SETXATTR,
	OP_REMOVEXATTR,
	OP_GETXATTR,
	OP_READ,
	OP_STAT,
	OP_READLINK,
	OP_LIST,
	OP_OPEN,
	OP_CLOSE,
	OP_HOLD,
	OP_DROP,
	OP_RESTART, /* the engine is detached and attached; slots of opens are closed before */
	OP_KINDS,
};

/* Values of struct op's flags, by kind. */
enum {
	RENAME_PLAIN,
	RENAME_NOREPL,
	RENAME_XCHG,
};
enum {
	TIMES_M = 1,
	TIMES_A = 2,
	TIMES_NOW = 4,
};
enum {
	XATTR_ANY,
	XATTR_NEW,
	XATTR_OLD,
};
enum {
	OPEN_R = 1,
	OPEN_W = 2,
	OPEN_T = 4,
};
enum {
	FALLOC_EXTEND,
	FALLOC_KEEP,
	FALLOC_PUNCH,
	FALLOC_ZERO,
};

struct op {
	enum op_kind kind;
	unsigned user; /* index in users[]; 0: root */
	unsigned slot;
	unsigned mode; /* with S_IF* for mknod */
	unsigned uid, gid;
	unsigned fill; /* chooses bytes */
	unsigned time; /* seconds after OLD_TIME */
	unsigned flags;
	unsigned xattr; /* index in xattr_names[] */
	unsigned rdev;	/* minor number; major 7 */
	uint64_t off, len;
	char path[PATH_LEN], path2[PATH_LEN];
};

const char *op_name(enum op_kind kind);
bool op_has_path(enum op_kind kind);
bool op_has_user(enum op_kind kind);
void op_print(FILE *out, const struct op *op);
/* Return: 0, or -EINVAL with a message. */
int op_parse(const char *line, struct op *ret, char *msg, size_t msg_len);

/* Where a path begins, and what follows: components with '/' between, maybe none. */
enum path_from {
	FROM_ROOT,
	FROM_HELD,
	FROM_OPEN,
};
struct path_head {
	enum path_from from;
	unsigned slot;
	const char *rest;
};
struct path_head path_head(const char *path);
/* Copy the component at *p and step over it and the slash behind. False: no more. */
bool path_next(const char **p, char ret[PATH_LEN]);
/* The open file itself, "%N" without more. */
bool path_is_open(const char *path);

#endif
