#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# verify.sh [FS] - `image verify` finds every kind of damage to an image and says where; images without a
# manifest are refused with what to do. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

store 400M "${1:-}"
"$(dirname "$0")/make-tree" "$work/src"
cow image import --no-fixup all img "$work/src" >"$out"
tree=$store/images/img/1/tree
[[ -n ${1:-} ]] || btrfs property set "$tree" ro false

cow image verify img >"$out" || die "a fresh image is damaged: $(cat "$out")"
cow image verify img@1 --quiet >"$out" || die "verify --quiet"
[[ ! -s $out ]] || die "--quiet printed $(cat "$out")"
[[ $(cow image verify img --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["ok"], d["differences"])') == 'True []' ]] ||
	die "--json of a clean image"
ok "a clean image: 0"

# damage PATTERN COMMAND...: after the command, verify ends with 1 and a line matches.
damage()
{
	local pattern=$1 status=0
	shift
	"$@"
	cow image verify img >"$out" 2>"$err" || status=$?
	[[ $status == 1 ]] || die "verify ended with $status after: $*"
	grep -qE -- "$pattern" "$out" || die "no line '$pattern' after: $*; $(cat "$out" "$err")"
	grep -qE '^img@1 is damaged: [0-9]+ differences$' "$out" || die "no verdict: $(cat "$out")"
}
same_time()
{
	local before
	before=$(stat -c %y "$1")
	"${@:2}"
	touch -d "$before" "$1"
}
# flip FILE OFFSET: another byte than the one there, whatever it is.
flip()
{
	local new=Z
	[[ $(dd if="$1" bs=1 skip="$2" count=1 status=none | od -An -c | tr -d ' ') != Z ]] || new=Y
	printf %s "$new" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
damage '^/usr/bin/setuid: ' same_time "$tree/usr/bin/setuid" flip "$tree/usr/bin/setuid" 100000
damage '^/etc/empty: size' sh -c "echo x >'$tree/etc/empty'"
damage '^/sticky: mode' chmod 755 "$tree/sticky"
damage '^/dangling: ' chown -h 1:1 "$tree/dangling"
damage '^/(etc/plain|zz-hard|deep/a/b/c/hard): extended attributes' setfattr -x user.note "$tree/etc/plain"
damage '^/deep/a/b/c/hard: ' rm "$tree/deep/a/b/c/hard"
damage '^/stray: ' touch "$tree/stray"
damage '^/usr/bin/link: ' ln -sfn elsewhere "$tree/usr/bin/link"
damage '^/odd/fifo: ' sh -c "rm '$tree/odd/fifo'; mkdir '$tree/odd/fifo'"
damage '^"/odd/tab\\tand\\nnewline": ' rm "$tree/odd/$(printf 'tab\tand\nnewline')"
damage '^"/odd/latin1-\\374": ' rm "$tree/odd/$(printf 'latin1-\374')"
status=0
cow image verify img --json >"$out" || status=$?
[[ $status == 1 ]] || die "verify --json of a damaged image ended with $status"
python3 - "$out" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
assert d['ok'] is False and d['image'] == 'img' and d['version'] == 1 and len(d['id']) == 64, d
paths = {x['path'].lstrip('/'): x for x in d['differences']}
assert 'stray' in paths and paths['odd/latin1-\\374']['path_escaped'], paths
END
status=0
cow image verify img -q >"$out" 2>"$err" || status=$?
[[ $status == 1 && ! -s $out && ! -s $err ]] || die "verify -q ended with $status: $(cat "$out" "$err")"
ok "each kind of damage is found and named"

cow image import --no-fixup all two "$work/src" >"$out"
flip "$store/images/two/1/image.ovm" 5000
fails 1 'image two@1: the manifest is damaged' cow image verify two
fails 1 'damaged' cow image dump two
# The next version does not build on what is damaged, and says so.
cow image import --no-fixup all two "$work/src" >"$out"
grep -q '^warning: two@1 cannot be built on: .*damaged' "$out" || die "import over a damaged version: $(cat "$out")"
cow image verify two@2 >"$out"
# A manifest in its place that is whole, but another one.
cp "$store/images/img/1/image.ovm" "$store/images/two/2/image.ovm.new"
mv "$store/images/two/2/image.ovm.new" "$store/images/two/2/image.ovm"
status=0
cow image verify two@2 >"$out" 2>"$err" || status=$?
[[ $status == 1 ]] || die "verify of an exchanged manifest ended with $status"
grep -q 'two@2 is damaged' "$out" || die "an exchanged manifest: $(cat "$out" "$err")"
rm "$store/images/two/2/image.ovm"
fails 1 'two@2 is damaged: image.ovm is missing' cow image verify two@2
ok "a damaged, exchanged or missing manifest"

# As an older cowherd left it.
cow image import --no-fixup all old "$work/src" >"$out"
rm "$store/images/old/1/image.ovm"
sed -i '/^id = /d' "$store/images/old/1/image.conf"
fails 5 "old@1 has no manifest: .*import it once more: cowherd image import --no-fixup all old $store/images/old/1/tree" \
	cow image verify old
fails 5 'old@1 has no manifest' cow image dump old
unchanged fails 5 'old@1 has no manifest: .*import it once more' cow client add 02:00:00:00:00:01 --image old
if [[ -z ${1:-} ]]; then
	cow client add 02:00:00:00:00:01 --image old --backend btrfs >"$out"
	cow client diff 02:00:00:00:00:01 >"$out"
	cow client rm 02:00:00:00:00:01 >"$out"
fi
cow image list >"$out"
cow image show old >"$out"
cow image import --no-fixup all old "$store/images/old/1/tree" >"$out"
cow image verify old@2 >"$out" || die "what the message says does not work: $(cat "$out")"
same_tree "$store/images/old/1/tree" "$store/images/old/2/tree"
cow image rm old@1 >"$out"
[[ ! -e $store/images/old/1 && -z $(ls -A "$store/trash") ]] || die "image rm left something"
ok "images of older versions: refused with what to do, which works"

fails 3 'no image .nope.' cow image verify nope
fails 2 'does not take --quiet' cow image list --quiet
status=0
cow image dump img@1 >/dev/full 2>"$err" || status=$?
[[ $status == 1 ]] || die "dump to a full disk ended with $status"
ok "what they refuse"
