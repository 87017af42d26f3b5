#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# mount.sh [BACKEND [FS]] - client mount, unmount and exec: who is refused, what a killed cowherd-fuse
# leaves, swaps under a mount, and that nothing stays mounted or running. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

[[ -w /dev/fuse ]] || {
	echo "SKIPPED: this machine has no /dev/fuse"
	exit 77
}
backend=${1:-btrfs}
store 600M "${2:-}"
mac=02-00-00-00-00-01
src=$work/src
mkdir -p "$src"/{bin,etc,proc,sys,dev,run,tmp,root,data}
printf 'golden\n' >"$src/data/file"
printf 'nameserver 192.0.2.1\n' >"$src/etc/resolv.conf"
cp /bin/busybox "$src/bin/" 2>/dev/null || {
	# A shell of this machine with its libraries.
	for f in /bin/bash /bin/cat /bin/sleep /bin/ls; do
		cp "$f" "$src/bin/"
		ldd "$f" | grep -o '/[^ ]*' | while read -r lib; do
			mkdir -p "$src$(dirname "$lib")"
			cp -L "$lib" "$src$lib"
		done
	done
	ln -s bash "$src/bin/sh"
}
if [[ -e $src/bin/busybox ]]; then
	for f in sh cat sleep ls; do
		ln -s busybox "$src/bin/$f"
	done
fi
cow image import --no-fixup all img "$src" >"$out"
sum=$("$TREECMP" --sum "$store/images/img/1/tree")
cow client add $mac --image img --name one --backend "$backend" >"$out"
need_backend "$backend" img
m=$work/m
r=$work/r
mkdir "$m" "$r"
# Ends with the test whatever happens: unmounting ends it, and killing does.
fuse_pid()
{
	sed -n 's/^cowherd-fuse pid \([0-9]*\) on .*/\1/p' "$(readlink -f "$store/clients/$mac/current")/lock"
}
gone()
{
	[[ ! -e /proc/$1 || $(cut -d' ' -f3 "/proc/$1/stat") == Z ]]
}
within()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

# ------------------------------------------------------------ mount, unmount
cow client mount one "$m" >"$out"
[[ $(cat "$out") == "mounted $mac (one) on $m" ]] || die "mount said: $(cat "$out")"
[[ $(cat "$m/data/file") == golden ]] || die "the image does not show"
echo mine >"$m/data/mine"
echo changed >"$m/data/file"
pid=$(fuse_pid)
cow client unmount one >"$out"
grep -qx "unmounted $mac from $m" "$out" || die "unmount said: $(cat "$out")"
gone "$pid" || die "cowherd-fuse runs on after unmount returned"
cow client diff one >"$out"
grep -qx 'A /data/mine' "$out" || die "what was written is not in the root: $(cat "$out")"
fails 3 "client $mac is not mounted here" cow client unmount one
fails 3 'is neither a client nor a directory' cow client unmount "$m"
fails 3 "mount point '.*nowhere'" cow client mount one "$work/nowhere"
fails 1 'Not a directory' cow client mount one "$COWHERD_CONFIG"
fails 3 'no client' cow client mount two "$m"
ok "mount, unmount"

# ------------------------------------------------------------ over another mount
mount -t tmpfs tmpfs "$r"
echo below >"$r/below"
cow client mount one "$r" >"$out"
pid=$(fuse_pid)
[[ ! -e $r/below ]] || die "the mount does not cover what is below it"
cow client unmount one >"$out"
gone "$pid" || die "cowherd-fuse runs on after unmount returned"
[[ $(cat "$r/below") == below ]] || die "unmounting took the mount below with it"
umount "$r"
ok "over another mount"

# ------------------------------------------------------------ one writer, any number of readers
cow client mount one "$m" >"$out"
fails 4 "attached by cowherd-fuse pid [0-9]+ on $m; unmount it first" cow client mount one "$r"
fails 4 'attached by cowherd-fuse' cow client exec one -- /bin/ls
unchanged fails 4 "is mounted .*unmount it first: cowherd client unmount $mac" cow client reset one
unchanged fails 4 'is mounted' cow client rm one
cow client mount one "$r" --read-only >"$out"
[[ $(cat "$r/data/mine") == mine ]] || die "a read-only mount beside a writer"
! echo x 2>"$err" >"$r/data/x" || die "a read-only mount takes writes"
grep -q 'Read-only file system' "$err" || die "a write to a read-only mount: $(cat "$err")"
sync "$r/data/mine" "$r/data" || die "fsync on a read-only mount"
echo later >"$m/data/later"
sees_later()
{
	[[ $(cat "$r/data/later" 2>/dev/null) == later ]]
}
within 5 sees_later || die "a read-only mount does not follow the writer"
cow client unmount "$r/" >"$out"
mountpoint -q "$m" || die "unmounting one mount took the other too"
ok "one writer, readers beside it"

# ------------------------------------------------------------ busy, lazy
exec 7<"$m/data/file"
fails 4 'files in it are open; or give --lazy' cow client unmount one
cow client unmount one --lazy >"$out"
[[ $(cat <&7) == changed ]] || die "a file open before a lazy unmount"
pid=$(fuse_pid)
exec 7<&-
within 5 gone "$pid" || die "cowherd-fuse runs on after the last file was closed"
ok "busy and lazy unmount"

# ------------------------------------------------------------ killed
cow client mount one "$m" >"$out"
echo kept >"$m/data/kept"
sync -f "$m/data/kept"
pid=$(fuse_pid)
kill -9 "$pid"
within 5 gone "$pid" || die "kill -9"
! ls "$m" 2>"$err" || die "a mount whose server is dead answers"
# The last request of a server that is just dying is told otherwise.
grep -qE 'not connected|connection abort' "$err" || die "a dead mount says: $(cat "$err")"
! ls "$m" 2>"$err" || die "a mount whose server is dead answers"
grep -q 'not connected' "$err" || die "a dead mount says: $(cat "$err")"
cow client unmount "$m" >"$out"
cow client mount one "$m" >"$out"
[[ $(cat "$m/data/kept") == kept && $(cat "$m/data/file") == changed ]] || die "after a kill something is missing"
ok "killed: not connected, unmounted, mounted again, nothing lost"

# ------------------------------------------------------------ swapped under it
cow client reset one --now >"$out"
fresh()
{
	[[ $(cat "$m/data/file" 2>/dev/null) == golden && ! -e $m/data/kept ]]
}
within 5 fresh || die "after reset --now the mount shows the old root: $(ls "$m/data")"
echo second >"$m/data/second"
cow client rollback one --now >"$out"
old()
{
	[[ $(cat "$m/data/file" 2>/dev/null) == changed && ! -e $m/data/second ]]
}
within 5 old || die "after rollback --now: $(ls "$m/data")"
cow client unmount one >"$out"
ok "reset and rollback under a mount"

# ------------------------------------------------------------ exec
inside()
{
	cow client exec one "$@"
}
[[ $(inside -- /bin/cat data/file) == changed ]] || die "exec sees another tree"
status=0
inside -- /bin/sh -c 'exit 7' || status=$?
[[ $status == 7 ]] || die "exec ended with $status instead of 7"
status=0
inside -- /bin/sh -c 'kill -9 $$' || status=$?
[[ $status == 137 ]] || die "a killed command ended with $status instead of 137"
fails 3 "run '/bin/nosuch'" inside -- /bin/nosuch
[[ $(inside -- /bin/cat /etc/resolv.conf) == "$(cat /etc/resolv.conf)" ]] || die "exec: name servers"
[[ $(inside -- /bin/sh -c 'echo $$') == 2 ]] || die "exec: not in a PID namespace of its own"
inside -- /bin/sh -c '[ -r /proc/self/stat ] && [ -c /dev/null ] && [ -d /sys/kernel ]' || die "exec: /proc, /dev, /sys"
nap="sleep 9$$" # nobody else sleeps as long
inside -- /bin/sh -c "echo from-inside >/data/inside; $nap & exit 0"
cow client mount one "$r" --read-only >"$out"
[[ $(cat "$r/data/inside") == from-inside ]] || die "what a command wrote is not there"
[[ $(cat "$r/etc/resolv.conf") == 'nameserver 192.0.2.1' ]] || die "exec changed resolv.conf"
cow client unmount one >"$out"
! pgrep -f "$nap" >"$out" || die "what the command started runs on: $(cat "$out")"
! echo 'echo x >/data/file' | inside --read-only -- /bin/sh 2>"$err" || die "exec --read-only takes writes"
# What the tree's links say counts in the tree, not on this machine.
cow client mount one "$m" >"$out"
mv "$m/etc" "$m/elsewhere"
ln -s /elsewhere "$m/etc"
cow client unmount one >"$out"
[[ $(inside -- /bin/cat /etc/resolv.conf) == "$(cat /etc/resolv.conf)" ]] || die "exec: name servers where /etc is a link"
printf 'exit 3\n' >"$work/script"
status=0
inside <"$work/script" || status=$?
[[ $status == 3 ]] || die "a shell without a command ended with $status"
ok "exec"

# ------------------------------------------------------------ nothing stays
! grep -q fuse.cowherd /proc/mounts || die "still mounted: $(grep fuse.cowherd /proc/mounts)"
[[ $("$TREECMP" --sum "$store/images/img/1/tree") == "$sum" ]] || die "the golden image was written to (I1)"
cow client rm one >"$out"
[[ -z $(ls "$store/clients") && -z $(ls -A "$store/trash") ]] || die "client rm left something"
ok "nothing stays"
