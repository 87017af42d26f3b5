/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Virtual boards of every kind boot from cowherd-tftpd as it runs: the real program, with --clients match, over a real
 * store. Each board is a network interface with its own Ethernet and IP address, so that the server tells them apart as
 * it does real ones. Needs root; all it makes lives in namespaces of its own and one temporary directory.
 */
#include "../../unit/cow_test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "../lab.h"
#include "../tftp_client.h"
#include "board.h"
#include "common/clock.h"
#include "snapshot/image.h"

#define PORT 69
#define SERVER "10.98.0.1"
#define HERD 200u
#define HERD_DIVISOR 16u /* of large files, so that a herd boots in seconds */
#define LOSSY 32u
#define ALL (BOARD_KINDS + HERD + LOSSY)

static struct {
	const char *program;
	bool is_long;
	char dir[64];
	struct cow_store *store;
	pid_t daemon;
	struct board board[ALL]; /* one of each kind, the herd, those that lose packets */
} lab;

/* ---------------------------------------------------------------- building */

static void import(const char *name, unsigned divisor)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	char src[128];
	unsigned version;

	(void)snprintf(src, sizeof(src), "%s/%s", lab.dir, name);
	must(boot_tree_make(src, divisor), src, NULL);
	must(cow_image_import(lab.store, name, src, &opts, &version, &err), name, &err);
	sh("rm -rf %s", src);
}

static void make_store(void)
{
	lab.store = lab_store_on_ext4(lab.dir, "1G");
	import("whole", 1);
	import("herd", HERD_DIVISOR);
}

static const char *own_name(const struct kind *k)
{
	for (const struct stage *st = k->stages; st->loader; st++) {
		for (const struct step *s = st->steps; s->name; s++) {
			if (s->own)
				return *s->name == '/' ? s->name + 1 : s->name;
		}
	}
	return NULL;
}

/* The administrator's file for this board alone. */
static void put_override(const struct board *b)
{
	const char *name = own_name(b->kind);
	uint32_t seed = boot_seed(b->mac);
	char path[256];

	if (!name)
		return;
	(void)snprintf(path, sizeof(path), "%s/store/clients/%s/boot/%s", lab.dir, b->mac, name);
	for (char *p = path + strlen(lab.dir) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		must(mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0, path, NULL);
		*p = '/';
	}
	FILE *f = fopen(path, "we");

	must(f ? 0 : -errno, path, NULL);
	for (uint32_t i = 0; i < b->own_size; i++)
		(void)fputc(boot_byte(seed, i), f);
	must(fclose(f) == 0 ? 0 : -EIO, path, NULL);
}

static void add_client(const struct board *b, const char *image)
{
	const struct cow_client_add_opts opts = {.image = image, .backend = COW_BACKEND_OVERLAY};
	struct cow_err err = COW_ERR_INIT;
	const struct cow_mac mac = mac_of(b->mac);
	char words[32];

	must(cow_client_add(lab.store, &mac, &opts, &err), b->mac, &err);
	must(cow_client_set(lab.store, &mac, "serial", b->serial, &err), "serial", &err);
	(void)snprintf(words, sizeof(words), "board=%u.", b->number);
	must(cow_client_set(lab.store, &mac, "cmdline", words, &err), "cmdline", &err);
	put_override(b);
}

static void make_boards(void)
{
	for (unsigned i = 0; i < ALL; i++) {
		struct board *b = &lab.board[i];
		bool lossy = i >= BOARD_KINDS + HERD;
		bool whole = i < BOARD_KINDS || (lab.is_long && !lossy);

		*b = (struct board){
		    .kind = &board_kinds[i % BOARD_KINDS],
		    .number = i,
		    .addr = {.s_addr = htonl(0x0a620100 + i)},
		    .server = {.sin_family = AF_INET, .sin_port = htons(PORT)},
		    .divisor = whole ? 1 : HERD_DIVISOR,
		    .own_size = 1000 + i * 37,
		    .loss = lossy ? 100 : 0,
		};
		(void)inet_pton(AF_INET, SERVER, &b->server.sin_addr);
		(void)snprintf(b->mac, sizeof(b->mac), "dc-a6-32-00-%02x-%02x", i / 256, i % 256);
		(void)snprintf(b->serial, sizeof(b->serial), "%08x", 0x9ffe0000u + i);
		(void)snprintf(b->device, sizeof(b->device), "m%u", i);
		add_client(b, whole ? "whole" : "herd");
	}
}

/* Each board an interface of its own on one cable; the daemon's namespace has the other end. */
static void make_network(pid_t daemon)
{
	char path[128];

	sh("ip link set lo up && ip link add cable type veth peer name hub netns %d", daemon);
	sh("nsenter -t %d -n ip addr add " SERVER "/16 dev hub", daemon);
	sh("nsenter -t %d -n ip link set dev hub up && ip link set cable up", daemon);
	sh("cd /proc/sys/net/ipv4/conf && echo 1 >all/arp_ignore && echo 2 >all/arp_announce && "
	   "echo 0 >all/rp_filter && echo 0 >default/rp_filter");
	(void)snprintf(path, sizeof(path), "%s/links", lab.dir);
	FILE *f = fopen(path, "we");

	must(f ? 0 : -errno, path, NULL);
	for (unsigned i = 0; i < ALL; i++) {
		const struct board *b = &lab.board[i];
		char mac[18], ip[INET_ADDRSTRLEN];

		(void)snprintf(mac, sizeof(mac), "%s", b->mac);
		for (char *p = mac; (p = strchr(p, '-')); p++)
			*p = ':';
		(void)inet_ntop(AF_INET, &b->addr, ip, sizeof(ip));
		(void)fprintf(f,
			      "link add link cable name %s address %s type macvlan mode private\n"
			      "addr add %s/16 dev %s\nlink set %s up\n",
			      b->device, mac, ip, b->device, b->device);
	}
	must(fclose(f) == 0 ? 0 : -EIO, path, NULL);
	sh("ip -batch %s", path);
}

static void start_daemon(void)
{
	char store[128];
	const char *const argv[] = {lab.program,   "--store", store,	   "--user", "nobody",
				    "--log-level", "warning", "--clients", "match",  NULL};

	(void)snprintf(store, sizeof(store), "%s/store", lab.dir);
	lab.daemon = lab_fork_daemon(argv, -1, make_network);
}

/* ---------------------------------------------------------------- booting */

static void *boot_one(void *arg)
{
	(void)board_boot(arg);
	return NULL;
}

/* All at once; what went wrong is said of each. */
static void boot_all(const char *what, struct board *b, size_t n)
{
	pthread_t *thread = calloc(n, sizeof(*thread));
	unsigned requests = 0, missing = 0, resends = 0, duplicates = 0, failed = 0;
	uint64_t bytes = 0, began = cow_now_ms();
	pthread_attr_t small;

	assert_non_null(thread);
	(void)pthread_attr_init(&small);
	(void)pthread_attr_setstacksize(&small, 256u << 10);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&thread[i], &small, boot_one, &b[i]), 0);
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(thread[i], NULL);
	(void)pthread_attr_destroy(&small);
	free(thread);
	for (size_t i = 0; i < n; i++) {
		requests += b[i].requests;
		missing += b[i].missing;
		resends += b[i].resends;
		duplicates += b[i].duplicates;
		bytes += b[i].bytes;
		if (*b[i].why) {
			print_error("%s\n", b[i].why);
			failed++;
		}
	}
	print_message("%s: %zu boards, %u failed; %u requests, %u of them for what is not there, "
		      "%.1f MiB, %.1f s; asked again %u times, blocks twice %u\n",
		      what, n, failed, requests, missing, (double)bytes / (1 << 20),
		      (double)(cow_now_ms() - began) / 1000, resends, duplicates);
	assert_int_equal(failed, 0);
}

static void one_of_each_kind_boots(void **state)
{
	for (size_t i = 0; i < BOARD_KINDS; i++)
		boot_all(board_kinds[i].name, &lab.board[i], 1);
}

/* A machine that was reset in mid file asks for the same from the same port. It is silent for longer than this before
 * it does; what asks again at once is a copy of the request that wandered. */
#define RESET_MS 1500

static void a_board_that_was_reset_boots(void **state)
{
	struct board *b = &lab.board[0];
	struct sockaddr_in to = b->server;
	struct tftp_client c;
	uint8_t pkt[600];
	char source[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &b->addr, source, sizeof(source));
	assert_int_equal(tftp_client_open_at(&c, source, 49152, b->device, &to), 0);
	assert_int_equal(tftp_client_request(&c, "\0\1bootcode.bin\0octet", 21), 0);
	for (unsigned block = 1; block <= 5; block++) {
		assert_int_equal(tftp_client_recv(&c, pkt, sizeof(pkt), 5000), 516);
		assert_int_equal(pkt[3], block);
		assert_int_equal(tftp_client_ack(&c, block), 0);
	}
	assert_int_equal(tftp_client_recv(&c, pkt, sizeof(pkt), 5000), 516);
	tftp_client_close(&c);
	(void)usleep(RESET_MS * 1000);
	boot_all("reset in mid file", b, 1);
}

/* The answer was lost, or late: the board asks again from the same port, and there is one transfer. */
static void a_request_again_is_the_same_transfer(void **state)
{
	static const char rq[] = "\0\1start4.elf\0octet\0tsize\0"
				 "0\0blksize\0"
				 "1024";
	struct board *b = &lab.board[5];
	struct tftp_client c;
	uint8_t first[2048], again[2048];
	char source[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &b->addr, source, sizeof(source));
	assert_int_equal(tftp_client_open_at(&c, source, 50000, b->device, &b->server), 0);
	assert_int_equal(tftp_client_request(&c, rq, sizeof(rq)), 0);
	long n = tftp_client_recv(&c, first, sizeof(first), 5000);
	in_port_t port = c.tid.sin_port;

	assert_true(n > 4 && first[1] == 6);
	assert_int_equal(tftp_client_request(&c, rq, sizeof(rq)), 0);
	assert_int_equal(tftp_client_recv(&c, again, sizeof(again), 5000), n);
	assert_memory_equal(first, again, (size_t)n);
	assert_int_equal(c.tid.sin_port, port);
	assert_int_equal(tftp_client_ack(&c, 0), 0);
	assert_int_equal(tftp_client_recv(&c, first, sizeof(first), 5000), 1028);
	assert_memory_equal(first, "\0\3\0\1", 4);
	assert_int_equal(c.tid.sin_port, port);
	/* It comes again when there was no ACK, and not before a second has passed. */
	assert_int_equal(tftp_client_recv(&c, again, sizeof(again), 700), 0);
	assert_int_equal(tftp_client_recv(&c, again, sizeof(again), 5000), 1028);
	assert_memory_equal(first, again, 1028);
	assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
	assert_int_equal(tftp_client_recv(&c, again, sizeof(again), 100), 0);
	tftp_client_close(&c);
}

static void two_hundred_boards_boot_at_once(void **state)
{
	boot_all("a herd", lab.board + BOARD_KINDS, HERD);
}

static void boards_boot_where_packets_are_lost(void **state)
{
	if (!lab.is_long) {
		print_message("only in the long form\n");
		skip();
	}
	boot_all("one packet of a hundred lost", lab.board + BOARD_KINDS + HERD, LOSSY);
}

/* ---------------------------------------------------------------- set-up */

static int wait_ready(void)
{
	const struct board *b = &lab.board[0];
	char source[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &b->addr, source, sizeof(source));
	for (int i = 0; i < 100; i++) {
		struct tftp_client c;
		uint8_t pkt[64];

		if (tftp_client_open_at(&c, source, 40000, b->device, &b->server) < 0)
			return -1;
		(void)tftp_client_request(&c, "\0\1probe\0octet", 14);
		long n = tftp_client_recv(&c, pkt, sizeof(pkt), 100);

		tftp_client_close(&c);
		if (n > 4)
			return 0;
	}
	return -1;
}

/* Also when the set-up fails, which ends the program. */
static void clean_up(void)
{
	if (lab.daemon > 0) {
		(void)kill(lab.daemon, SIGTERM);
		(void)waitpid(lab.daemon, NULL, 0);
	}
	cow_store_close(lab.store);
	if (lab_dir_remove(lab.dir) < 0)
		print_error("%s is left behind\n", lab.dir);
}

static int set_up(void **state)
{
	struct rlimit files = {0};

	(void)umask(0);
	must(getrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0, "limit of open files", NULL);
	files.rlim_cur = files.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0, "sockets of 200 boards", NULL);
	lab_dir_make("boards", lab.dir);
	must(atexit(clean_up) == 0 ? 0 : -ENOMEM, "cleaning up", NULL);
	make_store();
	make_boards();
	start_daemon();
	return wait_ready();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_of_each_kind_boots),
	    cmocka_unit_test(a_board_that_was_reset_boots),
	    cmocka_unit_test(a_request_again_is_the_same_transfer),
	    cmocka_unit_test(two_hundred_boards_boot_at_once),
	    cmocka_unit_test(boards_boot_where_packets_are_lost),
	};

	if (argc != 2) {
		(void)fprintf(stderr, "usage: test_boards PROGRAM\n");
		return 2;
	}
	lab.program = argv[1];
	lab.is_long = getenv("COWHERD_TEST_LONG"); /* NOLINT(concurrency-mt-unsafe): one thread */
	if (!lab_enter())
		return SKIP;
	return cmocka_run_group_tests(tests, set_up, NULL);
}
