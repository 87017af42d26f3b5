#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck source-path=SCRIPTDIR
# control-boot.sh - a machine boots over the network from a server without cowherd.
#
# The proof that the lab, the test image and its initramfs are sound: PXE ROM,
# DHCP, TFTP, iPXE script, kernel and initrd, NFS root, multi-user.target, login;
# over NFS 4.1 and 3, and a file written before a reboot is there after it.
#
#	control-boot.sh [4.1|3]...
. "$(dirname "$0")/lab.sh"
. "$(dirname "$0")/control.sh"
lab_need qemu-system-x86_64 ganesha.nfsd dnsmasq dbus-daemon rpcbind
lab_image
lab_enter "$@"

MAC=52:54:00:77:00:01
CLIENT=52-54-00-77-00-01

boot_script()
{
	local opts=vers=$1,proto=tcp,hard
	[ "$1" != 3 ] || opts=$opts,nolock,mountport=20048,mountproto=tcp
	cat >"$LAB/tftp/boot.ipxe" <<END
#!ipxe
kernel vmlinuz initrd=initrd.img boot=cowherd root=/dev/nfs nfsroot=$LAB_ADDR:/clients/$CLIENT,$opts ip=dhcp rw panic=10 nfs.nfs4_unique_id=$CLIENT console=ttyS0 ${APPEND-mitigations=off}
initrd initrd.img
boot
END
}

boot_once()
{
	local name=client-$1
	lab_say "NFS $1: power on"
	qemu_start "$name" tap0 "$MAC"
	console_wait "$name" 300 "Linux version"
	lab_say "NFS $1: kernel runs"
	console_wait "$name" 300 'cowherd: root is'
	lab_say "NFS $1: root is mounted"
	console_wait "$name" 600 'Reached target .*[mM]ulti-[uU]ser'
	lab_say "NFS $1: multi-user.target"
	console_login "$name" 300
	lab_say "NFS $1: shell"
	console_run "$name" 120 "findmnt -n -o FSTYPE,OPTIONS / | grep -q 'vers=$1,' && grep -q . /sys/module/nfs/parameters/nfs4_unique_id"
	console_run "$name" 120 "echo 'version $1' >/root/kept; sync /root/kept; systemctl --failed --no-legend"
	lab_say "NFS $1: reboot"
	console_type "$name" $'systemctl reboot\n'
	console_wait "$name" 300 "Linux version"
	lab_say "NFS $1: kernel runs again"
	console_login "$name" 600
	[ "$(console_run "$name" 120 'cat /root/kept')" = "version $1" ] || lab_fail "the file did not survive"
	console_type "$name" $'systemctl poweroff\n'
	lab_until 180 eval '! lab_alive '"$name" || lab_fail "no power-off"
	lab_say "NFS $1: power off"
}

mkdir -p "$LAB/roots" "$LAB/tftp"
cp -a --reflink=auto "$LAB_IMAGE" "$LAB/roots/$CLIENT"
cp -L "$LAB_IMAGE/vmlinuz" "$LAB_IMAGE/initrd.img" "$LAB/tftp/"
lab_say "root copied"
lab_tap tap0
lab_dbus
lab_rpcbind
control_export "$CLIENT"
control_nfs
control_dhcp_host "$MAC" 10.77.0.11
control_dhcp
lab_say "servers run; processor: $(qemu_accel)"
[ $# -gt 0 ] || set -- 4.1 3
for version; do
	boot_script "$version"
	boot_once "$version"
done
lab_say "passed"
