/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Give a tampered manifest right checksums, so that what is tested is the check behind them.
 */
#ifndef COW_TESTS_OVM_SEAL_H
#define COW_TESTS_OVM_SEAL_H

#include <xxhash.h>

#include "common/checked.h"
#include "ovm_format.h"

/* Sums of sections that lie in the file, and of the header. */
static inline void ovm_seal(uint8_t *bytes, size_t len)
{
	struct cow_ovm_header *h = (struct cow_ovm_header *)bytes;
	if (len < sizeof(*h))
		return;
	for (unsigned k = 0; k < COW_OVM_NSECTIONS; k++) {
		uint64_t off = cow_get_le64(h->section[k].offset);
		uint64_t n = cow_get_le64(h->section[k].length);
		if (off <= len && n <= len - off)
			cow_put_le64(h->section[k].xxh64, XXH64(bytes + off, (size_t)n, 0));
	}
	cow_put_le64(h->sum, cow_ovm_header_sum(h));
}

#endif
