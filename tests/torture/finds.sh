#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# finds.sh - the torture finds what is made wrong on purpose: a write that goes one byte too far, and a
# file that was changed after its model was written. On a plain directory.
set -euo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/cowherd-torture-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mkdir "$work/a" "$work/b"
status=0
"${TORTURE:?names the torture}" --ops 20000 --drop 0 --inject 1000 "$work/a" >"$work/out" || status=$?
if [[ $status != 1 ]] || ! grep -q '^FAILED: seed 1' "$work/out" || ! grep -q '^expected:' "$work/out"; then
	cat "$work/out"
	echo "FAILED: a wrong write was not found (exit status $status)" >&2
	exit 1
fi
"$TORTURE" --ops 3000 --drop 0 --dump "$work/state" "$work/b"
"$TORTURE" --verify-state "$work/state" "$work/b"
victim=$(find "$work/b" -type f -size +0 -print | sort | head -n 1)
printf 'x' >>"$victim"
if "$TORTURE" --verify-state "$work/state" "$work/b"; then
	echo "FAILED: a changed file was not found" >&2
	exit 1
fi
