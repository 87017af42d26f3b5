/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client that wants another's tree, from its own address, by every way NFSv3 and NFSv4 have. Each
 * must be refused, and tell nothing.
 *	nfs_iso ADDR NFSPORT MOUNTPORT MINE THEIRS MYFILE DIR FILE
 * MINE and THEIRS are the two exports' paths; MYFILE is the handle of /hello of the first, DIR and
 * FILE are handles of the second's root and of its /hello, as its own client gets them (hex).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

/* The server's part of a handle: version, flags, export id (network order), length of the rest. */
#define HEADER 5
#define ID_AT 2
#define LEN_AT 4

static const char *addr, *port, *mount_port, *mine, *theirs, *secret;
static struct fh3 my_file, their_dir, their_file, my_root;
static struct raw nfs, mnt;
static unsigned long tried;

/* The length a handle gives itself. */
static size_t said(const struct fh3 *h)
{
	return HEADER + (size_t)h->b[LEN_AT];
}

/* Their handle as if it were of my export. */
static struct fh3 under_mine(struct fh3 h)
{
	memcpy(h.b + ID_AT, my_root.b + ID_AT, 2);
	return h;
}

static void refused(const char *what, uint32_t status)
{
	tried++;
	if (status == 0)
		raw_die("%s: %s: answered", raw_running, what);
}

/* -------------------------------------------------- NFSv3 */

static void mounts_of_another_are_refused(void)
{
	static const char *const behind[] = {"",	 "/",  "//",  "/hello", "/tree",
					     "/tree/d1", "/.", "/..", "/../..", NULL};
	char path[512];
	struct fh3 h;
	for (size_t i = 0; behind[i]; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", theirs, behind[i]);
		refused(path, n3_mount(&mnt, path, &h));
	}
	uint32_t known = n3_mount(&mnt, theirs, &h);
	WANT("a name that does not exist", n3_mount(&mnt, "/clients/02-00-00-00-00-99", &h), known);
	(void)snprintf(path, sizeof(path), "%s/..%s", theirs, strrchr(theirs, '/'));
	refused(path, n3_mount(&mnt, path, &h));
	(void)snprintf(path, sizeof(path), "%s/..%s", mine, strrchr(theirs, '/'));
	refused(path, n3_mount(&mnt, path, &h));
	(void)snprintf(path, sizeof(path), "/%s", theirs);
	refused(path, n3_mount(&mnt, path, &h));
	refused("/", n3_mount(&mnt, "/", &h));
	refused("/clients", n3_mount(&mnt, "/clients", &h));
	refused("..", n3_mount(&mnt, "..", &h));
	refused("nothing", n3_mount(&mnt, "", &h));
}

static int holds(const struct xdr *x, const char *text)
{
	return memmem(x->b, x->len, text, strlen(text)) != NULL;
}

/* DUMP (2) and EXPORT (5) of the mount protocol. */
static void lists_name_no_other(void)
{
	for (uint32_t proc = 2; proc <= 5; proc += 3) {
		n3_args.len = 0;
		raw_call(&mnt, 100005, 3, proc, &n3_args, &n3_res);
		WANT("the other's name in the list", holds(&n3_res, secret), 0);
		tried++;
	}
	WANT("my own name in the list of exports", holds(&n3_res, strrchr(mine, '/') + 1), 1);
}

static uint32_t any_call(uint32_t proc, const struct fh3 *h)
{
	struct n3_attr a;
	struct fh3 got;
	char buf[512];
	size_t n;
	uint32_t eof;
	switch (proc) {
	case P3_GETATTR:
		return n3_getattr(&nfs, h, &a);
	case P3_SETATTR:
		return n3_set_mode(&nfs, h, 0777);
	case P3_LOOKUP:
		return n3_lookup(&nfs, h, "hello", &got);
	case P3_READ:
		return n3_read(&nfs, h, 0, buf, sizeof(buf), &n, &eof);
	case P3_WRITE:
		return n3_write(&nfs, h, 0, "stolen", 6);
	case P3_CREATE:
		return n3_create(&nfs, h, "stolen", N3_UNCHECKED, 0, &got);
	case P3_MKDIR:
		return n3_mkdir(&nfs, h, "stolen", 0755, &got);
	case P3_SYMLINK:
		return n3_symlink(&nfs, h, "stolen", "x", &got);
	case P3_REMOVE:
		return n3_remove(&nfs, h, "hello");
	case P3_RMDIR:
		return n3_rmdir(&nfs, h, "tree");
	case P3_RENAME:
		return n3_rename(&nfs, h, "hello", h, "stolen");
	case P3_LINK:
		return n3_link(&nfs, h, h, "stolen");
	default:
		break;
	}
	n3_begin(h);
	if (proc == P3_ACCESS)
		x_u32(&n3_args, 0x3f);
	for (int i = 0; proc >= P3_READDIR && i < 6; i++)
		x_u32(&n3_args, i >= 4 ? 4096 : 0);
	return n3_call(&nfs, proc);
}

static void every_call(const struct fh3 *h)
{
	char what[64];
	for (uint32_t proc = P3_GETATTR; proc <= P3_COMMIT; proc++) {
		if (proc == P3_MKNOD)
			continue; /* a create like the others */
		(void)snprintf(what, sizeof(what), "procedure %u", proc);
		refused(what, any_call(proc, h));
		WANT("their content in the reply", holds(&n3_res, "golden"), 0);
	}
}

static void handles_of_another_open_nothing(void)
{
	struct fh3 dir = under_mine(their_dir), file = under_mine(their_file);
	every_call(&their_dir);
	every_call(&their_file);
	every_call(&dir);
	every_call(&file);
	WANT("their directory under my export", any_call(P3_GETATTR, &dir), N3_STALE);
	WANT("their file under my export", any_call(P3_GETATTR, &file), N3_STALE);
}

static void links_and_renames_do_not_cross(void)
{
	struct fh3 d[2] = {their_dir, under_mine(their_dir)},
		   f[2] = {their_file, under_mine(their_file)};
	for (int i = 0; i < 2; i++) {
		refused("rename out", n3_rename(&nfs, &d[i], "hello", &my_root, "stolen"));
		refused("rename in", n3_rename(&nfs, &my_root, "hello", &d[i], "stolen"));
		refused("link out", n3_link(&nfs, &f[i], &my_root, "stolen"));
		refused("link in", n3_link(&nfs, &my_file, &d[i], "stolen"));
	}
}

/* A changed handle leads nowhere, or, where the server does not look at what was changed, to the
 * same object as before. */
static void harmless(const char *what, const struct fh3 *h, uint64_t fileid)
{
	struct n3_attr a;
	n3_begin(h);
	uint32_t status = n3_call(&nfs, P3_GETATTR);
	tried++;
	if (status)
		return;
	WANT("status", n3_getattr(&nfs, h, &a), 0);
	if (fileid == 0 || a.fileid != fileid)
		raw_die("%s: %s: led to file %llu", raw_running, what,
			(unsigned long long)a.fileid);
}

static void change_each_byte(const struct fh3 *h, uint64_t fileid)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x10};
	char what[64];
	for (size_t at = 0; at < h->len; at++)
		for (size_t i = 0; i < sizeof(flips); i++) {
			struct fh3 bad = *h;
			bad.b[at] ^= flips[i];
			(void)snprintf(what, sizeof(what), "byte %zu changed by %02x", at,
				       flips[i]);
			harmless(what, &bad, fileid);
		}
}

static void cut_and_stretch(const struct fh3 *h, uint64_t fileid)
{
	char what[64];
	for (size_t len = 0; len <= N3_FH_MAX; len++) {
		struct fh3 bad = *h;
		if (len == h->len)
			continue;
		bad.len = len;
		if (len > h->len)
			memset(bad.b + h->len, 0x5a, len - h->len);
		(void)snprintf(what, sizeof(what), "length %zu", len);
		harmless(what, &bad, len < said(h) ? 0 : fileid);
		if (len <= HEADER)
			continue;
		bad.b[LEN_AT] = (uint8_t)(len - HEADER);
		(void)snprintf(what, sizeof(what), "length %zu, and said so", len);
		harmless(what, &bad, 0);
	}
}

static void changed_handles_lead_nowhere(void)
{
	struct n3_attr a;
	struct fh3 f = under_mine(their_file), d = under_mine(their_dir);
	WANT("my own file", n3_getattr(&nfs, &my_file, &a), 0);
	change_each_byte(&my_file, a.fileid);
	cut_and_stretch(&my_file, a.fileid);
	change_each_byte(&f, 0);
	cut_and_stretch(&f, 0);
	change_each_byte(&d, 0);
	change_each_byte(&their_file, 0);
	/* my signature behind their object, and theirs behind mine */
	memcpy(f.b + said(&f) - 8, my_file.b + said(&my_file) - 8, 8);
	harmless("my signature", &f, 0);
	f = my_file;
	memcpy(f.b + said(&f) - 8, their_file.b + said(&their_file) - 8, 8);
	harmless("their signature", &f, 0);
}

static void exports_that_are_not_there(void)
{
	for (unsigned id = 0; id < 300; id++) {
		struct fh3 h = my_file;
		h.b[ID_AT] = (uint8_t)(id >> 8);
		h.b[ID_AT + 1] = (uint8_t)id;
		if (!memcmp(h.b, my_file.b, h.len))
			continue;
		harmless("export", &h, 0);
	}
}

/* -------------------------------------------------- NFSv4 */

static struct session s4;

static void walks_end_before_another(void)
{
	char path[512];
	struct fh h;
	WANT(theirs, n4_try_walk(&s4, theirs, &h), ERR_NOENT);
	(void)snprintf(path, sizeof(path), "%s/hello", theirs);
	WANT(path, n4_try_walk(&s4, path, &h), ERR_NOENT);
	(void)snprintf(path, sizeof(path), "%s/..%s", mine, strrchr(theirs, '/'));
	refused(path, n4_try_walk(&s4, path, &h));
	(void)snprintf(path, sizeof(path), "%s/.%s", mine, strrchr(theirs, '/'));
	refused(path, n4_try_walk(&s4, path, &h));
	refused("..", n4_try_walk(&s4, "..", &h));
	tried += 2;
}

static void list_and_look(const struct fh *dir)
{
	n4_begin(&s4);
	n4_put_fh(dir);
	n4_op(OP_READDIR);
	x_u64(&n4_args, 0);
	x_u64(&n4_args, 0);
	x_u32(&n4_args, 8192);
	x_u32(&n4_args, 32768);
	x_u32(&n4_args, 1);
	x_u32(&n4_args, 1u << 20 | 1u << 11); /* fileid, and an error instead of attributes */
	WANT("READDIR", n4_send(&s4), NFS4_OK);
	WANT("the other's name in the listing", holds(&n4_res, secret), 0);
	tried++;
}

static void listings_and_parents_name_no_other(void)
{
	struct fh pseudo = n4_walk(&s4, "/"), folder = n4_walk(&s4, "/clients"), root, up;
	root = n4_walk(&s4, mine);
	list_and_look(&pseudo);
	list_and_look(&folder);
	WANT("my own name in the listing", holds(&n4_res, strrchr(mine, '/') + 1), 1);
	n4_begin(&s4);
	n4_put_fh(&root);
	n4_op(OP_LOOKUPP);
	n4_op(OP_GETFH);
	uint32_t status = n4_send_on_fh(&s4);
	if (status == NFS4_OK) { /* the folder of the exports, and no further than its top */
		n4_result(OP_LOOKUPP);
		n4_result(OP_GETFH);
		up.len = r_opaque(&n4_res, up.b, sizeof(up.b));
		list_and_look(&up);
		refused("name beside mine", n4_lookup(&s4, &up, secret, &(struct fh){0}));
	}
	n4_begin(&s4);
	n4_put_fh(&pseudo);
	n4_op(OP_LOOKUPP);
	refused("above the top", n4_send(&s4));
}

static struct fh wide(const struct fh3 *h)
{
	struct fh w = {.len = said(h)}; /* NFSv3 has it filled up to a multiple of 4 */
	memcpy(w.b, h->b, w.len);
	return w;
}

static void ops_on(const struct fh *h)
{
	struct n4_attr a;
	struct fh got;
	static const struct stateid none;
	struct fh root = wide(&my_root), file = wide(&my_file);
	refused("GETATTR", n4_getattr(&s4, h, &a));
	refused("SETATTR", n4_set_mode(&s4, h, 0777));
	refused("LOOKUP", n4_lookup(&s4, h, "hello", &got));
	refused("REMOVE", n4_remove(&s4, h, "hello"));
	n4_begin(&s4);
	n4_put_fh(h);
	n4_op(OP_READ);
	x_raw(&n4_args, none.b, 16);
	x_u64(&n4_args, 0);
	x_u32(&n4_args, 64);
	refused("READ", n4_send(&s4));
	WANT("their content in the reply", holds(&n4_res, "golden"), 0);
	refused("RENAME out", n4_rename(&s4, h, "hello", &root, "stolen"));
	refused("RENAME in", n4_rename(&s4, &root, "hello", h, "stolen"));
	refused("LINK out", n4_link(&s4, h, &root, "stolen"));
	refused("LINK in", n4_link(&s4, &file, h, "stolen"));
}

/* SAVEFH of mine, then theirs, then back: what follows works on mine or not at all. */
static void saved_handles_do_not_help(const struct fh *h)
{
	struct fh root = wide(&my_root);
	n4_begin(&s4);
	n4_put_fh(&root);
	n4_op(OP_SAVEFH);
	n4_put_fh(h);
	n4_op(OP_RESTOREFH);
	n4_op(OP_GETFH);
	refused("SAVEFH, theirs, RESTOREFH", n4_send(&s4));
	n4_begin(&s4);
	n4_put_fh(h);
	n4_op(OP_SAVEFH);
	n4_put_fh(&root);
	n4_op(OP_RESTOREFH);
	n4_op(OP_GETATTR);
	x_u32(&n4_args, 1);
	x_u32(&n4_args, 1u << 4);
	refused("theirs, SAVEFH, RESTOREFH", n4_send(&s4));
}

static void handles_of_another_open_nothing_in_v4(void)
{
	struct n4_attr a;
	struct fh dir = wide(&their_dir);
	WANT("their directory", n4_getattr(&s4, &dir, &a), ERR_ACCESS);
	const struct fh3 all[] = {their_dir, their_file, under_mine(their_dir),
				  under_mine(their_file)};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct fh h = wide(&all[i]);
		ops_on(&h);
		saved_handles_do_not_help(&h);
	}
}

static void harmless4(const char *what, const struct fh *h, uint64_t fileid)
{
	struct n4_attr a = {0};
	tried++;
	if (n4_getattr(&s4, h, &a) == NFS4_OK && (!fileid || a.fileid != fileid))
		raw_die("%s: %s: led to file %llu", raw_running, what,
			(unsigned long long)a.fileid);
}

static void changed_handles_lead_nowhere_in_v4(void)
{
	struct n4_attr a = {0};
	struct fh own = wide(&my_file);
	struct fh3 f3 = under_mine(their_file);
	struct fh f = wide(&f3);
	char what[64];
	WANT("my own file", n4_getattr(&s4, &own, &a), NFS4_OK);
	for (size_t at = 0; at < own.len; at++) {
		struct fh bad = own, worse = f;
		bad.b[at] ^= 0x01;
		worse.b[at] ^= 0x80;
		(void)snprintf(what, sizeof(what), "byte %zu changed", at);
		harmless4(what, &bad, a.fileid);
		harmless4(what, &worse, 0);
	}
	for (size_t len = 0; len <= sizeof(own.b); len++) {
		struct fh bad = own;
		if (len == own.len)
			continue;
		bad.len = len;
		if (len > own.len)
			memset(bad.b + own.len, 0x5a, len - own.len);
		(void)snprintf(what, sizeof(what), "length %zu", len);
		harmless4(what, &bad, len < own.len ? 0 : a.fileid);
		bad.b[LEN_AT] = (uint8_t)(len > HEADER ? len - HEADER : 0);
		harmless4(what, &bad, 0);
	}
}

/* -------------------------------------------------- all */

static void run(const char *name, void (*fn)(void))
{
	raw_running = name;
	fn();
	(void)printf("ok - %s\n", name);
	(void)fflush(stdout);
}

static void with_minor(uint32_t minor)
{
	char name[64];
	(void)snprintf(name, sizeof(name), "cowherd-iso-%d-%u", (int)getpid(), minor);
	s4 = n4_session(addr, port, minor, name, 0);
	(void)printf("# NFSv4.%u\n", minor);
	run("walks end before another's root", walks_end_before_another);
	run("listings and parents name no other", listings_and_parents_name_no_other);
	run("handles of another open nothing", handles_of_another_open_nothing_in_v4);
	run("changed handles lead nowhere", changed_handles_lead_nowhere_in_v4);
	(void)close(s4.c.fd);
}

int main(int argc, char **argv)
{
	struct n3_attr a;
	if (argc != 9) {
		(void)fprintf(stderr,
			      "usage: %s ADDR NFSPORT MOUNTPORT MINE THEIRS MYFILE DIR FILE\n",
			      argv[0]);
		return 2;
	}
	alarm(60);
	addr = argv[1];
	port = argv[2];
	mount_port = argv[3];
	mine = argv[4];
	theirs = argv[5];
	secret = strrchr(theirs, '/') + 1;
	my_file = n3_unhex(argv[6]);
	their_dir = n3_unhex(argv[7]);
	their_file = n3_unhex(argv[8]);
	nfs = n3_connect(addr, port, 0);
	mnt = n3_connect(addr, mount_port, 0);
	WANT("mount of my own root", n3_mount(&mnt, mine, &my_root), 0);
	(void)printf("# NFSv3\n");
	run("mounts of another are refused", mounts_of_another_are_refused);
	run("lists name no other", lists_name_no_other);
	run("handles of another open nothing", handles_of_another_open_nothing);
	run("links and renames do not cross", links_and_renames_do_not_cross);
	run("changed handles lead nowhere", changed_handles_lead_nowhere);
	run("exports that are not there", exports_that_are_not_there);
	for (uint32_t minor = 0; minor <= 2; minor++)
		with_minor(minor);
	WANT("my own root, after all", n3_getattr(&nfs, &my_root, &a), 0);
	(void)printf("ok - %lu attempts\n", tried);
	return 0;
}
