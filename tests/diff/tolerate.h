/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where two sides may answer differently, and why.
 */
#ifndef COW_TESTS_DIFF_TOLERATE_H
#define COW_TESTS_DIFF_TOLERATE_H

#include "op.h"
#include "stage.h"

enum verdict {
	VERDICT_SAME,
	VERDICT_TOLERATED, /* both refused, with other words */
	VERDICT_END,	   /* the trees are different from here on, for a known reason */
	VERDICT_DIFFERENT,
};

enum verdict tolerate(enum mode mode, const struct op *op, int err_a, int err_b);

#endif
