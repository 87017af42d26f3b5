# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
# cowherd.sh - the server under test: a store, an image, clients, `cowherd serve`. Sourced after lab.sh.
#
# COWHERD_BUILD is the build folder (meson sets it).

COW_STORE=$LAB/store

cow()
{
	"$COWHERD_BUILD/tools/cowherd" "$@"
}

# cow_store - an empty store on btrfs of its own; gone with the lab.
cow_store() # [SIZE]
{
	COW_STORE=$LAB/store
	export COWHERD_STORE=$COW_STORE
	mkdir -p "$COW_STORE"
	cow init --loop "${1:-8G}" "$LAB/store.img"
}

# cow_config - the configuration of the lab's server; more lines on standard input.
cow_config()
{
	{
		cat <<END
[store]
path = $COW_STORE
[serve]
address = $LAB_ADDR
interface = $LAB_BRIDGE
run_dir = /run/cowherd
END
		cat
	} >"$LAB/cowherd.conf"
}

# cow_serve - start, and wait until it says that all services answer.
cow_serve()
{
	lab_spawn serve "$COWHERD_BUILD/tools/cowherd" serve --config "$LAB/cowherd.conf"
	lab_until 60 cow_ready || lab_fail "cowherd serve is not ready"
}

cow_ready()
{
	lab_alive serve || lab_fail "cowherd serve ended"
	[ "$(cow status --config "$LAB/cowherd.conf" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["ready"])')" = True ]
}

# cow_tree CLIENT - the folder of its current root, to look into from outside.
cow_tree()
{
	echo "$COW_STORE/clients/$1/current/tree"
}

# cow_sum DIR - one checksum over names, types, modes, owners, times, links, xattrs and content.
cow_sum()
{
	"$COWHERD_BUILD/tests/tools/treecmp" --sum "$1"
}
