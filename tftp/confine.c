/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See confine.h.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitized.h"

/* Memory, time, the end; the names of 32-bit machines too. A name this machine has not is passed over. */
static const char *const any_part[] = {
    "brk",
    "mmap",
    "mmap2",
    "munmap",
    "mremap",
    "madvise",
    "mprotect",
    "futex",
    "futex_time64",
    "getrandom",
    "clock_gettime",
    "clock_gettime64",
    "gettimeofday",
    "close",
    "read",
    "write",
    "writev",
    "recvmsg",
    "recvfrom",
    "recv",
    "sendmsg",
    "sendto",
    "send",
    "getxattr",
    "fgetxattr",
    "lgetxattr",
    "rt_sigreturn",
    "sigreturn",
    "rt_sigprocmask",
    "rt_sigaction",
    "restart_syscall",
    "exit",
    "exit_group",
    "getpid",
    "gettid",
    "tgkill", /* abort(3) */
    NULL,
};

static const char *const network_part[] = {
    /* its sockets */
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_ctl",
    "recvmmsg",
    "recvmmsg_time64",
    "sendmmsg",
    /* files of the store */
    "openat2",
    "fstat",
    "fstat64",
    "newfstatat",
    "fstatat64",
    "statx",
    "fstatfs",
    "fstatfs64",
    "lseek",
    "_llseek",
    "pread64",
    "preadv",
    "preadv2",
    "readv",
    "getdents64",
    "readlinkat",
    "faccessat",
    "faccessat2",
    "name_to_handle_at",
    "open_by_handle_at",
    "fcntl",
    "fcntl64",
    "capget",
    /* the end of the reader of marks */
    "wait4",
    "waitid",
    NULL,
};

/* Kinds of ioctl(2): of btrfs, of any file system (two), of network interfaces. Terminals, say, are none. */
static const unsigned char ioctl_kinds[] = {0x94, 0x15, 'f', 0x89};

/* Only what takes over a machine asks for these. */
static const char *const deadly[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "clone",
    "clone3",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "init_module",
    "finit_module",
    "bpf",
    "userfaultfd",
    "keyctl",
    "add_key",
    NULL,
};

/* Their look for leaks at the end is a process that traces this one. */
static const char *const sanitizers[] = {
    "clone",
    "clone3",
    "ptrace",
    "prctl",
    "wait4",
    "sched_yield",
    "sigaltstack",
    "readlink",
    "open",
    "getppid",
    "set_robust_list",
    "rseq",
    "uname",
    "sysinfo",
    "arch_prctl",
    "getrlimit",
    "ugetrlimit",
    "prlimit64",
    "openat",
    "stat",
    "process_vm_readv",
    "set_tid_address",
    "kill",
    "pipe",
    "pipe2",
    "lseek",
    "fstat",
    "newfstatat",
    "dup",
    "readlinkat",
    "getdents64",
    "getdents",
    "sched_getaffinity",
    "rt_sigtimedwait",
    NULL,
};

static int add_all(scmp_filter_ctx c, uint32_t action, const char *const *names)
{
	for (; *names; names++) {
		int nr = seccomp_syscall_resolve_name(*names);
		int r = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(c, action, nr, 0);

		/* -EDOM: a name of other machines. */
		if (r < 0 && r != -EDOM)
			return r;
	}
	return 0;
}

/* Opened to be read, of whatever name. openat2(2) keeps its flags where a filter cannot see them. */
static int add_open(scmp_filter_ctx c)
{
	return seccomp_rule_add(
	    c, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND, O_RDONLY));
}

static int add_ioctl(scmp_filter_ctx c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(ioctl_kinds); i++)
		r = seccomp_rule_add(
		    c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, (unsigned)ioctl_kinds[i] << 8));
	return r;
}

static int fill(scmp_filter_ctx c, enum cow_tftp_part part)
{
	int r = add_all(c, SCMP_ACT_ALLOW, any_part);

	if (r == 0 && part == COW_TFTP_PART_NETWORK)
		r = add_all(c, SCMP_ACT_ALLOW, network_part);
	if (r == 0 && part == COW_TFTP_PART_NETWORK)
		r = add_ioctl(c);
	if (COW_SANITIZED)
		return r < 0 ? r : add_all(c, SCMP_ACT_ALLOW, sanitizers);
	if (r == 0 && part == COW_TFTP_PART_NETWORK)
		r = add_open(c);
	return r < 0 ? r : add_all(c, SCMP_ACT_KILL_PROCESS, deadly);
}

int cow_tftp_confine(enum cow_tftp_part part, struct cow_err *err)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r = c ? fill(c, part) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(c);
	if (c)
		seccomp_release(c);
	return r < 0 ? cow_err_set(err, r, "restrict system calls") : 0;
}

int cow_tftp_read_only(struct cow_err *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (geteuid() != 0)
		return 0;
	/* What is unmounted outside goes in here too. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0) {
		/* Containers may lack the right, kernels before 5.12 the call: it only reads in any case. */
		if (errno != EPERM && errno != ENOSYS)
			return cow_err_set(err, -errno, "make the view of files read-only");
		cow_log(COW_LOG_NOTICE, "files are not read-only for this process: err=%s",
			strerrorname_np(errno));
	}
	return 0;
}
