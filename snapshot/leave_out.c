/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What of a directory tree is not imported: see leave_out.h.
 */
#include "leave_out.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* Of a running root. What is made again when it is missing, or is of no use on another machine. */
static const char *const rules[] = {
    "proc/*",
    "sys/*",
    "run/*",
    "tmp/*",
    "var/tmp/*",
    "lost+found",
    "root/.cache/*",
    "home/*/.cache/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/archives/partial/*",
    "var/crash/*",
    "var/log/journal/*",
    "var/lib/systemd/coredump/*",
    /* leases of its addresses */
    "var/lib/dhcp/*.leases",
    "var/lib/NetworkManager/*.lease",
    /* layers of containers: by file systems that do not work over NFS, with marks of their own */
    "var/lib/docker/*",
    "var/lib/containerd/*",
    "var/lib/containers/storage/*",
    /* older states of the same */
    ".snapshots/*",
    "timeshift/*",
    /* a store of cowherd, if not the one that is imported into */
    "var/lib/cowherd/*",
};
#define RULES (sizeof(rules) / sizeof(*rules))
static_assert(RULES <= COW_LEAVE_OUT_RULES, "one bit each");

/* A path from the root, with or without a slash in front. */
static const char *relative(const char *pattern)
{
	return pattern + strspn(pattern, "/");
}

static int is_pattern(const char *pattern)
{
	const char *p = relative(pattern);
	size_t len = strlen(p);
	if (!len || p[len - 1] == '/' || strstr(p, "//"))
		return 0;
	for (;;) {
		size_t n = strcspn(p, "/");
		if ((n == 1 && *p == '.') || (n == 2 && memcmp(p, "..", 2) == 0))
			return 0;
		if (!p[n])
			return 1;
		p += n + 1;
	}
}

int cow_leave_out_check(const char *const *patterns, struct cow_err *err)
{
	for (; patterns && *patterns; patterns++)
		if (!is_pattern(*patterns))
			return cow_err_hint(
			    err,
			    cow_err_say(err, COW_ERR_USAGE, -EINVAL, "--exclude %s is no path",
					COW_Q(*patterns)),
			    "it is a path from the root of the tree, with *, ? and [...], such as "
			    "/home/*/Downloads");
	return 0;
}

bool cow_leave_out_is_running(const struct stat *st)
{
	struct stat root;
	return stat("/", &root) == 0 && root.st_dev == st->st_dev && root.st_ino == st->st_ino;
}

bool cow_leave_out(struct cow_leave_out *l, const char *path)
{
	for (const char *const *p = l->patterns; p && *p; p++)
		if (fnmatch(relative(*p), path, FNM_PATHNAME) == 0)
			return true;
	for (size_t i = 0; l->running && i < RULES; i++) {
		if (fnmatch(rules[i], path, FNM_PATHNAME) != 0)
			continue;
		l->matched |= UINT32_C(1) << i;
		return true;
	}
	return false;
}

/* The end of the first page, whose size may have been another machine's. */
bool cow_leave_out_file(const struct cow_leave_out *l, int fd, const struct stat *st)
{
	static const off_t pages[] = {4096, 16384, 65536};
	char mark[10];
	/* Others than root must not read it, swapon(8) insists on that: so few files are looked into. */
	if (!l->running || st->st_uid != 0 || (st->st_mode & 077) != 0)
		return false;
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages) && st->st_size > pages[i]; i++)
		if (pread(fd, mark, sizeof(mark), pages[i] - (off_t)sizeof(mark)) ==
			(ssize_t)sizeof(mark) &&
		    memcmp(mark, "SWAPSPACE2", sizeof(mark)) == 0)
			return true;
	return false;
}

static const struct {
	unsigned long type;
	bool always; /* nobody keeps files of an image there */
	const char *why;
} kinds[] = {
    {PROC_SUPER_MAGIC, true, "the kernel"},
    {SYSFS_MAGIC, true, "the kernel"},
    {TMPFS_MAGIC, true, "memory"},
    {RAMFS_MAGIC, true, "memory"},
    {DEVPTS_SUPER_MAGIC, true, "the kernel"},
    {CGROUP_SUPER_MAGIC, true, "the kernel"},
    {CGROUP2_SUPER_MAGIC, true, "the kernel"},
    {SECURITYFS_MAGIC, true, "the kernel"},
    {DEBUGFS_MAGIC, true, "the kernel"},
    {TRACEFS_MAGIC, true, "the kernel"},
    {BPF_FS_MAGIC, true, "the kernel"},
    {PSTOREFS_MAGIC, true, "the kernel"},
    {EFIVARFS_MAGIC, true, "the kernel"},
    {HUGETLBFS_MAGIC, true, "memory"},
    {AUTOFS_SUPER_MAGIC, true, "an automounter"},
    {BINFMTFS_MAGIC, true, "the kernel"},
    {0x62656570 /* configfs */, true, "the kernel"},
    {0x65735543 /* fusectl */, true, "the kernel"},
    {0x19800202 /* mqueue */, true, "the kernel"},
    {NFS_SUPER_MAGIC, false, "another machine"},
    {CIFS_SUPER_MAGIC, false, "another machine"},
    {SMB_SUPER_MAGIC, false, "another machine"},
    {SMB2_SUPER_MAGIC, false, "another machine"},
    {CEPH_SUPER_MAGIC, false, "another machine"},
    {AFS_SUPER_MAGIC, false, "another machine"},
    {V9FS_MAGIC, false, "another machine"},
    {FUSE_SUPER_MAGIC, false, "a program"},
    {OVERLAYFS_SUPER_MAGIC, false, "layers of others"},
    {SQUASHFS_MAGIC, false, "an image file"},
    {ISOFS_SUPER_MAGIC, false, "an image file"},
};

const char *cow_leave_out_mount(const struct cow_leave_out *l, const char *path, unsigned long type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].type == type && (kinds[i].always || l->running))
			return kinds[i].why;
	size_t first = strcspn(path, "/");
	bool is_guest = (first == 3 && memcmp(path, "mnt", 3) == 0) ||
			(first == 5 && memcmp(path, "media", 5) == 0);
	return l->running && is_guest ? "another disk" : NULL;
}

const char *cow_leave_out_matched(const struct cow_leave_out *l, unsigned n)
{
	for (size_t i = 0; i < RULES; i++)
		if (l->matched & UINT32_C(1) << i && n-- == 0)
			return rules[i];
	return NULL;
}
