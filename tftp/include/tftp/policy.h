/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which names may be served at all, and from where. TFTP knows no passwords: whatever lies in a
 * boot directory beside boot files (keys, WLAN passwords, cloud-init data) stays there.
 */
#ifndef COW_TFTP_POLICY_H
#define COW_TFTP_POLICY_H

enum cow_tftp_policy {
	COW_TFTP_ANYWHERE, /* a boot file */
	COW_TFTP_OVERRIDE, /* only if the administrator put it into the client's own boot folder */
	COW_TFTP_NEVER,
};

/* @path: clean and relative. */
enum cow_tftp_policy cow_tftp_policy_of(const char *path);

#endif
