#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# The plugin against the distribution's server, without running either: every function and variable it
# takes from the server must be there, and the variables must have the size we believe in. (The sizes of
# structures are asserted when the plugin is built, ganesha-fsal/layout.c.)
set -euo pipefail

PLUGIN=${LAB_PLUGIN:?}/libfsalcowherd.so
# What the server has, and what of it the plugin touches: name, bytes.
SIZES='component_log_level 8
nfs_config_path 8
open_fd_count 8
op_ctx 8
nfs_param 512
mdcache_param 80'

fail()
{
	echo "not ok - $*"
	exit 1
}

for p in nm ldd ganesha.nfsd; do
	command -v "$p" >/dev/null || {
		echo "SKIPPED: needs $p (tools/setup installs it)" >&2
		exit 77
	}
done
[[ -e $PLUGIN ]] || fail "$PLUGIN is not built"
server=$(ldd "$(command -v ganesha.nfsd)" | awk '/libganesha_nfsd/ { print $3 }')
[[ $server ]] || fail "ganesha.nfsd has no libganesha_nfsd: another server than 4.x"
[[ $(uname -m) == x86_64 ]] || SIZES=

# The linker notes a version with what it found in a library it was given: the rest must come from the server.
names_of() { nm -D "$@" | awk '{ print $NF }' | sed 's/@.*//' | sort -u; }
wanted=$(nm -D --undefined-only "$PLUGIN" | awk '$1 == "U" && $2 !~ /@/ { print $2 }' | sort -u)
libraries=$(ldd "$PLUGIN" | awk '$3 ~ /^\// { print $3 }')
offered=$(for lib in $server $libraries; do names_of --defined-only "$lib"; done | sort -u)
missing=$(comm -23 <(echo "$wanted") <(echo "$offered"))
[[ -z $missing ]] || fail "the server ($server) lacks: ${missing//$'\n'/ }"
taken=$(comm -12 <(echo "$wanted") <(names_of --defined-only "$server") | wc -l)
[[ $taken -gt 20 ]] || fail "only $taken symbols come from the server: this test looks at the wrong things"
echo "ok - $taken symbols of the server are there"

while read -r name size; do
	[[ $name ]] || continue
	got=$(nm -D -S "$server" | awk -v n="$name" '$NF == n { print $2 }')
	[[ $got && $((16#$got)) -eq $size ]] || fail "$name has ${got:-no} bytes (hex) in the server, not $size"
done <<<"$SIZES"
echo "ok - the server's variables have the size they should"
