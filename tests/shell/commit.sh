#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# commit.sh [BACKEND [FS]] - a client's root becomes a new version of an image: equal to what the client
# sees but for its identity, the version below untouched, unchanged data shared. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
store 1G "${2:-}"
src=$work/src
"$(dirname "$0")/make-tree" "$src"
[[ ${2:-} != xfs ]] || rm "$src/long-link" # longer than xfs can
mkdir -p "$src"/{etc/NetworkManager,etc/ssh,usr/sbin,usr/lib/systemd/system,var/lib/dbus,move/sub,gone,opaque}
: >"$src/usr/lib/systemd/systemd"
: >"$src/usr/sbin/sshd"
: >"$src/usr/bin/ssh-keygen"
printf '127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n' >"$src/etc/hosts"
echo raspberrypi >"$src/etc/hostname"
: >"$src/etc/machine-id"
head -c 30000000 /dev/urandom >"$src/usr/bin/huge"
echo sub >"$src/move/sub/file"
echo gone >"$src/gone/file"
echo old >"$src/opaque/file"
echo first >"$src/etc/motd"
cow image import img "$src" --comment first >"$out"
mac=02:00:00:00:00:01
id=02-00-00-00-00-01
need_backend "$backend" img
cow client add $mac --image img --name desk --backend "$backend" >"$out"
golden=$store/images/img/1/tree

# verify IMAGE...: as imported, and version 1 to the last attribute.
verify()
{
	local image
	for image; do
		cow image verify "$image" >"$out" 2>"$err" || die "verify $image: $(cat "$out" "$err")"
	done
	copy "$golden" golden-now # link counts change with every version
	same_tree "$work/golden" "$work/golden-now" # I1
}
# copy DIR NAME: the tree without links to other versions and without sockets, to compare.
copy()
{
	rm -rf "${work:?}/$2"
	mkdir "$work/$2"
	tar -C "$1" --format=posix -S --xattrs --xattrs-include='*' --acls --warning=no-file-ignored -c . |
		tar -C "$work/$2" --warning=no-timestamp --same-owner -p --xattrs --xattrs-include='*' --acls -x
	# The kernel shows cowherd's marks in a client's root.
	unmark "$work/$2"
}
copy "$golden" golden
# number IMAGE PATH: from the manifest.
number()
{
	cow image dump "$1" | awk -v p="$2" '$1 == p { print $2; exit }'
}

# ------------------------------------------------------------ what a super client does
v=$(view $id)
echo changed >"$v/etc/motd"
mv "$v/move" "$v/moved"
echo more >"$v/moved/sub/new"
mv "$v/usr/bin/huge" "$v/usr/bin/giant"
rm -r "$v/gone" "$v/opaque"
mkdir "$v/opaque"
echo new >"$v/opaque/other"
chmod 600 "$v/odd/-rf"
chown 77:88 "$v/usr/bin/setuid"
chmod 4755 "$v/usr/bin/setuid"
mkdir -m 2770 "$v/added"
setfacl -m u:51234:rwx "$v/added"
printf 'some data' >"$v/added/file"
ln "$v/added/file" "$v/added/twin"
setfattr -n user.note -v hello "$v/added/file"
cp "$v/usr/bin/ssh-keygen" "$v/added/cap"
setcap cap_net_raw+ep "$v/added/cap"
truncate -s 4M "$v/added/sparse"
printf x | dd of="$v/added/sparse" bs=1 seek=2M conv=notrunc status=none
mknod "$v/added/device" c 5 1
mkfifo "$v/added/fifo"
ln -s nowhere "$v/added/link"
touch -h -d '2011-11-11 11:11:11.111' "$v/added/link"
touch -d '2012-12-12 12:12:12.123456789' "$v/added"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$v/added/socket"
# What a machine makes for itself, and a line of the administrator's.
echo secret >"$v/etc/ssh/ssh_host_ed25519_key"
echo secret >"$v/etc/ssh/ssh_host_ed25519_key.pub"
mkdir -p "$v/var/lib/systemd"
echo seed >"$v/var/lib/systemd/random-seed"
echo '10.0.0.9 printer' >>"$v/etc/hosts"
copy "$v" want
unview

# ------------------------------------------------------------ commit
listing >"$work/before"
cow client commit desk img --dry-run >"$out"
grep -qE '^would make a version of img from 02-00-00-00-00-01 \(desk\): img@1 with [0-9]+ changes$' "$out" || die "$(cat "$out")"
listing | diff "$work/before" - >&2 || die "a dry run changed something"
cow client commit desk img --comment 'with a motd' >"$out"
grep -qE '^committed img@2: ' "$out" || die "$(cat "$out")"
grep -q '^  identity       done: .*put back /etc/hostname' "$out" || die "$(cat "$out")"
new=$store/images/img/2/tree
copy "$new" got
identity=(--ignore etc/hostname --ignore etc/hosts --ignore etc/machine-id --ignore etc/ssh
	--ignore etc/NetworkManager --ignore var/lib/systemd)
same_tree "${identity[@]}" "$work/want" "$work/got"
[[ ! -e $work/got/added/device || $(stat -c %t:%T "$new/added/device") == 5:1 ]] || die "device"
[[ -S $new/added/socket ]] || die "the socket"
verify img@1 img@2
ok "the new version is what the client sees, the old one is as it was"

[[ $(cat "$new/etc/hostname") == raspberrypi ]] || die "host name: $(cat "$new/etc/hostname")"
[[ ! -s $new/etc/machine-id && -f $new/etc/machine-id ]] || die "machine-id: $(cat "$new/etc/machine-id")"
[[ $(cat "$new/etc/hosts") == $'127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n10.0.0.9 printer' ]] || die "hosts: $(cat "$new/etc/hosts")"
[[ -z $(ls -A "$new/etc/ssh") ]] || die "host keys: $(ls "$new/etc/ssh")"
[[ ! -e $new/var/lib/systemd/random-seed ]] || die "the random seed"
[[ ! -e $new/etc/NetworkManager/conf.d ]] || die "settings of one client's network: $(ls "$new/etc/NetworkManager")"
! grep -rqE '02:00:00:00:00:01|\bdesk\b' "$new/etc" || die "the client is in: $(grep -rlE '02:00:00:00:00:01|\bdesk\b' "$new/etc")"
[[ -z $(find "$new" -name '.cowherd-*') ]] || die "temporaries: $(find "$new" -name '.cowherd-*')"
ok "the identity of the client is not in it"

cow image show img@2 >"$work/show"
for line in 'parent = img@1' "source = client $id" 'comment = with a motd' 'fixup = fstab: not needed' \
	'fixup = ssh-host-keys: not needed'; do
	grep -qx "$line" "$work/show" || die "image show lacks '$line': $(cat "$work/show")"
done
grep -q '^fixup = identity: done: ' "$work/show" || die "$(cat "$work/show")"
for pair in usr/bin/huge:usr/bin/giant move:moved move/sub/file:moved/sub/file etc/motd:etc/motd \
	etc/plain:etc/plain opaque:opaque; do
	# A btrfs root does not say what moved.
	[[ $backend == overlay || ${pair%:*} == "${pair#*:}" ]] || continue
	[[ $(number img@1 "/${pair%:*}") == $(number img@2 "/${pair#*:}") ]] || die "$pair has another number"
done
[[ $(number img@2 /opaque/other) -gt $(number img@1 /move/sub/file) ]] || die "a new file has an old number"
ok "the record, the numbers"

# shared FILE: with another file, by extents.
shared()
{
	filefrag -v "$1" | grep -q shared
}
if [[ $(stat -f -c %T "$store") == btrfs ]]; then
	for file in giant big; do
		shared "$new/usr/bin/$file" || die "the data of $file is not shared"
	done
else
	[[ $new/usr/bin/giant -ef $golden/usr/bin/huge ]] || die "giant is no link of the image's file"
	[[ $(stat -c %i "$new/usr/bin/link") == $(stat -c %i "$golden/usr/bin/link") ]] || die "a symbolic link is not shared"
	kib=$(du -sk "$golden" "$new" | tail -n 1 | cut -f 1)
	[[ $kib -lt 2000 ]] || die "the new version takes $kib KiB"
	[[ ! $new/etc/motd -ef $golden/etc/motd ]] || die "a changed file is a link"
fi
ok "data that did not change is shared"

cow client add 02:00:00:00:00:02 --image img --name two --backend "$backend" >"$out"
cow client diff two >"$work/diff"
! grep -vE ' /(etc/(hostname|hosts|machine-id)|etc/NetworkManager(/conf.d.*)?)$' "$work/diff" ||
	die "a fresh client of the new version differs: $(cat "$work/diff")"
cow client commit two img >"$out"
grep -q '^  identity  *done' "$out" || die "$(cat "$out")"
cow image show img@3 | grep '^fixup = ' | grep -v 'identity' | grep -v 'not needed' && die "fix-ups were made twice"
copy "$store/images/img/3/tree" third
copy "$new" got
same_tree --ignore etc/hostname --ignore etc/NetworkManager/conf.d "$work/got" "$work/third"
verify img@1 img@2 img@3
ok "a fresh client committed is the version it came from"

# ------------------------------------------------------------ the root stays the client's
copy "$(view $id)" still
unview
same_tree "$work/want" "$work/still"
cow client commit desk fork --no-fixup all >"$out"
grep -q '^committed fork@1' "$out" || die "$(cat "$out")"
cow image show fork >"$out"
grep -qx 'parent = img@1' "$out" || die "$(cat "$out")"
[[ $(cat "$store/images/fork/1/tree/etc/hostname") == raspberrypi ]] || die "fork has the client's name"
[[ ! -s $store/images/fork/1/tree/etc/machine-id ]] || die "fork has the client's machine-id"
verify img@1 img@2 img@3 fork@1
cow client commit two fork >"$out" # from another image: numbers by path
verify fork@1 fork@2
unchanged fails 4 'in use' cow image rm img@2
cow image rm img@3 >"$out"
verify img@1 img@2 fork@1 fork@2
ok "into a new image, into another one; removing one version harms no other"

# ------------------------------------------------------------ what is refused
unchanged fails 3 'no client' cow client commit nobody img
unchanged fails 2 'is no image name' cow client commit desk 'a/b'
unchanged fails 2 'something is missing' cow client commit desk
unchanged fails 2 'no fix-up is called' cow client commit desk img --no-fixup nonsense
mkdir -p "$store/clients/$id/state"
printf 'time = %d\naddress = 10.77.0.9\n' "$(date +%s)" >"$store/clients/$id/state/nfs"
unchanged fails 4 'runs .*--now' cow client commit desk img
cow client commit desk img --now >"$out"
verify img@4
rm "$store/clients/$id/state/nfs"
if [[ $backend == overlay ]]; then
	view $id >/dev/null
	status=0
	listing >"$work/before"
	"$COWHERD" client commit desk img >"$out" 2>"$err" || status=$?
	[[ $status == 4 && $(cat "$err") == *'mounted'* ]] || die "mounted by the kernel: $status, $(cat "$err")"
	listing | diff "$work/before" - >&2 || die "something was left behind"
	unview
fi
ok "what is refused"

# ------------------------------------------------------------ no space
if [[ $(stat -f -c %T "$store") != btrfs ]]; then
	v=$(view $id)
	head -c 550000000 /dev/zero >"$v/added/fat"
	unview
	before=$(used)
	if cow client commit desk img >"$out" 2>"$err"; then # reflinks
		[[ $(stat -f -c %T "$store") == xfs ]] || die "550 MB twice fit on the disk?"
	else
		grep -q 'No space left' "$err" || die "$(cat "$err")"
		[[ $(($(used) - before)) -lt 10000000 ]] || die "space was not given back"
	fi
	[[ -z $(find "$store/images" -name '.import-*') ]] || die "left: $(find "$store/images" -name '.import-*')"
	verify img@1 img@2
	ok "no space: refused, undone"
fi
[[ -z $(find "$store" -name '.add-*' -o -name '.new-*' -o -name '.tmp-*' -o -name '.import-*') ]] || die "temporaries stay"
