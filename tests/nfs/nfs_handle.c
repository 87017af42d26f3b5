/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Raw file handles over NFSv3, one request a run; handles are hex.
 *	nfs_handle root    ADDR MOUNTPORT PATH	prints the root's handle, or "mount STATUS"
 *	nfs_handle lookup  ADDR NFSPORT HANDLE NAME	prints the handle, or the NFS status
 *	nfs_handle getattr ADDR NFSPORT HANDLE	prints the NFS status (0, 70 stale, 10001 bad)
 *	nfs_handle list    ADDR NFSPORT HANDLE	names and numbers in a directory, in its order
 *	nfs_handle ping    ADDR NFSPORT		the server answers NULL
 *	nfs_handle read    ADDR NFSPORT HANDLE	prints the first 100 bytes, or the NFS status
 */
#include <string.h>
#include <unistd.h>

#include "raw3.h"

static void root(char **argv)
{
	struct raw c = n3_connect(argv[2], argv[3], 0);
	struct fh3 h;
	uint32_t status = n3_mount(&c, argv[4], &h);
	if (status)
		(void)printf("mount %u\n", status);
	else
		n3_print(&h);
}

static void lookup(char **argv)
{
	struct raw c = n3_connect(argv[2], argv[3], 0);
	struct fh3 dir = n3_unhex(argv[4]), h;
	uint32_t status = n3_lookup(&c, &dir, argv[5], &h);
	if (status)
		(void)printf("%u\n", status);
	else
		n3_print(&h);
}

static void print_data(char **argv)
{
	char buf[100];
	struct raw c = n3_connect(argv[2], argv[3], 0);
	struct fh3 h = n3_unhex(argv[4]);
	size_t n;
	uint32_t eof, status = n3_read(&c, &h, 0, buf, sizeof(buf), &n, &eof);
	if (status)
		(void)printf("%u\n", status);
	else
		(void)fwrite(buf, 1, n, stdout);
}

static void print_entry(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	(void)arg;
	(void)cookie;
	(void)printf("%llu %s\n", (unsigned long long)fileid, name);
}

static void list(char **argv)
{
	struct raw c = n3_connect(argv[2], argv[3], 0);
	struct fh3 h = n3_unhex(argv[4]);
	uint64_t cookie = 0, verifier = 0;
	uint32_t eof = 0, status = 0;
	while (!eof && status == 0)
		status = n3_readdir(&c, &h, 4096, &cookie, &verifier, print_entry, NULL, &eof);
	if (status)
		(void)printf("%u\n", status);
}

static void getattr(char **argv)
{
	struct raw c = n3_connect(argv[2], argv[3], 0);
	struct fh3 h = n3_unhex(argv[4]);
	(void)printf("%u\n", n3_getattr(&c, &h, &(struct n3_attr){0}));
}

static void ping(char **argv)
{
	struct raw c = n3_connect(argv[2], argv[3], 0);
	n3_args.len = 0;
	raw_call(&c, 100003, 3, 0, &n3_args, &n3_res);
}

int main(int argc, char **argv)
{
	alarm(30);
	if (argc == 4 && !strcmp(argv[1], "ping")) {
		ping(argv);
	} else if (argc == 5 && !strcmp(argv[1], "root")) {
		root(argv);
	} else if (argc == 6 && !strcmp(argv[1], "lookup")) {
		lookup(argv);
	} else if (argc == 5 && !strcmp(argv[1], "getattr")) {
		getattr(argv);
	} else if (argc == 5 && !strcmp(argv[1], "list")) {
		list(argv);
	} else if (argc == 5 && !strcmp(argv[1], "read")) {
		print_data(argv);
	} else {
		(void)fprintf(
		    stderr,
		    "usage: %s root|lookup|getattr|list|read|ping ADDR PORT PATH|HANDLE [NAME]\n",
		    argv[0]);
		return 2;
	}
	return 0;
}
