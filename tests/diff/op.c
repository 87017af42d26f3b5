/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Operations as text: one table says what each kind has, printing and parsing follow it.
 */
#include "op.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "values.h"

enum {
	F_PATH = 1 << 0,
	F_PATH2 = 1 << 1,
	F_SLOT = 1 << 2,
	F_USER = 1 << 3,
	F_OFF = 1 << 4,
	F_LEN = 1 << 5,
	F_FILL = 1 << 6,
	F_MODE = 1 << 7,
	F_OWNER = 1 << 8,
	F_TIME = 1 << 9,
	F_XATTR = 1 << 10,
	F_TYPE = 1 << 11, /* with F_MODE and a device number */
	F_FLAGS = 1 << 12,
};

static const struct {
	const char *name;
	unsigned fields;
} kinds[OP_KINDS] = {
    [OP_CREATE] = {"create", F_PATH | F_MODE | F_USER},
    [OP_MKDIR] = {"mkdir", F_PATH | F_MODE | F_USER},
    [OP_SYMLINK] = {"symlink", F_PATH | F_PATH2 | F_USER},
    [OP_MKNOD] = {"mknod", F_PATH | F_TYPE | F_MODE | F_USER},
    [OP_LINK] = {"link", F_PATH | F_PATH2},
    [OP_RENAME] = {"rename", F_PATH | F_PATH2 | F_FLAGS},
    [OP_UNLINK] = {"unlink", F_PATH},
    [OP_RMDIR] = {"rmdir", F_PATH},
    [OP_RMTREE] = {"rmtree", F_PATH},
    [OP_WRITE] = {"write", F_PATH | F_OFF | F_LEN | F_FILL | F_USER},
    [OP_APPEND] = {"append", F_PATH | F_LEN | F_FILL | F_USER},
    [OP_REWRITE] = {"rewrite", F_PATH | F_LEN | F_FILL | F_USER},
    [OP_TRUNCATE] = {"truncate", F_PATH | F_LEN | F_USER},
    [OP_FALLOCATE] = {"fallocate", F_PATH | F_FLAGS | F_OFF | F_LEN | F_USER},
    [OP_CLONE] = {"clone", F_PATH | F_PATH2},
    [OP_CHMOD] = {"chmod", F_PATH | F_MODE | F_USER},
    [OP_CHOWN] = {"chown", F_PATH | F_OWNER | F_USER},
    [OP_UTIMENS] = {"utimens", F_PATH | F_FLAGS | F_TIME},
    [OP_SETXATTR] = {"setxattr", F_PATH | F_XATTR | F_FLAGS | F_LEN | F_FILL | F_USER},
    [OP_REMOVEXATTR] = {"removexattr", F_PATH | F_XATTR},
    [OP_GETXATTR] = {"getxattr", F_PATH | F_XATTR},
    [OP_READ] = {"read", F_PATH | F_OFF | F_LEN},
    [OP_STAT] = {"stat", F_PATH},
    [OP_READLINK] = {"readlink", F_PATH},
    [OP_LIST] = {"list", F_PATH},
    [OP_OPEN] = {"open", F_PATH | F_SLOT | F_FLAGS | F_USER},
    [OP_CLOSE] = {"close", F_SLOT},
    [OP_HOLD] = {"hold", F_PATH | F_SLOT},
    [OP_DROP] = {"drop", F_SLOT},
    [OP_RESTART] = {"restart", 0},
};

/* Words for flags; the first of a kind may be 0, which is not printed. */
static const struct {
	enum op_kind kind;
	unsigned value;
	const char *word;
} words[] = {
    {OP_RENAME, RENAME_PLAIN, "plain"},
    {OP_RENAME, RENAME_NOREPL, "noreplace"},
    {OP_RENAME, RENAME_XCHG, "exchange"},
    {OP_UTIMENS, TIMES_M, "m"},
    {OP_UTIMENS, TIMES_A, "a"},
    {OP_UTIMENS, TIMES_A | TIMES_M, "am"},
    {OP_UTIMENS, TIMES_NOW, "now"},
    {OP_SETXATTR, XATTR_ANY, "any"},
    {OP_SETXATTR, XATTR_NEW, "create"},
    {OP_SETXATTR, XATTR_OLD, "replace"},
    {OP_OPEN, OPEN_R, "r"},
    {OP_OPEN, OPEN_W, "w"},
    {OP_OPEN, OPEN_R | OPEN_W, "rw"},
    {OP_OPEN, OPEN_W | OPEN_T, "wt"},
    {OP_OPEN, OPEN_R | OPEN_W | OPEN_T, "rwt"},
    {OP_FALLOCATE, FALLOC_EXTEND, "extend"},
    {OP_FALLOCATE, FALLOC_KEEP, "keep"},
    {OP_FALLOCATE, FALLOC_PUNCH, "punch"},
    {OP_FALLOCATE, FALLOC_ZERO, "zero"},
};
#define NWORDS (sizeof(words) / sizeof(*words))

static const struct {
	mode_t type;
	const char *word;
} types[] = {{S_IFIFO, "fifo"}, {S_IFCHR, "chr"}, {S_IFBLK, "blk"}, {S_IFSOCK, "sock"}};
#define NTYPES (sizeof(types) / sizeof(*types))

const char *op_name(enum op_kind kind)
{
	return kinds[kind].name;
}

bool op_has_path(enum op_kind kind)
{
	return kinds[kind].fields & F_PATH;
}

bool op_has_user(enum op_kind kind)
{
	return kinds[kind].fields & F_USER;
}

/* ---------------------------------------------------------------- printing */

static void print_flags(FILE *out, const struct op *op)
{
	for (size_t k = 0; k < NWORDS; k++)
		if (words[k].kind == op->kind && words[k].value == op->flags) {
			(void)fprintf(out, " flags=%s", words[k].word);
			return;
		}
}

static void print_type(FILE *out, const struct op *op)
{
	for (size_t k = 0; k < NTYPES; k++)
		if ((op->mode & S_IFMT) == types[k].type)
			(void)fprintf(out, " type=%s", types[k].word);
	if (S_ISCHR(op->mode) || S_ISBLK(op->mode))
		(void)fprintf(out, " rdev=%u", op->rdev);
}

void op_print(FILE *out, const struct op *op)
{
	unsigned f = kinds[op->kind].fields;
	(void)fputs(kinds[op->kind].name, out);
	if (f & F_PATH)
		(void)fprintf(out, " %s", op->path);
	if (f & F_PATH2)
		(void)fprintf(out, " %s", op->path2);
	if (f & F_SLOT)
		(void)fprintf(out, " slot=%u", op->slot);
	if (f & F_XATTR)
		(void)fprintf(out, " name=%s", xattr_names[op->xattr]);
	if (f & F_FLAGS)
		print_flags(out, op);
	if (f & F_TYPE)
		print_type(out, op);
	if (f & F_OFF)
		(void)fprintf(out, " off=%" PRIu64, op->off);
	if (f & F_LEN)
		(void)fprintf(out, " len=%" PRIu64, op->len);
	if (f & F_FILL)
		(void)fprintf(out, " fill=%u", op->fill);
	if (f & F_MODE)
		(void)fprintf(out, " mode=%04o", op->mode & 07777);
	if (f & F_OWNER)
		(void)fprintf(out, " uid=%u gid=%u", op->uid, op->gid);
	if (f & F_TIME)
		(void)fprintf(out, " time=%u", op->time);
	if (f & F_USER && op->user)
		(void)fprintf(out, " user=%u", op->user);
	(void)fputc('\n', out);
}

/* ---------------------------------------------------------------- parsing */

static int parse_number(const char *s, int base, uint64_t max, uint64_t *ret)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(s, &end, base);
	if (errno || end == s || *end || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int parse_word(struct op *op, const char *key, const char *value)
{
	if (strcmp(key, "flags") == 0)
		for (size_t k = 0; k < NWORDS; k++)
			if (words[k].kind == op->kind && strcmp(words[k].word, value) == 0) {
				op->flags = words[k].value;
				return 0;
			}
	if (strcmp(key, "type") == 0)
		for (size_t k = 0; k < NTYPES; k++)
			if (strcmp(types[k].word, value) == 0) {
				op->mode |= types[k].type;
				return 0;
			}
	if (strcmp(key, "name") == 0)
		for (unsigned k = 0; k < xattr_count; k++)
			if (strcmp(xattr_names[k], value) == 0) {
				op->xattr = k;
				return 0;
			}
	return -EINVAL;
}

static int parse_key(struct op *op, const char *key, const char *value)
{
	struct {
		const char *key;
		unsigned *to;
		unsigned max;
	} small[] = {
	    {"slot", &op->slot, SLOTS - 1}, {"fill", &op->fill, UINT32_MAX},
	    {"uid", &op->uid, UINT32_MAX},  {"gid", &op->gid, UINT32_MAX},
	    {"time", &op->time, 1u << 26},  {"user", &op->user, user_count - 1},
	    {"rdev", &op->rdev, 255},
	};
	uint64_t v;
	if (strcmp(key, "off") == 0)
		return parse_number(value, 10, INT64_MAX, &op->off);
	if (strcmp(key, "len") == 0)
		return parse_number(value, 10, INT64_MAX, &op->len);
	if (strcmp(key, "mode") == 0) {
		if (parse_number(value, 8, 07777, &v) < 0)
			return -EINVAL;
		op->mode |= (unsigned)v;
		return 0;
	}
	for (size_t k = 0; k < sizeof(small) / sizeof(*small); k++)
		if (strcmp(key, small[k].key) == 0) {
			if (parse_number(value, 10, small[k].max, &v) < 0)
				return -EINVAL;
			*small[k].to = (unsigned)v;
			return 0;
		}
	return parse_word(op, key, value);
}

static int bad(char *msg, size_t len, const char *what, const char *token)
{
	(void)snprintf(msg, len, "%s '%s'", what, token ? token : "");
	return -EINVAL;
}

static int parse_tokens(char *text, struct op *op, char *msg, size_t msg_len)
{
	char *save, *token = strtok_r(text, " \t\r\n", &save);
	unsigned k = 0;
	while (token && k < OP_KINDS && strcmp(kinds[k].name, token) != 0)
		k++;
	if (!token || k == OP_KINDS)
		return bad(msg, msg_len, "unknown operation", token);
	op->kind = (enum op_kind)k;
	char *paths[] = {kinds[k].fields & F_PATH ? op->path : NULL,
			 kinds[k].fields & F_PATH2 ? op->path2 : NULL};
	for (size_t p = 0; p < 2; p++) {
		if (!paths[p])
			continue;
		token = strtok_r(NULL, " \t\r\n", &save);
		if (!token || strlen(token) >= PATH_LEN)
			return bad(msg, msg_len, "no path, or a long one", token);
		(void)snprintf(paths[p], PATH_LEN, "%s", token);
	}
	while ((token = strtok_r(NULL, " \t\r\n", &save))) {
		char *eq = strchr(token, '=');
		if (!eq)
			return bad(msg, msg_len, "no key=value", token);
		*eq = '\0';
		if (parse_key(op, token, eq + 1) < 0)
			return bad(msg, msg_len, "bad value for", token);
	}
	return 0;
}

int op_parse(const char *line, struct op *ret, char *msg, size_t msg_len)
{
	char *text = strdup(line);
	struct op op = {0};
	if (!text)
		return bad(msg, msg_len, "no memory for", line);
	int r = parse_tokens(text, &op, msg, msg_len);
	free(text);
	if (r == 0)
		*ret = op;
	return r;
}

/* ---------------------------------------------------------------- paths */

struct path_head path_head(const char *path)
{
	struct path_head h = {.from = FROM_ROOT, .rest = path};
	if ((path[0] == '@' || path[0] == '%') && path[1] >= '0' && path[1] < '0' + SLOTS &&
	    (path[2] == '/' || path[2] == '\0')) {
		h.from = path[0] == '@' ? FROM_HELD : FROM_OPEN;
		h.slot = (unsigned)(path[1] - '0');
		h.rest = path + 2;
	}
	while (*h.rest == '/')
		h.rest++;
	return h;
}

bool path_next(const char **p, char ret[PATH_LEN])
{
	size_t n = strcspn(*p, "/");
	if (n == 0)
		return false;
	memcpy(ret, *p, n);
	ret[n] = '\0';
	*p += n;
	while (**p == '/')
		(*p)++;
	return true;
}

bool path_is_open(const char *path)
{
	struct path_head h = path_head(path);
	return h.from == FROM_OPEN && *h.rest == '\0';
}
