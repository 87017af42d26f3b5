/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Init of a virtual Raspberry Pi (arm64, static): writes on its root what it was booted with, then puts a new kernel into
 * its boot directory as dpkg does: under another name first, renamed over. Says "pi: done" and switches off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static void die(const char *what)
{
	printf("pi: FAILED: %s: %s\n", what, strerror(errno));
	(void)fflush(stdout);
	sync();
	(void)reboot(RB_POWER_OFF);
	exit(1);
}

/* All of @from, and @more behind it; durable. */
static void copy(const char *from, const char *to, const char *more)
{
	static char buf[256 << 10];
	ssize_t n;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (in < 0 || out < 0)
		die(from);
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, (size_t)n) != n)
			die(to);
	}
	if (n < 0)
		die(from);
	if (write(out, more, strlen(more)) != (ssize_t)strlen(more) || fsync(out) < 0)
		die(to);
	(void)close(in);
	(void)close(out);
}

int main(void)
{
	char kernel[300], new[320];
	struct utsname u;

	if (mount("proc", "/proc", "proc", 0, NULL) < 0 && errno != EBUSY)
		die("/proc");
	if (mkdir("/root", 0700) < 0 && errno != EEXIST)
		die("/root");
	copy("/proc/cmdline", "/root/cmdline", "");
	copy("/proc/mounts", "/root/mounts", "");
	if (uname(&u) < 0)
		die("uname");
	(void)snprintf(kernel, sizeof(kernel), "/boot/firmware/vmlinuz-%s", u.release);
	(void)snprintf(new, sizeof(new), "%s.dpkg-new", kernel);
	copy(kernel, new, "a new kernel\n");
	if (rename(new, kernel) < 0)
		die("rename");
	printf("pi: done, %s\n", u.release);
	(void)fflush(stdout);
	sync();
	(void)reboot(RB_POWER_OFF);
	return 1;
}
