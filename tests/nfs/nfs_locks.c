/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What one client's open files mean for another: byte-range locks, share reservations (also for NFSv3,
 * which has none), exclusive creates, files that lose their name while they are open. NFSv4.0, 4.1
 * and 4.2.
 *	nfs_locks ADDR NFSPORT MOUNTPORT EXPORT
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

#define ERR_BAD_RANGE 10042
#define ERR_LOCKS_HELD 10037
#define TO_THE_END UINT64_MAX

static const char *addr, *port, *path;
static uint32_t minor;
static struct session one, two;
static struct raw c3;
static struct fh top;
static struct fh3 top3;

static const struct open_how create = {.access = BOTH, .create = CREATE_UNCHECKED};
static const struct open_how both = {.access = BOTH};

static struct session client(const char *name)
{
	char full[64];
	(void)snprintf(full, sizeof(full), "cowherd-locks-%d-%u-%s", (int)getpid(), minor, name);
	return n4_session(addr, port, minor, full, 0);
}

static struct fh3 narrow(const struct fh *h)
{
	struct fh3 n = {.len = (h->len + 3) / 4 * 4};
	memcpy(n.b, h->b, h->len);
	return n;
}

/* A file "lock" with four bytes, open by both. */
static void open_twice(struct fh *h, struct n4_lock *a, struct n4_lock *b)
{
	*a = (struct n4_lock){.owner = 1};
	*b = (struct n4_lock){.owner = 2};
	WANT("create", n4_open(&one, &top, "lock", create, h, &a->open), NFS4_OK);
	WANT("WRITE", n4_write(&one, h, &a->open, 0, "four", 4), NFS4_OK);
	WANT("open", n4_open(&two, &top, "lock", both, h, &b->open), NFS4_OK);
}

static void close_twice(const struct fh *h, struct n4_lock *a, struct n4_lock *b)
{
	WANT("CLOSE", n4_close(&one, h, &a->open), NFS4_OK);
	WANT("CLOSE", n4_close(&two, h, &b->open), NFS4_OK);
	WANT("REMOVE", n4_remove(&one, &top, "lock"), NFS4_OK);
}

/* -------------------------------------------------- locks */

static void locks_exclude_where_they_overlap(void)
{
	struct fh h;
	struct n4_lock a, b;
	open_twice(&h, &a, &b);
	WANT("lock", n4_lock(&one, &h, &a, WRITE_LT, 0, 100), NFS4_OK);
	WANT("inside", n4_lock(&two, &h, &b, WRITE_LT, 50, 10), ERR_DENIED);
	WANT("inside, shared", n4_lock(&two, &h, &b, READ_LT, 99, 1), ERR_DENIED);
	WANT("around", n4_lock(&two, &h, &b, WRITE_LT, 0, TO_THE_END), ERR_DENIED);
	WANT("test by another", n4_lockt(&two, &h, 2, READ_LT, 0, 1), ERR_DENIED);
	WANT("test by the owner", n4_lockt(&one, &h, 1, WRITE_LT, 0, 1), NFS4_OK);
	WANT("test beside", n4_lockt(&two, &h, 2, WRITE_LT, 100, 1), NFS4_OK);
	WANT("beside", n4_lock(&two, &h, &b, WRITE_LT, 100, TO_THE_END), NFS4_OK);
	WANT("beside, by the first", n4_lock(&one, &h, &a, WRITE_LT, 90, 20), ERR_DENIED);
	WANT("I/O under one's own", n4_write(&one, &h, &a.st, 0, "mine", 4), NFS4_OK);
	WANT("unlock", n4_unlock(&two, &h, &b, 100, TO_THE_END), NFS4_OK);
	WANT("unlock", n4_unlock(&one, &h, &a, 0, TO_THE_END), NFS4_OK);
	WANT("all, by the other", n4_lock(&two, &h, &b, WRITE_LT, 0, TO_THE_END), NFS4_OK);
	WANT("unlock", n4_unlock(&two, &h, &b, 0, TO_THE_END), NFS4_OK);
	close_twice(&h, &a, &b);
}

static void locks_are_shared_raised_and_lowered(void)
{
	struct fh h;
	struct n4_lock a, b;
	open_twice(&h, &a, &b);
	WANT("shared", n4_lock(&one, &h, &a, READ_LT, 200, 50), NFS4_OK);
	WANT("shared", n4_lock(&two, &h, &b, READ_LT, 200, 50), NFS4_OK);
	WANT("raised", n4_lock(&one, &h, &a, WRITE_LT, 200, 50), ERR_DENIED);
	WANT("unlock", n4_unlock(&two, &h, &b, 200, 50), NFS4_OK);
	WANT("raised", n4_lock(&one, &h, &a, WRITE_LT, 200, 50), NFS4_OK);
	WANT("shared", n4_lock(&two, &h, &b, READ_LT, 200, 50), ERR_DENIED);
	WANT("lowered", n4_lock(&one, &h, &a, READ_LT, 200, 50), NFS4_OK);
	WANT("shared", n4_lock(&two, &h, &b, READ_LT, 200, 50), NFS4_OK);
	WANT("unlock", n4_unlock(&one, &h, &a, 200, 50), NFS4_OK);
	WANT("unlock", n4_unlock(&two, &h, &b, 200, 50), NFS4_OK);
	close_twice(&h, &a, &b);
}

static void a_lock_is_split_in_the_middle(void)
{
	struct fh h;
	struct n4_lock a, b;
	open_twice(&h, &a, &b);
	WANT("lock", n4_lock(&one, &h, &a, WRITE_LT, 0, 100), NFS4_OK);
	WANT("lock of what is locked", n4_lock(&one, &h, &a, WRITE_LT, 30, 100), NFS4_OK);
	WANT("unlock the middle", n4_unlock(&one, &h, &a, 40, 20), NFS4_OK);
	WANT("before", n4_lockt(&two, &h, 2, WRITE_LT, 39, 1), ERR_DENIED);
	WANT("the middle", n4_lock(&two, &h, &b, WRITE_LT, 40, 20), NFS4_OK);
	WANT("behind", n4_lockt(&two, &h, 2, WRITE_LT, 60, 1), ERR_DENIED);
	WANT("the end", n4_lockt(&two, &h, 2, WRITE_LT, 129, 1), ERR_DENIED);
	WANT("behind the end", n4_lockt(&two, &h, 2, WRITE_LT, 130, 1), NFS4_OK);
	WANT("unlock", n4_unlock(&one, &h, &a, 0, TO_THE_END), NFS4_OK);
	WANT("unlock", n4_unlock(&two, &h, &b, 0, TO_THE_END), NFS4_OK);
	close_twice(&h, &a, &b);
}

static void odd_ranges_are_refused(void)
{
	struct fh h;
	struct n4_lock a, b;
	open_twice(&h, &a, &b);
	WANT("a small one", n4_lock(&one, &h, &a, WRITE_LT, 7, 1), NFS4_OK);
	WANT("no byte", n4_lock(&one, &h, &a, WRITE_LT, 5, 0), ERR_INVAL);
	WANT("beyond 64 bits", n4_lock(&one, &h, &a, WRITE_LT, 10, UINT64_MAX - 5), ERR_INVAL);
	WANT("beyond 4 GiB", n4_lock(&one, &h, &a, WRITE_LT, 1ull << 40, 10), NFS4_OK);
	WANT("there", n4_lockt(&two, &h, 2, WRITE_LT, (1ull << 40) + 9, 1), ERR_DENIED);
	WANT("behind it", n4_lockt(&two, &h, 2, WRITE_LT, (1ull << 40) + 10, 1), NFS4_OK);
	WANT("unlock", n4_unlock(&one, &h, &a, 0, TO_THE_END), NFS4_OK);
	close_twice(&h, &a, &b);
}

static void a_lock_needs_the_access_of_its_open(void)
{
	struct fh h, r, w;
	struct n4_lock a, b, la = {.owner = 3}, lb = {.owner = 4};
	struct open_how reading = {.access = READ}, writing = {.access = WRITE};
	open_twice(&h, &a, &b);
	WANT("open", n4_open(&two, &top, "lock", reading, &r, &lb.open), NFS4_OK);
	if (minor == 0) { /* with sessions that was more access for the same open */
		WANT("exclusive", n4_lock(&two, &r, &lb, WRITE_LT, 0, 1), ERR_OPENMODE);
		WANT("open", n4_open(&one, &top, "lock", writing, &w, &la.open), NFS4_OK);
		WANT("shared", n4_lock(&one, &w, &la, READ_LT, 0, 1), ERR_OPENMODE);
		WANT("CLOSE", n4_close(&one, &w, &la.open), NFS4_OK);
		WANT("CLOSE", n4_close(&two, &r, &lb.open), NFS4_OK);
	} else {
		b.open = lb.open;
	}
	close_twice(&h, &a, &b);
}

static void who_waits_gets_it_after_the_unlock(void)
{
	struct fh h;
	struct n4_lock a, b;
	open_twice(&h, &a, &b);
	WANT("lock", n4_lock(&one, &h, &a, WRITE_LT, 0, 10), NFS4_OK);
	WANT("waiting", n4_lock(&two, &h, &b, WRITEW_LT, 0, 10), ERR_DENIED);
	WANT("waiting", n4_lock(&two, &h, &b, READW_LT, 5, 1), ERR_DENIED);
	WANT("unlock", n4_unlock(&one, &h, &a, 0, 10), NFS4_OK);
	WANT("asking again", n4_lock(&two, &h, &b, WRITEW_LT, 0, 10), NFS4_OK);
	WANT("now the first waits", n4_lock(&one, &h, &a, WRITEW_LT, 0, 10), ERR_DENIED);
	WANT("unlock", n4_unlock(&two, &h, &b, 0, 10), NFS4_OK);
	close_twice(&h, &a, &b);
}

static void locks_go_with_the_client(void)
{
	struct fh h;
	struct n4_lock a, b;
	open_twice(&h, &a, &b);
	WANT("lock", n4_lock(&one, &h, &a, WRITE_LT, 0, 10), NFS4_OK);
	(void)close(one.c.fd);
	one = client("one"); /* booted again */
	WANT("by the other", n4_lock(&two, &h, &b, WRITE_LT, 0, 10), NFS4_OK);
	WANT("unlock", n4_unlock(&two, &h, &b, 0, 10), NFS4_OK);
	WANT("CLOSE", n4_close(&two, &h, &b.open), NFS4_OK);
	WANT("REMOVE", n4_remove(&one, &top, "lock"), NFS4_OK);
}

static void owners_of_one_client_exclude_each_other(void)
{
	struct fh h;
	struct n4_lock a, b, other;
	open_twice(&h, &a, &b);
	WANT("lock", n4_lock(&one, &h, &a, WRITE_LT, 0, 10), NFS4_OK);
	other = (struct n4_lock){.owner = 9, .open = a.open};
	WANT("another process", n4_lock(&one, &h, &other, WRITE_LT, 0, 10), ERR_DENIED);
	a.open = other.open;
	WANT("unlock", n4_unlock(&one, &h, &a, 0, 10), NFS4_OK);
	close_twice(&h, &a, &b);
}

/* -------------------------------------------------- share reservations */

static void pair(uint32_t access1, uint32_t deny1, uint32_t access2, uint32_t deny2)
{
	char what[96];
	struct fh h;
	struct stateid a, b;
	struct open_how how1 = {.access = access1, .deny = deny1};
	struct open_how how2 = {.access = access2, .deny = deny2};
	uint32_t want = (access1 & deny2) || (access2 & deny1) ? ERR_SHARE_DENIED : NFS4_OK;
	(void)snprintf(what, sizeof(what), "access %u deny %u beside access %u deny %u", access2,
		       deny2, access1, deny1);
	WANT(what, n4_open(&one, &top, "share", how1, &h, &a), NFS4_OK);
	WANT(what, n4_open(&two, &top, "share", how2, &h, &b), want);
	if (want == NFS4_OK)
		WANT("CLOSE", n4_close(&two, &h, &b), NFS4_OK);
	WANT("CLOSE", n4_close(&one, &h, &a), NFS4_OK);
}

static void every_pair_of_reservations(void)
{
	struct fh h;
	struct stateid st;
	WANT("create", n4_open(&one, &top, "share", create, &h, &st), NFS4_OK);
	WANT("CLOSE", n4_close(&one, &h, &st), NFS4_OK);
	for (uint32_t i = 0; i < 3 * 4 * 3 * 4; i++)
		pair(1 + i % 3, i / 3 % 4, 1 + i / 12 % 3, i / 36);
	WANT("REMOVE", n4_remove(&one, &top, "share"), NFS4_OK);
}

/* NFSv3 has no opens: each of its writes is one that denies nothing. Its reads the server lets through
 * whatever is denied (it asks us to, like for the special state id of v4). */
static void version_3_respects_reservations(void)
{
	struct fh h;
	struct fh3 h3, made;
	struct stateid st;
	struct open_how all = {.access = BOTH, .deny = DENY_BOTH, .create = CREATE_UNCHECKED};
	struct open_how writes = {.access = READ, .deny = DENY_WRITE};
	char buf[8];
	size_t n;
	uint32_t eof;
	WANT("open", n4_open(&one, &top, "share", all, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&one, &h, &st, 0, "keep", 4), NFS4_OK);
	h3 = narrow(&h);
	WANT("READ of v3", n3_read(&c3, &h3, 0, buf, sizeof(buf), &n, &eof), 0);
	WANT("WRITE of v3", n3_write(&c3, &h3, 0, "lost", 4) != 0, 1);
	WANT("truncation of v3", n3_set_size(&c3, &h3, 0) != 0, 1);
	WANT("CLOSE", n4_close(&one, &h, &st), NFS4_OK);
	WANT("open", n4_open(&one, &top, "share", writes, &h, &st), NFS4_OK);
	WANT("READ of v3", n3_read(&c3, &h3, 0, buf, sizeof(buf), &n, &eof), 0);
	WANT("content", n == 4 && !memcmp(buf, "keep", 4), 1);
	WANT("WRITE of v3", n3_write(&c3, &h3, 0, "lost", 4) != 0, 1);
	WANT("truncation of v3", n3_set_size(&c3, &h3, 0) != 0, 1);
	WANT("mode by v3", n3_set_mode(&c3, &h3, 0600), 0);
	WANT("CLOSE", n4_close(&one, &h, &st), NFS4_OK);
	WANT("WRITE of v3", n3_write(&c3, &h3, 0, "done", 4), 0);
	WANT("create of v3", n3_create(&c3, &top3, "share", N3_UNCHECKED, 0, &made), 0);
	WANT("REMOVE", n4_remove(&one, &top, "share"), NFS4_OK);
}

static void a_downgrade_lets_others_in(void)
{
	struct fh h;
	struct stateid a, b;
	struct open_how all = {.access = BOTH, .deny = DENY_BOTH, .create = CREATE_UNCHECKED};
	struct open_how some = {.access = READ};
	/* what is to be left over must have been opened once in just that way (RFC 8881, 18.18.3) */
	WANT("open",
	     n4_open(&one, &top, "share",
		     (struct open_how){.access = READ, .create = CREATE_UNCHECKED}, &h, &a),
	     NFS4_OK);
	if (!minor) {
		WANT("CLOSE", n4_close(&one, &h, &a), NFS4_OK);
		WANT("REMOVE", n4_remove(&one, &top, "share"), NFS4_OK);
		return; /* each open of the 4.0 client has an owner of its own */
	}
	WANT("more", n4_open(&one, &top, "share", all, &h, &a), NFS4_OK);
	WANT("by another", n4_open(&two, &top, "share", some, &h, &b), ERR_SHARE_DENIED);
	WANT("OPEN_DOWNGRADE", n4_downgrade(&one, &h, &a, READ, DENY_NONE), NFS4_OK);
	WANT("by another", n4_open(&two, &top, "share", both, &h, &b), NFS4_OK);
	/* what the lowered may do is not tested: 4.3 goes on by the access it had */
	WANT("WRITE of the other", n4_write(&two, &h, &b, 0, "here", 4), NFS4_OK);
	WANT("CLOSE", n4_close(&one, &h, &a), NFS4_OK);
	WANT("CLOSE", n4_close(&two, &h, &b), NFS4_OK);
	WANT("REMOVE", n4_remove(&one, &top, "share"), NFS4_OK);
}

static void a_reclaim_out_of_time_is_refused(void)
{
	struct fh h;
	struct stateid st;
	struct open_how again = {.access = BOTH, .reclaim = 1};
	WANT("create", n4_open(&one, &top, "share", create, &h, &st), NFS4_OK);
	WANT("CLOSE", n4_close(&one, &h, &st), NFS4_OK);
	WANT("reclaim", n4_open(&one, &h, NULL, again, &h, &st), ERR_NO_GRACE);
	WANT("REMOVE", n4_remove(&one, &top, "share"), NFS4_OK);
}

/* -------------------------------------------------- exclusive creates */

static int same(const struct fh *a, const struct fh *b)
{
	return a->len == b->len && !memcmp(a->b, b->b, a->len);
}

static void exclusive_creates_know_their_own(void)
{
	struct fh h, again;
	struct stateid st, st2;
	struct n4_attr a;
	struct open_how how = {.access = BOTH,
			       .create = minor ? CREATE_EXCLUSIVE_1 : CREATE_EXCLUSIVE,
			       .verifier = 0x0123456789abcdef};
	WANT("create", n4_open(&one, &top, "excl", how, &h, &st), NFS4_OK);
	WANT("the same again", n4_open(&one, &top, "excl", how, &again, &st2), NFS4_OK);
	WANT("the same file", same(&h, &again), 1);
	if (!minor)
		WANT("CLOSE", n4_close(&one, &h, &st), NFS4_OK);
	how.verifier ^= 0x40;
	WANT("another's", n4_open(&two, &top, "excl", how, &again, &st), ERR_EXIST);
	how.verifier ^= 0x40 | 0x4000000000ull;
	WANT("another's", n4_open(&two, &top, "excl", how, &again, &st), ERR_EXIST);
	WANT("GETATTR", n4_getattr(&one, &h, &a), NFS4_OK);
	if (minor)
		WANT("mode given with it", a.mode & 07777, 0644);
	WANT("SETATTR", n4_set_mode(&one, &h, 0640), NFS4_OK);
	WANT("GETATTR", n4_getattr(&one, &h, &a), NFS4_OK);
	WANT("mode", a.mode & 07777, 0640);
	WANT("guarded",
	     n4_open(&two, &top, "excl",
		     (struct open_how){.access = BOTH, .create = CREATE_GUARDED}, &again, &st),
	     ERR_EXIST);
	WANT("CLOSE", n4_close(&one, &h, &st2), NFS4_OK);
	WANT("REMOVE", n4_remove(&one, &top, "excl"), NFS4_OK);
}

static void exclusive_creates_of_version_3(void)
{
	struct fh3 h, again;
	const uint64_t v = 0xfedcba9876543210;
	WANT("create", n3_create(&c3, &top3, "excl", N3_EXCLUSIVE, v, &h), 0);
	WANT("again", n3_create(&c3, &top3, "excl", N3_EXCLUSIVE, v, &again), 0);
	WANT("the same file", h.len == again.len && !memcmp(h.b, again.b, h.len), 1);
	WANT("another's", n3_create(&c3, &top3, "excl", N3_EXCLUSIVE, v ^ 1, &again), N3_EXIST);
	WANT("another's", n3_create(&c3, &top3, "excl", N3_EXCLUSIVE, v ^ 1ull << 32, &again),
	     N3_EXIST);
	WANT("guarded", n3_create(&c3, &top3, "excl", N3_GUARDED, 0, &again), N3_EXIST);
	WANT("unchecked", n3_create(&c3, &top3, "excl", N3_UNCHECKED, 0, &again), 0);
	WANT("REMOVE", n3_remove(&c3, &top3, "excl"), 0);
	WANT("after it", n3_create(&c3, &top3, "excl", N3_EXCLUSIVE, v ^ 1, &again), 0);
	WANT("another file", h.len == again.len && !memcmp(h.b, again.b, h.len), 0);
	WANT("REMOVE", n3_remove(&c3, &top3, "excl"), 0);
}

/* -------------------------------------------------- without a name */

static void an_open_file_outlives_its_name(void)
{
	struct fh h;
	struct stateid st;
	struct n4_attr a;
	char buf[8];
	uint32_t eof;
	WANT("create", n4_open(&one, &top, "gone", create, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&one, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("REMOVE by another", n4_remove(&two, &top, "gone"), NFS4_OK);
	WANT("the name", n4_lookup(&two, &top, "gone", &(struct fh){0}), ERR_NOENT);
	WANT("READ", n4_read(&one, &h, &st, 0, buf, sizeof(buf), &eof), 4);
	WANT("WRITE", n4_write(&one, &h, &st, 4, "more", 4), NFS4_OK);
	WANT("truncation", n4_set_size(&one, &h, &st, 6), NFS4_OK);
	WANT("GETATTR", n4_getattr(&one, &h, &a), NFS4_OK);
	WANT("size", a.size, 6);
	WANT("links", a.nlink, 0);
	WANT("CLOSE", n4_close(&one, &h, &st), NFS4_OK);
	WANT("after the last close", n4_getattr(&one, &h, &a), ERR_STALE);
}

static void an_open_file_outlives_a_rename_over_it(void)
{
	struct fh old, new, found;
	struct stateid so, sn;
	struct n4_attr a;
	char buf[8];
	uint32_t eof;
	WANT("create", n4_open(&one, &top, "over", create, &old, &so), NFS4_OK);
	WANT("WRITE", n4_write(&one, &old, &so, 0, "old", 3), NFS4_OK);
	WANT("create", n4_open(&two, &top, "over.new", create, &new, &sn), NFS4_OK);
	WANT("WRITE", n4_write(&two, &new, &sn, 0, "newer", 5), NFS4_OK);
	WANT("RENAME", n4_rename(&two, &top, "over.new", &top, "over"), NFS4_OK);
	WANT("LOOKUP", n4_lookup(&one, &top, "over", &found), NFS4_OK);
	WANT("what has the name now", same(&found, &new), 1);
	WANT("READ of the old", n4_read(&one, &old, &so, 0, buf, sizeof(buf), &eof), 3);
	WANT("content", memcmp(buf, "old", 3), 0);
	WANT("WRITE to the old", n4_write(&one, &old, &so, 3, "!", 1), NFS4_OK);
	WANT("READ of the new", n4_read(&two, &new, &sn, 0, buf, sizeof(buf), &eof), 5);
	WANT("content", memcmp(buf, "newer", 5), 0);
	WANT("CLOSE", n4_close(&one, &old, &so), NFS4_OK);
	WANT("CLOSE", n4_close(&two, &new, &sn), NFS4_OK);
	WANT("the old", n4_getattr(&one, &old, &a), ERR_STALE);
	WANT("the new", n4_getattr(&one, &new, &a), NFS4_OK);
	WANT("REMOVE", n4_remove(&one, &top, "over"), NFS4_OK);
}

/* -------------------------------------------------- all */

static void run(const char *name, void (*fn)(void))
{
	raw_running = name;
	fn();
	(void)printf("ok - v4.%u %s\n", minor, name);
	(void)fflush(stdout);
}

static void with_minor(uint32_t m)
{
	minor = m;
	one = client("one");
	two = client("two");
	top = n4_walk(&one, path);
	run("locks exclude where they overlap", locks_exclude_where_they_overlap);
	run("locks are shared, raised and lowered", locks_are_shared_raised_and_lowered);
	run("a lock is split in the middle", a_lock_is_split_in_the_middle);
	run("odd ranges are refused", odd_ranges_are_refused);
	run("a lock needs the access of its open", a_lock_needs_the_access_of_its_open);
	run("who waits gets it after the unlock", who_waits_gets_it_after_the_unlock);
	run("owners of one client exclude each other", owners_of_one_client_exclude_each_other);
	run("locks go with the client", locks_go_with_the_client);
	run("every pair of reservations", every_pair_of_reservations);
	run("version 3 respects reservations", version_3_respects_reservations);
	run("a downgrade lets others in", a_downgrade_lets_others_in);
	run("a reclaim out of time is refused", a_reclaim_out_of_time_is_refused);
	run("exclusive creates know their own", exclusive_creates_know_their_own);
	run("an open file outlives its name", an_open_file_outlives_its_name);
	run("an open file outlives a rename over it", an_open_file_outlives_a_rename_over_it);
	(void)close(one.c.fd);
	(void)close(two.c.fd);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT MOUNTPORT EXPORT\n", argv[0]);
		return 2;
	}
	alarm(60);
	addr = argv[1];
	port = argv[2];
	path = argv[4];
	struct raw mnt = n3_connect(addr, argv[3], 0);
	c3 = n3_connect(addr, port, 0);
	WANT("mount", n3_mount(&mnt, path, &top3), 0);
	run("exclusive creates of version 3", exclusive_creates_of_version_3);
	for (uint32_t m = 0; m <= 2; m++)
		with_minor(m);
	return 0;
}
