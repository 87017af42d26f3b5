/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Programs of a system that a network root is no place for, whatever is changed in it: the administrator is told at the
 * import and not by the first machine.
 */
#include "image_internal.h"
#include "tree.h"

static const struct {
	const char *path, *text;
} troubles[] = {
    {"usr/bin/dockerd", "Docker's storage driver does not work on an NFS root: give /var/lib/docker a local "
			"disk or a loop-mounted file"},
    {"usr/bin/podman", "Podman's storage driver does not work on an NFS root: give its storage a local disk, or set "
		       "driver = \"vfs\" in /etc/containers/storage.conf"},
    {"usr/local/bin/k3s", "k3s does not work on an NFS root: give /var/lib/rancher a local disk or a loop-mounted "
			  "file, or run it with --snapshotter native"},
    {"usr/lib/snapd/snapd", "snapd mounts its packages from files: over NFS they start slowly, and their updates come "
			    "to every machine by itself (snap refresh --hold)"},
};

const char *cow_detect_trouble(int tree, unsigned n)
{
	for (size_t i = 0; i < sizeof(troubles) / sizeof(*troubles); i++)
		if (cow_tree_has(tree, troubles[i].path) && n-- == 0)
			return troubles[i].text;
	return NULL;
}
