/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "fixup_internal.h"
#include "tree.h"

#define UNIT_DIR "etc/systemd/system/"

void cow_fix_did(struct cow_fix *f, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t len = strlen(f->what);
	if (len + strlen(text) + sizeof(", ...") < sizeof(f->what))
		(void)snprintf(f->what + len, sizeof(f->what) - len, "%s%s", len ? ", " : "", text);
	else if (len >= 3 && strcmp(f->what + len - 3, "...") != 0)
		(void)snprintf(f->what + len, sizeof(f->what) - len, ", ...");
}

bool cow_fix_is_trouble(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -ENOMEM || r == -EROFS ||
	       r == -EMFILE || r == -ENFILE;
}

int cow_fix_lstat(struct cow_fix *f, const char *path, struct stat *ret)
{
	int r = cow_tree_lstat(f->tree, path, ret);
	if (cow_fix_is_trouble(r))
		f->trouble = r;
	return r;
}

int cow_fix_has(struct cow_fix *f, const char *path)
{
	cow_autoclose int fd = cow_tree_open(f->tree, path, O_PATH);
	if (cow_fix_is_trouble(fd))
		f->trouble = fd;
	return fd >= 0;
}

int cow_fix_has_unit(struct cow_fix *f, const char *unit)
{
	static const char *const dirs[] = {"usr/lib/systemd/system", "lib/systemd/system",
					   "etc/systemd/system"};
	char path[COW_PATH_MAX + 1];
	struct stat st;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], unit);
		if (cow_fix_lstat(f, path, &st) == 0)
			return 1;
	}
	const char *dot = strrchr(unit, '.');
	(void)snprintf(path, sizeof(path), "etc/init.d/%.*s", dot ? (int)(dot - unit) : 255, unit);
	return dot && strcmp(dot, ".service") == 0 && cow_fix_has(f, path);
}

int cow_fix_write(struct cow_fix *f, const char *path, const char *old, const char *text,
		  unsigned mode)
{
	const struct cow_fix_to to = {
	    .kind = COW_FIXLOG_FILE,
	    .bytes = text,
	    .len = strlen(text),
	    .mode = mode,
	    .old = {(char *)(uintptr_t)old, old ? strlen(old) : 0},
	};
	return cow_fix_change(f, path, &to);
}

int cow_fix_link(struct cow_fix *f, const char *path, const char *target)
{
	const struct cow_fix_to to = {.kind = COW_FIXLOG_LINK, .target = target};
	return cow_fix_change(f, path, &to);
}

/* Is there a link of exactly this target, as it is in the image: 1 or 0. */
static int is_link_to(const struct cow_fix *f, const char *path, const char *want)
{
	struct stat st;
	cow_autoclose int fd = cow_tree_open(f->tree, path, O_PATH | O_NOFOLLOW);
	char target[COW_PATH_MAX + 1] = "";
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
	return n > 0 && strcmp(target, want) == 0;
}

int cow_fix_mask(struct cow_fix *f, const char *unit)
{
	char path[COW_PATH_MAX + 1];
	(void)snprintf(path, sizeof(path), UNIT_DIR "%s", unit);
	if (!cow_fix_has_unit(f, unit) || is_link_to(f, path, "/dev/null"))
		return 0;
	int r = cow_fix_link(f, path, "/dev/null");
	if (r == 0)
		cow_fix_did(f, "masked %s", unit);
	return r;
}

int cow_fix_mask_all(struct cow_fix *f, const char *const *units)
{
	for (; *units; units++) {
		int r = cow_fix_mask(f, *units);
		if (r < 0)
			return r;
	}
	return 0;
}

int cow_fix_add_unit(struct cow_fix *f, const char *unit, const char *text, const char *target)
{
	char path[COW_PATH_MAX + 1], link[COW_PATH_MAX + 1];
	(void)snprintf(path, sizeof(path), UNIT_DIR "%s", unit);
	int r = cow_fix_put(f, path, text, 0644);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), UNIT_DIR "%s.wants/%s", target, unit);
	(void)snprintf(link, sizeof(link), "../%s", unit);
	/* A version made of an older one has it. */
	return is_link_to(f, path, link) ? 0 : cow_fix_link(f, path, link);
}

int cow_fix_remove(struct cow_fix *f, const char *path)
{
	const struct cow_fix_to none = {.kind = COW_FIXLOG_NONE};
	int r = cow_fix_change(f, path, &none);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		cow_fix_did(f, "removed /%s", path);
	return r;
}

int cow_fix_read(const struct cow_fix *f, const char *path, char **ret)
{
	cow_autofree char *buf = NULL;
	size_t len;
	int r = cow_tree_read(f->tree, path, COW_KV_FILE_MAX, &buf, &len);
	if (r < 0)
		return r;
	if (strlen(buf) != len)
		return -EBADMSG;
	*ret = cow_steal_ptr(&buf);
	return 0;
}

int cow_fix_put(struct cow_fix *f, const char *path, const char *text, unsigned mode)
{
	cow_autofree char *old = NULL;
	if (cow_fix_read(f, path, &old) == 0 && strcmp(old, text) == 0)
		return 0;
	int r = cow_fix_write(f, path, old, text, mode);
	if (r == 0)
		cow_fix_did(f, "wrote /%s", path);
	return r;
}

int cow_text_add(struct cow_text *t, const char *s, size_t len)
{
	if (t->cap - t->len <= len) {
		size_t cap = (t->len + len + 1) * 2;
		char *grown = realloc(t->s, cap);
		if (!grown)
			return -ENOMEM;
		t->s = grown;
		t->cap = cap;
	}
	memcpy(t->s + t->len, s, len);
	t->len += len;
	t->s[t->len] = 0;
	return 0;
}

int cow_fix_lines(struct cow_fix *f, const char *path,
		  int (*fn)(void *ctx, const char *line, size_t len, struct cow_text *out),
		  void *ctx)
{
	cow_autofree char *old = NULL;
	struct cow_text out = {0};
	int r = cow_fix_read(f, path, &old);
	if (r == 0)
		r = cow_text_add(&out, "", 0);
	for (const char *p = old; r == 0 && *p;) {
		size_t len = strcspn(p, "\n");
		r = fn(ctx, p, len, &out);
		p += len;
		p += *p == '\n';
	}
	if (r == 0 && strcmp(old, out.s) != 0) {
		r = cow_fix_write(f, path, old, out.s, 0644);
		if (r == 0)
			r = 1;
	}
	free(out.s);
	return r;
}
