/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * fstab of an image made for a disk: its root and boot partitions are not there, and systemd would
 * wait 90 s for each and then offer an emergency shell. Lines about local disks and swap become
 * comments; file systems of the kernel, of the network and binds stay.
 *
 * Where boot files have a directory of their own it is made a mount point (bound to itself): the
 * kernel hooks of Raspberry Pi OS and Debian refuse to write there otherwise and leave dpkg half
 * done. Written there, files land in the client's own tree, which is what it boots from next.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "fixup_internal.h"
#include "tree.h"

#define MARK "# not on a network root: "

struct fields {
	char what[128], where[128], type[64], opts[256];
};

static const char *take_field(const char *p, const char *end, char *buf, size_t cap)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	const char *start = p;
	while (p < end && *p != ' ' && *p != '\t')
		p++;
	(void)snprintf(buf, cap, "%.*s", (int)(p - start), start);
	return p;
}

static struct fields split(const char *line, size_t len)
{
	struct fields v;
	const char *end = line + len;
	line = take_field(line, end, v.what, sizeof(v.what));
	line = take_field(line, end, v.where, sizeof(v.where));
	line = take_field(line, end, v.type, sizeof(v.type));
	(void)take_field(line, end, v.opts, sizeof(v.opts));
	return v;
}

static int is_one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(s, *list) == 0)
			return 1;
	return 0;
}

static int stays(const struct fields *v)
{
	static const char *const kinds[] = {
	    "proc",    "sysfs",	      "tmpfs",	    "devpts",  "devtmpfs",   "debugfs",
	    "tracefs", "configfs",    "cgroup",	    "cgroup2", "nfs",	     "nfs4",
	    "cifs",    "smb3",	      "9p",	    "ceph",    "fuse.sshfs", "overlay",
	    "autofs",  "binfmt_misc", "securityfs", "mqueue",  "hugetlbfs",  NULL,
	};
	int bind = strcmp(v->type, "none") == 0 && strstr(v->opts, "bind") != NULL;
	if (bind && strcmp(v->what, v->where) == 0)
		return 1; /* what add_lines() writes */
	if (strcmp(v->where, "/") == 0 || strcmp(v->where, "/boot") == 0 ||
	    strcmp(v->where, "/boot/firmware") == 0)
		return 0;
	return bind || is_one_of(v->type, kinds);
}

struct state {
	unsigned dropped;
	int has_proc;
};

static int line(void *ctx, const char *text, size_t len, struct cow_text *out)
{
	struct state *st = ctx;
	int r = 0;
	struct fields v = split(text, len);
	if (*v.what && *v.what != '#') {
		if (strcmp(v.where, "/proc") == 0)
			st->has_proc = 1;
		if (!stays(&v)) {
			st->dropped++;
			r = cow_text_add(out, MARK, strlen(MARK));
		}
	}
	if (r == 0)
		r = cow_text_add(out, text, len);
	return r < 0 ? r : cow_text_add(out, "\n", 1);
}

/* Swap files named in fstab are dead weight that every client would carry. */
static int drop_swap_files(struct cow_fix *f, const char *text)
{
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		struct fields v = split(p, strcspn(p, "\n"));
		struct stat st;
		if (strcmp(v.type, "swap") != 0 || v.what[0] != '/' ||
		    strncmp(v.what, "/dev/", 5) == 0)
			continue;
		if (cow_fix_lstat(f, v.what + 1, &st) == 0 && S_ISREG(st.st_mode)) {
			int r = cow_fix_remove(f, v.what + 1);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int add_lines(struct cow_fix *f, const struct state *st)
{
	cow_autofree char *old = NULL;
	cow_autofree char *text = NULL;
	char bind[128] = "";
	int r = cow_fix_read(f, "etc/fstab", &old);
	if (r == -ENOENT) {
		old = strdup("");
		r = old ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	if (cow_fix_has(f, "boot/firmware"))
		(void)snprintf(bind, sizeof(bind),
			       "/boot/firmware /boot/firmware none bind,nofail 0 0\n");
	else if (cow_fix_has(f, "boot/config.txt"))
		(void)snprintf(bind, sizeof(bind), "/boot /boot none bind,nofail 0 0\n");
	if (*bind && strstr(old, bind))
		*bind = 0;
	const char *proc = st->has_proc ? "" : "proc /proc proc defaults 0 0\n";
	if (!*bind && !*proc)
		return 0;
	if (asprintf(&text, "%s%s%s", old, proc, bind) < 0)
		return -ENOMEM;
	r = cow_fix_write(f, "etc/fstab", old, text, 0644);
	if (r == 0 && *proc)
		cow_fix_did(f, "added /proc");
	if (r == 0 && *bind)
		cow_fix_did(f, "made the boot files a mount point");
	return r;
}

int cow_fix_fstab(struct cow_fix *f)
{
	cow_autofree char *before = NULL;
	struct state st = {0};
	if (!cow_fix_has(f, "etc"))
		return 0;
	int r = cow_fix_read(f, "etc/fstab", &before);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		r = cow_fix_lines(f, "etc/fstab", line, &st);
		if (r < 0)
			return r;
		if (st.dropped)
			cow_fix_did(f, "%u disk mounts out", st.dropped);
		r = drop_swap_files(f, before);
		if (r < 0)
			return r;
	}
	return add_lines(f, &st);
}
