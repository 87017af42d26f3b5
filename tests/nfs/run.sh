#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# The NFS plugin inside the distribution's own server, with user-space clients. About a minute.
# COWHERD_TEST_BACKEND: overlay (default) or btrfs.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/nfs/lab.sh
. ./lab.sh
lab_enter "$@"


# I5: a handle outlives the server.
handles_survive_a_kill()
{
	local root file
	root=$(lab_root_handle "$M1")
	file=$(lab_lookup "$root" hello)
	lab_equal "read before" "$(lab_read "$file")" golden
	lab_kill
	lab_up
	lab_equal "root handle after restart" "$(lab_getattr "$root")" 0
	lab_equal "file handle after restart" "$(lab_read "$file")" golden
	lab_equal "same handle again" "$(lab_root_handle "$M1")" "$root"
	lab_ok "handles survive a kill of the server"
}

# I5, where there is an image below: its objects keep their handles when they are brought up or moved.
handles_of_the_image_survive_change_and_kill()
{
	local root file moved
	lab_after_grace
	tool reset "$M2"
	root=$(lab_root_handle "$M2")
	file=$(lab_path "$root" tree d1 f1)
	moved=$(lab_path "$root" tree d3 f2)
	lab_client nfs_image 3 "$M2" --only "a changed file stays the same file"
	lab_client nfs_image 3 "$M2" --only "a moved directory takes everything along"
	lab_equal "changed file" "$(lab_read "$file")" changed
	lab_equal "file in a moved directory" "$(lab_read "$moved")" 2
	lab_kill
	lab_up
	lab_equal "changed file after restart" "$(lab_read "$file")" changed
	lab_equal "file in a moved directory after restart" "$(lab_read "$moved")" 2
	lab_equal "its handle" "$(lab_path "$root" place moved f2)" "$moved"
	lab_after_grace
	lab_client nfs_image 3 "$M2" --only "a removed name is nothing at all"
	lab_ok "handles of the image's objects survive change, move and a kill of the server"
}

# I4: a client can name only objects of its own root.
forged_handles_are_refused()
{
	local r1 r2 h1 bad mac
	r1=$(lab_root_handle "$M1")
	r2=$(lab_root_handle "$M2")
	h1=$(lab_lookup "$r1" hello)
	# hex: 10 digits of the server's header (export id at 4..7), then ours: version, engine handle
	# (length of the payload at 18, payload from 44 on, then the signature)
	mac=$((44 + 2 * 0x${h1:18:2}))
	bad=${r2:0:10}${h1:10}
	lab_equal "client 1's file through client 2's export" "$(lab_getattr "$bad")" 70
	bad=${h1:0:44}$(printf '%02x' $((0x${h1:44:2} ^ 1)))${h1:46}
	lab_equal "another object" "$(lab_getattr "$bad")" 10001
	bad=${h1:0:mac}$(printf '%02x' $((0x${h1:mac:2} ^ 128)))${h1:mac+2}
	lab_equal "another signature" "$(lab_getattr "$bad")" 10001
	bad=${h1:0:14}$(printf '%02x' $((0x${h1:14:2} ^ 0x19)))${h1:16} # kind U for L, L for U
	lab_equal "another kind" "$(lab_getattr "$bad")" 10001
	bad=${h1:0:10}c2${h1:12}
	lab_equal "another version" "$(lab_getattr "$bad")" 10001
	bad=${h1:0:8}15${h1:10:42}
	lab_equal "a truncated handle" "$(lab_getattr "$bad")" 10001
	bad=${h1:0:8}01c1000000
	lab_equal "one byte" "$(lab_getattr "$bad")" 10001
	lab_alive || lab_fail "the server died of a forged handle"
	lab_ok "forged, foreign and truncated handles are refused"
}

a_reset_makes_old_handles_stale()
{
	local root file now
	lab_client nfs_ops 3 "$M2" --only "written data reads back" >/dev/null
	root=$(lab_root_handle "$M2")
	file=$(lab_lookup "$root" data)
	lab_equal "before" "$(lab_getattr "$file")" 0
	tool reset "$M2"
	lab_equal "file after reset" "$(lab_getattr "$file")" 70
	lab_equal "root after reset" "$(lab_getattr "$root")" 70
	now=$(lab_root_handle "$M2")
	[[ $now != "$root" ]] || lab_fail "the root's handle did not change"
	lab_equal "new root" "$(lab_getattr "$now")" 0
	lab_equal "a name of the old tree" "$(lab_lookup "$now" data)" 2
	lab_equal "the image's file" "$(lab_read "$(lab_lookup "$now" hello)")" golden
	lab_equal "the other client" "$(lab_getattr "$(lab_root_handle "$M1")")" 0
	# the server lets the old root go within a second
	lab_wait 5 tool rollback "$M2" || lab_fail "the server keeps the root of before the reset"
	lab_equal "root of the reset after rollback" "$(lab_getattr "$now")" 70
	lab_equal "root of before, after rollback" "$(lab_getattr "$root")" 70
	[[ $(lab_lookup "$(lab_root_handle "$M2")" data) != 2 ]] || lab_fail "rollback lost /data"
	lab_ok "reset and rollback make old handles stale at once, and show the other tree"
}

# Swaps meet requests at every point, also under the server's own locks of the root.
resets_under_load()
{
	local v i writer pids=() cycles=25
	local url="nfs://$LAB_ADDR/clients/$M2?nfsport=$LAB_PORT&mountport=$LAB_MOUNT_PORT"
	for v in 3 3 4 4; do
		"$LAB_TOOLS/nfs_load" "$url&version=$v" >"$LAB/load.${#pids[@]}" &
		pids+=($!)
	done
	lab_client nfs_goon 3 "$M1" >"$LAB/goon.out" &
	writer=$!
	for ((i = 0; i < cycles; i++)); do
		tool reset "$M2"
		sleep 0.05
	done
	kill -TERM "${pids[@]}"
	wait "${pids[@]}" || lab_fail "a client hung while its root was reset"
	wait "$writer" || lab_fail "a reset disturbed another client"
	lab_equal "root after $cycles resets" "$(lab_getattr "$(lab_root_handle "$M2")")" 0
	lab_ok "$cycles resets under load, another client goes on"
}

clients_do_not_see_each_other()
{
	local r1 r2
	r1=$(lab_root_handle "$M1")
	r2=$(lab_root_handle "$M2")
	[[ $(lab_lookup "$r1" perm) != 2 ]] || lab_fail "client 1 has no /perm"
	lab_equal "client 1's directory in client 2's root" "$(lab_lookup "$r2" perm)" 2
	lab_ok "clients do not see each other's changes"
}

exports_come_and_go()
{
	local id=0
	lab_equal "mount before it is added" "$(lab_root_handle "$M3")" "mount 13"
	tool add "$M3" test "$LAB_BACKEND"
	id=$(tool id "$M3")
	lab_export_block "$M3" "$id" >"$LAB/one.conf"
	lab_bus AddExport "string:$LAB/one.conf" "string:EXPORT(Export_Id=$id)" >/dev/null
	lab_equal "added" "$(lab_read "$(lab_lookup "$(lab_root_handle "$M3")" hello)")" golden
	lab_export_block "$M3" "$id" 10.99.0.77 >"$LAB/one.conf"
	lab_bus UpdateExport "string:$LAB/one.conf" "string:EXPORT(Export_Id=$id)" >/dev/null
	lab_equal "given to another address" "$(lab_root_handle "$M3")" "mount 13"
	lab_export_block "$M3" "$id" >"$LAB/one.conf"
	lab_bus UpdateExport "string:$LAB/one.conf" "string:EXPORT(Export_Id=$id)" >/dev/null
	lab_equal "and back" "$(lab_getattr "$(lab_root_handle "$M3")")" 0
	lab_ok "exports are added and changed while it runs"
	removal_under_load "$id"
}

# Without the drain in prepare_unexport the server dies in the first cycles.
removal_under_load() # ID
{
	local v i pids=() cycles=25 url="nfs://$LAB_ADDR/clients/$M3?nfsport=$LAB_PORT&mountport=$LAB_MOUNT_PORT"
	for v in 3 3 4 4; do
		"$LAB_TOOLS/nfs_load" "$url&version=$v" >"$LAB/load.${#pids[@]}" &
		pids+=($!)
	done
	for ((i = 0; i < cycles; i++)); do
		sleep 0.05
		lab_bus RemoveExport "uint16:$1" >/dev/null || lab_fail "RemoveExport, cycle $i"
		lab_alive || lab_fail "the server died in cycle $i of RemoveExport under READDIR"
		lab_bus AddExport "string:$LAB/one.conf" "string:EXPORT(Export_Id=$1)" >/dev/null ||
			lab_fail "AddExport, cycle $i"
	done
	kill -TERM "${pids[@]}"
	wait "${pids[@]}" || lab_fail "a client under load hung"
	lab_alive || lab_fail "the server died of RemoveExport under READDIR"
	v=$(cat "$LAB"/load.* | awk '{ n += $1 } END { print n }')
	[[ $v -gt $cycles ]] || lab_fail "only $v listings were under way in $cycles cycles"
	lab_ok "RemoveExport under READDIR load: $cycles cycles, $v listings met one"
}

# A stop closes every root cleanly: a volatile one is refused after anything else.
a_clean_stop_and_a_kill_differ()
{
	local file
	lab_equal "volatile root after a stop" \
		"$(lab_read "$(lab_lookup "$(lab_root_handle "$M4")" hello)")" golden
	lab_kill
	lab_up
	file=$(lab_root_handle "$M4")
	[[ $file == mount* ]] || lab_fail "a volatile root is served after a kill: $file"
	grep -q "cannot serve a root: .*" "$LAB/server.log" || lab_fail "nobody says why"
	lab_equal "the others" "$(lab_getattr "$(lab_root_handle "$M1")")" 0
	lab_ok "a volatile root comes back after a clean stop, and not after a kill"
}

# An idle root is closed; the objects the server keeps find it again.
idle_roots_are_closed_and_opened_again()
{
	local root file
	root=$(lab_root_handle "$M1")
	file=$(lab_lookup "$root" hello)
	lab_wait 10 is_closed "$M1" || lab_fail "the root stays open while nobody uses it"
	lab_equal "cached file after the root was closed" "$(lab_read "$file")" golden
	is_closed "$M1" && lab_fail "the check for an open root does not work"
	lab_equal "root" "$(lab_getattr "$root")" 0
	lab_ok "idle roots are closed, and opened again under the same handles"
}

# A client that writes while the server is killed and comes back: no error, no byte lost.
writing_goes_on_over_a_kill()
{
	local pid
	lab_client nfs_goon 3 "$M1" >"$LAB/goon.out" &
	pid=$!
	lab_wait 5 grep -q started "$LAB/goon.out" || lab_fail "the writer does not start"
	sleep 0.3
	lab_kill
	sleep 0.5
	lab_up
	wait "$pid" || lab_fail "a writer did not survive the kill of the server"
	lab_ok "a client goes on writing over a kill of the server"
}

use_is_recorded()
{
	local addr
	addr=$(tool state "$M1" | cut -d ' ' -f 2)
	lab_equal "address of the last request" "$addr" "$LAB_ADDR"
	lab_ok "the store knows who used the root last"
}

# With hundreds of clients most are off: a root is opened by its first request.
nothing_is_open_before_it_is_asked_for()
{
	is_closed "$M1" || lab_fail "a root is open before the first request"
	lab_root_handle "$M1" >/dev/null
	is_closed "$M1" && lab_fail "the check for an open root does not work"
	is_closed "$M2" || lab_fail "the root of another client is open"
	lab_ok "a root is opened by its first request"
}

# The plugin is loaded by the first export; its own settings stand in another file then.
the_first_client_may_come_late()
{
	local id
	: >"$LAB/exports.conf"
	lab_conf 0
	lab_up
	id=$(tool id "$M1")
	lab_export_block "$M1" "$id" >"$LAB/one.conf"
	lab_bus AddExport "string:$LAB/one.conf" "string:EXPORT(Export_Id=$id)" >/dev/null ||
		lab_fail "AddExport at a server without clients"
	lab_equal "its file" "$(lab_read "$(lab_lookup "$(lab_root_handle "$M1")" hello)")" golden
	lab_down
	lab_ok "the first client may be added to a server without any"
}

suite() # DIR_CHUNK
{
	echo "# Dir_Chunk = $1"
	lab_conf "$1"
	lab_up
	nothing_is_open_before_it_is_asked_for
	lab_after_grace
	local v
	for v in 3 4; do
		lab_client nfs_ops "$v" "$M1"
		lab_client nfs_perm "$v" "$M1"
	done
	"$LAB_TOOLS/nfs_v42" "$LAB_ADDR" "$LAB_PORT" "/clients/$M1"
	for v in 3 4; do
		tool reset "$M2"
		lab_client nfs_image "$v" "$M2"
	done
	tool reset "$M2"
	clients_do_not_see_each_other
	forged_handles_are_refused
	a_reset_makes_old_handles_stale
	resets_under_load
}

lab_store
make_image
tool add "$M1" test "$LAB_BACKEND"
tool add "$M2" test "$LAB_BACKEND"
write_exports "$M1" "$M2"
suite 128
lab_down
suite 0
exports_come_and_go
use_is_recorded
handles_survive_a_kill
handles_of_the_image_survive_change_and_kill
writing_goes_on_over_a_kill
lab_down
lab_ok "SIGTERM ends the server cleanly"

the_first_client_may_come_late

echo "# Idle_Seconds = 1"
tool add "$M4" test "$LAB_BACKEND" volatile
write_exports "$M1" "$M4"
lab_conf 0 "Idle_Seconds = 1;"
lab_up
idle_roots_are_closed_and_opened_again
lab_getattr "$(lab_root_handle "$M4")" >/dev/null
lab_down
lab_up
a_clean_stop_and_a_kill_differ
lab_down
if grep -E 'CRIT|FATAL|MAJ ' "$LAB/server.log" | grep -vE "svc_vc_|krb5|gss|cannot serve a root: .*$M4" >&2; then
	lab_fail "the server complains (above)"
fi
