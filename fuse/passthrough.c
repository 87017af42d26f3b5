/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See passthrough.h.
 */
#include "passthrough.h"

#include <stdint.h>
#include <stdlib.h>

void cow_pass_init(struct cow_passthrough *p)
{
	(void)pthread_mutex_init(&p->m, NULL); /* cannot fail without attributes */
}

#ifdef FUSE_CAP_PASSTHROUGH

struct cow_pass_file {
	const struct cow_ovl_node *node; /* kept by its opens */
	unsigned opens;
	int backing_id; /* 0: read and written through us */
	struct cow_pass_file *next;
};

void cow_pass_done(struct cow_passthrough *p)
{
	for (size_t k = 0; k < COW_PASS_BUCKETS; k++)
		while (p->bucket[k]) { /* of a connection that was cut */
			struct cow_pass_file *f = p->bucket[k];
			p->bucket[k] = f->next;
			free(f);
		}
	(void)pthread_mutex_destroy(&p->m);
}

void cow_pass_ask(struct cow_passthrough *p, struct fuse_conn_info *conn, bool wanted)
{
	p->on = wanted && conn->capable & FUSE_CAP_PASSTHROUGH;
	if (p->on)
		conn->want |= FUSE_CAP_PASSTHROUGH;
}

static struct cow_pass_file **find_locked(struct cow_passthrough *p,
					  const struct cow_ovl_node *node)
{
	/* The low bits of addresses from malloc(3) are all alike. */
	struct cow_pass_file **f = &p->bucket[((uintptr_t)node >> 6) % COW_PASS_BUCKETS];
	while (*f && (*f)->node != node)
		f = &(*f)->next;
	return f;
}

/* The kernel writes as we, root, which strips nothing; so a write to such a file goes through us. */
static bool strips(struct cow_ovl_open *o)
{
	struct cow_ovl_attr a;
	return cow_ovl_getattr(cow_ovl_open_node(o), &a) < 0 || a.mode & (S_ISUID | S_ISGID);
}

/* The first open decides. Without memory it is not passed through and not counted, which a later
 * one could contradict: so none is passed through then. */
static struct cow_pass_file *enter_locked(struct cow_passthrough *p, fuse_req_t req,
					  struct cow_ovl_open *o)
{
	const struct cow_ovl_node *node = cow_ovl_open_node(o);
	struct cow_pass_file **at = find_locked(p, node);
	if (*at)
		return *at;
	struct cow_pass_file *f = calloc(1, sizeof(*f));
	if (!f) {
		p->on = false;
		return NULL;
	}
	int fd = p->on && !strips(o) ? cow_ovl_backing(o) : -1;
	int id = fd >= 0 ? fuse_passthrough_open(req, fd) : 0;
	*f = (struct cow_pass_file){.node = node, .backing_id = id > 0 ? id : 0};
	*at = f;
	return f;
}

void cow_pass_open(struct cow_passthrough *p, fuse_req_t req, struct cow_ovl_open *o,
		   struct fuse_file_info *fi)
{
	pthread_mutex_lock(&p->m);
	struct cow_pass_file *f = enter_locked(p, req, o);
	if (f)
		f->opens++;
	if (f && f->backing_id > 0) {
		fi->backing_id = f->backing_id;
		fi->keep_cache = 0; /* the data is the backing file's from now on */
	}
	pthread_mutex_unlock(&p->m);
}

void cow_pass_close(struct cow_passthrough *p, fuse_req_t req, struct cow_ovl_open *o)
{
	pthread_mutex_lock(&p->m);
	struct cow_pass_file **at = find_locked(p, cow_ovl_open_node(o)), *f = *at;
	if (f && --f->opens == 0) {
		if (f->backing_id > 0)
			(void)fuse_passthrough_close(req,
						     f->backing_id); /* it goes with the mount */
		*at = f->next;
		free(f);
	}
	pthread_mutex_unlock(&p->m);
}

#else /* an older libfuse */

void cow_pass_done(struct cow_passthrough *p)
{
	(void)pthread_mutex_destroy(&p->m);
}

void cow_pass_ask(struct cow_passthrough *p, struct fuse_conn_info *conn, bool wanted)
{
}

void cow_pass_open(struct cow_passthrough *p, fuse_req_t req, struct cow_ovl_open *o,
		   struct fuse_file_info *fi)
{
}

void cow_pass_close(struct cow_passthrough *p, fuse_req_t req, struct cow_ovl_open *o)
{
}

#endif
