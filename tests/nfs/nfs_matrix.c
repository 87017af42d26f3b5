/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Who may change what, tried in full: every namespace operation by owner, group, supplementary group and
 * others, in directories of every mode that matters, sticky or not; extended attributes on files of
 * every mode. What must come out is computed from POSIX here; the server's core checks none of it.
 *	nfs_matrix ADDR NFSPORT MOUNTPORT EXPORT
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

enum { OWNER, GROUP, SUPPLEMENTARY, OTHER, CALLERS };
enum { DIR_UID = 1000, DIR_GID = 2000, EXTRA_GID = 2001, FAR_UID = 3000 };
enum { CREATE, MKDIR, FIFO, SYMLINK, LINK, REMOVE, RMDIR, RENAME_FROM, RENAME_TO, OPS };

static const char *const op_names[] = {"create", "mkdir", "mknod",	 "symlink",  "link",
				       "remove", "rmdir", "rename from", "rename to"};
static const char *const caller_names[] = {"owner", "group", "supplementary group", "other"};

static struct raw root, as[CALLERS];
static struct session xas[CALLERS], xroot;
static struct fh3 top, dir, yard;
static unsigned long tried;

static void set_attrs(const struct fh3 *h, uint32_t mode, uint32_t uid, uint32_t gid)
{
	n3_begin(h);
	x_u32(&n3_args, 0);
	x_u32(&n3_args, 1);
	x_u32(&n3_args, uid);
	x_u32(&n3_args, 1);
	x_u32(&n3_args, gid);
	for (int i = 0; i < 4; i++)
		x_u32(&n3_args, 0);
	WANT("owner", n3_call(&root, P3_SETATTR), 0);
	WANT("mode", n3_set_mode(&root, h, mode), 0); /* a new owner takes setuid and setgid away */
}

static void file_of(const struct fh3 *d, const char *name, uint32_t uid)
{
	struct fh3 h;
	WANT(name, n3_create(&root, d, name, N3_GUARDED, 0, &h), 0);
	set_attrs(&h, 0644, uid, uid);
}

/* -------------------------------------------------- what POSIX says */

static uint32_t class_bits(uint32_t mode, int caller)
{
	switch (caller) {
	case OWNER:
		return mode >> 6 & 7;
	case GROUP:
	case SUPPLEMENTARY:
		return mode >> 3 & 7;
	default:
		return mode & 7;
	}
}

/* May @caller add a name to the directory? */
static int may_add(uint32_t mode, int caller)
{
	return (class_bits(mode, caller) & 3) == 3;
}

/* May he take one away that is a far user's? */
static int may_take(uint32_t mode, int caller)
{
	return may_add(mode, caller) && (!(mode & S_ISVTX) || caller == OWNER);
}

static int allowed(int op, uint32_t mode, int caller)
{
	return op < REMOVE ? may_add(mode, caller) : may_take(mode, caller);
}

/* -------------------------------------------------- what the server says */

static uint32_t fifo(struct raw *c, const char *name)
{
	n3_begin(&dir);
	x_str(&n3_args, name);
	x_u32(&n3_args, 7); /* NF3FIFO */
	x_u32(&n3_args, 1);
	x_u32(&n3_args, 0600);
	for (int i = 0; i < 5; i++)
		x_u32(&n3_args, 0);
	return n3_call(c, P3_MKNOD);
}

static uint32_t attempt(struct raw *c, int op, int caller)
{
	struct fh3 h, mine;
	char name[32];
	(void)snprintf(name, sizeof(name), "mine-%d", caller);
	switch (op) {
	case CREATE:
		return n3_create(c, &dir, "new", N3_GUARDED, 0, &h);
	case MKDIR:
		return n3_mkdir(c, &dir, "new", 0755, &h);
	case FIFO:
		return fifo(c, "new");
	case SYMLINK:
		return n3_symlink(c, &dir, "new", "x", &h);
	case LINK:
		WANT(name, n3_lookup(&root, &yard, name, &mine), 0);
		return n3_link(c, &mine, &dir, "new");
	case REMOVE:
		return n3_remove(c, &dir, "theirs");
	case RMDIR:
		return n3_rmdir(c, &dir, "theirs.d");
	case RENAME_FROM:
		return n3_rename(c, &dir, "theirs", &yard, "taken");
	default: /* over a file of another */
		return n3_rename(c, &yard, name, &dir, "theirs");
	}
}

static void restore(int op, int caller, uint32_t uid)
{
	char name[32];
	struct fh3 h;
	(void)snprintf(name, sizeof(name), "mine-%d", caller);
	if (op == MKDIR)
		WANT("RMDIR", n3_rmdir(&root, &dir, "new"), 0);
	else if (op < REMOVE)
		WANT("REMOVE", n3_remove(&root, &dir, "new"), 0);
	if (op == RENAME_FROM)
		WANT("REMOVE", n3_remove(&root, &yard, "taken"), 0);
	if (op == RENAME_TO) {
		WANT("REMOVE", n3_remove(&root, &dir, "theirs"), 0);
		file_of(&yard, name, uid);
	}
	if (op == REMOVE || op == RENAME_FROM || op == RENAME_TO)
		file_of(&dir, "theirs", FAR_UID);
	if (op == RMDIR) {
		WANT("MKDIR", n3_mkdir(&root, &dir, "theirs.d", 0755, &h), 0);
		set_attrs(&h, 0755, FAR_UID, FAR_UID);
	}
}

static void one(int op, uint32_t mode, int caller)
{
	char what[128];
	uint32_t r = attempt(&as[caller], op, caller);
	int want = allowed(op, mode, caller);
	(void)snprintf(what, sizeof(what), "%s by %s in a directory of mode %04o", op_names[op],
		       caller_names[caller], mode);
	tried++;
	if (want) {
		WANT(what, r, 0);
		restore(op, caller, as[caller].uid);
	} else if (r != 1 && r != 13) { /* EPERM, EACCES */
		raw_die("%s: %u, want EPERM or EACCES", what, r);
	}
}

static void names_in_directories_of_every_mode(void)
{
	static const uint32_t modes[] = {0777, 0700, 0070, 0007, 0077, 0707, 0770, 0500,
					 0300, 0030, 0003, 0555, 0222, 0111, 0000, 0733};
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++)
		for (uint32_t sticky = 0; sticky <= S_ISVTX; sticky += S_ISVTX) {
			set_attrs(&dir, modes[m] | sticky, DIR_UID, DIR_GID);
			for (int op = 0; op < OPS; op++)
				for (int caller = 0; caller < CALLERS; caller++)
					one(op, modes[m] | sticky, caller);
		}
}

/* In a sticky directory one's own names are one's own. */
static void own_names_in_sticky_directories(void)
{
	for (int caller = 0; caller < CALLERS; caller++) {
		set_attrs(&dir, 01777, DIR_UID, DIR_GID);
		file_of(&dir, "own", as[caller].uid);
		WANT("rename of one's own", n3_rename(&as[caller], &dir, "own", &dir, "own2"), 0);
		WANT("remove of one's own", n3_remove(&as[caller], &dir, "own2"), 0);
		tried += 2;
	}
}

static void groups_of_what_is_made(void)
{
	struct fh3 h;
	struct n3_attr a;
	for (uint32_t setgid = 0; setgid <= S_ISGID; setgid += S_ISGID)
		for (int caller = 0; caller < CALLERS; caller++) {
			uint32_t want = setgid ? DIR_GID : as[caller].gid;
			set_attrs(&dir, 0777 | setgid, DIR_UID, DIR_GID);
			WANT("CREATE", n3_create(&as[caller], &dir, "new", N3_GUARDED, 0, &h), 0);
			WANT("GETATTR", n3_getattr(&root, &h, &a), 0);
			WANT("owner", a.uid, as[caller].uid);
			WANT("group", a.gid, want);
			WANT("REMOVE", n3_remove(&root, &dir, "new"), 0);
			WANT("MKDIR", n3_mkdir(&as[caller], &dir, "new", 0755, &h), 0);
			WANT("GETATTR", n3_getattr(&root, &h, &a), 0);
			WANT("group", a.gid, want);
			WANT("setgid", a.mode & S_ISGID, setgid);
			WANT("RMDIR", n3_rmdir(&root, &dir, "new"), 0);
			WANT("SYMLINK", n3_symlink(&as[caller], &dir, "new", "x", &h), 0);
			WANT("GETATTR", n3_getattr(&root, &h, &a), 0);
			WANT("group", a.gid, want);
			WANT("REMOVE", n3_remove(&root, &dir, "new"), 0);
			tried += 3;
		}
}

/* -------------------------------------------------- extended attributes */

static void on_file(const struct fh *h, uint32_t mode, int caller)
{
	char what[96], buf[8];
	struct session *s = &xas[caller];
	int may_read = (class_bits(mode, caller) & 4) != 0;
	int may_write = (class_bits(mode, caller) & 2) != 0;
	(void)snprintf(what, sizeof(what), "xattr by %s on mode %04o", caller_names[caller], mode);
	WANT(what, n4_get_xattr(s, h, "a", buf, sizeof(buf)), may_read ? 1 : -ERR_ACCESS);
	WANT(what, n4_list_xattrs(s, h), may_read ? 1 : -ERR_ACCESS);
	WANT(what, n4_set_xattr(s, h, 0, "a", "2", 1), may_write ? NFS4_OK : ERR_ACCESS);
	WANT(what, n4_set_xattr(s, h, 1, "b", "2", 1), may_write ? NFS4_OK : ERR_ACCESS);
	WANT(what, n4_remove_xattr(s, h, "b"), may_write ? NFS4_OK : ERR_ACCESS);
	tried += 5;
}

static void extended_attributes_of_files_of_every_mode(void)
{
	static const uint32_t modes[] = {0600, 0060, 0006, 0400, 0200, 0040,
					 0020, 0004, 0002, 0000, 0666, 0066};
	struct fh3 h3;
	struct fh h = {.len = 0};
	WANT("CREATE", n3_create(&root, &yard, "x", N3_GUARDED, 0, &h3), 0);
	h.len = 5 + (size_t)h3.b[4]; /* without what v3 fills up with */
	memcpy(h.b, h3.b, h.len);
	WANT("SETXATTR", n4_set_xattr(&xroot, &h, 1, "a", "1", 1), NFS4_OK);
	for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
		set_attrs(&h3, modes[m], DIR_UID, DIR_GID);
		for (int caller = 0; caller < CALLERS; caller++)
			on_file(&h, modes[m], caller);
	}
	WANT("REMOVE", n3_remove(&root, &yard, "x"), 0);
}

/* -------------------------------------------------- all */

static void callers(const char *addr, const char *port)
{
	static const uint32_t uid[] = {DIR_UID, 1001, 1002, 1003};
	static const uint32_t gid[] = {1000, DIR_GID, 1002, 1003};
	char name[64];
	for (int i = 0; i < CALLERS; i++) {
		as[i] = n3_connect(addr, port, uid[i]);
		as[i].gid = gid[i];
		(void)snprintf(name, sizeof(name), "cowherd-matrix-%d-%d", (int)getpid(), i);
		xas[i] = n4_session(addr, port, 2, name, uid[i]);
		if (i == SUPPLEMENTARY) {
			as[i].groups[as[i].n_groups++] = EXTRA_GID;
			as[i].groups[as[i].n_groups++] = DIR_GID;
		}
		xas[i].c.gid = as[i].gid;
		memcpy(xas[i].c.groups, as[i].groups, sizeof(as[i].groups));
		xas[i].c.n_groups = as[i].n_groups;
		(void)snprintf(name, sizeof(name), "mine-%d", i);
		file_of(&yard, name, uid[i]);
	}
	(void)snprintf(name, sizeof(name), "cowherd-matrix-%d-root", (int)getpid());
	xroot = n4_session(addr, port, 2, name, 0);
}

static void run(const char *name, void (*fn)(void))
{
	raw_running = name;
	fn();
	(void)printf("ok - %s\n", name);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	struct fh3 h;
	char name[32];
	if (argc != 5) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT MOUNTPORT EXPORT\n", argv[0]);
		return 2;
	}
	alarm(120);
	struct raw mnt = n3_connect(argv[1], argv[3], 0);
	root = n3_connect(argv[1], argv[2], 0);
	WANT("mount", n3_mount(&mnt, argv[4], &top), 0);
	(void)snprintf(name, sizeof(name), "matrix-%d", (int)getpid());
	WANT("MKDIR", n3_mkdir(&root, &top, name, 0777, &h), 0);
	WANT("MKDIR", n3_mkdir(&root, &h, "dir", 0777, &dir), 0);
	WANT("MKDIR", n3_mkdir(&root, &h, "yard", 0777, &yard), 0);
	callers(argv[1], argv[2]);
	file_of(&dir, "theirs", FAR_UID);
	restore(RMDIR, 0, 0);
	run("names in directories of every mode", names_in_directories_of_every_mode);
	run("own names in sticky directories", own_names_in_sticky_directories);
	run("groups of what is made", groups_of_what_is_made);
	run("extended attributes of files of every mode",
	    extended_attributes_of_files_of_every_mode);
	(void)printf("ok - %lu attempts\n", tried);
	return 0;
}
