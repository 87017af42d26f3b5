/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An initramfs that can mount the root. Debian's and Ubuntu's speak NFS version 3 at most. Ours is put where
 * the image's own update-initramfs finds it, for all that are made later, and those that are there get
 * what they lack appended. Kernels that mount an NFS root by themselves (Raspberry Pi's) need none of it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "initramfs_part.h"
#include "tree.h"

#define TOOLS "usr/share/initramfs-tools/hook-functions"
#define KLIBC "usr/lib/klibc/bin/mount" /* what our hook puts in; it comes with initramfs-tools */
#define SCRIPT "etc/initramfs-tools/scripts/cowherd"
#define HOOK "etc/initramfs-tools/hooks/cowherd"
#define INITRD "initrd.img-"
#define INITRD_MAX (512u << 20)
#define NVERSIONS 16 /* kernels that are told about */

struct initrds {
	struct cow_fix *f;
	const char *dir;
	struct timespec since;	/* older ones lack what we have put in place */
	unsigned with, without; /* kernels that need an initramfs for NFS, and that do not */
	unsigned told;
};

/* Does the kernel mount an NFS root by itself? Debian's kernels leave their configuration in /boot. */
static bool mounts_itself(const struct cow_fix *f, const char *version)
{
	char path[COW_PATH_MAX + 1];
	cow_autofree char *config = NULL;
	(void)snprintf(path, sizeof(path), "boot/config-%s", version);
	return cow_fix_read(f, path, &config) == 0 && strstr(config, "\nCONFIG_ROOT_NFS=y\n");
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Archives begin at a multiple of four; zeros between them are passed over. */
static int write_with(struct cow_fix *f, const char *path, const struct cow_text *part)
{
	cow_autofree char *buf = NULL;
	size_t len;
	int r = cow_tree_read(f->tree, path, INITRD_MAX, &buf, &len);
	if (r < 0)
		return r;
	size_t pad = (4 - len % 4) % 4;
	char *grown = realloc(buf, len + pad + part->len);
	if (!grown)
		return -ENOMEM;
	buf = grown;
	memset(buf + len, 0, pad);
	memcpy(buf + len + pad, part->s, part->len);
	const struct cow_fix_to to = {
	    .kind = COW_FIXLOG_FILE,
	    .bytes = buf,
	    .len = len + pad + part->len,
	    .mode = 0644,
	    .old = {buf, len},
	};
	return cow_fix_change(f, path, &to);
}

static int append(struct cow_fix *f, const char *path, const char *version)
{
	struct cow_text part = {0};
	int r = cow_initramfs_part(f->tree, version, &part);
	if (r == 0)
		r = write_with(f, path, &part);
	free(part.s);
	return r;
}

static const char *why(int r)
{
	switch (r) {
	case -ENOPKG:
		return "its kernel has no NFS";
	case -ENOENT:
		return "a module it needs is missing";
	default:
		return strerrordesc_np(-r);
	}
}

static int each_initrd(void *ctx, const char *name)
{
	struct initrds *x = ctx;
	char path[COW_PATH_MAX + 1], modules[COW_PATH_MAX + 1];
	struct stat st;
	if (strncmp(name, INITRD, strlen(INITRD)) != 0)
		return 0;
	const char *version = name + strlen(INITRD);
	(void)snprintf(path, sizeof(path), "%s/%s", x->dir, name);
	(void)snprintf(modules, sizeof(modules), "lib/modules/%s/modules.dep", version);
	/* Backups and leftovers have no modules. */
	if (cow_fix_lstat(x->f, path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !cow_fix_has(x->f, modules))
		return 0;
	if (mounts_itself(x->f, version)) {
		x->without++;
		return 0;
	}
	x->with++;
	if (x->since.tv_sec == 0 || !is_older(&st.st_mtim, &x->since))
		return 0;
	int r = append(x->f, path, version);
	if (r < 0 && x->told++ < NVERSIONS)
		cow_fix_did(x->f, "/%s CANNOT mount the root over NFS: %s", path, why(r));
	if (r == 0 && x->told++ < NVERSIONS)
		cow_fix_did(x->f, "added to /%s", path);
	return r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -ENOMEM ? r : 0;
}

static int walk(struct initrds *x)
{
	static const char usual[] = "boot";
	x->with = x->without = 0;
	x->dir = usual;
	int r = cow_tree_each(x->f->tree, usual, each_initrd, x);
	if ((r == 0 || r == -ENOENT) && strcmp(x->f->boot_dir, usual) != 0) {
		x->dir = x->f->boot_dir;
		r = cow_tree_each(x->f->tree, x->dir, each_initrd, x);
	}
	return r == -ENOENT ? 0 : r;
}

static int newer_of(struct cow_fix *f, const char *path, struct timespec *since)
{
	struct stat st;
	int r = cow_fix_lstat(f, path, &st);
	if (r == 0 && is_older(since, &st.st_mtim))
		*since = st.st_mtim;
	return r;
}

int cow_fix_initramfs(struct cow_fix *f)
{
	struct initrds x = {.f = f};
	if (!cow_fix_has(f, TOOLS))
		return 0;
	int r = walk(&x); /* since is 0: counts only */
	if (r < 0 || (x.with == 0 && x.without > 0))
		return r;
	if (!cow_fix_has(f, KLIBC)) {
		cow_fix_did(f, "NOTHING: klibc-utils is missing, NFS version 4 is not possible");
		return 0;
	}
	r = cow_fix_put(f, SCRIPT, cow_initramfs_script, 0644);
	if (r == 0)
		r = cow_fix_put(f, HOOK, cow_initramfs_hook, 0755);
	if (r == 0)
		r = newer_of(f, SCRIPT, &x.since);
	if (r == 0)
		r = newer_of(f, HOOK, &x.since);
	return r < 0 ? r : walk(&x);
}
