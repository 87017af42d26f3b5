/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A fresh overlay root without its image loaded: `upper/` as a copy of the image's root directory,
 * `work/` as the kernel lays it out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"
#include "overlay/image.h"
#include "seed.h"

static int make_work(int dirfd)
{
	int r = cow_mkdir_at(dirfd, COW_WORK_NAME, 0700);
	cow_autoclose int work = r < 0 ? r : cow_opendir_at(dirfd, COW_WORK_NAME);
	if (work < 0)
		return work;
	r = cow_mkdir_at(work, "work", 0700);
	return r < 0 ? r : cow_mkdir_at(work, "index", 0700);
}

static int make_upper(int dirfd, int tree)
{
	int r = cow_mkdir_at(dirfd, COW_UPPER_NAME, 0700);
	cow_autoclose int upper = r < 0 ? r : cow_opendir_at(dirfd, COW_UPPER_NAME);
	if (upper < 0)
		return upper;
	r = cow_seed_copy_dir(tree, upper);
	return r < 0 ? r : cow_seed_copy_times(tree, upper);
}

int cow_ovl_inst_create_peek(int dirfd, int image_dirfd, const struct cow_ovl_create_opts *opts,
			     struct cow_err *err)
{
	struct cow_ovl_image_info info;
	if (opts && (unsigned)opts->durability > COW_OVL_VOLATILE)
		return cow_err_set(err, -EINVAL, "durability %d", (int)opts->durability);
	if (faccessat(dirfd, COW_REC_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return cow_err_set(err, -EEXIST, "make the instance record");
	int r = cow_ovl_image_peek(image_dirfd, &info, err);
	if (r < 0)
		return r;
	cow_autoclose int tree = cow_opendir_at(image_dirfd, "tree");
	if (tree < 0)
		return cow_err_set(err, tree, "open the image's tree");
	r = make_upper(dirfd, tree);
	if (r == 0)
		r = make_work(dirfd);
	if (r < 0)
		return cow_err_set(err, r, "make the directories of the root");
	return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
			   "this version has plain roots only, none with an image below");
}
