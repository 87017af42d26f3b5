/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A new client: everything is made below clients/.add-HEX/, synced once, and gets its name by one
 * rename. STORE/lock is held all the time (milliseconds), so that the image stays and a sweep knows
 * that every .add-* it sees is dead.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

#define EXPORT_ID_MAX 65535
#define IMPORT_HINT                                                                                \
	"remove it first (cowherd client rm), or give the new one another address with --mac"

int cow_hostname_check(const char *name)
{
	size_t len =
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-");
	if (!len || len > 63 || name[len] || name[0] == '-' || name[len - 1] == '-')
		return -EINVAL;
	return 0;
}

/* ---------------------------------------------------------------- uniqueness and export ids */

struct others {
	const char *id, *name, *serial;
	char clash[COW_MAC_TEXT_LEN + 1];
	int serial_clash;
	uint8_t *ids_used; /* EXPORT_ID_MAX + 1 flags; NULL: not asked */
};

static int look_at_other(void *ctx, const struct cow_client *c, const char *id,
			 const struct cow_err *why)
{
	struct others *o = ctx;
	(void)why;
	if (!c || strcmp(id, o->id) == 0)
		return 0; /* a damaged one has no name to clash with; its export id stays burnt */
	if (o->ids_used)
		o->ids_used[c->export_id] = 1;
	int serial = o->serial && *o->serial && strcmp(c->serial, o->serial) == 0;
	if (!serial && !(o->name && strcasecmp(c->name, o->name) == 0))
		return 0;
	memcpy(o->clash, c->id, sizeof(o->clash));
	o->serial_clash = serial;
	return 1;
}

static int refuse_clash(const struct others *o, struct cow_err *err)
{
	return cow_err_say(err, COW_ERR_REFUSED, -EEXIST, "client %s has the %s %s already",
			   o->clash, o->serial_clash ? "serial number" : "name",
			   o->serial_clash ? o->serial : o->name);
}

int cow_client_check_unique(struct cow_store *s, const char *id, const char *name,
			    const char *serial, struct cow_err *err)
{
	struct others o = {.id = id, .name = name, .serial = serial};
	int r = cow_client_each(s, look_at_other, &o, err);
	return r > 0 ? refuse_clash(&o, err) : r;
}

/*
 * STORE/exports.next: ten digits and LF, overwritten in place by one write that changes neither size
 * nor blocks, so that a crash leaves the old number or the new one without a sync of its own. It is
 * on disk when the client is: publish() syncs the file system. The first time, and for files of
 * another length, the file is replaced durably.
 */
#define NEXT_NAME "exports.next"
#define NEXT_LEN 11

static int write_next(struct cow_store *s, uint64_t next)
{
	char line[NEXT_LEN + 1];
	struct stat st;
	(void)snprintf(line, sizeof(line), "%010llu\n", (unsigned long long)next);
	cow_autoclose int fd = openat(s->fd, NEXT_NAME, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == NEXT_LEN)
		return cow_pwrite_full(fd, line, NEXT_LEN, 0);
	return cow_write_file_at(s->fd, NEXT_NAME, line, NEXT_LEN, 0644);
}

/* The numbers count up, so that an id is not given to another client while a server may remember it;
 * only after 65535 clients the gaps are used. */
static int take_export_id(struct cow_store *s, const uint8_t *used, unsigned *ret,
			  struct cow_err *err)
{
	cow_autofree char *text = NULL;
	size_t len;
	uint64_t next = 1;
	int r = cow_read_file_at(s->fd, NEXT_NAME, 64, &text, &len);
	if (r == 0)
		r = cow_parse_u64n(text, strcspn(text, "\n"), 1, EXPORT_ID_MAX + 1, &next);
	if (r < 0 && r != -ENOENT)
		return cow_err_set(err, r, "read '%s/" NEXT_NAME "'", s->path);
	if (next > EXPORT_ID_MAX)
		next = 1;
	unsigned tried = 0;
	while (used[next]) {
		if (++tried > EXPORT_ID_MAX)
			return cow_err_say(err, COW_ERR_REFUSED, -ENOSPC,
					   "all %d export ids are in use", EXPORT_ID_MAX);
		next = next == EXPORT_ID_MAX ? 1 : next + 1;
	}
	r = write_next(s, next + 1);
	if (r < 0)
		return cow_err_set(err, r, "write '%s/" NEXT_NAME "'", s->path);
	*ret = (unsigned)next;
	return 0;
}

static int choose_export_id(struct cow_store *s, struct cow_client *c, struct cow_err *err)
{
	cow_autofree uint8_t *used = calloc(EXPORT_ID_MAX + 1, 1);
	struct others o = {
	    .id = c->id, .name = c->name, .serial = c->serial, .ids_used = used};
	if (!used)
		return cow_err_set(err, -ENOMEM, "add client %s", c->id);
	int r = cow_client_each(s, look_at_other, &o, err);
	if (r > 0)
		return refuse_clash(&o, err);
	return r < 0 ? r : take_export_id(s, used, &c->export_id, err);
}

/* ---------------------------------------------------------------- the client */

/* @settings: others than @c has; NULL: none. */
static int write_conf(int dir, const struct cow_client *c, const struct cow_kv *settings,
		      struct cow_err *err)
{
	cow_autokv kv = NULL;
	char created[COW_TIME_TEXT_LEN + 1];
	cow_time_text(c->created_s, created);
	int r = cow_kv_new(&kv);
	if (r == 0 && settings)
		r = cow_client_keys_copy(settings, kv);
	if (r == 0)
		r = cow_kv_set(kv, "", "name", c->name);
	if (r == 0)
		r = cow_kv_set(kv, "", "follows", c->follows);
	if (r == 0)
		r = cow_kv_set(kv, "", "backend", cow_backend_name(c->backend));
	if (r == 0)
		r = cow_kv_set(kv, "", "durability", cow_ovl_durability_name(c->durability));
	if (r == 0)
		r = cow_kv_set(kv, "", "ephemeral", c->ephemeral ? "yes" : "no");
	if (r == 0)
		r = cow_kv_setf(kv, "", "export_id", "%u", c->export_id);
	if (r == 0)
		r = cow_kv_set(kv, "", "created", created);
	if (r < 0)
		return cow_err_set(err, r, "write client.conf");
	return cow_client_conf_write(dir, kv, COW_PUT_STAGED, err);
}

static int first_root(struct cow_store *s, int roots, const struct cow_client *c,
		      const struct cow_image *image, const struct cow_client_made *made,
		      struct cow_err *err)
{
	const struct cow_root_how how = {.why = COW_WHY_ADD, .highest = 1};
	if (!made)
		return cow_client_make_root(s, roots, 1, c, image, &how, err);
	return renameat(made->dir, made->root, roots, "1") == 0
		   ? 0
		   : cow_err_set(err, -errno, "make client %s", c->id);
}

static int fill_client(struct cow_store *s, int dir, const struct cow_client *c,
		       const struct cow_image *image, const struct cow_client_made *made,
		       struct cow_err *err)
{
	uint64_t epoch = 0;
	int r = cow_mkdir_at(dir, "roots", 0700);
	cow_autoclose int roots = r < 0 ? r : cow_opendir_at(dir, "roots");
	/* Made here, so that the client can be removed from a full disk. */
	cow_autoclose int lock = roots < 0 ? roots : cow_lock_at(dir, COW_CLIENT_LOCK_NAME, 0);
	if (lock < 0)
		return cow_err_set(err, lock, "make client %s", c->id);
	r = first_root(s, roots, c, image, made, err);
	if (r == 0)
		r = write_conf(dir, c, made ? made->settings : NULL, err);
	if (r < 0)
		return r;
	if (symlinkat("roots/1", dir, "current") < 0)
		return cow_err_set(err, -errno, "make client %s", c->id);
	cow_autoclose int root = cow_client_root_dir(dir, 1);
	r = root < 0 ? cow_err_set(err, root, "make client %s", c->id)
		     : cow_ovl_inst_read_epoch(root, &epoch, err);
	if (r < 0)
		return r;
	r = cow_client_epoch_write(dir, epoch);
	return r < 0 ? cow_err_set(err, r, "make client %s", c->id) : 0;
}

static int publish(int clients, int dir, const char *temp, const struct cow_client *c,
		   struct cow_err *err)
{
	if (syncfs(dir) < 0) /* I2: all of it is on disk before it has its name */
		return cow_err_set(err, -errno, "write client %s to disk", c->id);
	if (renameat2(clients, temp, clients, c->id, RENAME_NOREPLACE) < 0)
		return cow_err_set(err, -errno, "publish client %s", c->id);
	int r = cow_fsync_dir_at(clients, ".");
	return r < 0 ? cow_err_set(err, r, "publish client %s", c->id) : 0;
}

static int add_staged(struct cow_store *s, int clients, const struct cow_client *c,
		      const struct cow_image *image, const struct cow_client_made *made,
		      struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1], temp[sizeof(COW_ADD_PREFIX) + COW_HEX64_LEN];
	int r = cow_random_hex(hex);
	if (r < 0)
		return cow_err_set(err, r, "make client %s", c->id);
	(void)snprintf(temp, sizeof(temp), COW_ADD_PREFIX "%s", hex);
	r = cow_mkdir_at(clients, temp, 0700);
	cow_autoclose int dir = r < 0 ? r : cow_opendir_at(clients, temp);
	if (dir < 0)
		return cow_err_set(err, dir, "make client %s", c->id);
	r = fill_client(s, dir, c, image, made, err);
	if (r == 0)
		r = publish(clients, dir, temp, c, err);
	if (r < 0)
		(void)cow_tree_delete_at(clients, temp); /* else the sweep has it */
	return r;
}

static int prepare(struct cow_store *s, const struct cow_mac *mac,
		   const struct cow_client_add_opts *opts, struct cow_client *c,
		   struct cow_err *err)
{
	c->mac = *mac;
	cow_mac_text(mac, c->id);
	c->backend =
	    opts->backend == COW_BACKEND_NONE ? cow_store_default_backend(s) : opts->backend;
	c->durability = opts->durability;
	c->ephemeral = opts->ephemeral;
	c->created_s = cow_realtime_s();
	c->follows = strdup(opts->image);
	if (opts->name && cow_hostname_check(opts->name) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s is no host name: letters, digits and '-', at most 63",
				   COW_Q(opts->name));
	int len = opts->name ? asprintf(&c->name, "%s", opts->name)
			     : asprintf(&c->name, "client-%02x%02x%02x%02x%02x%02x", mac->b[0],
					mac->b[1], mac->b[2], mac->b[3], mac->b[4], mac->b[5]);
	if (len < 0)
		c->name = NULL;
	if (!c->name || !c->follows)
		return cow_err_set(err, -ENOMEM, "make client %s", c->id);
	return cow_store_check_backend(s, c->backend, err);
}

static int refuse_existing(int clients, const char *id, const char *hint, struct cow_err *err)
{
	if (faccessat(clients, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	cow_err_say(err, COW_ERR_REFUSED, -EEXIST, "client %s exists already", id);
	return cow_err_hint(err, -EEXIST, "%s", hint);
}

int cow_client_add(struct cow_store *s, const struct cow_mac *mac,
		   const struct cow_client_add_opts *opts, struct cow_err *err)
{
	cow_autoimage image = NULL;
	cow_autoclient c = calloc(1, sizeof(*c));
	if (!c)
		return cow_err_set(err, -ENOMEM, "make a client");
	int r = prepare(s, mac, opts, c, err);
	if (r < 0)
		return r;
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	if (clients < 0)
		return cow_err_set(err, clients, "open the clients of '%s'", s->path);
	r = refuse_existing(clients, c->id, "'cowherd client reset' gives it a fresh root", err);
	if (r < 0)
		return r;
	r = cow_image_find(s, opts->image, &image, err);
	if (r == 0)
		r = cow_image_check_backend(s, image, c->backend, err);
	if (r == 0)
		r = cow_store_check_space(s, err); /* before an export id is spent */
	if (r == 0)
		r = choose_export_id(s, c, err);
	return r < 0 ? r : add_staged(s, clients, c, image, NULL, err);
}

int cow_client_add_made(struct cow_store *s, struct cow_client *c,
			const struct cow_client_made *made, struct cow_err *err)
{
	char ref[COW_LABEL_MAX + 16];
	cow_autoimage image = NULL;
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	if (clients < 0)
		return cow_err_set(err, clients, "open the clients of '%s'", s->path);
	/* Things may have changed while the root was made. A number is never given twice. */
	(void)snprintf(ref, sizeof(ref), "%s@%u", made->image->name, made->image->version);
	int r = cow_image_find(s, ref, &image, err);
	if (r == 0)
		r = refuse_existing(clients, c->id, IMPORT_HINT, err);
	if (r == 0)
		r = choose_export_id(s, c, err);
	return r < 0 ? r : add_staged(s, clients, c, image, made, err);
}

int cow_client_refuse_existing(struct cow_store *s, const char *id, struct cow_err *err)
{
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	return clients < 0 ? cow_err_set(err, clients, "open the clients of '%s'", s->path)
			   : refuse_existing(clients, id, IMPORT_HINT, err);
}
