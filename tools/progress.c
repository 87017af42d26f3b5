/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "progress.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "common/clock.h"

#define REDRAW_MS 100

static volatile sig_atomic_t stop_asked;

static void ask_stop(int sig)
{
	(void)sig;
	stop_asked = 1;
}

void cow_progress_begin(struct cow_progress *p)
{
	/* SA_RESETHAND: a second signal ends the program the hard way; the next import cleans up.
	 */
	struct sigaction sa = {.sa_handler = ask_stop, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
	*p = (struct cow_progress){.on_terminal = isatty(STDERR_FILENO), .step_ms = cow_now_ms()};
	(void)sigaction(SIGINT, &sa, NULL); /* cannot fail for these */
	(void)sigaction(SIGTERM, &sa, NULL);
}

/* ", 0:12 left" by what was done of all in @ms; nothing as long as it would be a guess. */
static void remaining(uint64_t done, uint64_t total, uint64_t ms, char *buf, size_t len)
{
	*buf = 0;
	if (total < done || done < total / 100 || !done || ms < 1000)
		return;
	uint64_t left_ms = (uint64_t)((double)ms * (double)(total - done) / (double)done);
	(void)snprintf(buf, len, ", %llu:%02llu left", (unsigned long long)(left_ms / 60000),
		       (unsigned long long)(left_ms / 1000 % 60));
}

int cow_progress_count(struct cow_progress *p, const char *what, uint64_t inodes, uint64_t bytes)
{
	char done[COW_BYTES_LEN];
	if (stop_asked)
		return -EINTR;
	uint64_t now = cow_now_ms();
	if (!p->on_terminal || now < p->next_ms)
		return 0;
	p->next_ms = now + REDRAW_MS;
	cow_cli_bytes(bytes, done);
	(void)fprintf(stderr, "\r\033[K%s: %llu objects, %s", what, (unsigned long long)inodes,
		      done);
	p->shown = 1;
	return 0;
}

int cow_progress_part(struct cow_progress *p, const char *what, uint64_t done, uint64_t total)
{
	char have[COW_BYTES_LEN], all[COW_BYTES_LEN];
	if (stop_asked)
		return -EINTR;
	if (!p->on_terminal)
		return 0;
	cow_cli_bytes(done, have);
	cow_cli_bytes(total, all);
	(void)fprintf(stderr, "\r\033[K%s: %s%s%s", what, have, total ? " of " : "",
		      total ? all : "");
	p->shown = 1;
	return 0;
}

int cow_progress_step(struct cow_progress *p, const struct cow_import_progress *now)
{
	char done[COW_BYTES_LEN], rate[COW_BYTES_LEN], left[48];
	uint64_t time = cow_now_ms();
	if (stop_asked)
		return -EINTR;
	if (p->step != now->step) {
		p->step = now->step;
		p->step_ms = time;
	}
	if (!p->on_terminal || time < p->next_ms)
		return 0;
	p->next_ms = time + REDRAW_MS;
	uint64_t ms = time - p->step_ms;
	bool by_source = now->source_total && now->step != COW_IMPORT_MANIFEST && !now->bytes_total;
	uint64_t bytes = now->step == COW_IMPORT_UNPACK ? now->source_bytes : now->bytes;
	cow_cli_bytes(bytes, done);
	cow_cli_bytes(ms ? bytes * 1000 / ms : 0, rate);
	remaining(by_source ? now->source_bytes : now->bytes,
		  by_source ? now->source_total : now->bytes_total, ms, left, sizeof(left));
	if (now->step == COW_IMPORT_UNPACK)
		(void)fprintf(stderr, "\r\033[Kunpacking: %s, %s/s%s", done, rate, left);
	else
		(void)fprintf(stderr, "\r\033[K%s%llu objects, %s, %s/s%s",
			      now->step == COW_IMPORT_MANIFEST ? "manifest: " : "",
			      (unsigned long long)now->inodes, done, rate, left);
	p->shown = 1;
	return 0;
}

void cow_progress_wipe(struct cow_progress *p)
{
	if (p->shown)
		(void)fputs("\r\033[K", stderr);
	p->shown = 0;
}

void cow_progress_end(struct cow_progress *p)
{
	cow_progress_wipe(p);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
}
