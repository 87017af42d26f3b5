/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Handles of an instance with an image below, of both kinds, every type and hard links, taken at
 * each point of an object's life and tried at every later one: they lead to the same object with
 * the same bytes and id, cold and warm, until it is deleted or the root is reset (I5); and nothing
 * else leads anywhere (I4).
 */
#include "layer_test.h"

struct handle {
	uint8_t b[COW_OVL_HANDLE_MAX];
	size_t len;
};

/* An object and all handles of it taken so far. `path` is where it is now. */
struct subject {
	char path[64];
	char kind; /* 'L', 'U' */
	const char *text;
	mode_t type;
	uint64_t id;
	struct handle h[16];
	size_t n;
};

#define DIRS "top/mid/in"
static struct subject subjects[32];
static size_t count;

static void low_object(struct ovl *f, const char *path, mode_t type)
{
	switch (type) {
	case S_IFREG:
		low_file(f, path, path);
		break;
	case S_IFDIR:
		low_dir(f, path, 0755);
		break;
	case S_IFLNK:
		low_symlink(f, path, "target");
		break;
	default:
		low_node(f, path, type | 0600,
			 type == S_IFCHR || type == S_IFBLK ? makedev(1, 3) : 0);
	}
}

static void add(struct ovl *f, const char *path, char kind, const char *text)
{
	struct subject *s = &subjects[count++];
	*s = (struct subject){.kind = kind, .text = text};
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	cow_autonode n = get(f, path);
	s->type = cow_ovl_type(n);
	s->id = cow_ovl_id(n);
}

static const mode_t all_types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
static const char *const low_paths[] = {DIRS "/l0", DIRS "/l1", DIRS "/l2", DIRS "/l3",
					DIRS "/l4", DIRS "/l5", DIRS "/l6"};
static const char *const up_paths[] = {DIRS "/u0", DIRS "/u1", DIRS "/u2", DIRS "/u3",
				       DIRS "/u4", DIRS "/u5", DIRS "/u6"};

static void set_up(struct ovl *f)
{
	low_dir(f, "top", 0755);
	low_dir(f, "top/mid", 0755);
	low_dir(f, DIRS, 0755);
	low_dir(f, "away", 0755);
	for (size_t k = 0; k < 7; k++)
		low_object(f, low_paths[k], all_types[k]);
	low_file(f, DIRS "/one", "linked");
	low_link(f, DIRS "/one", "away/two");
	low_link(f, DIRS "/one", "three");
	layer_start(f);
	count = 0;
	for (size_t k = 0; k < 7; k++)
		add(f, low_paths[k], 'L', all_types[k] == S_IFREG ? low_paths[k] : NULL);
	add(f, DIRS "/one", 'L', "linked");
	add(f, "away/two", 'L', "linked");
	add(f, DIRS, 'L', NULL);
}

static void add_uppers(struct ovl *f)
{
	for (size_t k = 0; k < 7; k++) {
		ok(make_at(f, up_paths[k], all_types[k], 0600));
		add(f, up_paths[k], 'U', all_types[k] == S_IFREG ? "born" : NULL);
	}
	put_at(f, up_paths[0], "born");
}

static void take_all(struct ovl *f)
{
	for (size_t k = 0; k < count; k++) {
		struct subject *s = &subjects[k];
		cow_autonode n = get(f, s->path);
		assert_true(s->n < sizeof(s->h) / sizeof(*s->h));
		struct handle *h = &s->h[s->n++];
		*h = (struct handle){0};
		h->len = cow_ovl_handle(n, h->b);
		assert_int_equal(h->b[1], s->kind);
		assert_memory_equal(h, &s->h[0], sizeof(*h)); /* the same for ever */
	}
}

static int decode(struct ovl *f, const struct handle *h, struct cow_ovl_node **ret)
{
	int checked = cow_ovl_handle_check(f->inst, h->b, h->len);
	int r = cow_ovl_from_handle(f->inst, h->b, h->len, ret);
	assert_true(checked == 0 || r == checked);
	return r;
}

static void try_one(struct ovl *f, const struct subject *s, size_t k)
{
	cow_autonode n = NULL;
	cow_autonode named = NULL;
	ok(decode(f, &s->h[k], &n));
	assert_int_equal(cow_ovl_id(n), s->id);
	assert_int_equal(cow_ovl_type(n), s->type);
	assert_int_equal(attr_of(n).id, s->id);
	if (s->text)
		assert_text(n, s->text);
	ok(walk(f, s->path, &named)); /* and it is what the name shows */
	assert_ptr_equal(named, n);
}

/* Cold (nothing but the root in memory), after a restart, and with all nodes held. */
static void try_all(struct ovl *f)
{
	struct cow_ovl_stats st;
	struct cow_ovl_node *held[32] = {0};
	cow_ovl_stats(f->inst, &st);
	assert_int_equal(st.nodes, 1);
	for (int restarted = 0; restarted < 2; restarted++) {
		for (size_t k = 0; k < count; k++)
			try_one(f, &subjects[k], 0);
		ovl_restart(f);
	}
	for (size_t k = 0; k < count; k++)
		ok(decode(f, &subjects[k].h[0], &held[k]));
	for (size_t k = 0; k < count; k++)
		try_one(f, &subjects[k], subjects[k].n - 1);
	for (size_t k = 0; k < count; k++)
		cow_ovl_put(held[k]);
}

/* Paths that begin with @from begin with @to from now on. */
static void moved(const char *from, const char *to)
{
	size_t len = strlen(from);
	for (size_t k = 0; k < count; k++) {
		char rest[64];
		if (strncmp(subjects[k].path, from, len) != 0 ||
		    (subjects[k].path[len] != '/' && subjects[k].path[len] != '\0'))
			continue;
		(void)snprintf(rest, sizeof(rest), "%s", subjects[k].path + len);
		(void)snprintf(subjects[k].path, sizeof(subjects[k].path), "%s%s", to, rest);
	}
}

static void move(struct ovl *f, const char *from, const char *to)
{
	ok(mv_at(f, from, to, 0));
	moved(from, to);
	take_all(f);
	try_all(f);
}

static void handles_survive_copy_up_renames_and_restarts(void **state)
{
	struct ovl *f = *state;
	set_up(f);
	take_all(f);
	try_all(f);
	assert_int_equal(disk_count(f, "upper"), 0); /* looking has copied nothing */
	add_uppers(f);
	take_all(f);
	try_all(f);
	for (size_t k = 0; k < count; k++) {
		const struct subject *s = &subjects[k];
		up_at(f, s->path);
	}
	put_at(f, "three", "LINKED"); /* by a third name */
	for (size_t k = 0; k < count; k++)
		if (subjects[k].text && strcmp(subjects[k].text, "linked") == 0)
			subjects[k].text = "LINKED";
	take_all(f);
	try_all(f);
	/* the object itself, within its directory and to another */
	move(f, DIRS "/l0", DIRS "/l0-renamed");
	for (size_t k = 1; k < 7; k++) {
		char to[16];
		(void)snprintf(to, sizeof(to), "away/l%zu", k);
		ok(mv_at(f, low_paths[k], to, 0));
		moved(low_paths[k], to);
		(void)snprintf(to, sizeof(to), "away/u%zu", k);
		ok(mv_at(f, up_paths[k], to, 0));
		moved(up_paths[k], to);
	}
	move(f, DIRS "/one", "away/one");
	/* each ancestor */
	move(f, DIRS, "top/mid/IN");
	move(f, "top/mid", "MID");
	move(f, "away", "MID/IN/away");
	move(f, "MID/IN", "IN");
	/* swapped with another */
	ok(make_at(f, "other", S_IFDIR, 0755));
	ok(mv_at(f, "other", "IN/away", RENAME_EXCHANGE));
	moved("IN/away", "other");
	take_all(f);
	try_all(f);
}

/* The same, all before anything was brought up: the first rename is what brings it up. */
static void handles_survive_ancestors_that_were_never_brought_up(void **state)
{
	struct ovl *f = *state;
	set_up(f);
	take_all(f);
	move(f, "top", "TOP");
	assert_false(on_disk(f, "upper/TOP/mid"));
	move(f, "TOP/mid/in", "in");
	move(f, "TOP/mid", "away/mid");
	move(f, "away", "TOP/away");
	move(f, "TOP", "top");
	move(f, "in/one", "in/one-renamed");
}

/* Neither a node nor, with what was open before, a byte of it. */
static void assert_dead(struct ovl *f, const struct handle *h)
{
	for (int restarted = 0; restarted < 3; restarted++) {
		struct cow_ovl_node *n = NULL;
		assert_int_equal(decode(f, h, &n), -ESTALE);
		assert_null(n);
		if (restarted < 2)
			ovl_restart(f);
	}
}

static void a_handle_dies_with_unlink_and_with_a_replaced_name(void **state)
{
	struct ovl *f = *state;
	set_up(f);
	add_uppers(f);
	take_all(f);
	for (size_t k = 0; k < count; k++) {
		struct subject *s = &subjects[k];
		if (strcmp(s->path, DIRS) == 0 || strstr(s->text ? s->text : "", "linked"))
			continue;
		if (k % 2 == 0) {
			ok(rm_at(f, s->path));
			assert_dead(f, &s->h[0]);
			ok(make_at(f, s->path, s->type, 0600)); /* not revived by a namesake */
		} else {
			ok(make_at(f, "replacement", s->type, 0600));
			ok(mv_at(f, "replacement", s->path, 0));
		}
		assert_dead(f, &s->h[0]);
	}
	/* one file of three names lives as long as one of them */
	struct handle *one = &subjects[7].h[0];
	cow_autonode n = NULL;
	ok(rm_at(f, DIRS "/one"));
	ok(decode(f, one, &n));
	assert_text(n, "linked");
	cow_ovl_put(cow_steal_ptr(&n));
	put_at(f, "away/two", "changed");
	ok(rm_at(f, "away/two"));
	ovl_restart(f);
	ok(decode(f, one, &n));
	assert_text(n, "changed");
	cow_ovl_put(cow_steal_ptr(&n));
	ok(make_at(f, "replacement", S_IFREG, 0600));
	ok(mv_at(f, "replacement", "three", 0));
	assert_dead(f, one);
}

/* A whole tree removed, whose inner objects nobody ever touched. */
static void handles_of_everything_below_die_with_a_removed_tree(void **state)
{
	struct ovl *f = *state;
	set_up(f);
	take_all(f);
	for (size_t k = 0; k < 7; k++)
		ok(rm_at(f, low_paths[k]));
	ok(rm_at(f, DIRS "/one"));
	ok(rm_at(f, DIRS));
	ok(rm_at(f, "top/mid"));
	ok(make_at(f, "top/mid", S_IFDIR, 0755)); /* the same names again */
	ok(make_at(f, DIRS, S_IFDIR, 0755));
	ok(make_at(f, low_paths[0], S_IFREG, 0644));
	for (size_t k = 0; k < 7; k++)
		assert_dead(f, &subjects[k].h[0]);
	assert_dead(f, &subjects[9].h[0]);
	try_one(f, &subjects[8], 0); /* by its other names */
}

static void a_reset_kills_handles_of_both_kinds(void **state)
{
	struct ovl *f = *state;
	uint64_t epoch;
	set_up(f);
	add_uppers(f);
	take_all(f);
	ovl_detach(f);
	ok(cow_ovl_inst_renew(f->dirfd, &epoch, NULL));
	ovl_attach(f);
	for (size_t k = 0; k < count; k++) {
		struct cow_ovl_node *none = NULL;
		assert_int_equal(decode(f, &subjects[k].h[0], &none), -ESTALE);
		assert_int_equal(
		    cow_ovl_handle_check(f->inst, subjects[k].h[0].b, subjects[k].h[0].len),
		    -ESTALE);
		subjects[k].n = 0;
	}
	take_all(f); /* the objects are what they were */
	try_all(f);
}

static void forgeries_and_fragments_lead_nowhere(void **state)
{
	struct ovl *f = *state;
	set_up(f);
	add_uppers(f);
	take_all(f);
	for (size_t k = 0; k < count; k++) {
		const struct handle *good = &subjects[k].h[0];
		for (size_t at = 0; at < good->len; at++) {
			static const uint8_t flips[] = {0x01, 0x80, 0xff};
			for (size_t b = 0; b < sizeof(flips); b++) {
				struct cow_ovl_node *none = NULL;
				struct handle bad = *good;
				bad.b[at] ^= flips[b];
				int r = decode(f, &bad, &none);
				assert_true(r == -EBADMSG || r == -ESTALE);
				assert_null(none);
			}
		}
		for (size_t len = 0; len <= sizeof(good->b); len++) {
			struct cow_ovl_node *none = NULL;
			struct handle bad = *good;
			bad.len = len;
			if (len != good->len)
				assert_int_equal(decode(f, &bad, &none), -EBADMSG);
		}
	}
	/* the payload of one in the clothes of another, each whole in itself */
	for (size_t k = 0; k + 1 < count; k++) {
		struct cow_ovl_node *none = NULL;
		struct handle bad = subjects[k].h[0];
		const struct handle *other = &subjects[k + 1].h[0];
		if (bad.len != other->len || memcmp(bad.b, other->b, bad.len) == 0)
			continue;
		memcpy(bad.b + 16, other->b + 16, bad.len - 24);
		assert_int_equal(decode(f, &bad, &none), -EBADMSG);
	}
}

/* With the key known: numbers that the image has not got, and that do not fit. */
static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int k = 7; k >= 0; k--)
		v = v << 8 | p[k];
	return v;
}

static void seal(struct ovl *f, struct handle *h)
{
	uint8_t key[COW_SIPHASH_KEY_LEN];
	cow_autoclose int rec = openat(f->dirfd, "instance", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(rec, key, sizeof(key), 56), sizeof(key));
	h->len = 16u + h->b[3] + 8;
	uint64_t mac = cow_siphash24(key, h->b, h->len - 8);
	for (int k = 0; k < 8; k++)
		h->b[h->len - 8 + (size_t)k] = (uint8_t)(mac >> (8 * k));
}

static void genuine_handles_of_nothing_are_stale(void **state)
{
	struct ovl *f = *state;
	static const uint64_t numbers[] = {
	    0, 1000000, UINT32_MAX, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_MAX};
	struct cow_ovl_node *none = NULL;
	set_up(f);
	take_all(f);
	struct handle h = subjects[0].h[0];
	assert_int_equal(le64(h.b + 16), subjects[0].id);
	seal(f, &h);
	assert_memory_equal(&h, &subjects[0].h[0], sizeof(h)); /* this is how it is made */
	for (size_t k = 0; k < sizeof(numbers) / sizeof(*numbers); k++) {
		for (int b = 0; b < 8; b++)
			h.b[16 + b] = (uint8_t)(numbers[k] >> (8 * b));
		seal(f, &h);
		ok(cow_ovl_handle_check(f->inst, h.b, h.len));
		assert_int_equal(decode(f, &h, &none), -ESTALE);
	}
}

int main(void)
{
#define BARE(name) cmocka_unit_test_setup_teardown(name, layer_setup_bare, layer_teardown)
	const struct CMUnitTest tests[] = {
	    BARE(handles_survive_copy_up_renames_and_restarts),
	    BARE(handles_survive_ancestors_that_were_never_brought_up),
	    BARE(a_handle_dies_with_unlink_and_with_a_replaced_name),
	    BARE(handles_of_everything_below_die_with_a_removed_tree),
	    BARE(a_reset_kills_handles_of_both_kinds),
	    BARE(forgeries_and_fragments_lead_nowhere),
	    BARE(genuine_handles_of_nothing_are_stale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
