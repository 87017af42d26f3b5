/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "find_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"

char *cow_find_probe(const char *dir, size_t len, const char *name, int mode)
{
	char *path = NULL;

	if (len == 0 || dir[0] != '/' || asprintf(&path, "%.*s/%s", (int)len, dir, name) < 0)
		return NULL;
	if (access(path, mode) == 0)
		return path;
	free(path);
	return NULL;
}

/* Folder of this executable + "/../" + sub. */
static char *sibling_dir(const char *sub)
{
	cow_autofree char *exe = NULL;
	char *dir = NULL;

	if (cow_readlink_at(AT_FDCWD, "/proc/self/exe", &exe) < 0)
		return NULL;
	char *slash = strrchr(exe, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return asprintf(&dir, "%s/../%s", exe, sub) < 0 ? NULL : dir;
}

int cow_find_own(const char *configured, const char *env, const char *sub, const char *installed,
		 const char *file, int mode, char **ret_dir, struct cow_err *err)
{
	const char *env_dir = getenv(env); /* NOLINT(concurrency-mt-unsafe): before threads */
	cow_autofree char *beside = sibling_dir(sub);
	const char *dirs[] = {configured, env_dir, beside, installed};
	size_t n = *configured ? 1 : sizeof(dirs) / sizeof(dirs[0]);

	for (size_t i = 0; i < n; i++) {
		cow_autofree char *path =
		    dirs[i] ? cow_find_probe(dirs[i], strlen(dirs[i]), file, mode) : NULL;
		if (!path)
			continue;
		*ret_dir = realpath(dirs[i], NULL);
		return *ret_dir ? 0 : cow_err_set(err, -errno, "folder '%s'", dirs[i]);
	}
	if (*configured)
		return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "%s is not in '%s'", file,
				   configured);
	return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "%s is neither in '%s' nor in '%s'",
			   file, beside ? beside : "", installed);
}
