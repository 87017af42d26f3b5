/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Parts of `serve` that need no service: the way from one list of exports to another, wire forms,
 * pauses, events, the supervision of a real but harmless program.
 */
#include "cow_test.h"

#include <signal.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fields.h"
#include "serve_child.h"
#include "serve_enrol.h"
#include "serve_exports.h"
#include "serve_probe.h"
#include "serve_small.h"
#include "snapshot/client.h"

static struct cow_export_list list_of(struct cow_export *e, size_t n)
{
	return (struct cow_export_list){.e = e, .n = n};
}

struct step {
	bool any;
	enum cow_bus_op op;
	unsigned id;
	uint64_t wait_ms;
};

static struct step next(const struct cow_export_list *have, const struct cow_export_list *want,
			const struct cow_herd *h, uint64_t now_ms)
{
	struct step s = {0};

	s.any = cow_export_next(have, want, h, now_ms, &s.op, &s.id, &s.wait_ms);
	return s;
}

static void exports_are_removed_then_updated_then_added(void **state)
{
	struct cow_export have_e[] = {{.id = "a", .export_id = 1, .who = "10.0.0.1"},
				      {.id = "b", .export_id = 2, .who = "10.0.0.2"},
				      {.id = "c", .export_id = 3, .who = ""}};
	struct cow_export want_e[] = {{.id = "b", .export_id = 2, .who = "10.0.0.2"},
				      {.id = "c", .export_id = 3, .who = "10.0.0.3"},
				      {.id = "a", .export_id = 4, .who = ""}};
	struct cow_export_list have = list_of(have_e, 3), want = list_of(want_e, 3);
	struct cow_herd h = {0};

	(void)state;
	struct step s = next(&have, &want, &h, 1);
	assert_true(s.any && s.op == COW_BUS_REMOVE && s.id == 1);
	have = list_of(have_e + 1, 2);
	s = next(&have, &want, &h, 1);
	assert_true(s.any && s.op == COW_BUS_UPDATE && s.id == 3);
	(void)strcpy(have_e[2].who, "10.0.0.3");
	s = next(&have, &want, &h, 1);
	assert_true(s.any && s.op == COW_BUS_ADD && s.id == 4);
	have = list_of(want_e, 3);
	s = next(&have, &want, &h, 1);
	assert_false(s.any);
	assert_int_equal(s.wait_ms, 0);
}

static void export_id_of_another_client_is_taken_out_first(void **state)
{
	struct cow_export have_e[] = {{.id = "a", .export_id = 1, .who = ""}};
	struct cow_export want_e[] = {{.id = "b", .export_id = 1, .who = ""}};
	struct cow_export_list have = list_of(have_e, 1), want = list_of(want_e, 1);
	struct cow_herd h = {0};

	(void)state;
	struct step s = next(&have, &want, &h, 1);
	assert_true(s.any && s.op == COW_BUS_REMOVE && s.id == 1);
}

static void client_that_cannot_be_read_keeps_its_export(void **state)
{
	struct cow_export have_e[] = {{.id = "a", .export_id = 1, .who = ""}};
	struct cow_export_list have = list_of(have_e, 1), want = {0};
	struct cow_herd_bad bad = {.id = "a", .text = "damaged"};
	struct cow_herd h = {.bad = &bad, .bads = 1};

	(void)state;
	assert_false(next(&have, &want, &h, 1).any);
}

static void refused_export_waits_its_time_and_holds_up_no_other(void **state)
{
	struct cow_export want_e[] = {{.id = "a", .export_id = 1, .retry_ms = 5000},
				      {.id = "b", .export_id = 2}};
	struct cow_export_list have = {0}, want = list_of(want_e, 2);
	struct cow_herd h = {0};

	(void)state;
	struct step s = next(&have, &want, &h, 1000);
	assert_true(s.any && s.op == COW_BUS_ADD && s.id == 2);
	have = list_of(want_e + 1, 1);
	s = next(&have, &want, &h, 1000);
	assert_false(s.any);
	assert_int_equal(s.wait_ms, 4000);
	s = next(&have, &want, &h, 5000);
	assert_true(s.any && s.id == 1);
}

static void wanted_list_is_sorted_and_keeps_failures(void **state)
{
	struct cow_herd_client c[] = {{.id = "a", .export_id = 9, .bound = "10.0.0.1"},
				      {.id = "b", .export_id = 3, .bound = ""},
				      {.id = "c", .export_id = 9, .bound = ""}};
	struct cow_herd h = {.client = c, .clients = 3};
	struct cow_serve_net net = {0};
	struct cow_export_list one, two;
	cow_autoconfig config = NULL;

	(void)state;
	assert_int_equal(cow_config_new(&config), 0);
	assert_int_equal(cow_export_list_of(config, &net, &h, NULL, &one), 0);
	assert_int_equal(one.n, 2);
	assert_int_equal(one.e[0].export_id, 3);
	assert_string_equal(one.e[1].id, "a");
	one.e[0].failures = one.e[1].failures = 4;
	(void)strcpy(c[0].bound, "10.0.0.2");
	assert_int_equal(cow_export_list_of(config, &net, &h, &one, &two), 0);
	assert_int_equal(two.e[0].failures, 4);
	assert_int_equal(two.e[1].failures, 0); /* it changed: worth a new try at once */
	cow_export_list_done(&one);
	cow_export_list_done(&two);
}

/* ------------------------------------------------ wire */

static const uint8_t good_reply[28] = {0x80, 0, 0, 24, 0, 0, 0, 7, 0, 0, 0, 1};

static void null_reply_is_taken_whole_or_not_at_all(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(good_reply); n++)
		assert_int_equal(cow_rpc_null_reply(good_reply, n, 7), 0);
	assert_int_equal(cow_rpc_null_reply(good_reply, sizeof(good_reply), 7), 28);
	assert_int_equal(cow_rpc_null_reply(good_reply, sizeof(good_reply), 8), -EPROTO);
}

static void refused_or_odd_replies_are_no_answer(void **state)
{
	uint8_t r[28];

	(void)state;
	memcpy(r, good_reply, sizeof(r));
	r[27] = 2; /* PROG_MISMATCH */
	assert_int_equal(cow_rpc_null_reply(r, sizeof(r), 7), -EPROTO);
	memcpy(r, good_reply, sizeof(r));
	r[15] = 1; /* MSG_DENIED */
	assert_int_equal(cow_rpc_null_reply(r, sizeof(r), 7), -EPROTO);
	memcpy(r, good_reply, sizeof(r));
	r[20] = r[21] = r[22] = r[23] = 0xff; /* a verifier longer than the record */
	assert_int_equal(cow_rpc_null_reply(r, sizeof(r), 7), -EPROTO);
	memcpy(r, good_reply, sizeof(r));
	r[23] = 4; /* a verifier that leaves no room for the status */
	assert_int_equal(cow_rpc_null_reply(r, sizeof(r), 7), -EPROTO);
	r[0] = 0x7f;
	assert_int_equal(cow_rpc_null_reply(r, sizeof(r), 7), -EPROTO);
}

static void null_call_has_the_form_of_rfc_5531(void **state)
{
	uint8_t c[COW_RPC_CALL_LEN];

	(void)state;
	cow_rpc_null_call(0x01020304, 100003, 4, c);
	const uint8_t want[28] = {0x80, 0, 0, 40, 1,	2,    3, 4, 0, 0, 0, 0, 0, 0,
				  0,	2, 0, 1,  0x86, 0xa3, 0, 0, 0, 4, 0, 0, 0, 0};
	assert_memory_equal(c, want, sizeof(want));
}

static void boot_event_is_parsed_strictly(void **state)
{
	struct cow_boot_event e;

	(void)state;
	assert_int_equal(
	    cow_boot_event_parse("boot mac=dc-a6-32-01-02-03 addr=10.77.0.101 file=boot.ipxe", &e),
	    0);
	assert_int_equal(e.mac.b[0], 0xdc);
	assert_string_equal(e.addr, "10.77.0.101");
	assert_string_equal(e.file, "boot.ipxe");
	static const char *const bad[] = {
	    "",
	    "boot",
	    "halt mac=dc-a6-32-01-02-03 addr=10.77.0.101 file=x",
	    "boot mac=dc-a6-32-01-02 addr=10.77.0.101 file=x",
	    "boot mac=dc-a6-32-01-02-03 addr=10.77.0.999 file=x",
	    "boot mac=dc-a6-32-01-02-03 addr=10.77.0.1/8 file=x",
	    "boot mac=dc-a6-32-01-02-03 addr=10.77.0.101",
	    "boot mac=dc-a6-32-01-02-03 addr= file=x",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cow_boot_event_parse(bad[i], &e) != -EINVAL)
			fail_msg("taken: '%s'", bad[i]);
}

/* ------------------------------------------------ strangers, reports */

static int count_line(void *ctx, const char *line)
{
	unsigned *n = ctx;

	assert_true(cow_fields_is(line, "pending"));
	++*n;
	return 0;
}

static void put_stranger(struct cow_enrol *e, const char *more, unsigned i)
{
	struct cow_herd h = {0};
	struct cow_mac mac;
	char line[256];

	(void)snprintf(line, sizeof(line), "stranger v=1 mac=02-00-00-00-%02x-%02x sure=1 %s",
		       i >> 8, i & 255, more);
	assert_int_equal(cow_enrol_stranger(e, &h, line, &mac), 0);
}

/* Made-up addresses push each other out, and nothing grows. */
static void list_of_strangers_is_bounded(void **state)
{
	struct tmpdir *t = *state;
	char path[128];
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoloop l = NULL;
	cow_autoconfig config = NULL;
	struct cow_enrol *e;
	unsigned n = 0;

	(void)snprintf(path, sizeof(path), "%s/store", t->path);
	assert_int_equal(cow_store_init(path, &err), 0);
	assert_int_equal(cow_store_open(path, &s, &err), 0);
	assert_int_equal(cow_loop_new(&l), 0);
	assert_int_equal(cow_config_new(&config), 0);
	assert_int_equal(cow_enrol_new(l, s, config, &e), 0);
	for (unsigned i = 0; i < 3 * COW_PENDING_MAX; i++)
		put_stranger(e, "addr=10.0.0.1 serial=12345678 model=rpi-4", i);
	put_stranger(e, "addr=none serial=123456789 model=%1B%5B2J%0A", 3 * COW_PENDING_MAX - 1);
	cow_enrol_free(e);
	assert_int_equal(cow_store_pending_each(s, count_line, &n), 0);
	assert_int_equal(n, COW_PENDING_MAX);
	/* kept over a restart; a client is none of them */
	struct cow_herd_client c = {.id = "02-00-00-00-02-ff"};
	struct cow_herd h = {.client = &c, .clients = 1};
	assert_int_equal(cow_enrol_new(l, s, config, &e), 0);
	cow_enrol_clients(e, &h);
	cow_enrol_free(e);
	n = 0;
	assert_int_equal(cow_store_pending_each(s, count_line, &n), 0);
	assert_int_equal(n, COW_PENDING_MAX - 1);
	static const char *const bad[] = {"stranger", "stranger v=2 mac=02-00-00-00-00-01 sure=1",
					  "stranger v=1 mac=x sure=1",
					  "stranger v=1 mac=02-00-00-00-00-01"};
	struct cow_mac mac;
	assert_int_equal(cow_enrol_new(l, s, config, &e), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_enrol_stranger(e, &h, bad[i], &mac), -EINVAL);
	cow_enrol_free(e);
}

/* ------------------------------------------------ supervision */

static void pause_doubles_up_to_its_ceiling_and_starts_over(void **state)
{
	uint64_t p = 0;

	(void)state;
	p = cow_child_next_pause(p, 10);
	assert_int_equal(p, 200);
	p = cow_child_next_pause(p, 10);
	assert_int_equal(p, 400);
	for (int i = 0; i < 10; i++)
		p = cow_child_next_pause(p, 10);
	assert_int_equal(p, 30000);
	assert_int_equal(cow_child_next_pause(p, 60000), 200);
}

struct nursery {
	struct cow_loop *loop;
	struct cow_child child;
	struct cow_timer timer;
	unsigned lives;
	bool kill;
	pid_t last;
};

static void nursery_changed(void *ctx, struct cow_child *c)
{
	struct nursery *n = ctx;

	if (c->state == COW_CHILD_OFF)
		cow_loop_stop(n->loop);
	if (c->state != COW_CHILD_RUNNING)
		return;
	n->last = c->pid;
	n->lives++;
	if (n->lives == 1)
		assert_int_equal(kill(c->pid, SIGKILL), 0);
	else
		cow_child_stop(c);
}

static void nursery_late(void *ctx)
{
	(void)ctx;
	fail_msg("%s", "the loop did not end in time");
}

static void nursery_start(struct nursery *n, const char *script, unsigned stop_ms)
{
	*n = (struct nursery){0};
	assert_int_equal(cow_loop_new(&n->loop), 0);
	n->child = (struct cow_child){.name = "sh",
				      .argv = {"/bin/sh", "-c", script},
				      .stop_ms = stop_ms,
				      .loop = n->loop,
				      .changed = nursery_changed,
				      .ctx = n};
	n->timer = (struct cow_timer){.fn = nursery_late};
	cow_loop_timer(n->loop, &n->timer, 20000);
}

static void dead_child_is_started_again_and_stopped_when_asked(void **state)
{
	struct nursery n;

	(void)state;
	nursery_start(&n, "exec sleep 30", 5000);
	cow_child_start(&n.child);
	assert_int_equal(cow_loop_run(n.loop), 0);
	assert_int_equal(n.lives, 2);
	assert_int_equal(n.child.restarts, 1);
	assert_string_equal(n.child.reason, "killed by signal 9 (KILL)");
	assert_int_equal(kill(n.last, 0), -1); /* waited for: gone */
	assert_int_equal(errno, ESRCH);
	cow_loop_timer_off(n.loop, &n.timer);
	cow_loop_free(n.loop);
}

static void child_that_ignores_sigterm_is_killed_after_its_time(void **state)
{
	struct nursery n;

	(void)state;
	nursery_start(&n, "trap '' TERM; while :; do sleep 0.05; done", 300);
	n.lives = 5; /* do not kill the first */
	uint64_t start = cow_now_ms();
	cow_child_start(&n.child);
	assert_int_equal(cow_loop_run(n.loop), 0);
	assert_true(cow_now_ms() - start < 10000);
	assert_int_equal(n.child.state, COW_CHILD_OFF);
	cow_loop_timer_off(n.loop, &n.timer);
	cow_loop_free(n.loop);
}

static void guard_ends_its_group_when_we_are_gone(void **state)
{
	int fd = -1, status;

	(void)state;
	pid_t guard = cow_guard_start(&fd);
	assert_true(guard > 0);
	pid_t child = fork();
	if (child == 0) {
		(void)setpgid(0, guard);
		(void)close(fd); /* as exec would */
		for (;;)
			(void)pause();
	}
	(void)setpgid(child, guard);
	(void)close(fd);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_int_equal(waitpid(guard, &status, 0), guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exports_are_removed_then_updated_then_added),
	    cmocka_unit_test(export_id_of_another_client_is_taken_out_first),
	    cmocka_unit_test(client_that_cannot_be_read_keeps_its_export),
	    cmocka_unit_test(refused_export_waits_its_time_and_holds_up_no_other),
	    cmocka_unit_test(wanted_list_is_sorted_and_keeps_failures),
	    cmocka_unit_test(null_reply_is_taken_whole_or_not_at_all),
	    cmocka_unit_test(refused_or_odd_replies_are_no_answer),
	    cmocka_unit_test(null_call_has_the_form_of_rfc_5531),
	    cmocka_unit_test(boot_event_is_parsed_strictly),
	    cmocka_unit_test_setup_teardown(list_of_strangers_is_bounded, tmpdir_setup,
					    tmpdir_teardown),
	    cmocka_unit_test(pause_doubles_up_to_its_ceiling_and_starts_over),
	    cmocka_unit_test(dead_child_is_started_again_and_stopped_when_asked),
	    cmocka_unit_test(child_that_ignores_sigterm_is_killed_after_its_time),
	    cmocka_unit_test(guard_ends_its_group_when_we_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
