/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "fixlog.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define DID_MAX 1024

void cow_fixlog_change_done(struct cow_fixlog_change *c)
{
	free(c->path);
	free(c->cut.p);
	free(c->put.p);
	for (size_t i = 0; i < c->nxattr; i++) {
		free(c->xattr[i].name);
		free(c->xattr[i].value.p);
	}
	free(c->xattr);
	for (size_t i = 0; i < c->nalso; i++)
		free(c->also[i]);
	free(c->now.target);
	*c = (struct cow_fixlog_change){.path = NULL};
}

static void step_done(struct cow_fixlog_step *s)
{
	for (size_t i = 0; i < s->n; i++)
		cow_fixlog_change_done(&s->change[i]);
	free(s->change);
	free(s->did);
}

void cow_fixlog_done(struct cow_fixlog *log)
{
	for (size_t i = 0; i < log->n; i++)
		step_done(&log->step[i]);
	free(log->step);
	*log = (struct cow_fixlog)COW_FIXLOG_EMPTY;
}

struct cow_fixlog_step *cow_fixlog_find(const struct cow_fixlog *log, const char *name)
{
	for (size_t i = 0; i < log->n; i++)
		if (strcmp(log->step[i].name, name) == 0)
			return &log->step[i];
	return NULL;
}

struct cow_fixlog_change *cow_fixlog_find_path(const struct cow_fixlog_step *step, const char *path)
{
	for (size_t i = 0; step && i < step->n; i++)
		if (strcmp(step->change[i].path, path) == 0)
			return &step->change[i];
	return NULL;
}

static struct cow_fixlog_step *step_of(struct cow_fixlog *log, const char *name)
{
	struct cow_fixlog_step *s = cow_fixlog_find(log, name);
	if (s)
		return s;
	struct cow_fixlog_step *grown = reallocarray(log->step, log->n + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	log->step = grown;
	s = &grown[log->n++];
	*s = (struct cow_fixlog_step){.did = NULL};
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	return s;
}

int cow_fixlog_did(struct cow_fixlog *log, const char *name, const char *what)
{
	char *text = NULL;
	struct cow_fixlog_step *s = step_of(log, name);
	if (!s || asprintf(&text, "%s%s%s", s->did ? s->did : "", s->did ? ", " : "", what) < 0)
		return -ENOMEM;
	if (strlen(text) > DID_MAX)
		text[DID_MAX] = 0;
	free(s->did);
	s->did = text;
	return 0;
}

int cow_fixlog_lost(struct cow_fixlog *log, const char *name)
{
	struct cow_fixlog_step *s = step_of(log, name);
	if (!s)
		return -ENOMEM;
	s->lost = true;
	return 0;
}

/* ---------------------------------------------------------------- room */

/* About what its text takes. */
static size_t room_of(const struct cow_fixlog_change *c)
{
	size_t n = 512 + 3 * strlen(c->path) + (c->cut.len + c->put.len) / 3 * 4;
	for (size_t i = 0; i < c->nxattr; i++)
		n += 64 + 3 * strlen(c->xattr[i].name) + c->xattr[i].value.len / 3 * 4;
	for (size_t i = 0; i < c->nalso; i++)
		n += 64 + 3 * strlen(c->also[i]);
	return n;
}

static void forget(struct cow_fixlog_bytes *b)
{
	free(b->p);
	*b = (struct cow_fixlog_bytes){.p = NULL};
}

/* First the lines that help to find the place go, then what could be put back. Return: does it fit? */
static bool make_fit(struct cow_fixlog_change *c, size_t room)
{
	if (room_of(c) > room)
		forget(&c->put);
	if (room_of(c) > room) {
		forget(&c->cut);
		c->lost = true;
	}
	return room_of(c) <= room;
}

int cow_fixlog_put(struct cow_fixlog *log, const char *name, struct cow_fixlog_change *c)
{
	struct cow_fixlog_step *s = step_of(log, name);
	if (!s)
		return -ENOMEM;
	struct cow_fixlog_change *there = cow_fixlog_find_path(s, c->path);
	if (there)
		log->used -= room_of(there);
	if (!make_fit(c, log->used < COW_FIXLOG_ROOM ? COW_FIXLOG_ROOM - log->used : 0)) {
		s->lost = true;
		if (there)
			log->used += room_of(there);
		return 0;
	}
	if (!there) {
		struct cow_fixlog_change *grown = reallocarray(s->change, s->n + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->change = grown;
		there = &grown[s->n++];
		*there = (struct cow_fixlog_change){.path = NULL};
	}
	cow_fixlog_change_done(there);
	log->used += room_of(c);
	*there = *c;
	*c = (struct cow_fixlog_change){.path = NULL};
	return 0;
}

void cow_fixlog_count(struct cow_fixlog *log)
{
	log->used = 0;
	for (size_t i = 0; i < log->n; i++)
		for (size_t k = 0; k < log->step[i].n; k++)
			log->used += room_of(&log->step[i].change[k]);
}

void cow_fixlog_drop(struct cow_fixlog *log, const char *name)
{
	struct cow_fixlog_step *s = cow_fixlog_find(log, name);
	if (!s)
		return;
	step_done(s);
	size_t at = (size_t)(s - log->step);
	memmove(s, s + 1, (log->n - at - 1) * sizeof(*s));
	log->n--;
	cow_fixlog_count(log);
}

/* ---------------------------------------------------------------- bytes */

int cow_fixlog_bytes_set(struct cow_fixlog_bytes *b, const void *p, size_t len)
{
	char *copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, p, len);
	copy[len] = 0;
	free(b->p);
	*b = (struct cow_fixlog_bytes){copy, len};
	return 0;
}

int cow_fixlog_sum(const void *p, size_t len, uint8_t ret[COW_FIXLOG_SUM_LEN])
{
	return EVP_Digest(p, len, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}
