/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One change of a tree, as `client diff` and `image diff` tell it.
 */
#ifndef COW_TOOLS_CHANGE_H
#define COW_TOOLS_CHANGE_H

#include <json-c/json.h>

#include "overlay/overlay.h"

/* A, M, T, D or R. */
char cow_change_letter(enum cow_ovl_change_kind kind);

/* Keys "change", "type" and "what". */
void cow_change_json(struct json_object *o, enum cow_ovl_change_kind kind, mode_t type,
		     unsigned what);

/* A path under @key; "path_escaped" is added when it is no UTF-8. */
void cow_change_json_path(struct json_object *o, const char *key, const char *path);

#endif
