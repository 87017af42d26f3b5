/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Machines that asked for boot files and are no clients, STORE/state/pending; and which clients were made without being
 * asked for, clients/ID/state/enrolled.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/fields.h"
#include "common/fs.h"

#define PENDING_BYTES_MAX ((size_t)COW_PENDING_MAX * COW_FIELDS_LINE_MAX)

int cow_store_pending_each(struct cow_store *s, cow_history_fn fn, void *ctx)
{
	cow_autoclose int dir = cow_opendir_at(s->fd, "state");

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	return cow_lines_each_at(dir, "pending", PENDING_BYTES_MAX, fn, ctx);
}

int cow_store_pending_write(struct cow_store *s, const char *lines)
{
	int r = cow_mkdir_at(s->fd, "state", 0755);
	cow_autoclose int dir = r < 0 ? r : cow_opendir_at(s->fd, "state");

	return dir < 0 ? dir : cow_lines_write_at(dir, "pending", ".pending", lines, strlen(lines));
}

int cow_client_enrolled_mark(struct cow_store *s, const struct cow_mac *mac)
{
	cow_autoclose int dir = cow_client_state_dir(s, mac, 1);

	return dir < 0 ? dir : cow_lines_write_at(dir, "enrolled", ".enrolled", "", 0);
}

bool cow_client_enrolled(struct cow_store *s, const struct cow_mac *mac)
{
	cow_autoclose int dir = cow_client_state_dir(s, mac, 0);

	return dir >= 0 && cow_exists_at(dir, "enrolled") > 0;
}
