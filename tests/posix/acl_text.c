/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The kernel's attribute is a version (2, le32) and entries of tag le16, permissions le16, id le32.
 */
#include "acl_text.h"

#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/xattr.h>

#define ENTRIES_MAX 40

static const struct {
	char letter;
	bool named;
	uint16_t tag;
} tags[] = {
    {'u', false, 0x01}, {'u', true, 0x02},  {'g', false, 0x04},
    {'g', true, 0x08},	{'m', false, 0x10}, {'o', false, 0x20},
};

struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[ENTRIES_MAX];
};

/* Return: number of entries. */
static size_t parse(const char *p, struct acl *a)
{
	size_t n = 0;
	a->version = htole32(2);
	for (; *p && n < ENTRIES_MAX; n++) {
		char letter = *p, *end;
		bool named = p[2] != ':';
		uint32_t id = named ? (uint32_t)strtoul(p + 2, &end, 10) : UINT32_MAX;
		p = (named ? end : p + 2) + 1;
		for (size_t t = 0; t < sizeof(tags) / sizeof(*tags); t++)
			if (tags[t].letter == letter && tags[t].named == named)
				a->e[n].tag = htole16(tags[t].tag);
		a->e[n].perm = htole16((p[0] == 'r') * 4 + (p[1] == 'w') * 2 + (p[2] == 'x'));
		a->e[n].id = htole32(id);
		p += 3 + (p[3] == ',');
	}
	return n;
}

int acl_set(const char *path, const char *attr, const char *text)
{
	struct acl a;
	size_t n = parse(text, &a);
	return setxattr(path, attr, &a, offsetof(struct acl, e) + n * sizeof(*a.e), 0);
}

int acl_get(const char *path, const char *attr, char text[ACL_TEXT_MAX])
{
	struct acl a;
	char id[12];
	ssize_t len = getxattr(path, attr, &a, sizeof(a));
	size_t at = 0;
	if (len < 0)
		return -1;
	text[0] = 0;
	for (size_t n = 0; offsetof(struct acl, e) + (n + 1) * sizeof(*a.e) <= (size_t)len; n++) {
		unsigned perm = le16toh(a.e[n].perm);
		char letter = '?';
		id[0] = 0;
		for (size_t t = 0; t < sizeof(tags) / sizeof(*tags); t++)
			if (tags[t].tag == le16toh(a.e[n].tag)) {
				letter = tags[t].letter;
				if (tags[t].named)
					(void)snprintf(id, sizeof(id), "%u", le32toh(a.e[n].id));
			}
		at += (size_t)snprintf(text + at, ACL_TEXT_MAX - at, "%s%c:%s:%c%c%c", n ? "," : "",
				       letter, id, perm & 4 ? 'r' : '-', perm & 2 ? 'w' : '-',
				       perm & 1 ? 'x' : '-');
	}
	return 0;
}

void expect_acl(struct here h, const char *path, const char *attr, const char *want)
{
	char got[ACL_TEXT_MAX];
	if (acl_get(path, attr, got) < 0)
		fail(h, "%s of %s: expected %s, came %s", attr, path, want, strerrorname_np(errno));
	if (strcmp(got, want) != 0)
		fail(h, "%s of %s: expected %s, came %s", attr, path, want, got);
}
