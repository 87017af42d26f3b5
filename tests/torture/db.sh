#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# db.sh KIND - databases (dbloop.c) on a root of that kind (stage.sh), begun in the lower tree, whose
# writer is killed again and again; then the server of the file system itself, under the writer. Each
# time the database is whole and holds every transaction that was acknowledged.
# The environment also names DBLOOP.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"
# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

kind=${1:?KIND}
have "$kind" || exit 77
rounds=3
[[ -z ${COWHERD_TEST_LONG:-} ]] || rounds=60
stage 2G

# A moment of any length.
some()
{
	sleep "0.$(printf '%03d' $((RANDOM % 500 + 50)))"
}

check()
{
	"$DBLOOP" check "$1" "$(mnt "$kind")/$1" "$work/acks-$1" >"$work/checked" || {
		cat "$work/checked"
		die "$1 on $kind, round $round, $2"
	}
}

# ends STATUS...: how the writer may end.
ends()
{
	local status=0
	{ wait "$writer"; } 2>/dev/null || status=$? # it tells of kills
	[[ " $* " == *" $status "* ]] || {
		cat "$work/writer"
		die "the writer of $database ended with $status instead of $*"
	}
}

databases='sqlite-wal sqlite-rollback lmdb lmdb-writemap'
for database in $databases; do
	mkdir "$lower/$database"
	"$DBLOOP" run "$database" "$lower/$database" "$work/acks-$database" 20
done
up "$kind"
for database in $databases; do
	at=$(mnt "$kind")/$database
	for ((round = 1; round <= rounds; round++)); do
		"$DBLOOP" run "$database" "$at" "$work/acks-$database" >"$work/writer" &
		writer=$!
		some
		kill -9 "$writer"
		ends 137
		check "$database" 'writer killed'
	done
	[[ -n ${server[$kind]:-} ]] || {
		ok "$(cat "$work/checked")"
		continue
	}
	for ((round = 1; round <= rounds; round++)); do
		"$DBLOOP" run "$database" "$at" "$work/acks-$database" >"$work/writer" &
		writer=$!
		some
		crash "$kind"
		ends 3
		up "$kind"
		check "$database" 'server killed'
	done
	ok "$(cat "$work/checked")"
done
down "$kind"
