/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * New roots. A plain one is a record beside the tree that is there; one with an image below gets an
 * empty upper that looks like the image's root directory. The manifest
 * is not needed for it, only its header, so the image's size does not matter.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "idattr.h"
#include "internal.h"
#include "seed.h"

/* File ids: the image's numbers below, the upper's inode numbers from here on. ext4 has 32 bits of
 * them; all ids stay below 2^53, which some programs cannot count beyond. */
#define ID_BASE_EXT4 (UINT64_C(1) << 32)
#define ID_BASE_OTHER (UINT64_C(1) << 48)

/* ---------------------------------------------------------------- the top of the upper */

static int say_root(int fd, const uint8_t lineage[COW_OVM_UUID_LEN])
{
	struct cow_id_attr attr;
	memcpy(attr.lineage, lineage, sizeof(attr.lineage));
	cow_put_le32(attr.number, COW_MAN_ROOT);
	return fsetxattr(fd, COW_XA_ID, &attr, sizeof(attr), 0) < 0 ? cow_nerr() : 0;
}

static int dress_upper(int fd, int lowfd, const struct cow_ovl_image_info *info)
{
	int r = cow_seed_copy_dir(lowfd, fd);
	if (r == 0)
		r = say_root(fd, info->lineage);
	return r < 0 ? r : cow_seed_copy_times(lowfd, fd);
}

static int make_upper(int dirfd, int lowfd, const struct cow_ovl_image_info *info)
{
	int r = cow_mkdir_at(dirfd, COW_UPPER_NAME, 0700);
	cow_autoclose int upper = r < 0 ? r : cow_opendir_at(dirfd, COW_UPPER_NAME);
	return upper < 0 ? upper : dress_upper(upper, lowfd, info);
}

/* The lock file is there from the beginning: a full disk has no room for a new name. */
static int make_lock(int dirfd)
{
	cow_autoclose int fd =
	    openat(dirfd, COW_LOCK_NAME, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? cow_nerr() : 0;
}

/* ---------------------------------------------------------------- records */

static int check_opts(int dirfd, const struct cow_ovl_create_opts *opts, struct cow_err *err)
{
	if (opts && (unsigned)opts->durability > COW_OVL_VOLATILE)
		return cow_err_set(err, -EINVAL, "durability %d", (int)opts->durability);
	if (faccessat(dirfd, COW_REC_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return cow_err_set(err, -EEXIST, "make the instance record");
	return 0;
}

static int record_new(int dirfd, const char *tree_name, struct cow_record *rec,
		      enum cow_rec_place place, struct cow_err *err)
{
	struct cow_tree_id tree;
	int r = cow_tree_id(dirfd, tree_name, &tree, err);
	if (r < 0)
		return r;
	(void)close(tree.fd); /* opened to look at, no more */
	r = make_lock(dirfd);
	if (r < 0)
		return cow_err_set(err, r, "make '%s' of a root", COW_LOCK_NAME);
	cow_tree_to_record(&tree, rec);
	r = cow_random(rec->uuid, sizeof(rec->uuid));
	if (r == 0)
		r = cow_record_renew(rec);
	if (r < 0)
		return cow_err_set(err, r, "random numbers for the instance record");
	return cow_record_create(dirfd, rec, place, err);
}

static int create_plain(int dirfd, const struct cow_ovl_create_opts *opts, struct cow_err *err)
{
	struct cow_record rec = {
	    .kind = COW_REC_KIND_PLAIN,
	    .flags = COW_REC_CLEAN,
	    .durability = opts ? opts->durability : COW_OVL_STRICT,
	};
	return record_new(dirfd, COW_TREE_NAME, &rec, COW_REC_PUBLISHED, err);
}

static int create_layers(int dirfd, int lowfd, const struct cow_ovl_image_info *info,
			 const struct cow_ovl_create_opts *opts, enum cow_rec_place place,
			 struct cow_err *err)
{
	struct statfs sf;
	struct cow_record rec = {
	    .kind = COW_REC_KIND_OVERLAY,
	    .flags = COW_REC_CLEAN,
	    .durability = opts ? opts->durability : COW_OVL_STRICT,
	};
	if (fstatfs(dirfd, &sf) < 0)
		return cow_err_set(err, cow_nerr(), "examine the new root");
	rec.id_base = sf.f_type == EXT4_SUPER_MAGIC ? ID_BASE_EXT4 : ID_BASE_OTHER;
	memcpy(rec.image, info->uuid, sizeof(rec.image));
	memcpy(rec.lineage, info->lineage, sizeof(rec.lineage));
	int r = make_upper(dirfd, lowfd, info);
	if (r < 0)
		return cow_err_set(err, r, "make the directories of a root");
	return record_new(dirfd, COW_UPPER_NAME, &rec, place, err);
}

int cow_ovl_inst_create(int dirfd, const struct cow_ovl_image *img,
			const struct cow_ovl_create_opts *opts, struct cow_err *err)
{
	struct cow_ovl_image_info info;
	int r = check_opts(dirfd, opts, err);
	if (r < 0)
		return r;
	if (!img)
		return create_plain(dirfd, opts, err);
	cow_ovl_image_info(img, &info);
	return create_layers(dirfd, cow_man_rootfd(img), &info, opts, COW_REC_PUBLISHED, err);
}

int cow_ovl_inst_create_peek(int dirfd, int image_dirfd, const struct cow_ovl_create_opts *opts,
			     struct cow_err *err)
{
	struct cow_ovl_image_info info;
	int r = check_opts(dirfd, opts, err);
	if (r == 0)
		r = cow_ovl_image_peek(image_dirfd, &info, err);
	if (r < 0)
		return r;
	cow_autoclose int low = cow_opendir_at(image_dirfd, COW_TREE_NAME);
	if (low < 0)
		return cow_err_set(err, low, "open the image's tree");
	return create_layers(dirfd, low, &info, opts, COW_REC_STAGED, err);
}
