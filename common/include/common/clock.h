/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Time: a monotonic clock in milliseconds for deadlines, wall clock text for records.
 */
#ifndef COW_COMMON_CLOCK_H
#define COW_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

uint64_t cow_now_ms(void);	/* CLOCK_MONOTONIC */
uint64_t cow_now_ns(void);
int64_t cow_realtime_s(void);	/* seconds since the epoch */

/* "2026-01-31T12:00:00Z" (RFC 3339, UTC). */
#define COW_TIME_TEXT_LEN 20
void cow_time_text(int64_t realtime_s, char ret[COW_TIME_TEXT_LEN + 1]);

#endif
