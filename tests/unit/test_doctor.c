/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What `cowherd doctor` reads: rules of a packet filter, offers of DHCP servers, leases; and what it knows of boards.
 */
#include "cow_test.h"

#include <arpa/inet.h>

#include "common/cleanup.h"
#include "dhcp_probe.h"
#include "doctor_nft.h"
#include "rpi_model.h"
#include "snapshot/leases.h"

/* ------------------------------------------------ packet filter */

#define CHAIN(policy)                                                                              \
	"{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"in\",\"hook\":\"input\","      \
	"\"policy\":\"" policy                                                                     \
	"\"}},{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"sub\"}}"
#define RULE_IN(chain, ...)                                                                        \
	",{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"" chain                       \
	"\",\"expr\":[" __VA_ARGS__ "]}}"
#define RULE(...) RULE_IN("in", __VA_ARGS__)
#define MATCH(left, op, right)                                                                     \
	"{\"match\":{\"op\":\"" op "\",\"left\":{" left "},\"right\":" right "}},"
#define DPORT(proto) "\"payload\":{\"protocol\":\"" proto "\",\"field\":\"dport\"}"
#define META(key) "\"meta\":{\"key\":\"" key "\"}"
#define STATE "\"ct\":{\"key\":\"state\"}"
#define SADDR "\"payload\":{\"protocol\":\"ip\",\"field\":\"saddr\"}"
#define ACCEPT "{\"accept\":null}"
#define DROP "{\"drop\":null}"
#define JUMP "{\"jump\":{\"target\":\"sub\"}}"

static void check_udp69(const char *rules, bool want)
{
	cow_autofree char *text = NULL;
	const char *chain = "";

	assert_true(asprintf(&text, "{\"nftables\":[%s]}", rules) > 0);
	struct json_object *o = json_tokener_parse(text);

	assert_non_null(o);
	if (cow_nft_drops(o, "udp", 69, "eth0", &chain) != want)
		fail_msg("%s: %s", want ? "not dropped" : "dropped", rules);
	if (want)
		assert_string_equal(chain, "in");
	json_object_put(o);
}

static void rules_are_followed_for_one_packet(void **state)
{
	check_udp69(CHAIN("accept"), false);
	check_udp69(CHAIN("drop"), true);
	check_udp69(CHAIN("drop") RULE(MATCH(DPORT("udp"), "==", "69") ACCEPT), false);
	check_udp69(CHAIN("drop") RULE(MATCH(DPORT("udp"), "==", "67") ACCEPT), true);
	check_udp69(CHAIN("drop") RULE(MATCH(DPORT("tcp"), "==", "69") ACCEPT), true);
	check_udp69(CHAIN("drop") RULE(MATCH(DPORT("th"), "==", "{\"range\":[60,70]}") ACCEPT),
		    false);
	check_udp69(CHAIN("drop") RULE(MATCH(DPORT("udp"), "==", "{\"set\":[67,69]}") ACCEPT),
		    false);
	check_udp69(CHAIN("drop")
			RULE(MATCH(DPORT("udp"), "==", "{\"set\":[67,{\"range\":[1,9]}]}") ACCEPT),
		    true);
	check_udp69(CHAIN("accept") RULE(MATCH(DPORT("udp"), "!=", "53") DROP), true);
	check_udp69(CHAIN("accept") RULE(MATCH(META("iifname"), "==", "\"eth1\"") DROP), false);
	check_udp69(CHAIN("accept") RULE(MATCH(META("iifname"), "==", "\"eth*\"") DROP), true);
	check_udp69(CHAIN("accept") RULE(MATCH(META("l4proto"), "==", "\"udp\"") DROP), true);
	check_udp69(CHAIN("drop") RULE(MATCH(STATE, "in", "[\"established\",\"related\"]") ACCEPT),
		    true);
	check_udp69(CHAIN("drop") RULE("{\"counter\":{\"packets\":1}}," ACCEPT), false);
	/* the first rule that fits decides */
	check_udp69(CHAIN("accept") RULE(MATCH(DPORT("udp"), "==", "69") ACCEPT) RULE(DROP), false);
}

static void chains_are_entered_and_left(void **state)
{
	check_udp69(CHAIN("accept") RULE(JUMP) RULE_IN("sub", MATCH(DPORT("udp"), "==", "69") DROP),
		    true);
	check_udp69(CHAIN("accept") RULE(JUMP) RULE_IN("sub", "{\"return\":null}")
			RULE_IN("sub", DROP),
		    false);
	check_udp69(CHAIN("drop") RULE(JUMP) RULE_IN("sub", MATCH(DPORT("udp"), "==", "69") ACCEPT),
		    false);
	check_udp69(CHAIN("accept") RULE(JUMP) RULE_IN("sub", JUMP), false); /* round and round */
}

static void what_is_not_understood_drops_nothing_for_certain(void **state)
{
	check_udp69(CHAIN("drop") RULE(MATCH(SADDR, "==", "\"10.0.0.1\"") ACCEPT), false);
	check_udp69(CHAIN("accept") RULE(MATCH(SADDR, "==", "\"10.0.0.1\"") DROP), false);
	check_udp69(CHAIN("drop") RULE("{\"xt\":null}," ACCEPT), false);
	check_udp69(CHAIN("drop") RULE(MATCH(DPORT("udp"), "==", "\"@ports\"") ACCEPT), false);
	check_udp69("", false);
	check_udp69("1,\"x\",{\"chain\":5}", false);
}

/* ------------------------------------------------ DHCP */

static const uint8_t
    offer[] =
	{
	    [0] = 2, 1,	  6,   0,	   1,	2,   3,	  4,   [16] = 10, 77,  0,   5,	 10,
	    77,	     0,	  1,   [236] = 99, 130, 83,  99,  53,  1,	  2,   0,   54,	 4,
	    10,	     77,  0,   2,	   66,	9,   '1', '0', '.',	  '7', '7', '.', '0',
	    '.',     '1', 43,  20,	   'R', 'a', 's', 'p', 'b',	  'e', 'r', 'r', 'y',
	    ' ',     'P', 'i', ' ',	   'B', 'o', 'o', 't', ' ',	  ' ', ' ', 255,
};

static void offer_says_who_and_where(void **state)
{
	static const uint8_t id[4] = {1, 2, 3, 4};
	struct cow_dhcp_offer o;
	uint32_t xid;

	memcpy(&xid, id, 4);
	assert_int_equal(cow_dhcp_offer_parse(offer, sizeof(offer), xid, &o), 0);
	assert_int_equal(ntohl(o.server.s_addr), 0x0a4d0002);
	assert_int_equal(ntohl(o.address.s_addr), 0x0a4d0005);
	assert_int_equal(ntohl(o.next.s_addr), 0x0a4d0001);
	assert_string_equal(o.tftp, "10.77.0.1");
	assert_true(o.pi_menu);
	assert_int_equal(cow_dhcp_offer_parse(offer, sizeof(offer), xid + 1, &o), -EINVAL);
	for (size_t n = 0; n < 240 + 10; n++) /* until it says whose it is */
		assert_int_equal(cow_dhcp_offer_parse(offer, n, xid, &o), -EINVAL);
}

struct seen {
	unsigned n;
	struct cow_lease last;
};

static int see(void *ctx, const struct cow_lease *l)
{
	struct seen *seen = ctx;

	seen->n++;
	seen->last = *l;
	return 0;
}

static void leases_of_boards_are_read(void **state)
{
	static const char text[] = "\n"
				   "duid 00:01:00:01:2c\n"
				   "1700000000 12345678 fd00::5 * 00:01\n"
				   "0 dc:a6:32:01:02:03\n"
				   "x dc:a6:32:01:02:03 10.0.0.1 * *\n"
				   "0 dc:a6:32:01:02:03 10.0.0.256 * *\n"
				   "1700000000 dc:a6:32:01:02:03 10.77.0.101 pi-one 01:dc:a6\n";
	static const char endless[] = "0 dc:a6:32:01:02:04 10.77.0.102 * *\n";
	struct seen seen = {0};

	assert_int_equal(cow_leases_each(text, 1699999999, see, &seen), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(ntohl(seen.last.addr.s_addr), 0x0a4d0065);
	assert_int_equal(seen.last.mac.b[5], 3);
	assert_string_equal(seen.last.name, "pi-one");
	assert_int_equal(cow_leases_each(text, 1700000000, see, &seen), 0); /* it has ended */
	assert_int_equal(seen.n, 1);
	assert_int_equal(cow_leases_each(endless, 1700000000, see, &seen), 0);
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.last.name, "");
}

static void addresses_tell_the_board(void **state)
{
	static const struct {
		struct cow_mac mac;
		enum cow_rpi_model model;
	} boards[] = {
	    {{{0xb8, 0x27, 0xeb, 1, 2, 3}}, COW_RPI_PI3},
	    {{{0xdc, 0xa6, 0x32, 1, 2, 3}}, COW_RPI_PI4},
	    {{{0x2c, 0xcf, 0x67, 1, 2, 3}}, COW_RPI_PI4_OR_PI5},
	    {{{0x52, 0x54, 0x00, 1, 2, 3}}, COW_RPI_UNKNOWN},
	};
	enum cow_rpi_model m;

	for (size_t i = 0; i < sizeof(boards) / sizeof(boards[0]); i++)
		assert_int_equal(cow_rpi_model_of(&boards[i].mac), boards[i].model);
	assert_int_equal(cow_rpi_model_parse("pi5", &m), 0);
	assert_int_equal(m, COW_RPI_PI5);
	assert_int_equal(cow_rpi_model_parse("pi4-or-pi5", &m), -EINVAL);
	assert_int_equal(cow_rpi_model_parse("", &m), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_are_followed_for_one_packet),
	    cmocka_unit_test(chains_are_entered_and_left),
	    cmocka_unit_test(what_is_not_understood_drops_nothing_for_certain),
	    cmocka_unit_test(offer_says_who_and_where),
	    cmocka_unit_test(leases_of_boards_are_read),
	    cmocka_unit_test(addresses_tell_the_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
