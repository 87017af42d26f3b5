/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * pi_fetch SERVER SOURCE PREFIX DIR - what EEPROM and start4.elf of a Raspberry Pi 4 fetch, in their order, into DIR, as
 * config.txt says it. Names of the files that a machine is started with are printed: "kernel NAME", "initramfs NAME".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tftp/tftp_client.h"

static struct {
	const char *source, *prefix, *dir;
	struct sockaddr_in server;
	uint16_t port;
} pi;

static void __attribute__((noreturn)) die(const char *name, const char *why)
{
	(void)fprintf(stderr, "pi_fetch: %s: %s\n", name, why);
	exit(1);
}

static struct tftp_client next_port(void)
{
	struct tftp_client c;

	pi.port = pi.port ? (uint16_t)(pi.port + 1) : 49153;
	int r = tftp_client_open_at(&c, pi.source, pi.port, NULL, &pi.server);

	if (r < 0)
		die(pi.source, strerrorname_np(-r));
	return c;
}

/* How large, and nothing more. Return: bytes; -1 it is missing. */
static long long probe(const char *name, unsigned blksize)
{
	struct tftp_client c = next_port();
	uint8_t pkt[1024];
	int n = snprintf((char *)pkt, sizeof(pkt), "%c%c%s/%s%coctet%ctsize%c0%cblksize%c%u", 0, 1,
			 pi.prefix, name, 0, 0, 0, 0, 0, blksize);

	(void)tftp_client_request(&c, pkt, (size_t)n + 1);
	long got = tftp_client_recv(&c, pkt, sizeof(pkt) - 1, 2000);

	if (got < 5)
		die(name, "no answer");
	pkt[got] = '\0';
	long long size = -1;

	if (pkt[1] == 6 && strcmp((char *)pkt + 2, "tsize") == 0) {
		size = strtoll((char *)pkt + 8, NULL, 10);
		(void)tftp_client_answer(&c, "\0\5\0\0Early terminate", 20);
	} else if (pkt[1] != 5 || pkt[3] != 1) {
		die(name, "neither an OACK nor error 1");
	}
	tftp_client_close(&c);
	return size;
}

static void missing(const char *name, unsigned blksize)
{
	if (probe(name, blksize) >= 0)
		die(name, "is served");
}

/* The whole file, also into DIR. Caller frees; a NUL is behind it. */
static char *fetch(const char *name, unsigned blksize)
{
	struct tftp_client c = next_port();
	char full[256], path[512];
	struct tftp_fetch f = {.name = full, .blksize = blksize, .ask_tsize = 1};

	(void)snprintf(full, sizeof(full), "%s/%s", pi.prefix, name);
	(void)snprintf(path, sizeof(path), "%s/%s", pi.dir, name);
	int r = tftp_client_fetch(&c, &f);

	tftp_client_close(&c);
	if (r < 0)
		die(full, r == -EREMOTEIO ? f.error_text : strerrorname_np(-r));
	if (f.tsize != f.size)
		die(full, "not as long as was told");
	FILE *out = fopen(path, "we");

	if (!out || fwrite(f.data, 1, f.size, out) != f.size || fclose(out) != 0)
		die(path, strerrorname_np(errno));
	char *text = realloc(f.data, f.size + 1);

	if (!text)
		die(full, "no memory");
	text[f.size] = '\0';
	return text;
}

static void sized(const char *name, unsigned blksize)
{
	if (probe(name, blksize) <= 0)
		die(name, "is missing");
	free(fetch(name, blksize));
}

/* What a line of config.txt that begins with @key names. */
static void named(const char *config, const char *key, char name[128])
{
	name[0] = '\0';
	for (const char *p = config; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, strlen(key)) == 0)
			(void)sscanf(p + strlen(key), " %127s",
				     name); /* NOLINT(cert-err34-c): a word */
	}
}

int main(int argc, char **argv)
{
	static const char *const none[] = {"vl805.sig",	   "pieeprom.sig", "pieeprom.upd",
					   "recover4.elf", "fixup4rc.dat", "recovery.elf",
					   "fixup_rc.dat"};
	char kernel[128], initramfs[128];

	if (argc != 5) {
		(void)fprintf(stderr, "usage: pi_fetch SERVER SOURCE PREFIX DIR\n");
		return 2;
	}
	pi.source = argv[2];
	pi.prefix = argv[3];
	pi.dir = argv[4];
	pi.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(69)};
	if (inet_pton(AF_INET, argv[1], &pi.server.sin_addr) != 1)
		die(argv[1], "not an IPv4 address");

	/* EEPROM of 2022 */
	if (probe("start4.elf", 1468) <= 0)
		die("start4.elf", "is missing");
	(void)probe("start.elf", 1468);
	free(fetch("config.txt", 1468));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		missing(none[i], 1468);
	sized("start4.elf", 1468);
	sized("fixup4.dat", 1468);

	/* start4.elf */
	char *config = fetch("config.txt", 1024);

	missing("dt-blob.bin", 1024);
	missing("bootcfg.txt", 1024);
	named(config, "kernel=", kernel);
	named(config, "initramfs", initramfs);
	if (*initramfs)
		sized(initramfs, 1024);
	sized("bcm2711-rpi-4-b.dtb", 1024);
	missing("overlays/overlay_map.dtb", 1024);
	free(fetch("cmdline.txt", 1024));
	sized(*kernel ? kernel : "kernel8.img", 1024);
	printf("kernel %s\ninitramfs %s\n", *kernel ? kernel : "kernel8.img", initramfs);
	free(config);
	return 0;
}
