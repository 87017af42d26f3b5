/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Record of a boot: see record.h.
 */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cow_tftp_asked {
	int64_t at_s;
	uint64_t size, ms;
	unsigned resends;
	const char *result;
	char name[COW_TFTP_RECORD_NAME_MAX + 1];
};

void cow_tftp_record_begin(struct cow_tftp_record *r, const char *addr, int64_t now_s,
			   uint64_t now_ms)
{
	*r = (struct cow_tftp_record){.start_s = now_s, .start_ms = now_ms, .last_ms = now_ms};
	(void)snprintf(r->addr, sizeof(r->addr), "%s", addr);
}

void cow_tftp_record_done(struct cow_tftp_record *r)
{
	free(r->asked);
	r->asked = NULL;
	r->count = r->room = 0;
}

/* The next entry; the oldest when there are as many as we keep. NULL: no memory, it is not kept. */
static struct cow_tftp_asked *next(struct cow_tftp_record *r)
{
	if (r->count == r->room && r->room < COW_TFTP_RECORD_REQUESTS) {
		size_t room = r->room ? 2 * r->room : 25;
		void *p = reallocarray(r->asked, room, sizeof(r->asked[0]));

		if (!p)
			return NULL;
		r->asked = p;
		r->room = room;
	}
	return &r->asked[r->count++ % COW_TFTP_RECORD_REQUESTS];
}

static void count(struct cow_tftp_record *r, const struct cow_tftp_outcome_of *o)
{
	if (strcmp(o->result, "missing") == 0) {
		r->missing++;
	} else if (strcmp(o->result, "refused") == 0) {
		r->refused++;
	} else if (strcmp(o->result, "delivered") == 0) {
		r->files++;
		r->bytes += o->size;
	} else if (strcmp(o->result, "aborted") != 0) { /* which is how boards ask for a size */
		r->failed++;
	}
	r->resends += o->resends;
}

void cow_tftp_record_add(struct cow_tftp_record *r, const struct cow_tftp_outcome_of *o,
			 uint64_t now_ms)
{
	struct cow_tftp_asked *a = next(r);
	size_t len = o->len;
	const char *name = o->raw;

	count(r, o);
	r->changed = true;
	r->last_ms = now_ms;
	if (!a)
		return;
	if (len > COW_TFTP_RECORD_NAME_MAX) {
		name += len - COW_TFTP_RECORD_NAME_MAX;
		len = COW_TFTP_RECORD_NAME_MAX;
	}
	*a = (struct cow_tftp_asked){.at_s = r->start_s + (int64_t)((now_ms - r->start_ms) / 1000),
				     .size = o->size,
				     .ms = o->ms,
				     .resends = o->resends,
				     .result = o->result};
	memcpy(a->name, name, len);
}

int cow_tftp_record_request(const struct cow_tftp_record *r, size_t n, const char *mac,
			    struct cow_fields *line)
{
	size_t first =
	    r->count > COW_TFTP_RECORD_REQUESTS ? r->count - COW_TFTP_RECORD_REQUESTS : 0;

	if (first + n >= r->count)
		return 0;
	const struct cow_tftp_asked *a = &r->asked[(first + n) % COW_TFTP_RECORD_REQUESTS];

	cow_fields_begin(line, "request");
	cow_fields_add_u64(line, "v", 1);
	cow_fields_add(line, "mac", mac);
	cow_fields_add_u64(line, "at", (uint64_t)a->at_s);
	cow_fields_add(line, "result", a->result);
	cow_fields_add_u64(line, "size", a->size);
	cow_fields_add_u64(line, "ms", a->ms);
	cow_fields_add_u64(line, "resends", a->resends);
	cow_fields_add(line, "name", a->name);
	return cow_fields_end(line);
}

void cow_tftp_record_forget(struct cow_tftp_record *r)
{
	cow_tftp_record_done(r);
	r->changed = false;
}

/* ---------------------------------------------------------------- models */

/* "bcm2711-rpi-4-b.dtb" is exact, and each firmware asks for one: rank 3. */
static bool model_of_dtb(const char *name, char model[COW_TFTP_MODEL_LEN + 1])
{
	const char *board = strncmp(name, "bcm27", 5) == 0 ? strstr(name, "-rpi-") : NULL;
	size_t len = board ? strlen(++board) : 0;

	if (len <= strlen("rpi-") + strlen(".dtb") || strcmp(board + len - 4, ".dtb") != 0 ||
	    len - 4 > COW_TFTP_MODEL_LEN)
		return false;
	len -= 4;
	if (strspn(board, "abcdefghijklmnopqrstuvwxyz0123456789-") < len)
		return false;
	memcpy(model, board, len);
	model[len] = '\0';
	return true;
}

void cow_tftp_model_note(char model[COW_TFTP_MODEL_LEN + 1], unsigned *rank, const char *path,
			 bool first)
{
	static const struct {
		const char *name, *model;
		unsigned rank;
		bool first; /* says so only where a boot begins with it */
	} known[] = {
	    {"bootcode.bin", "rpi-3", 2},    {"start4.elf", "rpi-4", 2},
	    {"kernel_2712.img", "rpi-5", 2}, {"boot.ipxe", "pc", 2},
	    {"undionly.kpxe", "pc", 2},	     {"ipxe.efi", "pc", 2},
	    {"snponly.efi", "pc", 2},	     {"pxelinux.0", "pc", 2},
	    {"grubpc.0", "pc", 2},	     {"bootx64.efi", "pc", 2},
	    {"start.elf", "rpi-3", 1},	     {"config.txt", "rpi-5", 1, true},
	};
	const char *name = cow_tftp_basename(path);

	if (*rank < 3 && model_of_dtb(name, model))
		*rank = 3;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].rank <= *rank || (known[i].first && !first) ||
		    strcmp(name, known[i].name) != 0)
			continue;
		(void)snprintf(model, COW_TFTP_MODEL_LEN + 1, "%s", known[i].model);
		*rank = known[i].rank;
	}
}
