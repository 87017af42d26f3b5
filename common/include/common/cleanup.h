/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Scope-bound cleanup. A variable declared with one of these macros gives its object back when its
 * scope ends; cow_steal_fd() and cow_steal_ptr() mark every hand-over. Cleanup keeps errno.
 */
#ifndef COW_COMMON_CLEANUP_H
#define COW_COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COW_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Defines cow_auto_<fn>(): calls fn on a pointer variable at scope end; fn must accept NULL. */
#define COW_DEFINE_AUTO(type, fn)                                                                  \
	static inline void cow_auto_##fn(type **p)                                                 \
	{                                                                                          \
		int saved_errno = errno;                                                           \
		fn(*p);                                                                            \
		errno = saved_errno;                                                               \
	}

static inline void cow_auto_free_(void *p)
{
	int saved_errno = errno;
	free(*(void **)p);
	errno = saved_errno;
}

static inline void cow_auto_close_(const int *fd)
{
	int saved_errno = errno;
	if (*fd >= 0)
		(void)close(*fd); /* an error here has no caller left to tell */
	errno = saved_errno;
}

static inline void cow_auto_closedir_(DIR **d)
{
	int saved_errno = errno;
	if (*d)
		(void)closedir(*d);
	errno = saved_errno;
}

static inline void cow_auto_fclose_(FILE **f)
{
	int saved_errno = errno;
	if (*f)
		(void)fclose(*f); /* writers call fclose() themselves and look at its result */
	errno = saved_errno;
}

#define cow_autofree COW_CLEANUP(cow_auto_free_)
#define cow_autoclose COW_CLEANUP(cow_auto_close_)
#define cow_autodir COW_CLEANUP(cow_auto_closedir_)
#define cow_autofile COW_CLEANUP(cow_auto_fclose_)

static inline int cow_steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

#define cow_steal_ptr(pp)                                                                          \
	({                                                                                         \
		__typeof__(pp) pp_ = (pp);                                                         \
		__typeof__(*pp_) v_ = *pp_;                                                        \
		*pp_ = NULL;                                                                       \
		v_;                                                                                \
	})

#endif
