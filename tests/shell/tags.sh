#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# tags.sh - tags are made, moved and removed, clients follow them, and what has one stays.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

readonly mac=02-00-00-00-00-01
store 512M
mkdir -p "$work/tree/etc"
for v in 1 2 3; do
	echo "$v" >"$work/tree/etc/version"
	cow image import os "$work/tree" >"$out"
done

# says TEXT COMMAND…
says()
{
	local want=$1
	shift
	"$@" >"$out" || die "$*: $(cat "$out")"
	[[ $(cat "$out") == "$want" ]] || die "'$*' said '$(cat "$out")', wanted '$want'"
}
says 'os:stable is os@2' cow image tag os@2 stable
says 'os:next is os@3' cow image tag os next
says 'os:lab-1 is os@2' cow image tag os:stable lab-1
cow image list >"$out"
grep -Eq '^os@2 +lab-1 stable ' "$out" || die "the list has no tags: $(cat "$out")"
cow image show os:stable >"$out"
grep -qx 'tags = lab-1 stable' "$out" || die "show has no tags"
cow image list --json >"$out"
python3 - "$out" <<'END'
import json, sys
tags = {i['version']: i['tags'] for i in json.load(open(sys.argv[1]))}
assert tags == {1: [], 2: ['lab-1', 'stable'], 3: ['next']}, tags
END
ok "tags are made and listed"

cow client add $mac --image os:stable >"$out"
version() { cow client show $mac | awk '$1 == "image" { print $2 }'; }
[[ $(version) == os@2 ]] || die "the client has $(version)"
says 'os:stable is os@3, it was os@2' cow image tag os@3 stable
[[ $(version) == os@2 ]] || die "moving a tag changed a root"
cow client reset $mac >"$out"
[[ $(version) == os@3 ]] || die "the client does not follow the tag: $(version)"
ok "a client follows a tag with its next reset"

cow client reset $mac >"$out" # the root it kept came from os@2
fails 4 'has the tag lab-1; .*image tag --delete os:lab-1' cow image rm os@2
says 'removed tag os:lab-1' cow image tag --delete os:lab-1
cow image rm os@2 >"$out"
fails 4 'in use by client' cow image rm os@3
ok "a version with a tag is not removed"

fails 3 'no tag lab-1' cow image tag --delete os:lab-1
fails 3 'no version 2' cow image tag os@2 old
fails 3 'no image' cow image tag nothing@1 old
fails 2 'is no tag' cow image tag os@1 'a/b'
fails 2 'is no tag' cow image tag os@1 '..'
fails 2 'names no tag' cow image tag --delete os@1
fails 2 'say which tag' cow image tag os@1
fails 2 'one NAME:TAG' cow image tag --delete os:next more
[[ $(find "$store/images/os/tags" -type l -printf '%f>%l\n' | sort | tr '\n' ' ') == 'next>../3 stable>../3 ' ]] ||
	die "tags: $(ls -l "$store/images/os/tags")"
ok "bad input is refused and changes nothing"
