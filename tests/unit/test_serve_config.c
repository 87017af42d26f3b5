/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cow_test.h"

#include "config.h"

static struct cow_config *parse_ok(const char *text)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_config *c = NULL;

	if (cow_config_parse(text, strlen(text), "test.conf", &c, &err) != 0)
		fail_msg("%s", cow_err_str(&err));
	return c;
}

static void parse_bad(const char *text, const char *const *words)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_config *c = NULL;

	assert_int_equal(cow_config_parse(text, strlen(text), "test.conf", &c, &err), -EINVAL);
	assert_null(c);
	assert_int_equal(err.code, COW_ERR_USAGE);
	for (size_t i = 0; words[i]; i++)
		if (!strstr(cow_err_str(&err), words[i]))
			fail_msg("'%s' lacks '%s'", cow_err_str(&err), words[i]);
}
#define BAD(text, ...) parse_bad(text, (const char *const[]){__VA_ARGS__, NULL})

static void empty_file_gives_the_defaults(void **state)
{
	(void)state;
	cow_autoconfig c = parse_ok("");

	assert_string_equal(c->store_path, "/var/lib/cowherd");
	assert_string_equal(c->address, "");
	assert_string_equal(c->space_warn, "10%");
	assert_string_equal(c->space_refuse, "5%");
	assert_int_equal(c->keep_last, 5);
	assert_int_equal(c->nfs_enabled, 1);
	assert_int_equal(c->nfs_port, 2049);
	assert_int_equal(c->nfs_access, COW_NFS_ACCESS_BOUND);
	assert_int_equal(c->dhcp_mode, COW_DHCP_OFF);
	assert_int_equal(c->log_level, 3);
}

static void values_replace_defaults(void **state)
{
	(void)state;
	cow_autoconfig c = parse_ok("[store]\npath = /srv/my herd\n"
				    "[serve]\naddress = 10.77.0.1\ninterface = br0\n"
				    "[nfs]\nport = 12049\naccess = subnet\nversion = 3\n"
				    "[tftp]\nenabled = no\nlisten = ::1,fe80::1%eth0,fd00::2\n"
				    "ports = 40000-40015\nutimeout = yes\n"
				    "[dhcp]\nmode = full\nrange = 10.77.0.100,10.77.0.200\n"
				    "dns = 10.77.0.1,10.77.0.2\nlease = 12h\n");

	assert_string_equal(c->store_path, "/srv/my herd");
	assert_string_equal(c->interface, "br0");
	assert_int_equal(c->nfs_port, 12049);
	assert_int_equal(c->nfs_access, COW_NFS_ACCESS_SUBNET);
	assert_string_equal(c->nfs_version, "3");
	assert_int_equal(c->tftp_enabled, 0);
	assert_string_equal(c->tftp_listen, "::1,fe80::1%eth0,fd00::2");
	assert_string_equal(c->tftp_ports, "40000-40015");
	assert_int_equal(c->tftp_utimeout, 1);
	assert_int_equal(c->dhcp_mode, COW_DHCP_FULL);
	assert_string_equal(c->dhcp_dns, "10.77.0.1,10.77.0.2");
}

static void unknown_key_is_refused_with_the_known_ones(void **state)
{
	(void)state;
	BAD("[nfs]\nprot = 2049\n", "test.conf", "'prot'", "[nfs]", "port", "mount_port", "access");
}

static void unknown_section_is_refused_with_the_known_ones(void **state)
{
	(void)state;
	BAD("[nsf]\nport = 2049\n", "[nsf]", "store, serve, nfs, tftp, dhcp");
	BAD("port = 2049\n", "before the first section", "nfs");
}

static void bad_values_are_refused_with_what_is_allowed(void **state)
{
	(void)state;
	BAD("[store]\nspace_warn = 100%\n", "space_warn", "percentage");
	BAD("[store]\nspace_refuse = 5GB5\n", "space_refuse");
	BAD("[store]\nkeep_last = 0\n", "keep_last", "1..10000");
	BAD("[nfs]\nport = 65536\n", "[nfs] port", "65536", "1..65535");
	BAD("[nfs]\nport = 0x10\n", "1..65535");
	BAD("[nfs]\nenabled = maybe\n", "yes or no");
	BAD("[nfs]\naccess = all\n", "bound, subnet or open");
	BAD("[nfs]\nversion = 5\n", "3, 4.0, 4.1 or 4.2");
	BAD("[nfs]\nlease = 4\n", "[nfs] lease", "5..120");
	BAD("[serve]\naddress = 10.77.0.256\n", "IPv4");
	BAD("[serve]\ninterface = a/b\n", "interface name");
	BAD("[serve]\nrun_dir = run\n", "absolute path");
	BAD("[dhcp]\nlease = soon\n", "infinite");
	BAD("[dhcp]\nlease = 5d\n", "infinite");
	BAD("[dhcp]\ndns = 10.0.0.1,\n", "IPv4");
	BAD("[dhcp]\nrange = 10.0.0.9,10.0.0.1\n", "FIRST,LAST");
	BAD("[dhcp]\nmode = full\n", "needs range");
	BAD("[tftp]\nlisten = 10.0.0.1\n", "[tftp] listen", "IPv6");
	BAD("[tftp]\nlisten = fe80::1\n", "%INTERFACE");
	BAD("[tftp]\nlisten = ::1%lo\n", "IPv6");
	BAD("[tftp]\nlisten = ::1,\n", "IPv6");
	BAD("[tftp]\nlisten = ::1,::2,::3,::4,::5\n", "up to four");
	BAD("[tftp]\nports = 5\n", "FIRST-LAST");
	BAD("[tftp]\nports = 9-8\n", "FIRST-LAST");
	BAD("[tftp]\nports = 1-65536\n", "FIRST-LAST");
	BAD("[tftp]\nports = 8-9\nsingle_port = yes\n", "exclude");
}

static void paths_that_would_break_other_configurations_are_refused(void **state)
{
	(void)state;
	BAD("[store]\npath = /srv/\"x\n", "path");
	BAD("[store]\npath = /srv/a\\b\n", "path");
	BAD("[store]\npath = /srv/a\tb\n", "path");
	BAD("[serve]\nrun_dir = /run/<x>\n", "path");
	BAD("[store]\npath =\n", "path");
}

static void range_is_split_in_two(void **state)
{
	char first[16], last[16];

	(void)state;
	assert_int_equal(cow_config_range("10.77.0.100,10.77.0.200", first, last), 0);
	assert_string_equal(first, "10.77.0.100");
	assert_string_equal(last, "10.77.0.200");
	assert_int_equal(cow_config_range("10.77.0.100", first, last), -EINVAL);
	assert_int_equal(cow_config_range(",10.77.0.100", first, last), -EINVAL);
	assert_int_equal(cow_config_range("10.77.0.100,", first, last), -EINVAL);
}

/* "=item key = default" below "=head2 [section]", in the order of the table. */
static void page_and_table_agree(void **state)
{
	char line[512], section[64] = "", want[512];
	size_t n = 0;

	(void)state;
	FILE *f = fopen(COW_CONF_PAGE, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "=head2 [", 8) == 0)
			(void)snprintf(section, sizeof(section), "%.*s",
				       (int)strcspn(line + 8, "]"), line + 8);
		if (strncmp(line, "=item ", 6) != 0)
			continue;
		const struct cow_config_key *k = cow_config_key(n++);
		assert_non_null(k);
		(void)snprintf(want, sizeof(want), "=item %s =%s%s", k->key,
			       *k->fallback ? " " : "", k->fallback);
		assert_string_equal(line, want);
		assert_string_equal(section, k->section);
	}
	(void)fclose(f);
	assert_null(cow_config_key(n));
}

static void named_file_must_be_there(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_config *c = NULL;

	(void)state;
	assert_int_equal(cow_config_load("/nonexistent/cowherd.conf", &c, &err), -ENOENT);
	assert_int_equal(err.code, COW_ERR_NOT_FOUND);
	assert_non_null(strstr(cow_err_str(&err), "/nonexistent/cowherd.conf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_file_gives_the_defaults),
	    cmocka_unit_test(values_replace_defaults),
	    cmocka_unit_test(unknown_key_is_refused_with_the_known_ones),
	    cmocka_unit_test(unknown_section_is_refused_with_the_known_ones),
	    cmocka_unit_test(bad_values_are_refused_with_what_is_allowed),
	    cmocka_unit_test(paths_that_would_break_other_configurations_are_refused),
	    cmocka_unit_test(range_is_split_in_two),
	    cmocka_unit_test(page_and_table_agree),
	    cmocka_unit_test(named_file_must_be_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
