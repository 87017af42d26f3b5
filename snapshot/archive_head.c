/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "archive_receive.h"
#include "common/fs.h"
#include "common/kv.h"
#include "image_internal.h"

#define KIND_IMAGE "image"
#define KIND_CLIENT "client"
#define FORM_BTRFS "btrfs"

static int put(struct cow_kv *kv, const struct cow_archive_info *i)
{
	int r = cow_kv_set(kv, "", "kind", *i->client ? KIND_CLIENT : KIND_IMAGE);
	if (r == 0 && *i->client)
		r = cow_kv_set(kv, "", "client", i->client);
	if (r == 0)
		r = cow_kv_set(kv, "", "name", i->name);
	if (r == 0)
		r = cow_kv_setf(kv, "", "version", "%u", i->version);
	if (r == 0)
		r = cow_kv_set(kv, "", "id", i->id);
	if (r == 0)
		r = cow_kv_setf(kv, "", "manifest", "%llu", (unsigned long long)i->manifest_len);
	if (r == 0 && i->btrfs)
		r = cow_kv_set(kv, "", "form", FORM_BTRFS);
	if (r < 0 || !*i->base)
		return r;
	r = cow_kv_set(kv, "", "base", i->base);
	if (r == 0)
		r = cow_kv_set(kv, "", "base_name", i->base_name);
	return r < 0 ? r : cow_kv_setf(kv, "", "base_version", "%u", i->base_version);
}

char *cow_arc_head_format(const struct cow_archive_info *info)
{
	cow_autokv kv = NULL;
	char *text = NULL;
	size_t len;
	if (cow_kv_new(&kv) < 0 || put(kv, info) < 0 || cow_kv_format(kv, &text, &len) < 0)
		return NULL;
	return text;
}

static int take_label(const struct cow_kv *kv, const char *key, char ret[COW_LABEL_MAX + 1])
{
	const char *value = cow_kv_get(kv, "", key);
	if (!value || cow_label_check(value) < 0)
		return -EBADMSG;
	(void)snprintf(ret, COW_LABEL_MAX + 1, "%s", value);
	return 0;
}

static int take_id(const struct cow_kv *kv, const char *key, char ret[COW_IMAGE_ID_LEN + 1])
{
	const char *value = cow_kv_get(kv, "", key);
	if (!value || strlen(value) != COW_IMAGE_ID_LEN ||
	    strspn(value, "0123456789abcdef") != COW_IMAGE_ID_LEN)
		return -EBADMSG;
	memcpy(ret, value, COW_IMAGE_ID_LEN + 1);
	return 0;
}

static int take_version(const struct cow_kv *kv, const char *key, unsigned *ret)
{
	uint64_t n = 0;
	if (cow_kv_get_u64(kv, "", key, 1, UINT32_MAX - 1, &n, NULL) < 0 || n == 0)
		return -EBADMSG;
	*ret = (unsigned)n;
	return 0;
}

static int take_mac(const struct cow_kv *kv, char ret[COW_MAC_TEXT_LEN + 1])
{
	struct cow_mac mac;
	const char *value = cow_kv_get(kv, "", "client");
	if (!value || cow_mac_parse(value, strlen(value), &mac) < 0)
		return -EBADMSG;
	cow_mac_text(&mac, ret);
	return 0;
}

static int take_form(const struct cow_kv *kv, bool client, bool *ret_btrfs)
{
	const char *form = cow_kv_get(kv, "", "form");
	*ret_btrfs = form && strcmp(form, FORM_BTRFS) == 0;
	return (form && !*ret_btrfs) || (*ret_btrfs && client) ? -EBADMSG : 0;
}

static int take(const struct cow_kv *kv, bool client, struct cow_archive_info *i)
{
	int r = client ? take_mac(kv, i->client) : 0;
	if (r == 0)
		r = take_form(kv, client, &i->btrfs);
	if (r == 0)
		r = take_label(kv, "name", i->name);
	if (r == 0)
		r = take_version(kv, "version", &i->version);
	if (r == 0)
		r = take_id(kv, "id", i->id);
	if (r == 0 && (cow_kv_get_u64(kv, "", "manifest", 1, COW_ARC_MANIFEST_MAX, &i->manifest_len,
				      NULL) < 0 ||
		       i->manifest_len == 0))
		r = -EBADMSG;
	if (r < 0 || (!client && !cow_kv_get(kv, "", "base")))
		return r;
	r = take_id(kv, "base", i->base);
	if (r == 0)
		r = take_label(kv, "base_name", i->base_name);
	return r < 0 ? r : take_version(kv, "base_version", &i->base_version);
}

int cow_arc_head_parse(const uint8_t *text, size_t len, const char *what,
		       struct cow_archive_info *ret, struct cow_err *err)
{
	cow_autokv kv = NULL;
	struct cow_archive_info info = {.version = 0};
	int r = cow_kv_parse((const char *)text, len, what, &kv, NULL);
	if (r == -ENOMEM)
		return cow_err_set(err, r, "read '%s'", what);
	const char *kind = r < 0 ? NULL : cow_kv_get(kv, "", "kind");
	bool client = kind && strcmp(kind, KIND_CLIENT) == 0;
	if (kind && !client && strcmp(kind, KIND_IMAGE) != 0)
		return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "'%s' is an archive of another kind than image or client", what);
	if (!kind || take(kv, client, &info) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "'%s' is damaged: what it says of itself", what);
	*ret = info;
	return 0;
}

static int read_fd(void *ctx, void *buf, size_t len, size_t *ret_got)
{
	const int *fd = ctx;
	ssize_t n = cow_read_full(*fd, buf, len);
	*ret_got = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

int cow_archive_peek(const char *path, struct cow_archive_info *ret, struct cow_err *err)
{
	cow_autoarcin in = NULL;
	enum cow_arc_type type;
	struct cow_arc_block b = {.own = NULL};
	const uint8_t *text = NULL;
	cow_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return cow_err_set(err, -errno, "open the source '%s'", path);
	int r = cow_arc_in_new(read_fd, &fd, path, &in, err);
	if (r == 0)
		r = cow_arc_in_next(in, &type, &b, err);
	if (r > 0)
		r = cow_arc_in_unpack(in, NULL, &text, err);
	return r < 0 || !text ? r : cow_arc_head_parse(text, b.plain_len, path, ret, err);
}
