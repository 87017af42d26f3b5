#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# gc.sh [FS] - gc removes what the rule says and nothing else: each reason a version stays is tried alone. What
# --dry-run promises happens, the room it names becomes free, leftovers go, and a client that cannot be read
# stops it. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

fs=${1:-}
store 1G "$fs"
src=$work/src
mkdir -p "$src/bin"
head -c 20000000 /dev/urandom >"$src/bin/same"
# version: one more version of "small" with 3 MB of its own.
version()
{
	head -c 3000000 /dev/urandom >"$src/bin/own"
	cow image import --no-fixup all small "$src" >"$out"
}
# versions: the numbers there are.
versions()
{
	cow image list --json | python3 -c 'import json, sys
print(*[i["version"] for i in json.load(sys.stdin) if i["name"] == "small"])'
}
keep()
{
	printf '[store]\nkeep_last = %s\n%s\n' "$1" "${2:-}" >"$COWHERD_CONFIG"
}

# 1 nobody's; 2 tagged; 3 followed by number; 4 a root kept for rollback; 5 a client's; 6 an edit's; 7 nobody's;
# 8 that of enrolments; 9 and 10 the last two.
version
version
cow image tag small@2 old >"$out"
version
cow client add 02:00:00:00:00:01 --image small@3 --name pinned >"$out"
version
cow client add 02:00:00:00:00:02 --image small@4 --name back --backend overlay >"$out"
version
cow client set back follows=small >"$out"
cow client reset back >"$out" # now on 5, with the root on 4 kept
cow client set pinned follows=small >"$out"
cow client reset pinned >"$out"
cow client rm pinned >"$out"
cow client add 02:00:00:00:00:01 --image small@5 --name pinned >"$out"
cow client set pinned follows=small@3 >"$out"
version
cow image edit small --keep -- true >"$out" 2>&1 || edit=none # without FUSE there is no edit
version
version
version
version
keep 2 $'[tftp]\nenrol_image = small@8'
[[ ${edit:-} != none ]] || cow image tag small@6 edited >"$out"

unchanged cow gc --dry-run >"$work/dry"
cow gc --dry-run >"$out"
for want in '@2 stays: .*tag old' '@3 stays: client 02-00-00-00-00-01 follows it' '@4 stays: .*rollback' \
	'@5 stays: .*in use by client' '@6 stays: .*(edit|tag)' '@8 stays: new clients get it' \
	'@9 stays: one of the last 2' '@10 stays: the newest' 'would remove small@1:' 'would remove small@7:' \
	'^2 versions, '; do
	grep -qE "$want" "$out" || die "no '$want' in: $(cat "$out")"
done
[[ $(grep -c 'would remove' "$out") == 2 ]] || die "removes more: $(cat "$out")"
ok "dry run: each reason to stay, and nothing changes"

promised=$(cow gc --dry-run --json | python3 -c 'import json, sys
o = json.load(sys.stdin)
assert o["dry_run"] and [v["version"] for v in o["removed"]] == [1, 7] and len(o["kept"]) == 8, o
assert all(2900000 < v["bytes_own"] < 3300000 for v in o["removed"]), o
print(o["bytes_freed"])')
before=$(used)
# Leftovers of an import that was killed; something in the trash.
mkdir -p "$store/images/small/.import-0123456789abcdef/tree" "$store/trash/0123456789abcdef/x"
cow gc >"$out"
for v in 1 7; do
	grep -qE "^removed small@$v: " "$out" || die "$(cat "$out")"
done
! grep -q stays "$out" || die "tells more than it did: $(cat "$out")"
freed=$((before - $(used)))
((freed > promised * 9 / 10 && freed < promised * 12 / 10 + 400000)) || die "promised $promised, freed $freed"
[[ $(versions) == "2 3 4 5 6 8 9 10" ]] || die "left: $(versions)"
[[ -z $(ls -A "$store/trash") && -z $(find "$store/images" -name '.import-*') ]] || die "leftovers"
ok "what it promised is free ($promised, $freed), leftovers are gone"

cow gc >"$out"
[[ $(cat "$out") == 'nothing was to be removed' ]] || die "a second time: $(cat "$out")"
for v in 2 3 4 5 6 8 9 10; do
	cow image verify "small@$v" >"$out" || die "small@$v: $(cat "$out")"
done
ok "a second run finds nothing, all others are whole"

# What it used to be kept for goes.
keep 1
cow image tag --delete small:old >"$out"
cow client set pinned follows=small >"$out"
unchanged cow gc --dry-run >"$out"
mv "$store/clients/02-00-00-00-00-01/client.conf" "$work/conf"
status=0
cow gc >"$out" 2>"$err" || status=$?
[[ $status == 1 && $(cat "$err") == *'client 02-00-00-00-00-01:'*'nothing is removed'* ]] ||
	die "a damaged client: $status, $(cat "$err")"
mv "$work/conf" "$store/clients/02-00-00-00-00-01/client.conf"
[[ $(versions) == "2 3 4 5 6 8 9 10" ]] || die "removed although a client cannot be read: $(versions)"
cow client roll pinned --to small@9 --at-boot >"$out"
cow gc >"$out"
[[ $(versions) == "4 5 6 9 10" ]] || die "the version a client goes to at its next boot: $(versions)"
cow client roll pinned --cancel >"$out"
cow gc >"$out"
[[ $(versions) == "4 5 6 10" ]] || die "left: $(versions)"
cow client rm back >"$out"
cow client rm pinned >"$out"
if [[ ${edit:-} == none ]]; then
	cow image tag --delete small:edited >"$out"
else
	cow image edit small --discard >"$out"
fi
cow gc >"$out"
[[ $(versions) == 10 ]] || die "left: $(versions)"
cow image verify small >"$out" || die "small@10: $(cat "$out")"
ok "without the reason each goes; the newest never"
keep 0
fails 2 'keep_last' cow gc
