#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-onto.sh [FS] - a version that differs from the one before in every way there is (change-tree) is what its source
# is, and nothing of the one before: from a directory, from tar archives in every order and without directories, from a disk
# image, from container images. Its manifest is that of the same source imported for itself. SEED in the environment chooses
# the changes; COWHERD_TEST_LONG=1 makes twenty rounds of two. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

fs=${1:-}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
rounds=1
[[ -z ${COWHERD_TEST_LONG:-} ]] || rounds=20
here=$(realpath "$(dirname "$0")")
store 2G "$fs"
# On a file system that keeps all attributes.
mkdir "$work/ext4"
truncate -s 1G "$work/ext4.img"
mkfs.ext4 -q -b 4096 "$work/ext4.img"
mount -o loop "$work/ext4.img" "$work/ext4"
mkdir "$work/ext4/trees"
cd "$work/ext4/trees"
"$here/make-tree" 0
rm 0/long-link # longer than xfs takes
for i in {1..40}; do
	mkdir -p "0/many/d$i"
	for k in {1..10}; do
		head -c $((i * k * 23)) /dev/urandom >"0/many/d$i/f$k"
	done
	ln -s "../d$i/f1" "0/many/d$i/link"
done
ln 0/many/d1/f1 0/many/d2/f1-too
ln 0/many/d1/f1 0/many/f1-three

# Path, type, mode, links, owner, size, mtime, detail: numbers, blocks, access and change times are left out.
manifest()
{
	cow image dump "$1" | sed 1,/^$/d |
		awk '{ if ($3 == "d") $8 = ""; $2 = $9 = $10 = $12 = ""; print }' | sed 's/^\(.*\) [0-9]* h$/\1 h/'
}
tar_of()
{
	tar -C "$1" --numeric-owner --xattrs --xattrs-include='*' --acls --sparse --format=posix "${@:3}" -cf "$2"
}
# The source of kind KIND for tree N, at $work/source.
source_of()
{
	local tree=$PWD/$2
	rm -rf "$work/source" "$work/layout"
	case $1 in
	dir) ln -s "$tree" "$work/source" ;;
	tar) tar_of "$tree" "$work/source" . ;;
	# Members before the directories they are in, which come last.
	backwards) (cd "$tree" && find . -depth -print0) >"$work/names"
		tar_of "$tree" "$work/source" --no-recursion --null -T "$work/names" ;;
	# No directories at all.
	bare) (cd "$tree" && find . ! -type d -print0) >"$work/names"
		tar_of "$tree" "$work/source" --no-recursion --null -T "$work/names" ;;
	disk) truncate -s 300M "$work/source"
		mkfs.ext4 -q -b 4096 "$work/source"
		mkdir -p "$work/mnt"
		mount -o loop "$work/source" "$work/mnt"
		cp -a "$tree/." "$work/mnt"
		umount "$work/mnt" ;;
	oci | oci-tar) tar_of "$tree" "$work/layer" .
		python3 - "$work/layout" "$work/layer" <<-'END'
			import hashlib, json, os, shutil, sys
			top, layer = sys.argv[1:]
			os.makedirs(top + '/blobs/sha256')
			def blob(data):
			    name = hashlib.sha256(data).hexdigest()
			    with open(top + '/blobs/sha256/' + name, 'wb') as f:
			        f.write(data)
			    return {'digest': 'sha256:' + name, 'size': len(data)}
			config = blob(b'{"architecture":"arm64","os":"linux"}')
			data = open(layer, 'rb').read()
			m = {'schemaVersion': 2, 'config': config, 'layers': [
			    dict(blob(data), mediaType='application/vnd.oci.image.layer.v1.tar')]}
			m = dict(blob(json.dumps(m).encode()), mediaType='application/vnd.oci.image.manifest.v1+json')
			open(top + '/oci-layout', 'w').write('{"imageLayoutVersion":"1.0.0"}')
			json.dump({'manifests': [m]}, open(top + '/index.json', 'w'))
		END
		if [[ $1 == oci ]]; then
			ln -s "$work/layout" "$work/source"
		else
			tar -C "$work/layout" -cf "$work/source" .
		fi ;;
	esac
}

import_both()
{
	local kind=$1 n=$2 v
	source_of "$kind" "$n"
	cow image import --no-fixup all "$kind" "$work/source" >"$out" || die "$kind: $(cat "$out")"
	v=$(sed -n "s/^imported $kind@\([0-9]*\).*/\1/p" "$out")
	cow image import --no-fixup all "alone-$kind-$v" "$work/source" >"$out" || die "$kind: $(cat "$out")"
	manifest "$kind@$v" >"$work/manifest"
	manifest "alone-$kind-$v" >"$work/manifest-alone"
	# Directories that no member names have the time they were made at.
	[[ $kind != bare ]] || sed -i -E 's/^(([^ ]* ){2}d.*) [0-9]+\.[0-9]+ /\1 /' "$work/manifest" "$work/manifest-alone"
	diff "$work/manifest" "$work/manifest-alone" >"$work/differences" ||
		die "seed $seed, $kind@$v is not what $kind alone is: $(head "$work/differences")"
	[[ $kind == bare ]] || same_image "$PWD/$n" "$store/images/$kind/$v/tree"
	cow image verify "$kind@$v" >"$out" || die "seed $seed: $(head "$out")"
	cow image rm "alone-$kind-$v@1" >"$out"
}

kinds=(dir tar backwards bare disk oci oci-tar)
for kind in "${kinds[@]}"; do
	import_both "$kind" 0
done
for ((n = 1; n <= rounds; n++)); do
	cp -a $((n - 1)) "$n"
	"$here/change-tree" "$n" $((seed + n)) 100 >"$out"
	echo "seed $((seed + n)): $(cat "$out")"
	for kind in "${kinds[@]}"; do
		import_both "$kind" "$n"
	done
	# The versions below stay what they are.
	for kind in "${kinds[@]}"; do
		cow image verify "$kind@$n" >"$out" || die "seed $seed: $(head "$out")"
	done
	rm -rf $((n - 1))
	ok "round $n"
done

# All the same again; and nothing of it.
for kind in "${kinds[@]}"; do
	import_both "$kind" "$rounds"
done
mkdir -p other/dir
echo one >other/dir/file
for kind in "${kinds[@]}"; do
	import_both "$kind" other
done
ok "the same again, and a tree with nothing in common"
