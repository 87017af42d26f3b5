/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For the programs that a virtual client runs on its NFS mount: whatever is not as it must be is said, and ends
 * the program with status 1. Linked statically: the client's root need not have our libraries.
 */
#ifndef COW_VM_CLIENT_H
#define COW_VM_CLIENT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIE(...)                                                                                   \
	do {                                                                                       \
		(void)printf("FAILED: " __VA_ARGS__);                                              \
		(void)printf("\n");                                                                \
		(void)fflush(stdout);                                                              \
		exit(1);                                                                           \
	} while (0)

/* The call's value, which is not an error. */
#define OK(call) ok((call), #call)

static inline int64_t ok(int64_t r, const char *what)
{
	if (r < 0)
		DIE("%s: %m", what);
	return r;
}

static inline double now_s(clockid_t clock)
{
	struct timespec t;
	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline int there(const char *path)
{
	return access(path, F_OK) == 0;
}

static inline void pause_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	(void)nanosleep(&t, NULL);
}

#endif
