/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Serial number to MAC, gathered from all client records. One thread.
 */
#ifndef COW_TFTP_SERIALS_H
#define COW_TFTP_SERIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/mac.h"
#include "tftp/name.h"

struct cow_tftp_serials {
	struct {
		char serial[COW_TFTP_SERIAL_LEN + 1];
		struct cow_mac mac;
	} * entry;
	size_t count, room;
	uint64_t read_ms; /* 0: never */
};

/* Return: 0, also for text that is no serial number of eight digits; -ENOMEM. */
int cow_tftp_serials_add(struct cow_tftp_serials *s, const char *serial, const struct cow_mac *mac);

/* NULL: none. Valid until the next add or clear. */
const struct cow_mac *cow_tftp_serials_find(const struct cow_tftp_serials *s, const char *serial);

void cow_tftp_serials_clear(struct cow_tftp_serials *s, uint64_t now_ms);
bool cow_tftp_serials_stale(const struct cow_tftp_serials *s, uint64_t now_ms, uint64_t fresh_ms);
void cow_tftp_serials_done(struct cow_tftp_serials *s);

#endif
