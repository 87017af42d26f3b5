/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The record of fix-ups, which archives bring: what is taken says where in a tree and how much, and is the same
 * record when it is written and read again. Each change is tried on what it says is there now, and on other text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/kv.h"
#include "fixlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static void check_path(const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");
		must(len > 0 && len <= 255 && strncmp(path, "./", 2) != 0 &&
		     strncmp(path, "../", 3) != 0 && strcmp(path, "..") != 0 && strcmp(path, ".") != 0);
		path += len;
		must(!*path || path[1]);
		path += *path == '/';
	}
}

/* Bytes from the input stand for the file. */
static void try_on(struct cow_fixlog_change *c, const uint8_t *data, size_t size)
{
	struct cow_fixlog_bytes was = {.p = NULL};
	struct cow_fixlog_bytes now = {(char *)(uintptr_t)data, size};
	int r = cow_fixlog_before(c, &now, &was);
	must(r >= 0 && r <= 2);
	free(was.p);
	was.p = NULL;
	if (c->now.kind != COW_FIXLOG_FILE || c->now.size != size)
		return;
	must(cow_fixlog_sum(data, size, c->now.sum) == 0);
	must(cow_fixlog_before(c, &now, &was) == 1);
	must(c->kind != COW_FIXLOG_FILE || c->lost || was.len <= c->size);
	free(was.p);
}

static void check(struct cow_fixlog *log, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < log->n; i++)
		for (size_t k = 0; k < log->step[i].n; k++) {
			struct cow_fixlog_change *c = &log->step[i].change[k];
			must(*c->path && c->size <= COW_FIXLOG_SIZE_MAX);
			check_path(c->path);
			must(c->kind != COW_FIXLOG_LINK || c->lost || c->cut.len);
			must(c->kind != COW_FIXLOG_FILE || c->lost ||
			     c->head + c->tail + c->cut.len <= c->size);
			for (size_t n = 0; n < c->nalso; n++)
				check_path(c->also[n]);
			for (size_t n = 0; n < size && n < 256; n += 64)
				try_on(c, data, n);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cow_autokv kv = NULL;
	cow_autokv kv2 = NULL;
	cow_autokv kv3 = NULL;
	cow_autofixlog log = COW_FIXLOG_EMPTY;
	cow_autofixlog again = COW_FIXLOG_EMPTY;
	char *one = NULL, *two = NULL;
	size_t len = 0, len2 = 0;
	if (cow_kv_parse((const char *)data, size, "input", &kv, NULL) < 0 ||
	    cow_fixlog_parse(kv, &log) < 0)
		return 0;
	must(cow_fixlog_format(&log, &kv2) == 0);
	if (cow_kv_format(kv2, &one, &len) == 0) {
		must(cow_fixlog_parse(kv2, &again) == 0);
		must(cow_fixlog_format(&again, &kv3) == 0);
		must(cow_kv_format(kv3, &two, &len2) == 0 && len == len2 && memcmp(one, two, len) == 0);
	}
	free(one);
	free(two);
	check(&log, data, size);
	return 0;
}
