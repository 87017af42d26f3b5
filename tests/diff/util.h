/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Small things: memory that is there, trouble that ends the process, names of errors.
 */
#ifndef COW_TESTS_DIFF_UTIL_H
#define COW_TESTS_DIFF_UTIL_H

#include <stddef.h>

#define EXIT_TROUBLE 2 /* of this program or the machine, not a difference */

void __attribute__((noreturn, format(printf, 1, 2))) trouble(const char *fmt, ...);
void *must(void *p);
/* "ENOENT" for -ENOENT or ENOENT, "ok" for 0; a positive number it does not know: "errno". */
const char *errname(int r);

#endif
