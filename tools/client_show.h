/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_SHOW_H
#define COW_TOOLS_CLIENT_SHOW_H

int cow_cmd_client_list(int argc, char **argv);
int cow_cmd_client_show(int argc, char **argv);

#endif
