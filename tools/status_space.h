/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What each version and client uses, for `cowherd status --space`.
 */
#ifndef COW_TOOLS_STATUS_SPACE_H
#define COW_TOOLS_STATUS_SPACE_H

#include "cli.h"

/* Two tables on standard output. */
int cow_status_space_print(struct cow_store *s, struct cow_err *err);
/* An object with arrays "images" and "clients"; the caller puts it. */
int cow_status_space_json(struct cow_store *s, struct json_object **ret, struct cow_err *err);

#endif
