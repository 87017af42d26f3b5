/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One script on both sides. In the working directory:
 *
 *	image/tree, image.ovm	the lower tree, kept from script to script of a group
 *	a/, b/			the sides: tree/, or upper/ and work/; new for each script
 *
 * After the last operation the engine is detached and attached, and then the kernel mounts what the
 * engine wrote; both have to show what the other side shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "serve.h"
#include "stage.h"
#include "tolerate.h"
#include "util.h"

const char *const mode_names[MODES] = {
    [MODE_PLAIN] = "plain", [MODE_OVERLAY] = "overlay", [MODE_MOUNT] = "mount",
    [MODE_LINKS] = "links", [MODE_KERNEL] = "kernel",
};

static const char *const side_names[MODES][2] = {
    [MODE_PLAIN] = {"engine   ", "directory"},	[MODE_OVERLAY] = {"engine", "kernel"},
    [MODE_MOUNT] = {"mount ", "kernel"},	[MODE_LINKS] = {"engine   ", "directory"},
    [MODE_KERNEL] = {"kernel   ", "directory"},
};

#define PATH_ROOM 256

struct op_counts *op_counts;

static int make_dir(int at, const char *name)
{
	int fd =
	    mkdirat(at, name, 0755) < 0 ? -1 : openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		trouble("make the directory %s", name);
	return fd;
}

static void remove_dir(int at, const char *path)
{
	const char *name = strrchr(path, '/');
	char parent[PATH_ROOM];
	(void)snprintf(parent, sizeof(parent), "%.*s", name ? (int)(name - path) : 1,
		       name ? path : ".");
	cow_autoclose int dir = openat(at, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : cow_rm_rf_at(dir, name ? name + 1 : path, 0);
	if (r < 0) {
		errno = -r;
		trouble("remove the directory %s", path);
	}
}

/* ---------------------------------------------------------------- the lower tree */

void ground_init(struct ground *g, const struct stage *stage, const char *name)
{
	*g = (struct ground){.stage = stage, .fd = -1};
	(void)snprintf(g->name, sizeof(g->name), "%s", name);
}

static int stage_open(const struct stage *stage)
{
	int fd = open(stage->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		trouble("open %s", stage->path);
	return fd;
}

void ground_done(struct ground *g)
{
	engine_image_close(cow_steal_ptr(&g->img));
	if (g->fd >= 0)
		(void)close(g->fd);
	g->fd = -1;
	ops_free(&g->lower);
	cow_autoclose int at = stage_open(g->stage);
	remove_dir(at, g->name);
}

static void mount_point(const struct stage *stage, const char *name, char ret[PATH_ROOM])
{
	(void)snprintf(ret, PATH_ROOM, "%s/%s/mount", stage->path, name);
}

void ground_reap(const struct stage *stage, const char *name)
{
	char point[PATH_ROOM];
	mount_point(stage, name, point);
	if (stage->mode == MODE_MOUNT)
		serve_reap(point);
}

static bool has_image(enum mode mode)
{
	return mode != MODE_KERNEL && mode != MODE_PLAIN;
}

/* The engine's own interface is at hand: its handles, and what it thinks of itself. */
static bool has_engine(enum mode mode)
{
	return mode != MODE_KERNEL && mode != MODE_MOUNT;
}

static bool beside_overlay(enum mode mode)
{
	return mode == MODE_OVERLAY || mode == MODE_MOUNT;
}

static void ground_make(struct ground *g, const struct ops *lower)
{
	if (g->fd >= 0 && g->lower.n == lower->n &&
	    (lower->n == 0 || memcmp(g->lower.v, lower->v, lower->n * sizeof(*lower->v)) == 0))
		return;
	ground_done(g);
	cow_autoclose int at = stage_open(g->stage);
	g->fd = make_dir(at, g->name);
	for (size_t k = 0; k < lower->n; k++)
		ops_add(&g->lower, &lower->v[k]);
	if (g->stage->mode == MODE_PLAIN)
		return;
	cow_autoclose int image = make_dir(g->fd, "image");
	cow_autoclose int tree = make_dir(image, "tree");
	kernel_apply_all(tree, lower->v, lower->n);
	if (has_image(g->stage->mode))
		g->img = engine_image(image);
}

/* ---------------------------------------------------------------- sides */

/* The kernel takes the root's attributes from the upper directory. */
static void copy_root(int from, int to)
{
	static char names[COW_XATTR_LIST_MAX], value[COW_XATTR_SIZE_MAX];
	struct stat st;
	if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
	    fchmod(to, st.st_mode & 07777) < 0)
		trouble("attributes of the root");
	ssize_t len = flistxattr(from, names, sizeof(names));
	for (char *p = names; len > 0 && p < names + len; p += strlen(p) + 1) {
		ssize_t n = fgetxattr(from, p, value, sizeof(value));
		if (n < 0 || fsetxattr(to, p, value, (size_t)n, 0) < 0)
			trouble("attribute %s of the root", p);
	}
}

static int overlay_of(const struct ground *g, const char *side)
{
	char lower[PATH_ROOM], upper[PATH_ROOM], work[PATH_ROOM];
	(void)snprintf(lower, sizeof(lower), "%s/%s/image/tree", g->stage->path, g->name);
	(void)snprintf(upper, sizeof(upper), "%s/%s/%s/upper", g->stage->path, g->name, side);
	(void)snprintf(work, sizeof(work), "%s/%s/%s/work", g->stage->path, g->name, side);
	return mount_overlay(lower, upper, work);
}

static struct side *overlay_side(const struct ground *g, int dir, const char *name)
{
	cow_autoclose int upper = make_dir(dir, "upper");
	(void)close(make_dir(dir, "work"));
	cow_autoclose int lower = openat(g->fd, "image/tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lower < 0)
		trouble("open the lower tree");
	copy_root(lower, upper);
	int fd = overlay_of(g, name);
	if (fd < 0) {
		errno = -fd;
		trouble("mount the kernel's overlay");
	}
	return kernel_side_new(fd);
}

static struct side *directory_side(const struct ops *lower, int dir)
{
	int tree = make_dir(dir, "tree");
	kernel_apply_all(tree, lower->v, lower->n);
	return kernel_side_new(tree);
}

static struct side *mounted_side(const struct ground *g, const struct engine_options *how)
{
	static char point[PATH_ROOM];
	mount_point(g->stage, g->name, point);
	if (mkdirat(g->fd, "mount", 0755) < 0 && errno != EEXIST)
		trouble("make the mount point");
	return mount_side_new(how, point);
}

static struct side *engine_side(const struct ground *g, const struct script *s, int dir)
{
	const struct engine_options how = {.dirfd = dir,
					   .img = g->img,
					   .keep = s->keep,
					   .durability = s->durability,
					   .writeback = g->stage->writeback};
	if (g->stage->mode == MODE_MOUNT)
		return mounted_side(g, &how);
	if (g->stage->mode == MODE_PLAIN) {
		cow_autoclose int tree = make_dir(dir, "tree");
		kernel_apply_all(tree, s->lower.v, s->lower.n);
	}
	return engine_side_new(&how);
}

/* ---------------------------------------------------------------- comparing */

struct run {
	struct ground *g;
	const struct script *s;
	struct side *a, *b;
	FILE *out;
	unsigned what; /* ATTR_* */
};

static bool complained(struct run *r)
{
	const char *text = has_engine(r->g->stage->mode) ? engine_complaint(r->a) : NULL;
	if (text)
		(void)fprintf(r->out, "the engine contradicts itself:\n%s", text);
	return text;
}

static bool trees_differ(struct run *r, const struct tree *ta, const struct tree *tb,
			 const char *name_a, const char *when)
{
	cow_autofree char *text = NULL;
	size_t len;
	FILE *f = must(open_memstream(&text, &len));
	const struct compare how = {name_a, side_names[r->g->stage->mode][1], r->what, f};
	unsigned n = tree_compare(ta, tb, &how);
	if (fclose(f) != 0)
		must(NULL);
	if (n)
		(void)fprintf(r->out, "%u differences of the trees %s:\n%s", n, when, text);
	return n > 0;
}

/* A side as it is now, and what the other one shows. */
static bool side_differs(struct run *r, struct side *a, const struct tree *tb, const char *name_a,
			 const char *when)
{
	struct tree ta;
	a->ops->snapshot(a, &ta);
	bool differ = trees_differ(r, &ta, tb, name_a, when) || complained(r);
	tree_free(&ta);
	return differ;
}

/* Both as they are now. */
static bool compare_now(struct run *r, const char *when)
{
	struct tree tb;
	r->b->ops->snapshot(r->b, &tb);
	bool differ = side_differs(r, r->a, &tb, side_names[r->g->stage->mode][0], when);
	tree_free(&tb);
	return differ;
}

static void print_result(FILE *out, const char *name, const struct result *res)
{
	(void)fprintf(out, "  %s: %s", name, errname(res->err));
	for (size_t k = 0; k < res->len && k < 300; k++) {
		if (k == 0)
			(void)fputs(", ", out);
		if (res->data[k] >= ' ' && res->data[k] < 127)
			(void)fputc(res->data[k], out);
		else
			(void)fprintf(out, "\\%02x", res->data[k]);
	}
	(void)fprintf(out, " (%zu bytes)\n", res->len);
}

static bool has_overlay(enum mode mode)
{
	return beside_overlay(mode) || mode == MODE_KERNEL;
}

/* What has moved gets a time of its own, on both sides. */
static void set_moved_times(struct run *r, const struct op *rename)
{
	static struct result ignored;
	for (unsigned k = 0; k < 1 + (rename->flags == RENAME_XCHG); k++) {
		struct op op = {.kind = OP_UTIMENS, .flags = TIMES_M, .time = 1 + k};
		(void)snprintf(op.path, sizeof(op.path), "%s", k ? rename->path : rename->path2);
		r->a->ops->apply(r->a, &op, &ignored);
		r->b->ops->apply(r->b, &op, &ignored);
	}
}

static enum outcome run_op(struct run *r, const struct op *op)
{
	static struct result ra, rb;
	enum mode mode = r->g->stage->mode;
	r->a->ops->apply(r->a, op, &ra);
	r->b->ops->apply(r->b, op, &rb);
	if (op_counts)
		op_counts->n[op->kind][ra.err != 0]++;
	enum verdict v = tolerate(mode, op, ra.err, rb.err);
	if (v == VERDICT_END)
		return OUT_ENDED;
	if (v == VERDICT_DIFFERENT || ra.len != rb.len || memcmp(ra.data, rb.data, ra.len) != 0) {
		(void)fputs("other answers to: ", r->out);
		op_print(r->out, op);
		print_result(r->out, side_names[mode][0], &ra);
		print_result(r->out, side_names[mode][1], &rb);
		(void)complained(r);
		return OUT_DIFFERENT;
	}
	/* A rename refused late has changed the time of the directory it was to leave. */
	if ((ra.err == -ENOTEMPTY || ra.err == -EEXIST) && op->kind == OP_RENAME &&
	    has_overlay(mode))
		r->what |= ATTR_VAGUE_DIRS;
	if (ra.err == 0 && op->kind == OP_RENAME && mode != MODE_PLAIN && exchange_touches)
		set_moved_times(r, op);
	if (!complained(r))
		return OUT_SAME;
	(void)fputs("after: ", r->out);
	op_print(r->out, op);
	return OUT_DIFFERENT;
}

static enum outcome run_ops(struct run *r, unsigned *at)
{
	char when[40];
	for (*at = 0; *at < r->s->ops.n; (*at)++) {
		enum outcome o = run_op(r, &r->s->ops.v[*at]);
		if (o != OUT_SAME)
			return o;
		(void)snprintf(when, sizeof(when), "after operation %u", *at + 1);
		if ((*at + 1) % r->s->batch == 0 && compare_now(r, when))
			return OUT_DIFFERENT;
	}
	return OUT_SAME;
}

/* ---------------------------------------------------------------- after the last operation */

/* Handles and ids of @seen, asked for now. */
static bool handles_fail(struct run *r, const struct tree *seen, const char *when)
{
	engine_check_handles(r->a, seen);
	if (!complained(r))
		return false;
	(void)fprintf(r->out, "handles, %s\n", when);
	return true;
}

/* Side a's layers in a new mount of the kernel. */
static bool kernel_differs(struct run *r, const struct tree *tb)
{
	int fd = overlay_of(r->g, "a");
	if (fd < 0) {
		(void)fprintf(r->out, "the kernel does not mount the layers: %s\n", errname(fd));
		return true;
	}
	struct side *k = kernel_side_new(fd);
	bool differ =
	    side_differs(r, k, tb, "kernel over the layers", "when the kernel mounts the layers");
	k->ops->free(k);
	return differ;
}

static bool engine_ends_differ(struct run *r, const struct tree *ta, const struct tree *tb, int dir)
{
	const struct stage *st = r->g->stage;
	const char *name = side_names[st->mode][0];
	if (handles_fail(r, ta, "at the end"))
		return true;
	engine_restart(r->a);
	if (complained(r) || handles_fail(r, ta, "after a restart") ||
	    side_differs(r, r->a, tb, name, "after a restart"))
		return true;
	engine_detach(r->a);
	if (complained(r))
		return true;
	if (st->mode != MODE_OVERLAY)
		return false;
	if (kernel_differs(r, tb))
		return true;
	if (!st->adopt)
		return false;
	remove_dir(dir, "work/work/incompat"); /* the mark of a volatile mount */
	engine_attach(r->a);
	return side_differs(r, r->a, tb, name, "after the kernel had the layers mounted");
}

/* Mounted anew, then the layers by the kernel. */
static bool mount_ends_differ(struct run *r, const struct tree *tb)
{
	mount_detach(r->a);
	mount_attach(r->a);
	if (side_differs(r, r->a, tb, side_names[MODE_MOUNT][0], "when mounted again"))
		return true;
	mount_detach(r->a);
	return kernel_differs(r, tb);
}

static bool ends_differ(struct run *r, int dir_a)
{
	enum mode mode = r->g->stage->mode;
	struct tree ta, tb;
	r->a->ops->close_slots(r->a);
	r->b->ops->close_slots(r->b);
	r->a->ops->snapshot(r->a, &ta);
	r->b->ops->snapshot(r->b, &tb);
	bool differ = trees_differ(r, &ta, &tb, side_names[mode][0], "at the end") || complained(r);
	if (!differ && has_engine(mode))
		differ = engine_ends_differ(r, &ta, &tb, dir_a);
	if (!differ && mode == MODE_MOUNT)
		differ = mount_ends_differ(r, &tb);
	if (!differ && mode == MODE_KERNEL) {
		r->a->ops->free(cow_steal_ptr(&r->a)); /* unmounts */
		remove_dir(dir_a, "work/work/incompat");
		differ = kernel_differs(r, &tb);
	}
	tree_free(&ta);
	tree_free(&tb);
	return differ;
}

enum outcome run_script(struct ground *g, const struct script *s, FILE *out, unsigned *at)
{
	enum mode mode = g->stage->mode;
	ground_make(g, &s->lower);
	cow_autoclose int a = make_dir(g->fd, "a");
	cow_autoclose int b = make_dir(g->fd, "b");
	struct run r = {.g = g, .s = s, .out = out, .what = ATTR_NLINK | ATTR_TIMES};
	if (mode == MODE_PLAIN)
		r.what |= ATTR_ATIME;
	if (mode != MODE_KERNEL)
		r.what |= ATTR_USED;
	r.a = mode == MODE_KERNEL ? overlay_side(g, a, "a") : engine_side(g, s, a);
	enum outcome o = r.a ? OUT_SAME : OUT_UNABLE;
	if (r.a) {
		r.b = beside_overlay(mode) ? overlay_side(g, b, "b") : directory_side(&s->lower, b);
		o = run_ops(&r, at);
		if (o == OUT_SAME && ends_differ(&r, a))
			o = OUT_DIFFERENT;
		if (r.a)
			r.a->ops->free(r.a);
		r.b->ops->free(r.b);
	}
	remove_dir(g->fd, "a");
	remove_dir(g->fd, "b");
	return o;
}
