/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd-fuse: attach a root, mount it, serve it, and follow the client when its root is swapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"
#include "fuse/front.h"
#include "options.h"
#include "overlay/image.h"
#include "snapshot/client.h"

#define SWAP_POLL_NS 250000000 /* how often the client's epoch is looked at */

/* ---------------------------------------------------------------- what is mounted */

struct tree {
	struct cow_fuse_options *o;
	struct cow_store *store; /* of a client */
	struct cow_mac mac;
	char name[80]; /* of the mount */
	const volatile uint64_t *epoch;
};

static int attach_client(const struct tree *t, struct cow_ovl_inst **ret, struct cow_err *err)
{
	return cow_client_attach(t->store, &t->mac,
				 t->o->read_only ? COW_OVL_OBSERVER : COW_OVL_LOCAL, ret, err);
}

static int attach_dir(const struct tree *t, struct cow_ovl_inst **ret, struct cow_err *err)
{
	cow_autoclose int root = open(t->o->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return cow_err_set(err, -errno, "root '%s'", t->o->root);
	cow_autoovlimage img = NULL; /* the instance counts its own use */
	if (t->o->image) {
		cow_autoclose int dir = open(t->o->image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return cow_err_set(err, -errno, "image '%s'", t->o->image);
		int r = cow_ovl_image_open(dir, &img, err);
		if (r < 0)
			return cow_err_prefix(err, r, "image '%s'", t->o->image);
	}
	int r = cow_ovl_inst_open(root, img, t->o->read_only ? COW_OVL_OBSERVER : COW_OVL_LOCAL,
				  ret, err);
	return r < 0 ? cow_err_prefix(err, r, "root '%s'", t->o->root) : 0;
}

/* Attach, and tell others who holds the root. */
static int attach(const struct tree *t, struct cow_ovl_inst **ret, struct cow_err *err)
{
	char who[COW_OVL_HOLDER_MAX];
	int r = t->store ? attach_client(t, ret, err) : attach_dir(t, ret, err);
	if (r != 0 || t->o->read_only)
		return r;
	(void)snprintf(who, sizeof(who), COW_CLIENT_MOUNT_HOLDER "%d on %s", (int)getpid(),
		       t->o->point);
	(void)cow_ovl_inst_hold_as(*ret, who); /* for people; it works without */
	return 0;
}

static int tree_find(struct cow_fuse_options *o, struct tree *t, struct cow_err *err)
{
	cow_autoclient c = NULL;
	*t = (struct tree){.o = o, .name = "cowherd"};
	if (!o->client)
		return 0;
	int r = cow_store_open(o->store, &t->store, err);
	if (r == 0)
		r = cow_client_find(t->store, o->client, &c, err);
	if (r != 0)
		return r;
	t->mac = c->mac;
	(void)snprintf(t->name, sizeof(t->name), "cowherd:%s", c->id);
	return cow_client_epoch_map(t->store, &t->mac, &t->epoch, err);
}

static void tree_done(struct tree *t)
{
	cow_client_epoch_unmap(t->epoch);
	cow_store_close(t->store);
}

/* ---------------------------------------------------------------- swaps */

struct watch {
	const struct tree *tree;
	struct cow_front *front;
	const char *point;
	uint64_t seen;
	atomic_bool stop;
	pthread_t thread;
};

static void follow(struct watch *w)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *inst = NULL;
	int r = attach(w->tree, &inst, &err);
	if (r < 0) {
		cow_log(COW_LOG_ERROR,
			"the root was swapped and the new one is not to be had: %s; "
			"unmounting",
			cow_err_str(&err));
		(void)umount2(w->point, MNT_DETACH); /* what is open keeps the old root */
		return;
	}
	r = cow_front_swap(w->front, inst);
	cow_log(COW_LOG_NOTICE, "the root was swapped%s",
		r < 0 ? "; the old one's last sync failed" : "");
}

/* A swap changes the link first and the epoch second, see snapshot/client.h: by then it is complete. */
static void *watch_run(void *arg)
{
	struct watch *w = arg;
	const struct timespec pause = {.tv_nsec = SWAP_POLL_NS};
	while (!atomic_load(&w->stop)) {
		uint64_t now = *w->tree->epoch;
		if (now != w->seen) {
			w->seen = now;
			follow(w);
		}
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static int watch_start(struct watch *w, struct cow_err *err)
{
	sigset_t all, old;
	if (!w->tree->epoch)
		return 0;
	(void)sigfillset(&all); /* signals are the main thread's */
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&w->thread, NULL, watch_run, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r < 0 ? cow_err_set(err, r, "start the thread that watches for swaps") : 0;
}

static void watch_stop(struct watch *w)
{
	if (!w->tree->epoch)
		return;
	atomic_store(&w->stop, true);
	(void)pthread_join(w->thread, NULL);
}

/* ---------------------------------------------------------------- run */

/* Every open file is a descriptor, and each thread has its own to the kernel. */
static void raise_fd_limit(void)
{
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim); /* the lower limit opens fewer at once, no worse */
	cow_fd_table_reserve();
}

/* Nobody reads our terminal, or waits for us to let go of his pipes. */
static void leave_terminal(void)
{
	cow_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cow_log_to_syslog();
	for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd); /* cannot fail */
}

/* One line to who started us, once: "ok", or the exit status and why. */
static void tell(struct cow_fuse_options *o, int status, const char *text)
{
	if (o->status_fd < 0) {
		if (status)
			cow_log(COW_LOG_ERROR, "%s", text);
		return;
	}
	if ((status ? dprintf(o->status_fd, "%d %s\n", status, text)
		    : dprintf(o->status_fd, "ok\n")) < 0)
		cow_log(COW_LOG_WARNING, "nobody listens at --status-fd %d", o->status_fd);
	(void)close(o->status_fd);
	o->status_fd = -1;
	leave_terminal();
}

static int mount_tree(const struct tree *t, struct cow_front **ret, struct cow_err *err)
{
	struct cow_ovl_inst *inst = NULL;
	const struct cow_front_opts opts = {
	    .name = t->name,
	    .observer = t->o->read_only,
	    .writeback = t->o->writeback,
	    .threads = t->o->threads,
	};
	int r = attach(t, &inst, err);
	return r < 0 ? r : cow_front_new(inst, t->o->point, &opts, ret, err);
}

static int serve(const struct tree *t, struct cow_err *err)
{
	struct cow_front *f = NULL;
	struct watch w = {.tree = t, .point = t->o->point};
	if (t->epoch)
		w.seen = *t->epoch; /* before the attach: a swap in between is seen */
	int r = mount_tree(t, &f, err);
	if (r < 0)
		return r;
	w.front = f;
	r = watch_start(&w, err);
	if (r == 0) {
		tell(t->o, 0, "");
		r = cow_front_run(f, true);
		watch_stop(&w);
		if (r < 0)
			(void)cow_err_set(err, r, "serve '%s'", t->o->point);
	}
	int last = cow_front_free(f);
	if (last < 0 && r == 0)
		r = cow_err_set(err, last, "the last sync of what '%s' showed", t->o->point);
	return r;
}

int main(int argc, char **argv)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_fuse_options o;
	struct tree t;
	int r = cow_fuse_options_parse(argc, argv, &o, &err);
	if (r == COW_FUSE_EXIT)
		return 0;
	if (r < 0) {
		(void)fprintf(stderr, "cowherd-fuse: %s\n", cow_err_str(&err));
		return cow_err_exit_status(&err, r);
	}
	cow_log_init("cowherd-fuse", o.log_level);
	(void)umask(0); /* the engine's contract */
	raise_fd_limit();
	r = tree_find(&o, &t, &err);
	if (r == 0)
		r = serve(&t, &err);
	tree_done(&t);
	if (r == 0)
		return 0;
	int status = cow_err_exit_status(&err, r);
	tell(&o, status, cow_err_str(&err));
	return status;
}
