/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client's current root, opened: its directory, what it came from, and the image below it.
 */
#include <errno.h>
#include <unistd.h>

#include "client_internal.h"
#include "common/fs.h"

int cow_client_open_root(struct cow_store *s, const char *id, struct cow_client_at *ret,
			 struct cow_err *err)
{
	struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	cow_autoclose int dir = clients < 0 ? clients : cow_opendir_at(clients, id);
	if (dir < 0)
		return cow_err_set(err, dir, "open client %s", id);
	int r = cow_client_current(dir, &at.n);
	if (r < 0)
		return cow_err_set(err, r, "find the root of client %s", id);
	cow_autoclose int root = cow_client_root_dir(dir, at.n);
	if (root < 0)
		return cow_err_set(err, root, "open root %u of client %s", at.n, id);
	r = cow_root_read(root, &at.conf, err);
	if (r < 0)
		return cow_err_prefix(err, r, "root %u of client %s", at.n, id);
	at.dir = cow_steal_fd(&dir);
	at.root = cow_steal_fd(&root);
	*ret = at;
	return 0;
}

void cow_client_at_done(struct cow_client_at *at)
{
	if (at->root >= 0)
		(void)close(at->root); /* directories: nothing to lose */
	if (at->dir >= 0)
		(void)close(at->dir);
	*at = (struct cow_client_at)COW_CLIENT_AT_EMPTY;
}

int cow_client_find_image(struct cow_store *s, const struct cow_root *root, struct cow_image **ret,
			  struct cow_err *err)
{
	char ref[COW_LABEL_MAX + 16];
	(void)snprintf(ref, sizeof(ref), "%s@%u", root->image, root->version);
	return cow_image_find(s, ref, ret, err);
}

int cow_client_manifest(struct cow_store *s, const struct cow_root *root,
			struct cow_ovl_image **ret, struct cow_err *err)
{
	cow_autoimage image = NULL;
	*ret = NULL;
	if (root->backend != COW_BACKEND_OVERLAY)
		return 0;
	int r = cow_client_find_image(s, root, &image, err);
	return r < 0 ? r : cow_image_manifest(s, image, ret, err);
}

static int apply_limit(const struct cow_client_at *at, struct cow_ovl_inst *inst,
		       struct cow_err *err)
{
	cow_autoclient c = calloc(1, sizeof(*c));
	if (!c)
		return cow_err_set(err, -ENOMEM, "read client.conf");
	int r = cow_client_conf_read(at->dir, c, NULL, err);
	if (r < 0 || c->limit_bytes == 0 || at->conf.backend != COW_BACKEND_OVERLAY)
		return r;
	r = cow_ovl_inst_limit(inst, c->limit_bytes);
	return r < 0 ? cow_err_set(err, r, "count what the root uses, for its limit") : 0;
}

int cow_client_attach(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		      struct cow_ovl_inst **ret, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_autoclientat struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_autoovlimage img = NULL; /* the instance counts its own use */
	cow_mac_text(mac, id);
	int r = cow_client_open_root(s, id, &at, err);
	if (r < 0)
		return r;
	r = cow_client_manifest(s, &at.conf, &img, err);
	if (r == 0)
		r = cow_ovl_inst_open(at.root, img, flags, ret, err);
	if (r < 0)
		return cow_err_prefix(err, r, "attach root %u of client %s", at.n, id);
	if (flags & COW_OVL_OBSERVER)
		return 0;
	r = apply_limit(&at, *ret, err);
	if (r < 0) {
		(void)cow_ovl_inst_close(*ret); /* nothing was changed through it */
		*ret = NULL;
		return cow_err_prefix(err, r, "attach root %u of client %s", at.n, id);
	}
	/* A restored tree got a new epoch at attach; servers compare with the file. */
	r = cow_client_epoch_repair(at.dir, err);
	if (r < 0) {
		(void)cow_ovl_inst_close(*ret); /* nothing was changed through it */
		*ret = NULL;
	}
	return r;
}

int cow_client_holder(struct cow_store *s, const struct cow_mac *mac, char ret[COW_OVL_HOLDER_MAX])
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_autoclientat struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_mac_text(mac, id);
	int r = cow_client_open_root(s, id, &at, NULL);
	return r < 0 ? r : cow_ovl_inst_holder(at.root, ret);
}
