/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See turn.h.
 */
#include "turn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "common/clock.h"

#define LOOK_NS 60000 /* about what a thread takes to fall asleep and be woken */
#define WORTH_MAX 64
#define STOLEN_NS 500000     /* so long nobody thinks who asks again at once */
#define CROWDED_NS 250000000 /* what a look then costs, a time slice, is little of this */
#define QUICK_READ 32768u    /* to copy more is worth a second thread */
#define QUICK_WRITE 16384u /* more can run into the limit of dirty memory, and then wait for long */
/* Requests of different clients that were there already: one thread is not enough. */
#define STREAK_MAX 4

/* Of this thread. */
static _Thread_local bool have_turn;
static _Thread_local int prepared = -1; /* the descriptor that does not block */
static _Thread_local unsigned streak;
static _Thread_local uint32_t last_client;

int cow_turn_init(struct cow_turn *t)
{
	t->look = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	atomic_store(&t->worth, WORTH_MAX);
	return sem_init(&t->free, 0, 1) < 0 ? -errno : 0;
}

void cow_turn_done(struct cow_turn *t)
{
	(void)sem_destroy(&t->free);
}

static void take_turn(struct cow_turn *t)
{
	while (!have_turn)
		have_turn = sem_wait(&t->free) == 0; /* else a signal */
}

static void give_turn(struct cow_turn *t)
{
	have_turn = false;
	streak = 0;
	(void)sem_post(&t->free);
}

/* What follows the head; the kernel sends all of it. */
static bool opens_quickly(const void *body)
{
	const struct fuse_open_in *in = body;
	return (in->flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY; /* else it may copy up */
}

static bool writes_quickly(const void *body)
{
	const struct fuse_write_in *in = body;
	return in->size <= QUICK_WRITE;
}

static bool reads_quickly(const void *body)
{
	const struct fuse_read_in *in = body;
	return in->size <= QUICK_READ; /* and it says itself when it has to wait for a disk */
}

static bool is_quick(const void *request, ssize_t len)
{
	const struct fuse_in_header *head = request;
	if (len < (ssize_t)sizeof(*head))
		return false;
	switch (head->opcode) {
	case FUSE_OPEN:
		return opens_quickly(head + 1);
	case FUSE_READ:
		return reads_quickly(head + 1);
	case FUSE_WRITE:
		return writes_quickly(head + 1);
	case FUSE_LOOKUP:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_GETATTR:
	case FUSE_READLINK:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
	case FUSE_STATFS:
	case FUSE_OPENDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASE:
	case FUSE_CREATE:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_INTERRUPT:
		return true;
	default:
		return false;
	}
}

/* Looking is given up while it does not pay, and tried again now and then. */
static bool worth_looking(struct cow_turn *t, uint64_t now)
{
	int worth = atomic_load_explicit(&t->worth, memory_order_relaxed);
	if (!t->look || now < atomic_load_explicit(&t->crowded_until, memory_order_relaxed))
		return false;
	if (worth > 0)
		return true;
	atomic_store_explicit(&t->worth, worth <= -WORTH_MAX ? WORTH_MAX / 8 : worth - 1,
			      memory_order_relaxed);
	return false;
}

static void judge(struct cow_turn *t, bool paid)
{
	int worth = atomic_load_explicit(&t->worth, memory_order_relaxed);
	if (paid ? worth < WORTH_MAX : worth > 0)
		atomic_store_explicit(&t->worth, worth + (paid ? 1 : -1), memory_order_relaxed);
}

/*
 * Other threads of this processor come first: who asks may be one of them. Where others compute, a yield
 * costs a time slice, while a sleeper that is woken comes before them: so no looking for a while.
 */
static ssize_t look(struct cow_turn *t, int fd, void *buf, size_t len, uint64_t now)
{
	uint64_t end = now + LOOK_NS, before;
	ssize_t n;
	do {
		before = now;
		(void)sched_yield();
		now = cow_now_ns();
		n = read(fd, buf, len);
	} while (n < 0 && errno == EAGAIN && now < end);
	int saved = errno;
	if (now - before >= STOLEN_NS)
		atomic_store_explicit(&t->crowded_until, now + CROWDED_NS, memory_order_relaxed);
	else
		judge(t, n >= 0);
	errno = saved;
	return n;
}

static ssize_t look_if_worth(struct cow_turn *t, int fd, void *buf, size_t len)
{
	uint64_t now = cow_now_ns();
	if (worth_looking(t, now))
		return look(t, fd, buf, len, now);
	errno = EAGAIN;
	return -1;
}

static ssize_t next_request(struct cow_turn *t, int fd, void *buf, size_t len)
{
	ssize_t n = read(fd, buf, len);
	if (n < 0) {
		streak = 0;
		if (errno == EAGAIN)
			n = look_if_worth(t, fd, buf, len);
	}
	while (n < 0 && errno == EAGAIN) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, -1) < 0)
			return -1; /* EINTR: the loop looks whether it is to end */
		n = read(fd, buf, len);
	}
	return n;
}

/* Where client and server share a processor, the client's next request is always there already. What
 * nobody waits for (RELEASE, FORGET) has no client. */
static bool is_crowd(const void *request, ssize_t len)
{
	const struct fuse_in_header *head = request;
	if (len < (ssize_t)sizeof(*head))
		return false;
	if (head->pid != 0 && head->pid != last_client) {
		last_client = head->pid;
		streak++;
	}
	return streak >= STREAK_MAX;
}

void cow_turn_slow(struct cow_turn *t)
{
	if (have_turn)
		give_turn(t);
}

ssize_t cow_turn_read(struct cow_turn *t, int fd, void *buf, size_t len)
{
	if (prepared != fd) {
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return -1;
		prepared = fd;
	}
	take_turn(t);
	ssize_t n = next_request(t, fd, buf, len);
	int saved = errno;
	if (n < 0 || is_crowd(buf, n) || !is_quick(buf, n))
		give_turn(t);
	errno = saved;
	return n;
}
