#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-share.sh [FS] - two imports share what did not change between them: a tree, and the same with one package
# upgraded, from a directory, as a tar archive and as a disk image. On disk the second costs at most 1.1 times the package's
# files, besides what any version costs. It shows what its source has, all versions verify, and neither needs the other.
# COWHERD_TEST_LONG=1: at the end the same with the Debian root of tools/mkimage and a package that apt upgrades in it
# (mkupgrade; PACKAGE in the environment names one). FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

fs=${1:-}
a=$work/a b=$work/b
"$(dirname "$0")/make-tree" "$a"
rm "$a/long-link" # longer than xfs takes
for i in {1..20}; do
	mkdir -p "$a/usr/lib/p$i"
	for k in {1..40}; do
		head -c $((i * 997 + k * 3301)) /dev/urandom >"$a/usr/lib/p$i/f$k"
	done
done
head -c 40000000 /dev/urandom >"$a/usr/bin/large"
size=1G
[[ -z ${COWHERD_TEST_LONG:-} ]] || size=6G
store "$size" "$fs"

# The package: some files are new, some have other content, one has gone, one has moved and one differs in its
# time alone. Two files that were one are two, and two that were two are one.
mkdir -p "$a/opt/package/old" "$a/opt/other"
for k in {1..20}; do
	head -c $((k * 20011)) /dev/urandom >"$a/opt/package/f$k"
done
head -c 300000 /dev/urandom >"$a/opt/package/old/moves"
head -c 100000 /dev/urandom >"$a/opt/other/touched"
head -c 50000 /dev/urandom >"$a/opt/other/one"
ln "$a/opt/other/one" "$a/opt/other/one-too"
head -c 60000 /dev/urandom >"$a/opt/other/two"
cp -a "$a/opt/other/two" "$a/opt/other/two-too"
head -c 70000 /dev/urandom >"$a/opt/other/twin"
cp -a "$a/opt/other/twin" "$a/opt/other/twin-too"
setfattr -n user.note -v old "$a/opt/other/twin"
cp -a "$a" "$b"
for k in {1..15}; do
	head -c $((k * 23003)) /dev/urandom >"$b/opt/package/f$k"
done
head -c 200000 /dev/urandom >"$b/opt/package/new"
rm "$b/opt/package/f20"
mv "$b/opt/package/old/moves" "$b/opt/package/moves"
touch -d '2011-11-11 11:11:11' "$b/opt/other/touched"
cp -a "$b/opt/other/one" "$work/one"
mv "$work/one" "$b/opt/other/one-too"
ln -f "$b/opt/other/two" "$b/opt/other/two-too"
setfattr -n user.note -v new "$b/opt/other/twin"
changed=$(cd "$b" && du -sb opt/package/f{1..15} opt/package/new | awk '{ s += $1 } END { print s }')
[[ $fs != ext4 ]] || changed=$((changed + $(stat -c %s "$b/opt/other/touched" "$b/opt/other/twin" | paste -sd+ | bc)))

# What any import costs besides the content of files: names, inodes, manifest and journal.
cow image import --no-fixup all base "$a" >"$out"
before=$(used)
cow image import --no-fixup all base "$a" >"$out"
grep -qE '^shared [0-9.]+ [KMG]iB with base@1$' "$out" || die "does not say what is shared: $(cat "$out")"
fixed=$(($(used) - before))
full=$(du -s --apparent-size -B1 "$a" | cut -f1)
[[ $fixed -lt $((full / 10)) ]] || die "a second import of the same tree costs $fixed of $full bytes"
before=$(used)
cow image import --no-fixup all base "$b" >"$out"
cost=$(($(used) - before - fixed))
[[ $cost -le $((changed * 11 / 10 + 262144)) ]] ||
	die "the version with $changed changed bytes costs $cost (and $fixed for names)"
ok "directory: $full bytes; the same again $fixed; $changed changed: $cost more"
if [[ -n $fs ]]; then
	own=$(du -s -B1 "$store/images/base/1/tree" "$store/images/base/3/tree" | tail -n 1 | cut -f1)
	dirs=$(find "$b" -type d | wc -l)
	[[ $own -le $((changed * 11 / 10 + dirs * 4096 + 400000)) ]] || die "du says $own for $changed changed bytes"
fi

# Same content, other things: what the trees show is what the sources have.
same_image "$a" "$store/images/base/1/tree"
same_image "$a" "$store/images/base/2/tree"
same_image "$b" "$store/images/base/3/tree"
for v in 1 2 3; do
	cow image verify "base@$v" >"$out" || die "base@$v: $(head "$out")"
done
cow image dump base@3 >"$work/dump"
cow image import --no-fixup all alone "$b" >"$out"
! grep -q '^shared' "$out" || die "shared with what? $(cat "$out")"
cow image dump alone >"$work/alone"
# Path, type, mode, links, owner, size, mtime, detail: numbers, blocks, access and change times are left out.
for d in dump alone; do
	sed 1,/^$/d "$work/$d" | awk '{ if ($3 == "d") $8 = ""; $2 = $9 = $10 = $12 = ""; print }' |
		sed 's/^\(.*\) [0-9]* h$/\1 h/' >"$work/$d.txt"
done
diff "$work/dump.txt" "$work/alone.txt" >&2 || die "the manifest of a shared tree differs from that of one alone"
ok "trees and manifest are those of the source; all versions verify"

# From other sources.
tar -C "$b" --numeric-owner --xattrs --xattrs-include='*' --acls --sparse --format=posix -cf "$work/b.tar" .
before=$(used)
cow image import --no-fixup all base "$work/b.tar" >"$out"
[[ $(($(used) - before - fixed)) -le 600000 ]] || die "tar: $(($(used) - before)) bytes"
cow image verify base >"$out" || die "tar: $(head "$out")"
same_image "$b" "$store/images/base/4/tree"
rm "$work/b.tar"
ok "tar archive"
truncate -s "$((full * 2))" "$work/b.img"
mkfs.ext4 -q "$work/b.img"
mkdir "$work/mnt"
mount -o loop "$work/b.img" "$work/mnt"
cp -a "$b/." "$work/mnt"
umount "$work/mnt"
before=$(used)
cow image import --no-fixup all base "$work/b.img" >"$out"
[[ $(($(used) - before - fixed)) -le 600000 ]] || die "disk: $(($(used) - before)) bytes"
cow image verify base >"$out" || die "disk: $(head "$out")"
rm "$work/b.img"
ok "disk image"

# None needs the other.
cow image rm base@3 >"$out"
cow image rm base@1 >"$out"
for v in 2 4 5; do
	cow image verify "base@$v" >"$out" || die "base@$v without the others: $(head "$out")"
done
ok "versions below are removed, the others are whole"

# A version that was damaged does not damage the next. On btrfs nobody can write to it.
if [[ -n $fs ]]; then
	f=$store/images/base/5/tree/opt/package/f1
	cp -a "$f" "$work/good"
	printf x | dd of="$f" bs=1 seek=100 conv=notrunc status=none
	touch -r "$work/good" "$f"
	! cow image verify base@5 >"$out" || die "the damage does not show"
	cow image import --no-fixup all base "$b" >"$out"
	cow image verify base@6 >"$out" || die "the damage was taken over: $(head "$out")"
	ok "a damaged file is not shared"
fi

# What the newest version does not have, an older one has.
before=$(used)
cow image import --no-fixup all base "$a" >"$out"
cost=$(($(used) - before - fixed))
[[ $cost -le 600000 ]] || die "what base@2 was costs $cost bytes as a version after base@5"
v=$(sed -n 's/^imported base@\([0-9]*\).*/\1/p' "$out")
same_image "$a" "$store/images/base/$v/tree"
cow image verify "base@$v" >"$out" || die "base@$v: $(head "$out")"
ok "the version before the newest once more: $cost bytes besides names"

[[ -n ${COWHERD_TEST_LONG:-} ]] || exit 0

# ------------------------------------------------------------ a real upgrade

rm -rf "$a" "$b"
status=0
# shellcheck disable=SC2086 # one word or none
upgrade=$("$(dirname "$0")/mkupgrade" "$a" "$b" ${PACKAGE:-}) || status=$?
[[ $status == 0 ]] || {
	echo "no upgrade: $upgrade"
	exit "$status"
}
# Room of the files that are not what they were, in blocks: with another content; and with those that differ in owner,
# mode or time alone, whose data ext4 cannot share.
read -r content changed <<<"$(python3 - "$a" "$b" <<'END'
import os, stat, sys

def files(top):
    for d, _, names in os.walk(top):
        for n in names:
            p = os.path.join(d, n)
            st = os.lstat(p)
            if stat.S_ISREG(st.st_mode):
                yield os.path.relpath(p, top), p, st

def same(p, q):
    with open(p, 'rb') as f, open(q, 'rb') as g:
        return f.read() == g.read()

def attributes(st):
    return st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns

old = {name: (p, st) for name, p, st in files(sys.argv[1])}
seen, content, changed = set(), 0, 0
for name, p, st in files(sys.argv[2]):
    if st.st_ino in seen:
        continue
    seen.add(st.st_ino)
    room = (st.st_size + 4095) // 4096 * 4096
    was = old.get(name)
    other = not was or was[1].st_size != st.st_size or not same(was[0], p)
    content += room if other else 0
    changed += room if other or attributes(was[1]) != attributes(st) else 0
print(content, changed)
END
)"
# cost KIND OLD NEW: room of NEW as the version after OLD, besides what OLD costs once more.
cost()
{
	local before fixed more
	cow image import --no-fixup all "$1" "$2" >"$out"
	before=$(used)
	cow image import --no-fixup all "$1" "$2" >"$out"
	fixed=$(($(used) - before))
	before=$(used)
	cow image import --no-fixup all "$1" "$3" >"$out"
	more=$(($(used) - before - fixed))
	same_image "$b" "$store/images/$1/3/tree"
	cow image verify "$1" >"$out" || die "$1: $(head "$out")"
	ok "$upgrade, $1: $more bytes, $(awk "BEGIN { printf \"%.3f of %d changed, %.3f of %d with another content\", \
		$more / $changed, $changed, $more / $content, $content }"), besides $fixed"
	((more * 10 <= changed * 11)) || die "$1: $more bytes for $changed changed ones"
}
cost dir "$a" "$b"
for t in a b; do
	tar -C "$work/$t" --numeric-owner --xattrs --xattrs-include='*' --acls --sparse --format=posix -cf "$work/$t.tar" .
	truncate -s "$((full + 800000000))" "$work/$t.img"
	mkfs.ext4 -q "$work/$t.img"
	mount -o loop "$work/$t.img" "$work/mnt"
	cp -a "$work/$t/." "$work/mnt"
	umount "$work/mnt"
done
cost tar "$work/a.tar" "$work/b.tar"
cost disk "$work/a.img" "$work/b.img"
