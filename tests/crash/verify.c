/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * After a cut: the instance attaches, nothing is left over, what it shows may be, handles lead where
 * they should, work goes on, the kernel sees the same tree, the golden image is what it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "crash.h"
#include "util.h"

static bool __attribute__((format(printf, 2, 3))) no(char *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, WHY_LEN, fmt, ap);
	va_end(ap);
	return false;
}

/* ---------------------------------------------------------------- attach */

int seat_open(const struct ground *g, const char *point, const char *name, bool same_fs,
	      unsigned flags, struct seat *ret, char why[WHY_LEN])
{
	char path[2 * POINT_LEN];
	struct cow_err err = COW_ERR_INIT;
	struct seat s = {.dirfd = -1};
	(void)snprintf(path, sizeof(path), "%s/image", point);
	int image = cow_opendir_at(AT_FDCWD, same_fs ? path : g->golden);
	int r = image < 0 ? image : cow_ovl_image_open(image, &s.img, &err);
	if (image >= 0)
		(void)close(image);
	(void)snprintf(path, sizeof(path), "%s/%s", point, name);
	if (r == 0)
		s.dirfd = r = cow_opendir_at(AT_FDCWD, path);
	if (r >= 0)
		r = cow_ovl_inst_open(s.dirfd, s.img, flags, &s.i, &err);
	if (r < 0) {
		(void)no(why, "attach %s: %s (%s)", name, cow_err_str(&err), errname(r));
		cow_ovl_image_close(s.img);
		if (s.dirfd >= 0)
			(void)close(s.dirfd);
		return r;
	}
	*ret = s;
	return 0;
}

int seat_close(struct seat *s)
{
	int r = cow_ovl_inst_close(s->i);
	cow_ovl_image_close(s->img);
	(void)close(s->dirfd);
	return r;
}

void know(struct cow_ovl_inst *i, const char *top, struct known *ret)
{
	struct state s;
	char why[WHY_LEN];
	ret->n = 0;
	if (state_of_engine(i, top, NULL, NULL, &s, why) < 0)
		trouble("before a cut: %s", why);
	for (size_t k = 0; k < s.n && ret->n < 64; k++) {
		ret->v[ret->n].len = s.v[k].handle_len;
		memcpy(ret->v[ret->n++].handle, s.v[k].handle, COW_OVL_HANDLE_MAX);
	}
	state_free(&s);
}

/* ---------------------------------------------------------------- leftovers */

static bool shows_number(const struct state *all, uint32_t number)
{
	for (size_t k = 0; k < all->n; k++)
		if (all->v[k].who == number)
			return true;
	return false;
}

static bool anchor_ok(int dirfd, const char *name, const struct state *all, char *why)
{
	char path[400];
	uint8_t id[20];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	if (lgetxattr(path, "trusted.cowherd.id", id, sizeof(id)) != sizeof(id))
		return no(why, "anchor %s does not say what it is", name);
	return shows_number(all, cow_get_le32(id + 16)) ||
	       no(why, "an anchor is left of object %u, which has no name", cow_get_le32(id + 16));
}

static bool dir_clean(int rootfd, const char *path, const struct state *all, char *why)
{
	const struct dirent *e;
	bool index = all;
	int fd = openat(rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autodir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return no(why, "open %s: %s", path, errname(errno));
	while (cow_readdir(d, &e) > 0) {
		if (index && !anchor_ok(fd, e->d_name, all, why))
			return false;
		if (!index && strcmp(path, ".") == 0 && strncmp(e->d_name, ".tmp", 4) != 0)
			continue;
		if (!index && strcmp(e->d_name, "#whiteout") != 0)
			return no(why, "%s/%s is left over", path, e->d_name);
	}
	return true;
}

static bool no_leftovers(const struct seat *s, const struct state *all, char *why)
{
	return dir_clean(s->dirfd, ".", NULL, why) && dir_clean(s->dirfd, "work/work", NULL, why) &&
	       dir_clean(s->dirfd, "work/index", all, why);
}

/* ---------------------------------------------------------------- handles */

static bool is_in(const struct state *s, const uint8_t *handle, size_t len)
{
	for (size_t k = 0; k < s->n; k++)
		if (s->v[k].handle_len == len && memcmp(s->v[k].handle, handle, len) == 0)
			return true;
	return false;
}

/* What is there was looked at by its handle already; what is not there must be stale. */
static bool handle_ok(const struct seat *s, const struct state *all, const uint8_t *handle,
		      size_t len, char *why)
{
	cow_autonode n = NULL;
	if (len == 0 || is_in(all, handle, len))
		return true;
	int r = cow_ovl_from_handle(s->i, handle, len, &n);
	return r == -ESTALE ||
	       no(why, "the handle (kind %c) of an object that is gone: %s", handle[1], errname(r));
}

static bool handles_ok(const struct verify *v, const struct seat *s, const struct state *all,
		       char *why)
{
	for (unsigned t = 0; t < v->threads; t++) {
		for (size_t k = 0; k < v->rep->known[t].n; k++)
			if (!handle_ok(s, all, v->rep->known[t].v[k].handle,
				       v->rep->known[t].v[k].len, why))
				return false;
		for (size_t k = 1; k <= v->m->started[t]; k++)
			if (!handle_ok(s, all, v->rep->made[t].v[k].handle,
				       v->rep->made[t].v[k].len, why))
				return false;
	}
	return true;
}

/* ---------------------------------------------------------------- names */

/* Every object has as many names as links, a directory one. */
static bool names_ok(const struct state *all, char *why)
{
	for (size_t a = 0; a < all->n; a++) {
		const struct obj *o = &all->v[a];
		uint32_t names = 0;
		for (size_t b = 0; b < all->n; b++)
			names += all->v[b].handle_len == o->handle_len &&
				 memcmp(all->v[b].handle, o->handle, o->handle_len) == 0;
		if (names != (o->nlink ? o->nlink : 1))
			return no(why, "%s: %u links, %u names", o->path, o->nlink, names);
	}
	return true;
}

/* ---------------------------------------------------------------- what it shows */

struct who {
	struct made *made;
	uint64_t under_way; /* step that may have made what nobody told us of; 0: none */
};

static uint64_t who_of(void *ctx, const uint8_t *handle, size_t len)
{
	const struct who *w = ctx;
	uint64_t who = made_who(w->made, handle, len);
	return who == WHO_UNKNOWN && w->under_way ? WHO_MADE + w->under_way : who;
}

/* Go on where it was cut; what follows must be what follows without a cut. */
static bool go_on(const struct verify *v, const struct seat *s, unsigned t, size_t from,
		  struct who *w, char *why)
{
	struct history *h = v->h[t];
	char text[3 * PATH_LEN], reason[WHY_LEN];
	size_t end = from + v->go_on < h->n ? from + v->go_on : h->n;
	for (size_t k = from + 1; k <= end; k++) {
		int r = step_run(s->i, h->top, &h->step[k], w->made, k);
		if (r < 0)
			return no(why, "after it step %zu of thread %u, %s: %s", k, t,
				  step_text(&h->step[k], text), errname(r));
	}
	struct state got;
	bool ok = state_of_engine(s->i, h->top, who_of, w, &got, reason) == 0 &&
		  judge_exact(h, end, &got, reason);
	state_free(&got);
	return ok ||
	       no(why, "steps %zu to %zu of thread %u after it: %s", from + 1, end, t, reason);
}

/* Where the state is none of the history: something that is always possible. */
static bool still_works(const struct seat *s, const char *top, char *why)
{
	static const struct step steps[] = {
	    {.kind = K_MKDIR, .path = "zz", .arg = 0755},
	    {.kind = K_CREATE, .path = "zz/a", .arg = 0644},
	    {.kind = K_STABLE, .path = "zz/a", .len = 10},
	    {.kind = K_RENAME, .path = "zz/a", .path2 = "zy"},
	    {.kind = K_REMOVE, .path = "zz"},
	    {.kind = K_REMOVE, .path = "zy"},
	};
	char text[3 * PATH_LEN];
	for (size_t k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
		int r = step_run(s->i, top, &steps[k], NULL, 0);
		if (r < 0)
			return no(why, "new work after it: %s: %s", step_text(&steps[k], text),
				  errname(r));
	}
	return true;
}

static bool thread_ok(const struct verify *v, const struct seat *s, unsigned t, char *why)
{
	struct state got;
	char reason[WHY_LEN], inexact[WHY_LEN], text[3 * PATH_LEN];
	struct history *h = v->h[t];
	const struct judgement j = {
	    .h = h,
	    .acked = v->m->acked[t],
	    .started = v->m->started[t],
	    .strict = v->strict,
	    .fsync = v->fsync,
	    .ordered = v->ordered,
	};
	/* Its own: other cuts of the same work are not to know what is made here. */
	cow_autofree struct made *made = must(malloc(sizeof(*made)));
	*made = v->rep->made[t];
	struct who w = {.made = made};
	enum kind kind = h->step[j.started].kind;
	if (j.started > j.acked && kind <= K_FIFO)
		w.under_way = j.started;
	bool ok = state_of_engine(s->i, h->top, who_of, &w, &got, reason) == 0;
	int k = ok ? judge(&j, &got, reason) : -2;
	bool exact = k >= 0 && judge_exact(h, (size_t)k, &got, inexact);
	if (exact && w.under_way && (size_t)k == j.started)
		for (size_t n = 0; n < got.n; n++) /* so that it is known from now on */
			if (got.v[n].who == WHO_MADE + j.started) {
				w.made->v[j.started].len = got.v[n].handle_len;
				memcpy(w.made->v[j.started].handle, got.v[n].handle,
				       COW_OVL_HANDLE_MAX);
			}
	state_free(&got);
	if (k == -2)
		return no(why, "thread %u, steps %zu to %zu of %zu, the last: %s: %s", t, j.acked,
			  j.started, h->n, step_text(&h->step[j.started], text), reason);
	w.under_way = 0;
	return (exact ? go_on(v, s, t, (size_t)k, &w, why) : true) && still_works(s, h->top, why);
}

/* ---------------------------------------------------------------- the kernel */

bool is_split(const struct ground *g, uint64_t who)
{
	for (size_t k = 0; k < g->nlinked; k++)
		if (g->linked[k] == who)
			return true;
	return false;
}

/* @name: who shows @kernel. */
static bool kernel_compare(const struct ground *g, const char *name, const struct state *ours,
			   const struct state *kernel, char *why)
{
	size_t b = 0;
	for (size_t a = 0; a < ours->n; a++) {
		const struct obj *o = &ours->v[a], *k = b < kernel->n ? &kernel->v[b] : NULL;
		if (!*o->path)
			continue;
		b++;
		if (!k || strcmp(o->path, k->path) != 0)
			return no(why, "%s shows %s where we show %s", name,
				  k ? k->path : "nothing", o->path);
		if (is_split(g, o->who))
			continue;
		if (o->mode != k->mode || o->uid != k->uid || o->gid != k->gid ||
		    o->nlink != k->nlink || o->rdev != k->rdev || o->mtime != k->mtime ||
		    o->meta != k->meta || o->data != k->data)
			return no(why,
				  "%s: %s shows mode %o %u:%u, %u links, time %lld, data %u, "
				  "attributes %u; we show %o %u:%u, %u, %lld, %u, %u",
				  o->path, name, k->mode, k->uid, k->gid, k->nlink,
				  (long long)k->mtime, k->data, k->meta, o->mode, o->uid, o->gid,
				  o->nlink, (long long)o->mtime, o->data, o->meta);
	}
	return b == kernel->n || no(why, "%s shows %s too", name, kernel->v[b].path);
}

static bool kernel_ok(const struct verify *v, const struct state *ours, char *why)
{
	char lower[2 * POINT_LEN], upper[2 * POINT_LEN], work[2 * POINT_LEN];
	struct state kernel;
	(void)snprintf(lower, sizeof(lower), "%s%s/tree", v->same_fs ? v->point : v->g->golden,
		       v->same_fs ? "/image" : "");
	(void)snprintf(upper, sizeof(upper), "%s/%s/upper", v->point, v->name);
	(void)snprintf(work, sizeof(work), "%s/%s/work", v->point, v->name);
	cow_autoclose int fd = disk_overlay(lower, upper, work);
	if (fd < 0)
		return no(why, "the kernel's overlay does not mount it: %s", errname(fd));
	bool ok = state_of_dir(fd, &kernel, why) == 0 &&
		  kernel_compare(v->g, "the kernel", ours, &kernel, why);
	state_free(&kernel);
	return ok;
}

static bool remount_ok(const struct verify *v, const struct state *ours, char *why)
{
	const struct mount_how how = {
	    .g = v->g, .point = v->point, .name = v->name, .same_fs = v->same_fs};
	char point[POINT_LEN];
	struct state shown;
	pid_t server = mount_start(&how);
	mount_point(v->g, point);
	int fd = cow_opendir_at(AT_FDCWD, point);
	if (fd < 0)
		trouble("open the mount");
	bool ok = state_of_dir(fd, &shown, why) == 0 &&
		  kernel_compare(v->g, "the mount", ours, &shown, why);
	(void)close(fd);
	int status = mount_stop(v->g, server);
	if (ok && status != 0)
		ok = no(why, "the server of the new mount ended with status %#x", (unsigned)status);
	state_free(&shown);
	return ok;
}

/* ---------------------------------------------------------------- all of it */

static bool golden_ok(const struct verify *v, char *why)
{
	char path[2 * POINT_LEN];
	struct state now;
	const struct state *was = &v->g->golden_state;
	(void)snprintf(path, sizeof(path), "%s%s/tree", v->same_fs ? v->point : v->g->golden,
		       v->same_fs ? "/image" : "");
	cow_autoclose int fd = cow_opendir_at(AT_FDCWD, path);
	if (fd < 0)
		return no(why, "the golden image: %s", errname(fd));
	bool ok = state_of_dir(fd, &now, why) == 0;
	for (size_t k = 0; ok && (k < was->n || k < now.n); k++)
		if (k == was->n || k == now.n || memcmp(&was->v[k], &now.v[k], sizeof(*now.v)) != 0)
			ok = no(why, "the golden image has changed at %s",
				k == now.n ? was->v[k].path : now.v[k].path);
	state_free(&now);
	return ok;
}

static bool attached_ok(const struct verify *v, const struct seat *s, struct state *all, char *why)
{
	if (state_of_engine(s->i, "", NULL, NULL, all, why) < 0 || !no_leftovers(s, all, why) ||
	    !names_ok(all, why) || !handles_ok(v, s, all, why))
		return false;
	for (unsigned t = 0; t < v->threads; t++)
		if (!thread_ok(v, s, t, why))
			return false;
	state_free(all);
	return state_of_engine(s->i, "", NULL, NULL, all, why) == 0;
}

bool verify_instance(const struct verify *v, char why[WHY_LEN])
{
	struct seat s;
	struct state all = {0};
	if (seat_open(v->g, v->point, v->name, v->same_fs, 0, &s, why) < 0)
		return false;
	bool ok = attached_ok(v, &s, &all, why);
	int r = seat_close(&s);
	if (ok && r < 0)
		ok = no(why, "detach: %s", errname(r));
	if (ok && v->remount) /* before the kernel marks it as its own */
		ok = remount_ok(v, &all, why);
	if (ok && v->kernel)
		ok = kernel_ok(v, &all, why);
	if (ok && v->golden)
		ok = golden_ok(v, why);
	state_free(&all);
	return ok;
}
