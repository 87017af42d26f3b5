/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_FSAL_NAMES_H
#define COW_FSAL_NAMES_H

#include "glue11.h"

/*
 * cow_create_prepare - may the caller create here, and with these attributes? Fills @how from them;
 * type, device and target are the caller's part.
 */
int cow_create_prepare(struct cow_ovl_node *dir, const struct cow_ovl_cred *cred,
		       const struct fsal_attrlist *in, mode_t default_mode,
		       struct cow_ovl_create *how);

#endif
