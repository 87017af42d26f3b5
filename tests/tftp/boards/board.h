/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Virtual boards: what boot ROMs and loaders ask a TFTP server for, in their order, with their options, and as strict
 * as they are about the answers. A kind of board is a row of stages; a stage is one loader with what it asks for.
 *
 * Where the sequences are known from: captures and bug reports of the boards, and the sources of the loaders.
 */
#ifndef COW_TESTS_BOARD_H
#define COW_TESTS_BOARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---------------------------------------------------------------- kinds (kinds.c) */

enum {
	LOADER_NEEDS_OACK = 1 << 0,  /* DATA in place of an OACK is no answer (GRUB) */
	LOADER_NO_PREFIX = 1 << 1,   /* asks for names as they are, whatever the board's prefix */
	LOADER_FIXED_PORT = 1 << 2,  /* every request from port 49152 (mask ROM) */
	LOADER_DROPS_PREFIX = 1 << 3 /* after the first name that is missing, for good */
};

struct option {
	const char *name, *value; /* value "": as it stands on the wire, an empty string */
};

/* One TFTP client. */
struct loader {
	const char *name;
	struct option options[5]; /* in the order asked */
	unsigned flags;
	int abort_code; /* of the ERROR that ends a probe */
	const char *abort_text;
	unsigned resend_ms; /* it asks again after this */
	/* A DATA block that comes again sooner than this was not forced by a time-out. 0: it does not mind, as those
	 * that ask for a time-out or for windows. */
	unsigned again_ms;
};

enum step_kind {
	STEP_GET,   /* whole, each byte compared */
	STEP_PROBE, /* RRQ, OACK, ERROR */
	STEP_SIZED, /* a probe, and the whole file from the next port */
	STEP_NONE,  /* must be answered by error 1 at once */
	STEP_EITHER /* what it is depends on the board's prefix: whole, or error 1 */
};

/* {mac}, {ip} in a name: the board's, as pxelinux, GRUB and U-Boot spell them; {ip:N} its first N digits. */
struct step {
	const char *name;
	const char *has[4];   /* text files: what has to be in it */
	const char *lacks[3]; /* and what must not */
	enum step_kind kind;
	bool own; /* a file that this board has alone (the override) */
};

struct stage {
	const struct loader *loader;
	const struct step *steps; /* up to one without name */
};

enum prefix {
	PREFIX_NONE,
	PREFIX_SERIAL,
	PREFIX_MAC,
	PREFIX_UNKNOWN, /* a serial number that no client has */
};

struct kind {
	const char *name;
	enum prefix prefix;
	const struct stage *stages; /* up to one without loader */
};

#define BOARD_KINDS 16u
extern const struct kind board_kinds[BOARD_KINDS];

/* ---------------------------------------------------------------- what is right (tree.c) */

/* One file of the boot tree: so many bytes of a pattern of its own. */
struct boot_file {
	const char *name;
	uint32_t size;
	const char *text; /* the file itself, in place of a pattern */
};

/* Makes the tree of an image below @dir ("boot" in it); large files of size / @divisor. 0 or -errno. */
int boot_tree_make(const char *dir, unsigned divisor);
/* NULL: there is none of this name. */
const struct boot_file *boot_file_find(const char *name);
uint32_t boot_file_size(const struct boot_file *f, unsigned divisor);
/* Byte @i of the pattern @seed; a file's seed is boot_seed() of its name, an own one's of its board's MAC. */
uint8_t boot_byte(uint32_t seed, uint32_t i);
uint32_t boot_seed(const char *name);

/* ---------------------------------------------------------------- playing (play.c) */

struct board {
	const struct kind *kind;
	unsigned number;
	char mac[18], serial[9],
	    device[16]; /* mac with dashes; device: the network interface it has */
	struct in_addr addr;
	struct sockaddr_in server;
	unsigned divisor; /* of its image's large files */
	uint32_t own_size;
	unsigned
	    loss; /* 1 of so many packets is lost, on the way here and on the way there; 0: none */

	/* while it plays */
	uint16_t port;
	uint32_t random;
	bool prefix_dropped;
	int probed[64]; /* sockets of probes that were broken off: nothing more may come there */
	unsigned probed_count;

	/* result */
	char why[512]; /* "": it boots */
	unsigned requests, missing, resends, duplicates;
	uint64_t bytes;
};

/* Boots. Return: 0; -1: @b->why says what a real one would have stumbled over. */
int board_boot(struct board *b);

#endif
