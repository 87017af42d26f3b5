/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of tar archives from anywhere (I7). Members are made below the staging tree through
 * openat2(2), which lets no component be a symbolic link or leave the tree; a member that tries
 * ends the import. A member that comes again replaces the earlier one, as tar -x does. Layers of a
 * container image are archives too, one upon the other, and can take away what is below them
 * (OCI image specification, "Image Layer Filesystem Changeset").
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "acl.h"
#include "common/bounds.h"
#include "common/checked.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"
#include "fill.h"
#include "tar_path.h"
#include "tar_stream.h"
#include "tree.h"

/*
 * Work for the end: a directory's attributes (making things in it changes its times, and a default
 * ACL would be inherited), and ACLs with names that only the complete image can translate.
 */
struct later {
	char *path;
	struct cow_meta m;
	struct archive_entry *entry; /* copy; NULL: no xattrs and ACLs */
	int done_but_acl;
};

struct untar {
	struct cow_fill *f;
	struct cow_err *err;
	struct cow_tar *tar;
	const char *what;
	char *dir_path; /* the directory opened last; members come in runs */
	int dir_fd;
	int layered;	      /* a layer over others, which may replace whole directories */
	enum cow_tar_end end; /* of the archive */
	struct later *later;
	size_t nlater, later_cap;
	char *users, *groups; /* the image's etc/passwd and etc/group, for the end */
};

/* ---------------------------------------------------------------- refusals */

static int refuse(struct untar *u, const char *member, const char *why)
{
	return cow_err_say(u->err, COW_ERR_FAILED, -EBADMSG, "refused '%s': member %s %s", u->what,
			   COW_Q(member), why);
}

static int fail(struct untar *u, const char *member, int r, const char *doing)
{
	if (r == -EINTR)
		return cow_err_set(u->err, r, "import of '%s' was stopped", u->what);
	return cow_err_set(u->err, r, "%s member %s of '%s'", doing, COW_Q(member), u->what);
}

static int clean_path(struct untar *u, const char *name, char **ret)
{
	int r = name ? cow_tar_path(name, ret) : -EINVAL;
	switch (r) {
	case -EPERM:
		return refuse(u, name, "would leave the image (absolute, or with \"..\")");
	case -ENAMETOOLONG:
		return refuse(u, name, "has a name that is too long");
	case -ELOOP:
		return refuse(u, name, "is nested too deep");
	case -EINVAL:
		return refuse(u, name ? name : "", "has no usable name");
	default:
		return r < 0 ? fail(u, name, r, "read") : 0;
	}
}

/* Some builders of images call the root "/", which nothing else may be. */
static int member_path(struct untar *u, struct archive_entry *e, char **ret)
{
	const char *name = archive_entry_pathname(e);
	if (name && !name[strspn(name, "/")] && archive_entry_filetype(e) == AE_IFDIR &&
	    !archive_entry_hardlink(e))
		name = ".";
	return clean_path(u, name, ret);
}

/* ---------------------------------------------------------------- directories on the way */

static void forget_dir(struct untar *u)
{
	if (u->dir_fd >= 0)
		(void)close(u->dir_fd); /* a directory opened for reading */
	u->dir_fd = -1;
	free(cow_steal_ptr(&u->dir_path));
}

/* The directory @name in @parent. -> fd */
static int make_missing(struct untar *u, int parent, const char *name)
{
	const struct cow_meta m = {.mode = S_IFDIR | 0755};
	int r = cow_fill_dir(u->f, parent, name);
	cow_autoclose int fd = r < 0 ? r : cow_opendir_at(parent, name);
	if (fd < 0)
		return fd;
	r = cow_fill_owner(fd, &m);
	if (r < 0 || fchmod(fd, 0755) < 0)
		return r < 0 ? r : -errno;
	u->f->inodes++;
	return cow_steal_fd(&fd);
}

/* As cow_open_beneath(). Leftovers are not there, nor is what is below them. */
static int open_there(struct untar *u, const char *path)
{
	struct stat st;
	if (u->f->base && *path) {
		const char *slash = strrchr(path, '/');
		cow_autofree char *above = strndup(path, slash ? (size_t)(slash - path) : 0);
		cow_autoclose int parent = above ? open_there(u, above) : -ENOMEM;
		int r = parent < 0 ? parent
				   : cow_fill_lstat(u->f, parent, slash ? slash + 1 : path, &st);
		if (r < 0)
			return r;
	}
	return cow_open_beneath(u->f->tree, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
				0);
}

/* Open @path, "" being the root; what is missing is made, as tar does for archives that list files
 * without their directories. */
static int open_or_make(struct untar *u, const char *path)
{
	int fd = open_there(u, path);
	if (fd != -ENOENT)
		return fd;
	cow_autofree char *above = strdup(path);
	if (!above)
		return -ENOMEM;
	char *slash = strrchr(above, '/');
	const char *name = slash ? slash + 1 : path;
	if (slash)
		*slash = 0;
	cow_autoclose int parent = open_or_make(u, slash ? above : "");
	return parent < 0 ? parent : make_missing(u, parent, name);
}

/* Opening a path that ends in a link says the same as one that ends in a file. */
static int is_link(struct untar *u, const char *path)
{
	struct stat st;
	cow_autoclose int fd = cow_open_beneath(u->f->tree, path, O_PATH | O_NOFOLLOW, 0);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

/* Directory and last component of a clean path. The fd is kept by @u. */
static int parent_of(struct untar *u, const char *path, const char *member, int *ret_dir,
		     const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	*ret_name = slash ? slash + 1 : path;
	cow_autofree char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);
	if (!dir)
		return fail(u, member, -ENOMEM, "make");
	if (u->dir_fd < 0 || !u->dir_path || strcmp(dir, u->dir_path) != 0) {
		int fd = open_or_make(u, dir);
		if (fd == -ELOOP || (fd == -ENOTDIR && is_link(u, dir)))
			return refuse(u, member, "passes through a symbolic link");
		if (fd == -ENOTDIR)
			return refuse(u, member, "passes through something that is no directory");
		if (fd < 0)
			return fail(u, member, fd, "make the directory of");
		forget_dir(u);
		u->dir_fd = fd;
		u->dir_path = cow_steal_ptr(&dir);
	}
	*ret_dir = u->dir_fd;
	return 0;
}

/* ---------------------------------------------------------------- work for the end */

static int later_add(struct untar *u, const char *path, const struct cow_meta *m,
		     struct archive_entry *e, int done_but_acl)
{
	if (u->nlater == u->later_cap) {
		size_t cap = u->later_cap ? u->later_cap * 2 : 256;
		struct later *grown = reallocarray(u->later, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		u->later = grown;
		u->later_cap = cap;
	}
	int attrs = archive_entry_xattr_count(e) || archive_entry_acl_types(e);
	struct later l = {
	    .path = strdup(path),
	    .m = *m,
	    .entry = attrs ? archive_entry_clone(e) : NULL,
	    .done_but_acl = done_but_acl,
	};
	if (!l.path || (attrs && !l.entry)) {
		free(l.path);
		archive_entry_free(l.entry);
		return -ENOMEM;
	}
	u->later[u->nlater++] = l;
	return 0;
}

static void later_drop(struct later *l)
{
	free(cow_steal_ptr(&l->path));
	archive_entry_free(cow_steal_ptr(&l->entry));
}

/* The object is being replaced: what was planned for it is void. */
static void later_forget(struct untar *u, const char *path)
{
	for (size_t i = 0; i < u->nlater; i++)
		if (u->later[i].path && strcmp(u->later[i].path, path) == 0)
			later_drop(&u->later[i]);
}

/* Everything in the directory @path is gone; itself too unless @contents. */
static void later_forget_below(struct untar *u, const char *path, int contents)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < u->nlater; i++) {
		const char *p = u->later[i].path;
		if (!p || strncmp(p, path, len) != 0)
			continue;
		if (len == 0 ? *p || !contents : p[len] == '/' || (!p[len] && !contents))
			later_drop(&u->later[i]);
	}
}

/* Take away what a lower layer made. */
static int remove_lower(struct untar *u, int dir, const char *name, const char *path,
			const char *member)
{
	int r = cow_rm_rf_at(dir, name, 0);
	if (r < 0)
		return fail(u, member, r, "replace");
	later_forget_below(u, path, 0);
	return 0;
}

static int remove_child(void *ctx, const char *name)
{
	const int *dir = ctx;
	return cow_rm_rf_at(*dir, name, 0);
}

static int empty_lower(struct untar *u, int dir, const char *path, const char *member)
{
	int r = cow_tree_each(dir, ".", remove_child, &dir);
	if (r < 0)
		return fail(u, member, r, "replace");
	later_forget_below(u, path, 1);
	return 0;
}

/* Make room for a member that comes again. */
static int make_room(struct untar *u, int dir, const char *name, const char *path,
		     const char *member)
{
	struct stat st;
	int r = cow_fill_lstat(u->f, dir, name, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : fail(u, member, r, "look at");
	later_forget(u, path);
	if (S_ISDIR(st.st_mode)) {
		if (unlinkat(dir, name, AT_REMOVEDIR) == 0) {
			u->f->inodes--;
			return 0;
		}
		if (errno != ENOTEMPTY)
			return fail(u, member, -errno, "replace");
		return u->layered ? remove_lower(u, dir, name, path, member)
				  : refuse(u, member, "takes the place of a directory in use");
	}
	if (unlinkat(dir, name, 0) < 0)
		return fail(u, member, -errno, "replace");
	if (st.st_nlink == 1)
		u->f->inodes--;
	return 0;
}

/* ---------------------------------------------------------------- attributes */

static int set_xattrs(struct untar *u, struct archive_entry *e, int fd, int dir, const char *name,
		      const char *path)
{
	const char *xattr;
	const void *value;
	size_t len;
	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &xattr, &value, &len) == ARCHIVE_OK) {
		int r = cow_fill_xattr(u->f, fd, dir, name, path, xattr, value, len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Return: -EAGAIN a name must wait for the end. */
static int set_acls(struct untar *u, struct archive_entry *e, int fd, int dir, const char *name,
		    const char *path, cow_acl_lookup_fn lookup)
{
	static const struct {
		int type;
		const char *xattr;
	} kinds[] = {
	    {ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access"},
	    {ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default"},
	};
	for (size_t i = 0; i < 2; i++) {
		cow_autofree uint8_t *value = NULL;
		size_t len;
		if (!(archive_entry_acl_types(e) & kinds[i].type))
			continue;
		int r = cow_acl_value(e, kinds[i].type, lookup, u, &value, &len);
		if (r == -ENODATA)
			continue;
		if (r == 0)
			r = cow_fill_xattr(u->f, fd, dir, name, path, kinds[i].xattr, value, len);
		if (r < 0)
			return r;
	}
	return 0;
}

static int meta_of(struct untar *u, struct archive_entry *e, const char *member,
		   struct cow_meta *ret)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
	/* -1 means "leave alone" to chown(2). */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return refuse(u, member, "has an owner that is out of range");
	*ret = (struct cow_meta){
	    .mode = archive_entry_filetype(e) | cow_acl_mode(e),
	    .uid = (uid_t)uid,
	    .gid = (gid_t)gid,
	    .rdev = archive_entry_rdev(e),
	    .times[1] = {archive_entry_mtime(e), archive_entry_mtime_nsec(e)},
	};
	ret->times[0] = ret->times[1];
	if (archive_entry_atime_is_set(e))
		ret->times[0] =
		    (struct timespec){archive_entry_atime(e), archive_entry_atime_nsec(e)};
	for (int i = 0; i < 2; i++)
		if (ret->times[i].tv_nsec < 0 || ret->times[i].tv_nsec > 999999999)
			return refuse(u, member, "has a time that is out of range");
	return 0;
}

static int is_plain(struct archive_entry *e)
{
	return archive_entry_xattr_count(e) == 0 && archive_entry_acl_types(e) == 0;
}

/* ---------------------------------------------------------------- members */

/* As cow_fill_out_end(). */
static int member_data(struct untar *u, const char *member, struct cow_fill_out *out, int64_t size)
{
	const void *p;
	size_t n;
	int64_t off;
	int r;
	while ((r = cow_tar_data(u->tar, &p, &n, &off, u->err)) > 0) {
		if (off < 0 || off > size || n > (uint64_t)(size - off))
			return refuse(u, member, "has more data than it says");
		r = cow_fill_out_write(out, p, n, off);
		if (r < 0)
			return fail(u, member, r, "write");
		u->f->bytes += n;
		r = cow_fill_progress(u->f);
		if (r < 0)
			return fail(u, member, r, "write");
	}
	if (r < 0)
		return r;
	r = cow_fill_out_end(out, size);
	return r < 0 ? fail(u, member, r, "write") : r;
}

static int member_file(struct untar *u, struct archive_entry *e, const char *member, int dir,
		       const char *name, const char *path, const struct cow_meta *m)
{
	int64_t size = archive_entry_size(e);
	if (size < 0)
		return refuse(u, member, "has no size");
	cow_autofillout struct cow_fill_out out = COW_FILL_OUT_EMPTY;
	int r =
	    cow_fill_out_begin(u->f, dir, name, path, is_plain(e) ? m : NULL, (uint64_t)size, &out);
	if (r < 0)
		return fail(u, member, r, "make");
	u->f->inodes++;
	r = member_data(u, member, &out, size);
	if (r != 0)
		return r < 0 ? r : 0;
	r = cow_fill_owner(out.fd, m);
	if (r == 0)
		r = set_xattrs(u, e, out.fd, -1, name, path);
	if (r == 0)
		r = set_acls(u, e, out.fd, -1, name, path, NULL);
	if (r == -EAGAIN)
		r = later_add(u, path, m, e, 1);
	if (r == 0)
		r = cow_fill_finish_fd(out.fd, m);
	return r < 0 ? fail(u, member, r, "set the attributes of") : 0;
}

static int member_node(struct untar *u, struct archive_entry *e, const char *member, int dir,
		       const char *name, const char *path, const struct cow_meta *m)
{
	const char *target = archive_entry_symlink(e);
	if (S_ISLNK(m->mode) && (!target || !*target || strlen(target) > COW_SYMLINK_MAX))
		return refuse(u, member, "is a symbolic link without a usable target");
	int r = cow_fill_node_at(u->f, dir, name, path, m, target, is_plain(e));
	if (r == -EPERM)
		return refuse(u, member, "is character device 0/0, which overlay mounts reserve");
	if (r < 0)
		return fail(u, member, r, "make");
	u->f->inodes++;
	if (r > 0)
		return 0;
	r = set_xattrs(u, e, -1, dir, name, path);
	if (r == 0 && !S_ISLNK(m->mode))
		r = set_acls(u, e, -1, dir, name, path, NULL);
	if (r == -EAGAIN)
		r = later_add(u, path, m, e, 1);
	if (r == 0)
		r = cow_fill_finish_at(dir, name, m);
	return r < 0 ? fail(u, member, r, "set the attributes of") : 0;
}

static int member_dir(struct untar *u, struct archive_entry *e, const char *member, int dir,
		      const char *name, const char *path, const struct cow_meta *m)
{
	struct stat st;
	int r = 0;
	if (!*path) {
		u->f->inodes++; /* the root, which is there */
	} else if (cow_fill_lstat(u->f, dir, name, &st) < 0 || !S_ISDIR(st.st_mode)) {
		r = make_room(u, dir, name, path, member);
		if (r < 0)
			return r;
		r = cow_fill_dir(u->f, dir, name);
		if (r < 0)
			return fail(u, member, r, "make");
		u->f->inodes++;
	} else if (u->layered) {
		later_forget(u, path); /* what a lower layer says of it */
	}
	r = later_add(u, path, m, e, 0);
	return r < 0 ? fail(u, member, r, "make") : 0;
}

/* A hard link to what an earlier member made; never to anything else. */
static int member_link(struct untar *u, const char *member, const char *target_name, int dir,
		       const char *name, const char *path)
{
	struct stat st;
	cow_autofree char *target = NULL;
	int r = clean_path(u, target_name, &target);
	if (r < 0 || !target)
		return r;
	if (strcmp(target, path) == 0)
		return 0;
	const char *slash = strrchr(target, '/');
	cow_autofree char *above = strndup(target, slash ? (size_t)(slash - target) : 0);
	if (!above)
		return fail(u, member, -ENOMEM, "make");
	cow_autoclose int from = open_there(u, above);
	if (from == -ELOOP || (from == -ENOTDIR && is_link(u, above)))
		return refuse(u, member, "is a hard link through a symbolic link");
	const char *from_name = slash ? slash + 1 : target;
	if (from < 0 || cow_fill_lstat(u->f, from, from_name, &st) < 0)
		return refuse(u, member, "is a hard link to what is not in the archive before it");
	if (S_ISDIR(st.st_mode))
		return refuse(u, member, "is a hard link to a directory");
	r = make_room(u, dir, name, path, member);
	if (r < 0)
		return r;
	r = cow_fill_room(u->f, dir, name);
	if (r < 0)
		return fail(u, member, r, "replace");
	return linkat(from, from_name, dir, name, 0) < 0 ? fail(u, member, -errno, "link") : 0;
}

static int import_member(struct untar *u, struct archive_entry *e)
{
	cow_autofree char *path = NULL;
	struct cow_meta m = {0};
	const char *name = "";
	int dir = -1;

	int r = member_path(u, e, &path);
	if (r < 0 || !path)
		return r;
	const char *member = *path ? archive_entry_pathname(e) : "/";
	r = parent_of(u, path, member, &dir, &name);
	if (r < 0)
		return r;
	const char *link = archive_entry_hardlink(e);
	if (link)
		return *path ? member_link(u, member, link, dir, name, path)
			     : refuse(u, member, "replaces the root");
	r = meta_of(u, e, member, &m);
	if (r < 0)
		return r;
	if (S_ISDIR(m.mode))
		return member_dir(u, e, member, dir, name, path, &m);
	if (!*path)
		return refuse(u, member, "replaces the root");
	r = make_room(u, dir, name, path, member);
	if (r < 0)
		return r;
	if (S_ISREG(m.mode))
		return member_file(u, e, member, dir, name, path, &m);
	if (S_ISLNK(m.mode) || S_ISCHR(m.mode) || S_ISBLK(m.mode) || S_ISFIFO(m.mode) ||
	    S_ISSOCK(m.mode))
		return member_node(u, e, member, dir, name, path, &m);
	return refuse(u, member, "is of an unknown type");
}

/* ---------------------------------------------------------------- the end */

/* "name:password:number:..." in the image's own passwd or group. */
static int lookup_name(void *ctx, int want, const char *name, uint32_t *ret_id)
{
	const struct untar *u = ctx;
	const char *line = want == 'u' ? u->users : u->groups;
	size_t len = strlen(name);
	for (; line && *line; line = strchrnul(line, '\n'), line += *line == '\n') {
		if (strncmp(line, name, len) != 0 || line[len] != ':')
			continue;
		const char *number = strpbrk(line + len + 1, ":\n");
		uint64_t id;
		if (!number || *number != ':')
			return -ENOENT;
		size_t digits = strcspn(number + 1, ":\n");
		if (cow_parse_u64n(number + 1, digits, 0, UINT32_MAX - 1, &id) < 0)
			return -ENOENT;
		*ret_id = (uint32_t)id;
		return 0;
	}
	return -ENOENT;
}

static int apply_later(struct untar *u, struct later *l)
{
	/* A node that is no directory may be a device: never open it for real. */
	int flags = S_ISDIR(l->m.mode) ? O_RDONLY | O_DIRECTORY : O_PATH;
	cow_autoclose int fd =
	    cow_open_beneath(u->f->tree, *l->path ? l->path : ".", flags | O_NOFOLLOW, 0);
	if (fd < 0)
		return fail(u, l->path, fd, "open");
	int dir = -1, r = 0;
	const char *name = "";
	if (!S_ISDIR(l->m.mode)) {
		r = parent_of(u, l->path, l->path, &dir, &name);
		if (r < 0)
			return r;
	}
	int xfd = S_ISDIR(l->m.mode) ? fd : -1;
	if (!l->done_but_acl)
		r = cow_fill_owner(fd, &l->m);
	if (r == 0 && l->entry && !l->done_but_acl)
		r = set_xattrs(u, l->entry, xfd, dir, name, l->path);
	if (r == 0 && l->entry)
		r = set_acls(u, l->entry, xfd, dir, name, l->path, lookup_name);
	if (r == -ENOENT)
		return refuse(u, l->path,
			      "has an ACL for a user or group that is not in the image's "
			      "etc/passwd or etc/group");
	if (r == 0)
		r = xfd >= 0 ? cow_fill_finish_dir(fd, &l->m)
			     : cow_fill_finish_at(dir, name, &l->m);
	return r < 0 ? fail(u, l->path, r, "set the attributes of") : 0;
}

static int finish(struct untar *u)
{
	size_t len;
	int r = 0;
	/* Absent or odd files: the names stay unknown, and that is reported where it matters. */
	(void)cow_tree_read(u->f->tree, "etc/passwd", COW_KV_FILE_MAX, &u->users, &len);
	(void)cow_tree_read(u->f->tree, "etc/group", COW_KV_FILE_MAX, &u->groups, &len);
	for (size_t i = 0; i < u->nlater; i++) {
		r = u->later[i].path ? apply_later(u, &u->later[i]) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int each_member(struct untar *u, struct cow_unpack *unpack,
		       int (*fn)(struct untar *u, struct archive_entry *e))
{
	struct archive_entry *e;
	cow_autotar tar = NULL;
	int r = cow_tar_open(unpack, u->what, u->end, &tar, u->err);
	u->tar = tar;
	if (r == 0)
		while ((r = cow_tar_next(tar, &e, u->err)) > 0) {
			r = fn(u, e);
			if (r < 0)
				break;
		}
	u->tar = NULL;
	return r;
}

/* Names in pax headers are UTF-8; in the C locale the library would mangle them. */
struct utf8 {
	locale_t utf8, old;
};

static struct utf8 utf8_begin(void)
{
	struct utf8 l = {.utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)};
	l.old = l.utf8 ? uselocale(l.utf8) : (locale_t)0;
	return l;
}

static void utf8_end(struct utf8 *l)
{
	if (!l->utf8)
		return;
	(void)uselocale(l->old);
	freelocale(l->utf8);
}

static void untar_done(struct untar *u)
{
	forget_dir(u);
	for (size_t i = 0; i < u->nlater; i++)
		later_drop(&u->later[i]);
	free(u->later);
	free(u->users);
	free(u->groups);
}

int cow_import_tar(struct cow_fill *f, struct cow_unpack *unpack, const char *what,
		   struct cow_err *err)
{
	struct untar u = {.f = f, .err = err, .what = what, .dir_fd = -1};
	struct utf8 locale = utf8_begin();
	int r = each_member(&u, unpack, import_member);
	/* What is to be made may lie in an archive in this one, and may be what is there. */
	if (r == 0 && !cow_oci_is_here(f))
		r = cow_fill_base_end(f, what, err);
	if (r == 0)
		r = finish(&u);
	utf8_end(&locale);
	untar_done(&u);
	return r;
}

/* ---------------------------------------------------------------- layers */

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define AUFS ".wh..wh." /* what a file system keeps for itself */

struct cow_layers {
	struct untar u;
};

/* Return: 1 and its parts; 0 it is something else. *@ret_dir: the caller's to free. */
static int is_whiteout(const char *path, char **ret_dir, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) != 0)
		return 0;
	*ret_name = name;
	*ret_dir = strndup(path, slash ? (size_t)(slash - path) : 0);
	return *ret_dir ? 1 : -ENOMEM;
}

static int take_away(struct untar *u, const char *above, const char *name, const char *member)
{
	cow_autofree char *path = NULL;
	cow_autoclose int dir = open_there(u, above);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0; /* nothing of that name is below */
	if (dir < 0)
		return dir == -ELOOP ? refuse(u, member, "passes through a symbolic link")
				     : fail(u, member, dir, "open the directory of");
	if (strcmp(name, OPAQUE) == 0)
		return empty_lower(u, dir, above, member);
	if (strncmp(name, AUFS, strlen(AUFS)) == 0)
		return 0;
	name += strlen(WHITEOUT);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return refuse(u, member, "is a whiteout of nothing");
	if (asprintf(&path, "%s%s%s", above, *above ? "/" : "", name) < 0)
		return fail(u, member, -ENOMEM, "remove");
	return remove_lower(u, dir, name, path, member);
}

/* Which of the two times over a layer a member is for. @ret_dir, @ret_name: of a whiteout.
 * Return: 1 it is a whiteout; 0 another; -errno. */
static int sort_member(struct untar *u, struct archive_entry *e, char **ret_dir,
		       const char **ret_name, char **ret_path)
{
	int r = member_path(u, e, ret_path);
	if (r < 0 || !*ret_path)
		return r;
	r = is_whiteout(*ret_path, ret_dir, ret_name);
	return r < 0 ? fail(u, *ret_path, r, "read") : r;
}

/* The first time: what it takes away is below it, wherever in the archive it says so. */
static int apply_whiteout(struct untar *u, struct archive_entry *e)
{
	cow_autofree char *path = NULL, *dir = NULL;
	const char *name = "";
	int r = sort_member(u, e, &dir, &name, &path);
	return r > 0 && dir ? take_away(u, dir, name, path) : r;
}

/* The second time: all others. */
static int apply_member(struct untar *u, struct archive_entry *e)
{
	cow_autofree char *path = NULL, *dir = NULL;
	const char *name = "";
	int r = sort_member(u, e, &dir, &name, &path);
	return r == 0 ? import_member(u, e) : r < 0 ? r : 0;
}

static int over_layer(struct untar *u, int fd, uint64_t *read_bytes,
		      int (*fn)(struct untar *u, struct archive_entry *e))
{
	cow_autounpack unpack = NULL;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return cow_err_set(u->err, -errno, "read '%s'", u->what);
	int r = cow_unpack_open(fd, u->what, read_bytes, &unpack, u->err);
	return r < 0 ? r : each_member(u, unpack, fn);
}

int cow_layers_new(struct cow_fill *f, const char *what, enum cow_tar_end end,
		   struct cow_layers **ret, struct cow_err *err)
{
	struct cow_layers *l = calloc(1, sizeof(*l));
	if (!l)
		return cow_err_set(err, -ENOMEM, "import '%s'", what);
	l->u = (struct untar){
	    .f = f, .err = err, .what = what, .dir_fd = -1, .layered = 1, .end = end};
	*ret = l;
	return 0;
}

int cow_layers_add(struct cow_layers *l, int fd)
{
	uint64_t uncounted = 0;
	struct utf8 locale = utf8_begin();
	int r = over_layer(&l->u, fd, &uncounted, apply_whiteout);
	if (r == 0)
		r = over_layer(&l->u, fd, &l->u.f->source_bytes, apply_member);
	utf8_end(&locale);
	return r;
}

int cow_layers_finish(struct cow_layers *l)
{
	int r = cow_fill_base_end(l->u.f, l->u.what, l->u.err);
	return r < 0 ? r : finish(&l->u);
}

void cow_layers_free(struct cow_layers *l)
{
	if (!l)
		return;
	untar_done(&l->u);
	free(l);
}
