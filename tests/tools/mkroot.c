/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * mkroot - a fresh root over an image, without a store:
 *
 *	mkroot [--durability strict|relaxed|volatile] IMAGE ROOT
 *
 * IMAGE holds tree/ and gets image.ovm when it has none; ROOT is made when it is missing. The root is
 * relaxed when nothing else is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "overlay/image.h"
#include "overlay/overlay.h"

static int make(const char *image, const char *root, const struct cow_ovl_create_opts *opts,
		struct cow_err *err)
{
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	cow_autoovlimage img = NULL;
	cow_autoclose int image_fd = cow_opendir_at(AT_FDCWD, image);
	if (image_fd < 0)
		return cow_err_set(err, image_fd, "open '%s'", image);
	int r = cow_ovl_image_build(image_fd, &how, &info, err);
	if (r < 0 && r != -EEXIST)
		return r;
	r = cow_ovl_image_open(image_fd, &img, err);
	if (r < 0)
		return r;
	r = cow_mkdir_p(root, 0755);
	if (r < 0)
		return cow_err_set(err, r, "make '%s'", root);
	cow_autoclose int root_fd = cow_opendir_at(AT_FDCWD, root);
	if (root_fd < 0)
		return cow_err_set(err, root_fd, "open '%s'", root);
	return cow_ovl_inst_create(root_fd, img, opts, err);
}

int main(int argc, char **argv)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_create_opts opts = {.durability = COW_OVL_RELAXED};
	char **arg = argv + 1;
	if (argc == 5 && !strcmp(*arg, "--durability") &&
	    cow_ovl_durability_parse(arg[1], &opts.durability) == 0)
		arg += 2;
	if (argv + argc - arg != 2) {
		(void)fprintf(stderr, "usage: mkroot [--durability MODE] IMAGE ROOT\n");
		return 2;
	}
	(void)umask(0);
	int r = make(arg[0], arg[1], &opts, &err);
	if (r < 0)
		(void)fprintf(stderr, "mkroot: %s\n", cow_err_str(&err));
	return cow_err_exit_status(&err, r);
}
