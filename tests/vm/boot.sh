#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck source-path=SCRIPTDIR
# boot.sh - two machines boot from their own copy-on-write roots, over NFS 4.1 and NFS 3.
#
# The whole path with nothing in between replaced: PXE ROM, DHCP, cowherd's TFTP
# server, iPXE script, kernel and initrd, NFS root from the plugin, systemd. Shown:
#  - both reach multi-user.target at once from one image, neither sees the other's
#    changes, the image's tree is the same before and after (I1, I4);
#  - what was written and synced is there after a reboot (I2);
#  - a package of some hundred files is installed by apt in the booted machine, and
#    dpkg's database is whole after the reboot;
#  - the NFS server is killed while a machine writes, and the machine goes on;
#  - after `client reset`, which takes milliseconds, the next boot is new.
. "$(dirname "$0")/lab.sh"
. "$(dirname "$0")/cowherd.sh"
lab_need qemu-system-x86_64 ganesha.nfsd dnsmasq dbus-daemon mkfs.btrfs
lab_image
lab_enter "$@"

MAC_A=52:54:00:77:00:0a MAC_B=52:54:00:77:00:0b
A=${MAC_A//:/-} B=${MAC_B//:/-}

# reset_ms CLIENT - put it back to new; print the milliseconds the command took.
reset_ms()
{
	local from
	from=$(date +%s%N)
	cow client reset "$1" --now >/dev/null
	echo $((($(date +%s%N) - from) / 1000000))
}

multi_user() # NAME
{
	console_wait "$1" 300 'cowherd: root is'
	lab_say "$1: root is mounted"
	console_login "$1" 900
	console_run "$1" 600 'systemctl is-system-running --wait; systemctl is-active multi-user.target' >"$LAB/$1.state" ||
		lab_fail "$1: multi-user.target is not reached: $(cat "$LAB/$1.state")"
	lab_say "$1: multi-user.target ($(head -n 1 "$LAB/$1.state"))"
}

cow_store 8G
cow image import debian "$LAB_IMAGE"
lab_say "image imported"
"$LAB_SOURCE/mkrepo" "$LAB/repo"
cow client add "$MAC_A" --image debian --name alpha
cow client add "$MAC_B" --image debian --name beta
cow client set beta nfs=3 cmdline='console=ttyS0 mitigations=off'
cow client set alpha cmdline='console=ttyS0 mitigations=off'
cp -a "$LAB/repo" "$(cow_tree "$A")/srv/repo"
image_tree=$COW_STORE/images/debian/1/tree
before=$(cow_sum "$image_tree")
cow_config <<END
[dhcp]
mode = full
range = 10.77.0.100,10.77.0.200
END
lab_tap tap0
lab_tap tap1
cow_serve
lab_say "cowherd serve is ready; processor: $(qemu_accel)"

qemu_start alpha tap0 "$MAC_A"
qemu_start beta tap1 "$MAC_B"
multi_user alpha
multi_user beta
console_run alpha 120 "findmnt -n -o OPTIONS / | grep -q 'vers=4.1,'" || lab_fail "alpha: not NFS 4.1"
console_run beta 120 "findmnt -n -o OPTIONS / | grep -q 'vers=3,'" || lab_fail "beta: not NFS 3"
[ "$(console_run alpha 60 hostname)" = alpha ] || lab_fail "alpha has another host name"
[ "$(console_run beta 60 hostname)" = beta ] || lab_fail "beta has another host name"

lab_say "each writes its own file"
console_run alpha 120 'echo of-alpha >/root/kept && sync /root/kept && ls /root' >/dev/null
console_run beta 120 'echo of-beta >/root/kept-b && sync /root/kept-b && test ! -e /root/kept' ||
	lab_fail "beta sees alpha's file"
console_run alpha 120 'test ! -e /root/kept-b' || lab_fail "alpha sees beta's file"

lab_say "apt installs a package in alpha"
# shellcheck disable=SC2016 # expanded by the machine
console_run alpha 900 '
	set -e
	rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
	echo "deb [trusted=yes] file:/srv/repo ./" >/etc/apt/sources.list.d/lab.list
	apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -q -y install cowherd-test-files
' >"$LAB/apt.out" || lab_fail "apt-get install: $(tail -n 5 "$LAB/apt.out")"

lab_say "the NFS server is killed while beta writes"
# shellcheck disable=SC2016 # expanded by the machine
console_run beta 600 '
	i=0
	while [ $i -lt 60 ]; do
		i=$((i + 1))
		echo "line $i" >>/root/log && sync /root/log || { echo "write $i failed"; exit 1; }
		sleep 0.2
	done
	wc -l </root/log
' >"$LAB/beta.writes" &
writer=$!
sleep 4
kill -KILL "$(pgrep -x ganesha.nfsd)"
wait "$writer" || lab_fail "beta: $(cat "$LAB/beta.writes")"
[ "$(cat "$LAB/beta.writes")" = 60 ] || lab_fail "beta wrote $(cat "$LAB/beta.writes") lines of 60"
grep -q 'line 60' "$(cow_tree "$B")/root/log" || lab_fail "beta's last line is not on the server"

lab_say "both reboot"
console_type alpha $'systemctl reboot\n'
console_type beta $'systemctl reboot\n'
multi_user alpha
multi_user beta
[ "$(console_run alpha 60 'cat /root/kept')" = of-alpha ] || lab_fail "alpha's file did not survive"
[ "$(console_run beta 60 'cat /root/kept-b; wc -l </root/log')" = $'of-beta\n60' ] || lab_fail "beta's files did not survive"
# shellcheck disable=SC2016 # expanded by the machine
console_run alpha 300 '
	set -e
	dpkg -s cowherd-test-files | grep -q "^Status: install ok installed"
	test -z "$(dpkg --audit)"
	dpkg --verify cowherd-test-files
	test "$(dpkg -L cowherd-test-files | wc -l)" -gt 300
' || lab_fail "dpkg's database is damaged"

lab_say "power off, reset, and boot once more"
console_type alpha $'systemctl poweroff\n'
console_type beta $'systemctl poweroff\n'
lab_until 240 eval '! lab_alive alpha' || lab_fail "alpha does not power off"
lab_until 240 eval '! lab_alive beta' || lab_fail "beta does not power off"
for client in alpha beta; do
	ms=$(reset_ms "$client")
	lab_say "client reset $client: $ms ms"
	[ "$ms" -lt 1000 ] || lab_fail "reset took $ms ms"
done
[ ! -e "$(cow_tree "$A")/root/kept" ] || lab_fail "alpha's file is there after the reset"
qemu_start alpha tap0 "$MAC_A"
multi_user alpha
console_run alpha 120 'test ! -e /root/kept && test ! -e /usr/share/cowherd-test-files' || lab_fail "alpha is not new"
qemu_kill alpha

[ "$(cow_sum "$image_tree")" = "$before" ] || lab_fail "the image has changed"
cow status --config "$LAB/cowherd.conf"
lab_stop serve TERM 60 || lab_fail "cowherd serve does not stop"
wait
[ -z "$(pgrep -x 'ganesha.nfsd|dnsmasq|cowherd-tftpd|dbus-daemon')" ] || lab_fail "serve left processes behind"
lab_say "passed"
