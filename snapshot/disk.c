/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "disk.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define SECTOR UINT64_C(512) /* unit of libblkid's tables */

COW_DEFINE_AUTO(struct blkid_struct_probe, blkid_free_probe)
#define autoprobe COW_CLEANUP(cow_auto_blkid_free_probe) blkid_probe

struct look {
	int fd;
	uint64_t size;
	struct cow_disk *ret;
	uint64_t root_rank;
	char seen[256]; /* everything found, for the message */
};

int cow_disk_is_ext(const struct cow_disk_part *p)
{
	return strcmp(p->fs, "ext4") == 0 || strcmp(p->fs, "ext3") == 0 ||
	       strcmp(p->fs, "ext2") == 0;
}

static int is_linux(const struct cow_disk_part *p)
{
	return cow_disk_is_ext(p) || strcmp(p->fs, "btrfs") == 0 || strcmp(p->fs, "xfs") == 0 ||
	       strcmp(p->fs, "f2fs") == 0;
}

int cow_disk_begins(const uint8_t *head, size_t len)
{
	if (len >= SECTOR && head[510] == 0x55 && head[511] == 0xaa)
		return 1; /* MBR, also the protective one of a GPT */
	if (len >= 2048 && head[1080] == 0x53 && head[1081] == 0xef)
		return 1; /* ext without a table */
	return len >= 4 && memcmp(head, "XFSB", 4) == 0;
}

static void add_words(char *list, size_t cap, const struct cow_disk_part *p)
{
	size_t len = strlen(list);
	(void)snprintf(list + len, cap - len, "%s%u (%s%s%s, %llu MiB)", len ? ", " : "", p->number,
		       p->fs, *p->label ? " " : "", p->label, (unsigned long long)(p->size >> 20));
}

static void copy_value(blkid_probe pr, const char *name, char *ret, size_t cap)
{
	const char *value = NULL;
	if (blkid_probe_lookup_value(pr, name, &value, NULL) < 0 || !value)
		value = "";
	(void)snprintf(ret, cap, "%s", value);
	for (char *c = ret; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
}

/* Does it end behind the end of the disk? */
static int is_cut(const struct look *l, const struct cow_disk_part *p)
{
	return p->off >= l->size || p->size > l->size - p->off;
}

/* Return: 1 it has a file system; 0 not; -errno. */
static int probe_fs(struct look *l, struct cow_disk_part *p)
{
	autoprobe pr = blkid_new_probe();
	if (!pr)
		return -ENOMEM;
	uint64_t there = is_cut(l, p) ? l->size - p->off : p->size;
	if (blkid_probe_set_device(pr, l->fd, (blkid_loff_t)p->off, (blkid_loff_t)there) < 0)
		return -EIO;
	(void)blkid_probe_enable_superblocks(pr, 1);
	(void)blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
	if (blkid_do_safeprobe(pr) != 0)
		return 0; /* nothing, or two at one place, which is as good */
	copy_value(pr, "TYPE", p->fs, sizeof(p->fs));
	copy_value(pr, "LABEL", p->label, sizeof(p->label));
	return *p->fs != 0;
}

static int named_root(const struct cow_disk_part *p)
{
	static const char *const names[] = {"rootfs", "root", "writable", "cloudimg-rootfs"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(p->label, names[i]) == 0)
			return 1;
	return 0;
}

static void take_root(struct look *l, const struct cow_disk_part *p)
{
	uint64_t rank = p->size + (named_root(p) ? UINT64_C(1) << 63 : 0);
	const struct cow_disk_part *loser = p;
	struct cow_disk_part before = l->ret->root;
	if (rank > l->root_rank) {
		l->ret->root = *p;
		l->root_rank = rank;
		loser = &before;
	}
	if (loser->size)
		add_words(l->ret->others, sizeof(l->ret->others), loser);
}

static int take(struct look *l, struct cow_disk_part *p)
{
	if (p->off >= l->size || p->size == 0)
		return 0;
	int r = probe_fs(l, p);
	if (r <= 0)
		return r;
	add_words(l->seen, sizeof(l->seen), p);
	if (is_linux(p))
		take_root(l, p);
	else if (strcmp(p->fs, "vfat") == 0 && !l->ret->boot.size)
		l->ret->boot = *p;
	return 0;
}

/* Return: how many partitions; -errno. */
static int take_all(struct look *l)
{
	autoprobe pr = blkid_new_probe();
	if (!pr)
		return -ENOMEM;
	if (blkid_probe_set_device(pr, l->fd, 0, (blkid_loff_t)l->size) < 0)
		return -EIO;
	(void)blkid_probe_enable_superblocks(pr, 0);
	(void)blkid_probe_enable_partitions(pr, 1);
	(void)blkid_probe_set_partitions_flags(pr, BLKID_PARTS_ENTRY_DETAILS);
	blkid_partlist list = blkid_do_fullprobe(pr) == 0 ? blkid_probe_get_partitions(pr) : NULL;
	int n = list ? blkid_partlist_numof_partitions(list) : 0;
	for (int i = 0; i < n; i++) {
		blkid_partition p = blkid_partlist_get_partition(list, i);
		struct cow_disk_part part = {
		    .number = (unsigned)blkid_partition_get_partno(p),
		    .off = (uint64_t)blkid_partition_get_start(p) * SECTOR,
		    .size = (uint64_t)blkid_partition_get_size(p) * SECTOR,
		};
		int r = blkid_partition_is_extended(p) ? 0 : take(l, &part);
		if (r < 0)
			return r;
	}
	return n;
}

int cow_disk_look(int fd, uint64_t size, const char *what, struct cow_disk *ret,
		  struct cow_err *err)
{
	struct look l = {.fd = fd, .size = size, .ret = ret};
	*ret = (struct cow_disk){0};
	int r = take_all(&l);
	if (r == 0) {
		struct cow_disk_part whole = {.size = size};
		r = take(&l, &whole);
	}
	if (r < 0)
		return cow_err_set(err, r, "look for partitions in '%s'", what);
	const struct cow_disk_part *cut = is_cut(&l, &ret->root) ? &ret->root : &ret->boot;
	if (ret->root.size && is_cut(&l, cut))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "'%s' is cut short: it has %" PRIu64
				   " bytes, and partition %u ends at %" PRIu64,
				   what, size, cut->number, cut->off + cut->size);
	if (ret->root.size)
		return 0;
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_FAILED, -ENODATA,
			"no root file system in '%s'; partitions: %s", what,
			*l.seen ? l.seen : "none that is known"),
	    "cowherd reads ext2, ext3, ext4, btrfs, xfs and f2fs; is this the image of "
	    "an installer?");
}
