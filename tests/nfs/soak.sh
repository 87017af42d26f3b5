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

# A report of TSan is ours when one of the accesses or one of the locks taken is: the server's own locks, taken
# in its callbacks below us, are its affair.
ours_of_tsan()
{
	awk 'BEGIN { RS = "==================\n" }
		{ n = split($0, line, "\n")
		  for (i = 1; i < n; i++)
			if (line[i] ~ /acquired here while|ead of size|rite of size|tomic read|tomic write/ &&
			    line[i + 1] line[i + 2] ~ /libfsalcowherd/) { print; next } }' "$1"
}

nothing_found()
{
	local f
	for f in "$LAB"/found.*; do
		[[ -e $f ]] || return 0
		if [[ $LAB_SANITIZER == *thread* ]]; then
			ours_of_tsan "$f" >"$LAB/ours"
		else
			cp "$f" "$LAB/ours"
		fi
		[[ -s $LAB/ours ]] || continue
		head -n 80 "$LAB/ours" >&2
		lab_fail "the sanitizer found something (above)"
	done
}

ops_until() # SECONDS
{
	local v=3
	while ((SECONDS < $1)); do
		lab_client nfs_ops "$v" "$M1" >"$LAB/ops.out" 2>&1 || {
			cat "$LAB/ops.out" >&2
			return 1
		}
		echo >>"$LAB/ops"
		v=$((7 - v))
	done
}

# One life of the server.
live()
{
	local i=0 end=$((SECONDS + LIFE)) pids=() what=() pid v work m
	for v in 3 4; do
		for work in list lookup write; do
			for m in "$M2" "$M3"; do
				"$LAB_TOOLS/nfs_storm" "$LAB_ADDR" "$LAB_PORT" "$LAB_MOUNT_PORT" "/clients/$m" "$v" "$work" \
					>>"$LAB/load.$work" &
				pids+=($!)
				what[$!]="$work, v$v, $m"
			done
		done
	done
	ops_until "$end" &
	what[$!]="nfs_ops on a root that nobody disturbs"
	m=$!
	while ((SECONDS < end)); do
		tool reset "$M2"
		lab_bus RemoveExport "uint16:$id3" >/dev/null || lab_fail "RemoveExport"
		lab_bus AddExport "string:$LAB/three.conf" "string:EXPORT(Export_Id=$id3)" >/dev/null || lab_fail "AddExport"
		i=$((i + 1))
		nothing_found
		lab_alive || lab_fail "the server died"
		sleep 0.1
	done
	kill -TERM "${pids[@]}" 2>/dev/null || true # who has gone tells below why
	for pid in "${pids[@]}" "$m"; do
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
export ASAN_OPTIONS=detect_leaks=0 # the clients': they end in the middle of their work
rounds=0 lives=0
while ((SECONDS < seconds || lives < 2)); do
	lab_up
	lab_after_grace
	live
	lives=$((lives + 1))
	if ((lives % 2)); then lab_kill; else lab_down; fi
	nothing_found
done
listed=$(awk '{ n += $2 } END { print n }' "$LAB/load.list")
((listed > 0)) || lab_fail "nobody got a listing to its end"
lab_ok "$lives lives of the server in $SECONDS s, $rounds resets, removals and additions of exports, $(grep -c '' "$LAB/ops") times nfs_ops, $listed listings"
