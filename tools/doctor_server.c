/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd doctor: this machine as a server - address, programs, ports and services, loaders.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "doctor.h"
#include "serve_loaders.h"

/* ------------------------------------------------ address */

void cow_doctor_address(struct cow_doctor *d)
{
	static const struct cow_fault fault = {
	    "[serve] address and interface, and the addresses of this machine",
	    "nothing can be served there, and clients look for their root at that address",
	    "correct [serve] in cowherd.conf(5), or give the interface that address",
	};

	if (!*d->net.address)
		cow_doctor_find(d, NULL, &fault, "%s", cow_err_str(&d->net_error));
}

/* ------------------------------------------------ programs */

void cow_doctor_programs(struct cow_doctor *d)
{
	const struct cow_config *c = d->config;
	const struct {
		const char *name, *package;
		unsigned wanted;
	} programs[] = {
	    {"ganesha.nfsd", "nfs-ganesha", c->nfs_enabled},
	    {"dbus-daemon", "dbus-daemon", c->nfs_enabled},
	    {"rpcbind", "rpcbind", c->nfs_enabled && !cow_portmap_present()},
	    {"dnsmasq", "dnsmasq-base", c->dhcp_mode != COW_DHCP_OFF},
	};
	char todo[128];
	struct cow_fault fault = {"PATH, /usr/sbin and /sbin",
				  "cowherd serve needs it and does not start", todo};

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		cow_autofree char *path =
		    programs[i].wanted ? cow_serve_find_program(programs[i].name) : NULL;

		if (path || !programs[i].wanted)
			continue;
		(void)snprintf(todo, sizeof(todo), "apt-get install %s", programs[i].package);
		cow_doctor_find(d, NULL, &fault, "%s is not installed", programs[i].name);
	}
	static const struct cow_fault own = {
	    "the folder of this program, and where it would be installed",
	    "cowherd serve needs it and does not start", "build and install all of cowherd"};
	struct cow_err err = COW_ERR_INIT;

	if (cow_serve_check_own(c, &err) < 0)
		cow_doctor_find(d, NULL, &own, "%s", cow_err_str(&err));
}

/* ------------------------------------------------ NFS server's version */

/* "NFS-Ganesha Release = V4.3" -> "4.3". */
static int ganesha_version(const char *path, char ret[16])
{
	static const char mark[] = "Release = V";
	cow_autofree char *cmd = NULL;
	char line[256];

	if (strchr(path, '\'') || asprintf(&cmd, "'%s' -v 2>/dev/null", path) < 0) {
		cmd = NULL;
		return -ENOMEM;
	}
	FILE *f = popen(cmd, "re"); /* NOLINT(cert-env33-c): a path without apostrophes, in some */

	if (!f)
		return -errno;
	int r = -EBADMSG;

	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, mark);
		size_t n = at ? strspn(at + strlen(mark), "0123456789.") : 0;

		if (n == 0 || n >= 16)
			continue;
		memcpy(ret, at + strlen(mark), n);
		ret[n] = '\0';
		r = 0;
	}
	(void)pclose(f); /* what it printed counts */
	return r;
}

void cow_doctor_nfs_version(struct cow_doctor *d)
{
	static const struct cow_fault fault = {
	    "ganesha.nfsd -v",
	    "cowherd's plugin is made for one major version of the server's plugin interface; "
	    "another refuses "
	    "to load it, and no root is served",
	    "install nfs-ganesha " COW_GANESHA_MAJOR
	    ".x, or build cowherd for the one that is installed",
	};
	cow_autofree char *path = NULL;
	char version[16];

	if (!d->config->nfs_enabled) {
		cow_doctor_skip(d, "[nfs] is off");
		return;
	}
	path = cow_serve_find_program("ganesha.nfsd");
	if (!path) {
		cow_doctor_skip(d, "ganesha.nfsd is not installed");
		return;
	}
	int r = ganesha_version(path, version);

	if (r < 0)
		cow_doctor_skip(d, "%s does not say its version (%s)", path, strerrorname_np(-r));
	else if (strncmp(version, COW_GANESHA_MAJOR ".", strlen(COW_GANESHA_MAJOR) + 1) != 0)
		cow_doctor_find(d, NULL, &fault,
				"NFS server %s is version %s, the plugin is for " COW_GANESHA_MAJOR,
				path, version);
}

/* ------------------------------------------------ ports, services */

static void service_state(struct cow_doctor *d, const char *service)
{
	struct cow_fault fault = {"the record of the running cowherd serve",
				  "what it does for clients is not done",
				  "see its messages: journalctl -u cowherd"};
	char section[32];
	(void)snprintf(section, sizeof(section), "service.%s", service);
	const char *state = cow_kv_get(d->run, section, "state");
	const char *reason = cow_kv_get(d->run, section, "reason");

	if (!state || strcmp(state, "running") != 0)
		cow_doctor_find(d, NULL, &fault, "service %s is %s%s%s", service,
				state ? state : "not there", reason && *reason ? ": " : "",
				reason ? reason : "");
}

static void port_taken(void *ctx, const char *what, const struct cow_err *err)
{
	static const struct cow_fault fault = {
	    "the ports of this machine and who holds them",
	    "cowherd serve cannot bind it and does not start",
	    "stop the other program, or choose another address or port in cowherd.conf(5)"};

	(void)what;
	cow_doctor_find(ctx, NULL, &fault, "%s", cow_err_str(err));
}

void cow_doctor_services(struct cow_doctor *d)
{
	const struct cow_config *c = d->config;

	if (d->running) {
		if (c->nfs_enabled)
			service_state(d, "nfs");
		if (c->tftp_enabled)
			service_state(d, "tftp");
		if (c->dhcp_mode != COW_DHCP_OFF)
			service_state(d, "dhcp");
		return;
	}
	if (!*d->net.address) {
		cow_doctor_skip(d, "there is no address to serve on");
		return;
	}
	int r = cow_serve_each_taken_port(c, &d->net, port_taken, d);

	if (r < 0)
		cow_doctor_skip(d, "ports cannot be tried (%s): run it as root",
				strerrorname_np(-r));
}

/* ------------------------------------------------ loaders */

void cow_doctor_loaders(struct cow_doctor *d)
{
	static const unsigned kinds[] = {0, 7}; /* BIOS, EFI */
	const struct cow_config *c = d->config;
	char todo[128];
	const struct cow_fault fault = {"the folders packages put loaders in, and [tftp] ipxe_dir",
					"PCs are offered a file that is not there", todo};

	if (!c->tftp_enabled || c->dhcp_mode == COW_DHCP_OFF) {
		cow_doctor_skip(d, "[tftp] or [dhcp] is off");
		return;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *file = cow_loader_file(kinds[i], (enum cow_loader)c->dhcp_loader);

		if (cow_loader_found(file, c->ipxe_dir))
			continue;
		(void)snprintf(todo, sizeof(todo), "apt-get install %s", cow_loader_package(file));
		cow_doctor_find(d, NULL, &fault, "loader %s for PCs with %s is not installed", file,
				kinds[i] ? "EFI" : "BIOS");
	}
}
