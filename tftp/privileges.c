/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Dropping privileges: see privileges.h. Trees hold files of any owner and mode, boot files
 * included, and handles are opened: both need CAP_DAC_READ_SEARCH (capabilities(7)).
 */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

static int become(const char *user, struct cow_err *err)
{
	errno = 0;
	const struct passwd *pw = getpwnam(user); /* NOLINT(concurrency-mt-unsafe): one thread */

	if (!pw)
		return cow_err_set(err, errno ? -errno : -ENOENT, "find user '%s'", user);
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return cow_err_set(err, -errno, "keep capabilities");
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return cow_err_set(err, -errno, "become user '%s'", user);
	return 0;
}

static int keep_only(cap_value_t cap, struct cow_err *err)
{
	const cap_value_t keep[] = {cap};
	cap_t caps = cap_init();
	int r = 0;

	if (!caps || cap_set_flag(caps, CAP_PERMITTED, 1, keep, CAP_SET) < 0 ||
	    cap_set_flag(caps, CAP_EFFECTIVE, 1, keep, CAP_SET) < 0 || cap_set_proc(caps) < 0)
		r = cow_err_set(err, -errno, "give up capabilities");
	if (caps)
		(void)cap_free(caps);
	return r;
}

/* So that not even an executed program could get them back. Needs CAP_SETPCAP, so it comes first.
 */
static int empty_bounding_set(struct cow_err *err)
{
	for (cap_value_t c = 0; c <= CAP_LAST_CAP; c++) {
		if (cap_get_bound(c) == 1 && cap_drop_bound(c) < 0)
			return cow_err_set(err, -errno, "empty the capability bounding set");
	}
	return 0;
}

int cow_tftp_drop_privileges(const char *user, int keep, struct cow_err *err)
{
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cow_err_set(err, -errno, "set no_new_privs");
	if (geteuid() != 0)
		return user ? cow_err_set(err, -EPERM, "become user '%s'", user) : 0;
	r = empty_bounding_set(err);
	if (r == 0 && user)
		r = become(user, err);
	return r < 0 ? r : keep_only(keep, err);
}
