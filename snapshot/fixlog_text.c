/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * image.fixups as text, which archives bring from elsewhere: see cowherd-store(5).
 *
 *	[STEP]
 *	did = WORDS
 *	lost = yes
 *	change = KIND path=... mode=... uid=... gid=... atime=... mtime=... size=... head=... tail=... now=... ...
 *	cut = BASE64		behind its change, like all that follows; lines of one are joined
 *	put = BASE64
 *	xattr = at name=...
 *	value = BASE64		behind its xattr
 *	also = at path=...
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/checked.h"
#include "common/fields.h"
#include "common/fs.h"
#include "common/kv.h"
#include "fixlog.h"

#define CHUNK ((size_t)6000) /* bytes in a line; a multiple of three */
#define XATTRS_MAX 64

static const char *const kinds[] = {"none", "dir", "file", "link", "node"};
#define NKINDS (sizeof(kinds) / sizeof(*kinds))

/* ---------------------------------------------------------------- writing */

static int add_bytes(struct cow_kv *kv, const char *section, const char *key,
		     const struct cow_fixlog_bytes *b)
{
	unsigned char line[CHUNK / 3 * 4 + 1];
	int r = 0;
	for (size_t at = 0; r == 0 && at < b->len; at += CHUNK) {
		size_t n = b->len - at < CHUNK ? b->len - at : CHUNK;
		(void)EVP_EncodeBlock(line, (const unsigned char *)b->p + at, (int)n);
		r = cow_kv_add(kv, section, key, (const char *)line);
	}
	return r;
}

static void add_time(struct cow_fields *f, const char *key, const struct timespec *t)
{
	char text[48];
	(void)snprintf(text, sizeof(text), "%lld.%09ld", (long long)t->tv_sec, t->tv_nsec);
	cow_fields_add(f, key, text);
}

static void add_octal(struct cow_fields *f, const char *key, mode_t mode)
{
	char text[16];
	(void)snprintf(text, sizeof(text), "%04o", (unsigned)mode);
	cow_fields_add(f, key, text);
}

static void add_before(struct cow_fields *f, const struct cow_fixlog_change *c)
{
	cow_fields_add(f, "path", c->path);
	if (c->lost)
		cow_fields_add(f, "lost", "yes");
	if (c->kind == COW_FIXLOG_NONE || c->kind == COW_FIXLOG_DIR)
		return;
	add_octal(f, "mode", c->kind == COW_FIXLOG_NODE ? c->meta.mode : c->meta.mode & 07777);
	cow_fields_add_u64(f, "uid", c->meta.uid);
	cow_fields_add_u64(f, "gid", c->meta.gid);
	add_time(f, "atime", &c->meta.times[0]);
	add_time(f, "mtime", &c->meta.times[1]);
	if (c->kind == COW_FIXLOG_NODE) {
		cow_fields_add_u64(f, "major", major(c->meta.rdev));
		cow_fields_add_u64(f, "minor", minor(c->meta.rdev));
	}
	if (c->kind == COW_FIXLOG_FILE) {
		cow_fields_add_u64(f, "size", c->size);
		cow_fields_add_u64(f, "head", c->head);
		cow_fields_add_u64(f, "tail", c->tail);
	}
}

static void add_now(struct cow_fields *f, const struct cow_fixlog_change *c)
{
	char hex[2 * COW_FIXLOG_SUM_LEN + 1];
	cow_fields_add(f, "now", kinds[c->now.kind]);
	if (c->now.kind == COW_FIXLOG_LINK)
		cow_fields_add(f, "target", c->now.target);
	if (c->now.kind != COW_FIXLOG_FILE)
		return;
	for (size_t k = 0; k < COW_FIXLOG_SUM_LEN; k++)
		(void)snprintf(hex + 2 * k, 3, "%02x", c->now.sum[k]);
	cow_fields_add(f, "sum", hex);
	cow_fields_add_u64(f, "now_size", c->now.size);
	add_octal(f, "now_mode", c->now.mode);
	cow_fields_add_u64(f, "now_uid", c->now.uid);
	cow_fields_add_u64(f, "now_gid", c->now.gid);
}

static int add_line(struct cow_kv *kv, const char *section, const char *key, struct cow_fields *f)
{
	int len = cow_fields_end(f);
	if (len < 0)
		return len;
	f->line[len - 1] = 0; /* no LF */
	return cow_kv_add(kv, section, key, f->line);
}

static int add_named(struct cow_kv *kv, const char *section, const char *key, const char *what,
		     const char *value)
{
	struct cow_fields f;
	cow_fields_begin(&f, "at");
	cow_fields_add(&f, what, value);
	return add_line(kv, section, key, &f);
}

static int add_change(struct cow_kv *kv, const char *section, const struct cow_fixlog_change *c)
{
	struct cow_fields f;
	cow_fields_begin(&f, kinds[c->kind]);
	add_before(&f, c);
	add_now(&f, c);
	int r = add_line(kv, section, "change", &f);
	if (r == -E2BIG) /* a path longer than any the fix-ups use */
		return cow_kv_set(kv, section, "lost", "yes");
	if (r == 0)
		r = add_bytes(kv, section, "cut", &c->cut);
	if (r == 0)
		r = add_bytes(kv, section, "put", &c->put);
	for (size_t i = 0; r == 0 && i < c->nxattr; i++) {
		r = add_named(kv, section, "xattr", "name", c->xattr[i].name);
		if (r == 0)
			r = add_bytes(kv, section, "value", &c->xattr[i].value);
	}
	for (size_t i = 0; r == 0 && i < c->nalso; i++) {
		r = add_named(kv, section, "also", "path", c->also[i]);
		r = r == -E2BIG ? 0 : r; /* a name less to make a link of */
	}
	return r;
}

int cow_fixlog_format(const struct cow_fixlog *log, struct cow_kv **ret)
{
	cow_autokv kv = NULL;
	int r = cow_kv_new(&kv);
	for (size_t i = 0; r == 0 && i < log->n; i++) {
		const struct cow_fixlog_step *s = &log->step[i];
		r = cow_kv_set(kv, s->name, "did", s->did ? s->did : "");
		if (r == 0 && s->lost)
			r = cow_kv_set(kv, s->name, "lost", "yes");
		for (size_t k = 0; r == 0 && k < s->n; k++)
			r = add_change(kv, s->name, &s->change[k]);
	}
	if (r == 0)
		*ret = cow_steal_ptr(&kv);
	return r;
}

/* ---------------------------------------------------------------- reading */

static int take_kind(const char *text, enum cow_fixlog_kind *ret)
{
	for (size_t i = 0; i < NKINDS; i++)
		if (strcmp(kinds[i], text) == 0) {
			*ret = (enum cow_fixlog_kind)i;
			return 0;
		}
	return -EBADMSG;
}

/* A path from the root of the tree, as fix-ups have them. */
static int check_path(const char *p)
{
	if (!*p || strlen(p) > COW_PATH_MAX)
		return -EBADMSG;
	for (;;) {
		size_t len = strcspn(p, "/");
		if (len == 0 || len > COW_NAME_MAX || (len == 1 && p[0] == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return -EBADMSG;
		p += len;
		if (!*p++)
			return 0;
	}
}

static int take_text(const char *line, const char *key, char **ret)
{
	char text[COW_FIELDS_LINE_MAX];
	if (*ret || cow_fields_get(line, key, text, sizeof(text)) < 0)
		return -EBADMSG;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int take_u64(const char *line, const char *key, uint64_t max, uint64_t *ret)
{
	return cow_fields_get_u64(line, key, max, ret) < 0 ? -EBADMSG : 0;
}

static int take_id(const char *line, const char *key, unsigned *ret)
{
	uint64_t n = 0;
	int r = take_u64(line, key, UINT32_MAX - 1, &n);
	*ret = (unsigned)n;
	return r;
}

static int take_octal(const char *line, const char *key, mode_t max, mode_t *ret)
{
	char text[16];
	mode_t n = 0;
	if (cow_fields_get(line, key, text, sizeof(text)) < 0 || !*text)
		return -EBADMSG;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '7' || n > max)
			return -EBADMSG;
		n = n * 8 + (mode_t)(*p - '0');
	}
	*ret = n;
	return n > max ? -EBADMSG : 0;
}

/* SECONDS.NANOSECONDS, nine digits of these; seconds may be negative. */
static int take_time(const char *line, const char *key, struct timespec *ret)
{
	char text[48];
	uint64_t s, ns;
	if (cow_fields_get(line, key, text, sizeof(text)) < 0)
		return -EBADMSG;
	const char *p = text[0] == '-' ? text + 1 : text, *dot = strchr(p, '.');
	if (!dot || strlen(dot) != 10 ||
	    cow_parse_u64n(p, (size_t)(dot - p), 0, (uint64_t)1 << 40, &s) < 0 ||
	    cow_parse_u64n(dot + 1, 9, 0, 999999999, &ns) < 0)
		return -EBADMSG;
	ret->tv_sec = p == text ? (time_t)s : -(time_t)s;
	ret->tv_nsec = (long)ns;
	return 0;
}

static int take_node(const char *line, struct cow_meta *m)
{
	uint64_t major_n = 0, minor_n = 0;
	int r = take_octal(line, "mode", S_IFMT | 07777, &m->mode);
	if (r == 0)
		r = take_u64(line, "major", UINT32_MAX, &major_n);
	if (r == 0)
		r = take_u64(line, "minor", UINT32_MAX, &minor_n);
	m->rdev = makedev((unsigned)major_n, (unsigned)minor_n);
	return r == 0 && (S_ISCHR(m->mode) || S_ISBLK(m->mode) || S_ISFIFO(m->mode) ||
			  S_ISSOCK(m->mode))
		   ? 0
		   : -EBADMSG;
}

static int take_mode(const char *line, struct cow_fixlog_change *c)
{
	if (c->kind == COW_FIXLOG_NODE)
		return take_node(line, &c->meta);
	int r = take_octal(line, "mode", 07777, &c->meta.mode);
	c->meta.mode |= c->kind == COW_FIXLOG_LINK ? S_IFLNK : S_IFREG;
	return r;
}

static int take_before(const char *line, struct cow_fixlog_change *c)
{
	char word[16];
	int r = take_text(line, "path", &c->path);
	if (r == 0)
		r = check_path(c->path);
	c->lost = cow_fields_get(line, "lost", word, sizeof(word)) == 0;
	if (r < 0 || c->kind == COW_FIXLOG_NONE || c->kind == COW_FIXLOG_DIR)
		return r;
	r = take_mode(line, c);
	if (r == 0)
		r = take_id(line, "uid", &c->meta.uid);
	if (r == 0)
		r = take_id(line, "gid", &c->meta.gid);
	if (r == 0)
		r = take_time(line, "atime", &c->meta.times[0]);
	if (r == 0)
		r = take_time(line, "mtime", &c->meta.times[1]);
	if (r < 0 || c->kind != COW_FIXLOG_FILE)
		return r;
	r = take_u64(line, "size", COW_FIXLOG_SIZE_MAX, &c->size);
	if (r == 0)
		r = take_u64(line, "head", COW_FIXLOG_SIZE_MAX, &c->head);
	return r < 0 ? r : take_u64(line, "tail", COW_FIXLOG_SIZE_MAX, &c->tail);
}

static int take_sum(const char *line, uint8_t ret[COW_FIXLOG_SUM_LEN])
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * COW_FIXLOG_SUM_LEN + 1];
	if (cow_fields_get(line, "sum", text, sizeof(text)) < 0 ||
	    strspn(text, digits) != sizeof(text) - 1)
		return -EBADMSG;
	for (size_t k = 0; k < COW_FIXLOG_SUM_LEN; k++)
		ret[k] = (uint8_t)((strchr(digits, text[2 * k]) - digits) << 4 |
				   (strchr(digits, text[2 * k + 1]) - digits));
	return 0;
}

static int take_now(const char *line, struct cow_fixlog_change *c)
{
	char word[16];
	if (cow_fields_get(line, "now", word, sizeof(word)) < 0 || take_kind(word, &c->now.kind) < 0 ||
	    c->now.kind == COW_FIXLOG_DIR || c->now.kind == COW_FIXLOG_NODE)
		return -EBADMSG;
	if (c->now.kind == COW_FIXLOG_LINK)
		return take_text(line, "target", &c->now.target);
	if (c->now.kind != COW_FIXLOG_FILE)
		return 0;
	int r = take_sum(line, c->now.sum);
	if (r == 0)
		r = take_u64(line, "now_size", COW_FIXLOG_SIZE_MAX, &c->now.size);
	if (r == 0)
		r = take_octal(line, "now_mode", 07777, &c->now.mode);
	if (r == 0)
		r = take_id(line, "now_uid", &c->now.uid);
	return r < 0 ? r : take_id(line, "now_gid", &c->now.gid);
}

static int take_change(struct cow_fixlog *log, const char *section, const char *line)
{
	static const char blank[] = " ";
	struct cow_fixlog_change c = {.path = NULL};
	char kind[16];
	size_t len = strcspn(line, blank);
	int r = len < sizeof(kind) ? 0 : -EBADMSG;
	if (r == 0) {
		memcpy(kind, line, len);
		kind[len] = 0;
		r = take_kind(kind, &c.kind);
	}
	if (r == 0)
		r = take_before(line, &c);
	if (r == 0)
		r = take_now(line, &c);
	if (r == 0 && cow_fixlog_find_path(cow_fixlog_find(log, section), c.path))
		r = -EBADMSG;
	if (r == 0)
		r = cow_fixlog_put(log, section, &c);
	cow_fixlog_change_done(&c);
	return r;
}

static int take_bytes(const char *text, struct cow_fixlog_bytes *b)
{
	unsigned char plain[COW_KV_LINE_MAX];
	size_t len = strlen(text), end = len;
	while (end > 0 && len - end < 2 && text[end - 1] == '=')
		end--;
	if (len == 0 || len % 4 != 0 || len > sizeof(plain) || memchr(text, '=', end))
		return -EBADMSG;
	int n = EVP_DecodeBlock(plain, (const unsigned char *)text, (int)len);
	if (n < 0 || (size_t)n != len / 4 * 3)
		return -EBADMSG; /* blanks are passed over there */
	size_t more = (size_t)n - (len - end);
	char *grown = realloc(b->p, b->len + more + 1);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + b->len, plain, more);
	*b = (struct cow_fixlog_bytes){grown, b->len + more};
	grown[b->len] = 0;
	return 0;
}

static int take_xattr(const char *line, struct cow_fixlog_change *c)
{
	if (c->nxattr == XATTRS_MAX)
		return -EBADMSG;
	struct cow_fixlog_xattr *grown = reallocarray(c->xattr, c->nxattr + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->xattr = grown;
	grown[c->nxattr] = (struct cow_fixlog_xattr){.name = NULL};
	int r = take_text(line, "name", &grown[c->nxattr].name);
	if (r < 0)
		return r;
	size_t len = strlen(grown[c->nxattr++].name);
	return len > 0 && len <= COW_XATTR_NAME_MAX ? 0 : -EBADMSG;
}

static int take_also(const char *line, struct cow_fixlog_change *c)
{
	if (c->nalso == COW_FIXLOG_ALSO_MAX)
		return -EBADMSG;
	c->also[c->nalso] = NULL;
	int r = take_text(line, "path", &c->also[c->nalso]);
	return r < 0 ? r : check_path(c->also[c->nalso++]);
}

/* What belongs to the last change of the section. */
static int take_more(struct cow_fixlog_change *c, const char *key, const char *value)
{
	if (strcmp(key, "cut") == 0)
		return take_bytes(value, &c->cut);
	if (strcmp(key, "put") == 0)
		return take_bytes(value, &c->put);
	if (strcmp(key, "xattr") == 0)
		return take_xattr(value, c);
	if (strcmp(key, "value") == 0)
		return c->nxattr ? take_bytes(value, &c->xattr[c->nxattr - 1].value) : -EBADMSG;
	return strcmp(key, "also") == 0 ? take_also(value, c) : 0; /* of a newer program */
}

static int take_entry(struct cow_fixlog *log, const char *section, const char *key,
		      const char *value)
{
	if (strcmp(key, "did") == 0)
		return cow_fixlog_find(log, section) ? -EBADMSG : cow_fixlog_did(log, section, value);
	if (strcmp(key, "lost") == 0)
		return cow_fixlog_lost(log, section);
	if (strcmp(key, "change") == 0)
		return take_change(log, section, value);
	const struct cow_fixlog_step *s = cow_fixlog_find(log, section);
	return s && s->n ? take_more(&s->change[s->n - 1], key, value) : -EBADMSG;
}

/* What is put back must be whole. */
static int check(const struct cow_fixlog_change *c)
{
	uint64_t known = c->head + c->tail + c->cut.len; /* each is below 2^41 */
	if (c->kind == COW_FIXLOG_LINK)
		return c->lost || (c->cut.len > 0 && c->cut.len <= COW_SYMLINK_MAX &&
				   !memchr(c->cut.p, 0, c->cut.len))
			   ? 0
			   : -EBADMSG;
	if (c->kind != COW_FIXLOG_FILE)
		return 0;
	if ((c->head || c->tail) &&
	    (c->now.kind != COW_FIXLOG_FILE || c->head + c->tail > c->now.size))
		return -EBADMSG;
	return c->lost || known == c->size || (known < c->size && c->tail == 0) ? 0 : -EBADMSG;
}

int cow_fixlog_parse(const struct cow_kv *kv, struct cow_fixlog *ret)
{
	const char *section, *key, *value;
	cow_autofixlog log = COW_FIXLOG_EMPTY;
	int r = 0;
	for (size_t n = 0; r == 0 && cow_kv_entry(kv, n, &section, &key, &value) == 0; n++)
		r = *section ? take_entry(&log, section, key, value) : -EBADMSG;
	for (size_t i = 0; r == 0 && i < log.n; i++)
		for (size_t k = 0; r == 0 && k < log.step[i].n; k++)
			r = check(&log.step[i].change[k]);
	if (r < 0)
		return r;
	cow_fixlog_count(&log);
	*ret = log;
	log = (struct cow_fixlog)COW_FIXLOG_EMPTY;
	return 0;
}

/* ---------------------------------------------------------------- files */

int cow_fixlog_read(int version_dir, struct cow_fixlog *ret, struct cow_err *err)
{
	cow_autokv kv = NULL;
	int r = cow_exists_at(version_dir, COW_FIXLOG_NAME);
	*ret = (struct cow_fixlog)COW_FIXLOG_EMPTY;
	if (r <= 0)
		return r < 0 ? cow_err_set(err, r, "look for %s", COW_FIXLOG_NAME) : 0;
	r = cow_kv_read_at(version_dir, COW_FIXLOG_NAME, &kv, err);
	if (r == -EINVAL)
		return -EBADMSG;
	if (r < 0)
		return r;
	r = cow_fixlog_parse(kv, ret);
	return r < 0 ? cow_err_set(err, r, "read %s", COW_FIXLOG_NAME) : 0;
}

int cow_fixlog_write(int version_dir, const struct cow_fixlog *log, struct cow_err *err)
{
	cow_autokv kv = NULL;
	if (log->n == 0)
		return 0;
	int r = cow_fixlog_format(log, &kv);
	if (r < 0)
		return cow_err_set(err, r, "write %s", COW_FIXLOG_NAME);
	/* It holds what is not for everybody, such as host keys. */
	return cow_kv_write_at(version_dir, COW_FIXLOG_NAME, kv, 0600, err);
}
