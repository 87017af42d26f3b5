# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
# console.sh - the serial console of a client: wait for text, run commands. Part of lab.sh.
#
# A client NAME has a folder $LAB/NAME with
#	console.log	everything it ever printed
#	console.in	a fifo: what is written there is typed at it
#	console.pos	how far into the log console_wait has looked
# and $LAB/NAME.pid, as any other process of the lab.

# Text that ends every hope, wherever one waits for something else.
CONSOLE_FATAL='Kernel panic - not syncing|cowherd: giving up|You are in emergency mode|No bootable device'

# console_open NAME - make the folder; the client itself is started with
#	0<>console.in >console.log
console_open()
{
	mkdir -p "$LAB/$1"
	[ -p "$LAB/$1/console.in" ] || mkfifo "$LAB/$1/console.in"
	: >"$LAB/$1/console.log"
	echo 0 >"$LAB/$1/console.pos"
}

# console_find NAME PATTERN - look for a line with it after console.pos; on success move past that line
# and leave the line in CONSOLE_LINE.
console_find()
{
	local pos hit
	pos=$(cat "$LAB/$1/console.pos")
	hit=$(tail -c +$((pos + 1)) "$LAB/$1/console.log" | LC_ALL=C grep -a -b -m 1 -E -e "$2") || return 1
	CONSOLE_LINE=${hit#*:}
	echo $((pos + ${hit%%:*} + $(LC_ALL=C && echo ${#CONSOLE_LINE}))) >"$LAB/$1/console.pos"
}

# console_wait NAME SECONDS PATTERN - wait for a line with PATTERN (extended regular expression) that
# console_wait has not passed yet. Ends the test when the client ends or says something final instead.
console_wait()
{
	local name=$1 seconds=$2 pattern=$3 end pos
	end=$(($(date +%s) + seconds))
	until console_find "$name" "$pattern"; do
		pos=$(cat "$LAB/$name/console.pos")
		if tail -c +$((pos + 1)) "$LAB/$name/console.log" | grep -a -q -E -e "$CONSOLE_FATAL"; then
			lab_fail "client $name will not come up (waiting for '$pattern')"
		fi
		if ! lab_alive "$name"; then
			console_find "$name" "$pattern" && return
			lab_fail "client $name ended (waiting for '$pattern')"
		fi
		[ "$(date +%s)" -lt "$end" ] || lab_fail "client $name: no '$pattern' within $seconds s"
		sleep 0.3
	done
}

# console_type NAME TEXT - type it, as it is.
console_type()
{
	printf '%s' "$2" >"$LAB/$1/console.in"
}

# console_login NAME SECONDS - wait for the automatic login of the test image and make its shell fit
# for console_run: no echo, no line editing, no kernel messages in between.
console_login()
{
	console_wait "$1" "$2" 'login: root \(automatic login\)'
	# Wait for the shell: what is typed before it has set the line up may be lost.
	console_wait "$1" "$2" '[#$] '
	console_type "$1" "exec bash --noediting --noprofile --norc"$'\n'
	console_type "$1" "stty -echo; PS1=; PS2=; dmesg -n 1; printf '%s-%s\\n' shell ready"$'\n'
	console_wait "$1" 120 'shell-ready'
}

# console_run NAME SECONDS SCRIPT - run it in the client's shell; what it prints comes out here, and its
# exit status is this function's. The script travels as base64, so it may hold anything.
CONSOLE_SERIAL=0
console_run()
{
	local name=$1 seconds=$2 mark status from to
	mark=m$$x$((++CONSOLE_SERIAL))x$RANDOM
	{
		echo "base64 -d >/run/$mark <<'END'"
		printf '%s\n' "$3" | base64
		echo "END"
		# Written in pieces, so that an echo of these lines is never taken for the marks.
		printf '%s\n' "printf '%s%s\\n' $mark -begin; bash /run/$mark </dev/null 2>&1; printf '\\n%s%s%d\\n' $mark -end- \$?"
	} >"$LAB/$name/console.in"
	console_wait "$name" "$seconds" "^$mark-begin"
	from=$(cat "$LAB/$name/console.pos")
	console_wait "$name" "$seconds" "^$mark-end-[0-9]+"
	to=$(cat "$LAB/$name/console.pos")
	status=${CONSOLE_LINE##*-}
	status=${status%$'\r'}
	# Between the two marks, without the line end of the first and the empty line before the second.
	tail -c +$((from + 1)) "$LAB/$name/console.log" | head -c $((to - from)) | tr -d '\r' |
		sed -e 1d -e '$d' | sed -e '${/^$/d;}'
	return "$status"
}
