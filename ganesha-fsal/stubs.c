/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Slots of the server's table that have no meaning here. Its defaults log at CRIT on every call: a
 * client that probes would flood the log. None of them is reached by NFS as we configure it (locks
 * and leases stay in the server; the old xattr calls belong to 9P).
 */
#include <errno.h>

#include "glue11.h"

static fsal_status_t no(void)
{
	return fsalstat(ERR_FSAL_NOTSUPP, EOPNOTSUPP);
}

static fsal_status_t no_list(struct fsal_obj_handle *h, unsigned int cookie,
			     struct fsal_xattrent *tab, unsigned int size, unsigned int *ret_n,
			     int *ret_end)
{
	return no();
}

static fsal_status_t no_id(struct fsal_obj_handle *h, const char *name, unsigned int *ret)
{
	return no();
}

static fsal_status_t no_get_name(struct fsal_obj_handle *h, const char *name, void *buf,
				 size_t size, size_t *ret)
{
	return no();
}

static fsal_status_t no_get_id(struct fsal_obj_handle *h, unsigned int id, void *buf, size_t size,
			       size_t *ret)
{
	return no();
}

static fsal_status_t no_set_name(struct fsal_obj_handle *h, const char *name, void *buf,
				 size_t size, int create)
{
	return no();
}

static fsal_status_t no_set_id(struct fsal_obj_handle *h, unsigned int id, void *buf, size_t size)
{
	return no();
}

static fsal_status_t no_remove_id(struct fsal_obj_handle *h, unsigned int id)
{
	return no();
}

static fsal_status_t no_remove_name(struct fsal_obj_handle *h, const char *name)
{
	return no();
}

static fsal_status_t no_seek(struct fsal_obj_handle *h, struct io_info *info)
{
	return no();
}

static fsal_status_t no_lock(struct fsal_obj_handle *h, struct state_t *state, void *owner,
			     fsal_lock_op_t op, fsal_lock_param_t *lock,
			     fsal_lock_param_t *conflict)
{
	return no();
}

static fsal_status_t no_lease(struct fsal_obj_handle *h, struct state_t *state, void *owner,
			      fsal_deleg_t deleg)
{
	return no();
}

void cow_ops_stubs(struct fsal_obj_ops *ops)
{
	ops->list_ext_attrs = no_list;
	ops->getextattr_id_by_name = no_id;
	ops->getextattr_value_by_name = no_get_name;
	ops->getextattr_value_by_id = no_get_id;
	ops->setextattr_value = no_set_name;
	ops->setextattr_value_by_id = no_set_id;
	ops->remove_extattr_by_id = no_remove_id;
	ops->remove_extattr_by_name = no_remove_name;
	ops->seek = no_seek;
	ops->lock_op2 = no_lock;
	ops->lease_op2 = no_lease;
}
