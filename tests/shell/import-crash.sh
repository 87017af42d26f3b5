#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-crash.sh [FS] - imports that end half-way: no space, SIGTERM, SIGKILL at many points, also
# while the manifest is made. Nothing becomes visible, and the next import or sweep finds nothing left
# (I2, I3). FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

fs=${1:-}
store 160M "$fs"
echo '[store]
space_refuse = 0' >"$COWHERD_CONFIG" # what happens at the end of the disk, not before it
src=$work/src
mkdir -p "$src"
for i in {1..40}; do
	mkdir -p "$src/d$i"
	for k in {1..50}; do
		head -c 2000 /dev/zero >"$src/d$i/f$k"
	done
done
cow image import small "$src" >"$out"
# The overlay has no backend without an engine for it: that part is for btrfs alone then.
if [[ -z $fs ]]; then
	cow client add 02:00:00:00:00:01 --image small --backend btrfs >"$out"
fi

head -c 200000000 /dev/zero >"$work/big"
mkdir "$work/bigdir"
ln "$work/big" "$work/bigdir/big"
used_before=$(used)
unchanged fails 1 'No space left' cow image import big "$work/bigdir"
tar -cf "$work/big.tar" -C "$work/bigdir" big
unchanged fails 1 'No space left' cow image import big "$work/big.tar"
rm -rf "$work/big" "$work/big.tar" "$work/bigdir"
used_after=$(used)
[[ $((used_after - used_before)) -lt 10000000 ]] ||
	die "space was not given back: $used_before bytes used before, $used_after after"
ok "no space: refused, undone, the space is free again"

if [[ -z $fs ]]; then
	cow client reset 02:00:00:00:00:01 >"$out" || die "the store is unusable after it was full"
	umount "$store"
	rm "$work/store.img"
else
	cow image import small "$src" >"$out" || die "the store is unusable after it was full"
	umount "$work/disk"
	rm "$work/disk.img"
fi
ok "the store works on"
store 1G "$fs"

# Signals that ask for an end are answered by cleaning up. All hole: it takes no room and seconds to read, so
# the signal comes in time on a fast machine too.
truncate -s 6G "$src/more"
listing >"$work/before"
status=0
"$COWHERD" image import stopped "$src" >"$out" 2>"$err" &
pid=$!
for _ in {1..200}; do
	compgen -G "$store/images/stopped/.import-*/tree/d1" >/dev/null && break
	sleep 0.01
done
kill -TERM "$pid" || die "the import was too fast to be stopped"
wait "$pid" || status=$?
[[ $status == 1 && $(cat "$err") == *'was stopped'* ]] || die "SIGTERM: status $status, $(cat "$err")"
listing >"$work/after"
diff "$work/before" "$work/after" >&2 || die "something was left behind by SIGTERM"
ok "SIGTERM: stopped and cleaned up"

# SIGKILL later and later, until one import is through.
rm "$src/more"
look()
{
	cow image list >"$out" 2>"$err" || die "after SIGKILL at $killed_ms ms: $(cat "$err")"
	if grep -q '^killed@' "$out"; then # it was past the publication
		same_tree --ignore etc "$src" "$store"/images/killed/1/tree
		through=1
	else
		fails 3 'no image .killed.|image killed has no version' cow image show killed
	fi
}
kill_later 2 4/3 look "$COWHERD" image import killed "$src"
[[ $killed -gt 3 ]] || die "only $killed imports were killed: the test tests nothing"
[[ -z $(find "$store/images" -name '.import-*') ]] || die "left: $(find "$store/images" -name '.import-*')"
[[ -z $(ls -A "$store/trash") ]] || die "the trash is not empty"
ok "SIGKILL at $killed points: never visible before complete, cleaned by the next import"

# While the manifest is made: a file that is all hole is copied at once and takes a while to read.
mkdir "$work/hole"
truncate -s 6G "$work/hole/file"
# begin: starts an import into "hole" and waits until its tree is complete.
begin()
{
	"$COWHERD" image import --no-fixup all hole "$work/hole" >"$out" 2>"$err" &
	pid=$!
	for _ in {1..500}; do
		! compgen -G "$store/images/hole/.import-*/tree/file" >/dev/null || break
		sleep 0.01
	done
	sleep "$1"
	! compgen -G "$store/images/hole/.import-*/image.conf" >/dev/null || die "too late: the manifest is there"
}
listing >"$work/before"
begin 0.5
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[[ $status == 1 && $(cat "$err") == *'was stopped'* ]] || die "SIGTERM: status $status, $(cat "$err")"
listing | diff "$work/before" - >&2 || die "something was left behind by SIGTERM"
for wait in 0.1 0.6 1.1; do
	begin "$wait"
	kill -KILL "$pid" || die "the import ended too early"
	status=0
	wait "$pid" 2>/dev/null || status=$?
	[[ $status == 137 ]] || die "SIGKILL: status $status"
	fails 3 'no image .hole.|image hole has no version' cow image show hole
	compgen -G "$store/images/hole/.import-*" >/dev/null || die "SIGKILL tested nothing"
done
# Everything there but the number: as after a crash right before the last rename.
cow image import --no-fixup all killed "$src" >"$out"
last=$(cat "$store/images/killed/last")
mv "$store/images/killed/$last" "$store/images/killed/.import-0123456789abcdef"
fails 3 'has no version' cow image show "killed@$last"
truncate -s 1M "$work/hole/file"
cow image import --no-fixup all hole "$work/hole" >"$out"
cow image import --no-fixup all killed "$src" >"$out"
grep -q "^imported killed@$((last + 1)):" "$out" || die "a number that was given is given again: $(cat "$out")"
[[ -z $(find "$store/images" -name '.import-*') ]] || die "left: $(find "$store/images" -name '.import-*')"
for image in hole killed; do
	cow image verify "$image" >"$out" || die "verify: $(cat "$out")"
done
ok "SIGTERM and SIGKILL while the manifest is made, and before the last rename"
