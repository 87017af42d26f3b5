/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "common/cleanup.h"

/* --config, or else what cow_config_load() finds by itself. */
static int load(const struct cow_cli_where *w, struct cow_config **ret, struct cow_err *err)
{
	return cow_config_load(w->config, ret, err);
}

int cow_cli_store_path(const struct cow_cli_where *w, char **ret, struct cow_err *err)
{
	cow_autoconfig config = NULL;
	int r = load(w, &config, err);
	if (r < 0)
		return r;
	*ret = strdup(w->store ? w->store : config->store_path);
	return *ret ? 0 : cow_err_set(err, -ENOMEM, "find the store");
}

/* The loop file belongs to the path beside it in the configuration, not to one given otherwise. */
static int path_is_configured(const struct cow_cli_where *w)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts */
	const char *env = getenv(COW_STORE_ENV);
	return !w->store && !(env && *env);
}

static int open_configured(const struct cow_cli_where *w, const struct cow_config *config,
			   struct cow_store **ret, struct cow_err *err)
{
	const char *path = w->store ? w->store : config->store_path;
	int r = cow_store_open(path, ret, err);
	if (r != -ENOENT || !*config->store_loop || !path_is_configured(w))
		return r;
	r = cow_store_mount_loop(path, config->store_loop, err);
	if (r < 0 && r != -EBUSY)
		return r;
	return cow_store_open(path, ret, err); /* busy: mounted, and still no store */
}

int cow_cli_store_open(const struct cow_cli_where *w, struct cow_store **ret, struct cow_err *err)
{
	cow_autoconfig config = NULL;
	int r = load(w, &config, err);
	if (r == 0)
		r = open_configured(w, config, ret, err);
	if (r == 0)
		cow_config_space(config, *ret);
	return r;
}
