/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where the programs are. Other packages' are looked for along PATH, /usr/sbin and /sbin; our own
 * beside this executable (as it is in the folder it was built in) and then where they are
 * installed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/fs.h"
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

/* @dir of @len bytes + name, if that can be run. */
static char *probe(const char *dir, size_t len, const char *name, int mode)
{
	char *path = NULL;

	if (len == 0 || dir[0] != '/' || asprintf(&path, "%.*s/%s", (int)len, dir, name) < 0)
		return NULL;
	if (access(path, mode) == 0)
		return path;
	free(path);
	return NULL;
}

static char *find_in_path(const char *name)
{
	const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): before threads */
	char *found = NULL;

	for (const char *p = path ? path : ""; *p && !found; p += strspn(p, ":")) {
		size_t n = strcspn(p, ":");
		found = probe(p, n, name, X_OK);
		p += n;
	}
	if (!found)
		found = probe("/usr/sbin", 9, name, X_OK);
	return found ? found : probe("/sbin", 5, name, X_OK);
}

static int find(const char *name, const char *package, char **ret, struct cow_err *err)
{
	*ret = find_in_path(name);
	if (*ret)
		return 0;
	return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
			   "%s is not installed; install it with: apt-get install %s", name,
			   package);
}

/* Folder of this executable + "/../" + sub. */
static char *sibling_dir(const char *sub)
{
	cow_autofree char *exe = NULL;
	char *dir = NULL;

	if (cow_readlink_at(AT_FDCWD, "/proc/self/exe", &exe) < 0)
		return NULL;
	char *slash = strrchr(exe, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return asprintf(&dir, "%s/../%s", exe, sub) < 0 ? NULL : dir;
}

/*
 * The first folder that holds @file: the configured one, the environment's, beside the executable,
 * the installed one. A configured one is the only one.
 */
static int find_own(const char *configured, const char *env, const char *sub, const char *installed,
		    const char *file, int mode, char **ret_dir, struct cow_err *err)
{
	const char *env_dir = getenv(env); /* NOLINT(concurrency-mt-unsafe): before threads */
	cow_autofree char *beside = sibling_dir(sub);
	const char *dirs[] = {configured, env_dir, beside, installed};
	size_t n = *configured ? 1 : sizeof(dirs) / sizeof(dirs[0]);

	for (size_t i = 0; i < n; i++) {
		cow_autofree char *path =
		    dirs[i] ? probe(dirs[i], strlen(dirs[i]), file, mode) : NULL;
		if (!path)
			continue;
		*ret_dir = realpath(dirs[i], NULL);
		return *ret_dir ? 0 : cow_err_set(err, -errno, "folder '%s'", dirs[i]);
	}
	if (*configured)
		return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "%s is not in '%s'", file,
				   configured);
	return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "%s is neither in '%s' nor in '%s'",
			   file, beside ? beside : "", installed);
}

static int find_plugin(const struct cow_config *c, struct cow_serve_programs *p,
		       struct cow_err *err)
{
	int r = find_own(c->plugin_dir, "COWHERD_PLUGIN_DIR", "ganesha-fsal", COW_PLUGINDIR, PLUGIN,
			 R_OK, &p->plugin_dir, err);
	if (r < 0)
		return cow_err_hint(err, r,
				    "the plugin for the NFS server was not built: "
				    "run tools/setup and build again, or set [nfs] plugin_dir.");
	return 0;
}

static int find_tftpd(struct cow_serve_programs *p, struct cow_err *err)
{
	cow_autofree char *dir = NULL;

	int r = find_own("", "COWHERD_LIBEXEC", "tftp", COW_LIBEXECDIR, TFTPD, X_OK, &dir, err);
	if (r < 0)
		return cow_err_hint(err, r, "build it, or set [tftp] enabled = no.");
	return asprintf(&p->tftpd, "%s/" TFTPD, dir) < 0 ? -ENOMEM : 0;
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
