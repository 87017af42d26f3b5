/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Group commit. All instances of one file system share a commit domain. A caller needs one
 * syncfs(2) that began after its change; while one is running it waits, and the first to wake leads
 * the next one for everybody who came meanwhile. So N waiters cost two syncs, not N.
 *
 * A syncfs error goes to every waiter of that sync. The domain syncs through one fd of its own: the
 * kernel reports an error once per open file description.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct domain_key {
	uint8_t fsid[COW_REC_UUID_LEN]; /* btrfs: st_dev differs by subvolume; else zeros */
	dev_t dev;			/* else 0 */
};

struct cow_domain {
	struct domain_key key;
	int fd;
	unsigned refs;		 /* guarded by domains_m */
	struct cow_domain *next; /* likewise */
	pthread_mutex_t m;
	pthread_cond_t done_cond;
	/* guarded by m: syncs are numbered from 1 */
	uint64_t started, done; /* started == done: none is running */
	uint64_t failed;	/* number of the last one that failed; 0: none */
	int error;		/* of that one */
};

static pthread_mutex_t domains_m = PTHREAD_MUTEX_INITIALIZER;
static struct cow_domain *domains; /* guarded by domains_m */

static int key_of(int fd, struct domain_key *ret)
{
	struct stat st;
	memset(ret, 0, sizeof(*ret)); /* compared bytewise */
	int r = cow_btrfs_fsid(fd, ret->fsid);
	if (r != -EOPNOTSUPP)
		return r;
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	ret->dev = st.st_dev;
	return 0;
}

static int domain_new(int dirfd, const struct domain_key *key, struct cow_domain **ret)
{
	struct cow_domain *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->fd = COW_FD_TRY(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (d->fd < 0) {
		int r = cow_nerr();
		free(d);
		return r;
	}
	d->key = *key;
	d->refs = 1;
	(void)pthread_mutex_init(&d->m, NULL); /* neither fails without attributes */
	(void)pthread_cond_init(&d->done_cond, NULL);
	*ret = d;
	return 0;
}

static int get_locked(int dirfd, const struct domain_key *key, struct cow_domain **ret)
{
	for (struct cow_domain *d = domains; d; d = d->next)
		if (memcmp(&d->key, key, sizeof(*key)) == 0) {
			d->refs++;
			*ret = d;
			return 0;
		}
	int r = domain_new(dirfd, key, ret);
	if (r < 0)
		return r;
	(*ret)->next = domains;
	domains = *ret;
	return 0;
}

int cow_domain_get(int dirfd, struct cow_domain **ret)
{
	struct domain_key key;
	int r = key_of(dirfd, &key);
	if (r < 0)
		return r;
	pthread_mutex_lock(&domains_m);
	r = get_locked(dirfd, &key, ret);
	pthread_mutex_unlock(&domains_m);
	return r;
}

void cow_domain_put(struct cow_domain *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&domains_m);
	bool last = --d->refs == 0;
	if (last) {
		struct cow_domain **p = &domains;
		while (*p != d)
			p = &(*p)->next;
		*p = d->next;
	}
	pthread_mutex_unlock(&domains_m);
	if (!last)
		return;
	(void)close(d->fd); /* a directory: nothing to lose */
	(void)pthread_cond_destroy(&d->done_cond);
	(void)pthread_mutex_destroy(&d->m);
	free(d);
}

/* Lead one sync; gives the lock back while the kernel works. */
static void lead_locked(struct cow_domain *d, struct cow_ovl_inst *i)
{
	uint64_t mine = ++d->started;
	pthread_mutex_unlock(&d->m);
	int r = syncfs(d->fd) < 0 ? cow_nerr() : 0;
	atomic_fetch_add(&i->commits, 1);
	pthread_mutex_lock(&d->m);
	d->done = mine;
	if (r < 0) {
		d->failed = mine;
		d->error = r;
	}
	pthread_cond_broadcast(&d->done_cond);
}

static int commit_locked(struct cow_domain *d, struct cow_ovl_inst *i)
{
	uint64_t need = d->started + 1; /* the running one may have begun before our change */
	while (d->done < need) {
		if (d->started == d->done)
			lead_locked(d, i);
		else
			pthread_cond_wait(&d->done_cond, &d->m);
	}
	/* A later failure may be reported to somebody whose own sync went well; never the reverse.
	 */
	return d->failed >= need ? d->error : 0;
}

/* Never back: another thread may know of more. */
static void note_settled(struct cow_ovl_inst *i, uint_fast64_t count)
{
	uint_fast64_t known = atomic_load(&i->settled);
	while (known < count && !atomic_compare_exchange_weak(&i->settled, &known, count))
		;
}

int cow_domain_commit(struct cow_domain *d, struct cow_ovl_inst *i)
{
	uint_fast64_t count = atomic_load(&i->brought_up);
	atomic_fetch_add(&i->commit_waits, 1);
	pthread_mutex_lock(&d->m);
	int r = commit_locked(d, i);
	pthread_mutex_unlock(&d->m);
	if (r == 0)
		note_settled(i, count);
	return r;
}

int cow_inst_settle(struct cow_ovl_inst *i)
{
	return atomic_load(&i->settled) < atomic_load(&i->brought_up)
		   ? cow_domain_commit(i->domain, i)
		   : 0;
}

/*
 * On btrfs fsync(2) writes a log of that one inode, which any later fsync in the file system writes
 * once more with what the inode is called by then. After a crash the new name is there and the
 * whiteout under the old one, an inode of its own, is not: a rename shows half done, a deleted name
 * of the image again. Only whole transactions keep the two together.
 */
bool cow_sync_whole(const struct cow_ovl_inst *i)
{
	return i->btrfs && i->img;
}

int cow_sync_fd(struct cow_ovl_inst *i, int fd, bool data_only)
{
	if (cow_sync_whole(i))
		return cow_domain_commit(i->domain, i);
	return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? cow_nerr() : 0;
}

int cow_inst_commit(struct cow_ovl_inst *i)
{
	return i->durability == COW_OVL_STRICT ? cow_domain_commit(i->domain, i) : 0;
}
