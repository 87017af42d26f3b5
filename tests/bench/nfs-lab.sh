# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# Both sides of the NFS benchmarks: the same tree served by the same ganesha.nfsd, through our plugin
# (an image and clients of it) or through FSAL_VFS, each with a configuration that suits it.
# To be sourced after tests/nfs/lab.sh and lab_enter.
#
#	bench_stage SIZE	$LAB/disk: ext4 (or BENCH_FS) on a loop device, with a store in it
#	bench_conf KIND CLIENT…	configuration of the server for cowherd or vfs; CLIENT of vfs: a folder
#	bench_up, bench_cold	the server, $LAB_SERVER; cold: after everything was dropped from memory
# The environment also names NFSWORK, FSWORK.

bench_need()
{
	[[ -x ${NFSWORK:?} && -x ${FSWORK:?} ]] || lab_skip "the programs of the benchmark are not built"
	[[ -n $(vfs_plugin) ]] || lab_skip "needs FSAL_VFS (package nfs-ganesha-vfs)"
}

vfs_plugin() { find /usr/lib -name libfsalvfs.so -path '*ganesha*' | head -n 1; }

# loop_mount IMAGE SIZE PLACE OPTIONS
loop_mount()
{
	truncate -s "$2" "$1"
	"mkfs.${BENCH_FS:=ext4}" -q "$1" || lab_skip "mkfs.$BENCH_FS fails here"
	mkdir -p "$3"
	mount -o "loop,noatime,$4" "$1" "$3" || lab_skip "no loop mounts here"
}

bench_stage()
{
	loop_mount "$LAB/disk.img" "$1" "$LAB/disk" rw
	mkdir -m 700 "$LAB/disk/store"
	mount --bind "$LAB/disk/store" "$LAB/store"
	tool init
}


vfs_export_block() # FOLDER ID PSEUDO
{
	cat <<-CONF
	EXPORT { Export_Id = $2; Path = "$1"; Pseudo = "$3";
	 Access_Type = NONE; Squash = no_root_squash; SecType = sys;
	 CLIENT { Clients = $LAB_ADDR; Access_Type = RW; } FSAL { Name = VFS; } }
	CONF
}

# FSAL_VFS is at its best with the server's cache of directories, our plugin without.
bench_conf()
{
	local kind=$1 id=1 one
	shift
	: >"$LAB/exports.conf"
	if [[ $kind == vfs ]]; then
		local LAB_PLUGIN
		# shellcheck disable=SC2034 # lab_conf uses it
		LAB_PLUGIN=$(dirname "$(vfs_plugin)")
		lab_conf 128
		sed -i '/^COWHERD/d' "$LAB/ganesha.conf"
		for one in "$@"; do
			vfs_export_block "$one" "$id" "/clients/${one##*/}"
			id=$((id + 1))
		done >"$LAB/exports.conf"
	else
		lab_conf 0
		for one in "$@"; do
			lab_export_block "$one" "$(tool id "$one")"
		done >"$LAB/exports.conf"
	fi
	sed -i "s/Enable_NLM = false;/& RPC_Ioq_ThrdMax = 200;/" "$LAB/ganesha.conf"
}

bench_up()
{
	rm -rf "$LAB/recovery" # nobody has anything to reclaim
	mkdir "$LAB/recovery"
	lab_up
}

bench_cold()
{
	bench_down
	sync -f "$LAB/disk"
	echo 3 >/proc/sys/vm/drop_caches
	bench_up
}

bench_down()
{
	if [[ -n ${LAB_SERVER:-} ]]; then
		lab_kill
		LAB_SERVER=
	fi
}

nfswork() # CLIENT ARGUMENT…
{
	local client=$1
	shift
	"$NFSWORK" --server "$LAB_ADDR" --port "$LAB_PORT" --mount-port "$LAB_MOUNT_PORT" --pid "$LAB_SERVER" \
		--path "/clients/$client" "$@"
}
