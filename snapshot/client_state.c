/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * clients/ID/state/{boot,nfs,refused}: "time = ...", "address = ..."; refused has "count = ..." too. Written
 * often and worth little after a crash, so they are replaced by rename but not synced; a torn or missing
 * one reads as "never".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/fs.h"

int cow_client_state_dir(struct cow_store *s, const struct cow_mac *mac, int make)
{
	char path[64], id[COW_MAC_TEXT_LEN + 1];
	cow_mac_text(mac, id);
	(void)snprintf(path, sizeof(path), "clients/%s/state", id);
	int fd = openat(s->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT || !make)
		return fd < 0 ? -errno : fd;
	if (mkdirat(s->fd, path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(s->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void read_one(int dir, const char *name, int64_t *ret_when, char ret_addr[46],
		     uint64_t *ret_count)
{
	cow_autokv kv = NULL;
	uint64_t when = 0;
	*ret_when = 0;
	ret_addr[0] = 0;
	if (ret_count)
		*ret_count = 0;
	if (cow_kv_read_at(dir, name, &kv, NULL) < 0 ||
	    cow_kv_get_u64(kv, "", "time", 0, INT64_MAX, &when, NULL) < 0)
		return;
	*ret_when = (int64_t)when;
	const char *addr = cow_kv_get(kv, "", "address");
	if (addr && strlen(addr) < 46)
		memcpy(ret_addr, addr, strlen(addr) + 1);
	if (ret_count && cow_kv_get_u64(kv, "", "count", 0, UINT64_MAX, ret_count, NULL) < 0)
		*ret_count = 0;
}

int cow_client_state_read(struct cow_store *s, const struct cow_mac *mac,
			  struct cow_client_state *ret, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_mac_text(mac, id);
	cow_autoclose int dir = cow_client_state_dir(s, mac, 0);
	if (dir == -ENOENT) {
		*ret = (struct cow_client_state){0};
		return 0;
	}
	if (dir < 0)
		return cow_err_set(err, dir, "open the state of client %s", id);
	read_one(dir, "boot", &ret->boot_s, ret->boot_addr, NULL);
	read_one(dir, "nfs", &ret->nfs_s, ret->nfs_addr, NULL);
	read_one(dir, "refused", &ret->refused_s, ret->refused_addr, &ret->refused);
	return 0;
}

static int is_address(const char *addr)
{
	unsigned char buf[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, addr, buf) == 1 || inet_pton(AF_INET6, addr, buf) == 1;
}

/* Each record has one writer, so one fixed temporary name will do. */
static int write_one(struct cow_store *s, const struct cow_mac *mac, const char *name,
		     const char *temp, int64_t when_s, const char *addr, const char *more,
		     struct cow_err *err)
{
	char text[192];
	if (when_s < 0 || (addr && *addr && !is_address(addr)))
		return cow_err_set(err, -EINVAL, "record '%s' of a client", name);
	int len = snprintf(text, sizeof(text), "time = %lld\naddress = %s\n%s", (long long)when_s,
			   addr ? addr : "", more);
	char id[COW_MAC_TEXT_LEN + 1];
	cow_mac_text(mac, id);
	cow_autoclose int dir = cow_client_state_dir(s, mac, 1);
	if (dir < 0)
		return cow_err_set(err, dir, "open the state of client %s", id);
	cow_autoclose int fd =
	    openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : cow_write_full(fd, text, (size_t)len);
	if (r == 0 && renameat(dir, temp, dir, name) < 0)
		r = -errno;
	return r < 0 ? cow_err_set(err, r, "record '%s' of a client", name) : 0;
}

int cow_client_state_boot(struct cow_store *s, const struct cow_mac *mac, int64_t when_s,
			  const char *addr, struct cow_err *err)
{
	return write_one(s, mac, "boot", ".boot", when_s, addr, "", err);
}

int cow_client_state_nfs(struct cow_store *s, const struct cow_mac *mac, int64_t when_s,
			 const char *addr, struct cow_err *err)
{
	return write_one(s, mac, "nfs", ".nfs", when_s, addr, "", err);
}

int cow_client_state_refused(struct cow_store *s, const struct cow_mac *mac, int64_t when_s,
			     const char *addr, uint64_t more, struct cow_err *err)
{
	struct cow_client_state st = {0};
	char text[48];
	int r = cow_client_state_read(s, mac, &st, err);
	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "count = %llu\n", (unsigned long long)st.refused + more);
	return write_one(s, mac, "refused", ".refused", when_s, addr, text, err);
}
