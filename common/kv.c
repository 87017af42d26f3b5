/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * key = value records: an ordered list of (section, key, value); files are small, lookups linear.
 */
#include "common/kv.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/fs.h"

struct entry {
	char *section, *key, *value;
};

struct cow_kv {
	struct entry *e;
	size_t n, room;
};

int cow_kv_new(struct cow_kv **ret)
{
	struct cow_kv *kv = calloc(1, sizeof(*kv));

	if (!kv)
		return -ENOMEM;
	*ret = kv;
	return 0;
}

static void entry_done(struct entry *e)
{
	free(e->section);
	free(e->key);
	free(e->value);
}

void cow_kv_free(struct cow_kv *kv)
{
	if (!kv)
		return;
	for (size_t i = 0; i < kv->n; i++)
		entry_done(&kv->e[i]);
	free(kv->e);
	free(kv);
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static int name_ok(const char *s, size_t len)
{
	if (len == 0 || len > COW_LABEL_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return 0;
	}
	return 1;
}

static int value_ok(const char *s, size_t len)
{
	if (memchr(s, '\n', len) || memchr(s, '\0', len))
		return 0;
	/* A trailing CR would be taken for part of a CRLF line end. */
	return len == 0 || (!is_blank(s[0]) && !is_blank(s[len - 1]) && s[len - 1] != '\r');
}

/* Takes counted bytes; the section of @after or, without one, the end decides the place. */
static int insert(struct cow_kv *kv, size_t at, const char *section, size_t section_len,
		  const char *key, size_t key_len, const char *value, size_t value_len)
{
	if (kv->n == kv->room) {
		size_t room = kv->room ? kv->room * 2 : 16;
		struct entry *p = reallocarray(kv->e, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		kv->e = p;
		kv->room = room;
	}
	struct entry e = {strndup(section, section_len), strndup(key, key_len),
			  strndup(value, value_len)};
	if (!e.section || !e.key || !e.value) {
		entry_done(&e);
		return -ENOMEM;
	}
	memmove(&kv->e[at + 1], &kv->e[at], (kv->n - at) * sizeof(*kv->e));
	kv->e[at] = e;
	kv->n++;
	return 0;
}

struct line {
	const char *p;
	size_t len;
};

static struct line trim(struct line l)
{
	while (l.len && is_blank(l.p[0])) {
		l.p++;
		l.len--;
	}
	while (l.len && is_blank(l.p[l.len - 1]))
		l.len--;
	return l;
}

/* One line; @section is what the last section line said. Return: 0; -EINVAL; -ENOMEM. */
static int parse_line(struct cow_kv *kv, struct line l, struct line *section)
{
	l = trim(l);
	if (l.len == 0 || l.p[0] == '#')
		return 0;
	if (l.p[0] == '[') {
		if (l.p[l.len - 1] != ']' || !name_ok(l.p + 1, l.len - 2))
			return -EINVAL;
		*section = (struct line){l.p + 1, l.len - 2};
		return 0;
	}
	const char *eq = memchr(l.p, '=', l.len);
	if (!eq)
		return -EINVAL;
	struct line key = trim((struct line){l.p, (size_t)(eq - l.p)});
	struct line value = trim((struct line){eq + 1, l.len - (size_t)(eq + 1 - l.p)});
	if (!name_ok(key.p, key.len) || !value_ok(value.p, value.len))
		return -EINVAL;
	return insert(kv, kv->n, section->p, section->len, key.p, key.len, value.p, value.len);
}

int cow_kv_parse(const char *buf, size_t len, const char *what, struct cow_kv **ret,
		 struct cow_err *err)
{
	if (len > COW_KV_FILE_MAX)
		return cow_err_set(err, -EFBIG, "%s: larger than %u bytes", what, COW_KV_FILE_MAX);
	cow_autokv kv = NULL;
	int r = cow_kv_new(&kv);
	if (r < 0)
		return cow_err_set(err, r, "%s", what);
	struct line section = {"", 0};
	unsigned lineno = 0;
	for (size_t at = 0; at < len;) {
		const char *nl = memchr(buf + at, '\n', len - at);
		struct line l = {buf + at, nl ? (size_t)(nl - buf) - at : len - at};
		at += l.len + 1;
		lineno++;
		if (l.len && l.p[l.len - 1] == '\r')
			l.len--;
		r = l.len > COW_KV_LINE_MAX ? -EINVAL : parse_line(kv, l, &section);
		if (r == -EINVAL)
			return cow_err_say(err, COW_ERR_FAILED, r,
					   "%s, line %u: neither 'key = value', '[section]' nor '# comment'",
					   what, lineno);
		if (r < 0)
			return cow_err_set(err, r, "%s, line %u", what, lineno);
	}
	*ret = cow_steal_ptr(&kv);
	return 0;
}

int cow_kv_read_at(int dirfd, const char *name, struct cow_kv **ret, struct cow_err *err)
{
	cow_autofree char *buf = NULL;
	size_t len;
	int r = cow_read_file_at(dirfd, name, COW_KV_FILE_MAX, &buf, &len);

	if (r < 0)
		return cow_err_set(err, r, "read '%s'", name);
	return cow_kv_parse(buf, len, name, ret, err);
}

int cow_kv_write_at(int dirfd, const char *name, const struct cow_kv *kv, mode_t mode,
		    struct cow_err *err)
{
	cow_autofree char *buf = NULL;
	size_t len;
	int r = cow_kv_format(kv, &buf, &len);

	if (r == 0)
		r = cow_write_file_at(dirfd, name, buf, len, mode);
	return r < 0 ? cow_err_set(err, r, "write '%s'", name) : 0;
}

static int matches(const struct entry *e, const char *section, const char *key)
{
	return strcmp(e->key, key) == 0 && strcmp(e->section, section) == 0;
}

const char *cow_kv_get(const struct cow_kv *kv, const char *section, const char *key)
{
	for (size_t i = kv->n; i-- > 0;)
		if (matches(&kv->e[i], section, key))
			return kv->e[i].value;
	return NULL;
}

const char *cow_kv_get_nth(const struct cow_kv *kv, const char *section, const char *key, size_t n)
{
	for (size_t i = 0; i < kv->n; i++)
		if (matches(&kv->e[i], section, key) && n-- == 0)
			return kv->e[i].value;
	return NULL;
}

int cow_kv_entry(const struct cow_kv *kv, size_t n, const char **ret_section, const char **ret_key,
		 const char **ret_value)
{
	if (n >= kv->n)
		return -ENOENT;
	if (ret_section)
		*ret_section = kv->e[n].section;
	if (ret_key)
		*ret_key = kv->e[n].key;
	if (ret_value)
		*ret_value = kv->e[n].value;
	return 0;
}

/* Behind the last entry of the section, so that each section is written once. */
static size_t place_for(const struct cow_kv *kv, const char *section)
{
	size_t at = *section ? kv->n : 0;

	for (size_t i = 0; i < kv->n; i++)
		if (strcmp(kv->e[i].section, section) == 0)
			at = i + 1;
	return at;
}

static int check_args(const char *section, const char *key, const char *value)
{
	if ((*section && !name_ok(section, strlen(section))) || !name_ok(key, strlen(key)))
		return -EINVAL;
	if (!value)
		return 0;
	/* The line must be readable again. */
	size_t len = strlen(value);
	return value_ok(value, len) && len + strlen(key) + 3 <= COW_KV_LINE_MAX ? 0 : -EINVAL;
}

int cow_kv_add(struct cow_kv *kv, const char *section, const char *key, const char *value)
{
	int r = value ? check_args(section, key, value) : -EINVAL;

	if (r < 0)
		return r;
	return insert(kv, place_for(kv, section), section, strlen(section), key, strlen(key), value,
		      strlen(value));
}

int cow_kv_set(struct cow_kv *kv, const char *section, const char *key, const char *value)
{
	int r = check_args(section, key, value);

	if (r < 0)
		return r;
	cow_autofree char *copy = value ? strdup(value) : NULL;
	if (value && !copy)
		return -ENOMEM;
	size_t kept = 0;
	for (size_t i = 0; i < kv->n; i++) {
		struct entry *e = &kv->e[i];
		int hit = matches(e, section, key);
		if (hit && !copy) {
			entry_done(e);
			continue;
		}
		if (hit) { /* the first occurrence keeps its place */
			free(e->value);
			e->value = cow_steal_ptr(&copy);
			value = NULL;
		}
		kv->e[kept++] = *e;
	}
	kv->n = kept;
	if (!value)
		return 0;
	return insert(kv, place_for(kv, section), section, strlen(section), key, strlen(key), value,
		      strlen(value));
}

int cow_kv_setf(struct cow_kv *kv, const char *section, const char *key, const char *fmt, ...)
{
	cow_autofree char *value = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0) {
		value = NULL; /* unspecified after a failure */
		return -ENOMEM;
	}
	return cow_kv_set(kv, section, key, value);
}

int cow_kv_format(const struct cow_kv *kv, char **ret, size_t *ret_len)
{
	cow_autofree char *buf = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&buf, &len);

	if (!f)
		return -ENOMEM;
	const char *section = "";
	int bad = 0;
	for (size_t i = 0; i < kv->n; i++) {
		const struct entry *e = &kv->e[i];
		if (strcmp(section, e->section) != 0) {
			section = e->section;
			bad |= fprintf(f, "%s[%s]\n", i ? "\n" : "", section) < 0;
		}
		bad |= fprintf(f, "%s = %s\n", e->key, e->value) < 0;
	}
	if (fclose(f) != 0 || bad)
		return -ENOMEM;
	if (len > COW_KV_FILE_MAX)
		return -EFBIG;
	*ret = cow_steal_ptr(&buf);
	*ret_len = len;
	return 0;
}

int cow_kv_get_u64(const struct cow_kv *kv, const char *section, const char *key, uint64_t min,
		   uint64_t max, uint64_t *ret, struct cow_err *err)
{
	const char *s = cow_kv_get(kv, section, key);

	if (!s)
		return 0;
	int r = cow_parse_u64(s, min, max, ret);
	if (r < 0)
		return cow_err_say(err, COW_ERR_FAILED, r, "'%s = %.100s': not a number from %llu to %llu",
				   key, s, (unsigned long long)min, (unsigned long long)max);
	return 0;
}

int cow_kv_get_switch(const struct cow_kv *kv, const char *section, const char *key, int *ret,
		      struct cow_err *err)
{
	static const char *const words[][4] = {{"no", "false", "off", "0"},
					       {"yes", "true", "on", "1"}};
	const char *s = cow_kv_get(kv, section, key);

	if (!s)
		return 0;
	for (int v = 0; v < 2; v++) {
		for (int i = 0; i < 4; i++) {
			if (strcmp(s, words[v][i]) == 0) {
				*ret = v;
				return 0;
			}
		}
	}
	return cow_err_say(err, COW_ERR_FAILED, -EINVAL, "'%s = %.100s': say yes or no", key, s);
}
