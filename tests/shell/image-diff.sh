#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# image-diff.sh - what two versions of an image differ in: every kind of change, packages, sizes.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# package NAME VERSION [STATUS]: a paragraph as dpkg writes it
package()
{
	printf 'Package: %s\nStatus: install ok %s\nArchitecture: arm64\nVersion: %s\nDescription: one\n two\n .\n\n' \
		"$1" "${3:-installed}" "$2"
}

store 512M
t=$work/tree
mkdir -p "$t"/{etc,gone/deep,var/lib/dpkg,same}
{
	package libc6 2.36-9
	package nano 7.2-1
	package vim 9.0-1
	package half 1 half-installed
} >"$t/var/lib/dpkg/status"
head -c 5000 /dev/zero >"$t/etc/grows"
echo a >"$t/etc/touched"
echo a >"$t/etc/mode"
echo a >"$t/etc/type"
echo a >"$t/gone/deep/file"
echo x >"$t/same/$(printf 'new\nline')"
ln -s old "$t/etc/link"
mknod "$t/etc/null" c 1 3
cow image import --no-fixup all os "$t" >"$out"

{
	package libc6 2.36-10
	package vim 9.0-1
	package curl 7.88
} >"$t/var/lib/dpkg/status"
head -c 7000 /dev/zero >"$t/etc/grows"
touch -d 2001-01-01 "$t/etc/touched"
chmod 600 "$t/etc/mode"
chown 5 "$t/etc/mode"
rm "$t/etc/type"
mkdir "$t/etc/type"
echo b >"$t/etc/type/inner"
rm -r "$t/gone"
ln -sf new "$t/etc/link"
rm "$t/etc/null"
mknod "$t/etc/null" c 1 5
setfattr -n user.x -v y "$t/same"
cow image import --no-fixup all os "$t" >"$out"

cow image diff os@1 os@2 >"$out"
cat >"$work/want" <<'END'
package curl:arm64 7.88 added
package libc6:arm64 2.36-9 -> 2.36-10
package nano:arm64 7.2-1 removed
M /etc/grows (4.9 KiB -> 6.8 KiB)
M /etc/link
T /etc/mode
M /etc/null
T /etc/touched
M /etc/type (2 B -> 0 B)
A /etc/type/inner (2 B)
D /gone
D /gone/deep
D /gone/deep/file (2 B)
T /same
END
grep -v -e '^M /var/lib/dpkg/status' -e '; .* more$' "$out" | diff -u "$work/want" - || die "the changes differ"
tail -n 1 "$out" | grep -qx '1 added, 5 modified, 3 with other attributes, 3 deleted; .* more' || die "sums: $(tail -n 1 "$out")"
ok "every kind of change, and packages"

cow image diff --json os@2 os@1 >"$out"
python3 - "$out" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
assert {p['package']: (p['old_version'], p['version']) for p in d['packages']} == {
    'curl': ('7.88', ''), 'libc6': ('2.36-10', '2.36-9'), 'nano': ('', '7.2-1')}, d['packages']
f = {x['path'].lstrip('/'): x for x in d['files']}
assert f['etc/grows']['change'] == 'modified' and f['etc/grows']['old_size'] == 7000 and f['etc/grows']['size'] == 5000
assert f['etc/mode']['what'] == ['mode', 'owner'], f['etc/mode']
assert f['etc/type']['what'] == ['type'] and f['etc/type/inner']['change'] == 'deleted'
assert f['gone/deep/file']['change'] == 'added' and f['same']['what'] == ['xattrs']
END
ok "the other way round, as JSON"

cow image diff os os@2 >"$out"
[[ $(cat "$out") == '0 added, 0 modified, 0 with other attributes, 0 deleted; 0 B more' ]] || die "the same: $(cat "$out")"
rm "$t/var/lib/dpkg/status"
cow image import --no-fixup all os "$t" >"$out"
cow image diff os@2 os@3 >"$out"
! grep -q '^package' "$out" || die "packages of an image that has no database"
fails 3 'no version 9' cow image diff os@1 os@9
fails 2 'missing' cow image diff os@1
ok "the same, none, and bad input"
