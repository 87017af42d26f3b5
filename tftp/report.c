/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A boot is over: one line in the log, and its record to the supervisor, who may write files. Lines of words
 * (common/fields.h), whole ones per write and less than PIPE_BUF, so that none is torn. A supervisor that does not
 * read delays nothing: the rest is told at the next turn, or never.
 */
#include "files.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "pin.h"

/* Lines that go out together. */
struct bundle {
	int fd;
	size_t len;
	char text[PIPE_BUF];
};

static int flush(struct bundle *b)
{
	ssize_t n = b->len ? write(b->fd, b->text, b->len) : 0;

	if (n != (ssize_t)b->len)
		return n < 0 ? -errno : -EIO;
	b->len = 0;
	return 0;
}

/* Return: 0; -errno, and the line is not among those that went out. */
static int add(struct bundle *b, const char *line, size_t len)
{
	int r = b->len + len > sizeof(b->text) ? flush(b) : 0;

	if (r < 0)
		return r;
	memcpy(b->text + b->len, line, len);
	b->len += len;
	return 0;
}

static int session_line(const struct cow_tftp_pin *p, struct cow_fields *f)
{
	const struct cow_tftp_record *r = &p->record;
	const struct cow_client *c = p->conf;

	cow_fields_begin(f, "session");
	cow_fields_add_u64(f, "v", 1);
	cow_fields_add(f, "mac", c->id);
	cow_fields_add_u64(f, "boot", r->boot);
	cow_fields_add_u64(f, "start", (uint64_t)r->start_s);
	cow_fields_add_u64(f, "ms", r->last_ms - r->start_ms);
	cow_fields_add(f, "addr", r->addr);
	cow_fields_add(f, "image", c->image);
	cow_fields_add_u64(f, "version", c->version);
	cow_fields_add_u64(f, "root", c->root);
	cow_fields_add(f, "model", *r->model ? r->model : NULL);
	cow_fields_add(f, "serial", *r->serial ? r->serial : NULL);
	cow_fields_add(f, "first", *r->first ? r->first : NULL);
	cow_fields_add_u64(f, "files", r->files);
	cow_fields_add_u64(f, "bytes", r->bytes);
	cow_fields_add_u64(f, "resends", r->resends);
	cow_fields_add_u64(f, "missing", r->missing);
	cow_fields_add_u64(f, "refused", r->refused);
	cow_fields_add_u64(f, "failed", r->failed);
	return cow_fields_end(f);
}

/* The requests that went out are forgotten in one go, so after a failure some may come twice. */
static int tell(int fd, const struct cow_tftp_pin *p)
{
	struct bundle b = {.fd = fd};
	struct cow_fields f;
	int len = session_line(p, &f);
	int r = len < 0 ? len : add(&b, f.line, (size_t)len);

	for (size_t n = 0;
	     r == 0 && (len = cow_tftp_record_request(&p->record, n, p->conf->id, &f)) != 0; n++) {
		if (len > 0)
			r = add(&b, f.line, (size_t)len);
	}
	return r < 0 ? r : flush(&b);
}

static void log_boot(const struct cow_tftp_pin *p)
{
	const struct cow_tftp_record *r = &p->record;
	const struct cow_client *c = p->conf;

	cow_log(COW_LOG_INFO,
		"booted client=%s name=%s model=%s serial=%s image=%s@%u root=%u addr=%s files=%u "
		"bytes=%llu ms=%llu resends=%llu missing=%u failed=%u",
		c->id, COW_Q(c->name ? c->name : ""), *r->model ? r->model : "-",
		*r->serial ? r->serial : "-", c->image, c->version, c->root, r->addr, r->files,
		(unsigned long long)r->bytes, (unsigned long long)(r->last_ms - r->start_ms),
		(unsigned long long)r->resends, r->missing, r->failed);
}

bool cow_tftp_report(struct cow_tftp_files *f, struct cow_tftp_pin *p)
{
	struct cow_tftp_record *r = &p->record;

	if (!r->changed)
		return true;
	if (r->boot && !p->logged)
		log_boot(p);
	p->logged = true;
	if (f->site.event_fd >= 0 && tell(f->site.event_fd, p) < 0)
		return false;
	cow_tftp_record_forget(r);
	return true;
}
