/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd serve - one process that runs and watches all services of netbooted machines.
 *
 * Everything is checked before anything is started; from then on one loop runs until SIGTERM or
 * SIGINT, or until a service proves unable to start.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

#define EVENT_PIPE_BYTES (1 << 20)
#define OPEN_FILES_MIN 65536 /* descriptors of the engine and one connection per client */

static void serve_done(struct cow_serve *s)
{
	if (s->guard > 0) {
		(void)kill(-s->guard,
			   SIGKILL); /* empty but for the guard, unless we failed half-way */
		(void)waitpid(s->guard, NULL, 0);
		(void)close(s->guard_fd);
	}
	if (s->loop) {
		cow_serve_clients_stop(s);
		cow_exports_free(s->exports);
		cow_loop_timer_off(s->loop, &s->status_timer);
		cow_loop_timer_off(s->loop, &s->space_timer);
		cow_loop_unwatch(s->loop, &s->signals);
	}
	cow_serve_portmap_close(s);
	cow_loop_free(s->loop);
	cow_herd_free(s->herd);
	cow_store_close(s->store);
	cow_serve_programs_done(&s->programs);
	cow_config_free(s->config);
	for (size_t i = 0; i < s->args; i++)
		free(s->arg[i]);
	free(s->hosts_text);
	free(s->state_dir);
	const int fds[] = {s->signals.fd, s->event_fd[0], s->event_fd[1], s->lock_fd, s->run_fd};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

/* ------------------------------------------------ start */

static int take_run_dir(struct cow_serve *s, struct cow_err *err)
{
	const char *run = s->config->run_dir;

	s->paths.run = run;
	int r = cow_mkdir_p(run, 0755);
	if (r < 0)
		return cow_err_set(err, r, "make run directory '%s'", run);
	s->run_fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->run_fd < 0)
		return cow_err_set(err, -errno, "open run directory '%s'", run);
	r = cow_lock_at(s->run_fd, "lock", 0);
	if (r == -EBUSY)
		return cow_err_say(err, COW_ERR_BUSY, r, "cowherd serve is already running in '%s'",
				   run);
	if (r < 0)
		return cow_err_set(err, r, "lock '%s/lock'", run);
	s->lock_fd = r;
	(void)unlinkat(s->run_fd, "status", 0); /* of one that was killed */
	return 0;
}

static int open_store(struct cow_serve *s, struct cow_err *err)
{
	const struct cow_config *c = s->config;

	int r = cow_store_open(c->store_path, &s->store, err);
	if (r == -ENOENT && *c->store_loop) {
		r = cow_store_mount_loop(c->store_path, c->store_loop, err);
		if (r == 0)
			r = cow_store_open(c->store_path, &s->store, err);
	}
	if (r < 0)
		return r;
	cow_config_space(c, s->store);
	s->paths.store = c->store_path;
	if (asprintf(&s->state_dir, "%s/state", c->store_path) < 0) {
		s->state_dir = NULL;
		return cow_err_set(err, -ENOMEM, "open store");
	}
	s->paths.state = s->state_dir;
	r = cow_mkdir_p(s->state_dir, 0755);
	if (r < 0)
		return cow_err_set(err, r, "make '%s'", s->state_dir);
	return cow_store_sweep(s->store, err);
}

static int check_all(struct cow_serve *s, struct cow_err *err)
{
	const struct cow_config *c = s->config;

	if (geteuid() != 0)
		return cow_err_say(err, COW_ERR_REFUSED, -EPERM, "cowherd serve must run as root");
	if (!c->nfs_enabled && !c->tftp_enabled && c->dhcp_mode == COW_DHCP_OFF)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "nothing to serve: NFS, TFTP and DHCP are all off");
	int r = cow_serve_find_net(c, &s->net, err);
	if (r == 0)
		r = cow_serve_find_programs(c, &s->programs, err);
	if (r == 0)
		r = take_run_dir(s, err);
	if (r == 0)
		r = cow_serve_check_ports(c, &s->net, err);
	if (r == 0)
		r = open_store(s, err);
	s->paths.plugin_dir = s->programs.plugin_dir;
	return r;
}

static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= OPEN_FILES_MIN)
		return;
	rl.rlim_cur = OPEN_FILES_MIN;
	if (rl.rlim_max < OPEN_FILES_MIN)
		rl.rlim_max = OPEN_FILES_MIN;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		cow_log(COW_LOG_NOTICE, "cannot raise the limit of open files to %d (%s)",
			OPEN_FILES_MIN, strerrorname_np(errno));
}

static void on_signal(void *ctx, uint32_t events)
{
	struct cow_serve *s = ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(s->signals.fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP) {
		struct cow_err err = COW_ERR_INIT;
		cow_log(COW_LOG_INFO,
			"SIGHUP: the store is read anew; the configuration needs a restart");
		if (cow_serve_refresh(s, &err) < 0)
			cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
		return;
	}
	if (!s->stopping)
		cow_log(COW_LOG_INFO, "stopping");
	cow_serve_stop(s);
}

static int watch_signals(struct cow_serve *s, struct cow_err *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	s->signals = (struct cow_watch){
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal, .ctx = s};
	int r = s->signals.fd < 0 ? -errno : cow_loop_watch(s->loop, &s->signals, EPOLLIN);
	return r < 0 ? cow_err_set(err, r, "signals") : 0;
}

static int set_up(struct cow_serve *s, struct cow_err *err)
{
	s->started_s = cow_realtime_s();
	raise_limits();
	int r = cow_loop_new(&s->loop);
	if (r == 0 && pipe2(s->event_fd, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0 && fcntl(s->event_fd[0], F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0) /* a class room's boots at once; less will do */
		(void)fcntl(s->event_fd[0], F_SETPIPE_SZ, EVENT_PIPE_BYTES);
	if (r < 0)
		return cow_err_set(err, r, "event loop");
	r = watch_signals(s, err);
	if (r < 0)
		return r;
	s->guard = cow_guard_start(&s->guard_fd);
	if (s->guard < 0)
		return cow_err_set(err, (int)s->guard, "start the guard process");
	r = cow_serve_prepare(s, err);
	return r < 0 ? r : cow_serve_clients_start(s, err);
}

static int run(struct cow_serve *s, struct cow_err *err)
{
	int r = check_all(s, err);
	if (r == 0)
		r = set_up(s, err);
	if (r < 0)
		return r;
	cow_serve_start(s);
	cow_serve_space_start(s);
	cow_serve_status_write(s);
	r = cow_loop_run(s->loop);
	if (r < 0)
		return cow_err_set(err, r, "event loop"); /* the guard ends the children */
	/* Only of use while we run; `status` asks the lock before it believes the record. */
	(void)unlinkat(s->run_fd, "status", 0);
	(void)unlinkat(s->run_fd, "bus", 0);
	(void)unlinkat(s->run_fd, "ganesha.pid", 0);
	(void)cow_rm_rf_at(s->run_fd, "loaders", 0);
	if (s->failure.code != COW_OK) {
		*err = s->failure;
		return -s->failure.errnum;
	}
	cow_log(COW_LOG_INFO, "stopped");
	return 0;
}

/* ------------------------------------------------ command */

static int usage(FILE *to)
{
	(void)fputs("usage: cowherd serve [--config FILE] [--store DIR] [--run DIR]\n"
		    "\n"
		    "Serve the clients of a store: NFS, TFTP and, if configured, DHCP.\n"
		    "  --config FILE  default: " COW_CONFIG_DEFAULT "\n"
		    "  --store DIR    instead of the configuration's [store] path\n"
		    "  --run DIR      instead of the configuration's [serve] run_dir\n"
		    "  --help         show this text\n",
		    to);
	return to == stdout ? cow_cli_flush() : COW_ERR_USAGE;
}

static int configure(struct cow_serve *s, int argc, char **argv, struct cow_err *err)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"store", required_argument, NULL, 's'},
	    {"run", required_argument, NULL, 'r'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	const char *config = NULL, *store = NULL, *run_dir = NULL;
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) !=
	       -1) { /* NOLINT(concurrency-mt-unsafe): before threads */
		if (opt == 'c')
			config = optarg;
		else if (opt == 's')
			store = optarg;
		else if (opt == 'r')
			run_dir = optarg;
		else if (opt == 'h')
			exit(usage(stdout)); /* NOLINT(concurrency-mt-unsafe): before threads */
		else
			exit(usage(stderr)); /* NOLINT(concurrency-mt-unsafe) */
	}
	if (optind < argc)
		exit(cow_cli_usage("serve", "unexpected '%s'",
				   argv[optind])); /* NOLINT(concurrency-mt-unsafe) */
	int r = cow_config_load(config, &s->config, err);
	if (r == 0 && store)
		r = cow_config_set(s->config, "store", "path", store, err);
	if (r == 0 && run_dir)
		r = cow_config_set(s->config, "serve", "run_dir", run_dir, err);
	return r;
}

int cow_cmd_serve(int argc, char **argv)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_serve *s = calloc(1, sizeof(*s));

	if (!s)
		return cow_cli_fail(NULL, -ENOMEM);
	s->run_fd = s->lock_fd = s->guard_fd = s->signals.fd = s->event_fd[0] = s->event_fd[1] = -1;
	int r = configure(s, argc, argv, &err);
	if (r == 0) {
		/* Words of the table: error, warning, … in the order of their levels. */
		cow_log_init("cowherd", (enum cow_log_level)(COW_LOG_ERROR + s->config->log_level));
		r = run(s, &err);
	}
	serve_done(s);
	free(s);
	return r < 0 ? cow_cli_fail(&err, r) : COW_OK;
}
