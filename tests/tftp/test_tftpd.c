/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd-tftpd as it runs: the real program over a real store (on a loop file: ext4 for backend
 * overlay, btrfs for backend btrfs), asked over a virtual cable from another network namespace, so that the neighbour table has something to say.
 * Needs root; everything it makes lives in namespaces of its own and one temporary directory.
 */
#include "cow_test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fields.h"
#include "snapshot/client.h"
#include "snapshot/image.h"
#include "snapshot/store.h"
#include "tftp_client.h"

#define SKIP 77
#define PORT 6969
#define SERVER "10.99.0.1"
#define MAC_A "dc-a6-32-00-00-0a"
#define MAC_B "dc-a6-32-00-00-0b"
#define MAC_C "dc-a6-32-00-00-0c" /* the cable's */
#define SERIAL_B "9ffefdef"
#define KERNEL "6.1.0-18-amd64" /* the newest with an initrd */
/* config.txt of a tree as it is served, when its initramfs mounts the root. */
#define CONFIG(text)                                                                               \
	text "# Added by cowherd when this file is served.\n[all]\ncmdline=cmdline.txt\n"
#define PIECE 65536 /* what the server reads at once at most */
#define BIG 3000000u

static struct {
	char dir[64];
	enum cow_backend backend;
	struct cow_store *store;
	pid_t daemon, beside; /* 0: none */
	const char *program;
	int port;   /* asked by get_from() */
	int events; /* read end */
	unsigned next_host;
} lab;

/* ---------------------------------------------------------------- building */

static void must(int r, const char *what, const struct cow_err *err)
{
	if (r < 0) {
		print_error("%s: %s\n", what, err ? cow_err_str(err) : strerrorname_np(-r));
		exit(1);
	}
}

static void __attribute__((format(printf, 1, 2))) sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0) { /* NOLINT: fixed words and our own paths */
		print_error("failed: %s\n", cmd);
		exit(1);
	}
}

static const char *at(const char *rel)
{
	static char path[4][256];
	static unsigned n;
	char *p = path[n++ % 4];

	(void)snprintf(p, 256, "%s/%s", lab.dir, rel);
	return p;
}

static void put_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	must(fd < 0 ? -errno : 0, path, NULL);
	must(cow_write_full(fd, data, len), path, NULL);
	must(fchmod(fd, mode) < 0 ? -errno : 0, path, NULL);
	(void)close(fd);
}
#define PUT(path, lit) put_file(path, lit, sizeof(lit) - 1, 0644)

static uint8_t big_byte(size_t i)
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

static struct cow_mac mac_of(const char *text)
{
	struct cow_mac mac;

	must(cow_mac_parse(text, strlen(text), &mac), text, NULL);
	return mac;
}

static void set_key(const char *mac_text, const char *key, const char *value)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(mac_text);

	must(cow_client_set(lab.store, &mac, key, value, &err), key, &err);
}

static void add_client(const char *mac_text)
{
	const struct cow_client_add_opts opts = {.image = "debian", .backend = lab.backend};
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(mac_text);

	must(cow_client_add(lab.store, &mac, &opts, &err), mac_text, &err);
}

static void make_store(void)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	unsigned version;

	if (lab.backend == COW_BACKEND_BTRFS) {
		must(cow_store_init_loop(at("store"), at("disk"), 512u << 20, &err), "store", &err);
	} else {
		sh("truncate -s 512M %s/disk && mkfs.ext4 -q %s/disk", lab.dir, lab.dir);
		sh("mkdir %s/store && mount -o loop %s/disk %s/store", lab.dir, lab.dir, lab.dir);
		must(cow_store_init(at("store"), &err), "store", &err);
	}
	must(cow_store_open(at("store"), &lab.store, &err), "store", &err);
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

/* exec does not write to its arguments; its prototype is older than const. */
static void run(const char *path, const char *const argv[])
{
	execv(path, (char *const *)(uintptr_t)argv);
}

/* The daemon in a network namespace of its own, at the other end of two cables: one has C's
 * address, the other a stranger's. */
static pid_t fork_daemon(const char *const argv[], int event_fd)
{
	int ready[2], go[2];
	char c;

	must(pipe2(ready, O_CLOEXEC), "pipe", NULL);
	must(pipe2(go, O_CLOEXEC), "pipe", NULL);
	pid_t pid = fork();

	must(pid < 0 ? -errno : 0, "fork", NULL);
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1 ||
		    read(go[0], &c, 1) != 1 || dup2(event_fd, 3) < 0)
			_exit(99);
		run(argv[0], argv);
		_exit(98);
	}
	must(read(ready[0], &c, 1) == 1 ? 0 : -EPIPE, "namespace of the daemon", NULL);
	for (int i = 0; i < 2; i++) {
		sh("ip link add c%d address %s type veth peer name s%d netns %d", i,
		   i ? "dc:a6:32:00:00:ff" : "dc:a6:32:00:00:0c", i, pid);
		sh("ip addr add 10.99.%d.2/24 dev c%d && ip link set c%d up", i, i, i);
		sh("nsenter -t %d -n ip addr add 10.99.%d.1/24 dev s%d", pid, i, i);
		sh("nsenter -t %d -n ip link set s%d up", pid, i);
	}
	sh("seq -f 'addr add 10.99.0.%%g/24 dev c0' 10 249 | ip -batch -");
	must(write(go[1], "x", 1) == 1 ? 0 : -EPIPE, "start the daemon", NULL);
	(void)close(ready[0]), (void)close(ready[1]), (void)close(go[0]), (void)close(go[1]);
	return pid;
}

/* Most tests are of what a name means, and say so from any address. */
static void start_daemon(const char *program)
{
	char listen[32];
	const char *const argv[] = {program,  "--store",      at("store"), "--listen",
				    listen,   "--loader-dir", at("ipxe"),  "--event-fd",
				    "3",      "--user",	      "nobody",	   "--log-level",
				    "notice", "--clients",    "open",	   NULL};
	int events[2];

	lab.program = program;
	lab.port = PORT;

	(void)snprintf(listen, sizeof(listen), "0.0.0.0:%d", PORT);
	must(pipe2(events, O_CLOEXEC), "pipe", NULL);
	lab.daemon = fork_daemon(argv, events[1]);
	(void)close(events[1]);
	lab.events = events[0];
}

/* ---------------------------------------------------------------- asking */

/* Until the server there answers whatever it is asked. */
static int wait_ready(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	(void)inet_pton(AF_INET, SERVER, &to.sin_addr);
	for (int i = 0; i < 200; i++) {
		struct tftp_client c;
		uint8_t pkt[64];
		long n;

		if (tftp_client_open(&c, "10.99.0.2", &to) < 0)
			return -1;
		(void)tftp_client_request(&c, "\0\1probe\0octet", 14);
		n = tftp_client_recv(&c, pkt, sizeof(pkt), 100);
		tftp_client_close(&c);
		if (n > 4)
			return 0;
	}
	return -1;
}

/* From a fresh host on the cable unless @source says which. */
static int get_from(const char *source, const char *server, const char *name, struct tftp_fetch *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)lab.port)};
	struct tftp_client c;
	char fresh[32];

	(void)snprintf(fresh, sizeof(fresh), "10.99.0.%u", 10 + lab.next_host++ % 240);
	assert_int_equal(inet_pton(AF_INET, server, &to.sin_addr), 1);
	*f = (struct tftp_fetch){.name = name, .blksize = 1468, .ask_tsize = 1};
	assert_int_equal(tftp_client_open(&c, source ? source : fresh, &to), 0);
	int r = tftp_client_fetch(&c, f);

	tftp_client_close(&c);
	return r;
}

static void expect_text_from(const char *source, const char *name, const char *want)
{
	struct tftp_fetch f;
	int r = get_from(source, SERVER, name, &f);

	if (r < 0)
		fail_msg("%s: %s %s", name, strerrorname_np(-r),
			 r == -EREMOTEIO ? f.error_text : "");
	assert_int_equal(f.size, strlen(want));
	assert_memory_equal(f.data, want, f.size);
	assert_int_equal(f.tsize, f.size);
	free(f.data);
}

static void expect_text(const char *name, const char *want)
{
	expect_text_from(NULL, name, want);
}

static void expect_refused_from(const char *source, const char *name, int code)
{
	struct tftp_fetch f;
	int r = get_from(source, SERVER, name, &f);

	if (r != -EREMOTEIO || f.error_code != code)
		fail_msg("%s: %d, error %d, wanted error %d", name, r, f.error_code, code);
	assert_null(strchr(f.error_text, '/'));
	free(f.data);
}

static void expect_refused(const char *name, int code)
{
	expect_refused_from(NULL, name, code);
}

static char *get_text(const char *name)
{
	struct tftp_fetch f;
	char *text;

	assert_int_equal(get_from(NULL, SERVER, name, &f), 0);
	text = strndup((const char *)f.data, f.size);
	assert_non_null(text);
	free(f.data);
	return text;
}

static void expect_in(const char *text, const char *want)
{
	if (!strstr(text, want))
		fail_msg("no '%s' in: %s", want, text);
}

/* The next line, or "" after @timeout_ms. */
static const char *next_event(int timeout_ms)
{
	static char line[COW_FIELDS_LINE_MAX];
	struct pollfd p = {.fd = lab.events, .events = POLLIN};
	size_t n = 0;

	while (n + 1 < sizeof(line) && poll(&p, 1, timeout_ms) > 0 &&
	       read(lab.events, line + n, 1) == 1) {
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return line;
}

/* The next line of this kind. */
static const char *next_of(const char *kind)
{
	for (int i = 0; i < 100; i++) {
		const char *line = next_event(700);

		if (!*line || cow_fields_is(line, kind))
			return line;
	}
	return "";
}

/* The server looks at a client's record again when it is two seconds old. */
static void records_age(void)
{
	(void)usleep(2100 * 1000);
}

/* ---------------------------------------------------------------- what is served */

static void tree_is_served_by_mac_in_any_spelling(void **state)
{
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
	expect_text("DC:A6:32:00:00:0B//config.txt", CONFIG("arm_64bit=1\n"));
	expect_text("dca63200000b/overlays/x.dtbo", "overlay");
	expect_text("/01-" MAC_B "/./overlays//x.dtbo", "overlay");
	expect_text(MAC_B "/vmlinuz-" KERNEL, "the kernel");
}

static void large_file_arrives_whole(void **state)
{
	struct tftp_fetch f;

	assert_int_equal(get_from(NULL, SERVER, MAC_A "/initrd.img-" KERNEL, &f), 0);
	assert_int_equal(f.size, BIG);
	assert_int_equal(f.got_blksize, 1468);
	for (size_t i = 0; i < BIG; i++) {
		if (f.data[i] != big_byte(i))
			fail_msg("byte %zu differs", i);
	}
	free(f.data);
}

static void serial_prefix_finds_its_client(void **state)
{
	char *text = get_text(SERIAL_B "/cmdline.txt");

	assert_memory_equal(text, "console=tty1 quiet boot=cowherd root=/dev/nfs ", 46);
	expect_in(text, "nfsroot=" SERVER ":/clients/" MAC_B ",vers=4.1,proto=tcp,hard rw ip=dhcp");
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	text = get_text("9FFEFDEF/cmdline.txt");
	expect_in(text, "/clients/" MAC_B ",");
	free(text);
}

/* From the cable's first address: it has asked for the server's, so the server's kernel knows it.
 */
static void neighbour_table_finds_the_rest(void **state)
{
	expect_text_from("10.99.0.2", "config.txt", "only for C\n");
	/* a serial no record has: the on-link client, which has none configured; the pair is told once */
	while (*next_event(50))
		;
	for (int i = 0; i < 2; i++)
		expect_text_from("10.99.0.2", "0badcafe/config.txt", "only for C\n");
	assert_string_equal(next_of("learn"), "learn v=1 mac=" MAC_C " serial=0badcafe\n");
	assert_string_equal(next_of("learn"), "");
	/* the address of an old board says its serial number: believed where nothing speaks against it, not learnt */
	add_client("b8-27-eb-6c-4c-16");
	expect_text_from(NULL, "b66c4c16/overlays/x.dtbo", "overlay");
	expect_refused("b66c4c17/overlays/x.dtbo", 1);
	/* enrolled a moment ago: the table of serial numbers was read before */
	add_client("b8-27-eb-6c-4c-17");
	set_key("b8-27-eb-6c-4c-17", "serial", "b66c4c17");
	expect_text_from(NULL, "b66c4c17/overlays/x.dtbo", "overlay");
	assert_string_equal(next_of("learn"), "");
	set_key(MAC_C, "serial", "11112222");
	records_age();
	expect_refused_from("10.99.0.2", "0badcafe/config.txt", 1);
	expect_text("11112222/config.txt", "only for C\n");
}

/* Another daemon beside the first, which believes less. */
static void start_beside(const char *mode, int port)
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
		run(argv[0], argv);
		_exit(98);
	}
	lab.beside = pid;
	assert_int_equal(wait_ready(port), 0);
	lab.port = port;
}

/* Also after a test that failed. */
static int end_beside(void **state)
{
	pid_t pid = lab.beside;

	lab.port = PORT;
	lab.beside = 0;
	return pid > 0 && (kill(pid, SIGTERM) < 0 || waitpid(pid, NULL, 0) != pid) ? -1 : 0;
}

/* C's address and Ethernet address do not make anybody B, nor a stranger's C. */
static void a_prefix_is_compared_with_the_wire(void **state)
{
	struct tftp_fetch f;

	start_beside("match", PORT + 1);
	/* known by DHCP alone, until it was answered */
	PUT(at("leases"), "0 dc:a6:32:00:00:0a 10.99.0.240 * *\n");
	sleep(1);
	expect_text_from("10.99.0.240", "config.txt", "only for A\n");
	expect_refused_from("10.99.0.241", "config.txt", 1);
	expect_text_from("10.99.0.2", "config.txt", "only for C\n");
	expect_text_from("10.99.0.2", MAC_C "/config.txt", "only for C\n");
	expect_refused_from("10.99.0.2", MAC_B "/config.txt", 2);
	expect_refused_from("10.99.0.2", SERIAL_B "/config.txt", 2);
	expect_refused_from("10.99.0.2", MAC_B "/cmdline.txt", 2);
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", MAC_C "/config.txt", &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 2);
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "undionly.kpxe", &f), 0);
	free(f.data);
}

static void strangers_get_nothing_when_it_is_closed(void **state)
{
	struct tftp_fetch f;

	start_beside("closed", PORT + 2);
	expect_text_from("10.99.0.2", "undionly.kpxe", "loader");
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "undionly.kpxe", &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 1);
	expect_refused_from("10.99.0.2", MAC_B "/undionly.kpxe", 2);
	expect_refused_from("10.99.0.2", "pxelinux.cfg/01-" MAC_B, 2);
	expect_refused_from("10.99.0.2", "grub/grub.cfg-01-" MAC_B, 2);
}

static void pc_gets_the_newest_complete_kernel(void **state)
{
	char *text = get_text(MAC_A "/boot.ipxe");

	assert_memory_equal(text, "#!ipxe\n", 7);
	expect_in(text, "\nkernel vmlinuz-" KERNEL " initrd=initrd.img-" KERNEL
			" boot=cowherd root=/dev/nfs nfsroot=" SERVER ":/clients/" MAC_A
			",vers=4.1,proto=tcp,hard ip=dhcp rw panic=10 nfs.nfs4_unique_id=" MAC_A
			" console=ttyS0 || goto failed\n");
	expect_in(text, "\ninitrd initrd.img-" KERNEL " || goto failed\n");
	free(text);
}

#define PC_WORDS(mac)                                                                              \
	"boot=cowherd root=/dev/nfs nfsroot=" SERVER ":/clients/" mac                              \
	",vers=4.1,proto=tcp,hard ip=dhcp rw panic=10 nfs.nfs4_unique_id=" mac

static void every_loader_gets_its_configuration(void **state)
{
	char *text = get_text("pxelinux.cfg/01-" MAC_A);

	/* who asks is known by the name alone, so the names in it say so again */
	expect_in(text, "\nlinux " MAC_A "/vmlinuz-" KERNEL "\ninitrd " MAC_A "/initrd.img-" KERNEL
			"\nappend " PC_WORDS(MAC_A) " console=ttyS0\n");
	free(text);
	text = get_text(MAC_A "/pxelinux.cfg/default"); /* relative to where PXELINUX came from */
	expect_in(text, "\nlinux vmlinuz-" KERNEL "\ninitrd initrd.img-" KERNEL "\n");
	free(text);
	text = get_text("/grub/grub.cfg-01-" MAC_A);
	expect_in(text, "\nif linux /" MAC_A "/vmlinuz-" KERNEL
			" " PC_WORDS(MAC_A) " 'console=ttyS0'\nthen\nif initrd /" MAC_A
					    "/initrd.img-" KERNEL "\n");
	free(text);
	text = get_text(MAC_A "/grub/grub.cfg");
	expect_in(text, "\nif linux /" MAC_A "/vmlinuz-" KERNEL " ");
	free(text);
	expect_refused("pxelinux.cfg/01-dc-a6-32-99-99-99", 1);
	expect_refused("grub/grub.cfg-01-dc-a6-32-99-99-99", 1);
	/* likewise without a MAC, by the neighbour table */
	struct tftp_fetch f;

	assert_int_equal(
	    get_from("10.99.0.2", SERVER, "pxelinux.cfg/44454c4c-3200-1031-8058-b6c04f334d32", &f),
	    0);
	assert_non_null(memmem(f.data, f.size, "\nlinux " MAC_C "/vmlinuz-", 33));
	free(f.data);
	assert_int_equal(get_from("10.99.0.2", SERVER, "/grub/x86_64-efi/grub.cfg", &f), 0);
	assert_non_null(memmem(f.data, f.size, "if linux /" MAC_C "/vmlinuz-", 36));
	free(f.data);
}

static void settings_reach_the_boot_files(void **state)
{
	char *text;

	set_key(MAC_B, "nfs", "3");
	set_key(MAC_B, "cmdline", "isolcpus=3");
	records_age();
	text = get_text(MAC_B "/boot.ipxe");
	expect_in(text, ",vers=3,proto=tcp,hard ");
	expect_in(text, " isolcpus=3 || goto failed\n");
	free(text);
}

static void server_address_is_the_one_asked(void **state)
{
	struct tftp_fetch f;

	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", MAC_A "/boot.ipxe", &f), 0);
	assert_non_null(memmem(f.data, f.size, "nfsroot=10.99.1.1:/clients/", 27));
	free(f.data);
}

static void overrides_are_one_clients_own(void **state)
{
	expect_text(MAC_A "/config.txt", "only for A\n");
	expect_text(MAC_A "/user-data", "A's own\n");
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
	expect_refused(MAC_B "/user-data", 1);
	expect_refused(SERIAL_B "/user-data", 1);
	/* no way from one client's prefix to another's folder */
	expect_refused(MAC_B "/../" MAC_A "/boot/config.txt", 2);
	expect_refused(MAC_B "/" MAC_A "/config.txt", 1);
	expect_refused("clients/" MAC_A "/boot/config.txt", 1);
	expect_refused(MAC_A "/autoboot.txt", 1);
	expect_refused(MAC_A "/link.txt", 1);
	expect_refused(MAC_A "/pipe.img", 1);
}

static void strangers_get_loaders_only(void **state)
{
	struct tftp_fetch f;

	expect_text("undionly.kpxe", "loader");
	expect_refused("ipxe.lkrn", 1);
	expect_refused("dc-a6-32-99-99-99/config.txt", 1);
	expect_refused("dc-a6-32-99-99-99/boot.ipxe", 1);
	expect_text("dc-a6-32-99-99-99/undionly.kpxe", "loader");
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "config.txt", &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 1);
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "undionly.kpxe", &f), 0);
	free(f.data);
}

static void nothing_leads_out_of_the_boot_directory(void **state)
{
	static const char *const not_found[] = {
	    "absolute.txt", "relative.txt", "linkdir/passwd", "inside.txt",   "fifo.img",
	    "null.img",	    "dir.img",	    "overlays",	      "overlays/",    "empty.txt",
	    "user-data",    "autoboot.txt", "nothing.txt",    "config.txt/x", "etc/passwd",
	};
	static const char *const denied[] = {"../etc/passwd", "overlays/../../etc/passwd",
					     "..\\etc\\passwd", "secret.txt", "a\nb"};
	char name[300];

	for (size_t i = 0; i < sizeof(not_found) / sizeof(not_found[0]); i++) {
		(void)snprintf(name, sizeof(name), MAC_B "/%s", not_found[i]);
		expect_refused(name, 1);
	}
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		(void)snprintf(name, sizeof(name), MAC_B "/%s", denied[i]);
		expect_refused(name, 2);
	}
	expect_refused("/etc/passwd", 1);
	expect_refused("../../../../etc/passwd", 2);
}

/* ---------------------------------------------------------------- change */

/* What the client does to its root, as the NFS server does it for him; the root is attached until
 * the release, beside the daemon's look at it. */
struct writer {
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *boot;
};

static struct writer writer_begin(const char *mac_text)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(mac_text);
	struct writer w;
	cow_autonode root = NULL;

	must(cow_client_attach(lab.store, &mac, 0, &w.inst, &err), "attach", &err);
	must(cow_ovl_root(w.inst, &root), "root", NULL);
	must(cow_ovl_lookup(root, "boot", 4, &w.boot, NULL), "boot", NULL);
	return w;
}

static void writer_end(struct writer *w)
{
	cow_ovl_put(w->boot);
	must(cow_ovl_inst_close(w->inst), "detach", NULL);
}

static void writer_put(struct writer *w, const char *name, const void *data, size_t len)
{
	const struct cow_ovl_create how = {.type = S_IFREG, .mode = 0644};
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	int r = cow_ovl_lookup(w->boot, name, strlen(name), &n, NULL);

	if (r == -ENOENT)
		r = cow_ovl_create(w->boot, name, strlen(name), &cow_ovl_root_cred, &how, &n, NULL);
	must(r, name, NULL);
	must(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE | COW_OPEN_TRUNC, &o), name, NULL);
	for (size_t done = 0; done < len;) {
		struct iovec iov = {(char *)(uintptr_t)data + done, len - done};
		ssize_t got = cow_ovl_write(o, &iov, 1, done, 0);

		must(got > 0 ? 0 : -EIO, name, NULL);
		done += (size_t)got;
	}
}

static void writer_cut(struct writer *w, const char *name, uint64_t size)
{
	const struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = size};
	cow_autonode n = NULL;

	must(cow_ovl_lookup(w->boot, name, strlen(name), &n, NULL), name, NULL);
	must(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL), name, NULL);
}

static void client_boots_what_it_wrote_until_reset(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(MAC_B);

	expect_refused(MAC_B "/kernel8.img", 1);
	struct writer w = writer_begin(MAC_B);

	writer_put(&w, "kernel8.img", "B's kernel", 10);
	expect_text(MAC_B "/kernel8.img", "B's kernel");
	expect_refused(MAC_A "/kernel8.img", 1);
	writer_end(&w);
	expect_text(MAC_B "/kernel8.img", "B's kernel");
	assert_int_equal(cow_client_reset(lab.store, &mac, COW_SWAP_NOW, &err), 0);
	expect_refused(MAC_B "/kernel8.img", 1); /* at once: the epoch is mapped */
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
}

/* The daemon has looked at each of these before, so it may remember what they were. */
static void changes_of_the_image_show_while_a_server_has_the_root(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(MAC_B);

	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
	expect_text(MAC_B "/overlays/x.dtbo", "overlay");
	expect_text(MAC_B "/vmlinuz-" KERNEL, "the kernel");
	struct writer w = writer_begin(MAC_B);

	writer_put(&w, "config.txt", "arm_64bit=0, changed\n", 21);
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=0, changed\n"));
	writer_put(&w, "more.txt", "boot_ramdisk=1\narm_freq=1\n", 26);
	expect_text(MAC_B "/more.txt", "boot_ramdisk=1\narm_freq=1\n");
	writer_put(&w, "config.txt", "include more.txt\n", 17);
	expect_text(MAC_B "/more.txt", "arm_freq=1\n");
	writer_put(&w, "tryboot.txt", "arm_freq=2\ncmdline=other.txt", 28);
	expect_text(MAC_B "/tryboot.txt", CONFIG("arm_freq=2\n"));
	writer_put(&w, "config.txt", "again\n", 6);
	expect_text(MAC_B "/config.txt", CONFIG("again\n"));
	must(cow_ovl_remove(w.boot, "config.txt", 10, &cow_ovl_root_cred, COW_REMOVE_FILE),
	     "remove", NULL);
	expect_refused(MAC_B "/config.txt", 1);
	must(cow_ovl_rename(w.boot, "overlays", 8, w.boot, "moved", 5, 0, &cow_ovl_root_cred),
	     "rename", NULL);
	expect_refused(MAC_B "/overlays/x.dtbo", 1);
	expect_text(MAC_B "/moved/x.dtbo", "overlay");
	/* another directory in its place hides what the image has there */
	const struct cow_ovl_create how = {.type = S_IFDIR, .mode = 0755};
	cow_autonode made = NULL;
	must(cow_ovl_create(w.boot, "overlays", 8, &cow_ovl_root_cred, &how, &made, NULL), "mkdir",
	     NULL);
	expect_refused(MAC_B "/overlays/x.dtbo", 1);
	expect_text(MAC_B "/moved/x.dtbo", "overlay");
	/* a new kernel, as dpkg puts it there */
	writer_put(&w, "vmlinuz-6.1.0-30-amd64.dpkg-new", "newer kernel", 12);
	writer_put(&w, "initrd.img-6.1.0-30-amd64", "newer initrd", 12);
	must(cow_ovl_rename(w.boot, "vmlinuz-6.1.0-30-amd64.dpkg-new", 31, w.boot,
			    "vmlinuz-6.1.0-30-amd64", 22, 0, &cow_ovl_root_cred),
	     "rename", NULL);
	char *text = get_text(MAC_B "/boot.ipxe");

	expect_in(text, "\nkernel vmlinuz-6.1.0-30-amd64 initrd=initrd.img-6.1.0-30-amd64 ");
	free(text);
	expect_text(MAC_A "/vmlinuz-" KERNEL, "the kernel");
	expect_refused(MAC_A "/vmlinuz-6.1.0-30-amd64", 1);
	writer_end(&w);
	assert_int_equal(cow_client_reset(lab.store, &mac, COW_SWAP_NOW, &err), 0);
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
	expect_text(MAC_B "/overlays/x.dtbo", "overlay");
	expect_refused(MAC_B "/moved/x.dtbo", 1);
}

static void reset_in_mid_file_does_not_tear_it(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	static const char rq[] = "\0\1" MAC_A "/initrd.img-" KERNEL "\0octet";
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of(MAC_A);
	struct tftp_client c;
	uint8_t pkt[600];

	assert_int_equal(inet_pton(AF_INET, SERVER, &to.sin_addr), 1);
	assert_int_equal(tftp_client_open(&c, "10.99.0.2", &to), 0);
	assert_int_equal(tftp_client_request(&c, rq, sizeof(rq)), 0);
	assert_int_equal(tftp_client_recv(&c, pkt, sizeof(pkt), 2000), 516);
	assert_int_equal(cow_client_reset(lab.store, &mac, COW_SWAP_NOW, &err), 0);
	expect_text(MAC_A "/overlays/x.dtbo", "overlay"); /* makes the server attach the new root */
	for (unsigned block = 1; block <= 200; block++) {
		assert_int_equal(pkt[1], 3);
		assert_int_equal(pkt[2] << 8 | pkt[3], block);
		for (unsigned i = 0; i < 512; i++)
			assert_int_equal(pkt[4 + i], big_byte((block - 1) * 512ul + i));
		assert_int_equal(tftp_client_ack(&c, block), 0);
		assert_int_equal(tftp_client_recv(&c, pkt, sizeof(pkt), 2000), 516);
	}
	assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
	tftp_client_close(&c);
}

static void file_cut_while_it_is_sent_ends_in_an_error(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	static const char rq[] = "\0\1" MAC_B "/cut.img\0octet";
	struct tftp_client c;
	uint8_t pkt[600];

	struct writer w = writer_begin(MAC_B);
	uint8_t *big = calloc(1, BIG);

	assert_non_null(big);
	writer_put(&w, "cut.img", big, BIG);
	free(big);
	assert_int_equal(inet_pton(AF_INET, SERVER, &to.sin_addr), 1);
	assert_int_equal(tftp_client_open(&c, "10.99.0.2", &to), 0);
	assert_int_equal(tftp_client_request(&c, rq, sizeof(rq)), 0);
	assert_int_equal(tftp_client_recv(&c, pkt, sizeof(pkt), 2000), 516);
	writer_cut(&w, "cut.img", 600);
	/* What was read before the cut is as good as ever. */
	for (unsigned block = 1; pkt[1] == 3 && block <= PIECE / 512; block++) {
		assert_int_equal(tftp_client_ack(&c, block), 0);
		assert_true(tftp_client_recv(&c, pkt, sizeof(pkt), 2000) > 4);
	}
	assert_int_equal(pkt[1], 5);
	tftp_client_close(&c);
	writer_end(&w);
}

static void removed_client_is_a_stranger(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac = mac_of("dc-a6-32-00-00-0d");

	add_client("dc-a6-32-00-00-0d");
	expect_text("dc-a6-32-00-00-0d/config.txt",
		    CONFIG("arm_64bit=1\n")); /* added while it runs */
	assert_int_equal(cow_client_rm(lab.store, &mac, COW_SWAP_NOW, &err), 0);
	records_age();
	expect_refused("dc-a6-32-00-00-0d/config.txt", 1);
}

/* ---------------------------------------------------------------- one boot, one version */

#define MAC_D "dc-a6-32-00-00-1d"
#define MAC_E "dc-a6-32-00-00-1e"
#define SERIAL_E "9ffef00e"
#define BOOT_1 "10.99.0.11" /* another address is another boot */
#define BOOT_2 "10.99.0.12"

static void import_moving(const char *kernel, const char *firmware)
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

static void make_moving(void)
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

static void a_boot_stays_with_the_version_it_began_with(void **state)
{
	const struct cow_mac d = mac_of(MAC_D);
	struct cow_err err = COW_ERR_INIT;

	make_moving();
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	import_moving("kernel two is longer", "firmware two");
	assert_int_equal(cow_client_reset(lab.store, &d, COW_SWAP_NOW, &err), 0);
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "kernel one");
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	expect_text_from(BOOT_1, "/" MAC_D "//kernel8.img", "kernel one");
	/* the next boot is of the other version, and stays so over a rollback */
	expect_text_from(BOOT_2, MAC_D "/start4.elf", "firmware two");
	assert_int_equal(cow_client_rollback(lab.store, &d, COW_SWAP_NOW, &err), 0);
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "kernel one");
	expect_text_from(BOOT_1, MAC_E "/kernel8.img", "kernel one");
}

/* Switched off and on, it does not wait for half a minute to be believed. */
static void a_boot_that_starts_over_has_what_is_current(void **state)
{
	const struct cow_mac d = mac_of(MAC_D);
	struct cow_err err = COW_ERR_INIT;

	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	assert_int_equal(cow_client_reset(lab.store, &d, COW_SWAP_NOW, &err), 0);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	(void)usleep(4100 * 1000);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware two");
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "kernel two is longer");
}

/* What a client does to its boot files is for its next boot, and for nobody else's. */
static void the_clients_own_changes_are_for_its_next_boot(void **state)
{
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
	struct writer w = writer_begin(MAC_D);

	writer_put(&w, "kernel8.img", "own kernel", 10);
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "own kernel");
	/* written over in place, with another size; and replaced, as dpkg does */
	writer_put(&w, "kernel8.img", "own", 3);
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "own kernel");
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware two");
	writer_put(&w, "new", "own firmware", 12);
	must(cow_ovl_rename(w.boot, "new", 3, w.boot, "start4.elf", 10, 0, &cow_ovl_root_cred),
	     "rename", NULL);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware two");
	writer_put(&w, "config.txt", "arm_64bit=0\n", 12);
	expect_text_from(BOOT_2, MAC_D "/config.txt", CONFIG("arm_64bit=0\n"));
	writer_put(&w, "config.txt", "arm_64bit=0\n# edited\n", 21);
	expect_text_from(BOOT_2, MAC_D "/config.txt", CONFIG("arm_64bit=0\n"));
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "own firmware");
	writer_end(&w);
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "own");
	expect_text_from(BOOT_1, MAC_E "/kernel8.img", "kernel one");
	expect_text_from(BOOT_1, MAC_E "/start4.elf", "firmware one");
}

/* A kernel is too long to be copied for each boot: it is kept open, which a rename does not touch. */
static void large_file_of_the_client_survives_its_replacement(void **state)
{
	static uint8_t big[(1 << 20) + 500], later[1000];
	struct tftp_fetch f;
	struct writer w = writer_begin(MAC_D);

	memset(big, 1, sizeof(big));
	memset(later, 2, sizeof(later));
	writer_put(&w, "kernel_2712.img", big, sizeof(big));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(get_from(BOOT_1, SERVER, MAC_D "/kernel_2712.img", &f), 0);
		assert_int_equal(f.size, sizeof(big));
		assert_memory_equal(f.data, big, sizeof(big));
		free(f.data);
		writer_put(&w, "new", later, sizeof(later));
		must(cow_ovl_rename(w.boot, "new", 3, w.boot, "kernel_2712.img", 15, 0,
				    &cow_ovl_root_cred),
		     "rename", NULL);
	}
	assert_int_equal(get_from(BOOT_2, SERVER, MAC_D "/kernel_2712.img", &f), 0);
	assert_int_equal(f.size, sizeof(later));
	free(f.data);
	writer_end(&w);
}

/* Two resets delete the root a boot began with: what it has asked for it may ask for again, the rest is missing. */
static void a_root_deleted_under_a_boot_is_no_fault(void **state)
{
	const struct cow_mac d = mac_of(MAC_D);
	struct cow_err err = COW_ERR_INIT;
	struct tftp_fetch f;

	expect_text_from(BOOT_1, MAC_D "/start4.elf", "own firmware");
	for (int i = 0; i < 2; i++)
		assert_int_equal(cow_client_reset(lab.store, &d, COW_SWAP_NOW, &err), 0);
	assert_int_equal(cow_store_empty_trash(lab.store, &err), 0);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "own firmware");
	int r = get_from(BOOT_1, SERVER, MAC_D "/kernel8.img", &f);

	assert_true(r == -EREMOTEIO && f.error_code == 1);
	expect_text_from(BOOT_2, MAC_D "/start4.elf", "firmware two");
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
}

/* ---------------------------------------------------------------- events, process */

static void a_boot_is_reported_once(void **state)
{
	struct tftp_fetch f;

	add_client("dc-a6-32-00-00-0e");
	while (*next_event(50))
		;
	(void)get_from("10.99.0.2", SERVER, "dc-a6-32-00-00-0e/overlays/x.dtbo", &f);
	free(f.data);
	assert_string_equal(next_of("boot"), "");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get_from("10.99.0.2", SERVER, "dc-a6-32-00-00-0e/boot.ipxe", &f),
				 0);
		free(f.data);
	}
	assert_string_equal(next_of("boot"),
			    "boot mac=dc-a6-32-00-00-0e addr=10.99.0.2 file=boot.ipxe\n");
	assert_string_equal(next_of("boot"), "");
	assert_int_equal(get_from("10.99.0.11", SERVER, "dc-a6-32-00-00-0e/config.txt", &f), 0);
	free(f.data);
	assert_string_equal(next_of("boot"),
			    "boot mac=dc-a6-32-00-00-0e addr=10.99.0.11 file=config.txt\n");
}

static void expect_field(const char *line, const char *key, const char *want)
{
	char value[128] = "";

	if (cow_fields_get(line, key, value, sizeof(value)) < 0 || strcmp(value, want) != 0)
		fail_msg("%s is '%s', not '%s', in: %s", key, value, want, line);
}

/* What a boot asked for is told when the next one begins, at the latest. */
static void a_boot_is_recorded_when_it_is_over(void **state)
{
	struct tftp_fetch f;
	const char *line;

	expect_text_from("10.99.0.21", MAC_E "/start4.elf", "firmware one");
	while (*next_event(50))
		;
	expect_text_from("10.99.0.22", SERIAL_E "/start4.elf", "firmware one");
	expect_text_from("10.99.0.22", SERIAL_E "/kernel8.img", "kernel one");
	(void)get_from("10.99.0.22", SERVER, SERIAL_E "/bcm2711-rpi-4-b.dtb", &f);
	(void)get_from("10.99.0.22", SERVER, SERIAL_E "/odd \"name\".txt", &f);
	(void)get_from("10.99.0.22", SERVER, SERIAL_E "/../x.txt", &f);
	expect_text_from("10.99.0.21", MAC_E "/start4.elf", "firmware one");
	expect_field(next_of("session"), "addr", "10.99.0.21"); /* the boot before */
	line = next_of("session");
	expect_field(line, "v", "1");
	expect_field(line, "mac", MAC_E);
	expect_field(line, "boot", "1");
	expect_field(line, "addr", "10.99.0.22");
	expect_field(line, "model", "rpi-4-b");
	expect_field(line, "serial", SERIAL_E);
	expect_field(line, "first", "start4.elf");
	expect_field(line, "image", "moving");
	expect_field(line, "version", "1");
	expect_field(line, "files", "2");
	expect_field(line, "bytes", "22");
	expect_field(line, "missing", "2");
	static const char *const names[] = {"start4.elf", "kernel8.img", "bcm2711-rpi-4-b.dtb",
					    "odd \"name\".txt"};
	for (int i = 0; i < 4; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), SERIAL_E "/%s", names[i]);
		line = next_of("request");
		expect_field(line, "mac", MAC_E);
		expect_field(line, "name", name);
		expect_field(line, "result", i < 2 ? "delivered" : "missing");
	}
	assert_string_equal(next_of("request"), "");
}

static void supervisor_that_does_not_read_delays_nothing(void **state)
{
	/* 64 KiB of pipe hold about a thousand lines; a new address is a new boot. */
	for (int i = 0; i < 1500; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
		struct tftp_fetch f = {.name = MAC_B "/config.txt"};
		struct tftp_client c;
		char source[32];

		(void)snprintf(source, sizeof(source), "10.99.0.%d", 10 + i % 240);
		assert_int_equal(inet_pton(AF_INET, SERVER, &to.sin_addr), 1);
		assert_int_equal(tftp_client_open(&c, source, &to), 0);
		assert_int_equal(tftp_client_fetch(&c, &f), 0);
		free(f.data);
		tftp_client_close(&c);
	}
	while (*next_event(0))
		;
}

static void status_field(pid_t pid, const char *key, char *ret, size_t len)
{
	char path[64], line[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	*ret = '\0';
	while (fgets(line, sizeof(line), f)) {
		size_t n = strlen(key);

		if (strncmp(line, key, n) == 0 && line[n] == ':') {
			line[strcspn(line, "\n")] = '\0';
			(void)snprintf(ret, len, "%s", line + n + 2);
		}
	}
	(void)fclose(f);
}

static void expect_rights(pid_t pid, const char *caps)
{
	char text[128];

	status_field(pid, "CapEff", text, sizeof(text));
	assert_string_equal(text, caps);
	status_field(pid, "CapPrm", text, sizeof(text));
	assert_string_equal(text, caps);
	status_field(pid, "CapBnd", text, sizeof(text));
	assert_string_equal(text, "0000000000000000");
	status_field(pid, "NoNewPrivs", text, sizeof(text));
	assert_string_equal(text, "1");
	status_field(pid, "Seccomp", text, sizeof(text));
	assert_string_equal(text, "2"); /* a filter */
	status_field(pid, "Uid", text, sizeof(text));
	assert_string_equal(text, "65534\t65534\t65534\t65534");
}

/* The one process the daemon has started. */
static pid_t reader_of_marks(void)
{
	char path[64];
	long pid = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", lab.daemon, lab.daemon);
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pid), 1); /* NOLINT: the kernel's own number */
	(void)fclose(f);
	return (pid_t)pid;
}

static void daemon_keeps_one_capability(void **state)
{
	expect_rights(lab.daemon, "0000000000000004"); /* CAP_DAC_READ_SEARCH */
}

static void daemon_cannot_write_to_what_it_sees(void **state)
{
	sh("nsenter -t %d -m test -e %s/store/clients", lab.daemon, lab.dir);
	sh("! nsenter -t %d -m touch %s/store/clients/made 2>%s/err", lab.daemon, lab.dir, lab.dir);
	sh("grep -q 'Read-only file system' %s/err && ! test -e %s/store/clients/made", lab.dir,
	   lab.dir);
}

static void its_reader_of_marks_keeps_another_and_no_socket_of_the_network(void **state)
{
	pid_t pid = reader_of_marks();

	expect_rights(pid, "0000000000200000"); /* CAP_SYS_ADMIN */
	sh("[ \"$(ls /proc/%d/fd | tr '\\n' ' ')\" = '0 1 2 3 ' ]", pid);
}

static const char *program;

static int exit_status(const char *const argv[])
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null < 0 || dup2(null, 2) < 0)
			_exit(97);
		(void)alarm(10);
		run(program, argv);
		_exit(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define EXIT_STATUS(...) exit_status((const char *const[]){"cowherd-tftpd", __VA_ARGS__, NULL})

static void exit_status_says_what_is_wrong(void **state)
{
	char *store = strdup(at("store"));
	struct sockaddr_in taken = {.sin_family = AF_INET, .sin_port = htons(7070)};
	struct tftp_client c = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};

	assert_non_null(store);
	assert_int_equal(bind(c.fd, (struct sockaddr *)&taken, sizeof(taken)), 0);
	assert_int_equal(EXIT_STATUS("--frobnicate"), 2);
	assert_int_equal(EXIT_STATUS("--listen", "1.2.3.4.5"), 2);
	assert_int_equal(EXIT_STATUS("--listen", "127.0.0.1:65536"), 2);
	assert_int_equal(EXIT_STATUS("--nfs-version", "5"), 2);
	assert_int_equal(EXIT_STATUS("stray"), 2);
	assert_int_equal(EXIT_STATUS("--store", "/nonexistent"), 3);
	assert_int_equal(EXIT_STATUS("--store", store, "--listen", "0.0.0.0:7070"), 4);
	assert_int_equal(EXIT_STATUS("--store", store, "--listen", "192.0.2.1:7071"), 1);
	assert_int_equal(
	    EXIT_STATUS("--store", store, "--listen", "127.0.0.1:7072", "--user", "no-such-user"),
	    3);
	assert_int_equal(
	    EXIT_STATUS("--store", store, "--listen", "127.0.0.1:7073", "--event-fd", "99"), 1);
	tftp_client_close(&c);
	free(store);
}

static int end_of_daemon(void)
{
	int status = 0;

	for (int i = 0; i < 50 && waitpid(lab.daemon, &status, WNOHANG) == 0; i++)
		(void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	assert_true(WIFEXITED(status));
	lab.daemon = 0;
	return WEXITSTATUS(status);
}

static void gone(pid_t pid)
{
	for (int i = 0; i < 50 && kill(pid, 0) == 0; i++)
		(void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	assert_int_equal(kill(pid, 0), -1);
}

static void sigterm_ends_it_cleanly(void **state)
{
	pid_t reader = reader_of_marks();

	assert_int_equal(kill(lab.daemon, SIGTERM), 0);
	assert_int_equal(end_of_daemon(), 0);
	gone(reader);
}

/* ---------------------------------------------------------------- set-up */

static int tear_down(void **state)
{
	if (lab.daemon > 0) {
		(void)kill(lab.daemon, SIGKILL);
		(void)waitpid(lab.daemon, NULL, 0);
	}
	cow_store_close(lab.store);
	(void)umount2(at("store"), MNT_DETACH); /* the namespace takes it anyway */
	int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = parent < 0 ? -1 : cow_rm_rf_at(parent, lab.dir + strlen("/tmp/"), 0);

	(void)close(parent);
	return r;
}

/* The cables of the daemon before go with its namespace, some time. */
static void start_another(void)
{
	(void)system("ip link del c0 2>/dev/null; ip link del c1 2>/dev/null"); /* NOLINT: fixed */
	(void)close(lab.events);
	start_daemon(program);
	assert_int_equal(wait_ready(PORT), 0);
}

static void killed_it_takes_its_reader_of_marks_along(void **state)
{
	start_another();
	pid_t reader = reader_of_marks();

	assert_int_equal(kill(lab.daemon, SIGKILL), 0);
	assert_int_equal(waitpid(lab.daemon, NULL, 0), lab.daemon);
	lab.daemon = 0;
	gone(reader);
}

/* Better no server, which its supervisor starts again, than one that is blind for marks. */
static void without_its_reader_of_marks_it_ends(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct tftp_fetch f = {.name = MAC_B "/config.txt", .patience_ms = 1000};
	struct tftp_client c;

	if (lab.backend != COW_BACKEND_OVERLAY)
		skip();
	start_another();
	assert_int_equal(kill(reader_of_marks(), SIGKILL), 0);
	assert_int_equal(inet_pton(AF_INET, SERVER, &to.sin_addr), 1);
	assert_int_equal(tftp_client_open(&c, "10.99.0.2", &to), 0);
	assert_true(tftp_client_fetch(&c, &f) < 0);
	tftp_client_close(&c);
	free(f.data);
	assert_int_equal(end_of_daemon(), 1);
}

static int set_up(void **state)
{
	(void)umask(0);
	(void)snprintf(lab.dir, sizeof(lab.dir), "/tmp/cow-tftpd-XXXXXX");
	must(mkdtemp(lab.dir) ? 0 : -errno, "temporary directory", NULL);
	must(chmod(lab.dir, 0755) < 0 ? -errno : 0, "temporary directory", NULL);
	sh("ip link set lo up");
	make_tree();
	make_store();
	start_daemon(program);
	return wait_ready(PORT);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tree_is_served_by_mac_in_any_spelling),
	    cmocka_unit_test(large_file_arrives_whole),
	    cmocka_unit_test(serial_prefix_finds_its_client),
	    cmocka_unit_test(neighbour_table_finds_the_rest),
	    cmocka_unit_test_teardown(a_prefix_is_compared_with_the_wire, end_beside),
	    cmocka_unit_test_teardown(strangers_get_nothing_when_it_is_closed, end_beside),
	    cmocka_unit_test(pc_gets_the_newest_complete_kernel),
	    cmocka_unit_test(every_loader_gets_its_configuration),
	    cmocka_unit_test(settings_reach_the_boot_files),
	    cmocka_unit_test(server_address_is_the_one_asked),
	    cmocka_unit_test(overrides_are_one_clients_own),
	    cmocka_unit_test(strangers_get_loaders_only),
	    cmocka_unit_test(nothing_leads_out_of_the_boot_directory),
	    cmocka_unit_test(client_boots_what_it_wrote_until_reset),
	    cmocka_unit_test(changes_of_the_image_show_while_a_server_has_the_root),
	    cmocka_unit_test(reset_in_mid_file_does_not_tear_it),
	    cmocka_unit_test(file_cut_while_it_is_sent_ends_in_an_error),
	    cmocka_unit_test(removed_client_is_a_stranger),
	    cmocka_unit_test(a_boot_stays_with_the_version_it_began_with),
	    cmocka_unit_test(a_boot_that_starts_over_has_what_is_current),
	    cmocka_unit_test(the_clients_own_changes_are_for_its_next_boot),
	    cmocka_unit_test(large_file_of_the_client_survives_its_replacement),
	    cmocka_unit_test(a_root_deleted_under_a_boot_is_no_fault),
	    cmocka_unit_test(a_boot_is_reported_once),
	    cmocka_unit_test(a_boot_is_recorded_when_it_is_over),
	    cmocka_unit_test(supervisor_that_does_not_read_delays_nothing),
	    cmocka_unit_test(daemon_keeps_one_capability),
	    cmocka_unit_test(daemon_cannot_write_to_what_it_sees),
	    cmocka_unit_test(its_reader_of_marks_keeps_another_and_no_socket_of_the_network),
	    cmocka_unit_test(exit_status_says_what_is_wrong),
	    cmocka_unit_test(sigterm_ends_it_cleanly),
	    cmocka_unit_test(killed_it_takes_its_reader_of_marks_along),
	    cmocka_unit_test(without_its_reader_of_marks_it_ends),
	};

	if (argc != 3 || cow_backend_parse(argv[2], &lab.backend) < 0) {
		(void)fprintf(stderr, "usage: test_tftpd PROGRAM BACKEND\n");
		return 2;
	}
	program = argv[1];
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    access("/dev/loop-control", R_OK) < 0) {
		(void)fprintf(stderr,
			      "SKIPPED: needs root, loop devices and namespaces of its own\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
