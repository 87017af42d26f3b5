/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client from its archive. What lies in images/NAME/.import-HEX/ of the image it stands on until it is a client:
 *
 *	tree/, image.ovm	what the client showed, as a version has it
 *	was/			an overlay root on that: with another identity if it becomes another machine
 *	root/			a fresh root of the image; all that was/ shows otherwise is carried into it
 *
 * root/ is moved into the new client, which gets its name by one rename; the rest is deleted, or swept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "archive_receive.h"
#include "client_internal.h"
#include "common/clock.h"
#include "common/log.h"
#include "new_version.h"

struct import {
	struct cow_store *s;
	const struct cow_client_import_opts *o;
	const char *what; /* the source */
	struct cow_arc_receive rx;
	struct cow_import_opts v_opts;
	struct cow_new_version v; /* only its staging; never published */
	struct cow_image *image;
	struct cow_ovl_image *below, *shown; /* manifests: of the image, of what the client showed */
	struct cow_client *c;
	struct cow_kv *settings;
	bool other_mac, other_name; /* than in the archive */
};

/* ---------------------------------------------------------------- what comes */

static int stage(struct import *m, struct cow_err *err)
{
	m->v = (struct cow_new_version){
	    .s = m->s,
	    .name = m->image->name,
	    .source = m->what,
	    .doing = m->what,
	    .opts = &m->v_opts,
	};
	int r = cow_new_version_begin(&m->v, -1, err);
	m->rx.stage = m->v.stage;
	return r;
}

static int find_image(struct import *m, const struct cow_archive_info *info,
		      struct cow_ovl_image **ret_base, struct cow_err *err)
{
	char ref[COW_LABEL_MAX + 16];
	cow_autoimage found = NULL;
	int r = cow_archive_base(m->s, info, info->base_name, m->what, &found, ret_base, err);
	if (r < 0)
		return r;
	m->below = cow_ovl_image_get(*ret_base);
	(void)snprintf(ref, sizeof(ref), "%s@%u", found->name, found->version);
	return cow_image_find(m->s, ref, &m->image, err);
}

static int accept(void *ctx, const struct cow_archive_info *info, struct cow_ovl_image **ret_base,
		  struct cow_err *err)
{
	struct import *m = ctx;
	struct cow_mac mac;
	*ret_base = NULL;
	if (!*info->client)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
						"'%s' is the archive of an image, not of a client",
						m->what),
				    "'cowherd image import' takes it");
	int r = cow_mac_parse(info->client, strlen(info->client), &mac);
	if (r < 0)
		return cow_err_set(err, r, "client %s", info->client);
	m->c->mac = m->o->mac ? *m->o->mac : mac;
	m->other_mac = memcmp(&m->c->mac, &mac, sizeof(mac)) != 0;
	cow_mac_text(&m->c->mac, m->c->id);
	r = cow_client_refuse_existing(m->s, m->c->id, err);
	if (r == 0)
		r = find_image(m, info, ret_base, err);
	return r < 0 ? r : stage(m, err);
}

static int receive(struct import *m, struct cow_err *err)
{
	cow_autounpack u = NULL;
	const uint8_t *head;
	uint64_t bytes = 0;
	cow_autoclose int src = strcmp(m->what, COW_IMPORT_STDIN) == 0
				    ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(m->what, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (src < 0)
		return cow_err_set(err, -errno, "open the source '%s'", m->what);
	int r = cow_unpack_open(src, m->what, &bytes, &u, err);
	if (r < 0)
		return r;
	size_t len = cow_unpack_head(u, &head);
	if (!cow_arc_begins(head, len))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is no archive of cowherd",
				   m->what);
	r = cow_arc_receive_all(&m->rx, u, err);
	return r < 0 ? r : cow_ovl_image_open(m->v.stage, &m->shown, err);
}

/* ---------------------------------------------------------------- settings */

static void notice(const struct import *m, const char *key, const char *value, const char *why)
{
	if (m->o->notice)
		m->o->notice(m->o->ctx, key, value, why);
}

/* Not allowed, not here, somebody else's, not on this file system. */
static bool cannot_have(int r)
{
	return r == -EINVAL || r == -ENOENT || r == -EEXIST || r == -EOPNOTSUPP;
}

/* What this store cannot have is left at its default. */
static int take_setting(struct import *m, const char *key, const char *value, struct cow_err *err)
{
	struct cow_err why = COW_ERR_INIT;
	bool is_name = strcmp(key, "name") == 0;
	if (m->other_mac && (strcmp(key, "address") == 0 || strcmp(key, "serial") == 0)) {
		notice(m, key, value, "it is of the other machine");
		return 0;
	}
	cow_autofree char *copy = strdup(value);
	int r = copy ? cow_client_key_check(m->s, m->c->id, key, copy, &why) : -ENOMEM;
	if (r == 0)
		r = cow_kv_set(m->settings, "", key, copy);
	if (r == 0)
		return 0;
	if (!is_name && cannot_have(r)) {
		notice(m, key, value, cow_err_str(&why));
		return 0;
	}
	if (why.code == COW_OK)
		return cow_err_set(err, r, "take the settings of the client");
	if (err)
		*err = why;
	return is_name && r == -EEXIST ? cow_err_hint(err, r, "--name gives it another name") : r;
}

static int take_all(struct import *m, struct cow_err *err)
{
	const char *key, *value;
	int r = cow_kv_new(&m->settings);
	if (r < 0)
		return cow_err_set(err, r, "take the settings of the client");
	for (size_t n = 0; r == 0 && (key = cow_client_key(n)); n++) {
		value = cow_kv_get(m->rx.conf, "", key);
		if (strcmp(key, "name") == 0 && m->o->name) {
			m->other_name = !value || strcmp(value, m->o->name) != 0;
			value = m->o->name;
		}
		if (value && *value)
			r = take_setting(m, key, value, err);
	}
	return r;
}

/* From what was taken. */
static int fill_client(struct import *m, struct cow_err *err)
{
	struct cow_client *c = m->c;
	const char *name = cow_kv_get(m->settings, "", "name");
	const char *follows = cow_kv_get(m->settings, "", "follows");
	const char *backend = cow_kv_get(m->settings, "", "backend");
	const char *durability = cow_kv_get(m->settings, "", "durability");
	const char *serial = cow_kv_get(m->settings, "", "serial");
	if (!name)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "'%s' is damaged: its client has no name", m->what);
	c->backend = cow_store_default_backend(m->s);
	if (backend)
		(void)cow_backend_parse(backend, &c->backend); /* was checked, like the next */
	if (durability)
		(void)cow_ovl_durability_parse(durability, &c->durability);
	(void)cow_kv_get_switch(m->settings, "", "ephemeral", &c->ephemeral, NULL);
	c->created_s = cow_realtime_s();
	c->name = strdup(name);
	c->serial = strdup(serial ? serial : "");
	int len = follows ? asprintf(&c->follows, "%s", follows)
			  : asprintf(&c->follows, "%s@%u", m->image->name, m->image->version);
	if (len < 0)
		c->follows = NULL;
	return c->name && c->serial && c->follows
		   ? 0
		   : cow_err_set(err, -ENOMEM, "take the settings of the client");
}

/* ---------------------------------------------------------------- the root */

static int make_dir(const struct import *m, const char *name, struct cow_err *err)
{
	int r = cow_mkdir_at(m->v.stage, name, 0700);
	int dir = r < 0 ? r : cow_opendir_at(m->v.stage, name);
	return dir < 0 ? cow_err_set(err, dir, "make a root") : dir;
}

static int seed_put(void *ctx, const char *path, const void *buf, size_t len, mode_t mode)
{
	return cow_ovl_seed_file(ctx, path, buf, len, mode);
}

/* What the client showed, as a root to be read. */
static int make_was(const struct import *m, int was, struct cow_err *err)
{
	const struct cow_ovl_create_opts opts = {.durability = COW_OVL_RELAXED};
	cow_autoseed seed = NULL;
	int r = cow_ovl_inst_create_peek(was, m->v.stage, &opts, err);
	if (r < 0 || !(m->other_mac || m->other_name))
		return r;
	r = cow_ovl_seed_begin(was, m->v.stage, &seed, err);
	if (r < 0)
		return r;
	const struct cow_identity to = {.tree = m->v.tree, .put = seed_put, .ctx = seed};
	return cow_identity_write(m->s, &to, &m->c->mac, m->c->name, err);
}

/* The host name that is in the root. */
static const char *made_as(const struct import *m)
{
	const char *name = cow_kv_get(m->rx.conf, "", "hostname");
	bool usable = name && cow_hostname_check(name) == 0;
	return m->other_mac || m->other_name || !usable ? m->c->name : name;
}

static int make_fresh(struct import *m, int dir, struct cow_err *err)
{
	cow_autoclose int lock = cow_store_lock(m->s, err);
	if (lock < 0)
		return lock;
	int r = take_all(m, err);
	if (r == 0)
		r = fill_client(m, err);
	if (r < 0)
		return r;
	const struct cow_root_how how = {
	    .backend = m->c->backend,
	    .durability = m->c->durability,
	    .highest = 1,
	    .why = COW_WHY_ADD,
	    .name = made_as(m),
	};
	return cow_root_fill(m->s, dir, m->image, &how, err);
}

static int stop(void *ctx)
{
	const struct import *m = ctx;
	const struct cow_import_progress p = {
	    .step = COW_IMPORT_FILL,
	    .inodes = m->v.fill.inodes,
	    .bytes = m->v.fill.bytes,
	};
	return m->o->progress ? m->o->progress(m->o->ctx, &p) : 0;
}

static int carry(struct import *m, struct cow_ovl_inst *was, struct cow_ovl_inst *to,
		 struct cow_err *err)
{
	cow_autocarry c = NULL;
	cow_autoclose int golden = cow_image_tree(m->s, m->image);
	if (golden < 0)
		return cow_err_set(err, golden, "open the tree of image %s@%u", m->image->name,
				   m->image->version);
	const struct cow_carry_opts opts = {
	    .from = was, .to = to, .from_golden = golden, .stop = stop, .ctx = m};
	int r = cow_carry_new(&opts, &c, err);
	return r < 0 ? r : cow_carry_all(c, err);
}

static int fill_root(struct import *m, int was_dir, int dir, struct cow_err *err)
{
	struct cow_ovl_inst *was = NULL, *to = NULL;
	struct cow_ovl_image *below = m->c->backend == COW_BACKEND_OVERLAY ? m->below : NULL;
	int r = cow_ovl_inst_open(was_dir, m->shown, COW_OVL_OBSERVER, &was, err);
	if (r == 0)
		r = cow_ovl_inst_open(dir, below, COW_OVL_STAGED, &to, err);
	if (r == 0)
		r = carry(m, was, to, err);
	(void)cow_ovl_inst_close(was); /* only looked at */
	int closed = cow_ovl_inst_close(to);
	return r < 0 || closed == 0 ? r : cow_err_set(err, closed, "finish the new root");
}

static int make_root(struct import *m, struct cow_err *err)
{
	cow_autoclose int dir = make_dir(m, "root", err);
	cow_autoclose int was = dir < 0 ? dir : make_dir(m, "was", err);
	if (was < 0)
		return was;
	int r = make_fresh(m, dir, err);
	if (r == 0)
		r = make_was(m, was, err);
	return r < 0 ? r : fill_root(m, was, dir, err);
}

static int publish(struct import *m, struct cow_err *err)
{
	const struct cow_client_made made = {
	    .dir = m->v.stage,
	    .root = "root",
	    .image = m->image,
	    .settings = m->settings,
	};
	cow_autoclose int lock = cow_store_lock(m->s, err);
	return lock < 0 ? lock : cow_client_add_made(m->s, m->c, &made, err);
}

static int make_client(struct import *m, struct cow_err *err)
{
	int r = make_root(m, err);
	if (r == 0)
		r = publish(m, err);
	return r < 0 ? cow_err_prefix(err, r, "import client %s", m->c->id) : 0;
}

int cow_client_import(struct cow_store *s, const char *source,
		      const struct cow_client_import_opts *opts, struct cow_mac *ret,
		      struct cow_err *err)
{
	cow_autoclient c = calloc(1, sizeof(*c));
	struct import m = {
	    .s = s,
	    .o = opts,
	    .what = source,
	    .v_opts = {.progress = opts->progress, .ctx = opts->ctx},
	    .c = c,
	};
	if (!c)
		return cow_err_set(err, -ENOMEM, "import a client");
	if (opts->name && cow_hostname_check(opts->name) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s is no host name: letters, digits and '-', at most 63",
				   COW_Q(opts->name));
	m.rx = (struct cow_arc_receive){
	    .fill = &m.v.fill, .stage = -1, .what = source, .accept = accept, .ctx = &m};
	int r = receive(&m, err);
	if (r == 0)
		r = make_client(&m, err);
	if (r == 0)
		*ret = c->mac;
	cow_ovl_image_close(m.shown);
	if (m.v.s)
		cow_new_version_end(&m.v, -ECANCELED); /* what counts of it has been moved */
	cow_ovl_image_close(m.below);
	cow_image_free(m.image);
	cow_kv_free(m.settings);
	cow_kv_free(m.rx.conf);
	return r;
}
