/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_BOOTS_H
#define COW_TOOLS_CLIENT_BOOTS_H

#include "cli.h"
#include "snapshot/client.h"

/* Return: 0 or -errno. */
int cow_client_boots_json(struct cow_store *s, const struct cow_mac *mac, struct json_object *o);
int cow_client_boots_print(struct cow_store *s, const struct cow_mac *mac);

#endif
