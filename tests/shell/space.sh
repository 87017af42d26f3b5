#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# space.sh [FS] - thresholds of free room: below space_warn it is said, below space_refuse nothing new is made,
# with status 5 and nothing left behind, while a running client reads and writes, also when the disk is full to
# the last byte. What frees room still works. status --space adds up. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

fs=${1:-}
store 700M "$fs"
# limits WARN REFUSE
limits()
{
	printf '[store]\nspace_warn = %s\nspace_refuse = %s\n' "$1" "$2" >"$COWHERD_CONFIG"
}
limits 0 0
src=$work/src
mkdir -p "$src/data"
head -c 30000000 /dev/urandom >"$src/data/file"
cow image import --no-fixup all img "$src" >"$out"
head -c 2000000 /dev/urandom >"$src/data/second"
cow image import --no-fixup all img "$src" >"$out"
cow image import --no-fixup all img "$src" >"$out"
mac=02-00-00-00-00-01
cow client add $mac --image img@2 --name one --backend overlay >"$out"
cow client set one follows=img >"$out"

# What each uses: the 2 MB are in two versions, the 30 MB in all.
cow status --space --json >"$out"
python3 - "$out" <<'P'
import json, sys
s = json.load(open(sys.argv[1]))["store"]
own = {i["version"]: i["bytes_own"] for i in s["use"]["images"]}
full = {i["version"]: i["bytes_all"] for i in s["use"]["images"]}
assert s["space"] == "ok" and len(own) == 3, s
assert all(v < 400000 for v in own.values()), own
assert 29e6 < full[1] < 31e6 and 31e6 < full[2] < 34e6, full
assert [c["name"] for c in s["use"]["clients"]] == ["one"] and s["use"]["clients"][0]["bytes_own"] < 200000, s
P
cow image rm img@1 >"$out"
cow image rm img@3 >"$out"
head -c 1000000 /dev/urandom >"$src/data/third"
cow image import --no-fixup all img "$src" >"$out" # img@4
cow status --space >"$out"
grep -qE '^version +img@4 +([0-9]{3,4}\.[0-9] KiB|1\.[0-9] MiB) +3[0-9]\.[0-9] MiB$' "$out" || die "$(cat "$out")"
grep -qE '^client +one ' "$out" || die "$(cat "$out")"
ok "status --space: what is shared is nobody's own"

# A client at work: what it has mounted is what a server would have attached.
v=$(view $mac)
limits 690M 1K
"$COWHERD" status >"$out"
grep -q 'less than space_warn; see cowherd gc' "$out" || die "no warning: $(cat "$out")"
limits 0 695M
"$COWHERD" status --json >"$out"
[[ $(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["store"]["space"])' "$out") == refuse ]] ||
	die "$(cat "$out")"
status=0
"$COWHERD" doctor >"$out" 2>"$err" || status=$?
[[ $status == 1 && $(cat "$out") == *space_refuse*'cowherd gc'* ]] || die "doctor ($status): $(cat "$out" "$err")"
say='has [0-9]+ MiB of [0-9]+ MiB free, less than \[store\] space_refuse \(695 MiB\)'
# refused COMMAND...: with the reason, what to do, and nothing left behind.
refused()
{
	listing >"$work/before"
	fails 5 "$say" "$COWHERD" "$@"
	grep -q 'cowherd gc' "$err" || die "'$*' does not say what frees room: $(cat "$err")"
	listing | diff "$work/before" - >&2 || die "left behind by: $*"
}
refused client add 02:00:00:00:00:02 --image img
refused image import img "$src"
refused image import other "$src"
refused image edit img --keep -- true
echo written >"$v/data/by-client"
[[ $(sha256sum <"$v/data/file") == $(sha256sum <"$src/data/file") ]] || die "a running client's read"
unview
refused client reset one
refused client roll one
refused client commit one img
refused client commit one fresh
[[ ! -e $store/images/other && ! -e $store/images/fresh ]] || die "an image of that name"
ok "add, reset, roll, import, edit and commit are refused, nothing is left, the client works on"

# To the last byte; by our own engine where there is FUSE.
limits 0 5%
mounted=
if [[ -w /dev/fuse && -x ${COWHERD%/*/*}/fuse/cowherd-fuse ]]; then
	mounted=$work/mounted
	mkdir "$mounted"
	cow client mount one "$mounted" >"$out"
fi
v=${mounted:-$(view $mac)}
status=0
head -c 800000000 /dev/zero >"$v/data/fill" 2>"$err" || status=$?
[[ $status != 0 ]] || die "the disk did not get full"
# What was written and has no room tells so here, unless the write did already.
sync -f "$store" 2>"$err" || grep -q 'No space left on device' "$err" || die "sync: $(cat "$err")"
say='has [0-9]+ MiB of [0-9]+ MiB free, less than \[store\] space_refuse \(5%\)'
refused client add 02:00:00:00:00:02 --image img
refused image import img "$src"
echo 3 >/proc/sys/vm/drop_caches
[[ $(sha256sum <"$v/data/file") == $(sha256sum <"$src/data/file") ]] || die "a read on a full disk"
[[ $(cat "$v/data/by-client") == written ]] || die "what the client wrote before"
rm "$v/data/fill"
unview
[[ -z $mounted ]] || cow client unmount one >"$out"
[[ -n $fs ]] || btrfs filesystem sync "$store"
sync -f "$store"
cow client reset one >"$out" || die "with room again: $(cat "$out")"
cow gc >"$out" || die "gc: $(cat "$out")"
cow image verify img >"$out" || die "verify: $(cat "$out")"
ok "a full disk: new things are refused, a running client reads, and with room again all works"

limits 0 '5 %'
fails 2 'space_refuse = .*percentage' cow image list
