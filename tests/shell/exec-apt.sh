#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# exec-apt.sh - packages are installed, upgraded and removed in a Debian root by `client exec`, and by the
# same commands in a copy of it on ext4: the trees are equal afterwards. The packages are the
# distribution's, and some made here that do what package managers find hard.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

[[ -w /dev/fuse ]] || {
	echo "SKIPPED: this machine has no /dev/fuse"
	exit 77
}
mkimage=$(dirname "$0")/../../tools/mkimage
golden=$("$mkimage") || die "tools/mkimage made no Debian root"
mirror=$("$mkimage" --print-mirror)

store 4G ext4
cow image import deb "$golden" >"$out"
cow client add 02:00:00:00:00:01 --image deb --name one >"$out"

# ------------------------------------------------------------ packages of our own, two versions
repo=$work/repo
mkdir "$repo"
build()
{
	dpkg-deb --root-owner-group --build "$work/pkg" "$repo" >"$out" 2>&1 || die "dpkg-deb: $(cat "$out")"
	rm -rf "$work/pkg"
}
control()
{
	mkdir -p "$work/pkg/DEBIAN"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: none <none@example.org>\nDescription: a test\n' \
		"$1" "$2" >"$work/pkg/DEBIAN/control"
}
tree=$work/pkg/opt/probe
control probe 1
mkdir -p "$tree/dir/sub" "$tree/becomes-link" "$tree/goes" "$work/pkg/etc"
for n in {1..300}; do
	echo "one $n" >"$tree/dir/file-$n"
done
ln "$tree/dir/file-1" "$tree/hard"
ln -s dir/file-2 "$tree/soft"
echo conf >"$work/pkg/etc/probe.conf"
echo /etc/probe.conf >"$work/pkg/DEBIAN/conffiles"
echo data >"$tree/becomes-link/data"
echo data >"$tree/goes/data"
cp /bin/true "$tree/suid"
chmod 4755 "$tree/suid"
cat >"$work/pkg/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
echo "$1" >>/var/log/probe
dpkg-divert --package probe --add --rename --divert /bin/bzip2.distrib /bin/bzip2 >/dev/null
ln -sf /bin/true /bin/bzip2
chown 33:33 /opt/probe/dir/file-3
END
chmod 755 "$work/pkg/DEBIAN/postinst"
build
control probe 2
mkdir -p "$tree/dir/sub/deeper" "$tree/new" "$work/pkg/etc"
for n in {1..200}; do
	echo "two $n" >"$tree/dir/file-$n"
done
ln "$tree/dir/file-7" "$tree/hard"
ln -s dir/file-9 "$tree/soft"
ln -s new "$tree/becomes-link"
echo conf2 >"$work/pkg/etc/probe.conf"
echo /etc/probe.conf >"$work/pkg/DEBIAN/conffiles"
cat >"$work/pkg/DEBIAN/preinst" <<'END'
#!/bin/sh
set -e
[ "$1" != upgrade ] || rm -rf /opt/probe/becomes-link
END
chmod 755 "$work/pkg/DEBIAN/preinst"
build

# ------------------------------------------------------------ the commands
cat >"$work/commands" <<END
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH=1700000000
umask 022
printf 'deb $mirror bookworm main\ndeb $mirror bookworm-updates main\n' >/etc/apt/sources.list
apt-get -qq update
apt-get -qq -y dist-upgrade
apt-get -qq -y --no-install-recommends install less nano bzip2 file adduser acl libcap2-bin
dpkg -i /opt/repo/probe_1_all.deb
adduser --system --group --home /var/lib/someone someone
setcap cap_net_raw+ep /opt/probe/dir/file-5
setfacl -m u:33:rw /opt/probe/dir/file-6
dpkg -i /opt/repo/probe_2_all.deb
apt-get -qq -y purge nano
apt-get -qq -y autoremove
dpkg -V
dpkg --audit
find / -xdev -newer /etc/apt/sources.list >/dev/null
END
now=$(date +%s)
m=$work/m
mkdir "$m"

# The same in a copy on ext4, with the mounts that exec makes.
copy=$work/disk/copy
cow client mount one "$m" >"$out"
cp -a --reflink=auto "$m" "$copy"
cow client unmount one >"$out"
give()
{
	mkdir "$1/opt/repo"
	cp "$repo"/*.deb "$work/commands" "$1/opt/repo/"
}
give "$copy"
cat >"$work/chroot" <<'END'
set -e
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
[ ! -f "$1/etc/resolv.conf" ] || mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LOGNAME=root \
	debian_chroot=one chroot "$1" /bin/sh /opt/repo/commands
END
unshare --mount --pid --fork --kill-child sh "$work/chroot" "$copy" >"$work/log.ext4" 2>&1 </dev/null ||
	die "on ext4 the commands fail: $(tail -n 20 "$work/log.ext4")"

cow client mount one "$m" >"$out"
give "$m"
cp -a "$copy"/var/cache/apt/archives/*.deb "$m/var/cache/apt/archives/" 2>"$err" || : # nothing is fetched twice
cow client unmount one >"$out"
cow client exec one -- /bin/sh /opt/repo/commands >"$work/log.exec" 2>&1 </dev/null ||
	die "in exec the commands fail: $(tail -n 20 "$work/log.exec")"
grep -qx '2' <(sed -n '/^Package: probe$/,/^$/s/^Version: //p' "$copy/var/lib/dpkg/status") || die "the upgrade did not happen"

# ------------------------------------------------------------ compare
cow client mount one "$m" --read-only >"$out"
# Left out: what is written with the time in it, and the order packages were worked on.
"$TREECMP" --now "$now" --ignore var/log --ignore var/cache --ignore var/lib/apt --ignore var/lib/systemd \
	--ignore var/lib/dpkg/lock --ignore var/lib/dpkg/triggers --ignore etc/shadow --ignore etc/shadow- \
	--ignore etc/gshadow --ignore etc/gshadow- --ignore root/.wget-hsts --ignore boot \
	"$copy" "$m" >"$work/differences" || die "the trees differ: $(head -n 40 "$work/differences")"
cow client unmount one >"$out"
changes=$(cow client diff one | wc -l)
((changes > 300)) || die "hardly anything was done: $changes changes"
cow image verify deb >"$out" || die "the golden image was changed (I1): $(cat "$out")"
cow client check one >"$out" || die "client check: $(cat "$out")"
ok "installed, upgraded, removed: $changes differences from the image, trees equal"
