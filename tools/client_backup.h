/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_BACKUP_H
#define COW_TOOLS_CLIENT_BACKUP_H

int cow_cmd_client_export(int argc, char **argv);
int cow_cmd_client_import(int argc, char **argv);

#endif
