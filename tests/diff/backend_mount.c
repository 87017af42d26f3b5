/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine through cowherd-fuse: a mount (serve.c), the operations are system calls on it
 * (backend_kernel.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve.h"
#include "side.h"
#include "util.h"

struct mounted {
	struct side side;
	struct side *kernel; /* system calls; NULL: not mounted */
	struct engine_options how;
	const char *point;
	pid_t server;
};

static int attach(void *ctx, struct cow_ovl_inst **ret, struct cow_err *err)
{
	const struct mounted *m = ctx;
	return cow_ovl_inst_open(m->how.dirfd, m->how.img, COW_OVL_LOCAL, ret, err);
}

void mount_attach(struct side *s)
{
	struct mounted *m = (struct mounted *)s;
	const struct serve how = {
	    .point = m->point, .writeback = m->how.writeback, .attach = attach, .ctx = m};
	m->server = serve_start(&how);
	int fd = open(m->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		trouble("open the mount");
	m->kernel = kernel_side_new(fd);
}

void mount_detach(struct side *s)
{
	struct mounted *m = (struct mounted *)s;
	if (!m->kernel)
		return;
	m->kernel->ops->free(m->kernel);
	m->kernel = NULL;
	int status = serve_stop(m->server, m->point);
	if (status != 0)
		trouble("the server of the mount ended with status %#x", (unsigned)status);
}

/* Directories that are held do not outlive a mount: to the script, a restart closes files alone. */
static void mounted_apply(struct side *s, const struct op *op, struct result *ret)
{
	struct mounted *m = (struct mounted *)s;
	m->kernel->ops->apply(m->kernel, op, ret);
}

static void mounted_snapshot(struct side *s, struct tree *ret)
{
	struct mounted *m = (struct mounted *)s;
	m->kernel->ops->snapshot(m->kernel, ret);
}

static void mounted_close_slots(struct side *s)
{
	struct mounted *m = (struct mounted *)s;
	m->kernel->ops->close_slots(m->kernel);
}

static void mounted_free(struct side *s)
{
	mount_detach(s);
	free(s);
}

static const struct side_ops mounted_ops = {
    .apply = mounted_apply,
    .snapshot = mounted_snapshot,
    .close_slots = mounted_close_slots,
    .free = mounted_free,
};

struct side *mount_side_new(const struct engine_options *how, const char *point)
{
	const struct cow_ovl_create_opts opts = {.durability = how->durability};
	struct cow_err err = COW_ERR_INIT;
	struct mounted *m = must(calloc(1, sizeof(*m)));
	*m = (struct mounted){.side.ops = &mounted_ops, .how = *how, .point = point};
	int r = cow_ovl_inst_create(how->dirfd, how->img, &opts, &err);
	if (r < 0) {
		errno = -r;
		trouble("make an instance: %s", cow_err_str(&err));
	}
	mount_attach(&m->side);
	return &m->side;
}
