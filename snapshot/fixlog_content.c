/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a file was before a fix-up, as the difference to what the fix-up left.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fixlog.h"

#define LINES_MAX ((size_t)64 << 10) /* of changed lines; what has more is no text */

static size_t common_head(const struct cow_fixlog_bytes *a, const struct cow_fixlog_bytes *b)
{
	size_t n = 0, max = a->len < b->len ? a->len : b->len;
	while (n < max && a->p[n] == b->p[n])
		n++;
	return n;
}

static size_t common_tail(const struct cow_fixlog_bytes *a, const struct cow_fixlog_bytes *b,
			  size_t head)
{
	size_t n = 0, max = (a->len < b->len ? a->len : b->len) - head;
	while (n < max && a->p[a->len - n - 1] == b->p[b->len - n - 1])
		n++;
	return n;
}

/* To the end of a line before @at. */
static size_t line_start(const char *p, size_t at)
{
	while (at > 0 && p[at - 1] != '\n')
		at--;
	return at;
}

/* The tail begins with a line in both, or is empty. */
static size_t whole_lines(const struct cow_fixlog_bytes *b, size_t tail)
{
	const char *p = b->p + b->len - tail;
	if (tail == 0 || tail == b->len || p[-1] == '\n')
		return tail;
	const char *lf = memchr(p, '\n', tail);
	return lf ? tail - (size_t)(lf + 1 - p) : 0;
}

/* Whole lines, and at least one in what is there now, to be found by. */
static void widen(const struct cow_fixlog_bytes *was, const struct cow_fixlog_bytes *now,
		  size_t *head, size_t *tail)
{
	*head = line_start(now->p, *head);
	size_t t = whole_lines(was, *tail);
	*tail = whole_lines(now, t);
	if (*head + *tail < now->len)
		return;
	if (*head > 0) {
		*head = line_start(now->p, *head - 1);
	} else if (*tail > 0) {
		const char *p = now->p + now->len - *tail;
		const char *lf = memchr(p, '\n', *tail);
		*tail = lf ? *tail - (size_t)(lf + 1 - p) : 0;
	}
}

int cow_fixlog_compare(struct cow_fixlog_change *c, const struct cow_fixlog_bytes *was,
		       const struct cow_fixlog_bytes *now)
{
	size_t head = common_head(was, now), tail = common_tail(was, now, head);
	size_t h = head, t = tail;
	widen(was, now, &h, &t);
	int is_text = was->len - h - t <= LINES_MAX && now->len - h - t <= LINES_MAX;
	if (is_text) {
		head = h;
		tail = t;
	}
	c->head = head;
	c->tail = tail;
	int r = cow_fixlog_bytes_set(&c->cut, was->p + head, was->len - head - tail);
	if (r == 0 && is_text)
		r = cow_fixlog_bytes_set(&c->put, now->p + head, now->len - head - tail);
	return r;
}

static int join(struct cow_fixlog_bytes *ret, const struct cow_fixlog_bytes *now, size_t head,
		const struct cow_fixlog_bytes *cut, size_t tail)
{
	char *p = malloc(head + cut->len + tail + 1);
	if (!p)
		return -ENOMEM;
	if (head)
		memcpy(p, now->p, head);
	if (cut->len)
		memcpy(p + head, cut->p, cut->len);
	if (tail)
		memcpy(p + head + cut->len, now->p + now->len - tail, tail);
	*ret = (struct cow_fixlog_bytes){p, head + cut->len + tail};
	p[ret->len] = 0;
	return 0;
}

/* The lines that were put there, if they are there once. Return: where they begin, or the length: not. */
static size_t find_lines(const struct cow_fixlog_bytes *now, const struct cow_fixlog_bytes *lines)
{
	size_t found = now->len, times = 0;
	for (size_t at = 0; lines->len && at + lines->len <= now->len; at++) {
		const char *p = memmem(now->p + at, now->len - at, lines->p, lines->len);
		if (!p)
			break;
		at = (size_t)(p - now->p);
		size_t end = at + lines->len;
		if ((at > 0 && p[-1] != '\n') ||
		    (end < now->len && now->p[end - 1] != '\n' && now->p[end] != '\n'))
			continue;
		found = at;
		times++;
	}
	return times == 1 ? found : now->len;
}

int cow_fixlog_before(const struct cow_fixlog_change *c, const struct cow_fixlog_bytes *now,
		      struct cow_fixlog_bytes *ret)
{
	uint8_t sum[COW_FIXLOG_SUM_LEN];
	if (c->now.kind != COW_FIXLOG_FILE)
		return 0;
	int r = cow_fixlog_sum(now->p, now->len, sum);
	if (r < 0)
		return r;
	if (c->now.size == now->len && memcmp(sum, c->now.sum, sizeof(sum)) == 0) {
		if (c->kind != COW_FIXLOG_FILE)
			return cow_fixlog_bytes_set(ret, c->cut.p, c->cut.len) < 0 ? -ENOMEM : 1;
		if (c->head > now->len || c->tail > now->len - c->head)
			return -EBADMSG;
		r = join(ret, now, c->head, &c->cut, c->tail);
		return r < 0 ? r : 1;
	}
	size_t at = find_lines(now, &c->put);
	if (c->kind != COW_FIXLOG_FILE || at == now->len)
		return 0;
	r = join(ret, now, at, &c->cut, now->len - at - c->put.len);
	return r < 0 ? r : 2;
}
