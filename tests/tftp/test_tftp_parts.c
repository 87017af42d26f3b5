/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Small parts of the daemon under a clock of our own: deadlines, limits, tables, boot sessions; packets on
 * their way out.
 */
#include "cow_test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosts.h"
#include "leases.h"
#include "options.h"
#include "outbox.h"
#include "pin.h"
#include "record.h"
#include "serials.h"
#include "table.h"
#include "tftp/address.h"
#include "tftp/limits.h"
#include "tftp/session.h"
#include "timers.h"

static struct in_addr host(unsigned n)
{
	return (struct in_addr){.s_addr = htonl(0x0a4d0000 + n)};
}

/* As the tables have it. */
static const struct in6_addr *key(unsigned n)
{
	static struct in6_addr a;

	a = cow_tftp_map(host(n));
	return &a;
}

/* ---------------------------------------------------------------- deadlines */

enum { TIMERS = 200 };

static void timers_come_in_order_whatever_was_moved(void **state)
{
	struct cow_tftp_timer t[TIMERS] = {0};
	struct cow_tftp_timers ts;
	struct cow_tftp_timer *x;
	uint64_t rnd = 42;
	unsigned armed = 0;

	assert_int_equal(cow_tftp_timers_init(&ts, TIMERS), 0);
	for (int i = 0; i < 20000; i++) {
		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		x = &t[(rnd >> 33) % TIMERS];
		if (rnd >> 62 == 0)
			cow_tftp_timer_cancel(&ts, x);
		else
			cow_tftp_timer_set(&ts, x, (rnd >> 20) % 1000);
	}
	for (int i = 0; i < TIMERS; i++)
		armed += t[i].pos != 0;
	assert_true(armed > 0 && armed == ts.count);
	for (uint64_t now = 0; now < 1000; now++) {
		while ((x = cow_tftp_timers_due(&ts, now))) {
			assert_int_equal(x->due_ms, now); /* neither early nor late */
			cow_tftp_timer_cancel(&ts, x);
			cow_tftp_timer_cancel(&ts, x); /* twice is once */
			armed--;
		}
		assert_true(cow_tftp_timers_next_ms(&ts) > now);
	}
	assert_int_equal(armed, 0);
	assert_true(cow_tftp_timers_next_ms(&ts) == UINT64_MAX);
	cow_tftp_timers_done(&ts);
}

/* ---------------------------------------------------------------- limits */

static void requests_are_metered_per_host(void **state)
{
	struct cow_tftp_hosts *h;
	uint64_t now = 1000;
	unsigned n = 0;

	assert_int_equal(cow_tftp_hosts_new(7, &h), 0);
	while (cow_tftp_hosts_admit(h, key(1), now))
		n++;
	assert_int_equal(n, COW_TFTP_REQUESTS_BURST);
	assert_true(cow_tftp_hosts_admit(h, key(2), now)); /* others are not concerned */
	now += 100;
	for (n = 0; cow_tftp_hosts_admit(h, key(1), now); n++)
		;
	assert_int_equal(n, COW_TFTP_REQUESTS_PER_S / 10);
	now += 3600000;
	for (n = 0; cow_tftp_hosts_admit(h, key(1), now); n++)
		;
	assert_int_equal(n, COW_TFTP_REQUESTS_BURST); /* no more than the burst is saved up */
	cow_tftp_hosts_free(h);
}

static void live_transfers_are_counted_per_host(void **state)
{
	struct cow_tftp_hosts *h;

	assert_int_equal(cow_tftp_hosts_new(7, &h), 0);
	assert_false(cow_tftp_hosts_enter(h, key(1))); /* never admitted */
	assert_true(cow_tftp_hosts_admit(h, key(1), 5));
	for (int i = 0; i < COW_TFTP_TRANSFERS_PER_HOST; i++)
		assert_true(cow_tftp_hosts_enter(h, key(1)));
	assert_false(cow_tftp_hosts_enter(h, key(1)));
	/* A flood of other addresses does not push out one that is being served. */
	for (unsigned i = 2; i < 100000; i++)
		(void)cow_tftp_hosts_admit(h, key(i), 6 + i);
	assert_false(cow_tftp_hosts_enter(h, key(1)));
	cow_tftp_hosts_leave(h, key(1));
	assert_true(cow_tftp_hosts_enter(h, key(1)));
	cow_tftp_hosts_free(h);
}

/* ---------------------------------------------------------------- tables */

static void slots_are_found_by_peer(void **state)
{
	struct cow_tftp_table tb;

	assert_int_equal(cow_tftp_table_init(&tb, 99), 0);
	for (unsigned i = 0; i < COW_TFTP_SLOTS_MAX; i++) {
		struct cow_tftp_peer p = {.addr = *key(i / 4), .port = (in_port_t)(i % 4 + 1)};
		struct cow_tftp_slot *s = cow_tftp_table_add(&tb, &p);

		assert_non_null(s);
		s->socket = i;
	}
	assert_null(cow_tftp_table_add(&tb, &(struct cow_tftp_peer){.port = 9}));
	for (unsigned i = 0; i < COW_TFTP_SLOTS_MAX; i++) {
		struct cow_tftp_peer p = {.addr = *key(i / 4), .port = (in_port_t)(i % 4 + 1)};
		struct cow_tftp_slot *s = cow_tftp_table_find(&tb, &p);

		assert_non_null(s);
		assert_int_equal(s->socket, i);
		cow_tftp_table_remove(&tb, s);
		assert_null(cow_tftp_table_find(&tb, &p));
	}
	assert_int_equal(tb.count, 0);
	assert_null(cow_tftp_table_any(&tb));
	cow_tftp_table_done(&tb);
}

static void serials_of_eight_digits_count(void **state)
{
	const struct cow_mac a = {{2, 0, 0, 0, 0, 1}};
	struct cow_tftp_serials s = {0};

	assert_true(cow_tftp_serials_stale(&s, 1, 2000));
	cow_tftp_serials_clear(&s, 1000);
	assert_false(cow_tftp_serials_stale(&s, 2999, 2000));
	assert_true(cow_tftp_serials_stale(&s, 3000, 2000));
	assert_int_equal(cow_tftp_serials_add(&s, "short", &a), 0);
	assert_null(cow_tftp_serials_find(&s, "short"));
	for (unsigned i = 0; i < 1000; i++) {
		const struct cow_mac mac = {{2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}};
		char text[16];

		(void)snprintf(text, sizeof(text), "%08x", 0xABCD0000u + i);
		assert_int_equal(cow_tftp_serials_add(&s, text, &mac), 0);
	}
	assert_int_equal(cow_tftp_serials_find(&s, "ABCD0301")->b[5], 1);
	assert_int_equal(cow_tftp_serials_find(&s, "abcd0301")->b[4], 3);
	assert_null(cow_tftp_serials_find(&s, "abcdffff"));
	cow_tftp_serials_clear(&s, 5000);
	assert_null(cow_tftp_serials_find(&s, "abcd0301"));
	cow_tftp_serials_done(&s);
}

/* ---------------------------------------------------------------- sessions */

#define NEW COW_TFTP_SESSION_NEW
#define BOOT COW_TFTP_SESSION_BOOT

static void a_boot_begins_once_after_a_pause(void **state)
{
	struct cow_tftp_session s = {0};
	uint64_t now = 5; /* a machine that has just started */

	/* The loader of a PC opens the session, its script is the boot. */
	assert_int_equal(cow_tftp_session_note(&s, host(1), "undionly.kpxe", now), NEW);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "boot.ipxe", now + 9000), BOOT);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "boot.ipxe", now + 9100), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "initrd.img-6.1", now + 20000), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "vmlinuz-6.1", now + 60000), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "config.txt", now + 90000), NEW | BOOT);
	/* other address */
	assert_int_equal(cow_tftp_session_note(&s, host(2), "config.txt", now + 90001), NEW | BOOT);
	/* silent for so long that it must have been another boot, whose beginning was not seen */
	assert_int_equal(cow_tftp_session_note(&s, host(2), "vmlinuz-6.1", now + 270001), NEW);
	assert_int_equal(cow_tftp_session_note(&s, host(2), "config.txt", now + 270002), BOOT);
}

static void a_machine_that_starts_over_begins_another_boot(void **state)
{
	struct cow_tftp_session s = {0};
	uint64_t now = 5;

	assert_int_equal(cow_tftp_session_note(&s, host(1), "start4.elf", now), NEW | BOOT);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "config.txt", now + 10), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "start4.elf", now + 20), 0);
	/* the second stage, after the link came up again */
	assert_int_equal(cow_tftp_session_note(&s, host(1), "config.txt", now + 8000), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "kernel8.img", now + 8100), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "start4.elf", now + 12099), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(1), "start4.elf", now + 16099), NEW | BOOT);

	/* a board with all firmware in its EEPROM, that does not find a kernel */
	assert_int_equal(cow_tftp_session_note(&s, host(2), "config.txt", now), NEW | BOOT);
	assert_int_equal(cow_tftp_session_note(&s, host(2), "config.txt", now + 100), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(2), "config.txt", now + 5100), NEW | BOOT);

	/* start.elf after bootcode.bin has waited for the network */
	assert_int_equal(cow_tftp_session_note(&s, host(3), "bootcode.bin", now), NEW | BOOT);
	assert_int_equal(cow_tftp_session_note(&s, host(3), "start.elf", now + 9000), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(3), "start.elf", now + 11000), 0);
	assert_int_equal(cow_tftp_session_note(&s, host(3), "bootcode.bin", now + 16000),
			 NEW | BOOT);
}

static void boards_begin_with_various_files(void **state)
{
	static const char *const first[] = {"bootcode.bin",   "start.elf",   "start4.elf",
					    "config.txt",     "cmdline.txt", "boot.ipxe",
					    "sub/config.txt", "tryboot.txt"};

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct cow_tftp_session s = {0};

		assert_int_equal(cow_tftp_session_note(&s, host(1), first[i], 1), NEW | BOOT);
	}
}

/* ---------------------------------------------------------------- pins */

static struct cow_tftp_content *text_content(const char *text)
{
	struct cow_tftp_content *c;
	char *copy = strdup(text);

	assert_non_null(copy);
	assert_int_equal(cow_tftp_content_memory(copy, strlen(text), &c), 0);
	return c;
}

static void expect_content(struct cow_tftp_content *c, const char *text)
{
	char buf[64];

	assert_int_equal(c->size, strlen(text));
	assert_int_equal(c->read(c, buf, c->size, 0), 0);
	assert_memory_equal(buf, text, c->size);
}

static void what_was_given_is_given_again(void **state)
{
	struct cow_client *conf = calloc(1, sizeof(*conf));
	struct cow_tftp_content *first, *again, *other;
	struct cow_tftp_pin *p;

	assert_int_equal(cow_tftp_pin_new(conf, NULL, -ENOENT, &p), 0);
	assert_false(cow_tftp_pin_find(p, "a", &first));
	assert_int_equal(cow_tftp_pin_add(p, "a", text_content("one"), &first), 0);
	assert_int_equal(cow_tftp_pin_add(p, "b", text_content("two"), &other), 0);
	assert_true(cow_tftp_pin_find(p, "a", &again));
	cow_tftp_content_free(first);
	cow_tftp_pin_put(p); /* the boot is over, two files are still on their way */
	expect_content(again, "one");
	expect_content(other, "two");
	cow_tftp_content_free(again);
	cow_tftp_content_free(other);
}

static void file_that_may_change_is_copied(void **state)
{
	char path[] = "/tmp/cow-pin-XXXXXX";
	struct cow_client *conf = calloc(1, sizeof(*conf));
	struct cow_tftp_content *c, *again;
	struct cow_tftp_pin *p;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pwrite(fd, "before", 6, 0), 6);
	assert_int_equal(cow_tftp_content_fd(dup(fd), 6, &c), 0);
	assert_int_equal(cow_tftp_pin_new(conf, NULL, 0, &p), 0);
	assert_int_equal(cow_tftp_pin_add(p, "a", c, &c), 0);
	assert_int_equal(pwrite(fd, "after!", 6, 0), 6);
	expect_content(c, "before");
	assert_true(cow_tftp_pin_find(p, "a", &again));
	expect_content(again, "before");
	cow_tftp_content_free(c);
	cow_tftp_content_free(again);
	cow_tftp_pin_put(p);
	(void)close(fd);
}

static void more_files_than_a_boot_has_are_served_and_not_kept(void **state)
{
	struct cow_client *conf = calloc(1, sizeof(*conf));
	struct cow_tftp_pin *p;
	char name[16];

	assert_int_equal(cow_tftp_pin_new(conf, NULL, 0, &p), 0);
	for (unsigned i = 0; i < COW_TFTP_PINNED_FILES + 10; i++) {
		struct cow_tftp_content *c;

		(void)snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(cow_tftp_pin_add(p, name, text_content(name), &c), 0);
		expect_content(c, name);
		cow_tftp_content_free(c);
		assert_int_equal(cow_tftp_pin_find(p, name, &c), i < COW_TFTP_PINNED_FILES);
		if (i < COW_TFTP_PINNED_FILES)
			cow_tftp_content_free(c);
	}
	cow_tftp_pin_put(p);
}

/* ---------------------------------------------------------------- records */

static void add_outcome(struct cow_tftp_record *r, const char *raw, const char *result,
			uint64_t size, uint64_t now)
{
	const struct cow_tftp_outcome_of o = {
	    .raw = raw, .len = strlen(raw), .result = result, .size = size, .ms = 7, .resends = 1};

	cow_tftp_record_add(r, &o, now);
}

static void a_record_counts_and_keeps_the_last_requests(void **state)
{
	struct cow_tftp_record r;
	struct cow_fields f;
	char name[128];

	cow_tftp_record_begin(&r, "10.0.0.1", 1700000000, 1000);
	assert_int_equal(cow_tftp_record_request(&r, 0, "m", &f), 0);
	add_outcome(&r, "a/config.txt", "delivered", 10, 1000);
	add_outcome(&r, "a/config.txt", "aborted", 10, 1001);
	add_outcome(&r, "a/none.txt", "missing", 0, 1002);
	add_outcome(&r, "a/secret.txt", "refused", 0, 1003);
	add_outcome(&r, "a/kernel", "timed-out", 99, 3500);
	assert_true(r.changed);
	assert_true(r.files == 1 && r.bytes == 10 && r.missing == 1 && r.refused == 1 &&
		    r.failed == 1 && r.resends == 5 && r.last_ms == 3500);
	assert_true(cow_tftp_record_request(&r, 4, "dc-a6-32-00-00-01", &f) > 0);
	assert_string_equal(f.line, "request v=1 mac=dc-a6-32-00-00-01 at=1700000002 "
				    "result=timed-out size=99 ms=7 resends=1 name=a/kernel\n");
	assert_int_equal(cow_tftp_record_request(&r, 5, "m", &f), 0);
	for (unsigned i = 0; i < COW_TFTP_RECORD_REQUESTS + 3; i++) {
		(void)snprintf(name, sizeof(name), "%u\33[2J\n %0*d", i, 100, 7);
		add_outcome(&r, name, "missing", 0, 4000);
	}
	assert_int_equal(cow_tftp_record_request(&r, COW_TFTP_RECORD_REQUESTS, "m", &f), 0);
	assert_true(cow_tftp_record_request(&r, COW_TFTP_RECORD_REQUESTS - 1, "m", &f) > 0);
	assert_int_equal(cow_fields_get(f.line, "name", name, sizeof(name)), 0);
	assert_int_equal(strlen(name), COW_TFTP_RECORD_NAME_MAX); /* its end */
	assert_int_equal(name[COW_TFTP_RECORD_NAME_MAX - 1], '7');
	cow_tftp_record_forget(&r);
	assert_false(r.changed);
	assert_int_equal(cow_tftp_record_request(&r, 0, "m", &f), 0);
	assert_int_equal(r.files, 1);
	cow_tftp_record_done(&r);
}

static void boards_are_told_apart_by_what_they_ask_for(void **state)
{
	static const struct {
		const char *asked[4], *model;
	} boards[] = {
	    {{"start4.elf", "config.txt", "bcm2711-rpi-4-b.dtb", "kernel8.img"}, "rpi-4-b"},
	    {{"start4.elf", "start.elf", "config.txt"}, "rpi-4"},
	    {{"bootcode.bin", "start.elf", "config.txt"}, "rpi-3"},
	    {{"config.txt", "pieeprom.sig", "bcm2712d0-rpi-5-b.dtb"}, "rpi-5-b"},
	    {{"config.txt", "cmdline.txt"}, "rpi-5"},
	    {{"undionly.kpxe", "boot.ipxe", "config.txt"}, "pc"},
	    {{"pxelinux.0", "ldlinux.c32"}, "pc"},
	    {{"vmlinuz-6.1"}, ""},
	    {{"bcm2711-rpi-\33[2J.dtb", "bcm27.dtb", "bcm2711-rpi-.dtb"}, ""},
	    {{"bcm2711-rpi-a-name-that-is-much-too-long.dtb"}, ""},
	};

	for (size_t i = 0; i < sizeof(boards) / sizeof(boards[0]); i++) {
		char model[COW_TFTP_MODEL_LEN + 1] = "";
		unsigned rank = 0;

		for (int k = 0; k < 4 && boards[i].asked[k]; k++)
			cow_tftp_model_note(model, &rank, boards[i].asked[k], k == 0);
		if (strcmp(model, boards[i].model) != 0)
			fail_msg("%s...: '%s', not '%s'", boards[i].asked[0], model,
				 boards[i].model);
	}
}

/* ---------------------------------------------------------------- leases */

static void leases_are_read_again_when_they_change(void **state)
{
	char path[] = "/tmp/cow-leases-XXXXXX";
	static const char one[] = "0 dc:a6:32:01:02:03 10.0.0.1 pi *\n"
				  "1 dc:a6:32:01:02:04 10.0.0.2 ended *\nduid 00:01\n"
				  "0 dc:a6:32:01:02:05 10.0.0.3";
	static const char two[] = "0 dc:a6:32:01:02:07 10.0.0.1 other *\n";
	struct in_addr a = {htonl(0x0a000001)}, b = {htonl(0x0a000002)}, c = {htonl(0x0a000003)};
	struct cow_tftp_leases *l;
	struct cow_mac mac;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, one, sizeof(one) - 1, 0), sizeof(one) - 1);
	assert_int_equal(cow_tftp_leases_new(path, &l), 0);
	assert_int_equal(cow_tftp_leases_find(l, a, 10, &mac), 0);
	assert_int_equal(mac.b[5], 3);
	assert_int_equal(cow_tftp_leases_find(l, b, 10, &mac), -ENOENT);
	assert_int_equal(cow_tftp_leases_find(l, c, 10, &mac), -ENOENT); /* not yet written */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, two, sizeof(two) - 1, 0), sizeof(two) - 1);
	assert_int_equal(cow_tftp_leases_find(l, a, 900, &mac), 0);
	assert_int_equal(mac.b[5], 3); /* a second old at most */
	assert_int_equal(cow_tftp_leases_find(l, a, 1010, &mac), 0);
	assert_int_equal(mac.b[5], 7);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cow_tftp_leases_find(l, a, 3000, &mac), -ENOENT);
	cow_tftp_leases_free(l);
	(void)close(fd);
}

/* ---------------------------------------------------------------- options */

static void listen_addresses(void **state)
{
	static const char *const bad[] = {"",
					  ":69",
					  "10.0.0",
					  "10.0.0.1:",
					  "10.0.0.1:65536",
					  "10.0.0.1:x",
					  "::1",
					  "[::1",
					  "localhost",
					  "10.0.0.1:69 ",
					  "10.0.0.1:-1",
					  "[::1]69",
					  "[::1]:",
					  "[]",
					  "[10.0.0.1]",
					  "[::ffff:10.0.0.1]",
					  "[fe80::1]",
					  "[fe80::1%nosuch]",
					  "[::1%lo]:69"};
	union cow_tftp_addr at = {.in = {.sin_family = AF_INET, .sin_port = htons(69)}};
	char text[COW_TFTP_ADDR_TEXT];
	struct in6_addr a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_tftp_addr_parse(bad[i], &at), -EINVAL);
	assert_int_equal(at.in.sin_port, htons(69));
	assert_int_equal(cow_tftp_addr_parse("10.77.0.1", &at), 0);
	assert_int_equal(at.in.sin_addr.s_addr, htonl(0x0a4d0001));
	assert_int_equal(at.in.sin_port, htons(69));
	assert_int_equal(cow_tftp_addr_parse("0.0.0.0:6969", &at), 0);
	assert_int_equal(at.in.sin_port, htons(6969));
	assert_int_equal(cow_tftp_addr_parse("[::]", &at), 0);
	assert_int_equal(at.sa.sa_family, AF_INET6);
	assert_int_equal(cow_tftp_addr_port(&at), htons(6969));
	assert_int_equal(cow_tftp_addr_parse("[fe80::1%lo]:70", &at), 0);
	assert_int_equal(at.in6.sin6_scope_id, if_nametoindex("lo"));
	assert_int_equal(cow_tftp_addr_port(&at), htons(70));
	a = cow_tftp_addr_map(&at);
	assert_string_equal(cow_tftp_addr_text(&a, at.in6.sin6_scope_id, text), "fe80::1%lo");
	assert_string_equal(cow_tftp_addr_text(key(258), 7, text), "10.77.1.2");
	assert_int_equal(cow_tftp_unmap(key(258)).s_addr, host(258).s_addr);
	assert_int_equal(cow_tftp_unmap(&a).s_addr, 0);
}

/* ---------------------------------------------------------------- outbox */

static union cow_tftp_addr name_of(int fd)
{
	union cow_tftp_addr at;
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, &at.sa, &len), 0);
	return at;
}

struct wire {
	int from, to;
	struct cow_tftp_outbox *o;
	struct cow_tftp_route route;
};

static void wire_open(struct wire *w)
{
	const union cow_tftp_addr any = {
	    .in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};

	w->from = cow_tftp_socket_open(&any, 1 << 20);
	w->to = cow_tftp_socket_open(&any, 1 << 20);
	assert_true(w->from >= 0 && w->to >= 0);
	assert_int_equal(cow_tftp_outbox_new(&w->o), 0);
	w->route = (struct cow_tftp_route){
	    .fd = w->from, .to = name_of(w->to), .local = cow_tftp_addr_map(&any)};
}

static void wire_close(struct wire *w)
{
	uint8_t buf[8];

	assert_true(recv(w->to, buf, sizeof(buf), MSG_DONTWAIT) < 0); /* no more than was put in */
	cow_tftp_outbox_free(w->o);
	(void)close(w->from);
	(void)close(w->to);
}

static void put_packet(struct wire *w, unsigned n, size_t len, bool more)
{
	uint8_t *buf = cow_tftp_outbox_room(w->o);

	memset(buf, (int)n, len);
	cow_tftp_outbox_add(w->o, &w->route, len, more);
}

static void expect_packet(struct wire *w, unsigned n, size_t len)
{
	uint8_t buf[2048];
	struct pollfd p = {.fd = w->to, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(recv(w->to, buf, sizeof(buf), 0), len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], n & 0xff);
}

static void a_window(struct wire *w, unsigned blocks)
{
	for (unsigned k = 0; k < blocks; k++)
		put_packet(w, k, k + 1 < blocks ? 1472 : 100, k + 1 < blocks);
	put_packet(w, 200, 100, false); /* of another transfer */
	cow_tftp_outbox_flush(w->o);
	for (unsigned k = 0; k < blocks; k++)
		expect_packet(w, k, k + 1 < blocks ? 1472 : 100);
	expect_packet(w, 200, 100);
}

static void windows_leave_as_the_packets_they_are(void **state)
{
	struct wire w;

	wire_open(&w);
	a_window(&w, 1);
	a_window(&w, 2);
	a_window(&w, 44);
	a_window(&w, 64); /* more than one message can hold */
	wire_close(&w);
}

/* udp(7) wants checksums for it, which this socket does not make. */
static void windows_leave_one_by_one_where_the_kernel_does_not_cut(void **state)
{
	const int on = 1;
	struct wire w;

	wire_open(&w);
	assert_int_equal(setsockopt(w.from, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
	a_window(&w, 9);
	a_window(&w, 64);
	wire_close(&w);
}

static void a_full_outbox_makes_room(void **state)
{
	struct wire w;

	wire_open(&w);
	for (unsigned k = 0; k < 300; k++)
		put_packet(&w, k, k % 3 ? 516 : 1472, false);
	cow_tftp_outbox_flush(w.o);
	for (unsigned k = 0; k < 300; k++)
		expect_packet(&w, k, k % 3 ? 516 : 1472);
	wire_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(timers_come_in_order_whatever_was_moved),
	    cmocka_unit_test(requests_are_metered_per_host),
	    cmocka_unit_test(live_transfers_are_counted_per_host),
	    cmocka_unit_test(slots_are_found_by_peer),
	    cmocka_unit_test(serials_of_eight_digits_count),
	    cmocka_unit_test(a_boot_begins_once_after_a_pause),
	    cmocka_unit_test(a_machine_that_starts_over_begins_another_boot),
	    cmocka_unit_test(boards_begin_with_various_files),
	    cmocka_unit_test(a_record_counts_and_keeps_the_last_requests),
	    cmocka_unit_test(boards_are_told_apart_by_what_they_ask_for),
	    cmocka_unit_test(leases_are_read_again_when_they_change),
	    cmocka_unit_test(what_was_given_is_given_again),
	    cmocka_unit_test(file_that_may_change_is_copied),
	    cmocka_unit_test(more_files_than_a_boot_has_are_served_and_not_kept),
	    cmocka_unit_test(listen_addresses),
	    cmocka_unit_test(windows_leave_as_the_packets_they_are),
	    cmocka_unit_test(windows_leave_one_by_one_where_the_kernel_does_not_cut),
	    cmocka_unit_test(a_full_outbox_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
