/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_COMMIT_H
#define COW_TOOLS_CLIENT_COMMIT_H

int cow_cmd_client_commit(int argc, char **argv);

#endif
