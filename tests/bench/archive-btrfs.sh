#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# archive-btrfs.sh - lengths and times of archives with btrfs streams, beside those of the other form and what btrfs send
# and zstd make at the same level with a window as long: a Debian root, and a commit of a client that was upgraded, on btrfs.
# Goal: a stream takes at most 1.1 times what zstd makes of it. Takes the network and some minutes
# (COWHERD_TEST_LONG). LEVEL in the environment: default 9.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

if [[ -z ${COWHERD_TEST_LONG:-} ]]; then
	echo "long form only: it takes the network and some minutes"
	exit 77
fi
level=${LEVEL:-9}
store 6G
old=$("$(dirname "$0")/../../tools/mkimage") || die "tools/mkimage made no Debian root"
cow image import --no-fixup all deb "$old" >"$out"
cow client add 02:00:00:00:00:01 --image deb --backend btrfs >"$out"
"$(dirname "$0")/dist-upgrade" "$store/clients/02-00-00-00-00-01/current/tree" >"$out" 2>&1 || die "$(tail "$out")"
cow client commit 02:00:00:00:00:01 deb --no-fixup all >"$out"
other=$work/other
truncate -s 4G "$work/other.img"
mkfs.btrfs -q "$work/other.img" >/dev/null
mkdir "$other"
mount -o loop,noatime "$work/other.img" "$other"

# measure NAME FILE COMMAND...: one line, and the length in $bytes.
measure()
{
	local name=$1 file=$2 took TIMEFORMAT='%R s, of processors %U + %S s'
	shift 2
	sync
	took=$({ time "$@" >"$out" 2>"$err"; } 2>&1) || die "$*: $(cat "$err")"
	bytes=$(stat -c %s "$file")
	printf '%-38s %10d bytes %s\n' "$name" "$bytes" "$took"
}
theirs()
{
	btrfs -q send "${@:2}" | zstd -q -T0 "-$level" --long=27 -o "$1"
}
cd "$work"
mkdir "$other/a" "$other/b"
for s in a b; do
	COWHERD_STORE=$other/$s cow init >"$out"
done
v=$store/images/deb
echo "level $level, $(nproc) processors"
measure 'image export' full.cow cow image export deb@2 -o full.cow --level "$level"
measure 'image export --btrfs' stream.cow cow image export deb@2 --btrfs -o stream.cow --level "$level"
full=$bytes
measure 'btrfs send | zstd --long=27 -T0' stream.zst theirs stream.zst "$v/2/tree"
theirs_full=$bytes
measure 'image export --since' difference.cow cow image export deb@2 --since deb@1 -o difference.cow --level "$level"
measure 'image export --since --btrfs' stream-difference.cow \
	cow image export deb@2 --since deb@1 --btrfs -o stream-difference.cow --level "$level"
difference=$bytes
measure 'btrfs send -p | zstd --long=27 -T0' difference.zst theirs difference.zst -p "$v/1/tree" "$v/2/tree"
theirs=$bytes
cow image export deb@1 -o base.cow >"$out"
cow image export deb@1 --btrfs -o base-stream.cow >"$out"
COWHERD_STORE=$other/a measure 'import' base.cow cow image import base.cow
COWHERD_STORE=$other/b measure 'import of a stream' base-stream.cow cow image import base-stream.cow
COWHERD_STORE=$other/a measure 'import of the difference' difference.cow cow image import difference.cow
COWHERD_STORE=$other/b measure 'import of the stream of a difference' stream-difference.cow cow image import stream-difference.cow
for s in a b; do
	cmp "$v/2/image.ovm" "$other/$s/images/deb/2/image.ovm" || die "deb@2 is another one"
done
awk "BEGIN { printf \"streams: %.2f of btrfs send | zstd, differences: %.2f\n\", $full / $theirs_full, $difference / $theirs }"
((full * 10 <= theirs_full * 11 && difference * 10 <= theirs * 11)) || die "more than 1.1 times what zstd makes of a stream"
