#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# clients.sh [BACKEND [FS]] - clients from the command line: add, list, show, set, reset, rollback, rm,
# with what they refuse. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
store 1G "${2:-}"
src=$work/src
mkdir -p "$src/etc/NetworkManager" "$src/usr/lib/systemd" "$src/data"
echo golden >"$src/data/file"
: >"$src/usr/lib/systemd/systemd-networkd"
mkdir -p "$src/etc/systemd/system/multi-user.target.wants"
ln -s /lib/systemd/system/systemd-networkd.service "$src/etc/systemd/system/multi-user.target.wants/"
printf '127.0.0.1 localhost\n127.0.1.1\told\n' >"$src/etc/hosts"
echo old >"$src/etc/hostname"
cow image import img "$src" --comment 'first of all' >"$out"
echo newer >"$src/data/file"
cow image import img "$src" >"$out"

mac1=dc-a6-32-00-00-01
mac2=dc-a6-32-00-00-02
one=$store/clients/$mac1
two=$store/clients/$mac2
root()
{
	view "$1"
}
add()
{
	cow client add "$@" --backend "$backend"
}
epoch()
{
	od -An -tx8 "$store/clients/$1/epoch"
}
sum=$("$TREECMP" --sum "$store/images/img/2/tree")
need_backend "$backend" img

# ------------------------------------------------------------ add
add DC:A6:32:00:00:01 --image img@1 --name lab-1 >"$out"
grep -qE '^added dc-a6-32-00-00-01 \(lab-1\) with a root from img@1 in [0-9]+ ms$' "$out" || die "$(cat "$out")"
add dca6.3200.0002 --image img >"$out"
[[ $(cat "$(root $mac1)/data/file") == golden ]] || die "root 1 is not img@1"
[[ $(cat "$(root $mac2)/data/file") == newer ]] || die "root 2 is not the newest image"
[[ $(cat "$(root $mac1)/etc/hostname") == lab-1 ]] || die "host name"
[[ $(cat "$(root $mac2)/etc/hostname") == client-dca632000002 ]] || die "default host name"
grep -qx $'127.0.1.1\tlab-1' "$(root $mac1)/etc/hosts" || die "hosts: $(cat "$(root $mac1)/etc/hosts")"
[[ $(wc -l <"$(root $mac1)/etc/hosts") == 2 ]] || die "hosts grew"
grep -qxE '[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}' "$(root $mac1)/etc/machine-id" || die "machine-id"
[[ $(cat "$(root $mac1)/etc/machine-id") != $(cat "$(root $mac2)/etc/machine-id") ]] || die "one machine-id for two"
grep -q 'mac:dc:a6:32:00:00:01' "$(root $mac1)/etc/NetworkManager/conf.d/90-cowherd.conf" || die "NetworkManager"
grep -q 'MACAddress=dc:a6:32:00:00:02' "$(root $mac2)"/etc/systemd/network/*.network || die "networkd"
ok "add: a root with an identity of its own"

unchanged fails 5 'exists already' add $mac1 --image img
unchanged fails 3 'no image .nope.; there are: img' add 02:00:00:00:00:09 --image nope
unchanged fails 3 'has no version 9; there are: img@1, img@2' add 02:00:00:00:00:09 --image img@9
unchanged fails 3 'has no tag stable' add 02:00:00:00:00:09 --image img:stable
unchanged fails 2 'names no image' add 02:00:00:00:00:09 --image ../img
unchanged fails 5 'has the name lab-1 already' add 02:00:00:00:00:09 --image img --name lab-1
unchanged fails 2 'is no host name' add 02:00:00:00:00:09 --image img --name 'a b'
unchanged fails 2 '.--image is missing' add 02:00:00:00:00:09
for bad in '' zz:a6:32:00:00:01 dc:a6:32:00:00 dc:a6:32:00:00:01:02 dc-a6:32-00:00-01 01:00:5e:00:00:01 \
	00:00:00:00:00:00 ../../../etc ff:ff:ff:ff:ff:ff; do
	unchanged fails 2 'is no MAC address' add "$bad" --image img
done
ok "add: what it refuses"

# ------------------------------------------------------------ isolation, reset, rollback
echo mine >"$(root $mac1)/data/file"
[[ $(cat "$(root $mac2)/data/file") == newer ]] || die "one client sees the other's changes"
before=$(epoch $mac1)
cow client reset lab-1 >"$out"
grep -qE '^reset .* to img@1, root 2, in [0-9]+ ms$' "$out" || die "$(cat "$out")"
[[ $(cat "$(root $mac1)/data/file") == golden ]] || die "reset did not bring the image's file back"
[[ $(epoch $mac1) != "$before" ]] || die "reset kept the epoch"
ok "reset: fresh root, new epoch"

first=$(cat "$(root $mac1)/etc/machine-id")
middle=$(epoch $mac1)
cow client rollback $mac1 >"$out"
[[ $(cat "$(root $mac1)/data/file") == mine ]] || die "rollback did not bring the old root back"
[[ $(cat "$(root $mac1)/etc/machine-id") == "$first" ]] || die "the machine-id changed with the reset"
[[ $(epoch $mac1) != "$before" && $(epoch $mac1) != "$middle" ]] || die "an epoch came back"
cow client rollback $mac1 >"$out"
[[ $(cat "$(root $mac1)/data/file") == golden ]] || die "rollback of a rollback"
ok "rollback: there and back, always a new epoch"

cow client set $mac1 follows=img@2
[[ $(cat "$(root $mac1)/data/file") == golden ]] || die "set changed the root"
cow client reset $mac1 --dry-run >"$out"
grep -q 'fresh root from img@2; now: img@1' "$out" || die "dry run: $(cat "$out")"
cow client reset $mac1 >"$out"
[[ $(cat "$(root $mac1)/data/file") == newer ]] || die "reset did not follow"
cow client rollback $mac1 >"$out"
cow client show $mac1 >"$out"
grep -qE '^image +img@1 ' "$out" || die "rollback did not go back in versions: $(cat "$out")"
cow client rollback $mac1 >"$out"
[[ $(find "$one/roots" -mindepth 1 -maxdepth 1 | wc -l) == 2 ]] || die "more than two roots: $(ls "$one/roots")"
ok "follows: taken by the next reset, undone by rollback; two roots kept"

unchanged fails 3 'no root to go back to' cow client rollback $mac2
unchanged fails 3 'no client' cow client reset 02:00:00:00:00:77
unchanged fails 3 'no client .nobody.' cow client reset nobody
unchanged fails 2 'neither a MAC address nor' cow client reset 'no/body'
unchanged fails 3 'no client' cow client rm 02:00:00:00:00:77
ok "reset, rollback, rm: what is not there"

# ------------------------------------------------------------ a running client
now=$(date +%s)
mkdir -p "$store/clients/dc-a6-32-00-00-01/state"
printf 'time = %d\naddress = 10.77.0.9\n' "$now" >"$one/state/nfs"
printf 'time = %d\naddress = 10.77.0.9\n' "$((now - 100))" >"$one/state/boot"
unchanged fails 4 'runs .*give --now' cow client reset $mac1
unchanged fails 4 'runs .*give --now' cow client rollback $mac1
unchanged fails 4 'runs .*give --now' cow client rm $mac1
cow client list >"$out"
grep -qE "^$mac1 +lab-1 +img@2 +running +1[0-9][0-9] s ago +10.77.0.9$" "$out" || die "list: $(cat "$out")"
grep -qE "^$mac2 .* never +never +-$" "$out" || die "list: $(cat "$out")"
cow client reset --now $mac1 >"$out"
printf 'time = %d\naddress = 10.77.0.9\n' "$((now - 91))" >"$one/state/nfs"
cow client reset $mac1 >"$out"
cow client list >"$out"
grep -qE "^$mac1 .* seen " "$out" || die "list: $(cat "$out")"
echo garbage >"$one/state/nfs"
cow client list >"$out"
grep -qE "^$mac1 .* seen " "$out" || die "a damaged state record must read as nothing"
ok "a running client is left alone without --now"

# ------------------------------------------------------------ backends
cow client show $mac1 --json | python3 -c '
import json, sys
c = json.load(sys.stdin)
assert c["backend"] == c["next_backend"] == sys.argv[1], c' "$backend"
unchanged fails 2 "no backend 'zfs'; there are: overlay, btrfs" cow client add 02:00:00:00:00:09 --image img --backend zfs
unchanged fails 2 'backend = .zfs.: must be overlay or btrfs' cow client set $mac1 backend=zfs
if [[ $(stat -f -c %T "$store") != btrfs ]]; then
	unchanged fails 5 'is not on btrfs; use backend overlay' cow client add 02:00:00:00:00:09 --image img --backend btrfs
	unchanged fails 5 'is not on btrfs; use backend overlay' cow client set $mac1 backend=btrfs
fi
if [[ $backend == btrfs ]]; then # as an older cowherd left it
	sed -i '/^backend = /d' "$one"/roots/*/root.conf
	cow client show $mac1 >"$out"
	grep -qx 'backend     btrfs' "$out" || die "a root of an older version: $(cat "$out")"
	cow client rollback $mac1 >"$out"
	cow client rollback $mac1 >"$out"
	cow client diff $mac1 >"$out"
fi
ok "backends: shown, what is refused"

# ------------------------------------------------------------ set
cow client set $mac2 name=lab-2 address=10.77.0.5 serial=ABCDEF01 nfs=4.2 cmdline='quiet a=b' durability=relaxed ephemeral=yes
cow client show lab-2 --json >"$out"
python3 - "$out" <<'END'
import json, sys
c = json.load(open(sys.argv[1]))
want = {'mac': 'dc-a6-32-00-00-02', 'name': 'lab-2', 'address': '10.77.0.5', 'serial': 'abcdef01', 'nfs': '4.2',
        'cmdline': 'quiet a=b', 'durability': 'relaxed', 'ephemeral': True, 'image': 'img', 'version': 2,
        'follows': 'img', 'state': 'never', 'last_boot': None, 'root': 1, 'previous': 0, 'export_id': 2}
for k, v in want.items():
    assert c[k] == v, (k, c[k], v)
END
cow client set lab-2 address= cmdline=
cow client show lab-2 --json | python3 -c 'import json,sys; c=json.load(sys.stdin); assert c["address"] == c["cmdline"] == ""'
grep -q '^cmdline' "$two/client.conf" && die "an empty key stays in client.conf"
echo 'from_the_future = 1' >>"$two/client.conf"
cow client set lab-2 nfs=3
grep -qx 'from_the_future = 1' "$two/client.conf" || die "set lost a key it does not know"
for bad in backend= name= name=-x name=lab-1 follows=nope follows= address=10.77.0.300 address=host serial=123 nfs=4 nfs=5 \
	cmdline=$'a\nb' durability=fast ephemeral=maybe root=3 export_id=9 nonsense=1; do
	listing >"$work/before"
	status=0
	cow client set lab-2 "$bad" >"$out" 2>"$err" || status=$?
	[[ $status == 2 || $status == 3 || $status == 5 ]] || die "set '$bad' ended with $status: $(cat "$err")"
	grep -q 'client dc-a6-32-00-00-02' "$err" || die "set '$bad' does not say for whom: $(cat "$err")"
	listing | diff "$work/before" - || die "set '$bad' changed something"
done
unchanged fails 2 'is not KEY=VALUE' cow client set lab-2 name
ok "set: every key, what it refuses, unknown keys kept"

# ------------------------------------------------------------ images in use, damaged clients, rm
cow client reset $mac1 >"$out" # nothing from img@1 is kept
unchanged fails 4 'img@2 is in use by client dc-a6' cow image rm img@2
fails 2 'say which version' cow image rm img
[[ $("$TREECMP" --sum "$store/images/img/2/tree") == "$sum" ]] || die "the golden image was written (I1)"
cow image rm img@1 >"$out"
unview
sum=$("$TREECMP" --sum "$store/images/img/2/tree") # they shared files, by links
[[ ! -e $store/images/img/1 ]] || die "img@1 is still there"
ok "image rm: not while a root came from it"

echo broken >"$two/client.conf"
status=0
cow client list >"$out" 2>"$err" || status=$?
[[ $status == 1 ]] || die "list with a damaged client ended with $status"
grep -q "$mac1" "$out" || die "list: $(cat "$out")"
grep -qE "^$mac2 .*damaged" "$out" || die "list: $(cat "$out")"
grep -q 'line 1' "$err" || die "the damage is not named: $(cat "$err")"
fails 1 'client dc-a6-32-00-00-02' cow client reset $mac2
cow image list >"$out" || die "a damaged client keeps images from being listed"
cow client reset $mac1 >"$out"
ok "a damaged client hinders no other"

cow client rm $mac1 --dry-run >"$out"
[[ -d $one ]] || die "dry run removed"
cow client rm $mac1 >"$out"
cow client rm $mac2 >"$out"
[[ ! -e $one && -z $(ls -A "$store/trash") ]] || die "rm left something"
add $mac1 --image img >"$out"
grep -qx 'export_id = 3' "$one/client.conf" || die "an export id was given again: $(cat "$one/client.conf")"
ok "rm: gone at once, export id not reused"

# ------------------------------------------------------------ many, and at once
for i in {1..8}; do
	(for k in {1..3}; do add "02:00:00:00:0$i:0$k" --image img >"$work/add-$i-$k" || exit 1; done) &
done
wait
[[ $(cow client list | grep -c '^02-00') == 24 ]] || die "not all of 24 clients were added"
[[ $(grep -h '^export_id' "$store"/clients/*/client.conf | sort | uniq -d | wc -l) == 0 ]] || die "an export id twice"
for _ in {1..6}; do cow client reset 02:00:00:00:01:01 >/dev/null & done
wait
[[ $(cow client show 02:00:00:00:01:01 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["root"])') == 7 ]] ||
	die "resets at once got into each other's way"
ok "24 adds and 6 resets at once"

# ------------------------------------------------------------ netplan
mkdir -p "$work/netplan"/{etc/netplan,usr/sbin} # Ubuntu's, which starts networkd when the machine boots
echo 'network: {version: 2, ethernets: {eth0: {dhcp4: true}}}' >"$work/netplan/etc/netplan/50-cloud-init.yaml"
cow image import netplan "$work/netplan" >"$out"
add 02:00:00:00:00:77 --image netplan >"$out"
grep -q 'MACAddress=02:00:00:00:00:77' "$(root 02-00-00-00-00-77)"/etc/systemd/network/*.network || die "netplan"
: >"$work/netplan/usr/sbin/NetworkManager"
cow image import netplan "$work/netplan" >"$out"
cow client reset 02:00:00:00:00:77 >"$out"
[[ ! -e $(root 02-00-00-00-00-77)/etc/systemd/network ]] || die "a file for networkd, which does not run there"
cow client rm 02:00:00:00:00:77 >"$out"
ok "netplan: networkd is told, unless NetworkManager does the work"

unview
[[ $("$TREECMP" --sum "$store/images/img/2/tree") == "$sum" ]] || die "the golden image was written (I1)"
ok "the image is as it was"
[[ -z $(find "$store" -name '.add-*' -o -name '.new-*' -o -name '.tmp-*') ]] || die "temporaries stay"
