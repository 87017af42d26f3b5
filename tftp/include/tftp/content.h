/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a transfer sends: bytes of a known size, wherever they come from. The size is fixed when the
 * content is made, since a client was told it (tsize) or will conclude from a short block.
 */
#ifndef COW_TFTP_CONTENT_H
#define COW_TFTP_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Which file of an image, whose bytes nobody changes while it is open. No inode: it is none, or a client's own. */
struct cow_tftp_file_id {
	uint64_t dev, ino;
};

struct cow_tftp_content {
	uint64_t size;
	bool in_memory; /* reading costs a copy, nothing else */
	/* Exactly @len bytes, all below size. Return: 0; -EIO also when the source shrank. */
	int (*read)(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off);
	void (*free)(struct cow_tftp_content *c);
	uint64_t ticket; /* whoever opened it knows it by; for cow_tftp_resolver.ended() */
	bool settled;	 /* its bytes are the same for as long as it is there */
	struct cow_tftp_file_id file;
};

/* Ownership: @buf (malloc) and @fd belong to the content on success. Return: 0, -ENOMEM. */
int cow_tftp_content_memory(char *buf, size_t len, struct cow_tftp_content **ret);
int cow_tftp_content_fd(int fd, uint64_t size, struct cow_tftp_content **ret);

/*
 * cow_tftp_content_copy - *c read into memory, so that it stays as it is now. Replaced on success; else it is as
 * it was. Return: 0; -EFBIG more than @max bytes; -ENOMEM; -EIO.
 */
int cow_tftp_content_copy(struct cow_tftp_content **c, uint64_t max);

/*
 * cow_tftp_content_buffered - *c read in pieces of COW_TFTP_PIECE bytes, where blocks are asked for one after the
 * other. A file of one piece is a copy from the first block on. Contents of one file of an image have their pieces in
 * common. The memory for it is there only while blocks are read. Ownership of *c goes to the new one. Return: 0; -ENOMEM, *c is as it was.
 */
int cow_tftp_content_buffered(struct cow_tftp_content **c);

/*
 * cow_tftp_content_netascii - *c as RFC 764 text on the wire: LF becomes CR LF, CR becomes CR NUL.
 * Replaced by a copy in memory; on failure it is freed. Return: 0; -EFBIG more than
 * COW_TFTP_NETASCII_MAX; -ENOMEM; -EIO.
 */
int cow_tftp_content_netascii(struct cow_tftp_content **c);

void cow_tftp_content_free(struct cow_tftp_content *c); /* NULL is fine */

#endif
