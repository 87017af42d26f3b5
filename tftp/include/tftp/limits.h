/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Everything a client of the TFTP server can size, with the reason for its ceiling.
 */
#ifndef COW_TFTP_LIMITS_H
#define COW_TFTP_LIMITS_H

#define COW_TFTP_NAME_MAX 255	     /* what Raspberry Pi firmware limits itself to */
#define COW_TFTP_REQUEST_MAX 1500    /* one Ethernet frame; no boot ROM fragments its request */
#define COW_TFTP_BLKSIZE_DEFAULT 512 /* RFC 1350 */
#define COW_TFTP_BLKSIZE_MIN 8	     /* RFC 2348 */
#define COW_TFTP_BLKSIZE_MAX                                                                       \
	65535 /* RFC 2348 stops at 65464; who asks for a few more gets the same */
#define COW_TFTP_BLKSIZE_PATH                                                                      \
	1468 /* Ethernet MTU less IPv4, UDP and TFTP headers: never fragment */
#define COW_TFTP_BLKSIZE_PATH6 1448	/* the same with IPv6 */
#define COW_TFTP_TIMEOUT_MAX_S 255	/* RFC 2349 */
#define COW_TFTP_UTIMEOUT_MIN 10000	/* microseconds; of the option tftp-hpa began */
#define COW_TFTP_WINDOW_ASKED_MAX 65535 /* RFC 7440 */
#define COW_TFTP_WINDOW_MAX 64 /* granted: 92 KiB in one burst, what a switch port can hold */
#define COW_TFTP_NETASCII_MAX (1u << 20) /* such files are rewritten in memory */
#define COW_TFTP_PIECE (64u << 10)	 /* of a file, read at once: 44 blocks of the usual size */
#define COW_TFTP_OACK_MAX 256  /* all options once, the longest "windowsize", 20-digit numbers */
#define COW_TFTP_ERROR_MAX 128 /* our own fixed texts */
#define COW_TFTP_PACKET_MAX (COW_TFTP_BLKSIZE_PATH + 4)

#define COW_TFTP_TRANSFERS_MAX 4096    /* live at once: 20 times a class room booting together */
#define COW_TFTP_TRANSFERS_PER_HOST 16 /* a board needs one or two */
#define COW_TFTP_REQUESTS_PER_S                                                                    \
	200 /* per host; boards probe dozens of names within milliseconds  \
				     */
#define COW_TFTP_REQUESTS_BURST 400
#define COW_TFTP_CLIENTS_CACHED 1024 /* clients whose trees are kept attached */
#define COW_TFTP_PINNED_FILES 256    /* of one boot kept as they were; a board asks for a hundred */
#define COW_TFTP_PINNED_ALL 16384    /* of all boots: each is a descriptor */
#define COW_TFTP_PIN_COPY_MAX                                                                      \
	(1u << 20) /* longer files of a client's own are kept open, not copied */
#define COW_TFTP_PIN_COPIES (64u << 20) /* memory for copies of all boots */
#define COW_TFTP_RECORD_REQUESTS 200	/* of one boot told to the administrator: 25 KiB */
#define COW_TFTP_CMDLINE_FILE_MAX 4096	/* cmdline.txt in a tree; the kernel takes 2048 at most */
#define COW_TFTP_CMDLINE_MAX 550	/* the firmware adds 300-450 of its own; 1024 on 32 bit */
#define COW_TFTP_CONFIG_FILE_MAX (256u << 10) /* config.txt; real ones have some KiB */
#define COW_TFTP_BOOT_ENTRIES_MAX 8192	      /* names of a boot directory looked at for kernels */

#endif
