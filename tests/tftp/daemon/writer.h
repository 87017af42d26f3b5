/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a client does to its root, as the NFS server does it for him; the root is attached until the end, beside the
 * daemon's look at it.
 */
#ifndef COW_TESTS_TFTP_WRITER_H
#define COW_TESTS_TFTP_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "overlay/overlay.h"

struct writer {
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *boot;
};

struct writer writer_begin(const char *mac_text);
void writer_end(struct writer *w);
/* A file of the boot directory, new or written over. */
void writer_put(struct writer *w, const char *name, const void *data, size_t len);
void writer_cut(struct writer *w, const char *name, uint64_t size);

#endif
