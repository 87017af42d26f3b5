#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# rebase.sh [BACKEND [FS]] - `client roll --rebase`: what a client changed of version 1 meets what version
# 2 has there, a directory for each row of the table. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
store 700M "${2:-}"
mac=02-00-00-00-00-01
# The kernel knows neither moves of files nor hard links of the image.
engine=$backend
[[ $backend == btrfs || ! -w /dev/fuse ]] || engine=fuse
mkdir "$work/m"

# ------------------------------------------------------------ the rows
# row NAME; v1: made in the image; v2: done to it for version 2; client: done by the client to version 1;
# want: done to a copy of version 2 to get what the new root has to show; said: lines of the report, RESULT
# LETTER PATH. All in a directory of that name; `f` has the content "v1". Backends tell moves apart or not.
names=()
declare -A v1 v2 client want said
# shellcheck disable=SC2034 # by name, in in_rows
row()
{
	names+=("$1")
	v1[$1]=$2 v2[$1]=$3 client[$1]=$4 want[$1]=$5 said[$1]=$6
}
f='echo v1 >f'
row same "$f" : 'cat f >g; touch -r f g; mv g f' : ''
row same-changed "$f" 'echo v2 >f' 'cat f >g; touch -r f g; mv g f' : ''
row changed-same "$f" : 'echo us >f' 'echo us >f' 'kept M f'
row changed-gone "$f" 'rm f' 'echo us >f' 'echo us >f' 'kept M f'
row changed-gone-dir 'mkdir -m 751 d; echo v1 >d/f; echo v1 >d/g' 'rm -r d' 'echo us >d/f' 'mkdir -m 751 d; echo us >d/f' 'kept M d/f'
row changed-changed "$f" 'echo v2 >f' 'echo us >f' 'echo us >f' 'conflict M f'
row changed-changed-alike "$f" 'echo same >f' 'echo same >f' : 'dropped M f'
row changed-mode "$f" 'chmod 600 f' 'echo us >f' 'echo us >f' 'merged M f'
row changed-theirs "$f" 'echo v2 >f' 'echo us >f' : 'dropped M f'
row changed-both "$f" 'echo v2 >f' 'echo us >f' 'mv f f.cowherd-new; echo us >f' 'conflict M f'
row mode-same "$f" : 'chmod 600 f' 'chmod 600 f' 'kept T f'
row mode-changed "$f" 'echo v2 >f' 'chmod 600 f' 'chmod 600 f' 'merged T f'
row mode-mode "$f" 'chmod 640 f' 'chmod 600 f' 'chmod 600 f' 'conflict T f'
row mode-owner "$f" 'chown 7:8 f' 'chmod 4755 f' 'chmod 4755 f' 'merged T f'
row owner-mode "$f" 'chmod 4711 f' 'chown 5:6 f; chmod 644 f' 'chown 5:6 f; chmod 4711 f' 'merged T f'
row mode-gone "$f" 'rm f' 'chmod 600 f' : 'dropped T f'
row xattrs "$f; setfattr -n user.b -v 1 f; setfattr -n user.gone -v 1 f" \
	'setfattr -n user.b -v 2 f; setfattr -n user.new -v 2 f; chmod 640 f' \
	'setfattr -n user.us -v 3 f; setfattr -x user.gone f' \
	'setfattr -n user.us -v 3 f; setfattr -x user.gone f' 'merged T f'
row xattrs-clash "$f; setfattr -n user.a -v 1 f" 'setfattr -n user.a -v 2 f; setfattr -n user.new -v 2 f' 'setfattr -n user.a -v 3 f' \
	'setfattr -n user.a -v 3 f' 'conflict T f'
row xattrs-data "$f; setfattr -n user.a -v 1 f" 'setfattr -n user.a -v 2 f' 'setfattr -n user.us -v 3 f; echo us >f' \
	'setfattr -n user.us -v 3 f; echo us >f' 'merged M f'
row acl "$f" 'setfacl -m u:1234:r f; echo v2 >f' 'chown 9:9 f' 'chown 9:9 f' 'merged T f'
row dir-mode 'mkdir d' 'touch d/x' 'chmod 700 d; setfacl -d -m u:77:rwx d' 'chmod 700 d; setfacl -d -m u:77:rwx d' 'kept T d'
row touched "$f" 'echo v2 >f' 'touch -d 2001-01-01 f' : 'dropped T f'
row touched-same "$f" : 'touch -d 2001-01-01 f' 'touch -d 2001-01-01 f' 'kept T f'
row deleted-same "$f" : 'rm f' 'rm f' 'kept D f'
row deleted-gone "$f" 'rm f' 'rm f' : 'dropped D f'
row deleted-changed "$f" 'echo v2 >f' 'rm f' 'rm f' 'conflict D f'
row deleted-theirs "$f" 'echo v2 >f' 'rm f' : 'dropped D f'
row deleted-both "$f" 'echo v2 >f' 'rm f' 'mv f f.cowherd-new' 'conflict D f'
row deleted-dir 'mkdir d; echo v1 >d/f' : 'rm -r d' 'rm -r d' 'kept D d'
row deleted-dir-changed 'mkdir d; echo v1 >d/f' 'echo v2 >d/new' 'rm -r d' 'rm -r d' 'conflict D d'
row new-none : : 'echo us >n' 'echo us >n' 'kept A n'
row new-alike : 'echo same >n; chmod 600 n' 'echo same >n' : 'dropped A n'
row new-new : 'echo v2 >n' 'echo us >n' 'echo us >n' 'conflict A n'
row new-both : 'mkdir n; echo v2 >n/x' 'echo us >n' 'mv n n.cowherd-new; echo us >n' 'conflict A n'
row new-theirs : 'echo v2 >n' 'mkdir n; echo us >n/x' : $'dropped A n\ndropped A n/x'
row new-link : 'ln -s v2 n' 'ln -s us n' 'ln -sfn us n' 'conflict A n'
row new-link-alike : 'ln -s same n' 'ln -s same n' : 'dropped A n'
row new-dir-dir : 'mkdir n; echo v2 >n/a' 'mkdir -m 700 n; echo us >n/b' 'chmod 700 n; echo us >n/b' $'merged A n\nkept A n/b'
row new-dir-file : 'echo v2 >n' 'mkdir n; echo us >n/b' 'rm n; mkdir n; echo us >n/b' $'conflict A n\nkept A n/b'
row types : : 'mkfifo p; mknod c c 5 1; mknod b b 7 9; ln -s nowhere l; python3 -c "import socket;socket.socket(socket.AF_UNIX).bind(\"s\")"; truncate -s 1M h; printf x >>h' \
	'mkfifo p; mknod c c 5 1; mknod b b 7 9; ln -s nowhere l; truncate -s 1M h; printf x >>h' \
	$'kept A p\nkept A c\nkept A b\nkept A l\nkept A s\nkept A h'
row file-to-dir "$f" : 'rm f; mkdir f; echo us >f/x' 'rm f; mkdir f; echo us >f/x' $'kept M f\nkept A f/x'
row file-to-dir-changed "$f" 'echo v2 >f' 'rm f; mkdir f; echo us >f/x' 'rm f; mkdir f; echo us >f/x' $'conflict M f\nkept A f/x'
row dir-to-file 'mkdir d; echo v1 >d/f' : 'rm -r d; echo us >d' 'rm -r d; echo us >d' 'kept M d'
row dir-to-file-changed 'mkdir d; echo v1 >d/f' 'echo v2 >d/new' 'rm -r d; echo us >d' 'rm -r d; echo us >d' 'conflict M d'
row dir-to-link-both 'mkdir d; echo v1 >d/f' 'echo v2 >d/f' 'rm -r d; ln -s us d' 'mv d d.cowherd-new; ln -s us d' 'conflict M d'
row dir-is-link 'mkdir d; echo v1 >d/f; echo v1 >d/g; echo v1 >d/h' 'rm -r d; ln -s other d' 'echo us >d/f; rm d/h' \
	'rm d; mkdir d; echo us >d/f; echo v1 >d/g' $'conflict M d\nkept M d/f\nkept D d/h'
row dir-is-link-theirs 'mkdir d; echo v1 >d/f' 'rm -r d; ln -s other d' 'echo us >d/f' : 'dropped M d/f'
row dir-is-link-nothing 'mkdir d; echo v1 >d/f' 'rm -r d; ln -s other d' 'rm d/f' : 'dropped D d/f'
row linked-out 'mkdir d; ln -s /etc d/l; echo v1 >d/f' 'rm -r d; ln -s / d' 'rm d/l; mkdir -p d/l; echo us >d/l/passwd' \
	'rm d; mkdir d; echo v1 >d/f; mkdir d/l; echo us >d/l/passwd' $'conflict M d\nkept M d/l\nkept A d/l/passwd'
row hard-new : : 'echo us >a; ln a b; ln a c' 'echo us >a; ln a b; ln a c' $'kept A a\nkept A b\nkept A c'
row hard-deleted 'echo v1 >a; ln a b' 'echo v2 >b' 'rm a' 'rm a' 'conflict D a'
row again 'echo v1 >f; echo old >f.cowherd-new' 'echo v2 >f; rm f.cowherd-new' 'echo us >f' 'mv f f.cowherd-new; echo us >f' 'conflict M f'
if [[ $engine != overlay ]]; then
	row hard-changed 'echo v1 >a; ln a b' : 'echo us >>a' 'echo us >>a' $'kept M a\nkept M b'
	row hard-mode 'echo v1 >a; ln a b' 'echo v2 >b' 'chmod 600 a' 'chmod 600 a' $'merged T a\nmerged T b'
	row hard-split 'echo v1 >a; ln a b' 'echo v2 >b.; mv b. b' 'chmod 600 a' 'chmod 600 a b' $'kept T a\nmerged T b'
fi
if [[ $engine == fuse ]]; then
	row hard-more "$f" 'echo v2 >f' 'ln f h' 'ln f h' 'kept A h'
	row hard-more-gone 'echo v1 >a; ln a b' 'rm a; chmod 600 b' 'ln a h' 'ln b h' 'kept A h'
	row moved-file-same "$f" : 'mv f g' 'mv f g' 'kept R f -> g'
	row moved-file-changed "$f" 'echo v2 >f' 'mv f g' 'mv f g' 'merged R f -> g'
	row moved-file-gone "$f" 'rm f' 'mv f g' 'echo v1 >g' 'kept R f -> g'
	row moved-file-mode "$f" 'echo v2 >f' 'chmod 600 f; mv f g' 'chmod 600 f; mv f g' 'merged R f -> g'
	row moved-file-data "$f" 'chmod 600 f' 'echo us >f; mv f g' 'mv f g; echo us >g' 'merged R f -> g'
	row moved-file-both "$f" 'echo v2 >f' 'echo us >f; mv f g' 'mv f g.cowherd-new; echo us >g' 'conflict R f -> g'
	row moved-file-alike "$f" 'mv f g' 'mv f g' : 'dropped R f -> g'
	row moved-file-taken "$f" 'echo v2 >g' 'mv f g' 'mv f g' 'conflict R f -> g'
fi
if [[ $backend == overlay ]]; then
	row anew 'mkdir d; echo v1 >d/f' 'echo v2 >d/new' 'rm -r d; mkdir d; echo us >d/x' 'rm d/f d/new; echo us >d/x' \
		$'kept D d/f\nconflict D d/new\nkept A d/x'
	row anew-theirs 'mkdir d; echo v1 >d/f' 'echo v2 >d/new' 'rm -r d; mkdir d' 'rm d/f' $'kept D d/f\ndropped D d/new'
	row moved-same 'mkdir d; echo v1 >d/f' 'echo v2 >d/new; echo v2 >d/f' 'mv d e' 'mv d e' 'kept R d -> e'
	row moved-inside 'mkdir -p d/s/t; echo v1 >d/s/t/f' 'echo v2 >d/s/t/new' 'mv d/s/t t; mv d e; echo us >t/f; mkdir e/s/t; echo us >e/s/t/x' \
		'mv d/s/t t; mv d e; echo us >t/f; mkdir e/s/t; echo us >e/s/t/x' \
		$'kept R d -> e\nkept R d/s/t -> t\nkept M t/f\nkept A e/s/t\nkept A e/s/t/x'
	row moved-swap 'mkdir a b; echo 1 >a/f; echo 2 >b/f' 'echo v2 >a/new' 'mv a c; mv b a; mv c b' 'mv a c; mv b a; mv c b' \
		$'kept R a -> b\nkept R b -> a'
	row moved-gone 'mkdir d; echo v1 >d/f; echo v1 >d/g' 'rm -r d' 'mv d e; echo us >e/f' 'mkdir e; echo us >e/f; echo v1 >e/g' \
		$'conflict R d -> e\nkept M e/f'
	row moved-changed 'mkdir d; echo v1 >d/f' 'echo v2 >d/f' 'mv d e; echo us >e/f' 'mv d e; echo us >e/f' $'kept R d -> e\nconflict M e/f'
	row moved-deleted 'mkdir d; echo v1 >d/f; echo v1 >d/g' 'chmod 700 d' 'mv d e; rm e/f' 'mv d e; rm e/f' $'merged R d -> e\nkept D e/f'
	row moved-taken 'mkdir d; echo v1 >d/f' 'mkdir e; echo v2 >e/x' 'mv d e' 'rm -r e; mv d e' 'conflict R d -> e'
	row moved-taken-both 'mkdir d; echo v1 >d/f' 'mkdir e; echo v2 >e/x' 'mv d e' 'mv e e.cowherd-new; mv d e' 'conflict R d -> e'
	row moved-taken-theirs 'mkdir d; echo v1 >d/f' 'mkdir e; echo v2 >e/x' 'mv d e; echo us >e/f' : $'dropped R d -> e\ndropped M e/f'
	row moved-into-new 'mkdir d; echo v1 >d/f' 'echo v2 >d/f' 'mkdir -m 700 n; mv d n/d' 'mkdir -m 700 n; mv d n/d' $'kept A n\nkept R d -> n/d'
fi

# in_rows TREE ARRAY ROW...: run each row's commands there.
in_rows()
{
	local tree=$1 name
	local -n commands=$2
	shift 2
	for name; do
		mkdir -p "$tree/rows/$name"
		(cd "$tree/rows/$name" && set -e && eval "${commands[$name]}") || die "row $name, $2"
	done
}
golden_time()
{
	find "$1" -newermt '2021-01-01' -exec touch -h -d "$2" {} +
}
src=$work/src
mkdir -p "$src"/{etc,usr/local/bin,usr/bin,var/lib/dpkg/info,root}
echo golden >"$src/etc/hostname"
echo id >"$src/etc/machine-id"
printf '127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n' >"$src/etc/hosts"
printf 'Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n' >"$src/var/lib/dpkg/status"
echo /usr/bin/a >"$src/var/lib/dpkg/info/a.list"
echo a1 >"$src/usr/bin/a"
in_rows "$src" v1 "${names[@]}"
golden_time "$src" '2020-01-01 00:00:00.123456789'
cow image import --no-fixup all img "$src" >"$out"
in_rows "$src" v2 "${names[@]}"
sed -i 's/^Version: 1/Version: 2/' "$src/var/lib/dpkg/status"
echo a2 >"$src/usr/bin/a"
printf '127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n10.0.0.1\tserver\n' >"$src/etc/hosts"
golden_time "$src" '2020-02-02 00:00:00.5'
cow image import --no-fixup all img "$src" >"$out"
need_backend "$backend" img
globs=(--theirs 'rows/*-theirs' --both 'rows/*-both/*' --both rows/again)

# copy DIR NAME: the tree in $work/NAME, to compare. Times of directories change with every name in them.
copy()
{
	rm -rf "${work:?}/$2"
	mkdir "$work/$2"
	tar -C "$1" --format=posix -S --xattrs --xattrs-include='*' --acls --warning=no-file-ignored -c . |
		tar -C "$work/$2" --warning=no-timestamp --same-owner -p --xattrs --xattrs-include='*' --acls -x
	unmark "$work/$2"
	find "$work/$2" -type d -exec touch -d '2000-01-01' {} +
}
# shown: a directory that shows the client's root, to work in; hidden: it is not shown any more.
shown()
{
	if [[ $engine == fuse ]]; then
		cow client mount lab "$work/m" >/dev/null
		echo "$work/m"
	else
		view $mac
	fi
}
hidden()
{
	[[ $engine != fuse ]] || cow client unmount lab >/dev/null
	unview
}
# lines: RESULT LETTER PATH of the report in $out.
lines()
{
	sed -nE 's/^  (kept|dropped|merged|conflict) +([AMTDR] [^:(]*[^:( ]).*/\1 \2/p' "$out"
}
check()
{
	if [[ $backend == overlay ]]; then
		cow client check lab >"$out" 2>"$err" || die "check: $(cat "$out" "$err")"
	fi
}
start=$(date +%s)

# ------------------------------------------------------------ every row
cow client add $mac --image img@1 --name lab --backend "$backend" >"$out"
in_rows "$(shown)" client "${names[@]}"
hidden
copy "$(view $mac)" old
for name in "${names[@]}"; do
	[[ -z ${said[$name]} ]] || sed "s/ -> / -> \/rows\/$name\//; s/^\([a-z]* [A-Z] \)/\1\/rows\/$name\//" <<<"${said[$name]}"
done | LC_ALL=C sort >"$work/said"
# The engine makes a few directories when a root is attached for the first time, or after the kernel.
cow client roll lab --to img@2 --rebase --dry-run >"$out"
listing >"$work/listing"
cow client roll lab --to img@2 --rebase --dry-run "${globs[@]}" >"$out"
listing | diff "$work/listing" - >&2 || die "a dry run changed something"
tail -n 1 "$out" | grep -qE '^  [0-9]+ kept, [0-9]+ dropped, [0-9]+ merged, [0-9]+ in conflict$' || die "$(tail -n 1 "$out")"
lines | grep -v /etc/ | LC_ALL=C sort >"$work/report"
diff "$work/said" "$work/report" >&2 || die "the report of a dry run (>) is not what the rows say"
ok "the report before: ${#names[@]} rows, a line for each change"

cow client roll lab --to img@2 --rebase --dry-run --json "${globs[@]}" >"$out"
python3 - "$out" "$work/said" <<'END'
import json, sys
one, = json.load(open(sys.argv[1]))
d = one['rebase']
said = sorted(l.split(' ', 1)[0] for l in open(sys.argv[2]))
rows = [c for c in d['changes'] if c['path'].startswith('rows/')]
assert one['result'] == 'would' and one['image'] == 'img' and one['version'] == 2, one
assert sorted(c['result'] for c in rows) == said
for k in ('kept', 'dropped', 'merged', 'conflict'):
    assert d[k] == sum(c['result'] == k for c in d['changes']), k
both = [c for c in rows if c['path'] == 'rows/changed-both/f'][0]
assert both['saved'] and both['why'] and both['what'] == ['data', 'mtime'] and both['change'] == 'modified', both
END
ok "the same for programs"

cow client roll lab --to img@2 --rebase "${globs[@]}" >"$out"
lines | LC_ALL=C sort >"$work/report"
diff <(grep ^conflict "$work/said") "$work/report" >&2 || die "the conflicts that are told afterwards (>)"
grep -qE '^rolled 02-00-00-00-00-01 \(lab\) to img@2, root 2, in [0-9]+ ms$' "$out" || die "$(cat "$out")"
copy "$store/images/img/2/tree" want
in_rows "$work/want" want "${names[@]}"
find "$work/want" -type d -exec touch -d '2000-01-01' {} +
v=$(shown)
[[ -S $v/rows/types/s ]] || die "the socket" # tar leaves them out
copy "$v" got
hidden
# Where the plan carries a file of version 1, it has its time.
for f in dir-is-link/d/g linked-out/d/f moved-gone/e/g moved-file-gone/g; do
	[[ ! -e $work/want/rows/$f ]] || touch -d '2020-01-01 00:00:00.123456789' "$work/want/rows/$f"
done
same_tree --now "$start" --ignore etc "$work/want" "$work/got"
check
copy "$(view $mac)" kernel
same_tree --now "$start" --ignore rows/hard-mode --ignore rows/hard-split --ignore rows/hard-more "$work/got" "$work/kernel"
check
ok "the new root is what the rows say, also for the kernel"

[[ $(cat "$work/got/etc/hostname") == lab ]] || die "host name: $(cat "$work/got/etc/hostname")"
[[ $(cat "$work/got/etc/machine-id") == "$(cat "$work/old/etc/machine-id")" ]] || die "machine id"
[[ $(cat "$work/got/etc/hosts") == $'127.0.0.1\tlocalhost\n127.0.1.1\tlab\n10.0.0.1\tserver' ]] || die "hosts: $(cat "$work/got/etc/hosts")"
[[ -z $(find "$work/got" -name '.cowherd-*') ]] || die "left: $(find "$work/got" -name '.cowherd-*')"
cow client show lab >"$out"
grep -q 'img@2' "$out" || die "$(cat "$out")"
cow client rollback lab >"$out"
grep -q 'to img@1, root 1' "$out" || die "$(cat "$out")"
copy "$(view $mac)" back
same_tree "$work/old" "$work/back"
ok "identity is made anew; rolling back gives the old root"

# ------------------------------------------------------------ what the client made of hosts, again and again
echo '10.9.9.9 printer' >>"$(view $mac)/etc/hosts"
cow client roll lab --to img@2 --rebase >"$out"
grep -q '^  conflict M /etc/hosts' "$out" || die "$(cat "$out")"
copy "$(view $mac)" first
grep -q printer "$work/first/etc/hosts" || die "hosts: $(cat "$work/first/etc/hosts")"
cow client roll lab --to img@2 --rebase >"$out"
grep -q 'has img@2 already' "$out" || die "to the version it has: $(cat "$out")"
cow image import --no-fixup all img "$src" >"$out" # the same once more
cow client roll lab --to img@3 --rebase >"$out"
grep -qE ' [0-9]+ kept, [0-9]+ dropped, 0 merged, 0 in conflict' "$out" || die "to an equal version: $(cat "$out")"
copy "$(view $mac)" second
same_tree --now "$start" "$work/first" "$work/second"
check
cow client roll lab --to img@1 --rebase >"$out"
check
ok "to an equal version nothing changes; back to the older one works"

# ------------------------------------------------------------ packages
cow client reset lab --factory >"$out" # follows img@1
echo mine >"$(view $mac)/usr/local/bin/tool"
chmod 700 "$(view $mac)/usr/bin/a"
cow client roll lab --to img@2 --rebase >"$out"
[[ $(cat "$(view $mac)/usr/bin/a") == a2 && $(stat -c %a "$(view $mac)/usr/bin/a") == 700 ]] || die "usr/bin/a"
[[ $(cat "$(view $mac)/usr/local/bin/tool") == mine ]] || die "usr/local"
[[ $(cat "$(view $mac)/var/lib/dpkg/status") == *'Version: 2' ]] || die "status"
ok "a client that has no packages of its own has no conflict with them"
cow client reset lab --factory >"$out"
v=$(view $mac)
echo mine >"$v/etc/mine"
echo b >"$v/usr/bin/b"
echo /usr/bin/b >"$v/var/lib/dpkg/info/b.list"
printf '\nPackage: b\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n' >>"$v/var/lib/dpkg/status"
echo patched >"$v/usr/bin/a"
cow client commit lab other >"$out" # attaches the root: see above
unchanged fails 5 'package database.*usr/bin/a.*var/lib/dpkg/info/b.list.*\(3 in all\)' cow client roll lab --to img@2 --rebase
unchanged fails 5 'keep-list.*--force' cow client roll lab --to img@2 --rebase --dry-run
unchanged fails 5 'at its next boot: .*package database' cow client roll lab --to img@2 --rebase --at-boot --follow
unchanged fails 5 'package database' cow client roll lab --to img@2 --rebase --follow
cow client roll lab --to img@2 --rebase --force >"$out"
v=$(view $mac)
[[ $(cat "$v/usr/bin/a") == a2 && $(cat "$v/etc/mine") == mine && -e $v/usr/bin/b ]] || die "--force: $(cat "$v/usr/bin/a")"
[[ ! -e $v/var/lib/dpkg/info/b.list && $(cat "$v/var/lib/dpkg/status") == *'Version: 2' ]] || die "--force: the database"
unview
cow client rollback lab >"$out"
: >"$(view $mac)/var/lib/dpkg/lock" # what is no database
rm "$(view $mac)/usr/bin/b"
echo a1 >"$(view $mac)/usr/bin/a"
ok "package databases are refused; --force takes the new version's"

# ------------------------------------------------------------ what is refused
unchanged fails 3 'img@9|no version' cow client roll lab --to img@9 --rebase
unchanged fails 2 'does not go with --now' cow client roll lab --to img@2 --rebase --now
unchanged fails 2 'need --rebase' cow client roll lab --to img@2 --theirs etc
mkdir -p "$store/clients/$mac/state"
printf 'time = %d\naddress = 10.77.0.9\n' "$(date +%s)" >"$store/clients/$mac/state/nfs"
unchanged fails 4 'runs' cow client roll lab --to img@2 --rebase
unchanged fails 4 'runs' cow client roll lab --to img@2 --rebase --dry-run
# At the boot it is another matter.
unchanged cow client roll lab --to img@2 --rebase --force --at-boot --dry-run >"$out"
grep -qE '^would give .* from img@2 when it boots next; now: img@1$' "$out" || die "$(cat "$out")"
cow client roll lab --to img@2 --rebase --force --at-boot --theirs 'etc/*' --theirs srv --follow >"$out"
grep -q 'is rolled to img@2 when it boots next, and follows img@2 then$' "$out" || die "$(cat "$out")"
grep -qE '^ +[0-9]+ kept, [0-9]+ dropped, [0-9]+ merged, [0-9]+ in conflict$' "$out" || die "no report: $(cat "$out")"
[[ $(grep -c '^theirs = ' "$store/clients/$mac/next") == 2 ]] || die "next: $(cat "$store/clients/$mac/next")"
cow client show lab >"$out"
grep -qE '^next boot +roll to img@2 with all its changes, follows img@2 then, ordered ' "$out" || die "$(cat "$out")"
unchanged fails 2 'cannot wait for the boot' cow client roll lab --to img@2 --rebase --force --at-boot --theirs $'a\nb'
cow client set lab ephemeral=yes
unchanged fails 5 'ephemeral' cow client roll lab --to img@2 --rebase --force --at-boot --follow
cow client set lab ephemeral=
cow client roll lab --cancel >"$out"
rm "$store/clients/$mac/state/nfs"
if [[ $backend == overlay ]]; then
	view $mac >/dev/null
	listing >"$work/listing"
	status=0
	"$COWHERD" client roll lab --to img@2 --rebase >"$out" 2>"$err" || status=$?
	[[ $status == 4 && $(cat "$err") == *mounted* ]] || die "mounted by the kernel: $status, $(cat "$err")"
	listing | diff "$work/listing" - >&2 || die "something was left behind"
	unview
fi
[[ -z $(find "$store" -name '.new-*' -o -name '.tmp-*') ]] || die "temporaries stay"
ok "what is refused"
