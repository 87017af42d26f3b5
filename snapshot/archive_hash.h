/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The SHA-256 of a file that comes in pieces, with zeros between them. Threads: one.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_HASH_H
#define COW_SNAPSHOT_ARCHIVE_HASH_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

struct cow_arc_hash {
	EVP_MD_CTX *md;
	uint64_t at;
	/* Asked now and then while zeros are counted, which costs a stranger nothing to ask for; may be
	 * NULL; < 0 ends it. */
	int (*progress)(void *ctx);
	void *ctx;
};

int cow_arc_hash_init(struct cow_arc_hash *h); /* zeroed memory. 0 or -ENOMEM */
void cow_arc_hash_done(struct cow_arc_hash *h);

int cow_arc_hash_begin(struct cow_arc_hash *h);
/* @off: not before the end of the piece before. */
int cow_arc_hash_add(struct cow_arc_hash *h, uint64_t off, const void *p, size_t len);
/* Return: 0; -EBADMSG it is another one than @want; -errno. */
int cow_arc_hash_end(struct cow_arc_hash *h, uint64_t size, const uint8_t *want);

#endif
