# SPDX-License-Identifier: LGPL-3.0-or-later
# shellcheck shell=bash source-path=SCRIPTDIR
# serve-common.sh - a store with one image, and `cowherd serve` in a lab of namespaces; to be sourced.
#
#	. "$(dirname "$0")/serve-common.sh" BUILD_DIR
#
# Inside, every process but the test itself belongs to what is tested: the lab has its own process
# ids, network, mounts and /run.
. "$(dirname "${BASH_SOURCE[0]}")/../vm/lab.sh"

BUILD=${1:?usage: $0 BUILD_DIR}
PATH=$BUILD/tools:$PATH
STORE=
RUN=
MAC1=dc-a6-32-01-02-03
# shellcheck disable=SC2034 # for the tests
MAC2=dc-a6-32-01-02-04

serve_lab()
{
	lab_need ganesha.nfsd dbus-daemon dnsmasq rpcbind nfs-ls perl
	lab_store_need
	[ -e "$BUILD/ganesha-fsal/libfsalcowherd.so" ] ||
		lab_skip "the NFS plugin was not built (tools/setup fetches the headers it needs)"
	lab_enter "$BUILD"
	chmod 711 "$LAB" # dnsmasq reads its reservations again as a user of its own
	STORE=$LAB/store
	RUN=$LAB/run
	export COWHERD_CONFIG=$LAB/cowherd.conf
	serve_config ''
	mkdir -p "$LAB/source/etc" "$LAB/source/boot"
	echo golden >"$LAB/source/etc/issue"
	lab_store "$STORE" 300M >"$LAB/init.out" || lab_fail "cowherd init"
	cowherd image import golden "$LAB/source" >"$LAB/import.out" || lab_fail "cowherd image import"
	cowherd client add "$MAC1" --image golden --backend "$LAB_BACKEND" >/dev/null || lab_fail "cowherd client add"
}

# serve_config LINE... - the configuration, with more lines at its end.
serve_config()
{
	cat >"$COWHERD_CONFIG" <<-END
		[store]
		path = $STORE
		space_warn = ${SPACE_WARN:-10%}
		[serve]
		interface = $LAB_BRIDGE
		run_dir = $RUN
		log_level = debug
		[dhcp]
		mode = full
		range = 10.77.0.100,10.77.0.200
	END
	printf '%s\n' "$@" >>"$COWHERD_CONFIG"
}

# status_of SECTION KEY - from the record `serve` keeps.
status_of()
{
	awk -v s="[$1]" -v k="$2" '/^\[/ { in_it = $0 == s }
		in_it && $1 == k { sub(/^[^=]*= ?/, ""); print; exit }' "$RUN/status" 2>/dev/null
}

# serve_is STATE - of the one started last; a record of another counts for nothing.
serve_is()
{
	[ "$(status_of serve state)" = "$1" ] && [ "$(status_of serve pid)" = "$(cat "$LAB/serve.pid")" ]
}

service_runs()
{
	[ "$(status_of "service.$1" state)" = running ]
}

serve_start()
{
	# A job of this shell, so that its exit status can be asked for.
	cowherd serve </dev/null >>"$LAB/serve.log" 2>&1 &
	echo $! >"$LAB/serve.pid"
	lab_until 20 serve_is ready || lab_fail "serve does not get ready"
}

# Everything but this shell, its subshells and what they run to look is a left-over.
others()
{
	ps -e -o pid=,stat=,args= | awk -v me="$0" '$2 !~ /^Z/ && !index($0, me) && !/ ps -e -o | awk /'
}

# Within ten seconds: a killed serve's guard gives its services two.
expect_nobody()
{
	lab_until 10 nobody || {
		others >&2
		lab_fail "processes are left"
	}
}

nobody()
{
	[ -z "$(others)" ]
}

# lists_etc WORD... - does nfs-ls, called by WORD..., list a root? Not through a pipe: grep does not wait for its end.
lists_etc()
{
	"$@" >"$LAB/nfs-ls.out" 2>"$LAB/nfs-ls.err" && grep -q ' etc$' "$LAB/nfs-ls.out"
}

# reads_root MAC VERSION - can this machine list that root?
reads_root()
{
	lists_etc nfs-ls "nfs://$LAB_ADDR/clients/$1?version=$2&nfsport=2049&mountport=20048"
}

cannot_read_root()
{
	! reads_root "$1" "$2"
}

export_is()
{
	[ "$(status_of "client.$1" export)" = "$2" ]
}

now_ms()
{
	echo $(($(date +%s%N) / 1000000))
}

# board NAME MAC ADDR - a machine on the bridge.
board()
{
	ip netns add "$1"
	ip link add "to$1" type veth peer name eth0 netns "$1"
	ip link set "to$1" master "$LAB_BRIDGE" up
	ip -n "$1" link set eth0 address "${2//-/:}" up
	ip -n "$1" addr add "$3/16" dev eth0
}

# fetch NAME FILE [TRIES] - as boards do: a request, repeated every two seconds from the same port. Prints the first block; "silence"
# and "error N" otherwise.
fetch()
{
	# shellcheck disable=SC2016 # perl's variables
	ip netns exec "$1" perl -e '
use strict; use Socket;
my ($server, $file, $tries) = @ARGV;
socket(my $s, PF_INET, SOCK_DGRAM, 17) or die;
for my $try (1 .. $tries) {
	send($s, pack("n", 1) . "$file\0octet\0", 0, sockaddr_in(69, inet_aton($server))) or die "send: $!";
	my $r = ""; vec($r, fileno($s), 1) = 1;
	next unless select($r, undef, undef, 2);
	my $from = recv($s, my $p, 2000, 0) // die "recv: $!";
	my ($op, $n) = unpack("nn", $p);
	if ($op == 5) { print "error $n\n"; exit }
	send($s, pack("nn", 5, 0) . "enough\0", 0, $from);
	print "try $try\n", substr($p, 4);
	exit;
}
print "silence\n"' "$LAB_ADDR" "$2" "${3:-3}"
}
