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

#include "common/fields.h"
#include "common/log.h"
#include "pin.h"

/* "boot mac=dc-a6-32-01-02-03 addr=10.77.0.101 file=boot.ipxe\n": below PIPE_BUF, so never torn. */
static int tell_supervisor(int fd, const char *mac, const char *addr, const char *file)
{
	char line[128 + COW_TFTP_NAME_MAX];
	int n = snprintf(line, sizeof(line), "boot mac=%s addr=%s file=%s\n", mac, addr, file);

	if (n < 0 || (size_t)n >= sizeof(line))
		return -E2BIG;
	return write(fd, line, (size_t)n) == n ? 0 : -errno;
}

void cow_tftp_announce(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		       struct cow_tftp_client *c, const char *file)
{
	const struct cow_client *conf = c->pin->conf;
	char addr[COW_TFTP_ADDR_TEXT];
	/* The root comes by IPv4, from an address that is not known yet: nothing to bind an export to. */
	bool tell = f->site.event_fd >= 0 && who->addr.s_addr != 0;

	(void)cow_tftp_addr_text(&who->addr6, (uint32_t)who->ifindex, addr);
	int r = tell ? tell_supervisor(f->site.event_fd, conf->id, addr, file) : 0;

	if (r < 0) {
		c->session.announced = false; /* the next file of this boot tries again */
		if (!f->supervisor_lags)
			cow_log(COW_LOG_WARNING,
				"client=%s the supervisor does not take reports of boots: err=%s",
				conf->id, strerrorname_np(-r));
	} else {
		cow_log(COW_LOG_INFO, "boot client=%s name=%s image=%s@%u addr=%s file=%s",
			conf->id, COW_Q(conf->name ? conf->name : ""), conf->image, conf->version,
			addr, file);
	}
	f->supervisor_lags = r < 0;
}

void cow_tftp_announce_serial(struct cow_tftp_files *f, const struct cow_client *conf,
			      const char *serial)
{
	struct cow_fields line;

	cow_fields_begin(&line, "learn");
	cow_fields_add_u64(&line, "v", 1);
	cow_fields_add(&line, "mac", conf->id);
	cow_fields_add(&line, "serial", serial);
	int n = cow_fields_end(&line);

	/* Lost, it is told again at the next boot. */
	if (n > 0 && f->site.event_fd >= 0 && write(f->site.event_fd, line.line, (size_t)n) != n)
		cow_log(COW_LOG_DEBUG, "client=%s the supervisor does not take its serial number",
			conf->id);
}

/* How long a machine that may be made a client is kept waiting; it asks again every two seconds. */
#define ENROL_WAIT_MS 6000u

/* @sure: its Ethernet address is that of who sent the request. */
static bool tell_stranger(struct cow_tftp_files *f, const char *mac, const char *addr,
			  const struct cow_tftp_name *name, bool sure)
{
	char model[COW_TFTP_MODEL_LEN + 1] = "";
	struct cow_fields line;
	unsigned rank = 0;

	cow_tftp_model_note(model, &rank, name->path, true);
	cow_fields_begin(&line, "stranger");
	cow_fields_add_u64(&line, "v", 1);
	cow_fields_add(&line, "mac", mac);
	cow_fields_add(&line, "addr", addr);
	cow_fields_add(&line, "serial",
		       name->prefix == COW_TFTP_PREFIX_SERIAL ? name->serial : NULL);
	cow_fields_add(&line, "model", *model ? model : NULL);
	cow_fields_add_u64(&line, "sure", sure);
	int n = cow_fields_end(&line);

	return n > 0 && f->site.event_fd >= 0 && write(f->site.event_fd, line.line, (size_t)n) == n;
}

static void log_stranger(const char *mac, const char *addr, const char *path, int why)
{
	const char *what = "no client: `cowherd client add` makes it one";

	if (why == -EPERM)
		what = "the serial number it gives is not that of its client.conf";
	else if (why == -EACCES)
		what = "it asks for another client's files";
	else if (why != -ENOENT)
		what = "its record cannot be read";
	cow_log(COW_LOG_NOTICE, "not served: mac=%s addr=%s file=%s: %s", mac, addr, COW_Q(path),
		what);
}

bool cow_tftp_announce_stranger(struct cow_tftp_files *f, const struct cow_tftp_who *who,
				const struct cow_mac *mac, const struct cow_tftp_name *name,
				int why)
{
	static const struct cow_mac unknown;
	char text[COW_MAC_TEXT_LEN + 1] = "unknown", addr[COW_TFTP_ADDR_TEXT];
	bool is_known = memcmp(mac, &unknown, sizeof(unknown)) != 0;
	/* One of a few slots per address: a stranger's many requests are one line, and a flood of forged
	 * addresses costs no memory. */
	size_t n = sizeof(f->strangers) / sizeof(f->strangers[0]), i = ntohl(who->addr.s_addr) % n;
	unsigned what =
	    cow_tftp_session_note(&f->strangers[i].session, who->addr, name->path, who->now_ms);

	if (what & COW_TFTP_SESSION_NEW)
		f->strangers[i].waits_ms = 0;
	if (what & COW_TFTP_SESSION_BOOT) {
		(void)cow_tftp_addr_text(&who->addr6, (uint32_t)who->ifindex, addr);
		if (is_known)
			cow_mac_text(mac, text);
		log_stranger(text, addr, name->path, why);
		if (is_known && why == -ENOENT && f->site.enrol != COW_TFTP_ENROL_OFF) {
			bool sure = cow_tftp_is_sender(f, who, mac);

			if (tell_stranger(f, text, addr, name, sure) && sure &&
			    f->site.enrol == COW_TFTP_ENROL_AUTO)
				f->strangers[i].waits_ms = who->now_ms;
		}
	}
	return why == -ENOENT && f->strangers[i].waits_ms != 0 &&
	       who->now_ms - f->strangers[i].waits_ms < ENROL_WAIT_MS;
}
