/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What one boot is served from: the client's record and view as they were when it began, and every file it was
 * given, to be given again. So all files of a boot come from one version, and what a size was told of is what
 * comes. One thread.
 *
 * A file stays as it was because it is generated text, the image's own, a copy in memory (what the client or the
 * administrator can write, up to COW_TFTP_PIN_COPY_MAX), or at least because it is kept open: then replacing or
 * removing it changes nothing, only writing into it does.
 */
#ifndef COW_TFTP_PIN_H
#define COW_TFTP_PIN_H

#include "clients.h"
#include "record.h"
#include "tftp/content.h"

struct cow_tftp_pin {
	unsigned refs; /* the client, and each file on its way */
	struct cow_client *conf;
	struct cow_tftp_view *view; /* NULL: see view_error */
	int view_error;
	uint64_t id; /* of the tickets of its files */
	struct cow_tftp_record record;
	bool learnt;		      /* its serial number was told */
	bool logged;		      /* the boot's line is out */
	uint64_t read_ms;	      /* last progress of a file; 0: none yet */
	struct cow_tftp_pinned *file; /* private */
	size_t files, room;
};

/* Takes over @conf, also when it fails; shares @view. Return: 0; -ENOMEM. */
int cow_tftp_pin_new(struct cow_client *conf, struct cow_tftp_view *view, int view_error,
		     struct cow_tftp_pin **ret);
void cow_tftp_pin_put(struct cow_tftp_pin *p); /* NULL is fine */

/* What was given for @path before. False: nothing. Caller frees *ret. */
bool cow_tftp_pin_find(struct cow_tftp_pin *p, const char *path, struct cow_tftp_content **ret);

/*
 * cow_tftp_pin_add - keep @content, which is taken over, for @path. Where a limit is reached it is not kept, and
 * *ret is served all the same. Return: 0; -ENOMEM; -EIO, -ESTALE it cannot be read.
 */
int cow_tftp_pin_add(struct cow_tftp_pin *p, const char *path, struct cow_tftp_content *content,
		     struct cow_tftp_content **ret);

#endif
