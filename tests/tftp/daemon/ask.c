/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Questions to the daemon, and what it tells its supervisor: see daemon.h.
 */
#include "daemon.h"

#include <arpa/inet.h>
#include <poll.h>

#include "common/fields.h"

int wait_ready(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	(void)inet_pton(AF_INET, SERVER, &to.sin_addr);
	for (int i = 0; i < 200; i++) {
		struct tftp_client c;
		uint8_t pkt[64];
		long n;

		if (tftp_client_open(&c, "10.99.0.2", &to) < 0)
			return -1;
		(void)tftp_client_request(&c, "\0\1probe\0octet", 14);
		n = tftp_client_recv(&c, pkt, sizeof(pkt), 100);
		tftp_client_close(&c);
		if (n > 4)
			return 0;
	}
	return -1;
}

int get_from(const char *source, const char *server, const char *name, struct tftp_fetch *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)lab.port)};
	struct tftp_client c;
	char fresh[32];

	(void)snprintf(fresh, sizeof(fresh), "10.99.0.%u", 10 + lab.next_host++ % 240);
	assert_int_equal(inet_pton(AF_INET, server, &to.sin_addr), 1);
	*f = (struct tftp_fetch){.name = name, .blksize = 1468, .ask_tsize = 1};
	assert_int_equal(tftp_client_open(&c, source ? source : fresh, &to), 0);
	int r = tftp_client_fetch(&c, f);

	tftp_client_close(&c);
	return r;
}

void expect_text_from(const char *source, const char *name, const char *want)
{
	struct tftp_fetch f;
	int r = get_from(source, SERVER, name, &f);

	if (r < 0)
		fail_msg("%s: %s %s", name, strerrorname_np(-r),
			 r == -EREMOTEIO ? f.error_text : "");
	assert_int_equal(f.size, strlen(want));
	assert_memory_equal(f.data, want, f.size);
	assert_int_equal(f.tsize, f.size);
	free(f.data);
}

void expect_text(const char *name, const char *want)
{
	expect_text_from(NULL, name, want);
}

void expect_refused_from(const char *source, const char *name, int code)
{
	struct tftp_fetch f;
	int r = get_from(source, SERVER, name, &f);

	if (r != -EREMOTEIO || f.error_code != code)
		fail_msg("%s: %d, error %d, wanted error %d", name, r, f.error_code, code);
	assert_null(strchr(f.error_text, '/'));
	free(f.data);
}

void expect_refused(const char *name, int code)
{
	expect_refused_from(NULL, name, code);
}

char *get_text(const char *name)
{
	struct tftp_fetch f;
	char *text;

	assert_int_equal(get_from(NULL, SERVER, name, &f), 0);
	text = strndup((const char *)f.data, f.size);
	assert_non_null(text);
	free(f.data);
	return text;
}

void expect_in(const char *text, const char *want)
{
	if (!strstr(text, want))
		fail_msg("no '%s' in: %s", want, text);
}

const char *next_event(int timeout_ms)
{
	static char line[COW_FIELDS_LINE_MAX];
	struct pollfd p = {.fd = lab.events, .events = POLLIN};
	size_t n = 0;

	while (n + 1 < sizeof(line) && poll(&p, 1, timeout_ms) > 0 &&
	       read(lab.events, line + n, 1) == 1) {
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return line;
}

const char *next_of(const char *kind)
{
	for (int i = 0; i < 100; i++) {
		const char *line = next_event(700);

		if (!*line || cow_fields_is(line, kind))
			return line;
	}
	return "";
}
