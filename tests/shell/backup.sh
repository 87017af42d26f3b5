#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# backup.sh [BACKEND [FS]] - a client exported, and imported into this store and another one on ext4, is the client
# it was: same tree, same settings; what this cannot be is refused and leaves nothing. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in setfattr setfacl setcap; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages attr, acl, libcap2-bin)"
		exit 77
	}
done

backend=${1:-btrfs}
# The other store, on ext4 whatever the first is on.
mkdir "$work/second"
truncate -s 600M "$work/second.img"
mkfs.ext4 -q -b 4096 "$work/second.img"
mount -o loop "$work/second.img" "$work/second"
second=$work/second/store
: >"$work/empty.conf"
COWHERD_CONFIG=$work/empty.conf COWHERD_STORE=$second "$COWHERD" init >"$out"
store 1G "${2:-}"
first=$store
# at STORE COMMAND...: with that store as the one of lib.sh.
at()
{
	local store=$1
	shift
	COWHERD_STORE=$store "$@"
}
src=$work/src
"$(dirname "$0")/make-tree" "$src"
rm -f "$src/long-link" # longer than xfs can
mkdir -p "$src"/{etc/NetworkManager,move/sub,gone,opaque,links}
printf '127.0.0.1\tlocalhost\n' >"$src/etc/hosts"
head -c 3000000 /dev/urandom >"$src/usr/bin/huge"
echo sub >"$src/move/sub/file"
echo gone >"$src/gone/file"
echo old >"$src/opaque/file"
echo first >"$src/etc/motd"
for pair in a:b c:d e:f g:h i:j k:l; do
	echo linked >"$src/links/${pair%:*}"
	touch -d 2020-02-02 "$src/links/${pair%:*}"
	ln "$src/links/${pair%:*}" "$src/links/${pair#*:}"
done
cow image import img "$src" >"$out"
mac=02:00:00:00:00:01
id=02-00-00-00-00-01
need_backend "$backend" img
cow client add $mac --image img --name desk --backend "$backend" >"$out"

# copy STORE ID NAME: what the client's root shows, without cowherd's marks, which the kernel shows.
copy()
{
	local store=$1 v
	rm -rf "${work:?}/$3"
	v=$(view "$2")
	mkdir "$work/$3"
	# Sockets cannot be in a tar file.
	tar -C "$v" --format=posix -S --xattrs --xattrs-include='*' --acls --warning=no-file-ignored -c . |
		tar -C "$work/$3" --warning=no-timestamp --same-owner -p --xattrs --xattrs-include='*' --acls -x
	unmark "$work/$3"
	unview
}
# settings STORE ID: what an administrator has set.
settings()
{
	grep -vE '^(export_id|created) = ' "$1/clients/$2/client.conf" | sort
}
# left_over STORE: nothing of anything unfinished, and the image as it was.
left_over()
{
	local found
	found=$(find "$1" \( -name '.add-*' -o -name '.new-*' -o -name '.tmp-*' -o -name '.import-*' \))
	[[ -z $found ]] || die "left: $found"
	at "$1" cow image verify img >"$out" 2>"$err" || die "verify: $(cat "$out" "$err")"
}

# ------------------------------------------------------------ a client with a life behind it
v=$(view $id)
echo changed >"$v/etc/motd"
mv "$v/move" "$v/moved"
echo more >"$v/moved/sub/new"
mv "$v/usr/bin/huge" "$v/usr/bin/giant"
rm -r "$v/gone" "$v/opaque"
mkdir "$v/opaque"
echo new >"$v/opaque/other"
# Links: as they were (a, b), one name to the other's (c, e), apart (g, h), exchanged (i, j, k, l).
ln -f "$v/links/e" "$v/links/c"
mv "$v/links/j" "$v/links/x"
mv "$v/links/k" "$v/links/j"
mv "$v/links/x" "$v/links/k"
rm "$v/links/h"
cp -a "$v/links/g" "$v/links/h"
rm "$v/etc/plain"
mkdir "$v/etc/plain"
chmod 600 "$v/odd/-rf"
chown 77:88 "$v/usr/bin/setuid"
chmod 4755 "$v/usr/bin/setuid"
mkdir -m 2770 "$v/added"
setfacl -m u:51234:rwx "$v/added"
setfacl -d -m u:51234:rx "$v/added"
printf 'some data' >"$v/added/file"
ln "$v/added/file" "$v/added/twin"
setfattr -n user.note -v hello "$v/added/file"
setfattr -n user.dir -v hello "$v/odd"
cp "$v/added/file" "$v/added/cap"
setcap cap_net_raw+ep "$v/added/cap"
truncate -s 4M "$v/added/sparse"
printf x | dd of="$v/added/sparse" bs=1 seek=2M conv=notrunc status=none
mknod "$v/added/device" c 5 1
mkfifo "$v/added/fifo"
ln -s nowhere "$v/added/link"
touch -h -d '2011-11-11 11:11:11.111' "$v/added/link"
echo 10.0.0.9 printer >>"$v/etc/hosts"
chmod 711 "$v"
touch -d '2012-12-12 12:12:12.123456789' "$v/added" "$v"
unview
mkdir -p "$store/keep"
echo /home >"$store/keep/mine"
cow client set desk address=10.0.0.7 serial=1234abcd nfs=4.1 'cmdline=a=b quiet' group=desks keep=mine \
	keep_roots=3 limit=1G durability=relaxed
copy "$first" $id want
settings "$first" $id >"$work/settings"

listing | grep -av /work/index >"$work/before" # made when it is first attached
cow client export desk -o "$work/desk.cow" >"$out"
grep -qE "^exported $id \(desk\) since img@1 to .*/desk.cow: [0-9.]+ KiB, [0-9]+ files of " "$out" || die "$(cat "$out")"
listing | grep -av /work/index | diff "$work/before" - >&2 || die "an export left something in the store"
[[ $(stat -c %s "$work/desk.cow") -lt 60000 ]] || die "the archive has $(stat -c %s "$work/desk.cow") bytes"
ok "exported: $(grep -o 'desk.cow: .*' "$out")"
left_over "$first"

# ------------------------------------------------------------ into the other store
at "$second" unchanged fails 3 'client 02-00-00-00-00-01 has otherwise than img@1, id [0-9a-f]{64}, which is not here' \
	at "$second" cow client import "$work/desk.cow"
cow image export img -o - | at "$second" cow image import img - >"$out"
at "$second" cow image import more "$src" --no-fixup all >"$out" # other numbers, other ids
at "$second" cow client import "$work/desk.cow" >"$out" 2>"$err"
grep -qx "imported $id (desk) with a root from img@1" "$out" || die "$(cat "$out")"
grep -q '^cowherd: keep = mine is left out: ' "$err" || die "the missing keep-list is not told: $(cat "$err")"
[[ $backend == overlay ]] || grep -q '^cowherd: backend = btrfs is left out: ' "$err" || die "$(cat "$err")"
copy "$second" $id got
same_tree "$work/want" "$work/got"
settings "$second" $id | diff <(sed 's/^backend = .*/backend = overlay/; /^keep = /d' "$work/settings") - >&2 ||
	die "the settings differ"
# No more than before, but for what was moved, which is not known to be; links are no matter of diff.
changes() { at "$1" cow client diff desk | grep -vE '^R | /(links|move|moved|usr/bin)(/|$)'; }
changes "$second" | diff <(changes "$first") - >&2 || die "other changes than before"
at "$second" cow client check desk >"$out" || die "check: $(cat "$out")"
left_over "$second"
# What is the image's stays the image's: links apart, and moves, which are copies.
root=$second/clients/$id/roots/1
[[ $(du -sk "$root" | cut -f 1) -lt 4000 ]] || die "the root takes $(du -sk "$root")"
[[ ! -e $root/upper/usr/bin/big && ! -e $root/upper/links/a ]] || die "a file of the image was copied"
ok "in another store: same tree, same settings"

at "$second" cow client export desk -o "$work/again.cow" >"$out"
at "$second" cow client rm desk >"$out"
at "$second" cow gc >"$out"
gzip -c "$work/again.cow" | at "$second" cow client import - >"$out"
copy "$second" $id got
same_tree "$work/want" "$work/got"
ok "the import exported and imported again, through a pipe"
at "$second" cow client reset desk --factory >"$out"
at "$second" cow client rollback desk >"$out"
copy "$second" $id got
same_tree "$work/want" "$work/got"
ok "reset, and back"

# The image has another name there, and nobody by that of the one to follow.
at "$second" cow client rm desk >"$out"
at "$second" cow image export img -o "$work/img.cow" >"$out"
at "$second" cow image rm img@1 >"$out"
at "$second" cow image import other "$work/img.cow" >"$out"
at "$second" cow client import "$work/desk.cow" >"$out" 2>"$err"
grep -q '^cowherd: follows = img is left out: ' "$err" || die "$(cat "$err")"
grep -qx 'follows = other@1' "$second/clients/$id/client.conf" || die "$(cat "$second/clients/$id/client.conf")"
copy "$second" $id got
same_tree "$work/want" "$work/got"
ok "on the same image by another name"

# ------------------------------------------------------------ into the same store
unchanged fails 5 'client 02-00-00-00-00-01 exists already; remove it first .*--mac' cow client import "$work/desk.cow"
unchanged fails 5 'client 02-00-00-00-00-01 has the name desk already; --name' \
	cow client import "$work/desk.cow" --mac 02:00:00:00:00:02
cow client import "$work/desk.cow" --mac 02:00:00:00:00:02 --name two >"$out" 2>"$err"
grep -q '^cowherd: serial = 1234abcd is left out: ' "$err" || die "$(cat "$err")"
copy "$first" 02-00-00-00-00-02 got
same_tree --ignore etc/hostname --ignore etc/hosts --ignore etc/machine-id --ignore etc/NetworkManager "$work/want" "$work/got"
[[ $(cat "$work/got/etc/hostname") == two ]] || die "hostname: $(cat "$work/got/etc/hostname")"
[[ $(cat "$work/got/etc/hosts") == $'127.0.0.1\tlocalhost\n127.0.1.1\ttwo\n10.0.0.9 printer' ]] || die "hosts: $(cat "$work/got/etc/hosts")"
! cmp -s "$work/want/etc/machine-id" "$work/got/etc/machine-id" || die "two machines with one machine-id"
grep -q 'mac:02:00:00:00:00:02' "$work/got/etc/NetworkManager/conf.d/90-cowherd.conf" || die "NetworkManager"
settings "$first" 02-00-00-00-00-02 | diff <(sed 's/ = desk$/ = two/; /^address = /d; /^serial = /d' "$work/settings") - >&2 ||
	die "the settings differ"
[[ $(sed -n 's/^export_id = //p' "$first"/clients/*/client.conf | sort -u | wc -l) == 2 ]] || die "one export id twice"
ok "as another machine: its own identity"

cow client rm desk >"$out"
cow client import "$work/desk.cow" >"$out" 2>"$err"
[[ ! -s $err ]] || die "it said: $(cat "$err")"
copy "$first" $id got
same_tree "$work/want" "$work/got"
settings "$first" $id | diff "$work/settings" - >&2 || die "the settings differ"
left_over "$first"
ok "in the same store"

# ------------------------------------------------------------ what is refused
cow client rm desk >"$out"
size=$(stat -c %s "$work/desk.cow")
for cut in 20 400 $((size / 2)) $((size - 1)); do
	head -c "$cut" "$work/desk.cow" >"$work/cut"
	unchanged fails 1 'cut short' cow client import "$work/cut"
done
for byte in 20 100 700 $((size / 2)) $((size - 60)); do
	cp "$work/desk.cow" "$work/flip"
	printf '\xff\xfe' | dd of="$work/flip" bs=1 seek="$byte" conv=notrunc status=none
	cmp -s "$work/desk.cow" "$work/flip" && die "byte $byte was that"
	unchanged fails 1 'damaged' cow client import "$work/flip"
done
unchanged fails 5 'archive of client 02-00-00-00-00-01, not of an image' cow image import new "$work/desk.cow"
cow image export img -o "$work/img.cow" >"$out"
unchanged fails 5 'archive of an image, not of a client' cow client import "$work/img.cow"
unchanged fails 1 'is no archive of cowherd' cow client import "$COWHERD"
unchanged fails 3 'open the source' cow client import "$work/nothing"
unchanged fails 2 'is no MAC' cow client import "$work/desk.cow" --mac nonsense
unchanged fails 2 'is no host name' cow client import "$work/desk.cow" --name 'a b'
unchanged fails 2 'say where to' cow client export two
unchanged fails 2 'level' cow client export two -o "$work/x" --level 20
unchanged fails 3 'no client' cow client export nobody -o "$work/x"
mkdir -p "$store/clients/02-00-00-00-00-02/state"
printf 'time = %d\naddress = 10.77.0.9\n' "$(date +%s)" >"$store/clients/02-00-00-00-00-02/state/nfs"
unchanged fails 4 'runs .*--now' cow client export two -o "$work/x"
[[ ! -e $work/x && ! -e $work/x.partial ]] || die "a refused export made a file"
cow client export two -o "$work/x" --now >"$out"
rm "$store/clients/02-00-00-00-00-02/state/nfs"
# Somebody makes a version of the image.
coproc holder { python3 -c '
import fcntl, sys
f = open(sys.argv[1], "r+")
fcntl.lockf(f, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()' "$store/images/img/lock"; }
pid=$!
read -r held <&"${holder[0]}"
[[ $held == held ]] || die "the image is not locked"
unchanged fails 4 'another version of image img is being made' cow client export two -o "$work/y"
unchanged fails 4 'another version of image img is being made' cow client import "$work/desk.cow"
eval "exec ${holder[1]}>&-"
wait "$pid"
[[ ! -e $work/y && ! -e $work/y.partial ]] || die "a refused export made a file"
if [[ $backend == overlay ]]; then
	view 02-00-00-00-00-02 >/dev/null
	status=0
	"$COWHERD" client export two -o "$work/y" >"$out" 2>"$err" || status=$?
	[[ $status == 4 && $(cat "$err") == *'mounted'* ]] || die "mounted by the kernel: $status, $(cat "$err")"
	unview
fi
left_over "$first"
ok "what is refused"

# ------------------------------------------------------------ killed at some moment
# unfinished: what is being made there.
unfinished()
{
	compgen -G "$store/images/img/.import-*" || compgen -G "$store/clients/.add-*"
}
middle=0
look()
{
	! unfinished >"$out" || middle=$((middle + 1))
	if "$COWHERD" client show desk >"$out" 2>"$err"; then # it was past the publication
		through=1
		return
	fi
	grep -q 'no client' "$err" || die "after SIGKILL at $killed_ms ms: $(cat "$err")"
	cow gc >"$out"
	left_over "$first"
}
cow gc >"$out"
left_over "$first"
kill_later 2 4/3 look "$COWHERD" client import "$work/desk.cow"
[[ $middle -gt 1 ]] || die "only $middle of $killed imports were killed in the middle: the test tests nothing"
cow gc >"$out"
left_over "$first"
copy "$first" $id got
same_tree "$work/want" "$work/got"
cow client rm desk >"$out"
cow client import "$work/desk.cow" >"$out"
ok "killed at $killed points, $middle in the middle: not there or complete, swept"
