/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "common/cleanup.h"

/* The first that is there and not empty. */
static const char *first_of(const char *a, const char *b, const char *c, const char *d)
{
	const char *all[] = {a, b, c, d};
	for (size_t i = 0; i < 3; i++)
		if (all[i] && *all[i])
			return all[i];
	return d;
}

/* NOLINTNEXTLINE(concurrency-mt-unsafe): read before any thread starts */
#define ENV(name) getenv(name)

int cow_cli_config(const struct cow_cli_where *w, struct cow_kv **ret, struct cow_err *err)
{
	const char *asked = first_of(w->config, ENV("COWHERD_CONFIG"), NULL, NULL);
	int r = cow_kv_read_at(AT_FDCWD, asked ? asked : COW_CONFIG_DEFAULT, ret, err);
	if (r != -ENOENT || asked)
		return r;
	if (err)
		*err = COW_ERR_INIT;
	r = cow_kv_new(ret);
	return r < 0 ? cow_err_set(err, r, "read the configuration") : 0;
}

int cow_cli_store_path(const struct cow_cli_where *w, const struct cow_kv *config, char **ret,
		       struct cow_err *err)
{
	cow_autokv own = NULL;
	if (!config) {
		int r = cow_cli_config(w, &own, err);
		if (r < 0)
			return r;
		config = own;
	}
	*ret = strdup(first_of(w->store, ENV("COWHERD_STORE"), cow_kv_get(config, "store", "path"),
			       COW_STORE_DEFAULT));
	return *ret ? 0 : cow_err_set(err, -ENOMEM, "find the store");
}

int cow_cli_store_open(const struct cow_cli_where *w, struct cow_store **ret, struct cow_err *err)
{
	cow_autokv config = NULL;
	cow_autofree char *path = NULL;
	int r = cow_cli_config(w, &config, err);
	if (r == 0)
		r = cow_cli_store_path(w, config, &path, err);
	if (r < 0)
		return r;
	r = cow_store_open(path, ret, err);
	const char *loop = cow_kv_get(config, "store", "loop");
	const char *configured = cow_kv_get(config, "store", "path");
	if (r != -ENOENT || !loop || strcmp(path, configured ? configured : COW_STORE_DEFAULT) != 0)
		return r;
	r = cow_store_mount_loop(path, loop, err);
	if (r < 0 && r != -EBUSY)
		return r;
	return cow_store_open(path, ret, err); /* busy: mounted, and still no store */
}
