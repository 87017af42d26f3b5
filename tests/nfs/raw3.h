/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NFSv3 and its mount protocol by hand (RFC 1813). Functions return the NFS status; a call the server
 * refuses to hear from this caller gives RAW_DENIED and more (rawrpc.h).
 */
#ifndef COW_NFS_RAW3_H
#define COW_NFS_RAW3_H

#include "rawrpc.h"

#define N3_FH_MAX 64

enum {
	N3_OK = 0,
	N3_NOENT = 2,
	N3_ACCES = 13,
	N3_EXIST = 17,
	N3_XDEV = 18,
	N3_NOSPC = 28,
	N3_STALE = 70,
	N3_BADHANDLE = 10001,
	N3_JUKEBOX = 10008,
};
enum {
	P3_GETATTR = 1,
	P3_SETATTR,
	P3_LOOKUP,
	P3_ACCESS,
	P3_READLINK,
	P3_READ,
	P3_WRITE,
	P3_CREATE,
	P3_MKDIR,
	P3_SYMLINK,
	P3_MKNOD,
	P3_REMOVE,
	P3_RMDIR,
	P3_RENAME,
	P3_LINK,
	P3_READDIR,
	P3_READDIRPLUS,
	P3_FSSTAT,
	P3_FSINFO,
	P3_PATHCONF,
	P3_COMMIT,
};

struct fh3 {
	uint8_t b[N3_FH_MAX];
	size_t len;
};
struct n3_attr {
	uint32_t type, mode, nlink, uid, gid;
	uint64_t size, used, fsid, fileid;
	uint32_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};

/* What is sent and what came back; a call leaves the reply behind its status. */
extern struct xdr n3_args, n3_res;

struct raw n3_connect(const char *addr, const char *port, uint32_t uid);
void n3_begin(const struct fh3 *h); /* a call whose arguments begin with a handle */
uint32_t n3_call(struct raw *c, uint32_t proc);

struct fh3 n3_unhex(const char *s);
void n3_print(const struct fh3 *h);

/* Mount protocol; @c is a connection to its port. */
uint32_t n3_mount(struct raw *c, const char *path, struct fh3 *ret);

uint32_t n3_lookup(struct raw *c, const struct fh3 *dir, const char *name, struct fh3 *ret);
uint32_t n3_getattr(struct raw *c, const struct fh3 *h, struct n3_attr *ret);
uint32_t n3_set_mode(struct raw *c, const struct fh3 *h, uint32_t mode);
uint32_t n3_set_size(struct raw *c, const struct fh3 *h, uint64_t size);
uint32_t n3_read(struct raw *c, const struct fh3 *h, uint64_t off, void *p, size_t max, size_t *ret,
		 uint32_t *ret_eof);
uint32_t n3_write(struct raw *c, const struct fh3 *h, uint64_t off, const void *p, size_t len);
/* WRITE that may be cut short. @stable: RAW_UNSTABLE, RAW_FILE_SYNC. @ret_len: bytes taken. */
uint32_t n3_write_some(struct raw *c, const struct fh3 *h, uint64_t off, const void *p, size_t len,
		       uint32_t stable, size_t *ret_len);
uint32_t n3_commit(struct raw *c, const struct fh3 *h); /* the whole file */
enum { N3_UNCHECKED, N3_GUARDED, N3_EXCLUSIVE };
uint32_t n3_create(struct raw *c, const struct fh3 *dir, const char *name, uint32_t how,
		   uint64_t verifier, struct fh3 *ret);
uint32_t n3_mkdir(struct raw *c, const struct fh3 *dir, const char *name, uint32_t mode,
		  struct fh3 *ret);
uint32_t n3_symlink(struct raw *c, const struct fh3 *dir, const char *name, const char *target,
		    struct fh3 *ret);
uint32_t n3_readlink(struct raw *c, const struct fh3 *h, char *p, size_t max, size_t *ret);
uint32_t n3_remove(struct raw *c, const struct fh3 *dir, const char *name);
uint32_t n3_rmdir(struct raw *c, const struct fh3 *dir, const char *name);
uint32_t n3_rename(struct raw *c, const struct fh3 *from, const char *name, const struct fh3 *to,
		   const char *name2);
uint32_t n3_link(struct raw *c, const struct fh3 *file, const struct fh3 *dir, const char *name);

/* One READDIR of at most @bytes. @entry is called for each; @cookie and @verifier are carried from
 * call to call, 0 at the beginning. */
typedef void (*n3_entry)(void *arg, const char *name, uint64_t fileid, uint64_t cookie);
uint32_t n3_readdir(struct raw *c, const struct fh3 *dir, uint32_t bytes, uint64_t *cookie,
		    uint64_t *verifier, n3_entry entry, void *arg, uint32_t *ret_eof);

#endif
