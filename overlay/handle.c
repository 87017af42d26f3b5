/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Handles: bytes for clients that name a node across restarts. Layout: overlay.h and
 * docs/handles.md. Without the MAC a client could name any inode of the file system (I4).
 */
#include <errno.h>
#include <string.h>

#include "common/checked.h"
#include "common/siphash.h"
#include "common/span.h"
#include "internal.h"

#define HANDLE_VERSION 1
#define HANDLE_KIND_UPPER 'U'
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
	size_t len = HANDLE_HEAD + n->fh.len;
	buf[0] = HANDLE_VERSION;
	buf[1] = HANDLE_KIND_UPPER;
	buf[2] = n->fh.type;
	buf[3] = n->fh.len;
	cow_put_le32(buf + 4, instance_number(i));
	cow_put_le64(buf + 8, i->rec.epoch);
	memcpy(buf + HANDLE_HEAD, n->fh.bytes, n->fh.len);
	cow_put_le64(buf + len, cow_siphash24(i->rec.mac_key, buf, len));
	return len + COW_OVL_HANDLE_MAC_LEN;
}

static int parse(const struct cow_ovl_inst *i, const uint8_t *buf, size_t len, struct cow_fh *ret)
{
	struct cow_span s = cow_span_of(buf, len);
	uint8_t version, kind;
	uint32_t instance;
	uint64_t epoch, mac;
	const uint8_t *payload;
	memset(ret, 0, sizeof(*ret));
	if (!cow_span_u8(&s, &version) || version != HANDLE_VERSION || !cow_span_u8(&s, &kind) ||
	    kind != HANDLE_KIND_UPPER || !cow_span_u8(&s, &ret->type) ||
	    !cow_span_u8(&s, &ret->len) || ret->len == 0 || ret->len > COW_FH_MAX ||
	    !cow_span_le32(&s, &instance) || !cow_span_le64(&s, &epoch) ||
	    !cow_span_take(&s, ret->len, &payload) || !cow_span_le64(&s, &mac) || s.len != 0)
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
	struct cow_fh fh;
	int r = parse(i, buf, len, &fh);
	return r == 0 && atomic_load(&i->closed) ? -ESTALE : r;
}

int cow_ovl_from_handle(struct cow_ovl_inst *i, const uint8_t *buf, size_t len,
			struct cow_ovl_node **ret)
{
	struct cow_fh fh;
	int r = parse(i, buf, len, &fh);
	if (r < 0)
		return r;
	r = cow_inst_enter(i);
	if (r < 0)
		return r;
	r = cow_node_from_fh(i, &fh, ret);
	cow_inst_leave(i);
	return r;
}
