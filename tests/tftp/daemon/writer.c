/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See writer.h.
 */
#include "daemon.h"

#include "writer.h"

struct writer writer_begin(const char *mac_text)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(mac_text);
	struct writer w;
	cow_autonode root = NULL;

	must(cow_client_attach(lab.store, &mac, 0, &w.inst, &err), "attach", &err);
	must(cow_ovl_root(w.inst, &root), "root", NULL);
	must(cow_ovl_lookup(root, "boot", 4, &w.boot, NULL), "boot", NULL);
	return w;
}

void writer_end(struct writer *w)
{
	cow_ovl_put(w->boot);
	must(cow_ovl_inst_close(w->inst), "detach", NULL);
}

void writer_put(struct writer *w, const char *name, const void *data, size_t len)
{
	const struct cow_ovl_create how = {.type = S_IFREG, .mode = 0644};
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	int r = cow_ovl_lookup(w->boot, name, strlen(name), &n, NULL);

	if (r == -ENOENT)
		r = cow_ovl_create(w->boot, name, strlen(name), &cow_ovl_root_cred, &how, &n, NULL);
	must(r, name, NULL);
	must(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE | COW_OPEN_TRUNC, &o), name, NULL);
	for (size_t done = 0; done < len;) {
		struct iovec iov = {(char *)(uintptr_t)data + done, len - done};
		ssize_t got = cow_ovl_write(o, &iov, 1, done, 0);

		must(got > 0 ? 0 : -EIO, name, NULL);
		done += (size_t)got;
	}
}

void writer_cut(struct writer *w, const char *name, uint64_t size)
{
	const struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = size};
	cow_autonode n = NULL;

	must(cow_ovl_lookup(w->boot, name, strlen(name), &n, NULL), name, NULL);
	must(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL), name, NULL);
}
