/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client reset|roll|rollback
 */
#ifndef COW_TOOLS_CLIENT_SWAP_H
#define COW_TOOLS_CLIENT_SWAP_H

int cow_cmd_client_reset(int argc, char **argv);
int cow_cmd_client_roll(int argc, char **argv);
int cow_cmd_client_rollback(int argc, char **argv);

#endif
