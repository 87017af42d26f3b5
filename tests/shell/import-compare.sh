#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-compare.sh [FS] - what is imported is what was given, in every attribute, from a directory and
# from every kind of tar. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in setfattr setfacl setcap; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages attr, acl, libcap2-bin)"
		exit 77
	}
done

store 1G "${1:-}"
mkdir "$work/ext4"
truncate -s 64M "$work/ext4.img"
mkfs.ext4 -q -b 4096 "$work/ext4.img"
mount -o loop "$work/ext4.img" "$work/ext4"
src=$work/ext4/src
"$(dirname "$0")/make-tree" "$src"
sum=$("$TREECMP" --sum "$src")

cow image import --no-fixup all dir "$src" >"$out"
same_tree "$src" "$store/images/dir/1/tree"
grep -q 'file capabilities; 1 ' "$out" || die "the file with a capability is not reported: $(cat "$out")"
ok "a directory"

# On the same file system data is shared, not copied.
cp -a --reflink=never "$src" "$store/keep/src"
cow image import --no-fixup all dir "$store/keep/src" >"$out"
same_image "$src" "$store/images/dir/2/tree"
rm -rf "$store/keep/src"
ok "a directory of the store's own file system"

tar_opts=(--numeric-owner --xattrs '--xattrs-include=*' --acls --sparse -C "$src" .)
tar --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=ctime -cf "$work/pax.tar" "${tar_opts[@]}"
cow image import --no-fixup all pax "$work/pax.tar" >"$out"
same_tree "$src" "$store/images/pax/1/tree"
ok "a pax archive with xattrs, ACLs and holes"

for pack in gzip xz zstd; do
	"$pack" -q -c "$work/pax.tar" >"$work/pax.tar.$pack"
	cow image import --no-fixup all "$pack" "$work/pax.tar.$pack" >"$out"
	same_tree "$src" "$store/images/$pack/1/tree"
	ok "the same compressed with $pack"
done

# The older formats have no room for xattrs and fractions of seconds.
tar --format=gnu --sparse -cf "$work/gnu.tar" -C "$src" .
mkdir "$work/ext4/gnu"
tar -xpf "$work/gnu.tar" --numeric-owner --same-owner -C "$work/ext4/gnu"
cow image import --no-fixup all gnu "$work/gnu.tar" >"$out"
same_tree "$work/ext4/gnu" "$store/images/gnu/1/tree"
ok "a GNU archive, as tar itself unpacks it"

# Names instead of numbers in ACLs come from the image's own files.
acl=$work/ext4/acl
mkdir -p "$acl/etc"
printf 'root:x:0:0::/:/bin/sh\ngames:x:777:60::/:/bin/sh\n' >"$acl/etc/passwd"
printf 'root:x:0:\nadm:x:888:\n' >"$acl/etc/group"
setfacl -m u:games:rwx,g:adm:r "$acl/etc"
: >"$acl/file"
setfacl -m g:adm:rw "$acl/file"
tar --format=posix --acls -cf "$work/acl.tar" -C "$acl" .
tar --acls -tvvf "$work/acl.tar" >"$work/acl.list"
if grep -q 'user:games' "$work/acl.list"; then
	cow image import --no-fixup all acl "$work/acl.tar" >"$out"
	getfacl -n --absolute-names "$store/images/acl/1/tree/etc" >"$work/acl.txt"
	grep -q '^user:777:rwx' "$work/acl.txt" || die "user ACL by name: $(cat "$work/acl.txt")"
	grep -q '^group:888:r--' "$work/acl.txt" || die "group ACL by name: $(cat "$work/acl.txt")"
	getfacl -n --absolute-names "$store/images/acl/1/tree/file" >"$work/acl.txt"
	grep -q '^group:888:rw-' "$work/acl.txt" || die "group ACL of a file: $(cat "$work/acl.txt")"
	ok "ACLs with names are translated by the image's passwd and group"
else
	die "tar wrote no names into ACLs: $(cat "$work/acl.list")"
fi

# An archive without directories, and with members that come twice.
mkdir -p "$work/twice/d"
echo one >"$work/twice/d/f"
tar -cf "$work/twice.tar" -C "$work/twice" d/f
echo two >"$work/twice/d/f"
tar -rf "$work/twice.tar" -C "$work/twice" d/f
cow image import --no-fixup all twice "$work/twice.tar" >"$out"
[[ $(cat "$store/images/twice/1/tree/d/f") == two ]] || die "the later of two members must win"
[[ $(stat -c %a "$store/images/twice/1/tree/d") == 755 ]] || die "a directory that is not listed"
ok "members that come twice, directories that are not listed"

[[ $("$TREECMP" --sum "$src") == "$sum" ]] || die "the source was changed"
if [[ -z ${1:-} ]]; then
	touch "$store/images/dir/1/tree/x" 2>/dev/null && die "the image can be written"
fi
ok "the source is unchanged, the image is read-only where the file system can do that"

# A new version is built on the one before, and each is what its manifest says.
for i in dir@1 dir@2 pax@1 gnu@1 acl@1; do
	cow image verify "$i" >"$out" || die "verify $i: $(cat "$out")"
	grep -qE "^$i is as it was imported: [0-9]+ objects$" "$out" || die "verify $i: $(cat "$out")"
done
lineage()
{
	cow image dump "$1" | sed -n 's/^lineage //p'
}
grep -qx 'parent = dir@1' "$store/images/dir/2/image.conf" || die "dir@2 has no parent"
[[ -n $(lineage dir@1) && $(lineage dir@1) == "$(lineage dir@2)" ]] || die "the lineage of dir ends"
[[ $(lineage dir@1) != "$(lineage pax@1)" ]] || die "two images, one lineage"
id=$(sed -n 's/^id = //p' "$store/images/dir/2/image.conf")
[[ $id == $(sha256sum <"$store/images/dir/2/image.ovm" | cut -d' ' -f1) ]] || die "the id is not the manifest's SHA-256"
[[ $(cow image dump dir@2 | sed -n 's/^id //p') == "$id" ]] || die "dump shows another id"
ok "versions of one image share a lineage; all verify"

# Numbers go up, also after a removal.
cow image rm dir@2 >"$out"
cow image import --no-fixup all dir "$src" >"$out"
grep -q '^imported dir@3' "$out" || die "a number was given twice: $(cat "$out")"
ok "a version's number is never given again"
