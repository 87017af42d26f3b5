/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attaching what an instance with an image below has besides its upper: the work directories, with
 * what a crash left in them, and the anchors. overlay.md 4.10.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "internal.h"
#include "numbers.h"

static int open_part(int work, const char *name, bool observer, int *ret)
{
	int fd = cow_opendir_at(work, name);
	if (fd == -ENOENT && observer)
		return 0;
	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

int cow_layers_make_work(int dirfd)
{
	int r = cow_mkdir_at(dirfd, COW_WORK_NAME, 0700);
	cow_autoclose int work = r < 0 ? r : cow_opendir_at(dirfd, COW_WORK_NAME);
	if (work < 0)
		return work;
	r = cow_mkdir_at(work, COW_WORK_NAME, 0700);
	return r < 0 ? r : cow_mkdir_at(work, COW_INDEX_NAME, 0700);
}

/* Made at the first attach; and a kernel mount throws work/work away and makes it anew, and an empty index may be
 * gone too. An observer does without what is not there. */
static int open_work(struct cow_ovl_inst *i, int dirfd)
{
	bool observer = i->flags & COW_OVL_OBSERVER;
	int r = observer ? 0 : cow_layers_make_work(dirfd);
	cow_autoclose int work = r < 0 ? r : cow_opendir_at(dirfd, COW_WORK_NAME);
	if (work == -ENOENT && observer)
		return 0;
	if (work < 0)
		return work;
	r = open_part(work, COW_WORK_NAME, observer, &i->workfd);
	return r < 0 ? r : open_part(work, COW_INDEX_NAME, observer, &i->indexfd);
}

/* Two that change one upper, neither knowing of the other, ruin it. Looking on is harmless. */
static int refuse_mounted(struct cow_ovl_inst *i, struct cow_err *err)
{
	if (i->flags & COW_OVL_OBSERVER)
		return 0;
	int r = cow_kernel_mounted(i->treefd);
	if (r < 0)
		return cow_err_set(err, r, "read the table of mounts");
	return r == 0
		   ? 0
		   : cow_err_say(err, COW_ERR_BUSY, -EBUSY,
				 "the root's upper is mounted by the kernel's overlay file system");
}

int cow_layers_open(struct cow_ovl_inst *i, int dirfd, struct cow_err *err)
{
	int r = refuse_mounted(i, err);
	if (r < 0)
		return r;
	r = open_work(i, dirfd);
	if (r < 0)
		return cow_err_set(err, r, "open the root's work directories");
	r = cow_numbers_load(i);
	return r < 0 ? cow_err_set(err, r, "read the root's index of hard links") : 0;
}

/* Another work/work than the one we knew: the kernel has had the root mounted. */
static int adopt(struct cow_ovl_inst *i, struct cow_err *err)
{
	struct cow_fh now;
	int mnt_id;
	int r = cow_fh_of(i->workfd, &now, &mnt_id);
	if (r < 0)
		return cow_err_set(err, r, "file handle of the root's work directory");
	if (memcmp(&now, &i->rec.work, sizeof(now)) == 0)
		return 0;
	r = cow_adopt(i);
	if (r < 0)
		return cow_err_set(err, r, "look through what the kernel changed in the root");
	i->rec.work = now;
	r = cow_record_write(i->recfd, &i->rec,
			     i->flags & COW_OVL_STAGED ? COW_REC_STAGED : COW_REC_PUBLISHED, err);
	return r == -ENOSPC || r == -EDQUOT ? 0 : r; /* it is looked through again next time */
}

int cow_layers_recover(struct cow_ovl_inst *i, struct cow_err *err)
{
	int r = cow_work_sweep(i);
	if (r < 0)
		return cow_err_set(err, r, "sweep what interrupted work left");
	r = adopt(i, err);
	if (r < 0)
		return r;
	r = cow_anchors_sweep(i);
	return r < 0 ? cow_err_set(err, r, "sweep the root's index of hard links") : 0;
}
