/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * image.conf: the record of one image version. Written once, before the version is published.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/checked.h"
#include "common/fs.h"
#include "image_internal.h"

char *cow_conf_text(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	char *copy = strndup(s, COW_KV_LINE_MAX / 2);
	if (!copy)
		return NULL;
	size_t len = strlen(copy);
	while (len && (copy[len - 1] == ' ' || copy[len - 1] == '\t'))
		copy[--len] = 0;
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return copy;
}

void cow_image_free(struct cow_image *i)
{
	if (!i)
		return;
	free(i->source);
	free(i->arch);
	free(i->os);
	free(i->comment);
	free(i->boot_dir);
	free(i->initramfs);
	free(i);
}

static int take_text(const struct cow_kv *kv, const char *key, const char *fallback, char **ret)
{
	const char *value = cow_kv_get(kv, "", key);
	*ret = strdup(value ? value : fallback);
	return *ret ? 0 : -ENOMEM;
}

static int64_t parse_time(const char *s)
{
	struct tm tm = {0};
	const char *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;
	return end && !*end ? (int64_t)timegm(&tm) : 0;
}

/* boot_dir goes into paths below a client's tree: only what we would write ourselves. */
static int check_boot_dir(const char *s)
{
	return strcmp(s, "boot") == 0 || strcmp(s, "boot/firmware") == 0 ? 0 : -EBADMSG;
}

static int take_record(const struct cow_kv *kv, struct cow_image *i, struct cow_err *err)
{
	const char *backend = cow_kv_get(kv, "", "backend");
	int r = take_text(kv, "source", "", &i->source);
	if (r == 0)
		r = take_text(kv, "arch", "", &i->arch);
	if (r == 0)
		r = take_text(kv, "os", "", &i->os);
	if (r == 0)
		r = take_text(kv, "comment", "", &i->comment);
	if (r == 0)
		r = take_text(kv, "boot_dir", "boot", &i->boot_dir);
	if (r == 0)
		r = take_text(kv, "initramfs", "none", &i->initramfs);
	if (r < 0)
		return cow_err_set(err, r, "read the record");
	const char *id = cow_kv_get(kv, "", "id");
	(void)snprintf(i->id, sizeof(i->id), "%s", id ? id : "");
	i->created_s = parse_time(cow_kv_get(kv, "", "created"));
	if (check_boot_dir(i->boot_dir) < 0 || !backend ||
	    cow_backend_parse(backend, &i->backend) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "bad boot_dir or backend");
	r = cow_kv_get_u64(kv, "", "inodes", 0, UINT64_MAX, &i->inodes, err);
	return r < 0 ? r : cow_kv_get_u64(kv, "", "bytes", 0, UINT64_MAX, &i->bytes, err);
}

int cow_image_conf_check(const struct cow_kv *conf, struct cow_err *err)
{
	cow_autoimage i = calloc(1, sizeof(*i));
	return i ? take_record(conf, i, err) : cow_err_set(err, -ENOMEM, "read the record");
}

void cow_image_id_text(const uint8_t id[COW_OVM_ID_LEN], char ret[COW_IMAGE_ID_LEN + 1])
{
	for (size_t k = 0; k < COW_OVM_ID_LEN; k++)
		(void)snprintf(ret + 2 * k, 3, "%02x", id[k]);
}

int cow_image_record(int dir, const char *name, unsigned version, struct cow_image **ret,
		     struct cow_kv **ret_kv, struct cow_err *err)
{
	char number[16];
	cow_autokv kv = NULL;
	cow_autoimage i = calloc(1, sizeof(*i));
	if (!i)
		return cow_err_set(err, -ENOMEM, "read image %s@%u", name, version);
	(void)snprintf(i->name, sizeof(i->name), "%s", name);
	i->version = version;
	(void)snprintf(number, sizeof(number), "%u", version);
	cow_autoclose int fd = cow_opendir_at(dir, number);
	if (fd < 0)
		return cow_err_set(err, fd, "open image %s@%u", name, version);
	int r = cow_kv_read_at(fd, "image.conf", &kv, err);
	if (r == 0)
		r = take_record(kv, i, err);
	if (r < 0)
		return cow_err_prefix(err, r, "record of image %s@%u", name, version);
	if (ret)
		*ret = cow_steal_ptr(&i);
	if (ret_kv)
		*ret_kv = cow_steal_ptr(&kv);
	return 0;
}
