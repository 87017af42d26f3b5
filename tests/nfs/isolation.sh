#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Two clients with addresses of their own: whatever the one tries, it sees nothing of the other's tree,
# opens nothing of it, and is named in the server's log and in the other client's record.
# COWHERD_TEST_BACKEND: overlay (default) or btrfs.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/nfs/lab.sh
. ./lab.sh
lab_enter "$@"

readonly A=10.99.1.2 B=10.99.1.3

on() { lab_on "$1" "$LAB_TOOLS/nfs_handle" "${@:2}"; } # MACHINE nfs_handle's arguments

attack() # what nfs_iso.c does, from A
{
	lab_on a "$LAB_TOOLS/nfs_iso" "$LAB_ADDR" "$LAB_PORT" "$LAB_MOUNT_PORT" "/clients/$M1" "/clients/$M2" \
		"$my_file" "$their_root" "$their_file"
}

refusals() # ADDRESS EXPORT-ID WORDS: lines of the log about it
{
	grep -cE "refused: [0-9]+ requests? of $1 to export $2: .*$3" "$LAB/server.log" || true
}

listing_of_b() { lab_on b "$LAB_TOOLS/nfs_handle" list "$LAB_ADDR" "$LAB_PORT" "$their_root"; }

count_of_b() { tool refused "$M2" | cut -d ' ' -f 1; }

# Each cause has its line within two seconds, and no second one within the minute.
attempts_are_told_once()
{
	local b_id a_id
	a_id=$(tool id "$M1")
	b_id=$(tool id "$M2")
	lab_wait 5 told "$b_id" "may not use it" || lab_fail "nobody says that B's export was asked for"
	lab_wait 5 told "$a_id" "changed" || lab_fail "nobody says that handles were forged"
	lab_wait 5 told "$a_id" "another root" || lab_fail "nobody says that another's handle was used"
	lab_equal "lines about B's export" "$(refusals "$A" "$b_id" "may not use it")" 1
	lab_equal "lines about forged handles" "$(refusals "$A" "$a_id" changed)" 1
	lab_equal "lines about foreign handles" "$(refusals "$A" "$a_id" "another root")" 1
	lab_wait 5 grep -q "refused: [0-9]* requests of $A to an export: there is none" "$LAB/server.log" ||
		lab_fail "nobody says that exports were guessed"
	lab_wait 5 grep -q "refused: $A listed the exports" "$LAB/server.log" ||
		lab_fail "nobody says that all were listed"
	[[ $(grep -c "refused: .*$A" "$LAB/server.log") -le 12 ]] || lab_fail "the log is flooded"
	grep -q "refused: .*$B" "$LAB/server.log" && lab_fail "B is accused"
	lab_ok "attempts are told: once a minute for each address, export and cause"
}

told() { [[ $(refusals "$A" "$1" "$2") -ge 1 ]]; } # EXPORT-ID WORDS

counted() { [[ $(count_of_b) -gt 0 && $(tool refused "$M2") == *" $A" ]]; }

suite() # DIR_CHUNK
{
	local before
	echo "# Dir_Chunk = $1"
	lab_conf "$1"
	: >"$LAB/server.log"
	lab_up
	lab_after_grace
	my_file=$(on a lookup "$LAB_ADDR" "$LAB_PORT" "$(on a root "$LAB_ADDR" "$LAB_MOUNT_PORT" "/clients/$M1")" hello)
	their_root=$(on b root "$LAB_ADDR" "$LAB_MOUNT_PORT" "/clients/$M2")
	their_file=$(on b lookup "$LAB_ADDR" "$LAB_PORT" "$their_root" hello)
	before=$(listing_of_b)
	lab_equal "B reads its own file" "$(on b read "$LAB_ADDR" "$LAB_PORT" "$their_file")" golden
	attack
	attempts_are_told_once
	lab_equal "B's root after all" "$(listing_of_b)" "$before"
	lab_equal "B's file after all" "$(on b read "$LAB_ADDR" "$LAB_PORT" "$their_file")" golden
	lab_wait 5 counted || lab_fail "the record of B names no refused request: $(tool refused "$M2")"
	lab_down
}

# Refused before the engine is asked: nothing is attached by it.
refusals_attach_nothing()
{
	lab_up
	lab_after_grace
	attack >/dev/null
	is_closed "$M2" || lab_fail "an attack made the server open the root it was for"
	is_closed "$M1" && lab_fail "the check for an open root does not work"
	lab_equal "B is served" "$(on b read "$LAB_ADDR" "$LAB_PORT" "$their_file")" golden
	is_closed "$M2" && lab_fail "the check for an open root does not work"
	lab_down
	lab_ok "refusals open no root"
}

lab_machine a 2
lab_machine b 3
lab_store
make_image
tool add "$M1" test "$LAB_BACKEND"
tool add "$M2" test "$LAB_BACKEND"
{
	lab_export_block "$M1" "$(tool id "$M1")" "$A"
	lab_export_block "$M2" "$(tool id "$M2")" "$B"
} >"$LAB/exports.conf"
suite 128
suite 0
refusals_attach_nothing
if grep -E 'CRIT|FATAL|MAJ ' "$LAB/server.log" | grep -vE "svc_vc_|krb5|gss|pseudofs_create_handle" >&2; then
	lab_fail "the server complains (above)"
fi
