#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# roll.sh [BACKEND [FS [CLIENTS]]] - time until CLIENTS (100) clients are rolled to another version, each with what its
# keep-lists name, and rolled back, as one command each and until all is on disk. The image has 10,000 small files, or is made
# of TREE if the environment names one; a client keeps host keys and 50 files of /home. Goal: 2 s each. Ends with 1 when one is
# missed, or when what is kept is not the same afterwards.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

backend=${1:-overlay} clients=${3:-100} goal_ms=2000
tree=${TREE:-$work/tree}
if [[ ! -d $tree ]]; then
	for d in {1..100}; do
		mkdir -p "$tree/usr/d$d"
		for f in {1..100}; do
			echo "$d $f" >"$tree/usr/d$d/f$f"
		done
	done
	mkdir -p "$tree"/{etc/ssh,home/pi,root}
	echo 1 >"$tree/version"
fi
store "$(($(du -sk "$tree" | cut -f1) / 512 + 2048))M" "${2:-ext4}"
cow image import --no-fixup all bench "$tree" >"$out"
echo 2 >"$tree/version"
cow image import --no-fixup all bench "$tree" >"$out"

# What a client keeps, put there by the commands of one, through the engine or into its snapshot.
seed()
{
	local v n
	v=$(view "$1")
	mkdir -p "$v/root/.ssh"
	for n in rsa ecdsa ed25519; do
		head -c 600 /dev/urandom >"$v/etc/ssh/ssh_host_${n}_key"
		head -c 600 /dev/urandom >"$v/etc/ssh/ssh_host_${n}_key.pub"
	done
	for n in {1..50}; do
		head -c $((n * 200)) /dev/urandom >"$v/home/pi/file$n"
	done
	chown -R 1000:1000 "$v/home/pi"
}
# The kept paths of one client, as one sum.
sum()
{
	local v
	v=$(view "$1")
	(cd "$v" && find etc/ssh/ssh_host_* home root/.ssh -printf '%p %y %m %U %G %T@\n' | sort | cat - \
		<(find etc/ssh/ssh_host_* home root/.ssh -type f -print0 | sort -z | xargs -0 cat) | sha256sum)
	unview
}
id()
{
	printf '02-00-00-00-%02x-%02x' $(($1 / 250)) $(($1 % 250))
}
for ((i = 1; i <= clients; i++)); do
	cow client add "$(id "$i")" --image bench@1 --backend "$backend" >"$out"
	seed "$(id "$i")"
	unview
done
for i in 1 $((clients / 2)) "$clients"; do
	sum "$(id "$i")"
done >"$work/sums"
sync -f "$store"
now_ms()
{
	echo $(($(date +%s%N) / 1000000))
}
missed=0 fs=${2:-ext4}
# timed WORDS...: the command on all clients.
timed()
{
	local start took
	start=$(now_ms)
	cow client "$@" --all >"$out" || die "$*: $(tail -n 3 "$out")"
	took=$(($(now_ms) - start))
	[[ $(grep -cE "^rolled (back )?02-.* in [0-9]+ ms$" "$out") == "$clients" ]] || die "$*: not all: $(tail -n 3 "$out")"
	echo "$backend on $fs, $clients clients, $*: $took ms, $(grep -m 1 -oE "in [0-9]+ ms" "$out") without deleting what is out of use"
	((took <= goal_ms)) || missed=1
	for i in 1 $((clients / 2)) "$clients"; do
		sum "$(id "$i")"
	done | diff "$work/sums" - >&2 || die "$*: what is kept is not the same"
}
for _ in 1 2 3; do
	timed roll --to bench@2
	timed rollback
	timed roll --to bench@2
	timed roll --to bench@1
done
((missed == 0)) || die "more than $goal_ms ms"
