#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# edit.sh [FS] - image edit: commit, discard, keep, resume; killed at work; what is refused. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

[[ -w /dev/fuse ]] || {
	echo "SKIPPED: this machine has no /dev/fuse"
	exit 77
}
store 600M "${1:-}"
src=$work/src
mkdir -p "$src"/{bin,etc,proc,sys,dev,run,tmp,root,data,old/sub}
echo golden >"$src/data/file"
echo pc >"$src/etc/hostname"
echo x >"$src/old/sub/x"
for f in /bin/bash /bin/cat /bin/sleep /bin/mv /bin/rm /bin/ln /bin/touch; do
	cp "$f" "$src/bin/"
	ldd "$f" | grep -o '/[^ ]*' | while read -r lib; do
		mkdir -p "$src$(dirname "$lib")"
		cp -L "$lib" "$src$lib"
	done
done
ln -s bash "$src/bin/sh"
cow image import --no-fixup all img "$src" >"$out"
edit=$store/images/img/edit

# Its input is no terminal.
e()
{
	cow image edit img "$@" </dev/null
}
verify()
{
	local image
	for image; do
		cow image verify "$image" >"$out" || die "verify $image: $(cat "$out")"
	done
}

e --commit 'with a motd' -- sh -c 'echo welcome >/etc/motd; mv /old /new; echo changed >/data/file' >"$out"
grep -q '^committed img@2: ' "$out" || die "$(cat "$out")"
[[ ! -e $edit ]] || die "the edit is still there"
t=$store/images/img/2/tree
[[ $(cat "$t/etc/motd" "$t/data/file" "$t/new/sub/x" "$t/etc/hostname") == $'welcome\nchanged\nx\npc' ]] || die "img@2"
[[ ! -e $t/old && -z $(find "$t"/{dev,run,proc} -mindepth 1) ]] || die "img@2 holds more: $(ls -R "$t/old" "$t"/{dev,run,proc} 2>&1)"
[[ $(cat "$store/images/img/1/tree/data/file") == golden ]] || die "img@1 was changed"
cow image show img >"$out"
for line in 'parent = img@1' 'source = edit' 'comment = with a motd' 'fixup = fstab: skipped: as asked'; do
	grep -qx "$line" "$out" || die "image show lacks '$line': $(cat "$out")"
done
verify img@1 img@2
ok "commit: a new version, what was skipped at import is skipped again"

listing >"$work/before"
status=0
e --commit nothing -- sh -c 'echo broken >/data/file; exit 7' >"$out" 2>"$err" || status=$?
[[ $status == 7 ]] || die "status $status"
for text in "not committed.*status 7" "is kept: go on with"; do
	grep -q "$text" "$err" || die "$(cat "$err")"
done
cow image list >"$out"
grep -q '^img@2 .*\[edit open\]' "$out" || die "$(cat "$out")"
cow image show img >"$out"
grep -qE '^edit = begun by .* \(pid [0-9]+\) at 20' "$out" || die "$(cat "$out")"
cow image show img@1 | grep '^edit' && die "img@1 is not edited"
cow image show img --json | python3 -c 'import json,sys; assert json.load(sys.stdin)["edited"] is True'
fails 4 'an edit stands on image img@2' cow image rm img@2
fails 4 'an edit of image img is open, begun by' cow image edit img -- sh -c true
# shellcheck disable=SC2016 # for the shell in there
e --resume -- sh -c 'read -r x </data/file; [[ $x == broken ]]' 2>"$err" || die "the edit was not resumed: $(cat "$err")"
e --discard >"$out"
grep -q '^discarded the edit of img@2' "$out" || die "$(cat "$out")"
listing | diff "$work/before" - >&2 || die "something stays of a discarded edit"
fails 3 'no edit of image img is open' cow image edit img --discard
fails 3 'no edit of image img is open' cow image edit img --resume
fails 3 'no image .nope' cow image edit nope -- sh
fails 2 'one of --commit' cow image edit img --keep --discard
fails 2 'newest version' cow image edit img@1
fails 3 'nonsense' cow image edit img -- nonsense
[[ ! -e $edit ]] || die "an edit in which nothing ran was kept"
ok "a command that fails: kept, shown, resumed, discarded; what is refused"

# Killed at work: the server of the mount too, as by a power cut that leaves the page cache.
"$COWHERD" image edit img --commit lost -- sh -c 'echo precious >/data/more; touch /started; sleep 60' </dev/null >"$out" 2>"$err" &
pid=$!
for _ in {1..200}; do
	[[ ! -e $edit/upper/started ]] || break
	sleep 0.05
done
fails 4 'works in the edit of image img' cow image edit img --discard
fails 4 'works in the edit of image img' cow image edit img --resume -- sh
cow image show img >"$out"
grep -q '^edit = .*being worked in' "$out" || die "$(cat "$out")"
server=$(sed -n 's/^cowherd-fuse pid \([0-9]*\) .*/\1/p' "$edit/lock")
kill -KILL "$pid"
kill -KILL "$server" 2>/dev/null || true # it may have ended with its parent
wait "$pid" 2>/dev/null || true
for _ in {1..100}; do
	# The command itself is killed with its parents.
	cow image show img >"$out"
	grep -q 'being worked in' "$out" || break
	sleep 0.05
done
cow image import --no-fixup all other "$src" >"$out" # sweeps
cow image import --no-fixup all img "$src" >"$out"   # so does this: img@3
[[ -d $edit ]] || die "the edit was swept"
e --resume --commit 'after the crash' -- sh -c 'cat /data/more; rm /started' >"$out"
for text in '^precious$' '^committed img@4: '; do
	grep -q "$text" "$out" || die "$(cat "$out")"
done
cow image show img >"$out"
grep -qx 'parent = img@2' "$out" || die "$(cat "$out")"
[[ $(cat "$store/images/img/4/tree/data/more") == precious && ! -e $store/images/img/4/tree/started ]] || die "img@4"
verify img@1 img@2 img@3 img@4
[[ $(cow image dump img@4 | awk '$1 == "/data/more" { print $2 }') -ge $(cow image dump img@3 | sed -n 's/^next_number //p') ]] ||
	die "a number of img@3 was given again"
ok "killed: nothing is lost, it goes on; the version it stood on is its parent"

# On a terminal it asks.
answer()
{
	python3 - "$1" "$COWHERD" <<'END'
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], [sys.argv[2], "image", "edit", "img", "--", "sh", "-c", "echo asked >/data/asked"])
text = b""
while b"later?" not in text:
    text += os.read(fd, 1000)
os.write(fd, sys.argv[1].encode() + b"\n")
try:
    while True:
        data = os.read(fd, 1000)
        if not data: break
        text += data
except OSError:
    pass
sys.stdout.write(text.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}
answer k >"$out" || die "$(cat "$out")"
[[ -d $edit ]] || die "k: not kept: $(cat "$out")"
e --discard >"$out"
answer d >"$out" || die "$(cat "$out")"
[[ ! -e $edit && ! -e $store/images/img/5 ]] || die "d: $(cat "$out")"
answer c >"$out" || die "$(cat "$out")"
[[ ! -e $edit && $(cat "$store/images/img/5/tree/data/asked") == asked ]] || die "c: $(cat "$out")"
verify img
ok "on a terminal: asked what to do"
[[ -z $(ls -A "$store/trash") && -z $(find "$store/images" -name '.*') ]] || die "something stays"
