/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Exports: one per client. The export's path is a name, not a directory: its last component is the
 * client's MAC address ("/clients/dc-a6-32-01-02-03").
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "glue11.h"

/* -------------------------------------------------- readdir against removal */

int cow_export_enter_readdir(struct cow_export *e)
{
	pthread_mutex_lock(&e->readdir_lock);
	int in = !e->closing;
	if (in)
		e->readdirs++;
	pthread_mutex_unlock(&e->readdir_lock);
	return in;
}

void cow_export_leave_readdir(struct cow_export *e)
{
	pthread_mutex_lock(&e->readdir_lock);
	if (--e->readdirs == 0)
		pthread_cond_broadcast(&e->readdir_idle);
	pthread_mutex_unlock(&e->readdir_lock);
}

/* Before the server marks its own export as going. Open files are still closed through us
 * afterwards. */
static void op_prepare_unexport(struct fsal_export *ex)
{
	struct cow_export *e = cow_export_of(ex);
	pthread_mutex_lock(&e->readdir_lock);
	e->closing = 1;
	while (e->readdirs)
		pthread_cond_wait(&e->readdir_idle, &e->readdir_lock);
	pthread_mutex_unlock(&e->readdir_lock);
	cow_nfs_root_quiet(e->root);
}

/* -------------------------------------------------- life */

/* The tree has changed behind the root directory's object: nothing cached of it is true any more.
 */
static void root_swapped(void *arg)
{
	struct cow_export *e = arg;
	struct gsh_buffdesc key = {.addr = e->root_key, .len = sizeof(e->root_key)};
	LogEvent(COMPONENT_FSAL, "cowherd: %s shows another root from now on (change %u)", e->path,
		 atomic_fetch_add(&e->swaps, 1) + 1);
	(void)e->e.up_ops->invalidate(e->e.up_ops, &key,
				      FSAL_UP_INVALIDATE_CACHE & ~FSAL_UP_INVALIDATE_PARENT);
}

/*
 * The server's own try_release lacks a context to work in, which the cleaning of an object needs. The
 * export cannot go meanwhile: op_prepare_unexport() waits for us (cow_nfs_root_quiet()).
 */
static int release_old(void *arg, const uint8_t *key, size_t len)
{
	struct cow_export *e = arg;
	const struct fsal_up_vector *up = e->e.up_ops;
	static char where[] = "release_old"; /* the server's macro casts a const away */
	uint8_t copy[COW_OBJECT_KEY_MAX];
	struct gsh_buffdesc k = {.addr = copy, .len = len};
	struct req_op_context ctx;
	memcpy(copy, key, len);
	_get_gsh_export_ref(up->up_gsh_export, where, __LINE__, where);
	init_op_context_simple(&ctx, up->up_gsh_export, up->up_fsal_export);
	fsal_status_t s = up->try_release(up, &k, 0);
	release_op_context();
	return !FSAL_IS_ERROR(s);
}

static void export_free(struct cow_export *e)
{
	if (e->root)
		cow_nfs_root_shut(e->root);
	cow_nfs_root_put(e->root);
	pthread_cond_destroy(&e->readdir_idle);
	pthread_mutex_destroy(&e->readdir_lock);
	free(e->path);
	free(e);
}

static void op_release(struct fsal_export *ex)
{
	struct cow_export *e = cow_export_of(ex);
	fsal_detach_export(ex->fsal, &ex->exports);
	free_export_ops(ex);
	export_free(e);
}

static fsal_status_t op_fs_info(struct fsal_export *ex, struct fsal_obj_handle *h,
				fsal_dynamicfsinfo_t *out)
{
	/* @h may be an object of another export (a READDIR across a junction): not looked at. */
	struct cow_export *e = cow_export_of(ex);
	cow_autobind b = NULL;
	struct cow_ovl_statfs st = {0};
	*out = (fsal_dynamicfsinfo_t){
	    .maxread = FSAL_MAXIOSIZE, .maxwrite = FSAL_MAXIOSIZE, .time_delta = {.tv_nsec = 1}};
	/* The server itself asks once per export, for the transfer sizes: no reason to attach. */
	if (!op_ctx->caller_addr)
		return fsalstat(ERR_FSAL_NO_ERROR, 0);
	int r = cow_nfs_root_bind(e->root, &b);
	if (r == 0)
		r = cow_ovl_statfs(b->inst, &st);
	if (r < 0)
		return cow_status(r == -ESTALE ? -EAGAIN : r);
	out->total_bytes = st.bytes_total;
	out->free_bytes = st.bytes_free;
	out->avail_bytes = st.bytes_avail;
	out->total_files = st.files_total;
	out->free_files = st.files_free;
	out->avail_files = st.files_free;
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}

static fsal_status_t no_quota(struct fsal_export *e, const char *path, int type, int id,
			      fsal_quota_t *q)
{
	return fsalstat(ERR_FSAL_NOTSUPP, EOPNOTSUPP);
}

static fsal_status_t no_set_quota(struct fsal_export *e, const char *path, int type, int id,
				  fsal_quota_t *q, fsal_quota_t *res)
{
	return fsalstat(ERR_FSAL_NOTSUPP, EOPNOTSUPP);
}

static void export_ops_init(struct export_ops *ops)
{
	ops->prepare_unexport = op_prepare_unexport;
	ops->release = op_release;
	ops->lookup_path = cow_op_lookup_path;
	ops->wire_to_host = cow_op_wire_to_host;
	ops->host_to_key = cow_op_host_to_key;
	ops->create_handle = cow_op_create_handle;
	ops->get_fs_dynamic_info = op_fs_info;
	ops->alloc_state = cow_op_alloc_state;
	ops->free_state = cow_op_free_state;
	ops->get_quota = no_quota;
	ops->set_quota = no_set_quota;
}

/* -------------------------------------------------- creation */

static void set_identity(struct cow_export *e, const struct cow_mac *mac)
{
	uint64_t v = 0;
	for (size_t i = 0; i < sizeof(mac->b); i++)
		v = v << 8 | mac->b[i];
	/* What a client's kernel tells file systems apart by; the same for ever. */
	e->fsid = (fsal_fsid_t){.major = v, .minor = 0x636f77}; /* "cow" */
	memcpy(e->root_key, mac->b, sizeof(mac->b));
	e->root_key[sizeof(mac->b)] = 'R';
}

static int export_open(struct cow_export *e, const char *path, struct cow_err *err)
{
	struct cow_mac mac;
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;
	if (cow_mac_parse(last, strlen(last), &mac) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "the last component of the export's Path is no MAC address");
	e->path = strdup(path);
	if (!e->path)
		return cow_err_set(err, -ENOMEM, "export");
	set_identity(e, &mac);
	const struct cow_nfs_up up = {.swapped = root_swapped, .release = release_old, .arg = e};
	return cow_nfs_root_new(cow_module.store, &mac, &up, &e->root, err);
}

/* Only the name of the plugin: whatever else stands in the FSAL block is reported as unknown. */
static struct config_item export_items[] = {CONF_ITEM_NOOP("name"), CONFIG_EOL};
static struct config_block export_block = {
    .dbus_interface_name = "org.ganesha.nfsd.config.fsal.cowherd-export%d",
    .blk_desc.name = "FSAL",
    .blk_desc.type = CONFIG_BLOCK,
    .blk_desc.u.blk.init = noop_conf_init,
    .blk_desc.u.blk.params = export_items,
    .blk_desc.u.blk.commit = noop_conf_commit,
};

fsal_status_t cow_export_create(struct fsal_module *fsal, void *parse_node,
				struct config_error_type *err_type,
				const struct fsal_up_vector *up_ops)
{
	struct cow_err err = COW_ERR_INIT;
	const char *path = CTX_FULLPATH(op_ctx);
	struct cow_export *e = calloc(1, sizeof(*e));
	if (!e)
		return cow_status(-ENOMEM);
	pthread_mutex_init(&e->readdir_lock, NULL);
	pthread_cond_init(&e->readdir_idle, NULL);
	fsal_export_init(&e->e);
	export_ops_init(&e->e.exp_ops);
	e->e.fsal = fsal;
	e->e.up_ops = up_ops;
	int r = load_config_from_node(parse_node, &export_block, e, true, err_type);
	if (r != 0)
		r = cow_err_say(&err, COW_ERR_USAGE, -EINVAL, "bad FSAL block");
	if (r == 0)
		r = export_open(e, path, &err);
	if (r == 0 && fsal_attach_export(fsal, &e->e.exports) != 0)
		r = cow_err_say(&err, COW_ERR_FAILED, -EINVAL, "the plugin is not loaded");
	if (r < 0) {
		LogCrit(COMPONENT_FSAL, "cannot export '%s': %s", path, cow_err_str(&err));
		free_export_ops(&e->e);
		export_free(e);
		return fsalstat(ERR_FSAL_INVAL, -r);
	}
	op_ctx->fsal_export = &e->e;
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}
