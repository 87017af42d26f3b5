/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Order and sizes were measured, tests/bench/archive.sh. Files that are alike stand together: those that
 * the base has otherwise by path, with what they were as the prefix of their block; then the others by kind.
 */
#include "archive_plan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_PLAIN (16u << 20)	 /* of files that are new; also one job of a thread */
#define BLOCK_PATCH (8u << 20)	 /* of files that changed: what they were is nearer then */
#define BLOCK_PREFIX (16u << 20) /* of what they were */
#define BLOCK_SLICES 32768u
#define BASE_WHOLE (4u << 20)	/* a file of the base of at most this size stands whole */
#define BASE_AROUND (2u << 20)	/* of larger ones what is as near as this */

/* A file whose content goes along. */
struct item {
	uint32_t number, was; /* was: the base's file it is like; 0: none */
	char *path;
	const char *kind; /* what its name ends with */
	uint64_t size;
	int sparse;
};

struct planner {
	const struct cow_ovl_image *img, *base;
	struct cow_arc_plan *plan;
	struct item *items;
	size_t n;
	struct cow_arc_block *block; /* being filled; NULL: none */
	uint32_t own_room, from_room;
	uint32_t was; /* the last file of the base in its prefix */
};

void cow_arc_plan_done(struct cow_arc_plan *p)
{
	for (size_t k = 0; k < p->nblocks; k++) {
		free(p->blocks[k].own);
		free(p->blocks[k].from);
	}
	free(p->blocks);
	*p = (struct cow_arc_plan){.blocks = NULL};
}

/* ---------------------------------------------------------------- blocks */

static int new_block(struct planner *p)
{
	struct cow_arc_plan *plan = p->plan;
	if (plan->nblocks == plan->room) {
		size_t room = plan->room ? plan->room * 2 : 64;
		struct cow_arc_block *grown = reallocarray(plan->blocks, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		plan->blocks = grown;
		plan->room = room;
	}
	p->block = &plan->blocks[plan->nblocks++];
	*p->block = (struct cow_arc_block){.own = NULL};
	p->own_room = p->from_room = 0;
	p->was = 0;
	return 0;
}

static int add_slice(struct cow_arc_slice **list, uint32_t *n, uint32_t *room, uint32_t number,
		     uint64_t off, uint32_t len)
{
	if (*n == *room) {
		uint32_t more = *room ? *room * 2 : 32;
		struct cow_arc_slice *grown = reallocarray(*list, more, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		*room = more;
	}
	(*list)[(*n)++] = (struct cow_arc_slice){.number = number, .length = len, .offset = off};
	return 0;
}

/* What of a file of @size bytes in the base helps with @len bytes at @off. */
static void around(uint64_t size, uint64_t off, uint32_t len, uint64_t *ret_off, uint32_t *ret_len)
{
	uint64_t from = off > BASE_AROUND ? off - BASE_AROUND : 0;
	uint64_t to = off + len + BASE_AROUND;
	if (size <= BASE_WHOLE) {
		from = 0;
		to = size;
	}
	to = to < size ? to : size;
	*ret_off = from;
	*ret_len = from < to ? (uint32_t)(to - from) : 0;
}

/* @len bytes of @number, which was @was in the base, of @was_size bytes; cut where a block is full. */
static int add_range(struct planner *p, uint32_t number, uint64_t off, uint64_t len, uint32_t was,
		     uint64_t was_size, int has_was)
{
	uint32_t most = has_was ? BLOCK_PATCH : BLOCK_PLAIN;
	while (len) {
		struct cow_arc_block *b = p->block;
		uint32_t room = b && b->plain_len < most && b->nown < BLOCK_SLICES &&
					b->nfrom < BLOCK_SLICES
				    ? most - b->plain_len
				    : 0;
		uint32_t take = len < room ? (uint32_t)len : room, helps = 0;
		uint64_t helps_off = 0;
		if (has_was && take)
			around(was_size, off, take, &helps_off, &helps);
		int there = helps && p->was == was && was_size <= BASE_WHOLE && b->nfrom;
		if (take == 0 || (helps && !there && b->prefix_len + helps > BLOCK_PREFIX)) {
			int r = new_block(p);
			if (r < 0)
				return r;
			continue; /* an empty block takes any slice */
		}
		int r = add_slice(&b->own, &b->nown, &p->own_room, number, off, take);
		if (r == 0 && helps && !there)
			r = add_slice(&b->from, &b->nfrom, &p->from_room, was, helps_off, helps);
		if (r < 0)
			return r;
		b->plain_len += take;
		b->prefix_len += helps && !there ? helps : 0;
		p->was = was;
		p->plan->bytes += take;
		off += take;
		len -= take;
	}
	return 0;
}

/* ---------------------------------------------------------------- files */

static int add_data(struct planner *p, const struct item *i, uint64_t off, uint64_t end,
		    uint64_t was_size)
{
	return off < end ? add_range(p, i->number, off, end - off, i->was, was_size, i->was != 0)
			 : 0;
}

/* What is no hole. */
static int add_sparse(struct planner *p, const struct item *i, uint64_t was_size)
{
	cow_autoclose int fd = cow_ovl_image_open_data(p->img, i->number);
	if (fd < 0)
		return fd;
	for (off_t off = 0; (uint64_t)off < i->size;) {
		off_t data = lseek(fd, off, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		off_t hole = data < 0 ? data : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		int r = add_data(p, i, (uint64_t)data, (uint64_t)hole, was_size);
		if (r < 0)
			return r;
		off = hole;
	}
	return 0;
}

static int add_item(struct planner *p, const struct item *i)
{
	struct cow_ovl_image_object was = {.attr = {.size = 0}};
	if (i->was)
		(void)cow_ovl_image_object(p->base, i->was, &was); /* it was found there */
	p->plan->files++;
	return i->sparse ? add_sparse(p, i, was.attr.size)
			 : add_data(p, i, 0, i->size, was.attr.size);
}

static const char *kind_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const char *so = strstr(name, ".so");
	if (so && (so[3] == 0 || so[3] == '.'))
		return ".so";
	const char *dot = strrchr(name, '.');
	return dot && dot != name ? dot : "";
}

static int item_order(const void *pa, const void *pb)
{
	const struct item *a = pa, *b = pb;
	if (!a->was != !b->was)
		return a->was ? -1 : 1;
	int order = a->was ? 0 : strcmp(a->kind, b->kind);
	if (order == 0)
		order = strcmp(a->path, b->path);
	return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int make_item(struct planner *p, const struct cow_arc_similar *similar, uint32_t number)
{
	struct cow_ovl_image_object o;
	struct item *i = &p->items[p->n];
	(void)cow_ovl_image_object(p->img, number, &o); /* it was listed */
	*i = (struct item){
	    .number = number,
	    .path = cow_ovl_image_path(p->img, number),
	    .size = o.attr.size,
	    .sparse = o.attr.bytes_used < o.attr.size,
	};
	if (!i->path)
		return -ENOMEM;
	p->n++;
	i->kind = kind_of(i->path);
	if (similar)
		i->was = cow_arc_similar_find(similar, number, i->path, i->size);
	return 0;
}

/* Each content once, and none that the base has. */
static int list_items(struct planner *p, const struct cow_arc_digests *all,
		      const struct cow_arc_digests *known, const struct cow_arc_similar *similar)
{
	const uint8_t *before = NULL;
	p->items = calloc(all->n ? all->n : 1, sizeof(*p->items));
	if (!p->items)
		return -ENOMEM;
	for (size_t k = 0; k < all->n; k++) {
		struct cow_ovl_image_object o;
		(void)cow_ovl_image_object(p->img, all->numbers[k], &o); /* it was listed */
		int again = before && memcmp(before, o.digest, COW_OVM_ID_LEN) == 0;
		before = o.digest;
		if (again || (known && cow_arc_digests_find(known, o.digest) < known->n))
			continue;
		int r = make_item(p, similar, all->numbers[k]);
		if (r < 0)
			return r;
	}
	qsort(p->items, p->n, sizeof(*p->items), item_order);
	return 0;
}

static int plan_files(struct planner *p)
{
	struct cow_arc_digests all = {.numbers = NULL}, known = {.numbers = NULL};
	cow_autoarcsimilar similar = NULL;
	int r = cow_arc_digests_make(p->img, &all);
	if (r == 0 && p->base)
		r = cow_arc_digests_make(p->base, &known);
	if (r == 0 && p->base)
		r = cow_arc_similar_new(p->img, p->base, &similar);
	if (r == 0)
		r = list_items(p, &all, p->base ? &known : NULL, similar);
	p->block = NULL; /* the manifest has blocks of its own */
	for (size_t k = 0; r == 0 && k < p->n; k++) {
		if (k && p->items[k - 1].was && !p->items[k].was)
			p->block = NULL;
		r = add_item(p, &p->items[k]);
	}
	for (size_t k = 0; k < p->n; k++)
		free(p->items[k].path);
	free(p->items);
	cow_arc_digests_done(&all);
	cow_arc_digests_done(&known);
	return r;
}

static int make(const struct cow_ovl_image *img, const struct cow_ovl_image *base, bool files,
		struct cow_arc_plan *ret, struct cow_err *err)
{
	struct planner p = {.img = img, .base = base, .plan = ret};
	struct cow_ovl_image_info info;
	size_t len, base_len = 0;
	*ret = (struct cow_arc_plan){.blocks = NULL};
	cow_ovl_image_info(img, &info);
	(void)cow_ovl_image_bytes(img, &len);
	if (base)
		(void)cow_ovl_image_bytes(base, &base_len);
	if (len > COW_ARC_MANIFEST_MAX || info.bytes > COW_ARC_BYTES_MAX)
		return cow_err_say(err, COW_ERR_REFUSED, -EFBIG,
				   "an archive holds manifests of 1 GiB and files of 16 TiB at most");
	int r = add_range(&p, COW_ARC_MANIFEST_NUMBER, 0, len, COW_ARC_MANIFEST_NUMBER, base_len,
			  base != NULL);
	if (r == 0 && files)
		r = plan_files(&p);
	if (r < 0) {
		cow_arc_plan_done(ret);
		return cow_err_set(err, r, "decide what goes into the archive");
	}
	return 0;
}

int cow_arc_plan_make(const struct cow_ovl_image *img, const struct cow_ovl_image *base,
		      struct cow_arc_plan *ret, struct cow_err *err)
{
	return make(img, base, true, ret, err);
}

int cow_arc_plan_manifest(const struct cow_ovl_image *img, const struct cow_ovl_image *base,
			  struct cow_arc_plan *ret, struct cow_err *err)
{
	return make(img, base, false, ret, err);
}
