/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The roots of a client: the current one, and those that are kept.
 */
#include <errno.h>

#include "client_internal.h"
#include "common/fs.h"

static int tell(int dir, unsigned n, int current,
		int (*fn)(void *ctx, const struct cow_root_info *root), void *ctx,
		struct cow_err *err)
{
	struct cow_root root;
	struct cow_err why = COW_ERR_INIT;
	cow_autoclose int at = cow_client_root_dir(dir, n);
	int r = at < 0 ? cow_err_set(&why, at, "open root %u", n) : cow_root_read(at, &root, &why);
	if (r == -ENOENT)
		return 0; /* out of use meanwhile */
	if (r < 0) {
		if (err)
			*err = why;
		return cow_err_prefix(err, r, "root %u", n);
	}
	const struct cow_root_info info = {
	    .n = n,
	    .version = root.version,
	    .image = root.image,
	    .backend = root.backend,
	    .why = root.why,
	    .made_s = root.made_s,
	    .swapped_s = root.swapped_s,
	    .current = current,
	};
	return fn(ctx, &info);
}

int cow_client_roots_each(struct cow_store *s, const struct cow_mac *mac,
			  int (*fn)(void *ctx, const struct cow_root_info *root), void *ctx,
			  struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_autoclient c = NULL;
	cow_autoclientat struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_autofree unsigned *list = NULL;
	size_t n = 0;
	cow_mac_text(mac, id);
	int r = cow_client_open_root(s, id, &at, err);
	if (r == 0)
		r = cow_client_read(at.dir, id, &c, err);
	if (r < 0 || !c)
		return r;
	r = cow_client_root_numbers(at.dir, &list, &n);
	if (r < 0)
		return cow_err_set(err, r, "list the roots of client %s", id);
	r = tell(at.dir, c->root, 1, fn, ctx, err);
	while (r == 0 && n-- > 0)
		if (list[n] != c->root && list[n] <= c->highest)
			r = tell(at.dir, list[n], 0, fn, ctx, err);
	return r;
}
