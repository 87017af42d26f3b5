/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The one table of accepted differences. An entry needs a reason that holds for a whole class of
 * cases; anything else is a bug of one of the two.
 */
#include "tolerate.h"

#include <errno.h>

#include "values.h"

/* Whose answer is the odd one. The engine over an image counts as an overlay where it does as the
 * kernel's does. */
enum who {
	DIRECTORY,
	OVERLAYFS,
	ENGINE,
};

static bool removes_acl(const struct op *op)
{
	return op->kind == OP_REMOVEXATTR && op->xattr <= XATTR_ACL_DEFAULT;
}

static bool links(const struct op *op)
{
	return op->kind == OP_LINK;
}

static bool renames(const struct op *op)
{
	return op->kind == OP_RENAME;
}

static bool through_open(const struct op *op)
{
	return path_is_open(op->path);
}

#define ANY 1 /* errno */

static const struct {
	enum who who;
	bool (*op)(const struct op *op);
	int its, other;
	enum verdict verdict;
	const char *why;
} table[] = {
    {DIRECTORY, links, -EEXIST, -EPERM, VERDICT_TOLERATED,
     "a directory cannot be linked and the name is taken: POSIX leaves the order open"},
    {OVERLAYFS, links, -EEXIST, -EPERM, VERDICT_TOLERATED, "the same"},
    {OVERLAYFS, removes_acl, -ENODATA, 0, VERDICT_TOLERATED,
     "removing an ACL that is not there succeeds on ext4, xfs and btrfs; overlayfs looks first, "
     "while the object is lower, so as not to copy it up"},
    {ENGINE, removes_acl, -ENODATA, 0, VERDICT_TOLERATED, "the same over an image"},
    {OVERLAYFS, through_open, -EEXIST, ANY, VERDICT_END,
     "overlayfs cannot copy up a file without a name that was opened for reading: the name in the "
     "upper directory is taken by the whiteout or by what replaced it"},
    {OVERLAYFS, through_open, -ENOENT, ANY, VERDICT_END, "the same, the directory is gone as well"},
    {OVERLAYFS, renames, -ENOTEMPTY, -EEXIST, VERDICT_TOLERATED,
     "POSIX lets a file system choose the error for a directory that is not empty; xfs has EEXIST"},
    {DIRECTORY, renames, -EEXIST, -ENOTEMPTY, VERDICT_TOLERATED, "the same"},
    {OVERLAYFS, renames, -EEXIST, -ENOTEMPTY, VERDICT_TOLERATED, "the same, both in the upper"},
    {OVERLAYFS, renames, -EXDEV, ANY, VERDICT_END,
     "overlayfs moves no lower directory whose path is longer than 256 bytes"},
};

static bool fits(int wanted, int err)
{
	return wanted == ANY || wanted == err;
}

enum verdict tolerate(enum mode mode, const struct op *op, int err_a, int err_b)
{
	if (err_a == err_b)
		return VERDICT_SAME;
	for (size_t k = 0; k < sizeof(table) / sizeof(*table); k++) {
		if (!table[k].op(op))
			continue;
		bool is_b = table[k].who == (mode == MODE_OVERLAY || mode == MODE_MOUNT ? OVERLAYFS : DIRECTORY);
		bool is_a = table[k].who == (mode == MODE_KERNEL ? OVERLAYFS : ENGINE) &&
			    mode != MODE_PLAIN;
		if ((is_b && fits(table[k].its, err_b) && fits(table[k].other, err_a)) ||
		    (is_a && fits(table[k].its, err_a) && fits(table[k].other, err_b)))
			return table[k].verdict;
	}
	return VERDICT_DIFFERENT;
}
