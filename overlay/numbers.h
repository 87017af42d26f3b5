/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where image objects are that cannot be found at home. For number.c and anchor.c.
 */
#ifndef COW_OVERLAY_NUMBERS_H
#define COW_OVERLAY_NUMBERS_H

#include <pthread.h>
#include <stdbool.h>

#include "nummap.h"

struct cow_ovl_inst;

struct cow_numbers {
	pthread_mutex_t m;
	/* guarded by m: */
	struct cow_nummap anchors; /* of objects with several names, brought up */
	struct cow_nummap moved;   /* objects that say in the upper what they are */
	bool moved_loaded;	   /* else nobody has asked yet */
};

int cow_anchors_load(struct cow_ovl_inst *i);
/* Drop anchors of objects without a name. The instance must be ready for cow_by_number(). */
int cow_anchors_sweep(struct cow_ovl_inst *i);

#endif
