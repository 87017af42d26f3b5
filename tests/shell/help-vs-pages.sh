#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# help-vs-pages.sh COWHERD DOCS - the options in the --help texts of a group of commands are the options
# in the group's manual page; each --help goes to standard output with status 0.
set -euo pipefail
cowherd=$1 docs=$2
status=0
compare()
{
	local page=$docs/$1 command help=''
	shift
	for command; do
		# shellcheck disable=SC2086 # the words of the command
		help+=$("$cowherd" $command --help)$'\n' || { echo "$command --help failed"; exit 1; }
	done
	diff <(sed -n 's/^ *\(-[a-z], *\)\{0,1\}\(--[a-z][a-z-]*\).*/\2/p' <<<"$help" | sort -u) \
		<(grep '^=item' "$page" | grep -o 'B<--[a-z][a-z-]*>' | sed 's/^B<//; s/>$//' | sort -u) || {
		echo "options of --help (<) and of $page (>) differ"
		status=1
	}
}
compare cowherd.8.pod '' init
compare cowherd-events.8.pod events
compare cowherd-gc.8.pod gc
compare cowherd-image.8.pod 'image import' 'image export' 'image push' 'image list' 'image show' 'image verify' 'image dump' 'image edit' \
	'image fixup' 'image rm'
compare cowherd-client.8.pod 'client add' 'client list' 'client show' 'client set' 'client diff' 'client check' 'client eeprom' 'client rm' \
	'client commit' 'client export' 'client import' 'client mount' 'client unmount' 'client exec' 'client reset' 'client roll' 'client rollback'
exit "$status"
