/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * File descriptors of nodes, kept for reuse. A node has at most one cached fd, of the highest level
 * anybody asked for; a better one replaces it, and the old one lives until its users are done. Fds
 * without users form one list for the process, longest unused first, cut to the limit. Every fd of
 * an instance, in use or not, also hangs on the instance, so that close can take them all.
 *
 * One mutex guards all lists, user counts and node->fd; nothing is opened, closed or waited for
 * under it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

TAILQ_HEAD(idle_list, cow_fd);

static struct {
	pthread_mutex_t m;
	/* guarded by m: */
	struct idle_list idle; /* head: longest unused */
	size_t nidle, limit;
	bool limit_known;
} cache = {
    .m = PTHREAD_MUTEX_INITIALIZER,
    .idle = TAILQ_HEAD_INITIALIZER(cache.idle),
};

#define LIMIT_FALLBACK 512 /* half of the usual soft limit, where it cannot be asked */
#define LIMIT_MAX 65536	   /* each keeps an inode and a name in kernel memory: some 1.5 KiB */
#define RELIEF 32	   /* fds closed at once when the process has run out */

static size_t limit_locked(void)
{
	if (!cache.limit_known) {
		struct rlimit rl;
		cache.limit = LIMIT_FALLBACK;
		if (getrlimit(RLIMIT_NOFILE, &rl) == 0)
			cache.limit =
			    rl.rlim_cur / 2 < LIMIT_MAX ? (size_t)(rl.rlim_cur / 2) : LIMIT_MAX;
		cache.limit_known = true;
	}
	return cache.limit;
}

/* Take an fd out of every list: the caller closes it, or its users' last one does. */
static void unlink_locked(struct cow_fd *f)
{
	if (f->users == 0) {
		TAILQ_REMOVE(&cache.idle, f, idle);
		cache.nidle--;
	}
	if (f->node && f->node->fd == f)
		f->node->fd = NULL;
	f->node = NULL;
	LIST_REMOVE(f, all);
	f->inst->nfds--;
}

/* Closing an fd that was written through loses the only place where the kernel would report a
 * failed write-back, so that is asked for first. */
static void evict(struct cow_fd *f, struct cow_ovl_node *written)
{
	if (written) {
		atomic_store(&written->dirty, false);
		if ((cow_sync_whole(f->inst) ? syncfs(f->fd) : fdatasync(f->fd)) < 0)
			atomic_store(&written->wb_err, cow_nerr());
	}
	(void)close(f->fd); /* nothing is buffered behind an fd of ours but what was just synced */
	free(f);
	cow_ovl_put(written);
}

/* Evict the longest unused fd when there are more than @keep. */
static bool evict_one(size_t keep)
{
	struct cow_ovl_node *written = NULL;
	pthread_mutex_lock(&cache.m);
	struct cow_fd *f = cache.nidle > keep ? TAILQ_FIRST(&cache.idle) : NULL;
	if (f) {
		struct cow_ovl_node *n = f->node;
		if (f->level == COW_FD_WRITE && n && atomic_load(&n->dirty) &&
		    f->inst->durability != COW_OVL_VOLATILE && cow_node_try_get(n))
			written = n;
		unlink_locked(f);
	}
	pthread_mutex_unlock(&cache.m);
	if (!f)
		return false;
	evict(f, written);
	return true;
}

bool cow_fd_again(int errnum)
{
	unsigned n = 0;
	if (errnum == EINTR)
		return true;
	if (errnum == EMFILE || errnum == ENFILE)
		while (n < RELIEF && evict_one(0))
			n++;
	errno = errnum;
	return n > 0;
}

void cow_ovl_set_fd_limit(size_t max_fds)
{
	pthread_mutex_lock(&cache.m);
	cache.limit = max_fds;
	cache.limit_known = true;
	pthread_mutex_unlock(&cache.m);
	while (evict_one(max_fds))
		;
}

static struct cow_fd *use_locked(struct cow_fd *f)
{
	if (f->users++ == 0) {
		TAILQ_REMOVE(&cache.idle, f, idle);
		cache.nidle--;
	}
	return f;
}

static const int level_flags[] = {
    [COW_FD_PATH] = O_PATH | O_CLOEXEC,
    [COW_FD_READ] = O_RDONLY | O_CLOEXEC | O_NOCTTY,
    [COW_FD_WRITE] = O_RDWR | O_CLOEXEC | O_NOCTTY,
};

/* Open by handle. The object must be on our file system, of the type the node was made with, and
 * have a name or an open that keeps it. */
static int open_upper(struct cow_ovl_node *n, unsigned level)
{
	struct stat st;
	cow_autoclose int fd = cow_fh_open(n->inst, &n->up, level_flags[level]);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	if (st.st_nlink == 0)
		atomic_store(&n->orphan, true);
	if (st.st_dev != n->inst->dev || (st.st_mode & S_IFMT) != n->type ||
	    (st.st_nlink == 0 && !cow_node_used(n)))
		return -ESTALE;
	return cow_steal_fd(&fd);
}

/* I1: nothing ever asks for more than reading. */
static int open_lower(struct cow_ovl_node *n, unsigned level)
{
	if (level == COW_FD_WRITE)
		return -EROFS;
	int fd;
	do {
		fd = cow_man_open(n->inst->img, n->low, level == COW_FD_READ ? O_RDONLY : O_PATH);
	} while (fd < 0 && cow_fd_again(-fd));
	if (fd >= 0)
		atomic_fetch_add(&n->inst->fd_opens, 1);
	return fd;
}

/* A new cache entry for @fd, which is taken over, also on failure. */
static int adopt(struct cow_ovl_inst *i, struct cow_ovl_node *n, int fd, unsigned level, bool lower,
		 struct cow_fd **ret)
{
	struct cow_fd *old = NULL, *f = malloc(sizeof(*f));
	if (!f) {
		(void)close(fd); /* nothing was written through it */
		return -ENOMEM;
	}
	*f = (struct cow_fd){.fd = fd, .level = level, .users = 1, .inst = i, .lower = lower};

	pthread_mutex_lock(&cache.m);
	if (lower && atomic_load(&n->has_up))
		n = NULL; /* too late to be kept; what is asked of it began before */
	if (n && n->fd && n->fd->level >= level) { /* another thread was faster */
		*ret = use_locked(n->fd);
		pthread_mutex_unlock(&cache.m);
		(void)close(fd);
		free(f);
		return 0;
	}
	if (n) {
		old = n->fd;
		n->fd = f;
		f->node = n;
	}
	if (old && old->users == 0) {
		unlink_locked(old);
	} else if (old) {
		old->node = NULL; /* its last user closes it */
		old = NULL;
	}
	LIST_INSERT_HEAD(&i->fds, f, all);
	i->nfds++;
	pthread_mutex_unlock(&cache.m);
	if (old)
		evict(old, NULL); /* the new fd sees what the old one would have reported */
	*ret = f;
	return 0;
}

int cow_fd_get(struct cow_ovl_node *n, unsigned level, struct cow_fd **ret)
{
	if (level != COW_FD_PATH && !S_ISREG(n->type))
		return -EINVAL;
	pthread_mutex_lock(&cache.m);
	struct cow_fd *f = n->fd && n->fd->level >= level ? use_locked(n->fd) : NULL;
	bool lower = !atomic_load(&n->has_up);
	pthread_mutex_unlock(&cache.m);
	if (f) {
		*ret = f;
		return 0;
	}
	int fd = lower ? open_lower(n, level) : open_upper(n, level);
	return fd < 0 ? fd : adopt(n->inst, n, fd, level, lower, ret);
}

int cow_fd_adopt(struct cow_ovl_inst *i, struct cow_ovl_node *n, int fd, unsigned level,
		 struct cow_fd **ret)
{
	return adopt(i, n, fd, level, false, ret);
}

void cow_fd_went_up(struct cow_ovl_node *n, const struct cow_fh *up)
{
	pthread_mutex_lock(&cache.m);
	struct cow_fd *old = atomic_load(&n->has_up) ? NULL : n->fd;
	if (!atomic_load(&n->has_up)) {
		n->up = *up;
		atomic_store(&n->has_up, true);
	}
	if (old && old->users > 0) {
		n->fd = NULL;
		old->node = NULL; /* its last user closes it */
		old = NULL;
	} else if (old) {
		unlink_locked(old);
	}
	pthread_mutex_unlock(&cache.m);
	if (old)
		evict(old, NULL);
}

void cow_fd_put(struct cow_fd *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&cache.m);
	size_t limit = limit_locked();
	if (--f->users > 0) {
		pthread_mutex_unlock(&cache.m);
		return;
	}
	bool purged = f->fd < 0;
	bool keep = !purged && f->node && !f->drop && !atomic_load(&f->node->orphan) &&
		    !(f->inst->flags & COW_OVL_OBSERVER);
	if (!purged) {
		TAILQ_INSERT_TAIL(&cache.idle, f, idle);
		cache.nidle++;
		if (!keep)
			unlink_locked(f);
	}
	pthread_mutex_unlock(&cache.m);
	if (purged)
		free(f);
	else if (!keep)
		evict(f, NULL);
	while (keep && evict_one(limit))
		;
}

void cow_fd_forget(struct cow_ovl_node *n)
{
	pthread_mutex_lock(&cache.m);
	struct cow_fd *f = n->fd;
	if (f && f->users > 0) {
		f->drop = true;
		f = NULL;
	}
	if (f)
		unlink_locked(f);
	pthread_mutex_unlock(&cache.m);
	if (f)
		evict(f, NULL);
}

void cow_fd_node_gone(struct cow_ovl_node *n)
{
	/* Users hold the node, so the fd is idle. A write-back error after this has nobody left to
	 * be told to, but the next fd of the inode that is opened while it stays in memory. */
	if (atomic_load(&n->fd))
		cow_fd_forget(n);
}

void cow_fd_purge(struct cow_ovl_inst *i)
{
	for (;;) {
		pthread_mutex_lock(&cache.m);
		struct cow_fd *f = LIST_FIRST(&i->fds);
		if (!f) {
			pthread_mutex_unlock(&cache.m);
			return;
		}
		int fd = f->fd;
		bool idle = f->users == 0;
		unlink_locked(f);
		f->fd = -1;
		pthread_mutex_unlock(&cache.m);
		if (idle)
			free(f); /* else its last user does, at once from now on */
		(void)close(fd); /* what was written is synced by the caller */
	}
}

size_t cow_fd_count(struct cow_ovl_inst *i)
{
	pthread_mutex_lock(&cache.m);
	size_t n = i->nfds;
	pthread_mutex_unlock(&cache.m);
	return n;
}
