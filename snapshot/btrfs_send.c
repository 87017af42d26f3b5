/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "btrfs_send.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "btrfs.h"
#include "common/cleanup.h"

#define PIPE_LEN (1 << 20)

struct cow_btrfs_send {
	pthread_t thread;
	int tree, from, to;
	uint64_t parent; /* 0: none */
	int r;		 /* of the thread, when it has ended */
};

static void *work(void *ctx)
{
	struct cow_btrfs_send *s = ctx;
	s->r = cow_btrfs_send(s->tree, s->parent, s->to);
	(void)close(cow_steal_fd(&s->to)); /* the reader sees the end */
	return NULL;
}

/* A pipe whose reader is gone makes a signal, which stays with the thread. */
static int start(struct cow_btrfs_send *s)
{
	sigset_t all, before;
	(void)sigfillset(&all);
	int r = -pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r < 0)
		return r;
	r = -pthread_create(&s->thread, NULL, work, s);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* it was so a moment ago */
	return r;
}

int cow_btrfs_send_begin(int tree, int parent, struct cow_btrfs_send **ret, int *ret_fd)
{
	int fds[2];
	cow_autofree struct cow_btrfs_send *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->tree = tree;
	int r = parent < 0 ? 0 : cow_btrfs_subvol_id(parent, &s->parent);
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_LEN); /* only fewer turns */
	s->from = fds[0];
	s->to = fds[1];
	r = start(s);
	if (r < 0) {
		(void)close(s->from);
		(void)close(s->to);
		return r;
	}
	*ret_fd = s->from;
	*ret = cow_steal_ptr(&s);
	return 0;
}

int cow_btrfs_send_end(struct cow_btrfs_send *s)
{
	(void)close(s->from);		     /* only read from */
	(void)pthread_join(s->thread, NULL); /* it is ours and ends */
	int r = s->r;
	free(s);
	return r;
}
