#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Finer points of the protocol, with clients written by hand: locks and reservations of several clients,
# directories that change while they are listed, sizes at their limits, races.
#	conform.sh [--long] [PART…]	parts: locks reclaim limits matrix races dirs huge; all of them without
# COWHERD_TEST_BACKEND: overlay (default) or btrfs.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/nfs/lab.sh
. ./lab.sh
lab_enter "$@"

lab_long "$@" && shift

raw() # PROGRAM [ARG…]
{
	"$LAB_TOOLS/$1" "$LAB_ADDR" "$LAB_PORT" "$LAB_MOUNT_PORT" "/clients/$M1" "${@:2}"
}

locks() { raw nfs_locks; }

limits() { raw nfs_limits "/clients/$M2"; }
matrix() { raw nfs_matrix; }
races() { raw nfs_race "$(pick 500 20000)"; }

# The server is killed under open files and locks; their owners come back and have them again.
reclaim()
{
	local pid
	mkfifo "$LAB/go"
	raw nfs_reclaim <"$LAB/go" >"$LAB/reclaim.out" &
	pid=$!
	exec {go}>"$LAB/go"
	lab_wait 5 grep -q ready "$LAB/reclaim.out" || lab_fail "the clients do not get ready"
	lab_kill
	lab_up
	echo >&"$go"
	wait "$pid" || lab_fail "clients could not take back what they had: $(cat "$LAB/reclaim.out")"
	exec {go}>&-
	rm "$LAB/go"
	grep ok "$LAB/reclaim.out"
}

dirs()
{
	tool reset "$M1"
	raw nfs_dirs changes
	raw nfs_dirs half "$LAB/half"
	lab_kill
	lab_up
	lab_after_grace
	raw nfs_dirs rest "$LAB/half"
}

# The server's memory, and how it grows with the names.
huge()
{
	local n before
	n=$(pick 20000 1000000)
	tool reset "$M1"
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$LAB_SERVER/status")
	raw nfs_dirs huge "$n"
	echo "# memory: $before KiB before, $(awk '/^VmRSS/ { print $2 }' "/proc/$LAB_SERVER/status") KiB after"
	# the first one keeps the root with all the names for a rollback, the second lets it go
	tool reset "$M1"
	lab_root_handle "$M1" >/dev/null
	lab_wait 30 tool reset "$M1" || lab_fail "the root with all the names cannot be replaced"
}

lab_store
make_image
tool add "$M1" test "$LAB_BACKEND"
tool add "$M2" test "$LAB_BACKEND"
write_exports "$M1" "$M2"
[[ $# -gt 0 ]] || set -- locks reclaim limits matrix races dirs huge
for chunk in 0 128; do
	echo "# Dir_Chunk = $chunk"
	lab_conf "$chunk"
	lab_up
	lab_after_grace
	for part in "$@"; do
		"$part"
	done
	lab_down
done
if grep -E 'CRIT|FATAL|MAJ ' "$LAB/server.log" | grep -vE "svc_vc_|krb5|gss|fsal_remove .*Attempt to remove export \\.+$" >&2; then
	lab_fail "the server complains (above)"
fi
