/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Pieces of files that are being sent. What two hundred boards fetch at once is one file of the image: its piece is read once and
 * is in memory once, for as long as one of them sends from it.
 *
 * Pieces of one file are told by device and inode. Who holds one has the file open, so no other file has the same numbers
 * meanwhile; nothing is kept for later. One thread.
 */
#ifndef COW_TFTP_PIECES_H
#define COW_TFTP_PIECES_H

#include "tftp/content.h"

struct cow_tftp_piece {
	struct cow_tftp_file_id file;
	uint64_t at; /* where it begins: a multiple of COW_TFTP_PIECE */
	size_t len;
	unsigned holders;
	struct cow_tftp_piece *next; /* of its bucket */
	uint8_t data[];
};

/*
 * cow_tftp_piece_get - the piece of @c that byte @off is in; read unless another content of the same file has it.
 * Return: 0; -ENOMEM; -errno it cannot be read.
 */
int cow_tftp_piece_get(struct cow_tftp_content *c, uint64_t off, struct cow_tftp_piece **ret);
void cow_tftp_piece_put(struct cow_tftp_piece *p); /* NULL is fine */

#endif
