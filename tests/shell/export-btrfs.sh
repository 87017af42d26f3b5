#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# export-btrfs.sh - versions carried as btrfs streams are the same versions in another store on btrfs, whatever way
# what they stand on came there; other stores say what they take instead; what is broken, stopped or killed leaves
# nothing.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in setfattr setfacl setcap btrfs; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages attr, acl, libcap2-bin, btrfs-progs)"
		exit 77
	}
done

# The first store, others on file systems of their own, and one beside the first on the same.
store 1G
first=$store
from() { COWHERD_STORE=$first cow "$@"; }
other_store()
{
	truncate -s "$3" "$work/$1.img"
	"mkfs.$2" -q "$work/$1.img" >/dev/null
	mkdir "$work/$1"
	mount -o loop,noatime "$work/$1.img" "$work/$1"
	COWHERD_STORE=$work/$1/store cow init >"$out"
}
other_store second btrfs 600M
other_store third btrfs 600M
other_store simple ext4 100M
# to NAME: the store the commands below are for, and that is looked at.
to()
{
	store=$work/$1/store
	export COWHERD_STORE=$store
}
mkdir "$first/beside"
COWHERD_STORE=$first/beside cow init >"$out"

src=$work/src
"$(dirname "$0")/make-tree" "$src"
mkdir -p "$src/lib" "$src/many"
for i in {1..30}; do
	head -c 20000 /dev/urandom | base64 >"$src/lib/m$i"
	echo "text $i" >"$src/many/$i"
done
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$src/odd/socket"
cd "$work"
from image import --no-fixup all deb "$src" >"$out"
# The second is a commit of a client; the third an import of its own.
from client add 02:00:00:00:00:02 --image deb@1 --backend btrfs >"$out"
(
	cd "$first/clients/02-00-00-00-00-02/current/tree"
	mv lib lib-2
	sed -i 's/^A/B/' lib-2/m*
	rm many/1 dangling && mkdir many/1
	ln -f many/2 many/3
	chmod 600 many/4
	chown 5:6 many
	setfattr -n user.note -v other etc/plain
	setfattr -x trusted.secret usr/bin/big
	printf more | dd of=var/lib/sparse/hole bs=1 seek=5000000 conv=notrunc status=none
	truncate -s 3 usr/bin/setuid
	mkfifo many/fifo
	touch -d '2011-11-11 11:11:11.111' many/5 .
)
from client commit 02:00:00:00:00:02 deb --comment 'the second' --no-fixup all >"$out"
rm -r "$src/many"
echo third >"$src/third"
from image import --no-fixup all deb "$src" >"$out"

id() { sed -n 's/^id = //p' "$1/images/deb/$2/image.conf"; }
# arrived VERSION [NAME]: it is in this store what it was in the first.
arrived()
{
	local name=${2:-deb}
	local tree=$store/images/$name/$1/tree
	cmp "$first/images/deb/$1/image.ovm" "$store/images/$name/$1/image.ovm" || die "the manifest differs"
	[[ $(id "$first" "$1") == "$(sed -n 's/^id = //p' "$store/images/$name/$1/image.conf")" ]] || die "another image id"
	cow image verify "$name@$1" >"$out" || die "verify $name@$1: $(cat "$out")"
	same_tree "$first/images/deb/$1/tree" "$tree"
	[[ $(btrfs property get "$tree" ro) == ro=true ]] || die "$tree can be written to"
	no_more_subvolumes
}
# Nothing but trees of versions.
no_more_subvolumes()
{
	local list
	list=$(btrfs subvolume list "$store" | sed 's/.* path //' | grep -Ev '(^|/)images/[a-z]+/[0-9]+/tree$') || true
	[[ -z $list ]] || die "subvolumes are left: $list"
}

# ------------------------------------------------------------ all of it
from image export deb@1 --btrfs -o full.cow >"$out"
grep -q '^exported deb@1 to full.cow: .*, a btrfs stream of ' "$out" || die "export said: $(cat "$out")"
[[ ! -e full.cow.partial && $(stat -c %a full.cow) == 600 ]] || die "full.cow: $(ls -l full.cow*)"
to second
cow image import full.cow >"$out"
grep -q '^imported deb@1: ' "$out" || die "import said: $(cat "$out")"
arrived 1
grep -qx 'origin = deb@1' "$store/images/deb/1/image.conf" || die "no origin in the record"
cow image import full.cow >"$out"
[[ $(cow image list | grep -c ^deb@) == 1 ]] || die "a version that is here was imported again"
ok "all of a version: same id, same tree, read-only"

# ------------------------------------------------------------ differences
from image export deb@2 --since deb@1 --btrfs -o difference.cow >"$out"
grep -q '^exported deb@2 since deb@1 to difference.cow: ' "$out" || die "export said: $(cat "$out")"
# A third of what changed is base64 of random bytes; a piece of an archive is no piece of that.
[[ $(stat -c %s difference.cow) -lt $(($(stat -c %s full.cow) * 3 / 4)) ]] || die "the difference: $(ls -l ./*.cow)"
used_before=$(used)
cow image import difference.cow >"$out"
arrived 2
grep -qx 'parent = deb@1' "$store/images/deb/2/image.conf" || die "no parent in the record"
[[ $(cow image show deb@2) == *'comment = the second'* ]] || die "the comment is gone"
(($(used) - used_before < 4000000)) || die "the second version takes $(($(used) - used_before)) bytes"
arrived 1
ok "a difference on a version that was received"

# Between versions that were imported each by itself: what is shared goes as clones.
from image export deb@3 --since deb@2 --btrfs -o - | cow image import deb - >"$out"
arrived 3
ok "a difference between versions that are no snapshots of each other, through a pipe"

to third
from image export deb@1 -o plain.cow >"$out"
cow image import plain.cow >"$out"
gzip -c difference.cow | cow image import deb - >"$out" # packed once more
arrived 2
arrived 1
ok "a difference on a version that came as an archive of the other form"

COWHERD_STORE=$work/second/store cow image export deb@3 --since deb@2 --btrfs -o again.cow >"$out"
cow image import again.cow >"$out"
arrived 3
ok "carried on by a store that has it from another one"

store=$first/beside
export COWHERD_STORE=$store
cow image import full.cow >"$out"
cow image import difference.cow >"$out"
cow image import other full.cow >"$out"
cow image import other difference.cow >"$out"
cmp "$store/images/other/2/image.ovm" "$first/images/deb/2/image.ovm" || die "other@2 is another one"
cow image verify other@2 >"$out" || die "$(cat "$out")"
cow image verify deb@2 >"$out" || die "$(cat "$out")"
cow client add 02:00:00:00:00:01 --image deb@2 --backend btrfs >"$out"
view=$(view 02-00-00-00-00-01)
echo changed >"$view/etc/new"
cow client rm 02:00:00:00:00:01 >"$out"
cow image rm other@2 >"$out"
no_more_subvolumes_beside=$(btrfs subvolume list "$first" | grep -c receive || true)
[[ $no_more_subvolumes_beside == 0 ]] || die "subvolumes are left"
ok "two stores on one file system, one of them under two names; clients of it"

# ------------------------------------------------------------ what is refused
to simple
unchanged fails 5 "holds a btrfs stream, and store '.*' is not on btrfs; export without --btrfs" cow image import full.cow
cow image import deb "$src/lib" >"$out"
fails 5 'is not on btrfs, so there is no btrfs stream of it; export without --btrfs' \
	cow image export deb@1 --btrfs -o x.cow
fails 2 'no --since, --level or --btrfs' cow image export deb@1 --oci --btrfs -o x
fails 2 'does not take --btrfs' cow image list --btrfs
[[ ! -e x.cow && ! -e x.cow.partial ]] || die "x.cow"
ok "stores on other file systems"

to third
cow image rm deb@3 >"$out"
cow image rm deb@2 >"$out"
cow image rm deb@1 >"$out"
unchanged fails 3 'otherwise than deb@1, id [0-9a-f]{64}, which is not here; import that first' \
	cow image import difference.cow
no_more_subvolumes
# Another version in its place.
from image export deb@3 -o plain-3.cow >"$out"
cow image import deb plain-3.cow >"$out"
unchanged fails 3 'which is not here' cow image import difference.cow
cow client import difference.cow >"$out" 2>"$err" && die "a client was made of an image"
grep -q 'archive of an image' "$err" || die "client import said: $(cat "$err")"
ok "a difference without its base"

mount --bind /dev/null "$(readlink -f "$(command -v btrfs)")"
unchanged fails 5 "needs the program 'btrfs', which is not installed; install btrfs-progs, or export without" \
	cow image import new full.cow
umount "$(readlink -f "$(command -v btrfs)")"
ok "no btrfs-progs"

bad()
{
	local pattern=$1 file=$2
	unchanged fails 1 "$pattern" cow image import new "$file"
	no_more_subvolumes
	ok "$file: $(cut -c10-150 "$err")"
}
size=$(stat -c %s full.cow)
for cut in 20 1000 $((size / 2)) $((size - 100)) $((size - 1)); do
	head -c "$cut" full.cow >"cut-$cut"
	bad 'cut short' "cut-$cut"
done
for at in 13 20 3000 $((size / 2)) $((size - 10)); do
	cp full.cow "flip-$at"
	printf 'X' | dd of="flip-$at" bs=1 seek="$at" conv=notrunc status=none
	cmp -s full.cow "flip-$at" && printf 'Y' | dd of="flip-$at" bs=1 seek="$at" conv=notrunc status=none
	if ((at < 16)); then
		unchanged fails 5 'newer version' cow image import new "flip-$at"
	else
		bad 'damaged' "flip-$at"
	fi
done
{
	cat full.cow
	echo more
} >longer
bad 'something follows' longer

# The base is damaged: the difference does not become something else.
cow image import fresh full.cow >"$out"
victim=$store/images/fresh/1/tree
btrfs property set "$victim" ro false
echo other >"$victim/many/7"
btrfs property set "$victim" ro true
unchanged fails 1 'damaged, or its base here: .*many/7. is not what its manifest says' cow image import difference.cow
no_more_subvolumes
btrfs property set "$victim" ro false
rm -r "$victim/many"
btrfs property set "$victim" ro true
unchanged fails 1 "'btrfs receive' failed: .*many" cow image import difference.cow
no_more_subvolumes
ok "a damaged base"
cp -a --reflink=auto full.cow keep.cow
btrfs property set "$first/images/deb/1/tree" ro false
echo other >"$first/images/deb/1/tree/many/7"
fails 1 'the image is damaged: .*many.* is not as recorded' from image export deb@1 --btrfs -o bad.cow
[[ ! -e bad.cow && ! -e bad.cow.partial ]] || die "a failed export left something"
ok "a damaged image is not exported"

# ------------------------------------------------------------ stopped, killed, no room
mkdir "$work/large"
for i in {1..12}; do
	head -c 6000000 /dev/urandom >"$work/large/$i"
done
from image import --no-fixup all large "$work/large" >"$out"
from image export large --btrfs --level 1 -o large.cow >"$out"
# interrupt SIGNAL COMMAND...: it gets the signal once there is $watched.
interrupt()
{
	local signal=$1 pid status=0
	shift
	"$COWHERD" "$@" >"$out" 2>"$err" &
	pid=$!
	for _ in {1..1000}; do
		compgen -G "$watched" >/dev/null && break
		sleep 0.01
	done
	sleep "0.0$((RANDOM % 10))"
	kill "-$signal" "$pid"
	wait "$pid" || status=$?
	((status)) || die "'$*' was too fast to be stopped"
}
for form in INT TERM KILL; do
	listing >"$work/before"
	watched="$store/images/new/.import-*/receive/tree/1"
	interrupt "$form" image import new large.cow
	[[ $form == KILL ]] || grep -q 'was stopped' "$err" || die "import said: $(cat "$err")"
	for _ in {1..100}; do
		pgrep -f "btrfs -q receive .*$work" >/dev/null || break
		sleep 0.1
	done
	! pgrep -f "btrfs -q receive .*$work" || die "btrfs receive goes on"
	[[ $form != KILL ]] || cow gc >"$out" # sweeps
	listing >"$work/after"
	diff "$work/before" "$work/after" || die "something was left behind"
	no_more_subvolumes
	watched="$work/y.cow.partial"
	COWHERD_STORE=$first interrupt "$form" image export large --btrfs --level 19 -o "$work/y.cow"
	[[ ! -e y.cow ]] || die "a stopped export left a file with its name"
	[[ $form == KILL || ! -e y.cow.partial ]] || die "a stopped export left a part"
done
from image export large --btrfs --level 1 -o y.cow >"$out"
! grep -q 'a part was there' "$out" || die "a stream cannot go on"
[[ ! -e y.cow.partial ]] || die "the part is still there"
cow image import new y.cow >"$out"
cow image verify new >"$out" || die "$(cat "$out")"
ok "stopped and killed: nothing is left, and the same again succeeds"

other_store small btrfs 115M
to small
unchanged fails 1 'No space left' cow image import new large.cow
no_more_subvolumes
ok "no room: $(cut -c10-150 "$err")"
