/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A boot begins: one line for the supervisor, one for the log. The supervisor opens the NFS export
 * to the address, so the line goes out before the first file does.
 */
#include "files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* "boot mac=dc-a6-32-01-02-03 addr=10.77.0.101 file=boot.ipxe\n": below PIPE_BUF, so never torn. */
static void tell_supervisor(int fd, const char *mac, const char *addr, const char *file)
{
	char line[128 + COW_TFTP_NAME_MAX];
	int n = snprintf(line, sizeof(line), "boot mac=%s addr=%s file=%s\n", mac, addr, file);

	if (fd < 0 || n < 0 || (size_t)n >= sizeof(line))
		return;
	if (write(fd, line, (size_t)n) != n)
		cow_log(COW_LOG_WARNING,
			"client=%s the supervisor was not told of this boot: err=%s", mac,
			strerrorname_np(errno));
}

static void announce_client(struct cow_tftp_files *f, const struct cow_tftp_client *c,
			    const char *addr, const char *file)
{
	const struct cow_client *conf = c->conf;

	tell_supervisor(f->site.event_fd, conf->id, addr, file);
	cow_log(COW_LOG_INFO, "boot client=%s name=%s image=%s@%u addr=%s file=%s", conf->id,
		COW_Q(conf->name ? conf->name : ""), conf->image, conf->version, addr, file);
}

/* One of a few slots per address: a stranger's many requests are one line, and a flood of forged
 * addresses costs no memory. */
static bool stranger_boots(struct cow_tftp_files *f, const struct cow_tftp_who *who,
			   const char *path)
{
	size_t n = sizeof(f->strangers) / sizeof(f->strangers[0]);
	size_t i = ntohl(who->addr.s_addr) % n;

	return cow_tftp_session_note(&f->strangers[i].session, who->addr, path, who->now_ms);
}

void cow_tftp_announce(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		       struct cow_tftp_client *c, const struct cow_mac *mac, const char *path)
{
	static const struct cow_mac unknown;
	char addr[INET_ADDRSTRLEN] = "", text[COW_MAC_TEXT_LEN + 1] = "unknown";

	(void)inet_ntop(AF_INET, &who->addr, addr, sizeof(addr));
	if (c) {
		if (cow_tftp_session_note(&c->session, who->addr, path, who->now_ms))
			announce_client(f, c, addr, cow_tftp_basename(path));
		return;
	}
	if (!stranger_boots(f, who, path))
		return;
	if (memcmp(mac, &unknown, sizeof(unknown)) != 0)
		cow_mac_text(mac, text);
	cow_log(COW_LOG_NOTICE,
		"no client: mac=%s addr=%s asks for %s; `cowherd client add` makes it one", text,
		addr, COW_Q(path));
}
