/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Kinds of Raspberry Pis: see rpi_model.h.
 */
#include "rpi_model.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const struct {
	const char *word, *name;
} models[] = {
    [COW_RPI_UNKNOWN] = {"", "no Raspberry Pi"},
    [COW_RPI_PI3] = {"pi3", "Raspberry Pi 3 or older"},
    [COW_RPI_PI4] = {"pi4", "Raspberry Pi 4"},
    [COW_RPI_PI5] = {"pi5", "Raspberry Pi 5"},
    [COW_RPI_PI4_OR_PI5] = {"pi4-or-pi5", "Raspberry Pi 4 or 5"},
};

static const struct {
	uint8_t prefix[3];
	enum cow_rpi_model model;
} prefixes[] = {
    {{0xb8, 0x27, 0xeb}, COW_RPI_PI3},	      {{0xdc, 0xa6, 0x32}, COW_RPI_PI4},
    {{0xe4, 0x5f, 0x01}, COW_RPI_PI4},	      {{0xd8, 0x3a, 0xdd}, COW_RPI_PI4_OR_PI5},
    {{0x2c, 0xcf, 0x67}, COW_RPI_PI4_OR_PI5}, {{0x88, 0xa2, 0x9e}, COW_RPI_PI4_OR_PI5},
    {{0x28, 0xcd, 0xc1}, COW_RPI_PI4_OR_PI5},
};

int cow_rpi_model_parse(const char *word, enum cow_rpi_model *ret)
{
	for (unsigned i = COW_RPI_PI3; i <= COW_RPI_PI5; i++) {
		if (strcmp(models[i].word, word) == 0) {
			*ret = (enum cow_rpi_model)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *cow_rpi_model_word(enum cow_rpi_model m)
{
	return models[m].word;
}

const char *cow_rpi_model_name(enum cow_rpi_model m)
{
	return models[m].name;
}

enum cow_rpi_model cow_rpi_model_of(const struct cow_mac *mac)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (memcmp(mac->b, prefixes[i].prefix, sizeof(prefixes[i].prefix)) == 0)
			return prefixes[i].model;
	return COW_RPI_UNKNOWN;
}
