/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of an image from outside: a directory, an archive or a disk fills the tree of a new version.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "archive_receive.h"
#include "common/cleanup.h"
#include "disk.h"
#include "fixup.h"
#include "leave_out.h"
#include "new_version.h"
#include "tar_stream.h"

/* A file, a pipe or a device. */
static int fill_from_file(struct cow_new_version *v, int src, struct cow_err *err)
{
	const uint8_t *head;
	cow_autounpack u = NULL;
	int r = cow_unpack_open(src, v->source, &v->fill.source_bytes, &u, err);
	if (r < 0)
		return r;
	size_t len = cow_unpack_head(u, &head);
	if (cow_arc_begins(head, len)) {
		v->carried = 1;
		return cow_import_archive(v, u, err);
	}
	r = cow_new_version_on_newest(v, err);
	if (r < 0)
		return r;
	/* A file of an archive can look like a file system, but no disk like the header of an archive. */
	if (!cow_tar_begins(head, len) && cow_disk_begins(head, len))
		return cow_import_disk(&v->fill, src, u, v->stage, v->source, err);
	r = cow_import_tar(&v->fill, u, v->source, err);
	if (r == 0 && cow_oci_is_here(&v->fill))
		r = cow_import_oci_here(&v->fill, v->source, err);
	return r;
}

/* @is_tree: else it is the layout of a container image. @store: its directory, for sources it lies in. */
static int fill_from_dir(struct cow_new_version *v, int src, bool is_tree, const struct stat *store,
			 struct cow_err *err)
{
	int r = cow_new_version_on_newest(v, err);
	if (r < 0)
		return r;
	return is_tree ? cow_import_dir(&v->fill, src, v->source, store->st_dev, store->st_ino, err)
		       : cow_import_oci(&v->fill, src, v->source, err);
}

static int fill_tree(struct cow_new_version *v, struct cow_err *err)
{
	struct stat st, store;
	int is_stdin = strcmp(v->source, COW_IMPORT_STDIN) == 0;
	/* O_NONBLOCK: a fifo without writer must not hang us; files and directories do not care. */
	cow_autoclose int src = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					 : open(v->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (src < 0 || fstat(src, &st) < 0)
		return cow_err_set(err, -errno, "open the source '%s'", v->source);
	if (fstat(v->s->fd, &store) < 0)
		return cow_err_set(err, -errno, "look at store '%s'", v->s->path);
	bool is_tree = S_ISDIR(st.st_mode) && !cow_oci_is(src);
	if (v->opts && v->opts->exclude && *v->opts->exclude && !is_tree)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_USAGE, -EINVAL,
						"'%s' is no directory with a root, and only of one "
						"can something be excluded",
						v->source),
				    "remove it from the image with cowherd image edit");
	if (S_ISDIR(st.st_mode))
		return fill_from_dir(v, src, is_tree, &store, err);
	if (!is_stdin && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return cow_err_say(
		    err, COW_ERR_FAILED, -EINVAL,
		    "'%s' is neither a directory, a file nor a disk; name a pipe '-'", v->source);
	if (S_ISREG(st.st_mode))
		v->fill.source_total = (uint64_t)st.st_size;
	return fill_from_file(v, src, err);
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
		r = cow_new_version_share(v, err);
	if (r == 0)
		r = fill_tree(v, err);
	if (r == 0 && !v->carried)
		r = check_root(v, err);
	if (r == 0 && !v->carried)
		r = cow_new_version_describe(v, err);
	if (r == 0)
		r = cow_new_version_settle(v, err);
	if (r == 0 && !v->carried)
		r = cow_new_version_manifest(v, &newest, err);
	if (r == 0)
		r = cow_new_version_publish(v, ret_version, err);
	return r;
}

int cow_image_import(struct cow_store *s, const char *name, const char *source,
		     const struct cow_import_opts *opts, unsigned *ret_version, struct cow_err *err)
{
	cow_autofree char *doing = NULL;
	if (strcmp(source, COW_IMPORT_STDIN) != 0 && faccessat(AT_FDCWD, source, F_OK, 0) < 0 &&
	    cow_label_check(name) == 0)
		return cow_err_set(err, -errno, "open the source '%s'", source);
	int r = opts ? cow_fixup_check(opts->skip_fixups, err) : 0;
	if (r == 0 && opts)
		r = cow_leave_out_check(opts->exclude, err);
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
	if (r != -EALREADY)
		return r;
	*ret_version = v.number; /* an archive of a version that is here */
	return 0;
}
