#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# reset.sh [TREE] - time of `client add` and `client reset`, backend btrfs, on an image of TREE, or of 10,000 small files
# made for it, each as the command itself measures it, until all is on disk. Goal: below 50 ms
# (median), and the disk a client takes. Ends with 1 when the goal is missed.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

rounds=15
[[ -z ${COWHERD_TEST_LONG:-} ]] || rounds=50
tree=${1:-$work/tree}
if [[ $# == 0 ]]; then
	for d in {1..100}; do
		mkdir -p "$tree/d$d"
		for f in {1..100}; do
			echo "$d $f" >"$tree/d$d/f$f"
		done
	done
	mkdir "$tree/etc"
fi
store "$(($(du -sk "$tree" | cut -f1) / 1024 + 1024))M"
cow image import bench "$tree" >"$out"
sync -f "$store"
before=$(df --output=used -k "$store" | tail -n 1)
milliseconds()
{
	sed -n 's/.* in \([0-9]*\) ms$/\1/p'
}
summary()
{
	sort -n "$1" | awk -v what="$2" '{ v[NR] = $1 }
		END { printf "%s: median %d ms, best %d, worst %d (%d runs)\n", what, v[int((NR + 1) / 2)], v[1], v[NR], NR }'
}
for ((i = 1; i <= rounds; i++)); do
	cow client add "$(printf '02:00:00:00:01:%02x' "$i")" --image bench --backend btrfs | milliseconds >>"$work/add"
done
sync -f "$store"
after=$(df --output=used -k "$store" | tail -n 1)
for ((i = 1; i <= rounds; i++)); do
	cow client reset 02:00:00:00:01:01 | milliseconds >>"$work/reset"
done
echo "image of $(find "$tree" | wc -l) objects"
summary "$work/add" add
summary "$work/reset" reset
echo "disk for each client: $(((after - before) / rounds)) KiB"
for what in add reset; do
	median=$(sort -n "$work/$what" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
	((median < 50)) || die "$what takes $median ms, more than 50"
done
