#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck source-path=SCRIPTDIR
# control-uml.sh - User-mode Linux clients against a server without cowherd: the proof that uml.sh is sound.
#
#	control-uml.sh [VERSION]...	default: 4.1 and 3
. "$(dirname "$0")/lab.sh"
. "$(dirname "$0")/control.sh"
lab_need linux.uml ganesha.nfsd dbus-daemon rpcbind
lab_image
lab_enter "$@"

MAC1=52:54:00:77:00:01 MAC2=52:54:00:77:00:02
C1=${MAC1//:/-} C2=${MAC2//:/-}

mkdir -p "$LAB/roots"
for c in "$C1" "$C2"; do
	cp -a --reflink=auto "$LAB_IMAGE" "$LAB/roots/$c"
	control_export "$c"
done
lab_say "roots copied"
lab_tap tap0
lab_tap tap1
lab_dbus
lab_rpcbind
control_nfs

[ $# -gt 0 ] || set -- 4.1 3
for version; do
	lab_say "NFS $version: start"
	# shellcheck disable=SC2016 # expanded by the client
	uml_run tap0 "$MAC1" 10.77.0.11 "$LAB_ADDR:/clients/$C1" "$version" '
		set -e
		findmnt -n -o OPTIONS / | tee /run/out/options | grep -q "addr=10.77.0.1"
		dd if=/dev/urandom of=/root/data bs=64k count=64 conv=fsync
		sha256sum </root/data >/run/out/sum
	' "$LAB/result" 120 || lab_fail "status $? of the script: $(cat "$LAB/uml-tap0/out/output")"
	grep -q "vers=$version," "$LAB/result/options" || lab_fail "mounted otherwise: $(cat "$LAB/result/options")"
	[ "$(sha256sum <"$LAB/roots/$C1/root/data")" = "$(cat "$LAB/result/sum")" ] || lab_fail "the server has other data"
	status=0
	uml_run tap0 "$MAC1" 10.77.0.11 "$LAB_ADDR:/clients/$C1" "$version" 'exit 7' "$LAB/result" 120 || status=$?
	[ "$status" -eq 7 ] || lab_fail "status $status instead of the script's 7"
	lab_say "NFS $version: passed"
done

lab_say "a package of some hundred files"
"$LAB_TOP/tests/vm/mkrepo" "$LAB/roots/$C1/srv/repo"
for script in "$CLIENT_APT_INSTALL" "$CLIENT_APT_VERIFY"; do
	uml_run tap0 "$MAC1" 10.77.0.11 "$LAB_ADDR:/clients/$C1" 4.1 "$script" "$LAB/result" 300 ||
		lab_fail "status $?: $(cat "$LAB/uml-tap0/out/output")"
done

lab_say "two clients, and the server killed while both write"
# shellcheck disable=SC2016 # expanded by the client
writer='
	set -e
	for i in $(seq 1 200); do
		echo "$i $(hostname)" >>/root/log
		sync /root/log
		echo "$i" >/run/out/progress
		[ "$i" -gt 20 ] || sleep 0.1
	done
	wc -l </root/log
	sha256sum </root/log >/run/out/sum
'
uml_start a tap0 "$MAC1" 10.77.0.11 "$LAB_ADDR:/clients/$C1" 4.1 "$writer"
uml_start b tap1 "$MAC2" 10.77.0.12 "$LAB_ADDR:/clients/$C2" 3 "$writer"
uml_wait_file a 120 progress
uml_wait_file b 120 progress
lab_stop ganesha KILL
before=$(cat "$LAB/a/out/progress" "$LAB/b/out/progress")
sleep 2
[ "$(cat "$LAB/a/out/progress" "$LAB/b/out/progress")" = "$before" ] || lab_fail "they write without a server"
control_nfs
for c in a b; do
	uml_wait $c 300 || lab_fail "client $c: status $?: $(cat "$LAB/$c/out/output")"
done
[ "$(sha256sum <"$LAB/roots/$C1/root/log")" = "$(cat "$LAB/a/out/sum")" ] || lab_fail "a: other data"
[ "$(sha256sum <"$LAB/roots/$C2/root/log")" = "$(cat "$LAB/b/out/sum")" ] || lab_fail "b: other data"
! cmp -s "$LAB/a/out/sum" "$LAB/b/out/sum" || lab_fail "both wrote the same"
lab_say "passed"
