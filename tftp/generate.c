/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files that no tree holds as they are served: cmdline.txt, config.txt with its twin and what it includes,
 * what the loaders of PCs read; made afresh per request from the client's record and its tree.
 */
#include "files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "nfswords.h"
#include "pin.h"
#include "tftp/config_txt.h"
#include "tftp/limits.h"
#include "tftp/loader.h"

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void describe(const struct cow_tftp_files *f, const struct cow_tftp_client *c,
		     const char *server, struct cow_tftp_boot *ret)
{
	const struct cow_client *conf = c->pin->conf;

	*ret = (struct cow_tftp_boot){
	    .mac = conf->id,
	    .name = or_empty(conf->name),
	    .image = conf->image,
	    .version = conf->version,
	    .server = server,
	    .nfs = conf->nfs && *conf->nfs ? conf->nfs : f->site.nfs,
	    .nfs_port = f->site.nfs_port,
	    .mount_port = f->site.mount_port,
	    .initramfs = conf->initramfs && *conf->initramfs ? conf->initramfs : "none",
	    .words = or_empty(conf->cmdline),
	};
}

/* The tree's own file, or nothing when there is none. */
static int read_cmdline(struct cow_tftp_view *v, const char *path, char *buf, size_t *ret_len)
{
	struct cow_tftp_content *src;
	int r = cow_tftp_tree_open(v, path, &src);

	*ret_len = 0;
	if (r == -ENOENT && !strchr(path, '/'))
		return 0;
	if (r < 0)
		return r;
	size_t len =
	    src->size < COW_TFTP_CMDLINE_FILE_MAX ? (size_t)src->size : COW_TFTP_CMDLINE_FILE_MAX;

	r = src->read(src, buf, len, 0);
	cow_tftp_content_free(src);
	if (r == 0)
		*ret_len = len;
	return r;
}

static int make_cmdline(const struct cow_tftp_boot *b, struct cow_tftp_view *v, const char *path,
			char **ret, size_t *ret_len)
{
	char in[COW_TFTP_CMDLINE_FILE_MAX];
	unsigned dropped = 0;
	size_t len;
	int r = read_cmdline(v, path, in, &len);

	if (r == 0)
		r = cow_tftp_cmdline_pi(b, in, len, ret, ret_len, &dropped);
	if (r == -E2BIG)
		cow_log(COW_LOG_ERROR,
			"client=%s the words in client.conf make the kernel command line "
			"longer than %d bytes",
			b->mac, COW_TFTP_CMDLINE_MAX);
	if (r == 0 && dropped)
		cow_log(COW_LOG_WARNING,
			"client=%s the last %u words of %s do not fit the kernel "
			"command line",
			b->mac, dropped, COW_Q(path));
	return r;
}

/* A text file of the tree, whole. Caller frees. -EFBIG: no config.txt is that long. */
static int read_text(struct cow_tftp_view *v, const char *path, char **ret, size_t *ret_len)
{
	struct cow_tftp_content *src;
	int r = cow_tftp_tree_open(v, path, &src);

	if (r < 0)
		return r;
	size_t len = (size_t)src->size;
	char *buf = src->size <= COW_TFTP_CONFIG_FILE_MAX ? malloc(len + 1) : NULL;

	r = src->size > COW_TFTP_CONFIG_FILE_MAX ? -EFBIG
	    : buf				 ? src->read(src, buf, len, 0)
						 : -ENOMEM;
	cow_tftp_content_free(src);
	if (r < 0) {
		free(buf);
		return r;
	}
	*ret = buf;
	*ret_len = len;
	return 0;
}

static int make_config(const struct cow_tftp_boot *b, struct cow_tftp_view *v, const char *path,
		       char **ret, size_t *ret_len)
{
	cow_autofree char *in = NULL;
	bool initramfs = cow_tftp_mounter_of(b->initramfs) == COW_TFTP_MOUNT_HOOK;
	size_t len;
	int r = read_text(v, path, &in, &len);

	return r < 0 ? r : cow_tftp_config_pi(in, len, initramfs, ret, ret_len);
}

/* Only what config.txt includes is made; all else the tree has as it is. */
static int make_included(const struct cow_tftp_boot *b, struct cow_tftp_view *v, const char *path,
			 char **ret, size_t *ret_len)
{
	cow_autofree char *config = NULL;
	cow_autofree char *in = NULL;
	bool initramfs = cow_tftp_mounter_of(b->initramfs) == COW_TFTP_MOUNT_HOOK;
	size_t len;

	if (read_text(v, "config.txt", &config, &len) < 0 ||
	    !cow_tftp_config_includes(config, len, path))
		return -ENOENT;
	int r = read_text(v, path, &in, &len);

	if (r == 0)
		r = cow_tftp_config_included(in, len, initramfs, ret, ret_len);
	if (r == 0 &&
	    *ret_len == 0) { /* nothing stayed; firmware takes an empty file for a failure */
		free(*ret);
		*ret = strdup("\n");
		*ret_len = 1;
		r = *ret ? 0 : -ENOMEM;
	}
	return r;
}

/* Newest kernel of the tree, with an initrd where one is wanted. Caller frees both. */
static int find_kernel(const struct cow_tftp_boot *b, struct cow_tftp_view *v, const char *path,
		       char **ret_kernel, char **ret_initrd)
{
	int wants_initrd = strcmp(b->initramfs, "none") != 0;
	int r = cow_tftp_tree_kernel(v, ret_kernel, wants_initrd ? ret_initrd : NULL);

	if (r == -ENOENT && cow_tftp_loader_is_last(path)) /* once, not for each name it tries */
		cow_log(COW_LOG_ERROR,
			"client=%s the boot directory of %s@%u holds no kernel vmlinuz-*%s", b->mac,
			b->image, b->version,
			wants_initrd ? " with an initrd.img-* of the same version" : "");
	return r;
}

static int make_for_loader(enum cow_tftp_loader loader, const struct cow_tftp_boot *b,
			   struct cow_tftp_view *v, const struct cow_tftp_name *name, char **ret,
			   size_t *ret_len)
{
	cow_autofree char *kernel = NULL;
	cow_autofree char *initrd = NULL;
	cow_autofree char *dtbs = NULL;
	char dir[COW_MAC_TEXT_LEN + 2] = "";
	int r = find_kernel(b, v, name->path, &kernel, &initrd);

	if (r < 0)
		return r;
	switch (loader) {
	case COW_TFTP_LOADER_PXELINUX:
		/* Names are relative to where the loader itself came from; a prefix comes from there. */
		if (name->prefix == COW_TFTP_PREFIX_NONE || name->mac_in_file)
			(void)snprintf(dir, sizeof(dir), "%s/", b->mac);
		r = cow_tftp_tree_dtbs(v, kernel, &dtbs);
		if (r < 0 && r != -ENOENT)
			return r;
		return cow_tftp_pxelinux_config(b, dir, kernel, initrd, dtbs, ret, ret_len);
	case COW_TFTP_LOADER_GRUB:
		return cow_tftp_grub_config(b, kernel, initrd, ret, ret_len);
	case COW_TFTP_LOADER_IPXE:
		return cow_tftp_ipxe_script(b, kernel, initrd, ret, ret_len);
	case COW_TFTP_LOADER_NONE:
		break;
	}
	return -ENOENT;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

typedef int (*make_fn)(const struct cow_tftp_boot *b, struct cow_tftp_view *v, const char *path,
		       char **ret, size_t *ret_len);

static make_fn maker_of(const char *path)
{
	if (strcmp(cow_tftp_basename(path), "cmdline.txt") == 0)
		return make_cmdline;
	if (strcmp(path, "config.txt") == 0 || strcmp(path, "tryboot.txt") == 0)
		return make_config;
	return ends_with(path, ".txt") ? make_included : NULL;
}

int cow_tftp_generate(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      struct cow_tftp_client *c, const struct cow_tftp_name *name,
		      struct cow_tftp_content **ret)
{
	enum cow_tftp_loader loader = cow_tftp_loader_of(name->path);
	make_fn make = maker_of(name->path);
	char server[INET_ADDRSTRLEN];
	struct cow_tftp_boot b;
	char *text = NULL;
	size_t len = 0;

	if ((!make && !loader) || !c->pin->view)
		return -ENOENT; /* why there is no view, the resolver says */
	if (who->local.s_addr == 0)
		return -EADDRNOTAVAIL; /* asked over IPv6 on a link without IPv4, where no root comes from */
	if (!inet_ntop(AF_INET, &who->local, server, sizeof(server)))
		return -errno;
	describe(f, c, server, &b);
	int r = loader ? make_for_loader(loader, &b, c->pin->view, name, &text, &len)
		       : make(&b, c->pin->view, name->path, &text, &len);

	if (r < 0)
		return r;
	r = cow_tftp_content_memory(text, len, ret);
	if (r < 0)
		free(text);
	return r;
}
