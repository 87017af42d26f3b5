/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "image_internal.h"
#include "names.h"

static int is_left_over(const char *name)
{
	return strncmp(name, COW_IMPORT_PREFIX, strlen(COW_IMPORT_PREFIX)) == 0 ||
	       strncmp(name, COW_EDIT_NEW_PREFIX, strlen(COW_EDIT_NEW_PREFIX)) == 0;
}

int cow_image_sweep_dir(int dir)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	int r = cow_names_read(dir, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (is_left_over(names.name[i]))
			r = cow_tree_delete_at(dir, names.name[i]);
	return r < 0 ? r : cow_sweep_tmp_at(dir);
}

void cow_image_drop_if_unused(struct cow_store *s, int dir, const char *name)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	if (cow_names_read(dir, ".", &names) < 0 || names.n != 1 ||
	    strcmp(names.name[0], "lock") != 0)
		return;
	cow_autoclose int images = cow_opendir_at(s->fd, "images");
	if (images < 0 || unlinkat(dir, "lock", 0) < 0)
		return;
	(void)unlinkat(images, name, AT_REMOVEDIR); /* else the next sweep has it */
}
