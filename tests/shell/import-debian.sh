#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-debian.sh - a real system in the shapes people have it in: Debian for a Raspberry Pi as a packed disk with a
# boot partition, as a directory, as a tar archive, as a container image. What comes out is what was put in.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in debootstrap sfdisk mkfs.vfat mcopy umoci xz; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages debootstrap, fdisk, dosfstools, mtools, umoci, xz-utils)"
		exit 77
	}
done
debian=$("$(dirname "$0")/mkarm64") || {
	echo "no Debian for arm64: its mirror cannot be reached"
	exit 77
}
readonly debian root=$work/root boot=$work/boot

store 3G ext4
# On a disk of its own: with the attributes a root has, and its boot partition apart.
truncate -s 1G "$work/src.img"
mkfs.ext4 -q "$work/src.img"
mkdir "$work/src"
mount -o loop "$work/src.img" "$work/src"
cp -a "$debian" "$root-all"
mkdir "$boot"
mv "$root-all"/boot/firmware/* "$boot"
mkdir "$root"
cp -a "$root-all/." "$work/src"
rm -rf "$root-all"
umount "$work/src"
mount -o loop "$work/src.img" "$root"
rmdir "$root/lost+found"
setfacl -m u:51000:rx "$root/root"
setfattr -n user.origin -v test "$root/etc/debian_version"
cat >"$root/etc/fstab" <<'END'
LABEL=RASPIROOT / ext4 rw 0 1
LABEL=RASPIFIRM /boot/firmware vfat rw 0 2
END
chown 1000:1000 "$root/var/backups"
touch -d '2024-03-04 05:06:08' "$boot"/* "$root/boot/firmware"

# disk: the image a distribution would offer
truncate -s 700M "$work/disk.raw"
printf 'label: dos\nstart=2048, size=200M, type=c\ntype=83\n' | sfdisk -q "$work/disk.raw"
start=$(sfdisk -J "$work/disk.raw" | python3 -c 'import json, sys; print(*[p["start"] for p in json.load(sys.stdin)["partitiontable"]["partitions"]])')
read -r fat_at ext_at <<<"$start"
truncate -s 200M "$work/fat"
mkfs.vfat -F 32 "$work/fat" >/dev/null
mcopy -s -m -i "$work/fat" "$boot"/* ::
truncate -s 490M "$work/ext"
mkfs.ext4 -q -b 4096 -L RASPIROOT "$work/ext"
mkdir "$work/mnt"
mount -o loop "$work/ext" "$work/mnt"
cp -a "$root/." "$work/mnt"
umount "$work/mnt"
dd if="$work/fat" of="$work/disk.raw" bs=512 seek="$fat_at" conv=notrunc,sparse status=none
dd if="$work/ext" of="$work/disk.raw" bs=512 seek="$ext_at" conv=notrunc,sparse status=none
rm "$work/fat" "$work/ext"
xz -T0 -0 -c "$work/disk.raw" >"$work/raspi.img.xz"
rm "$work/disk.raw"

cow image import --no-fixup all raspi "$work/raspi.img.xz" >"$out" || die "the disk cannot be imported"
tree=$store/images/raspi/1/tree
diff -r "$boot" "$tree/boot/firmware" || die "the boot files differ"
cow image show raspi --json >"$work/show"
python3 - "$work/show" <<'END'
import json, sys
got = json.load(open(sys.argv[1]))
assert got['arch'] == 'arm64' and got['os'].startswith('Debian GNU/Linux 12'), got
assert got['boot_dir'] == 'boot/firmware' and got['boards'] == 'pi3 pi4 pc', got
END
# The boot files have what a FAT can say; all the rest is the root's own.
cp -a "$tree" "$work/got"
rm -rf "$work/got/boot/firmware"
cp -a "$root/boot/firmware" "$work/got/boot/firmware"
touch -r "$root/boot" "$work/got/boot"
touch -r "$root" "$work/got"
same_tree "$root" "$work/got"
rm -rf "$work/got"
ok "a packed disk"

cow image import --no-fixup all dir "$root" >"$out"
same_tree "$root" "$store/images/dir/1/tree"
ok "a directory"

tar -C "$root" --numeric-owner --xattrs '--xattrs-include=*' --acls -I 'zstd -1' -cf "$work/root.tar.zst" .
cow image import --no-fixup all tar - <"$work/root.tar.zst" >"$out"
same_tree "$root" "$store/images/tar/1/tree"
rm "$work/root.tar.zst"
ok "a tar archive through a pipe"

umoci init --layout "$work/oci"
umoci new --image "$work/oci:pi"
umoci insert --image "$work/oci:pi" "$root" / 2>"$err" || die "umoci: $(cat "$err")"
cow image import --no-fixup all oci "$work/oci" >"$out"
umoci unpack --image "$work/oci:pi" "$work/bundle" 2>"$err" || die "umoci: $(cat "$err")"
same_tree "$work/bundle/rootfs" "$store/images/oci/1/tree"
rm -rf "$work/bundle" "$work/oci"
ok "a container image"

# As people do it: with all fix-ups, which are the only differences.
cow image import fixed "$root" >"$out"
cow image diff dir fixed >"$work/changes"
cow image show fixed --json >"$work/show"
python3 - "$work/show" "$work/changes" <<'END'
import json, sys
fixups = json.load(open(sys.argv[1]))['fixup']
assert not [f for f in fixups if ': skipped' in f], fixups
allowed = ('/etc/fstab', '/etc/machine-id', '/etc/systemd/', '/etc/initramfs-tools', '/usr/lib/cowherd', '/boot/initrd.img',
           '/boot/firmware', '/etc/ssh', '/var/lib/', '/etc/network', '/usr/share/initramfs-tools')
for line in open(sys.argv[2]):
    if line[:2] in ('A ', 'M ', 'D ', 'T ', 'R '):
        path = next(w for w in line.split() if w.startswith('/'))
        assert path.startswith(allowed), line
END
ok "with fix-ups nothing else is changed"
