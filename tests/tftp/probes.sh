#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# probes.sh TABLE [DIFFERENCES] - TABLE (tests/tftp/probes) said to cowherd-tftpd over a virtual cable, every answer
# compared. With DIFFERENCES it is said to tftpd-hpa, atftpd and dnsmasq of this Debian instead: what they
# answer otherwise has to be explained there.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
export TMPDIR=/var/tmp # what the other servers say of a directory is its size on a disk
if [[ -z ${COW_PROBE_OTHERS:-} ]]; then
	# The archive is out there; the servers run in a network of their own.
	COW_PROBE_OTHERS=$(mktemp -d "$TMPDIR/cowherd-others-XXXXXX")
	export COW_PROBE_OTHERS
	trap 'rm -rf "$COW_PROBE_OTHERS"' EXIT
	chmod 755 "$COW_PROBE_OTHERS"
	if (($# > 1)); then
		. "$(dirname "$0")/others.sh"
		fetch_others "$COW_PROBE_OTHERS"
	fi
	status=0
	unshare --net "$BASH" "$0" "$@" || status=$?
	exit "$status"
fi
. "$(dirname "$0")/../shell/lib.sh"

table=$1 differences=${2:-}
probe=$(dirname "$(readlink -f "$0")")/probe
holder='' pid=''
end_all()
{
	local status=$?
	set +e # who has ended already does not keep the others
	for p in $pid $holder; do
		kill -9 "$p" 2>/dev/null
	done
	(exit "$status")
	cleanup
}
trap end_all EXIT

# The client here, its server at the other end of a cable, so that the neighbour table knows it.
unshare --net sleep infinity &
holder=$!
disown
until [[ $(readlink "/proc/$holder/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do
	sleep 0.01
done
there=(nsenter -t "$holder" -n)
ip link add c0 address 02:00:00:00:00:01 type veth peer name s0 netns "$holder"
ip address add 10.99.0.2/24 dev c0
ip link set c0 up
"${there[@]}" ip link set lo up
"${there[@]}" ip address add 10.99.0.1/24 dev s0
"${there[@]}" ip link set s0 up
if [[ -e /proc/net/if_inet6 ]]; then
	ip address add fe80::2/64 dev c0 nodad
	ip address add fd00:99::2/64 dev c0 nodad
	"${there[@]}" ip address add fe80::1/64 dev s0 nodad
	"${there[@]}" ip address add fd00:99::1/64 dev s0 nodad
fi

# ------------------------------------------------------------ files
# patterned NAME SIZE: bytes as probe expects them
patterned()
{
	python3 -c 'import sys; sys.stdout.buffer.write(bytes((i * 31 + (i >> 8) * 7 + (i >> 16)) & 255 for i in range(int(sys.argv[1]))))' \
		"$2" >"$files/$1"
}
tree=$work/tree files=$work/tree/boot
mkdir -p "$files/sub" "$files/dir.img" "$tree/etc"
chmod 755 "$work" "$tree" "$files"
for name in a.img w.img bootcode.bin start.elf start4.elf secret.img; do
	patterned "$name" 1000
done
patterned b.img 300
patterned sub/b.img 300
patterned exact.img 1024
patterned big.img 70000
printf 'one\ntwo\r\nthree\rend' >"$files/text.txt"
: >"$files/empty.img"
echo 'quiet' >"$files/cmdline.txt"
echo 'password: secret' >"$files/user-data"
echo 'root:x:0:0::/root:/bin/sh' >"$tree/etc/passwd"
chmod 600 "$files/secret.img"
ln -s "$tree/etc/passwd" "$files/out.img"
ln -s ../etc/passwd "$files/up.img"
ln -s a.img "$files/inside.img"
ln -s ../etc "$files/etc.link"
mkfifo "$files/fifo.img"

# ------------------------------------------------------------ servers
# answers: waits until the server does.
answers()
{
	local tries=0
	until python3 - <<'END'; do
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.2)
s.sendto(b'\0\1a.img\0octet\0', ('10.99.0.1', 69))
try:
    data, sender = s.recvfrom(600)
except OSError:
    raise SystemExit(1)
s.sendto(b'\0\5\0\0end\0', sender)
END
		if ((tries++ > 50)) || ! kill -0 "$pid" 2>/dev/null; then
			cat "$work/log"
			die "$1 does not answer"
		fi
		sleep 0.1
	done
}
ends()
{
	local tries=0
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || true
	pid=''
	# Its own children end a moment later, and have the port until then.
	until [[ -z $("${there[@]}" ss -Hlun 'sport = 69') ]]; do
		((tries++ < 100)) || die "port 69 is still taken"
		sleep 0.05
	done
}

failed=0
if [[ -z $differences ]]; then
	store 256M ext4
	cow image import --no-fixup all herd "$tree" >/dev/null
	cow client add 02:00:00:00:00:01 --image herd >/dev/null
	listen=(--listen 0.0.0.0)
	[[ ! -e /proc/net/if_inet6 ]] || listen+=(--listen '[::]')
	"${there[@]}" "${TFTPD:?names cowherd-tftpd}" --store "$store" --log-level warning "${listen[@]}" 2>"$work/log" &
	pid=$!
	answers cowherd-tftpd
	"$probe" "$table" 10.99.0.1 69 || failed=1
	if [[ -e /proc/net/if_inet6 ]]; then
		"$probe" "$table"6 fd00:99::1 69 || failed=1
		"$probe" "$table"6 fe80::1%c0 69 || failed=1
	else
		echo "NOT RUN: IPv6, which this kernel has not"
		((failed)) || failed=77
	fi
	ends
	exit "$failed"
fi

declare -A program=([dnsmasq]=$(command -v dnsmasq || true))
program[tftpd-hpa]=$COW_PROBE_OTHERS/tftpd-hpa/usr/sbin/in.tftpd
program[atftpd]=$COW_PROBE_OTHERS/atftpd/usr/sbin/atftpd
for server in dnsmasq tftpd-hpa atftpd; do
	[[ -x ${program[$server]:-} ]] || {
		echo "NOT RUN: no $server here, and it cannot be fetched (apt-get download)"
		exit 77
	}
done
for server in dnsmasq tftpd-hpa atftpd; do
	case $server in
	dnsmasq)
		args=(--conf-file=/dev/null --no-daemon --port=0 --enable-tftp --tftp-root="$files" --tftp-max=2000
			--user=root --pid-file=)
		;;
	tftpd-hpa) args=(--foreground --listen --user root --address 10.99.0.1:69 --secure "$files") ;;
	atftpd)
		args=(--daemon --no-fork --user root --group root --port 69 --maxthread 2000 --verbose=0
			--logfile "$work/log" "$files")
		;;
	esac
	# Two of them make a process or thread for each client, which go with this one.
	"${there[@]}" unshare --pid --fork --kill-child "${program[$server]}" "${args[@]}" 2>"$work/log" &
	pid=$!
	answers "$server"
	"$probe" "$table" 10.99.0.1 69 --others "$server" "$differences" || failed=1
	ends
done
exit "$failed"
