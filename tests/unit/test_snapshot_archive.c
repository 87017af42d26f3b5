/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Archives byte by byte: cut at each one, with a bit turned in each one. Whatever comes, what is outside of the
 * tree stays as it is, and only the archive itself gives a tree.
 */
#include "cow_test.h"

#include "archive_receive.h"
#include "archive_write.h"
#include "common/kv.h"
#include "image_internal.h"

static struct tmpdir *tmp;
static int src; /* version directory that was archived */
static struct cow_ovl_image *img;
static uint8_t *archive;
static size_t archive_len;

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(cow_write_file_at(dir, name, text, strlen(text), 0644), 0);
}

static int make_source(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	void *dir = NULL;
	(void)state;
	/* Thousands of trees, each synced. */
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0); /* NOLINT(concurrency-mt-unsafe): before threads */
	assert_int_equal(tmpdir_setup(&dir), 0);
	tmp = dir;
	assert_int_equal(mkdirat(tmp->fd, "v", 0755), 0);
	src = openat(tmp->fd, "v", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(src >= 0);
	assert_int_equal(mkdirat(src, "tree", 0755), 0);
	int tree = openat(src, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree >= 0);
	put(tree, "a", "some content, some content");
	put(tree, "b", "some content, some content"); /* the same, another file */
	put(tree, "c", "other content");
	put(tree, "empty", "");
	assert_int_equal(linkat(tree, "c", tree, "hard", 0), 0);
	assert_int_equal(symlinkat("/etc", tree, "link"), 0);
	assert_int_equal(mkdirat(tree, "d", 0750), 0);
	int hole = openat(tree, "hole", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(hole, 70000), 0);
	(void)close(hole);
	(void)close(tree);
	assert_int_equal(cow_ovl_image_build(src, NULL, NULL, &err), 0);
	assert_int_equal(cow_ovl_image_open(src, &img, &err), 0);
	return 0;
}

static int drop_source(void **state)
{
	(void)state;
	cow_ovl_image_close(img);
	free(archive);
	(void)close(src);
	void *dir = tmp;
	return tmpdir_teardown(&dir);
}

/* What image_export.c does, without a store. */
static void make_archive(const char *path, const struct cow_ovl_image *base)
{
	struct cow_arc_plan plan;
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image_info info;
	struct cow_archive_info head = {.name = "deb", .version = 3};
	struct cow_arc_out *out;
	size_t len, first;
	cow_ovl_image_info(img, &info);
	cow_image_id_text(info.id, head.id);
	(void)cow_ovl_image_bytes(img, &len);
	head.manifest_len = len;
	if (base) {
		memcpy(head.base, head.id, sizeof(head.base));
		memcpy(head.base_name, "deb", 4);
		head.base_version = 2;
	}
	cow_autofree char *text = cow_arc_head_format(&head);
	assert_non_null(text);
	assert_int_equal(cow_arc_plan_make(img, base, &plan, &err), 0);
	assert_int_equal(cow_arc_out_open(path, -1, &out, &err), 0);
	assert_int_equal(cow_arc_out_begin(out, text, "id = x\n", &plan, &first, &err), 0);
	const struct cow_arc_write w = {.img = img, .base = base, .plan = &plan, .level = 3};
	assert_int_equal(cow_arc_write_blocks(&w, first, out, &err), 0);
	assert_int_equal(cow_arc_out_finish(out, &err), 0);
	cow_arc_out_close(out, 0);
	cow_arc_plan_done(&plan);
}

static void load_archive(const struct cow_ovl_image *base)
{
	char path[160];
	char *text;
	(void)snprintf(path, sizeof(path), "%s/x.cow", tmp->path);
	make_archive(path, base);
	free(archive);
	assert_int_equal(cow_read_file_at(tmp->fd, "x.cow", 1 << 20, &text, &archive_len), 0);
	archive = (uint8_t *)text;
	assert_int_equal(unlinkat(tmp->fd, "x.cow", 0), 0);
}

/* ---------------------------------------------------------------- receiving */

struct memory {
	const uint8_t *p;
	size_t len;
};

static int read_memory(void *ctx, void *buf, size_t len, size_t *ret_got)
{
	struct memory *m = ctx;
	*ret_got = len < m->len ? len : m->len;
	memcpy(buf, m->p, *ret_got);
	m->p += *ret_got;
	m->len -= *ret_got;
	return 0;
}

static int accept(void *ctx, const struct cow_archive_info *info, struct cow_ovl_image **ret_base,
		  struct cow_err *err)
{
	(void)err;
	(void)ctx;
	*ret_base = *info->base ? cow_ovl_image_get(img) : NULL;
	return 0;
}

/* Return: of cow_arc_receive(); the stage is gone afterwards, and nothing else has changed. */
static int receive(const void *p, size_t len, int64_t *ret_differences)
{
	struct cow_err err = COW_ERR_INIT;
	struct memory m = {.p = p, .len = len};
	assert_int_equal(mkdirat(tmp->fd, "stage", 0700), 0);
	int stage = openat(tmp->fd, "stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(stage, "tree", 0700), 0);
	struct cow_fill fill = {.tree = openat(stage, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	struct cow_arc_receive rx = {
	    .fill = &fill, .stage = stage, .what = "x.cow", .accept = accept};
	int r = cow_arc_receive(&rx, read_memory, &m, &err);
	if (r == 0)
		*ret_differences = cow_ovl_image_verify(stage, NULL, NULL, NULL, NULL, &err);
	else
		assert_true(err.code != COW_OK && *cow_err_str(&err));
	cow_kv_free(rx.conf);
	cow_fill_done(&fill);
	(void)close(fill.tree);
	(void)close(stage);
	assert_int_equal(cow_rm_rf_at(tmp->fd, "stage", 0), 0);
	return r;
}

static void an_archive_gives_the_tree_again(void **state)
{
	int64_t differences = -1;
	(void)state;
	load_archive(NULL);
	assert_int_equal(receive(archive, archive_len, &differences), 0);
	assert_int_equal(differences, 0);
}

static void a_difference_to_itself_has_no_content(void **state)
{
	int64_t differences = -1;
	(void)state;
	load_archive(NULL);
	size_t full = archive_len;
	load_archive(img);
	assert_true(archive_len < full);
	assert_int_equal(receive(archive, archive_len, &differences), 0);
	assert_int_equal(differences, 0);
}

static void cut_at_every_byte_it_is_refused(void **state)
{
	int64_t differences;
	(void)state;
	load_archive(NULL);
	for (size_t len = 0; len < archive_len; len++)
		assert_int_equal(receive(archive, len, &differences), -EBADMSG);
}

static void with_a_bit_turned_in_any_byte_it_is_refused(void **state)
{
	int64_t differences;
	(void)state;
	load_archive(img);
	for (size_t at = 0; at < archive_len; at++) {
		uint8_t bit = (uint8_t)(1u << at % 8);
		archive[at] ^= bit;
		int r = receive(archive, archive_len, &differences);
		assert_true(r == -EBADMSG || r == -EOPNOTSUPP);
		archive[at] ^= bit;
	}
}

/* ---------------------------------------------------------------- archives made by hand */

struct forged {
	uint8_t bytes[1 << 16];
	size_t len;
};

static void forge_record(struct forged *f, enum cow_arc_type type, const struct cow_arc_block *b,
			 const void *prefix, const void *plain)
{
	struct cow_arc_packed p;
	assert_int_equal(cow_arc_pack(type, b, prefix, plain, 1, &p), 0);
	assert_true(f->len + p.len < sizeof(f->bytes));
	memcpy(f->bytes + f->len, p.bytes, p.len);
	f->len += p.len;
	free(p.bytes);
}

static void forge_begin(struct forged *f)
{
	const struct cow_arc_file head = {.magic = COW_ARC_MAGIC, .version = {COW_ARC_VERSION}};
	struct cow_ovl_image_info info;
	struct cow_archive_info about = {.name = "deb", .version = 3};
	size_t len;
	const void *manifest = cow_ovl_image_bytes(img, &len);
	cow_ovl_image_info(img, &info);
	cow_image_id_text(info.id, about.id);
	about.manifest_len = len;
	cow_autofree char *text = cow_arc_head_format(&about);
	assert_non_null(text);
	memcpy(f->bytes, &head, sizeof(head));
	f->len = sizeof(head);
	forge_record(f, COW_ARC_HEAD, &(struct cow_arc_block){.plain_len = (uint32_t)strlen(text)}, NULL,
		     text);
	forge_record(f, COW_ARC_CONF, &(struct cow_arc_block){.plain_len = 7}, NULL, "id = x\n");
	struct cow_arc_slice all = {.length = (uint32_t)len};
	forge_record(f, COW_ARC_DATA,
		     &(struct cow_arc_block){.own = &all, .nown = 1, .plain_len = (uint32_t)len}, NULL,
		     manifest);
}

/* One slice of content after a good beginning. */
static int forged_slice(uint32_t number, uint64_t off, uint32_t len, int times)
{
	static const char text[100] = "some content, some content";
	struct forged *f = calloc(1, sizeof(*f));
	int64_t differences;
	assert_non_null(f);
	forge_begin(f);
	struct cow_arc_slice s = {.number = number, .offset = off, .length = len};
	while (times--)
		forge_record(f, COW_ARC_DATA,
			     &(struct cow_arc_block){.own = &s, .nown = 1, .plain_len = len}, NULL,
			     text);
	int r = receive(f->bytes, f->len, &differences);
	free(f);
	return r;
}

static void content_beside_its_file_is_refused(void **state)
{
	(void)state;
	uint32_t a = cow_ovl_image_number(img, "a"), link = cow_ovl_image_number(img, "link");
	assert_true(a && link);
	assert_int_equal(forged_slice(a, 0, 27, 1), -EBADMSG);	 /* longer than the file */
	assert_int_equal(forged_slice(a, 20, 10, 1), -EBADMSG);	 /* over its end */
	assert_int_equal(forged_slice(a, UINT64_C(1) << 62, 10, 1), -EBADMSG);
	assert_int_equal(forged_slice(a, UINT64_MAX - 4, 10, 1), -EBADMSG);
	assert_int_equal(forged_slice(a, 0, 13, 2), -EBADMSG); /* twice the same */
	assert_int_equal(forged_slice(a, 0, 26, 1), -EBADMSG); /* right, but then it is cut short */
	assert_int_equal(forged_slice(link, 0, 4, 1), -EBADMSG);
	assert_int_equal(forged_slice(COW_OVL_IMAGE_ROOT, 0, 4, 1), -EBADMSG);
	assert_int_equal(forged_slice(UINT32_MAX, 0, 4, 1), -EBADMSG);
	assert_int_equal(forged_slice(COW_ARC_MANIFEST_NUMBER, 0, 4, 1), -EBADMSG);
}

static void a_prefix_without_a_base_is_refused(void **state)
{
	struct forged *f = calloc(1, sizeof(*f));
	int64_t differences;
	(void)state;
	assert_non_null(f);
	forge_begin(f);
	struct cow_arc_slice s = {.number = cow_ovl_image_number(img, "a"), .length = 26};
	forge_record(f, COW_ARC_DATA,
		     &(struct cow_arc_block){.own = &s,
					     .from = &s,
					     .nown = 1,
					     .nfrom = 1,
					     .plain_len = 26,
					     .prefix_len = 26},
		     "some content, some content", "some content, some content");
	assert_int_equal(receive(f->bytes, f->len, &differences), -EBADMSG);
	free(f);
}

/* ---------------------------------------------------------------- what an archive says of itself */

static int parse_head(const char *text, struct cow_archive_info *ret)
{
	return cow_arc_head_parse((const uint8_t *)text, strlen(text), "x.cow", ret, NULL);
}

#define SOME_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OF_CLIENT "kind = client\nname = deb\nversion = 3\nid = " SOME_ID "\nmanifest = 100\n"
#define WITH_BASE "base = " SOME_ID "\nbase_name = deb\nbase_version = 3\n"

static void a_head_says_of_what_it_is(void **state)
{
	struct cow_archive_info got = {.version = 0};
	(void)state;
	struct cow_archive_info of = {
	    .client = "02-00-00-00-00-01",
	    .name = "deb",
	    .version = 3,
	    .id = SOME_ID,
	    .base_name = "deb",
	    .base_version = 3,
	    .base = SOME_ID,
	    .manifest_len = 100,
	};
	cow_autofree char *text = cow_arc_head_format(&of);
	assert_non_null(text);
	assert_int_equal(parse_head(text, &got), 0);
	assert_memory_equal(&got, &of, sizeof(of));
	memset(of.client, 0, sizeof(of.client));
	cow_autofree char *image = cow_arc_head_format(&of);
	assert_non_null(image);
	assert_int_equal(parse_head(image, &got), 0);
	assert_memory_equal(&got, &of, sizeof(of));

	assert_int_equal(parse_head(OF_CLIENT "client = 02:00:00:00:00:01\n" WITH_BASE, &got), 0);
	assert_string_equal(got.client, "02-00-00-00-00-01");
	assert_int_equal(parse_head(OF_CLIENT WITH_BASE, &got), -EBADMSG);
	assert_int_equal(parse_head(OF_CLIENT "client = ../../etc\n" WITH_BASE, &got), -EBADMSG);
	assert_int_equal(parse_head(OF_CLIENT "client = 01:00:00:00:00:01\n" WITH_BASE, &got),
			 -EBADMSG); /* a group's address */
	assert_int_equal(parse_head(OF_CLIENT "client = 02:00:00:00:00:01\n", &got), -EBADMSG);
	assert_int_equal(parse_head("kind = herd\n", &got), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_archive_gives_the_tree_again),
	    cmocka_unit_test(a_difference_to_itself_has_no_content),
	    cmocka_unit_test(cut_at_every_byte_it_is_refused),
	    cmocka_unit_test(with_a_bit_turned_in_any_byte_it_is_refused),
	    cmocka_unit_test(content_beside_its_file_is_refused),
	    cmocka_unit_test(a_prefix_without_a_base_is_refused),
	    cmocka_unit_test(a_head_says_of_what_it_is),
	};
	if (geteuid() != 0) {
		(void)printf("SKIPPED: needs root (owners of files)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_source, drop_source);
}
