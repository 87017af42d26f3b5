/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "snapshot/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "btrfs.h"
#include "common/bounds.h"
#include "common/fs.h"
#include "common/log.h"
#include "store_internal.h"

#define FORMAT_FAMILY "cowherd-store "

void cow_store_close(struct cow_store *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		(void)close(s->fd); /* a directory: nothing to lose */
	free(s->path);
	free(s);
}

/* STORE/format holds one line; anything after it belongs to a format we do not know. */
static int check_format(int fd, const char *path, struct cow_err *err)
{
	cow_autofree char *text = NULL;
	size_t len;
	int r = cow_read_file_at(fd, "format", 256, &text, &len);
	if (r == -ENOENT)
		return cow_err_hint(
		    err,
		    cow_err_say(err, COW_ERR_NOT_FOUND, r,
				"no store at '%s' (it has no file 'format')", path),
		    "make one with 'cowherd init --store %s', or mount it if it is a loop file.",
		    path);
	if (r < 0)
		return cow_err_set(err, r, "read '%s/format'", path);
	text[strcspn(text, "\n")] = 0;
	if (strcmp(text, COW_STORE_FORMAT) == 0)
		return 0;
	if (strncmp(text, FORMAT_FAMILY, strlen(FORMAT_FAMILY)) == 0)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_REFUSED, -EPROTONOSUPPORT,
						"store '%s' has format %s, this program knows '%s'",
						path, COW_Q(text), COW_STORE_FORMAT),
				    "use the cowherd that made it.");
	return cow_err_say(err, COW_ERR_REFUSED, -EPROTONOSUPPORT,
			   "'%s' is no cowherd store: 'format' reads %s", path, COW_Q(text));
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;
	return p ? (int)(p - digits) : -1;
}

static int read_id(struct cow_store *s, struct cow_err *err)
{
	cow_autofree char *text = NULL;
	size_t len;
	int r = cow_read_file_at(s->fd, "id", 256, &text, &len);
	if (r < 0)
		return cow_err_set(err, r, "read '%s/id'", s->path);
	for (size_t i = 0; i < sizeof(s->id); i++) {
		int hi = len >= COW_STORE_ID_LEN ? hex_digit(text[2 * i]) : -1;
		int lo = hi >= 0 ? hex_digit(text[2 * i + 1]) : -1;
		if (lo < 0)
			return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
					   "'%s/id' is damaged: not %d hex digits", s->path,
					   COW_STORE_ID_LEN);
		s->id[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

int cow_store_open(const char *path, struct cow_store **ret, struct cow_err *err)
{
	cow_autostore s = calloc(1, sizeof(*s));
	if (!s)
		return cow_err_set(err, -ENOMEM, "open store '%s'", path);
	s->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0) {
		int r = cow_err_set(err, -errno, "open store '%s'", path);
		return r == -ENOENT ? cow_err_hint(err, r, "make one with 'cowherd init'.") : r;
	}
	s->path = strdup(path);
	if (!s->path)
		return cow_err_set(err, -ENOMEM, "open store '%s'", path);
	int r = check_format(s->fd, path, err);
	if (r < 0)
		return r;
	r = read_id(s, err);
	if (r < 0)
		return r;
	r = cow_btrfs_check(s->fd);
	if (r < 0)
		return cow_err_set(err, r, "statfs '%s'", path);
	s->btrfs = r;
	*ret = cow_steal_ptr(&s);
	return 0;
}

int cow_store_fd(const struct cow_store *s)
{
	return s->fd;
}

const char *cow_store_path(const struct cow_store *s)
{
	return s->path;
}

/* One page cache for all clients, and the same on every file system. */
enum cow_backend cow_store_default_backend(const struct cow_store *s)
{
	(void)s;
	return COW_BACKEND_OVERLAY;
}

int cow_store_check_backend(const struct cow_store *s, enum cow_backend b, struct cow_err *err)
{
	if (b == COW_BACKEND_OVERLAY || (b == COW_BACKEND_BTRFS && s->btrfs))
		return 0;
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
					"backend %s: store '%s' is not on btrfs",
					cow_backend_name(b), s->path),
			    "use backend overlay, which works on every file system");
}

int cow_store_lock(struct cow_store *s, struct cow_err *err)
{
	int fd = cow_lock_at(s->fd, "lock", COW_LOCK_WAIT_MS);
	if (fd == -EBUSY)
		return cow_err_say(err, COW_ERR_BUSY, fd,
				   "store '%s' is locked by another process for a minute", s->path);
	if (fd < 0)
		return cow_err_set(err, fd, "lock store '%s'", s->path);
	return fd;
}

int cow_label_check(const char *label)
{
	size_t len =
	    strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
	if (!len || len > COW_LABEL_MAX || label[len] || label[0] == '.' || label[0] == '-')
		return -EINVAL;
	return 0;
}
