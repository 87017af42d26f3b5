#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# fixup-undo.sh [BACKEND [FS]] - image fixup: what was made is listed, taken back and made after all, each time in a new
# version; what was taken back leaves no trace; it goes along with commits and archives.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=pi-tree.sh
. "$(dirname "$0")/pi-tree.sh"

backend=${1:-btrfs}
store 512M "${2:-}"
src=$work/src
mac=02-00-00-00-00-01
pi_tree "$src"
chown 12:34 "$src/etc/fstab"
setfattr -n trusted.note -v 'of fstab' "$src/etc/fstab"
setfacl -m u:5:r "$src/etc/dhcpcd.conf"
chmod 600 "$src"/etc/ssh/ssh_host_*_key
ln "$src/etc/xdg/autostart/piwiz.desktop" "$src/usr/piwiz"
head -c 3M /dev/urandom >"$src/usr/bin/large"
find "$src" -exec touch -h -d '2020-02-02 02:02:02.123456789' {} +

# Name of a fix-up: its result in a version, as the list says.
result()
{
	cow image fixup "$1" --json >"$work/list"
	python3 -c 'import json, sys; print(*[f["result"] for f in json.load(open(sys.argv[1])) if f["name"] == sys.argv[2]])' \
		"$work/list" "$2"
}
is()
{
	[[ $(result "$1" "$2") == "$3" ]] || die "$2 of $1 is not '$3': $(cat "$work/list")"
}
tree()
{
	echo "$store/images/$1/$2/tree"
}
file()
{
	stat -c '%a %u %g %y' "$1" && getfattr -dm- --absolute-names "$1" | tail -n +2
	cat "$1"
}

# ------------------------------------------------------------ all, back and forth
cow image import pi "$src" >"$out"
cow image fixup pi >"$out"
[[ $(grep -c '^  [a-z-]*  *done: ' "$out") == 13 && $(wc -l <"$out") == 15 ]] || die "the list: $(cat "$out")"
! grep -q 'cannot be' "$out" || die "something cannot be taken back: $(cat "$out")"
is pi fstab 'done'
python3 - "$work/list" <<'END'
import json, sys
l = {f['name']: f for f in json.load(open(sys.argv[1]))}
assert l['fstab']['undoable'] and l['fstab']['paths'] == ['etc/fstab', 'swap.img'], l['fstab']
assert not l['tmp']['undoable'] and l['tmp']['result'] == 'not needed', l['tmp']
END
unchanged cow image fixup pi --undo all --dry-run >"$work/dry"
grep -q '^  fstab  *undone: .*put back /etc/fstab' "$work/dry" || die "dry run: $(cat "$work/dry")"
before=$(used)
cow image fixup pi --undo all >"$out"
cost=$(($(used) - before))
grep -q '^made pi@2: ' "$out" || die "$(cat "$out")"
diff <(grep '^  [a-z-]*  *undone' "$work/dry") <(grep '^  [a-z-]*  *undone' "$out") || die "the dry run said something else"
same_image "$src" "$(tree pi 2)"
cow image verify pi@2
cow image show pi@2 >"$out"
grep -q '^comment = fix-up eeprom undone, ' "$out" || die "comment: $(cat "$out")"
grep -qx 'parent = pi@1' "$out" || die "parent: $(cat "$out")"
is pi@2 swap undone
is pi@2 tmp 'not needed'
is pi@1 swap 'done'
((cost < 2000000)) || die "taking back costs $cost bytes: what did not change is not shared"
[[ ! -e $store/images/pi/2/image.fixups ]] || die "a record of nothing"
ok "all taken back: the tree is what was imported; $cost bytes"

start=$(date +%s)
cow image fixup pi --do all >"$out"
same_tree --now "$((start - 60))" "$(tree pi 1)" "$(tree pi 3)"
is pi@3 swap 'done'
cow image fixup pi --do all >"$out"
grep -q 'nothing is to be changed' "$out" || die "made twice: $(cat "$out")"
cow image fixup pi@2 --undo all >"$out"
grep -q 'nothing is to be changed' "$out" || die "taken back twice: $(cat "$out")"
[[ ! -e $store/images/pi/4 ]] || die "a version of nothing"
ok "made after all: the tree is as after the import"

cow image fixup pi@1 --undo fstab --undo clock >"$out"
diff <(file "$src/etc/fstab") <(file "$(tree pi 4)/etc/fstab")
is pi fstab undone
is pi clock undone
is pi swap 'done'
cow image fixup pi --undo swap --do clock >"$out"
is pi fstab undone
is pi clock 'done'
is pi swap undone
[[ -e $(tree pi 5)/var/swap && ! -e $(tree pi 5)/etc/cron.hourly/fake-hwclock ]] || die "swap and clock"
ok "one by one, of any version"

# ------------------------------------------------------------ versions made of it
need_backend "$backend" pi
change() # IMAGE COMMAND...: run in the root of a client of the image, which becomes the next version
{
	local image=$1 root
	shift
	cow client add $mac --image "$image" --backend "$backend" >"$out"
	root=$(view $mac)
	(cd "$root" && "$@")
	cow client commit $mac "${image%@*}" >"$work/commit"
	cow client rm $mac >"$out"
}
edit()
{
	echo 'server:/x /x nfs defaults 0 0' >>etc/fstab
	echo 'console=tty1 quiet splash' >boot/firmware/cmdline.txt
}
change pi@1 edit
is pi@6 fstab 'done'
cow image fixup pi --undo fstab >"$out"
[[ $(cat "$(tree pi 7)/etc/fstab") == "$(cat "$src/etc/fstab" && echo 'server:/x /x nfs defaults 0 0')" ]] ||
	die "fstab: $(cat "$(tree pi 7)/etc/fstab")"
unchanged fails 5 '/boot/firmware/cmdline.txt was changed since.*--force' cow image fixup pi@6 --undo resize
cow image fixup pi@6 --undo resize --force >"$out"
grep -q 'resize  *undone: .*left what was in the way: /boot/firmware/cmdline.txt was changed' "$out" || die "$(cat "$out")"
[[ $(cat "$(tree pi 8)/boot/firmware/cmdline.txt") == 'console=tty1 quiet splash' ]] || die "a changed file was taken back"
[[ ! -L $(tree pi 8)/etc/systemd/system/rpi-resize.service ]] || die "a mask stays"
change pi@7 touch usr/new
is pi@9 fstab skipped
is pi@9 network 'done'
grep -qx '/dev/sda1 /data ext4 defaults 0 0' "$(tree pi 9)/etc/fstab" || die "a commit made it again"
cow image fixup pi@9 --undo network >"$out"
diff <(file "$src/etc/network/interfaces") <(file "$(tree pi 10)/etc/network/interfaces")
ok "commits: what was taken back stays so, what was made can be taken back, also beside other changes"

# ------------------------------------------------------------ other stores
COWHERD_STORE=$work/other cow init >"$out"
cow image export pi@1 -o "$work/pi.cow" >"$out"
COWHERD_STORE=$work/other cow image import "$work/pi.cow" >"$out"
cmp "$store/images/pi/1/image.fixups" "$work/other/images/pi/1/image.fixups"
! grep -q '^\[' "$work/other/images/pi/1/image.conf" || die "the record came into image.conf"
COWHERD_STORE=$work/other cow image fixup pi --undo all >"$out"
same_image "$src" "$work/other/images/pi/2/tree"
[[ $(stat -c %a "$store/images/pi/1/image.fixups" "$work/other/images/pi/1/image.fixups" | sort -u) == 600 ]] ||
	die "others may read host keys"
ok "archives carry it"

# ------------------------------------------------------------ what is not recorded
rm "$store/images/pi/1/image.fixups"
cow image fixup pi@1 >"$out"
grep -q '^  fstab  *done (cannot be taken back): ' "$out" || die "$(cat "$out")"
unchanged fails 5 'fstab changed in pi@1 is not recorded.*--no-fixup fstab' cow image fixup pi@1 --undo fstab
change pi@1 touch usr/new
unchanged fails 5 'is not recorded' cow image fixup pi --undo fstab
echo 'change = what' >"$store/images/pi/3/image.fixups"
fails 1 'pi@3.*image.fixups' cow image fixup pi@3
unchanged fails 1 'damaged' cow image fixup pi@3 --undo fstab
change pi@3 touch usr/new
grep -q 'warning: .*image.fixups is damaged' "$work/commit" || die "$(cat "$work/commit")"
ok "versions of an older cowherd, and a damaged record: it is said"

fails 2 'no fix-up is called' cow image fixup pi --undo nothing
fails 2 'taken back or to be made' cow image fixup pi --undo fstab --do all
fails 2 'which' cow image fixup pi --dry-run
fails 2 'json' cow image fixup pi --undo fstab --json
fails 3 'no image' cow image fixup none
ok "what makes no sense is refused"
