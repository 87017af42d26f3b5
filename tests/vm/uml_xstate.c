/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Preloaded into User-mode Linux (uml.sh), so that it runs on processors with a large register state.
 *
 * Linux 6.1 as a process keeps 2696 bytes of the extended registers of its processes. The kernel below takes
 * only the whole state back, which with AMX has 11008 bytes: the first process ends in a panic. Here the rest is
 * filled with what the process has: UML's own processes never save it, and nobody else changes it.
 */
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* More than any processor has; the kernel says how much it is. */
static char whole[1 << 16] __attribute__((aligned(64)));

static long set_state(long pid, struct iovec *part)
{
	struct iovec all = {whole, sizeof(whole)};
	if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all) < 0)
		return -1;
	if (part->iov_len < all.iov_len)
		memcpy(whole, part->iov_base, part->iov_len);
	else
		all = *part;
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

/* As glibc's, but that requests which return a word in `data` (PTRACE_PEEK*) are those of the system call. */
long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	va_start(ap, request);
	long pid = va_arg(ap, int);
	void *addr = va_arg(ap, void *), *data = va_arg(ap, void *);
	long word = 0;
	va_end(ap);

	if (request == PTRACE_SETREGSET && addr == (void *)NT_X86_XSTATE)
		return set_state(pid, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, request, pid, addr, data);
	return syscall(SYS_ptrace, request, pid, addr, &word) < 0 ? -1 : word;
}
