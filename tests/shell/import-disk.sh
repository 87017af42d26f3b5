#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-disk.sh [FS] - disk images, packed in every way and from every source, become the tree that a
# machine with this disk would see, boot files included. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in sfdisk mkfs.vfat mcopy zip setfattr; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages fdisk, dosfstools, mtools, zip, attr)"
		exit 77
	}
done

readonly ROOT_AT=56 # MiB

# The files of a boot partition, with names that its short form cannot hold.
mkdir -p "$work/boot/overlays"
printf 'arm_64bit=1\n' >"$work/boot/config.txt"
printf 'console=tty1 root=PARTUUID=00000000-02 rootwait\n' >"$work/boot/cmdline.txt"
head -c 3000000 /dev/urandom >"$work/boot/kernel8.img"
printf 'x\n' >"$work/boot/overlays/README"
printf 'y\n' >"$work/boot/overlays/vc4-kms-v3d-pi5.dtbo"

# put_root FS IMAGE [mkfs OPTION…]: what make-tree makes, in that file system, in an image of its own
put_root()
{
	local fs=$1 image=$2
	shift 2
	truncate -s 72M "$image"
	[[ $fs != xfs ]] || truncate -s 320M "$image"
	[[ $fs != btrfs ]] || truncate -s 160M "$image"
	[[ $fs != ext* ]] || set -- -b 4096 "$@" # smaller blocks do not hold a long link
	"mkfs.$fs" -q "$@" "$image" >/dev/null
	mkdir -p "$work/mnt"
	mount -o loop "$image" "$work/mnt"
	if [[ $fs == xfs ]]; then # its links have 1023 bytes at most
		rm -f "$work/expect/long-link"
		cp -a "$work/expect/." "$work/mnt"
	else
		"$(dirname "$0")/make-tree" "$work/mnt"
	fi
	mkdir -p "$work/mnt/boot/firmware"
	printf 'PARTUUID=0-02 / ext4 defaults 0 1\nPARTUUID=0-01 /boot/firmware vfat defaults 0 2\n' \
		>"$work/mnt/etc/fstab"
	if [[ $fs == ext4 ]]; then
		# Data in the inode, an extent tree with depth, blocks that were never written.
		printf 'tiny' >"$work/mnt/tiny"
		python3 - "$work/mnt" <<-'END'
			import os, sys
			fd = os.open(sys.argv[1] + '/many', os.O_WRONLY | os.O_CREAT, 0o644)
			for i in range(2000):
			    os.pwrite(fd, b'%d' % i, i * 8192)
			os.close(fd)
			fd = os.open(sys.argv[1] + '/reserved', os.O_WRONLY | os.O_CREAT, 0o644)
			os.posix_fallocate(fd, 0, 1 << 20)
			os.pwrite(fd, b'x' * 5000, 70000)
			os.close(fd)
		END
	fi
	umount "$work/mnt"
}

# expect IMAGE: what a machine with this disk sees, in $work/expect
expect()
{
	rm -rf "$work/expect"
	mkdir "$work/expect"
	mount -o loop,ro "$1" "$work/mnt"
	cp -a "$work/mnt/." "$work/expect"
	if [[ -e $work/expect/reserved ]]; then
		fallocate --dig-holes "$work/expect/reserved"
		touch -r "$work/mnt/reserved" "$work/expect/reserved"
	fi
	rm -rf "$work/expect/lost+found"
	touch -r "$work/mnt" "$work/expect"
	umount "$work/mnt"
	rm -rf "$work/expect/boot/firmware"
	cp -a "$work/boot" "$work/expect/boot/firmware"
	chmod 755 "$work/expect/boot/firmware"
	find "$work/expect/boot/firmware" -type f -exec chmod 644 {} +
}

# whole ROOT DISK: a disk with a boot partition and that root
whole()
{
	local size
	size=$(($(stat -c %s "$1") >> 20))
	rm -f "$2"
	truncate -s $((ROOT_AT + size + 2))M "$2"
	printf 'label: dos\n4MiB,48MiB,c\n%dMiB,%dMiB,83\n' $ROOT_AT "$size" | sfdisk -q "$2"
	truncate -s 48M "$work/fat"
	mkfs.vfat -F 32 -s 1 "$work/fat" >/dev/null
	mcopy -s -m -i "$work/fat" "$work"/boot/* ::
	dd if="$work/fat" of="$2" bs=1M seek=4 conv=notrunc status=none
	dd if="$1" of="$2" bs=1M seek=$ROOT_AT conv=notrunc,sparse status=none
}

# FAT counts time in steps of two seconds, of local time, and stores none of the directories by mcopy.
same_but_fat_times()
{
	local f
	(cd "$work/expect/boot/firmware" && find . -type f) | while read -r f; do
		cmp "$work/expect/boot/firmware/$f" "$1/boot/firmware/$f" || die "$f differs"
	done
	(cd "$1/boot/firmware" && find . -exec touch -d @0 {} +)
	(cd "$work/expect/boot/firmware" && find . -exec touch -d @0 {} +)
	touch -r "$work/expect/boot" "$1/boot"
	same_tree "$work/expect" "$1"
}

# seen NAME: its newest version as a copy that may be changed
seen()
{
	rm -rf "$work/seen"
	cp -a "$store/images/$1/1/tree" "$work/seen"
	echo "$work/seen"
}

store 3G "${1:-}"
image=$work/pi.img
put_root ext4 "$work/root" -O inline_data
expect "$work/root"
whole "$work/root" "$image"

cow image import --no-fixup all plain "$image" >"$out"
same_but_fat_times "$(seen plain)"
cow image show plain >"$out"
[[ $(sed -n 's/^bytes = //p' "$out") -gt 3000000 ]] || die "the boot files are not counted: $(cat "$out")"
grep -q 'boot_dir.*boot/firmware' "$out" || die "boot_dir: $(cat "$out")"
ok "a disk with ext4 and a boot partition"

for pack in gzip bzip2 xz zstd; do
	"$pack" -q -c "$image" >"$work/disk.$pack"
	cow image import --no-fixup all "$pack" "$work/disk.$pack" >"$out"
	same_but_fat_times "$(seen "$pack")"
	ok "the same packed by $pack"
	[[ $pack == zstd ]] || rm "$work/disk.$pack"
done
printf 'notes\n' >"$work/README"
(cd "$work" && zip -q -1 disk.zip README pi.img)
cow image import --no-fixup all zip "$work/disk.zip" >"$out"
same_but_fat_times "$(seen zip)"
ok "a zip file with notes in front"

zstd -q -d -c "$work/disk.zstd" | cow image import --no-fixup all pipe - >"$out"
cow image import --no-fixup all pipe2 - <"$work/disk.zstd" >"$out"
same_but_fat_times "$(seen pipe)"
same_but_fat_times "$(seen pipe2)"
ok "from a pipe, and a packed one from standard input"

loop=$(losetup --find --show --read-only "$image")
cow image import --no-fixup all device "$loop" >"$out" || {
	losetup -d "$loop"
	die "import of a block device"
}
losetup -d "$loop"
same_but_fat_times "$(seen device)"
ok "a block device"

# GPT; a partition without table; block maps of ext2, no extents.
sgdisk=$work/gpt.img
truncate -s $((ROOT_AT + 76))M "$sgdisk"
printf 'label: gpt\n4MiB,48MiB,U\n%dMiB,72MiB,L\n' $ROOT_AT | sfdisk -q "$sgdisk"
dd if="$work/fat" of="$sgdisk" bs=1M seek=4 conv=notrunc status=none
dd if="$work/root" of="$sgdisk" bs=1M seek=$ROOT_AT conv=notrunc,sparse status=none
cow image import --no-fixup all gpt "$sgdisk" >"$out"
same_but_fat_times "$(seen gpt)"
rm "$sgdisk"
ok "a disk with a GPT"

put_root ext2 "$work/root2"
expect "$work/root2"
rm -rf "$work/expect/boot/firmware"
mkdir "$work/expect/boot/firmware"
cow image import --no-fixup all ext2 "$work/root2" >"$out"
rm -rf "$work/seen"
cp -a "$store/images/ext2/1/tree" "$work/seen"
rm -rf "$work/seen/boot" "$work/expect/boot"
touch -r "$work/expect" "$work/seen"
same_tree "$work/expect" "$work/seen"
ok "ext2 alone, without a partition table"

# A card that was pulled out: what is in the journal only.
put_root ext4 "$work/root"
mount -o loop "$work/root" "$work/mnt"
printf 'late\n' >"$work/mnt/late"
sync -f "$work/mnt"
cp --sparse=always "$work/root" "$work/dirty"
umount "$work/mnt"
dumpe2fs -h "$work/dirty" 2>/dev/null | grep -q needs_recovery || die "the copy is clean"
expect "$work/root"
whole "$work/dirty" "$work/dirty.img"
sum=$(sha256sum <"$work/dirty.img")
cow image import --no-fixup all dirty "$work/dirty.img" >"$out"
same_but_fat_times "$(seen dirty)"
[[ $(cat "$work/seen/late") == late ]] || die "what was in the journal is missing"
[[ $(sha256sum <"$work/dirty.img") == "$sum" ]] || die "the source was changed"
ok "a file system that was not unmounted; its image is not changed"

for fs in btrfs xfs; do
	put_root "$fs" "$work/root.$fs"
	expect "$work/root.$fs"
	whole "$work/root.$fs" "$work/$fs.img"
	cow image import --no-fixup all "$fs" "$work/$fs.img" >"$out"
	same_but_fat_times "$(seen "$fs")"
	rm "$work/root.$fs" "$work/$fs.img"
	ok "a root of kind $fs, read by the kernel"
done
if losetup -n -O BACK-FILE | grep -F "$work/" | grep -qvE "/(store|disk).img"; then
	die "a loop device stays: $(losetup)"
fi
ok "no loop device stays"

# Refusals: nothing stays of them, and they say why.
images=$(ls "$store/images")
truncate -s 64M "$work/installer.img"
printf 'label: dos\n4MiB,48MiB,c\n' | sfdisk -q "$work/installer.img"
dd if="$work/fat" of="$work/installer.img" bs=1M seek=4 conv=notrunc status=none
fails 1 'no root file system in .*partitions: 1 \(vfat' cow image import bad "$work/installer.img"
head -c $(((ROOT_AT + 20) << 20)) "$image" >"$work/short.img"
fails 1 'short.img. is cut short: .* partition 2 ends' cow image import bad "$work/short.img"
head -c 2000000 "$work/disk.zstd" >"$work/short.zst"
fails 1 'damaged or cut short' cow image import bad "$work/short.zst"
head -c 3000000 "$work/disk.zip" >"$work/short.zip"
fails 1 'damaged or cut short' cow image import bad "$work/short.zip"
(cd "$work" && zip -q none.zip README)
fails 1 'ends in .img or .tar' cow image import bad "$work/none.zip"
printf 'text\n' >"$work/text"
fails 1 'neither a tar archive nor a disk image' cow image import bad "$work/text"
[[ $(ls "$store/images") == "$images" ]] || die "a refused import left something"
[[ -z $(find "$store/images" -maxdepth 2 -name '.import*') ]] || die "staging directories stay"
ok "what is no disk, cut or damaged is refused, and nothing stays"
