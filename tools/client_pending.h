/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_PENDING_H
#define COW_TOOLS_CLIENT_PENDING_H

#include "cli.h"

/* Print them. Return: exit status. */
int cow_client_pending(struct cow_store *s, int json);

#endif
