/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd doctor: the network before TFTP - who answers DHCP, bridges that swallow the first packets, boards that got
 * an address and then never asked for a file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "dhcp_probe.h"
#include "doctor.h"
#include "rpi_model.h"
#include "snapshot/leases.h"

#define OFFERS_MAX 16
#define OFFER_WAIT_MS 3000 /* dnsmasq pings an address for up to this long before it offers it */
#define LEASE_SETTLED_S 60 /* a board asks for its first file within seconds */
#define SYSFS_FILE_MAX 4096

/* ------------------------------------------------ who answers */

struct answers {
	struct cow_dhcp_offer offer[OFFERS_MAX];
	size_t n;
	struct in_addr us;
	const char *interface;
};

static void text_of(struct in_addr a, char ret[INET_ADDRSTRLEN])
{
	(void)inet_ntop(AF_INET, &a, ret, INET_ADDRSTRLEN); /* never too long */
}

/* Others that give addresses. @text: their addresses. */
static unsigned givers(const struct answers *a, char *text, size_t size)
{
	unsigned n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < a->n; i++) {
		char who[INET_ADDRSTRLEN];
		size_t used = strlen(text);

		if (a->offer[i].address.s_addr == 0 || a->offer[i].server.s_addr == a->us.s_addr)
			continue;
		text_of(a->offer[i].server, who);
		(void)snprintf(text + used, size - used, "%s%s", n ? ", " : "", who);
		n++;
	}
	return n;
}

static bool names_us(const struct answers *a)
{
	char us[INET_ADDRSTRLEN];

	text_of(a->us, us);
	for (size_t i = 0; i < a->n; i++)
		if (a->offer[i].next.s_addr == a->us.s_addr || strcmp(a->offer[i].tftp, us) == 0)
			return true;
	return false;
}

static void never_booted(struct cow_doctor *d, const struct cow_client *c)
{
	struct cow_client_state st = {0};

	(void)cow_client_state_read(d->store, &c->mac, &st, NULL); /* unreadable counts as never */
	d->waiting |= st.boot_s == 0;
}

static void judge(struct cow_doctor *d, const struct answers *a)
{
	static const char looked[] = "a DHCPDISCOVER as a boot ROM sends it, and who answered";
	static const struct cow_fault second = {looked,
						"machines take the address of whoever is first; "
						"from the other one they get none of ours, and "
						"do not find this server",
						"switch the other one off on this network, or let "
						"it give the addresses: [dhcp] mode = proxy"};
	static const struct cow_fault two = {
	    looked,
	    "machines get an address now of one, now of the other; a root is bound to one address",
	    "leave one of them"};
	static const struct cow_fault nobody = {
	    looked, "machines get no address and stop there",
	    "plug in the network with the DHCP server, or let cowherd do it: [dhcp] mode = full"};
	static const struct cow_fault untold = {
	    looked, "machines get an address and do not learn where their boot files are",
	    "set next-server and option 66 there, see cowherd client eeprom; or [dhcp] mode = "
	    "proxy; or "
	    "TFTP_IP in the boards' bootloader"};
	char who[256];
	unsigned others = givers(a, who, sizeof(who));

	switch ((enum cow_dhcp_mode)d->config->dhcp_mode) {
	case COW_DHCP_FULL:
		if (others > 0)
			cow_doctor_find(d, NULL, &second,
					"another DHCP server gives addresses on %s: %s",
					a->interface, who);
		return;
	case COW_DHCP_PROXY:
	case COW_DHCP_OFF:
		if (others == 0)
			cow_doctor_find(d, NULL, &nobody, "nobody gives out addresses on %s",
					a->interface);
		else if (others > 1)
			cow_doctor_find(d, NULL, &two, "%u DHCP servers give addresses on %s: %s",
					others, a->interface, who);
		break;
	}
	if (d->config->dhcp_mode == COW_DHCP_PROXY || others == 0 || !*d->net.address ||
	    names_us(a))
		return;
	if (d->store) /* with TFTP_IP on every board nobody needs to be told */
		cow_doctor_each_client(d, never_booted);
	if (d->waiting)
		cow_doctor_find(
		    d, NULL, &untold,
		    "no DHCP server on %s names this server (%s), and there are clients "
		    "that have never booted",
		    a->interface, d->net.address);
}

void cow_doctor_dhcp(struct cow_doctor *d)
{
	struct answers a = {.interface = d->interface};

	if (!a.interface && d->config->dhcp_mode != COW_DHCP_OFF && *d->net.address)
		a.interface = d->net.interface;
	if (!a.interface) {
		cow_doctor_skip(d, "[dhcp] is off; --interface IF asks there");
		return;
	}
	(void)inet_pton(AF_INET, d->net.address, &a.us); /* none: 0.0.0.0, which nobody has */
	int n = cow_dhcp_probe(a.interface, OFFER_WAIT_MS, a.offer, OFFERS_MAX);

	if (n == -EADDRINUSE)
		cow_doctor_skip(d, "a DHCP client of this machine holds UDP port 68");
	else if (n < 0)
		cow_doctor_skip(d, "cannot ask on %s (%s)", a.interface, strerrorname_np(-n));
	if (n < 0)
		return;
	a.n = (size_t)n;
	judge(d, &a);
}

/* ------------------------------------------------ bridges */

static int read_number(const char *path, uint64_t *ret)
{
	cow_autofree char *text = NULL;
	size_t len;
	int r = cow_read_file_at(AT_FDCWD, path, SYSFS_FILE_MAX, &text, &len);

	if (r < 0)
		return r;
	return cow_parse_u64n(text, strcspn(text, "\n"), 0, UINT64_MAX, ret);
}

void cow_doctor_bridge(struct cow_doctor *d)
{
	static const struct cow_fault fault = {
	    "spanning tree of the bridge on the serving interface",
	    "a port that comes up passes nothing for twice the forward delay: the first DHCP "
	    "requests of a board "
	    "that was just switched on are lost, and old ones give up after five",
	    "ip link set BRIDGE type bridge stp_state 0 (or forward_delay 200); on a switch: "
	    "portfast or edge "
	    "port where machines are plugged in"};
	const char *interface = d->interface ? d->interface : d->net.interface;
	char path[128];
	uint64_t stp = 0, delay = 0;

	if (!*interface) {
		cow_doctor_skip(d, "there is no address to serve on");
		return;
	}
	(void)snprintf(path, sizeof(path), "/sys/class/net/%.15s/bridge/stp_state", interface);
	if (read_number(path, &stp) < 0)
		return; /* no bridge */
	(void)snprintf(path, sizeof(path), "/sys/class/net/%.15s/bridge/forward_delay", interface);
	if (read_number(path, &delay) < 0)
		return;
	if (stp != 0 && delay >= 100) /* hundredths of a second */
		cow_doctor_find(d, NULL, &fault,
				"bridge %s has a spanning tree with a forward delay of %llu s",
				interface, (unsigned long long)(delay / 100));
}

/* ------------------------------------------------ leases */

static const struct cow_fault silent = {
    "the DHCP server's leases, and the boots the TFTP server has seen",
    "it gets an address and goes no further: it does not learn of this server, its requests do not "
    "arrive, or it loads its system from elsewhere",
    "see that nothing drops UDP port 69 on the way, that the board's boot order has the network in "
    "it, and "
    "that it is on this link: old boards cannot load through a router"};

static int look_at_lease(void *ctx, const struct cow_lease *l)
{
	static const struct cow_fault stranger = {
	    "the DHCP server's leases, and the clients",
	    "a Raspberry Pi asks, and nothing is served to it",
	    "cowherd client add MAC --image IMAGE, if it is to boot from here"};
	struct cow_client_state st = {0};
	struct cow_doctor *d = ctx;
	cow_autoclient c = NULL;
	char mac[COW_MAC_TEXT_LEN + 1], addr[INET_ADDRSTRLEN] = "";

	cow_mac_text(&l->mac, mac);
	(void)inet_ntop(AF_INET, &l->addr, addr, sizeof(addr)); /* it fits */
	if (d->only && strcmp(d->only->id, mac) != 0)
		return 0;
	int r = cow_client_load(d->store, &l->mac, &c, NULL);

	if (r == -ENOENT && cow_rpi_model_of(&l->mac) != COW_RPI_UNKNOWN)
		cow_doctor_find(d, NULL, &stranger, "%s got the address %s and is no client", mac,
				addr);
	if (r < 0 || !c)
		return 0; /* cow_doctor_records() tells of damaged ones */
	(void)cow_client_state_read(d->store, &c->mac, &st, NULL); /* unreadable counts as never */
	if (st.boot_s == 0 && st.nfs_s == 0)
		cow_doctor_find(d, c, &silent,
				"%s: it got the address %s, and has never asked for a boot file",
				c->name, addr);
	return 0;
}

void cow_doctor_leases(struct cow_doctor *d)
{
	cow_autofree char *path = NULL;
	cow_autofree char *text = NULL;
	struct stat st;
	size_t len;

	if (d->config->dhcp_mode != COW_DHCP_FULL || !d->store) {
		cow_doctor_skip(d, "addresses are not given out here");
		return;
	}
	if (asprintf(&path, "%s/state/dnsmasq.leases", d->config->store_path) < 0) {
		path = NULL;
		d->r = -ENOMEM;
		return;
	}
	if (stat(path, &st) == 0 && cow_realtime_s() - st.st_mtim.tv_sec < LEASE_SETTLED_S) {
		cow_doctor_skip(d, "somebody got an address less than a minute ago");
		return;
	}
	int r = cow_read_file_at(AT_FDCWD, path, COW_LEASES_FILE_MAX, &text, &len);

	if (r == 0)
		(void)cow_leases_each(text, cow_realtime_s(), look_at_lease, d); /* asks for all */
	if (r < 0 && r != -ENOENT)
		cow_doctor_skip(d, "cannot read '%s' (%s)", path, strerrorname_np(-r));
}
