# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash disable=SC2034,SC2016
# scripts.sh - what more than one test has clients do; text for console_run and uml_start. Part of lab.sh.
#
# The package scripts want the repository of mkrepo in the client's /srv/repo:
# made there before the image is imported, or copied into the client's root.

CLIENT_APT_INSTALL='
set -e
echo "deb [trusted=yes] file:/srv/repo ./" >/run/testpkg.list
apt="apt-get -q -o Dir::Etc::sourcelist=/run/testpkg.list -o Dir::Etc::sourceparts=-"
export DEBIAN_FRONTEND=noninteractive
$apt update
$apt install -y cowherd-testpkg
sync
'

# To be run after a restart of the client, or its caches answer instead of the server.
CLIENT_APT_VERIFY='
set -e
[ "$(cat /var/lib/cowherd-testpkg/configured)" = configure ]
sha256sum --quiet -c /srv/repo/testpkg.sums
cd /usr/share/cowherd-testpkg
[ "$(readlink symlink)" = d0/f0 ]
[ hardlink -ef d0/f0 ]
[ "$(dpkg-query -W -f "\${db:Status-Status} \${Version}" cowherd-testpkg)" = "installed 1.0" ]
dpkg --verify cowherd-testpkg
audit=$(dpkg --audit)
[ -z "$audit" ]
# Every record of the database is readable and every file list is there.
dpkg-query -W -f "\${binary:Package}\n" | while read -r p; do dpkg-query -L "$p" >/dev/null; done
'
