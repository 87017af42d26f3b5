/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Raspberry Pis by the way they boot from the network, and what each kind needs. Pure functions.
 */
#ifndef COW_TOOLS_RPI_MODEL_H
#define COW_TOOLS_RPI_MODEL_H

#include "snapshot/mac.h"

enum cow_rpi_model {
	COW_RPI_UNKNOWN,    /* no Raspberry Pi as far as one can see */
	COW_RPI_PI3,	    /* and before: boot ROM, bootcode.bin */
	COW_RPI_PI4,	    /* 4B, 400, CM4: EEPROM, then start4.elf */
	COW_RPI_PI5,	    /* 5, 500, CM5: EEPROM alone */
	COW_RPI_PI4_OR_PI5, /* its MAC is from a range used for both */
};

/* "pi3", "pi4", "pi5". Return: 0; -EINVAL. */
int cow_rpi_model_parse(const char *word, enum cow_rpi_model *ret);

/* The word; "pi4-or-pi5" and "" as well. */
const char *cow_rpi_model_word(enum cow_rpi_model m);

/* For people: "Raspberry Pi 4". */
const char *cow_rpi_model_name(enum cow_rpi_model m);

/* What the address alone tells. Source: prefixes registered by Raspberry Pi, boards seen with them. */
enum cow_rpi_model cow_rpi_model_of(const struct cow_mac *mac);

#endif
