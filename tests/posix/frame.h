/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Between the frame and main(): how a check tells what came of it.
 */
#ifndef COW_TESTS_POSIX_FRAME_H
#define COW_TESTS_POSIX_FRAME_H

#include "posix.h"

#define EXIT_SKIPPED 77

struct verdict {
	char text[512]; /* why it failed or was skipped */
};

/* Shared by all processes forked after the first call. */
struct verdict *frame_verdict(void);

#endif
