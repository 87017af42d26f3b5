#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# fixups.sh [BACKEND [FS]] - netboot fix-ups: what an image made for an SD card looks like afterwards,
# and that no link in it leads them, or the files of a client, out of the image (I7).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=pi-tree.sh
. "$(dirname "$0")/pi-tree.sh"

backend=${1:-btrfs}
store 512M "${2:-}"
src=$work/src

pi_tree "$src"
cp -a "$src" "$work/keep"

cow image import pi "$src" >"$out"
tree=$store/images/pi/1/tree
cow image show pi --json >"$work/show"
check_result()
{
	python3 - "$work/show" "$1" "$2" <<'END'
import json, sys
got = [f for f in json.load(open(sys.argv[1]))['fixup'] if f.startswith(sys.argv[2] + ':')]
assert len(got) == 1 and got[0].split(': ')[1] == sys.argv[3], got
END
}
for name in fstab machine-id ssh-host-keys swap resize disk-care network dns journald first-boot clock timers eeprom; do
	check_result $name 'done' || die "$name: $(cat "$work/show")"
done
[[ $(grep -c ' done: ' "$out") == 13 ]] || die "not all 13 fix-ups are printed: $(cat "$out")"
ok "all 13 are done, recorded and printed"

cat >"$work/want" <<'END'
proc            /proc           proc    defaults          0       0
# not on a network root: PARTUUID=1-1  /boot/firmware  vfat    defaults          0       2
# not on a network root: PARTUUID=1-2  /               ext4    defaults,noatime  0       1
# not on a network root: /swap.img none swap sw 0 0
# a comment
tmpfs /tmp tmpfs nosuid 0 0
# not on a network root: /dev/sda1 /data ext4 defaults 0 0
//server/share /mnt cifs guest 0 0
/boot/firmware /boot/firmware none bind,nofail 0 0
END
diff "$work/want" "$tree/etc/fstab" || die "fstab"
[[ ! -e $tree/swap.img && ! -e $tree/var/swap ]] || die "a swap file stays"
ok "fstab, swap files"

[[ -f $tree/etc/machine-id && ! -s $tree/etc/machine-id ]] || die "machine-id"
[[ $(readlink "$tree/var/lib/dbus/machine-id") == /etc/machine-id ]] || die "dbus machine-id"
[[ ! -e $tree/var/lib/systemd/random-seed ]] || die "random seed"
[[ -z $(find "$tree/etc/ssh" -name 'ssh_host_*') ]] || die "host keys stay"
[[ -f $tree/etc/ssh/sshd_config ]] || die "too much was removed from /etc/ssh"
grep -q 'ssh-keygen -A' "$tree/etc/systemd/system/cowherd-ssh-keys.service" || die "no unit for host keys"
[[ $(readlink "$tree/etc/systemd/system/multi-user.target.wants/cowherd-ssh-keys.service") == ../cowherd-ssh-keys.service ]] ||
	die "the unit is not enabled"
ok "identity: machine-id, random seed, host keys"

for unit in dphys-swapfile.service rpi-resize.service resize2fs_once.service fstrim.timer e2scrub_all.timer \
	regenerate_ssh_host_keys.service userconfig.service rpi-eeprom-update.service \
	systemd-networkd-wait-online.service fake-hwclock-save.timer; do
	[[ $(readlink "$tree/etc/systemd/system/$unit") == /dev/null ]] || die "$unit is not masked"
done
[[ ! -e $tree/etc/systemd/system/mdmonitor.service ]] || die "a unit that is not there was masked"
[[ $(cat "$tree/boot/firmware/cmdline.txt") == 'console=tty1 root=PARTUUID=1-2 rootfstype=ext4 quiet cfg80211.ieee80211_regdom=DE' ]] ||
	die "cmdline.txt: $(cat "$tree/boot/firmware/cmdline.txt")"
grep -qx 'Mechanism=zram' "$tree/etc/rpi/swap.conf.d/90-cowherd.conf" || die "rpi-swap"
grep -qx 'Storage=volatile' "$tree/etc/systemd/journald.conf.d/90-cowherd.conf" || die "journald"
grep -qx 'RandomizedDelaySec=6h' "$tree/etc/systemd/system/apt-daily.timer.d/90-cowherd.conf" || die "timers"
[[ -f $tree/etc/cloud/cloud-init.disabled ]] || die "cloud-init"
[[ ! -e $tree/etc/cron.hourly/fake-hwclock && ! -e $tree/etc/xdg/autostart/piwiz.desktop ]] || die "clock, piwiz"
ok "units, words of the command line, settings"

cat >"$work/want" <<'END'
source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback
# iface eth0 inet static
# 	address 192.168.1.2
allow-hotplug wlan0
iface wlan0 inet dhcp
END
diff "$work/want" "$tree/etc/network/interfaces" || die "interfaces"
[[ $(cat "$tree/etc/network/interfaces.d/end0") == '# iface end0 inet dhcp' ]] || die "interfaces.d"
grep -qx 'denyinterfaces eth\* en\*' "$tree/etc/dhcpcd.conf" || die "dhcpcd"
[[ $(grep -n denyinterfaces "$tree/etc/dhcpcd.conf" | cut -d: -f1) -lt $(grep -n '^interface' "$tree/etc/dhcpcd.conf" | cut -d: -f1) ]] ||
	die "dhcpcd: the line must stand before the first interface"
ok "network: wired interfaces are left alone, wireless stays"

same_tree "$work/keep" "$src"
ok "the source is unchanged"

# ------------------------------------------------------------ once more: nothing to do
cow image import again "$tree" >"$out"
cow image show again >"$work/again"
[[ $(grep -c '^fixup = .*: not needed' "$work/again") == 15 ]] || die "a fix-up is made twice: $(grep ^fixup "$work/again")"
ok "a second time none is needed"

# ------------------------------------------------------------ /tmp, and what no change helps
mkdir -p "$work/tmp"/{usr/bin,usr/lib/systemd/system,etc}
: >"$work/tmp/usr/lib/systemd/systemd"
: >"$work/tmp/usr/bin/dockerd"
cow image import tmp "$work/tmp" >"$out"
tmp=$store/images/tmp/1/tree/etc/systemd/system
[[ $(readlink "$tmp/local-fs.target.wants/tmp.mount") == ../tmp.mount ]] || die "/tmp is not mounted"
grep -qx 'Type=tmpfs' "$tmp/tmp.mount" || die "/tmp is not in memory"
grep -q "^warning: Docker.*does not work" "$out" || die "no word about Docker: $(cat "$out")"
cow image show tmp --json >"$work/show"
python3 -c 'import json, sys; n = json.load(open(sys.argv[1]))["note"]; assert len(n) == 1 and "Docker" in n[0], n' "$work/show"
: >"$work/tmp/usr/lib/systemd/system/tmp.mount"
rm "$work/tmp/usr/bin/dockerd"
cow image import tmp "$work/tmp" >"$out"
[[ ! -e $store/images/tmp/2/tree/etc/systemd/system/tmp.mount ]] || die "a system that has it gets a second one"
! grep -q Docker "$out" || die "a word about what is not there"
ok "/tmp stays in memory, and who cannot work is told"

# ------------------------------------------------------------ initramfs
# Two kernels: one that needs help to mount its root, and one that does not. Modules need each other.
deb=$work/deb
mkdir -p "$deb"/{boot,etc/initramfs-tools,usr/lib/klibc/bin,usr/share/initramfs-tools,usr/lib/modules}
ln -s usr/lib "$deb/lib"
: >"$deb/usr/share/initramfs-tools/hook-functions"
echo 'klibc mount' >"$deb/usr/lib/klibc/bin/mount"
kernel() # VERSION ROOT_NFS
{
	local dir=$deb/usr/lib/modules/$1 module
	mkdir -p "$dir"/kernel/{fs/{nfs,lockd,overlayfs},net/packet}
	for module in fs/nfs/nfs fs/nfs/nfsv3 fs/nfs/nfsv4 fs/lockd/lockd fs/overlayfs/overlay net/packet/af-packet fs/other; do
		echo "$1 $module" >"$dir/kernel/$module.ko.xz"
	done
	cat >"$dir/modules.dep" <<'END'
kernel/fs/other.ko.xz:
kernel/fs/nfs/nfsv3.ko.xz: kernel/fs/nfs/nfs.ko.xz kernel/fs/lockd/lockd.ko.xz
kernel/fs/nfs/nfsv4.ko.xz: kernel/fs/nfs/nfs.ko.xz kernel/fs/lockd/lockd.ko.xz
kernel/fs/nfs/nfs.ko.xz: kernel/fs/lockd/lockd.ko.xz
kernel/fs/lockd/lockd.ko.xz:
kernel/fs/overlayfs/overlay.ko.xz:
kernel/net/packet/af-packet.ko.xz:
END
	echo "index of $1" >"$dir/modules.dep.bin"
	printf '# config\nCONFIG_ROOT_NFS=%s\nCONFIG_X=y\n' "$2" >"$deb/boot/config-$1"
	echo "not looked into: $1" | gzip -n >"$deb/boot/initrd.img-$1"
	touch -d '1 hour ago' "$deb/boot/initrd.img-$1"
}
# parts FILE OFFSET: what the archive at the next multiple of four holds, sorted, "MODE NAME SIZE".
parts()
{
	python3 - "$1" "$2" <<'END'
import sys
data, at = open(sys.argv[1], 'rb').read(), (int(sys.argv[2]) + 3) & ~3
out = []
while True:
    assert data[at:at + 6] == b'070701', data[at:at + 6]
    field = [int(data[at + 6 + 8 * k:at + 14 + 8 * k], 16) for k in range(13)]
    name = data[at + 110:at + 110 + field[11] - 1].decode()
    body = (at + 110 + field[11] + 3) & ~3
    if name == 'TRAILER!!!':
        break
    out.append('%o %s %s' % (field[1], name, data[body:body + field[6]].split(b'\n')[0].decode()[:24]))
    at = (body + field[6] + 3) & ~3
assert not data[body:].strip(b'\0')
print('\n'.join(sorted(out)))
END
}
kernel 6.1.0-amd64 n
kernel 6.6.0-v8 y
cp -a "$deb" "$work/keep-deb"
cow image import deb "$deb" >"$out"
grep -q '^  initramfs  *done: .*added to /boot/initrd.img-6.1.0-amd64' "$out" || die "initramfs: $(cat "$out")"
tree=$store/images/deb/1/tree
same_tree "$work/keep-deb" "$deb"
cmp "$tree/boot/initrd.img-6.6.0-v8" "$deb/boot/initrd.img-6.6.0-v8" || die "an initramfs that needs nothing was changed"
size=$(stat -c %s "$deb/boot/initrd.img-6.1.0-amd64")
cmp -n "$size" "$tree/boot/initrd.img-6.1.0-amd64" "$deb/boot/initrd.img-6.1.0-amd64" || die "what was there was changed"
m=lib/modules/6.1.0-amd64
cat >"$work/want" <<END
100644 $m/kernel/fs/lockd/lockd.ko.xz 6.1.0-amd64 fs/lockd/loc
100644 $m/kernel/fs/nfs/nfs.ko.xz 6.1.0-amd64 fs/nfs/nfs
100644 $m/kernel/fs/nfs/nfsv3.ko.xz 6.1.0-amd64 fs/nfs/nfsv3
100644 $m/kernel/fs/nfs/nfsv4.ko.xz 6.1.0-amd64 fs/nfs/nfsv4
100644 $m/kernel/fs/overlayfs/overlay.ko.xz 6.1.0-amd64 fs/overlayfs
100644 $m/kernel/net/packet/af-packet.ko.xz 6.1.0-amd64 net/packet/a
100644 $m/modules.dep kernel/fs/other.ko.xz:
100644 $m/modules.dep.bin index of 6.1.0-amd64
100644 scripts/cowherd # SPDX-License-Identifie
100755 lib/cowherd/mount klibc mount
END
parts "$tree/boot/initrd.img-6.1.0-amd64" "$size" >"$work/parts"
grep -v ^40755 "$work/parts" | diff "$work/want" - || die "the wrong things were added"
for dir in lib scripts; do # links or directories of the initramfs: not to be replaced
	! grep -q "^40755 $dir " "$work/parts" || die "an entry for /$dir"
done
grep -q "^40755 $m/kernel/fs/lockd " "$work/parts" || die "no entry for a directory"
share=$(dirname "$0")/../../share/initramfs
cmp "$share/scripts/cowherd" "$tree/etc/initramfs-tools/scripts/cowherd" || die "script"
cmp "$share/hooks/cowherd" "$tree/etc/initramfs-tools/hooks/cowherd" || die "hook"
[[ -x $tree/etc/initramfs-tools/hooks/cowherd ]] || die "the hook is no program"
cow image show deb --json >"$work/show"
grep -q '"initramfs": *"cowherd"' "$work/show" || die "not recorded: $(cat "$work/show")"
ok "initramfs: what a kernel without NFS root needs is appended, to its own only"

cow image import deb-again "$tree" >"$out"
cow image show deb-again >"$out"
grep -qx 'fixup = initramfs: not needed' "$out" || die "a second time: $(cat "$out")"
rm "$deb/usr/lib/modules/6.1.0-amd64/kernel/fs/lockd/lockd.ko.xz"
cow image import deb-broken "$deb" >"$out"
grep -q '^  initramfs  *done: .*initrd.img-6.1.0-amd64 CANNOT mount' "$out" || die "a missing module: $(cat "$out")"
rm "$deb/usr/lib/klibc/bin/mount"
cow image import deb-without "$deb" >"$out"
grep -q '^  initramfs  *done: .*klibc-utils' "$out" || die "no klibc: $(cat "$out")"
[[ ! -e $store/images/deb-without/1/tree/etc/initramfs-tools/hooks ]] || die "a hook that would fail"
rm "$deb/boot/initrd.img-6.1.0-amd64"
cow image import deb-itself "$deb" >"$out"
cow image show deb-itself >"$out"
grep -qx 'fixup = initramfs: not needed' "$out" || die "a kernel that mounts its root: $(cat "$out")"
ok "initramfs: once is enough; what cannot be done is said"

# ------------------------------------------------------------ left out
cow image import --no-fixup fstab --no-fixup timers some "$src" >"$out"
diff "$src/etc/fstab" "$store/images/some/1/tree/etc/fstab" || die "fstab was changed"
[[ ! -e $store/images/some/1/tree/etc/systemd/system/apt-daily.timer.d ]] || die "timers"
grep -q '^  fstab  *skipped: as asked' "$out" || die "$(cat "$out")"
cow image import --no-fixup all none "$src" >"$out"
same_tree "$src" "$store/images/none/1/tree"
ok "--no-fixup leaves out one, or all"

# ------------------------------------------------------------ a tree that wants us to write elsewhere
evil=$work/evil
victim=$work/victim
mkdir -p "$evil"/{etc,usr/lib/systemd/system,boot,var/lib} "$victim/etc/ssh"
for file in fstab machine-id hosts hostname; do
	echo "host's own" >"$victim/etc/$file"
	ln -s "$victim/etc/$file" "$evil/etc/$file"
done
echo key >"$victim/etc/ssh/ssh_host_rsa_key"
ln -s "$victim/etc/ssh" "$evil/etc/ssh"
ln -s "../../../../../../../..$victim" "$evil/etc/systemd"
ln -s "$victim" "$evil/etc/NetworkManager"
ln -s /proc/self/root "$evil/etc/cloud"
ln -s "$victim" "$evil/boot/firmware"
ln -s "$victim" "$evil/etc/network"
mkfifo "$evil/etc/dhcpcd.conf"
mknod "$evil/etc/dphys-swapfile" c 1 5
mkdir "$evil/etc/cron.hourly"
mkdir "$evil/etc/cron.hourly/fake-hwclock"
: >"$evil/usr/lib/systemd/systemd"
for unit in fstrim.timer dphys-swapfile.service apt-daily.timer; do
	: >"$evil/usr/lib/systemd/system/$unit"
done
victim_sum=$("$TREECMP" --sum "$victim")
timeout 60 "$COWHERD" image import evil "$evil" >"$out" || die "import ended with $?: $(cat "$out")"
need_backend "$backend" pi
timeout 60 "$COWHERD" client add 02:00:00:00:00:01 --image evil --backend "$backend" >"$out" ||
	die "add ended with $?: $(cat "$out")"
[[ $("$TREECMP" --sum "$victim") == "$victim_sum" ]] || die "a link led out of the image: $(ls -lR "$victim")"
tree=$(view 02-00-00-00-00-01)
[[ -f $tree/etc/hostname && ! -L $tree/etc/hostname ]] || die "a link in the place of hostname was followed"
[[ -f $tree/etc/fstab && ! -L $tree/etc/fstab ]] || die "a link in the place of fstab was followed"
ok "links, fifos and devices in the place of files: replaced or left alone, never followed"

# ------------------------------------------------------------ name servers at boot
dns=$store/images/pi/1/tree/usr/lib/cowherd/netboot-dns
boot=$work/bootroot
mkdir -p "$boot"/{proc/net,run,etc,usr/sbin}
printf '#PROTO: DHCP\ndomain lab.example\nnameserver 10.77.0.1\nnameserver 10.77.0.2\nbootserver 10.77.0.1\n' >"$boot/proc/net/pnp"
echo 'nameserver 8.8.8.8' >"$boot/etc/resolv.conf"
sh "$dns" "$boot"
[[ $(cat "$boot/etc/resolv.conf") == $'search lab.example\nnameserver 10.77.0.1\nnameserver 10.77.0.2' ]] || die "resolv.conf: $(cat "$boot/etc/resolv.conf")"
rm "$boot/proc/net/pnp"
printf "IPV4DNS0='10.77.0.3'\nIPV4DNS1='0.0.0.0'\nDNSDOMAIN='x.example'\n" >"$boot/run/net-eth0.conf"
sh "$dns" "$boot"
[[ $(cat "$boot/etc/resolv.conf") == $'search x.example\nnameserver 10.77.0.3' ]] || die "resolv.conf: $(cat "$boot/etc/resolv.conf")"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$boot/etc/resolv.conf"
install -m 755 /dev/null "$boot/usr/sbin/NetworkManager"
sh "$dns" "$boot"
grep -qx 'DNS=10.77.0.3' "$boot/run/systemd/resolved.conf.d/50-netboot.conf" || die "resolved"
grep -qx 'servers=10.77.0.3' "$boot/run/NetworkManager/conf.d/50-netboot-dns.conf" || die "NetworkManager"
[[ -L $boot/etc/resolv.conf ]] || die "the link to resolved is gone"
ok "name servers of the boot reach resolv.conf, resolved, NetworkManager"
