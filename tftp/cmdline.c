/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cmdline.txt of a Raspberry Pi: what the tree holds, turned towards the network.
 */
#include "tftp/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfswords.h"
#include "tftp/limits.h"

/* Words that say where the root is and how it is treated on a card, and those we append. A trailing
 * '=' matches any value; without it the whole word must be equal. */
#define WORD(s)                                                                                    \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}
static const struct {
	const char *s;
	size_t len;
} taken_over[] = {
    WORD("root="),
    WORD("rootfstype="),
    WORD("rootflags="),
    WORD("rootdelay="),
    WORD("rootwait"),
    WORD("nfsroot="),
    WORD("nfsrootdebug"),
    WORD("nfsaddrs="),
    WORD("ip="),
    WORD("ro"),
    WORD("rw"),
    WORD("boot="),
    WORD("panic="),
    WORD("fsck.repair="),
    WORD("fsck.mode="),
    WORD("resize"),
    WORD("quirk_resize"),
    WORD("nfs.nfs4_unique_id="),
    WORD("systemd.machine_id="),
    WORD("sdhci.debug_quirks2=4"),
    WORD("init=/usr/lib/raspberrypi-sys-mods/firstboot"),
    WORD("init=/usr/lib/raspi-config/init_resize.sh"),
    WORD("systemd.unit=kernel-command-line.target"), /* goes with systemd.run= */
};

static bool is_taken_over(const char *w, size_t len)
{
	for (size_t k = 0; k < sizeof(taken_over) / sizeof(taken_over[0]); k++) {
		const char *s = taken_over[k].s;
		size_t n = taken_over[k].len;
		bool prefix = s[n - 1] == '=';

		if ((prefix ? len >= n : len == n) && *w == *s && memcmp(w, s, n) == 0)
			return true;
	}
	/* systemd.run=/boot/firstrun.sh and its companions: the imager's first-boot script. */
	return len > 11 && memcmp(w, "systemd.run", 11) == 0;
}

static bool contains_word(const char *line, const char *w, size_t len)
{
	const char *p = line, *end = line + strlen(line), *have;
	size_t have_len;

	while (cow_tftp_word_next(&p, end, &have, &have_len)) {
		if (have_len == len && *have == *w && memcmp(have, w, len) == 0)
			return true;
	}
	return false;
}

struct line {
	char s[COW_TFTP_CMDLINE_MAX + 1];
	size_t len;
};

/* Append a word with a blank before it, leaving @reserve bytes free. */
static bool add_word(struct line *l, const char *w, size_t len, size_t reserve)
{
	size_t need = len + (l->len > 0);

	if (need > COW_TFTP_CMDLINE_MAX - l->len || COW_TFTP_CMDLINE_MAX - l->len - need < reserve)
		return false;
	if (l->len > 0)
		l->s[l->len++] = ' ';
	memcpy(l->s + l->len, w, len);
	l->len += len;
	return true;
}

/* Ours and the client's: always complete, or -E2BIG. */
static int our_words(const struct cow_tftp_boot *b, struct line *l)
{
	char nfsroot[256], buf[COW_TFTP_CMDLINE_MAX], hex[13] = "";
	const char *p = b->words, *end = b->words + strlen(b->words), *w;
	enum cow_tftp_mounter m = cow_tftp_mounter_of(b->initramfs);
	size_t len, h = 0;

	/* The firmware boots without an initramfs that cannot mount this root (see the resolver).
	 */
	if (m == COW_TFTP_MOUNT_KLIBC)
		m = COW_TFTP_MOUNT_KERNEL;
	if (cow_tftp_nfsroot(b, m, nfsroot, sizeof(nfsroot)) < 0)
		return -E2BIG;
	for (const char *c = b->mac; *c && h < 12; c++) {
		if (*c != '-')
			hex[h++] = *c;
	}
	/* The machine id is made of the MAC, in the form of a random UUID, so that it stays the
	 * same after a reset. */
	int n = snprintf(buf, sizeof(buf),
			 "%sroot=/dev/nfs%s nfsroot=%s rw ip=dhcp rootwait fsck.mode=skip panic=10 "
			 "nfs.nfs4_unique_id=%s systemd.machine_id=636f7768657240648000%s",
			 m == COW_TFTP_MOUNT_HOOK ? "boot=cowherd " : "",
			 m == COW_TFTP_MOUNT_HOOK ? "" : " rootfstype=nfs", nfsroot, b->mac, hex);

	if (n < 0 || (size_t)n >= sizeof(buf) || !add_word(l, buf, (size_t)n, 0))
		return -E2BIG;
	while (cow_tftp_word_next(&p, end, &w, &len)) {
		if (cow_tftp_word_ok(w, len) && !add_word(l, w, len, 0))
			return -E2BIG;
	}
	return 0;
}

/* The firmware reads the first line; blank ones before it do not count. */
static const char *first_line(const char *in, size_t len, const char **ret_end)
{
	const char *s = in, *end = in + len;

	while (s < end && (*s == '\n' || *s == '\r' || *s == ' ' || *s == '\t'))
		s++;
	const char *nl = s < end ? memchr(s, '\n', (size_t)(end - s)) : NULL;

	*ret_end = nl ? nl : end;
	return s;
}

int cow_tftp_cmdline_pi(const struct cow_tftp_boot *b, const char *in, size_t len, char **ret,
			size_t *ret_len, unsigned *ret_dropped)
{
	struct line ours = {.len = 0}, all = {.len = 0};
	const char *end, *w, *p = first_line(in, len, &end);
	unsigned dropped = 0;
	size_t wlen;
	int r = our_words(b, &ours);

	if (r < 0)
		return r;
	ours.s[ours.len] = '\0';
	while (cow_tftp_word_next(&p, end, &w, &wlen)) {
		if (!cow_tftp_word_ok(w, wlen) || is_taken_over(w, wlen) ||
		    contains_word(b->words, w, wlen))
			continue;
		/* Once one is left out all later ones are: the order of words has a meaning. */
		if (dropped || !add_word(&all, w, wlen, ours.len + 1))
			dropped++;
	}
	if (!add_word(&all, ours.s, ours.len, 0))
		return -E2BIG;
	all.s[all.len++] = '\n';

	char *out = malloc(all.len);

	if (!out)
		return -ENOMEM;
	memcpy(out, all.s, all.len);
	*ret = out;
	*ret_len = all.len;
	if (ret_dropped)
		*ret_dropped = dropped;
	return 0;
}
