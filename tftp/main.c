/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd-tftpd: set-up in the order that matters (store, port, privileges), one loop, clean stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "confine.h"
#include "files.h"
#include "marks.h"
#include "neigh.h"
#include "options.h"
#include "privileges.h"
#include "tftp/server.h"

/* Every file on its way is a descriptor or two. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim); /* the lower limit serves fewer at once, no worse */
}

static int open_stop(struct cow_err *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)signal(SIGPIPE, SIG_IGN); /* the supervisor may go first */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return cow_err_set(err, -errno, "block signals");
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? cow_err_set(err, -errno, "watch signals") : fd;
}

/* A supervisor that does not read must not stop the boots. */
static int prepare_event_fd(int fd, struct cow_err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return cow_err_set(err, -errno, "use file descriptor %d", fd);
	return 0;
}

/* *ret_fd stays -1 when there is none: boards do without, and so do PCs with iPXE in their ROM. */
static int open_loaders(const char *dir, int *ret_fd, struct cow_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		return cow_err_set(err, -errno, "open '%s'", dir);
	if (fd < 0)
		cow_log(COW_LOG_WARNING, "no loaders for PCs: '%s' does not exist", dir);
	*ret_fd = fd;
	return 0;
}

static void log_stats(const struct cow_tftp_server *s)
{
	struct cow_tftp_stats st;

	cow_tftp_server_stats(s, &st);
	cow_log(COW_LOG_INFO,
		"stopped: requests=%" PRIu64 " delivered=%" PRIu64 " bytes=%" PRIu64
		" refused=%" PRIu64 " aborted=%" PRIu64 " timed-out=%" PRIu64 " failed=%" PRIu64
		" resends=%" PRIu64 " limited=%" PRIu64 " stray=%" PRIu64 " malformed=%" PRIu64,
		st.requests, st.delivered, st.bytes, st.refused, st.aborted, st.timed_out,
		st.failed, st.resends, st.limited, st.stray, st.malformed);
}

COW_DEFINE_AUTO(struct cow_tftp_server, cow_tftp_server_free)
COW_DEFINE_AUTO(struct cow_tftp_clients, cow_tftp_clients_free)
COW_DEFINE_AUTO(struct cow_tftp_leases, cow_tftp_leases_free)

static int serve(const struct cow_tftp_options *o, int stop_fd, struct cow_err *err)
{
	struct cow_tftp_files files; /* before the clients: their last sessions are told to it */
	cow_autostore store = NULL;
	COW_CLEANUP(cow_auto_cow_tftp_clients_free) struct cow_tftp_clients *clients = NULL;
	cow_autoclose int neigh = -1;
	cow_autoclose int loaders = -1;
	COW_CLEANUP(cow_auto_cow_tftp_leases_free) struct cow_tftp_leases *leases = NULL;
	const struct cow_tftp_resolver resolver = {.open = cow_tftp_files_open,
						   .ended = cow_tftp_files_ended,
						   .tick = cow_tftp_files_tick,
						   .ctx = &files};
	COW_CLEANUP(cow_auto_cow_tftp_server_free) struct cow_tftp_server *server = NULL;
	int r = cow_tftp_read_only(err);

	if (r == 0)
		r = cow_store_open(o->store, &store, err);
	if (r == 0 && o->event_fd >= 0)
		r = prepare_event_fd(o->event_fd, err);
	if (r == 0 && o->loader_dir)
		r = open_loaders(o->loader_dir, &loaders, err);
	if (r < 0)
		return r;
	r = cow_tftp_clients_new(store, &clients);
	if (r < 0)
		return cow_err_set(err, r, "make the client cache");
	if (o->leases && *o->leases && (r = cow_tftp_leases_new(o->leases, &leases)) < 0)
		return cow_err_set(err, r, "make the table of leases");
	neigh = cow_tftp_neigh_open();
	if (neigh < 0)
		return cow_err_set(err, neigh, "open the neighbour table");
	files = (struct cow_tftp_files){
	    .site = {.nfs = o->nfs,
		     .nfs_port = o->nfs_port,
		     .mount_port = o->mount_port,
		     .trust = o->trust,
		     .enrol = o->enrol,
		     .loader_fd = loaders,
		     .event_fd = o->event_fd},
	    .clients = clients,
	    .neigh_fd = neigh,
	    .leases = leases,
	};
	cow_tftp_clients_on_over(clients, cow_tftp_files_over, &files);
	r = cow_tftp_server_new(&o->entrances, &resolver, &server, err);
	if (r == 0)
		r = cow_tftp_marks_start(o->user, err);
	if (r == 0)
		r = cow_tftp_drop_privileges(o->user, CAP_DAC_READ_SEARCH, err);
	if (r == 0)
		r = cow_tftp_confine(COW_TFTP_PART_NETWORK, err);
	if (r < 0)
		return r;
	cow_log(COW_LOG_INFO, "ready: port=%u store=%s", cow_tftp_server_port(server),
		COW_Q(cow_store_path(store)));
	r = cow_tftp_server_run(server, stop_fd);
	log_stats(server);
	return r < 0 ? cow_err_set(err, r, "serve") : 0;
}

int main(int argc, char **argv)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_tftp_options o;
	int r = cow_tftp_options_parse(argc, argv, &o, &err);

	if (r == COW_TFTP_EXIT)
		return 0;
	if (r < 0) {
		(void)fprintf(stderr, "cowherd-tftpd: %s\n", cow_err_str(&err));
		return cow_err_exit_status(&err, r);
	}
	cow_log_init("cowherd-tftpd", o.log_level);
	(void)umask(0); /* the engine's contract */
	raise_fd_limit();

	cow_autoclose int stop = open_stop(&err);

	r = stop < 0 ? stop : serve(&o, stop, &err);
	cow_tftp_marks_stop();
	if (r < 0) {
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
		return cow_err_exit_status(&err, r);
	}
	return 0;
}
