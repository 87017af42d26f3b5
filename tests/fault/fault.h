/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Faults on demand. Every call of libc that allocates or is a system call and that the engine makes
 * passes through fault.c (--wrap of the linker, see meson.build; wraps-complete checks that none is
 * missing). Armed, the Nth of them fails once; a test loops N until the operation under test is over
 * before its fault comes. Only one thread arms; others may be the one that fails.
 *
 * Syncs are counted, and fail when their turn comes, but sync nothing: the tests are about what
 * the engine does, and would be slow.
 */
#ifndef COW_TESTS_FAULT_H
#define COW_TESTS_FAULT_H

#include <stdbool.h>

/* @errnum 0: allocations fail (ENOMEM); else system calls fail with it. @nth counts from 0. */
void fault_arm(int errnum, unsigned long nth);
/* The same for one call alone. */
void fault_arm_at(const char *name, int errnum, unsigned long nth);
/* The Nth system call is not made: the process is killed instead. */
void fault_arm_kill(unsigned long nth);
/* @fn is called before the first call of that name, which is made then; nothing fails. */
void fault_arm_before(const char *name, void (*fn)(void));
/* For wrappers that a test has for itself: does this call fail? errno is set. */
bool fault_due(bool alloc, const char *where);
/* Return: has it failed something? Then fault_where() says which call, until the next arm. */
bool fault_disarm(void);
const char *fault_where(void);

#endif
