/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd doctor: the store, and the records of clients in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "doctor.h"
#include "snapshot/space.h"

#define LOW_INODES_PERCENT 5

/* ------------------------------------------------ store */

static void check_space(struct cow_doctor *d, const struct statvfs *v)
{
	static const struct cow_fault space = {
	    "[store] space_warn and space_refuse",
	    "below space_refuse no client is added, reset or rolled and no "
	    "version is made; when the store is full every write of every client fails",
	    "cowherd gc; see what uses how much (cowherd status --space), limit "
	    "clients (cowherd client set NAME limit=SIZE), "
	    "or give it more room"};
	static const struct cow_fault inodes = {
	    "free inodes of the store's file system",
	    "without any, clients cannot make files although there is space",
	    "remove images or clients; ext4 cannot get more inodes, a new one can (mkfs.ext4 -i)"};
	char free_text[COW_BYTES_LEN], all_text[COW_BYTES_LEN];
	struct cow_space now = {0};

	cow_config_space(d->config, d->store);
	if (cow_store_space(d->store, &now) < 0)
		now.level = COW_SPACE_OK; /* it answered a moment ago */
	cow_cli_bytes(now.free, free_text);
	cow_cli_bytes(now.total, all_text);
	if (now.level != COW_SPACE_OK)
		cow_doctor_find(d, NULL, &space, "%s of %s are free in '%s'", free_text, all_text,
				d->config->store_path);
	if (v->f_files > 0 && v->f_favail < v->f_files / 100 * LOW_INODES_PERCENT)
		cow_doctor_find(d, NULL, &inodes, "%llu of %llu inodes are free in '%s'",
				(unsigned long long)v->f_favail, (unsigned long long)v->f_files,
				d->config->store_path);
}

static void check_owner(struct cow_doctor *d, const char *name)
{
	static const struct cow_fault fault = {
	    "owner and mode of the store's folders",
	    "who may write there can replace the root of any machine, and everything in it",
	    "chown root:root and chmod go-w; nothing but root has to write there"};
	struct stat st;

	if (fstatat(cow_store_fd(d->store), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* one that is missing, the commands make */
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
		cow_doctor_find(d, NULL, &fault, "'%s/%s' has owner %u and mode %04o",
				d->config->store_path, name, (unsigned)st.st_uid,
				(unsigned)(st.st_mode & 07777));
}

/* What `cowherd init` has tried by writing, as far as it shows without. */
static void check_features(struct cow_doctor *d)
{
	static const struct cow_fault fault = {
	    "what the store's file system can do",
	    "changes of clients are kept with extended attributes and found by file handles; "
	    "without these no "
	    "root can be made or read",
	    "move the store to ext4, xfs or btrfs, or use cowherd init --loop"};
	struct {
		struct file_handle head;
		unsigned char bytes[20]; /* as much as an NFS handle of ours has room for */
	} h = {.head.handle_bytes = sizeof(h.bytes)};
	int fd = cow_store_fd(d->store), mount_id;
	char value[8];

	if (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) < 0 &&
	    errno == EOPNOTSUPP)
		cow_doctor_find(
		    d, NULL, &fault,
		    "the file system of '%s' has no extended attributes of the kind trusted.*",
		    d->config->store_path);
	if (name_to_handle_at(fd, "", &h.head, &mount_id, AT_EMPTY_PATH) < 0)
		cow_doctor_find(
		    d, NULL, &fault,
		    "the file system of '%s' has no file handles of at most 20 bytes (%s)",
		    d->config->store_path, strerrorname_np(errno));
}

void cow_doctor_store(struct cow_doctor *d)
{
	static const struct cow_fault missing = {
	    "[store] path", "there is nothing to serve",
	    "cowherd init makes one; on another disk: mount it, or correct [store] path"};
	static const struct cow_fault read_only = {
	    "how the store is mounted", "no client can write, none can be added or reset",
	    "see why (dmesg: after errors a file system becomes read-only), check it, mount it "
	    "anew"};
	static const char *const dirs[] = {".", "images", "clients"};
	struct statvfs v;

	if (!d->store) {
		cow_doctor_find(d, NULL, &missing, "%s", cow_err_str(&d->store_error));
		return;
	}
	if (fstatvfs(cow_store_fd(d->store), &v) < 0) {
		cow_doctor_skip(d, "its file system does not answer (%s)", strerrorname_np(errno));
		return;
	}
	check_space(d, &v);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		check_owner(d, dirs[i]);
	if (v.f_flag & ST_RDONLY)
		cow_doctor_find(d, NULL, &read_only, "'%s' is mounted read-only",
				d->config->store_path);
	check_features(d);
}

/* ------------------------------------------------ records */

static void check_record(struct cow_doctor *d, const struct cow_client *c)
{
	static const struct cow_fault gone = {
	    "the image its root stands on", "its root cannot be read: it does not boot",
	    "bring the version back from a backup of the store, or put the client on another "
	    "image: cowherd "
	    "client set NAME follows=IMAGE, then cowherd client reset NAME"};
	static const struct cow_fault lost = {"the image it follows",
					      "it runs, but cannot be reset",
					      "cowherd client set NAME follows=IMAGE"};
	char ref[COW_LABEL_MAX + 16];
	struct cow_err err = COW_ERR_INIT;
	cow_autoimage image = NULL;
	cow_autoimage followed = NULL;

	(void)snprintf(ref, sizeof(ref), "%s@%u", c->image, c->version);
	if (cow_image_find(d->store, ref, &image, &err) < 0)
		cow_doctor_find(d, c, &gone, "%s: its image %s: %s", c->name, ref,
				cow_err_str(&err));
	else if (cow_image_find(d->store, c->follows, &followed, &err) < 0)
		cow_doctor_find(d, c, &lost, "%s: it follows %s: %s", c->name, c->follows,
				cow_err_str(&err));
}

static int damaged(void *ctx, const struct cow_client *c, const char *id, const struct cow_err *why)
{
	static const struct cow_fault fault = {"client.conf and the link to its root",
					       "this client is not served",
					       "bring the file back from a backup, or remove the "
					       "client (cowherd client rm) and add it again"};

	if (!c)
		cow_doctor_find(ctx, NULL, &fault, "client '%s': %s", id, cow_err_str(why));
	return 0;
}

void cow_doctor_records(struct cow_doctor *d)
{
	struct cow_err err = COW_ERR_INIT;

	cow_doctor_each_client(d, check_record);
	if (d->store && !d->only && cow_client_each(d->store, damaged, d, &err) < 0)
		cow_doctor_skip(d, "%s", cow_err_str(&err));
}
