#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Sources that are damaged, hostile or not there: a clear error, the right status, nothing left (I3, I7).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

store 512M
cd "$work"
mkdir -p good/etc
echo data >good/etc/file
cow image import good good >"$out"

python3 - "$work" <<'END'
import io, os, sys, tarfile
os.chdir(sys.argv[1])

def member(name, **kw):
    t = tarfile.TarInfo(name)
    data = kw.pop('data', None)
    for k, v in kw.items():
        setattr(t, k, v)
    if data is not None:
        t.size = len(data)
    return t, io.BytesIO(data) if data is not None else None

def archive(name, *members):
    with tarfile.open(name, 'w', format=tarfile.GNU_FORMAT) as f:
        f.addfile(*member('first', data=b'x' * 5000))
        for m in members:
            f.addfile(*m)

outside = os.path.join(sys.argv[1], 'outside')
archive('dotdot.tar', member('../outside', data=b'evil'))
archive('dotdot2.tar', member('a/../../outside', data=b'evil'))
archive('absolute.tar', member(outside, data=b'evil'))
archive('symlink.tar', member('l', type=tarfile.SYMTYPE, linkname=sys.argv[1]), member('l/outside', data=b'evil'))
archive('symlink2.tar', member('d', type=tarfile.DIRTYPE, mode=0o755), member('l', type=tarfile.SYMTYPE, linkname='d'),
        member('l/file', data=b'evil'))
archive('symdir.tar', member('l', type=tarfile.SYMTYPE, linkname=sys.argv[1]),
        member('l/sub', type=tarfile.DIRTYPE, mode=0o755))
archive('hard.tar', member('h', type=tarfile.LNKTYPE, linkname='../good/etc/file'))
archive('hard2.tar', member('h', type=tarfile.LNKTYPE, linkname='/etc/passwd'))
archive('hard3.tar', member('l', type=tarfile.SYMTYPE, linkname='/etc'), member('h', type=tarfile.LNKTYPE, linkname='l/passwd'))
archive('hard4.tar', member('h', type=tarfile.LNKTYPE, linkname='nowhere'))
archive('hard5.tar', member('d', type=tarfile.DIRTYPE, mode=0o755), member('h', type=tarfile.LNKTYPE, linkname='d'))
archive('through.tar', member('first/below', data=b'evil'))
archive('whiteout.tar', member('w', type=tarfile.CHRTYPE, devmajor=0, devminor=0))
archive('long.tar', member('n' * 256, data=b'x'))
archive('deep.tar', member('/'.join(['d'] * 2100) + '/f', data=b'x'))
archive('limit.tar', member('/'.join(['d'] * 2047) + '/f', data=b'x'))
archive('rootfile.tar', member('.', data=b'x'))
archive('good.tar', *[member('f%d' % i, data=b'y' * 3000) for i in range(50)])
with open('good.tar', 'rb') as f:
    whole = f.read()
for name, cut in ('half', len(whole) // 2), ('boundary', 5120 + 512 + 3 * 3584), ('header', 512 + 5120 + 100):
    with open(name + '.tar', 'wb') as f:
        f.write(whole[:cut])
with open('flipped.tar', 'wb') as f:
    bad = bytearray(whole)
    bad[512 + 5120 + 3584 + 20] ^= 0xff
    f.write(bad)
END
for pack in gzip xz zstd; do
	"$pack" -q -c good.tar >good.tar.$pack
	size=$(stat -c %s good.tar.$pack)
	head -c $((size - 6)) good.tar.$pack >cut.tar.$pack
	head -c $((size / 2)) good.tar.$pack >half.tar.$pack
done
head -c 100000 /dev/urandom >random
: >nothing
mkfifo fifo
mkdir emptydir

bad()
{
	local pattern=$1 source=$2
	unchanged fails 1 "$pattern" cow image import new "$source"
	unchanged fails 1 "$pattern" cow image import good "$source"
	[[ ! -e $work/outside ]] || die "$source wrote outside of the image"
	[[ $(stat -c %h "$work/good/etc/file") == 1 ]] || die "$source linked to a file outside"
	ok "$source: $(cut -c10-150 "$err")"
}

bad 'would leave the image' dotdot.tar
bad 'would leave the image' dotdot2.tar
bad 'would leave the image' absolute.tar
bad 'passes through a symbolic link' symlink.tar
bad 'passes through a symbolic link' symlink2.tar
bad 'passes through a symbolic link' symdir.tar
bad 'would leave the image' hard.tar
bad 'would leave the image' hard2.tar
bad 'hard link through a symbolic link' hard3.tar
bad 'not in the archive before it' hard4.tar
bad 'hard link to a directory' hard5.tar
bad 'something that is no directory' through.tar
bad 'character device 0/0' whiteout.tar
bad 'name that is too long' long.tar
bad 'name that is too long|nested too deep' deep.tar
bad 'replaces the root' rootfile.tar
bad 'cut short' half.tar
bad 'cut short' boundary.tar
bad 'cut short' header.tar
bad 'damaged' flipped.tar
for pack in gzip xz zstd; do
	bad 'cut short' cut.tar.$pack
	bad 'cut short' half.tar.$pack
done
bad 'neither a tar archive|damaged' random
bad 'neither a tar archive|damaged' nothing
bad 'neither a directory, a file nor a disk' fifo
bad 'is empty' emptydir

unchanged fails 3 'open the source' cow image import new "$work/nowhere"
unchanged fails 2 'no image name' cow image import ../x good
unchanged fails 2 'no image name' cow image import .hidden good
unchanged fails 2 'no image name' cow image import "$(printf 'n%.0s' {1..65})" good
unchanged fails 2 'no fix-up is called' cow image import --no-fixup nonsense new good
ok "no source, bad names"

# As deep as names go: that works, and can be removed again.
cow image import limit limit.tar >"$out"
cow image rm limit@1 >"$out"
[[ -z $(ls -A "$store/trash") ]] || die "a deep tree stays in the trash"
ok "a tree as deep as PATH_MAX allows"

# The store's own folder in the source is left out instead of eating its own tail.
cow image import self "$work" >"$out"
grep -q 'left out: /store is this store' "$out" || die "the store went into itself: $(cat "$out")"
[[ -z $(ls -A "$store/images/self/1/tree/store") ]] || die "the store went into itself"
ok "the store is not imported into itself"

# A second import into the same image while one runs.
(
	exec 9<>"$store/images/good/lock"
	python3 - <<'END' &
import fcntl, struct, time
F_OFD_SETLK = 37
fcntl.fcntl(9, F_OFD_SETLK, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0))
print('locked', flush=True)
time.sleep(30)
END
	echo $! >locker
	wait
) >locked &
for _ in {1..100}; do
	[[ -s locked ]] && break
	sleep 0.1
done
[[ -s locked ]] || die "could not take the lock"
unchanged fails 4 'another version of image good is being made' cow image import good good
kill "$(cat locker)"
wait
ok "one import into an image at a time"
