#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import.sh [--objects N] [--fs FS] [TREE] - time and memory of `cowherd image import`, until everything is on disk,
# caches warm: of a tree against `cp -a` of it, of a tar archive against `tar -x`, to the same file system, alternating.
# Goal: a tree at most 1.5 times cp -a, looked at in the best round of each, which other work on the machine disturbs
# least. Ends with 1 when it is missed. Rounds: 3, with COWHERD_TEST_LONG 7.
#
#	--objects N  as many copies of the tree as make N objects
#	--fs FS      the store's file system; btrfs without it
#	TREE         without it the Debian root that tools/mkimage makes
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

objects=0
fs=''
while [[ ${1:-} == --* ]]; do
	case $1 in
	--objects) objects=$2 ;;
	--fs) fs=$2 ;;
	*) die "no option $1" ;;
	esac
	shift 2
done
tree=${1:-$("$(dirname "$0")/../../tools/mkimage")}
rounds=3
[[ -z ${COWHERD_TEST_LONG:-} ]] || rounds=7
copies=$((objects / $(find "$tree" | wc -l) + 1))
need=$(($(du -sk "$tree" | cut -f1) * 4 * copies / 1024 + 1024))
store "${need}M" "$fs"
if ((copies > 1)); then
	mkdir "$work/many"
	for ((i = 1; i <= copies; i++)); do
		cp -a "$tree" "$work/many/$i"
	done
	tree=$work/many
fi
tar -C "$tree" --xattrs '--xattrs-include=*' --acls --numeric-owner -cf "$work/tree.tar" .
cp -a "$tree" "$store/keep/warm" # reads the source once
rm -rf "$store/keep/warm"

# measure NAME COMMAND...: milliseconds until it is done and on disk, and the most memory it had in MiB, a line of
# $work/NAME.
measure()
{
	local name=$1
	shift
	unview
	sync -f "$store"
	python3 - "$store" "$@" <<-'END' >>"$work/$name" || die "$*"
		import os, sys, time
		start = time.monotonic()
		pid = os.fork()
		if pid == 0:
		    os.dup2(os.open('/dev/null', os.O_WRONLY), 1)
		    os.execvp(sys.argv[2], sys.argv[2:])
		_, status, used = os.wait4(pid, 0)
		fd = os.open(sys.argv[1], os.O_RDONLY)
		import ctypes
		if ctypes.CDLL(None).syncfs(fd) < 0 or status:
		    sys.exit(1)
		print(round((time.monotonic() - start) * 1000), used.ru_maxrss // 1024)
	END
}
best() { sort -n "$work/$1" | awk 'NR == 1 { print $1 }'; }
median() { sort -n "$work/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
memory() { awk '$2 > m { m = $2 } END { print m }' "$work/$1"; }
drop()
{
	rm -rf "$store/keep/copy"
	for name; do
		cow image rm "$name@1" >"$out"
	done
	[[ -n $fs && $fs != btrfs ]] || btrfs subvolume sync "$store" >/dev/null
	sync -f "$store"
}

for ((i = 1; i <= rounds; i++)); do
	measure cp cp -a "$tree" "$store/keep/copy"
	drop
	measure import "$COWHERD" image import "bench$i" "$tree"
	drop "bench$i"
	mkdir "$store/keep/copy"
	measure untar tar -C "$store/keep/copy" --xattrs '--xattrs-include=*' --acls --numeric-owner -xpf "$work/tree.tar"
	drop
	measure import-tar "$COWHERD" image import "tar$i" "$work/tree.tar"
	drop "tar$i"
done
echo "$(find "$tree" | wc -l) objects, $(du -sm "$tree" | cut -f1) MiB, store on ${fs:-btrfs}, $rounds rounds"
for pair in 'cp import cp -a' 'untar import-tar tar -x'; do
	read -r theirs ours what <<<"$pair"
	ratio=$(awk "BEGIN { printf \"%.2f\", $(best "$ours") / $(best "$theirs") }")
	echo "$what: best $(best "$theirs") ms, median $(median "$theirs") ms, $(memory "$theirs") MiB;" \
		"$ours: best $(best "$ours") ms, median $(median "$ours") ms, $(memory "$ours") MiB; ratio of the best $ratio"
done
cow image import --no-fixup all exact "$tree" >"$out"
same_tree "$tree" "$store/images/exact/1/tree"
echo "tree compare clean"
(($(best import) * 2 <= $(best cp) * 3)) || die "import takes more than 1.5 times as long as cp -a"
