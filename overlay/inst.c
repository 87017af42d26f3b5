/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Instances: attached, detached, given a new epoch (how they are made: inst_create.c). Attached for change means holding `lock`
 * and the record saying so; a clean stop is a record that says it again, written after a sync.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"

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

/* ---------------------------------------------------------------- the tree */

static bool uuid_known(const uint8_t uuid[COW_REC_UUID_LEN])
{
	static const uint8_t zeros[COW_REC_UUID_LEN];
	return memcmp(uuid, zeros, sizeof(zeros)) != 0;
}

/* A file system whose UUID one of two kernels cannot tell is judged by the root's handle alone. */
static bool tree_is_recorded(const struct cow_tree_id *t, const struct cow_record *rec)
{
	if (memcmp(&t->root, &rec->root, sizeof(t->root)) != 0)
		return false;
	return !uuid_known(t->fs_uuid) || !uuid_known(rec->fs_uuid) ||
	       memcmp(t->fs_uuid, rec->fs_uuid, sizeof(t->fs_uuid)) == 0;
}

/* ---------------------------------------------------------------- record and lock */

static int record_open(int dirfd, int flags, struct cow_err *err)
{
	int fd = COW_FD_TRY(openat(dirfd, COW_REC_NAME, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
	return fd < 0 ? cow_err_set(err, cow_nerr(), "open the instance record '%s'", COW_REC_NAME)
		      : fd;
}

/* What the holder wrote into the lock file; "" when it wrote nothing. */
static void holder_read(int dirfd, char *buf, size_t len)
{
	cow_autoclose int fd =
	    COW_FD_TRY(openat(dirfd, COW_LOCK_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
	ssize_t n = fd < 0 ? 0 : pread(fd, buf, len - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
}

static int lock_take(int dirfd, struct cow_err *err)
{
	char who[COW_OVL_HOLDER_MAX];
	struct stat st;
	int fd = cow_lock_at(dirfd, COW_LOCK_NAME, 0);
	if (fd == -EBUSY) {
		holder_read(dirfd, who, sizeof(who));
		return cow_err_say(err, COW_ERR_BUSY, fd, "the root is attached by %s",
				   who[0] ? who : "another server");
	}
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
		(void)ftruncate(fd, 0); /* of the last holder; only people read it */
	return fd < 0 ? cow_err_set(err, fd, "lock the instance by '%s'", COW_LOCK_NAME) : fd;
}

int cow_ovl_inst_hold_as(struct cow_ovl_inst *i, const char *who)
{
	size_t len = strlen(who);
	if (i->lockfd < 0)
		return -EROFS;
	if (len >= COW_OVL_HOLDER_MAX)
		return -ENAMETOOLONG;
	/* For people to read: not worth a sync. */
	if (ftruncate(i->lockfd, 0) < 0 || pwrite(i->lockfd, who, len, 0) != (ssize_t)len)
		return cow_nerr();
	return 0;
}

int cow_ovl_inst_holder(int dirfd, char ret[COW_OVL_HOLDER_MAX])
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cow_autoclose int fd =
	    COW_FD_TRY(openat(dirfd, COW_LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lk) < 0)
		return cow_nerr();
	if (lk.l_type == F_UNLCK)
		return -ENOENT;
	holder_read(dirfd, ret, COW_OVL_HOLDER_MAX);
	return 0;
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
	r = cow_record_write(fd, &rec, COW_REC_PUBLISHED, err);
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
	(void)pthread_mutex_init(&i->whiteout_m, NULL);
	(void)pthread_mutex_init(&i->limit_m, NULL);
	i->recfd = i->lockfd = i->treefd = i->workfd = i->indexfd = -1;
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
	cow_nodes_free(i);
	(void)pthread_mutex_destroy(&i->whiteout_m);
	(void)pthread_mutex_destroy(&i->limit_m);
	(void)pthread_rwlock_destroy(&i->freeze);
	cow_numbers_free(i->numbers);
	cow_ovl_image_close(i->img);
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
	fd_drop(&i->workfd);
	fd_drop(&i->indexfd);
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
	if (i->flags & COW_OVL_STAGED)
		i->durability = COW_OVL_VOLATILE;
	else if (i->flags & COW_OVL_LOCAL && i->durability == COW_OVL_STRICT)
		i->durability = COW_OVL_RELAXED;
	return r;
}

/* The record says which image, if any, is below. */
static int image_check(struct cow_ovl_inst *i, struct cow_err *err)
{
	if (i->rec.kind == COW_REC_KIND_PLAIN)
		return !i->img ? 0
			       : cow_err_say(err, COW_ERR_REFUSED, -EINVAL,
					     "the root is a plain one, it has no image below");
	if (!i->img)
		return cow_err_say(err, COW_ERR_REFUSED, -EINVAL,
				   "the root has an image below, which was not given");
	if (memcmp(cow_man_uuid(i->img), i->rec.image, sizeof(i->rec.image)) != 0)
		return cow_err_say(err, COW_ERR_REFUSED, -ESTALE,
				   "the root was made on another image than this one");
	if (!cow_ident_can_read())
		return cow_err_say(err, COW_ERR_FAILED, -EPERM,
				   "attributes trusted.* cannot be read without CAP_SYS_ADMIN");
	return 0;
}

static int tree_load(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	struct cow_tree_id tree;
	int r = cow_tree_id(dirfd, i->img ? COW_UPPER_NAME : COW_TREE_NAME, &tree, err);
	if (r < 0)
		return r;
	i->treefd = tree.fd;
	i->dev = tree.dev;
	i->mnt_id = tree.mnt_id;
	i->btrfs = tree.btrfs;
	if (!tree_is_recorded(&tree, &i->rec)) {
		/* Copied or restored: other inodes, other handles. */
		r = cow_record_renew(&i->rec);
		if (r < 0)
			return cow_err_set(err, r, "random numbers for the instance record");
		i->renewed = true;
	}
	cow_tree_to_record(&tree, &i->rec);
	return 0;
}

/*
 * A full disk hinders nobody who reads, and btrfs needs room to write over what is there. Without a
 * new epoch, nothing rests on what the record of a root that is not volatile would say.
 */
static int record_say(struct cow_ovl_inst *i, struct cow_err *err)
{
	int r = cow_record_write(i->recfd, &i->rec, COW_REC_PUBLISHED, err);
	bool full = r == -ENOSPC || r == -EDQUOT;
	return full && !i->renewed && i->durability != COW_OVL_VOLATILE ? 0 : r;
}

static int mark_attached(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	if (i->flags & COW_OVL_OBSERVER)
		return 0;
	if (i->rec.flags & COW_REC_VOLATILE_DIRTY)
		return cow_err_say(err, COW_ERR_REFUSED, -ESTALE,
				   "the root is volatile and was not detached in order, so its "
				   "content cannot be trusted; reset the client");
	if (i->flags & COW_OVL_STAGED) /* nobody attaches it after a crash */
		return 0;
	i->rec.flags &= ~(uint32_t)COW_REC_CLEAN;
	if (i->durability == COW_OVL_VOLATILE)
		i->rec.flags |= COW_REC_VOLATILE_DIRTY;
	int r = record_say(i, err);
	if (r < 0)
		return r;
	r = cow_sweep_tmp_at(dirfd);
	return r < 0 ? cow_err_set(err, r, "sweep what an interrupted write left") : 0;
}

static int root_load(struct cow_ovl_inst *i, struct cow_err *err)
{
	int r = i->img ? cow_node_intern_low(i, COW_MAN_ROOT, &i->rec.root, &i->root)
		       : cow_upper_from_fh(i, &i->rec.root, &i->root);
	return r < 0 ? cow_err_set(err, r, "open the root by its file handle") : 0;
}

static int attach(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	int r = record_load(i, dirfd, err);
	if (r == 0)
		r = image_check(i, err);
	if (r == 0)
		r = tree_load(i, dirfd, err);
	if (r == 0 && i->img)
		r = cow_layers_open(i, dirfd, err);
	if (r < 0)
		return r;
	r = cow_domain_get(i->treefd, !(i->flags & COW_OVL_OBSERVER), &i->domain);
	if (r < 0)
		return cow_err_set(err, r, "prepare the group commit");
	r = root_load(i, err);
	if (r == 0)
		r = mark_attached(i, dirfd, err);
	if (r == 0 && i->img && !(i->flags & COW_OVL_OBSERVER))
		r = cow_layers_recover(i, err);
	return r;
}

int cow_ovl_inst_open(int dirfd, struct cow_ovl_image *img, unsigned flags,
		      struct cow_ovl_inst **ret, struct cow_err *err)
{
	struct cow_ovl_inst *i;
	if (flags & ~(unsigned)(COW_OVL_OBSERVER | COW_OVL_LOCAL | COW_OVL_STAGED))
		return cow_err_set(err, -EINVAL, "attach flags %#x", flags);
	int r = inst_new(flags, &i);
	if (r < 0)
		return cow_err_set(err, r, "attach");
	i->img = img ? cow_ovl_image_get(img) : NULL;
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
	if (i->flags & COW_OVL_STAGED)
		return cow_record_write(i->recfd, &i->rec, COW_REC_STAGED, NULL);
	int r = cow_domain_sync(i->domain, i);
	if (r < 0)
		return r;
	i->rec.flags |= COW_REC_CLEAN;
	i->rec.flags &= ~(uint32_t)COW_REC_VOLATILE_DIRTY;
	return record_say(i, NULL);
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

/* Has a server brought it up, or removed it, since? An open keeps what it has. */
static int observe(struct cow_ovl_node *n)
{
	cow_autonode now = NULL;
	if (n->low == 0 || atomic_load(&n->has_up))
		return 0;
	int r = cow_by_number(n->inst, n->low, &now);
	return r == -ESTALE && atomic_load(&n->opens) > 0 ? 0 : r;
}

int cow_node_enter(struct cow_ovl_node *n)
{
	int r = cow_inst_enter(n->inst);
	if (r < 0 || !(n->inst->flags & COW_OVL_OBSERVER))
		return r;
	r = observe(n);
	if (r < 0)
		cow_inst_leave(n->inst);
	return r;
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
	r = cow_domain_sync(i->domain, i);
	cow_inst_leave(i);
	return r;
}

void cow_ovl_stats(struct cow_ovl_inst *i, struct cow_ovl_stats *ret)
{
	*ret = (struct cow_ovl_stats){
	    .nodes = atomic_load(&i->nodes),
	    .opens = atomic_load(&i->opens),
	    .kept = atomic_load(&i->kept),
	    .fds = cow_fd_count(i),
	    .fd_opens = atomic_load(&i->fd_opens),
	    .commits = atomic_load(&i->commits),
	    .commit_waits = atomic_load(&i->commit_waits),
	    .limit = atomic_load(&i->limit),
	    .used = atomic_load(&i->used),
	};
}
