/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * errno to the server's status: the one place. The server's own mapping logs and asks for limits on
 * the way, at the pace of the clients.
 */
#include <errno.h>

#include "glue11.h"

static fsal_errors_t major_of(int e)
{
	switch (e) {
	case 0:
		return ERR_FSAL_NO_ERROR;
	case EPERM:
		return ERR_FSAL_PERM;
	case ENOENT:
		return ERR_FSAL_NOENT;
	case EACCES:
		return ERR_FSAL_ACCESS;
	case EEXIST:
		return ERR_FSAL_EXIST;
	case EXDEV:
		return ERR_FSAL_XDEV;
	case ENOTDIR:
		return ERR_FSAL_NOTDIR;
	case EISDIR:
		return ERR_FSAL_ISDIR;
	case EINVAL:
		return ERR_FSAL_INVAL;
	case EFBIG:
		return ERR_FSAL_FBIG;
	case ENOSPC:
		return ERR_FSAL_NOSPC;
	case EROFS:
		return ERR_FSAL_ROFS;
	case EMLINK:
		return ERR_FSAL_MLINK;
	case EDQUOT:
		return ERR_FSAL_DQUOT;
	case ENAMETOOLONG:
		return ERR_FSAL_NAMETOOLONG;
	case ENOTEMPTY:
		return ERR_FSAL_NOTEMPTY;
	case ESTALE:
	case ESHUTDOWN: /* the export is going away */
		return ERR_FSAL_STALE;
	case EBADMSG: /* a handle nobody here gave out */
		return ERR_FSAL_BADHANDLE;
	case ENXIO:
		return ERR_FSAL_NXIO;
	case EOPNOTSUPP:
		return ERR_FSAL_NOTSUPP;
	case EOVERFLOW:
		return ERR_FSAL_OVERFLOW;
	case ENODATA:
		return ERR_FSAL_NOXATTR;
	case E2BIG:
	case ERANGE:
		return ERR_FSAL_XATTR2BIG;
	case ETXTBSY:
		return ERR_FSAL_SHARE_DENIED;
	/* What may pass: the client waits and asks again. */
	case EAGAIN:
	case EBUSY:
	case EINTR:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return ERR_FSAL_DELAY;
	default:
		return ERR_FSAL_IO;
	}
}

fsal_status_t cow_status(int r)
{
	return fsalstat(major_of(r < 0 ? -r : 0), r < 0 ? -r : 0);
}

fsal_status_t cow_obj_status(const struct cow_obj *o, int r)
{
	if (o->is_root && (r == -ESTALE || r == -ESHUTDOWN))
		r = -EAGAIN;
	return cow_status(r);
}
