/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Configuration of the NFS server and of the bus that commands it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "serve_text.h"

/*
 * Why each of the less obvious values:
 *	mount_path_pseudo: one path for v3 and v4.
 *	Enable_NLM: with it the grace period never ends early; a root needs no remote locks.
 *	NFSACL_Program: a number that nobody asks for. Roots have no ACLs over NFS, and the server answers as if: a
 *		default ACL is taken and lost, another one is an I/O error. Enable_NFSACL = false, the
 *		default, only keeps it from rpcbind, which Linux does not ask.
 *	Only_Numeric_Owners: an initramfs has no id mapper.
 *	Graceless: true makes clients lose their locks at a restart.
 *	Dir_Chunk = 0: lookups reach the plugin, so that a reset shows at once.
 *	RPC_Ioq_ThrdMax: a thread is busy for as long as the disk takes.
 *	RPC_Max_Connections: the default of 1024 is too few for a herd with nconnect.
 */
static const char ganesha_format[] = "# Written by cowherd at every start; changes are lost.\n"
				     "NFS_CORE_PARAM {\n"
				     "\tProtocols = 3,4;\n"
				     "\tBind_addr = %s;\n"
				     "\tNFS_Port = %u;\n"
				     "\tMNT_Port = %u;\n"
				     "\tPlugins_Dir = \"%s\";\n"
				     "\tmount_path_pseudo = true;\n"
				     "\tEnable_NLM = false;\n"
				     "\tNFSACL_Program = 536870912;\n"
				     "\tEnable_RQUOTA = false;\n"
				     "\tRPC_Max_Connections = 8192;\n"
				     "\tRPC_Ioq_ThrdMax = %u;\n"
				     "\tRPC_Idle_Timeout_S = 3600;\n"
				     "}\n"
				     "NFSV4 {\n"
				     "\tMinor_Versions = 0,1,2;\n"
				     "\tOnly_Numeric_Owners = true;\n"
				     "\tGraceless = false;\n"
				     "\tLease_Lifetime = %u;\n"
				     "\tGrace_Period = %u;\n"
				     "\tDelegations = false;\n"
				     "\tRecoveryRoot = \"%s/ganesha\";\n"
				     "}\n"
				     "NFS_KRB5 {\n"
				     "\tActive_krb5 = false;\n"
				     "}\n"
				     "MDCACHE {\n"
				     "\tDir_Chunk = 0;\n"
				     "\tEntries_HWMark = %u;\n"
				     "}\n"
				     "EXPORT_DEFAULTS {\n"
				     "\tAccess_Type = NONE;\n"
				     "\tSquash = no_root_squash;\n"
				     "\tSecType = sys;\n"
				     "\tAttr_Expiration_Time = 60;\n"
				     "}\n"
				     /* What the server refuses it tells the plugin at this level,
				      * which counts it and says it once a minute: ganesha-fsal/watch.c */
				     "LOG {\n"
				     "\tCOMPONENTS {\n"
				     "\t\tEXPORT = INFO;\n"
				     "\t\tNFSPROTO = INFO;\n"
				     "\t}\n"
				     "\tFACILITY {\n"
				     "\t\tname = STDERR;\n"
				     "\t\tdestination = STDERR;\n"
				     "\t\tmax_level = %s;\n"
				     "\t\theaders = all;\n"
				     "\t\tenable = active;\n"
				     "\t}\n"
				     "}\n"
				     "COWHERD {\n"
				     "\tStore = \"%s\";\n"
				     "}\n"
				     "%%include \"%s/exports.conf\"\n";

int cow_text_ganesha(const struct cow_config *c, const struct cow_serve_net *net,
		     const struct cow_serve_paths *p, const struct cow_nfs_size *size, char **ret)
{
	if (asprintf(ret, ganesha_format, net->address, c->nfs_port, c->nfs_mount_port,
		     p->plugin_dir, size->threads, c->nfs_lease, c->nfs_lease, p->state,
		     size->entries, c->log_level >= 4 ? "INFO" : "EVENT", p->store, p->run) < 0)
		return -ENOMEM;
	return 0;
}

void cow_text_admitted(const struct cow_config *c, const struct cow_serve_net *net,
		       const struct cow_herd_client *client, char ret[COW_ADDR_LEN + 3])
{
	switch ((enum cow_nfs_access)c->nfs_access) {
	case COW_NFS_ACCESS_BOUND:
		(void)snprintf(ret, COW_ADDR_LEN + 3, "%s", client->bound);
		return;
	case COW_NFS_ACCESS_SUBNET:
		(void)snprintf(ret, COW_ADDR_LEN + 3, "%s/%u", net->subnet, net->prefix_len);
		return;
	case COW_NFS_ACCESS_OPEN:
		(void)snprintf(ret, COW_ADDR_LEN + 3, "*");
		return;
	}
	ret[0] = '\0';
}

static void print_export(FILE *f, const struct cow_herd_client *c, const char *who)
{
	(void)fprintf(f,
		      "EXPORT {\n"
		      "\tExport_Id = %u;\n"
		      "\tPath = \"" COW_EXPORT_ROOT "%s\";\n"
		      "\tPseudo = \"" COW_EXPORT_ROOT "%s\";\n"
		      "\tAccess_Type = NONE;\n"
		      "\tSquash = no_root_squash;\n"
		      "\tSecType = sys;\n",
		      c->export_id, c->id, c->id);
	if (*who)
		(void)fprintf(f,
			      "\tCLIENT {\n"
			      "\t\tClients = %s;\n"
			      "\t\tAccess_Type = RW;\n"
			      "\t}\n",
			      who);
	(void)fputs("\tFSAL {\n\t\tName = COWHERD;\n\t}\n}\n", f);
}

int cow_text_exports(const struct cow_config *c, const struct cow_serve_net *net,
		     const struct cow_herd *h, char **ret)
{
	char who[COW_ADDR_LEN + 3];
	cow_autofree char *text = NULL;
	size_t len = 0;

	FILE *f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	(void)fputs("# Written by cowherd from the store; changes are lost.\n", f);
	for (size_t i = 0; i < h->clients; i++) {
		cow_text_admitted(c, net, &h->client[i], who);
		print_export(f, &h->client[i], who);
	}
	if (fclose(f) != 0) /* a memory stream fails for want of memory alone */
		return -ENOMEM;
	*ret = cow_steal_ptr(&text);
	return 0;
}

int cow_text_dbus(const struct cow_serve_paths *p, char **ret)
{
	/* The path holds no character that XML or a bus address would need escaped (config.c) but
	 * blanks, which an address carries as %20. */
	char path[512];
	size_t n = 0;

	for (const char *s = p->run; *s; s++) {
		if (n + 4 > sizeof(path))
			return -ENAMETOOLONG;
		if (*s == ' ') {
			memcpy(path + n, "%20", 3);
			n += 3;
		} else {
			path[n++] = *s;
		}
	}
	path[n] = '\0';
	if (asprintf(
		ret,
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration "
		"1.0//EN\"\n"
		" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<!-- Written by cowherd at every start; changes are lost. -->\n"
		"<busconfig>\n"
		"  <type>cowherd</type>\n"
		"  <listen>unix:path=%s/bus</listen>\n"
		"  <auth>EXTERNAL</auth>\n"
		"  <!-- No rule about users: only the one the bus runs as, root, may connect. -->\n"
		"  <policy context=\"default\">\n"
		"    <allow own=\"*\"/>\n"
		"    <allow send_destination=\"*\"/>\n"
		"    <allow receive_sender=\"*\"/>\n"
		"  </policy>\n"
		"</busconfig>\n",
		path) < 0)
		return -ENOMEM;
	return 0;
}
