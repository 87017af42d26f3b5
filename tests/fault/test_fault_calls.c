/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every public call on an attached instance, in the situations its object can be in (of the image,
 * brought up, merged, under a whiteout, of several names, born above, moved), with every allocation
 * and every system call in it failing once. After each failure
 *  - the call said so with the error that was injected, or did all it should;
 *  - who serves the tree and who only reads it from disk see what was there before;
 *  - no file descriptor, node or open is left over;
 *  - the image is as it was (I1), and the same call without a fault does it.
 *
 *	test_fault_calls [PART]		reading, names, data or strict; all without
 */
#include "layer_test.h"

#include <linux/falloc.h>

#include "fault.h"

#define RW (COW_OPEN_READ | COW_OPEN_WRITE)

/* ---------------------------------------------------------------- the situation */

static void build_image(struct ovl *f)
{
	static const char *const files[] = {"f",   "up", "gone", "d/a", "d/b",	"d/gone",
					    "l/x", "h1", "k1",	 "m",	"md/x", "we/x"};
	static const char *const dirs[] = {"d", "l", "l/e", "md", "we"};
	for (size_t k = 0; k < 5; k++)
		low_dir(f, dirs[k], 0755);
	for (size_t k = 0; k < sizeof(files) / sizeof(*files); k++)
		low_file(f, files[k], files[k]);
	low_link(f, "h1", "h2");
	low_link(f, "h1", "l/h3");
	low_link(f, "k1", "k2");
	low_symlink(f, "s", "target");
	low_node(f, "p", S_IFIFO | 0600, 0);
	low_xattr(f, "f", "user.x", "value", 5);
	low_xattr(f, "f", "security.capability", some_caps, sizeof(some_caps));
	for (size_t k = 5; k > 0; k--)
		low_dress(f, dirs[k - 1]);
	low_dress(f, ".");
}

/* What a root has lived through before the call. */
static void live(struct ovl *f)
{
	put_at(f, "up", "UP");
	put_at(f, "k1", "K1");
	ok(rm_at(f, "gone"));
	ok(rm_at(f, "d/gone"));
	ok(rm_at(f, "we/x"));
	ok(make_at(f, "d/born", S_IFREG, 0644));
	put_at(f, "d/born", "born");
	ok(make_at(f, "b", S_IFDIR, 0755));
	ok(make_at(f, "b/f", S_IFREG, 0644));
	ok(mv_at(f, "m", "b/moved", 0));
	ok(mv_at(f, "md", "moved", 0));
}

/* ---------------------------------------------------------------- the calls */

struct ctx {
	struct ovl *f;
	struct cow_ovl_node *n[2];
	struct cow_ovl_open *o[2];
	uint8_t handle[COW_OVL_HANDLE_MAX];
	size_t handle_len;
	/* what the call gave */
	struct cow_ovl_node *node;
	struct cow_ovl_open *open;
};

struct call {
	const char *what;
	int (*act)(struct ctx *c, const struct call *k);
	const char *a, *b;	   /* paths of n[0] and n[1] */
	const char *name1, *name2; /* names in them */
	unsigned flags;
	mode_t type;
	unsigned open_a, open_b; /* opened so, before */
	bool cold;		 /* only the handle of n[0] is kept */
	bool
	    late; /* documented to fail also with the change made, when that was all that was left */
	bool stepwise; /* documented to stop half-way: attributes are old or new, each */
};

static int a_lookup(struct ctx *c, const struct call *k)
{
	struct cow_ovl_attr a;
	return cow_ovl_lookup(c->n[0], k->name1, strlen(k->name1), &c->node, &a);
}

static int a_parent(struct ctx *c, const struct call *k)
{
	return cow_ovl_parent(c->n[0], &c->node);
}

static int a_handle(struct ctx *c, const struct call *k)
{
	return cow_ovl_from_handle(c->f->inst, c->handle, c->handle_len, &c->node);
}

static int a_getattr(struct ctx *c, const struct call *k)
{
	struct cow_ovl_attr a;
	return cow_ovl_getattr(c->n[0], &a);
}

static int a_statfs(struct ctx *c, const struct call *k)
{
	struct cow_ovl_statfs s;
	return cow_ovl_statfs(c->f->inst, &s);
}

static int a_readlink(struct ctx *c, const struct call *k)
{
	char buf[64];
	ssize_t n = cow_ovl_readlink(c->n[0], buf, sizeof(buf));
	return n < 0 ? (int)n : n == 6 ? 0 : -EPROTO;
}

static int a_getxattr(struct ctx *c, const struct call *k)
{
	char buf[64];
	ssize_t n = cow_ovl_getxattr(c->n[0], k->name1, buf, sizeof(buf));
	return n < 0 ? (int)n : 0;
}

static int a_listxattr(struct ctx *c, const struct call *k)
{
	char buf[512];
	ssize_t n = cow_ovl_listxattr(c->n[0], buf, sizeof(buf));
	return n < 0 ? (int)n : 0;
}

static int a_setxattr(struct ctx *c, const struct call *k)
{
	return cow_ovl_setxattr(c->n[0], &cow_ovl_root_cred, k->name1, "set", 3, 0);
}

static int a_removexattr(struct ctx *c, const struct call *k)
{
	return cow_ovl_removexattr(c->n[0], &cow_ovl_root_cred, k->name1);
}

static int count_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	++*(int *)ctx;
	return 0;
}

/* @type is how many there are to be seen. */
static int a_readdir(struct ctx *c, const struct call *k)
{
	int eof = 0, n = 0;
	int r = cow_ovl_readdir(c->n[0], 0, k->flags, count_entry, &n, &eof);
	return r < 0 ? r : n == (int)k->type && eof ? 0 : -EPROTO;
}

static int a_create(struct ctx *c, const struct call *k)
{
	static const struct cow_ovl_cred user = {.uid = 1005, .gid = 1006};
	struct cow_ovl_attr a;
	struct cow_ovl_create how = {.type = k->type, .mode = 0750, .target = "t"};
	if (k->flags) { /* further attributes */
		how.set = (struct cow_ovl_set){.mask = COW_SET_MTIME, .mtime = {5, 6}};
		how.mode = 02755;
	}
	return cow_ovl_create(c->n[0], k->name1, strlen(k->name1), &user, &how, &c->node, &a);
}

static int a_link(struct ctx *c, const struct call *k)
{
	return cow_ovl_link(c->n[1], c->n[0], k->name1, strlen(k->name1), &cow_ovl_root_cred);
}

static int a_remove(struct ctx *c, const struct call *k)
{
	return cow_ovl_remove(c->n[0], k->name1, strlen(k->name1), &cow_ovl_root_cred,
			      COW_REMOVE_FILE | COW_REMOVE_DIR);
}

static int a_rename(struct ctx *c, const struct call *k)
{
	return cow_ovl_rename(c->n[0], k->name1, strlen(k->name1), c->n[1], k->name2,
			      strlen(k->name2), k->flags, &cow_ovl_root_cred);
}

static int a_open(struct ctx *c, const struct call *k)
{
	return cow_ovl_open(c->n[0], &cow_ovl_root_cred, k->flags, &c->open);
}

static int a_read(struct ctx *c, const struct call *k)
{
	char buf[64];
	ssize_t n = get_bytes(c->o[0], buf, sizeof(buf), 0);
	return n < 0 ? (int)n : n > 0 ? 0 : -EPROTO;
}

static int a_write(struct ctx *c, const struct call *k)
{
	struct iovec iov = {.iov_base = (char[]){"written"}, .iov_len = 7};
	ssize_t n = cow_ovl_write(c->o[0], &iov, 1, 0, k->flags);
	return n < 0 ? (int)n : n == 7 ? 0 : -EPROTO;
}

static int a_fallocate(struct ctx *c, const struct call *k)
{
	return cow_ovl_fallocate(c->o[0], (int)k->flags, 0, 10000);
}

static int a_seek(struct ctx *c, const struct call *k)
{
	uint64_t at;
	return cow_ovl_seek(c->o[0], 0, SEEK_HOLE, &at);
}

static int a_commit(struct ctx *c, const struct call *k)
{
	return cow_ovl_commit(c->n[0]);
}

static int an_fsync(struct ctx *c, const struct call *k)
{
	return cow_ovl_fsync(c->n[0]);
}

static int a_sync(struct ctx *c, const struct call *k)
{
	return cow_ovl_inst_sync(c->f->inst);
}

static int a_clone(struct ctx *c, const struct call *k)
{
	return cow_ovl_clone(c->o[0], 0, c->o[1], 0, 0);
}

static int a_setattr(struct ctx *c, const struct call *k)
{
	struct cow_ovl_attr a;
	struct cow_ovl_set set = {
	    .mask = k->flags, .mode = 0700, .uid = 77, .gid = 78, .size = 1, .mtime = {5, 6}};
	return cow_ovl_setattr(c->n[0], &cow_ovl_root_cred, &set, &a);
}

#define ALL_SETS (COW_SET_MODE | COW_SET_UID | COW_SET_GID | COW_SET_SIZE | COW_SET_MTIME)
#define NODES COW_READDIR_NODES

static const struct call reading[] = {
    {"lookup of the image", a_lookup, "l", .name1 = "x"},
    {"lookup in a merged directory, below", a_lookup, "d", .name1 = "a"},
    {"lookup in a merged directory, above", a_lookup, "d", .name1 = "born"},
    {"lookup of what was brought up", a_lookup, "", .name1 = "up"},
    {"lookup of a hard link of the image", a_lookup, "", .name1 = "h1"},
    {"lookup of a hard link brought up by another name", a_lookup, "", .name1 = "k2"},
    {"lookup of a moved directory", a_lookup, "", .name1 = "moved"},
    {"lookup in a moved directory", a_lookup, "moved", .name1 = "x"},
    {"lookup of a moved file", a_lookup, "b", .name1 = "moved"},
    {"lookup in a born directory", a_lookup, "b", .name1 = "f"},
    {"parent of the image's", a_parent, "l/e"},
    {"parent of a merged one", a_parent, "d"},
    {"parent of a moved one", a_parent, "moved"},
    {"handle of the image's", a_handle, "l/x", .cold = true},
    {"handle of what was brought up", a_handle, "up", .cold = true},
    {"handle below a merged directory", a_handle, "d/a", .cold = true},
    {"handle of a moved file", a_handle, "b/moved", .cold = true},
    {"handle below a moved directory", a_handle, "moved/x", .cold = true},
    {"handle of a hard link brought up", a_handle, "k2", .cold = true},
    {"handle of a born file", a_handle, "b/f", .cold = true},
    {"attributes of the image's", a_getattr, "f"},
    {"attributes of what was brought up", a_getattr, "up"},
    {"attributes of a hard link of the image", a_getattr, "l/h3"},
    {"attributes of a hard link brought up", a_getattr, "k2"},
    {"statfs", a_statfs, ""},
    {"readlink", a_readlink, "s"},
    {"getxattr of the image's", a_getxattr, "f", .name1 = "user.x"},
    {"listxattr of the image's", a_listxattr, "f"},
    {"listxattr of what was brought up", a_listxattr, "up"},
    {"list the image's", a_readdir, "l", .type = 3},
    {"list the image's with nodes", a_readdir, "l", .type = 3, .flags = NODES},
    {"list a merged one", a_readdir, "d", .type = 3},
    {"list a merged one with nodes", a_readdir, "d", .type = 3, .flags = NODES},
    {"list the top with nodes", a_readdir, "", .type = 13, .flags = NODES},
    {"list a born one", a_readdir, "b", .type = 2},
    {"list a born one with nodes", a_readdir, "b", .type = 2, .flags = NODES},
    {"list a moved one with nodes", a_readdir, "moved", .type = 1, .flags = NODES},
    {"open the image's to read", a_open, "l/x", .flags = COW_OPEN_READ},
    {"open what was brought up to read", a_open, "up", .flags = COW_OPEN_READ},
    {"read the image's", a_read, "f", .open_a = COW_OPEN_READ},
    {"read what was brought up", a_read, "up", .open_a = COW_OPEN_READ},
    {"seek", a_seek, "f", .open_a = COW_OPEN_READ},
};

static const struct call names[] = {
    {"create in the image's directory", a_create, "l", .name1 = "new", .type = S_IFREG},
    {"create deep in the image", a_create, "l/e", .name1 = "new", .type = S_IFREG},
    {"create in a merged directory", a_create, "d", .name1 = "new", .type = S_IFREG},
    {"create with attributes", a_create, "d", .name1 = "new", .type = S_IFREG, .flags = 1},
    {"create in a born directory", a_create, "b", .name1 = "new", .type = S_IFIFO},
    {"create a file over a whiteout", a_create, "d", .name1 = "gone", .type = S_IFREG},
    {"create a link over a whiteout", a_create, "d", .name1 = "gone", .type = S_IFLNK},
    {"create a socket over a whiteout", a_create, "", .name1 = "gone", .type = S_IFSOCK,
     .flags = 1},
    {"make a directory", a_create, "d", .name1 = "new", .type = S_IFDIR, .flags = 1},
    {"make a directory over a whiteout", a_create, "d", .name1 = "gone", .type = S_IFDIR},
    {"link the image's", a_link, "d", "f", .name1 = "new"},
    {"link what was brought up", a_link, "l", "up", .name1 = "new"},
    {"link over a whiteout", a_link, "d", "l/x", .name1 = "gone"},
    {"link a hard link of the image", a_link, "l/e", "h2", .name1 = "new"},
    {"link a hard link brought up", a_link, "", "k2", .name1 = "new"},
    {"link a born file", a_link, "d", "b/f", .name1 = "new"},
    {"remove the image's", a_remove, "l", .name1 = "x"},
    {"remove the image's in a merged directory", a_remove, "d", .name1 = "a"},
    {"remove what was brought up", a_remove, "", .name1 = "up"},
    {"remove a born file", a_remove, "d", .name1 = "born"},
    {"remove a moved file", a_remove, "b", .name1 = "moved"},
    {"remove a hard link of the image", a_remove, "l", .name1 = "h3"},
    {"remove a hard link brought up", a_remove, "", .name1 = "k1"},
    {"remove a hard link brought up by another", a_remove, "", .name1 = "k2"},
    {"remove a directory of the image", a_remove, "l", .name1 = "e"},
    {"remove a merged directory that looks empty", a_remove, "", .name1 = "we"},
    {"rename the image's", a_rename, "", "d", .name1 = "f", .name2 = "new"},
    {"rename the image's over a whiteout", a_rename, "", "d", .name1 = "f", .name2 = "gone"},
    {"rename the image's over a file", a_rename, "l", "d", .name1 = "x", .name2 = "a"},
    {"rename what was brought up", a_rename, "", "l", .name1 = "up", .name2 = "new"},
    {"rename a born file over the image's", a_rename, "d", "l", .name1 = "born", .name2 = "x"},
    {"rename a born file over a whiteout", a_rename, "d", "d", .name1 = "born", .name2 = "gone"},
    {"rename a hard link of the image", a_rename, "", "l/e", .name1 = "h1", .name2 = "new"},
    {"rename a hard link brought up by another", a_rename, "", "d", .name1 = "k2", .name2 = "new"},
    {"rename a directory of the image", a_rename, "", "d", .name1 = "l", .name2 = "new"},
    {"rename a merged directory", a_rename, "", "b", .name1 = "d", .name2 = "new"},
    {"rename a merged directory over a whiteout", a_rename, "", "", .name1 = "d", .name2 = "gone"},
    {"rename a born directory over a whiteout", a_rename, "", "", .name1 = "b", .name2 = "gone"},
    {"rename a directory over one that looks empty", a_rename, "", "", .name1 = "b", .name2 = "we"},
    {"rename a directory over an empty one of the image", a_rename, "", "l", .name1 = "d",
     .name2 = "e"},
    {"rename a moved directory home", a_rename, "", "", .name1 = "moved", .name2 = "md"},
    {"exchange two of the image", a_rename, "", "l", .name1 = "f", .name2 = "x",
     .flags = RENAME_EXCHANGE},
    {"exchange a file and a directory", a_rename, "", "d", .name1 = "l", .name2 = "born",
     .flags = RENAME_EXCHANGE},
    {"exchange hard links", a_rename, "", "d", .name1 = "k2", .name2 = "a",
     .flags = RENAME_EXCHANGE},
};

static const struct call data[] = {
    {"open the image's to write", a_open, "f", .flags = RW},
    {"open deep in the image to write", a_open, "l/x", .flags = RW},
    {"open to truncate", a_open, "f", .flags = COW_OPEN_WRITE | COW_OPEN_TRUNC, .late = true},
    {"open what was brought up to truncate", a_open, "up", .flags = COW_OPEN_WRITE | COW_OPEN_TRUNC,
     .late = true},
    {"open a hard link of the image to write", a_open, "l/h3", .flags = RW},
    {"open a hard link brought up to write", a_open, "k2", .flags = RW},
    {"open the image's to write while it is read", a_open, "f", .flags = RW,
     .open_a = COW_OPEN_READ},
    {"write", a_write, "up", .open_a = RW},
    {"write stable", a_write, "up", .open_a = RW, .flags = COW_WRITE_STABLE, .late = true},
    {"fallocate", a_fallocate, "up", .open_a = RW},
    {"punch a hole", a_fallocate, "up", .open_a = RW,
     .flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
    {"commit", a_commit, "up", .open_a = RW},
    {"fsync", an_fsync, "up", .open_a = RW},
    {"commit the image's", a_commit, "f"},
    {"commit a merged directory", a_commit, "d"},
    {"sync", a_sync, ""},
    {"clone of the image's", a_clone, "f", "up", .open_a = COW_OPEN_READ, .open_b = RW},
    {"clone", a_clone, "d/born", "up", .open_a = COW_OPEN_READ, .open_b = RW},
    {"all attributes of the image's", a_setattr, "f", .flags = ALL_SETS, .late = true},
    {"size of the image's", a_setattr, "l/x", .flags = COW_SET_SIZE, .late = true},
    {"mode of a directory of the image", a_setattr, "l", .flags = COW_SET_MODE, .late = true},
    {"owner of a link of the image", a_setattr, "s", .flags = COW_SET_UID, .late = true},
    {"times of a fifo of the image", a_setattr, "p", .flags = COW_SET_MTIME, .late = true},
    {"mode of a hard link of the image", a_setattr, "h2", .flags = COW_SET_MODE, .late = true},
    {"mode of a hard link brought up", a_setattr, "k2", .flags = COW_SET_MODE, .late = true},
    {"mode of what was brought up", a_setattr, "up", .flags = COW_SET_MODE, .late = true},
    {"all attributes of what was brought up", a_setattr, "up", .flags = ALL_SETS, .stepwise = true},
    {"setxattr of the image's", a_setxattr, "f", .name1 = "user.new"},
    {"setxattr of a directory of the image", a_setxattr, "l", .name1 = "trusted.new"},
    {"setxattr of what was brought up", a_setxattr, "up", .name1 = "user.new"},
    {"removexattr of the image's", a_removexattr, "f", .name1 = "user.x"},
};

/* ---------------------------------------------------------------- before and after */

static unsigned open_fds(void)
{
	unsigned n = 0;
	const struct dirent *de;
	cow_autoclose int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autodir DIR *d = fdopendir(dup(fd));
	assert_non_null(d);
	while (cow_readdir(d, &de) == 1)
		n++;
	return n;
}

/* What a call must leave as it found it: descriptors besides the cache's, nodes, opens. */
struct held {
	unsigned fds;
	uint64_t nodes, opens;
};

static struct held held_now(struct ovl *f)
{
	struct cow_ovl_stats s;
	cow_ovl_stats(f->inst, &s);
	return (struct held){open_fds() - (unsigned)s.fds, s.nodes, s.opens};
}

/* Seen by somebody who has nothing but the disk. */
static char *text_on_disk(struct ovl *f)
{
	struct cow_ovl_inst *i = NULL;
	ok(cow_ovl_inst_open(f->dirfd, f->img, COW_OVL_OBSERVER, &i, NULL));
	char *text = tree_text(i);
	ok(cow_ovl_inst_close(i));
	return text;
}

static unsigned root_number;
static enum cow_ovl_durability durability = COW_OVL_RELAXED;

static void root_begin(struct ovl *f)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "root-%u", ++root_number);
	ok(mkdirat(f->tmp->fd, name, 0755));
	(void)close(f->dirfd);
	f->dirfd = cow_opendir_at(f->tmp->fd, name);
	assert_true(f->dirfd >= 0);
	layer_start_mode(f, durability);
	live(f);
	ovl_restart(f); /* nothing is cached */
}

/* Lines that only one of two trees has. */
static void print_only_in(const char *a, const char *b, const char *sign)
{
	cow_autofree char *copy = strdup(a);
	for (char *save = NULL, *l = strtok_r(copy, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		const char *in = strstr(b, l);
		size_t len = strlen(l);
		while (in && ((in != b && in[-1] != '\n') || in[len] != '\n'))
			in = strstr(in + 1, l);
		if (!in)
			print_error("\t%s%s\n", sign, l);
	}
}

static void print_difference(const char *want, const char *is)
{
	print_only_in(want, is, "-");
	print_only_in(is, want, "+");
}

/* An object that was made and taken back leaves nothing but a new time of its directory, which is
 * no more than the truth. In place: a directory's line is shortened before its time. */
static void drop_times_of_directories(char *text)
{
	char *out = text;
	for (char *l = text; *l;) {
		char *end = strchr(l, '\n'), *mode = memchr(l, ' ', (size_t)(end - l));
		char *cut =
		    mode && mode[1] == '4' && mode[6] == ' ' ? strstr(mode, "rdev=0 ") : NULL;
		char *id = cut && cut < end ? strchr(cut + 7, ' ') : NULL;
		size_t len = (size_t)((cut && cut < end ? cut : end) - l);
		memmove(out, l, len);
		out += len;
		if (id && id < end) {
			memmove(out, id, (size_t)(end - id));
			out += end - id;
		}
		*out++ = '\n';
		l = end + 1;
	}
	*out = '\0';
}

static int finding(void *ctx, const char *path, const char *what)
{
	if (strstr(what, "(harmless)")) { /* a crash could have left it, too */
		++*(int64_t *)ctx;
		return 0;
	}
	print_error("'%s': %s\n", path, what);
	return 0;
}

static void root_end(struct ovl *f)
{
	char name[32];
	ovl_restart(f);
	assert_int_equal(disk_count(f, "work/work"), 0);
	ovl_detach(f);
	int64_t harmless = 0;
	int64_t found = cow_ovl_inst_check(f->dirfd, f->img, finding, &harmless, NULL);
	assert_int_equal(found, harmless);
	(void)snprintf(name, sizeof(name), "root-%u", root_number);
	ok(cow_rm_rf_at(f->tmp->fd, name, 0));
}

static void prepare(struct ovl *f, const struct call *k, struct ctx *c)
{
	*c = (struct ctx){.f = f};
	c->n[0] = get(f, k->a);
	c->n[1] = k->b ? get(f, k->b) : NULL;
	if (k->open_a)
		ok(cow_ovl_open(c->n[0], &cow_ovl_root_cred, k->open_a, &c->o[0]));
	if (k->open_b)
		ok(cow_ovl_open(c->n[1], &cow_ovl_root_cred, k->open_b, &c->o[1]));
	if (k->cold) {
		c->handle_len = cow_ovl_handle(c->n[0], c->handle);
		cow_ovl_put(cow_steal_ptr(&c->n[0]));
	}
}

static void release_given(struct ctx *c)
{
	cow_ovl_put(cow_steal_ptr(&c->node));
	cow_ovl_close(cow_steal_ptr(&c->open));
}

static void release(struct ctx *c)
{
	for (int k = 0; k < 2; k++) {
		cow_ovl_close(cow_steal_ptr(&c->o[k]));
		cow_ovl_put(cow_steal_ptr(&c->n[k]));
	}
}

/* How the tree looks before and after the call, from roots of their own. */
struct looks {
	char *before, *after;
};

static struct looks looks_of(struct ovl *f, const struct call *k)
{
	struct looks l;
	struct ctx c;
	root_begin(f);
	l.before = tree_text(f->inst);
	prepare(f, k, &c);
	int r = k->act(&c, k);
	if (r < 0)
		print_error("%s: %d without a fault\n", k->what, r);
	ok(r);
	release_given(&c);
	release(&c);
	l.after = tree_text(f->inst);
	root_end(f);
	return l;
}

static void say(const struct call *k, int errnum, unsigned long nth, int r, const char *why)
{
	print_error("%s, %s %lu (%s), result %d: %s\n", k->what,
		    errnum ? strerror(errnum) : "allocation", nth, fault_where(), r, why);
}

#define MIXED (-1)
static unsigned long faults;

/* A failure after the change: is that documented, and is all of it made? */
static bool may_be_made(const struct call *k, const struct looks *l, const char *now)
{
	cow_autofree char *after = strdup(l->after);
	drop_times_of_directories(after);
	return k->stepwise || (k->late && strcmp(now, after) == 0);
}

/* One call with its fault. Return: 1 there was no fault left; 0; -1 it is wrong, and said so. */
static int one_fault(struct ovl *f, const struct call *k, const struct looks *l, int errnum,
		     unsigned long nth, bool *ret_done)
{
	struct ctx c;
	int verdict = 0, expect = errnum ? -errnum : -ENOMEM;
	prepare(f, k, &c);
	struct held before = held_now(f);
	fault_arm(errnum, nth);
	int r = k->act(&c, k);
	bool fired = fault_disarm();
	if (r < 0 && (c.node || c.open)) {
		say(k, errnum, nth, r, "gave something all the same");
		verdict = -1;
	}
	release_given(&c);
	struct held after = held_now(f);
	if (after.fds != before.fds || after.nodes != before.nodes || after.opens != before.opens) {
		say(k, errnum, nth, r, "something is left over");
		print_error("fds %u %u nodes %u %u opens %u %u\n", before.fds, after.fds,
			    (unsigned)before.nodes, (unsigned)after.nodes, (unsigned)before.opens,
			    (unsigned)after.opens);
		verdict = -1;
	}
	release(&c);
	if (r < 0 && (!fired || r != expect)) {
		say(k, errnum, nth, r, "not the error that was injected");
		verdict = -1;
	}
	faults += fired;
	*ret_done = r >= 0;
	cow_autofree char *now = tree_text(f->inst);
	cow_autofree char *disk = text_on_disk(f);
	cow_autofree char *want = strdup(r < 0 ? l->before : l->after);
	bool differs = strcmp(now, disk) != 0;
	if (fired) { /* nor is it a failure that they could not be put back */
		drop_times_of_directories(now);
		drop_times_of_directories(want);
	}
	if (differs) {
		say(k, errnum, nth, r, "on disk it is not what is served");
		print_difference(now, disk);
		verdict = -1;
	} else if (strcmp(now, want) != 0 && !(r < 0 && may_be_made(k, l, now))) {
		say(k, errnum, nth, r, "the tree is not as it should be");
		print_difference(want, now);
		verdict = -1;
	}
	return verdict ? verdict : !fired;
}

static bool only_reads(const struct call *k)
{
	return k >= reading && k < reading + sizeof(reading) / sizeof(*reading);
}

/* All faults of one kind; a root of its own, and a fresh one whenever the call went through. */
static int all_faults(struct ovl *f, const struct call *k, const struct looks *l, int errnum)
{
	static const int mix[] = {EIO, ENOSPC, EDQUOT, EINTR, EMFILE, ENOMEM};
	bool done = false;
	int wrong = 0, r = 0;
	root_begin(f);
	for (unsigned long nth = 0; r != 1; nth++) {
		assert_true(nth < 5000);
		if ((done && !only_reads(k)) || r < 0 || k->late || k->stepwise) {
			if (r < 0) { /* as it may be, but away with it */
				char name[32];
				ovl_detach(f);
				(void)snprintf(name, sizeof(name), "root-%u", root_number);
				ok(cow_rm_rf_at(f->tmp->fd, name, 0));
			} else {
				root_end(f);
			}
			root_begin(f);
		}
		r = one_fault(f, k, l, errnum == MIXED ? mix[nth % 6] : errnum, nth, &done);
		wrong += r < 0;
	}
	root_end(f);
	return wrong;
}

/* Allocations; then each system call fails with one error, the next call with the next one. With
 * COWHERD_TEST_LONG each fails with each. */
static const int errnums[] = {0, MIXED, EIO, ENOSPC, EDQUOT, EINTR, EMFILE, ENOMEM};

static void run(struct ovl *f, const struct call *calls, size_t n)
{
	int wrong = 0;
	/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
	const char *only = getenv("COW_FAULT_ONLY"), *patient = getenv("COWHERD_TEST_LONG");
	/* NOLINTEND(concurrency-mt-unsafe) */
	faults = 0;
	for (size_t k = 0; k < n; k++) {
		if (only && !strstr(calls[k].what, only))
			continue;
		struct looks l = looks_of(f, &calls[k]);
		for (size_t e = 0; e < (patient ? sizeof(errnums) / sizeof(*errnums) : 2); e++)
			wrong += all_faults(f, &calls[k], &l, errnums[e]);
		free(l.before);
		free(l.after);
	}
	print_message("%lu faults in %zu calls\n", faults, n);
	assert_int_equal(wrong, 0);
}

static void reading_meets_every_fault(void **state)
{
	run(*state, reading, sizeof(reading) / sizeof(*reading));
}

static void changes_of_names_meet_every_fault(void **state)
{
	run(*state, names, sizeof(names) / sizeof(*names));
}

static void changes_of_data_meet_every_fault(void **state)
{
	run(*state, data, sizeof(data) / sizeof(*data));
}

/* Each @call of one kind fails in turn. Return: how many of them came after the change was made; those
 * before it belong to copies. */
static unsigned failed_commits(struct ovl *f, const struct call *k, const struct looks *l,
			       const char *call)
{
	bool fired = true;
	unsigned syncs = 0;
	for (unsigned long nth = 0; fired; nth++) {
		struct ctx c;
		root_begin(f);
		prepare(f, k, &c);
		fault_arm_at(call, EIO, nth);
		int r = k->act(&c, k);
		fired = fault_disarm();
		release_given(&c);
		release(&c);
		assert_int_equal(r, fired ? -EIO : 0);
		cow_autofree char *now = tree_text(f->inst);
		bool made = strcmp(now, l->after) == 0;
		assert_true(made || fired);
		root_end(f);
		syncs += fired && made;
	}
	return syncs;
}

/* Strict: the change is made, but whether it is on disk nobody knows, and that is said. Names are
 * committed by fsync(2) of one file where the file system keeps their order, else by syncfs(2). */
static void a_failed_group_commit_is_reported(void **state)
{
	struct ovl *f = *state;
	durability = COW_OVL_STRICT;
	for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
		struct looks l = looks_of(f, &names[k]);
		unsigned syncs = failed_commits(f, &names[k], &l, "syncfs") +
				 failed_commits(f, &names[k], &l, "fsync");
		assert_int_equal(syncs, 1); /* each call is one commit */
		free(l.before);
		free(l.after);
	}
	durability = COW_OVL_RELAXED;
}

static int set_up(void **state)
{
	int r = layer_setup_bare(state);
	if (r == 0)
		build_image(*state);
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(reading_meets_every_fault, set_up, layer_teardown),
	    cmocka_unit_test_setup_teardown(changes_of_names_meet_every_fault, set_up,
					    layer_teardown),
	    cmocka_unit_test_setup_teardown(changes_of_data_meet_every_fault, set_up,
					    layer_teardown),
	    cmocka_unit_test_setup_teardown(a_failed_group_commit_is_reported, set_up,
					    layer_teardown),
	};
	static const char *const parts[] = {"reading", "names", "data", "strict"};
	for (int k = 0; argc > 1 && k < 4; k++)
		if (strcmp(argv[1], parts[k]) == 0)
			return _cmocka_run_group_tests(parts[k], &tests[k], 1, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
