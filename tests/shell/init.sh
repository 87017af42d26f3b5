#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Making and finding a store, and what every command says when it cannot.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

unset COWHERD_STORE
export COWHERD_CONFIG=$work/conf
: >"$COWHERD_CONFIG"

# A file system without what stores stand on.
mkdir "$work/ram"
mount -t ramfs ramfs "$work/ram"
fails 5 "the file system of '[^']*' does not have file handles.*ext4, xfs or btrfs.*--loop" cow init --store "$work/ram/plain"
[[ ! -e $work/ram/plain ]] || die "init left a directory"
mkdir "$work/ram/there"
fails 5 'does not have' cow init --store "$work/ram/there"
[[ -z $(ls -A "$work/ram/there") ]] || die "init left $(ls -A "$work/ram/there")"
umount "$work/ram"
mkdir "$work/full"
: >"$work/full/something"
fails 5 'not empty' cow init --store "$work/full"
fails 2 'at least' cow init --store "$work/s" --loop 1M "$work/img"
fails 2 'is no size' cow init --store "$work/s" --loop lots "$work/img"
fails 2 'needs SIZE and FILE' cow init --store "$work/s" --loop 1G
: >"$work/mine"
fails 5 'File exists' cow init --store "$work/s" --loop 1G "$work/mine"
fails 3 'absent' cow init --store "$work/s" --loop 1G "$work/absent/img"
[[ ! -e $work/s && ! -e $work/img && -e $work/mine ]] || die "a failed init left something"
ok "init: what it refuses"

cow init --store "$work/s" --loop 1G "$work/img" >"$out"
grep -qx "$work/img $work/s btrfs loop,noatime 0 0" "$out" || die "no line for fstab: $(cat "$out")"
[[ $(stat -c %a "$work/img") == 600 ]] || die "others can read the store's file"
[[ $(stat -c '%a' "$work/s/clients") == 700 ]] || die "others can enter the clients"
grep -qE "^/dev/loop[0-9]+ $work/s btrfs [^ ]*noatime" /proc/mounts || die "not mounted: $(cat /proc/mounts)"
[[ $(cat "$work/s/format") == "cowherd-store 1" ]] || die "format"
fails 5 'is a store already' cow init --store "$work/s"
ok "init --loop: made, mounted, private"

# Without a file of its own, on any file system that will do.
for fs in ext4 xfs btrfs; do
	disk "$fs" 320M
	cow init --store "$work/disk/store" >"$out"
	grep -qx "made a store in $work/disk/store" "$out" || die "init on $fs: $(cat "$out")"
	[[ $(find "$work/disk/store" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ') == 'clients format id images keep trash ' ]] ||
		die "init on $fs left: $(ls -A "$work/disk/store")"
	cow image list --store "$work/disk/store" >"$out"
	umount "$work/disk"
done
# A file system whose root is the store, with what mkfs leaves in it.
disk ext4 64M
cow init --store "$work/disk" >"$out"
umount "$work/disk"
ok "init: on ext4, xfs and btrfs as they are"

# How the store is found: option, environment, configuration.
cow image list --store "$work/s" >"$out"
cow --store "$work/s" image list >"$out"
COWHERD_STORE=$work/s cow image list >"$out"
printf '[store]\npath = %s\n' "$work/s" >"$COWHERD_CONFIG"
cow image list >"$out"
COWHERD_CONFIG='' cow image list --config "$work/conf" >"$out"
fails 3 'nowhere' cow image list --store "$work/nowhere"
COWHERD_STORE=$work/nowhere fails 3 'nowhere' cow image list
fails 3 'no-conf' cow image list --config "$work/no-conf"
ok "the store is found by option, environment and configuration"

# After a reboot: the configuration names the loop file.
umount "$work/s"
fails 3 "no store at|is no store" cow image list
printf '[store]\npath = %s\nloop = %s\n' "$work/s" "$work/img" >"$COWHERD_CONFIG"
cow image list >"$out" || die "the loop file was not mounted"
mountpoint -q "$work/s" || die "the loop file was not mounted"
ok "a loop file that is not mounted is mounted when the configuration names it"

echo "cowherd-store 99" >"$work/s/format"
fails 5 "format .*cowherd-store 99.*knows 'cowherd-store 1'" cow client list
echo "what is this" >"$work/s/format"
fails 5 "no cowherd store" cow client list
rm "$work/s/format"
fails 3 "no store at" cow client list
echo "cowherd-store 1" >"$work/s/format"
echo nonsense >"$work/s/id"
fails 1 "is damaged" cow client list
ok "a store of another format, or none"

# No space for the store itself.
truncate -s 40M "$work/small.img"
mkfs.ext4 -q "$work/small.img"
mkdir "$work/small"
mount -o loop "$work/small.img" "$work/small"
status=0
cow init --store "$work/s2" --loop 1G "$work/small/img" >"$out" 2>"$err" || status=$?
if [[ $status != 0 ]]; then
	[[ $status == 1 && ! -e $work/small/img && ! -e $work/s2 ]] || die "a failed init left something: $(cat "$err")"
	ok "init on a full disk: undone"
else
	umount "$work/s2" # sparse: it fits as long as nothing is in it
	ok "init on a small disk: the file is sparse"
fi

# Words that mean nothing.
fails 2 "no command 'nonsense'" cow nonsense
fails 2 "no command 'nonsense'" cow image nonsense
fails 2 'usage: cowherd client' cow client
fails 2 'bad option' cow image list --nonsense
fails 2 'does not take --now' cow image list --now
fails 2 'something is missing' cow image import
fails 3 "open the source 'x'" cow image import x # an archive has its image's name in it
fails 2 "do not know what to do with 'b'" cow image show a b
status=0
cow --help >/dev/full 2>"$err" || status=$?
[[ $status == 1 ]] || die "a full standard output ended with $status"
ok "usage errors, a full standard output"
