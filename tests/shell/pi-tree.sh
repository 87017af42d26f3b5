# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# pi-tree.sh, sourced: what an image of Raspberry Pi OS holds that the fix-ups change.
#
#	pi_tree DIR
pi_tree()
{
	local src=$1 unit kind
	local units=$src/usr/lib/systemd/system
	mkdir -p "$src"/{boot/firmware,etc/{ssh,rpi,cloud,cron.hourly,init.d,network/interfaces.d,xdg/autostart,NetworkManager},usr/{bin,sbin},var/lib/{dbus,systemd}} "$units"
	: >"$src/usr/lib/systemd/systemd"
	touch "$src"/usr/{sbin/sshd,bin/ssh-keygen}
	for unit in dphys-swapfile.service rpi-resize.service fstrim.timer e2scrub_all.timer apt-daily.timer \
		regenerate_ssh_host_keys.service userconfig.service rpi-eeprom-update.service \
		systemd-networkd-wait-online.service fake-hwclock-save.timer; do
		: >"$units/$unit"
	done
	: >"$src/etc/init.d/resize2fs_once"
	: >"$src/boot/firmware/config.txt"
	echo 'console=tty1 root=PARTUUID=1-2 rootfstype=ext4 init=/usr/lib/raspberrypi-sys-mods/firstboot resize quiet systemd.run=/boot/firmware/firstrun.sh cfg80211.ieee80211_regdom=DE' >"$src/boot/firmware/cmdline.txt"
	cat >"$src/etc/fstab" <<'END'
proc            /proc           proc    defaults          0       0
PARTUUID=1-1  /boot/firmware  vfat    defaults          0       2
PARTUUID=1-2  /               ext4    defaults,noatime  0       1
/swap.img none swap sw 0 0
# a comment
tmpfs /tmp tmpfs nosuid 0 0
/dev/sda1 /data ext4 defaults 0 0
//server/share /mnt cifs guest 0 0
END
	head -c 4096 /dev/zero | tee "$src/swap.img" >"$src/var/swap"
	echo CONF_SWAPSIZE=100 >"$src/etc/dphys-swapfile"
	: >"$src/etc/rpi/swap.conf"
	echo 0123456789abcdef0123456789abcdef | tee "$src/etc/machine-id" >"$src/var/lib/dbus/machine-id"
	head -c 512 /dev/urandom >"$src/var/lib/systemd/random-seed"
	for kind in rsa ecdsa ed25519; do
		echo secret >"$src/etc/ssh/ssh_host_${kind}_key"
		echo public >"$src/etc/ssh/ssh_host_${kind}_key.pub"
	done
	: >"$src/etc/ssh/sshd_config"
	: >"$src/etc/cron.hourly/fake-hwclock"
	: >"$src/etc/xdg/autostart/piwiz.desktop"
	cat >"$src/etc/network/interfaces" <<'END'
source /etc/network/interfaces.d/*
auto lo eth0
iface lo inet loopback
iface eth0 inet static
	address 192.168.1.2
allow-hotplug wlan0
iface wlan0 inet dhcp
END
	printf 'allow-hotplug end0\niface end0 inet dhcp\n' >"$src/etc/network/interfaces.d/end0"
	printf 'interface eth0\nstatic ip_address=192.168.1.2/24\n' >"$src/etc/dhcpcd.conf"
}
