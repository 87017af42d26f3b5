/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "acl.h"

#include <archive.h>
#include <errno.h>
#include <stdlib.h>

#include "common/checked.h"
#include "common/cleanup.h"

#define ACL_VERSION 2
#define NO_ID UINT32_MAX

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static int tag_of(int archive_tag)
{
	switch (archive_tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return 0x01;
	case ARCHIVE_ENTRY_ACL_USER:
		return 0x02;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return 0x04;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return 0x08;
	case ARCHIVE_ENTRY_ACL_MASK:
		return 0x10;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return 0x20;
	default:
		return -EBADMSG;
	}
}

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int take_entry(struct entry *e, int tag, int perm, int id, const char *name,
		      cow_acl_lookup_fn lookup, void *ctx)
{
	int t = tag_of(tag);
	if (t < 0 || perm < 0 || perm > 7)
		return -EBADMSG;
	e->tag = (uint16_t)t;
	e->perm = (uint16_t)perm;
	e->id = NO_ID;
	if (tag != ARCHIVE_ENTRY_ACL_USER && tag != ARCHIVE_ENTRY_ACL_GROUP)
		return 0;
	if (id >= 0) {
		e->id = (uint32_t)id;
		return 0;
	}
	if (!lookup)
		return -EAGAIN;
	return lookup(ctx, tag == ARCHIVE_ENTRY_ACL_USER ? 'u' : 'g', name ? name : "", &e->id);
}

static int take_all(struct archive_entry *e, int type, struct entry *list, size_t n,
		    cow_acl_lookup_fn lookup, void *ctx, size_t *ret_n)
{
	int etype, perm, tag, id, r;
	const char *name;
	size_t got = 0;
	while ((r = archive_entry_acl_next(e, type, &etype, &perm, &tag, &id, &name)) ==
	       ARCHIVE_OK) {
		if (got == n)
			return -EBADMSG;
		r = take_entry(&list[got], tag, perm, id, name, lookup, ctx);
		if (r < 0)
			return r;
		got++;
	}
	*ret_n = got;
	return r == ARCHIVE_EOF ? 0 : -EBADMSG;
}

int cow_acl_value(struct archive_entry *e, int type, cow_acl_lookup_fn lookup, void *ctx,
		  uint8_t **ret, size_t *ret_len)
{
	size_t n;
	int count = archive_entry_acl_reset(e, type);
	if (count <= 0)
		return -ENODATA;
	if (count > COW_ACL_ENTRIES_MAX)
		return -EBADMSG;
	cow_autofree struct entry *list = calloc((size_t)count, sizeof(*list));
	cow_autofree uint8_t *value = malloc(4 + (size_t)count * 8);
	if (!list || !value)
		return -ENOMEM;
	int r = take_all(e, type, list, (size_t)count, lookup, ctx, &n);
	if (r < 0)
		return r;
	qsort(list, n, sizeof(*list), entry_cmp);
	cow_put_le32(value, ACL_VERSION);
	for (size_t i = 0; i < n; i++) {
		cow_put_le32(value + 4 + 8 * i,
			     (uint32_t)list[i].tag | (uint32_t)list[i].perm << 16);
		cow_put_le32(value + 8 + 8 * i, list[i].id);
	}
	*ret = cow_steal_ptr(&value);
	*ret_len = 4 + n * 8;
	return 0;
}

unsigned cow_acl_mode(struct archive_entry *e)
{
	int etype, perm, tag, id;
	const char *name;
	unsigned mode = archive_entry_perm(e) & 07777;
	if (archive_entry_acl_reset(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS) <= 0)
		return mode;
	while (archive_entry_acl_next(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &etype, &perm, &tag, &id,
				      &name) == ARCHIVE_OK)
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			mode = (mode & ~070u) | (unsigned)(perm & 7) << 3;
	return mode;
}
