/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Generated boot files: cmdline.txt, those of loaders, and the order of kernel versions.
 */
#include "cow_test.h"

#include "common/cleanup.h"
#include "tftp/cmdline.h"
#include "tftp/limits.h"
#include "tftp/vercmp.h"

static const struct cow_tftp_boot example = {
    .mac = "dc-a6-32-01-02-03",
    .name = "pi-07",
    .image = "raspios",
    .version = 3,
    .server = "10.77.0.1",
    .nfs = "4.1",
    .nfs_port = 2049,
    .initramfs = "klibc",
    .words = "",
};

#define PI_TAIL                                                                                    \
	"root=/dev/nfs rootfstype=nfs nfsroot=10.77.0.1:/clients/dc-a6-32-01-02-03,vers=4.1,"      \
	"proto=tcp,rsize=1048576,wsize=1048576,hard,timeo=600 rw ip=dhcp rootwait fsck.mode=skip " \
	"panic=10 nfs.nfs4_unique_id=dc-a6-32-01-02-03 "                                           \
	"systemd.machine_id=636f7768657240648000dca632010203"

static void check_pi(const struct cow_tftp_boot *b, const char *in, const char *want)
{
	char *out, *again;
	size_t len, again_len;
	unsigned dropped;

	assert_int_equal(cow_tftp_cmdline_pi(b, in, strlen(in), &out, &len, &dropped), 0);
	assert_int_equal(dropped, 0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
	assert_int_equal(cow_tftp_cmdline_pi(b, out, len, &again, &again_len, NULL), 0);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, out, len);
	free(out);
	free(again);
}

static void card_root_becomes_network_root(void **state)
{
	check_pi(&example,
		 "console=serial0,115200 console=tty1 root=PARTUUID=4c4e106f-02 rootfstype=ext4 "
		 "fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot "
		 "cfg80211.ieee80211_regdom=DE resize\n",
		 "console=serial0,115200 console=tty1 quiet cfg80211.ieee80211_regdom=DE " PI_TAIL
		 "\n");
}

static void missing_file_gives_our_words(void **state)
{
	check_pi(&example, "", PI_TAIL "\n");
	check_pi(&example, " \r\n\t\n", PI_TAIL "\n");
}

static void only_the_first_line_counts(void **state)
{
	check_pi(&example, "\r\nconsole=tty1\r\nroot=/dev/sda quiet\n",
		 "console=tty1 " PI_TAIL "\n");
}

static void quoted_blanks_stay_in_their_word(void **state)
{
	check_pi(&example, "a=\"b  root=x\" \"ro\"\n", "a=\"b  root=x\" \"ro\" " PI_TAIL "\n");
	check_pi(&example, "ok a=\"never closed root=x ", "ok " PI_TAIL "\n");
	check_pi(&example, "ok a\001b\n", "ok " PI_TAIL "\n");
}

static void first_boot_scripts_are_not_run_again(void **state)
{
	check_pi(&example,
		 "quiet systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot "
		 "systemd.unit=kernel-command-line.target\n",
		 "quiet " PI_TAIL "\n");
}

static void words_of_the_client_come_last_and_once(void **state)
{
	struct cow_tftp_boot b = example;

	b.words = "isolcpus=3  quiet";
	check_pi(&b, "console=tty1 quiet\n", "console=tty1 " PI_TAIL " isolcpus=3 quiet\n");
}

static void version_3_asks_for_no_lock_daemon(void **state)
{
	struct cow_tftp_boot b = example;
	char *out;
	size_t len;

	b.nfs = "3";
	b.nfs_port = 12049;
	b.mount_port = 12050;
	assert_int_equal(cow_tftp_cmdline_pi(&b, "", 0, &out, &len, NULL), 0);
	assert_non_null(memmem(out, len, ",vers=3,proto=tcp,", 18));
	assert_non_null(memmem(out, len, ",nolock,port=12049,mountport=12050 rw", 37));
	free(out);
}

static void our_initramfs_is_told(void **state)
{
	struct cow_tftp_boot b = example;
	char *out;
	size_t len;

	b.initramfs = "cowherd";
	assert_int_equal(cow_tftp_cmdline_pi(&b, "boot=live", 9, &out, &len, NULL), 0);
	assert_memory_equal(out, "boot=cowherd root=/dev/nfs nfsroot=", 35);
	assert_null(memmem(out, len, "rootfstype", 10));
	free(out);
}

static void long_lines_keep_our_words(void **state)
{
	char in[2000], *out;
	size_t len;
	unsigned dropped;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = i % 10 == 9 ? ' ' : 'x';
	assert_int_equal(cow_tftp_cmdline_pi(&example, in, sizeof(in), &out, &len, &dropped), 0);
	assert_true(len <= COW_TFTP_CMDLINE_MAX + 1);
	assert_int_equal(out[len - 1], '\n');
	assert_memory_equal(out + len - 1 - strlen(PI_TAIL), PI_TAIL, strlen(PI_TAIL));
	assert_true(dropped > 100);
	free(out);
}

static void too_many_client_words_are_an_error(void **state)
{
	struct cow_tftp_boot b = example;
	char words[COW_TFTP_CMDLINE_MAX + 1], *out;
	size_t len;

	memset(words, 'w', sizeof(words));
	words[sizeof(words) - 1] = '\0';
	b.words = words;
	assert_int_equal(cow_tftp_cmdline_pi(&b, "", 0, &out, &len, NULL), -E2BIG);
}

/* ---------------------------------------------------------------- iPXE */

static void check_has(const char *out, size_t len, const char *line)
{
	if (!memmem(out, len, line, strlen(line)))
		fail_msg("no line '%s' in: %.*s", line, (int)len, out);
}

static void ipxe_boots_kernel_and_initrd(void **state)
{
	struct cow_tftp_boot b = example;
	char *out;
	size_t len;

	b.initramfs = "cowherd";
	b.words = "console=ttyS0 quiet";
	assert_int_equal(cow_tftp_ipxe_script(&b, "vmlinuz-6.1", "initrd.img-6.1", &out, &len), 0);
	assert_memory_equal(out, "#!ipxe\n", 7);
	check_has(
	    out, len,
	    "\nkernel vmlinuz-6.1 initrd=initrd.img-6.1 boot=cowherd root=/dev/nfs "
	    "nfsroot=10.77.0.1:/clients/dc-a6-32-01-02-03,vers=4.1,proto=tcp,hard ip=dhcp rw "
	    "panic=10 nfs.nfs4_unique_id=dc-a6-32-01-02-03 console=ttyS0 quiet || goto failed\n");
	check_has(out, len, "\ninitrd initrd.img-6.1 || goto failed\n");
	check_has(out, len, "\nboot || goto failed\n");
	check_has(out, len, "&& shell ||\n");
	free(out);
}

static void klibc_gets_version_3(void **state)
{
	char *out;
	size_t len;

	assert_int_equal(cow_tftp_ipxe_script(&example, "vmlinuz-1", "initrd.img-1", &out, &len),
			 0);
	check_has(
	    out, len,
	    " boot=nfs root=/dev/nfs nfsroot=10.77.0.1:/clients/dc-a6-32-01-02-03,nfsvers=3,tcp,");
	free(out);
}

static void without_initrd_the_kernel_mounts(void **state)
{
	struct cow_tftp_boot b = example;
	char *out;
	size_t len;

	b.initramfs = "none";
	assert_int_equal(cow_tftp_ipxe_script(&b, "vmlinuz", NULL, &out, &len), 0);
	check_has(out, len, "\nkernel vmlinuz root=/dev/nfs nfsroot=");
	assert_null(memmem(out, len, "initrd", 6));
	free(out);
}

static void words_ipxe_would_run_are_left_out(void **state)
{
	struct cow_tftp_boot b = example;
	char *out;
	size_t len;

	b.words = "good || shell ; # && ${net0/mac} x#y \001 \"a b\"";
	b.name = "|| reboot";
	assert_int_equal(cow_tftp_ipxe_script(&b, "vmlinuz", NULL, &out, &len), 0);
	check_has(out, len, " good shell x#y \"a b\" || goto failed\n");
	check_has(out, len,
		  "echo cowherd: client dc-a6-32-01-02-03, reboot, image raspios version 3\n");
	assert_null(memmem(out, len, "${", 2));
	free(out);
}

static void names_ipxe_would_not_take_are_refused(void **state)
{
	static const char *const bad[] = {"",	  "a b",  "a/b",  "a?b", "a#b",
					  "a%20", "${x}", "a\nb", "-x"};
	char *out;
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_tftp_ipxe_script(&example, bad[i], NULL, &out, &len), -EINVAL);
	assert_int_equal(cow_tftp_ipxe_script(&example, "k", "a b", &out, &len), -EINVAL);
}

/* ---------------------------------------------------------------- PXELINUX, U-Boot */

static void pxelinux_boots_kernel_and_initrd(void **state)
{
	struct cow_tftp_boot b = example;
	cow_autofree char *out = NULL;
	size_t len;

	b.initramfs = "cowherd";
	b.words = "console=ttyS0 a=\"b c\" quiet";
	assert_int_equal(cow_tftp_pxelinux_config(&b, "dc-a6-32-01-02-03/", "vmlinuz-6.1",
						  "initrd.img-6.1", NULL, &out, &len),
			 0);
	assert_string_equal(
	    out, "say cowherd: client dc-a6-32-01-02-03, pi-07, image raspios version 3\n"
		 "default cowherd\n"
		 "prompt 0\n"
		 "timeout 100\n"
		 "label cowherd\n"
		 "linux dc-a6-32-01-02-03/vmlinuz-6.1\n"
		 "initrd dc-a6-32-01-02-03/initrd.img-6.1\n"
		 "append boot=cowherd root=/dev/nfs "
		 "nfsroot=10.77.0.1:/clients/dc-a6-32-01-02-03,vers=4.1,proto=tcp,hard ip=dhcp rw "
		 "panic=10 nfs.nfs4_unique_id=dc-a6-32-01-02-03 console=ttyS0 a=\"b c\" quiet\n");
	assert_int_equal(len, strlen(out));
}

static void pxelinux_without_initrd(void **state)
{
	cow_autofree char *out = NULL;
	size_t len;

	assert_int_equal(cow_tftp_pxelinux_config(&example, "", "vmlinuz", NULL, NULL, &out, &len),
			 0);
	check_has(out, len, "\nlinux vmlinuz\nappend root=/dev/nfs nfsroot=");
	assert_null(strstr(out, "initrd"));
}

static void pxelinux_names_the_folder_of_device_trees(void **state)
{
	static const char *const bad[] = {"",	   "/",	       "dtbs/",	       "/dtbs",
					  "a/b/c", "dtbs/6 1", "dtb\nappend x"};
	cow_autofree char *out = NULL;
	size_t len;

	assert_int_equal(cow_tftp_pxelinux_config(&example, "dc-a6-32-01-02-03/", "vmlinuz-6.1",
						  NULL, "dtbs/6.1", &out, &len),
			 0);
	check_has(out, len, "vmlinuz-6.1\nfdtdir dc-a6-32-01-02-03/dtbs/6.1\nappend root=/dev/nfs");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    cow_tftp_pxelinux_config(&example, "", "vmlinuz", NULL, bad[i], &out, &len),
		    -EINVAL);
}

static void words_uboot_would_expand_are_left_out(void **state)
{
	struct cow_tftp_boot b = example;
	cow_autofree char *out = NULL;
	size_t len;

	b.words = "good ${ethaddr} a\\b it's initrd=other \001 end";
	b.name = "${x} host";
	assert_int_equal(cow_tftp_pxelinux_config(&b, "", "vmlinuz", NULL, NULL, &out, &len), 0);
	check_has(out, len, "=dc-a6-32-01-02-03 good end\n");
	check_has(out, len, "client dc-a6-32-01-02-03, host, image");
}

/* ---------------------------------------------------------------- GRUB */

static void grub_boots_kernel_and_initrd(void **state)
{
	struct cow_tftp_boot b = example;
	cow_autofree char *out = NULL;
	size_t len;

	b.initramfs = "cowherd";
	b.words = "console=ttyS0 a=\"b c\"";
	assert_int_equal(cow_tftp_grub_config(&b, "vmlinuz-6.1", "initrd.img-6.1", &out, &len), 0);
	assert_memory_equal(out, "echo 'cowherd: client dc-a6-32-01-02-03,' 'pi-07' ', image' ",
			    60);
	check_has(out, len,
		  "\nif linux /dc-a6-32-01-02-03/vmlinuz-6.1 boot=cowherd root=/dev/nfs "
		  "nfsroot=10.77.0.1:/clients/dc-a6-32-01-02-03,vers=4.1,proto=tcp,hard ip=dhcp rw "
		  "panic=10 nfs.nfs4_unique_id=dc-a6-32-01-02-03 'console=ttyS0' 'a=b c'\nthen\n"
		  "if initrd /dc-a6-32-01-02-03/initrd.img-6.1\nthen\nboot\nfi\nfi\n");
	check_has(out, len, "\nreboot\n");
}

static void grub_without_initrd(void **state)
{
	cow_autofree char *out = NULL;
	size_t len;

	assert_int_equal(cow_tftp_grub_config(&example, "vmlinuz", NULL, &out, &len), 0);
	check_has(out, len, "\nthen\nboot\nfi\necho ");
	assert_null(strstr(out, "initrd"));
}

static void grub_runs_no_word_as_its_own(void **state)
{
	struct cow_tftp_boot b = example;
	cow_autofree char *out = NULL;
	size_t len;

	b.words = "good ; } && $root $(halt) `x` it's a\\b \"quoted; halt\" end";
	b.name = "';halt;'";
	assert_int_equal(cow_tftp_grub_config(&b, "vmlinuz", NULL, &out, &len), 0);
	check_has(out, len,
		  " 'good' ';' '}' '&&' '$root' '$(halt)' '`x`' 'quoted; halt' 'end'\nthen\n");
	check_has(out, len, "client dc-a6-32-01-02-03,' ', image'");
}

static void names_loaders_would_not_take_are_refused(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "a'b", "a\nb", "-x", "$x"};
	char *out;
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
		    cow_tftp_pxelinux_config(&example, "", bad[i], NULL, NULL, &out, &len),
		    -EINVAL);
		assert_int_equal(
		    cow_tftp_pxelinux_config(&example, "", "k", bad[i], NULL, &out, &len), -EINVAL);
		assert_int_equal(cow_tftp_grub_config(&example, bad[i], NULL, &out, &len), -EINVAL);
		assert_int_equal(cow_tftp_grub_config(&example, "k", bad[i], &out, &len), -EINVAL);
	}
}

static void versions_sort_as_debian_does(void **state)
{
	static const char *const order[] = {
	    "5.10.0-28-amd64",
	    "6.1~rc3-amd64",
	    "6.1-amd64",
	    "6.1.0-9-amd64",
	    "6.1.0-0018a-amd64",
	    "6.1.0-18-amd64",
	    "6.1.0-18-cloud-amd64",
	    "6.10.3",
	    "6.12.0-1",
	};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		for (size_t j = 0; j < sizeof(order) / sizeof(order[0]); j++) {
			int d = cow_tftp_vercmp(order[i], order[j]);

			if ((d > 0) - (d < 0) != (i > j) - (i < j))
				fail_msg("%s against %s: %d", order[i], order[j], d);
		}
	}
	assert_int_equal(cow_tftp_vercmp("", ""), 0);
	assert_int_equal(cow_tftp_vercmp("1.01", "1.1"), 0);
	assert_true(cow_tftp_vercmp("1~~", "1~") < 0);
	assert_true(cow_tftp_vercmp("1~", "1") < 0);
	assert_true(cow_tftp_vercmp("99999999999999999999999", "100000000000000000000000") < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(card_root_becomes_network_root),
	    cmocka_unit_test(missing_file_gives_our_words),
	    cmocka_unit_test(only_the_first_line_counts),
	    cmocka_unit_test(quoted_blanks_stay_in_their_word),
	    cmocka_unit_test(first_boot_scripts_are_not_run_again),
	    cmocka_unit_test(words_of_the_client_come_last_and_once),
	    cmocka_unit_test(version_3_asks_for_no_lock_daemon),
	    cmocka_unit_test(our_initramfs_is_told),
	    cmocka_unit_test(long_lines_keep_our_words),
	    cmocka_unit_test(too_many_client_words_are_an_error),
	    cmocka_unit_test(ipxe_boots_kernel_and_initrd),
	    cmocka_unit_test(klibc_gets_version_3),
	    cmocka_unit_test(without_initrd_the_kernel_mounts),
	    cmocka_unit_test(words_ipxe_would_run_are_left_out),
	    cmocka_unit_test(names_ipxe_would_not_take_are_refused),
	    cmocka_unit_test(pxelinux_boots_kernel_and_initrd),
	    cmocka_unit_test(pxelinux_without_initrd),
	    cmocka_unit_test(pxelinux_names_the_folder_of_device_trees),
	    cmocka_unit_test(words_uboot_would_expand_are_left_out),
	    cmocka_unit_test(grub_boots_kernel_and_initrd),
	    cmocka_unit_test(grub_without_initrd),
	    cmocka_unit_test(grub_runs_no_word_as_its_own),
	    cmocka_unit_test(names_loaders_would_not_take_are_refused),
	    cmocka_unit_test(versions_sort_as_debian_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
