/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files, roots and clients that change while they are served.
 */
#include "daemon.h"

#include <arpa/inet.h>

#include "writer.h"

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(client_boots_what_it_wrote_until_reset),
	    cmocka_unit_test(changes_of_the_image_show_while_a_server_has_the_root),
	    cmocka_unit_test(reset_in_mid_file_does_not_tear_it),
	    cmocka_unit_test(file_cut_while_it_is_sent_ends_in_an_error),
	    cmocka_unit_test(removed_client_is_a_stranger),
	};
	int r = daemon_begin(argc, argv, "test_change");

	return r ? r : cmocka_run_group_tests(tests, daemon_set_up, daemon_tear_down);
}
