/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Preloaded before a sanitizer's runtime: the NFS server loads its plugins with RTLD_DEEPBIND, which
 * the runtimes refuse, since such a plugin would pass by their malloc.
 */
#include <dlfcn.h>

__attribute__((visibility("default"))) void *dlopen(const char *file, int mode)
{
	static void *(*next)(const char *, int);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "dlopen");
	return next(file, mode & ~RTLD_DEEPBIND);
}
