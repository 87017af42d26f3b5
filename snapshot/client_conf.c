/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * client.conf and root.conf.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"

static int put(int dir, const char *name, const struct cow_kv *kv, enum cow_put how,
	       struct cow_err *err)
{
	cow_autofree char *text = NULL;
	size_t len;
	if (how == COW_PUT_DURABLE)
		return cow_kv_write_at(dir, name, kv, 0644, err);
	int r = cow_kv_format(kv, &text, &len);
	cow_autoclose int fd =
	    r < 0 ? -1
		  : openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (r == 0)
		r = fd < 0 ? -errno : cow_write_full(fd, text, len);
	return r < 0 ? cow_err_set(err, r, "write %s", name) : 0;
}

static int set_time(struct cow_kv *kv, const char *key, int64_t when)
{
	char text[COW_TIME_TEXT_LEN + 1];
	cow_time_text(when, text);
	return cow_kv_set(kv, "", key, text);
}

static int64_t get_time(const struct cow_kv *kv, const char *key)
{
	struct tm tm = {0};
	const char *s = cow_kv_get(kv, "", key);
	const char *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;
	return end && !*end ? (int64_t)timegm(&tm) : 0;
}

static int get_number(const struct cow_kv *kv, const char *key, unsigned min, unsigned max,
		      unsigned *ret, struct cow_err *err)
{
	uint64_t v = *ret;
	int r = cow_kv_get_u64(kv, "", key, min, max, &v, err);
	*ret = (unsigned)v;
	return r;
}

/* ---------------------------------------------------------------- root.conf */

static const char *const whys[] = {
    [COW_WHY_UNKNOWN] = "unknown", [COW_WHY_ADD] = "add",	    [COW_WHY_RESET] = "reset",
    [COW_WHY_ROLL] = "roll",	   [COW_WHY_ROLLBACK] = "rollback",
};

const char *cow_root_why_name(enum cow_root_why why)
{
	return (unsigned)why <= COW_WHY_ROLLBACK ? whys[why] : whys[COW_WHY_UNKNOWN];
}

static enum cow_root_why why_parse(const char *s)
{
	for (unsigned k = COW_WHY_ADD; s && k <= COW_WHY_ROLLBACK; k++)
		if (strcmp(s, whys[k]) == 0)
			return (enum cow_root_why)k;
	return COW_WHY_UNKNOWN;
}

static const char *one_of(const char *value, const char *const *known, const char *fallback)
{
	for (; value && *known; known++)
		if (strcmp(*known, value) == 0)
			return *known;
	return fallback;
}

int cow_root_read(int root_dir, struct cow_root *ret, struct cow_err *err)
{
	static const char *const boot_dirs[] = {"boot", "boot/firmware", NULL};
	static const char *const kinds[] = {"cowherd", "klibc", "none", NULL};
	struct cow_root root = {0};
	cow_autokv kv = NULL;
	int r = cow_kv_read_at(root_dir, "root.conf", &kv, err);
	if (r < 0)
		return r;
	const char *image = cow_kv_get(kv, "", "image");
	if (!image || cow_label_check(image) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "root.conf names no image");
	(void)snprintf(root.image, sizeof(root.image), "%s", image);
	r = get_number(kv, "version", 1, UINT32_MAX, &root.version, err);
	if (r == 0)
		r = get_number(kv, "previous", 0, UINT32_MAX, &root.previous, err);
	if (r == 0)
		r = get_number(kv, "highest", 0, UINT32_MAX, &root.highest, err);
	if (r < 0)
		return cow_err_prefix(err, r, "root.conf");
	const char *backend = cow_kv_get(kv, "", "backend");
	root.backend = COW_BACKEND_BTRFS;
	if (backend && cow_backend_parse(backend, &root.backend) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "root.conf: bad backend");
	root.swapped_s = get_time(kv, "swapped");
	root.made_s = get_time(kv, "made");
	root.why = why_parse(cow_kv_get(kv, "", "why"));
	const char *name = cow_kv_get(kv, "", "name"), *order = cow_kv_get(kv, "", "order");
	(void)snprintf(root.name, sizeof(root.name), "%s", name ? name : "");
	(void)snprintf(root.order, sizeof(root.order), "%s", order ? order : "");
	root.boot_dir = one_of(cow_kv_get(kv, "", "boot_dir"), boot_dirs, "boot");
	root.initramfs = one_of(cow_kv_get(kv, "", "initramfs"), kinds, "none");
	*ret = root;
	return 0;
}

int cow_root_write(int root_dir, const struct cow_root *root, enum cow_put how, struct cow_err *err)
{
	cow_autokv kv = NULL;
	int r = cow_kv_new(&kv);
	if (r == 0)
		r = cow_kv_set(kv, "", "image", root->image);
	if (r == 0)
		r = cow_kv_setf(kv, "", "version", "%u", root->version);
	if (r == 0)
		r = cow_kv_set(kv, "", "backend", cow_backend_name(root->backend));
	if (r == 0)
		r = cow_kv_setf(kv, "", "previous", "%u", root->previous);
	if (r == 0 && root->highest)
		r = cow_kv_setf(kv, "", "highest", "%u", root->highest);
	if (r == 0 && root->made_s)
		r = set_time(kv, "made", root->made_s);
	if (r == 0)
		r = set_time(kv, "swapped", root->swapped_s);
	if (r == 0 && root->why != COW_WHY_UNKNOWN)
		r = cow_kv_set(kv, "", "why", cow_root_why_name(root->why));
	if (r == 0 && *root->name)
		r = cow_kv_set(kv, "", "name", root->name);
	if (r == 0 && *root->order)
		r = cow_kv_set(kv, "", "order", root->order);
	if (r == 0)
		r = cow_kv_set(kv, "", "boot_dir", root->boot_dir);
	if (r == 0)
		r = cow_kv_set(kv, "", "initramfs", root->initramfs);
	if (r < 0)
		return cow_err_set(err, r, "write root.conf");
	return put(root_dir, "root.conf", kv, how, err);
}

/* ---------------------------------------------------------------- current */

int cow_client_current(int client_dir, unsigned *ret)
{
	cow_autofree char *target = NULL;
	uint64_t n;
	int r = cow_readlink_at(client_dir, "current", &target);
	if (r < 0)
		return r;
	if (strncmp(target, "roots/", 6) != 0 || cow_parse_u64(target + 6, 1, UINT32_MAX, &n) < 0)
		return -EBADMSG;
	*ret = (unsigned)n;
	return 0;
}

int cow_client_root_dir(int client_dir, unsigned n)
{
	char name[16];
	cow_autoclose int roots = cow_opendir_at(client_dir, "roots");
	if (roots < 0)
		return roots;
	(void)snprintf(name, sizeof(name), "%u", n);
	return cow_opendir_at(roots, name);
}

/* ---------------------------------------------------------------- client.conf */

void cow_client_free(struct cow_client *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->follows);
	free(c->address);
	free(c->serial);
	free(c->nfs);
	free(c->cmdline);
	free(c->group);
	free(c->keep);
	free(c->boot_dir);
	free(c->initramfs);
	free(c);
}

static int take(const struct cow_kv *kv, const char *key, const char *fallback, char **ret)
{
	const char *value = cow_kv_get(kv, "", key);
	char *copy = strdup(value ? value : fallback);
	if (!copy)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

static int take_texts(const struct cow_kv *kv, struct cow_client *c)
{
	int r = take(kv, "name", c->id, &c->name);
	if (r == 0)
		r = take(kv, "follows", "", &c->follows);
	if (r == 0)
		r = take(kv, "address", "", &c->address);
	if (r == 0)
		r = take(kv, "serial", "", &c->serial);
	if (r == 0)
		r = take(kv, "nfs", "", &c->nfs);
	if (r == 0)
		r = take(kv, "cmdline", "", &c->cmdline);
	if (r == 0)
		r = take(kv, "group", "", &c->group);
	if (r == 0)
		r = take(kv, "keep", "", &c->keep);
	return r;
}

int cow_client_conf_read(int client_dir, struct cow_client *c, struct cow_kv **ret_kv,
			 struct cow_err *err)
{
	cow_autokv kv = NULL;
	int r = cow_kv_read_at(client_dir, "client.conf", &kv, err);
	if (r < 0)
		return r;
	const char *backend = cow_kv_get(kv, "", "backend");
	const char *durability = cow_kv_get(kv, "", "durability");
	if (take_texts(kv, c) < 0)
		return cow_err_set(err, -ENOMEM, "read client.conf");
	if (!backend || cow_backend_parse(backend, &c->backend) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "client.conf: bad backend");
	if (durability && cow_ovl_durability_parse(durability, &c->durability) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "client.conf: bad durability");
	if (!cow_kv_get(kv, "", "export_id"))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "client.conf: no export_id");
	r = get_number(kv, "export_id", 1, 65535, &c->export_id, err);
	if (r == 0)
		r = cow_kv_get_switch(kv, "", "ephemeral", &c->ephemeral, err);
	c->keep_roots = COW_CLIENT_KEEP_ROOTS;
	if (r == 0)
		r = get_number(kv, "keep_roots", 0, COW_CLIENT_KEEP_ROOTS_MAX, &c->keep_roots, err);
	if (r < 0)
		return cow_err_prefix(err, r, "client.conf");
	const char *limit = cow_kv_get(kv, "", "limit");
	if (limit && cow_parse_size(limit, &c->limit_bytes) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "client.conf: bad limit");
	c->created_s = get_time(kv, "created");
	if (ret_kv)
		*ret_kv = cow_steal_ptr(&kv);
	return 0;
}

int cow_client_conf_write(int client_dir, const struct cow_kv *kv, enum cow_put how,
			  struct cow_err *err)
{
	return put(client_dir, "client.conf", kv, how, err);
}

/* ---------------------------------------------------------------- the whole client */

static int read_root(int client_dir, struct cow_client *c, struct cow_err *err)
{
	struct cow_root root = {.boot_dir = "boot", .initramfs = "none"};
	int r = cow_client_current(client_dir, &c->root);
	if (r < 0)
		return cow_err_set(err, r, "read the link 'current'");
	cow_autoclose int dir = cow_client_root_dir(client_dir, c->root);
	if (dir < 0)
		return cow_err_set(err, dir, "open root %u", c->root);
	r = cow_root_read(dir, &root, err);
	if (r < 0)
		return r;
	memcpy(c->image, root.image, sizeof(c->image));
	c->version = root.version;
	c->root_backend = root.backend;
	c->swapped_s = root.swapped_s;
	/* Roots of older versions say nothing of it, and one at most was kept. */
	c->highest = root.highest > c->root ? root.highest : c->root;
	if (root.previous > c->highest)
		c->highest = root.previous;
	c->boot_dir = strdup(root.boot_dir);
	c->initramfs = strdup(root.initramfs);
	if (!c->boot_dir || !c->initramfs)
		return cow_err_set(err, -ENOMEM, "read root.conf");
	cow_autoclose int previous =
	    root.previous ? cow_client_root_dir(client_dir, root.previous) : -1;
	c->previous = previous >= 0 ? root.previous : 0;
	return 0;
}

int cow_client_read(int client_dir, const char *id, struct cow_client **ret, struct cow_err *err)
{
	cow_autoclient c = calloc(1, sizeof(*c));
	if (!c)
		return cow_err_set(err, -ENOMEM, "read client %s", id);
	int r = cow_mac_parse(id, strlen(id), &c->mac);
	if (r < 0)
		return cow_err_set(err, r, "client %s", id);
	cow_mac_text(&c->mac, c->id);
	r = cow_client_conf_read(client_dir, c, NULL, err);
	if (r == 0)
		r = read_root(client_dir, c, err);
	if (r == 0)
		r = cow_next_read(client_dir, &c->next, err);
	if (r < 0)
		return cow_err_prefix(err, r, "client %s", id);
	*ret = cow_steal_ptr(&c);
	return 0;
}
