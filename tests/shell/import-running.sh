#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# import-running.sh [--machine] - the root a machine runs on becomes an image: what belongs to the machine or the
# moment stays out, all the rest is as it was, also while it changes; and --exclude.
# --machine: also the root of the machine that runs this, as it is.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for program in mkswap setfattr setfacl setcap; do
	command -v "$program" >/dev/null || {
		echo "needs $program (packages util-linux, attr, acl, libcap2-bin)"
		exit 77
	}
done

store 1G ext4
readonly root=$work/root

# fs KIND IMAGE DIR [mkfs OPTION…]: a file system on a loop device
fs()
{
	local kind=$1 image=$2 dir=$3
	shift 3
	truncate -s 80M "$image"
	"mkfs.$kind" "$@" "$image" >/dev/null 2>&1
	mkdir -p "$dir"
	mount -o loop "$image" "$dir"
}

# A machine: its root on a disk of its own, cowherd in it, the usual mounts.
fs ext4 "$work/root.img" "$root" -b 4096
rmdir "$root/lost+found"
"$(dirname "$0")/make-tree" "$root"
mkdir -p "$root"/{proc,sys,run,media/card,srv/layers,srv/own,boot/firmware,store}
cp "$COWHERD" "$(command -v env)" "$root/usr/bin"
ldd "$root/usr/bin/cowherd" "$root/usr/bin/env" | grep -o '/[^ ]*' | grep -v ':$' | sort -u |
	while read -r lib; do
		mkdir -p "$root$(dirname "$lib")"
		cp -L "$lib" "$root$lib"
	done
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
echo x >"$root/run/x"
mount -t tmpfs tmpfs "$root/sys"
echo x >"$root/sys/x"
fs ext2 "$work/boot.img" "$root/boot/firmware" # this kernel may have no vfat
echo 'arm_64bit=1' >"$root/boot/firmware/config.txt"
fs ext4 "$work/own.img" "$root/srv/own"
echo data >"$root/srv/own/kept"
fs ext4 "$work/card.img" "$root/media/card"
echo data >"$root/media/card/photo"
mkdir "$work/l1" "$work/l2" && echo x >"$work/l1/x"
mount -t overlay -o "lowerdir=$work/l1:$work/l2" overlay "$root/srv/layers"
mount --bind "$store" "$root/store"

# What stays out, and beside it what does not.
readonly out_files=(tmp/.X0-lock tmp/file var/tmp/file root/.cache/thumb home/pi/.cache/web
	var/cache/apt/pkgcache.bin var/cache/apt/archives/foo_1_arm64.deb var/crash/core var/log/journal/abc
	var/lib/systemd/coredump/x var/lib/dhcp/dhclient.eth0.leases var/lib/cowherd/format .snapshots/1
	var/lib/docker/layer)
readonly in_files=(home/pi/.profile var/cache/apt/archives/lock var/log/syslog home/pi/swapfile
	srv/tmp/file var/lib/dhcp/leases.old)
for f in "${out_files[@]}" "${in_files[@]}"; do
	mkdir -p "$root/$(dirname "$f")"
	echo x >"$root/$f"
done
cp -a -x "$root" "$work/expect"
for dir in boot/firmware srv/own; do
	rmdir "$work/expect/$dir"
	cp -a "$root/$dir" "$work/expect/$dir"
done
(cd "$work/expect" && rm "${out_files[@]}")
(cd "$work/expect" && find . -type d -print0) | while IFS= read -r -d '' dir; do
	touch -r "$root/$dir" "$work/expect/$dir"
done
# A layer's whiteout, which no image may hold.
mknod "$root/var/lib/docker/gone" c 0 0
touch -r "$work/expect/var/lib/docker" "$root/var/lib/docker"
for page in 4096 16384; do
	truncate -s 2M "$root/var/swap$page"
	chmod 600 "$root/var/swap$page"
	mkswap --pagesize "$page" "$root/var/swap$page" >/dev/null 2>&1
done
touch -r "$work/expect/var" "$root/var"

inside_cow() { chroot "$root" /usr/bin/env -i /usr/bin/cowherd "$@" --store /store; }
inside_cow image import --no-fixup all self / >"$out" || die "the root cannot be imported"
touch -r "$store/images/self/1/tree/store" "$work/expect/store" # the import itself works in there
same_tree "$work/expect" "$store/images/self/1/tree"
for text in '/run, of memory' '/media/card, of another disk' '/srv/layers, of layers' '/store is this store' \
	'/var/swap4096 is swap' '/var/swap16384 is swap' '/tmp/\*.* /root/.cache/\*.* /var/lib/docker/\*'; do
	grep -q "left out.*$text" "$out" || die "does not tell of $text: $(cat "$out")"
done
grep -q 'left out.*coredump' "$out" || die "coredumps are not named"
! grep -q 'timeshift' "$out" || die "tells of what is not there"
ok "a running root, with the right things left out"

# The same by another name; as a directory of this machine it is no running root.
mkdir -p "$root/mnt/again"
mount --bind "$root" "$root/mnt/again"
inside_cow image import --no-fixup all --exclude '/mnt/*' self /mnt/again >"$out"
[[ ! -e $store/images/self/2/tree/tmp/file ]] || die "a bind mount of the root is not known as one"
umount "$root/mnt/again"
rm -r "${root:?}/mnt"
rm -f "$root/var/lib/docker/gone"
inside_cow image import --no-fixup all --everything self / >"$out"
for f in tmp/file var/swap4096 srv/layers/x media/card/photo root/.cache/thumb; do
	[[ -e $store/images/self/3/tree/$f ]] || die "--everything has left out $f"
done
[[ ! -e $store/images/self/3/tree/run/x ]] || die "--everything has taken a file system of the kernel"
cow image import --no-fixup all --exclude srv/own --exclude '/media/ca*' other "$root" >"$out"
[[ -e $store/images/other/1/tree/tmp/file ]] || die "a directory is taken for this machine's root"
for f in srv/own media/card; do
	[[ ! -e $store/images/other/1/tree/$f ]] || die "--exclude has not left out $f"
done
ok "by another name, --everything, --exclude"

for pattern in '' / a/ a//b ../a a/../b; do
	unchanged fails 2 'is no path' cow image import --exclude "$pattern" bad "$root/etc"
done
tar -C "$root/etc" -cf "$work/etc.tar" .
unchanged fails 2 'no directory with a root' cow image import --exclude x bad "$work/etc.tar"
ok "what cannot be excluded is refused"

# It runs: names come and go.
mkdir -p "$root/home/busy"
: >"$root/home/file"
python3 - "$root/home/busy" <<'END' &
import os, random, sys
d = sys.argv[1]
def toggle(p, kind):
    try:
        if kind == 0:
            os.mkdir(p)
        elif kind == 1:
            os.symlink('x', p)
        elif kind == 2:
            os.link(d + '/../file', p)
        else:
            os.close(os.open(p, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        os.rmdir(p) if kind == 0 else os.unlink(p)
while os.path.isdir(d):
    n = random.randrange(400)
    try:
        toggle('%s/%d' % (d, n), n % 4)
    except FileNotFoundError:
        pass
END
busy=$!
for ((i = 0; i < 12; i++)); do
	inside_cow image import --no-fixup all busy / >"$out" || die "a root that changes cannot be imported"
done
kill "$busy"
wait "$busy" || true # by that signal
rm -rf "$root/home/busy"
for v in 1 6 12; do
	cow image verify "busy@$v" >"$out" || die "an image made meanwhile is damaged: $(cat "$out")"
done
ok "a root that changes meanwhile"

if [[ ${1:-} == --machine || -n ${COWHERD_TEST_LONG:-} ]]; then
	cow image import --no-fixup all --exclude "$work" --exclude /root --exclude /work machine / >"$out"
	cat "$out"
	cow image verify machine >"$out" || die "the machine's image is damaged: $(cat "$out")"
	# What does not change while a test runs is what it was.
	for d in usr/bin usr/lib/x86_64-linux-gnu usr/share etc; do
		[[ ! -d /$d ]] || same_tree "/$d" "$store/images/machine/1/tree/$d"
	done
	ok "the machine's own root"
fi
