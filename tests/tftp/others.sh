# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# fetch_others DIR: the TFTP servers tftpd-hpa and atftpd of this Debian below DIR, fetched and unpacked, not
# installed: they exclude each other. One that cannot be had is not there.
fetch_others()
{
	local package
	for package in tftpd-hpa atftpd; do
		(cd "$1" && apt-get download "$package" && dpkg -x "$package"_*.deb "$package") >&2 || true
	done
}
