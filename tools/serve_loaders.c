/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * RUN/loaders: what machines load first, under the names DHCP offers, whatever package each comes from.
 * Links to what packages bring; but no package has GRUB for BIOS ready to be sent, so grub-mkimage(1) makes it, with
 * all modules it needs in it.
 */
#include "serve_loaders.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"

#define GRUB_PC "grubpc.0"
#define GRUB_PC_MODULES "/usr/lib/grub/i386-pc"

/* Where packages have them: the first that is there. "": [tftp] ipxe_dir. With a signed GRUB, shim comes
 * first: firmware with Secure Boot starts nothing else, and shim asks for grubx64.efi. */
static const struct source {
	const char *name, *dir, *file, *needs, *package;
} sources[] = {
    {"undionly.kpxe", "", "undionly.kpxe", NULL, "ipxe"},
    {"ipxe.efi", "", "ipxe.efi", NULL, "ipxe"},
    {"snponly.efi", "", "snponly.efi", NULL, "ipxe"},
    {"pxelinux.0", "/usr/lib/PXELINUX", "pxelinux.0", NULL, "pxelinux"},
    {"ldlinux.c32", "/usr/lib/syslinux/modules/bios", "ldlinux.c32", NULL, "syslinux-common"},
    {"bootx64.efi", "/usr/lib/shim", "shimx64.efi.signed",
     "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "grub-efi-amd64-bin"},
    {"bootx64.efi", "/usr/lib/grub/x86_64-efi/monolithic", "grubnetx64.efi", NULL,
     "grub-efi-amd64-bin"},
    {"grubx64.efi", "/usr/lib/grub/x86_64-efi-signed", "grubnetx64.efi.signed", NULL,
     "grub-efi-amd64-signed"},
    {"bootaa64.efi", "/usr/lib/shim", "shimaa64.efi.signed",
     "/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed", "grub-efi-arm64-bin"},
    {"bootaa64.efi", "/usr/lib/grub/arm64-efi/monolithic", "grubnetaa64.efi", NULL,
     "grub-efi-arm64-bin"},
    {"grubaa64.efi", "/usr/lib/grub/arm64-efi-signed", "grubnetaa64.efi.signed", NULL,
     "grub-efi-arm64-signed"},
    {GRUB_PC, GRUB_PC_MODULES, "normal.mod", NULL, "grub-pc-bin grub-common"},
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

/* What `loader` means to each kind of firmware, for cow_loader_file(). */
static const struct {
	unsigned arch;
	const char *file[COW_LOADER_MAX];
} firmware[] = {
    {0, {"undionly.kpxe", "pxelinux.0", GRUB_PC}},
    {6, {"snponly.efi", "snponly.efi", "bootx64.efi"}},
    {7, {"snponly.efi", "snponly.efi", "bootx64.efi"}},
    {9, {"snponly.efi", "snponly.efi", "bootx64.efi"}},
    {11, {"bootaa64.efi", "bootaa64.efi", "bootaa64.efi"}},
};
#define FIRMWARES (sizeof(firmware) / sizeof(firmware[0]))

const char *cow_loader_file(unsigned arch, enum cow_loader loader)
{
	for (size_t i = 0; i < FIRMWARES; i++)
		if (firmware[i].arch == arch)
			return firmware[i].file[loader];
	return NULL;
}

const char *cow_loader_package(const char *name)
{
	for (size_t i = 0; i < SOURCES; i++)
		if (strcmp(sources[i].name, name) == 0)
			return sources[i].package;
	return NULL;
}

static int path_of(const struct source *s, const char *ipxe_dir, char *buf, size_t len)
{
	int n = snprintf(buf, len, "%s/%s", *s->dir ? s->dir : ipxe_dir, s->file);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

bool cow_loader_found(const char *name, const char *ipxe_dir)
{
	char path[COW_PATH_MAX + 32];

	for (size_t i = 0; i < SOURCES; i++)
		if (strcmp(sources[i].name, name) == 0 &&
		    path_of(&sources[i], ipxe_dir, path, sizeof(path)) == 0 &&
		    access(path, R_OK) == 0 &&
		    (!sources[i].needs || access(sources[i].needs, R_OK) == 0))
			return true;
	return false;
}

/* GRUB looks for its configuration in /grub/ of the server it came from. */
static int make_grub_pc(const char *path)
{
	const char *const words[] = {
	    "grub-mkimage", "-O",	  "i386-pc-pxe", "-d",	 GRUB_PC_MODULES,
	    "-p",	    "(pxe)/grub", "-o",		 path,	 "pxe",
	    "tftp",	    "normal",	  "configfile",	 "echo", "linux",
	    "sleep",	    "reboot",	  "boot",	 "test", NULL};
	char *const env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};
	int status;
	pid_t pid;

	/* execve(2) does not write to its arguments; its prototype is older than const. */
	int e = posix_spawnp(&pid, words[0], NULL, NULL, (char *const *)(uintptr_t)words, env);

	if (e != 0)
		return -e;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

static int fill_in(int dir, const struct source *s, const char *run, const char *ipxe_dir)
{
	char path[COW_PATH_MAX + 32];

	if (strcmp(s->name, GRUB_PC) == 0) {
		int n = snprintf(path, sizeof(path), "%s/loaders/" GRUB_PC, run);

		if (n < 0 || (size_t)n >= sizeof(path))
			return -ENAMETOOLONG;
		return make_grub_pc(path);
	}
	int r = path_of(s, ipxe_dir, path, sizeof(path));

	if (r == 0 && symlinkat(path, dir, s->name) < 0)
		r = -errno;
	return r;
}

int cow_loaders_make(int run_fd, const char *run, const char *ipxe_dir, struct cow_err *err)
{
	char path[COW_PATH_MAX + 32];
	int r = cow_rm_rf_at(run_fd, "loaders", 0); /* of packages that have changed since */

	if (r == 0)
		r = cow_mkdir_at(run_fd, "loaders", 0755);
	if (r < 0)
		return cow_err_set(err, r, "make '%s/loaders'", run);
	cow_autoclose int dir = cow_opendir_at(run_fd, "loaders");

	if (dir < 0)
		return cow_err_set(err, dir, "open '%s/loaders'", run);
	for (size_t i = 0; i < SOURCES; i++) {
		const struct source *s = &sources[i];

		if (cow_exists_at(dir, s->name) == 1 ||
		    path_of(s, ipxe_dir, path, sizeof(path)) < 0 || access(path, R_OK) < 0 ||
		    (s->needs && access(s->needs, R_OK) < 0))
			continue;
		r = fill_in(dir, s, run, ipxe_dir);
		if (r < 0)
			cow_log(COW_LOG_WARNING, "loader %s cannot be offered: err=%s", s->name,
				strerrorname_np(-r));
	}
	return 0;
}
