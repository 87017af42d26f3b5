/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd.conf: a table of keys, each with the field it sets and the check its value must pass.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/fs.h"
#include "common/kv.h"
#include "common/log.h"
#include "snapshot/space.h"
#include "snapshot/store.h"

enum kind {
	TEXT,	/* char *, checked by .check */
	NUMBER, /* unsigned, .min..max */
	CHOICE, /* unsigned, index into .words */
};

struct key {
	struct cow_config_key pub;
	enum kind kind;
	size_t offset; /* of the field in struct cow_config */
	int (*check)(const char *value);
	unsigned min, max;
	const char *const *words;
};

static const char *const switch_words[] = {"no", "yes", NULL};
static const char *const level_words[] = {"error", "warning", "notice", "info", "debug", NULL};
static const char *const version_words[] = {"3", "4.0", "4.1", "4.2", NULL};
static const char *const trust_words[] = {"open", "match", "closed", NULL};
static const char *const enrol_words[] = {"off", "pending", "auto", NULL};
static const char *const access_words[] = {"bound", "subnet", "open", NULL};
static const char *const loader_words[] = {"ipxe", "pxelinux", "grub", NULL};
static const char *const dhcp_words[] = {"off", "full", "proxy", NULL};

/*
 * Paths end up in the configuration files of other programs, each with its own quoting; bytes that
 * one of them treats in a special way are refused here once.
 */
static int check_path(const char *v)
{
	if (v[0] != '/' || strlen(v) > COW_PATH_MAX || strpbrk(v, "\"'\\#%<>&,*?;{}()$"))
		return -EINVAL;
	for (const char *p = v; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return -EINVAL;
	return 0;
}

static int check_opt_path(const char *v)
{
	return *v ? check_path(v) : 0;
}

static int check_address(const char *v)
{
	struct in_addr a;

	return *v == '\0' || inet_pton(AF_INET, v, &a) == 1 ? 0 : -EINVAL;
}

static int check_addresses(const char *v)
{
	char one[INET_ADDRSTRLEN];

	while (*v) {
		size_t n = strcspn(v, ",");
		if (n == 0 || n >= sizeof(one))
			return -EINVAL;
		memcpy(one, v, n);
		one[n] = '\0';
		if (check_address(one) < 0)
			return -EINVAL;
		v += n;
		if (*v == ',' && *++v == '\0')
			return -EINVAL;
	}
	return 0;
}

static int check_v6(const char *v, size_t len)
{
	char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE], *scope;
	struct in6_addr a;

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, v, len);
	text[len] = '\0';
	scope = strchr(text, '%');
	if (scope)
		*scope = '\0';
	if (inet_pton(AF_INET6, text, &a) != 1)
		return -EINVAL;
	return IN6_IS_ADDR_LINKLOCAL(&a) == (scope && scope[1]) ? 0 : -EINVAL;
}

static int check_listen(const char *v)
{
	unsigned count = 0;

	while (*v) {
		size_t n = strcspn(v, ",");

		if (++count > COW_CONFIG_LISTEN_MAX || check_v6(v, n) < 0)
			return -EINVAL;
		v += n;
		if (*v == ',' && *++v == '\0')
			return -EINVAL;
	}
	return 0;
}

static int check_ports(const char *v)
{
	const char *dash = strchr(v, '-');
	uint64_t first, last;

	if (*v == '\0')
		return 0;
	return dash && cow_parse_u64n(v, (size_t)(dash - v), 1, 65535, &first) == 0 &&
		       cow_parse_u64n(dash + 1, strlen(dash + 1), first, 65535, &last) == 0
		   ? 0
		   : -EINVAL;
}

/* The kernel's rule for interface names, less what configuration files treat in a special way. */
static int check_interface(const char *v)
{
	if (strlen(v) >= IF_NAMESIZE || strpbrk(v, "/ \t\"'\\#,*:"))
		return -EINVAL;
	return 0;
}

static int check_user(const char *v)
{
	return strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
			   strlen(v) &&
		       v[0] != '-'
		   ? 0
		   : -EINVAL;
}

/* Whether there is such an image shows when one is needed. */
static int check_image(const char *v)
{
	return strlen(v) <= 2 * COW_LABEL_MAX + 1 &&
		       strspn(
			   v,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:@") ==
			   strlen(v)
		   ? 0
		   : -EINVAL;
}

static int check_range(const char *v)
{
	char first[INET_ADDRSTRLEN], last[INET_ADDRSTRLEN];

	return *v ? cow_config_range(v, first, last) : 0;
}

static int check_lease(const char *v)
{
	uint64_t n;
	size_t digits = strspn(v, "0123456789");

	if (strcmp(v, "infinite") == 0)
		return 0;
	if (v[digits] != '\0' && (!strchr("mh", v[digits]) || v[digits + 1] != '\0'))
		return -EINVAL;
	return cow_parse_u64n(v, digits, 1, 1000000, &n);
}

static int check_word(const char *v, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(v, words[i]) == 0)
			return i;
	return -EINVAL;
}

static int check_space(const char *v)
{
	struct cow_space_limit l;

	return cow_space_limit_parse(v, &l);
}

static int check_version(const char *v)
{
	return check_word(v, version_words) < 0 ? -EINVAL : 0;
}

#define FIELD(f) .offset = offsetof(struct cow_config, f)
#define PATH_FORM "absolute path without quotes or special characters"
#define SPACE_FORM "a percentage such as 5%, a size such as 2G, or 0"
#define TEXT_KEY(s, k, f, def, fm, fn)                                                             \
	{                                                                                          \
		.pub = {s, k, def, fm}, .kind = TEXT, FIELD(f), .check = fn                        \
	}
#define NUMBER_KEY(s, k, f, def, fm, lo, hi)                                                       \
	{                                                                                          \
		.pub = {s, k, def, fm}, .kind = NUMBER, FIELD(f), .min = lo, .max = hi             \
	}
#define CHOICE_KEY(s, k, f, def, fm, w)                                                            \
	{                                                                                          \
		.pub = {s, k, def, fm}, .kind = CHOICE, FIELD(f), .words = w                       \
	}

static const struct key keys[] = {
    TEXT_KEY("store", "path", store_path, COW_STORE_DEFAULT, PATH_FORM, check_path),
    TEXT_KEY("store", "loop", store_loop, "", PATH_FORM " or empty", check_opt_path),
    TEXT_KEY("store", "space_warn", space_warn, "10%", SPACE_FORM, check_space),
    TEXT_KEY("store", "space_refuse", space_refuse, "5%", SPACE_FORM, check_space),
    NUMBER_KEY("store", "keep_last", keep_last, "5", "1..10000", 1, 10000),

    TEXT_KEY("serve", "address", address, "", "IPv4 address or empty", check_address),
    TEXT_KEY("serve", "interface", interface, "", "interface name or empty", check_interface),
    TEXT_KEY("serve", "run_dir", run_dir, "/run/cowherd", PATH_FORM, check_path),
    CHOICE_KEY("serve", "log_level", log_level, "info", "error, warning, notice, info, debug",
	       level_words),

    CHOICE_KEY("nfs", "enabled", nfs_enabled, "yes", "yes or no", switch_words),
    NUMBER_KEY("nfs", "port", nfs_port, "2049", "1..65535", 1, 65535),
    NUMBER_KEY("nfs", "mount_port", nfs_mount_port, "20048", "1..65535", 1, 65535),
    TEXT_KEY("nfs", "version", nfs_version, "4.1", "3, 4.0, 4.1 or 4.2", check_version),
    CHOICE_KEY("nfs", "access", nfs_access, "bound", "bound, subnet or open", access_words),
    NUMBER_KEY("nfs", "lease", nfs_lease, "30", "5..120", 5, 120),
    NUMBER_KEY("nfs", "watchdog", nfs_watchdog, "10", "1..300", 1, 300),
    NUMBER_KEY("nfs", "start_timeout", nfs_start_timeout, "60", "5..3600", 5, 3600),
    TEXT_KEY("nfs", "plugin_dir", plugin_dir, "", PATH_FORM " or empty", check_opt_path),

    CHOICE_KEY("tftp", "enabled", tftp_enabled, "yes", "yes or no", switch_words),
    NUMBER_KEY("tftp", "port", tftp_port, "69", "1..65535", 1, 65535),
    TEXT_KEY("tftp", "ipxe_dir", ipxe_dir, "/usr/lib/ipxe", PATH_FORM, check_path),
    CHOICE_KEY("tftp", "clients", tftp_clients, "match", "open, match or closed", trust_words),
    CHOICE_KEY("tftp", "enrol", enrol, "pending", "off, pending or auto", enrol_words),
    TEXT_KEY("tftp", "enrol_image", enrol_image, "", "NAME, NAME:TAG, NAME@VERSION or empty",
	     check_image),
    NUMBER_KEY("tftp", "enrol_max", enrol_max, "64", "1..4096", 1, 4096),
    TEXT_KEY("tftp", "user", tftp_user, "", "user name or empty", check_user),
    TEXT_KEY(
	"tftp", "listen", tftp_listen, "",
	"up to four IPv6 addresses with commas, with %INTERFACE behind link-local ones, or empty",
	check_listen),
    CHOICE_KEY("tftp", "single_port", tftp_single_port, "no", "yes or no", switch_words),
    TEXT_KEY("tftp", "ports", tftp_ports, "", "FIRST-LAST or empty", check_ports),
    CHOICE_KEY("tftp", "utimeout", tftp_utimeout, "no", "yes or no", switch_words),

    CHOICE_KEY("dhcp", "mode", dhcp_mode, "off", "off, full or proxy", dhcp_words),
    CHOICE_KEY("dhcp", "loader", dhcp_loader, "ipxe", "ipxe, pxelinux or grub", loader_words),
    TEXT_KEY("dhcp", "range", dhcp_range, "", "FIRST,LAST (IPv4 addresses) or empty", check_range),
    TEXT_KEY("dhcp", "lease", dhcp_lease, "infinite",
	     "infinite, or seconds, or a number with m or h", check_lease),
    TEXT_KEY("dhcp", "router", dhcp_router, "", "IPv4 address or empty", check_address),
    TEXT_KEY("dhcp", "dns", dhcp_dns, "", "IPv4 addresses with commas, or empty", check_addresses),
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

const struct cow_config_key *cow_config_key(size_t n)
{
	return n < KEYS ? &keys[n].pub : NULL;
}

int cow_config_range(const char *text, char ret_first[16], char ret_last[16])
{
	struct in_addr a, b;
	const char *comma = strchr(text, ',');
	size_t n = comma ? (size_t)(comma - text) : 0;

	if (!comma || n >= INET_ADDRSTRLEN || strlen(comma + 1) >= INET_ADDRSTRLEN)
		return -EINVAL;
	memcpy(ret_first, text, n);
	ret_first[n] = '\0';
	memcpy(ret_last, comma + 1, strlen(comma + 1) + 1);
	if (inet_pton(AF_INET, ret_first, &a) != 1 || inet_pton(AF_INET, ret_last, &b) != 1 ||
	    ntohl(a.s_addr) > ntohl(b.s_addr))
		return -EINVAL;
	return 0;
}

static void *field(const struct cow_config *c, const struct key *k)
{
	return (char *)(uintptr_t)c + k->offset;
}

void cow_config_free(struct cow_config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < KEYS; i++)
		if (keys[i].kind == TEXT)
			free(*(char **)field(c, &keys[i]));
	free(c);
}

static int refuse(struct cow_err *err, const struct key *k, const char *value)
{
	return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "[%s] %s = %s: not allowed; wanted: %s",
			   k->pub.section, k->pub.key, COW_Q(value), k->pub.form);
}

static int set_text(struct cow_config *c, const struct key *k, const char *value,
		    struct cow_err *err)
{
	char **f = field(c, k);

	if (k->check(value) < 0)
		return refuse(err, k, value);
	char *copy = strdup(value);
	if (!copy)
		return cow_err_set(err, -ENOMEM, "configuration");
	free(*f);
	*f = copy;
	return 0;
}

static int set_key(struct cow_config *c, const struct key *k, const char *value,
		   struct cow_err *err)
{
	unsigned *f = field(c, k);
	uint64_t n;
	int i;

	switch (k->kind) {
	case TEXT:
		return set_text(c, k, value, err);
	case NUMBER:
		if (cow_parse_u64(value, k->min, k->max, &n) < 0)
			return refuse(err, k, value);
		*f = (unsigned)n;
		return 0;
	case CHOICE:
		i = check_word(value, k->words);
		if (i < 0)
			return refuse(err, k, value);
		*f = (unsigned)i;
		return 0;
	}
	return -EINVAL;
}

/* Append a word to a list "a, b, c" in a fixed buffer; a full buffer keeps what fits. */
static void list_add(char *buf, size_t size, const char *word)
{
	size_t used = strlen(buf);

	(void)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", word);
}

static int unknown(struct cow_err *err, const char *section, const char *key)
{
	char known[512] = "", sections[256] = "";
	const char *last = "";

	for (size_t i = 0; i < KEYS; i++) {
		const struct cow_config_key *k = &keys[i].pub;
		if (strcmp(k->section, last) != 0)
			list_add(sections, sizeof(sections), k->section);
		last = k->section;
		if (strcmp(k->section, section) == 0)
			list_add(known, sizeof(known), k->key);
	}
	if (!*section)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "key '%s' stands before the first section; sections: %s", key,
				   sections);
	if (!*known)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "unknown section [%s]; sections: %s", section, sections);
	return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "unknown key '%s' in [%s]; keys: %s", key,
			   section, known);
}

int cow_config_set(struct cow_config *c, const char *section, const char *key, const char *value,
		   struct cow_err *err)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].pub.section, section) == 0 && strcmp(keys[i].pub.key, key) == 0)
			return set_key(c, &keys[i], value, err);
	return unknown(err, section, key);
}

void cow_config_space(const struct cow_config *c, struct cow_store *s)
{
	struct cow_space_limit warn = {0}, refuse = {0};

	/* Both were checked when they were set. */
	(void)cow_space_limit_parse(c->space_warn, &warn);
	(void)cow_space_limit_parse(c->space_refuse, &refuse);
	cow_store_set_space(s, &warn, &refuse);
}

int cow_config_new(struct cow_config **ret)
{
	cow_autoconfig c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < KEYS; i++) {
		int r = set_key(c, &keys[i], keys[i].pub.fallback, NULL);
		if (r < 0)
			return r;
	}
	*ret = cow_steal_ptr(&c);
	return 0;
}

static int apply(struct cow_config *c, const struct cow_kv *kv, struct cow_err *err)
{
	const char *section, *key, *value;

	for (size_t n = 0; cow_kv_entry(kv, n, &section, &key, &value) == 0; n++) {
		int r = cow_config_set(c, section, key, value, err);
		if (r < 0)
			return r;
	}
	if (c->tftp_single_port && *c->tftp_ports)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "[tftp] single_port = yes and ports exclude each other");
	if (c->dhcp_mode == COW_DHCP_FULL && !*c->dhcp_range)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "[dhcp] mode = full needs range = FIRST,LAST");
	if (c->enrol == COW_ENROL_AUTO && !*c->enrol_image)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "[tftp] enrol = auto needs enrol_image = NAME[:TAG]");
	return 0;
}

int cow_config_parse(const char *buf, size_t len, const char *what, struct cow_config **ret,
		     struct cow_err *err)
{
	cow_autokv kv = NULL;
	cow_autoconfig c = NULL;

	int r = cow_config_new(&c);
	if (r < 0)
		return cow_err_set(err, r, "configuration");
	r = cow_kv_parse(buf, len, what, &kv, err);
	if (r < 0)
		return r;
	r = apply(c, kv, err);
	if (r < 0)
		return cow_err_prefix(err, r, "%s", what);
	*ret = cow_steal_ptr(&c);
	return 0;
}

int cow_config_load(const char *path, struct cow_config **ret, struct cow_err *err)
{
	const char *env =
	    getenv(COW_CONFIG_ENV); /* NOLINT(concurrency-mt-unsafe): before threads */
	const char *store = getenv(COW_STORE_ENV); /* NOLINT(concurrency-mt-unsafe) */
	const char *file = path ? path : env && *env ? env : COW_CONFIG_DEFAULT;
	cow_autofree char *buf = NULL;
	cow_autoconfig c = NULL;
	size_t len = 0;

	int r = cow_read_file_at(AT_FDCWD, file, COW_KV_FILE_MAX, &buf, &len);
	if (r == -ENOENT && !path && !(env && *env))
		r = 0;
	if (r < 0)
		return cow_err_set(err, r, "read configuration '%s'", file);
	r = cow_config_parse(buf ? buf : "", len, file, &c, err);
	if (r < 0)
		return r;
	if (store && *store) {
		r = cow_config_set(c, "store", "path", store, err);
		if (r < 0)
			return cow_err_prefix(err, r, "$" COW_STORE_ENV);
	}
	*ret = cow_steal_ptr(&c);
	return 0;
}
