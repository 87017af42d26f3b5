/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * gc: which versions go, and their removal. What keeps a version is asked twice: to tell about it, and once
 * more with STORE/lock held, when it goes.
 */
#include "snapshot/gc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/fs.h"
#include "common/log.h"
#include "image_internal.h"
#include "names.h"
#include "snapshot/space.h"

struct gc {
	struct cow_store *s;
	const struct cow_gc_opts *opts;
	struct cow_gc_sum *sum;
	struct cow_space_use *going; /* all that go, together */
	struct cow_err *err;
};

/* ---------------------------------------------------------------- what keeps a version */

/* Who follows NAME@VERSION. */
struct pin {
	char ref[COW_LABEL_MAX + 16];
	char id[COW_MAC_TEXT_LEN + 1];
	struct cow_err *err;
};

static int follows(void *ctx, const struct cow_client *c, const char *id, const struct cow_err *why)
{
	struct pin *p = ctx;
	if (!c) {
		cow_err_say(p->err, COW_ERR_FAILED, -EBADMSG, "client %s: %s", id,
			    cow_err_str(why));
		return cow_err_hint(p->err, -EBADMSG,
				    "what it follows is not known, so nothing is removed: mend or "
				    "remove it (cowherd doctor)");
	}
	if (strcmp(c->follows, p->ref) != 0)
		return 0;
	memcpy(p->id, c->id, sizeof(p->id));
	return 1;
}

#define WHY_MAX 512

static int check_pins(struct gc *g, const struct cow_image *i, char why[WHY_MAX])
{
	struct pin p = {.err = g->err};
	(void)snprintf(p.ref, sizeof(p.ref), "%s@%u", i->name, i->version);
	if (g->opts->keep_ref && strcmp(g->opts->keep_ref, p.ref) == 0) {
		(void)snprintf(why, WHY_MAX, "new clients get it ([tftp] enrol_image)");
		return 1;
	}
	int r = cow_client_each(g->s, follows, &p, g->err);
	if (r > 0)
		(void)snprintf(why, WHY_MAX, "client %s follows it", p.id);
	return r;
}

static int check_place(struct gc *g, int dir, const struct cow_image *i, char why[WHY_MAX])
{
	cow_autofree unsigned *list = NULL;
	size_t n = 0, keep = g->opts->keep_last ? g->opts->keep_last : 1;
	int r = cow_image_versions(dir, &list, &n);
	if (r < 0)
		return cow_err_set(g->err, r, "list image %s", i->name);
	size_t at = 0;
	while (at < n && list[at] != i->version)
		at++;
	if (n - at > keep)
		return 0;
	(void)snprintf(why, WHY_MAX, at + 1 == n ? "the newest" : "one of the last %zu", keep);
	return 1;
}

/* Return: 1 with @why; 0 nothing does; -errno. */
static int is_kept(struct gc *g, int dir, const struct cow_image *i, char why[WHY_MAX])
{
	struct cow_err busy = COW_ERR_INIT;
	int r = check_place(g, dir, i, why);
	if (r != 0)
		return r;
	r = cow_image_check_unused(g->s, i, &busy);
	if (r == -EBUSY) {
		const char *text = cow_err_str(&busy);
		(void)snprintf(why, WHY_MAX, "%.*s", (int)strcspn(text, "\n;"), text);
		return 1;
	}
	if (r < 0) {
		if (g->err)
			*g->err = busy;
		return r;
	}
	return check_pins(g, i, why);
}

/* ---------------------------------------------------------------- removal */

static int remove_locked(struct gc *g, int dir, const struct cow_image *i)
{
	char number[16], why[WHY_MAX];
	cow_autoclose int lock = cow_store_lock(g->s, g->err);
	if (lock < 0)
		return lock;
	int r = is_kept(g, dir, i, why);
	if (r != 0)
		return r;
	(void)snprintf(number, sizeof(number), "%u", i->version);
	r = cow_trash_put(g->s, dir, number);
	if (r == -ENOENT)
		return 1; /* somebody else has removed it */
	if (r == 0)
		r = cow_fsync_dir_at(dir, ".");
	return r < 0 ? cow_err_set(g->err, r, "remove image %s@%u", i->name, i->version) : 0;
}

static int tell(struct gc *g, const struct cow_image *i, const char *why, uint64_t own)
{
	return g->opts->fn ? g->opts->fn(g->opts->ctx, i->name, i->version, why, own) : 0;
}

static int one_version(struct gc *g, int dir, const char *name, unsigned version)
{
	char number[16], why[WHY_MAX];
	uint64_t own = 0;
	cow_autoimage i = NULL;
	int r = cow_image_record(dir, name, version, &i, NULL, g->err);
	if (r < 0 || !i)
		return r == -ENOENT ? 0 : r; /* removed meanwhile */
	r = is_kept(g, dir, i, why);
	if (r != 0)
		return r < 0 ? r : tell(g, i, why, 0);
	(void)snprintf(number, sizeof(number), "%u", version);
	r = cow_image_space(g->s, i, &own, NULL, g->err);
	if (r < 0)
		return r;
	r = cow_space_use_add(g->going, dir, number);
	if (r < 0)
		return cow_err_set(g->err, r, "measure image %s@%u", name, version);
	if (!(g->opts->flags & COW_GC_DRY_RUN)) {
		r = remove_locked(g, dir, i);
		if (r != 0)
			return r < 0 ? r : 0; /* it came into use */
	}
	g->sum->versions++;
	return tell(g, i, NULL, own);
}

static int one_image(struct gc *g, const char *name)
{
	cow_autofree unsigned *list = NULL;
	size_t n = 0;
	cow_autoclose int dir = cow_image_dir(g->s, name);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0;
	int r = dir < 0 ? dir : cow_image_versions(dir, &list, &n);
	if (r < 0)
		return cow_err_set(g->err, r, "list image %s", name);
	for (size_t k = 0; r == 0 && k < n; k++)
		r = one_version(g, dir, name, list[k]);
	return r;
}

static int all_images(struct gc *g)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	int r = cow_names_read(g->s->fd, "images", &names);
	if (r < 0)
		return cow_err_set(g->err, r, "list the images of '%s'", g->s->path);
	for (size_t k = 0; r == 0 && k < names.n; k++)
		r = cow_label_check(names.name[k]) < 0 ? 0 : one_image(g, names.name[k]);
	return r;
}

int cow_store_gc(struct cow_store *s, const struct cow_gc_opts *opts, struct cow_gc_sum *ret,
		 struct cow_err *err)
{
	cow_autouse going = NULL;
	struct cow_gc_sum sum = {0};
	int dry = (opts->flags & COW_GC_DRY_RUN) != 0;
	if (opts->flags & ~(unsigned)COW_GC_DRY_RUN)
		return cow_err_set(err, -EINVAL, "gc: flags %#x", opts->flags);
	int r = dry ? 0 : cow_store_sweep(s, err);
	if (r < 0) { /* a client's record is missing, say: that is not what was asked for */
		if (err)
			err->code = COW_ERR_FAILED;
		return cow_err_hint(err, r, "nothing is removed until that is mended (cowherd doctor)");
	}
	r = cow_space_use_new(s, &going);
	if (r < 0 || !going)
		return cow_err_set(err, r, "measure '%s'", s->path);
	struct gc g = {.s = s, .opts = opts, .sum = &sum, .going = going, .err = err};
	r = all_images(&g);
	sum.bytes = cow_space_use_own(going);
	if (!dry) { /* also what went before something failed */
		int empty = cow_store_empty_trash(s, r == 0 ? err : NULL);
		r = r == 0 ? empty : r;
	}
	if (r == 0)
		*ret = sum;
	return r;
}
