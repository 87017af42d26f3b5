/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Limits per source address (an IPv4 one mapped): live transfers, and requests per second (a token bucket). The table is
 * of fixed size: a flood from forged addresses costs forgotten buckets, no memory. One thread.
 */
#ifndef COW_TFTP_HOSTS_H
#define COW_TFTP_HOSTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct cow_tftp_hosts;

int cow_tftp_hosts_new(uint64_t seed, struct cow_tftp_hosts **ret); /* 0, -ENOMEM */
void cow_tftp_hosts_free(struct cow_tftp_hosts *h);		    /* NULL is fine */

/* May this address ask once more? False: drop it in silence, it will ask again. */
bool cow_tftp_hosts_admit(struct cow_tftp_hosts *h, const struct in6_addr *addr, uint64_t now_ms);

/* Count a live transfer of an admitted address; false: it has as many as it may. */
bool cow_tftp_hosts_enter(struct cow_tftp_hosts *h, const struct in6_addr *addr);
void cow_tftp_hosts_leave(struct cow_tftp_hosts *h, const struct in6_addr *addr);

#endif
