/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Handles: bytes for clients that name a node across restarts. Layout: overlay.h and
 * docs/handles.md. Without the MAC a client could name any inode of the file system (I4).
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/checked.h"
#include "common/siphash.h"
#include "common/span.h"
#include "internal.h"

#define HANDLE_VERSION 1
#define HANDLE_HEAD 16

static_assert(HANDLE_HEAD + COW_FH_MAX + COW_OVL_HANDLE_MAC_LEN == COW_OVL_HANDLE_MAX, "wire");

/* The instance's number in handles: a first, cheap guard, not a secret. */
static uint32_t instance_number(const struct cow_ovl_inst *i)
{
	return cow_get_le32(i->rec.uuid);
}

size_t cow_ovl_handle(const struct cow_ovl_node *n, uint8_t *buf)
{
	const struct cow_ovl_inst *i = n->inst;
	size_t len = HANDLE_HEAD + n->key.len;
	buf[0] = HANDLE_VERSION;
	buf[1] = n->key.kind;
	buf[2] = n->key.type;
	buf[3] = n->key.len;
	cow_put_le32(buf + 4, instance_number(i));
	cow_put_le64(buf + 8, i->rec.epoch);
	memcpy(buf + HANDLE_HEAD, n->key.bytes, n->key.len);
	cow_put_le64(buf + len, cow_siphash24(i->rec.mac_key, buf, len));
	return len + COW_OVL_HANDLE_MAC_LEN;
}

/* Does the key have the form its kind demands? */
static bool key_ok(const struct cow_ovl_inst *i, const struct cow_key *key)
{
	if (key->kind == COW_KIND_UPPER)
		return key->len > 0 && key->len <= COW_FH_MAX;
	return key->kind == COW_KIND_LOWER && i->img && key->type == 0 && key->len == 8;
}

static int parse(const struct cow_ovl_inst *i, const uint8_t *buf, size_t len, struct cow_key *ret)
{
	struct cow_span s = cow_span_of(buf, len);
	uint8_t version;
	uint32_t instance;
	uint64_t epoch, mac;
	const uint8_t *payload;
	memset(ret, 0, sizeof(*ret));
	if (!cow_span_u8(&s, &version) || version != HANDLE_VERSION ||
	    !cow_span_u8(&s, &ret->kind) || !cow_span_u8(&s, &ret->type) ||
	    !cow_span_u8(&s, &ret->len) || !key_ok(i, ret) || !cow_span_le32(&s, &instance) ||
	    !cow_span_le64(&s, &epoch) || !cow_span_take(&s, ret->len, &payload) ||
	    !cow_span_le64(&s, &mac) || s.len != 0)
		return -EBADMSG;
	if (instance != instance_number(i) || epoch != i->rec.epoch)
		return -ESTALE;
	if (mac != cow_siphash24(i->rec.mac_key, buf, len - COW_OVL_HANDLE_MAC_LEN))
		return -EBADMSG;
	memcpy(ret->bytes, payload, ret->len);
	return 0;
}

int cow_ovl_handle_check(const struct cow_ovl_inst *i, const uint8_t *buf, size_t len)
{
	struct cow_key key;
	int r = parse(i, buf, len, &key);
	return r == 0 && atomic_load(&i->closed) ? -ESTALE : r;
}

static int from_number(struct cow_ovl_inst *i, uint64_t number, struct cow_ovl_node **ret)
{
	cow_autonode n = NULL;
	struct cow_ovl_attr attr;
	int r = number > UINT32_MAX ? -ESTALE : cow_by_number(i, (uint32_t)number, &n);
	if (r == 0)
		r = cow_attr_get(n, &attr); /* is it alive? */
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

static int from_key(struct cow_ovl_inst *i, const struct cow_key *key, struct cow_ovl_node **ret)
{
	struct cow_fh fh = {.type = key->type, .len = key->len};
	if (key->kind == COW_KIND_LOWER)
		return from_number(i, cow_get_le64(key->bytes), ret);
	memcpy(fh.bytes, key->bytes, key->len);
	return cow_upper_from_fh(i, &fh, ret);
}

int cow_ovl_from_handle(struct cow_ovl_inst *i, const uint8_t *buf, size_t len,
			struct cow_ovl_node **ret)
{
	struct cow_key key;
	int r = parse(i, buf, len, &key);
	if (r < 0)
		return r;
	r = cow_inst_enter(i);
	if (r < 0)
		return r;
	r = from_key(i, &key, ret);
	cow_inst_leave(i);
	return r;
}
