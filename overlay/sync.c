/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Group commit. All instances of one file system share a commit domain. A caller needs one sync that
 * began after its change; while one is running it waits, and the first to wake leads the next one for
 * everybody who came meanwhile. So N waiters cost two syncs, not N.
 *
 * Names and attributes (COW_SYNC_NAMES): ext4 and xfs write them to their journal in the order they
 * were made in, so it is enough that a change made after all of them is there: an unnamed file, the
 * beacon, is given new times and synced. Unlike syncfs(2) that neither waits for data that somebody
 * else has written and not synced, nor writes what is in the journal to its place as well. Elsewhere,
 * and for data (COW_SYNC_ALL), it is syncfs(2).
 *
 * An error of a sync goes to every waiter of that sync. The domain syncs through one fd of its own:
 * the kernel reports an error once per open file description.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "internal.h"

enum sync_what { COW_SYNC_NAMES, COW_SYNC_ALL };

struct domain_key {
	uint8_t fsid[COW_REC_UUID_LEN]; /* btrfs: st_dev differs by subvolume; else zeros */
	dev_t dev;			/* else 0 */
};

/* Syncs of one kind, numbered from 1. */
struct lane {
	uint64_t started, done; /* started == done: none is running */
	uint64_t failed;	/* number of the last one that failed; 0: none */
	int error;		/* of that one */
	/* Who waits for an even one, who for an odd one: two at most are waited for. */
	pthread_cond_t over[2];
};

struct cow_domain {
	struct domain_key key;
	int fd;
	bool ordered;		 /* a journal that keeps the order */
	atomic_int beacon;	 /* -1: not open; set once, under domains_m */
	unsigned refs;		 /* guarded by domains_m */
	struct cow_domain *next; /* likewise */
	pthread_mutex_t m;
	struct lane lane[2]; /* by sync_what; guarded by m */
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

/* ext4 runs without a journal too, and then an fsync is of one file. */
static bool ext4_has_journal(dev_t dev)
{
	char path[64], name[PATH_MAX], task[32];
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	ssize_t len = readlinkat(AT_FDCWD, path, name, sizeof(name) - 1);
	if (len < 0)
		return false;
	name[len] = '\0';
	const char *disk = strrchr(name, '/');
	if (!disk || snprintf(path, sizeof(path), "/sys/fs/ext4/%s/journal_task", disk + 1) >=
			 (int)sizeof(path))
		return false;
	cow_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, task, sizeof(task));
	return len > 0 && task[0] != '<'; /* "<none>" */
}

static bool is_ordered(int fd)
{
	struct statfs fs;
	struct stat st;
	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return false;
	switch (fs.f_type) {
	case XFS_SUPER_MAGIC:
		return true;
	case EXT4_SUPER_MAGIC: /* ext2's and ext3's too */
		return ext4_has_journal(st.st_dev);
	default:
		return false;
	}
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
	d->ordered = is_ordered(d->fd);
	d->beacon = -1;
	d->refs = 1;
	(void)pthread_mutex_init(&d->m, NULL); /* none of these fails without attributes */
	for (int k = 0; k < 4; k++)
		(void)pthread_cond_init(&d->lane[k / 2].over[k % 2], NULL);
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

/* Without one it is syncfs(2); who attaches next tries again. */
static void open_beacon_locked(struct cow_domain *d, int dirfd)
{
	if (d->ordered && d->beacon < 0)
		d->beacon = COW_FD_TRY(openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

int cow_domain_get(int dirfd, bool writes, struct cow_domain **ret)
{
	struct domain_key key;
	int r = key_of(dirfd, &key);
	if (r < 0)
		return r;
	pthread_mutex_lock(&domains_m);
	r = get_locked(dirfd, &key, ret);
	if (r == 0 && writes)
		open_beacon_locked(*ret, dirfd);
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
	if (d->beacon >= 0)
		(void)close(d->beacon); /* nor here */
	for (int k = 0; k < 4; k++)
		(void)pthread_cond_destroy(&d->lane[k / 2].over[k % 2]);
	(void)pthread_mutex_destroy(&d->m);
	free(d);
}

static int sync_now(struct cow_domain *d, enum sync_what what)
{
	if (what == COW_SYNC_NAMES && d->beacon >= 0 && futimens(d->beacon, NULL) == 0)
		return fsync(d->beacon) < 0 ? cow_nerr() : 0;
	return syncfs(d->fd) < 0 ? cow_nerr() : 0;
}

/* Lead one sync; gives the lock back while the kernel works. */
static void lead_locked(struct cow_domain *d, struct cow_ovl_inst *i, enum sync_what what)
{
	struct lane *l = &d->lane[what];
	uint64_t mine = ++l->started;
	pthread_mutex_unlock(&d->m);
	int r = sync_now(d, what);
	atomic_fetch_add(&i->commits, 1);
	pthread_mutex_lock(&d->m);
	l->done = mine;
	if (r < 0) {
		l->failed = mine;
		l->error = r;
	}
	pthread_cond_broadcast(&l->over[mine % 2]);
	pthread_cond_signal(&l->over[(mine + 1) % 2]); /* one of them leads the next */
}

static int commit_locked(struct cow_domain *d, struct cow_ovl_inst *i, enum sync_what what)
{
	struct lane *l = &d->lane[what];
	uint64_t need = l->started + 1; /* the running one may have begun before our change */
	while (l->done < need) {
		if (l->started == l->done)
			lead_locked(d, i, what);
		else
			pthread_cond_wait(&l->over[need % 2], &d->m);
	}
	/* A later failure may be reported to somebody whose own sync went well; never the reverse.
	 */
	return l->failed >= need ? l->error : 0;
}

/* Never back: another thread may know of more. */
static void note_settled(struct cow_ovl_inst *i, uint_fast64_t count)
{
	uint_fast64_t known = atomic_load(&i->settled);
	while (known < count && !atomic_compare_exchange_weak(&i->settled, &known, count))
		;
}

static int commit(struct cow_domain *d, struct cow_ovl_inst *i, enum sync_what what)
{
	uint_fast64_t count = atomic_load(&i->brought_up);
	atomic_fetch_add(&i->commit_waits, 1);
	pthread_mutex_lock(&d->m);
	int r = commit_locked(d, i, what);
	pthread_mutex_unlock(&d->m);
	if (r == 0)
		note_settled(i, count);
	return r;
}

int cow_domain_commit(struct cow_domain *d, struct cow_ovl_inst *i)
{
	return commit(d, i, COW_SYNC_NAMES);
}

int cow_domain_sync(struct cow_domain *d, struct cow_ovl_inst *i)
{
	return commit(d, i, COW_SYNC_ALL);
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
		return cow_domain_sync(i->domain, i);
	return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? cow_nerr() : 0;
}

int cow_inst_commit(struct cow_ovl_inst *i)
{
	return i->durability == COW_OVL_STRICT ? cow_domain_commit(i->domain, i) : 0;
}
