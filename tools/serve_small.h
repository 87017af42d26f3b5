/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Small things of `cowherd serve` that stand alone.
 */
#ifndef COW_TOOLS_SERVE_SMALL_H
#define COW_TOOLS_SERVE_SMALL_H

#include <netinet/in.h>

#include "serve_herd.h"

/* Tell the service manager (sd_notify(3)), e.g. "READY=1". Without $NOTIFY_SOCKET: nothing. */
void cow_notify(const char *state);

/* `serve` holds RUN/lock for as long as it lives, however it ends. Return: 1, 0, -errno. */
int cow_serve_running(const char *run_dir);

struct cow_boot_event {
	struct cow_mac mac;
	char addr[COW_ADDR_LEN];
	char file[256];
};

/* "boot mac=MAC addr=ADDRESS file=NAME", a line of the TFTP server. -EINVAL. */
int cow_boot_event_parse(const char *line, struct cow_boot_event *ret);

#endif
