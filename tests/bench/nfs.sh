#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# nfs.sh [--rounds N] [--short] [--realtime] [--tsv FILE] [--svg FILE] - our NFS plugin beside FSAL_VFS: the same workloads
# (nfswork.c) on the same tree, in the same ganesha.nfsd, one ext4, in turns. Prints tables of medians, time and CPU
# of the server per operation, then the goals; ends with 1 when one is missed.
#
#	--rounds N  instead of 5
#	--short     one round, a smaller tree: to see that it works; goals that are missed are no failure
#	--realtime  before all other processes, for a machine that has others; the server too
#	--tsv FILE  the medians, for tests/bench/plot
#	--svg FILE  the plot itself
set -euo pipefail
tsv='' svg='' short='' rounds=5 times=5 files=10000 large=512 many=10000 pages=40000 stable=2000 synced=400
arguments=("$@")
while (($# > 0)); do
	case $1 in
	--short) short=y rounds=1 times=2 files=2000 large=64 many=500 pages=4000 stable=300 synced=100 ;;
	--rounds)
		rounds=$2
		shift
		;;
	--realtime) chrt -f -p 1 $$ ;;
	--tsv | --svg)
		[[ $1 == --tsv ]] && tsv=$(readlink -f "$2") || svg=$(readlink -f "$2")
		shift
		;;
	*)
		echo "nfs.sh: unknown option $1" >&2
		exit 2
		;;
	esac
	shift
done
cd "$(dirname "$0")"
# shellcheck source=tests/nfs/lab.sh
. ../nfs/lab.sh
# shellcheck source=tests/bench/nfs-lab.sh
. ./nfs-lab.sh
bench_need
lab_enter "${arguments[@]}"

readonly RELAXED=dc-a6-32-01-02-03 STRICT=dc-a6-32-01-02-04 PLAIN=plain SYNC=sync
readonly EMPTY='empty call'

# measure NAME CLIENT ARGUMENT…: a line of $LAB/raw: round, kind, name, operations, ns, ns of CPU there and here
measure()
{
	local name=$1 client=$2 line
	shift 2
	line=$(nfswork "$client" --list "$LAB/$client.list" "$@") || lab_fail "$name on $kind"
	printf '%s\t%s\t%s\t%s\n' "$round" "$kind" "$name" "${line// /$'\t'}" >>"$LAB/raw"
}

# The first use of a page of a virtual machine's memory costs far more than any later one.
touch_memory()
{
	head -c 3G /dev/zero >"$LAB/disk/zeros"
	rm "$LAB/disk/zeros"
}

stage()
{
	bench_stage 8G
	[[ -n $short ]] || touch_memory
	mkdir "$LAB/disk/$PLAIN"
	"$FSWORK" make "$LAB/disk/$PLAIN" "$files" "$large" 16
	tool import bench "$LAB/disk/$PLAIN"
	tool add "$RELAXED" bench overlay relaxed
	tool add "$STRICT" bench overlay strict
	loop_mount "$LAB/sync.img" 2G "$LAB/$SYNC" sync
}

# A reset between two rounds makes new handles.
make_list() # CLIENT
{
	bench_up
	nfswork "$1" map >"$LAB/$1.list"
	[[ $(grep -c '' "$LAB/$1.list") == "$(find "$LAB/disk/$PLAIN" | grep -c '')" ]] || lab_fail "the trees differ"
}

metadata() # CLIENT
{
	local work
	for work in lookup getattr list small read; do
		bench_cold
		measure "$work, cold" "$1" "$work"
	done
	nfswork "$1" --list "$LAB/$1.list" read >/dev/null
	measure "$EMPTY" "$1" null "$pages"
	for work in lookup getattr list small lookup4 getattr4 small4; do
		nfswork "$1" --list "$LAB/$1.list" "$work" >/dev/null
		measure "$work" "$1" --times "$times" "$work"
	done
	measure "random 4 KiB" "$1" random "$pages"
	measure "read" "$1" --depth 4 --times "$times" read
	measure "read4" "$1" --depth 4 --times "$times" read4
}

# What is written stays until the end of the round, then it goes.
writing() # CLIENT
{
	measure "create, 16 directories" "$1" --clients 16 --depth 1 create "$many"
	measure "create, 1 directory" "$1" create "$many"
	measure "write 4 KiB, unstable" "$1" unstable "$pages"
	measure "write 4 KiB, stable" "$1" stable "$stable"
	measure "write 1 MiB" "$1" --depth 4 write "$((large / 2))"
}

syncing() # CLIENT
{
	: >"$LAB/$1.list"
	measure "strict: create, 1 writer" "$1" --depth 1 create "$synced"
	measure "strict: create, 16 writers, 16 directories" "$1" --clients 16 --depth 1 create "$((4 * synced))"
	measure "strict: create, 16 writers, 1 directory" "$1" --clients 16 --depth 1 create-one "$((4 * synced))"
	measure "strict: write 4 KiB, 16 writers" "$1" --clients 16 --depth 1 stable "$((4 * synced))"
}

one_round()
{
	if [[ $kind == cowherd ]]; then
		bench_conf cowherd "$RELAXED" "$STRICT"
		make_list "$RELAXED"
		metadata "$RELAXED"
		writing "$RELAXED"
		syncing "$STRICT"
		bench_down
		tool reset "$RELAXED"
		tool reset "$STRICT"
	else
		bench_conf vfs "$LAB/disk/$PLAIN" "$LAB/$SYNC"
		make_list "$PLAIN"
		metadata "$PLAIN"
		writing "$PLAIN"
		syncing "$SYNC"
		bench_down
		rm -rf "$LAB/disk/$PLAIN"/{create,unstable,stable,write}-[0-9]* "$LAB/$SYNC"/*-[0-9]*
	fi
	sync -f "$LAB/disk"
}

stage
for ((round = 1; round <= rounds; round++)); do
	for kind in cowherd vfs; do
		one_round
	done
done
status=0
echo "medians of $rounds rounds; tree of $files files; $(nproc) cores, $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), kernel $(uname -r | cut -d. -f1,2), nfs-ganesha $(dpkg-query -Wf '${Version}' nfs-ganesha 2>/dev/null || echo '?')"
./nfs-report "$LAB/raw" "${tsv:-$LAB/tsv}" || status=$?
[[ -z $svg ]] || ./plot "${tsv:-$LAB/tsv}" "$svg"
[[ -z $short || $status != 1 ]] || status=0
exit "$status"
