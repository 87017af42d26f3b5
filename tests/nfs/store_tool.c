/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The store's own API from a shell script, without the command line program:
 *	store_tool init STORE | import STORE NAME SOURCE | add STORE MAC IMAGE BACKEND [DURABILITY]
 *	store_tool reset STORE MAC | rollback STORE MAC
 *	store_tool id STORE MAC		export id
 *	store_tool state STORE MAC	last NFS use, address
 *	store_tool refused STORE MAC	how many requests were refused, the last one's address
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "snapshot/client.h"

static int usage(void)
{
	(void)fprintf(
	    stderr, "usage: store_tool init|import|add|reset|rollback|id|state|refused STORE …\n");
	return 2;
}

static int on_client(struct cow_store *s, const char *verb, const char *text, char **more,
		     struct cow_err *err)
{
	struct cow_mac mac;
	cow_autoclient c = NULL;
	struct cow_client_state st;
	if (cow_mac_parse(text, strlen(text), &mac) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -22, "not a MAC: %s", text);
	if (!strcmp(verb, "add")) {
		struct cow_client_add_opts o = {.image = more[0], .durability = COW_OVL_RELAXED};
		if (!more[0] || !more[1] || cow_backend_parse(more[1], &o.backend) < 0)
			return cow_err_say(err, COW_ERR_USAGE, -22, "add needs IMAGE and BACKEND");
		if (more[2] && cow_ovl_durability_parse(more[2], &o.durability) < 0)
			return cow_err_say(err, COW_ERR_USAGE, -22, "no durability: %s", more[2]);
		return cow_client_add(s, &mac, &o, err);
	}
	if (!strcmp(verb, "reset"))
		return cow_client_reset(s, &mac, COW_SWAP_NOW, err);
	if (!strcmp(verb, "rollback"))
		return cow_client_rollback(s, &mac, COW_SWAP_NOW, err);
	if (!strcmp(verb, "id")) {
		int r = cow_client_load(s, &mac, &c, err);
		if (r == 0)
			(void)printf("%u\n", c->export_id);
		return r;
	}
	int r = cow_client_state_read(s, &mac, &st, err);
	if (r == 0 && !strcmp(verb, "refused"))
		(void)printf("%llu %s\n", (unsigned long long)st.refused, st.refused_addr);
	else if (r == 0)
		(void)printf("%lld %s\n", (long long)st.nfs_s, st.nfs_addr);
	return r;
}

static int run(int argc, char **argv, struct cow_err *err)
{
	cow_autostore s = NULL;
	unsigned version;
	if (!strcmp(argv[1], "init"))
		return cow_store_init(argv[2], err);
	int r = cow_store_open(argv[2], &s, err);
	if (r < 0)
		return r;
	if (!strcmp(argv[1], "import")) {
		static const char *const none[] = {"all", NULL};
		struct cow_import_opts o = {.skip_fixups = none};
		return argc == 5 ? cow_image_import(s, argv[3], argv[4], &o, &version, err)
				 : cow_err_say(err, COW_ERR_USAGE, -22, "import STORE NAME SOURCE");
	}
	return on_client(s, argv[1], argv[3], argv + 4, err);
}

int main(int argc, char **argv)
{
	struct cow_err err = COW_ERR_INIT;
	if (argc < 3 || (strcmp(argv[1], "init") != 0 && argc < 4))
		return usage();
	umask(0);
	int r = run(argc, argv, &err);
	if (r < 0)
		(void)fprintf(stderr, "store_tool: %s\n", cow_err_str(&err));
	return cow_err_exit_status(&err, r);
}
