/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See lab.h.
 */
#include "../unit/cow_test.h"

#include "lab.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/fs.h"

bool lab_enter(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    access("/dev/loop-control", R_OK) == 0)
		return true;
	(void)fprintf(stderr, "SKIPPED: needs root, loop devices and namespaces of its own\n");
	return false;
}

void must(int r, const char *what, const struct cow_err *err)
{
	if (r < 0) {
		print_error("%s: %s\n", what, err ? cow_err_str(err) : strerrorname_np(-r));
		exit(1);
	}
}

void sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0) { /* NOLINT: fixed words and our own paths */
		print_error("failed: %s\n", cmd);
		exit(1);
	}
}

void lab_dir_make(const char *what, char ret[64])
{
	(void)snprintf(ret, 64, "/tmp/cow-%s-XXXXXX", what);
	must(mkdtemp(ret) ? 0 : -errno, "temporary directory", NULL);
	must(chmod(ret, 0755) < 0 ? -errno : 0, "temporary directory", NULL);
}

int lab_dir_remove(const char *dir)
{
	char store[128];

	(void)snprintf(store, sizeof(store), "%s/store", dir);
	(void)umount2(store, MNT_DETACH); /* the namespace takes it anyway */
	int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = parent < 0 ? -1 : cow_rm_rf_at(parent, dir + strlen("/tmp/"), 0);

	(void)close(parent);
	return r < 0 ? -1 : 0;
}

struct cow_store *lab_store_on_ext4(const char *dir, const char *size)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_store *store;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/store", dir);
	sh("truncate -s %s %s/disk && mkfs.ext4 -q %s/disk", size, dir, dir);
	sh("mkdir %s && mount -o loop %s/disk %s", path, dir, path);
	must(cow_store_init(path, &err), "store", &err);
	must(cow_store_open(path, &store, &err), "store", &err);
	return store;
}

struct cow_mac mac_of(const char *text)
{
	struct cow_mac mac;

	must(cow_mac_parse(text, strlen(text), &mac), text, NULL);
	return mac;
}

void lab_exec(const char *path, const char *const argv[])
{
	execv(path, (char *const *)(uintptr_t)argv);
}

pid_t lab_fork_daemon(const char *const argv[], int event_fd, void (*connect)(pid_t pid))
{
	int ready[2], go[2];
	char c;

	must(pipe2(ready, O_CLOEXEC), "pipe", NULL);
	must(pipe2(go, O_CLOEXEC), "pipe", NULL);
	pid_t pid = fork();

	must(pid < 0 ? -errno : 0, "fork", NULL);
	if (pid == 0) {
		(void)close(go[1]);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || unshare(CLONE_NEWNET) < 0 ||
		    write(ready[1], "x", 1) != 1 || read(go[0], &c, 1) != 1 ||
		    (event_fd >= 0 && dup2(event_fd, 3) < 0))
			_exit(99);
		lab_exec(argv[0], argv);
		_exit(98);
	}
	(void)close(ready[1]), (void)close(go[0]);
	must(read(ready[0], &c, 1) == 1 ? 0 : -EPIPE, "namespace of the daemon", NULL);
	connect(pid);
	must(write(go[1], "x", 1) == 1 ? 0 : -EPIPE, "start the daemon", NULL);
	(void)close(ready[0]), (void)close(go[1]);
	return pid;
}
