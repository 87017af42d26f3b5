/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A's tree, changed through the engine as the NFS server does for A's machine.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "pin.h"
#include "run.h"

/* When it is first needed: it takes as long as all the rest of most inputs. */
static void attach(struct run *r)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autonode root = NULL;

	must(cow_client_attach(lab.store, &lab.mac[A], 0, &r->inst, &err), "attach", &err);
	must(cow_ovl_root(r->inst, &root), "root", NULL);
	must(cow_ovl_lookup(root, "boot", 4, &r->boot, NULL), "boot", NULL);
}

void detach(struct run *r)
{
	cow_ovl_put(r->boot);
	(void)cow_ovl_inst_close(r->inst);
	r->boot = NULL;
	r->inst = NULL;
}

/* The directory that holds @path, without following anything; NULL: there is none. */
static struct cow_ovl_node *parent_of(struct run *r, const char *path, const char **ret_name)
{
	if (!r->inst)
		attach(r);
	struct cow_ovl_node *at = cow_ovl_get(r->boot);

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		struct cow_ovl_node *below = NULL;

		if (cow_ovl_lookup(at, path, (size_t)(slash - path), &below, NULL) < 0 ||
		    cow_ovl_type(below) != S_IFDIR) {
			cow_ovl_put(below);
			cow_ovl_put(at);
			return NULL;
		}
		cow_ovl_put(at);
		at = below;
	}
	*ret_name = path;
	return at;
}

struct cow_ovl_node *find(struct run *r, const char *path, struct cow_ovl_attr *attr)
{
	const char *name;
	struct cow_ovl_node *node = NULL;
	cow_autonode above = parent_of(r, path, &name);

	if (!above || cow_ovl_lookup(above, name, strlen(name), &node, attr) < 0)
		return NULL;
	return node;
}

static void fill(struct cow_ovl_node *node, size_t size, unsigned flags)
{
	static char cells[BIG + 2 * CELL];
	cow_autoopen o = NULL;

	if (!*cells)
		repeat(cells, sizeof(cells), TREE_A);
	if (cow_ovl_open(node, &cow_ovl_root_cred, COW_OPEN_WRITE | flags, &o) < 0)
		return;
	/* A longer file of the image gets other bytes in front, a shorter one is made longer. */
	for (size_t done = 0; done < size;) {
		struct iovec iov = {cells + done % CELL, size - done};
		ssize_t n = cow_ovl_write(o, &iov, 1, done, 0);

		CHECK(n > 0);
		done += (size_t)n;
	}
}

void create(struct run *r, const char *path)
{
	static const mode_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
				       S_IFLNK, S_IFIFO, S_IFCHR, S_IFSOCK};
	static const mode_t modes[] = {0644, 0755, 0600, 0000, 0640, 0004};
	unsigned what = next(r), more = next(r);
	const struct cow_ovl_create how = {
	    .type = types[what % 8],
	    .mode = modes[what / 8 % 6],
	    .rdev = makedev(1, 5),
	    .target = targets[more % (sizeof(targets) / sizeof(targets[0]))]};
	const char *name;
	cow_autonode above = parent_of(r, path, &name);
	cow_autonode node = NULL;

	if (above &&
	    cow_ovl_create(above, name, strlen(name), &cow_ovl_root_cred, &how, &node, NULL) == 0 &&
	    how.type == S_IFREG)
		fill(node, size_of(more), 0);
}

void write_or_cut(struct run *r, const char *path)
{
	unsigned how = next(r);
	const struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = size_of(how / 4)};
	cow_autonode node = find(r, path, NULL);

	if (!node || cow_ovl_type(node) != S_IFREG)
		return;
	if (how % 4 == 0)
		(void)cow_ovl_setattr(node, &cow_ovl_root_cred, &set, NULL);
	else
		fill(node, size_of(how / 4), how % 4 == 1 ? COW_OPEN_TRUNC : 0);
}

void remove_at(struct run *r, const char *path)
{
	const char *name;
	cow_autonode above = parent_of(r, path, &name);

	if (above && cow_ovl_remove(above, name, strlen(name), &cow_ovl_root_cred,
				    COW_REMOVE_FILE) == -EISDIR)
		(void)cow_ovl_remove(above, name, strlen(name), &cow_ovl_root_cred, COW_REMOVE_DIR);
}

/* The image's secrets are some by their name or mode alone. */
static bool is_fixed(const char *path)
{
	return strcmp(path, "user-data") == 0 || strcmp(path, "README") == 0;
}

void move(struct run *r, const char *from)
{
	const char *to = names[next(r) % NAMES], *name1, *name2;
	unsigned flags = next(r) % 3; /* 0, RENAME_NOREPLACE, RENAME_EXCHANGE */
	cow_autonode dir1 = parent_of(r, from, &name1);
	cow_autonode dir2 = parent_of(r, to, &name2);

	if (dir1 && dir2 && !is_fixed(from) && !is_fixed(to))
		(void)cow_ovl_rename(dir1, name1, strlen(name1), dir2, name2, strlen(name2), flags,
				     &cow_ovl_root_cred);
}

void change_mode(struct run *r, const char *path)
{
	const struct cow_ovl_set set = {.mask = COW_SET_MODE, .mode = next(r) % 2 ? 0644 : 0600};
	cow_autonode node = find(r, path, NULL);

	if (node && !is_fixed(path))
		(void)cow_ovl_setattr(node, &cow_ovl_root_cred, &set, NULL);
}

static void note_ticket(void *ctx, struct cow_tftp_client *c)
{
	struct run *r = ctx;

	if (c->pin && c->pin->id > r->old_tickets)
		r->old_tickets = c->pin->id;
}

void new_root(struct run *r)
{
	struct cow_err err = COW_ERR_INIT;

	cow_tftp_clients_each(r->files.clients, note_ticket, r);
	detach(r);
	if (next(r) % 2)
		must(cow_client_reset(lab.store, &lab.mac[A], COW_SWAP_NOW, &err), "reset", &err);
	else
		(void)cow_client_rollback(lab.store, &lab.mac[A], COW_SWAP_NOW,
					  &err); /* there may be none */
}
