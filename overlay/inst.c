/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Instances: made, attached, detached, given a new epoch. Attached for change means holding `lock`
 * and the record saying so; a clean stop is a record that says it again, written after a sync.
 */
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"

#define TREE_NAME "tree"
#define LOCK_NAME "lock"

static const char *const durability_names[] = {
    [COW_OVL_STRICT] = "strict",
    [COW_OVL_RELAXED] = "relaxed",
    [COW_OVL_VOLATILE] = "volatile",
};

int cow_ovl_durability_parse(const char *s, enum cow_ovl_durability *ret)
{
	for (unsigned k = 0; k <= COW_OVL_VOLATILE; k++)
		if (strcmp(s, durability_names[k]) == 0) {
			*ret = (enum cow_ovl_durability)k;
			return 0;
		}
	return -EINVAL;
}

const char *cow_ovl_durability_name(enum cow_ovl_durability d)
{
	return (unsigned)d <= COW_OVL_VOLATILE ? durability_names[d] : "unknown";
}

static int refuse_image(const struct cow_ovl_image *img, struct cow_err *err)
{
	if (!img)
		return 0;
	return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
			   "this version has plain roots only, none with an image below");
}

/* ---------------------------------------------------------------- the tree */

/* What tells one tree from a copy of it. */
struct tree {
	int fd, mnt_id;
	dev_t dev;
	bool btrfs;
	struct cow_fh root;
	uint8_t fs_uuid[COW_REC_UUID_LEN];
};

static int tree_open(int dirfd, struct tree *ret, struct cow_err *err)
{
	struct stat st;
	struct statfs sf;
	*ret = (struct tree){.fd = -1};
	cow_autoclose int fd = cow_opendir_at(dirfd, TREE_NAME);
	if (fd < 0)
		return cow_err_set(err, fd, "open the root's directory '%s'", TREE_NAME);
	if (fstat(fd, &st) < 0 || fstatfs(fd, &sf) < 0)
		return cow_err_set(err, cow_nerr(), "examine '%s'", TREE_NAME);
	int r = cow_fh_of(fd, &ret->root, &ret->mnt_id);
	if (r == -EOVERFLOW || r == -EOPNOTSUPP)
		return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "the file system of '%s' has no file handles of a size we can "
				   "carry; use btrfs, xfs or ext4",
				   TREE_NAME);
	if (r < 0)
		return cow_err_set(err, r, "file handle of '%s'", TREE_NAME);
	cow_fs_uuid(fd, ret->fs_uuid);
	ret->dev = st.st_dev;
	ret->btrfs = sf.f_type == BTRFS_SUPER_MAGIC;
	ret->fd = cow_steal_fd(&fd);
	return 0;
}

static void tree_to_record(const struct tree *t, struct cow_record *rec)
{
	rec->root = t->root;
	memcpy(rec->fs_uuid, t->fs_uuid, sizeof(rec->fs_uuid));
}

static bool uuid_known(const uint8_t uuid[COW_REC_UUID_LEN])
{
	static const uint8_t zeros[COW_REC_UUID_LEN];
	return memcmp(uuid, zeros, sizeof(zeros)) != 0;
}

/* A file system whose UUID one of two kernels cannot tell is judged by the root's handle alone. */
static bool tree_is_recorded(const struct tree *t, const struct cow_record *rec)
{
	if (memcmp(&t->root, &rec->root, sizeof(t->root)) != 0)
		return false;
	return !uuid_known(t->fs_uuid) || !uuid_known(rec->fs_uuid) ||
	       memcmp(t->fs_uuid, rec->fs_uuid, sizeof(t->fs_uuid)) == 0;
}

/* ---------------------------------------------------------------- create, renew, read */

int cow_ovl_inst_create(int dirfd, const struct cow_ovl_image *img,
			const struct cow_ovl_create_opts *opts, struct cow_err *err)
{
	struct cow_record rec = {.flags = COW_REC_CLEAN};
	struct tree tree;
	int r = refuse_image(img, err);
	if (r < 0)
		return r;
	if (opts && (unsigned)opts->durability > COW_OVL_VOLATILE)
		return cow_err_set(err, -EINVAL, "durability %d", (int)opts->durability);
	if (faccessat(dirfd, COW_REC_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return cow_err_set(err, -EEXIST, "make the instance record");
	r = tree_open(dirfd, &tree, err);
	if (r < 0)
		return r;
	(void)close(tree.fd); /* opened to look at, no more */
	rec.durability = opts ? opts->durability : COW_OVL_STRICT;
	tree_to_record(&tree, &rec);
	r = cow_random(rec.uuid, sizeof(rec.uuid));
	if (r == 0)
		r = cow_record_renew(&rec);
	if (r < 0)
		return cow_err_set(err, r, "random numbers for the instance record");
	return cow_record_create(dirfd, &rec, err);
}

static int record_open(int dirfd, int flags, struct cow_err *err)
{
	int fd = COW_FD_TRY(openat(dirfd, COW_REC_NAME, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
	return fd < 0 ? cow_err_set(err, cow_nerr(), "open the instance record '%s'", COW_REC_NAME)
		      : fd;
}

static int lock_take(int dirfd, struct cow_err *err)
{
	int fd = cow_lock_at(dirfd, LOCK_NAME, 0);
	if (fd == -EBUSY)
		return cow_err_say(err, COW_ERR_BUSY, fd, "the root is attached by another server");
	return fd < 0 ? cow_err_set(err, fd, "lock the instance by '%s'", LOCK_NAME) : fd;
}

int cow_ovl_inst_renew(int dirfd, uint64_t *ret_epoch, struct cow_err *err)
{
	struct cow_record rec;
	cow_autoclose int fd = record_open(dirfd, O_RDWR, err);
	if (fd < 0)
		return fd;
	cow_autoclose int lock = lock_take(dirfd, err);
	if (lock < 0)
		return lock;
	int r = cow_record_read(fd, &rec, err);
	if (r < 0)
		return r;
	r = cow_record_renew(&rec);
	if (r < 0)
		return cow_err_set(err, r, "random numbers for the instance record");
	r = cow_record_write(fd, &rec, err);
	if (r < 0)
		return r;
	if (ret_epoch)
		*ret_epoch = rec.epoch;
	return 0;
}

int cow_ovl_inst_read_epoch(int dirfd, uint64_t *ret_epoch, struct cow_err *err)
{
	struct cow_record rec;
	cow_autoclose int fd = record_open(dirfd, O_RDONLY, err);
	if (fd < 0)
		return fd;
	int r = cow_record_read(fd, &rec, err);
	if (r < 0)
		return r;
	*ret_epoch = rec.epoch;
	return 0;
}

/* ---------------------------------------------------------------- memory */

static int freeze_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	int r = -pthread_rwlockattr_init(&attr);
	if (r < 0)
		return r;
	/* A close must get in while front ends keep asking. */
	r = -pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	if (r == 0)
		r = -pthread_rwlock_init(lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	return r;
}

static int inst_new(unsigned flags, struct cow_ovl_inst **ret)
{
	struct cow_ovl_inst *i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	int r = freeze_init(&i->freeze);
	if (r < 0) {
		free(i);
		return r;
	}
	for (unsigned k = 0; k < COW_NODE_SHARDS; k++)
		(void)pthread_mutex_init(&i->shard[k].m, NULL); /* cannot fail without attributes */
	i->recfd = i->lockfd = i->treefd = -1;
	i->flags = flags;
	atomic_init(&i->refs, 1);
	LIST_INIT(&i->fds);
	*ret = i;
	return 0;
}

void cow_inst_unref(struct cow_ovl_inst *i)
{
	if (atomic_fetch_sub(&i->refs, 1) != 1)
		return;
	for (unsigned k = 0; k < COW_NODE_SHARDS; k++) {
		free(i->shard[k].bucket);
		(void)pthread_mutex_destroy(&i->shard[k].m);
	}
	(void)pthread_rwlock_destroy(&i->freeze);
	explicit_bzero(i->rec.mac_key, sizeof(i->rec.mac_key));
	free(i);
}

static void fd_drop(int *fd)
{
	if (*fd >= 0)
		(void)close(
		    *fd); /* the record is synced by its writes; the others are not written */
	*fd = -1;
}

/* Everything but the memory. The lock goes last: it says that we are done. */
static void inst_teardown(struct cow_ovl_inst *i)
{
	cow_ovl_put(cow_steal_ptr(&i->root));
	cow_fd_purge(i);
	cow_domain_put(cow_steal_ptr(&i->domain));
	fd_drop(&i->treefd);
	fd_drop(&i->recfd);
	fd_drop(&i->lockfd);
}

/* ---------------------------------------------------------------- attach */

static int record_load(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	bool observer = i->flags & COW_OVL_OBSERVER;
	i->recfd = record_open(dirfd, observer ? O_RDONLY : O_RDWR, err);
	if (i->recfd < 0)
		return i->recfd;
	if (!observer) {
		i->lockfd = lock_take(dirfd, err);
		if (i->lockfd < 0)
			return i->lockfd;
	}
	int r = cow_record_read(i->recfd, &i->rec, err);
	i->durability = (enum cow_ovl_durability)i->rec.durability;
	return r;
}

static int tree_load(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	struct tree tree;
	int r = tree_open(dirfd, &tree, err);
	if (r < 0)
		return r;
	i->treefd = tree.fd;
	i->dev = tree.dev;
	i->mnt_id = tree.mnt_id;
	i->btrfs = tree.btrfs;
	if (!tree_is_recorded(&tree,
			      &i->rec)) { /* copied or restored: other inodes, other handles */
		r = cow_record_renew(&i->rec);
		if (r < 0)
			return cow_err_set(err, r, "random numbers for the instance record");
	}
	tree_to_record(&tree, &i->rec);
	return 0;
}

static int mark_attached(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	if (i->flags & COW_OVL_OBSERVER)
		return 0;
	if (i->rec.flags & COW_REC_VOLATILE_DIRTY)
		return cow_err_say(err, COW_ERR_REFUSED, -ESTALE,
				   "the root is volatile and was not detached in order, so its "
				   "content cannot be trusted; reset the client");
	i->rec.flags &= ~(uint32_t)COW_REC_CLEAN;
	if (i->durability == COW_OVL_VOLATILE)
		i->rec.flags |= COW_REC_VOLATILE_DIRTY;
	int r = cow_record_write(i->recfd, &i->rec, err);
	if (r < 0)
		return r;
	r = cow_sweep_tmp_at(dirfd);
	return r < 0 ? cow_err_set(err, r, "sweep what an interrupted write left") : 0;
}

static int attach(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	int r = record_load(i, dirfd, err);
	if (r == 0)
		r = tree_load(i, dirfd, err);
	if (r < 0)
		return r;
	r = cow_domain_get(i->treefd, &i->domain);
	if (r < 0)
		return cow_err_set(err, r, "prepare the group commit");
	r = cow_node_from_fh(i, &i->rec.root, &i->root);
	if (r < 0)
		return cow_err_set(err, r, "open the root by its file handle");
	return mark_attached(i, dirfd, err); /* last: a failed attach leaves no mark */
}

int cow_ovl_inst_open(int dirfd, struct cow_ovl_image *img, unsigned flags,
		      struct cow_ovl_inst **ret, struct cow_err *err)
{
	struct cow_ovl_inst *i;
	int r = refuse_image(img, err);
	if (r < 0)
		return r;
	if (flags & ~(unsigned)COW_OVL_OBSERVER)
		return cow_err_set(err, -EINVAL, "attach flags %#x", flags);
	r = inst_new(flags, &i);
	if (r < 0)
		return cow_err_set(err, r, "attach");
	r = attach(i, dirfd, err);
	if (r < 0) {
		inst_teardown(i);
		cow_inst_unref(i);
		return r;
	}
	*ret = i;
	return 0;
}

/* ---------------------------------------------------------------- detach */

/* The record may say "clean" only of data that is on disk, in volatile mode too. */
static int mark_detached(struct cow_ovl_inst *i)
{
	if (i->flags & COW_OVL_OBSERVER)
		return 0;
	int r = cow_domain_commit(i->domain, i);
	if (r < 0)
		return r;
	i->rec.flags |= COW_REC_CLEAN;
	i->rec.flags &= ~(uint32_t)COW_REC_VOLATILE_DIRTY;
	return cow_record_write(i->recfd, &i->rec, NULL);
}

int cow_ovl_inst_close(struct cow_ovl_inst *i)
{
	if (!i)
		return 0;
	pthread_rwlock_wrlock(&i->freeze); /* waits for the operations under way */
	atomic_store(&i->closed, true);
	pthread_rwlock_unlock(&i->freeze);
	/* Nobody enters any more: the rest is ours alone, but for puts. */
	int r = mark_detached(i);
	inst_teardown(i);
	cow_inst_unref(i);
	return r;
}

/* ---------------------------------------------------------------- operations */

int cow_inst_enter(struct cow_ovl_inst *i)
{
	pthread_rwlock_rdlock(&i->freeze);
	if (!atomic_load(&i->closed))
		return 0;
	pthread_rwlock_unlock(&i->freeze);
	return -ESTALE;
}

int cow_inst_enter_change(struct cow_ovl_inst *i)
{
	int r = cow_inst_enter(i);
	if (r < 0)
		return r;
	if (!(i->flags & COW_OVL_OBSERVER))
		return 0;
	cow_inst_leave(i);
	return -EROFS;
}

void cow_inst_leave(struct cow_ovl_inst *i)
{
	pthread_rwlock_unlock(&i->freeze);
}

int cow_ovl_root(struct cow_ovl_inst *i, struct cow_ovl_node **ret)
{
	int r = cow_inst_enter(i);
	if (r < 0)
		return r;
	*ret = cow_ovl_get(i->root);
	cow_inst_leave(i);
	return 0;
}

uint64_t cow_ovl_inst_epoch(const struct cow_ovl_inst *i)
{
	return i->rec.epoch;
}

enum cow_ovl_durability cow_ovl_inst_durability(const struct cow_ovl_inst *i)
{
	return i->durability;
}

int cow_ovl_inst_sync(struct cow_ovl_inst *i)
{
	int r = cow_inst_enter_change(i);
	if (r < 0)
		return r;
	r = cow_domain_commit(i->domain, i);
	cow_inst_leave(i);
	return r;
}

void cow_ovl_stats(struct cow_ovl_inst *i, struct cow_ovl_stats *ret)
{
	*ret = (struct cow_ovl_stats){
	    .nodes = atomic_load(&i->nodes),
	    .opens = atomic_load(&i->opens),
	    .fds = cow_fd_count(i),
	    .fd_opens = atomic_load(&i->fd_opens),
	    .commits = atomic_load(&i->commits),
	    .commit_waits = atomic_load(&i->commit_waits),
	};
}
