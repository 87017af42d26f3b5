/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The pin of a boot: see pin.h.
 */
#include "pin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "tftp/limits.h"

struct cow_tftp_pinned {
	char *path;
	struct cow_tftp_content *content;
	size_t copied; /* bytes of memory that count */
};

/* Of all boots of the process. */
static size_t all_files, all_copies;
static uint64_t last_id;

/* A pinned file on its way: borrows the content, holds the pin. */
struct lease {
	struct cow_tftp_content base;
	struct cow_tftp_pin *pin;
	struct cow_tftp_content *content;
};

static int lease_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	struct lease *l = (struct lease *)c;

	if (!c->in_memory)
		l->pin->read_ms = cow_now_ms();
	return l->content->read(l->content, buf, len, off);
}

static void lease_free(struct cow_tftp_content *c)
{
	cow_tftp_pin_put(((struct lease *)c)->pin);
	free(c);
}

static int lend(struct cow_tftp_pin *p, struct cow_tftp_content *content,
		struct cow_tftp_content **ret)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->base = (struct cow_tftp_content){.size = content->size,
					    .in_memory = content->in_memory,
					    .settled = content->settled,
					    .file = content->file,
					    .read = lease_read,
					    .free = lease_free};
	l->base.ticket = p->id;
	l->content = content;
	l->pin = p;
	p->refs++;
	*ret = &l->base;
	return 0;
}

int cow_tftp_pin_new(struct cow_client *conf, struct cow_tftp_view *view, int view_error,
		     struct cow_tftp_pin **ret)
{
	struct cow_tftp_pin *p = calloc(1, sizeof(*p));

	if (!p) {
		cow_client_free(conf);
		return -ENOMEM;
	}
	p->refs = 1;
	p->id = ++last_id;
	p->conf = conf;
	p->view = view ? cow_tftp_view_get(view) : NULL;
	p->view_error = view_error;
	*ret = p;
	return 0;
}

void cow_tftp_pin_put(struct cow_tftp_pin *p)
{
	if (!p || --p->refs > 0)
		return;
	for (size_t i = 0; i < p->files; i++) {
		cow_tftp_content_free(p->file[i].content);
		free(p->file[i].path);
		all_copies -= p->file[i].copied;
	}
	all_files -= p->files;
	free(p->file);
	cow_tftp_record_done(&p->record);
	cow_tftp_view_put(p->view);
	cow_client_free(p->conf);
	free(p);
}

bool cow_tftp_pin_find(struct cow_tftp_pin *p, const char *path, struct cow_tftp_content **ret)
{
	for (size_t i = 0; i < p->files; i++) {
		if (strcmp(p->file[i].path, path) == 0)
			return lend(p, p->file[i].content, ret) == 0;
	}
	return false;
}

/* The next free entry; NULL: a limit is reached. */
static struct cow_tftp_pinned *make_room(struct cow_tftp_pin *p)
{
	if (p->files >= COW_TFTP_PINNED_FILES || all_files >= COW_TFTP_PINNED_ALL)
		return NULL;
	if (p->files == p->room) {
		size_t room = p->room ? 2 * p->room : 16;
		void *more = reallocarray(p->file, room, sizeof(p->file[0]));

		if (!more)
			return NULL;
		p->file = more;
		p->room = room;
	}
	return &p->file[p->files];
}

/* Too long, or no memory left for it: it is kept open, which is nearly as good. */
static int settle(struct cow_tftp_content **c, size_t *ret_copied)
{
	uint64_t size = (*c)->size;
	bool is_copy = (*c)->in_memory;
	int r = 0;

	*ret_copied = 0;
	if (!(*c)->settled && all_copies + size <= COW_TFTP_PIN_COPIES) {
		r = cow_tftp_content_copy(c, COW_TFTP_PIN_COPY_MAX);
		is_copy = r == 0;
	}
	if (is_copy)
		*ret_copied = (size_t)size;
	return r == -EFBIG || r == -ENOMEM ? 0 : r;
}

int cow_tftp_pin_add(struct cow_tftp_pin *p, const char *path, struct cow_tftp_content *content,
		     struct cow_tftp_content **ret)
{
	struct cow_tftp_pinned *e = make_room(p);
	char *copy = e ? strdup(path) : NULL;

	if (!copy) {
		cow_log(COW_LOG_DEBUG, "client=%s file=%s is not kept for this boot", p->conf->id,
			COW_Q(path));
		content->ticket = p->id;
		*ret = content;
		return 0;
	}
	*e = (struct cow_tftp_pinned){.path = copy, .content = content};
	int r = settle(&e->content, &e->copied);

	if (r == 0)
		r = lend(p, e->content, ret);
	if (r < 0) {
		cow_tftp_content_free(e->content);
		free(copy);
		return r;
	}
	all_copies += e->copied;
	all_files++;
	p->files++;
	return 0;
}
