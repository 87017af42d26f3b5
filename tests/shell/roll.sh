#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# roll.sh [BACKEND [FS]] - roll, reset with keep-lists, orders for the next boot, the history of roots. FS: see
# store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
store 1G "${2:-}"
src=$work/src
mkdir -p "$src"/{etc/ssh,home/pi,root,data,usr/bin}
echo golden >"$src/etc/hostname"
echo rc-1 >"$src/home/pi/rc"
echo stays >"$src/home/pi/stays"
echo gone >"$src/home/pi/gone"
echo one >"$src/data/file"
cow image import --no-fixup all img "$src" >"$out"
echo two >"$src/data/file"
echo rc-2 >"$src/home/pi/rc"
mkdir "$src/home/new"
echo new >"$src/home/new/rc"
cow image import --no-fixup all img "$src" >"$out"
id1=02-00-00-00-00-01
id2=02-00-00-00-00-02
need_backend "$backend" img

add()
{
	cow client add "$@" --backend "$backend" >"$out"
}
# live MAC: what a machine leaves, by the engine when it can be, so that the root is like one that was used.
live()
{
	local v
	v=$(view "$1")
	echo "key of $1" >"$v/etc/ssh/ssh_host_rsa_key"
	chmod 600 "$v/etc/ssh/ssh_host_rsa_key"
	echo "not kept" >"$v/etc/ssh/sshd_config"
	mkdir -m 700 "$v/root/.ssh"
	echo pub >"$v/root/.ssh/authorized_keys"
	chown 1000:1001 "$v/home/pi"
	echo mine >"$v/home/pi/file"
	ln "$v/home/pi/file" "$v/home/link"
	ln -s file "$v/home/pi/symlink"
	truncate -s 3M "$v/home/pi/sparse"
	setfattr -n user.of -v pi "$v/home/pi/file"
	rm "$v/home/pi/gone"
	echo changed >"$v/data/file"
	unview
}
# kept MAC DIR: the kept paths as they are.
kept()
{
	local v
	v=$(view "$1")
	mkdir -p "$2"
	(cd "$v" && tar --xattrs --xattrs-include=user.\* -cf - etc/ssh/ssh_host_* etc/machine-id home root/.ssh) | tar --xattrs \
		--xattrs-include=user.\* -C "$2" -xpf -
	(cd "$v" && find etc/ssh/ssh_host_* etc/machine-id home root/.ssh ! -path home/new\* \
		-printf '%p %y %m %u %g %T@ %l' \( -type f -printf ' %s' -o -true \) -printf '\n') |
		sort >"$2.list"
	unview
}
file()
{
	cat "$(view "$1")/$2"
}
events()
{
	cow events >"$work/events"
	grep -qE -- "$1" "$work/events" || die "no event '$1': $(tail -n 5 "$work/events")"
}

# ------------------------------------------------------------ keep-lists
add $id1 --image img@1 --name one
add $id2 --image img@1 --name two
live $id1
live $id2
kept $id1 "$work/kept-was"
cow client reset one --dry-run >"$out"
grep -qE '^would give .* a fresh root from img@1; now: img@1$' "$out" || die "dry run: $(cat "$out")"
grep -qE '^  keeps /home \([0-9]+ objects, 3.0 MiB\)$' "$out" || die "dry run: $(cat "$out")"
grep -qE '^  keeps /etc/ssh/ssh_host_rsa_key \(1 objects' "$out" || die "dry run: $(cat "$out")"
cow client reset one >"$out"
grep -q "'cowherd client rollback' undoes it" "$out" || die "reset does not say how to undo it: $(cat "$out")"
kept $id1 "$work/kept-is"
diff "$work/kept-was.list" "$work/kept-is.list" >&2 || die "what is kept is not the same after a reset"
[[ $(file $id1 data/file) == one ]] || die "reset kept what is on no list"
[[ ! -e $(view $id1)/etc/ssh/sshd_config ]] || die "reset kept sshd_config"
[[ ! -e $(view $id1)/home/pi/gone ]] || die "reset brought back what was deleted in a kept folder"
[[ $(stat -c %h "$(view $id1)/home/pi/file") == 2 ]] || die "the hard link is none any more"
[[ $(file $id1 home/pi/stays) == stays ]] || die "home/pi/stays"
ok "reset keeps what the default list names, and nothing else"

cow client rollback one >"$out"
[[ $(file $id1 data/file) == changed ]] || die "rollback does not undo the reset"
cow client reset one --factory >"$out"
[[ $(file $id1 home/pi/rc) == rc-1 && ! -e $(view $id1)/home/pi/file && -e $(view $id1)/home/pi/gone ]] ||
	die "--factory kept something"
cow client rollback one >"$out"
printf '# mine\n\n/data\n  /etc/ssh/sshd*\n' >"$store/keep/mine"
cow client reset one --keep mine >"$out"
[[ $(file $id1 data/file) == changed && ! -e $(view $id1)/home/pi/file ]] || die "--keep mine"
[[ $(file $id1 etc/ssh/sshd_config) == 'not kept' ]] || die "a pattern"
cow client rollback one >"$out"
cow client set one keep=default,mine
cow client reset one >"$out"
[[ $(file $id1 data/file) == changed && $(file $id1 home/pi/file) == mine ]] || die "keep=default,mine"
cow client set one keep=none
cow client reset one >"$out"
[[ ! -e $(view $id1)/home/pi/file ]] || die "keep=none"
cow client set one keep= group=lab
cow client rollback one >"$out"
echo /data >"$store/keep/group-lab"
cow client reset one >"$out"
[[ $(file $id1 data/file) == changed && ! -e $(view $id1)/home/pi/file ]] || die "the list of the group"
rm "$store/keep/group-lab"
cow client rollback one >"$out"
unchanged fails 3 "no keep-list nope; write it to .*/keep/nope" cow client reset one --keep nope
unchanged fails 3 "no keep-list nope" cow client set one keep=nope
unchanged fails 2 "is no name of a keep-list" cow client reset one --keep ../x
unchanged fails 2 "exclude each other" cow client reset one --keep mine --factory
for bad in home / //x /a/ /a/../b /./a $'/a\tb'; do
	echo "$bad" >"$store/keep/bad"
	unchanged fails 2 'keep-list bad, line 1: ' cow client reset one --keep bad
done
rm "$store/keep/bad"
ok "keep-lists: others, none, of the client, of the group, what is wrong with them"

v=$(view $id1)
echo renamed-by-hand >"$v/etc/hostname"
unview
cow client reset one >"$out"
[[ $(file $id1 etc/hostname) == renamed-by-hand ]] || die "a host name the machine gave itself is not kept"
cow client set one name=uno
cow client reset uno >"$out"
[[ $(file $id1 etc/hostname) == uno ]] || die "a new name of the client does not reach its root"
cow client set uno name=one
cow client reset one --factory >"$out"
ok "the host name: the machine's own, until the client is given another"

# ------------------------------------------------------------ roll
kept $id2 "$work/kept-was"
unchanged fails 2 'say which clients' cow client roll
unchanged fails 2 'say which clients' cow client roll two --all
unchanged fails 3 'no image .nope.' cow client roll two --to nope
unchanged fails 3 "no client is in group 'none'" cow client roll --group none
unchanged fails 2 'follow needs --to' cow client roll two --follow
unchanged fails 2 'exclude each other' cow client roll two --now --at-boot
cow client roll two >"$out"
grep -qx "$id2 (two) has img@1 already" "$out" || die "$(cat "$out")"
cow client roll two --to img --dry-run --json >"$out"
python3 -c 'import json,sys
[c] = json.load(sys.stdin)
assert c["result"] == "would" and c["version"] == 2 and any(k["path"] == "home" for k in c["keeps"]), c' <"$out"
cow client roll two --to img >"$out"
grep -qE "^rolled $id2 \(two\) to img@2, root 2, in [0-9]+ ms$" "$out" || die "$(cat "$out")"
kept $id2 "$work/kept-is"
diff "$work/kept-was.list" "$work/kept-is.list" >&2 || die "what is kept is not the same after a roll"
[[ $(file $id2 data/file) == two && $(file $id2 home/pi/rc) == rc-1 ]] || die "rolled to something else"
[[ $(file $id2 home/new/rc) == new ]] || die "what the new version adds below a kept folder is missing"
cow client show two --json >"$out"
python3 -c 'import json,sys
c = json.load(sys.stdin)
assert (c["version"], c["follows"]) == (2, "img@1"), c
assert [(r["root"], r["version"], r["why"], r["current"]) for r in c["roots"]] == [(2, 2, "roll", True), (1, 1, "add", False)], c["roots"]
' <"$out"
events " roll  *client=$id2 name=two image=img version=2 root=2"
cow client rollback two >"$out"
[[ $(file $id2 data/file) == changed ]] || die "rollback of a roll"
cow client rollback two >"$out"
[[ $(file $id2 data/file) == two ]] || die "rollback of a rollback of a roll"
cow client rollback two >"$out"
cow client roll two --to img --follow >"$out"
cow client show two --json | python3 -c 'import json,sys; assert json.load(sys.stdin)["follows"] == "img"'
cow client rollback two >"$out"
cow client roll two --json >"$out"
python3 -c 'import json,sys
[c] = json.load(sys.stdin)
assert c["result"] == "done" and c["version"] == 2 and c["kept"] > 3, c' <"$out"
ok "roll: to a version, to what is followed, what is kept, and back"

# ------------------------------------------------------------ history
cow client set two keep_roots=3
unchanged fails 2 'a number from 0 to 100' cow client set two keep_roots=101
for v in 1 2 1 2 1; do
	cow client roll two --to img@$v >"$out"
done
[[ $(find "$store/clients/$id2/roots" -mindepth 1 -maxdepth 1 | wc -l) == 4 ]] ||
	die "not three roots kept: $(ls "$store/clients/$id2/roots")"
cow client show two >"$out"
[[ $(grep -cE '^kept +root [0-9]+: img@[12], made .*, current from .* \(roll\)$' "$out") == 3 ]] || die "show: $(cat "$out")"
now=$(basename "$(readlink "$store/clients/$id2/current")")
unchanged fails 3 "it has no root 1 to go back to" cow client rollback two --to 1
unchanged fails 3 "root $now is the one it has" cow client rollback two --to "$now"
unchanged fails 2 'is no number of a root' cow client rollback two --to img
cow client rollback two --to $((now - 3)) >"$out"
[[ $(basename "$(readlink "$store/clients/$id2/current")") == $((now - 3)) ]] || die "rollback --to"
cow client rollback two >"$out"
[[ $(basename "$(readlink "$store/clients/$id2/current")") == "$now" ]] || die "rollback of rollback --to"
unchanged fails 4 'is in use' cow image rm img@1
mkdir "$store/clients/$id2/roots/99" # as a crash leaves it
cow client set two keep_roots=
cow client roll two --to img@2 >"$out"
[[ $(find "$store/clients/$id2/roots" -mindepth 1 -maxdepth 1 | wc -l) == 2 ]] || die "$(ls "$store/clients/$id2/roots")"
cow client set two keep_roots=0
cow client reset two >"$out"
[[ $(find "$store/clients/$id2/roots" -mindepth 1 -maxdepth 1 | wc -l) == 1 ]] || die "keep_roots=0"
unchanged fails 3 'no root to go back to' cow client rollback two
cow client set two keep_roots=
ok "history: as many roots as keep_roots says, back to any of them"

# ------------------------------------------------------------ groups, all
for i in 3 4 5; do
	add 02-00-00-00-00-0$i --image img@1 --name "g$i"
	cow client set g$i group=room
done
cow client roll --group room --to img@2 >"$out"
[[ $(grep -c '^rolled .* to img@2, root 2' "$out") == 3 ]] || die "--group: $(cat "$out")"
cow client rollback --group room >"$out"
[[ $(grep -c '^rolled back .* to img@1, root 1' "$out") == 3 ]] || die "rollback --group: $(cat "$out")"
echo broken >"$store/clients/02-00-00-00-00-04/root.conf"
mv "$store/clients/02-00-00-00-00-04/client.conf" "$work/conf"
echo broken >"$store/clients/02-00-00-00-00-04/client.conf"
status=0
cow client roll --all --to img@2 >"$out" 2>"$err" || status=$?
[[ $status == 1 && $(cat "$err") == *02-00-00-00-00-04* ]] || die "--all with a damaged client: $status, $(cat "$err")"
[[ $(grep -cE '^rolled .* to img@2|has img@2 already' "$out") == 4 ]] || die "--all with a damaged client: $(cat "$out" "$err")"
mv "$work/conf" "$store/clients/02-00-00-00-00-04/client.conf"
ok "groups and all: a damaged client hinders no other"

# ------------------------------------------------------------ at the next boot
mkdir -p "$store/clients/$id2/state"
printf 'time = %d\naddress = 10.77.0.9\n' "$(date +%s)" >"$store/clients/$id2/state/nfs"
cow client roll two --to img@1 >"$out"
grep -qx "$id2 (two) is rolled to img@1 when it boots next" "$out" || die "a running client: $(cat "$out")"
cow client list >"$out"
grep -qE "^$id2 .* img@2 -> img@1 " "$out" || die "list: $(cat "$out")"
cow client show two >"$out"
grep -qE '^next boot +roll to img@1, ordered ' "$out" || die "show: $(cat "$out")"
events " order  *client=$id2 name=two what=roll to=img@1"
cow client reset g3 g4 g5 >"$out" # img@2 is theirs no more
cow client roll two --cancel >"$out"
fails 3 'nothing is to be done at the next boot' cow client roll two --cancel
cow client roll two --to img@1 --now >"$out"
cow client roll two --to img@2 >"$out"
unchanged fails 4 "is what client $id2 goes to at its next boot|is in use" cow image rm img@2
cow client reset two --at-boot >"$out"
cow client show two --json | python3 -c 'import json,sys; assert json.load(sys.stdin)["next"]["what"] == "reset"'
cow client rollback two --at-boot >"$out"
grep -q 'is rolled back to root' "$out" || die "$(cat "$out")"
cow client reset two --now >"$out"
[[ ! -e $store/clients/$id2/next ]] || die "an order outlives the swap that overtook it"
cow client roll two --to img@1 >"$out"
echo 'what = nonsense' >"$store/clients/$id2/next"
cow client show two --json | python3 -c 'import json,sys; assert json.load(sys.stdin)["next"] is None'
cow client roll two --to img@1 >"$out"
grep -q 'when it boots next' "$out" || die "an order over a damaged one: $(cat "$out")"
ok "at the next boot: ordered, shown, taken back, overtaken"

# What it follows changes with the root, not before: not by a roll that fails, nor by one that waits for the boot.
follows() { cow client show two --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["follows"])'; }
cow client roll two --cancel >"$out"
cow client set two follows=img
unchanged fails 3 'no keep-list gone' cow client roll two --to img@1 --follow --now --keep gone
[[ $(follows) == img ]] || die "a roll that failed: follows $(follows)"
cow client roll two --to img@1 --follow --at-boot >"$out"
grep -q 'when it boots next, and follows img@1 then$' "$out" || die "$(cat "$out")"
[[ $(follows) == img ]] || die "a roll that is to come: follows $(follows)"
cow client show two >"$out"
grep -qE '^next boot +roll to img@1, follows img@1 then, ordered ' "$out" || die "show: $(cat "$out")"
cow client show two --json | python3 -c 'import json,sys; assert json.load(sys.stdin)["next"]["follow"] == "img@1"'
cow client roll two --to img@1 --follow --now >"$out"
[[ $(follows) == img@1 ]] || die "rolled: follows $(follows)"
cow client roll two --to img@1 --now >"$out"
cow client set two follows=img
cow client roll two --to img@1 --follow --now >"$out"
grep -q 'already' "$out" || die "$(cat "$out")"
[[ $(follows) == img@1 ]] || die "had it already: follows $(follows)"
cow client roll two --to img@2 --now >"$out"
unchanged fails 2 'not NAME@NUMBER' cow client roll two --to 'img@' --follow --now
ok "--follow: what a client follows changes with its root"

cow client set g3 ephemeral=yes
unchanged fails 5 'is ephemeral: at every boot' cow client roll g3 --to img@2
unview
[[ -z $(find "$store" -name '.add-*' -o -name '.new-*' -o -name '.tmp-*') ]] || die "temporaries stay"
