/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * errno to TFTP: the one place. The text appears on screens and serial consoles of boards, so it is
 * short, and it names no path of ours.
 */
#include "tftp/packet.h"

#include <errno.h>

enum cow_tftp_code cow_tftp_code_of(int r, const char **ret_text)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -EISDIR:
	case -ELOOP: /* a symbolic link */
	case -EXDEV: /* a mount point in the tree */
	case -EINVAL:
	case -ENAMETOOLONG:
		*ret_text = "File not found";
		return COW_TFTP_E_NOT_FOUND;
	case -EACCES:
	case -EPERM:
		*ret_text = "Access denied";
		return COW_TFTP_E_ACCESS;
	case -EROFS: /* WRQ */
		*ret_text = "Read-only server";
		return COW_TFTP_E_ACCESS;
	case -EBADMSG:
		*ret_text = "Malformed request";
		return COW_TFTP_E_ILLEGAL;
	case -EPROTONOSUPPORT:
		*ret_text = "Transfer mode not supported";
		return COW_TFTP_E_ILLEGAL;
	case -EFBIG:
		*ret_text = "File too large";
		return COW_TFTP_E_ILLEGAL;
	default:
		*ret_text = "Server error";
		return COW_TFTP_E_UNDEFINED;
	}
}
