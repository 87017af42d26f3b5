/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Nodes: one per object of the tree that somebody holds, found by the file handle of the upper file
 * system in a sharded hash table. A table entry is not a reference; the last put takes it out.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/siphash.h"
#include "internal.h"

#define BUCKETS_FIRST 16

/* ext4 says ENOMEM for the handle of a dead inode whose number is just being given to a new one
 * (iget_locked() finds it in creation); when that is over it is the ESTALE it should be. Mostly at
 * once, but the creation may have to wait for the journal, so as long as a slow disk keeps that. */
#define REUSE_YIELDS 100
#define REUSE_WAIT_MS 5000

static int fh_read(int dirfd, const char *name, int flags, struct cow_fh *ret, int *ret_mnt_id)
{
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + COW_FH_MAX] = {0};
	struct file_handle *h = (struct file_handle *)buf;
	h->handle_bytes = COW_FH_MAX;
	if (name_to_handle_at(dirfd, name, h, ret_mnt_id, flags) < 0)
		return cow_nerr();
	if (h->handle_bytes == 0 || h->handle_bytes > COW_FH_MAX || h->handle_type < 0 ||
	    h->handle_type > UINT8_MAX)
		return -EOVERFLOW;
	memset(ret, 0, sizeof(*ret));
	ret->type = (uint8_t)h->handle_type;
	ret->len = (uint8_t)h->handle_bytes;
	memcpy(ret->bytes, h->f_handle, h->handle_bytes);
	return 0;
}

int cow_fh_of(int fd, struct cow_fh *ret, int *ret_mnt_id)
{
	return fh_read(fd, "", AT_EMPTY_PATH, ret, ret_mnt_id);
}

int cow_fh_of_name(int dirfd, const char *name, struct cow_fh *ret, int *ret_mnt_id)
{
	return fh_read(dirfd, name, 0, ret, ret_mnt_id);
}

/* Wait a little for ENOMEM to become another answer. Return: false when it has been long enough. */
static bool reuse_wait(unsigned nth)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	if (nth < REUSE_YIELDS)
		(void)sched_yield();
	else
		(void)nanosleep(&ms, NULL);
	return nth < REUSE_YIELDS + REUSE_WAIT_MS;
}

int cow_fh_open(struct cow_ovl_inst *i, const struct cow_fh *fh, int flags)
{
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + COW_FH_MAX] = {0};
	struct file_handle *h = (struct file_handle *)buf;
	int fd, r;
	unsigned n = 0;
	h->handle_bytes = fh->len;
	h->handle_type = fh->type;
	memcpy(h->f_handle, fh->bytes, fh->len);
	do {
		fd = COW_FD_TRY(open_by_handle_at(i->treefd, h, flags));
		r = fd < 0 ? cow_nerr() : 0;
	} while (r == -ENOMEM && reuse_wait(n++));
	if (r < 0)
		return r;
	atomic_fetch_add(&i->fd_opens, 1);
	return fd;
}

static uint64_t fh_hash(const struct cow_ovl_inst *i, const struct cow_fh *fh)
{
	return cow_siphash24(i->rec.mac_key, fh, sizeof(*fh)); /* the tail of bytes[] is zeros */
}

static struct cow_shard *shard_of(struct cow_ovl_inst *i, uint64_t hash)
{
	return &i->shard[hash % COW_NODE_SHARDS];
}

static struct cow_ovl_node **bucket_of(struct cow_shard *s, uint64_t hash)
{
	return &s->bucket[(hash / COW_NODE_SHARDS) & (s->nbucket - 1)];
}

static struct cow_ovl_node *find_locked(struct cow_shard *s, uint64_t hash, const struct cow_fh *fh)
{
	if (s->nbucket == 0)
		return NULL;
	for (struct cow_ovl_node *n = *bucket_of(s, hash); n; n = n->next)
		if (n->hash == hash && memcmp(&n->fh, fh, sizeof(*fh)) == 0) {
			atomic_fetch_add(&n->refs, 1);
			return n;
		}
	return NULL;
}

/* Double the table. Without memory the chains get longer, unless there is no table at all. */
static int grow_locked(struct cow_shard *s)
{
	size_t want = s->nbucket ? s->nbucket * 2 : BUCKETS_FIRST;
	if (s->count < s->nbucket)
		return 0;
	struct cow_ovl_node **old = s->bucket;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is what is meant */
	struct cow_ovl_node **bucket = calloc(want, sizeof(*bucket));
	if (!bucket)
		return s->nbucket ? 0 : -ENOMEM;
	size_t nold = s->nbucket;
	s->bucket = bucket;
	s->nbucket = want;
	for (size_t k = 0; k < nold; k++)
		for (struct cow_ovl_node *n = old[k], *next; n; n = next) {
			struct cow_ovl_node **b = bucket_of(s, n->hash);
			next = n->next;
			n->next = *b;
			*b = n;
		}
	free(old);
	return 0;
}

static int insert_locked(struct cow_shard *s, struct cow_ovl_node *n)
{
	int r = grow_locked(s);
	if (r < 0)
		return r;
	struct cow_ovl_node **b = bucket_of(s, n->hash);
	n->next = *b;
	*b = n;
	s->count++;
	return 0;
}

static void remove_locked(struct cow_shard *s, struct cow_ovl_node *n)
{
	struct cow_ovl_node **p = bucket_of(s, n->hash);
	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	s->count--;
}

struct cow_ovl_node *cow_node_find(struct cow_ovl_inst *i, const struct cow_fh *fh)
{
	uint64_t hash = fh_hash(i, fh);
	struct cow_shard *s = shard_of(i, hash);
	pthread_mutex_lock(&s->m);
	struct cow_ovl_node *n = find_locked(s, hash, fh);
	pthread_mutex_unlock(&s->m);
	return n;
}

static struct cow_ovl_node *node_new(struct cow_ovl_inst *i, const struct cow_fh *fh, uint64_t hash,
				     uint64_t id, mode_t type)
{
	struct cow_ovl_node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->inst = i;
	n->fh = *fh;
	n->hash = hash;
	n->id = id;
	n->type = type;
	atomic_init(&n->refs, 1);
	(void)pthread_mutex_init(&n->names, NULL); /* cannot fail without attributes */
	return n;
}

static void node_free(struct cow_ovl_node *n)
{
	(void)pthread_mutex_destroy(&n->names);
	free(n);
}

int cow_node_intern(struct cow_ovl_inst *i, const struct cow_fh *fh, uint64_t id, mode_t type,
		    struct cow_ovl_node **ret)
{
	struct cow_ovl_node *n = cow_node_find(i, fh);
	if (n) {
		*ret = n;
		return 0;
	}
	uint64_t hash = fh_hash(i, fh);
	struct cow_shard *s = shard_of(i, hash);
	struct cow_ovl_node *made = node_new(i, fh, hash, id, type);
	if (!made)
		return -ENOMEM;

	pthread_mutex_lock(&s->m);
	n = find_locked(s, hash, fh);
	int r = n ? 0 : insert_locked(s, made);
	if (!n && r == 0) {
		atomic_fetch_add(&i->refs, 1);
		atomic_fetch_add(&i->nodes, 1);
	}
	pthread_mutex_unlock(&s->m);
	if (n || r < 0)
		node_free(made);
	if (r < 0)
		return r;
	*ret = n ? n : made;
	return 0;
}

struct cow_ovl_node *cow_ovl_get(struct cow_ovl_node *n)
{
	atomic_fetch_add(&n->refs, 1);
	return n;
}

bool cow_node_try_get(struct cow_ovl_node *n)
{
	unsigned refs = atomic_load(&n->refs);
	while (refs > 0)
		if (atomic_compare_exchange_weak(&n->refs, &refs, refs + 1))
			return true;
	return false;
}

/* Drop a reference that is not the last one. */
static bool put_shared(struct cow_ovl_node *n)
{
	unsigned refs = atomic_load(&n->refs);
	while (refs > 1)
		if (atomic_compare_exchange_weak(&n->refs, &refs, refs - 1))
			return true;
	return false;
}

void cow_ovl_put(struct cow_ovl_node *n)
{
	if (!n || put_shared(n))
		return;
	struct cow_ovl_inst *i = n->inst;
	struct cow_shard *s = shard_of(i, n->hash);
	pthread_mutex_lock(&s->m);
	bool last = atomic_fetch_sub(&n->refs, 1) == 1;
	if (last)
		remove_locked(s, n);
	pthread_mutex_unlock(&s->m);
	if (!last)
		return;
	cow_fd_node_gone(n);
	node_free(n);
	atomic_fetch_sub(&i->nodes, 1);
	cow_inst_unref(i);
}

uint64_t cow_ovl_id(const struct cow_ovl_node *n)
{
	return n->id;
}

mode_t cow_ovl_type(const struct cow_ovl_node *n)
{
	return n->type;
}

static int intern_fd(struct cow_ovl_inst *i, int fd, struct cow_ovl_node **ret,
		     struct cow_ovl_attr *ret_attr)
{
	cow_autonode n = NULL;
	struct cow_fh fh;
	int mnt_id;
	int r = cow_attr_of_fd(i, fd, ret_attr);
	if (r < 0)
		return r;
	r = cow_fh_of(fd, &fh, &mnt_id);
	if (r < 0)
		return r;
	if (mnt_id != i->mnt_id)
		return -EXDEV;
	r = cow_node_intern(i, &fh, ret_attr->id, ret_attr->mode & S_IFMT, &n);
	if (r < 0)
		return r;
	if (ret_attr->nlink == 0 && atomic_load(&n->opens) == 0)
		return -ESTALE;
	ret_attr->change += atomic_load(&n->bump);
	*ret = cow_steal_ptr(&n);
	return 0;
}

int cow_node_of_fd(struct cow_ovl_inst *i, int fd_taken, unsigned level, struct cow_ovl_node **ret,
		   struct cow_ovl_attr *ret_attr)
{
	cow_autoclose int fd = fd_taken;
	cow_autonode n = NULL;
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	int r = intern_fd(i, fd, &n, &attr);
	if (r < 0)
		return r;
	r = cow_fd_adopt(i, n, cow_steal_fd(&fd), level, &f);
	if (r < 0)
		return r;
	if (ret_attr)
		*ret_attr = attr;
	*ret = cow_steal_ptr(&n);
	return 0;
}

/* In memory it is enough that the object is alive; else it is opened and looked at. */
int cow_node_from_fh(struct cow_ovl_inst *i, const struct cow_fh *fh, struct cow_ovl_node **ret)
{
	cow_autonode n = cow_node_find(i, fh);
	if (n) {
		cow_autofd f = NULL;
		struct cow_ovl_attr attr;
		int r = cow_fd_get(n, COW_FD_PATH, &f);
		if (r == 0)
			r = cow_attr_of(n, f->fd, &attr);
		if (r < 0)
			return r;
		*ret = cow_steal_ptr(&n);
		return 0;
	}
	int fd = cow_fh_open(i, fh, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return fd;
	int r = cow_node_of_fd(i, fd, COW_FD_PATH, ret, NULL);
	return r == -EXDEV ? -ESTALE : r; /* a handle of ours never led there */
}
