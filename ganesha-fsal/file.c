/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Opened files and what the server ties to them: states and share reservations.
 *
 * An open state has its own cow_file. Stateless I/O (NFSv3, special state ids) opens for the call;
 * the engine keeps file descriptors for reuse, so that is a table lookup. There is no "global" file
 * per object, the server's descriptor limits find nothing to close here. Byte-range locks live in
 * the server (lock_support is off): this server is the only writer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "glue11.h"
#include "nfs_core.h"
#include "names.h"

static fsal_status_t ok(void)
{
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}

/* -------------------------------------------------- files */

static struct cow_file *file_get(struct cow_file *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

void cow_file_put(struct cow_file *f)
{
	if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	cow_ovl_close(f->o);
	atomic_fetch_sub(&f->root->opens, 1);
	cow_nfs_root_put(f->root);
	free(f);
}

static int file_open(struct cow_obj *o, struct cow_use *u, fsal_openflags_t flags,
		     struct cow_file **ret)
{
	struct cow_ovl_cred cred = cow_caller();
	unsigned how = 0;
	if (flags & FSAL_O_READ)
		how |= COW_OPEN_READ;
	if (flags & FSAL_O_WRITE)
		how |= COW_OPEN_WRITE;
	if (flags & FSAL_O_TRUNC)
		how |= COW_OPEN_WRITE | COW_OPEN_TRUNC;
	if (!how)
		how = COW_OPEN_READ;
	struct cow_file *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	int r = cow_ovl_open(u->n, &cred, how, &f->o);
	if (r < 0) {
		free(f);
		return r;
	}
	f->refs = 1;
	f->flags = flags;
	f->root = cow_nfs_root_get(o->root);
	atomic_fetch_add(&o->root->opens, 1);
	*ret = f;
	return 0;
}

/* -------------------------------------------------- states */

static void state_set_file(struct cow_state *s, struct cow_file *f)
{
	pthread_mutex_lock(&s->lock);
	struct cow_file *old = s->file;
	s->file = f;
	pthread_mutex_unlock(&s->lock);
	cow_file_put(old);
}

static struct cow_file *state_get_file(struct cow_state *s)
{
	pthread_mutex_lock(&s->lock);
	struct cow_file *f = s->file ? file_get(s->file) : NULL;
	pthread_mutex_unlock(&s->lock);
	return f;
}

static int is_lock_state(const struct state_t *s)
{
	return s->state_type == STATE_TYPE_LOCK || s->state_type == STATE_TYPE_NLM_LOCK;
}

static int is_share_state(const struct state_t *s)
{
	return s->state_type == STATE_TYPE_SHARE || s->state_type == STATE_TYPE_NLM_SHARE ||
	       s->state_type == STATE_TYPE_9P_FID;
}

/* The server's contract knows no failure here; it ends the process itself when memory is out. */
struct state_t *cow_op_alloc_state(struct fsal_export *e, enum state_type type,
				   struct state_t *related)
{
	struct cow_state *s = gsh_calloc(1, sizeof(*s));
	init_state(&s->state, e, type, related);
	pthread_mutex_init(&s->lock, NULL);
	/* I/O with a lock's state id uses the file of the open it belongs to. */
	if (related && is_lock_state(&s->state))
		s->file = state_get_file(cow_state_of(related));
	return &s->state;
}

void cow_op_free_state(struct fsal_export *e, struct state_t *st)
{
	struct cow_state *s = cow_state_of(st);
	cow_file_put(s->file);
	pthread_mutex_destroy(&s->lock);
	gsh_free(s);
}

/* -------------------------------------------------- share reservations */

/* Take (or change) the reservation of an open; a reclaim after a restart is never refused. */
static fsal_status_t share_take(struct cow_obj *o, fsal_openflags_t old, fsal_openflags_t new)
{
	fsal_status_t s = ok();
	pthread_rwlock_wrlock(&o->h.obj_lock);
	/* What the open had so far does not stand in its own way. */
	update_share_counters(&o->share, old, FSAL_O_CLOSED);
	if (!(new &FSAL_O_RECLAIM))
		s = check_share_conflict(&o->share, new, false);
	update_share_counters(&o->share, FSAL_O_CLOSED, FSAL_IS_ERROR(s) ? old : new);
	pthread_rwlock_unlock(&o->h.obj_lock);
	return s;
}

static void share_change(struct cow_obj *o, fsal_openflags_t old, fsal_openflags_t new)
{
	pthread_rwlock_wrlock(&o->h.obj_lock);
	update_share_counters(&o->share, old, new);
	pthread_rwlock_unlock(&o->h.obj_lock);
}

fsal_status_t cow_share_allows(struct cow_obj *o, struct state_t *s, fsal_openflags_t flags,
			       bool bypass)
{
	/* The server has looked at the access of the state, and of the open behind a lock. */
	if (s && (is_lock_state(s) || (cow_state_of(s)->fd.openflags & flags) == flags))
		return ok();
	/* The lock is not held during the I/O that follows: what was under way when a denying OPEN
	 * came in is as if it had come before. */
	pthread_rwlock_rdlock(&o->h.obj_lock);
	fsal_status_t st = check_share_conflict(&o->share, flags, bypass);
	pthread_rwlock_unlock(&o->h.obj_lock);
	return st;
}

fsal_status_t cow_file_for(struct cow_obj *o, struct cow_use *u, struct state_t *s,
			   fsal_openflags_t flags, bool bypass, struct cow_file **ret)
{
	struct cow_file *f = s ? state_get_file(cow_state_of(s)) : NULL;
	if (f && (f->flags & flags) == flags) {
		*ret = f;
		return ok();
	}
	cow_file_put(f);
	fsal_status_t st = cow_share_allows(o, s, flags, bypass);
	if (FSAL_IS_ERROR(st))
		return st;
	return cow_obj_status(o, file_open(o, u, flags, ret));
}

/* -------------------------------------------------- exclusive create */

/*
 * The client's verifier is kept in atime and mtime until its first SETATTR (RFC 1813, 3.3.8). 31
 * bits each: what every file system can store.
 */
static void verifier_times(const fsal_verifier_t v, struct timespec *atime, struct timespec *mtime)
{
	uint32_t w[2];
	memcpy(w, v, sizeof(w));
	*atime = (struct timespec){.tv_sec = w[0] & INT32_MAX};
	*mtime = (struct timespec){.tv_sec = w[1] & INT32_MAX};
}

static int verifier_matches(const struct cow_ovl_attr *a, const fsal_verifier_t v)
{
	struct timespec atime, mtime;
	verifier_times(v, &atime, &mtime);
	return a->atime.tv_sec == atime.tv_sec && a->mtime.tv_sec == mtime.tv_sec;
}

static bool op_check_verifier(struct fsal_obj_handle *h, fsal_verifier_t v)
{
	struct cow_obj *o = cow_obj_of(h);
	cow_autouse u = {0};
	struct cow_ovl_attr a = {0};
	return cow_use(o, &u) == 0 && cow_ovl_getattr(u.n, &a) == 0 && verifier_matches(&a, v);
}

/* -------------------------------------------------- open */

struct open_args {
	struct cow_state *s; /* NULL: stateless */
	fsal_openflags_t flags;
	enum fsal_create_mode mode;
	struct fsal_attrlist *in;
	const char *verifier;
};

/* An existing file meets a create: 0 open it, or why not. */
static int existing_ok(const struct open_args *a, const struct cow_ovl_attr *attr)
{
	switch (a->mode) {
	case FSAL_NO_CREATE:
	case FSAL_UNCHECKED:
		return 0;
	case FSAL_EXCLUSIVE:
	case FSAL_EXCLUSIVE_41:
		return verifier_matches(attr, a->verifier) ? 0 : -EEXIST;
	default: /* FSAL_GUARDED, FSAL_EXCLUSIVE_9P */
		return -EEXIST;
	}
}

/* The server checks permissions after the open; content must not be gone by then. */
static int may_truncate(const struct open_args *a, const struct cow_ovl_attr *attr)
{
	struct cow_ovl_cred cred = cow_caller();
	return a->flags & FSAL_O_TRUNC ? cow_perm_check(attr, &cred, COW_MAY_WRITE) : 0;
}

/* Open for the state, or (stateless) do what the open has to do and keep nothing open. */
static int open_node(struct cow_obj *o, struct cow_use *u, const struct open_args *a)
{
	struct cow_file *f;
	if (!a->s && !(a->flags & FSAL_O_TRUNC))
		return 0;
	int r = file_open(o, u, a->flags, &f);
	if (r < 0)
		return r;
	f->flags &= ~(fsal_openflags_t)FSAL_O_TRUNC;
	if (!a->s) {
		cow_file_put(f);
		return 0;
	}
	state_set_file(a->s, f);
	a->s->fd.openflags = FSAL_O_NFS_FLAGS(a->flags);
	return 0;
}

static int is_open_by_name(void)
{
	if (!op_ctx->caller_addr || op_ctx->nfs_vers != NFS_V4)
		return 0;
	const nfs_request_t *req = COW_CONTAINER(op_ctx, nfs_request_t, op_context);
	const COMPOUND4args *c = &req->arg_nfs.arg_compound4;
	for (u_int i = 0; i < c->argarray.argarray_len; i++) {
		const nfs_argop4 *arg = &c->argarray.argarray_val[i];
		if (arg->argop == NFS4_OP_OPEN &&
		    arg->nfs_argop4_u.opopen.claim.claim == CLAIM_NULL)
			return 1;
	}
	return 0;
}

#define VANISHED_MAX 8 /* then something else is wrong than a race */

/*
 * The server looks the name of an OPEN up, and opens what it found in a second step. When that lost its
 * name in between (a rename over it), it is gone: the client asks again and gets what has the name now,
 * instead of an error about a handle it never saw.
 */
static int ask_again(struct cow_obj *o, const struct cow_use *u, int r)
{
	if (r != -ESTALE || !u->b || u->b->epoch != o->epoch || !is_open_by_name())
		return r;
	return atomic_fetch_add(&o->vanished, 1) < VANISHED_MAX ? -EAGAIN : r;
}

static fsal_status_t open_by_handle(struct cow_obj *o, const struct open_args *a,
				    struct fsal_attrlist *attrs_out)
{
	cow_autouse u = {0};
	struct cow_ovl_attr attr = {0};
	int r = cow_use(o, &u);
	if (r == 0 && o->h.type != REGULAR_FILE)
		r = o->h.type == DIRECTORY ? -EISDIR : -EINVAL;
	if (r == 0)
		r = cow_ovl_getattr(u.n, &attr);
	if (r == 0)
		r = existing_ok(a, &attr);
	if (r == 0)
		r = may_truncate(a, &attr);
	if (r < 0)
		return cow_obj_status(o, ask_again(o, &u, r));
	if (a->s) {
		fsal_status_t s = share_take(o, FSAL_O_CLOSED, a->flags);
		if (FSAL_IS_ERROR(s))
			return s;
	} else if (a->flags & FSAL_O_TRUNC) {
		fsal_status_t s = cow_share_allows(o, NULL, FSAL_O_WRITE, false);
		if (FSAL_IS_ERROR(s))
			return s;
	}
	r = open_node(o, &u, a);
	if (r < 0) {
		if (a->s)
			share_change(o, a->flags, FSAL_O_CLOSED);
		return cow_obj_status(o, ask_again(o, &u, r));
	}
	return attrs_out ? cow_attr_answer(o, cow_ovl_getattr(u.n, &attr), &attr, attrs_out) : ok();
}

static int create_file(struct cow_ovl_node *dir, const char *name, const struct open_args *a,
		       struct cow_ovl_node **ret, struct cow_ovl_attr *attr)
{
	struct cow_ovl_cred cred = cow_caller();
	struct cow_ovl_create how = {.type = S_IFREG};
	int r = cow_create_prepare(dir, &cred, a->in, 0600, &how);
	if (r < 0)
		return r;
	if (a->mode >= FSAL_EXCLUSIVE) {
		how.set.mask |= COW_SET_ATIME | COW_SET_MTIME;
		how.set.mask &= ~(unsigned)(COW_SET_ATIME_NOW | COW_SET_MTIME_NOW);
		verifier_times(a->verifier, &how.set.atime, &how.set.mtime);
	}
	return cow_ovl_create(dir, name, strlen(name), &cred, &how, ret, attr);
}

/*
 * Look the name up, or create it. The server has looked just before and found nothing, so creating
 * comes first; why that failed matters only where there is still nothing.
 * @ret_created: 1 when this call made the file.
 */
static int find_or_create(struct cow_ovl_node *dir, const char *name, const struct open_args *a,
			  struct cow_ovl_node **ret, struct cow_ovl_attr *attr, int *ret_created)
{
	/* Another may create or remove the name between our two looks. */
	for (int i = 0; i < 8; i++) {
		int made =
		    a->mode == FSAL_NO_CREATE ? -ENOENT : create_file(dir, name, a, ret, attr);
		*ret_created = made == 0;
		if (made == 0)
			return 0;
		int r = cow_ovl_lookup(dir, name, strlen(name), ret, attr);
		if (r != -ENOENT || made != -EEXIST)
			return r == -ENOENT ? made : r;
	}
	return -EAGAIN;
}

static int check_existing(const struct open_args *a, const struct cow_ovl_node *n,
			  const struct cow_ovl_attr *attr, fsal_status_t *ret)
{
	int r = existing_ok(a, attr);
	*ret = cow_status(r);
	if (r == 0 && !S_ISREG(cow_ovl_type(n))) {
		*ret = S_ISDIR(cow_ovl_type(n)) ? fsalstat(ERR_FSAL_ISDIR, EISDIR)
						: fsalstat(ERR_FSAL_SYMLINK, ELOOP);
		return -EINVAL;
	}
	/* The server looked the name up just before and did not find it. Its object may have share
	 * reservations we cannot see from here: let the client ask again rather than truncate. */
	if (r == 0 && a->flags & FSAL_O_TRUNC) {
		*ret = fsalstat(ERR_FSAL_DELAY, EAGAIN);
		return -EAGAIN;
	}
	return r;
}

static fsal_status_t open_by_name(struct cow_obj *dir, const char *name, struct open_args *a,
				  struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out,
				  bool *caller_perm_check)
{
	cow_autouse u = {0};
	cow_autonode n = NULL;
	struct cow_ovl_attr attr = {0};
	fsal_status_t s;
	int created = 0;
	int r = cow_use(dir, &u);
	if (r == 0)
		r = find_or_create(u.n, name, a, &n, &attr, &created);
	if (r < 0)
		return cow_obj_status(dir, r);
	if (created)
		a->flags &= ~(fsal_openflags_t)FSAL_O_TRUNC;
	else if (check_existing(a, n, &attr, &s) < 0)
		return s;
	struct cow_obj *o = cow_obj_new(cow_export_of(op_ctx->fsal_export), u.b, n);
	if (!o)
		return cow_status(-ENOMEM);
	struct cow_use uo = {.b = u.b, .n = n}; /* borrowed */
	r = open_node(o, &uo, a);
	if (r < 0) {
		cow_obj_free(o);
		return cow_status(r);
	}
	if (a->s)
		share_change(o, FSAL_O_CLOSED, a->flags);
	cow_attr_fill(o, &attr, attrs_out);
	*caller_perm_check = !created;
	*ret = &o->h;
	return ok();
}

/*
 * The server counts a file as open after each open2() without state, until its housekeeping calls
 * close(); many creates over NFSv3 in a row reach the limit before that, and are put off (JUKEBOX: a
 * client waits for seconds). Nothing is open here: so we take one off before it adds one, and close()
 * has nothing to say. cow_fd_reserve() keeps the count from passing 0 on the way.
 */
static void uncount(void)
{
	(void)__atomic_fetch_sub(&open_fd_count, 1, __ATOMIC_SEQ_CST);
}

#define FD_RESERVE 256 /* more than the server's threads can be between the two */

void cow_fd_reserve(int on)
{
	if (on)
		(void)__atomic_fetch_add(&open_fd_count, FD_RESERVE, __ATOMIC_SEQ_CST);
	else
		(void)__atomic_fetch_sub(&open_fd_count, FD_RESERVE, __ATOMIC_SEQ_CST);
}

static fsal_status_t op_open2(struct fsal_obj_handle *h, struct state_t *state,
			      fsal_openflags_t flags, enum fsal_create_mode mode, const char *name,
			      struct fsal_attrlist *in, fsal_verifier_t verifier,
			      struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out,
			      bool *caller_perm_check)
{
	struct cow_obj *o = cow_obj_of(h);
	struct open_args a = {.s = state ? cow_state_of(state) : NULL,
			      .flags = flags,
			      .mode = mode,
			      .in = in,
			      .verifier = verifier};
	fsal_status_t s;
	if (name) {
		s = open_by_name(o, name, &a, ret, attrs_out, caller_perm_check);
	} else {
		*caller_perm_check = true;
		s = open_by_handle(o, &a, attrs_out);
	}
	if (!FSAL_IS_ERROR(s) && !state)
		uncount();
	return s;
}

/*
 * The server checks no permission when an OPEN adds access to one there is: who may read would write.
 * As with its own check of a first OPEN, who may execute may read. What a client had before a restart
 * was checked then.
 */
static int may_gain(fsal_openflags_t old, const struct open_args *a,
		    const struct cow_ovl_attr *attr)
{
	struct cow_ovl_cred cred = cow_caller();
	fsal_openflags_t more = a->flags & ~old;
	int r = 0;
	if (more & FSAL_O_RECLAIM)
		return 0;
	if (more & FSAL_O_WRITE)
		r = cow_perm_check(attr, &cred, COW_MAY_WRITE);
	if (r == 0 && more & FSAL_O_READ && cow_perm_check(attr, &cred, COW_MAY_READ) < 0)
		r = cow_perm_check(attr, &cred, COW_MAY_EXEC);
	return r;
}

/* Another access or deny mode for an open, perhaps with truncation (OPEN upgrade, OPEN_DOWNGRADE).
 */
static fsal_status_t op_reopen2(struct fsal_obj_handle *h, struct state_t *state,
				fsal_openflags_t flags)
{
	struct cow_obj *o = cow_obj_of(h);
	struct cow_state *st = cow_state_of(state);
	struct open_args a = {.s = st, .flags = flags};
	cow_autouse u = {0};
	struct cow_ovl_attr attr = {0};
	fsal_openflags_t old = st->fd.openflags;
	int r = cow_use(o, &u);
	if (r == 0)
		r = cow_ovl_getattr(u.n, &attr);
	if (r == 0)
		r = may_gain(old, &a, &attr);
	if (r == 0)
		r = may_truncate(&a, &attr);
	if (r < 0)
		return cow_obj_status(o, r);
	fsal_status_t s = share_take(o, old, flags);
	if (FSAL_IS_ERROR(s))
		return s;
	r = open_node(o, &u, &a);
	if (r < 0)
		share_change(o, flags, old);
	return cow_obj_status(o, r);
}

static fsal_status_t op_close2(struct fsal_obj_handle *h, struct state_t *state)
{
	struct cow_state *s = cow_state_of(state);
	if (is_share_state(state))
		share_change(cow_obj_of(h), s->fd.openflags, FSAL_O_CLOSED);
	s->fd.openflags = FSAL_O_CLOSED;
	state_set_file(s, NULL);
	return ok();
}

static fsal_status_t op_close(struct fsal_obj_handle *h)
{
	return fsalstat(ERR_FSAL_NOT_OPENED, 0); /* see uncount() */
}

static fsal_openflags_t op_status2(struct fsal_obj_handle *h, struct state_t *state)
{
	return cow_state_of(state)->fd.openflags;
}

void cow_ops_file(struct fsal_obj_ops *ops)
{
	ops->open2 = op_open2;
	ops->reopen2 = op_reopen2;
	ops->close2 = op_close2;
	ops->close = op_close;
	ops->status2 = op_status2;
	ops->check_verifier = op_check_verifier;
}
