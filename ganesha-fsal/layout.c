/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Sizes and offsets of the server's structures as Debian's binary has them. They move with the
 * macros of its config.h, which we write ourselves (tools/ganesha-headers): a wrong guess ends
 * here, at build time, instead of in somebody's memory at run time. Source: measured on the shipped
 * server.
 */
#include "glue11.h"
#include "nfs_core.h"

_Static_assert(FSAL_MAJOR_VERSION == 11, "headers of another FSAL API than 11 (nfs-ganesha 4.x)");

#if defined(__x86_64__)
#define SIZE_IS(type, n)                                                                           \
	_Static_assert(sizeof(type) == (n), "size of " #type " is not the server's")
#define OFFSET_IS(type, member, n)                                                                 \
	_Static_assert(offsetof(type, member) == (n),                                              \
		       "offset of " #member " in " #type " is not the server's")

SIZE_IS(struct fsal_module, 352);
SIZE_IS(struct fsal_export, 360);
SIZE_IS(struct fsal_obj_handle, 144);
SIZE_IS(struct fsal_attrlist, 248);
SIZE_IS(struct req_op_context, 232);
SIZE_IS(struct state_t, 216);
SIZE_IS(struct export_ops, 272);
SIZE_IS(struct fsal_obj_ops, 424);
SIZE_IS(struct fsal_ops, 96);
SIZE_IS(struct gsh_export, 448);
SIZE_IS(struct fsal_up_vector, 184);
SIZE_IS(struct fsal_io_arg, 48);
SIZE_IS(nfs_request_t, 2232);
OFFSET_IS(nfs_request_t, op_context, 1856);
OFFSET_IS(nfs_request_t, arg_nfs, 2088);
#endif

/* The server reads the open flags of a state here (its default status2, fsal_find_fd). */
_Static_assert(offsetof(struct cow_state, state) == 0 &&
		   offsetof(struct cow_state, fd) == sizeof(struct state_t),
	       "the open flags must follow the state");

_Static_assert(sizeof(((struct cow_obj *)0)->key) <= COW_OBJECT_KEY_MAX,
	       "keys too long for the list");

/* NFSv3 leaves 64 bytes less the server's own 5. */
_Static_assert(COW_FSAL_WIRE_MAX <= 59, "handles too long for NFSv3");
