/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Manifests that are not what the format says: each is refused with -EBADMSG, whether its checksums
 * betray it or not (I7). The promises are those of ovm_format.h, one case each.
 */
#include "ovm_test.h"

#include "ovm_seal.h"

/* A small image in memory, to be damaged. */
struct victim {
	uint8_t *bytes;
	size_t len;
	struct cow_ovm_header *head;
	struct cow_ovm_inode *inodes;
	struct cow_ovm_dirent *dirents;
	struct cow_ovm_xset *xsets;
	struct cow_ovm_xattr *xattrs;
	struct cow_ovm_hlink *hlinks;
	char *strings;
	uint32_t file, twin, dir, sub, link, fifo; /* numbers */
};

static void *section(const struct victim *v, enum cow_ovm_section which)
{
	return v->bytes + cow_get_le64(v->head->section[which].offset);
}

static void make_tree(int tree)
{
	ok(mkdirat(tree, "dir", 0755));
	ok(mkdirat(tree, "dir/sub", 0755));
	put_file(tree, "dir/sub/leaf", "leaf");
	put_file(tree, "file", "file");
	put_file(tree, "twin", "twin");
	ok(linkat(tree, "twin", tree, "dir/twin", 0));
	ok(symlinkat("some/target", tree, "link"));
	ok(mkfifoat(tree, "fifo", 0600));
	cow_autoclose int fd = openat(tree, "file", O_RDONLY | O_CLOEXEC);
	ok(fsetxattr(fd, "user.a-name-of-some-length", "value", 5, 0));
	ok(fsetxattr(fd, "user.b-name-of-some-length", "other", 5, 0));
}

static void victim_init(struct ovm *f, struct victim *v)
{
	const struct cow_ovl_image *img = f->img ? f->img : ovm_image(f);
	*v = (struct victim){.bytes = slurp(f->dirfd, &v->len)};
	v->len = img->len;
	v->head = (struct cow_ovm_header *)v->bytes;
	v->inodes = section(v, COW_OVM_INODES);
	v->dirents = section(v, COW_OVM_DIRENTS);
	v->xsets = section(v, COW_OVM_XSETS);
	v->xattrs = section(v, COW_OVM_XATTRS);
	v->hlinks = section(v, COW_OVM_HLINKS);
	v->strings = section(v, COW_OVM_STRINGS);
	v->file = at(img, "file");
	v->twin = at(img, "twin");
	v->dir = at(img, "dir");
	v->sub = at(img, "dir/sub");
	v->link = at(img, "link");
	v->fifo = at(img, "fifo");
}

static struct cow_ovm_dirent *name_of(const struct victim *v, uint32_t ino)
{
	return &v->dirents[cow_get_le32(v->inodes[ino].dirent)];
}

static char *string_of(const struct victim *v, uint32_t ino)
{
	return v->strings + cow_get_le32(name_of(v, ino)->name);
}

static void add32(uint8_t p[4], uint32_t n)
{
	cow_put_le32(p, cow_get_le32(p) + n);
}

static void add64(uint8_t p[8], uint64_t n)
{
	cow_put_le64(p, cow_get_le64(p) + n);
}

#define LAST_STRING (cow_get_le64(v->head->section[COW_OVM_STRINGS].length))

/* Each case: a word for what is wrong, and how it becomes so. */
#define CASES(X)                                                                                   \
	X(root_is_no_directory, cow_put_le32(v->inodes[1].mode, S_IFREG | 0644))                   \
	X(root_is_missing, memset(&v->inodes[1], 0, sizeof(*v->inodes)))                           \
	X(root_has_a_name, cow_put_le32(v->inodes[1].dirent, 1))                                   \
	X(number_0_in_use, v->inodes[0] = v->inodes[v->fifo])                                      \
	X(unknown_type, cow_put_le32(v->inodes[v->fifo].mode, S_IFMT | 0600))                      \
	X(mode_out_of_range, cow_put_le32(v->inodes[v->fifo].mode, 0x10000 | S_IFIFO | 0600))      \
	X(object_is_missing, memset(&v->inodes[v->fifo], 0, sizeof(*v->inodes)))                   \
	X(unused_record_not_zeros, cow_put_le32(v->inodes[v->fifo].mode, 0))                       \
	X(file_without_links, cow_put_le32(v->inodes[v->file].nlink, 0))                           \
	X(file_with_too_many_links, cow_put_le32(v->inodes[v->file].nlink, 2))                     \
	X(file_with_very_many_links, cow_put_le32(v->inodes[v->twin].nlink, UINT32_MAX))           \
	X(twin_with_one_link, cow_put_le32(v->inodes[v->twin].nlink, 1))                           \
	X(directory_with_too_few_links, cow_put_le32(v->inodes[v->dir].nlink, 2))                  \
	X(directory_in_hlinks, cow_put_le32(v->inodes[v->dir].hlink, 1))                           \
	X(huge_file, cow_put_le64(v->inodes[v->file].size, UINT64_MAX))                            \
	X(size_not_in_the_sum, add64(v->inodes[v->file].size, 1))                                  \
	X(huge_blocks, cow_put_le64(v->inodes[v->file].blocks, INT64_MAX))                         \
	X(nanoseconds, cow_put_le32(v->inodes[v->file].mtime_ns, 1000000000))                      \
	X(owner_minus_one, cow_put_le32(v->inodes[v->file].uid, UINT32_MAX))                       \
	X(no_such_xset, cow_put_le32(v->inodes[v->file].xset, 2))                                  \
	X(inode_reserved, v->inodes[v->file].zeros[7] = 1)                                         \
	X(fifo_with_data, cow_put_le32(v->inodes[v->fifo].a, 1))                                   \
	X(whiteout, (cow_put_le32(v->inodes[v->fifo].mode, S_IFCHR | 0600),                        \
		     name_of(v, v->fifo)->type = S_IFCHR >> 12))                                   \
	X(no_such_dirent, cow_put_le32(v->inodes[v->file].dirent, UINT32_MAX))                     \
	X(name_of_another,                                                                         \
	  cow_put_le32(v->inodes[v->file].dirent, cow_get_le32(v->inodes[v->fifo].dirent)))        \
	X(children_out_of_range, cow_put_le32(v->inodes[v->sub].a, UINT32_MAX))                    \
	X(too_many_children, cow_put_le32(v->inodes[v->sub].b, UINT32_MAX))                        \
	X(one_child_more, add32(v->inodes[v->dir].b, 1))                                           \
	X(one_child_less, add32(v->inodes[COW_MAN_ROOT].b, UINT32_MAX))                            \
	X(no_child_but_a_range, cow_put_le32(v->inodes[v->sub].b, 0))                              \
	X(no_child, (cow_put_le32(v->inodes[v->sub].a, 0), cow_put_le32(v->inodes[v->sub].b, 0)))  \
	X(directory_in_itself, (v->dirents[0] = *name_of(v, v->sub),                               \
				memcpy(v->inodes[v->sub].a, v->inodes[v->sub].dirent, 4),          \
				cow_put_le32(name_of(v, v->sub)->dir, v->sub)))                    \
	X(children_of_another, memcpy(v->inodes[v->sub].a, v->inodes[v->dir].a, 8))                \
	X(empty_target,                                                                            \
	  (cow_put_le32(v->inodes[v->link].b, 0), cow_put_le64(v->inodes[v->link].size, 0)))       \
	X(target_not_of_size, cow_put_le64(v->inodes[v->link].size, 5))                            \
	X(short_target,                                                                            \
	  (cow_put_le32(v->inodes[v->link].b, 5), cow_put_le64(v->inodes[v->link].size, 5)))       \
	X(long_target,                                                                             \
	  (cow_put_le32(v->inodes[v->link].b, 4096), cow_put_le64(v->inodes[v->link].size, 4096))) \
	X(target_with_nul, v->strings[cow_get_le32(v->inodes[v->link].a) + 2] = '\0')              \
	X(target_out_of_range, cow_put_le32(v->inodes[v->link].a, UINT32_MAX))                     \
	X(digest_of_another, add32(v->inodes[v->file].a, 1))                                       \
	X(digest_with_length, cow_put_le32(v->inodes[v->file].b, 1))                               \
	X(name_out_of_range, cow_put_le32(name_of(v, v->file)->name, UINT32_MAX))                  \
	X(name_at_the_end, cow_put_le32(name_of(v, v->file)->name, (uint32_t)LAST_STRING - 2))     \
	X(name_not_terminated, v->strings[LAST_STRING - 1] = 'x')                                  \
	X(empty_name, name_of(v, v->file)->name_len = 0)                                           \
	X(short_name, name_of(v, v->file)->name_len = 3)                                           \
	X(name_with_nul, string_of(v, v->file)[1] = '\0')                                          \
	X(name_with_slash, string_of(v, v->file)[1] = '/')                                         \
	X(another_name, string_of(v, v->file)[1] = 'x') /* its hash no longer fits */              \
	X(dot, (name_of(v, v->file)->name_len = 1, memcpy(string_of(v, v->file), ".", 2)))         \
	X(dot_dot, (name_of(v, v->file)->name_len = 2, memcpy(string_of(v, v->file), "..", 3)))    \
	X(number_too_high, cow_put_le32(name_of(v, v->file)->ino, UINT32_MAX))                     \
	X(number_of_another, cow_put_le32(name_of(v, v->file)->ino, v->fifo))                      \
	X(number_of_the_root, cow_put_le32(name_of(v, v->file)->ino, COW_MAN_ROOT))                \
	X(number_of_a_directory, cow_put_le32(name_of(v, v->file)->ino, v->dir))                   \
	X(number_of_nothing, cow_put_le32(name_of(v, v->file)->ino, 0))                            \
	X(name_in_another_directory, cow_put_le32(name_of(v, v->file)->dir, v->dir))               \
	X(name_in_a_file, cow_put_le32(name_of(v, v->file)->dir, v->file))                         \
	X(name_in_no_directory, cow_put_le32(name_of(v, v->file)->dir, UINT32_MAX))                \
	X(other_type, name_of(v, v->file)->type = S_IFIFO >> 12)                                   \
	X(dirent_reserved, name_of(v, v->file)->zeros[1] = 1)                                      \
	X(cookie_too_high, add64(v->dirents[0].cookie, 1))                                         \
	X(cookie_too_low, add64(v->dirents[1].cookie, UINT64_MAX))                                 \
	X(cookie_negative, v->dirents[4].cookie[7] |= 0x80)                                        \
	X(cookie_0, cow_put_le64(v->dirents[0].cookie, 0))                                         \
	X(cookies_equal, memcpy(v->dirents[1].cookie, v->dirents[0].cookie, 8))                    \
	X(names_swapped, memcpy(&v->dirents[0], &v->dirents[1], sizeof(*v->dirents)))              \
	X(name_twice,                                                                              \
	  (v->dirents[1].name_len = v->dirents[0].name_len,                                        \
	   memcpy(v->dirents[1].name, v->dirents[0].name, 4),                                      \
	   memcpy(v->dirents[1].cookie, v->dirents[0].cookie, 8), add64(v->dirents[1].cookie, 1))) \
	X(no_such_hlink, cow_put_le32(v->inodes[v->twin].hlink, 7))                                \
	X(hlink_of_a_single_name, cow_put_le32(v->inodes[v->file].hlink, 1))                       \
	X(hlink_out_of_range, cow_put_le32(v->hlinks[1].dirent, UINT32_MAX))                       \
	X(hlink_twice, v->hlinks[1] = v->hlinks[0])                                                \
	X(hlink_of_another, memcpy(v->hlinks[1].dirent, v->inodes[v->file].dirent, 4))             \
	X(other_first_name, memcpy(v->inodes[v->twin].dirent, v->hlinks[1].dirent, 4))             \
	X(empty_xset, cow_put_le32(v->xsets[0].count, 0))                                          \
	X(big_xset, cow_put_le32(v->xsets[0].count, UINT32_MAX))                                   \
	X(xset_elsewhere, cow_put_le32(v->xsets[0].first, 1))                                      \
	X(xattr_in_no_set, cow_put_le32(v->xsets[0].count, 1))                                     \
	X(xattr_without_name, cow_put_le32(v->xattrs[0].name_len, 0))                              \
	X(xattr_with_long_name, cow_put_le32(v->xattrs[0].name_len, 256))                          \
	X(xattr_name_out_of_range, cow_put_le32(v->xattrs[0].name, UINT32_MAX))                    \
	X(xattr_reserved,                                                                          \
	  memcpy(v->strings + cow_get_le32(v->xattrs[0].name), "trusted.overlay.", 16))            \
	X(xattr_twice, v->xattrs[1] = v->xattrs[0])                                                \
	X(xattr_value_out_of_range, cow_put_le32(v->xattrs[0].value, UINT32_MAX))                  \
	X(xattr_value_too_long, cow_put_le32(v->xattrs[0].value_len, 65537))                       \
	X(xattr_value_past_the_end, cow_put_le32(v->xattrs[1].value_len, 6))                       \
	X(count_of_objects, add64(v->head->inodes, 1))                                             \
	X(sum_of_sizes, add64(v->head->bytes, 1))                                                  \
	X(fewer_numbers, add32(v->head->next_number, UINT32_MAX))                                  \
	X(more_numbers, add32(v->head->next_number, 1))                                            \
	X(very_many_numbers, cow_put_le32(v->head->next_number, UINT32_MAX))                       \
	X(no_numbers, cow_put_le32(v->head->next_number, 1))                                       \
	X(header_reserved, v->head->zeros1[3] = 1)                                                 \
	X(header_reserved_2, v->head->zeros2[3] = 1)                                               \
	X(magic, v->head->magic[0] = 'c')                                                          \
	X(section_elsewhere, add64(v->head->section[COW_OVM_XSETS].offset, 8))                     \
	X(section_far_away, cow_put_le64(v->head->section[COW_OVM_XSETS].offset, UINT64_MAX))      \
	X(section_too_long, cow_put_le64(v->head->section[COW_OVM_VALUES].length, UINT64_MAX))     \
	X(section_too_short, add64(v->head->section[COW_OVM_VALUES].length, UINT64_MAX))           \
	X(part_of_a_record, (add64(v->head->section[COW_OVM_HLINKS].length, 1),                    \
			     add64(v->head->section[COW_OVM_STRINGS].offset, 1),                   \
			     add64(v->head->section[COW_OVM_STRINGS].length, UINT64_MAX)))

#define DEFINE(name, how)                                                                          \
	static void damage_##name(struct victim *v)                                                \
	{                                                                                          \
		how;                                                                               \
	}
CASES(DEFINE)

#define LIST(name, how) {#name, damage_##name},
static const struct {
	const char *name;
	void (*apply)(struct victim *v);
} cases[] = {CASES(LIST)};

static void each_broken_promise_is_refused(void **state)
{
	struct ovm *f = *state;
	make_tree(f->tree);
	for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
		struct victim v;
		victim_init(f, &v);
		ok(load(v.bytes, v.len));
		cases[k].apply(&v);
		ovm_seal(v.bytes, v.len);
		int r = load(v.bytes, v.len);
		if (r != -EBADMSG)
			print_error("%s: %d\n", cases[k].name, r);
		assert_int_equal(r, -EBADMSG);
		free(v.bytes);
	}
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct ovm *f = *state;
	struct victim v;
	make_tree(f->tree);
	victim_init(f, &v);
	for (size_t k = 0; k < v.len; k++) {
		uint8_t was = v.bytes[k];
		for (int bit = 0; bit < 8; bit++) {
			v.bytes[k] = (uint8_t)(was ^ 1u << bit);
			assert_int_equal(load(v.bytes, v.len), -EBADMSG);
		}
		v.bytes[k] = was;
	}
	ok(load(v.bytes, v.len));
	free(v.bytes);
}

static void every_length_but_the_right_one_is_refused(void **state)
{
	struct ovm *f = *state;
	struct victim v;
	make_tree(f->tree);
	victim_init(f, &v);
	for (size_t len = 0; len < v.len; len++)
		assert_int_equal(load(v.bytes, len), -EBADMSG);
	uint8_t *longer = realloc(v.bytes, v.len + 1);
	assert_non_null(longer);
	longer[v.len] = 0;
	ok(load(longer, v.len));
	assert_int_equal(load(longer, v.len + 1), -EBADMSG);
	free(longer);
}

/* The same through a file, where the header is looked at before memory is spent. */
static void a_file_of_another_length_is_refused(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image *img = NULL;
	struct cow_err err = COW_ERR_INIT;
	struct victim v;
	make_tree(f->tree);
	victim_init(f, &v);
	cow_ovl_image_close(f->img);
	f->img = NULL;
	ok(fchmodat(f->dirfd, COW_OVM_NAME, 0600, 0));
	static const off_t lengths[] = {0, 1, 319, 320, 321, 1000, (off_t)3 << 30, (off_t)1 << 40};
	for (size_t k = 0; k < sizeof(lengths) / sizeof(*lengths); k++) {
		cow_autoclose int fd = openat(f->dirfd, COW_OVM_NAME, O_RDWR | O_CLOEXEC);
		ok(cow_pwrite_full(fd, v.bytes, v.len, 0));
		ok(ftruncate(fd, lengths[k]));
		assert_int_equal(cow_ovl_image_open(f->dirfd, &img, &err), -EBADMSG);
		assert_non_null(strstr(cow_err_str(&err), "damaged"));
	}
	free(v.bytes);
}

static int load_as(struct victim *v, uint32_t version, uint32_t flags)
{
	cow_put_le32(v->head->version, version);
	cow_put_le32(v->head->flags, flags);
	ovm_seal(v->bytes, v->len);
	return load(v->bytes, v->len);
}

static void what_a_newer_version_made_is_refused_as_such(void **state)
{
	struct ovm *f = *state;
	struct victim v;
	make_tree(f->tree);
	victim_init(f, &v);
	assert_int_equal(load_as(&v, 2, 0), -EOPNOTSUPP);
	assert_int_equal(load_as(&v, 0, 0), -EOPNOTSUPP);
	assert_int_equal(load_as(&v, 1, 1), -EOPNOTSUPP);
	assert_int_equal(load_as(&v, 1, 1 << 15), -EOPNOTSUPP);
	ok(load_as(&v, 1, 1 << 16));
	ok(load_as(&v, 1, 0));
	free(v.bytes);
}

static void peek_checks_the_header_alone(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image_info info;
	struct cow_err err = COW_ERR_INIT;
	assert_int_equal(cow_ovl_image_peek(f->dirfd, &info, &err), -ENOENT);
	make_tree(f->tree);
	(void)ovm_image(f);
	ok(fchmodat(f->dirfd, COW_OVM_NAME, 0600, 0));
	cow_autoclose int fd = openat(f->dirfd, COW_OVM_NAME, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "damage", 6, 500), 6);
	ok(cow_ovl_image_peek(f->dirfd, &info, &err));
	assert_int_equal(info.next_number, f->img->info.next_number);
	assert_int_equal(pwrite(fd, "damage", 6, 100), 6);
	assert_int_equal(cow_ovl_image_peek(f->dirfd, &info, &err), -EBADMSG);
	ok(ftruncate(fd, 100));
	assert_int_equal(cow_ovl_image_peek(f->dirfd, &info, &err), -EBADMSG);
	ok(unlinkat(f->dirfd, COW_OVM_NAME, 0));
	ok(mkfifoat(f->dirfd, COW_OVM_NAME, 0600));
	assert_int_equal(cow_ovl_image_peek(f->dirfd, &info, &err), -EBADMSG);
	ok(unlinkat(f->dirfd, COW_OVM_NAME, 0));
	ok(symlinkat("elsewhere", f->dirfd, COW_OVM_NAME));
	assert_int_equal(cow_ovl_image_peek(f->dirfd, &info, &err), -ELOOP);
}

#define T(name) cmocka_unit_test_setup_teardown(name, ovm_setup, ovm_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(each_broken_promise_is_refused),
	    T(every_flipped_bit_is_noticed),
	    T(every_length_but_the_right_one_is_refused),
	    T(a_file_of_another_length_is_refused),
	    T(what_a_newer_version_made_is_refused_as_such),
	    T(peek_checks_the_header_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
