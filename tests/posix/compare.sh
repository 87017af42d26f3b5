# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
#
# compare.sh - what the suite said in one place against what it said on ext4. To be sourced.
#
#	expect_of ext4		what all others must say; on ext4 itself nothing fails
#	compare WHERE		a line for each check that differs and is not listed in `differences`, or is
#				listed and does not differ; failed=1 then
#
# The caller sets $work, where the suite's output is in a file WHERE, and $only, the checks that were run.
POSIX_DIFFERENCES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/differences
failed=0
: "${only:=*}"

declare -A expected said

read_results()
{
	local status name
	said=()
	while read -r status name; do
		said[${name%%:*}]=$status
	done <"$work/$1"
}

# differs WHERE NAME: not what ext4 says; on ext4 itself: a failure.
differs()
{
	if [[ $1 == ext4 ]]; then
		[[ ${said[$2]} == FAIL ]]
	else
		[[ ${said[$2]:-none} != "${expected[$2]}" ]]
	fi
}

# applies PATTERN NAME
applies()
{
	# shellcheck disable=SC2053 # globs
	case $1 in
	*@new) [[ $2 != *@* && $2 == ${1%@new} ]] ;;
	*@lower) [[ $2 == $1 ]] ;;
	*) [[ ${2%@lower} == $1 ]] ;;
	esac
}

compare()
{
	local where name pattern reason found
	declare -A known=()
	read_results "$1"
	while read -r where pattern reason; do
		# shellcheck disable=SC2053 # a glob
		[[ $where != '#'* && $1 == $where ]] || continue
		found=0
		for name in "${!said[@]}"; do
			applies "$pattern" "$name" || continue
			found=1
			known[$name]=1
			if [[ $reason != SOMETIMES:* ]] && ! differs "$1" "$name"; then
				echo "NO DIFFERENCE: $1 $name is listed in $POSIX_DIFFERENCES"
				failed=1
			fi
		done
		if [[ $found -eq 0 && $only == '*' ]]; then
			echo "NO CHECK: $1 $pattern is listed in $POSIX_DIFFERENCES"
			failed=1
		fi
	done <"$POSIX_DIFFERENCES"
	for name in "${!said[@]}"; do
		if [[ -z ${known[$name]:-} ]] && differs "$1" "$name"; then
			echo "DIFFERENT: $1 $(grep -E "^[A-Z]+ $name(:|$)" "$work/$1")"
			failed=1
		fi
	done
}

expect_of()
{
	local name
	read_results "$1"
	for name in "${!said[@]}"; do
		expected[$name]=${said[$name]}
	done
	compare "$1"
}
