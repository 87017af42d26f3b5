# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Roots of one lower tree that are mounted in different ways, on one ext4 of its own: for tests and
# benchmarks of cowherd-fuse. Sourced after tests/shell/lib.sh. The lower tree is $lower, to be filled
# before the first `up`. Kinds:
#
#	cowherd             cowherd-fuse
#	cowherd-writeback   the same with --writeback
#	kernel              the kernel's overlayfs
#	fuse-overlayfs      Debian's
#	plain               no overlay: a copy of the lower tree
#
# The environment names the programs: COWHERD_FUSE, MKROOT.

# shellcheck disable=SC2154 # lib.sh makes $work
lower=$work/disk/version/tree
declare -A server=() # process of a kind

# The cleanup of lib.sh takes the mounts; servers that do not end with them are ended here.
stage_end()
{
	local status=$? kind
	set +e
	awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r mounted; do
			umount -l "$mounted"
		done
	for kind in "${!server[@]}"; do
		kill -9 "${server[$kind]}" 2>/dev/null
	done
	(exit "$status")
	cleanup
}
trap stage_end EXIT

# stage SIZE: the disk.
stage()
{
	disk ext4 "$1"
	mkdir -p "$lower"
}

# have KIND: can it be run here? Says why not.
have()
{
	case $1 in
	cowherd*)
		[[ -x ${COWHERD_FUSE:-} && -x ${MKROOT:-} ]] || {
			echo "NOT RUN: no cowherd-fuse (COWHERD_FUSE='${COWHERD_FUSE:-}', MKROOT='${MKROOT:-}')"
			return 1
		}
		;;
	fuse-overlayfs)
		command -v fuse-overlayfs >/dev/null || {
			echo "NOT RUN: fuse-overlayfs is not installed"
			return 1
		}
		;;
	esac
	[[ $1 == plain || $1 == kernel || -c /dev/fuse ]] || {
		echo "NOT RUN: this machine has no /dev/fuse"
		return 1
	}
}

# mnt KIND: where it is mounted.
mnt()
{
	echo "$work/mnt/$1"
}

# up KIND: mounts the kind's root, which is made when there is none.
up()
{
	local root=$work/disk/roots/$1 at
	at=$(mnt "$1")
	mkdir -p "$root" "$at"
	case $1 in
	cowherd*)
		local options=()
		[[ $1 != *-writeback ]] || options=(--writeback)
		[[ -e $root/instance ]] || "$MKROOT" "$work/disk/version" "$root"
		"$COWHERD_FUSE" "${options[@]}" --image "$work/disk/version" "$root" "$at" 2>"$work/server-$1" &
		;;
	fuse-overlayfs)
		mkdir -p "$root/upper" "$root/work"
		fuse-overlayfs -f -o "lowerdir=$lower,upperdir=$root/upper,workdir=$root/work" "$at" \
			2>"$work/server-$1" &
		;;
	kernel)
		mkdir -p "$root/upper" "$root/work"
		mount -t overlay -o "lowerdir=$lower,upperdir=$root/upper,workdir=$root/work" \
			-o redirect_dir=on,index=off,metacopy=off overlay "$at"
		return
		;;
	plain)
		[[ -d $root/tree ]] || cp -a "$lower" "$root/tree"
		mount --bind "$root/tree" "$at"
		return
		;;
	esac
	server[$1]=$!
	local tries=0
	until mountpoint -q "$at"; do
		if ((tries++ > 500)) || ! kill -0 "${server[$1]}" 2>/dev/null; then
			cat "$work/server-$1"
			die "$1 was not mounted"
		fi
		sleep 0.02
	done
}

# down KIND: unmounts it and waits for its server's end.
down()
{
	local status=0
	umount "$(mnt "$1")"
	[[ -n ${server[$1]:-} ]] || return 0
	wait "${server[$1]}" || status=$?
	if [[ $status != 0 ]]; then
		cat "$work/server-$1"
		die "the server of $1 ended with $status"
	fi
	unset "server[$1]"
}

# crash KIND: kills the server; the mount that is left without it is taken away.
crash()
{
	kill -9 "${server[$1]}"
	wait "${server[$1]}" 2>/dev/null || true
	unset "server[$1]"
	umount -l "$(mnt "$1")"
}

# fresh KIND: forgets all changes. Not while it is mounted.
fresh()
{
	rm -rf "$work/disk/roots/$1"
}
