#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# fuse.sh [--short] [--realtime] [--tsv FILE] [--svg FILE] [KIND...] - cowherd-fuse side by side with fuse-overlayfs
# and the kernel's overlayfs: the same workloads (fswork.c) over the same lower tree, one ext4, in turns.
# Prints a table of medians, the goals, and whether they are met; ends with 1 when one is missed.
#
#	--short     fewer rounds, a smaller tree: to see that it works; goals that are missed are no failure
#	--realtime  before all other processes, for a machine that has others; FUSE servers too
#	--tsv FILE  the medians, for tests/bench/plot
#	--svg FILE  the plot itself
#	KIND        others than cowherd fuse-overlayfs kernel (tests/torture/stage.sh); no goals then
#
# After the table: what a FUSE server that does nothing (floor.c) takes for the same calls on the same machine.
# The environment also names FSWORK and FLOOR.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"
# shellcheck source=../torture/stage.sh
. "$(dirname "$0")/../torture/stage.sh"

here=$(dirname "$(readlink -f "$0")")
rounds=5 files=10000 large=512 medium=64 few=500 some=1000 many=3000 storm=200000
tsv=$work/tsv svg='' short=''
kinds=()
while (($# > 0)); do
	case $1 in
	--short) short=y rounds=2 files=2000 large=64 medium=16 few=100 some=200 many=500 storm=20000 ;;
	--realtime) chrt -f -p 1 $$ ;;
	--tsv | --svg)
		[[ $1 == --tsv ]] && tsv=$2 || svg=$2
		shift
		;;
	-*) die "unknown option $1" ;;
	*) kinds+=("$1") ;;
	esac
	shift
done
((${#kinds[@]} > 0)) || kinds=(cowherd fuse-overlayfs kernel)
for kind in "${kinds[@]}"; do
	have "$kind" || exit 77
done

# do_work NAME FSWORK-ARGUMENT...: one measurement of $kind in $round.
do_work()
{
	local name=$1 ns
	shift
	ns=$("$FSWORK" "$@") || die "$name on $kind"
	printf '%s\t%s\t%s\t%s\n' "$round" "$kind" "$name" "$ns" >>"$work/raw"
}

# cold: nothing of it is in any cache; warm_disk: the lower tree is, the mount is new.
cold()
{
	! mountpoint -q "$at" || down "$kind"
	sync -f "$work/disk"
	echo 3 >/proc/sys/vm/drop_caches
	up "$kind"
}
warm_disk()
{
	down "$kind"
	"$FSWORK" read "$lower" >/dev/null
	"$FSWORK" readfile "$lower/large" >/dev/null
	up "$kind"
}

one_round()
{
	at=$(mnt "$kind")
	cold
	do_work 'walk cold' walk "$at"
	do_work 'walk second' walk "$at"
	do_work 'walk warm' walk "$at"
	do_work 'walk warm, 2 threads' walk "$at" 2
	do_work "stat of $storm files" stat "$at" "$files" "$storm"
	cold
	do_work 'tar read cold' read "$at"
	warm_disk
	do_work 'tar read first' read "$at"
	do_work 'tar read second' read "$at"
	do_work 'tar read warm' read "$at"
	do_work "read $large MiB first" readfile "$at/large"
	do_work "read $large MiB warm" readfile "$at/large"
	do_work "create $many" create "$at" "$many"
	do_work "open $many" open "$at" "$many"
	do_work "unlink $many" unlink "$at" "$many"
	do_work "copy-up of $some small" change "$at" "$some"
	do_work "append to $few" append "$at" "$few"
	do_work 'rm -r of lower' rmtree "$at"
	sync -f "$work/disk"
	do_work "copy-up of $medium MiB" change1 "$at/medium"
	sync -f "$work/disk"
	do_work "write $large MiB" write "$at/written" "$large"
	sync -f "$work/disk"
	do_work "read it" readfile "$at/written"
	down "$kind"
	fresh "$kind"
}

# one_floor: no server can be faster than this one.
one_floor()
{
	local at=$work/mnt/floor kind=floor pid tries=0
	mkdir -p "$at"
	"$FLOOR" "$at" &
	pid=$!
	until mountpoint -q "$at"; do
		if ((tries++ > 500)) || ! kill -0 "$pid" 2>/dev/null; then
			die "the floor was not mounted"
		fi
		sleep 0.02
	done
	do_work "create $many" create "$at" "$many"
	do_work "open $many" open "$at" "$many"
	do_work "unlink $many" unlink "$at" "$many"
	umount "$at"
	wait "$pid" || die "the floor's server ended with $?"
}

stage 6G
"$FSWORK" make "$lower" "$files" "$large" "$medium"
for ((round = 1; round <= rounds; round++)); do
	for kind in "${kinds[@]}"; do
		one_round
	done
	[[ -z ${FLOOR:-} ]] || one_floor
done
status=0
echo "medians of $rounds rounds; lower tree of $files files; 2 shared cores, Debian 12, kernel $(uname -r | cut -d. -f1,2)"
"$here/fuse-report" "$work/raw" "$tsv" || status=$?
[[ -z $svg ]] || "$here/plot" "$tsv" "$svg"
[[ -z $short || $status != 1 ]] || status=0
exit "$status"
