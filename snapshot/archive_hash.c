/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_hash.h"

#include <errno.h>
#include <string.h>

#include "overlay/image.h"

static const uint8_t zeros[65536];

int cow_arc_hash_init(struct cow_arc_hash *h)
{
	h->md = EVP_MD_CTX_new();
	return h->md ? 0 : -ENOMEM;
}

void cow_arc_hash_done(struct cow_arc_hash *h)
{
	EVP_MD_CTX_free(h->md);
	h->md = NULL;
}

int cow_arc_hash_begin(struct cow_arc_hash *h)
{
	h->at = 0;
	return EVP_DigestInit_ex2(h->md, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int add_zeros(struct cow_arc_hash *h, uint64_t end)
{
	for (unsigned n = 1; h->at < end; n++) {
		uint64_t left = end - h->at;
		size_t len = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
		if (EVP_DigestUpdate(h->md, zeros, len) != 1)
			return -ENOMEM;
		h->at += len;
		int r = n % 256 == 0 && h->progress ? h->progress(h->ctx) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int cow_arc_hash_add(struct cow_arc_hash *h, uint64_t off, const void *p, size_t len)
{
	int r = add_zeros(h, off);
	if (r < 0)
		return r;
	h->at += len;
	return EVP_DigestUpdate(h->md, p, len) == 1 ? 0 : -ENOMEM;
}

int cow_arc_hash_end(struct cow_arc_hash *h, uint64_t size, const uint8_t *want)
{
	uint8_t sum[COW_OVM_ID_LEN];
	int r = add_zeros(h, size);
	if (r < 0)
		return r;
	if (EVP_DigestFinal_ex(h->md, sum, NULL) != 1)
		return -ENOMEM;
	return memcmp(sum, want, sizeof(sum)) == 0 ? 0 : -EBADMSG;
}
