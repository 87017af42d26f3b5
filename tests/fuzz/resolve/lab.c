/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The store, made once, on a tmpfs of this process's own mount namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "kept.h"
#include "run.h"
#include "snapshot/image.h"

const char *const names[NAMES] = {"config.txt",
				  "cmdline.txt",
				  "extra.txt",
				  "start4.elf",
				  "kernel8.img",
				  "vmlinuz-1",
				  "initrd.img-1",
				  "initramfs8",
				  "user-data",
				  "autoboot.txt",
				  "AutoBoot.TXT",
				  "x.key",
				  "wpa_supplicant.conf",
				  "ssh_host.pem",
				  "overlays",
				  "overlays/x.dtbo",
				  "overlays/x.key",
				  "pxelinux.cfg",
				  "pxelinux.cfg/default",
				  "pxelinux.cfg/default-a.key",
				  "ipxe.efi",
				  "secret.efi",
				  "sub",
				  "sub/a.img",
				  "sub/sub/b.img",
				  "link.img",
				  "README",
				  "boot.ipxe",
				  "shadow"};

const char *const targets[TARGETS] = {"config.txt",
				      "../etc/shadow",
				      "/etc/shadow",
				      LAB "/outside/secret.img",
				      "/",
				      ".",
				      "..",
				      "sub",
				      "../..",
				      "../../" MAC_B "/boot/config.txt",
				      "../../" MAC_B "/boot",
				      "../etc",
				      LAB "/outside",
				      "sub/a.img",
				      "../" MAC_B "/boot"};

struct lab lab;
static struct kept *kept; /* of A */

void must(int r, const char *what, const struct cow_err *err)
{
	if (r < 0) {
		(void)fprintf(stderr, "%s: %s\n", what,
			      err ? cow_err_str(err) : strerrorname_np(-r));
		exit(1);
	}
}

void repeat(char *buf, size_t len, const char *cell)
{
	len -= len % CELL;
	if (len > 0)
		memcpy(buf, cell, CELL);
	for (size_t done = CELL, n; done < len; done += n) {
		n = done < len - done ? done : len - done;
		memcpy(buf + done, buf, n);
	}
}

static void write_cells(int fd, const char *cell, size_t size)
{
	static char buf[64 * CELL];

	repeat(buf, sizeof(buf), cell);
	for (size_t n; size > 0; size -= n) {
		n = size < sizeof(buf) ? size : sizeof(buf);
		must(cow_write_full(fd, buf, n), "write", NULL);
	}
}

bool put_at(int dirfd, const char *path, const char *cell, size_t size)
{
	cow_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd >= 0)
		write_cells(fd, cell, size);
	return fd >= 0;
}

static bool put(const char *path, const char *cell, size_t size)
{
	return put_at(AT_FDCWD, path, cell, size);
}

static void dir(const char *path)
{
	must(mkdir(path, 0755) < 0 ? -errno : 0, path, NULL);
}

static void make_image(void)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	unsigned version;

	dir(LAB "/src");
	dir(LAB "/src/etc");
	dir(LAB "/src/boot");
	dir(LAB "/src/boot/overlays");
	CHECK(put(LAB "/src/etc/shadow", SECRET, 64) &&
	      put(LAB "/src/boot/config.txt", GOLDEN, 80) &&
	      put(LAB "/src/boot/start4.elf", GOLDEN, 70000) &&
	      put(LAB "/src/boot/vmlinuz-1", GOLDEN, 640) &&
	      put(LAB "/src/boot/user-data", SECRET, 64) &&
	      put(LAB "/src/boot/overlays/x.dtbo", GOLDEN, 48) &&
	      put(LAB "/src/boot/README", SECRET, 64));
	CHECK(chmod(LAB "/src/boot/README", 0600) == 0 &&
	      chmod(LAB "/src/boot/vmlinuz-1", 0600) == 0);
	CHECK(symlink("../etc/shadow", LAB "/src/boot/link.img") == 0);
	must(cow_image_import(lab.store, "img", LAB "/src", &opts, &version, &err), "import", &err);
}

static void add_client(enum who who, const char *serial)
{
	const struct cow_client_add_opts opts = {.image = "img", .backend = COW_BACKEND_OVERLAY};
	struct cow_err err = COW_ERR_INIT;

	must(cow_client_add(lab.store, &lab.mac[who], &opts, &err), "add", &err);
	must(cow_client_set(lab.store, &lab.mac[who], "serial", serial, &err), "serial", &err);
}

/* In the administrator's folder of B there is every name, so that whatever is shown of it is seen. */
static void fill_b(void)
{
	char path[sizeof(OWN_B) + 64];

	dir(OWN_B);
	for (unsigned k = 0; k < NAMES; k++) {
		(void)snprintf(path, sizeof(path), "%s/%s", OWN_B, names[k]);
		if (k + 1 < NAMES && strncmp(names[k], names[k + 1], strlen(names[k])) == 0)
			dir(path);
		else
			(void)put(path, ADMIN_B, 160); /* but below a directory that is none here */
	}
}

void lab_make(void)
{
	struct cow_ovl_inst *inst = NULL;
	struct cow_err err = COW_ERR_INIT;

	if (geteuid() != 0) {
		(void)fputs("SKIPPED: needs root for mounts and trusted.* attributes\n", stderr);
		exit(77);
	}
	(void)umask(0); /* the engine's contract */
	cow_log_init(NULL, (enum cow_log_level)0);
	must(unshare(CLONE_NEWNS) < 0 ? -errno : 0, "unshare", NULL);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0, "private", NULL);
	must(mount("fuzz", LAB, "tmpfs", 0, "size=256m") < 0 ? -errno : 0, "tmpfs", NULL);
	dir(LAB "/outside");
	dir(LAB "/loaders");
	CHECK(put(LAB "/outside/secret.img", SECRET, 64) && put(LAB "/outside/a.img", SECRET, 64) &&
	      put(LAB "/outside/config.txt", SECRET, 64) &&
	      put(LAB "/loaders/ipxe.efi", LOADER, 800) &&
	      put(LAB "/loaders/secret.efi", SECRET, 64));
	lab.loader_fd = open(LAB "/loaders", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(lab.loader_fd >= 0);
	CHECK(cow_mac_parse(MAC_A, strlen(MAC_A), &lab.mac[A]) == 0);
	CHECK(cow_mac_parse(MAC_B, strlen(MAC_B), &lab.mac[B]) == 0);
	FILE *f = fopen(LAB "/leases", "we");
	CHECK(f && fputs("0 dc:a6:32:00:00:0a 10.0.0.10 a *\n0 dc:a6:32:00:00:0b 10.0.0.11 b *\n",
			 f) >= 0);
	CHECK(fclose(f) == 0);
	must(cow_tftp_leases_new(LAB "/leases", &lab.leases), "leases", NULL);
	must(cow_store_init(STORE, &err), "store", &err);
	must(cow_store_open(STORE, &lab.store, &err), "store", &err);
	make_image();
	add_client(B, "0000000b");
	fill_b();
	add_client(A, "0000000a");
	dir(OWN_A);
	/* As it is after its first use: what an attach looks for in a root that was not detached is known. */
	must(cow_client_attach(lab.store, &lab.mac[A], 0, &inst, &err), "attach", &err);
	must(cow_ovl_inst_close(inst), "detach", NULL);
	kept = kept_of(CLIENT_A);
}

void lab_put_back(void)
{
	kept_put_back(kept, CLIENT_A);
}

size_t size_of(unsigned arg)
{
	static const size_t sizes[] = {0, 1, 8, 64, 511, 512, 4096, 65536, 65537, BIG};

	return sizes[arg % (sizeof(sizes) / sizeof(sizes[0]))];
}
