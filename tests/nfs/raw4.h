/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NFSv4.0, 4.1 and 4.2 by hand (RFC 7530, 8881, 7862, 8276). Each request is one compound: SEQUENCE
 * (not in 4.0), a way to the current file handle, one or two operations. One request at a time; what
 * is sent and what came back stand in n4_args and n4_res.
 */
#ifndef COW_NFS_RAW4_H
#define COW_NFS_RAW4_H

#include "rawrpc.h"

enum {
	OP_ACCESS = 3,
	OP_CLOSE = 4,
	OP_COMMIT = 5,
	OP_CREATE = 6,
	OP_GETATTR = 9,
	OP_GETFH = 10,
	OP_LINK = 11,
	OP_LOCK = 12,
	OP_LOCKT = 13,
	OP_LOCKU = 14,
	OP_LOOKUP = 15,
	OP_LOOKUPP = 16,
	OP_OPEN = 18,
	OP_OPEN_CONFIRM = 20,
	OP_OPEN_DOWNGRADE = 21,
	OP_PUTFH = 22,
	OP_PUTROOTFH = 24,
	OP_READ = 25,
	OP_READDIR = 26,
	OP_READLINK = 27,
	OP_REMOVE = 28,
	OP_RENAME = 29,
	OP_RESTOREFH = 31,
	OP_SAVEFH = 32,
	OP_SETATTR = 34,
	OP_SETCLIENTID = 35,
	OP_SETCLIENTID_CONFIRM = 36,
	OP_WRITE = 38,
	OP_EXCHANGE_ID = 42,
	OP_CREATE_SESSION = 43,
	OP_SEQUENCE = 53,
	OP_RECLAIM_COMPLETE = 58,
	OP_ALLOCATE = 59,
	OP_DEALLOCATE = 62,
	OP_READ_PLUS = 68,
	OP_SEEK = 69,
	OP_GETXATTR = 72,
	OP_SETXATTR = 73,
	OP_LISTXATTRS = 74,
	OP_REMOVEXATTR = 75,
};
enum {
	NFS4_OK = 0,
	ERR_PERM = 1,
	ERR_NOENT = 2,
	ERR_NXIO = 6,
	ERR_ACCESS = 13,
	ERR_EXIST = 17,
	ERR_XDEV = 18,
	ERR_NOTDIR = 20,
	ERR_ISDIR = 21,
	ERR_INVAL = 22,
	ERR_FBIG = 27,
	ERR_NOSPC = 28,
	ERR_NAMETOOLONG = 63,
	ERR_NOTEMPTY = 66,
	ERR_STALE = 70,
	ERR_BADHANDLE = 10001,
	ERR_NOTSUPP = 10004,
	ERR_DELAY = 10008,
	ERR_DENIED = 10010,
	ERR_LOCKED = 10012,
	ERR_GRACE = 10013,
	ERR_SHARE_DENIED = 10015,
	ERR_NOFILEHANDLE = 10020,
	ERR_NO_GRACE = 10033,
	ERR_OPENMODE = 10038,
	ERR_BADXDR = 10036,
	ERR_NOXATTR = 10095,
};
enum { READ = 1, WRITE = 2, BOTH = 3, DENY_NONE = 0, DENY_READ = 1, DENY_WRITE = 2, DENY_BOTH = 3 };
enum { DATA = 0, HOLE = 1 };
enum { READ_LT = 1, WRITE_LT = 2, READW_LT = 3, WRITEW_LT = 4 };

struct fh {
	uint8_t b[128];
	size_t len;
};
struct stateid {
	uint8_t b[16];
	uint32_t oseq; /* of an open, 4.0 only: the next sequence id of its owner */
};
struct session {
	struct raw c;
	uint32_t minor;
	uint64_t clientid;
	uint8_t id[16];
	uint32_t seq;
	uint64_t boot;	/* as a client: its verifier */
	uint32_t owner; /* number of the open owner; with 4.0 each open has one of its own */
};

extern struct xdr n4_args, n4_res;

/* -------------------------------------------------- compounds */

void n4_begin(struct session *s);
void n4_op(uint32_t number);
void n4_put_fh(const struct fh *h);
void n4_put_name(uint32_t number, const char *name); /* an operation whose argument is a name */

/* Send; the reply is left at the first operation. Return: status of the compound. */
uint32_t n4_send(struct session *s);
uint32_t n4_result(uint32_t number); /* header of the next result; its status */
void n4_result_sequence(const struct session *s);

/* After SEQUENCE and PUTFH: the next result is the operation's, unless the handle was refused. Return:
 * the compound's status. */
uint32_t n4_send_on_fh(struct session *s);

/* A client of its own. @name must be unique; given again, it is that client after a reboot. */
struct session n4_session(const char *addr, const char *port, uint32_t minor, const char *name,
			  uint32_t uid);

/* The client of @old after the server was started again: it may take back what it had. For 4.1 and
 * later that ends with n4_reclaim_complete(). */
struct session n4_return(const char *addr, const char *port, const struct session *old,
			 const char *name);
void n4_reclaim_complete(struct session *s);

/* -------------------------------------------------- names */

/* From the pseudo root. Return: status. */
uint32_t n4_try_walk(struct session *s, const char *path, struct fh *ret);
struct fh n4_walk(struct session *s, const char *path); /* ends the program */
uint32_t n4_lookup(struct session *s, const struct fh *dir, const char *name, struct fh *ret);
uint32_t n4_remove(struct session *s, const struct fh *dir, const char *name);
uint32_t n4_rename(struct session *s, const struct fh *from, const char *name, const struct fh *to,
		   const char *name2);
uint32_t n4_link(struct session *s, const struct fh *file, const struct fh *dir, const char *name);
uint32_t n4_mkdir(struct session *s, const struct fh *dir, const char *name, uint32_t mode,
		  struct fh *ret);

/* -------------------------------------------------- attributes */

struct n4_attr {
	uint64_t change, size, fileid;
	uint32_t type, mode, nlink;
	uint64_t ctime_s;
	uint32_t ctime_ns;
};
uint32_t n4_getattr(struct session *s, const struct fh *h, struct n4_attr *ret);
uint32_t n4_set_mode(struct session *s, const struct fh *h, uint32_t mode);
uint32_t n4_set_size(struct session *s, const struct fh *h, const struct stateid *st,
		     uint64_t size);

/* -------------------------------------------------- open files */

enum { CREATE_NO, CREATE_UNCHECKED, CREATE_GUARDED, CREATE_EXCLUSIVE, CREATE_EXCLUSIVE_1 };
struct open_how {
	uint32_t access, deny;
	int create;
	int size_zero;	   /* with size 0, which truncates */
	int reclaim;	   /* CLAIM_PREVIOUS; @dir is the file */
	uint64_t verifier; /* of the exclusive ones */
};

/* Return: the status; handle and state id on success. With 4.0 confirms a new owner. */
uint32_t n4_open(struct session *s, const struct fh *dir, const char *name, struct open_how how,
		 struct fh *ret, struct stateid *ret_state);
uint32_t n4_close(struct session *s, const struct fh *h, const struct stateid *st);
uint32_t n4_downgrade(struct session *s, const struct fh *h, struct stateid *st, uint32_t access,
		      uint32_t deny);

uint32_t n4_write(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off,
		  const void *p, size_t len);
/* WRITE that may be cut short. @stable: RAW_UNSTABLE, RAW_FILE_SYNC. @ret_len: bytes taken. */
uint32_t n4_write_some(struct session *s, const struct fh *h, const struct stateid *st,
		       uint64_t off, const void *p, size_t len, uint32_t stable, size_t *ret_len);
uint32_t n4_commit(struct session *s, const struct fh *h); /* the whole file */
/* Return: bytes; the status negated on failure. */
long n4_read(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off, void *p,
	     size_t len, uint32_t *ret_eof);
uint32_t n4_seek(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off,
		 uint32_t what, uint32_t *ret_eof, uint64_t *ret_off);
uint32_t n4_range(struct session *s, uint32_t number, const struct fh *h, const struct stateid *st,
		  uint64_t off, uint64_t len);

/* A lock owner's lock on an open. Zero-initialise; owners of one session differ by @owner. */
struct n4_lock {
	struct stateid open, st;
	uint32_t owner, seq;
	int has;     /* st is valid */
	int reclaim; /* take back what the server before knew */
};
uint32_t n4_lock(struct session *s, const struct fh *h, struct n4_lock *l, uint32_t type,
		 uint64_t off, uint64_t len);
uint32_t n4_unlock(struct session *s, const struct fh *h, struct n4_lock *l, uint64_t off,
		   uint64_t len);
uint32_t n4_lockt(struct session *s, const struct fh *h, uint32_t owner, uint32_t type,
		  uint64_t off, uint64_t len);

/* -------------------------------------------------- extended attributes, 4.2 */

uint32_t n4_set_xattr(struct session *s, const struct fh *h, uint32_t option, const char *name,
		      const void *p, size_t len);
long n4_get_xattr(struct session *s, const struct fh *h, const char *name, void *p, size_t max);
uint32_t n4_remove_xattr(struct session *s, const struct fh *h, const char *name);
/* Return: how many; the status negated on failure. */
long n4_list_xattrs(struct session *s, const struct fh *h);

#endif
