/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Order of version strings as Debian defines it (deb-version(7), "Sorting algorithm", one part).
 */
#ifndef COW_TFTP_VERCMP_H
#define COW_TFTP_VERCMP_H

/* Return: < 0, 0, > 0. */
int cow_tftp_vercmp(const char *a, const char *b);

#endif
