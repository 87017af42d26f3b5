#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# rebase-random.sh [BACKEND [FS [SEED]]] - random changes of a client and of its image's next version: what
# a rebase makes of them against a simple model (rebase-model). FS: see store(). COWHERD_TEST_LONG=1: more.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
export BACKEND=$backend
model=$(dirname "$0")/rebase-model
rounds=3 clients=6
[[ -z ${COWHERD_TEST_LONG:-} ]] || rounds=150
seed=${3:-}
[[ $backend == btrfs || -w /dev/fuse ]] || {
	echo "SKIPPED: this machine has no /dev/fuse"
	exit 77
}
store 1G "${2:-}"
mkdir "$work/m"

shown()
{
	if [[ $backend == overlay ]]; then
		cow client mount "$1" "$work/m" >/dev/null
		echo "$work/m"
	else
		readlink -f "$store/clients/$1/current/tree"
	fi
}
hidden()
{
	[[ $backend != overlay ]] || cow client unmount "$1" >/dev/null
}

one() # IMAGE SEED
{
	local mac=02-00-00-00-00-01 v
	cow client add $mac --image "$1@1" --backend "$backend" >"$out"
	v=$(shown $mac)
	"$model" change "$v" "$2" 14 links >"$work/ops"
	"$model" look "$v" "$work/ours"
	hidden $mac
	cow client diff $mac --json >"$work/diff"
	cow client roll $mac --to "$1@2" --rebase >"$out" 2>"$err" || die "seed $2: $(cat "$err")"
	v=$(shown $mac)
	"$model" look "$v" "$work/got"
	hidden $mac
	"$model" judge "$work/v1" "$work/v2" "$work/ours" "$work/diff" "$work/got" >"$work/differences" || {
		cat "$work/differences" "$work/ops" "$out" >&2
		die "'$0 $backend ${2%%-*}' differs from the model at seed $2"
	}
	if [[ $backend == overlay ]]; then
		cow client check $mac >"$out" || die "seed $2, check: $(cat "$out")"
	fi
	cow client rm $mac >"$out"
}

count=0
for ((round = 0; round < rounds; round++)); do
	pair=${seed:-$RANDOM$RANDOM}
	image=i$round
	src=$work/src
	rm -rf "$src"
	mkdir "$src"
	"$model" make "$src" "$pair"
	cow image import --no-fixup all $image "$src" >"$out"
	"$model" change "$src" "$pair-v2" 14 >"$work/ops2"
	cow image import --no-fixup all $image "$src" >"$out"
	"$model" look "$store/images/$image/1/tree" "$work/v1"
	"$model" look "$store/images/$image/2/tree" "$work/v2"
	for ((k = 0; k < clients; k++)); do
		one $image "$pair-$k"
		count=$((count + 1))
	done
	cow image rm $image@1 >"$out"
	cow image rm $image@2 >"$out"
	[[ -z $seed ]] || break
done
ok "$count random rebases are as the model says"
