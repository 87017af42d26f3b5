/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From a name to a file, against everything that may lie in a client's tree, in the administrator's folder
 * and around them, changing while it is read. A store on a tmpfs of this process's own mount namespace; the
 * input is a program of one-byte steps (see step()) that changes the tree and asks for names.
 *
 * Every file says in each 8 bytes whose it is, so that what is delivered shows where it came from:
 *	R1  nothing that lies outside what this client may have: SECRET
 *	R2  nothing of another client, and the client is the one the prefix or the address says
 *	R3  no denied name, but the administrator's own; no file of the tree that others may not read
 *	R4  no directory, FIFO, device, link or empty file of the tree
 *	R5  as many bytes as the size that was told
 *	R6  what a boot was given once is the same until the boot is over, whatever happens to the file
 *
 * The store is made once, and of each execution what it changed is put back (resolve/kept.h). The parts are in resolve/.
 * Needs root (mounts, trusted.* attributes); says so and exits 77 without.
 */
#include <string.h>

#include "common/clock.h"
#include "resolve/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 200
#define ROOTS_MAX 2 /* they take as long as a hundred other steps */

static void pass_time(struct run *r)
{
	static const unsigned ms[] = {0, 10, 1500, 2100, 4000, 31000, 200000};

	r->now_ms += ms[next(r) % (sizeof(ms) / sizeof(ms[0]))];
	cow_tftp_files_tick(&r->files, r->now_ms);
}

static void step(struct run *r)
{
	switch (next(r) % 16) {
	case 0:
		create(r, names[next(r) % NAMES]);
		return;
	case 1:
		remove_at(r, names[next(r) % NAMES]);
		return;
	case 2:
		move(r, names[next(r) % NAMES]);
		return;
	case 3:
		write_or_cut(r, names[next(r) % NAMES]);
		return;
	case 4:
		change_mode(r, names[next(r) % NAMES]);
		return;
	case 5:
	case 6:
		administrate(r, names[next(r) % NAMES]);
		return;
	case 7:
		pass_time(r);
		return;
	case 8:
		ask_raw(r);
		return;
	case 9:
		if (r->roots++ < ROOTS_MAX)
			new_root(r);
		return;
	case 10:
		(void)deliver(&r->open[next(r) % DELIVERIES]);
		return;
	case 11:
		while (deliver(&r->open[0]))
			;
		return;
	default:
		ask(r);
	}
}

static void begin(struct run *r)
{
	r->now_ms = cow_now_ms();
	r->files = (struct cow_tftp_files){.site = {.nfs = "4.2",
						    .nfs_port = 2049,
						    .mount_port = 20048,
						    .trust = COW_TFTP_TRUST_MATCH,
						    .loader_fd = lab.loader_fd,
						    .event_fd = -1},
					   .neigh_fd = -1,
					   .leases = lab.leases};
	must(cow_tftp_clients_new(lab.store, &r->files.clients), "clients", NULL);
	cow_tftp_clients_on_over(r->files.clients, cow_tftp_files_over, &r->files);
}

static void finish(struct run *r)
{
	struct cow_err err = COW_ERR_INIT;

	for (unsigned k = 0; k < DELIVERIES; k++)
		cow_tftp_content_free(r->open[k].content);
	cow_tftp_clients_free(r->files.clients);
	detach(r);
	lab_put_back();
	if (r->roots > 0)
		must(cow_store_empty_trash(lab.store, &err), "trash", &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = {.in = data, .end = data + size};
	unsigned steps = 0;

	if (!lab.store)
		lab_make();
	begin(&r);
	while (r.in < r.end && steps++ < STEPS_MAX)
		step(&r);
	finish(&r);
	return 0;
}
