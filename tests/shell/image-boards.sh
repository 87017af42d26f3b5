#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# image-boards.sh - an import says which machines can boot from it, and what the others lack.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

store 512M

# tree MACHINE: a root with a program of that kind: 183 arm64, 40 armhf, 62 amd64
tree()
{
	rm -rf "$work/tree"
	mkdir -p "$work/tree/bin" "$work/tree/etc" "$work/tree/boot/firmware"
	python3 - "$1" "$work/tree/bin/sh" <<-'END'
		import struct, sys
		machine = int(sys.argv[1])
		wide = machine != 40
		head = b'\x7fELF' + bytes([2 if wide else 1, 1, 1]) + bytes(9) + struct.pack('<HH', 2, machine)
		open(sys.argv[2], 'wb').write(head + bytes(64))
	END
	echo '/dev/x /boot/firmware vfat defaults 0 2' >"$work/tree/etc/fstab"
}

# boot FILE…: in its boot directory
boot()
{
	for name; do
		echo x >"$work/tree/boot/firmware/$name"
	done
}

# finds 'BOARDS' 'LACKS…': what an import finds
finds()
{
	local boards=$1
	shift
	cow image import os "$work/tree" >"$out"
	cow image show os --json >"$err"
	python3 - "$err" "$boards" "$@" <<-'END' || die "$(cat "$out")"
		import json, sys
		got = json.load(open(sys.argv[1]))
		assert got['boards'] == sys.argv[2], (got['boards'], sys.argv[2])
		assert got['lacks'] == sys.argv[3:], (got['lacks'], sys.argv[3:])
	END
	if [[ -n $boards ]]; then
		grep -Eq "^ +boots +$boards\$" "$out" || die "the import does not tell: $(cat "$out")"
	else
		grep -q 'no machine can boot' "$out" || die "the import does not warn: $(cat "$out")"
	fi
}

tree 183
boot config.txt bootcode.bin start.elf fixup.dat start4.elf fixup4.dat kernel8.img kernel_2712.img \
	bcm2710-rpi-3-b.dtb bcm2711-rpi-4-b.dtb bcm2712-rpi-5-b.dtb
mkdir -p "$work/tree/lib/modules/6.6.31+rpt-rpi-v8" "$work/tree/lib/modules/6.6.31+rpt-rpi-2712"
readonly no_pc='pc: kernel (vmlinuz-*)'
finds 'pi3 pi4 pi5' "$no_pc"
ok "all boards"

rmdir "$work/tree/lib/modules/6.6.31+rpt-rpi-2712"
rm "$work/tree/boot/firmware/start4.elf"
: >"$work/tree/boot/firmware/bcm2710-rpi-3-b.dtb"
finds '' 'pi3: device tree (bcm2710-rpi-3-b.dtb)' 'pi4: firmware (start4.elf)' \
	'pi5: modules of kernel_2712.img (/lib/modules/*-2712)' "$no_pc"
ok "files that are gone or empty, and modules, are missed"

tree 183
boot config.txt start4.elf fixup4.dat bcm2711-rpi-4-b.dtb bcm2712-rpi-5-b.dtb kernel7l.img
finds '' 'pi3: second stage (bootcode.bin), firmware (start.elf), firmware'\''s other half (fixup.dat), kernel (kernel8.img), device tree (bcm2710-rpi-3-b.dtb)' \
	'pi4: kernel (kernel8.img)' 'pi5: kernel (kernel_2712.img)' "$no_pc"
tree 40
boot config.txt start4.elf fixup4.dat bcm2711-rpi-4-b.dtb kernel7l.img
finds 'pi4' 'pi3: second stage (bootcode.bin), firmware (start.elf), firmware'\''s other half (fixup.dat), kernel (kernel8.img), device tree (bcm2710-rpi-3-b.dtb)' \
	'pi5: kernel (kernel_2712.img), device tree (bcm2712-rpi-5-b.dtb)' "$no_pc"
ok "a 32-bit kernel runs 32-bit programs only"

tree 62
rmdir "$work/tree/boot/firmware"
: >"$work/tree/etc/fstab"
echo x >"$work/tree/boot/vmlinuz-6.1.0-9-amd64"
finds pc
mkdir -p "$work/tree/usr/share/initramfs-tools/scripts"
: >"$work/tree/usr/share/initramfs-tools/scripts/nfs"
finds '' 'pc: kernel (vmlinuz-* with its initrd.img-*)'
echo x >"$work/tree/boot/initrd.img-6.1.0-9-amd64"
finds pc
# A link of the tree is one inside it, whatever it points to on this machine.
mv "$work/tree/boot/vmlinuz-6.1.0-9-amd64" "$work/tree/boot/kernel"
ln -s /boot/kernel "$work/tree/boot/vmlinuz-6.1.0-9-amd64"
finds pc
ln -sf /bin/dash "$work/tree/boot/vmlinuz-6.1.0-9-amd64"
finds '' 'pc: kernel (vmlinuz-* with its initrd.img-*)'
ok "kernels of PCs"
