/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client's root becomes a golden image: what tells the client from its siblings goes back to what
 * the image had, or goes away where the image had nothing. identity.c writes most of it; keys and
 * seeds a machine makes for itself at its first boot.
 *
 * Directories keep their times: for the machines of the herd nothing has happened in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "commit_internal.h"
#include "common/bounds.h"
#include "common/fs.h"
#include "fixup_internal.h"
#include "tree.h"

struct undo {
	struct cow_fix fix; /* its tree is the new one */
	int golden;	    /* -1: the image is gone */
};

/* ---------------------------------------------------------------- the image's object once more */

static int place_close(struct cow_tree_place *p, int r)
{
	int closed = r > 0 ? cow_tree_place_as_before(p) : 0;
	cow_tree_place_close(p);
	return closed < 0 ? closed : r;
}

static int copy_xattrs(int src, int dst)
{
	cow_autofree char *names = malloc(COW_XATTR_LIST_MAX);
	cow_autofree char *value = malloc(COW_XATTR_SIZE_MAX);
	if (!names || !value)
		return -ENOMEM;
	ssize_t len = flistxattr(src, names, COW_XATTR_LIST_MAX);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *x = names; x < names + len; x += strlen(x) + 1) {
		ssize_t n = fgetxattr(src, x, value, COW_XATTR_SIZE_MAX);
		if (n < 0 || fsetxattr(dst, x, value, (size_t)n, 0) < 0)
			return -errno;
	}
	return 0;
}

static int copy_file(int golden, const char *path, const struct stat *st, int dir, const char *temp)
{
	struct cow_fill fill = {0};
	struct cow_fill_copier copier;
	struct cow_meta m = {
	    .mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .times = {st->st_atim, st->st_mtim},
	};
	cow_autoclose int src =
	    cow_tree_open(golden, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
	if (src < 0)
		return src;
	cow_autoclose int dst = cow_fill_file(dir, temp);
	if (dst < 0)
		return dst;
	int r = cow_fill_copier_init(&copier, &fill);
	if (r == 0)
		r = cow_fill_data(&copier, src, dst, st);
	cow_fill_copier_done(&copier);
	if (r == 0)
		r = cow_fill_owner(dst, &m);
	if (r == 0)
		r = copy_xattrs(src, dst);
	return r < 0 ? r : cow_fill_finish_fd(dst, &m);
}

static int copy_link(int fd, const struct stat *st, int dir, const char *temp)
{
	char target[COW_SYMLINK_MAX + 1];
	struct cow_meta m = {
	    .mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .times = {st->st_atim, st->st_mtim},
	};
	ssize_t n = readlinkat(fd, "", target, COW_SYMLINK_MAX);
	if (n < 0)
		return -errno;
	target[n] = 0;
	int r = cow_fill_node(dir, temp, &m, target);
	return r < 0 ? r : cow_fill_finish_at(dir, temp, &m);
}

/* Make @temp the image's file or symbolic link @fd (O_PATH, at @path), as a link where that works. */
static int bring(const struct undo *u, int fd, const char *path, const struct stat *st, int dir,
		 const char *temp)
{
	if (linkat(fd, "", dir, temp, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP)
		return -errno;
	if (S_ISREG(st->st_mode))
		return copy_file(u->golden, path, st, dir, temp);
	return copy_link(fd, st, dir, temp);
}

/* Not touched since it came from the image? The root of a btrfs client has copies of everything. */
static int same_object(const struct stat *a, const struct stat *b)
{
	if (a->st_dev == b->st_dev && a->st_ino == b->st_ino)
		return 1;
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Return: 1 changed, 0 not, -errno. */
static int put_back_at(const struct undo *u, const struct cow_tree_place *p, const char *path)
{
	char hex[COW_HEX64_LEN + 1], temp[sizeof(".cowherd-") + COW_HEX64_LEN];
	struct stat now, was;
	if (fstatat(p->dir, p->name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno; /* the client did without it */
	if (S_ISDIR(now.st_mode))
		return 0; /* nothing that would be read as what it is called */
	cow_autoclose int fd =
	    u->golden < 0 ? -ENOENT : cow_tree_open(u->golden, path, O_PATH | O_NOFOLLOW);
	if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
		return fd;
	if (fd >= 0 && fstat(fd, &was) < 0)
		return -errno;
	if (fd < 0 || !(S_ISREG(was.st_mode) || S_ISLNK(was.st_mode)))
		return unlinkat(p->dir, p->name, 0) < 0 ? -errno : 1;
	if (same_object(&now, &was))
		return 0;
	int r = cow_random_hex(hex);
	if (r < 0)
		return r;
	(void)snprintf(temp, sizeof(temp), ".cowherd-%s", hex);
	r = bring(u, fd, path, &was, p->dir, temp);
	if (r == 0 && renameat(p->dir, temp, p->dir, p->name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(p->dir, temp, 0); /* else the manifest would have it */
	return r < 0 ? r : 1;
}

static int put_back(struct undo *u, const char *path)
{
	struct cow_tree_place p = {.dir = -1};
	struct stat st;
	int r = cow_tree_place_open(u->fix.tree, path, &p);
	if (r == 0)
		r = put_back_at(u, &p, path);
	r = place_close(&p, r);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r > 0)
		cow_fix_did(&u->fix, "%s /%s",
			    cow_tree_lstat(u->fix.tree, path, &st) == 0 ? "put back" : "removed",
			    path);
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- etc/hosts */

struct hosts {
	char own[COW_NAME_MAX + 16]; /* the line with the client's name */
	char *golden;		     /* the image's file; NULL: none */
};

static int is_own_address(const char *line)
{
	return strncmp(line, "127.0.1.1", 9) == 0 && (line[9] == ' ' || line[9] == '\t');
}

static int hosts_line(void *ctx, const char *line, size_t len, struct cow_text *out)
{
	const struct hosts *h = ctx;
	int r = 0;
	if (strlen(h->own) != len || memcmp(line, h->own, len) != 0) {
		r = cow_text_add(out, line, len);
		return r < 0 ? r : cow_text_add(out, "\n", 1);
	}
	for (const char *p = h->golden ? h->golden : ""; r == 0 && *p;) {
		size_t n = strcspn(p, "\n");
		if (is_own_address(p))
			r = cow_text_add(out, p, n);
		if (r == 0 && is_own_address(p))
			r = cow_text_add(out, "\n", 1);
		p += n;
		p += *p == '\n';
	}
	return r;
}

/* Only the name was written into it: the whole file goes back. */
static int is_as_written(const struct undo *u, const struct hosts *h, const char *name)
{
	cow_autofree char *now = NULL;
	struct cow_text want = {0};
	int same = cow_fix_read(&u->fix, "etc/hosts", &now) == 0 &&
		   cow_identity_hosts(h->golden, name, &want) == 0 && strcmp(now, want.s) == 0;
	free(want.s);
	return same;
}

static int edit_hosts(struct undo *u, struct hosts *h)
{
	struct cow_tree_place p = {.dir = -1};
	int r = cow_tree_place_open(u->fix.tree, "etc/hosts", &p);
	if (r == 0)
		r = cow_fix_lines(&u->fix, "etc/hosts", hosts_line, h);
	r = place_close(&p, r);
	if (r > 0)
		cow_fix_did(&u->fix, "took the name out of /etc/hosts");
	return r < 0 && r != -ENOENT ? r : 0;
}

static int undo_hosts(struct undo *u)
{
	struct hosts h = {.golden = NULL};
	struct cow_fix image = {.tree = u->golden};
	cow_autofree char *name = NULL;
	cow_autofree char *golden = NULL;
	int r = cow_fix_read(&u->fix, "etc/hostname", &name);
	if (r < 0) /* no name, nothing to look for */
		return r == -ENOENT || r == -EBADMSG || r == -EINVAL ? 0 : r;
	name[strcspn(name, "\n")] = 0;
	if (strlen(name) > COW_NAME_MAX)
		return 0;
	if (u->golden >= 0)
		(void)cow_fix_read(&image, "etc/hosts",
				   &golden); /* none, or an odd one: like none */
	h.golden = golden;
	(void)snprintf(h.own, sizeof(h.own), "127.0.1.1\t%s", name);
	return is_as_written(u, &h, name) ? put_back(u, "etc/hosts") : edit_hosts(u, &h);
}

/* ---------------------------------------------------------------- the rest */

static int undo_key(void *ctx, const char *name)
{
	char path[300];
	if (strncmp(name, "ssh_host_", 9) != 0 || !strstr(name, "_key"))
		return 0;
	(void)snprintf(path, sizeof(path), "etc/ssh/%s", name);
	return put_back(ctx, path);
}

/* Directories that were made for a file of ours. */
static void drop_empty(const struct undo *u, const char *path)
{
	struct cow_tree_place p = {.dir = -1};
	struct stat st;
	if (u->golden >= 0 && cow_tree_lstat(u->golden, path, &st) == 0)
		return;
	int r = cow_tree_place_open(u->fix.tree, path, &p);
	if (r == 0) /* most often it is not there, or not empty */
		r = unlinkat(p.dir, p.name, AT_REMOVEDIR) == 0;
	(void)place_close(&p, r);
}

static int undo_all(struct undo *u)
{
	static const char *const own[] = {
	    "etc/hostname",
	    "etc/machine-id",
	    "etc/NetworkManager/conf.d/90-cowherd.conf",
	    "etc/systemd/network/05-cowherd-boot.network",
	    "var/lib/dbus/machine-id",
	    "var/lib/systemd/random-seed",
	    "var/lib/systemd/credential.secret",
	    "var/lib/NetworkManager/secret_key",
	};
	int r = undo_hosts(u);
	for (size_t i = 0; r == 0 && i < sizeof(own) / sizeof(*own); i++)
		r = put_back(u, own[i]);
	drop_empty(u, "etc/NetworkManager/conf.d");
	drop_empty(u, "etc/systemd/network");
	if (r == 0)
		r = cow_tree_each(u->fix.tree, "etc/ssh", undo_key, u);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

int cow_commit_no_identity(int tree, int golden, cow_fixup_report report, void *ctx,
			   struct cow_err *err)
{
	struct undo u = {.fix = {.tree = tree}, .golden = golden};
	int r = undo_all(&u);
	if (r < 0)
		/* Unlike a fix-up it may not be left out: nobody wants the keys of one machine on all. */
		return cow_err_set(err, r, "take the identity of the client out of the tree");
	report(ctx, "identity", *u.fix.what ? "done" : "not needed", u.fix.what);
	return 0;
}
