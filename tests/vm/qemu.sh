# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
# qemu.sh - whole machines that boot by PXE. Part of lab.sh.

# qemu_accel - print the arguments for the best processor there is, probing once per boot of this host.
#
# A KVM device alone proves little: some hosts offer one on which a stock kernel
# never comes up. So a kernel must get as far as missing its root, in ten seconds.
qemu_accel()
{
	local boot_id file=$LAB_CACHE/kvm-probe kernel
	read -r boot_id </proc/sys/kernel/random/boot_id
	if [ ! -w /dev/kvm ] || [ -z "${LAB_IMAGE:-}" ]; then
		echo "$QEMU_TCG"
		return
	fi
	if ! grep -q "^$boot_id " "$file" 2>/dev/null; then
		kernel=$(find "$LAB_IMAGE/boot" -name 'vmlinuz-*' | LC_ALL=C sort | tail -n 1)
		if qemu_probe_kvm "$kernel"; then
			echo "$boot_id kvm" >"$file.$$"
		else
			echo "$boot_id tcg" >"$file.$$"
		fi
		mv "$file.$$" "$file"
	fi
	if grep -q "^$boot_id kvm" "$file"; then
		echo "-accel kvm -cpu host"
	else
		echo "$QEMU_TCG"
	fi
}
QEMU_TCG=${QEMU_TCG:--accel tcg,thread=multi -cpu qemu64}

qemu_probe_kvm()
{
	local out
	out=$(timeout -k 1 10 qemu-system-x86_64 -accel kvm -cpu host -m 256 -nodefaults -no-user-config \
		-display none -serial stdio -no-reboot -kernel "$1" \
		-append "console=ttyS0 panic=-1" </dev/null 2>&1) || :
	[[ $out == *"Unable to mount root fs"* ]]
}

# qemu_start NAME TAP MAC [ARGS...] - power a machine on; it boots from the network and nothing else.
# A reset of the machine (reboot) is a new boot of the same process.
qemu_start()
{
	local name=$1 tap=$2 mac=$3 accel
	shift 3
	console_open "$name"
	read -r -a accel <<<"$(qemu_accel)"
	# graphics=off: firmware and boot ROM print on the serial line too.
	qemu-system-x86_64 "${accel[@]}" -machine pc,graphics=off -smp "${QEMU_SMP:-2}" -m "${QEMU_MEM:-512}" \
		-nodefaults -no-user-config -display none \
		-chardev stdio,id=console,signal=off -serial chardev:console \
		-monitor "unix:$LAB/$name/monitor,server=on,wait=off" \
		-netdev "tap,id=net0,ifname=$tap,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=net0,mac=$mac,bootindex=1${QEMU_NIC:-}" \
		-object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0 \
		"$@" 0<>"$LAB/$name/console.in" >"$LAB/$name/console.log" 2>"$LAB/$name/qemu.log" &
	lab_note_pid "$name"
}

# qemu_kill NAME - pull the plug.
qemu_kill()
{
	lab_stop "$1" KILL || :
}
