#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# tftp.sh [--short | --rounds N] [--tsv FILE] [SERVER...] - cowherd-tftpd side by side with dnsmasq, tftpd-hpa and atftpd of this Debian:
# the same files to the same clients (tftpload.c), in turns, in one run. Prints medians: milliseconds, the server's
# CPU milliseconds, what clients had to send again; ends with 1 when a file did not come whole. "floor" is no server:
# the packets of lock-step alone (tftpfloor.c), which nobody can undercut who sends each by itself.
# The other servers are fetched and unpacked, not installed: two of them exclude each other.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
if [[ -z ${COW_BENCH_OTHERS:-} ]]; then
	# The archive is out there; the servers run in a network of their own.
	COW_BENCH_OTHERS=$(mktemp -d "${TMPDIR:-/tmp}/cowherd-others-XXXXXX")
	export COW_BENCH_OTHERS
	trap 'rm -rf "$COW_BENCH_OTHERS"' EXIT
	chmod 755 "$COW_BENCH_OTHERS"
	# shellcheck source=../tftp/others.sh
	. "$(dirname "$0")/../tftp/others.sh"
	fetch_others "$COW_BENCH_OTHERS"
	status=0
	unshare --net "$BASH" "$0" "$@" || status=$?
	exit "$status"
fi
. "$(dirname "$0")/../shell/lib.sh"

here=$(dirname "$(readlink -f "$0")")
rounds=5 short='' tsv=$work/tsv servers=()
while (($# > 0)); do
	case $1 in
	--short) short=y rounds=1 ;;
	--rounds)
		rounds=$2
		shift
		;;
	--tsv)
		tsv=$2
		shift
		;;
	-*) die "unknown option $1" ;;
	*) servers+=("$1") ;;
	esac
	shift
done
((${#servers[@]} > 0)) || servers=(floor cowherd dnsmasq tftpd-hpa atftpd)
ip link set lo up
ip link add out0 type veth peer name out1 # tftpd-hpa wants an interface besides
ip address add 192.0.2.1/24 dev out0
ip link set out0 up
ip link set out1 up
pid=''
end_server()
{
	local status=$?
	[[ -z $pid ]] || kill "$pid" 2>/dev/null
	(exit "$status")
	cleanup
}
trap end_server EXIT
mac=02-00-00-00-00-01

# ------------------------------------------------------------ servers
declare -A program=([dnsmasq]=$(command -v dnsmasq || true) [cowherd]=${TFTPD:?names cowherd-tftpd}
	[floor]=${TFTPFLOOR:?names tftpfloor})
program[tftpd-hpa]=$COW_BENCH_OTHERS/tftpd-hpa/usr/sbin/in.tftpd
program[atftpd]=$COW_BENCH_OTHERS/atftpd/usr/sbin/atftpd
for server in "${servers[@]}"; do
	[[ -x ${program[$server]:-} ]] || {
		echo "NOT RUN: no $server here"
		exit 77
	}
done

# serve SERVER [BLKSIZE]: starts it; sets $pid, and $prefix of the names it knows.
serve()
{
	local name=tiny.img bytes=10
	prefix=''
	case $1 in
	floor)
		"${program[floor]}" 127.0.0.1 "$files/mib.img" "$2" 2>"$work/log" &
		name=mib.img bytes=$mib
		;;
	cowherd)
		"${program[cowherd]}" --store "$store" --listen 127.0.0.1 --log-level warning 2>"$work/log" &
		prefix=$mac/
		;;
	dnsmasq)
		"${program[dnsmasq]}" --conf-file=/dev/null --no-daemon --port=0 --enable-tftp --tftp-root="$files" \
			--tftp-max=2000 --listen-address=127.0.0.1 --user=root --pid-file= 2>"$work/log" &
		;;
	tftpd-hpa) "${program[tftpd-hpa]}" --foreground --listen --user root --address 127.0.0.1:69 --secure "$files" 2>"$work/log" & ;;
	atftpd)
		"${program[atftpd]}" --daemon --no-fork --user root --group root --port 69 --bind-address 127.0.0.1 --maxthread 2000 \
			--verbose=0 --logfile "$work/log" "$files" &
		;;
	esac
	pid=$!
	local tries=0
	until "$TFTPLOAD" 127.0.0.1 "$prefix$name" "$bytes" 1 "${2:-512}" 1 0 2>/dev/null | grep -q ' 0$'; do
		if ((tries++ > 100)) || ! kill -0 "$pid" 2>/dev/null; then
			cat "$work/log"
			die "$1 does not answer"
		fi
		sleep 0.1
	done
}
# tftpd-hpa forks for each client and waits for none: nobody knows what they took.
cpu_ms()
{
	if [[ $server == tftpd-hpa ]]; then
		echo 0
		return
	fi
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13 + $14 + $15) * 1000 / hz }' "/proc/$pid/stat"
}
ends()
{
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	pid=''
}

# ------------------------------------------------------------ work
# measure NAME FILE BYTES CLIENTS BLKSIZE WINDOW LOSS
measure()
{
	local before ms again broken
	before=$(cpu_ms)
	read -r ms again broken < <("$TFTPLOAD" 127.0.0.1 "$prefix$2" "$3" "$4" "$5" "$6" "$7") || die "$1 on $server"
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$server" "$1" "$ms" "$(($(cpu_ms) - before))" "$again" "$broken" >>"$work/raw"
}
windows() # SERVER
{
	[[ $1 == cowherd || $1 == atftpd ]] # the others of Debian 12 know none
}

# One file and one block size for its whole life.
floor_round()
{
	local size
	for size in 512 1468; do
		serve floor "$size"
		measure "$many x 1 MiB, $size" mib.img "$mib" "$many" "$size" 1 0
		[[ -n $short || $size == 512 ]] || measure '1000 x 1 MiB, 1468' mib.img "$mib" 1000 1468 1 0
		ends
	done
}

one_round()
{
	local size w
	serve "$server"
	for size in 512 1468; do
		measure "$((large >> 20)) MiB, $size" large.img "$large" 1 "$size" 1 0
		measure "$many x 1 MiB, $size" mib.img "$mib" "$many" "$size" 1 0
	done
	if windows "$server"; then
		for w in 8 64; do
			measure "$((large >> 20)) MiB, 1468, window $w" large.img "$large" 1 1468 "$w" 0
		done
		measure "$many x 1 MiB, 1468, window 8" mib.img "$mib" "$many" 1468 8 0
		measure "$many x 1 MiB, 1468, window 8, 1 % lost" mib.img "$mib" "$many" 1468 8 10
	fi
	if [[ -z $short ]]; then
		measure "$many x 1 MiB, 1468, 1 % lost" mib.img "$mib" "$many" 1468 1 10
		# atftpd 0.8.0 counts descriptors with select(2) and ends itself beyond 1024.
		[[ $server == atftpd ]] || measure '1000 x 1 MiB, 1468' mib.img "$mib" 1000 1468 1 0
	fi
	ends
}

files=$work/files large=$((32 << 20)) mib=$((1 << 20)) many=200
[[ -z $short ]] || large=$((4 << 20)) many=50
mkdir -p "$files" "$work/tree/boot" "$work/tree/etc"
chmod 755 "$work" "$files"
"$TFTPLOAD" make "$files/large.img" "$large"
"$TFTPLOAD" make "$files/mib.img" "$mib"
"$TFTPLOAD" make "$files/tiny.img" 10
cp "$files"/*.img "$work/tree/boot/"
cp "$files/tiny.img" "$work/tree/boot/tiny.img"
store 512M ext4
cow image import --no-fixup all herd "$work/tree" >/dev/null
cow client add 02:00:00:00:00:01 --image herd >/dev/null
for ((round = 1; round <= rounds; round++)); do
	for server in "${servers[@]}"; do
		if [[ $server == floor ]]; then floor_round; else one_round; fi
	done
done
echo "medians of $rounds rounds; 2 shared cores, Debian 12, kernel $(uname -r | cut -d. -f1,2)"
"$here/tftp-report" "$work/raw" "$tsv"
