#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
#
# push.sh - versions go to another store: through ssh to this machine's own sshd where there is one, and with
# a command in its place. Only what is lacking goes; a push that is killed leaves nothing, and is repeated.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

sshd_pid=''
stop_sshd()
{
	local status=$?
	set +e # the status is handed on by failing
	[[ -z $sshd_pid ]] || kill "$sshd_pid" 2>/dev/null || true
	[[ -z ${made_run:-} ]] || rmdir /run/sshd 2>/dev/null || true
	(exit "$status")
	cleanup
}
trap stop_sshd EXIT

store 600M ext4
mkdir "$work/there"
mkfs.xfs -q "$(truncate -s 600M "$work/there.img" && echo "$work/there.img")"
mount -o loop "$work/there.img" "$work/there"
other=$work/there/store # another machine's, with a blank in its name
mkdir "$work/there/my store"
other="$work/there/my store"
COWHERD_STORE=$other cow init >"$out"
src=$work/src
mkdir -p "$src/etc"
for i in {1..40}; do
	head -c 100000 /dev/urandom >"$src/f$i"
done
cow image import --no-fixup all deb "$src" >"$out"
head -c 3000000 /dev/urandom >"$src/new"
cow image import --no-fixup all deb "$src" >"$out"
echo third >"$src/third"
cow image import --no-fixup all deb "$src" >"$out"
id() { sed -n 's/^id = //p' "$1/images/deb/$2/image.conf"; }
there() { COWHERD_STORE=$other cow "$@"; }

# ------------------------------------------------------------ a command instead of ssh
cat >"$work/ssh" <<'END'
#!/bin/sh
# HOST COMMAND; counts the bytes that go there.
echo "$1" >>"$HOSTS"
tee "$SENT" | sh -c "$2"
END
chmod +x "$work/ssh"
export HOSTS=$work/hosts SENT=$work/sent
fake=(--ssh "$work/ssh" --remote "$COWHERD")
cow image push deb@1 "root@depot:$other" "${fake[@]}" >"$out"
grep -q '^pushed deb@1 to root@depot:.* as deb@1: ' "$out" || die "push said: $(cat "$out")"
[[ $(cat "$HOSTS") == root@depot ]] || die "ssh was given '$(cat "$HOSTS")'"
there image verify deb@1 >"$out" || die "$(cat "$out")"
[[ $(id "$store" 1) == "$(id "$other" 1)" ]] || die "another id"
full=$(stat -c %s "$SENT")
cow image push deb@3 "[::1]:$other" "${fake[@]}" >"$out"
grep -q ' as deb@3: .*, since deb@1$' "$out" || die "push said: $(cat "$out")"
[[ $(tail -n 1 "$HOSTS") == ::1 ]] || die "ssh was given '$(tail -n 1 "$HOSTS")'"
[[ $(stat -c %s "$SENT") -lt $((full - 500000)) ]] || die "the whole image was sent"
cow image push deb@2 "depot:$other" "${fake[@]}" >"$out"
grep -q ' as deb@4: .*, since deb@3$' "$out" || die "push said: $(cat "$out")"
[[ $(stat -c %s "$SENT") -lt 20000 ]] || die "what the other store has was sent: $(stat -c %s "$SENT") bytes"
for v in 3 4; do
	there image verify "deb@$v" >"$out" || die "$(cat "$out")"
done
cow image push deb@2 "depot:$other" "${fake[@]}" >"$out"
grep -q '^deb@2 is there already: deb@4 on depot' "$out" || die "push said: $(cat "$out")"
ok "only what is lacking goes, and nothing twice"

# ------------------------------------------------------------ failures
export COWHERD_STORE=$store
fails 1 'ended without an answer' cow image push deb@1 depot --ssh /bin/false
fails 3 "run '/nonexistent'" cow image push deb@1 depot --ssh /nonexistent
fails 2 'not HOST' cow image push --ssh /bin/false -- deb@1 -oProxyCommand=x
fails 2 'not HOST' cow image push deb@1 :store
fails 3 "'depot:/nowhere': .*" cow image push deb@1 depot:/nowhere "${fake[@]}"
fails 3 'no image .none.' cow image push none depot
fails 2 'does not take' cow image push deb@1 depot --since deb@2
ok "failures: $(cut -c1-100 "$err")"

# Killed on either side, at several points. The version is large enough to take a while.
head -c 40000000 /dev/urandom >"$src/large"
cow image import --no-fixup all deb "$src" >"$out"
for side in push receive; do
	for ms in 30 200 500; do
		"$COWHERD" image push deb@4 "depot:$other" "${fake[@]}" >"$out" 2>"$err" &
		pid=$!
		sleep "0.$(printf %03d $ms)"
		if [[ $side == push ]]; then
			kill -KILL "$pid" 2>/dev/null || break
		else
			far=$(pgrep -f "^$COWHERD image receive --store $other\$") || break
			kill -KILL "$far"
		fi
		status=0
		wait "$pid" 2>/dev/null || status=$?
		[[ $status != 0 ]] || die "a push whose $side was killed says it is done"
		for _ in {1..100}; do # the receiver sees the end of what it is sent
			pgrep -f "^$COWHERD image receive" >/dev/null || break
			sleep 0.1
		done
		[[ $(there image list | grep -c ^deb@) == 3 ]] || die "a killed push made a version"
	done
done
cow image push deb@4 "depot:$other" "${fake[@]}" >"$out"
grep -q ' as deb@5: ' "$out" || die "push said: $(cat "$out")"
there image verify deb@5 >"$out" || die "$(cat "$out")"
[[ -z $(find "$other/images" -name '.import-*') ]] || die "left: $(find "$other/images" -name '.import-*')"
ok "killed on both sides: nothing there, and the repetition is complete"

# ------------------------------------------------------------ the real thing
if [[ ! -x /usr/sbin/sshd ]] || ! command -v ssh ssh-keygen >/dev/null; then
	echo "needs sshd and ssh (openssh-server) for the rest"
	exit 77
fi
[[ -d /run/sshd ]] || { mkdir /run/sshd && made_run=y; }
ssh-keygen -q -t ed25519 -N '' -f "$work/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/sshd_config" <<END
ListenAddress 127.0.0.1:$port
HostKey $work/host_key
AuthorizedKeysFile $work/key.pub
PidFile $work/sshd.pid
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
END
/usr/sbin/sshd -D -f "$work/sshd_config" -E "$work/sshd.log" &
sshd_pid=$!
real=(--ssh "ssh -p $port -i $work/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
	--remote "$COWHERD")
for _ in {1..50}; do
	! grep -q 'Server listening' "$work/sshd.log" 2>/dev/null || break
	sleep 0.1
done
there image rm deb@5 >"$out"
cow image push deb@4 "root@127.0.0.1:$other" "${real[@]}" >"$out" 2>"$err" || die "$(cat "$err" "$work/sshd.log")"
grep -q ' as deb@6: ' "$out" || die "push said: $(cat "$out")"
there image verify deb@6 >"$out" || die "$(cat "$out")"
fails 1 'ended without an answer' cow image push deb@4 "nobody@127.0.0.1:$other" "${real[@]}"
ok "through a real sshd"
