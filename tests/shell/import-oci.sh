#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-oci.sh [FS] - container images as other programs write them become the tree that these programs
# unpack; what does not have its digest is refused. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in umoci skopeo python3 setfattr; do
	command -v "$program" >/dev/null || {
		echo "needs $program"
		exit 77
	}
done

layout=$work/layout

# layer NAME COMMAND…: run COMMANDs in the unpacked image, put the difference upon it as a layer
layer()
{
	rm -rf "$work/bundle"
	umoci unpack --image "$layout:one" "$work/bundle" >"$out" 2>&1 || die "umoci: $(cat "$out")"
	(cd "$work/bundle/rootfs" && eval "$1")
	umoci repack --image "$layout:one" "$work/bundle" >"$out" 2>&1 || die "umoci: $(cat "$out")"
}

umoci init --layout "$layout" >"$out" 2>&1
umoci new --image "$layout:one" >"$out" 2>&1
layer 'mkdir -p etc usr/bin var/lib/gone keep/sub opaque/old swap/full link
	echo one >etc/file; echo lower >etc/changed; head -c 200000 /dev/urandom >usr/bin/big
	chmod 4755 usr/bin/big; chown 12:34 etc/file; ln etc/file etc/hard; ln -s ../etc link/to
	echo x >var/lib/gone/a; echo x >opaque/old/deep; echo x >swap/full/f; mkfifo keep/fifo
	echo k >keep/sub/k; chmod 1777 keep; setfattr -n user.note -v low keep/sub/k
	touch -d "2001-02-03 04:05:06" keep keep/sub'
layer 'rm -r var/lib/gone; echo upper >etc/changed; rm etc/hard; rm -r swap; echo file >swap
	rm -r opaque; mkdir opaque; echo new >opaque/new; mkdir -p added/dir; chmod 700 added
	rm link/to; mkdir link/to; echo n >link/to/n'
layer 'echo third >etc/third; rm etc/file; mkdir etc/file; echo in >etc/file/in; rm added/dir -r'
rm -rf "$work/bundle"
umoci unpack --image "$layout:one" "$work/bundle" >"$out" 2>&1
expect=$work/bundle/rootfs

store 1G "${1:-}"

# The unpacker sets times of directories before their contents; what the archives say counts.
same_layers()
{
	local d
	(cd "$expect" && find . -type d) | while read -r d; do
		touch -r "$1/$d" "$expect/$d"
	done
	same_tree "$expect" "$1"
}

cow image import --no-fixup all layout "$layout" >"$out"
same_layers "$store/images/layout/1/tree"
[[ $(stat -c %Y "$store/images/layout/1/tree/keep/sub") == $(date -d '2001-02-03 04:05:06' +%s) ]] ||
	die "a directory that upper layers do not touch has another time"
ok "a layout with three layers and whiteouts"

tar -cf "$work/archive.tar" -C "$layout" .
skopeo copy --quiet "oci:$layout:one" "oci-archive:$work/skopeo.tar:one" >"$out" 2>&1 || die "skopeo: $(cat "$out")"
skopeo copy --quiet "oci:$layout:one" "docker-archive:$work/docker.tar:one:latest" >"$out" 2>&1 || die "skopeo: $(cat "$out")"
gzip -c "$work/docker.tar" >"$work/docker.tar.gz"
for archive in archive.tar skopeo.tar docker.tar docker.tar.gz; do
	name=${archive//./-}
	cow image import --no-fixup all "$name" "$work/$archive" >"$out"
	same_layers "$store/images/$name/1/tree"
	ok "$archive"
done
gzip -dc "$work/docker.tar.gz" | cow image import --no-fixup all stdin - >"$out"
same_layers "$store/images/stdin/1/tree"
ok "docker save, from a pipe"

# A whiteout counts for what is below its layer, also when the archive names it last; an opaque directory too.
python3 - "$work/order" <<'END'
import gzip, hashlib, io, json, os, sys, tarfile
top = sys.argv[1]
os.makedirs(top + '/blobs/sha256')

def blob(data):
    name = hashlib.sha256(data).hexdigest()
    with open(top + '/blobs/sha256/' + name, 'wb') as f:
        f.write(data)
    return {'digest': 'sha256:' + name, 'size': len(data)}

def layer(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as t:
        for name, data in members:
            i = tarfile.TarInfo(name)
            if data is None:
                i.type = tarfile.DIRTYPE
                i.mode = 0o755
            else:
                i.size = len(data)
            t.addfile(i, io.BytesIO(data or b''))
    return dict(blob(out.getvalue()), mediaType='application/vnd.oci.image.layer.v1.tar')

layers = [
    layer(('d', None), ('d/old', b'old'), ('d/both', b'lower'), ('file', b'lower'), ('etc', None)),
    layer(('d', None), ('d/both', b'upper'), ('d/new', b'new'), ('d/.wh..wh..opq', b''), ('file', b'upper'),
          ('.wh.file', b''), ('.wh.never', b''), ('.wh..wh.plnk', b''), ('no/.wh.such', b'')),
]
config = blob(b'{"architecture":"arm64","os":"linux"}')
manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': layers}).encode())
note = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': layers[:1]}).encode())
index = blob(json.dumps({'manifests': [
    dict(manifest, mediaType='application/vnd.oci.image.manifest.v1+json', platform={'os': 'linux', 'architecture': 'arm64'}),
    dict(note, mediaType='application/vnd.oci.image.manifest.v1+json', platform={'os': 'unknown', 'architecture': 'unknown'}),
]}).encode())
with open(top + '/oci-layout', 'w') as f:
    f.write('{"imageLayoutVersion":"1.0.0"}')
with open(top + '/index.json', 'w') as f:
    json.dump({'manifests': [dict(index, mediaType='application/vnd.oci.image.index.v1+json')]}, f)
END
cow image import --no-fixup all order "$work/order" >"$out"
tree=$store/images/order/1/tree
[[ $(find "$tree" -mindepth 1 -printf '%P\n' | sort | tr '\n' ' ') == 'd d/both d/new etc file ' ]] ||
	die "whiteouts: $(find "$tree")"
[[ $(cat "$tree/d/both" "$tree/file") == upperupper ]] || die "the lower file shows"
ok "whiteouts and opaque directories, wherever they stand; an index in the index, notes of a builder"

# umoci names the root "/" then, and leaves out the end of the archive. No file can be called that.
mkdir -p "$work/in/etc"
chmod 711 "$work/in"
touch -d 2020-02-02 "$work/in/etc" "$work/in" # umoci keeps no fractions of seconds
umoci init --layout "$work/root" >"$out" 2>&1
umoci new --image "$work/root:root" >"$out" 2>&1
umoci insert --image "$work/root:root" "$work/in" / >"$out" 2>&1 || die "umoci: $(cat "$out")"
cow image import --no-fixup all root "$work/root" >"$out"
[[ $(stat -c %a "$store/images/root/1/tree") == 711 ]] || die "the root has not the mode it was given"
same_tree "$work/in" "$store/images/root/1/tree"
python3 - "$work/named.tar" <<'END'
import tarfile, sys
with tarfile.open(sys.argv[1], 'w', format=tarfile.USTAR_FORMAT) as t:
    i = tarfile.TarInfo('/')
    i.type = tarfile.SYMTYPE
    i.linkname = '/etc'
    t.addfile(i)
END
fails 1 'refused' cow image import bad "$work/named.tar"
ok "a layer that begins with its root"

# refused PATTERN CHANGE: the layout, changed by these commands, is refused, and nothing stays
refused()
{
	rm -rf "$work/bad"
	cp -a "$layout" "$work/bad"
	(cd "$work/bad" && eval "$2")
	fails 1 "$1" cow image import bad "$work/bad"
	[[ ! -e $store/images/bad ]] || die "something of it stays"
	ok "refused: $(head -c 120 "$err")"
}
# shellcheck disable=SC2034 # used in what refused evaluates
largest=$(cd "$layout" && find blobs -type f -size +100k | head -n 1)
# shellcheck disable=SC2016 # evaluated in refused
{
	refused 'layer 1 of 3.*is damaged: it has another digest' 'printf x >>"$largest"'
	refused 'layer 1 of 3.*is missing' 'rm "$largest"'
	refused 'is no JSON' 'printf "{" >index.json'
	refused 'lists no manifests' 'printf "{}" >index.json'
	refused 'names no image' 'printf "{\"manifests\":[]}" >index.json'
	refused 'is no digest' 'sed -i "s/sha256:[0-9a-f]*/sha256:..\/..\/etc\/passwd/" index.json'
	refused 'is no SHA-256' 'sed -i "s/sha256:/md5:/" index.json'
	refused 'holds 2 container images: .*one.*, .*two' 'umoci tag --image "$work/bad:one" two'
}
[[ -z $(find "$store/images" -maxdepth 2 -name '.import*') ]] || die "staging directories stay"
