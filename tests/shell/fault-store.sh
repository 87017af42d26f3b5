#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# fault-store.sh PROGRAM PART - test_fault_store on btrfs, where an import begins with a snapshot of the version before.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

disk btrfs 300M
mkdir "$work/disk/tmp"
TMPDIR=$work/disk/tmp "$1" "$2" || die "$1 $2"
[[ -z $(ls -A "$work/disk/tmp") ]] || die "left: $(ls -A "$work/disk/tmp")"
