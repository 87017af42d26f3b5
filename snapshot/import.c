/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of an image from outside: a directory or an archive fills the tree of a new version.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "fixup.h"
#include "new_version.h"

static int fill_tree(struct cow_new_version *v, struct cow_err *err)
{
	struct stat st, store;
	/* O_NONBLOCK: a fifo without writer must not hang us; files and directories do not care. */
	cow_autoclose int src = open(v->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (src < 0 || fstat(src, &st) < 0)
		return cow_err_set(err, -errno, "open the source '%s'", v->source);
	if (fstat(v->s->fd, &store) < 0)
		return cow_err_set(err, -errno, "look at store '%s'", v->s->path);
	if (S_ISDIR(st.st_mode))
		return cow_import_dir(&v->fill, src, v->source, store.st_dev, store.st_ino, err);
	if (!S_ISREG(st.st_mode))
		return cow_err_say(err, COW_ERR_FAILED, -EINVAL,
				   "'%s' is neither a directory nor a file", v->source);
	v->fill.source_total = (uint64_t)st.st_size;
	return cow_import_tar(&v->fill, src, v->source, err);
}

static int check_root(struct cow_new_version *v, struct cow_err *err)
{
	if (v->fill.inodes > 1)
		return 0;
	return cow_err_say(err, COW_ERR_FAILED, -ENODATA, "'%s' is empty", v->source);
}

static int run(struct cow_new_version *v, unsigned *ret_version, struct cow_err *err)
{
	const struct cow_new_version_numbers newest = {0};
	int r = cow_new_version_begin(v, -1, err);
	if (r == 0)
		r = fill_tree(v, err);
	if (r == 0)
		r = check_root(v, err);
	if (r == 0)
		r = cow_new_version_describe(v, err);
	if (r == 0)
		r = cow_new_version_settle(v, err);
	if (r == 0)
		r = cow_new_version_manifest(v, &newest, err);
	if (r == 0)
		r = cow_new_version_publish(v, ret_version, err);
	return r;
}

int cow_image_import(struct cow_store *s, const char *name, const char *source,
		     const struct cow_import_opts *opts, unsigned *ret_version, struct cow_err *err)
{
	cow_autofree char *doing = NULL;
	if (faccessat(AT_FDCWD, source, F_OK, 0) < 0 && cow_label_check(name) == 0)
		return cow_err_set(err, -errno, "open the source '%s'", source);
	int r = opts ? cow_fixup_check(opts->skip_fixups, err) : 0;
	if (r < 0)
		return r;
	if (asprintf(&doing, "import of '%s'", source) < 0)
		return cow_err_set(err, -ENOMEM, "import '%s'", source);
	struct cow_new_version v = {
	    .s = s,
	    .name = name,
	    .source = source,
	    .doing = doing,
	    .opts = opts,
	};
	r = run(&v, ret_version, err);
	cow_new_version_end(&v, r);
	return r;
}
