/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What an administrator may do in the folder of A: files, links to anywhere, FIFOs, no folder at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "run.h"
#include "tftp/name.h"

/* Where @name lies in A's folder, if no link is on the way: those lead to what is not A's. */
static int open_above(const char *name, const char **ret_base)
{
	cow_autoclose int own = open(OWN_A, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char dir_name[64] = ".";

	*ret_base = cow_tftp_basename(name);
	if (*ret_base != name)
		(void)snprintf(dir_name, sizeof(dir_name), "%.*s", (int)(*ret_base - name - 1),
			       name);
	return own < 0 ? -errno
		       : cow_open_beneath(own, dir_name,
					  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

static void resize(int dirfd, const char *base, size_t size)
{
	cow_autoclose int fd = openat(dirfd, base, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		(void)!ftruncate(fd, (off_t)size); /* a FIFO has no size */
}

void administrate(struct run *r, const char *name)
{
	unsigned what = next(r), more = next(r);
	const char *base, *target = targets[more % (sizeof(targets) / sizeof(targets[0]))];
	cow_autoclose int above = open_above(name, &base);

	if (above < 0)
		return;
	switch (what % 8) {
	case 0:
	case 1:
		(void)put_at(above, base, ADMIN_A, size_of(more));
		return;
	case 2:
		(void)mkdirat(above, base, 0755);
		return;
	case 3:
		(void)!symlinkat(target, above, base);
		return;
	case 4:
		(void)mkfifoat(above, base, 0644);
		return;
	case 5:
		if (unlinkat(above, base, 0) < 0)
			(void)unlinkat(above, base, AT_REMOVEDIR);
		return;
	case 6: /* the folder itself leads elsewhere */
		if (rmdir(OWN_A) == 0)
			r->moved_folder = symlink(target, OWN_A) == 0;
		return;
	default:
		resize(above, base, size_of(more));
	}
}
