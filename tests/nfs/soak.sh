#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# soak.sh [SECONDS] - the NFS plugin under a sanitizer, in the distribution's server: clients of v3 and v4 list, look up,
# write and run whole test programs while roots are reset, exports go and come and the server is killed. 20 seconds;
# COWHERD_TEST_LONG: 20 minutes. What the sanitizer finds fails it.
#
# Environment: LAB_SANITIZER, "address" (with or without others) or "thread", as the plugin was built; LAB_PRELOAD,
# the object that makes the server load it without RTLD_DEEPBIND.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/nfs/lab.sh
. ./lab.sh
lab_enter "$@"

seconds=20 LAB_PATIENCE=180 LAB_REPLY_MS=120000 # a sanitizer is slow
[[ -z ${COWHERD_TEST_LONG:-} ]] || seconds=1200
[[ $# -eq 0 ]] || seconds=$1
readonly LIFE=8

# The server's own code is not built with the sanitizer: it reports what goes through our code, or through the runtime's
# functions. Leaks are the server's at its end.
wrap_server()
{
	local runtime server
	server=$(command -v ganesha.nfsd)
	mkdir "$LAB/bin"
	case ${LAB_SANITIZER:?} in
	*address*)
		runtime=$(gcc -print-file-name=libasan.so)
		cat >"$LAB/bin/ganesha.nfsd" <<-SH
		#!/bin/sh
		export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0:log_path=$LAB/found
		export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$LAB/found
		export LD_PRELOAD="$LAB_PRELOAD $(readlink -f "$runtime")"
		exec $server "\$@"
		SH
		;;
	*thread*)
		runtime=$(gcc -print-file-name=libtsan.so)
		cat >"$LAB/bin/ganesha.nfsd" <<-SH
		#!/bin/sh
		export TSAN_OPTIONS=exitcode=0:log_path=$LAB/found
		export LD_PRELOAD="$LAB_PRELOAD $(readlink -f "$runtime")"
		exec setarch -R $server "\$@"
		SH
		;;
	*) lab_skip "not built with a sanitizer" ;;
	esac
	[[ -e $runtime ]] || lab_skip "needs the sanitizer's runtime (package gcc)"
	chmod +x "$LAB/bin/ganesha.nfsd"
	PATH=$LAB/bin:$PATH
}

# Reports without a line of ours are about the server and its RPC library alone.
nothing_found()
{
	local f
	for f in "$LAB"/found.*; do
		[[ -e $f ]] || return 0
		if [[ $LAB_SANITIZER == *thread* ]]; then
			awk 'BEGIN { RS = "==================\n" } /libfsalcowherd/' "$f" >"$LAB/ours"
		else
			cp "$f" "$LAB/ours"
		fi
		[[ -s $LAB/ours ]] || continue
		head -n 80 "$LAB/ours" >&2
		lab_fail "the sanitizer found something (above)"
	done
}

# One life of the server.
live()
{
	local i=0 end=$((SECONDS + LIFE)) pids=() what=() pid v work url="nfs://$LAB_ADDR/clients/%s?nfsport=$LAB_PORT&mountport=$LAB_MOUNT_PORT&version=%d"
	for v in 3 4; do
		for work in list lookup write; do
			# libnfs 4.0 itself crashes when an open of v4 is taken from it
			[[ $v != 4 || $work != write ]] || continue
			# shellcheck disable=SC2059 # the address is the format
			"$LAB_TOOLS/nfs_load" "$(printf "$url" "$M2" "$v")" "$work" >>"$LAB/load.$v.$work" &
			pids+=($!)
			what[$!]="$work, v$v"
		done
		# shellcheck disable=SC2059
		"$LAB_TOOLS/nfs_load" "$(printf "$url" "$M3" "$v")" list >>"$LAB/load.$v.gone" &
		pids+=($!)
		what[$!]="list of an export that goes, v$v"
	done
	while ((SECONDS < end)); do
		tool reset "$M2"
		lab_bus RemoveExport "uint16:$id3" >/dev/null || lab_fail "RemoveExport"
		lab_bus AddExport "string:$LAB/three.conf" "string:EXPORT(Export_Id=$id3)" >/dev/null || lab_fail "AddExport"
		lab_client nfs_ops $((3 + i % 2)) "$M1" >"$LAB/ops.out" 2>&1 || {
			cat "$LAB/ops.out" >&2
			lab_fail "nfs_ops on a root that nobody disturbs"
		}
		i=$((i + 1))
		nothing_found
		lab_alive || lab_fail "the server died"
	done
	kill -TERM "${pids[@]}"
	for pid in "${pids[@]}"; do
		wait "$pid" || lab_fail "a client hung or got a wrong answer: ${what[pid]}"
	done
	rounds=$((rounds + i))
}

lab_store
wrap_server
make_image
for m in "$M1" "$M2" "$M3"; do
	tool add "$m" test "$LAB_BACKEND" relaxed
	lab_export_block "$m" "$(tool id "$m")" >>"$LAB/exports.conf"
done
id3=$(tool id "$M3")
lab_export_block "$M3" "$id3" >"$LAB/three.conf"
lab_conf 0
rounds=0 lives=0
while ((SECONDS < seconds || lives < 2)); do
	lab_up
	lab_after_grace
	live
	lives=$((lives + 1))
	if ((lives % 2)); then lab_kill; else lab_down; fi
	nothing_found
done
listed=$(cat "$LAB"/load.*.list | awk '{ n += $2 } END { print n }')
((listed > 0)) || lab_fail "nobody got a listing to its end"
lab_ok "$lives lives of the server in $SECONDS s, $rounds rounds of nfs_ops, resets and exports, $listed listings"
