#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# full.sh FS - the server's disk gets full, by two clients' writes and by the server's own: clients read on, what
# needs room is refused with NOSPC, no new client, root or image is begun or left half made; with room again all
# goes on, and everything acknowledged is there, also when the disk was mounted anew. FS: ext4, xfs, btrfs.
# full.sh FS limit - the same of one client and what it may use (client set limit=SIZE).
# COWHERD_TEST_BACKEND=btrfs with btrfs: clients of that backend.
set -euo pipefail
cd "$(dirname "$0")"
export COWHERD_TEST_FS=${1:?a file system} LAB_SIZE=${LAB_SIZE:-400M}
# shellcheck source=tests/nfs/lab.sh
. ./lab.sh
lab_enter "$@"

readonly LEFT=40 # MiB that the clients may fill
export COWHERD_CONFIG=$LAB/cowherd.conf COWHERD_STORE=$LAB/store

# thresholds WARN REFUSE
thresholds() { printf '[store]\nspace_warn = %s\nspace_refuse = %s\n' "$1" "$2" >"$COWHERD_CONFIG"; }

# ---------------------------------------------------------------- the clients

client() # N MAC: a client of its own that waits for words
{
	mkfifo "$LAB/to.$1"
	"$LAB_TOOLS/nfs_full" "$LAB_ADDR" "$LAB_PORT" "$LAB_MOUNT_PORT" "/clients/$2" \
		<"$LAB/to.$1" >>"$LAB/out.$1" 2>&1 &
	pids[$1]=$!
	exec {fd}>"$LAB/to.$1"
	fds[$1]=$fd
}

done_or_dead() { grep -qx "$2" "$LAB/out.$1" || ! kill -0 "${pids[$1]}"; } # N WORD

step() { step_of "${!pids[*]}" "$1"; } # WORD: all clients at once

step_of() # NUMBERS WORD
{
	local n
	for n in $1; do
		: >"$LAB/out.$n"
		echo "$2" >&"${fds[n]}"
	done
	for n in $1; do
		lab_wait 60 done_or_dead "$n" "$2" || lab_fail "client $n hangs at '$2'"
		grep -qx "$2" "$LAB/out.$n" || lab_fail "client $n at '$2': $(cat "$LAB/out.$n")"
	done
	lab_alive || lab_fail "the server died at '$2'"
}

# ---------------------------------------------------------------- the server's own

listing() # of all that commands may leave; clients' roots change while they run, and who used them is noted
{
	(cd "$LAB/store" && find . \( -path "./clients/$M1" -o -path "./clients/$M2" -o -name state \) -prune -o \
		! -name lock ! -name fill \( -type d -printf '%P d %m\n' -o -printf '%P %y %m %s %l\n' \) | sort)
}

# refused STATUS PATTERN COMMAND…: and nothing is left of it
refused()
{
	local want=$1 pattern=$2 status=0
	shift 2
	listing >"$LAB/before"
	"$COWHERD" "$@" >"$LAB/cmd.out" 2>"$LAB/cmd.err" || status=$?
	[[ $status == "$want" ]] || lab_fail "'$*' ended with $status, not $want: $(cat "$LAB/cmd.out" "$LAB/cmd.err")"
	grep -qE "$pattern" "$LAB/cmd.err" || lab_fail "'$*' says: $(cat "$LAB/cmd.err")"
	nothing_left "$*"
}

nothing_left()
{
	listing | diff "$LAB/before" - >&2 || lab_fail "left behind by '$1'"
}

# tried COMMAND…: it is small enough to find the last blocks; done, or refused with the reason and nothing left.
tried()
{
	local status=0
	listing >"$LAB/before"
	"$COWHERD" "$@" >"$LAB/cmd.out" 2>"$LAB/cmd.err" || status=$?
	echo "# '$*': $status $(head -n 1 "$LAB/cmd.err")"
	[[ $status != 0 ]] || return 0
	[[ $status == 1 ]] || lab_fail "'$*' ended with $status: $(cat "$LAB/cmd.out" "$LAB/cmd.err")"
	grep -q 'No space left on device' "$LAB/cmd.err" || lab_fail "'$*' says: $(cat "$LAB/cmd.err")"
	nothing_left "$*"
}

works()
{
	"$COWHERD" "$@" >"$LAB/cmd.out" 2>"$LAB/cmd.err" ||
		lab_fail "'$*' with room again: $(cat "$LAB/cmd.out" "$LAB/cmd.err")"
}

fill_by_the_server()
{
	local free
	free=$(($(stat -f -c '%a * %S / 1048576' "$LAB/store")))
	[[ $free -gt $((LEFT + 20)) ]] || lab_fail "only $free MiB to begin with"
	fallocate -l "$((free - LEFT))M" "$LAB/store/fill"
	sync -f "$LAB/store"
}

to_the_last_byte()
{
	cat /dev/zero 2>/dev/null >>"$LAB/store/fill" || true # until it fails
	sync -f "$LAB/store" || true                          # it may say so here
	[[ $(($(stat -f -c '%a * %S' "$LAB/store"))) -lt 4194304 ]] || lab_fail "the disk is not full: $(df "$LAB/store")"
}

nothing_new_on_a_full_disk()
{
	local mac=02-00-00-00-00-09 say='has [0-9]+ MiB of [0-9]+ MiB free, less than \[store\] space_refuse'
	thresholds 10% 5%
	refused 5 "$say" client add $mac --image test
	refused 5 "$say" client roll "$M3" --to test@1
	refused 5 "$say" client roll "$M3" --to test@1 --rebase
	refused 5 "$say" client reset "$M3"
	refused 5 "$say" image import test "$LAB/image"
	refused 5 "$say" image import fresh "$LAB/image"
	thresholds 0 0
	refused 1 'No space left on device' image import fresh "$LAB/more"
	tried client reset "$M3"
	tried client roll "$M3" --to test@1
	tried client rollback "$M3"
	tried client roll "$M3" --to test@1 --rebase
	tried client add $mac --image test
	tried client set "$M4" cmdline=quiet
	tried client reset "$M4" --at-boot
	tried image tag test@1 old
	[[ ! -e $LAB/store/images/fresh ]] || lab_fail "an image 'fresh'"
	lab_alive || lab_fail "the server died"
	lab_ok "a full disk: nothing new is made or left half made"
}

# The machine of a client that was off is switched on, and the server was down for a while. Where a root was never
# attached its first attach makes three directories, for which ext4 and xfs need room.
read_of_the_last() { lab_read "$(lab_lookup "$(lab_root_handle "$M4")" hello)"; }

the_server_comes_back()
{
	lab_equal "a client that was off" "$(read_of_the_last)" golden
	lab_kill
	lab_up
	step back
	lab_equal "a client of before" "$(read_of_the_last)" golden
	lab_ok "a full disk: the server comes back, and clients boot"
}

what_frees_room_works()
{
	works client rm "$M3"
	works image rm test@2
	works gc
	lab_ok "a full disk: clients and versions can be removed"
}

prepare()
{
	lab_store
	make_image
	"$LAB_TOOLS/nfs_full" pattern >"$LAB/image/pattern"
	echo x >"$LAB/image/some/x"
	thresholds 0 0
	works image import --no-fixup all test "$LAB/image"
	works image import --no-fixup all test "$LAB/image"
	for m in "$M1" "$M2" "$M3" "$M4"; do
		works client add "$m" --image test --backend "$LAB_BACKEND"
	done
	works client reset "$M3"
	write_exports "$M1" "$M2" "$M4"
	lab_conf 0
}

start()
{
	lab_up
	lab_after_grace
	client 1 "$M1"
	client 2 "$M2"
	step start
}

# The server is stopped, what the disk has is read from the disk.
seen_anew()
{
	lab_down
	umount "$LAB/store"
	mount -o loop,noatime "$LAB/store.img" "$LAB/store"
	lab_up
	step back
	step more
	lab_down
	for m in "$M1" "$M2" "$M4"; do
		[[ $LAB_BACKEND == btrfs ]] || works client check "$m"
	done
	works image verify test
}

the_disk_gets_full()
{
	prepare
	mkdir "$LAB/more"
	head -c 60000000 /dev/urandom >"$LAB/more/file"
	start
	lab_equal "a client's first boot" "$(read_of_the_last)" golden
	fill_by_the_server
	step fill
	to_the_last_byte
	step full
	lab_ok "a full disk: clients read on, and what needs room is refused with NOSPC"
	nothing_new_on_a_full_disk
	the_server_comes_back
	what_frees_room_works
	step "free"
	lab_ok "a full disk: files can be removed"
	rm "$LAB/store/fill"
	step room
	works client add 02-00-00-00-00-10 --image test
	works client reset 02-00-00-00-00-10
	works client roll 02-00-00-00-00-10 --to test@1
	works image import fresh "$LAB/more"
	works gc
	seen_anew
	lab_ok "with room again all goes on, and what was acknowledged is there"
}

# What it may use is a small disk of its own: others write on.
a_client_reaches_its_limit()
{
	prepare
	works client set "$M1" limit=24M
	start
	step_of 1 fill
	step_of 1 full
	step_of 2 more
	step_of 1 free
	step_of 1 room
	step_of 2 more
	seen_anew
	lab_ok "a client at its limit: it reads on, what needs room is refused with NOSPC, others write on"
}

pids=() fds=()
if [[ ${2:-} == limit ]]; then a_client_reaches_its_limit; else the_disk_gets_full; fi
if grep -E 'CRIT|FATAL|MAJ ' "$LAB/server.log" | grep -vE "svc_vc_|krb5|gss" >&2; then
	lab_fail "the server complains (above)"
fi
