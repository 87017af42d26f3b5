/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Raw file handles over NFSv3, one request a run; handles are hex.
 *	nfs_handle root    ADDR MOUNTPORT PATH	prints the root's handle, or "mount STATUS"
 *	nfs_handle lookup  ADDR NFSPORT HANDLE NAME	prints the handle, or the NFS status
 *	nfs_handle getattr ADDR NFSPORT HANDLE	prints the NFS status (0, 70 stale, 10001 bad)
 *	nfs_handle ping    ADDR NFSPORT		the server answers NULL
 *	nfs_handle read    ADDR NFSPORT HANDLE	prints the first 100 bytes, or the NFS status
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rawrpc.h"

#define FH_MAX 64

struct fh {
	uint8_t b[FH_MAX];
	size_t len;
};

static struct xdr args, res;

static struct fh unhex(const char *s)
{
	struct fh h = {.len = strlen(s) / 2};
	if (h.len > FH_MAX || strlen(s) % 2)
		raw_die("no handle: %s", s);
	for (size_t i = 0; i < h.len; i++) {
		char byte[3] = {s[2 * i], s[2 * i + 1], 0};
		h.b[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return h;
}

static void print_handle(void)
{
	uint8_t b[FH_MAX];
	size_t len = r_opaque(&res, b, sizeof(b));
	for (size_t i = 0; i < len; i++)
		(void)printf("%02x", b[i]);
	(void)printf("\n");
}

static void nfs3(const char *addr, const char *port, uint32_t proc)
{
	struct raw c = raw_connect(addr, (unsigned)strtoul(port, NULL, 10), 0, 0);
	raw_call(&c, 100003, 3, proc, &args, &res);
}

static void root(char **argv)
{
	struct raw c = raw_connect(argv[2], (unsigned)strtoul(argv[3], NULL, 10), 0, 0);
	x_str(&args, argv[4]);
	raw_call(&c, 100005, 3, 1, &args, &res);
	uint32_t status = r_u32(&res);
	if (status)
		(void)printf("mount %u\n", status);
	else
		print_handle();
}

static uint32_t with_handle(char **argv, uint32_t proc, const char *name)
{
	struct fh h = unhex(argv[4]);
	x_opaque(&args, h.b, h.len);
	if (name)
		x_str(&args, name);
	nfs3(argv[2], argv[3], proc);
	return r_u32(&res);
}

static void print_data(char **argv)
{
	char buf[100];
	struct fh h = unhex(argv[4]);
	x_opaque(&args, h.b, h.len);
	x_u64(&args, 0);
	x_u32(&args, sizeof(buf));
	nfs3(argv[2], argv[3], 6);
	uint32_t status = r_u32(&res);
	if (status) {
		(void)printf("%u\n", status);
		return;
	}
	if (r_u32(&res))
		r_raw(&res, NULL, 84); /* fattr3 */
	r_u32(&res);
	r_u32(&res);
	size_t n = r_opaque(&res, buf, sizeof(buf));
	(void)fwrite(buf, 1, n, stdout);
}

int main(int argc, char **argv)
{
	alarm(30);
	if (argc == 4 && !strcmp(argv[1], "ping")) {
		nfs3(argv[2], argv[3], 0);
		return 0;
	}
	if (argc == 5 && !strcmp(argv[1], "root")) {
		root(argv);
	} else if (argc == 6 && !strcmp(argv[1], "lookup")) {
		uint32_t status = with_handle(argv, 3, argv[5]);
		if (status)
			(void)printf("%u\n", status);
		else
			print_handle();
	} else if (argc == 5 && !strcmp(argv[1], "getattr")) {
		(void)printf("%u\n", with_handle(argv, 1, NULL));
	} else if (argc == 5 && !strcmp(argv[1], "read")) {
		print_data(argv);
	} else {
		(void)fprintf(
		    stderr,
		    "usage: %s root|lookup|getattr|read|ping ADDR PORT PATH|HANDLE [NAME]\n",
		    argv[0]);
		return 2;
	}
	return 0;
}
