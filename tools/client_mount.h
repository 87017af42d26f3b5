/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_MOUNT_H
#define COW_TOOLS_CLIENT_MOUNT_H

int cow_cmd_client_mount(int argc, char **argv);
int cow_cmd_client_unmount(int argc, char **argv);
int cow_cmd_client_exec(int argc, char **argv);

#endif
