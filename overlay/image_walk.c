/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The walk of image_walk.h. Going down is one openat() of a name, going up is one of ".."; both are
 * checked against the inode number the directory had when it was listed.
 */
#include "image_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "grow.h"
#include "record.h"

/* A directory to be visited; its name lies in walk.text. */
struct todo {
	size_t name;
	ino_t real;
	uint32_t tag;
};

/* A directory that has been visited and whose subdirectories are being. */
struct level {
	ino_t real;
	size_t next, text,
	    path;     /* next todo; ends of text and path before this level added to them */
	size_t first; /* its first todo */
};

struct cow_walk {
	int rootfd; /* borrowed */
	cow_walk_fn fn;
	void *ctx;
	dev_t dev;

	int fd; /* directory of the top level */
	struct level *levels;
	size_t depth, levels_room;
	struct todo *todo; /* of all levels, the top one's last */
	size_t ntodo, todo_room;
	char *text;
	size_t text_len, text_room;
	char *path; /* of the top level, no NUL */
	size_t path_len, path_room;

	char *list; /* names of the directory being visited */
	size_t list_len, list_room;
	struct cow_walk_name *names;
	size_t nnames, names_room;
};

int cow_walk_new(int rootfd, cow_walk_fn fn, void *ctx, struct cow_walk **ret)
{
	struct stat st;
	if (fstat(rootfd, &st) < 0)
		return cow_nerr();
	struct cow_walk *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->rootfd = rootfd;
	w->fn = fn;
	w->ctx = ctx;
	w->dev = st.st_dev;
	w->fd = -1;
	*ret = w;
	return 0;
}

void cow_walk_free(struct cow_walk *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		(void)close(w->fd); /* only read from */
	free(w->levels);
	free(w->todo);
	free(w->text);
	free(w->path);
	free(w->list);
	free(w->names);
	free(w);
}

static int append(char **buf, size_t *len, size_t *room, const char *s, size_t n)
{
	int r = cow_grow(buf, room, *len + n);
	if (r < 0)
		return r;
	memcpy(*buf + *len, s, n);
	*len += n;
	return 0;
}

const char *cow_walk_path(struct cow_walk *w, const char *name)
{
	size_t keep = w->path_len;
	int r = 0;
	if (name || keep == 0)
		r = append(&w->path, &w->path_len, &w->path_room, "/", 1);
	if (r == 0 && name)
		r = append(&w->path, &w->path_len, &w->path_room, name, strlen(name));
	if (r == 0)
		r = append(&w->path, &w->path_len, &w->path_room, "", 1);
	w->path_len = keep;
	return r < 0 ? "?" : w->path;
}

/* A directory by name, whose inode number is known. */
static int open_known(const struct cow_walk *w, int dirfd, const char *name, ino_t real)
{
	struct stat st;
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* another user's */
		fd = openat(dirfd, name, flags);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? -EAGAIN : cow_nerr();
	int r = fstat(fd, &st) < 0 ? cow_nerr() : 0;
	if (r == 0 && (st.st_dev != w->dev || (real && st.st_ino != real)))
		r = -EAGAIN;
	if (r < 0) {
		(void)close(fd); /* only looked at */
		return r;
	}
	return fd;
}

static void replace_fd(struct cow_walk *w, int fd)
{
	if (w->fd >= 0)
		(void)close(w->fd); /* only read from */
	w->fd = fd;
}

static int by_name(const void *pa, const void *pb)
{
	const struct cow_walk_name *a = pa, *b = pb;
	return strcmp(a->name, b->name);
}

/* Names of the open directory into w->names. */
static int list(struct cow_walk *w)
{
	int copy = fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return cow_nerr();
	cow_autodir DIR *d = fdopendir(copy);
	if (!d) {
		int r = cow_nerr();
		(void)close(copy); /* a copy */
		return r;
	}
	const struct dirent *de;
	int r;
	size_t n = 0;
	w->list_len = 0;
	while ((r = cow_readdir(d, &de)) > 0) {
		r = append(&w->list, &w->list_len, &w->list_room, de->d_name,
			   strlen(de->d_name) + 1);
		if (r < 0)
			return r;
		n++;
	}
	if (r < 0)
		return r;
	r = cow_grow(&w->names, &w->names_room, n);
	if (r < 0)
		return r;
	size_t at = 0;
	for (size_t k = 0; k < n; k++) {
		w->names[k].name = w->list + at;
		w->names[k].len = strlen(w->list + at);
		at += w->names[k].len + 1;
	}
	w->nnames = n;
	qsort(w->names, n, sizeof(*w->names), by_name);
	return 0;
}

int cow_walk_enter(struct cow_walk *w, const char *name, ino_t real, uint32_t tag)
{
	size_t at = w->text_len;
	int r = append(&w->text, &w->text_len, &w->text_room, name, strlen(name) + 1);
	if (r == 0)
		r = cow_grow(&w->todo, &w->todo_room, w->ntodo + 1);
	if (r < 0)
		return r;
	w->todo[w->ntodo++] = (struct todo){.name = at, .real = real, .tag = tag};
	return 0;
}

/* The open directory becomes a level; fn says what is below it. */
static int visit(struct cow_walk *w, struct level level, uint32_t tag)
{
	int r = cow_grow(&w->levels, &w->levels_room, w->depth + 1);
	if (r == 0)
		r = list(w);
	if (r < 0)
		return r;
	level.first = level.next = w->ntodo;
	w->levels[w->depth++] = level;
	struct cow_walk_dir dir = {
	    .fd = w->fd,
	    .tag = tag,
	    .names = w->names,
	    .count = w->nnames,
	};
	return w->fn(w->ctx, w, &dir);
}

static int down(struct cow_walk *w, const struct todo *t)
{
	const char *name = w->text + t->name;
	struct level level = {.real = t->real, .text = w->text_len, .path = w->path_len};
	uint32_t tag = t->tag;
	int fd = open_known(w, w->fd, name, t->real);
	int r = append(&w->path, &w->path_len, &w->path_room, "/", 1);
	if (r == 0)
		r = append(&w->path, &w->path_len, &w->path_room, name, strlen(name));
	if (fd >= 0)
		replace_fd(w, fd);
	if (r < 0 || fd < 0)
		return r < 0 ? r : fd;
	return visit(w, level, tag);
}

static int up(struct cow_walk *w)
{
	const struct level *l = &w->levels[--w->depth];
	w->ntodo = l->first;
	w->text_len = l->text;
	w->path_len = l->path;
	if (w->depth == 0)
		return 0;
	int fd = open_known(w, w->fd, "..", l[-1].real);
	if (fd < 0)
		return fd;
	replace_fd(w, fd);
	return 0;
}

int cow_walk_run(struct cow_walk *w, uint32_t root_tag)
{
	struct stat st;
	int fd = open_known(w, w->rootfd, ".", 0);
	if (fd < 0)
		return fd;
	replace_fd(w, fd);
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	int r = visit(w, (struct level){.real = st.st_ino}, root_tag);
	while (r == 0 && w->depth > 0) {
		struct level *l = &w->levels[w->depth - 1];
		r = l->next < w->ntodo ? down(w, &w->todo[l->next++]) : up(w);
	}
	return r;
}
