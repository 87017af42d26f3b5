#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# archive.sh [OLD NEW] - lengths and times of archives: all of a version, and the difference to the one before, against
# tar packed by zstd and zstd --patch-from over both tars, at the same level with a window as long. Goals: the
# difference is at most 1.3 times what zstd makes of it, and 5 times smaller than all of the version. Without trees: the Debian root
# of tools/mkimage, and a copy upgraded with `apt-get dist-upgrade` to what the distribution's updates and security archives
# have, which takes the network and some minutes (COWHERD_TEST_LONG). LEVEL in the environment: default 9. Ends with 1 when a goal is missed.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

if [[ $# == 0 && -z ${COWHERD_TEST_LONG:-} ]]; then
	echo "long form only: it takes the network and some minutes"
	exit 77
fi
level=${LEVEL:-9}
store 6G ext4
if [[ $# == 2 ]]; then
	old=$1 new=$2
else
	old=$("$(dirname "$0")/../../tools/mkimage") || die "tools/mkimage made no Debian root"
	new=$work/disk/new
	cp -a "$old" "$new"
	"$(dirname "$0")/dist-upgrade" "$new" >"$out" 2>&1 || die "$(tail "$out")"
fi
cow image import --no-fixup all deb "$old" >"$out"
cow image import --no-fixup all deb "$new" >"$out"

# measure NAME FILE COMMAND...: one line, and the length in $bytes.
measure()
{
	local name=$1 file=$2 start
	shift 2
	start=$(date +%s%N)
	"$@" >"$out" 2>&1 || die "$*: $(cat "$out")"
	bytes=$(stat -c %s "$file")
	printf '%-34s %10d bytes %7d ms\n' "$name" "$bytes" $((($(date +%s%N) - start) / 1000000))
}
cd "$work/disk"
tar_opts=(--sort=name --numeric-owner --xattrs --acls --sparse)
tar "${tar_opts[@]}" -C "$old" -cf old.tar .
tar "${tar_opts[@]}" -C "$new" -cf new.tar .
echo "level $level, $(nproc) processors, $(stat -c %s new.tar) bytes of tar"
measure 'tar | zstd --long=27 -T0' new.zst zstd -q -T0 "-$level" --long=27 new.tar -o new.zst
theirs_full=$bytes
measure 'image export' full.cow cow image export deb@2 -o full.cow --level "$level"
full=$bytes
measure 'zstd --patch-from --long=30' patch.zst zstd -q "-$level" --long=30 --patch-from=old.tar new.tar -o patch.zst
theirs=$bytes
measure 'image export --since' difference.cow cow image export deb@2 --since deb@1 -o difference.cow --level "$level"
difference=$bytes
mkdir other
COWHERD_STORE=$work/disk/other cow init >"$out"
cow image export deb@1 -o base.cow >"$out"
COWHERD_STORE=$work/disk/other measure 'image import' base.cow cow image import base.cow
COWHERD_STORE=$work/disk/other measure 'image import of the difference' difference.cow cow image import difference.cow
for v in 1 2; do
	cmp "$store/images/deb/$v/image.ovm" "other/images/deb/$v/image.ovm" || die "deb@$v is another one"
done
awk "BEGIN { printf \"all: %.2f of tar | zstd; difference: %.2f of zstd --patch-from, 1/%.1f of all\n\",
	$full / $theirs_full, $difference / $theirs, $full / $difference }"
((difference * 10 <= theirs * 13)) || die "the difference is more than 1.3 times what zstd makes"
((difference * 5 <= full)) || die "the difference is less than 5 times smaller than the version"
