/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The one table of accepted differences. An entry needs a reason that holds for a whole class of
 * cases; anything else is a bug of one of the two.
 */
#include "tolerate.h"

#include <errno.h>

#include "stage.h"

#define ALL (~0u)
#define M(mode) (1u << (mode))

static const struct {
	unsigned modes;
	enum op_kind kind;
	int a, b;
	enum verdict verdict;
	const char *why;
} table[] = {
    {ALL, OP_LINK, -EPERM, -EEXIST, VERDICT_TOLERATED,
     "a directory cannot be linked and the name is taken: POSIX leaves the order open"},
    {ALL, OP_RENAME, -ENOTEMPTY, -EEXIST, VERDICT_TOLERATED,
     "over a directory that is not empty: POSIX lets a file system choose, xfs does"},
    {M(MODE_LINKS), OP_REMOVEXATTR, -ENODATA, 0, VERDICT_TOLERATED,
     "an access list that is not there: the kernel's overlay says so, local file systems do not"},
/* overlay.md 33: everything works on an open file without a name, of either layer. The kernel copies
 * one of the image up under its old name, where the whiteout is. */
#define UNNAMED(kind)                                                                              \
	{M(MODE_OVERLAY), kind, 0, -EEXIST, VERDICT_END,                                           \
	 "the kernel cannot change an open file of the image that has no name any more"},          \
	{M(MODE_OVERLAY), kind, 0, -ENOENT, VERDICT_END, "likewise, and its directory is gone too"}
    {M(MODE_OVERLAY), OP_RENAME, 0, -EXDEV, VERDICT_END,
     "overlay.md 15: directories are renamed; the kernel writes no redirect of over 256 bytes"},
    UNNAMED(OP_CHMOD),
    UNNAMED(OP_CHOWN),
    UNNAMED(OP_UTIMENS),
    UNNAMED(OP_SETXATTR),
    UNNAMED(OP_REMOVEXATTR),
    UNNAMED(OP_TRUNCATE),
};

enum verdict tolerate(unsigned modes, enum op_kind kind, int err_a, int err_b)
{
	if (err_a == err_b)
		return VERDICT_SAME;
	for (size_t k = 0; k < sizeof(table) / sizeof(*table); k++)
		if (table[k].modes & modes && table[k].kind == kind && table[k].a == err_a &&
		    table[k].b == err_b)
			return table[k].verdict;
	return VERDICT_DIFFERENT;
}
