/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See daemon.h.
 */
#include "daemon.h"

#include <sched.h>
#include <sys/sysmacros.h>

#include "common/fs.h"
#include "snapshot/image.h"

struct daemon_lab lab;

/* ---------------------------------------------------------------- files */

const char *at(const char *rel)
{
	static char path[4][256];
	static unsigned n;
	char *p = path[n++ % 4];

	(void)snprintf(p, 256, "%s/%s", lab.dir, rel);
	return p;
}

void put_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	must(fd < 0 ? -errno : 0, path, NULL);
	must(cow_write_full(fd, data, len), path, NULL);
	must(fchmod(fd, mode) < 0 ? -errno : 0, path, NULL);
	(void)close(fd);
}

uint8_t big_byte(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void put_big(const char *path)
{
	uint8_t *data = malloc(BIG);

	must(data ? 0 : -ENOMEM, path, NULL);
	for (size_t i = 0; i < BIG; i++)
		data[i] = big_byte(i);
	put_file(path, data, BIG, 0644);
	free(data);
}

static void make_tree(void)
{
	must(mkdir(at("src"), 0755), "src", NULL);
	must(mkdir(at("src/boot"), 0755), "boot", NULL);
	must(mkdir(at("src/boot/overlays"), 0755), "overlays", NULL);
	must(mkdir(at("src/boot/dir.img"), 0755), "dir.img", NULL);
	must(mkdir(at("src/etc"), 0755), "etc", NULL);
	sh("mkdir -p %s/src/etc/initramfs-tools/scripts", lab.dir);
	PUT(at("src/etc/initramfs-tools/scripts/cowherd"), "#!/bin/sh\n");
	PUT(at("src/etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
	PUT(at("src/boot/vmlinuz-6.1.0-9-amd64"), "old kernel");
	PUT(at("src/boot/initrd.img-6.1.0-9-amd64"), "old initrd");
	put_file(at("src/boot/vmlinuz-" KERNEL), "the kernel", 10, 0600); /* as Ubuntu does */
	put_big(at("src/boot/initrd.img-" KERNEL));
	PUT(at("src/boot/vmlinuz-6.1.0-20-amd64"), "kernel without initrd");
	PUT(at("src/boot/vmlinuz-6.1.0-99.dpkg-new"), "half installed");
	PUT(at("src/boot/initrd.img-6.1.0-99.dpkg-new"), "half installed");
	PUT(at("src/boot/config.txt"), "arm_64bit=1\n");
	PUT(at("src/boot/cmdline.txt"),
	    "console=tty1 root=PARTUUID=1234-02 rootfstype=ext4 quiet\n");
	PUT(at("src/boot/overlays/x.dtbo"), "overlay");
	PUT(at("src/boot/empty.txt"), "");
	PUT(at("src/boot/user-data"), "password: secret\n");
	PUT(at("src/boot/autoboot.txt"), "[all]\ntryboot_a_b=1\n");
	put_file(at("src/boot/secret.txt"), "secret", 6, 0600);
	must(symlink("/etc/passwd", at("src/boot/absolute.txt")), "symlink", NULL);
	must(symlink("../etc/passwd", at("src/boot/relative.txt")), "symlink", NULL);
	must(symlink("../etc", at("src/boot/linkdir")), "symlink", NULL);
	must(symlink("config.txt", at("src/boot/inside.txt")), "symlink", NULL);
	must(mkfifo(at("src/boot/fifo.img"), 0644), "fifo", NULL);
	must(mknod(at("src/boot/null.img"), S_IFCHR | 0666, makedev(1, 3)), "device", NULL);
	must(mkdir(at("ipxe"), 0755), "ipxe", NULL);
	PUT(at("ipxe/undionly.kpxe"), "loader");
	PUT(at("ipxe/ipxe.lkrn"), "not served");
}

/* ---------------------------------------------------------------- store */

void set_key(const char *mac_text, const char *key, const char *value)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(mac_text);

	must(cow_client_set(lab.store, &mac, key, value, &err), key, &err);
}

void add_client(const char *mac_text)
{
	const struct cow_client_add_opts opts = {.image = "debian", .backend = lab.backend};
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(mac_text);

	must(cow_client_add(lab.store, &mac, &opts, &err), mac_text, &err);
}

void records_age(void)
{
	(void)usleep(2100 * 1000);
}

static void make_store(void)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	unsigned version;

	if (lab.backend == COW_BACKEND_BTRFS) {
		must(cow_store_init_loop(at("store"), at("disk"), 512u << 20, &err), "store", &err);
		must(cow_store_open(at("store"), &lab.store, &err), "store", &err);
	} else {
		lab.store = lab_store_on_ext4(lab.dir, "512M");
	}
	must(cow_image_import(lab.store, "debian", at("src"), &opts, &version, &err), "import",
	     &err);
	add_client(MAC_A);
	add_client(MAC_B);
	add_client(MAC_C);
	set_key(MAC_B, "serial", SERIAL_B);
	set_key(MAC_A, "cmdline", "console=ttyS0");
	sh("mkdir -p %s/store/clients/" MAC_A "/boot %s/store/clients/" MAC_C "/boot", lab.dir,
	   lab.dir);
	PUT(at("store/clients/" MAC_A "/boot/config.txt"), "only for A\n");
	PUT(at("store/clients/" MAC_A "/boot/user-data"), "A's own\n");
	PUT(at("store/clients/" MAC_A "/boot/autoboot.txt"), "never\n");
	must(symlink("/etc/passwd", at("store/clients/" MAC_A "/boot/link.txt")), "link", NULL);
	must(mkfifo(at("store/clients/" MAC_A "/boot/pipe.img"), 0644), "fifo", NULL);
	PUT(at("store/clients/" MAC_C "/boot/config.txt"), "only for C\n");
}

void import_moving(const char *kernel, const char *firmware)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	unsigned version;

	put_file(at("moving/boot/kernel8.img"), kernel, strlen(kernel), 0644);
	put_file(at("moving/boot/start4.elf"), firmware, strlen(firmware), 0644);
	must(cow_image_import(lab.store, "moving", at("moving"), &opts, &version, &err), "import",
	     &err);
}

void make_moving(void)
{
	const struct cow_client_add_opts opts = {.image = "moving", .backend = lab.backend};
	const struct cow_mac d = mac_of(MAC_D), e = mac_of(MAC_E);
	struct cow_err err = COW_ERR_INIT;

	sh("mkdir -p %s/moving/boot && cp -a %s/src/etc %s/moving/", lab.dir, lab.dir, lab.dir);
	PUT(at("moving/boot/config.txt"), "arm_64bit=1\n");
	import_moving("kernel one", "firmware one");
	must(cow_client_add(lab.store, &d, &opts, &err), "add", &err);
	must(cow_client_add(lab.store, &e, &opts, &err), "add", &err);
	set_key(MAC_E, "serial", SERIAL_E);
}

/* ---------------------------------------------------------------- daemon */

/* Two cables: one end has C's address, the other's a stranger's. */
static void connect_cables(pid_t pid)
{
	for (int i = 0; i < 2; i++) {
		sh("ip link add c%d address %s type veth peer name s%d netns %d", i,
		   i ? "dc:a6:32:00:00:ff" : "dc:a6:32:00:00:0c", i, pid);
		sh("ip addr add 10.99.%d.2/24 dev c%d && ip link set c%d up", i, i, i);
		sh("nsenter -t %d -n ip addr add 10.99.%d.1/24 dev s%d", pid, i, i);
		sh("nsenter -t %d -n ip link set s%d up", pid, i);
	}
	sh("seq -f 'addr add 10.99.0.%%g/24 dev c0' 10 249 | ip -batch -");
}

/* Most tests are of what a name means, and say so from any address. */
static void start_daemon(void)
{
	char listen[32];
	const char *const argv[] = {lab.program, "--store",	 at("store"), "--listen",
				    listen,	 "--loader-dir", at("ipxe"),  "--event-fd",
				    "3",	 "--user",	 "nobody",    "--log-level",
				    "notice",	 "--clients",	 "open",      NULL};
	int events[2];

	lab.port = PORT;

	(void)snprintf(listen, sizeof(listen), "0.0.0.0:%d", PORT);
	must(pipe2(events, O_CLOEXEC), "pipe", NULL);
	lab.daemon = lab_fork_daemon(argv, events[1], connect_cables);
	(void)close(events[1]);
	lab.events = events[0];
}

void start_beside(const char *mode, int port)
{
	char listen[32];
	const char *const argv[] = {lab.program,  "--store",	  at("store"), "--listen",
				    listen,	  "--loader-dir", at("ipxe"),  "--user",
				    "nobody",	  "--log-level",  "notice",    "--leases",
				    at("leases"), "--clients",	  mode,	       NULL};
	char path[64];

	(void)snprintf(listen, sizeof(listen), "0.0.0.0:%d", port);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", lab.daemon);
	pid_t pid = fork();

	must(pid < 0 ? -errno : 0, "fork", NULL);
	if (pid == 0) {
		int net = open(path, O_RDONLY | O_CLOEXEC);

		if (net < 0 || setns(net, CLONE_NEWNET) < 0)
			_exit(99);
		lab_exec(argv[0], argv);
		_exit(98);
	}
	lab.beside = pid;
	assert_int_equal(wait_ready(port), 0);
	lab.port = port;
}

int end_beside(void **state)
{
	pid_t pid = lab.beside;

	lab.port = PORT;
	lab.beside = 0;
	return pid > 0 && (kill(pid, SIGTERM) < 0 || waitpid(pid, NULL, 0) != pid) ? -1 : 0;
}

/* The cables of the daemon before go with its namespace, some time. */
void start_another(void)
{
	(void)system("ip link del c0 2>/dev/null; ip link del c1 2>/dev/null"); /* NOLINT: fixed */
	(void)close(lab.events);
	start_daemon();
	assert_int_equal(wait_ready(PORT), 0);
}

/* ---------------------------------------------------------------- set-up */

int daemon_tear_down(void **state)
{
	if (lab.daemon > 0) {
		(void)kill(lab.daemon, SIGKILL);
		(void)waitpid(lab.daemon, NULL, 0);
	}
	cow_store_close(lab.store);
	return lab_dir_remove(lab.dir);
}

int daemon_set_up(void **state)
{
	(void)umask(0);
	lab_dir_make("tftpd", lab.dir);
	sh("ip link set lo up");
	make_tree();
	make_store();
	start_daemon();
	return wait_ready(PORT);
}

int daemon_begin(int argc, char **argv, const char *name)
{
	if (argc != 3 || cow_backend_parse(argv[2], &lab.backend) < 0) {
		(void)fprintf(stderr, "usage: %s PROGRAM BACKEND\n", name);
		return 2;
	}
	lab.program = argv[1];
	return lab_enter() ? 0 : SKIP;
}
