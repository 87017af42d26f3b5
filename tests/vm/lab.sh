# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash source-path=SCRIPTDIR
# lab.sh - virtual clients in a network of their own; to be sourced by a test.
#
#	. "$(dirname "$0")/lab.sh"
#	lab_image		# if a Debian root is needed: sets LAB_IMAGE
#	lab_enter "$@"		# the rest runs inside the lab
#	lab_tap tap0
#	qemu_start one tap0 52:54:00:77:00:01
#	console_wait one 600 'login:'
#
# The lab is a set of namespaces (network, mounts, processes) with the test as
# its first process. Nothing in it can outlive the test, however the test ends:
# the kernel kills every process of a process namespace with its first one, and
# taps, bridge and mounts vanish with the last process. Nothing is routed out.
#
# Inside: $LAB is an empty folder for this run (removed at the end unless
# LAB_KEEP is set), /run is an empty tmpfs, the server has $LAB_ADDR on $LAB_BRIDGE.
#
# COWHERD_TEST_BACKEND says how clients' roots are kept: overlay (default), in a store on ext4, or btrfs.
set -euo pipefail

LAB_BRIDGE=br0
LAB_ADDR=10.77.0.1
LAB_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # for the tests
LAB_TOP=$(cd "$LAB_SOURCE/../.." && pwd)
# shellcheck disable=SC2034 # for the other parts
LAB_CACHE=${COWHERD_CACHE:-/var/cache/cowherd}
LAB_BACKEND=${COWHERD_TEST_BACKEND:-overlay}

lab_say()
{
	printf '%s: %6.1f s: %s\n' "${0##*/}" "$(lab_seconds)" "$*" >&2
}

# Seconds since the lab began, with a fraction.
lab_seconds()
{
	local up
	read -r up _ </proc/uptime
	awk -v a="$up" -v b="${LAB_START:-$up}" 'BEGIN { printf "%.1f", a - b }'
}

lab_fail()
{
	lab_say "FAILED: $*"
	exit 1
}

# A test that cannot run here says why, loudly, and counts as skipped.
lab_skip()
{
	echo "${0##*/}: SKIPPED: $*" >&2
	exit 77
}

# lab_need COMMAND... - or the test is skipped.
lab_need()
{
	local c
	for c; do
		command -v "$c" >/dev/null || lab_skip "'$c' is not installed (tools/setup --sets image,run,test installs it)"
	done
}

# lab_need_file PACKAGE FILE - or the test is skipped.
lab_need_file()
{
	[ -e "$2" ] || lab_skip "no '$2': package $1 is not installed (tools/setup --sets image,run,test installs it)"
}

# lab_enter ARGS... - start the calling script again inside the lab, with these arguments.
lab_enter()
{
	if [ -z "${LAB:-}" ]; then
		[ "$(id -u)" -eq 0 ] || lab_skip "needs root"
		[ -c /dev/net/tun ] || lab_skip "needs /dev/net/tun"
		LAB=$(mktemp -d "${LAB_BASE:-/var/tmp}/cowherd-lab.XXXXXX")
		export LAB
		local status=0 child
		setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc \
			--propagation private -- "$0" "$@" &
		child=$!
		# The first process of a namespace gets no signal it does not handle, and
		# unshare passes none on: the end of unshare is what ends the lab.
		trap 'kill -KILL "$child" 2>/dev/null' TERM INT HUP
		wait "$child" || status=$?
		while kill -0 "$child" 2>/dev/null; do wait "$child" || status=$?; done
		if [ -n "${LAB_KEEP:-}" ]; then
			echo "${0##*/}: kept: $LAB" >&2
		else
			rm -rf --one-file-system "$LAB"
		fi
		exit "$status"
	fi
	[ "$$" -eq 1 ] || lab_fail "LAB is set, but this is not the first process of a lab"
	read -r LAB_START _ </proc/uptime
	exec </dev/null
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/lock
	ip link set lo up
	ip link add "$LAB_BRIDGE" type bridge forward_delay 0
	lab_no_offload "$LAB_BRIDGE"
	ip addr add "$LAB_ADDR/24" dev "$LAB_BRIDGE"
	ip link set "$LAB_BRIDGE" up
	# User-mode Linux now and then overlooks a frame until the next one comes: TCP is not to wait 200 ms with that.
	ip route change "${LAB_ADDR%.*}.0/24" dev "$LAB_BRIDGE" src "$LAB_ADDR" rto_min 5ms
	trap 'lab_end $?' EXIT
	trap 'exit 143' TERM INT HUP
}

lab_end()
{
	local status=$1 log
	trap - EXIT
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		for log in "$LAB"/*/console.log "$LAB"/*.log; do
			[ -s "$log" ] || continue
			echo "--- last lines of ${log#"$LAB"/}" >&2
			tail -n "${LAB_TAIL:-25}" "$log" | tr -d '\r' >&2
		done
	fi
	exit "$status"
}

# Segments larger than a frame stall TCP through the taps of User-mode Linux.
lab_no_offload()
{
	ip link set "$1" gso_max_size 1514 gso_max_segs 1
}

# lab_tap NAME - the place to plug one client in.
lab_tap()
{
	ip tuntap add dev "$1" mode tap
	lab_no_offload "$1"
	ip link set "$1" master "$LAB_BRIDGE" up
}

# lab_spawn NAME COMMAND... - run in the background, output to $LAB/NAME.log, process id to $LAB/NAME.pid.
lab_spawn()
{
	local name=$1
	shift
	"$@" </dev/null >>"$LAB/$name.log" 2>&1 &
	lab_note_pid "$name"
}

# The last background process is NAME from here on. Disowned, so that bash keeps quiet about its end;
# it is still bash, the first process here, that reaps it.
lab_note_pid()
{
	echo $! >"$LAB/$1.pid"
	disown $!
}

# lab_alive NAME - is what lab_spawn or a client start began still there?
lab_alive()
{
	local pid
	pid=$(cat "$LAB/$1.pid") && [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}

# lab_stop NAME [SIGNAL [SECONDS]] - signal and wait for the end; 1 if it had to be killed.
lab_stop()
{
	local pid tries=$((${3:-20} * 10))
	pid=$(cat "$LAB/$1.pid")
	kill -"${2:-TERM}" "$pid" 2>/dev/null || :
	while lab_alive "$1"; do
		[ $((tries--)) -gt 0 ] || {
			lab_say "$1 does not end, killing it"
			kill -KILL "$pid"
			return 1
		}
		sleep 0.1
	done
}

# lab_until SECONDS COMMAND... - repeat until it succeeds.
lab_until()
{
	local end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt "$end" ] || return 1
		sleep 0.2
	done
}

lab_tcp_open()
{
	(exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# lab_dbus - a system bus of the lab's own; exports DBUS_SYSTEM_BUS_ADDRESS.
lab_dbus()
{
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$LAB/dbus.sock
	cat >"$LAB/dbus.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>$DBUS_SYSTEM_BUS_ADDRESS</listen>
  <policy context="default">
    <allow user="root"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
END
	lab_spawn dbus dbus-daemon --nofork --nopidfile --config-file="$LAB/dbus.conf"
	lab_until 10 test -S "$LAB/dbus.sock" || lab_fail "dbus-daemon does not start"
}

# lab_rpcbind - the port mapper; Ganesha 4.3 ends at once when it is to serve version 3 and finds none.
lab_rpcbind()
{
	mkdir -p /run/rpcbind
	lab_spawn rpcbind rpcbind -f -w
	lab_until 10 lab_tcp_open 127.0.0.1 111 || lab_fail "rpcbind does not answer"
}

# lab_store_need - before lab_enter: what lab_store needs, or the test is skipped.
lab_store_need()
{
	case $LAB_BACKEND in
	overlay) lab_need mkfs.ext4 ;;
	btrfs) lab_need mkfs.btrfs ;;
	*) lab_fail "COWHERD_TEST_BACKEND=$LAB_BACKEND: must be overlay or btrfs" ;;
	esac
}

# lab_store DIR SIZE - an empty store, mounted on DIR from the file $LAB/store.img.
lab_store()
{
	if [ "$LAB_BACKEND" = btrfs ]; then
		cowherd init --store "$1" --loop "$2" "$LAB/store.img"
		return
	fi
	truncate -s "$2" "$LAB/store.img"
	mkfs.ext4 -q -b 4096 "$LAB/store.img"
	mkdir "$1"
	mount -o loop,noatime "$LAB/store.img" "$1"
	cowherd init --store "$1"
}

# lab_image - set LAB_IMAGE to the folder of the Debian root (tools/mkimage), built on first use.
# To be called before lab_enter: inside, the archive is out of reach.
lab_image()
{
	[ -n "${LAB_IMAGE:-}" ] || LAB_IMAGE=$("$LAB_TOP/tools/mkimage") || lab_skip "no test image"
	export LAB_IMAGE
}

# shellcheck source=console.sh
. "$LAB_SOURCE/console.sh"
# shellcheck source=qemu.sh
. "$LAB_SOURCE/qemu.sh"
# shellcheck source=uml.sh
. "$LAB_SOURCE/uml.sh"
# shellcheck source=scripts.sh
. "$LAB_SOURCE/scripts.sh"
