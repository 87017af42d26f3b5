#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# export-oci.sh - an image as a container image: what other programs make of it is its tree, and imported
# again it is the same tree.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in umoci skopeo python3 setfattr setfacl setcap; do
	command -v "$program" >/dev/null || {
		echo "needs $program"
		exit 77
	}
done
store 512M ext4
"$(dirname "$0")/make-tree" "$work/src"
setfattr -x user.empty "$work/src/etc/plain" # in pax an empty value means none
cow image import --no-fixup all deb "$work/src" >"$out"
tree=$store/images/deb/1/tree
cd "$work"

cow image export --oci deb@1 -o layout >"$out"
grep -q '^exported deb@1 to layout: ' "$out" || die "export said: $(cat "$out")"
[[ ! -e layout.partial ]] || die "layout.partial is left"
cow image export --oci deb@1 -o again >"$out"
diff -r layout again || die "the same version gives another container image"
ok "a layout, the same twice"

skopeo inspect oci:layout:1 >"$out" 2>&1 || die "skopeo: $(cat "$out")"
grep -q '"Os": "linux"' "$out" || die "skopeo says: $(cat "$out")"
skopeo copy oci:layout:1 oci-archive:copy.tar >"$out" 2>&1 || die "skopeo: $(cat "$out")"
skopeo copy oci:layout:1 docker-archive:docker.tar:deb:1 >"$out" 2>&1 || die "skopeo: $(cat "$out")"
umoci unpack --image layout:1 bundle >"$out" 2>&1 || die "umoci: $(cat "$out")"
# It writes holes as zeros.
status=0
"$TREECMP" "$tree" bundle/rootfs >differences || status=$?
[[ $status -le 1 ]] || die "treecmp ended with $status: $(head -n 5 differences)"
! grep -v ': holes ' differences >"$out" || die "umoci unpacks another tree: $(head -n 5 "$out")"
ok "skopeo copies it, umoci unpacks the tree"

for source in layout copy.tar docker.tar; do
	cow image import --no-fixup all again "$source" >"$out"
	n=$(sed -n 's/^imported again@\([0-9]*\):.*/\1/p' "$out")
	rm -rf one two
	cp -a "$tree" one # links to other versions are none of the tree
	cp -a "$store/images/again/$n/tree" two
	same_tree one two
	ok "imported again from $source: the same tree"
done

unchanged fails 5 'exists already' cow image export --oci deb@1 -o layout
fails 2 'no --since' cow image export --oci deb@1 --since deb@1 -o x
fails 2 'takes a directory' cow image export --oci deb@1 -o -
fails 3 'write .*nowhere' cow image export --oci deb@1 -o nowhere/x
mkdir -p x.partial/old
echo old >x.partial/old/file
cow image export --oci deb@1 -o x >"$out"
diff -r layout x || die "what a killed export left is in the layout"
ok "leftovers of a killed export are removed"
# A damaged image is not exported.
touch -r "$tree/etc/plain" time
printf 'X' | dd of="$tree/etc/plain" bs=1 conv=notrunc status=none
touch -r time "$tree/etc/plain"
fails 1 'the image is damaged: .deep/a/b/c/hard. is not as recorded' cow image export --oci deb@1 -o y
[[ ! -e y && ! -e y.partial ]] || die "a failed export left something"
ok "a damaged image: $(cut -c10-120 "$err")"
