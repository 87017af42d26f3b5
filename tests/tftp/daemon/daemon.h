/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The fixture of the daemon's tests: cowherd-tftpd over a real store (on a loop file: ext4 for backend overlay, btrfs for backend
 * btrfs), asked over a virtual cable from another network namespace, so that the neighbour table has something to say. Needs
 * root; everything it makes lives in namespaces of its own and one temporary directory.
 */
#ifndef COW_TESTS_TFTP_DAEMON_H
#define COW_TESTS_TFTP_DAEMON_H

#include "../../unit/cow_test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lab.h"
#include "../tftp_client.h"

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

/* An image that moves on, of clients D and E: see daemon_make_moving(). */
#define MAC_D "dc-a6-32-00-00-1d"
#define MAC_E "dc-a6-32-00-00-1e"
#define SERIAL_E "9ffef00e"
#define BOOT_1 "10.99.0.11" /* another address is another boot */
#define BOOT_2 "10.99.0.12"

struct daemon_lab {
	char dir[64];
	enum cow_backend backend;
	struct cow_store *store;
	pid_t daemon, beside; /* 0: none */
	const char *program;
	int port;   /* asked by get_from() */
	int events; /* read end */
	unsigned next_host;
};
extern struct daemon_lab lab;

/* ---------------------------------------------------------------- daemon.c: what there is */

/* Arguments PROGRAM and BACKEND. Return: 0, or what main() returns. */
int daemon_begin(int argc, char **argv, const char *name);
int daemon_set_up(void **state);
int daemon_tear_down(void **state);

/* In the temporary directory. One of four buffers. */
const char *at(const char *rel);
void put_file(const char *path, const void *data, size_t len, mode_t mode);
#define PUT(path, lit) put_file(path, lit, sizeof(lit) - 1, 0644)
uint8_t big_byte(size_t i); /* of a file of BIG bytes */

void set_key(const char *mac_text, const char *key, const char *value);
void add_client(const char *mac_text);
/* The server looks at a client's record again when it is two seconds old. */
void records_age(void);

/* Version 1, and both clients; then the next version. */
void make_moving(void);
void import_moving(const char *kernel, const char *firmware);

/* Another daemon beside the first, which believes less; ended by the teardown of the test. */
void start_beside(const char *mode, int port);
int end_beside(void **state);
/* Instead of the first, which has ended. */
void start_another(void);

/* ---------------------------------------------------------------- ask.c: what is asked, and what comes of it */

/* Until the server there answers whatever it is asked. Return: 0, -1. */
int wait_ready(int port);
/* From a fresh host on the cable unless @source says which. */
int get_from(const char *source, const char *server, const char *name, struct tftp_fetch *f);
void expect_text(const char *name, const char *want);
void expect_text_from(const char *source, const char *name, const char *want);
void expect_refused(const char *name, int code);
void expect_refused_from(const char *source, const char *name, int code);
char *get_text(const char *name); /* free() it */
void expect_in(const char *text, const char *want);

/* Of the event descriptor: the next line, or "" after @timeout_ms; the next one of a kind. */
const char *next_event(int timeout_ms);
const char *next_of(const char *kind);

#endif
