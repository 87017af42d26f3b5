/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Is a client's root in order? For roots with an image below; a btrfs snapshot has btrfs's own tools.
 */
#include <errno.h>

#include "client_internal.h"

int64_t cow_client_check(struct cow_store *s, const struct cow_mac *mac, cow_ovl_check_fn fn,
			 void *ctx, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_autoclientat struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_autoovlimage img = NULL;
	cow_mac_text(mac, id);
	int r = cow_client_open_root(s, id, &at, err);
	if (r < 0)
		return r;
	if (at.conf.backend != COW_BACKEND_OVERLAY)
		return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "root %u of client %s is a btrfs snapshot, which has nothing of "
				   "cowherd's own to check; 'btrfs scrub' reads its data",
				   at.n, id);
	r = cow_client_manifest(s, &at.conf, &img, err);
	int64_t found = r < 0 ? r : cow_ovl_inst_check(at.root, img, fn, ctx, err);
	return found < 0 ? cow_err_prefix(err, (int)found, "root %u of client %s", at.n, id)
			 : found;
}
