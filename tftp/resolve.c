/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where a file comes from; the first hit wins, per file:
 *	1  policy: some names are never served, some only from 2
 *	2  STORE/clients/MAC/boot/, the administrator's own files for this client
 *	3  loaders for PCs, the same for everybody
 *	4  generated: cmdline.txt, config.txt, boot.ipxe, pxelinux.cfg/, grub.cfg
 *	5  the client's tree at the image's boot directory
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fs.h"
#include "pin.h"
#include "tftp/packet.h"
#include "tftp/policy.h"

/* Takes over @fd. */
static int content_of_fd(int fd_in, struct cow_tftp_content **ret)
{
	cow_autoclose int fd = fd_in;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return -ENOENT;
	int r = cow_tftp_content_fd(fd, (uint64_t)st.st_size, ret);

	if (r == 0)
		(void)cow_steal_fd(&fd);
	return r;
}

static int open_override(const struct cow_tftp_client *c, const char *path,
			 struct cow_tftp_content **ret)
{
	if (c->override_fd < 0)
		return -ENOENT;
	/* Not blocking: a FIFO put there must not stop the server. */
	int fd = cow_open_beneath(c->override_fd, path,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);

	return fd < 0 ? fd : content_of_fd(fd, ret);
}

/* First programs of PCs, and what these load before their configuration (tftp/loader.h). */
static int open_loader(const struct cow_tftp_files *f, const char *path,
		       struct cow_tftp_content **ret)
{
	static const char *const loaders[] = {
	    "undionly.kpxe", "ipxe.efi",    "snponly.efi",  "pxelinux.0",   "ldlinux.c32",
	    "bootx64.efi",   "grubx64.efi", "bootaa64.efi", "grubaa64.efi", "grubpc.0",
	};

	if (f->site.loader_fd < 0)
		return -ENOENT;
	for (size_t i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++) {
		if (strcmp(path, loaders[i]) != 0)
			continue;
		/* May be a link; the directory is the system's, nobody else's. */
		int fd = openat(f->site.loader_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

		return fd < 0 ? -errno : content_of_fd(fd, ret);
	}
	return -ENOENT;
}

/* Raspberry Pi firmware loads what it finds; an initramfs that cannot mount this root would end in
 * a loop, without one the kernel mounts it by itself. */
static bool is_useless_initramfs(const struct cow_tftp_client *c, const char *path)
{
	const char *how = c->pin->conf->initramfs;

	return strncmp(cow_tftp_basename(path), "initramfs", strlen("initramfs")) == 0 &&
	       (!how || strcmp(how, "cowherd") != 0);
}

/* A record or root that cannot be read is our trouble, not a malformed request. */
static int fault(int r)
{
	return r == -ENOENT ? r : -EIO;
}

static int open_for(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		    struct cow_tftp_client *c, const struct cow_tftp_name *name,
		    enum cow_tftp_policy policy, struct cow_tftp_content **ret)
{
	const char *path = name->path;
	int r = open_override(c, path, ret);

	if (r != -ENOENT && r != -ENOTDIR)
		return r;
	r = open_loader(f, path, ret);
	if (r != -ENOENT)
		return r;
	if (policy != COW_TFTP_ANYWHERE || is_useless_initramfs(c, path))
		return -ENOENT;
	r = cow_tftp_generate(f, who, c, name, ret);
	if (r != -ENOENT)
		return r;
	if (!c->pin->view)
		return fault(c->pin->view_error);
	r = cow_tftp_tree_open(c->pin->view, path, ret);
	return r == -ESTALE ? -ENOENT : r; /* the root was deleted since the boot began */
}

/* What one boot asks for twice is the same twice: the size it was told first is that of its buffer. */
static int open_pinned(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		       struct cow_tftp_client *c, const struct cow_tftp_name *name,
		       enum cow_tftp_policy policy, struct cow_tftp_content **ret)
{
	struct cow_tftp_content *content = NULL;

	if (cow_tftp_pin_find(c->pin, name->path, ret))
		return 0;
	int r = open_for(f, who, c, name, policy, &content);

	return r < 0 ? r : cow_tftp_pin_add(c->pin, name->path, content, ret);
}

/* What cannot be given is over at once; what can, when its transfer is. */
static int open_noted(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      struct cow_tftp_client *c, const char *raw, size_t len,
		      const struct cow_tftp_name *name, struct cow_tftp_content **ret)
{
	enum cow_tftp_policy policy = cow_tftp_policy_of(name->path);
	int r = policy == COW_TFTP_NEVER ? -ENOENT : open_pinned(f, who, c, name, policy, ret);
	const char *text;

	if (r < 0) {
		const struct cow_tftp_outcome_of o = {
		    .raw = raw,
		    .len = len,
		    .result =
			cow_tftp_code_of(r, &text) == COW_TFTP_E_NOT_FOUND ? "missing" : "refused"};

		cow_tftp_record_add(&c->pin->record, &o, who->now_ms);
	}
	return r;
}

static void begin_record(struct cow_tftp_pin *p, const struct cow_tftp_who *who)
{
	char addr[COW_TFTP_ADDR_TEXT];

	(void)cow_tftp_addr_text(&who->addr6, (uint32_t)who->ifindex, addr);
	cow_tftp_record_begin(&p->record, addr, cow_realtime_s(), who->now_ms);
}

static void note_name(struct cow_tftp_record *r, const struct cow_tftp_name *name, bool is_first)
{
	if (name->prefix == COW_TFTP_PREFIX_SERIAL)
		memcpy(r->serial, name->serial, sizeof(r->serial));
	if (is_first)
		(void)snprintf(r->first, sizeof(r->first), "%s", cow_tftp_basename(name->path));
	cow_tftp_model_note(r->model, &r->model_rank, name->path, is_first);
}

/* The fresh root is there: this boot is from it. */
static int begin_again(struct cow_tftp_files *f, struct cow_tftp_client *c,
		       const struct cow_tftp_who *who, const struct cow_tftp_name *name)
{
	int r = cow_tftp_clients_pin(f->clients, c);

	if (r < 0)
		return r;
	begin_record(c->pin, who);
	note_name(&c->pin->record, name, true);
	c->pin->record.boot = true;
	return 0;
}

static int begin_session(struct cow_tftp_files *f, struct cow_tftp_client *c,
			 const struct cow_tftp_who *who, const struct cow_tftp_name *name)
{
	if (c->pin && c->pin->read_ms > c->session.seen_ms)
		c->session.seen_ms = c->pin->read_ms;
	unsigned what = cow_tftp_session_note(&c->session, who->addr, name->path, who->now_ms);
	bool is_new = (what & COW_TFTP_SESSION_NEW) || !c->pin;
	int r = is_new ? cow_tftp_clients_pin(f->clients, c) : 0;

	if (r < 0)
		return r;
	if (is_new)
		begin_record(c->pin, who);
	if (!c->pin->learnt && cow_tftp_may_learn(f, who, name, c)) {
		c->pin->learnt = true;
		cow_tftp_announce_serial(f, c->conf, name->serial);
	}
	note_name(&c->pin->record, name, is_new);
	if (what & COW_TFTP_SESSION_BOOT) {
		c->pin->record.boot = true;
		cow_tftp_announce(f, who, c, cow_tftp_basename(name->path));
		cow_tftp_fresh_ask(f, who, c);
	}
	r = cow_tftp_fresh_wait(c, who->now_ms);
	return r > 0 ? begin_again(f, c, who, name) : r;
}

int cow_tftp_files_open(void *ctx, const struct cow_tftp_who *who, const char *raw, size_t len,
			struct cow_tftp_content **ret)
{
	struct cow_tftp_files *f = ctx;
	struct cow_tftp_client *c = NULL;
	struct cow_tftp_name name;
	struct cow_mac mac;
	bool waits = false;
	int r = cow_tftp_name_parse(raw, len, &name);

	if (r < 0)
		return r;
	enum cow_tftp_policy policy = cow_tftp_policy_of(name.path);
	int known = cow_tftp_identify(f, who, &name, &c, &mac);

	if (known < 0) {
		c = NULL;
		waits = cow_tftp_announce_stranger(f, who, &mac, &name, known);
	} else {
		r = begin_session(f, c, who, &name);
	}
	if (c && r < 0)
		return r == -EINPROGRESS ? r : fault(r);
	if (c)
		return open_noted(f, who, c, raw, len, &name, ret);
	if (policy == COW_TFTP_NEVER)
		return -ENOENT;
	if (known == -EACCES) /* he is not who he says he is */
		return known;
	r = f->site.trust == COW_TFTP_TRUST_CLOSED ? -ENOENT : open_loader(f, name.path, ret);
	if (r != -ENOENT)
		return r;
	if (waits)
		return -EINPROGRESS;
	return known == -EPERM ? -ENOENT : fault(known);
}

void cow_tftp_files_ended(void *ctx, const struct cow_tftp_ended *e)
{
	struct cow_tftp_files *f = ctx;
	struct cow_tftp_pin *p = e->ticket ? cow_tftp_clients_session(f->clients, e->ticket) : NULL;
	const struct cow_tftp_outcome_of o = {.raw = e->name,
					      .len = e->name_len,
					      .result = e->result,
					      .size = e->size,
					      .ms = e->ms,
					      .resends = e->resends};

	if (p)
		cow_tftp_record_add(&p->record, &o, e->now_ms);
}

void cow_tftp_files_over(void *ctx, struct cow_tftp_pin *p)
{
	(void)cow_tftp_report(ctx, p); /* it cannot wait for a supervisor that does not read */
}

struct turn {
	struct cow_tftp_files *f;
	uint64_t now_ms;
	bool full;
};

/* Silent for long enough that the boot is most likely over; what comes after is told once more. */
static void report_silent(void *ctx, struct cow_tftp_client *c)
{
	struct turn *t = ctx;

	const struct cow_tftp_pin *p = c->pin;

	if (t->full || !p || !p->record.changed)
		return;
	uint64_t last = p->read_ms > p->record.last_ms ? p->read_ms : p->record.last_ms;

	if (t->now_ms >= last + COW_TFTP_SESSION_IDLE_MS)
		t->full = !cow_tftp_report(t->f, c->pin);
}

void cow_tftp_files_tick(void *ctx, uint64_t now_ms)
{
	struct cow_tftp_files *f = ctx;
	struct turn t = {.f = f, .now_ms = now_ms};

	cow_tftp_clients_each(f->clients, report_silent, &t);
	cow_tftp_clients_tick(f->clients, now_ms);
}
