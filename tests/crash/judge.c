/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a cut may leave.
 *
 *	strict	 names and attributes as after the last step that was answered, or after the one
 *		 under way
 *	relaxed	 as after any step since the last sync of everything; where the file system keeps no
 *		 order, each name for itself
 *
 * Data that a commit was answered for is there, and with it the object, under some name. Where a
 * commit is an fsync(2), its owner, mode and extended attributes too.
 *
 * Data is what the last step left that made it durable, and anything written since may be there,
 * byte by byte: a file is never shorter than all versions of it in that span, and has no byte
 * that none of them has. Times of data likewise. After a power cut no change of names or attributes
 * makes data durable where they are committed through an ordered journal (overlay/sync.c); but a
 * file that was truncated since has a size it had after that.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "history.h"

/* ---------------------------------------------------------------- spans */

static bool is_data(enum kind k)
{
	return k >= K_WRITE && k < K_SYNC;
}

static bool syncs_all(const struct judgement *j, const struct step *s)
{
	return s->kind == K_SYNC || (j->strict && !is_data(s->kind));
}

/* Which object a step of data wrote. */
static uint64_t target(const struct history *h, size_t k)
{
	char path[PATH_LEN + 64];
	(void)snprintf(path, sizeof(path), "%s/%s", h->top, h->step[k].path);
	const struct obj *o = state_find(&h->state[k], path);
	return o ? o->who : WHO_UNKNOWN;
}

static size_t durable_all(const struct judgement *j)
{
	size_t k = j->acked;
	while (k > 0 && !syncs_all(j, &j->h->step[k]))
		k--;
	return k;
}

static bool makes_durable(const struct judgement *j, enum kind kind)
{
	return kind == K_WRITE || kind == K_STABLE || kind == K_REWRITE ||
	       (kind == K_ALLOC && j->strict);
}

static bool syncs_data(const struct judgement *j, const struct step *s)
{
	return s->kind == K_SYNC || (syncs_all(j, s) && !j->ordered);
}

static size_t durable_data(const struct judgement *j, uint64_t who)
{
	size_t k = j->acked;
	while (k > 0 && !syncs_data(j, &j->h->step[k]) &&
	       !(makes_durable(j, j->h->step[k].kind) && target(j->h, k) == who))
		k--;
	return k;
}

/* The last step that made the size durable, though not what is in it; else @from. */
static size_t durable_size(const struct judgement *j, uint64_t who, size_t from)
{
	for (size_t k = j->acked; j->strict && k > from; k--)
		if (j->h->step[k].kind == K_TRUNCATE && target(j->h, k) == who)
			return k;
	return from;
}

static const struct obj *find_who(const struct state *s, uint64_t who)
{
	for (size_t k = 0; k < s->n; k++)
		if (s->v[k].who == who)
			return &s->v[k];
	return NULL;
}

/* ---------------------------------------------------------------- one object */

static bool __attribute__((format(printf, 2, 3))) no(char *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, WHY_LEN, fmt, ap);
	va_end(ap);
	return false;
}

static bool attrs_same(const struct obj *want, const struct obj *got, char *why)
{
	if (want->mode != got->mode || want->uid != got->uid || want->gid != got->gid)
		return no(why, "%s: mode %o of %u:%u, not %o of %u:%u", got->path, got->mode,
			  got->uid, got->gid, want->mode, want->uid, want->gid);
	if (want->nlink != got->nlink || want->rdev != got->rdev)
		return no(why, "%s: %u links, device %llu, not %u, %llu", got->path, got->nlink,
			  (unsigned long long)got->rdev, want->nlink,
			  (unsigned long long)want->rdev);
	if (want->who != got->who)
		return no(why, "%s: object %#llx, not %#llx", got->path,
			  (unsigned long long)got->who, (unsigned long long)want->who);
	if (want->meta != got->meta)
		return no(why, "%s: another target or other attributes", got->path);
	return true;
}

#define VERSIONS 64
struct versions {
	const uint8_t *v[VERSIONS];
	size_t len[VERSIONS], n, shortest, longest;
	size_t old;   /* so many first ones have a size that is no longer possible */
	bool written; /* by something that is no single step for a file system */
};

static void version_add(struct versions *v, uint32_t number)
{
	size_t len;
	const uint8_t *p = bytes_get(number, &len);
	for (size_t k = v->old; k < v->n; k++)
		if (v->v[k] == p)
			return;
	if (v->n == VERSIONS)
		return; /* so many without a commit: steps are too few for it */
	v->v[v->n] = p;
	v->len[v->n++] = len;
	v->shortest = v->n == v->old + 1 || len < v->shortest ? len : v->shortest;
	v->longest = v->n == v->old + 1 || len > v->longest ? len : v->longest;
}

static bool byte_known(const struct versions *v, size_t at, uint8_t byte)
{
	for (size_t k = 0; k < v->n; k++)
		if (at < v->len[k] ? v->v[k][at] == byte : byte == 0)
			return true;
	return false;
}

static bool data_may_be(const struct judgement *j, const struct obj *got, char *why)
{
	struct versions v = {0};
	size_t len, from = durable_data(j, got->who);
	size_t sized = durable_size(j, got->who, from);
	const uint8_t *p = bytes_get(got->data, &len);
	for (size_t k = from; k <= j->started; k++) {
		const struct obj *o = find_who(&j->h->state[k], got->who);
		if (k == sized) {
			v.old = v.n;
			v.written = false;
		}
		if (o)
			version_add(&v, o->data);
		if (k == from || !is_data(j->h->step[k].kind) || target(j->h, k) != got->who)
			continue;
		v.written = true;
		if (j->h->step[k].kind == K_REWRITE)
			version_add(&v, bytes_put("", 0));
	}
	if (v.n == 0)
		return no(why, "%s: data of an object that should not be there", got->path);
	bool size_ok = v.written && len >= v.shortest && len <= v.longest;
	for (size_t k = v.old; k < v.n; k++)
		size_ok = size_ok || v.len[k] == len;
	if (!size_ok)
		return no(why, "%s: %zu bytes; %zu versions since step %zu have %zu to %zu",
			  got->path, len, v.n, from, v.shortest, v.longest);
	for (size_t at = 0; at < len; at++)
		if (!byte_known(&v, at, p[at]))
			return no(
			    why,
			    "%s: byte %zu of %zu is %#x, which none of %zu versions since step "
			    "%zu has",
			    got->path, at, len, p[at], v.n, from);
	return true;
}

static bool time_may_be(const struct judgement *j, const struct obj *got, char *why)
{
	for (size_t k = durable_all(j); k <= j->started; k++) {
		const struct obj *o = find_who(&j->h->state[k], got->who);
		if (o && o->mtime == got->mtime)
			return true;
	}
	return no(why, "%s: time %lld", got->path, (long long)got->mtime);
}

/* The empty directory that holds the place of one that is being replaced is another object. */
static bool stands_in(const struct judgement *j, const struct obj *got)
{
	char path[PATH_LEN + 64];
	const struct step *s = &j->h->step[j->started];
	(void)snprintf(path, sizeof(path), "%s/%s", j->h->top, s->path2);
	return j->started > j->acked && s->kind == K_RENAME && S_ISDIR(got->mode) &&
	       got->who == WHO_UNKNOWN && strcmp(path, got->path) == 0;
}

static bool may_be(const struct judgement *j, const struct obj *want, const struct obj *all_got,
		   char *why)
{
	struct obj copy = *all_got, *got = &copy;
	if (stands_in(j, got))
		got->who = want->who;
	if (!attrs_same(want, got, why))
		return false;
	if (want->mtime != got->mtime && !time_may_be(j, got, why))
		return false;
	return !S_ISREG(got->mode) || want->data == got->data || data_may_be(j, got, why);
}

/* ---------------------------------------------------------------- what a commit promises */

static bool some_state_has(const struct judgement *j, size_t from, const struct obj *got, char *why)
{
	for (size_t k = from; k <= j->started; k++) {
		const struct obj *o = find_who(&j->h->state[k], got->who);
		if (o && o->mode == got->mode && o->uid == got->uid && o->gid == got->gid &&
		    o->meta == got->meta)
			return true;
	}
	return no(why, "%s: mode %o of %u:%u, or its attributes, as they were before step %zu",
		  got->path, got->mode, got->uid, got->gid, from);
}

static bool some_state_lacks(const struct judgement *j, size_t from, uint64_t who)
{
	for (size_t k = from; k <= j->started; k++)
		if (!find_who(&j->h->state[k], who))
			return true;
	return false;
}

static bool commit_ok(const struct judgement *j, size_t step, const struct state *got, char *why)
{
	const struct step *s = &j->h->step[step];
	uint64_t who = target(j->h, step);
	const struct obj *o = find_who(got, who);
	if (who == WHO_UNKNOWN)
		return true;
	if (!o)
		return some_state_lacks(j, step, who) ||
		       no(why, "%s: gone, but committed in step %zu", s->path, step);
	if (!data_may_be(j, o, why))
		return false;
	return !j->fsync || s->kind == K_STABLE || some_state_has(j, step, o, why);
}

static bool commits_ok(const struct judgement *j, const struct state *got, char *why)
{
	for (size_t k = durable_all(j) + 1; k <= j->acked; k++)
		if (makes_durable(j, j->h->step[k].kind) && !commit_ok(j, k, got, why))
			return false;
	return true;
}

/* ---------------------------------------------------------------- all of it */

static bool state_may_be(const struct judgement *j, size_t k, const struct state *got, char *why)
{
	const struct state *want = &j->h->state[k];
	for (size_t a = 0, b = 0; a < want->n || b < got->n; a++, b++) {
		int c = a == want->n  ? 1
			: b == got->n ? -1
				      : strcmp(want->v[a].path, got->v[b].path);
		if (c != 0)
			return no(why, "%s is %s", c < 0 ? want->v[a].path : got->v[b].path,
				  c < 0 ? "missing" : "there");
		if (!may_be(j, &want->v[a], &got->v[b], why))
			return false;
	}
	return true;
}

bool judge_exact(const struct history *h, size_t k, const struct state *got, char why[WHY_LEN])
{
	const struct judgement j = {.h = h, .acked = k, .started = k, .strict = true};
	if (!state_may_be(&j, k, got, why))
		return false;
	for (size_t n = 0; n < got->n; n++)
		if (got->v[n].data != h->state[k].v[n].data ||
		    got->v[n].mtime != h->state[k].v[n].mtime)
			return no(why, "%s: other data or time", got->v[n].path);
	return true;
}

/* Relaxed, without order: is there a step after which this name was like that? */
static bool name_may_be(const struct judgement *j, size_t from, const char *path,
			const struct obj *got, char *why)
{
	(void)no(why, "%s: not there", path);
	for (size_t k = from; k <= j->started; k++) {
		const struct obj *want = state_find(&j->h->state[k], path);
		if (!want && !got)
			return true;
		if (want && got && may_be(j, want, got, why))
			return true;
	}
	return false;
}

static bool names_may_be(const struct judgement *j, size_t from, const struct state *got, char *why)
{
	for (size_t n = 0; n < got->n; n++)
		if (!name_may_be(j, from, got->v[n].path, &got->v[n], why))
			return false;
	for (size_t n = 0; n < j->h->state[from].n; n++) {
		const char *path = j->h->state[from].v[n].path;
		if (!state_find(got, path) && !name_may_be(j, from, path, NULL, why))
			return false;
	}
	return true;
}

int judge(const struct judgement *j, const struct state *got, char why[WHY_LEN])
{
	char last[WHY_LEN] = "";
	size_t from = j->strict ? j->acked : durable_all(j), n = 0;
	if (!commits_ok(j, got, why))
		return -2;
	for (size_t k = from; k <= j->started; k++) {
		char reason[WHY_LEN];
		if (state_may_be(j, k, got, reason))
			return (int)k;
		if (n < WHY_LEN - 1 && (k + 2 >= j->acked || k == from))
			n += (size_t)snprintf(last + n, sizeof(last) - n, "\n   after step %zu: %s",
					      k, reason);
		if (n >= WHY_LEN)
			n = WHY_LEN - 1;
	}
	if (!j->strict && !j->ordered && names_may_be(j, from, got, why))
		return -1;
	memcpy(why, last, sizeof(last));
	return -2;
}
