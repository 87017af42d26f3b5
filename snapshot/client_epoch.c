/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * clients/ID/epoch: 8 bytes, written in place by one aligned pwrite(2), mapped by servers. The file
 * is never replaced, so a mapping sees every change.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client_internal.h"
#include "common/fs.h"

int cow_client_epoch_write(int client_dir, uint64_t epoch)
{
	cow_autoclose int fd =
	    openat(client_dir, "epoch", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	/* Not synced: after a power cut it is made right before anybody maps it (sweep, attach). */
	return cow_pwrite_full(fd, &epoch, sizeof(epoch), 0);
}

int cow_client_epoch_repair(int client_dir, struct cow_err *err)
{
	uint64_t want, have = 0;
	unsigned n;
	int r = cow_client_current(client_dir, &n);
	if (r < 0)
		return cow_err_set(err, r, "read the link 'current'");
	cow_autoclose int root = cow_client_root_dir(client_dir, n);
	if (root < 0)
		return cow_err_set(err, root, "open root %u", n);
	r = cow_ovl_inst_read_epoch(root, &want, err);
	if (r < 0)
		return r;
	cow_autoclose int fd = openat(client_dir, "epoch", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && cow_pread_full(fd, &have, sizeof(have), 0) == sizeof(have) && have == want)
		return 0;
	r = cow_client_epoch_write(client_dir, want);
	return r < 0 ? cow_err_set(err, r, "write 'epoch'") : 0;
}

int cow_client_epoch_map(struct cow_store *s, const struct cow_mac *mac,
			 const volatile uint64_t **ret, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	struct stat st;
	cow_mac_text(mac, id);
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	cow_autoclose int dir = clients < 0 ? clients : cow_opendir_at(clients, id);
	if (dir < 0)
		return cow_err_set(err, dir, "open client %s", id);
	cow_autoclose int fd = openat(dir, "epoch", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cow_err_set(err, -errno, "open the epoch of client %s", id);
	if (st.st_size < (off_t)sizeof(uint64_t)) /* reading the mapping would be SIGBUS */
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "the epoch of client %s is damaged", id);
	void *p = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return cow_err_set(err, -errno, "map the epoch of client %s", id);
	*ret = p;
	return 0;
}

void cow_client_epoch_unmap(const volatile uint64_t *epoch)
{
	if (epoch)
		(void)munmap((void *)(uintptr_t)epoch,
			     sizeof(uint64_t)); /* fails for no mapping of ours */
}
