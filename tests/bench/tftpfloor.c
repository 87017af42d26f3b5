/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * tftpfloor ADDR FILE BLKSIZE - what the kernel alone takes for blocks in lock-step: the packets of a TFTP server, and nothing
 * of one.
 *
 * Any request is answered with the same OACK (none for 512), each ACK of block k with block k + 1 of FILE, which is mapped.
 * It knows no clients: the number in the ACK says all. So there are no options, tables, timers, time-outs or control
 * messages, names are not looked at, and a block that is lost stays so. Files of 65535 blocks and more it cannot send.
 * As in the server a request comes in by one socket and its transfer goes by one of a pool, each by recvmmsg(2),
 * sendmmsg(2) and epoll_wait(2) in batches of the same size.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POOL = 16, BATCH = 32, EVENTS = 32, LISTEN = POOL, HEADER = 4 };

static struct {
	const uint8_t *file;
	size_t size, blksize;
	uint8_t oack[64];
	size_t oack_len;
	int fd[POOL + 1], epoll; /* the last one takes requests */
} job;

static struct {
	uint8_t in[BATCH][600], header[BATCH][HEADER];
	struct sockaddr_in from[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH][2];
	struct mmsghdr head[BATCH], out[BATCH];
} box;

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "tftpfloor: %s: %s\n", what, strerrorname_np(errno));
	_exit(2);
}

static void open_socket(unsigned n, struct sockaddr_in at, in_port_t port)
{
	const int room = 4 << 20;
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = n};

	at.sin_port = port;
	job.fd[n] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (job.fd[n] < 0 || bind(job.fd[n], (struct sockaddr *)&at, sizeof(at)) < 0)
		die("socket");
	(void)setsockopt(job.fd[n], SOL_SOCKET, SO_RCVBUFFORCE, &room,
			 sizeof(room)); /* if allowed */
	if (epoll_ctl(job.epoll, EPOLL_CTL_ADD, job.fd[n], &ev) < 0)
		die("epoll");
}

static void map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	job.size = (size_t)st.st_size;
	job.file = mmap(NULL, job.size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (job.file == MAP_FAILED)
		die(path);
	(void)close(fd);
}

/* The answer to message @k; 0: none. */
static size_t answer(unsigned k, struct mmsghdr *out)
{
	const uint8_t *in = box.in[k];
	struct iovec *iov = box.out_iov[k];
	size_t block = 1;

	*out = (struct mmsghdr){.msg_hdr = {.msg_name = &box.from[k],
					    .msg_namelen = sizeof(box.from[k]),
					    .msg_iov = iov,
					    .msg_iovlen = 2}};
	if (in[1] == 1 && job.oack_len > 0) {
		iov[0] = (struct iovec){job.oack, job.oack_len};
		out->msg_hdr.msg_iovlen = 1;
		return 1;
	}
	if (in[1] == 4)
		block = (size_t)(in[2] << 8 | in[3]) + 1;
	size_t off = (block - 1) * job.blksize;

	if (in[1] != 1 && in[1] != 4)
		return 0;
	if (off > job.size) /* that was the last one */
		return 0;
	size_t left = job.size - off;

	memcpy(box.header[k], (uint8_t[]){0, 3, (uint8_t)(block >> 8), (uint8_t)block}, HEADER);
	iov[0] = (struct iovec){box.header[k], HEADER};
	iov[1] = (struct iovec){(void *)(uintptr_t)(job.file + off),
				left < job.blksize ? left : job.blksize};
	return 1;
}

/* One batch. */
static void serve(unsigned n)
{
	static unsigned turn;
	unsigned count = 0, sent = 0;
	int fd = job.fd[n == LISTEN ? turn++ % POOL : n];

	for (unsigned k = 0; k < BATCH; k++) {
		box.in_iov[k] = (struct iovec){box.in[k], sizeof(box.in[k])};
		box.head[k].msg_hdr = (struct msghdr){.msg_name = &box.from[k],
						      .msg_namelen = sizeof(box.from[k]),
						      .msg_iov = &box.in_iov[k],
						      .msg_iovlen = 1};
	}
	/* Requests one by one, so that the transfers spread over the pool. */
	int got = recvmmsg(job.fd[n], box.head, n == LISTEN ? 1 : BATCH, MSG_DONTWAIT, NULL);

	for (int k = 0; k < got; k++)
		count += (unsigned)answer((unsigned)k, &box.out[count]);
	while (sent < count) {
		int r = sendmmsg(fd, box.out + sent, count - sent, 0);

		sent += r > 0 ? (unsigned)r : 1; /* that one is lost */
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	struct epoll_event ev[EVENTS];

	if (argc != 4 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1) {
		(void)fprintf(stderr, "tftpfloor: see the beginning of tests/bench/tftpfloor.c\n");
		return 2;
	}
	map_file(argv[2]);
	job.blksize = strtoul(argv[3], NULL, 10);
	if (job.blksize == 0 || job.size / job.blksize >= 65534)
		die("block size");
	if (job.blksize != 512)
		job.oack_len = (size_t)snprintf((char *)job.oack, sizeof(job.oack),
						"%c%cblksize%c%zu", 0, 6, 0, job.blksize) +
			       1;
	job.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (job.epoll < 0)
		die("epoll");
	for (unsigned n = 0; n < POOL; n++)
		open_socket(n, at, 0);
	open_socket(LISTEN, at, htons(69));
	for (;;) {
		int n = epoll_wait(job.epoll, ev, EVENTS, -1);

		for (int k = 0; k < n; k++)
			serve(ev[k].data.u32);
	}
}
