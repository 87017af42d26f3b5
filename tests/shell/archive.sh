#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# archive.sh [FS] - a version exported and imported into another store is the same version, whatever the file
# systems are; differences need their base; what is broken is refused and leaves nothing. FS of the other
# store: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in setfattr setfacl setcap; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages attr, acl, libcap2-bin)"
		exit 77
	}
done

# Two stores: the first on ext4, the second is what $store and the environment name afterwards.
mkdir "$work/first"
truncate -s 400M "$work/first.img"
mkfs.ext4 -q -b 4096 "$work/first.img"
mount -o loop "$work/first.img" "$work/first"
first=$work/first/store
store 512M "${1:-}"
from() { COWHERD_STORE=$first cow "$@"; }
from init >"$out"
src=$work/first/src
"$(dirname "$0")/make-tree" "$src"
[[ ${1:-} != xfs ]] || rm "$src/long-link" # xfs has no room for it
mkdir -p "$src/lib/mod-1.0" "$src/same/a" "$src/same/b"
for i in {1..60}; do
	head -c 20000 /dev/urandom | base64 >"$src/lib/mod-1.0/m$i.ko"
	echo "text $i" >"$src/same/a/$i"
	echo "text $i" >"$src/same/b/$i" # other files with the same content
done
head -c 24000000 /dev/urandom >"$src/large" # more than a block
from image import --no-fixup all deb "$src" >"$out"
# The second version: an upgrade with renamed files, changed ones, a file that became another type.
mv "$src/lib/mod-1.0" "$src/lib/mod-1.1"
for i in {1..60}; do
	sed -i 's/^A/B/' "$src/lib/mod-1.1/m$i.ko"
done
printf 'changed' | dd of="$src/large" bs=1 seek=12000000 conv=notrunc status=none
rm "$src/same/a/1" "$src/dangling"
mkdir "$src/same/a/1"
ln -f "$src/same/b/2" "$src/same/a/2"
chmod 600 "$src/same/b/3"
printf 'more' | dd of="$src/var/lib/sparse/hole" bs=1 seek=5000000 conv=notrunc status=none
setfattr -n user.note -v other "$src/etc/plain"
from image import --no-fixup all --comment 'the second' deb "$src" >"$out"

id() { sed -n 's/^id = //p' "$1/images/deb/$2/image.conf"; }
# arrived VERSION: it is in the second store what it was in the first.
arrived()
{
	cmp "$first/images/deb/$1/image.ovm" "$store/images/deb/$1/image.ovm" || die "the manifest differs"
	[[ $(id "$first" "$1") == "$(id "$store" "$1")" ]] || die "another image id"
	cow image verify "deb@$1" >"$out" || die "verify deb@$1: $(cat "$out")"
}

# same_version VERSION: the trees are equal, links to other versions apart.
same_version()
{
	rm -rf "$work/first/copy" "$work/copy"
	cp -a "$first/images/deb/$1/tree" "$work/first/copy"
	cp -a "$store/images/deb/$1/tree" "$work/copy"
	same_tree "$work/first/copy" "$work/copy"
}

cd "$work"
from image export deb@1 -o full.cow >"$out"
grep -q '^exported deb@1 to full.cow: ' "$out" || die "export said: $(cat "$out")"
[[ ! -e full.cow.partial && $(stat -c %a full.cow) == 600 ]] || die "full.cow: $(ls -l full.cow*)"
from image export deb@2 --since deb@1 -o difference.cow >"$out"
[[ $(stat -c %s difference.cow) -lt 2000000 ]] ||
	die "the difference has $(stat -c %s difference.cow) bytes: changed files are not patches"
# A pipe carries the same bytes.
from image export deb@1 -o - | cmp - full.cow || die "standard output differs from a file"

unchanged fails 3 'otherwise than deb@1, id [0-9a-f]{64}, which is not here; import that first' \
	cow image import difference.cow
ok "a difference without its base is refused"

cow image import full.cow >"$out"
grep -q '^imported deb@1: ' "$out" || die "import said: $(cat "$out")"
arrived 1
same_version 1
grep -qx 'origin = deb@1' "$store/images/deb/1/image.conf" || die "no origin in the record"
ok "all of a version: same id, same tree"

gzip -c difference.cow | cow image import deb - >"$out" # packed once more, from a pipe
arrived 2
grep -qx 'parent = deb@1' "$store/images/deb/2/image.conf" || die "no parent in the record"
[[ $(cow image show deb@2) == *'comment = the second'* ]] || die "the comment is gone"
same_version 2
if [[ -n ${1:-} ]]; then
	[[ $(stat -c %i "$store/images/deb/1/tree/usr/bin/setuid") == $(stat -c %i "$store/images/deb/2/tree/usr/bin/setuid") ]] ||
		die "an unchanged file is not shared"
fi
cow image verify deb@1 >"$out" || die "the base was changed: $(cat "$out")"
ok "a difference: same id, same tree, unchanged files shared"

cow image import difference.cow >"$out"
[[ $(cow image list | grep -c ^deb@) == 2 ]] || die "a version that is here was imported again"
cow image import other full.cow >"$out"
cow image import other difference.cow >"$out"
cow image verify other@2 >"$out" || die "$(cat "$out")"
cow image rm other@2 >"$out"
cow image import other difference.cow >"$out"
grep -q '^imported other@3: ' "$out" || die "a number was given again: $(cat "$out")"
ok "again: nothing; under another name: its own numbers"

# Interrupted exports go on. All random, so that there are several blocks that take time.
from image export deb@1 -o again.cow --level 19 >"$out" &
pid=$!
for _ in {1..400}; do
	[[ $(stat -c %s again.cow.partial 2>/dev/null || echo 0) -lt 8000000 ]] || break
	sleep 0.02
done
pkill -KILL -P "$pid" 2>/dev/null || kill -KILL "$pid"
wait "$pid" 2>/dev/null && die "the export was too fast to be killed"
[[ ! -e again.cow ]] || die "a killed export left a file with its name"
kept=$(stat -c %s again.cow.partial)
from image export deb@1 -o again.cow >"$out"
grep -q 'a part was there' "$out" || die "an export of $kept bytes did not go on: $(cat "$out")"
cow image import resumed again.cow >"$out"
cow image verify resumed >"$out" || die "$(cat "$out")"
# What is there is damaged from some byte on: that far it is kept.
head -c 20000000 full.cow >again.cow.partial
printf 'XXXX' | dd of=again.cow.partial bs=1 seek=19000000 conv=notrunc status=none
from image export deb@1 -o again.cow >"$out"
cmp again.cow full.cow || die "the archive that went on differs"
# A part of another archive is of no use.
head -c 1000000 difference.cow >again.cow.partial
from image export deb@1 -o again.cow >"$out"
! grep -q 'a part was there' "$out" || die "went on with another archive"
cmp again.cow full.cow || die "the archive differs"
(
	flock -x 9
	fails 4 'written by another export' from image export deb@1 -o again.cow
) 9>>again.cow.partial
rm -f again.cow.partial
ok "a killed export goes on, and only with its own part"

# Hostile and broken ones; every byte is a matter of the unit test.
bad()
{
	local pattern=$1 file=$2
	unchanged fails 1 "$pattern" cow image import new "$file"
	ok "$file: $(cut -c10-150 "$err")"
}
size=$(stat -c %s full.cow)
for cut in 20 5000 1000000 $((size - 1)); do
	head -c "$cut" full.cow >"cut-$cut"
	bad 'cut short' "cut-$cut"
done
for at in 9 20 3000 20000000; do
	cp full.cow "flip-$at"
	printf 'X' | dd of="flip-$at" bs=1 seek="$at" conv=notrunc status=none
	cmp -s full.cow "flip-$at" && continue
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
if [[ -n ${1:-} ]]; then
	cow image rm deb@2 >"$out"
	cow image rm other@1 >"$out"
	cow image rm other@3 >"$out"
	cow image rm resumed@1 >"$out"
	victim=$store/images/deb/1/tree/lib/mod-1.0/m1.ko
	touch -r "$victim" "$work/time"
	printf 'XXXX' | dd of="$victim" bs=1 seek=100 conv=notrunc status=none
	touch -r "$work/time" "$victim"
	unchanged fails 1 'not the content that belongs there|damaged' cow image import difference.cow
	ok "a damaged base: $(cut -c10-150 "$err")"
fi
# A damaged image is not exported.
victim=$first/images/deb/1/tree/etc/plain
touch -r "$victim" "$work/time"
printf 'X' | dd of="$victim" bs=1 conv=notrunc status=none
touch -r "$work/time" "$victim"
fails 1 'the image is damaged: .zz-hard. is not as recorded' from image export deb@1 -o bad.cow
[[ ! -e bad.cow && ! -e bad.cow.partial ]] || die "a failed export left something"
ok "a damaged image is not exported"

fails 2 'say where to' from image export deb@1
fails 2 'does not take --since|bad option|something is missing' from image list --since deb@1
fails 3 'has no version 9' from image export deb@9 -o x.cow
fails 3 'has no version 9' from image export deb@2 --since deb@9 -o x.cow
fails 2 'level' from image export deb@2 --level 40 -o x.cow
fails 2 'say what to call it' cow image import -
fails 1 'no archive of cowherd' cow image import "$COWHERD"
[[ ! -e x.cow && ! -e x.cow.partial ]] || die "x.cow"
