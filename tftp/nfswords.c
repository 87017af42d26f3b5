/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Words of kernel command lines: how to reach the root, and how a line falls into words.
 */
#include "nfswords.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum cow_tftp_mounter cow_tftp_mounter_of(const char *initramfs)
{
	if (strcmp(initramfs, "cowherd") == 0)
		return COW_TFTP_MOUNT_HOOK;
	if (strcmp(initramfs, "klibc") == 0)
		return COW_TFTP_MOUNT_KLIBC;
	return COW_TFTP_MOUNT_KERNEL;
}

int cow_tftp_nfsroot(const struct cow_tftp_boot *b, enum cow_tftp_mounter m, char *buf, size_t len)
{
	bool v3 = m == COW_TFTP_MOUNT_KLIBC || strcmp(b->nfs, "3") == 0;
	char options[128], ports[48] = "";
	size_t n = 0;

	/* nfsmount knows neither vers= nor proto=; the kernel wants both, or it tries UDP and
	 * version 2. Our hook adds nolock by itself. */
	if (m == COW_TFTP_MOUNT_KLIBC)
		(void)snprintf(options, sizeof(options), "nfsvers=3,tcp,nolock,hard");
	else if (m == COW_TFTP_MOUNT_HOOK)
		(void)snprintf(options, sizeof(options), "vers=%s,proto=tcp,hard", b->nfs);
	else
		(void)snprintf(options, sizeof(options),
			       "vers=%s,proto=tcp,rsize=1048576,wsize=1048576,hard,timeo=600%s",
			       b->nfs, v3 ? ",nolock" : "");
	if (b->nfs_port != 2049)
		n = (size_t)snprintf(ports, sizeof(ports), ",port=%u", b->nfs_port);
	if (v3 && b->mount_port)
		(void)snprintf(ports + n, sizeof(ports) - n, ",mountport=%u", b->mount_port);

	int r = snprintf(buf, len, "%s:/clients/%s,%s%s", b->server, b->mac, options, ports);

	return r < 0 || (size_t)r >= len ? -E2BIG : r;
}

int cow_tftp_root_words(const struct cow_tftp_boot *b, bool initrd, char *buf, size_t len)
{
	enum cow_tftp_mounter m =
	    initrd ? cow_tftp_mounter_of(b->initramfs) : COW_TFTP_MOUNT_KERNEL;
	static const char *const boot_words[] = {
	    [COW_TFTP_MOUNT_KERNEL] = "",
	    [COW_TFTP_MOUNT_HOOK] = "boot=cowherd ",
	    [COW_TFTP_MOUNT_KLIBC] = "boot=nfs ",
	};
	char nfsroot[256];
	int r = cow_tftp_nfsroot(b, m, nfsroot, sizeof(nfsroot));

	if (r < 0)
		return r;
	r = snprintf(buf, len,
		     "%sroot=/dev/nfs nfsroot=%s ip=dhcp rw panic=10 nfs.nfs4_unique_id=%s",
		     boot_words[m], nfsroot, b->mac);
	return r < 0 || (size_t)r >= len ? -E2BIG : 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool cow_tftp_word_next(const char **p, const char *end, const char **ret, size_t *ret_len)
{
	const char *s = *p;
	bool quoted = false;

	while (s < end && is_blank(*s))
		s++;
	*ret = s;
	while (s < end && (quoted || !is_blank(*s))) {
		if (*s == '"')
			quoted = !quoted;
		s++;
	}
	*ret_len = (size_t)(s - *ret);
	*p = s;
	return *ret_len > 0;
}

bool cow_tftp_word_ok(const char *word, size_t len)
{
	unsigned quotes = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)word[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		quotes += c == '"';
	}
	return quotes % 2 == 0;
}
