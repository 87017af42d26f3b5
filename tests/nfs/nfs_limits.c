/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names, links, offsets and extended attributes at their limits, and what cached attributes show
 * after each change; and what does not go from one root to another, also where a client may use both.
 *	nfs_limits ADDR NFSPORT MOUNTPORT EXPORT OTHER-EXPORT
 */
#include <string.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

#define GIB (1ull << 30)
#define N3_NAMETOOLONG 63

static struct raw c3;
static struct session s4, other;
static struct fh3 top3;
static struct fh top;

static const struct open_how create = {.access = BOTH, .create = CREATE_UNCHECKED};

static void fill(char *p, char c, size_t n)
{
	memset(p, c, n);
	p[n] = '\0';
}

static void names_of_255_bytes_and_no_more(void)
{
	char name[300];
	struct fh3 h, found;
	struct fh d;
	fill(name, 'n', 255);
	WANT("CREATE", n3_create(&c3, &top3, name, N3_GUARDED, 0, &h), 0);
	WANT("LOOKUP", n3_lookup(&c3, &top3, name, &found), 0);
	WANT("RENAME", n3_rename(&c3, &top3, name, &top3, "short"), 0);
	WANT("RENAME back", n3_rename(&c3, &top3, "short", &top3, name), 0);
	WANT("LINK", n3_link(&c3, &h, &top3, "short"), 0);
	WANT("REMOVE", n3_remove(&c3, &top3, name), 0);
	fill(name, 'n', 256);
	WANT("CREATE of 256", n3_create(&c3, &top3, name, N3_GUARDED, 0, &h), N3_NAMETOOLONG);
	WANT("MKDIR of 256", n3_mkdir(&c3, &top3, name, 0755, &h), N3_NAMETOOLONG);
	WANT("SYMLINK of 256", n3_symlink(&c3, &top3, name, "x", &h), N3_NAMETOOLONG);
	WANT("LINK to 256", n3_link(&c3, &found, &top3, name), N3_NAMETOOLONG);
	WANT("RENAME to 256", n3_rename(&c3, &top3, "short", &top3, name), N3_NAMETOOLONG);
	WANT("LOOKUP of 256", n3_lookup(&c3, &top3, name, &h), N3_NAMETOOLONG);
	WANT("MKDIR of 256, v4", n4_mkdir(&s4, &top, name, 0755, &d), ERR_NAMETOOLONG);
	WANT("RENAME to 256, v4", n4_rename(&s4, &top, "short", &top, name), ERR_NAMETOOLONG);
	WANT("REMOVE", n3_remove(&c3, &top3, "short"), 0);
}

static void names_that_are_none(void)
{
	static const char *const bad[] = {".", "..", "", "a/b", NULL};
	struct fh3 h;
	struct fh d;
	for (int i = 0; bad[i]; i++) {
		WANT(bad[i], n3_create(&c3, &top3, bad[i], N3_GUARDED, 0, &h) != 0, 1);
		WANT(bad[i], n3_mkdir(&c3, &top3, bad[i], 0755, &h) != 0, 1);
		WANT(bad[i], n3_remove(&c3, &top3, bad[i]) != 0, 1);
		WANT(bad[i], n3_rmdir(&c3, &top3, bad[i]) != 0, 1);
		WANT(bad[i], n3_rename(&c3, &top3, "hello", &top3, bad[i]) != 0, 1);
		WANT(bad[i], n4_mkdir(&s4, &top, bad[i], 0755, &d) != 0, 1);
		WANT(bad[i], n4_rename(&s4, &top, "hello", &top, bad[i]) != 0, 1);
		WANT(bad[i], n4_remove(&s4, &top, bad[i]) != 0, 1);
	}
	WANT("what was to be renamed", n3_lookup(&c3, &top3, "hello", &h), 0);
}

static void symlinks_of_4095_bytes(void)
{
	static char target[5000], back[5000];
	struct fh3 h;
	struct n3_attr a;
	size_t n;
	fill(target, 't', 4095);
	for (size_t i = 200; i < 4095; i += 200)
		target[i] = '/';
	WANT("SYMLINK", n3_symlink(&c3, &top3, "link", target, &h), 0);
	WANT("READLINK", n3_readlink(&c3, &h, back, sizeof(back), &n), 0);
	WANT("length", n, 4095);
	WANT("target", memcmp(back, target, n), 0);
	WANT("GETATTR", n3_getattr(&c3, &h, &a), 0);
	WANT("size", a.size, 4095);
	struct fh h4;
	WANT("LOOKUP", n4_lookup(&s4, &top, "link", &h4), NFS4_OK);
	n4_begin(&s4);
	n4_put_fh(&h4);
	n4_op(OP_READLINK);
	WANT("READLINK, v4", n4_send_on_fh(&s4), NFS4_OK);
	n4_result(OP_READLINK);
	WANT("length", r_opaque(&n4_res, back, sizeof(back)), 4095);
	WANT("target", memcmp(back, target, 4095), 0);
	WANT("REMOVE", n3_remove(&c3, &top3, "link"), 0);
	fill(target, 't', 4096);
	WANT("SYMLINK of 4096", n3_symlink(&c3, &top3, "link", target, &h), N3_NAMETOOLONG);
	WANT("its name", n3_lookup(&c3, &top3, "link", &h), N3_NOENT);
}

static void files_beyond_4_gib(void)
{
	struct fh h;
	struct fh3 h3;
	struct stateid st;
	struct n4_attr a;
	struct n3_attr a3;
	char buf[16];
	uint32_t eof;
	uint64_t off;
	WANT("create", n4_open(&s4, &top, "far", create, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&s4, &h, &st, 4 * GIB - 4, "overedge", 8), NFS4_OK);
	WANT("WRITE", n4_write(&s4, &h, &st, 900 * GIB, "far", 3), NFS4_OK);
	WANT("READ", n4_read(&s4, &h, &st, 4 * GIB - 4, buf, 8, &eof), 8);
	WANT("content", memcmp(buf, "overedge", 8), 0);
	WANT("READ of a hole", n4_read(&s4, &h, &st, 2 * GIB, buf, 8, &eof), 8);
	WANT("zeros", memcmp(buf, "\0\0\0\0\0\0\0", 8), 0);
	WANT("READ of the end", n4_read(&s4, &h, &st, 900 * GIB, buf, 16, &eof), 3);
	WANT("end of file", eof, 1);
	WANT("GETATTR", n4_getattr(&s4, &h, &a), NFS4_OK);
	WANT("size", a.size, 900 * GIB + 3);
	WANT("SEEK data", n4_seek(&s4, &h, &st, 0, DATA, &eof, &off), NFS4_OK);
	WANT("data near 4 GiB", off <= 4 * GIB - 4 && off > 4 * GIB - (1 << 20), 1);
	WANT("SEEK hole", n4_seek(&s4, &h, &st, 4 * GIB - 4, HOLE, &eof, &off), NFS4_OK);
	WANT("hole behind it", off >= 4 * GIB + 4 && off < 4 * GIB + (1 << 20), 1);
	WANT("DEALLOCATE", n4_range(&s4, OP_DEALLOCATE, &h, &st, 4 * GIB - 4096, 8192), NFS4_OK);
	WANT("READ of what was freed", n4_read(&s4, &h, &st, 4 * GIB - 4, buf, 8, &eof), 8);
	WANT("zeros", memcmp(buf, "\0\0\0\0\0\0\0", 8), 0);
	WANT("ALLOCATE", n4_range(&s4, OP_ALLOCATE, &h, &st, 5 * GIB, 65536), NFS4_OK);
	WANT("LOOKUP", n3_lookup(&c3, &top3, "far", &h3), 0);
	WANT("GETATTR of v3", n3_getattr(&c3, &h3, &a3), 0);
	WANT("size", a3.size, 900 * GIB + 3);
	WANT("less used than its size", a3.used < GIB, 1);
	WANT("truncation", n4_set_size(&s4, &h, &st, 6 * GIB), NFS4_OK);
	WANT("READ", n4_read(&s4, &h, &st, 6 * GIB - 4, buf, 8, &eof), 4);
	WANT("end of file", eof, 1);
	WANT("CLOSE", n4_close(&s4, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&s4, &top, "far"), NFS4_OK);
}

/* Nothing of it may be taken for success, and nothing may fall over. */
static void offsets_beyond_the_largest_file(void)
{
	static const uint64_t far[] = {UINT64_MAX, UINT64_MAX - 3, 1ull << 63, (1ull << 63) - 1};
	struct fh h;
	struct fh3 h3;
	struct stateid st;
	struct n4_attr a;
	char buf[16];
	size_t n;
	uint32_t eof;
	uint64_t off;
	WANT("create", n4_open(&s4, &top, "far", create, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&s4, &h, &st, 0, "four", 4), NFS4_OK);
	WANT("LOOKUP", n3_lookup(&c3, &top3, "far", &h3), 0);
	for (size_t i = 0; i < sizeof(far) / sizeof(*far); i++) {
		WANT("WRITE", n4_write(&s4, &h, &st, far[i], "beyond", 6) != 0, 1);
		WANT("WRITE of v3", n3_write(&c3, &h3, far[i], "beyond", 6) != 0, 1);
		long r = n4_read(&s4, &h, &st, far[i], buf, sizeof(buf), &eof);
		WANT("READ", r <= 0, 1);
		WANT("READ of v3",
		     n3_read(&c3, &h3, far[i], buf, sizeof(buf), &n, &eof) != 0 || n == 0, 1);
		WANT("SEEK", n4_seek(&s4, &h, &st, far[i], DATA, &eof, &off) != 0, 1);
		WANT("ALLOCATE", n4_range(&s4, OP_ALLOCATE, &h, &st, far[i], 4096) != 0, 1);
		(void)n4_range(&s4, OP_DEALLOCATE, &h, &st, far[i], 4096);
	}
	WANT("size", n4_set_size(&s4, &h, &st, UINT64_MAX) != 0, 1);
	WANT("size of v3", n3_set_size(&c3, &h3, 1ull << 63) != 0, 1);
	WANT("GETATTR", n4_getattr(&s4, &h, &a), NFS4_OK);
	WANT("size", a.size, 4);
	WANT("CLOSE", n4_close(&s4, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&s4, &top, "far"), NFS4_OK);
}

/* -------------------------------------------------- change attribute */

static int later(const struct n4_attr *a, const struct n4_attr *b)
{
	return b->ctime_s > a->ctime_s || (b->ctime_s == a->ctime_s && b->ctime_ns > a->ctime_ns);
}

/* @h was changed since @a: both clients see it, by the change attribute and the time. */
static void moved(const char *what, const struct fh *h, struct n4_attr *a)
{
	struct n4_attr b, c;
	WANT("GETATTR", n4_getattr(&s4, h, &b), NFS4_OK);
	WANT("GETATTR", n4_getattr(&other, h, &c), NFS4_OK);
	WANT(what, b.change != a->change, 1);
	WANT(what, c.change, b.change);
	WANT(what, later(a, &b), 1);
	*a = b;
}

static void tick(void)
{
	(void)usleep(12000); /* file systems count time in steps of 4 ms, some of 10 */
}

static void each_change_moves_the_change_attribute(void)
{
	struct fh h, d;
	struct stateid st;
	struct n4_attr a, da;
	WANT("MKDIR", n4_mkdir(&s4, &top, "moves", 0755, &d), NFS4_OK);
	WANT("GETATTR", n4_getattr(&s4, &d, &da), NFS4_OK);
	tick();
	WANT("create", n4_open(&s4, &d, "f", create, &h, &st), NFS4_OK);
	moved("directory after a create", &d, &da);
	WANT("GETATTR", n4_getattr(&s4, &h, &a), NFS4_OK);
	tick();
	WANT("WRITE", n4_write(&s4, &h, &st, 0, "1", 1), NFS4_OK);
	moved("file after a write", &h, &a);
	tick();
	WANT("SETATTR", n4_set_mode(&s4, &h, 0600), NFS4_OK);
	moved("file after a mode", &h, &a);
	tick();
	WANT("SETATTR", n4_set_size(&s4, &h, &st, 100), NFS4_OK);
	moved("file after a size", &h, &a);
	tick();
	WANT("LINK", n4_link(&s4, &h, &d, "g"), NFS4_OK);
	moved("file after a link", &h, &a);
	moved("directory after a link", &d, &da);
	tick();
	WANT("RENAME", n4_rename(&s4, &d, "f", &d, "f2"), NFS4_OK);
	moved("directory after a rename", &d, &da);
	tick();
	WANT("REMOVE", n4_remove(&s4, &d, "g"), NFS4_OK);
	WANT("GETATTR", n4_getattr(&s4, &h, &a), NFS4_OK);
	WANT("links", a.nlink, 1);
	moved("directory after a remove", &d, &da);
	WANT("CLOSE", n4_close(&s4, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&s4, &d, "f2"), NFS4_OK);
	WANT("REMOVE", n4_remove(&s4, &top, "moves"), NFS4_OK);
}

static void extended_attributes_move_it_too(void)
{
	struct fh h;
	struct stateid st;
	struct n4_attr a;
	char buf[8];
	WANT("create", n4_open(&s4, &top, "xattr", create, &h, &st), NFS4_OK);
	WANT("CLOSE", n4_close(&s4, &h, &st), NFS4_OK);
	WANT("GETATTR", n4_getattr(&s4, &h, &a), NFS4_OK);
	tick();
	WANT("SETXATTR", n4_set_xattr(&s4, &h, 1, "a", "1", 1), NFS4_OK);
	moved("after setting one", &h, &a);
	WANT("by the other client", n4_get_xattr(&other, &h, "a", buf, sizeof(buf)), 1);
	tick();
	WANT("SETXATTR", n4_set_xattr(&other, &h, 2, "a", "22", 2), NFS4_OK);
	moved("after replacing it", &h, &a);
	WANT("by the first", n4_get_xattr(&s4, &h, "a", buf, sizeof(buf)), 2);
	tick();
	WANT("REMOVEXATTR", n4_remove_xattr(&s4, &h, "a"), NFS4_OK);
	moved("after removing it", &h, &a);
	WANT("none is left", n4_list_xattrs(&other, &h), 0);
	WANT("REMOVE", n4_remove(&s4, &top, "xattr"), NFS4_OK);
}

static void extended_attributes_at_their_limits(void)
{
	static char name[300], value[70000];
	struct fh h, d;
	struct stateid st;
	memset(value, 'v', sizeof(value));
	WANT("create", n4_open(&s4, &top, "xattr", create, &h, &st), NFS4_OK);
	WANT("CLOSE", n4_close(&s4, &h, &st), NFS4_OK);
	fill(name, 'a', 250); /* "user." belongs to it */
	WANT("a name of 250", n4_set_xattr(&s4, &h, 0, name, "1", 1), NFS4_OK);
	WANT("its value", n4_get_xattr(&s4, &h, name, value, sizeof(value)), 1);
	WANT("remove", n4_remove_xattr(&s4, &h, name), NFS4_OK);
	fill(name, 'a', 251);
	WANT("a name of 251", n4_set_xattr(&s4, &h, 0, name, "1", 1) != 0, 1);
	WANT("no name", n4_set_xattr(&s4, &h, 0, "", "1", 1) != 0, 1);
	WANT("an empty value", n4_set_xattr(&s4, &h, 0, "empty", "", 0), NFS4_OK);
	WANT("of no bytes", n4_get_xattr(&s4, &h, "empty", value, sizeof(value)), 0);

	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "many-%u", i);
		WANT(name, n4_set_xattr(&s4, &h, 1, name, "1", 1), NFS4_OK);
	}
	WANT("all are listed", n4_list_xattrs(&s4, &h), 41);
	WANT("REMOVE", n4_remove(&s4, &top, "xattr"), NFS4_OK);
	WANT("MKDIR", n4_mkdir(&s4, &top, "xattr", 0755, &d), NFS4_OK);
	WANT("on a directory", n4_set_xattr(&s4, &d, 0, "a", "1", 1), NFS4_OK);
	WANT("listed", n4_list_xattrs(&s4, &d), 1);
	WANT("REMOVE", n4_remove(&s4, &top, "xattr"), NFS4_OK);
}

static struct fh3 far3;
static struct fh far4;

static void nothing_crosses_from_root_to_root(void)
{
	struct fh3 h, made;
	struct fh f;
	struct n4_attr a;
	WANT("LOOKUP", n3_lookup(&c3, &top3, "hello", &h), 0);
	WANT("LINK", n3_link(&c3, &h, &far3, "crossed"), N3_XDEV);
	WANT("RENAME", n3_rename(&c3, &top3, "hello", &far3, "crossed"), N3_XDEV);
	WANT("LOOKUP", n4_lookup(&s4, &top, "hello", &f), NFS4_OK);
	WANT("LINK, v4", n4_link(&s4, &f, &far4, "crossed"), ERR_XDEV);
	WANT("RENAME, v4", n4_rename(&s4, &top, "hello", &far4, "crossed"), ERR_XDEV);
	WANT("the name", n3_lookup(&c3, &far3, "crossed", &made), N3_NOENT);
	/* back and forth in one compound: each operation is about the handle it should be about */
	n4_begin(&s4);
	n4_put_fh(&top);
	n4_op(OP_SAVEFH);
	n4_put_fh(&far4);
	n4_op(OP_RESTOREFH);
	n4_put_name(OP_LOOKUP, "hello");
	n4_op(OP_GETFH);
	WANT("SAVEFH, other root, RESTOREFH", n4_send(&s4), NFS4_OK);
	WANT("my own", n4_getattr(&s4, &f, &a), NFS4_OK);
	WANT("still there", n3_lookup(&c3, &top3, "hello", &h), 0);
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
	char name[64];
	if (argc != 6) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT MOUNTPORT EXPORT OTHER-EXPORT\n",
			      argv[0]);
		return 2;
	}
	alarm(60);
	struct raw mnt = n3_connect(argv[1], argv[3], 0);
	c3 = n3_connect(argv[1], argv[2], 0);
	(void)snprintf(name, sizeof(name), "cowherd-limits-%d", (int)getpid());
	s4 = n4_session(argv[1], argv[2], 2, name, 0);
	(void)snprintf(name, sizeof(name), "cowherd-limits-%d-b", (int)getpid());
	other = n4_session(argv[1], argv[2], 2, name, 0);
	WANT("mount", n3_mount(&mnt, argv[4], &top3), 0);
	top = n4_walk(&s4, argv[4]);
	WANT("mount", n3_mount(&mnt, argv[5], &far3), 0);
	far4 = n4_walk(&s4, argv[5]);
	run("names of 255 bytes and no more", names_of_255_bytes_and_no_more);
	run("names that are none", names_that_are_none);
	run("symlinks of 4095 bytes", symlinks_of_4095_bytes);
	run("files beyond 4 GiB", files_beyond_4_gib);
	run("offsets beyond the largest file", offsets_beyond_the_largest_file);
	run("each change moves the change attribute", each_change_moves_the_change_attribute);
	run("extended attributes move it too", extended_attributes_move_it_too);
	run("extended attributes at their limits", extended_attributes_at_their_limits);
	run("nothing crosses from root to root", nothing_crosses_from_root_to_root);
	return 0;
}
