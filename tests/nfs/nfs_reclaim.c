/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Open files, reservations and locks over a crash of the server: their owners take them back in the
 * grace period, others wait for its end and find them. NFSv4.0, 4.1 and 4.2 at once.
 *	nfs_reclaim ADDR NFSPORT MOUNTPORT EXPORT
 * Says "ready" when all is open, and waits for a line: the server was killed and started again.
 */
#include <string.h>
#include <unistd.h>

#include "raw4.h"

#define MINORS 3
#define GRACE_TRIES 200

static const char *addr, *port, *path;

/* One client of each version, its file and lock. */
struct owner {
	struct session s;
	char name[64], file[16];
	struct fh h;
	struct n4_lock l;
	int open;
};
static struct owner owners[MINORS];

static void take(struct owner *o, uint32_t minor)
{
	const struct open_how how = {
	    .access = BOTH, .deny = DENY_WRITE, .create = CREATE_UNCHECKED};
	(void)snprintf(o->name, sizeof(o->name), "cowherd-reclaim-%d-%u", (int)getpid(), minor);
	(void)snprintf(o->file, sizeof(o->file), "kept-%u", minor);
	o->s = n4_session(addr, port, minor, o->name, 0);
	struct fh top = n4_walk(&o->s, path);
	o->l = (struct n4_lock){.owner = 1};
	WANT("OPEN", n4_open(&o->s, &top, o->file, how, &o->h, &o->l.open), NFS4_OK);
	WANT("WRITE", n4_write(&o->s, &o->h, &o->l.open, 0, "kept", 4), NFS4_OK);
	WANT("LOCK", n4_lock(&o->s, &o->h, &o->l, WRITE_LT, 0, 100), NFS4_OK);
}

static void take_back(struct owner *o)
{
	const struct open_how how = {.access = BOTH, .deny = DENY_WRITE, .reclaim = 1};
	char buf[8];
	uint32_t eof;
	struct fh same;
	o->s = n4_return(addr, port, &o->s, o->name);
	o->l = (struct n4_lock){.owner = 1, .reclaim = 1};
	WANT("OPEN of what was open", n4_open(&o->s, &o->h, NULL, how, &same, &o->l.open), NFS4_OK);
	WANT("the same handle", same.len == o->h.len && !memcmp(same.b, o->h.b, same.len), 1);
	WANT("LOCK that was held", n4_lock(&o->s, &o->h, &o->l, WRITE_LT, 0, 100), NFS4_OK);
	n4_reclaim_complete(&o->s);
	o->open = 1;
	WANT("READ", n4_read(&o->s, &o->h, &o->l.open, 0, buf, sizeof(buf), &eof), 4);
	WANT("content", memcmp(buf, "kept", 4), 0);
}

/* Somebody else, who has nothing to take back. */
static void others_wait(const struct owner *o, struct session *s, const struct fh *top)
{
	struct fh h;
	struct stateid st;
	const struct open_how how = {.access = READ};
	WANT("OPEN in the grace period", n4_open(s, top, o->file, how, &h, &st), ERR_GRACE);
}

/* The lease is as short as the grace period. */
static void renew_all(void)
{
	char buf[8];
	uint32_t eof;
	for (uint32_t m = 0; m < MINORS; m++)
		if (owners[m].open)
			WANT("READ that renews the lease",
			     n4_read(&owners[m].s, &owners[m].h, &owners[m].l.open, 0, buf,
				     sizeof(buf), &eof) > 0,
			     1);
}

static uint32_t open_after_grace(const struct owner *o, struct session *s, const struct fh *top,
				 uint32_t access, struct fh *h, struct stateid *st)
{
	const struct open_how how = {.access = access};
	uint32_t r = ERR_GRACE;
	for (int i = 0; i < GRACE_TRIES && r == ERR_GRACE; i++) {
		r = n4_open(s, top, o->file, how, h, st);
		if (r == ERR_GRACE)
			(void)usleep(50000);
		renew_all();
	}
	return r;
}

static void others_find_them_held(struct owner *o, struct session *s, const struct fh *top)
{
	struct fh h;
	struct n4_lock l = {.owner = 7};
	WANT("OPEN against a reservation", open_after_grace(o, s, top, WRITE, &h, &l.open),
	     ERR_SHARE_DENIED);
	WANT("OPEN beside it", open_after_grace(o, s, top, READ, &h, &l.open), NFS4_OK);
	WANT("LOCK against a lock", n4_lock(s, &h, &l, READ_LT, 50, 1), ERR_DENIED);
	WANT("WRITE", n4_write(&o->s, &o->h, &o->l.st, 4, "more", 4), NFS4_OK);
	WANT("LOCKU", n4_unlock(&o->s, &o->h, &o->l, 0, 100), NFS4_OK);
	WANT("LOCK when it is gone", n4_lock(s, &h, &l, READ_LT, 50, 1), NFS4_OK);
	WANT("LOCKU", n4_unlock(s, &h, &l, 50, 1), NFS4_OK);
	WANT("CLOSE", n4_close(s, &h, &l.open), NFS4_OK);
	WANT("CLOSE", n4_close(&o->s, &o->h, &o->l.open), NFS4_OK);
	o->open = 0;
	WANT("REMOVE", n4_remove(s, top, o->file), NFS4_OK);
}

int main(int argc, char **argv)
{
	char line[8], name[64];
	if (argc != 5) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT MOUNTPORT EXPORT\n", argv[0]);
		return 2;
	}
	alarm(60);
	addr = argv[1];
	port = argv[2];
	path = argv[4];
	raw_running = "what was open and locked is taken back";
	for (uint32_t m = 0; m < MINORS; m++)
		take(&owners[m], m);
	(void)printf("ready\n");
	(void)fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		raw_die("nobody says that the server is back");
	(void)snprintf(name, sizeof(name), "cowherd-reclaim-%d-other", (int)getpid());
	struct session s = n4_session(addr, port, 1, name, 0);
	struct fh top = n4_walk(&s, path);
	others_wait(&owners[0], &s, &top);
	for (uint32_t m = 0; m < MINORS; m++)
		take_back(&owners[m]);
	for (uint32_t m = 0; m < MINORS; m++)
		others_find_them_held(&owners[m], &s, &top);
	(void)printf("ok - %s over a crash, v4.0, 4.1 and 4.2\n", raw_running);
	return 0;
}
