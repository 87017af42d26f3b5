/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files whose data the kernel reads and writes without asking us (FUSE passthrough, libfuse 3.17 and
 * later). Only what is in the upper of a root without a limit: a file of the image may still be copied
 * up, and what the kernel writes nobody could count. All opens of a file at one time are of one kind,
 * which the kernel insists on; the first one decides.
 */
#ifndef COW_FUSE_PASSTHROUGH_H
#define COW_FUSE_PASSTHROUGH_H

#include <pthread.h>

#include <fuse_lowlevel.h>

#include "overlay/overlay.h"

#define COW_PASS_BUCKETS 256

struct cow_pass_file;
struct cow_passthrough {
	bool on; /* the kernel and the library have it; set before threads */
	pthread_mutex_t m;
	struct cow_pass_file *bucket[COW_PASS_BUCKETS]; /* files that are open */
};

void cow_pass_init(struct cow_passthrough *p);
void cow_pass_done(struct cow_passthrough *p);

/* At INIT: ask for it. */
void cow_pass_ask(struct cow_passthrough *p, struct fuse_conn_info *conn, bool wanted);

/* An open that is about to be answered: fills in @fi where it is passed through. */
void cow_pass_open(struct cow_passthrough *p, fuse_req_t req, struct cow_ovl_open *o,
		   struct fuse_file_info *fi);
/* Before the close of an open that cow_pass_open() has seen. */
void cow_pass_close(struct cow_passthrough *p, fuse_req_t req, struct cow_ovl_open *o);

#endif
