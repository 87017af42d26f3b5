/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Contents that are sent piece by piece: those of one file of an image read it once between them, others by themselves.
 */
#include "cow_test.h"

#include "tftp/content.h"
#include "tftp/limits.h"

#define SIZE (3 * COW_TFTP_PIECE + 100)

struct counted {
	struct cow_tftp_content base;
	unsigned seed;
};

static unsigned reads, touches, alive;
static bool fails;

static uint8_t byte_at(unsigned seed, uint64_t off)
{
	return (uint8_t)(seed + off * 31 + (off >> 8) * 7 + (off >> 16));
}

static int counted_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	if (fails)
		return -EIO;
	reads += len > 0;
	touches += len == 0;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = byte_at(((struct counted *)c)->seed, off + i);
	return 0;
}

static void counted_free(struct cow_tftp_content *c)
{
	alive--;
	free(c);
}

/* @ino: 0: of no image. */
static struct cow_tftp_content *open_counted(unsigned seed, uint64_t dev, uint64_t ino)
{
	struct counted *m = calloc(1, sizeof(*m));
	struct cow_tftp_content *c;

	assert_non_null(m);
	m->base = (struct cow_tftp_content){
	    .size = SIZE, .file = {dev, ino}, .read = counted_read, .free = counted_free};
	m->seed = seed;
	c = &m->base;
	assert_int_equal(cow_tftp_content_buffered(&c), 0);
	alive++;
	return c;
}

/* Blocks as they are sent, some across the ends of pieces. */
static void expect_all(struct cow_tftp_content *c, unsigned seed, size_t block)
{
	uint8_t buf[1468];

	for (uint64_t off = 0; off < SIZE; off += block) {
		size_t len = SIZE - off < block ? (size_t)(SIZE - off) : block;

		assert_int_equal(c->read(c, buf, len, off), 0);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(buf[i], byte_at(seed, off + i));
	}
}

static int start(void **state)
{
	reads = touches = 0;
	fails = false;
	return 0;
}

static int stop(void **state)
{
	return alive == 0 ? 0 : -1;
}

static void one_file_is_read_once_for_all_who_send_it(void **state)
{
	struct cow_tftp_content *c[8];
	uint8_t got[8];

	for (unsigned k = 0; k < 8; k++)
		c[k] = open_counted(1, 5, 77);
	for (uint64_t off = 0; off < SIZE; off += 4) {
		for (unsigned k = 0; k < 8; k++) {
			assert_int_equal(c[k]->read(c[k], &got[k], 1, off), 0);
			assert_int_equal(got[k], byte_at(1, off));
		}
	}
	assert_int_equal(reads, 4);
	assert_int_equal(touches, 4 * 7); /* each is known to be in use */
	for (unsigned k = 0; k < 8; k++)
		cow_tftp_content_free(c[k]);
}

static void whatever_the_size_of_blocks(void **state)
{
	struct cow_tftp_content *a = open_counted(1, 5, 77), *b = open_counted(1, 5, 77);

	expect_all(a, 1, 512);
	expect_all(b, 1, 1468);
	expect_all(a, 1, 1000);
	cow_tftp_content_free(a);
	expect_all(b, 1, 1);
	cow_tftp_content_free(b);
}

static void nothing_is_kept_of_a_file_that_nobody_sends(void **state)
{
	struct cow_tftp_content *c = open_counted(1, 5, 77);

	expect_all(c, 1, 1468);
	cow_tftp_content_free(c);
	c = open_counted(2, 5, 77); /* the number is another file's now */
	expect_all(c, 2, 1468);
	cow_tftp_content_free(c);
	assert_int_equal(reads, 8);
}

static void other_files_have_their_own(void **state)
{
	struct cow_tftp_content *a = open_counted(1, 5, 77), *b = open_counted(2, 6, 77),
				*c = open_counted(3, 5, 78);

	expect_all(a, 1, 1468);
	expect_all(b, 2, 1468);
	expect_all(c, 3, 1468);
	expect_all(a, 1, 1468);
	cow_tftp_content_free(b);
	cow_tftp_content_free(a);
	cow_tftp_content_free(c);
}

static void files_of_clients_are_never_shared(void **state)
{
	struct cow_tftp_content *a = open_counted(1, 0, 0), *b = open_counted(2, 0, 0);

	expect_all(a, 1, 1468);
	expect_all(b, 2, 1468);
	assert_int_equal(reads, 8);
	cow_tftp_content_free(a);
	cow_tftp_content_free(b);
}

static void a_piece_that_cannot_be_read_is_none(void **state)
{
	struct cow_tftp_content *a = open_counted(1, 5, 77), *b = open_counted(1, 5, 77);
	uint8_t byte;

	fails = true;
	assert_int_equal(a->read(a, &byte, 1, 0), -EIO);
	fails = false;
	expect_all(b, 1, 1468);
	fails = true;
	assert_int_equal(a->read(a, &byte, 1, SIZE - 1), -EIO); /* b's is there, a's file is not */
	fails = false;
	expect_all(a, 1, 512);
	cow_tftp_content_free(a);
	cow_tftp_content_free(b);
}

#define COUNTED(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    COUNTED(one_file_is_read_once_for_all_who_send_it),
	    COUNTED(whatever_the_size_of_blocks),
	    COUNTED(nothing_is_kept_of_a_file_that_nobody_sends),
	    COUNTED(other_files_have_their_own),
	    COUNTED(files_of_clients_are_never_shared),
	    COUNTED(a_piece_that_cannot_be_read_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
