/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From a name to a file, against everything that may lie in a client's tree, in the administrator's folder
 * and around them, changing while it is read. A store on a tmpfs of this process's own mount namespace; the
 * input is a program of one-byte steps (see step()) that changes the tree and asks for names.
 *
 * Every file says in each 8 bytes whose it is, so that what is delivered shows where it came from:
 *	R1  nothing that lies outside what this client may have: SECRET
 *	R2  nothing of another client, and the client is the one the prefix or the address says
 *	R3  no denied name, but the administrator's own; no file of the tree that others may not read
 *	R4  no directory, FIFO, device, link or empty file of the tree
 *	R5  as many bytes as the size that was told
 *	R6  what a boot was given once is the same until the boot is over, whatever happens to the file
 *
 * Needs root (mounts, trusted.* attributes); says so and exits 77 without.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "files.h"
#include "pin.h"
#include "snapshot/client.h"
#include "snapshot/image.h"
#include "snapshot/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);              \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define LAB "/media" /* a tmpfs is put there, for this process alone */
#define STORE LAB "/store"
#define MAC_A "dc-a6-32-00-00-0a"
#define MAC_B "dc-a6-32-00-00-0b"
#define OWN_A STORE "/clients/" MAC_A "/boot"
#define OWN_B STORE "/clients/" MAC_B "/boot"
#define CELL 8
#define SECRET "SECRET!\n"
#define TREE_A "t=treeA\n"
#define TREE_B "t=treeB\n"
#define ADMIN_A "d=admnA\n"
#define ADMIN_B "d=admnB\n"
#define GOLDEN "i=image\n"
#define LOADER "l=loadr\n"
#define BIG (COW_TFTP_PIN_COPY_MAX + 1u) /* too long to be copied for a boot */
#define DELIVERIES 6
#define GIVEN_MAX 64
#define STEPS_MAX 200

enum who { A, B, STRANGER };

/* Below the boot directory and in the administrator's folder. */
static const char *const names[] = {"config.txt",
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
#define NAMES (sizeof(names) / sizeof(names[0]))

static const char *const targets[] = {"config.txt",
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

static struct {
	struct cow_store *store;
	struct cow_tftp_leases *leases;
	struct cow_mac mac[2];
	int loader_fd;
} lab;

struct given {
	uint64_t ticket, size, sum;
	unsigned name;
};

/* A file on its way. */
struct delivery {
	struct cow_tftp_content *content;
	enum who who;
	uint64_t at, sum;
	bool may_change; /* R6 does not hold: too long for a copy, and the client's own */
};

struct run {
	const uint8_t *in, *end;
	struct cow_ovl_inst *inst; /* A's root as the NFS server has it */
	struct cow_ovl_node *boot;
	struct cow_tftp_files files;
	uint64_t now_ms;
	struct delivery open[DELIVERIES];
	struct given given[GIVEN_MAX];
	unsigned given_count;
	bool moved_folder;    /* of the administrator */
	uint64_t old_tickets; /* up to this one: of boots from a root that is not A's any more */
};

/* ---------------------------------------------------------------- the store, once */

static void must(int r, const char *what, const struct cow_err *err)
{
	if (r < 0) {
		(void)fprintf(stderr, "%s: %s\n", what,
			      err ? cow_err_str(err) : strerrorname_np(-r));
		exit(1);
	}
}

static void repeat(char *buf, size_t len, const char *cell)
{
	for (size_t i = 0; i + CELL <= len; i += CELL)
		memcpy(buf + i, cell, CELL);
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

/* What stands in the way stays; false then. */
static bool put_at(int dirfd, const char *path, const char *cell, size_t size)
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

static void make_lab(void)
{
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
}

/* ---------------------------------------------------------------- A's tree */

static unsigned next(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

static void attach(struct run *r)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autonode root = NULL;

	must(cow_client_attach(lab.store, &lab.mac[A], 0, &r->inst, &err), "attach", &err);
	must(cow_ovl_root(r->inst, &root), "root", NULL);
	must(cow_ovl_lookup(root, "boot", 4, &r->boot, NULL), "boot", NULL);
}

static void detach(struct run *r)
{
	cow_ovl_put(r->boot);
	(void)cow_ovl_inst_close(r->inst);
}

/* The directory that holds @path, without following anything; NULL: there is none. */
static struct cow_ovl_node *parent_of(struct cow_ovl_node *boot, const char *path,
				      const char **ret_name)
{
	struct cow_ovl_node *at = cow_ovl_get(boot);

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		struct cow_ovl_node *below = NULL;

		if (cow_ovl_lookup(at, path, (size_t)(slash - path), &below, NULL) < 0 ||
		    cow_ovl_type(below) != S_IFDIR) {
			cow_ovl_put(below);
			cow_ovl_put(at);
			return NULL;
		}
		cow_ovl_put(at);
		at = below;
	}
	*ret_name = path;
	return at;
}

static struct cow_ovl_node *find(struct run *r, const char *path, struct cow_ovl_attr *attr)
{
	const char *name;
	struct cow_ovl_node *node = NULL;
	cow_autonode above = parent_of(r->boot, path, &name);

	if (!above || cow_ovl_lookup(above, name, strlen(name), &node, attr) < 0)
		return NULL;
	return node;
}

/* Names that the tree must never give, told apart here in another way than by the server's list. */
static bool is_denied(const char *path)
{
	const char *base = cow_tftp_basename(path), *dot = strrchr(base, '.');

	return strcasecmp(base, "autoboot.txt") == 0 || strcasecmp(base, "user-data") == 0 ||
	       strncasecmp(base, "wpa_supplicant", 14) == 0 || strncasecmp(base, "ssh", 3) == 0 ||
	       (dot && (strcasecmp(dot, ".key") == 0 || strcasecmp(dot, ".pem") == 0));
}

static size_t size_of(unsigned arg)
{
	static const size_t sizes[] = {0, 1, 8, 64, 511, 512, 4096, 65536, 65537, BIG};

	return sizes[arg % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void fill(struct cow_ovl_node *node, size_t size, unsigned flags)
{
	static char cells[BIG + 2 * CELL];
	cow_autoopen o = NULL;

	if (!*cells)
		repeat(cells, sizeof(cells), TREE_A);
	if (cow_ovl_open(node, &cow_ovl_root_cred, COW_OPEN_WRITE | flags, &o) < 0)
		return;
	/* A longer file of the image gets other bytes in front, a shorter one is made longer. */
	for (size_t done = 0; done < size;) {
		struct iovec iov = {cells + done % CELL, size - done};
		ssize_t n = cow_ovl_write(o, &iov, 1, done, 0);

		CHECK(n > 0);
		done += (size_t)n;
	}
}

static void create(struct run *r, const char *path)
{
	static const mode_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
				       S_IFLNK, S_IFIFO, S_IFCHR, S_IFSOCK};
	static const mode_t modes[] = {0644, 0755, 0600, 0000, 0640, 0004};
	unsigned what = next(r), more = next(r);
	const struct cow_ovl_create how = {
	    .type = types[what % 8],
	    .mode = modes[what / 8 % 6],
	    .rdev = makedev(1, 5),
	    .target = targets[more % (sizeof(targets) / sizeof(targets[0]))]};
	const char *name;
	cow_autonode above = parent_of(r->boot, path, &name);
	cow_autonode node = NULL;

	if (above &&
	    cow_ovl_create(above, name, strlen(name), &cow_ovl_root_cred, &how, &node, NULL) == 0 &&
	    how.type == S_IFREG)
		fill(node, size_of(more), 0);
}

static void write_or_cut(struct run *r, const char *path)
{
	unsigned how = next(r);
	const struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = size_of(how / 4)};
	cow_autonode node = find(r, path, NULL);

	if (!node || cow_ovl_type(node) != S_IFREG)
		return;
	if (how % 4 == 0)
		(void)cow_ovl_setattr(node, &cow_ovl_root_cred, &set, NULL);
	else
		fill(node, size_of(how / 4), how % 4 == 1 ? COW_OPEN_TRUNC : 0);
}

static void remove_at(struct run *r, const char *path)
{
	const char *name;
	cow_autonode above = parent_of(r->boot, path, &name);

	if (above && cow_ovl_remove(above, name, strlen(name), &cow_ovl_root_cred,
				    COW_REMOVE_FILE) == -EISDIR)
		(void)cow_ovl_remove(above, name, strlen(name), &cow_ovl_root_cred, COW_REMOVE_DIR);
}

/* The image's secrets are some by their name or mode alone. */
static bool is_fixed(const char *path)
{
	return strcmp(path, "user-data") == 0 || strcmp(path, "README") == 0;
}

static void move(struct run *r, const char *from)
{
	const char *to = names[next(r) % NAMES], *name1, *name2;
	unsigned flags = next(r) % 3; /* 0, RENAME_NOREPLACE, RENAME_EXCHANGE */
	cow_autonode dir1 = parent_of(r->boot, from, &name1);
	cow_autonode dir2 = parent_of(r->boot, to, &name2);

	if (dir1 && dir2 && !is_fixed(from) && !is_fixed(to))
		(void)cow_ovl_rename(dir1, name1, strlen(name1), dir2, name2, strlen(name2), flags,
				     &cow_ovl_root_cred);
}

static void change_mode(struct run *r, const char *path)
{
	const struct cow_ovl_set set = {.mask = COW_SET_MODE, .mode = next(r) % 2 ? 0644 : 0600};
	cow_autonode node = find(r, path, NULL);

	if (node && !is_fixed(path))
		(void)cow_ovl_setattr(node, &cow_ovl_root_cred, &set, NULL);
}

static void note_ticket(void *ctx, struct cow_tftp_client *c)
{
	struct run *r = ctx;

	if (c->pin && c->pin->id > r->old_tickets)
		r->old_tickets = c->pin->id;
}

static void new_root(struct run *r)
{
	struct cow_err err = COW_ERR_INIT;

	cow_tftp_clients_each(r->files.clients, note_ticket, r);
	detach(r);
	if (next(r) % 2)
		must(cow_client_reset(lab.store, &lab.mac[A], COW_SWAP_NOW, &err), "reset", &err);
	else
		(void)cow_client_rollback(lab.store, &lab.mac[A], COW_SWAP_NOW,
					  &err); /* there may be none */
	attach(r);
}

/* ---------------------------------------------------------------- the administrator's folder */

/* Where @name lies in A's folder, if no link is on the way: those lead to what is not A's. */
static int open_above(const char *name, const char **ret_base)
{
	cow_autoclose int own = open(OWN_A, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char dir_name[64] = ".";

	*ret_base = cow_tftp_basename(name);
	if (*ret_base != name)
		(void)snprintf(dir_name, sizeof(dir_name), "%.*s", (int)(*ret_base - name - 1),
			       name);
	return own < 0 ? -errno
		       : cow_open_beneath(own, dir_name,
					  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

static void resize(int dirfd, const char *base, size_t size)
{
	cow_autoclose int fd = openat(dirfd, base, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		(void)!ftruncate(fd, (off_t)size); /* a FIFO has no size */
}

static void administrate(struct run *r, const char *name)
{
	unsigned what = next(r), more = next(r);
	const char *base, *target = targets[more % (sizeof(targets) / sizeof(targets[0]))];
	cow_autoclose int above = open_above(name, &base);

	if (above < 0)
		return;
	switch (what % 8) {
	case 0:
	case 1:
		(void)put_at(above, base, ADMIN_A, size_of(more));
		return;
	case 2:
		(void)mkdirat(above, base, 0755);
		return;
	case 3:
		(void)!symlinkat(target, above, base);
		return;
	case 4:
		(void)mkfifoat(above, base, 0644);
		return;
	case 5:
		if (unlinkat(above, base, 0) < 0)
			(void)unlinkat(above, base, AT_REMOVEDIR);
		return;
	case 6: /* the folder itself leads elsewhere */
		if (rmdir(OWN_A) == 0)
			r->moved_folder = symlink(target, OWN_A) == 0;
		return;
	default:
		resize(above, base, size_of(more));
	}
}

/* ---------------------------------------------------------------- requests */

static uint64_t sum_of(const char *buf, size_t len)
{
	uint64_t sum = len, word = 0;

	for (size_t i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, buf + i, len - i < sizeof(word) ? len - i : sizeof(word));
		sum = (sum ^ word) * 0x100000001b3;
	}
	return sum;
}

static bool holds(const char *buf, size_t len, const char *cell)
{
	return memmem(buf, len, cell, CELL - 1) !=
	       NULL; /* generated files end lines in their own way */
}

/* R1, R2 */
static void check_bytes(const char *buf, size_t len, enum who who)
{
	CHECK(!holds(buf, len, SECRET));
	if (who != A)
		CHECK(!holds(buf, len, TREE_A) && !holds(buf, len, ADMIN_A));
	if (who != B)
		CHECK(!holds(buf, len, TREE_B) && !holds(buf, len, ADMIN_B));
	if (who == STRANGER)
		CHECK(!holds(buf, len, GOLDEN));
}

/* All of it, in one piece. False: it cannot be read. The buffer holds a secret where nothing is read into it. */
static bool read_all(struct cow_tftp_content *c, enum who who, uint64_t *ret_sum)
{
	size_t len = (size_t)c->size;
	cow_autofree char *buf = malloc(len);

	CHECK(buf);
	repeat(buf, len, SECRET);
	if (c->read(c, buf, len, 0) < 0)
		return false;
	check_bytes(buf, len, who);
	*ret_sum = sum_of(buf, len);
	return true;
}

/* The administrator's folder gives what lies in it, not what its links lead to. */
static void check_admin(const struct run *r, const char *name)
{
	char path[sizeof(OWN_A) + 64];
	struct stat st;

	if (r->moved_folder) /* it is looked at every two seconds */
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", OWN_A, name);
	CHECK(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
	for (char *slash; (slash = strrchr(path, '/')) && slash > path + strlen(OWN_A);
	     *slash = '\0')
		CHECK(lstat(path, &st) == 0 && !S_ISLNK(st.st_mode));
}

static bool has_admin_bytes(struct cow_tftp_content *c)
{
	char cell[CELL] = {0};

	CHECK(c->read(c, cell, c->size < CELL ? (size_t)c->size : CELL, 0) == 0);
	return memcmp(cell, ADMIN_A, c->size < CELL - 1 ? (size_t)c->size : CELL - 1) == 0 ||
	       memcmp(cell, ADMIN_B, c->size < CELL - 1 ? (size_t)c->size : CELL - 1) == 0;
}

/* The file of A's tree that this is, when it is one and nothing made from one; R3, R4. */
static void check_tree(struct run *r, struct cow_tftp_content *c, const char *path)
{
	struct cow_ovl_attr attr;
	char cell[CELL] = {0};

	const char *dot = strrchr(path, '.');

	if (c->ticket <= r->old_tickets || (dot && strcmp(dot, ".txt") == 0) || c->size < CELL ||
	    c->read(c, cell, CELL, 0) < 0 || memcmp(cell, TREE_A, CELL) != 0)
		return;
	cow_autonode node = find(r, path, &attr);

	CHECK(node && S_ISREG(attr.mode) && attr.size == c->size);
	CHECK((attr.mode & S_IROTH) || strncmp(cow_tftp_basename(path), "vmlinuz", 7) == 0);
}

/* R6. Return: this boot had it before. */
static bool check_given(struct run *r, const struct cow_tftp_content *c, unsigned name,
			uint64_t sum)
{
	for (unsigned k = 0; k < r->given_count; k++) {
		const struct given *g = &r->given[k];

		if (g->ticket != c->ticket || g->name != name)
			continue;
		CHECK(g->size == c->size && g->sum == sum);
		return true;
	}
	if (r->given_count < GIVEN_MAX && c->ticket)
		r->given[r->given_count++] =
		    (struct given){.ticket = c->ticket, .size = c->size, .sum = sum, .name = name};
	return false;
}

static void check_source(struct run *r, struct cow_tftp_content *c, const char *name)
{
	if (has_admin_bytes(c))
		check_admin(r, name);
	else
		check_tree(r, c, name);
}

static enum who server_says(struct run *r, const struct cow_tftp_content *c)
{
	const struct cow_tftp_pin *p =
	    c->ticket ? cow_tftp_clients_session(r->files.clients, c->ticket) : NULL;

	if (!p)
		return STRANGER;
	return strcmp(p->conf->id, MAC_A) == 0 ? A : B;
}

/* @name: of names[]; NAMES: any, of which nothing is known. */
static void take(struct run *r, struct cow_tftp_content *c, unsigned name, bool buffered)
{
	enum who who = server_says(r, c);
	bool may_change = !c->settled && c->size > COW_TFTP_PIN_COPY_MAX;
	uint64_t sum = 0;
	unsigned slot = 0;

	CHECK(c->size > 0); /* R4 */
	bool ok = read_all(c, who, &sum);

	CHECK(ok || may_change); /* R5 */
	if (ok && name < NAMES && !may_change) {
		if (is_denied(names[name]))
			CHECK(has_admin_bytes(c) && strcasecmp(names[name], "autoboot.txt") != 0);
		if (!check_given(r, c, name, sum) && who == A)
			check_source(r, c, names[name]);
	}
	if (!ok) {
		cow_tftp_content_free(c);
		return;
	}
	while (slot + 1 < DELIVERIES && r->open[slot].content)
		slot++;
	cow_tftp_content_free(r->open[slot].content);
	if (buffered)
		CHECK(cow_tftp_content_buffered(&c) == 0);
	r->open[slot] =
	    (struct delivery){.content = c, .who = who, .sum = sum, .may_change = may_change};
}

static struct cow_tftp_who sender(struct run *r, unsigned from)
{
	static const char *const addrs[] = {"10.0.0.10", "10.0.0.11", "10.0.0.99"};
	struct cow_tftp_who who = {.ifindex = 1, .now_ms = r->now_ms};

	CHECK(inet_pton(AF_INET, addrs[from], &who.addr) == 1);
	CHECK(inet_pton(AF_INET, "10.0.0.1", &who.local) == 1);
	who.addr6.s6_addr[10] = who.addr6.s6_addr[11] = 0xff;
	memcpy(who.addr6.s6_addr + 12, &who.addr, 4);
	return who;
}

static void ask_raw(struct run *r)
{
	const struct cow_tftp_who who = sender(r, next(r) % 3);
	struct cow_tftp_content *c = NULL;
	size_t len = next(r), there = (size_t)(r->end - r->in);

	if (len > there)
		len = there;
	const char *name = (const char *)r->in;

	r->in += len;
	if (cow_tftp_files_open(&r->files, &who, name, len, &c) == 0)
		take(r, c, NAMES, false);
}

/* One of names[], written in one of many ways. */
static void ask(struct run *r)
{
	static const struct {
		const char *text;
		enum who who;
	} prefixes[] = {{"", STRANGER},
			{MAC_A, A},
			{"DC:A6:32:00:00:0A", A},
			{"0000000a", A},
			{"0000000A", A},
			{MAC_B, B},
			{"0000000b", B},
			{"ffffffff", STRANGER},
			{"52-54-00-00-00-01", STRANGER}};
	static const char *const joins[] = {"/", "//", "\\", "/./", "/../", "/x/../"};
	static const char *const ends[] = {"", "/", "\0x", "\\", "/.", "\n"};
	unsigned name = next(r) % NAMES, how = next(r), tail = next(r);
	unsigned prefix = how % 9, join = how / 9 % 6, from = tail % 3, end = tail / 3 % 16;
	const struct cow_tftp_who who = sender(r, from);
	enum who expected = prefix ? prefixes[prefix].who : (enum who)from;
	struct cow_tftp_content *c = NULL;
	char raw[512];
	size_t len;

	if (end >= sizeof(ends) / sizeof(ends[0]))
		end = 0;
	int n = snprintf(raw, sizeof(raw), "%s%s%s%s", tail & 128 ? "/" : "", prefixes[prefix].text,
			 prefix || join > 3 ? joins[join] : "", names[name]);

	CHECK(n > 0 && n < 128);
	len = (size_t)n + (end == 2 ? 2 : strlen(ends[end]));
	memcpy(raw + n, ends[end], end == 2 ? 2 : strlen(ends[end]));
	if (tail == 255) { /* much too long */
		memset(raw + len, 'a', sizeof(raw) - len);
		len = sizeof(raw);
	}
	int got = cow_tftp_files_open(&r->files, &who, raw, len, &c);

	CHECK(got < 0 || (join < 4 && end == 0 && tail != 255));
	if (got < 0)
		return;
	CHECK(server_says(r, c) == expected); /* R2 */
	take(r, c, name, tail & 64);
}

/* The next piece; the last one is followed by a look at all of it (R5, R6). False: it was the last. */
static bool deliver(struct delivery *d)
{
	char buf[1468];
	uint64_t left = d->content ? d->content->size - d->at : 0, sum = 0;
	size_t len = left < sizeof(buf) ? (size_t)left : sizeof(buf);

	if (!d->content)
		return false;
	int got = d->content->read(d->content, buf, len, d->at);

	CHECK(got == 0 || d->may_change);
	if (got == 0)
		check_bytes(buf, len, d->who);
	d->at += len;
	if (got == 0 && d->at < d->content->size)
		return true;
	if (read_all(d->content, d->who, &sum))
		CHECK(sum == d->sum || d->may_change);
	else
		CHECK(d->may_change);
	cow_tftp_content_free(d->content);
	d->content = NULL;
	return false;
}

static void pass_time(struct run *r)
{
	static const unsigned ms[] = {0, 10, 1500, 2100, 4000, 31000, 200000};

	r->now_ms += ms[next(r) % (sizeof(ms) / sizeof(ms[0]))];
	cow_tftp_files_tick(&r->files, r->now_ms);
}

static void step(struct run *r)
{
	switch (next(r) % 16) {
	case 0:
		create(r, names[next(r) % NAMES]);
		return;
	case 1:
		remove_at(r, names[next(r) % NAMES]);
		return;
	case 2:
		move(r, names[next(r) % NAMES]);
		return;
	case 3:
		write_or_cut(r, names[next(r) % NAMES]);
		return;
	case 4:
		change_mode(r, names[next(r) % NAMES]);
		return;
	case 5:
	case 6:
		administrate(r, names[next(r) % NAMES]);
		return;
	case 7:
		pass_time(r);
		return;
	case 8:
		ask_raw(r);
		return;
	case 9:
		new_root(r);
		return;
	case 10:
		(void)deliver(&r->open[next(r) % DELIVERIES]);
		return;
	case 11:
		while (deliver(&r->open[0]))
			;
		return;
	default:
		ask(r);
	}
}

static void begin(struct run *r)
{
	add_client(A, "0000000a");
	dir(OWN_A);
	attach(r);
	r->now_ms = cow_now_ms();
	r->files = (struct cow_tftp_files){.site = {.nfs = "4.2",
						    .nfs_port = 2049,
						    .mount_port = 20048,
						    .trust = COW_TFTP_TRUST_MATCH,
						    .loader_fd = lab.loader_fd,
						    .event_fd = -1},
					   .neigh_fd = -1,
					   .leases = lab.leases};
	must(cow_tftp_clients_new(lab.store, &r->files.clients), "clients", NULL);
	cow_tftp_clients_on_over(r->files.clients, cow_tftp_files_over, &r->files);
}

static void finish(struct run *r)
{
	struct cow_err err = COW_ERR_INIT;

	for (unsigned k = 0; k < DELIVERIES; k++)
		cow_tftp_content_free(r->open[k].content);
	cow_tftp_clients_free(r->files.clients);
	detach(r);
	must(cow_client_rm(lab.store, &lab.mac[A], COW_SWAP_NOW, &err), "rm", &err);
	must(cow_store_empty_trash(lab.store, &err), "trash", &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = {.in = data, .end = data + size};
	unsigned steps = 0;

	if (!lab.store)
		make_lab();
	begin(&r);
	while (r.in < r.end && steps++ < STEPS_MAX)
		step(&r);
	finish(&r);
	return 0;
}
