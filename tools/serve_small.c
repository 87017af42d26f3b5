/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "serve_small.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fields.h"
#include "common/log.h"

void cow_notify(const char *state)
{
	const char *path =
	    getenv("NOTIFY_SOCKET"); /* NOLINT(concurrency-mt-unsafe): never set by us */
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0'; /* abstract */
	cow_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		cow_log(COW_LOG_WARNING, "cannot tell the service manager %s: %s", state,
			strerrorname_np(errno));
}

int cow_serve_running(const char *run_dir)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cow_autofree char *path = NULL;

	if (asprintf(&path, "%s/lock", run_dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	cow_autoclose int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fcntl(fd, F_OFD_GETLK, &lk) < 0)
		return -errno;
	return lk.l_type != F_UNLCK;
}

int cow_boot_event_parse(const char *line, struct cow_boot_event *ret)
{
	struct cow_boot_event e;
	struct in_addr a;
	char mac[32];

	if (!cow_fields_is(line, "boot") || cow_fields_get(line, "mac", mac, sizeof(mac)) < 0 ||
	    cow_fields_get(line, "addr", e.addr, sizeof(e.addr)) < 0 ||
	    cow_fields_get(line, "file", e.file, sizeof(e.file)) < 0 ||
	    cow_mac_parse(mac, strlen(mac), &e.mac) < 0 || inet_pton(AF_INET, e.addr, &a) != 1)
		return -EINVAL;
	*ret = e;
	return 0;
}
