/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Command line of cowherd-fuse.
 */
#ifndef COW_FUSE_OPTIONS_H
#define COW_FUSE_OPTIONS_H

#include <stdbool.h>

#include "common/err.h"
#include "common/log.h"

struct cow_fuse_options {
	const char *store;  /* NULL: a root by its directory */
	const char *client; /* MAC or name */
	const char *root;   /* directory of an instance */
	const char *image;  /* directory of the version below it; NULL: plain */
	const char *point;
	bool read_only, writeback;
	unsigned threads; /* 0: by the machine */
	int status_fd;	  /* -1: none */
	enum cow_log_level log_level;
};

enum {
	COW_FUSE_RUN,
	COW_FUSE_EXIT, /* all is said */
};
int cow_fuse_options_parse(int argc, char **argv, struct cow_fuse_options *ret,
			   struct cow_err *err);

#endif
