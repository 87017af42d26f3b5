# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
# server.sh - cowherd in the lab: a store on a file, `serve` on the lab's bridge. Sourced after lab.sh.
#
# COWHERD_BUILD names the build folder (meson sets it for its tests).

cowherd()
{
	"${COWHERD_BUILD:?is not set}/tools/cowherd" "$@"
}

# cowherd_need - before lab_enter: or the test is skipped.
cowherd_need()
{
	[ -n "${COWHERD_BUILD:-}" ] || lab_skip "COWHERD_BUILD is not set to a build folder"
	[ -e "$COWHERD_BUILD/ganesha-fsal/libfsalcowherd.so" ] ||
		lab_skip "the NFS plugin was not built (tools/setup fetches Ganesha's headers)"
	lab_need ganesha.nfsd dnsmasq dbus-daemon rpcbind
	lab_store_need
}

# cowherd_store SIZE - an empty store in $LAB/store, and the configuration of this lab; the commands find
# both by the environment.
cowherd_store()
{
	export COWHERD_STORE=$LAB/store COWHERD_CONFIG=$LAB/cowherd.conf
	cat >"$COWHERD_CONFIG" <<END
[store]
path = $COWHERD_STORE

[serve]
address = $LAB_ADDR
run_dir = $LAB/run

[dhcp]
mode = full
range = 10.77.0.100,10.77.0.200
END
	lab_store "$COWHERD_STORE" "$1" >&2
	lab_say "backend $LAB_BACKEND, on $(findmnt -n -o FSTYPE "$COWHERD_STORE")"
}

# cowherd_add MAC [OPTIONS] - a client of image `debian`, whose tree is kept as this run has it.
cowherd_add()
{
	cowherd client add "$1" --image debian --backend "$LAB_BACKEND" "${@:2}" >&2
}

cowherd_ready()
{
	cowherd status 2>/dev/null | grep -q '^cowherd serve is ready'
}

# cowherd_serve - start it and wait until every service answers.
cowherd_serve()
{
	mkdir -p "$LAB/run"
	# Not through the function above: the process to stop would be the shell around it.
	lab_spawn serve "${COWHERD_BUILD:?is not set}/tools/cowherd" serve
	lab_until 60 cowherd_ready || lab_fail "cowherd serve does not become ready"
}

# cowherd_service_pid NAME - process id of a service of serve: nfs, tftp, dhcp.
cowherd_service_pid()
{
	cowherd status | awk -v n="$1" '$1 == n { print $3 }'
}

# cowherd_active MAC - is the client's export there?
cowherd_active()
{
	cowherd status | grep -qi "^$1 .* active *$"
}

cowherd_image_tree()
{
	echo "$COWHERD_STORE/images/$1/$2/tree"
}

# cowherd_client_file ID PATH - where a file that the client has written lies here. To be looked at only.
cowherd_client_file()
{
	local root=$COWHERD_STORE/clients/$1/current
	if [ -d "$root/upper" ]; then
		echo "$root/upper/$2"
	else
		echo "$root/tree/$2"
	fi
}

# cowherd_changed ID LINE... - `client diff` has these lines; "!PATTERN": and none that matches.
cowherd_changed()
{
	local id=$1 line
	shift
	cowherd client diff "$id" >"$LAB/$id.diff" || lab_fail "client diff $id: status $?"
	for line; do
		case $line in
		!*) ! grep -e "${line#!}" "$LAB/$id.diff" >&2 || lab_fail "$id: '${line#!}' is among its changes" ;;
		*) grep -qxF -e "$line" "$LAB/$id.diff" || lab_fail "$id: '$line' is not among its changes: $(head -n 50 "$LAB/$id.diff")" ;;
		esac
	done
}

# cowherd_detached ID - show a root that no server has attached, read-only and by the kernel alone; prints where.
cowherd_detached()
{
	local root image dir=$LAB/detached-$1
	root=$(readlink -f "$COWHERD_STORE/clients/$1/current")
	mkdir -p "$dir"
	if [ -d "$root/upper" ]; then
		image=$(sed -n 's/^image = //p' "$root/root.conf")
		image=$(cowherd_image_tree "$image" "$(sed -n 's/^version = //p' "$root/root.conf")")
		mount -t overlay overlay -o "ro,redirect_dir=follow,lowerdir=$root/upper:$image" "$dir"
	else
		mount --bind "$root/tree" "$dir"
	fi
	echo "$dir"
}

# tree_sum DIR - one number for names, types, modes, owners, times, links, devices and content of a tree.
tree_sum()
{
	(
		cd "$1" || exit
		find . -printf '%P\t%y\t%m\t%U:%G\t%n\t%l\t%T@\n' | LC_ALL=C sort
		find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} + | LC_ALL=C sort
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
	) | sha256sum
}

# cowherd_reset ID - reset until it takes less than 50 ms, which the command measures and prints itself: five
# times at most, since other work on this machine only ever adds to it.
# --now: without it, a machine that was on a minute ago counts as running.
cowherd_reset()
{
	local out ms try
	for try in 1 2 3 4 5; do
		out=$(cowherd client reset --now "$1") || lab_fail "reset: $out"
		lab_say "$out"
		ms=$(sed -n 's/.* in \([0-9]*\) ms.*/\1/p' <<<"$out")
		[ -n "$ms" ] || lab_fail "reset does not say how long it took"
		[ "$ms" -ge 50 ] || return 0
		sleep "$try"
	done
	lab_fail "five resets in a row took 50 ms or more"
}
