/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * SipHash-2-4: a keyed 64-bit MAC for short inputs. Authenticates file handles; is not meant for
 * anything else. Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF" (2012).
 */
#ifndef COW_COMMON_SIPHASH_H
#define COW_COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define COW_SIPHASH_KEY_LEN 16

uint64_t cow_siphash24(const uint8_t key[COW_SIPHASH_KEY_LEN], const void *data, size_t len);

#endif
