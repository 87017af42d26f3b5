/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A file handle as it comes from a client. As it stands it must be refused unless it is the genuine
 * one; with our number, epoch and MAC put on it, as if the key were known, its payload must at
 * worst be stale. One instance in a temporary directory serves all inputs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "common/siphash.h"
#include "overlay/overlay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define HEAD 16
#define RECORD_KEY 56 /* offset of the key in the instance record */

static struct {
	char path[32];
	int tmp, fd; /* /tmp and the directory in it */
	struct cow_ovl_inst *inst;
	uint8_t genuine[COW_OVL_HANDLE_MAX], key[COW_SIPHASH_KEY_LEN];
	size_t len;
} own;

static void clean_up(void)
{
	(void)cow_ovl_inst_close(own.inst);
	(void)cow_rm_rf_at(own.tmp, own.path + strlen("/tmp/"), 0);
}

static void set_up(void)
{
	struct cow_ovl_node *root;
	strcpy(own.path, "/tmp/cow-fuzz-XXXXXX");
	CHECK(mkdtemp(own.path));
	own.tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own.fd = open(own.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(own.fd >= 0 && mkdirat(own.fd, "tree", 0755) == 0);
	CHECK(cow_ovl_inst_create(own.fd, NULL, NULL, NULL) == 0);
	CHECK(cow_ovl_inst_open(own.fd, NULL, COW_OVL_OBSERVER, &own.inst, NULL) == 0);
	CHECK(atexit(clean_up) == 0);
	CHECK(cow_ovl_root(own.inst, &root) == 0);
	own.len = cow_ovl_handle(root, own.genuine);
	cow_ovl_put(root);
	int rec = openat(own.fd, "instance", O_RDONLY | O_CLOEXEC);
	CHECK(pread(rec, own.key, sizeof(own.key), RECORD_KEY) == sizeof(own.key));
	(void)close(rec);
}

static int try(const uint8_t *h, size_t len)
{
	struct cow_ovl_node *n = NULL;
	int checked = cow_ovl_handle_check(own.inst, h, len);
	int r = cow_ovl_from_handle(own.inst, h, len, &n);
	CHECK(checked == 0 || checked == r);
	CHECK((r == 0) == (n != NULL));
	cow_ovl_put(n);
	return r;
}

static void raw(const uint8_t *data, size_t size)
{
	int r = try(data, size);
	if (size == own.len && memcmp(data, own.genuine, size) == 0)
		CHECK(r == 0);
	else
		CHECK(r == -EBADMSG || r == -ESTALE);
}

static void signed_by_us(const uint8_t *data, size_t size)
{
	uint8_t h[COW_OVL_HANDLE_MAX];
	if (size < HEAD || size > sizeof(h) - COW_OVL_HANDLE_MAC_LEN)
		return;
	memcpy(h, data, size);
	memcpy(h + 4, own.genuine + 4, HEAD - 4); /* instance and epoch */
	cow_put_le64(h + size, cow_siphash24(own.key, h, size));
	int r = try(h, size + COW_OVL_HANDLE_MAC_LEN);
	CHECK(r == 0 || r == -ESTALE || r == -EBADMSG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!own.inst)
		set_up();
	raw(data, size);
	signed_by_us(data, size);
	return 0;
}
