#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# eeprom.sh - what `client eeprom` prints for each kind of Raspberry Pi, each kind of DHCP, with and without a
# record of the client.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

store 300M ext4
mkdir -p "$work/src/etc"
cow image import img "$work/src" >"$out"
cow client add dc:a6:32:00:00:01 --image img --name lab-1 >"$out"
config() # DHCP_MODE
{
	printf '[serve]\naddress = 127.0.0.1\n[dhcp]\nmode = %s\nrange = 10.0.0.1,10.0.0.9\n' "$1" >"$COWHERD_CONFIG"
}
has()
{
	local line
	for line; do
		grep -qF -- "$line" "$out" || die "no '$line' in: $(cat "$out")"
	done
}
# The lines that are no comments, which is what a board would be given.
settings()
{
	sed -e '/^#/d' -e '/^$/d' "$out" | paste -sd ' '
}

config off
cow client eeprom lab-1 >"$out"
[[ $(settings) == '[all] BOOT_ORDER=0xf21 TFTP_PREFIX=2 TFTP_IP=127.0.0.1 TFTP_FILE_TIMEOUT=60000' ]] || die "$(settings)"
has 'Raspberry Pi 4, dc-a6-32-00-00-01, client lab-1' 'option 66 (TFTP server name) 127.0.0.1' '"Raspberry Pi Boot   "' \
	'next-server (siaddr)         127.0.0.1' 'rpi-eeprom-config --edit' 'raspi-config'
cow client eeprom DC-A6-32-00-00-01 --json >"$out"
python3 - "$out" <<'PY'
import json, sys
o = json.load(open(sys.argv[1]))
assert o["mac"] == "dc-a6-32-00-00-01" and o["name"] == "lab-1" and o["model"] == "pi4", o
assert o["eeprom"] == {"BOOT_ORDER": "0xf21", "TFTP_PREFIX": "2", "TFTP_IP": "127.0.0.1", "TFTP_FILE_TIMEOUT": "60000"}, o
assert o["dhcp_server_needs"]["option_43"] == "Raspberry Pi Boot   ", o
PY
ok "a client whose MAC tells the model"

cow client eeprom d8:3a:dd:00:00:02 >"$out"
has 'Raspberry Pi 4 or 5, d8-3a-dd-00-00-02: no client yet'
cow client eeprom d8:3a:dd:00:00:02 --model pi5 >"$out"
has 'Raspberry Pi 5, d8-3a-dd-00-00-02' 'BOOT_ORDER=0xf21'
cow client eeprom b8:27:eb:00:00:03 >"$out"
[[ $(settings) == program_usb_boot_mode=1 ]] || die "$(settings)"
has 'Raspberry Pi 3' '17:3020000a' 'bootcode.bin' 'serial=SERIAL' 'option 43'
fails 2 'no address of a Raspberry Pi; --model' cow client eeprom 52:54:00:00:00:01
cow client eeprom 52:54:00:00:00:01 --model pi4 >"$out"
fails 2 "pi3, pi4 or pi5" cow client eeprom lab-1 --model pi9
fails 3 'no client' cow client eeprom lab-9
COWHERD_STORE=$work/nowhere cow client eeprom dc:a6:32:00:00:09 >"$out"
has 'no client yet'
ok "boards that are no clients yet, models that are said"

config proxy
cow client eeprom lab-1 >"$out"
has 'nothing to set: cowherd serve adds what network boot needs'
! grep -q 'option 43' "$out" || die "asks to set what it answers itself"
config full
cow client eeprom lab-1 --json >"$out"
python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)["dhcp_server_needs"] != {})' <"$out" || die "$(cat "$out")"
printf '[serve]\naddress = 192.0.2.1\n' >"$COWHERD_CONFIG"
cow client eeprom lab-1 >"$out"
[[ $(settings) == '[all] BOOT_ORDER=0xf21 TFTP_PREFIX=2 TFTP_FILE_TIMEOUT=60000' ]] || die "$(settings)"
has "TFTP_IP is left out: cannot serve on address '192.0.2.1'"
ok "what is said of DHCP, and of a server without an address"
