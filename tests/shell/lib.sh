# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# What the shell tests share. Sourced first thing:
#
#	. "$(dirname "$0")/lib.sh"
#
# It puts the script into a mount namespace of its own, so that mounts and loop devices go with it
# whatever happens, makes a work folder that is removed at the end, and offers the functions below.
# The environment names the programs: COWHERD, TREECMP.
set -euo pipefail

if [[ $(id -u) != 0 ]]; then
	echo "needs root (loop devices, mounts, owners)"
	exit 77
fi
if [[ ${COW_TEST_NAMESPACE:-} != "$$" ]]; then
	# The same process goes on in there, so its id tells that this has been done.
	COW_TEST_NAMESPACE=$$ exec unshare --mount --propagation private "$BASH" "$0" "$@"
fi
for program in "${COWHERD:?names the cowherd to test}" "${TREECMP:?names the tree comparer}"; do
	[[ -x $program ]] || {
		echo "$program is no program"
		exit 1
	}
done
unset COWHERD_STORE COWHERD_CONFIG

work=$(mktemp -d "${TMPDIR:-/tmp}/cowherd-shell-XXXXXX")
out=$work/out
err=$work/err
cleanup()
{
	local status=$?
	trap - EXIT
	awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r mounted; do
			umount -l "$mounted"
		done
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

die()
{
	echo "FAILED: $*" >&2
	exit 1
}

ok()
{
	echo "ok - $*"
}

cow()
{
	unview
	"$COWHERD" "$@"
}

# disk FS SIZE: a file system of its own on a loop device, mounted on $work/disk.
disk()
{
	rm -f "$work/disk.img"
	truncate -s "$2" "$work/disk.img"
	case $1 in
	ext4) mkfs.ext4 -q -b 4096 "$work/disk.img" ;; # small ones would get blocks of 1 KiB
	*) "mkfs.$1" -q "$work/disk.img" >/dev/null ;;
	esac
	mkdir -p "$work/disk"
	mount -o loop,noatime "$work/disk.img" "$work/disk"
}

# store SIZE [FS]: a store at $store, found by all commands: on a btrfs file made by init, or on a disk
# with file system FS.
store()
{
	export COWHERD_CONFIG=$work/empty.conf
	: >"$COWHERD_CONFIG"
	if [[ -z ${2:-} ]]; then
		store=$work/store
		export COWHERD_STORE=$store
		cow init --loop "$1" "$work/store.img" >"$out" || die "init: cannot make a store of $1"
	else
		disk "$2" "$1"
		store=$work/disk/store
		export COWHERD_STORE=$store
		cow init >"$out" || die "init: cannot make a store on $2"
	fi
}

# used: bytes in use on the store's file system, when what was removed has been given back. XFS does that, and with
# the space it set aside for files that were growing, in its own time, up to 400 KiB of it here: to be frozen makes
# it do so at once. Btrfs removes a subvolume after its name, up to half a minute later when nobody asks.
used()
{
	if [[ $(stat -f -c %T "$store") == btrfs ]]; then
		btrfs filesystem sync "$store" >/dev/null
		btrfs subvolume sync "$store" >/dev/null
	fi
	fsfreeze -f "$store"
	fsfreeze -u "$store"
	echo $(($(df --output=used -k "$store" | tail -n 1) * 1024))
}

# view MAC: a directory that shows the client's root, to look at and to change. An overlay root is shown
# by the kernel's overlayfs; cow takes that away again before it works.
view()
{
	local root n image
	root=$(readlink -f "$store/clients/$1/current")
	if [[ -d $root/tree ]]; then
		echo "$root/tree"
		return
	fi
	n=$work/views/$1-${root##*/}
	if ! mountpoint -q "$n"; then
		mkdir -p "$n" "$root/work"
		image=$(sed -n 's/^image = //p' "$root/root.conf")/$(sed -n 's/^version = //p' "$root/root.conf")
		mount -t overlay -o "lowerdir=$store/images/$image/tree,upperdir=$root/upper,workdir=$root/work" \
			-o redirect_dir=on,index=off,metacopy=off overlay "$n"
	fi
	echo "$n"
}
unview()
{
	local n
	for n in "$work"/views/*; do
		! mountpoint -q "$n" || umount "$n"
	done
}

# unmark DIR: a copy of a client's root without cowherd's marks, which the kernel shows.
unmark()
{
	python3 - "$1" <<'END'
import errno, os, sys
def unmark(path):
    try:
        os.removexattr(path, 'trusted.cowherd.id', follow_symlinks=False)
    except OSError as e:
        if e.errno != errno.ENODATA: # most have none
            raise
def stop(e):
    raise e
for path, dirs, files in os.walk(os.fsencode(sys.argv[1]), onerror=stop):
    for name in [b'.'] + files + [d for d in dirs if os.path.islink(os.path.join(path, d))]:
        unmark(os.path.join(path, name))
END
}

# need_backend BACKEND IMAGE: ends with 77 where this build cannot make roots of that kind.
need_backend()
{
	if ! cow client add 02:00:00:00:99:99 --image "$2" --backend "$1" >"$out" 2>"$err"; then
		! grep -q 'has plain roots only' "$err" || {
			echo "this build makes no roots of backend $1"
			exit 77
		}
		die "client add --backend $1: $(cat "$err")"
	fi
	cow client rm 02:00:00:00:99:99 >"$out"
	rm -f "$store/exports.next"
}

# fails STATUS PATTERN COMMAND...: ends with that status, says something that matches the extended
# regular expression on standard error and nothing on standard output.
fails()
{
	local want=$1 pattern=$2 status=0
	shift 2
	"$@" >"$out" 2>"$err" || status=$?
	[[ $status == "$want" ]] ||
		die "'${*:2}' ended with $status instead of $want: $(cat "$out" "$err")"
	grep -qE -- "$pattern" "$err" || die "'${*:2}' said '$(cat "$err")', wanted '$pattern'"
	[[ ! -s $out ]] || die "'${*:2}' failed but printed '$(cat "$out")'"
}

# killed_at MS COMMAND...: the command, killed after so many milliseconds. Status 1: it had ended before, and well.
killed_at()
{
	local ms=$1 pid status=0
	shift
	"$@" >"$out" 2>&1 &
	pid=$!
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	kill -KILL "$pid" 2>"$err" || [[ $(cat "$err") == *'No such process'* ]] || die "kill: $(cat "$err")"
	wait "$pid" 2>/dev/null || status=$? # the shell says who was killed
	case $status in
	0) return 1 ;;
	137) return 0 ;;
	*) die "'${*:2}' that was left alone for $ms ms ended with $status: $(cat "$out")" ;;
	esac
}

# kill_later FIRST FACTOR LOOK COMMAND...: the command again and again, killed later each time, from FIRST
# milliseconds, until one of them is through. LOOK runs after each kill, and sets through=1 when it was past the
# end of what counts. $killed: how many were killed; $killed_ms: when the last one was.
kill_later()
{
	local factor=$2 look=$3
	killed=0 killed_ms=$1 through=
	shift 3
	for (( ; ; killed_ms = killed_ms * ${factor%/*} / ${factor#*/} + 1)); do
		killed_at "$killed_ms" "$@" || return 0
		killed=$((killed + 1))
		"$look"
		[[ -z $through ]] || return 0
		[[ $killed_ms -lt 60000 ]] || die "'${*:2}' has not ended within a minute"
	done
}

# Everything in the store, as one text to compare before and after.
listing()
{
	(cd "$store" && find . ! -name lock \( -type d -printf '%P d %m\n' -o -printf '%P %y %m %s %l\n' \) | sort)
}

# unchanged COMMAND...: runs it and finds the store as it was.
unchanged()
{
	listing >"$work/before"
	"$@"
	listing >"$work/after"
	diff "$work/before" "$work/after" >&2 || die "something was left behind by: $*"
}

same_tree()
{
	"$TREECMP" "$@" >"$work/differences" || {
		head -n 20 "$work/differences" >&2
		die "trees differ: $*"
	}
}

# same_image SOURCE TREE: the same, for a version of an image that may share files with others by hard links. These
# are no links of the image, so a copy is compared.
same_image()
{
	rm -rf "$work/image-copy"
	cp -a "$2" "$work/image-copy"
	same_tree "$1" "$work/image-copy"
	rm -rf "$work/image-copy"
}
