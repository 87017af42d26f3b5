#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# apart.sh - two stores that make different versions of one and give them the same number: whatever goes from one
# to the other is told apart by its id, it is said that the two differ, and nothing of the one is taken for
# something of the other.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

store 500M ext4
other=$work/disk/other
mkdir "$other"
there() { COWHERD_STORE=$other cow "$@"; }
there init >"$out"
mac=02-00-00-00-00-01

src=$work/src
mkdir -p "$src/etc"
echo base >"$src/etc/issue"
cow image import --no-fixup all img "$src" >"$out"
cow image export img@1 -o "$work/1.cow" >"$out"
there image import "$work/1.cow" >"$out"
! grep -q 'note: it was' "$out" || die "the same version is another one: $(cat "$out")"

# img@2 of each: the same new numbers for different directories.
mkdir "$src/ours"
echo ours >"$src/ours/f"
cow image import --no-fixup all img "$src" >"$out"
rm -r "$src/ours"
mkdir "$src/theirs"
echo theirs >"$src/theirs/f"
there image import --no-fixup all img "$src" >"$out"
echo 3 >"$src/theirs/g"
there image import --no-fixup all img "$src" >"$out"
id() { sed -n 's/^id = //p' "$1/images/img/$2/image.conf"; }
[[ $(id "$store" 2) != "$(id "$other" 2)" ]] || die "the versions made apart have one id"

there image export img@3 --since img@2 -o "$work/3-2.cow" >"$out"
unchanged fails 3 "otherwise than img@2, id $(id "$other" 2), which is not here; img@2 here is another version, made apart .*import that one first" \
	cow image import "$work/3-2.cow"
there image export img@3 --since img@1 -o "$work/3-1.cow" >"$out"
there image export img@2 --since img@1 -o "$work/2-1.cow" >"$out"
ok "--since a version that is another one here is refused, and says so"

cow image import "$work/2-1.cow" >"$out"
grep -q '^imported img@3: ' "$out" || die "import: $(cat "$out")"
grep -q '^note: it was img@2 where it comes from; img@2 here is another version, and stays$' "$out" || die "import: $(cat "$out")"
[[ $(id "$store" 3) == "$(id "$other" 2)" && -e $store/images/img/2/tree/ours/f ]] || die "img@2 was replaced"
cow image import "$work/3-2.cow" >"$out" # its base is img@3 here, by the id
grep -q '^imported img@4: ' "$out" || die "import: $(cat "$out")"
[[ $(id "$store" 4) == "$(id "$other" 3)" ]] || die "another id"
grep -qx 'parent = img@3' "$store/images/img/4/image.conf" || die "parent: $(cat "$store/images/img/4/image.conf")"
cow image verify img >"$out" || die "verify: $(cat "$out")"
ok "the base is found by its id, whatever its number"

cat >"$work/ssh" <<'END'
#!/bin/sh
sh -c "$2"
END
chmod +x "$work/ssh"
cow image push img@2 "depot:$other" --ssh "$work/ssh" --remote "$COWHERD" >"$out"
grep -q ' as img@4: .*, since img@1$' "$out" || die "push: $(cat "$out")"
grep -q '^note: img@2 there is another version, and stays$' "$out" || die "push: $(cat "$out")"
there image verify img >"$out" || die "verify: $(cat "$out")"
ok "a push says that the number is taken by another version"

# The number of /ours is that of /theirs there.
cow client add $mac --image img@2 --backend overlay >"$out"
v=$(view $mac)
mv "$v/ours" "$v/moved"
unview
cow client roll $mac --to img@4 --rebase >"$out"
v=$(view $mac)
[[ $(cat "$v/moved/f") == ours && ! -e $v/moved/g ]] || die "moved: $(head "$v"/moved/*)"
[[ $(cat "$v/theirs/f" "$v/theirs/g") == $'theirs\n3' ]] || die "theirs: $(ls "$v" "$v/theirs")"
grep -q '^  conflict R /ours -> /moved' "$out" || die "rebase: $(cat "$out")"
unview
ok "a rebase takes no directory of the one for one of the other"
