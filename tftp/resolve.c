/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where a file comes from; the first hit wins, per file:
 *	1  policy: some names are never served, some only from 2
 *	2  STORE/clients/MAC/boot/, the administrator's own files for this client
 *	3  loaders for PCs, the same for everybody
 *	4  generated: cmdline.txt, config.txt, boot.ipxe, pxelinux.cfg/, grub.cfg
 *	5  the client's tree at the image's boot directory
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "tftp/policy.h"

/* Takes over @fd. */
static int content_of_fd(int fd_in, struct cow_tftp_content **ret)
{
	cow_autoclose int fd = fd_in;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return -ENOENT;
	int r = cow_tftp_content_fd(fd, (uint64_t)st.st_size, ret);

	if (r == 0)
		(void)cow_steal_fd(&fd);
	return r;
}

static int open_override(const struct cow_tftp_client *c, const char *path,
			 struct cow_tftp_content **ret)
{
	if (c->override_fd < 0)
		return -ENOENT;
	/* Not blocking: a FIFO put there must not stop the server. */
	int fd = cow_open_beneath(c->override_fd, path,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);

	return fd < 0 ? fd : content_of_fd(fd, ret);
}

/* First programs of PCs, and what these load before their configuration (tftp/loader.h). */
static int open_loader(const struct cow_tftp_files *f, const char *path,
		       struct cow_tftp_content **ret)
{
	static const char *const loaders[] = {
	    "undionly.kpxe", "ipxe.efi",    "snponly.efi",  "pxelinux.0",   "ldlinux.c32",
	    "bootx64.efi",   "grubx64.efi", "bootaa64.efi", "grubaa64.efi", "grubpc.0",
	};

	if (f->site.loader_fd < 0)
		return -ENOENT;
	for (size_t i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++) {
		if (strcmp(path, loaders[i]) != 0)
			continue;
		/* May be a link; the directory is the system's, nobody else's. */
		int fd = openat(f->site.loader_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

		return fd < 0 ? -errno : content_of_fd(fd, ret);
	}
	return -ENOENT;
}

/* Raspberry Pi firmware loads what it finds; an initramfs that cannot mount this root would end in
 * a loop, without one the kernel mounts it by itself. */
static bool is_useless_initramfs(const struct cow_tftp_client *c, const char *path)
{
	const char *how = c->conf->initramfs;

	return strncmp(cow_tftp_basename(path), "initramfs", strlen("initramfs")) == 0 &&
	       (!how || strcmp(how, "cowherd") != 0);
}

/* A record or root that cannot be read is our trouble, not a malformed request. */
static int fault(int r)
{
	return r == -ENOENT ? r : -EIO;
}

static int open_for(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		    struct cow_tftp_client *c, const struct cow_tftp_name *name,
		    enum cow_tftp_policy policy, struct cow_tftp_content **ret)
{
	const char *path = name->path;
	int r = open_override(c, path, ret);

	if (r != -ENOENT && r != -ENOTDIR)
		return r;
	r = open_loader(f, path, ret);
	if (r != -ENOENT)
		return r;
	if (policy != COW_TFTP_ANYWHERE || is_useless_initramfs(c, path))
		return -ENOENT;
	r = cow_tftp_generate(f, who, c, name, ret);
	if (r != -ENOENT)
		return r;
	return c->view ? cow_tftp_tree_open(c->view, path, ret) : fault(c->view_error);
}

int cow_tftp_files_open(void *ctx, const struct cow_tftp_who *who, const char *raw, size_t len,
			struct cow_tftp_content **ret)
{
	struct cow_tftp_files *f = ctx;
	struct cow_tftp_client *c = NULL;
	struct cow_tftp_name name;
	struct cow_mac mac;
	int r = cow_tftp_name_parse(raw, len, &name);

	if (r < 0)
		return r;
	enum cow_tftp_policy policy = cow_tftp_policy_of(name.path);
	int known = cow_tftp_identify(f, who, &name, &c, &mac);

	if (known < 0)
		c = NULL;
	cow_tftp_announce(f, who, c, &mac, name.path, known);
	if (policy == COW_TFTP_NEVER)
		return -ENOENT;
	if (c)
		return open_for(f, who, c, &name, policy, ret);
	if (known == -EACCES) /* he is not who he says he is */
		return known;
	r = f->site.trust == COW_TFTP_TRUST_CLOSED ? -ENOENT : open_loader(f, name.path, ret);
	if (r != -ENOENT)
		return r;
	return known == -EPERM ? -ENOENT : fault(known);
}

void cow_tftp_files_tick(void *ctx, uint64_t now_ms)
{
	cow_tftp_clients_tick(((struct cow_tftp_files *)ctx)->clients, now_ms);
}
