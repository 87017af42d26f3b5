/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Refused requests, as the server and we see them.
 *
 * A request for another client's export is refused by the server's own list of addresses: no method
 * of ours runs. It says so in its log, at a level nobody has on, once per request. So we join the
 * receivers of its log and look for these sentences; who is asking stands in the request's context.
 * The configuration turns the level on and keeps the sentences out of the log itself (cowherd serve
 * writes it so):
 *	LOG { COMPONENTS { EXPORT = INFO; NFSPROTO = INFO; } FACILITY { … max_level = EVENT; } }
 */
#include <stdio.h>
#include <string.h>

#include "glue11.h"
#include "nfs_core.h"
#include "refuse.h"

#define FACILITY "cowherd"

/* The caller as text; "" unknown. */
static void caller(char ret[46])
{
	char text[46];
	ret[0] = '\0';
	if (op_ctx && op_ctx->caller_addr && sprint_sockip(op_ctx->caller_addr, text, sizeof(text)))
		(void)snprintf(ret, 46, "%s", strncmp(text, "::ffff:", 7) ? text : text + 7);
}

/* Ours behind the server's cache, or NULL: the pseudo file system. */
static struct cow_export *current_export(void)
{
	struct gsh_export *g = op_ctx ? op_ctx->ctx_export : NULL;
	struct fsal_export *e = g ? g->fsal_export : NULL;
	while (e && e->fsal != &cow_module.fsal)
		e = e->sub_export;
	return e ? cow_export_of(e) : NULL;
}

void cow_refused(struct cow_export *e, enum cow_refuse_cause cause)
{
	char addr[46];
	caller(addr);
	cow_refuse_note(addr, op_ctx->ctx_export ? op_ctx->ctx_export->export_id : 0, cause);
	if (e && cause != COW_REFUSE_LISTING)
		cow_nfs_root_refused(e->root, addr);
}

/* The server leaves forbidden exports out of a READDIR of the folder they are in, each with such a
 * sentence: nobody asked for them by name. */
static int is_listing(void)
{
	if (op_ctx->nfs_vers != NFS_V4)
		return 0;
	const nfs_request_t *req = COW_CONTAINER(op_ctx, nfs_request_t, op_context);
	const COMPOUND4args *c = &req->arg_nfs.arg_compound4;
	for (u_int i = 0; i < c->argarray.argarray_len; i++)
		if (c->argarray.argarray_val[i].argop == NFS4_OP_READDIR)
			return 1;
	return 0;
}

static int on_log(log_header_t header, void *priv, log_levels_t level, struct display_buffer *buf,
		  char *component, char *message)
{
	if (level != NIV_INFO || !op_ctx || !op_ctx->caller_addr)
		return 0;
	if (strstr(message, "llowed to access Export_Id") ||
	    strstr(message, "llowed on Export_Id") ||
	    strstr(message, "does not allow access for client")) {
		cow_refused(current_export(),
			    is_listing() ? COW_REFUSE_LISTING : COW_REFUSE_ADDRESS);
	} else if (strcasestr(message, "has invalid export")) {
		char addr[46];
		caller(addr);
		cow_refuse_note(addr, 0, COW_REFUSE_EXPORT);
	}
	return 0;
}

void cow_watch_start(void)
{
	int r = create_log_facility(FACILITY, on_log, NIV_INFO, LH_NONE, NULL);
	if (r == 0)
		r = enable_log_facility(FACILITY);
	if (r != 0)
		LogWarn(COMPONENT_FSAL,
			"cowherd: cannot follow the server's log (%d): requests it refuses by "
			"address are not told",
			r);
}

void cow_watch_stop(void)
{
	release_log_facility(FACILITY);
}
