#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Finer points of the protocol, with clients written by hand: locks and reservations of several clients,
# directories that change while they are listed, sizes at their limits, races.
#	conform.sh [--long] [PART…]	parts: locks; all of them without
# COWHERD_TEST_BACKEND: overlay (default) or btrfs.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/nfs/lab.sh
. ./lab.sh
lab_enter "$@"

LONG=
if [[ ${1:-} == --long ]]; then
	LONG=1
	shift
fi
readonly LONG

pick() { if [[ $LONG ]]; then echo "$2"; else echo "$1"; fi; } # SHORT LONG

raw() # PROGRAM [ARG…]
{
	"$LAB_TOOLS/$1" "$LAB_ADDR" "$LAB_PORT" "$LAB_MOUNT_PORT" "/clients/$M1" "${@:2}"
}

locks() { raw nfs_locks; }

lab_store
make_image
tool add "$M1" test "$LAB_BACKEND"
write_exports "$M1"
[[ $# -gt 0 ]] || set -- locks
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
if grep -E 'CRIT|FATAL|MAJ ' "$LAB/server.log" | grep -vE "svc_vc_|krb5|gss" >&2; then
	lab_fail "the server complains (above)"
fi
