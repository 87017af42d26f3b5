/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What is given, looked at: its bytes, its size, where it comes from, and whether a boot had it otherwise before. R1 to R6
 * are in fuzz_tftp_resolve.c.
 */
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "pin.h"
#include "run.h"
#include "tftp/name.h"

#define TWO_CELLS ((size_t)2 * CELL)

/* Names that the tree must never give, told apart here in another way than by the server's list. */
static bool is_denied(const char *path)
{
	const char *base = cow_tftp_basename(path), *dot = strrchr(base, '.');

	return strcasecmp(base, "autoboot.txt") == 0 || strcasecmp(base, "user-data") == 0 ||
	       strncasecmp(base, "wpa_supplicant", 14) == 0 || strncasecmp(base, "ssh", 3) == 0 ||
	       (dot && (strcasecmp(dot, ".key") == 0 || strcasecmp(dot, ".pem") == 0));
}

static uint64_t sum_of(const char *buf, size_t len)
{
	uint64_t sum = len, word = 0;

	for (size_t i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, buf + i, len - i < sizeof(word) ? len - i : sizeof(word));
		sum = (sum ^ word) * 0x100000001b3;
	}
	return sum;
}

static bool holds(const char *buf, size_t len, const char *cell)
{
	return memmem(buf, len, cell, CELL - 1) !=
	       NULL; /* generated files end lines in their own way */
}

/* R1, R2. Of a file that is one cell again and again, the first two are all there is to see. */
static void check_bytes(const char *buf, size_t len, enum who who)
{
	if (len > TWO_CELLS && memcmp(buf, buf + CELL, len - CELL) == 0)
		len = TWO_CELLS;
	CHECK(!holds(buf, len, SECRET));
	if (who != A)
		CHECK(!holds(buf, len, TREE_A) && !holds(buf, len, ADMIN_A));
	if (who != B)
		CHECK(!holds(buf, len, TREE_B) && !holds(buf, len, ADMIN_B));
	if (who == STRANGER)
		CHECK(!holds(buf, len, GOLDEN));
}

/* All of it, in one piece. False: it cannot be read. The buffer holds a secret where nothing is read into it. */
static bool read_all(struct cow_tftp_content *c, enum who who, uint64_t *ret_sum)
{
	size_t len = (size_t)c->size;
	cow_autofree char *buf = malloc(len);

	CHECK(buf);
	repeat(buf, len, SECRET);
	if (c->read(c, buf, len, 0) < 0)
		return false;
	check_bytes(buf, len, who);
	*ret_sum = sum_of(buf, len);
	return true;
}

/* The administrator's folder gives what lies in it, not what its links lead to. */
static void check_admin(const struct run *r, const char *name)
{
	char path[sizeof(OWN_A) + 64];
	struct stat st;

	if (r->moved_folder) /* it is looked at every two seconds */
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", OWN_A, name);
	CHECK(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
	for (char *slash; (slash = strrchr(path, '/')) && slash > path + strlen(OWN_A);
	     *slash = '\0')
		CHECK(lstat(path, &st) == 0 && !S_ISLNK(st.st_mode));
}

static bool has_admin_bytes(struct cow_tftp_content *c)
{
	char cell[CELL] = {0};

	CHECK(c->read(c, cell, c->size < CELL ? (size_t)c->size : CELL, 0) == 0);
	return memcmp(cell, ADMIN_A, c->size < CELL - 1 ? (size_t)c->size : CELL - 1) == 0 ||
	       memcmp(cell, ADMIN_B, c->size < CELL - 1 ? (size_t)c->size : CELL - 1) == 0;
}

/* The file of A's tree that this is, when it is one and nothing made from one; R3, R4. */
static void check_tree(struct run *r, struct cow_tftp_content *c, const char *path)
{
	struct cow_ovl_attr attr;
	char cell[CELL] = {0};

	const char *dot = strrchr(path, '.');

	if (c->ticket <= r->old_tickets || (dot && strcmp(dot, ".txt") == 0) || c->size < CELL ||
	    c->read(c, cell, CELL, 0) < 0 || memcmp(cell, TREE_A, CELL) != 0)
		return;
	cow_autonode node = find(r, path, &attr);

	CHECK(node && S_ISREG(attr.mode) && attr.size == c->size);
	CHECK((attr.mode & S_IROTH) || strncmp(cow_tftp_basename(path), "vmlinuz", 7) == 0);
}

/* R6. Return: this boot had it before. */
static bool check_given(struct run *r, const struct cow_tftp_content *c, unsigned name,
			uint64_t sum)
{
	for (unsigned k = 0; k < r->given_count; k++) {
		const struct given *g = &r->given[k];

		if (g->ticket != c->ticket || g->name != name)
			continue;
		CHECK(g->size == c->size && g->sum == sum);
		return true;
	}
	if (r->given_count < GIVEN_MAX && c->ticket)
		r->given[r->given_count++] =
		    (struct given){.ticket = c->ticket, .size = c->size, .sum = sum, .name = name};
	return false;
}

static void check_source(struct run *r, struct cow_tftp_content *c, const char *name)
{
	if (has_admin_bytes(c))
		check_admin(r, name);
	else
		check_tree(r, c, name);
}

enum who server_says(struct run *r, const struct cow_tftp_content *c)
{
	const struct cow_tftp_pin *p =
	    c->ticket ? cow_tftp_clients_session(r->files.clients, c->ticket) : NULL;

	if (!p)
		return STRANGER;
	return strcmp(p->conf->id, MAC_A) == 0 ? A : B;
}

void take(struct run *r, struct cow_tftp_content *c, unsigned name, bool buffered)
{
	enum who who = server_says(r, c);
	bool may_change = !c->settled && c->size > COW_TFTP_PIN_COPY_MAX;
	uint64_t sum = 0;
	unsigned slot = 0;

	CHECK(c->size > 0); /* R4 */
	bool ok = read_all(c, who, &sum);

	CHECK(ok || may_change); /* R5 */
	if (ok && name < NAMES && !may_change) {
		if (is_denied(names[name]))
			CHECK(has_admin_bytes(c) && strcasecmp(names[name], "autoboot.txt") != 0);
		if (!check_given(r, c, name, sum) && who == A)
			check_source(r, c, names[name]);
	}
	if (!ok) {
		cow_tftp_content_free(c);
		return;
	}
	while (slot + 1 < DELIVERIES && r->open[slot].content)
		slot++;
	cow_tftp_content_free(r->open[slot].content);
	if (buffered)
		CHECK(cow_tftp_content_buffered(&c) == 0);
	r->open[slot] =
	    (struct delivery){.content = c, .who = who, .sum = sum, .may_change = may_change};
}

bool deliver(struct delivery *d)
{
	char buf[1468];
	uint64_t left = d->content ? d->content->size - d->at : 0, sum = 0;
	size_t len = left < sizeof(buf) ? (size_t)left : sizeof(buf);

	if (!d->content)
		return false;
	int got = d->content->read(d->content, buf, len, d->at);

	CHECK(got == 0 || d->may_change);
	if (got == 0)
		check_bytes(buf, len, d->who);
	d->at += len;
	if (got == 0 && d->at < d->content->size)
		return true;
	if (read_all(d->content, d->who, &sum))
		CHECK(sum == d->sum || d->may_change);
	else
		CHECK(d->may_change);
	cow_tftp_content_free(d->content);
	d->content = NULL;
	return false;
}
