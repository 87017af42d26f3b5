/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Birth under the caller's name. A new object's owner is the thread's file-system uid and gid; when
 * those leave root the kernel drops the capabilities that go with root's files, so they are raised
 * again from the permitted set. Both are properties of the thread, so the raw calls are used.
 * Source: setfsuid(2), capabilities(7).
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

const struct cow_ovl_cred cow_ovl_root_cred = {0};

struct cow_cred_saved {
	uid_t uid;
	gid_t gid;
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
};

bool cow_cred_is_root(const struct cow_ovl_cred *cred)
{
	return !cred || cred->uid == 0;
}

bool cow_cred_has_group(const struct cow_ovl_cred *cred, gid_t gid)
{
	if (cow_cred_is_root(cred) || cred->gid == gid)
		return true;
	for (size_t k = 0; k < cred->ngroups; k++)
		if (cred->groups[k] == gid)
			return true;
	return false;
}

static int caps_get(struct cow_cred_saved *s)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	return syscall(SYS_capget, &head, s->caps) < 0 ? cow_nerr() : 0;
}

static int caps_put(const struct cow_cred_saved *s)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	return syscall(SYS_capset, &head, s->caps) < 0 ? cow_nerr() : 0;
}

/* setfsuid and setfsgid answer with the old id and no error: ask again what is in force. */
static bool uid_is(uid_t uid)
{
	return (uid_t)setfsuid((uid_t)-1) == uid;
}

static bool gid_is(gid_t gid)
{
	return (gid_t)setfsgid((gid_t)-1) == gid;
}

int cow_cred_assume(const struct cow_ovl_cred *cred, struct cow_cred_saved **ret)
{
	*ret = NULL;
	if (!cred || (cred->uid == 0 && cred->gid == 0))
		return 0;
	if (cred->uid == (uid_t)-1 || cred->gid == (gid_t)-1)
		return -EINVAL;
	struct cow_cred_saved *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	int r = caps_get(s);
	if (r < 0) {
		free(s);
		return r;
	}
	s->gid = (gid_t)setfsgid(cred->gid);
	s->uid = (uid_t)setfsuid(cred->uid);
	if (!uid_is(cred->uid) || !gid_is(cred->gid))
		r = -EPERM;
	else
		r = caps_put(s);
	if (r < 0) {
		cow_cred_restore(s);
		return r;
	}
	*ret = s;
	return 0;
}

void cow_cred_restore(struct cow_cred_saved *s)
{
	if (!s)
		return;
	int saved_errno = errno;
	/* Back to an id the process itself has: always allowed. Becoming root again raises the file
	 * capabilities, also those that were not in effect, hence the last step. */
	(void)setfsuid(s->uid);
	(void)setfsgid(s->gid);
	(void)caps_put(s);
	free(s);
	errno = saved_errno;
}
