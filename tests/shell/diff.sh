#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# diff.sh [BACKEND [FS]] - `client diff`: what a client changed of its image. FS: see store().
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

backend=${1:-btrfs}
store 400M "${2:-}"
src=$work/src
mkdir -p "$src"/{bin,lib/a/b,var/log}
for f in bin/one bin/two lib/a/x lib/a/b/y var/log/syslog; do echo "golden $f" >"$src/$f"; done
echo data >"$src/odd name"
ln -s one "$src/bin/link"
mknod "$src/null" c 1 3
find "$src" -exec touch -h -d '2020-01-01 00:00:00' {} +
cow image import --no-fixup all img "$src" >"$out"
need_backend "$backend" img
mac=02-00-00-00-00-01
cow client add $mac --image img --name lab --backend "$backend" >"$out"

# expect LINE...: what diff prints.
expect()
{
	cow client diff lab >"$out" 2>"$err" || die "diff: $(cat "$err")"
	diff <(printf '%s\n' "$@") "$out" >&2 || die "diff printed something else (>)"
}

cow client diff lab >"$out"
[[ ! -s $out ]] || die "a fresh root without a system in it differs: $(cat "$out")"

root=$(view $mac)
echo changed >"$root/bin/two"
chmod 700 "$root/bin/one"
touch -h -d '2021-01-01' "$root/bin/link"
rm -r "$root/var/log"
mkdir "$root/new"
echo x >"$root/new/file"
echo "golden lib/a/x" >"$root/lib/a/x.tmp"
touch -d '2020-01-01 00:00:00' "$root/lib/a/x.tmp"
mv "$root/lib/a/x.tmp" "$root/lib/a/x" # the same in all that counts
rm "$root/null"
mkdir "$root/null"
: >"$root/$(printf 'tab\there')"
: >"$root/$(printf 'latin1-\374')"
want=('T /bin/link' 'T /bin/one' 'M /bin/two' 'A "/latin1-\374"' 'A /new' 'A /new/file' 'M /null' 'A "/tab\there"' 'D /var/log')
expect "${want[@]}"
ok "added, modified, attributes, deleted; what is the same is not told"

cow client diff lab --json >"$out"
python3 - "$out" <<'END'
import json, sys
d = {c['path']: c for c in json.load(open(sys.argv[1]))}
assert d['bin/two']['change'] == 'modified' and 'data' in d['bin/two']['what'], d
assert d['bin/one'] == {'path': 'bin/one', 'change': 'attributes', 'type': 'file', 'what': ['mode']}, d
assert d['null']['what'] == ['type'] and d['null']['type'] == 'directory', d
assert d['var/log'] == {'path': 'var/log', 'change': 'deleted', 'type': 'directory', 'what': []}, d
assert d['latin1-\\374']['path_escaped'] is True, d
assert d['tab\there']['change'] == 'added', d
END
ok "the same for programs"

root=$(view $mac)
mv "$root/lib/a" "$root/lib/moved"
echo more >>"$root/lib/moved/b/y"
mv "$root/odd name" "$root/even name"
cow client diff lab >"$out"
if [[ $backend == overlay ]]; then
	grep -qx 'R /lib/a -> /lib/moved' "$out" || die "a moved directory: $(cat "$out")"
	grep -qx 'M /lib/moved/b/y' "$out" || die "changed in a moved directory: $(cat "$out")"
	grep -q '/lib/moved/x' "$out" && die "an unchanged file in a moved directory is told: $(cat "$out")"
else
	for line in 'D /lib/a' 'A /lib/moved/b/y'; do
		grep -qx "$line" "$out" || die "a moved directory: $(cat "$out")"
	done
fi
LC_ALL=C sort -c <(sed 's/^. //; s/.* -> //; s/"//g' "$out") || die "not sorted by path: $(cat "$out")"
ok "moved directories"

cow client reset lab >"$out"
cow client diff lab >"$out"
[[ ! -s $out ]] || die "a root just reset differs: $(cat "$out")"
cow client rollback lab >"$out"
cow client diff lab >"$out"
grep -qx 'D /var/log' "$out" || die "the root rolled back to: $(cat "$out")"
fails 3 'no client .nobody.' cow client diff nobody
status=0
cow client diff lab >/dev/full 2>"$err" || status=$?
[[ $status == 1 ]] || die "a full standard output ended with $status"
ok "after reset and rollback; what it refuses"
