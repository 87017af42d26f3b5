/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The life of a mount: session with the kernel, what is asked of it, the swap of the tree, the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"

#define KEEP_S 3600.0  /* nobody else changes the tree; a swap tells the kernel */
#define OBSERVER_S 1.0 /* somebody else does */
#define AGAIN_NS 5000000
#define AGAIN_MAX 5u
#define THREADS_MAX 16u /* more wait for each other in the kernel's queue */

/* ---------------------------------------------------------------- what is asked of the kernel */

static void want(struct fuse_conn_info *conn, unsigned cap, bool yes)
{
	conn->want &= ~cap;
	if (yes)
		conn->want |= conn->capable & cap;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct cow_front *f = userdata;
	want(conn,
	     FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ATOMIC_O_TRUNC |
		 FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_CACHE_SYMLINKS |
		 FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK,
	     true);
	want(conn, FUSE_CAP_WRITEBACK_CACHE, f->opts.writeback);
	/* Superseded by what kernel.c adds. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, true);
	/* Pages are dropped when attributes say that somebody else wrote; without that they stay. */
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, f->opts.observer);
	/* Requests are read into memory: the engine wants bytes, not pipes. */
	want(conn, FUSE_CAP_SPLICE_READ, false);
	/* Locks of processes on this machine are the kernel's business; handles are NFS's, which the
	 * engine serves itself. */
	want(conn, FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_EXPORT_SUPPORT, false);
	/* The kernel has one or the other. */
	cow_pass_ask(&f->pass, conn, !f->opts.writeback && !f->opts.observer);
	conn->max_background = 64;
	conn->congestion_threshold = 48;
}

/* ---------------------------------------------------------------- session */

static int session_new(struct cow_front *f, struct cow_err *err)
{
	struct fuse_lowlevel_ops ops = {.init = op_init};
	cow_attr_ops(&ops);
	cow_dir_ops(&ops);
	cow_file_ops(&ops);
	cow_name_ops(&ops);
	cow_xattr_ops(&ops);
	char program[] = "cowherd-fuse";
	char *argv[] = {program, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	f->se = fuse_session_new(&args, &ops, sizeof(ops), f);
	fuse_opt_free_args(&args);
	return f->se ? 0 : cow_err_set(err, -ENOMEM, "start a FUSE session");
}

static int do_mount(struct cow_front *f, const char *point, struct cow_err *err)
{
	f->point = realpath(point, NULL);
	if (!f->point)
		return cow_err_set(err, -errno, "mount point '%s'", point);
	int fd = cow_kernel_mount(f->point, f->opts.name ? f->opts.name : "cowherd",
				  f->opts.observer, err);
	if (fd < 0)
		return fd;
	f->mounted = true;
	int r = cow_kernel_connect(f, fd);
	if (r < 0)
		(void)close(fd); /* of a mount that goes */
	return r < 0 ? cow_err_set(err, r, "talk to the kernel") : 0;
}

int cow_front_new(struct cow_ovl_inst *inst, const char *point, const struct cow_front_opts *opts,
		  struct cow_front **ret, struct cow_err *err)
{
	struct cow_ovl_node *root = NULL;
	struct cow_front *f = calloc(1, sizeof(*f));
	if (!f) {
		(void)cow_ovl_inst_close(inst); /* nothing was changed through it */
		return cow_err_set(err, -ENOMEM, "mount");
	}
	f->inst = inst;
	f->opts = *opts;
	f->timeout_s = opts->observer ? OBSERVER_S : KEEP_S;
	(void)pthread_rwlock_init(&f->swap, NULL); /* cannot fail without attributes */
	(void)pthread_mutex_init(&f->files_m, NULL);
	cow_pass_init(&f->pass);
	int r = cow_turn_init(&f->turn);
	if (r == 0)
		r = cow_ovl_root(inst, &root);
	if (r < 0)
		(void)cow_err_set(err, r, "root of the tree");
	atomic_store(&f->root, root);
	if (r == 0)
		r = session_new(f, err);
	if (r == 0)
		r = do_mount(f, point, err);
	if (r < 0) {
		(void)cow_front_free(f); /* nothing was changed through it */
		return r;
	}
	*ret = f;
	return 0;
}

static unsigned thread_count(const struct cow_front *f)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = f->opts.threads;
	if (n == 0)
		n = cpus > 0 ? 2 * (unsigned)cpus : 4;
	return n < THREADS_MAX ? n : THREADS_MAX;
}

int cow_front_run(struct cow_front *f, bool signals)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, thread_count(f));
	fuse_loop_cfg_set_idle_threads(config, thread_count(f));
	int r = signals && fuse_set_signal_handlers(f->se) < 0 ? -EINVAL : 0;
	if (r == 0) {
		r = fuse_session_loop_mt(f->se, config);
		if (r == 0) /* the kernel ended it: what is on the point now is not ours */
			f->mounted = false;
		if (signals)
			fuse_remove_signal_handlers(f->se);
	}
	fuse_loop_cfg_destroy(config);
	return r > 0 ? 0 : r; /* positive: the signal that ended it */
}

int cow_front_free(struct cow_front *f)
{
	if (!f)
		return 0;
	if (f->mounted)
		(void)umount2(f->point, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (f->se)
		fuse_session_destroy(f->se);
	cow_files_close(f);
	cow_ovl_put(atomic_load(&f->root));
	if (f->inst)
		cow_ovl_forget_all(f->inst); /* an unmount tells nobody */
	int r = f->inst ? cow_ovl_inst_close(f->inst) : 0;
	while (f->old) {
		struct cow_old_root *o = f->old;
		f->old = o->next;
		cow_ovl_put(o->node);
		free(o);
	}
	(void)pthread_rwlock_destroy(&f->swap);
	(void)pthread_mutex_destroy(&f->files_m);
	cow_turn_done(&f->turn);
	cow_pass_done(&f->pass);
	free(f->point);
	free(f);
	return r;
}

bool cow_front_again(fuse_req_t req, ssize_t r, unsigned *tries)
{
	struct cow_front *f = cow_front_of(req);
	const struct timespec pause = {.tv_nsec = AGAIN_NS};
	struct cow_ovl_stats st;
	if (r != -ENOSPC || (*tries)++ == AGAIN_MAX)
		return false;
	pthread_rwlock_rdlock(&f->swap);
	cow_ovl_stats(f->inst, &st);
	pthread_rwlock_unlock(&f->swap);
	if (st.kept == 0)
		return false;
	cow_turn_slow(&f->turn); /* the others see to what is forgotten */
	(void)nanosleep(&pause, NULL);
	return true;
}

/* ---------------------------------------------------------------- swap */

static int forget_name(void *ctx, const struct cow_ovl_dirent *ent)
{
	const struct cow_front *f = ctx;
	/* The kernel may not know it, and a mount on it goes with it. */
	(void)fuse_lowlevel_notify_inval_entry(f->se, FUSE_ROOT_ID, ent->name, ent->name_len);
	return 0;
}

/* All the kernel knows hangs on the names in the root, those that are there and those that are not. */
static void forget_names(struct cow_front *f, struct cow_ovl_node *root)
{
	int eof;
	(void)cow_ovl_readdir(root, 0, 0, forget_name, f, &eof); /* as far as it can be read */
}

int cow_front_swap(struct cow_front *f, struct cow_ovl_inst *inst)
{
	struct cow_ovl_node *root;
	struct cow_old_root *o = malloc(sizeof(*o));
	int r = o ? cow_ovl_root(inst, &root) : -ENOMEM;
	if (r < 0) {
		free(o);
		(void)cow_ovl_inst_close(inst); /* nothing was changed through it */
		return r;
	}
	struct cow_ovl_node *before = atomic_load(&f->root);
	forget_names(f, before);
	pthread_rwlock_wrlock(&f->swap);
	struct cow_ovl_inst *old = f->inst;
	f->inst = inst;
	atomic_store(&f->root, root);
	*o = (struct cow_old_root){.node = before, .next = f->old};
	f->old = o;
	pthread_rwlock_unlock(&f->swap);
	r = cow_ovl_inst_close(old);
	forget_names(f, root);
	(void)fuse_lowlevel_notify_inval_inode(f->se, FUSE_ROOT_ID, 0, 0);
	return r;
}
