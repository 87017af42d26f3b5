#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# nfs-scale.sh [--short] [--memory] [--tsv FILE] [--svg FILE] - a herd that boots: N clients at once, each replaying what a Debian
# asked for when it booted (boot-debian12.list), 1 to 200 of 500 that are defined; beside it FSAL_VFS with a full copy of the tree for
# each client, copies that share their blocks (xfs). Both cold: the server started anew, nothing in memory.
# Prints for each N time, CPU and memory of the server and what was read from the disk. Ends with 1 when a client gets
# another answer than the recorded one. Then memory alone: N clients that look up and list all of a Debian, with the
# settings of a machine with 1 GB and of one with 24 GB (tools/serve_nfs_size.c).
#
#	--short     50 of 100 clients, without FSAL_VFS
#	--memory    the memory alone
#	--tsv FILE  the figures
#	--svg FILE  their plot
set -euo pipefail
tsv='' svg='' memory=y defined=500 steps=(1 20 50 100 200) kinds=(cowherd vfs)
arguments=("$@")
while (($# > 0)); do
	case $1 in
	--short) memory='' defined=100 steps=(50) kinds=(cowherd) ;;
	--memory) defined=0 steps=(0) kinds=() ;;
	--tsv | --svg)
		[[ $1 == --tsv ]] && tsv=$(readlink -f "$2") || svg=$(readlink -f "$2")
		shift
		;;
	*)
		echo "nfs-scale.sh: unknown option $1" >&2
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
[[ -x ${NFSREPLAY:?} ]] || lab_skip "nfsreplay is not built"
lab_enter "${arguments[@]}"
most=${steps[-1]}

mac() { printf 'dc-a6-32-02-%02x-%02x' $(($1 / 256)) $(($1 % 256)); }

stage()
{
	local debian n
	debian=$(../../tools/mkimage) || lab_skip "tools/mkimage made no Debian root"
	./bootlist "$debian" "$LAB/boot"
	BENCH_FS=xfs bench_stage 12G
	tool import boot "$LAB/boot/tree"
	for ((n = 1; n <= defined; n++)); do
		tool add "$(mac "$n")" boot overlay strict
	done
	[[ " ${kinds[*]} " != *" vfs "* ]] || stage_copies
}

stage_copies()
{
	local n
	mkdir "$LAB/disk/copies"
	cp -a "$LAB/boot/tree" "$LAB/disk/copies/1"
	for ((n = 2; n <= most; n++)); do
		cp -a --reflink=always "$LAB/disk/copies/1" "$LAB/disk/copies/$n"
	done
	sync -f "$LAB/disk"
}

configure()
{
	local all=() n
	if [[ $kind == vfs ]]; then
		for ((n = 1; n <= most; n++)); do all+=("$LAB/disk/copies/$n"); done
	else
		for ((n = 1; n <= defined; n++)); do all+=("$(mac "$n")"); done
	fi
	bench_conf "$kind" "${all[@]}"
}

path_of() # CLIENT
{
	[[ $kind == vfs ]] && echo "/clients/$1" || echo "/clients/$(mac "$1")"
}

read_kib()
{
	local disk
	disk=$(findmnt -no SOURCE "$LAB/disk" | head -n 1)
	awk '{ print $3 / 2 }' "/sys/block/${disk##*/}/stat"
}

# A line of $LAB/raw: kind, N, seconds, seconds of CPU there and here, MiB of memory of the server, MiB from the disk.
storm() # N
{
	local n=$1 paths=() k line before
	for ((k = 1; k <= n; k++)); do paths+=("$(path_of "$k")"); done
	bench_cold
	before=$(read_kib)
	line=$("$NFSREPLAY" --server "$LAB_ADDR" --port "$LAB_PORT" --mount-port "$LAB_MOUNT_PORT" --pid "$LAB_SERVER" \
		"$LAB/boot/recording" "${paths[@]}") || lab_fail "$n clients of $kind"
	echo "$line $before $(read_kib)" | awk -v kind="$kind" -v n="$n" '{ printf "%s\t%d\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\n",
		kind, n, $2 / 1e9, $3 / 1e9, $4 / 1e9, $6 / 1024, ($8 - $7) / 1024 }' | tee -a "$LAB/raw"
}

# So much of it stays when everything was touched.
whole_trees()
{
	local n k size all=() paths
	tool import debian "$(../../tools/mkimage)"
	./bootlist "$(../../tools/mkimage)" "$LAB/whole" whole
	for ((n = 1001; n <= 1100; n++)); do
		tool add "$(mac "$n")" debian overlay strict
		all+=("$(mac "$n")")
	done
	echo "all of a Debian: $(grep -c ^L "$LAB/whole/recording") objects"
	printf 'remembered\tthreads\tN\tMiB memory\n'
	bench_conf cowherd "${all[@]}"
	for size in '59000 57 57' '300000 200 256'; do
		# shellcheck disable=SC2086 # three words
		set -- $size
		sed -i "s/Entries_HWMark = [0-9]*/Entries_HWMark = $1/; s/ThrdMax = [0-9]*/ThrdMax = $2/" "$LAB/ganesha.conf"
		for n in 1 20 100; do
			paths=()
			for ((k = 0; k < n; k++)); do paths+=("/clients/${all[k]}"); done
			LAB_KEEP=$(($3 << 20)) bench_cold
			"$NFSREPLAY" --server "$LAB_ADDR" --port "$LAB_PORT" --mount-port "$LAB_MOUNT_PORT" --pid "$LAB_SERVER" \
				"$LAB/whole/recording" "${paths[@]}" |
				awk -v e="$1" -v t="$2" -v n="$n" '{ printf "%d\t%d\t%d\t%.0f\n", e, t, n, $5 / 1024 }'
		done
	done
	bench_down
}

stage
echo "$(grep -vc '^[FS]' "$LAB/boot/recording") calls for each client, $(awk '$1 == "R" { n += $4 } END { printf "%d", n / 1048576 }' "$LAB/boot/recording") MiB read, $(nproc) cores, $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)"
printf 'kind\tN\ts\tCPU s\tclients CPU s\tMiB memory\tMiB read\n' | tee "$LAB/raw"
for kind in "${kinds[@]}"; do
	configure
	for n in "${steps[@]}"; do
		storm "$n"
	done
	bench_down
done
if [[ -n $memory ]]; then
	whole_trees
fi
[[ -z $tsv ]] || cp "$LAB/raw" "$tsv"
[[ -z $svg ]] || ./plot-scale "$LAB/raw" "$svg"
