/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where the programs are that serve runs. Other packages' are looked for along PATH, /usr/sbin and
 * /sbin; for our own see find_own.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "find_own.h"
#include "serve_env.h"

#define PLUGIN "libfsalcowherd.so"
#define TFTPD "cowherd-tftpd"

void cow_serve_programs_done(struct cow_serve_programs *p)
{
	free(p->dbus);
	free(p->ganesha);
	free(p->dnsmasq);
	free(p->rpcbind);
	free(p->tftpd);
	free(p->plugin_dir);
	*p = (struct cow_serve_programs){0};
}

char *cow_serve_find_program(const char *name)
{
	const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): before threads */
	char *found = NULL;

	for (const char *p = path ? path : ""; *p && !found; p += strspn(p, ":")) {
		size_t n = strcspn(p, ":");
		found = cow_find_probe(p, n, name, X_OK);
		p += n;
	}
	if (!found)
		found = cow_find_probe("/usr/sbin", 9, name, X_OK);
	return found ? found : cow_find_probe("/sbin", 5, name, X_OK);
}

static int find(const char *name, const char *package, char **ret, struct cow_err *err)
{
	*ret = cow_serve_find_program(name);
	if (*ret)
		return 0;
	return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
			   "%s is not installed; install it with: apt-get install %s", name,
			   package);
}

static int find_plugin(const struct cow_config *c, struct cow_serve_programs *p,
		       struct cow_err *err)
{
	int r = cow_find_own(c->plugin_dir, "COWHERD_PLUGIN_DIR", "ganesha-fsal", COW_PLUGINDIR,
			     PLUGIN, R_OK, &p->plugin_dir, err);
	if (r < 0)
		return cow_err_hint(err, r,
				    "the plugin for the NFS server was not built: "
				    "run tools/setup and build again, or set [nfs] plugin_dir.");
	return 0;
}

static int find_tftpd(struct cow_serve_programs *p, struct cow_err *err)
{
	cow_autofree char *dir = NULL;

	int r = cow_find_own("", "COWHERD_LIBEXEC", "tftp", COW_LIBEXECDIR, TFTPD, X_OK, &dir, err);
	if (r < 0)
		return cow_err_hint(err, r, "build it, or set [tftp] enabled = no.");
	return asprintf(&p->tftpd, "%s/" TFTPD, dir) < 0 ? -ENOMEM : 0;
}

int cow_serve_check_own(const struct cow_config *c, struct cow_err *err)
{
	struct cow_serve_programs p = {0};
	int r = c->nfs_enabled ? find_plugin(c, &p, err) : 0;

	if (r == 0 && c->tftp_enabled)
		r = find_tftpd(&p, err);
	cow_serve_programs_done(&p);
	return r;
}

int cow_serve_find_programs(const struct cow_config *c, struct cow_serve_programs *ret,
			    struct cow_err *err)
{
	int r = 0;

	if (c->nfs_enabled) {
		r = find("dbus-daemon", "dbus-daemon", &ret->dbus, err);
		if (r == 0)
			r = find("ganesha.nfsd", "nfs-ganesha", &ret->ganesha, err);
		if (r == 0 && !cow_portmap_present())
			r = find("rpcbind", "rpcbind", &ret->rpcbind, err);
		if (r == 0)
			r = find_plugin(c, ret, err);
	}
	if (r == 0 && c->tftp_enabled)
		r = find_tftpd(ret, err);
	if (r == 0 && c->dhcp_mode != COW_DHCP_OFF)
		r = find("dnsmasq", "dnsmasq-base", &ret->dnsmasq, err);
	if (r < 0)
		cow_serve_programs_done(ret);
	return r;
}
