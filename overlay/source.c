/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For who copies a whole tree (a client's root becomes a new image): where an object's data lies, and
 * what the object is in the image.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal.h"

uint32_t cow_ovl_number(const struct cow_ovl_node *n)
{
	return n->low;
}

bool cow_ovl_at_home(const struct cow_ovl_node *dir, const char *name, size_t len,
		     const struct cow_ovl_node *n)
{
	struct cow_man_ent ent;
	return dir->low != 0 && n->low != 0 &&
	       cow_man_find(n->inst->img, dir->low, name, len, &ent) && ent.ino == n->low;
}

static int source_entered(struct cow_ovl_node *n, struct cow_ovl_source *ret)
{
	cow_autofd f = NULL;
	int r = cow_fd_get(n, S_ISREG(n->type) ? COW_FD_READ : COW_FD_PATH, &f);
	if (r < 0)
		return r;
	int fd = COW_FD_TRY(fcntl(f->fd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return cow_nerr();
	*ret = (struct cow_ovl_source){.fd = fd, .golden = f->lower};
	return 0;
}

int cow_ovl_source(struct cow_ovl_node *n, struct cow_ovl_source *ret)
{
	int r = cow_node_enter(n);
	if (r < 0)
		return r;
	r = source_entered(n, ret);
	cow_inst_leave(n->inst);
	return r;
}

int cow_ovl_origin(struct cow_ovl_node *n)
{
	if (n->low == 0)
		return -ENODATA;
	int r = cow_node_enter(n);
	if (r < 0)
		return r;
	int fd;
	do {
		fd = cow_man_open(n->inst->img, n->low, S_ISREG(n->type) ? O_RDONLY : O_PATH);
	} while (fd < 0 && cow_fd_again(-fd));
	cow_inst_leave(n->inst);
	return fd;
}
