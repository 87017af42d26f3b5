# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash
# control.sh - a server without cowherd: Debian's Ganesha on a plain directory, dnsmasq for DHCP and TFTP.
# What fails here too is not cowherd's fault. Sourced after lab.sh.

# control_export NAME - one export for NAME, of the directory $LAB/roots/NAME at /clients/NAME.
CONTROL_EXPORTS=0
control_export()
{
	CONTROL_EXPORTS=$((CONTROL_EXPORTS + 1))
	cat >>"$LAB/exports.conf" <<END
EXPORT {
	Export_Id = $CONTROL_EXPORTS;
	Path = $LAB/roots/$1;
	Pseudo = /clients/$1;
	Access_Type = RW;
	FSAL { Name = VFS; }
}
END
}

# control_nfs - start the server; the exports are made before.
control_nfs()
{
	mkdir -p "$LAB/recovery"
	cat >"$LAB/ganesha.conf" <<END
NFS_CORE_PARAM {
	Protocols = 3, 4;
	mount_path_pseudo = true;
	Enable_NLM = false;
	Enable_RQUOTA = false;
	Bind_addr = $LAB_ADDR;
	NFS_Port = 2049;
	MNT_Port = 20048;
}
NFSv4 {
	Minor_Versions = 0, 1, 2;
	Only_Numeric_Owners = true;
	Graceless = false;
	Lease_Lifetime = 10;
	Grace_Period = 10;
	Delegations = false;
	RecoveryRoot = $LAB/recovery;
}
EXPORT_DEFAULTS { SecType = sys; Squash = no_root_squash; }
%include "$LAB/exports.conf"
END
	lab_spawn ganesha ganesha.nfsd -F -L STDERR -N NIV_EVENT -f "$LAB/ganesha.conf" -p /run/ganesha.pid
	lab_until 60 lab_tcp_open "$LAB_ADDR" 2049 || lab_fail "ganesha does not answer"
}

# control_dhcp - DHCP and TFTP from $LAB/tftp; hosts by control_dhcp_host before.
control_dhcp_host()
{
	echo "dhcp-host=$1,$2,infinite" >>"$LAB/dnsmasq.conf"
}

control_dhcp()
{
	mkdir -p "$LAB/tftp"
	cat >>"$LAB/dnsmasq.conf" <<END
port=0
interface=$LAB_BRIDGE
bind-interfaces
dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,infinite
dhcp-leasefile=$LAB/leases
dhcp-authoritative
dhcp-boot=boot.ipxe
enable-tftp
tftp-root=$LAB/tftp
END
	lab_spawn dnsmasq dnsmasq --keep-in-foreground --user=root --log-facility=- --pid-file= \
		--conf-file="$LAB/dnsmasq.conf"
}
