/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_CHECK_H
#define COW_TOOLS_CLIENT_CHECK_H

int cow_cmd_client_check(int argc, char **argv);

#endif
