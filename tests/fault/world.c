/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "world.h"

#include <sys/wait.h>
#include <time.h>

struct tmpdir *tmp;

int world_begin(void)
{
	void *t = NULL;
	(void)umask(0);
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	return 0;
}

int world_end(void)
{
	void *t = tmp;
	return tmpdir_teardown(&t);
}

const char *path_of(const char *name)
{
	static char path[8][128];
	static unsigned next;
	char *p = path[next++ % 8];
	(void)snprintf(p, sizeof(path[0]), "%s/%s", tmp->path, name);
	return p;
}

void must(int r, const struct cow_err *err)
{
	if (r < 0)
		fail_msg("%s", cow_err_str(err));
}

bool says(const struct cow_err *err)
{
	const char *text = cow_err_str(err);
	size_t len = strlen(text);
	return err->code != COW_OK && len > 2 && strcmp(text + len - 2, ": ") != 0;
}

void put(int dir, const char *name, const char *text)
{
	assert_int_equal(cow_write_file_at(dir, name, text, strlen(text), 0644), 0);
}

bool is_there(const char *name)
{
	return faccessat(tmp->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool holds(const char *name, const void *p, size_t len)
{
	cow_autofree char *got = NULL;
	size_t got_len;
	assert_int_equal(cow_read_file_at(tmp->fd, name, len + 1, &got, &got_len), 0);
	return got_len == len && memcmp(got, p, len) == 0;
}

unsigned entries(const char *path, const char *prefix)
{
	unsigned n = 0;
	const struct dirent *e;
	cow_autodir DIR *d = opendir(path_of(path));
	while (d && cow_readdir(d, &e) == 1)
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	return n;
}

int import_as(struct cow_store *s, const char *name, const char *what, unsigned *ret_version,
	      struct cow_err *err)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	unsigned version;
	return cow_image_import(s, name, what, &opts, ret_version ? ret_version : &version, err);
}

/* ---------------------------------------------------------------- trials */

unsigned long step_of(unsigned brief)
{
	const char *is_long =
	    getenv("COWHERD_TEST_LONG"); /* NOLINT(concurrency-mt-unsafe): one thread */
	return is_long || !brief ? 1 : brief;
}

static unsigned long first_of(const struct trial *t)
{
	return (unsigned long)(time(NULL) / 86400) % step_of(t->step);
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	const struct dirent *e;
	cow_autodir DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (cow_readdir(d, &e) == 1)
		n++;
	return n;
}

/* What it may end with when that was the fault. */
static bool may_be(int r, int errnum)
{
	return r == -(errnum ? errnum : ENOMEM) ||
	       (errnum == EIO && r == -EBADMSG) || /* the image cannot be read */
	       (r == -EAGAIN && strcmp(fault_where(), "pthread_create") == 0);
}

static bool fail_once(const struct trial *t, int errnum, unsigned long nth)
{
	struct cow_err err = COW_ERR_INIT;
	t->before(t);
	unsigned fds = open_fds();
	fault_arm(errnum, nth);
	int r = t->act(t, &err);
	bool fired = fault_disarm();
	if (open_fds() != fds || (r < 0 && (!fired || !says(&err) || !may_be(r, errnum))))
		fail_msg("%s, errno %d at %lu (%s): result %d, '%s', %u fds, before %u", t->what,
			 errnum, nth, fault_where(), r, cow_err_str(&err), open_fds(), fds);
	t->after(t, r == 0);
	return fired;
}

/* Return: was it killed? */
static bool kill_once(const struct trial *t, unsigned long nth)
{
	int status = 0;
	t->before(t);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct cow_err err = COW_ERR_INIT;
		fault_arm_kill(nth);
		_exit(t->act(t, &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (waitpid(-1, NULL, 0) > 0)
		; /* what it had started, where that is left to us */
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	t->after(t, !WIFSIGNALED(status));
	return WIFSIGNALED(status);
}

void each_fault(const struct trial *t)
{
	static const int errnums[] = {0, EIO, ENOSPC};
	unsigned long faults = 0, least = t->least / step_of(t->step);
	for (size_t e = 0; e < sizeof(errnums) / sizeof(*errnums); e++)
		for (unsigned long nth = first_of(t); fail_once(t, errnums[e], nth);
		     nth += step_of(t->step))
			faults++;
	print_message("%s: %lu faults\n", t->what, faults);
	assert_true(faults > (least ? least : 9)); /* else it tests nothing */
}

void each_kill(const struct trial *t)
{
	unsigned long kills = 0, least = t->least / step_of(t->step);
	for (unsigned long nth = first_of(t); kill_once(t, nth); nth += step_of(t->step))
		kills++;
	print_message("%s: %lu kills\n", t->what, kills);
	assert_true(kills > (least ? least : 3));
}

void each_fault_and_kill(const struct trial *t)
{
	each_fault(t);
	each_kill(t);
}
