#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# commit-crash.sh [BACKEND [FS]] - commits that end half-way: SIGTERM, SIGKILL at many points. Nothing
# becomes visible, the version below and the client's root are as they were, and the next commit or sweep
# finds nothing left (I1, I2, I3). FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
store 1G "${2:-}"
src=$work/src
mkdir -p "$src/etc"
echo golden >"$src/etc/hostname"
for i in {1..40}; do
	mkdir -p "$src/d$i"
	for k in {1..50}; do
		head -c 2000 /dev/zero >"$src/d$i/f$k"
	done
done
truncate -s 1500M "$src/hole" # takes a while to read for the manifest
cow image import --no-fixup all small "$src" >"$out"
id=02-00-00-00-00-01
need_backend "$backend" small
cow client add $id --image small --name desk --backend "$backend" >"$out"
v=$(view $id)
echo mine >"$v/d1/f1"
mv "$v/d2" "$v/moved"
head -c 5000000 /dev/urandom >"$v/d3/new"
mkdir "$work/want"
tar -C "$v" --exclude=./hole -c . | tar -C "$work/want" -x
unview
# The engine makes a few directories when the root is attached for the first time.
cow client commit desk small >"$out"

# still: version 1 and the client's root are what they were.
still()
{
	[[ $(sha256sum <"$store/images/small/1/tree/d1/f1") == $(sha256sum <"$src/d1/f1") ]] || die "version 1"
	[[ $(cat "$(view $id)/d1/f1") == mine && -d $(view $id)/moved ]] || die "the client's root"
	unview
}

listing >"$work/before"
"$COWHERD" client commit desk small >"$out" 2>"$err" &
pid=$!
for _ in {1..300}; do
	compgen -G "$store/images/small/.import-*/tree/d1" >/dev/null && break
	sleep 0.01
done
kill -TERM "$pid" || die "the commit was too fast to be stopped"
status=0
wait "$pid" || status=$?
[[ $status == 1 && $(cat "$err") == *'was stopped'* ]] || die "SIGTERM: status $status, $(cat "$err")"
listing | diff "$work/before" - >&2 || die "something was left behind by SIGTERM"
still
ok "SIGTERM: stopped and cleaned up"

unfinished=0
look()
{
	! compgen -G "$store/images/killed/.import-*" >/dev/null || unfinished=$((unfinished + 1))
	cow image list >"$out" 2>"$err" || die "after SIGKILL at $killed_ms ms: $(cat "$err")"
	if grep -q '^killed@' "$out"; then # it was past the publication
		through=1
	else
		fails 3 'no image .killed.|image killed has no version' cow image show killed
	fi
}
kill_later 5 3/2 look "$COWHERD" client commit desk killed
[[ $unfinished -gt 2 ]] || die "only $unfinished of $killed commits were killed in the middle: the test tests nothing"
diff -r --exclude=hole --exclude=etc "$work/want" "$store/images/killed/1/tree" >&2 || die "killed@1 is not what the client had"
[[ $(cat "$store/images/killed/1/tree/etc/hostname") == golden ]] || die "a name in the golden image"
# Everything there but the number: as after a crash right before the last rename.
mv "$store/images/small/2" "$store/images/small/.import-0123456789abcdef"
fails 3 'has no version' cow image show small@2
cow client commit desk small >"$out"
grep -q '^committed small@3:' "$out" || die "a number that was given is given again: $(cat "$out")"
[[ -z $(find "$store/images" -name '.import-*') ]] || die "left: $(find "$store/images" -name '.import-*')"
[[ -z $(ls -A "$store/trash") ]] || die "the trash is not empty"
for image in small@1 small@3 killed; do
	cow image verify "$image" >"$out" || die "verify $image: $(cat "$out")"
done
still
ok "SIGKILL at $killed points, $unfinished in the middle: never visible before complete, cleaned by the next"
