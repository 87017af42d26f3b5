/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * floor DIR - mounts a FUSE server that does nothing: it knows of each name "new/NAME-NUMBER" whether it is
 * there, and keeps no data. What `fswork create`, `open` and `unlink` take on it is what the kernel, libfuse and the
 * waking of threads take by themselves; a server that stores files takes longer. It asks the kernel for what
 * cowherd-fuse asks, and waits for requests as that does. Ends when it is unmounted.
 */
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel.h"

#define NEW_INO 2    /* the directory */
#define FIRST_INO 16 /* name number 0 */
#define NAMES_MAX 65536
#define KEEP_S 3600.0

static bool there[FIRST_INO + NAMES_MAX];

/* 0: no name of this tree. */
static fuse_ino_t ino_of(fuse_ino_t parent, const char *name)
{
	if (parent == FUSE_ROOT_ID)
		return strcmp(name, "new") == 0 ? NEW_INO : 0;
	const char *dash = strrchr(name, '-');
	unsigned long n = dash ? strtoul(dash + 1, NULL, 10) : NAMES_MAX;
	return n < NAMES_MAX ? FIRST_INO + n : 0;
}

static struct stat stat_of(fuse_ino_t ino)
{
	bool dir = ino < FIRST_INO;
	return (struct stat){.st_ino = ino,
			     .st_nlink = dir ? 2 : 1,
			     .st_mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644};
}

static struct fuse_entry_param entry_of(fuse_ino_t ino)
{
	bool is_there = ino != 0 && there[ino];
	return (struct fuse_entry_param){
	    .ino = is_there ? ino : 0,
	    .attr = stat_of(ino),
	    .attr_timeout = KEEP_S,
	    .entry_timeout = KEEP_S,
	};
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = entry_of(ino_of(parent, name));
	(void)fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = stat_of(ino);
	(void)fuse_reply_attr(req, &st, KEEP_S);
}

/* Marks the name. Return: whether it could; if not, that is answered. */
static bool mark(fuse_req_t req, fuse_ino_t ino, bool is_there)
{
	if (ino == 0)
		(void)fuse_reply_err(req, EINVAL);
	else
		there[ino] = is_there;
	return ino != 0;
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_ino_t ino = ino_of(parent, name);
	if (!mark(req, ino, true))
		return;
	struct fuse_entry_param e = entry_of(ino);
	(void)fuse_reply_entry(req, &e);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	fuse_ino_t ino = ino_of(parent, name);
	if (!mark(req, ino, true))
		return;
	struct fuse_entry_param e = entry_of(ino);
	fi->keep_cache = 1;
	fi->noflush = 1;
	(void)fuse_reply_create(req, &e, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fi->noflush = 1;
	(void)fuse_reply_open(req, fi);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (mark(req, ino_of(parent, name), false))
		(void)fuse_reply_err(req, 0);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)fuse_reply_write(req, size);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fuse_reply_err(req, 0);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)fuse_reply_err(req, ENODATA);
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = op_lookup,
    .getattr = op_getattr,
    .mkdir = op_mkdir,
    .rmdir = op_remove,
    .create = op_create,
    .open = op_open,
    .unlink = op_remove,
    .write = op_write,
    .release = op_release,
    .getxattr = op_getxattr,
};

static int serve(const char *point)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_front f = {0};
	char program[] = "floor";
	char *argv[] = {program, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	f.se = fuse_session_new(&args, &ops, sizeof(ops), &f);
	fuse_opt_free_args(&args);
	int fd = f.se && cow_turn_init(&f.turn) == 0 ? cow_kernel_mount(point, "floor", false, &err)
						     : -ENOMEM;
	if (fd < 0 || cow_kernel_connect(&f, fd) < 0) {
		(void)fprintf(stderr, "floor: %s\n", cow_err_str(&err));
		return 1;
	}
	int r = fuse_session_loop(f.se); /* 0: unmounted */
	fuse_session_destroy(f.se);
	cow_turn_done(&f.turn);
	return r == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: floor DIR\n");
		return 2;
	}
	there[FUSE_ROOT_ID] = true;
	return serve(argv[1]);
}
