# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# A place for tests of the NFS plugin: own network, mounts and process ids, a store on a file, a private
# bus, a port mapper (Debian's Ganesha does not start without one) and the server.
#
#	lab_enter "$@"	first line of a test, which stands in its own folder: starts the script again inside
#	lab_store	/…/store with an empty cowherd store
#	lab_up, lab_kill, lab_down	the server; lab_up waits until it answers,
#			lab_after_grace until it takes everything
#	lab_bus METHOD ARG…	a call to its export manager
# All of it is gone when the script ends, however it ends: the kernel kills what lives in the pid
# namespace, and the mounts and loop devices go with the mount namespace.
#
# Environment: LAB_PLUGIN (folder of libfsalcowherd.so), LAB_TOOLS (folder of the test programs),
# COWHERD_TEST_BACKEND: overlay (default), in a store on ext4; or btrfs. COWHERD_TEST_FS: another file system for
# the store. LAB_SIZE, LAB_INODES: of it.

readonly LAB_ADDR=10.99.0.1 LAB_PORT=20490 LAB_MOUNT_PORT=20491
readonly GRACE_S=3
# shellcheck disable=SC2034 # used by the tests
readonly M1=dc-a6-32-01-02-03 M2=dc-a6-32-01-02-04 M3=dc-a6-32-01-02-05 M4=dc-a6-32-01-02-06
readonly LAB_BACKEND=${COWHERD_TEST_BACKEND:-overlay}
case $LAB_BACKEND in overlay) LAB_FS=${COWHERD_TEST_FS:-ext4} ;; *) LAB_FS=btrfs ;; esac

lab_skip()
{
	echo "SKIPPED: $*" >&2
	exit 77
}

lab_fail()
{
	echo "not ok - $*"
	if [[ -f ${LAB:-}/server.log ]]; then
		echo "--- end of the server's log:" >&2
		tail -n 12 "$LAB/server.log" | cut -d : -f 5- >&2
	fi
	exit 1
}

lab_ok() { echo "ok - $*"; }

lab_need()
{
	[[ $EUID -eq 0 ]] || lab_skip "needs root"
	local p
	for p in ganesha.nfsd rpcbind dbus-daemon dbus-send "mkfs.$LAB_FS" unshare ip; do
		command -v "$p" >/dev/null || lab_skip "needs $p (tools/setup installs it)"
	done
	[[ -e ${LAB_PLUGIN:?}/libfsalcowherd.so && -d ${LAB_TOOLS:?} ]] || lab_skip "the NFS plugin is not built"
}

lab_enter()
{
	if [[ -n ${LAB:-} ]]; then
		lab_inside
		return
	fi
	lab_need
	local dir rc=0
	dir=$(mktemp -d "${TMPDIR:-/tmp}/cowherd-nfs-XXXXXX")
	# The folder outlives the namespaces: removed out here, where nothing is mounted in it.
	LAB=$dir unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
		bash "$PWD/${0##*/}" "$@" || rc=$?
	rm -rf -- "$dir"
	exit "$rc"
}

lab_inside()
{
	ip link set lo up
	# The server wants an interface beside lo that is up.
	ip link add lab0 type veth peer name lab1
	ip addr add "$LAB_ADDR/24" dev lab0
	ip link set lab0 up
	ip link set lab1 up
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/rpcbind "$LAB/store" "$LAB/recovery"
	lab_daemons
}

lab_daemons()
{
	cat >"$LAB/bus.conf" <<-XML
	<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
	 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
	<busconfig>
	 <type>cowherd</type><listen>unix:path=$LAB/bus</listen><auth>EXTERNAL</auth>
	 <policy context="default"><allow user="root"/><allow own="*"/>
	  <allow send_destination="*"/><allow receive_sender="*"/></policy>
	</busconfig>
	XML
	dbus-daemon --config-file="$LAB/bus.conf" --nofork --nopidfile >"$LAB/bus.log" 2>&1 &
	rpcbind -f -h "$LAB_ADDR" >"$LAB/rpcbind.log" 2>&1 &
	lab_wait 5 test -S "$LAB/bus" || lab_fail "the bus does not start"
	lab_wait 5 test -S /run/rpcbind.sock || lab_fail "rpcbind does not start"
}

lab_wait() # SECONDS COMMAND…
{
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[[ $SECONDS -lt $end ]] || return 1
		sleep 0.05
	done
}

lab_store()
{
	truncate -s "${LAB_SIZE:-1G}" "$LAB/store.img"
	local -a opts=()
	[[ $LAB_FS != ext4 || ! ${LAB_INODES:-} ]] || opts=(-N "$LAB_INODES")
	"mkfs.$LAB_FS" -q "${opts[@]}" "$LAB/store.img" >/dev/null || lab_skip "mkfs.$LAB_FS fails here"
	mount -o loop,noatime "$LAB/store.img" "$LAB/store" || lab_skip "no loop mounts here"
	# mkfs leaves the root directory to anybody's eyes; the store is root's
	"$LAB_TOOLS/store_tool" init "$LAB/store" || lab_fail "no store on $LAB/store"
}

tool() { "$LAB_TOOLS/store_tool" "$1" "$LAB/store" "${@:2}"; }

make_image() # what the test programs expect
{
	local d f
	mkdir -p "$LAB/image/big" "$LAB/image/some" "$LAB/image/tree" "$LAB/image/links/far"
	(cd "$LAB/image/big" && seq -f 'f%04g' 0 4999 | xargs touch)
	(cd "$LAB/image/some" && seq -f 'f%03g' 0 599 | xargs touch)
	echo linked >"$LAB/image/links/a"
	ln "$LAB/image/links/a" "$LAB/image/links/b"
	ln "$LAB/image/links/a" "$LAB/image/links/far/c"
	for d in 1 2 3 4 5; do
		mkdir "$LAB/image/tree/d$d"
		for f in 1 2 3 4; do
			echo "$f" >"$LAB/image/tree/d$d/f$f"
		done
		ln -s f1 "$LAB/image/tree/d$d/l"
	done
	mkdir -p "$LAB/image/tree/d1/d2/d3"
	echo golden >"$LAB/image/hello"
	chmod 755 "$LAB/image"
	tool import test "$LAB/image"
}

lab_export_block() # MAC ID [ADDRESS]
{
	cat <<-CONF
	EXPORT { Export_Id = $2; Path = "/clients/$1"; Pseudo = "/clients/$1";
	 Access_Type = NONE; Squash = no_root_squash; SecType = sys;
	 CLIENT { Clients = ${3:-$LAB_ADDR}; Access_Type = RW; } FSAL { Name = COWHERD; } }
	CONF
}

write_exports() # MAC…
{
	local m
	for m in "$@"; do
		lab_export_block "$m" "$(tool id "$m")"
	done >"$LAB/exports.conf"
}

lab_conf() # DIR_CHUNK [more of the block COWHERD]
{
	cat >"$LAB/ganesha.conf" <<-CONF
	NFS_CORE_PARAM { Protocols = 3, 4; mount_path_pseudo = true; Enable_NLM = false; NFSACL_Program = 536870912;
	 Enable_RQUOTA = false; Plugins_Dir = "$LAB_PLUGIN"; NFS_Port = $LAB_PORT;
	 MNT_Port = $LAB_MOUNT_PORT; Bind_addr = $LAB_ADDR; }
	NFSV4 { Minor_Versions = 0, 1, 2; Only_Numeric_Owners = true; Graceless = false;
	 Lease_Lifetime = $GRACE_S; Grace_Period = $GRACE_S; Delegations = false;
	 RecoveryRoot = "$LAB/recovery"; }
	NFS_KRB5 { Active_krb5 = false; }
	MDCACHE { Dir_Chunk = $1; Entries_HWMark = 300000; }
	EXPORT_DEFAULTS { SecType = sys; Access_Type = NONE; Squash = no_root_squash;
	 Attr_Expiration_Time = 60; }
	LOG { Default_Log_Level = EVENT; COMPONENTS { EXPORT = INFO; NFSPROTO = INFO; }
	 FACILITY { name = FILE; destination = "$LAB/server.log"; max_level = EVENT; headers = all;
	  enable = active; } }
	COWHERD { Store = "$LAB/store"; ${2:-} }
	%include "$LAB/exports.conf"
	CONF
}

lab_answers() { "$LAB_TOOLS/nfs_handle" ping "$LAB_ADDR" "$LAB_PORT" >/dev/null; }

lab_on_bus() { lab_bus ShowExports >/dev/null; }

lab_up()
{
	DBUS_SYSTEM_BUS_ADDRESS=unix:path=$LAB/bus \
		MALLOC_ARENA_MAX=4 MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=${LAB_KEEP:-268435456} \
		ganesha.nfsd -F -f "$LAB/ganesha.conf" -p "$LAB/ganesha.pid" -L "$LAB/server.log" \
		>>"$LAB/server.out" 2>&1 &
	LAB_SERVER=$!
	lab_wait 15 lab_answers || lab_fail "the server does not answer"
	lab_wait 5 lab_on_bus || lab_fail "the server is not on the bus"
}

lab_alive() { kill -0 "$LAB_SERVER" 2>/dev/null; }

lab_kill()
{
	kill -9 "$LAB_SERVER"
	wait "$LAB_SERVER" 2>/dev/null || true
}

lab_down() # stops it the clean way; its exit status must be 0
{
	local rc=0
	kill -TERM "$LAB_SERVER"
	lab_wait "${LAB_PATIENCE:-20}" lab_gone || lab_fail "the server does not end after SIGTERM"
	wait "$LAB_SERVER" || rc=$?
	[[ $rc -eq 0 ]] || lab_fail "the server ended with status $rc after SIGTERM"
}

lab_gone() { ! kill -0 "$LAB_SERVER" 2>/dev/null; }

# Clients of the server before it may take their locks back first; until then some calls have to wait.
lab_after_grace() { lab_wait 20 lab_no_grace || lab_fail "the grace period does not end"; }

lab_no_grace()
{
	dbus-send --bus="unix:path=$LAB/bus" --print-reply --reply-timeout="${LAB_REPLY_MS:-10000}" \
		--dest=org.ganesha.nfsd /org/ganesha/nfsd/admin org.ganesha.nfsd.admin.get_grace |
		grep -q 'boolean false'
}

lab_bus() # METHOD [dbus-send arguments]
{
	local method=$1
	shift
	dbus-send --bus="unix:path=$LAB/bus" --print-reply --reply-timeout="${LAB_REPLY_MS:-10000}" \
		--dest=org.ganesha.nfsd /org/ganesha/nfsd/ExportMgr \
		"org.ganesha.nfsd.exportmgr.$method" "$@"
}

lab_client() # PROGRAM VERSION MAC [ARG…]
{
	local program=$1 version=$2 mac=$3
	shift 3
	"$LAB_TOOLS/$program" --server "$LAB_ADDR" --port "$LAB_PORT" --mount-port "$LAB_MOUNT_PORT" \
		--path "/clients/$mac" --version "$version" "$@"
}

lab_root_handle() { "$LAB_TOOLS/nfs_handle" root "$LAB_ADDR" "$LAB_MOUNT_PORT" "/clients/$1"; }
# A machine of its own network and address, 10.99.1.N, which reaches the server.
lab_machine() # NAME N
{
	if ! ip link show labbr >/dev/null 2>&1; then
		ip link add labbr type bridge
		ip addr add 10.99.1.1/24 dev labbr
		ip link set labbr up
	fi
	ip netns add "$1"
	ip link add "to-$1" type veth peer name eth0 netns "$1"
	ip link set "to-$1" master labbr up
	ip -n "$1" link set lo up
	ip -n "$1" addr add "10.99.1.$2/24" dev eth0
	ip -n "$1" link set eth0 up
	ip -n "$1" route add default via 10.99.1.1
}

lab_on() # NAME COMMAND…: run there
{
	ip netns exec "$@"
}

lab_lookup() { "$LAB_TOOLS/nfs_handle" lookup "$LAB_ADDR" "$LAB_PORT" "$1" "$2"; }
lab_path() # HANDLE NAME…: look up one after the other
{
	local h=$1 name
	shift
	for name in "$@"; do
		h=$(lab_lookup "$h" "$name")
	done
	echo "$h"
}
# The engine keeps the `lock` file of a root it has attached open.
is_closed() # MAC
{
	local held
	# A descriptor may go while find looks; that is no answer.
	held=$(find "/proc/$LAB_SERVER/fd" -lname "$LAB/store/clients/$1/roots/*/lock" 2>/dev/null || true)
	[[ -z $held ]]
}

lab_getattr() { "$LAB_TOOLS/nfs_handle" getattr "$LAB_ADDR" "$LAB_PORT" "$1"; }
lab_read() { "$LAB_TOOLS/nfs_handle" read "$LAB_ADDR" "$LAB_PORT" "$1"; }

lab_equal() # WHAT GOT WANT
{
	[[ $2 == "$3" ]] || lab_fail "$1: got '$2', want '$3'"
}

# lab_long ARGUMENT…: does --long come first? Then LONG is set, and pick takes what is for it.
LONG=
lab_long()
{
	[[ ${1:-} == --long ]] || return 1
	LONG=1
}
pick() { if [[ $LONG ]]; then echo "$2"; else echo "$1"; fi; } # SHORT LONG
