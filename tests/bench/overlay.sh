#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# overlay.sh [FS] - `client add` and `client reset` with backend overlay on images of 10,000 and 300,000
# objects, each as the command itself measures it, until all is on disk; and the disk an idle client takes.
# Beside them, in the same run, `cp -a` of the small image's tree. FS: ext4 (the default), xfs, btrfs.
# Goals: at most 10 ms (median), the same for both sizes (within 2 ms), at most 64 KiB for a client.
# Ends with 1 when a goal is missed.
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"

rounds=15
[[ -z ${COWHERD_TEST_LONG:-} ]] || rounds=50
fs=${1:-ext4}
store 6G "$fs"

# archive DIRS: a tar file with 100 small files in each of so many directories, and what a client's own
# files need. (Quicker to make and to remove than a tree.)
archive()
{
	python3 - "$work/disk/tar" "$1" <<'END'
import io, sys, tarfile
with tarfile.open(sys.argv[1], 'w', format=tarfile.USTAR_FORMAT) as tar:
    def add(name, data=None):
        t = tarfile.TarInfo(name)
        t.mtime = 1600000000
        if data is None:
            t.type, t.mode = tarfile.DIRTYPE, 0o755
        else:
            t.size = len(data)
        tar.addfile(t, data and io.BytesIO(data))
    for d in range(int(sys.argv[2])):
        if d % 100 == 0:
            add('%d' % (d // 100))
        p = '%d/%d' % (d // 100, d)
        add(p)
        for f in range(100):
            add('%s/f%d' % (p, f), b'%d %d\n' % (d, f))
    for p in ('etc', 'etc/NetworkManager', 'etc/NetworkManager/conf.d', 'etc/systemd', 'etc/systemd/network',
              'usr', 'usr/lib', 'usr/lib/systemd'):
        add(p)
    for p in 'etc/hostname', 'etc/hosts', 'etc/machine-id', 'usr/lib/systemd/systemd-networkd':
        add(p, b'-\n')
END
}
milliseconds()
{
	sed -n 's/.* in \([0-9]*\) ms$/\1/p'
}
median()
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
summary()
{
	sort -n "$1" | awk -v what="$2" '{ v[NR] = $1 }
		END { printf "%s: median %d ms, best %d, worst %d (%d runs)\n", what, v[int((NR + 1) / 2)], v[1], v[NR], NR }'
}
used()
{
	sync -f "$store"
	df --output=used -k "$store" | tail -n 1
}

missed=0
miss()
{
	echo "MISSED: $*"
	missed=1
}
for size in small:100 large:3000; do
	name=${size%:*}
	archive "${size#*:}"
	cow image import --no-fixup all "$name" "$work/disk/tar" >"$out"
	cat "$out"
	if [[ $name == small ]]; then
		need_backend overlay small
		for _ in 1 2 3; do
			start=$(date +%s%N)
			cp -a "$store/images/small/1/tree" "$work/disk/copy"
			sync -f "$store"
			echo $((($(date +%s%N) - start) / 1000000)) >>"$work/cp"
			rm -rf "$work/disk/copy"
		done
	fi
	rm "$work/disk/tar"
	sync -f "$store"
	before=$(used)
	octet=$([[ $name == small ]] && echo 01 || echo 02)
	for ((i = 1; i <= rounds; i++)); do
		cow client add "$(printf '02:00:00:00:%s:%02x' "$octet" "$i")" --image "$name" --backend overlay |
			milliseconds >>"$work/add-$name"
	done
	after=$(used)
	for ((i = 1; i <= rounds; i++)); do
		cow client reset "02:00:00:00:$octet:01" | milliseconds >>"$work/reset-$name"
	done
	summary "$work/add-$name" "add on $fs, $name"
	summary "$work/reset-$name" "reset on $fs, $name"
	disk=$(((after - before) / rounds))
	echo "disk for each idle client on $fs, $name: $disk KiB"
	((disk <= 64)) || miss "$disk KiB for a client, more than 64"
done
summary "$work/cp" "cp -a of the small tree"
for what in add reset; do
	small=$(median "$work/$what-small") large=$(median "$work/$what-large")
	echo "$what: $(($(median "$work/cp") / (small > 0 ? small : 1))) times as fast as cp -a of the small tree"
	((large <= 10)) || miss "$what takes $large ms, more than 10"
	((large - small <= 2)) || miss "$what grows with the image: $small ms, $large ms"
done
exit "$missed"
