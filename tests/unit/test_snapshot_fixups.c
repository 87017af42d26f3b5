/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The fix-ups, one by one: made, not needed a second time, taken back so that nothing is left of them: content,
 * modes, owners, times, links, extended attributes. And what becomes of it when others have changed the
 * tree since. On a tree without a store; needs root for owners and devices.
 */
#include "cow_test.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "common/kv.h"
#include "fixup.h"
#include "fixup_internal.h"

static const struct timespec old_times[2] = {{.tv_sec = 1500000000, .tv_nsec = 111},
					     {.tv_sec = 1500000001, .tv_nsec = 222}};

struct fixture {
	struct tmpdir *tmp;
	int tree;
	struct cow_fixlog log;
	struct cow_err err;
	char result[16], what[512]; /* of the last report */
};

/* ---------------------------------------------------------------- a tree that needs everything */

static void make_dirs(const struct fixture *f, const char *path)
{
	char dir[256];
	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(p - path), path);
		if (mkdirat(f->tree, dir, 0755) < 0)
			assert_int_equal(errno, EEXIST);
	}
}

static void put_bytes(const struct fixture *f, const char *path, const void *p, size_t len)
{
	make_dirs(f, path);
	cow_autoclose int fd = openat(f->tree, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(cow_write_full(fd, p, len), 0);
	assert_int_equal(futimens(fd, old_times), 0);
}

static void put(const struct fixture *f, const char *path, const char *text)
{
	put_bytes(f, path, text, strlen(text));
}

static void put_swap_file(const struct fixture *f, const char *path)
{
	put(f, path, "");
	cow_autoclose int fd = openat(f->tree, path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "SWAPSPACE2", 10, 4086), 10);
	assert_int_equal(ftruncate(fd, 8 << 20), 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(futimens(fd, old_times), 0);
}

static const char fstab[] = "proc /proc proc defaults 0 0\n"
			    "PARTUUID=1-1 /boot/firmware vfat defaults 0 2\n"
			    "/swap.img none swap sw 0 0\n"
			    "# mine\n"
			    "tmpfs /var/tmp tmpfs nosuid 0 0\n"
			    "/dev/sda1 /data ext4 defaults 0 0\n";

static void make_initramfs(const struct fixture *f)
{
	static const char *const modules[] = {"fs/nfs/nfs",	"fs/nfs/nfsv3",		"fs/nfs/nfsv4",
					      "fs/lockd/lockd", "fs/overlayfs/overlay", "net/packet/af-packet"};
	char path[128], dep[1024] = "";
	put(f, "usr/share/initramfs-tools/hook-functions", "");
	put(f, "usr/lib/klibc/bin/mount", "klibc mount");
	for (size_t i = 0; i < sizeof(modules) / sizeof(*modules); i++) {
		(void)snprintf(path, sizeof(path), "usr/lib/modules/6.1/kernel/%s.ko", modules[i]);
		put(f, path, modules[i]);
		(void)snprintf(dep + strlen(dep), sizeof(dep) - strlen(dep), "kernel/%s.ko:\n",
			       modules[i]);
	}
	put(f, "usr/lib/modules/6.1/modules.dep", dep);
	put(f, "usr/lib/modules/6.1/modules.dep.bin", "index");
	put(f, "boot/config-6.1", "# config\nCONFIG_ROOT_NFS=n\n");
	put_bytes(f, "boot/initrd.img-6.1", "an archive\0of\nsome kind", 23);
}

static void make_attributes(const struct fixture *f)
{
	char proc[64];
	assert_int_equal(fchownat(f->tree, "etc/fstab", 12, 34, 0), 0);
	assert_int_equal(fchmodat(f->tree, "etc/fstab", 0640, 0), 0);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/etc/fstab", f->tree);
	assert_int_equal(lsetxattr(proc, "trusted.note", "a\0b", 3, 0), 0);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/etc/ssh/ssh_host_rsa_key", f->tree);
	assert_int_equal(lsetxattr(proc, "trusted.note", "", 0, 0), 0);
	assert_int_equal(fchmodat(f->tree, "etc/ssh/ssh_host_rsa_key", 0600, 0), 0);
	assert_int_equal(fchmodat(f->tree, "boot/firmware/cmdline.txt", 04755, 0), 0);
	/* Other names: of what is rewritten, of what is removed, and of two that both are. */
	assert_int_equal(linkat(f->tree, "etc/dhcpcd.conf", f->tree, "usr/dhcpcd.conf", 0), 0);
	assert_int_equal(linkat(f->tree, "etc/xdg/autostart/piwiz.desktop", f->tree, "usr/piwiz", 0), 0);
	assert_int_equal(unlinkat(f->tree, "var/lib/dbus/machine-id", 0), 0);
	assert_int_equal(linkat(f->tree, "etc/machine-id", f->tree, "var/lib/dbus/machine-id", 0), 0);
}

/* Everything is as old. */
static void age(int dir)
{
	const struct dirent *e;
	cow_autodir DIR *d = fdopendir(dup(dir));
	assert_non_null(d);
	rewinddir(d);
	while (cow_readdir(d, &e) == 1) {
		if (e->d_type == DT_DIR) {
			cow_autoclose int sub = cow_opendir_at(dir, e->d_name);
			age(sub);
		}
		assert_int_equal(utimensat(dir, e->d_name, old_times, AT_SYMLINK_NOFOLLOW), 0);
	}
	assert_int_equal(futimens(dir, old_times), 0);
}

static void make_tree(const struct fixture *f)
{
	static const char *const units[] = {
	    "dphys-swapfile.service", "rpi-resize.service", "fstrim.timer", "apt-daily.timer",
	    "man-db.timer", "regenerate_ssh_host_keys.service", "userconfig.service",
	    "rpi-eeprom-update.service", "systemd-networkd-wait-online.service",
	    "fake-hwclock-save.timer"};
	char path[128];
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		(void)snprintf(path, sizeof(path), "usr/lib/systemd/system/%s", units[i]);
		put(f, path, "[Unit]\n");
	}
	put(f, "usr/lib/systemd/systemd", "");
	put(f, "usr/sbin/sshd", "");
	put(f, "usr/bin/ssh-keygen", "");
	put(f, "boot/firmware/config.txt", "arm_64bit=1\n");
	put(f, "boot/firmware/cmdline.txt", "console=tty1 resize quiet\n");
	put(f, "etc/fstab", fstab);
	put_swap_file(f, "swap.img");
	put_swap_file(f, "var/swap");
	put(f, "etc/dphys-swapfile", "CONF_SWAPSIZE=100\n");
	put(f, "etc/rpi/swap.conf", "");
	put(f, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	put(f, "var/lib/dbus/machine-id", "");
	put_bytes(f, "var/lib/systemd/random-seed", "\x01\0\xff=\n", 5);
	put(f, "etc/ssh/ssh_host_rsa_key", "secret");
	put(f, "etc/ssh/ssh_host_rsa_key.pub", "public");
	put(f, "etc/cron.hourly/fake-hwclock", "");
	put(f, "etc/xdg/autostart/piwiz.desktop", "asks");
	put(f, "etc/cloud/cloud.cfg", "");
	put(f, "etc/network/interfaces",
	    "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n");
	put(f, "etc/network/interfaces.d/end0", "allow-hotplug end0\niface end0 inet dhcp\n");
	put(f, "etc/dhcpcd.conf", "interface eth0\n");
	/* In the place of a unit of ours stands a link of somebody else's. */
	make_dirs(f, "etc/systemd/system/x");
	assert_int_equal(symlinkat("/somewhere", f->tree, "etc/systemd/system/cowherd-dns.service"), 0);
	assert_int_equal(fchownat(f->tree, "etc/systemd/system/cowherd-dns.service", 5, 6,
				  AT_SYMLINK_NOFOLLOW), 0);
	make_initramfs(f);
	assert_int_equal(symlinkat("usr/lib", f->tree, "lib"), 0);
	make_attributes(f);
	age(f->tree);
}

/* ---------------------------------------------------------------- the whole tree as text */

#define RECENT 1600000000 /* what the tests wrote themselves */

struct dump {
	FILE *out;
	struct {
		ino_t ino;
		char path[256];
	} first[32]; /* of those with several names */
	size_t nfirst;
	bool with_times;
};

static void dump_links(struct dump *d, const struct stat *st, const char *path)
{
	for (size_t i = 0; i < d->nfirst; i++)
		if (d->first[i].ino == st->st_ino) {
			(void)fprintf(d->out, " as=%s", d->first[i].path);
			return;
		}
	assert_true(d->nfirst < 32);
	d->first[d->nfirst].ino = st->st_ino;
	(void)snprintf(d->first[d->nfirst++].path, 256, "%s", path);
}

static void dump_xattrs(struct dump *d, const char *proc)
{
	char names[1024], value[256];
	ssize_t len = llistxattr(proc, names, sizeof(names));
	for (const char *x = names; len > 0 && x < names + len; x += strlen(x) + 1) {
		ssize_t n = lgetxattr(proc, x, value, sizeof(value));
		(void)fprintf(d->out, " %s=", x);
		for (ssize_t k = 0; k < n; k++)
			(void)fprintf(d->out, "%02x", (unsigned char)value[k]);
	}
}

static void dump_content(struct dump *d, int dir, const char *name, const struct stat *st)
{
	uint8_t sum[COW_FIXLOG_SUM_LEN];
	char *p = malloc((size_t)st->st_size + 1);
	cow_autoclose int fd = openat(dir, name, O_RDONLY | O_NOATIME | O_CLOEXEC);
	assert_non_null(p);
	assert_int_equal(cow_read_full(fd, p, (size_t)st->st_size), st->st_size);
	assert_int_equal(cow_fixlog_sum(p, (size_t)st->st_size, sum), 0);
	(void)fprintf(d->out, " %lld ", (long long)st->st_size);
	if (d->with_times)
		(void)fprintf(d->out, "%lld.%09ld ", (long long)st->st_atim.tv_sec, st->st_atim.tv_nsec);
	for (size_t k = 0; k < sizeof(sum); k++)
		(void)fprintf(d->out, "%02x", sum[k]);
	free(p);
}

static void dump_one(struct dump *d, int dir, const char *name, const char *path)
{
	struct stat st;
	char proc[320], target[256] = "";
	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	(void)fprintf(d->out, "%s %o %u:%u %llx", path, st.st_mode, st.st_uid, st.st_gid,
		      (unsigned long long)st.st_rdev);
	if (!d->with_times && st.st_mtim.tv_sec > RECENT)
		(void)fprintf(d->out, " recent");
	else
		(void)fprintf(d->out, " %lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (S_ISLNK(st.st_mode))
		assert_true(readlinkat(dir, name, target, sizeof(target) - 1) > 0);
	(void)fprintf(d->out, " %s", target);
	if (S_ISREG(st.st_mode))
		dump_content(d, dir, name, &st);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		dump_links(d, &st, path);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", dir, name);
	dump_xattrs(d, proc);
	(void)fputc('\n', d->out);
}

static void dump_dir(struct dump *d, int dir, const char *path)
{
	struct dirent **list;
	char proc[32];
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", dir);
	int n = scandir(proc, &list, NULL, alphasort);
	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			char *child = NULL;
			assert_true(asprintf(&child, "%s/%s", path, name) > 0);
			dump_one(d, dir, name, child);
			cow_autoclose int sub =
			    list[i]->d_type == DT_DIR ? cow_opendir_at(dir, name) : -1;
			if (sub >= 0)
				dump_dir(d, sub, child);
			free(child);
		}
		free(list[i]);
	}
	free(list);
}

static char *dump(const struct fixture *f, bool with_times)
{
	char *text = NULL;
	size_t len;
	struct dump d = {.out = open_memstream(&text, &len), .with_times = with_times};
	assert_non_null(d.out);
	dump_one(&d, f->tree, ".", ".");
	dump_dir(&d, f->tree, "");
	assert_int_equal(fclose(d.out), 0);
	return text;
}

/* As it was, but for nothing. */
static void assert_tree(const struct fixture *f, const char *want, bool with_times)
{
	cow_autofree char *is = dump(f, with_times);
	const char *a = want, *b = is;
	while (*a && *b) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
		if (n != m || memcmp(a, b, n) != 0)
			fail_msg("wanted '%.*s', found '%.*s'", (int)n, a, (int)m, b);
		a += n + (a[n] == '\n');
		b += m + (b[m] == '\n');
	}
	assert_string_equal(a, b);
}

/* ---------------------------------------------------------------- fixture */

static int setup(void **state)
{
	void *tmp = NULL;
	struct fixture *f = calloc(1, sizeof(*f));
	(void)umask(0);
	if (!f || tmpdir_setup(&tmp) < 0)
		return -1;
	f->tmp = tmp;
	assert_int_equal(mkdirat(f->tmp->fd, "tree", 0755), 0);
	f->tree = cow_opendir_at(f->tmp->fd, "tree");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *tmp = f->tmp;
	(void)close(f->tree);
	cow_fixlog_done(&f->log);
	free(f);
	return tmpdir_teardown(&tmp);
}

static void report(void *ctx, const char *name, const char *result, const char *what)
{
	struct fixture *f = ctx;
	(void)name;
	(void)snprintf(f->result, sizeof(f->result), "%s", result);
	(void)snprintf(f->what, sizeof(f->what), "%s", what);
}

static int make(struct fixture *f, const char *name)
{
	int r = cow_fixup_one(f->tree, "boot/firmware", name, &f->log, report, f, &f->err);
	if (r < 0)
		fail_msg("%s: %s", name, cow_err_str(&f->err));
	return r;
}

static int take_back(struct fixture *f, const char *name, unsigned flags)
{
	return cow_fixup_undo(f->tree, &f->log, name, flags, report, f, &f->err);
}

static void must_take_back(struct fixture *f, const char *name)
{
	int r = take_back(f, name, 0);
	if (r != 1)
		fail_msg("%s: %d, %s", name, r, cow_err_str(&f->err));
	assert_string_equal(f->result, "undone");
}

static char *log_text(const struct cow_fixlog *log)
{
	cow_autokv kv = NULL;
	char *text = NULL;
	size_t len;
	assert_int_equal(cow_fixlog_format(log, &kv), 0);
	assert_int_equal(cow_kv_format(kv, &text, &len), 0);
	return text;
}

static int parse_log(const char *text, struct cow_fixlog *ret)
{
	cow_autokv kv = NULL;
	assert_int_equal(cow_kv_parse(text, strlen(text), "test", &kv, NULL), 0);
	return cow_fixlog_parse(kv, ret);
}

/* The record becomes text and comes back. */
static void through_text(struct fixture *f)
{
	struct cow_fixlog back;
	cow_autofree char *one = log_text(&f->log);
	assert_int_equal(parse_log(one, &back), 0);
	cow_autofree char *two = log_text(&back);
	assert_string_equal(one, two);
	cow_fixlog_done(&f->log);
	f->log = back;
}

static char *text_of(const struct fixture *f, const char *path)
{
	char *text;
	size_t len;
	assert_int_equal(cow_read_file_at(f->tree, path, 1 << 20, &text, &len), 0);
	return text;
}

static void assert_text(const struct fixture *f, const char *path, const char *want)
{
	cow_autofree char *is = text_of(f, path);
	assert_string_equal(is, want);
}

/* Somebody else's change. */
static void append(const struct fixture *f, const char *path, const char *text)
{
	cow_autoclose int fd = openat(f->tree, path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(cow_write_full(fd, text, strlen(text)), 0);
}

/* ---------------------------------------------------------------- each fix-up */

static void done_once_and_taken_back(void **state)
{
	const char *name = *state;
	void *s = NULL;
	assert_int_equal(setup(&s), 0);
	struct fixture *f = s;
	make_tree(f);
	cow_autofree char *before = dump(f, true);
	assert_int_equal(make(f, name), 1);
	assert_string_equal(f->result, "done");
	cow_autofree char *after = dump(f, true);
	assert_string_not_equal(before, after);
	assert_int_equal(make(f, name), 0);
	assert_string_equal(f->result, "not needed");
	assert_tree(f, after, true);
	through_text(f);
	must_take_back(f, name);
	assert_tree(f, before, true);
	assert_null(cow_fixlog_find(&f->log, name));
	assert_int_equal(take_back(f, name, 0), 0);
	assert_string_equal(f->result, "not needed");
	assert_int_equal(make(f, name), 1); /* and made after all */
	must_take_back(f, name);
	assert_tree(f, before, true);
	assert_int_equal(teardown(&s), 0);
}

/* ---------------------------------------------------------------- several */

static void make_all(struct fixture *f, const char *but)
{
	const char *skip[] = {but, NULL};
	const struct cow_fixup_skip skipped = {{but ? skip : NULL, NULL}};
	int r = cow_fixup_tree(f->tree, "boot/firmware", &skipped, &f->log, report, f, &f->err);
	if (r < 0)
		fail_msg("%s", cow_err_str(&f->err));
}

static void all_are_taken_back_in_any_order(void **state)
{
	struct fixture *f = *state;
	const char *about;
	make_tree(f);
	cow_autofree char *before = dump(f, true);
	for (unsigned step = 1; step <= 4; step++) { /* each order takes every one: 15 and 4 have no divisor */
		unsigned n = 0, at = 0;
		make_all(f, NULL);
		through_text(f);
		while (cow_fixup_name(n, &about))
			n++;
		for (unsigned k = 0; k < n; k++, at = (at + (step == 3 ? 14 : step)) % n)
			must_take_back(f, cow_fixup_name(at, &about));
		assert_tree(f, before, true);
		assert_int_equal(f->log.n, 0);
	}
}

/* The others are as if that one had been left out from the beginning. */
static void one_is_taken_back_and_the_others_stay(void **state)
{
	const char *name, *about;
	for (unsigned n = 0; (name = cow_fixup_name(n, &about)); n++) {
		void *s = NULL;
		assert_int_equal(setup(&s), 0);
		struct fixture *f = s;
		make_tree(f);
		make_all(f, name);
		cow_autofree char *without = dump(f, false);
		assert_int_equal(make(f, name), 1);
		must_take_back(f, name);
		assert_tree(f, without, false);
		assert_int_equal(teardown(&s), 0);
	}
	(void)state;
}

static int comment_out(void *ctx, const char *line, size_t len, struct cow_text *out)
{
	const char *word = ctx;
	int r = memmem(line, len, word, strlen(word)) ? cow_text_add(out, "# ", 2) : 0;
	if (r == 0)
		r = cow_text_add(out, line, len);
	return r < 0 ? r : cow_text_add(out, "\n", 1);
}

static void two_that_change_one_file_leave_each_other_alone(void **state)
{
	struct fixture *f = *state;
	struct cow_fix a = {.tree = f->tree, .log = &f->log, .name = "fstab"};
	struct cow_fix b = {.tree = f->tree, .log = &f->log, .name = "swap"};
	put(f, "etc/both", "one\ntwo\nthree\nfour\n");
	assert_int_equal(cow_fix_lines(&a, "etc/both", comment_out, (void *)(uintptr_t) "two"), 1);
	assert_int_equal(cow_fix_lines(&b, "etc/both", comment_out, (void *)(uintptr_t) "four"), 1);
	must_take_back(f, "fstab");
	assert_text(f, "etc/both", "one\ntwo\nthree\n# four\n");
	must_take_back(f, "swap");
	assert_text(f, "etc/both", "one\ntwo\nthree\nfour\n");
}

/* ---------------------------------------------------------------- changed since */

static void lines_that_others_added_stay(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	assert_int_equal(make(f, "fstab"), 1);
	append(f, "etc/fstab", "server:/x /x nfs defaults 0 0\n");
	assert_int_equal(fchmodat(f->tree, "etc/fstab", 0600, 0), 0);
	must_take_back(f, "fstab");
	cow_autofree char *is = text_of(f, "etc/fstab");
	assert_int_equal(strncmp(is, fstab, strlen(fstab)), 0);
	assert_string_equal(is + strlen(fstab), "server:/x /x nfs defaults 0 0\n");
	struct stat st;
	assert_int_equal(fstatat(f->tree, "etc/fstab", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, 12);
	assert_non_null(strstr(f->what, "put back lines of /etc/fstab"));
}

static void the_same_lines_changed_are_refused(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	assert_int_equal(make(f, "resize"), 1);
	put(f, "boot/firmware/cmdline.txt", "console=tty1 quiet splash\n");
	assert_int_equal(take_back(f, "resize", 0), -EPERM);
	assert_int_equal(f->err.code, COW_ERR_REFUSED);
	assert_non_null(strstr(cow_err_str(&f->err), "/boot/firmware/cmdline.txt was changed since"));
	assert_non_null(cow_fixlog_find(&f->log, "resize"));
}

static void with_force_what_was_changed_stays(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	make_tree(f);
	assert_int_equal(make(f, "resize"), 1);
	put(f, "boot/firmware/cmdline.txt", "console=tty1 quiet splash\n");
	assert_int_equal(take_back(f, "resize", COW_FIXUP_FORCE), 1);
	assert_text(f, "boot/firmware/cmdline.txt", "console=tty1 quiet splash\n");
	assert_int_equal(fstatat(f->tree, "etc/systemd/system/rpi-resize.service", &st,
				 AT_SYMLINK_NOFOLLOW), -1);
	assert_non_null(strstr(f->what, "/boot/firmware/cmdline.txt was changed since"));
}

static void what_was_removed_since_stays_away(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	make_tree(f);
	assert_int_equal(make(f, "initramfs"), 1);
	assert_int_equal(unlinkat(f->tree, "boot/initrd.img-6.1", 0), 0);
	must_take_back(f, "initramfs");
	assert_int_equal(fstatat(f->tree, "boot/initrd.img-6.1", &st, 0), -1);
	assert_non_null(strstr(f->what, "left /boot/initrd.img-6.1: it was removed since"));
	assert_int_equal(make(f, "ssh-host-keys"), 1);
	assert_int_equal(unlinkat(f->tree, "etc/ssh", AT_REMOVEDIR), 0); /* its package has gone */
	must_take_back(f, "ssh-host-keys");
	assert_int_equal(fstatat(f->tree, "etc/ssh", &st, 0), -1);
}

static void what_came_in_its_place_is_refused(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	assert_int_equal(make(f, "clock"), 1);
	put(f, "etc/cron.hourly/fake-hwclock", "a newer one");
	assert_int_equal(take_back(f, "clock", 0), -EPERM);
	assert_non_null(strstr(cow_err_str(&f->err), "/etc/cron.hourly/fake-hwclock was changed"));
}

/* Others may have put files of theirs next to ours. */
static void directories_that_others_use_stay(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	make_tree(f);
	assert_int_equal(make(f, "journald"), 1);
	put(f, "etc/systemd/journald.conf.d/mine.conf", "");
	must_take_back(f, "journald");
	assert_int_equal(fstatat(f->tree, "etc/systemd/journald.conf.d/mine.conf", &st, 0), 0);
	assert_int_equal(fstatat(f->tree, "etc/systemd/journald.conf.d/90-cowherd.conf", &st, 0), -1);
}

/* ---------------------------------------------------------------- made again in a later version */

static void made_again_it_is_one_change(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	assert_int_equal(make(f, "fstab"), 1);
	through_text(f);
	append(f, "etc/fstab", "/dev/sdb1 /more ext4 defaults 0 0\n");
	assert_int_equal(make(f, "fstab"), 1);
	through_text(f);
	must_take_back(f, "fstab");
	cow_autofree char *is = text_of(f, "etc/fstab");
	assert_int_equal(strncmp(is, fstab, strlen(fstab)), 0);
	assert_string_equal(is + strlen(fstab), "/dev/sdb1 /more ext4 defaults 0 0\n");
}

/* A package brought the file anew, without what the fix-up had made of it. */
static void made_again_on_another_file_that_comes_back(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	assert_int_equal(make(f, "network"), 1);
	put(f, "etc/network/interfaces", "auto eth1\niface eth1 inet dhcp\n");
	assert_int_equal(make(f, "network"), 1);
	must_take_back(f, "network");
	assert_text(f, "etc/network/interfaces", "auto eth1\niface eth1 inet dhcp\n");
}

static void our_own_file_put_back_in_shape_goes_as_a_whole(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	cow_autofree char *before = dump(f, true);
	assert_int_equal(make(f, "journald"), 1);
	append(f, "etc/systemd/journald.conf.d/90-cowherd.conf", "# mine\n");
	assert_int_equal(make(f, "journald"), 1);
	must_take_back(f, "journald");
	assert_tree(f, before, true);
}

/* ---------------------------------------------------------------- odd things in the way of a fix-up */

static void links_fifos_and_devices_come_back(void **state)
{
	struct fixture *f = *state;
	make_tree(f);
	assert_int_equal(unlinkat(f->tree, "etc/fstab", 0), 0);
	put(f, "etc/fstab.real", fstab);
	assert_int_equal(symlinkat("fstab.real", f->tree, "etc/fstab"), 0);
	assert_int_equal(unlinkat(f->tree, "etc/machine-id", 0), 0);
	assert_int_equal(mknodat(f->tree, "etc/machine-id", S_IFIFO | 0620, 0), 0);
	assert_int_equal(unlinkat(f->tree, "var/lib/systemd/random-seed", 0), 0);
	assert_int_equal(mknodat(f->tree, "var/lib/systemd/random-seed", S_IFCHR | 0604,
				 makedev(1, 9)), 0);
	assert_int_equal(fchownat(f->tree, "var/lib/systemd/random-seed", 7, 8, 0), 0);
	age(f->tree);
	cow_autofree char *before = dump(f, true);
	make_all(f, NULL);
	through_text(f);
	must_take_back(f, "machine-id");
	must_take_back(f, "fstab");
	const char *name, *about;
	for (unsigned n = 0; (name = cow_fixup_name(n, &about)); n++)
		(void)take_back(f, name, 0);
	assert_tree(f, before, true);
}

static void too_much_to_keep_is_told(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	make_tree(f);
	char *big = malloc(2 << 20);
	assert_non_null(big);
	memset(big, 'x', 2 << 20);
	put_bytes(f, "etc/cron.hourly/fake-hwclock", big, 2 << 20);
	free(big);
	assert_int_equal(make(f, "clock"), 1);
	through_text(f);
	assert_int_equal(take_back(f, "clock", 0), -EPERM);
	assert_non_null(strstr(cow_err_str(&f->err), "/etc/cron.hourly/fake-hwclock was not kept"));
	assert_int_equal(take_back(f, "clock", COW_FIXUP_FORCE), 1);
	assert_int_equal(fstatat(f->tree, "etc/systemd/system/fake-hwclock-save.timer", &st,
				 AT_SYMLINK_NOFOLLOW), -1);
}

/* An image with more files to change than a record may hold. */
static void too_many_changes_are_told(void **state)
{
	struct fixture *f = *state;
	char path[128];
	for (unsigned k = 0; k < 2000; k++) {
		(void)snprintf(path, sizeof(path), "etc/network/interfaces.d/card%u", k);
		put(f, path, "auto eth0\n");
	}
	assert_int_equal(make(f, "network"), 1);
	through_text(f);
	assert_int_equal(take_back(f, "network", 0), -EPERM);
	assert_non_null(strstr(cow_err_str(&f->err), "not all of it was recorded"));
}

/* ---------------------------------------------------------------- the record */

static void the_record_is_a_file_for_root_alone(void **state)
{
	struct fixture *f = *state;
	struct cow_fixlog back;
	struct stat st;
	assert_int_equal(cow_fixlog_read(f->tmp->fd, &back, &f->err), 0); /* there is none */
	assert_int_equal(back.n, 0);
	assert_int_equal(cow_fixlog_write(f->tmp->fd, &back, &f->err), 0);
	assert_int_equal(faccessat(f->tmp->fd, COW_FIXLOG_NAME, F_OK, 0), -1);
	make_tree(f);
	make_all(f, NULL);
	assert_int_equal(cow_fixlog_write(f->tmp->fd, &f->log, &f->err), 0);
	assert_int_equal(fstatat(f->tmp->fd, COW_FIXLOG_NAME, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(cow_fixlog_read(f->tmp->fd, &back, &f->err), 0);
	cow_autofree char *one = log_text(&f->log);
	cow_autofree char *two = log_text(&back);
	assert_string_equal(one, two);
	cow_fixlog_done(&back);
	assert_int_equal(cow_write_file_at(f->tmp->fd, COW_FIXLOG_NAME, "what\n", 5, 0600), 0);
	assert_int_equal(cow_fixlog_read(f->tmp->fd, &back, &f->err), -EBADMSG);
	assert_non_null(strstr(cow_err_str(&f->err), COW_FIXLOG_NAME));
}

#define A "mode=0644 uid=0 gid=0 atime=1.000000000 mtime=-6.750000000 "
#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OURS "now=file sum=" SUM " now_size=9 now_mode=0644 now_uid=0 now_gid=0"

/* What the record of a stranger's archive may say, and what not. */
static void records_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *lines;
		int r;
	} records[] = {
	    {"change = file path=a/b " A "size=3 head=0 tail=0 now=none\ncut = YWJj", 0},
	    {"change = file path=a/b " A "size=12 head=4 tail=5 " OURS "\ncut = YWJj", 0},
	    {"change = file path=a/b " A "size=99 head=0 tail=0 now=none\ncut = YWJj", 0},
	    {"change = none path=a/b more=x " OURS "\nmore = x", 0},
	    {"change = link path=a " A "now=link target=x\ncut = YWJj", 0},
	    {"change = file path=a/b " A "size=2 head=0 tail=0 now=none\ncut = YWJj", -EBADMSG},
	    {"change = file path=a/b " A "size=13 head=5 tail=5 " OURS "\ncut = YWJj", -EBADMSG},
	    {"change = file path=a/b " A "size=3 head=3 tail=0 now=none", -EBADMSG},
	    {"change = file path=a/b " A "size=1999999999999999 head=0 tail=0 now=none", -EBADMSG},
	    {"change = file path=a/b " A "size=3 head=0 tail=0 now=dir\ncut = YWJj", -EBADMSG},
	    {"change = file path=a/b " A "size=3 head=0 tail=0 now=none\ncut = YW=j", -EBADMSG},
	    {"change = file path=a/b " A "size=3 head=0 tail=0 now=none\ncut = YWJ", -EBADMSG},
	    {"change = file path=a/b " A "size=3 head=0 tail=0 now=none\ncut = YWJj\nvalue = YWJj", -EBADMSG},
	    {"change = file path=a/b " A "size=3 head=0 tail=0 now=none\ncut = YWJj\nalso = at path=../x", -EBADMSG},
	    {"change = link path=a " A "now=link target=x", -EBADMSG},
	    {"change = link path=a " A "now=link\ncut = YWJj", -EBADMSG},
	    {"change = node path=a mode=100644 uid=0 gid=0 atime=1.000000000 mtime=1.000000000 major=1 minor=1 now=none", -EBADMSG},
	    {"change = none path=/a " OURS, -EBADMSG},
	    {"change = none path=a/../b " OURS, -EBADMSG},
	    {"change = none path=a//b " OURS, -EBADMSG},
	    {"change = none path=a/ " OURS, -EBADMSG},
	    {"change = none " OURS, -EBADMSG},
	    {"change = none path=a now=file sum=" SUM, -EBADMSG},
	    {"change = other path=a now=none", -EBADMSG},
	    {"change = none path=a " OURS "\nchange = none path=a " OURS, -EBADMSG},
	    {"cut = YWJj", -EBADMSG},
	    {"did = again", -EBADMSG},
	};
	char text[1024];
	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
		cow_autofixlog log = COW_FIXLOG_EMPTY;
		(void)snprintf(text, sizeof(text), "[fstab]\ndid = x\n%s\n", records[i].lines);
		int r = parse_log(text, &log);
		if (r != records[i].r)
			fail_msg("%d, not %d: %s", r, records[i].r, records[i].lines);
	}
	cow_autofixlog log = COW_FIXLOG_EMPTY;
	assert_int_equal(parse_log("did = outside of a section\n", &log), -EBADMSG);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static struct CMUnitTest each[COW_FIXUPS_MAX];
	const char *name, *about;
	size_t n = 0;
	const struct CMUnitTest more[] = {
	    WITH_TREE(all_are_taken_back_in_any_order),
	    cmocka_unit_test(one_is_taken_back_and_the_others_stay),
	    WITH_TREE(two_that_change_one_file_leave_each_other_alone),
	    WITH_TREE(lines_that_others_added_stay),
	    WITH_TREE(the_same_lines_changed_are_refused),
	    WITH_TREE(with_force_what_was_changed_stays),
	    WITH_TREE(what_was_removed_since_stays_away),
	    WITH_TREE(what_came_in_its_place_is_refused),
	    WITH_TREE(directories_that_others_use_stay),
	    WITH_TREE(made_again_it_is_one_change),
	    WITH_TREE(made_again_on_another_file_that_comes_back),
	    WITH_TREE(our_own_file_put_back_in_shape_goes_as_a_whole),
	    WITH_TREE(links_fifos_and_devices_come_back),
	    WITH_TREE(too_much_to_keep_is_told),
	    WITH_TREE(too_many_changes_are_told),
	    WITH_TREE(the_record_is_a_file_for_root_alone),
	    cmocka_unit_test(records_that_make_no_sense_are_refused),
	};
	if (geteuid() != 0) {
		(void)fputs("needs root (owners, devices)\n", stderr);
		return 77;
	}
	for (; (name = cow_fixup_name((unsigned)n, &about)); n++)
		each[n] = (struct CMUnitTest){
		    .name = name,
		    .test_func = done_once_and_taken_back,
		    .initial_state = (void *)(uintptr_t)name,
		};
	int failed = _cmocka_run_group_tests("each fix-up", each, n, NULL, NULL);
	return failed + cmocka_run_group_tests_name("taking back", more, NULL, NULL) ? 1 : 0;
}
