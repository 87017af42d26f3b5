#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# aborts.sh - requests that are broken off after the size is known leave nothing behind in cowherd-tftpd: 20 000, with
# COWHERD_TEST_LONG a million.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

count=20000
[[ -z ${COWHERD_TEST_LONG:-} ]] || count=1000000
pid=''
end_server()
{
	local status=$?
	[[ -z $pid ]] || kill "$pid" 2>/dev/null
	(exit "$status")
	cleanup
}
trap end_server EXIT

mkdir -p "$work/tree/boot" "$work/tree/etc"
head -c 100000 /dev/urandom >"$work/tree/boot/kernel8.img"
store 256M ext4
cow image import --no-fixup all herd "$work/tree" >/dev/null
cow client add 02:00:00:00:00:01 --image herd >/dev/null
: >"$work/log"
"${TFTPD:?names cowherd-tftpd}" --store "$store" --listen 127.0.0.1:6970 --clients open --log-level info 2>"$work/log" &
pid=$!
tries=0
until grep -q ready "$work/log"; do
	((tries++ < 100)) || die "cowherd-tftpd does not start: $(cat "$work/log")"
	sleep 0.1
done
"${ABORTS:?names the program that asks}" "$pid" 6970 02-00-00-00-00-01/kernel8.img "$count" || die "it keeps something"
kill "$pid"
wait "$pid" || die "it ends with $?"
pid=''
grep -q "aborted=$((count + 4000)) timed-out=0 failed=0" "$work/log" || die "other outcomes: $(cat "$work/log")"
ok "$count aborted probes leave nothing behind"
