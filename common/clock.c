/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "common/clock.h"

#include <stdio.h>
#include <string.h>

uint64_t cow_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t cow_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int64_t cow_realtime_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec;
}

void cow_time_text(int64_t realtime_s, char ret[COW_TIME_TEXT_LEN + 1])
{
	time_t t = (time_t)realtime_s;
	struct tm tm;

	/* A year beyond four digits does not fit the form and is no date of ours. */
	if (!gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900 || tm.tm_year < 0 ||
	    strftime(ret, COW_TIME_TEXT_LEN + 1, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		memcpy(ret, "0000-00-00T00:00:00Z", COW_TIME_TEXT_LEN + 1);
}
