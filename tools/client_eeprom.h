/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_CLIENT_EEPROM_H
#define COW_TOOLS_CLIENT_EEPROM_H

int cow_cmd_client_eeprom(int argc, char **argv);

#endif
