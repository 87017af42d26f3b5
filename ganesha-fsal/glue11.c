/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The plugin's face to the server: registration, version gate, global configuration block
 *
 *	COWHERD { Store = "/var/lib/cowherd"; Idle_Seconds = 600; }
 *
 * Idle_Seconds: a client's root that nobody used for so long, with no file open, is closed until
 * the next request.
 */
#include <errno.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "glue11.h"
#include "nfs_core.h"

struct cow_module cow_module = {
    .fsal = {.fs_info =
		 {
		     .maxfilesize = INT64_MAX,
		     .maxlink = 65535,
		     .maxnamelen = COW_NAME_MAX,
		     .maxpathlen = COW_PATH_MAX,
		     .no_trunc = true,
		     .chown_restricted = true,
		     .case_insensitive = false,
		     .case_preserving = true,
		     .link_support = true,
		     .symlink_support = true,
		     .lock_support = false, /* the server keeps the locks: it is the only writer */
		     .lock_support_async_block = false,
		     .named_attr = false,
		     .unique_handles = true,
		     .acl_support = 0,
		     .cansettime = true,
		     .homogenous = true,
		     .supported_attrs = ATTRS_POSIX | ATTR4_XATTR,
		     .maxread = FSAL_MAXIOSIZE,
		     .maxwrite = FSAL_MAXIOSIZE,
		     .umask = 0,
		     .auth_exportpath_xdev = false,
		     .link_supports_permission_checks = true,
		     .readdir_plus = true,
		     .compliant_eof_behavior = true,
		     .xattr_support = true,
		     .expire_time_parent = -1,
		 }},
};

static struct config_item items[] = {
    CONF_ITEM_PATH("Store", 1, MAXPATHLEN, COW_STORE_DEFAULT, cow_module, store_path),
    CONF_ITEM_UI32("Idle_Seconds", 1, 86400, COW_NFS_IDLE_S, cow_module, idle_s),
    CONFIG_EOL,
};

static struct config_block block = {
    .dbus_interface_name = "org.ganesha.nfsd.config.fsal.cowherd",
    .blk_desc.name = COW_FSAL_NAME,
    .blk_desc.type = CONFIG_BLOCK,
    .blk_desc.u.blk.init = noop_conf_init,
    .blk_desc.u.blk.params = items,
    .blk_desc.u.blk.commit = noop_conf_commit,
};

static void log_attach(const char *text)
{
	LogCrit(COMPONENT_FSAL, "cowherd: cannot serve a root: %s", text);
}

static void log_refused(const char *text)
{
	SetNameFunction("cowherd"); /* of the thread, as the log shows it */
	LogWarn(COMPONENT_FSAL, "cowherd: %s", text);
}

/*
 * A server that starts with no client at all loads us with the first AddExport, and then hands us
 * that call's file, which has no block of ours: look into the server's own configuration.
 */
static void load_block(config_file_t conf, struct config_error_type *err_type)
{
	if (load_config_from_parse(conf, &block, &cow_module, true, err_type) != 0)
		return;
	config_file_t own = config_ParseFile(nfs_config_path, err_type);
	if (!own)
		return;
	if (config_error_is_harmless(err_type))
		(void)load_config_from_parse(own, &block, &cow_module, true, err_type);
	config_Free(own);
}

static fsal_status_t init_config(struct fsal_module *fsal, config_file_t conf,
				 struct config_error_type *err_type)
{
	struct cow_err err = COW_ERR_INIT;
	load_block(conf, err_type);
	if (!config_error_is_harmless(err_type))
		return fsalstat(ERR_FSAL_INVAL, 0);
	if (cow_module.store)
		return fsalstat(ERR_FSAL_NO_ERROR, 0);
	int r = cow_store_open(cow_module.store_path, &cow_module.store, &err);
	if (r < 0) {
		LogCrit(COMPONENT_FSAL, "cowherd: %s", cow_err_str(&err));
		return fsalstat(ERR_FSAL_INVAL, -r);
	}
	cow_fd_table_reserve(); /* the server has threads already: one wait now, not one for each doubling */
	cow_nfs_set_idle_s(cow_module.idle_s);
	cow_nfs_set_log(log_attach);
	cow_nfs_set_refused_log(log_refused);
	LogEvent(COMPONENT_FSAL,
		 "cowherd: serving the store '%s' (an idle root is closed after %u s)",
		 cow_module.store_path, cow_module.idle_s);
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}

/* SIGHUP and UpdateExport: the FSAL block has nothing that could change; the rest is the server's.
 */
static fsal_status_t check_update(struct fsal_module *fsal, void *parse_node,
				  struct config_error_type *err_type, struct fsal_export *original,
				  struct fsal_module *updated_super)
{
	return update_export(fsal, parse_node, err_type, original, updated_super);
}

MODULE_INIT void cow_module_load(void);
MODULE_FINI void cow_module_unload(void);

/* register_fsal() refuses, and says so, when the server speaks another major version of the API. */
MODULE_INIT void cow_module_load(void)
{
	struct fsal_module *me = &cow_module.fsal;
	if (register_fsal(me, COW_FSAL_NAME, FSAL_MAJOR_VERSION, FSAL_MINOR_VERSION,
			  FSAL_ID_NO_PNFS) != 0) {
		LogCrit(COMPONENT_FSAL,
			"cowherd: this plugin was built for nfs-ganesha " GANESHA_VERSION
			" (FSAL API %d.%d); this server is another: build cowherd again on this "
			"machine",
			FSAL_MAJOR_VERSION, FSAL_MINOR_VERSION);
		return;
	}
	(void)umask(0); /* the engine's rule; modes come from the clients */
	me->m_ops.create_export = cow_export_create;
	me->m_ops.update_export = check_update;
	me->m_ops.init_config = init_config;
	cow_obj_ops_init(&cow_module.obj_ops);
	cow_watch_start();
	cow_fd_reserve(1);
}

MODULE_FINI void cow_module_unload(void)
{
	cow_watch_stop();
	cow_fd_reserve(0);
	/* The last export has ended the housekeeping thread and detached every instance. */
	cow_store_close(cow_module.store);
	cow_module.store = NULL;
	gsh_free(cow_module.store_path);
	if (unregister_fsal(&cow_module.fsal) != 0)
		LogCrit(COMPONENT_FSAL, "cowherd: unloaded while in use");
}
