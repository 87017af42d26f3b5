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
	"$COWHERD" "$@"
}

# store SIZE: a loop store at $store, found by all commands.
store()
{
	store=$work/store
	export COWHERD_STORE=$store COWHERD_CONFIG=$work/empty.conf
	: >"$COWHERD_CONFIG"
	cow init --loop "$1" "$work/store.img" >"$out" || die "init: cannot make a store of $1"
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
