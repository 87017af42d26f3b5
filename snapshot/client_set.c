/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The keys of client.conf an administrator may change, one row each.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/fs.h"
#include "common/log.h"
#include "keep.h"

#define CMDLINE_MAX 512 /* the kernel's limit is 2048 in all, our own words take a quarter */

struct ask {
	struct cow_store *s;
	const char *id;
	char *value; /* may be normalised in place */
	struct cow_err *err;
};

static int check_name(struct ask *a)
{
	if (cow_hostname_check(a->value) < 0)
		return -EINVAL;
	return cow_client_check_unique(a->s, a->id, a->value, NULL, a->err);
}

static int check_follows(struct ask *a)
{
	cow_autoimage image = NULL;
	return cow_image_find(a->s, a->value, &image, a->err);
}

static int check_address(struct ask *a)
{
	struct in_addr v4;
	return inet_pton(AF_INET, a->value, &v4) == 1 ? 0 : -EINVAL;
}

static int check_serial(struct ask *a)
{
	for (char *p = a->value; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (strlen(a->value) != 8 || strspn(a->value, "0123456789abcdef") != 8)
		return -EINVAL;
	return cow_client_check_unique(a->s, a->id, NULL, a->value, a->err);
}

static int check_nfs(struct ask *a)
{
	static const char *const versions[] = {"3", "4.0", "4.1", "4.2"};
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++)
		if (strcmp(a->value, versions[i]) == 0)
			return 0;
	return -EINVAL;
}

static int check_cmdline(struct ask *a)
{
	if (strlen(a->value) > CMDLINE_MAX)
		return -EINVAL;
	for (const char *p = a->value; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return -EINVAL;
	return 0;
}

static int check_backend(struct ask *a)
{
	enum cow_backend b;
	int r = cow_backend_parse(a->value, &b);
	return r < 0 ? r : cow_store_check_backend(a->s, b, a->err);
}

static int check_durability(struct ask *a)
{
	enum cow_ovl_durability d;
	return cow_ovl_durability_parse(a->value, &d);
}

static int check_ephemeral(struct ask *a)
{
	return strcmp(a->value, "yes") == 0 || strcmp(a->value, "no") == 0 ? 0 : -EINVAL;
}

static int check_limit(struct ask *a)
{
	uint64_t bytes;
	return cow_parse_size(a->value, &bytes);
}

static int check_group(struct ask *a)
{
	return cow_label_check(a->value);
}

static int check_keep(struct ask *a)
{
	return cow_keep_check(a->s, a->value, a->err);
}

static int check_keep_roots(struct ask *a)
{
	uint64_t n;
	return cow_parse_u64(a->value, 0, COW_CLIENT_KEEP_ROOTS_MAX, &n) < 0 ? -EINVAL : 0;
}

static const struct key {
	const char *name;
	int (*check)(struct ask *a);
	const char *allowed;
	int required; /* has no default to go back to */
} keys[] = {
    {"name", check_name, "a host name: letters, digits and '-', at most 63", 1},
    {"follows", check_follows, "NAME, NAME@VERSION or NAME:TAG of an image", 1},
    {"address", check_address, "an IPv4 address", 0},
    {"serial", check_serial, "the last 8 hex digits of a Raspberry Pi's serial number", 0},
    {"nfs", check_nfs, "3, 4.0, 4.1 or 4.2", 0},
    {"cmdline", check_cmdline, "words in printable ASCII, at most 512 bytes", 0},
    {"backend", check_backend, "overlay or btrfs", 1},
    {"durability", check_durability, "strict, relaxed or volatile", 0},
    {"ephemeral", check_ephemeral, "yes or no", 0},
    {"limit", check_limit, "a size such as 500M or 2G", 0},
    {"group", check_group,
     "letters, digits and '.', '_', '-', at most 64, the first none of '.' and '-'", 0},
    {"keep", check_keep, "names of keep-lists with commas between them, or 'none'", 0},
    {"keep_roots", check_keep_roots, "a number from 0 to 100", 0},
};

static int find_key(const char *name, const struct key **ret, struct cow_err *err)
{
	char list[256] = "";
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strcmp(keys[i].name, name) == 0) {
			*ret = &keys[i];
			return 0;
		}
		size_t len = strlen(list);
		(void)snprintf(list + len, sizeof(list) - len, "%s%s", len ? ", " : "",
			       keys[i].name);
	}
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_USAGE, -EINVAL, "clients have no key %s to set", COW_Q(name)),
	    "there are: %s", list);
}

static int check(const struct key *k, struct ask *a)
{
	if (!*a->value)
		return k->required ? cow_err_say(a->err, COW_ERR_USAGE, -EINVAL,
						 "%s must not be empty: %s", k->name, k->allowed)
				   : 0;
	if (a->err)
		*a->err = COW_ERR_INIT;
	int r = k->check(a);
	if (r == -EINVAL && (!a->err || a->err->code == COW_OK))
		return cow_err_say(a->err, COW_ERR_USAGE, r, "%s = %s: must be %s", k->name,
				   COW_Q(a->value), k->allowed);
	return r;
}

int cow_client_key_write(int client_dir, const char *key, const char *value, struct cow_err *err)
{
	cow_autokv kv = NULL;
	cow_autoclient c = calloc(1, sizeof(*c));
	if (!c)
		return cow_err_set(err, -ENOMEM, "set %s", key);
	int r = cow_client_conf_read(client_dir, c, &kv, err);
	if (r < 0)
		return r;
	r = cow_kv_set(kv, "", key, value);
	if (r < 0)
		return cow_err_set(err, r, "set %s", key);
	return cow_client_conf_write(client_dir, kv, COW_PUT_DURABLE, err);
}

static int set_locked(struct cow_store *s, const char *id, const char *key, const char *value,
		      struct cow_err *err)
{
	int lock = -1;
	cow_autoclose int dir = cow_client_lock(s, id, COW_LOCK_WAIT_MS, &lock, err);
	cow_autoclose __attribute__((unused)) int held = lock; /* given back with the scope */
	return dir < 0 ? dir : cow_client_key_write(dir, key, *value ? value : NULL, err);
}

const char *cow_client_key(size_t n)
{
	return n < sizeof(keys) / sizeof(*keys) ? keys[n].name : NULL;
}

int cow_client_keys_copy(const struct cow_kv *from, struct cow_kv *to)
{
	const char *key, *value;
	int r = 0;
	for (size_t n = 0; r == 0 && (key = cow_client_key(n)); n++)
		if ((value = cow_kv_get(from, "", key)))
			r = cow_kv_set(to, "", key, value);
	return r;
}

int cow_client_key_check(struct cow_store *s, const char *id, const char *key, char *value,
			 struct cow_err *err)
{
	const struct key *k = NULL;
	struct ask a = {.s = s, .id = id, .value = value, .err = err};
	int r = find_key(key, &k, err);
	return r < 0 ? r : check(k, &a);
}

int cow_client_follow_check(struct cow_store *s, const char *id, const char *ref,
			    struct cow_err *err)
{
	cow_autofree char *copy = ref ? strdup(ref) : NULL;
	if (!ref)
		return 0;
	return copy ? cow_client_key_check(s, id, "follows", copy, err)
		    : cow_err_set(err, -ENOMEM, "follow %s", ref);
}

int cow_client_set(struct cow_store *s, const struct cow_mac *mac, const char *key,
		   const char *value, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	const struct key *k = NULL;
	cow_mac_text(mac, id);
	cow_autofree char *copy = strdup(value ? value : "");
	if (!copy)
		return cow_err_set(err, -ENOMEM, "set %s of client %s", key, id);
	int r = find_key(key, &k, err);
	if (r < 0)
		return cow_err_prefix(err, r, "set %s of client %s", COW_Q(key), id);
	/* Two clients asking for one name at a time must not both get it. */
	cow_autoclose int lock = cow_store_lock(s, err);
	if (lock < 0)
		return lock;
	struct ask a = {.s = s, .id = id, .value = copy, .err = err};
	r = check(k, &a);
	if (r == 0)
		r = set_locked(s, id, key, copy, err);
	return r < 0 ? cow_err_prefix(err, r, "set %s of client %s", key, id) : 0;
}
