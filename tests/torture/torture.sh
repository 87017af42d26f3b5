#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# torture.sh KIND - the torture (main.c) on a root of that kind (stage.sh): runs of one and of four
# threads, over golden files; each is compared once more after the root was mounted anew. With
# COWHERD_TEST_LONG a million operations, of another seed each time.
# The environment also names TORTURE and, if it likes, TORTURE_OPS of a long run (each of its two).
# shellcheck source-path=SCRIPTDIR source=../shell/lib.sh
. "$(dirname "$0")/../shell/lib.sh"
# shellcheck source=stage.sh
. "$(dirname "$0")/stage.sh"

kind=${1:?KIND}
have "$kind" || exit 77
ops=18000
seed=1
if [[ -n ${COWHERD_TEST_LONG:-} ]]; then
	ops=${TORTURE_OPS:-500000}
	seed=$((RANDOM * 32768 + RANDOM))
fi
less=()
links=(--links)
case $kind in
kernel | fuse-overlayfs)
	less=(--tolerant)
	links=()
	;;
esac
stage 4G

for threads in 1 4; do
	args=(--seed "$seed" --threads "$threads" --files 10 "${links[@]}")
	rm -rf "$lower"
	mkdir "$lower"
	rm -f "$work/disk/version/image.ovm"
	"$TORTURE" --lower-setup "${args[@]}" "$lower"
	up "$kind"
	"$TORTURE" "${args[@]}" --ops "$ops" --lower "${less[@]}" --dump "$work/state" "$(mnt "$kind")" ||
		die "torture with ${args[*]} --lower"
	down "$kind"
	up "$kind"
	"$TORTURE" --verify-state "$work/state" "$(mnt "$kind")" || die "the same after another mount"
	down "$kind"
	fresh "$kind"
	seed=$((seed + 1))
done
