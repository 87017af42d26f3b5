# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
# uml.sh - User-mode Linux clients: real kernels with the real NFS client, up in seconds. Part of lab.sh.
#
#	uml_start NAME TAP MAC IP SERVER:/PATH VERSION SCRIPT
#	uml_wait NAME SECONDS		# its status is the script's; 124: too late, 125: no script was run
#	uml_run TAP MAC IP SERVER:/PATH VERSION SCRIPT OUTDIR SECONDS
#
# SCRIPT is text for bash, run as root with the client's NFS root as "/". What it
# prints goes to $LAB/NAME/out/output; /run/out inside is $LAB/NAME/out here, at
# once in both directions, so a script and a test can wait for each other.
# UML_OPTS adds NFS mount options, UML_MEM sets the memory (256M), UML_ARGS adds to the kernel's command line.
# UML_HOSTNAME is what it calls itself, instead of its MAC. What tells it from others is its nfs4_unique_id, the MAC.
# UML_PLAIN=1: the script stays outside the NFS root, which is mounted on /run/root, with programs of the test
# image; /mnt inside is $LAB/NAME/mnt here. `nfs_mount VERSION DIR [SERVER:/PATH]` mounts the root once
# more, or another.

UML_MODULES=${UML_MODULES:-/usr/lib/uml/modules}

# See uml_xstate.c.
uml_preload()
{
	local lib=${COWHERD_BUILD:-}/tests/vm/uml_xstate.so
	[ ! -e "$lib" ] || echo "$lib"
}

uml_start()
{
	local name=$1 tap=$2 mac=$3 ip=$4 root=$5 version=$6 script=$7 dir=$LAB/$1
	[ -d "$UML_MODULES" ] || lab_skip "User-mode Linux and its modules are not installed"
	mkdir -p "$dir/mnt/lib/modules" "$dir/out" "$dir/root" "/run/uml-$name"
	rm -f "$dir/out/"{status,output,mounted}
	printf '%s\n' "$script" >"$dir/mnt/script"
	printf 'UML_%s=%q\n' NAME "${mac//:/-}" IP "$ip" ROOT "$root" VERSION "$version" OPTS "${UML_OPTS:-}" \
		OUT "$dir/out" PLAIN "${UML_PLAIN:-}" HOSTNAME "${UML_HOSTNAME:-${mac//:/-}}" >"$dir/mnt/uml.env"
	cp "$LAB_SOURCE/uml-init" "$dir/mnt/init"
	# What the machine sees by hostfs is put together here with bind mounts.
	if ! mountpoint -q "$dir/root"; then
		mount --bind "$UML_MODULES" "$dir/mnt/lib/modules"
		mount --bind "$LAB_IMAGE" "$dir/root"
		mount -o remount,bind,ro "$dir/root"
		mount --rbind "$dir/mnt" "$dir/root/mnt"
	fi
	console_open "$name"
	# Its memory is a file in TMPDIR. A session of its own: uml_kill ends all of its processes.
	TMPDIR=/run/uml-$name LD_PRELOAD=$(uml_preload) setsid linux.uml "mem=${UML_MEM:-256M}" "umid=$name" "uml_dir=/run/uml-$name" \
		rootfstype=hostfs "rootflags=$dir/root" ro init=/mnt/init panic=-1 quiet \
		con=null con0=null,fd:1 ${UML_ARGS:+"$UML_ARGS"} \
		"vec0:transport=tap,ifname=$tap,depth=64,vec=0,mac=$mac" \
		</dev/null >"$dir/console.log" 2>&1 &
	lab_note_pid "$name"
}

# uml_wait_file NAME SECONDS FILE - wait until the client has made out/FILE.
uml_wait_file()
{
	local end=$(($(date +%s) + $2))
	until [ -e "$LAB/$1/out/$3" ]; do
		lab_alive "$1" || [ -e "$LAB/$1/out/$3" ] || lab_fail "client $1 ended before it made '$3'"
		[ "$(date +%s)" -lt "$end" ] || lab_fail "client $1: no '$3' within $2 s"
		sleep 0.1
	done
}

uml_wait()
{
	local name=$1 end=$(($(date +%s) + $2))
	while lab_alive "$name"; do
		[ "$(date +%s)" -lt "$end" ] || {
			lab_say "client $name: not done within $2 s"
			uml_kill "$name"
			return 124
		}
		sleep 0.1
	done
	[ -s "$LAB/$name/out/status" ] || return 125
	return "$(cat "$LAB/$name/out/status")"
}

# uml_kill NAME - pull the plug.
uml_kill()
{
	local pid
	pid=$(cat "$LAB/$1.pid")
	kill -KILL -- "-$pid" 2>/dev/null || :
	lab_until 10 eval "! lab_alive $1"
}

uml_run()
{
	local name=uml-$1 status=0
	uml_start "$name" "$1" "$2" "$3" "$4" "$5" "$6"
	uml_wait "$name" "$8" || status=$?
	mkdir -p "$7"
	cp -a "$LAB/$name/out/." "$7"
	return "$status"
}
