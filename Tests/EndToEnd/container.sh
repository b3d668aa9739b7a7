# The container form of the command line. What the Linux guests' tests expect of a command, it must do as well: the same tests, unchanged.
# Sourced: the harness reads and sets what looks unused here.
# shellcheck disable=SC1091,SC2016,SC2034,SC2154

SHARED="output_errors_and_exit_code streams_are_exact streams_through_slow_pipes one_file_for_both_keeps_the_order stdin_closed_and_null output_closed reader_goes_away unread_input_does_not_hold_it exit_codes signals_that_end_the_command signals_are_forwarded signals_end_a_plain_command third_interrupt_ends_it children_do_not_hold_it environment rootfs_stays_and_is_copied_exactly no_terminal_without_asking two_at_once"

# The tests of linux.sh start vmrun by `--kernel FILE ...`: here this stands for `--container ...`.
OWN=$VMRUN
VMRUN=$WORK/as-container
printf '#!/bin/sh\n[ "$1" = --kernel ] || exit 99\nshift 2\nexec "%s" --container "$@"\n' "$OWN" >"$VMRUN"
chmod 755 "$VMRUN"
K61=unused E=$WORK
head -c 3000000 /dev/urandom >"$R/noise"
for name in guest $(printf 'test_%s ' $SHARED); do
  sed -n "/^$name() {.*}\$/p; /^$name() {\$/,/^}/p" "$HERE/linux.sh"
done >"$WORK/shared.sh"
. "$WORK/shared.sh"
run_tests "$WORK/shared.sh"
VMRUN=$OWN

# box ARGS: a container of the tests' root.
box() { vm --container --rootfs "$R" "$@"; }

# What the state folder and the kernel hold of containers that this front made; before and after they must be alike.
remains() {
  "$VMRUN" list -q 2>&1
  find /sys/fs/cgroup -type d -name '*vmrun*' 2>/dev/null | LC_ALL=C sort
  grep -c . /proc/self/mountinfo
  ls /sys/class/net
}
remains >"$WORK/remains"
after_test() {
  remains >after-remains
  cmp -s "$WORK/remains" after-remains || sleep 0.5
  remains >after-remains
  same "nothing of it is left" after-remains "$WORK/remains"
  [ ! -s notes ] || diff "$WORK/remains" after-remains | grep '^[<>]' | head -n 5 >>notes
}

test_volumes() {
  mkdir source && echo content >source/file && echo alone >single
  box --volume "$T/source:/mnt/a" --volume "$T/source:/mnt/b:ro" --volume "single:/etc/single" -- sh -c 'cat /mnt/a/file /mnt/b/file /etc/single; echo new >/mnt/a/new; touch /mnt/b/no'
  is "exit code" $code 1
  is "contents" "$(tr '\n' ' ' <out)" 'content content alone '
  is "what was written is on the host" "$(cat source/new)" new
  has "a read-only one refuses" err '/mnt/b/no: Read-only'
  is "the root has got no new folders" "$(ls -d "$R/mnt" 2>/dev/null)" ''
  box --volume "$T/nowhere:/mnt" -- true
  is "exit code of one that is not there" $code 125
  has "message" err '^vmrun: .*nowhere'
}

test_limits() {
  box --memory 64M --pids 12 --cpus 0.5 -- sh -c 'cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes pids.max pids/pids.max cpu.max cpu/cpu.cfs_quota_us 2>/dev/null | cut -d" " -f1'
  # vmrun's own first process is in there too.
  is "limits" "$(tr '\n' ' ' <out)" '67108864 13 50000 '
  box --pids 8 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo unreachable'
  has "fork fails" err 'fork'
  box --memory 32M -- sh -c 'head -c 200000000 /dev/zero | tail -c 100000000 >/dev/null; echo ended $?'
  has "what is too big is killed" out 'ended 137'
}

test_isolation() {
  box -- sh -c 'for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; ls /sys/class/net; ls /proc | grep -c "^[0-9]"; grep -E "^(CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; cat /proc/keys | wc -c; inside write /proc/sys/kernel/hostname; inside call 165; mount | wc -l'
  is "exit code" $code 0
  for kind in pid net ipc uts mnt cgroup; do hasnot "namespace $kind is its own" <(sed 's/[][]/_/g' out) "$(readlink /proc/self/ns/$kind | sed 's/[][]/_/g')"; done
  has "capabilities are docker's" out 'CapBnd:.00000000a80425fb'
  has "no new privileges" out 'NoNewPrivs:.1'
  has "a seccomp filter" out 'Seccomp:.2'
  has "masks" out '^0$'
  has "read-only paths" out 'hostname: Read-only'
  has "mount is refused" out '^errno 1$'
  hasnot "the host's paths are not seen" out "$WORK"
}

test_network() {
  box --net none -- sh -c 'ls /sys/class/net; ifconfig lo | grep -c 127.0.0.1'
  is "none" "$(tr '\n' ' ' <out)" 'lo 1 '
  box --net host -- readlink /proc/self/ns/net
  is "host" "$(cat out)" "$(readlink /proc/self/ns/net)"
}

test_bridge() {
  # In a network of its own, so that this machine's is not touched.
  cat >talking.sh <<'SH'
"$1" --container --rootfs "$2" --net bridge --name e2e-server -- sh -c 'ifconfig eth0 | sed -n "s/.*addr:\([0-9.]*\).*/\1/p"; echo up; mkdir -p /tmp/www; echo hello-from-the-server >/tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www' >server.out 2>server.err </dev/null &
server=$!
for i in $(seq 100); do grep -qs up server.out && break; sleep 0.05; done
sleep 0.3
address=$(head -n 1 server.out)
"$1" --container --rootfs "$2" --net bridge -- wget -q -O - "http://$address/" && echo "container reached it"
"$1" --container --rootfs "$2" --net bridge -- wget -q -O - http://e2e-server/ && echo "and by its name"
busybox wget -q -O - "http://$address/" && echo "host reached it"
grep -c vmrun0: /proc/net/dev
kill $server
wait $server
echo "server ended by $?"
sleep 0.5
sed -n 's/^ *\([^:]*\):.*/\1/p' /proc/net/dev | tr '\n' ' '
SH
  timeout -s KILL 60 unshare -n sh -c 'ifconfig lo up 2>/dev/null || busybox ifconfig lo up; . ./talking.sh' sh "$VMRUN" "$R" >out 2>err
  code=$?
  has "one container reaches the other" out '^container reached it'
  has "by its name too" out '^and by its name'
  has "the host reaches it" out '^host reached it'
  has "there was a bridge" out '^1$'
  has "SIGTERM ends the server" out '^server ended by 143'
  is "what is left of it" "$(tail -n 1 out)" 'lo '
  cat server.err >>err
}

test_changes_are_kept_or_forgotten() {
  box -- sh -c 'echo new >/data/new; rm /etc/group; echo more >>/etc/passwd'
  is "exit code" $code 0
  [ ! -e "$R/data/new" ] && [ -e "$R/etc/group" ]
  is "the root is as it was" $? 0
  box --keep-changes "$T/kept" -- sh -c 'echo new >/data/new; rm /etc/group'
  is "exit code" $code 0
  is "what was made" "$(cat kept/data/new)" new
  is "what was removed is a whiteout" "$(stat -c %F,%t:%T kept/etc/group)" 'character special file,0:0'
  [ ! -e "$R/data/new" ] && [ -e "$R/etc/group" ]
  is "the root is as it was" $? 0
  box --read-only -- sh -c 'touch /data/new'
  is "exit code of a write to a read-only root" $code 1
  has "message" err 'Read-only'
}

test_timeout() {
  start=$(now)
  box --timeout 1s -- sh -c 'echo up; sleep 100'
  is "exit code" $code 124
  has "message" err '^vmrun: .*1 s.*--timeout'
  is "it had started" "$(cat out)" up
  within "hundredths of a second" $(($(now) - start)) 95 200
}

test_terminal() {
  (sleep 1; printf 'echo typed\n'; sleep 0.5; printf '\003'; sleep 1.5; printf 'exit 5\n'; sleep 1) |
    timeout -s KILL 20 "$PROBE" pty -t -s 33x111 -r 700:44x122 "$VMRUN" --container --rootfs "$R" --tty -- \
      sh -c 'tty; stty size; trap "echo resized \$(stty size)" WINCH; trap "echo interrupted" INT; echo up; while :; do read -r line && eval "$line"; done' >out 2>err
  code=$?
  is "exit code" $code 5
  has "a terminal" out '^/dev/(pts/[0-9]+|console|tty)'
  has "its size" out '^33 111'
  has "its size after a change" out 'resized 44 122'
  has "what is typed arrives" out '^typed'
  has "Ctrl-C interrupts the command" out 'interrupted'
  has "vmrun's own terminal is given back" err 'settings are as before'
  (sleep 1; printf '\001x'; sleep 2) |
    timeout -s KILL 20 "$PROBE" pty -t "$VMRUN" --container --rootfs "$R" --tty -- sh -c 'echo up; exec sleep 100' >out 2>err
  is "exit code of the escape" $? 130
  has "the terminal is given back" err 'settings are as before'
}

test_timings() {
  box --timings -- echo x
  is "exit code" $code 0
  is "output" "$(cat out)" x
  for phase in parse clone namespaces cgroup mounts pivot seccomp exec exit teardown; do has "table" err "^$phase +[0-9]+\.[0-9]{3} +[0-9]+\.[0-9]{3}\$"; done
  box --timings=json -- true
  has "JSON" err '"phase":"mounts"'
}

test_killed_leaves_nothing_that_delete_does_not_clean() {
  for i in 1 2 3 4 5 6 7 8 9 10; do
    timeout -s KILL "0.0$i" "$VMRUN" --container --rootfs "$R" --name "e2e-$$" -- sleep 100 >out 2>err </dev/null
    "$VMRUN" delete --force "e2e-$$" >out 2>err
    is "exit code of delete --force" $? 0
  done 2>/dev/null
  "$VMRUN" --container --rootfs "$R" --name "e2e-$$" -- true
  is "the name can be used again" $? 0
}

test_verbs_reach_it() {
  "$VMRUN" --container --rootfs "$R" --name "e2e-$$" -- sh -c 'echo up; exec sleep 100' >out 2>err </dev/null &
  vm=$!
  until_has out up 10
  "$VMRUN" exec "e2e-$$" hostname >exec.out 2>err
  is "exit code of exec" $? 0
  is "its hostname" "$(cat exec.out)" vmrun
  "$VMRUN" list >list
  has "list" list "^e2e-$$ +[0-9]+ +running"
  "$VMRUN" kill "e2e-$$" TERM
  end_of $vm 10
  is "exit code" $code 143
}

test_without_root() {
  chmod 755 "$WORK" "$WORK/.." "$T" && cp "$VMRUN" own && chmod 755 own
  timeout -s KILL 30 "$PROBE" user 1000 ./own --container --rootfs "$R" -- sh -c 'id -u; echo x >/data/new; hostname' >out 2>err
  code=$?
  case $code in
    0) is "it is root inside" "$(tr '\n' ' ' <out)" '0 vmrun ' ;;
    *)
      is "exit code" $code 125
      has "it names the setting" err '/proc/sys/|sysctl|subuid|max_user_namespaces|unprivileged'
      ;;
  esac
  [ ! -e "$R/data/new" ]
  is "the root is as it was" $? 0
}

# refused NAME WORDS ARGS
refused() {
  local words=$1
  shift
  vm "$@"
  is "exit code of $*" $code 125
  empty "standard output" out
  has "the message of $*" err "^vmrun: .*($words)"
}

test_refused() {
  refused 'nowhere' --container --rootfs "$T/nowhere" -- true
  refused 'passwd|directory' --container --rootfs /etc/passwd -- true
  refused 'rootfs' --container -- true
  refused 'command' --container --rootfs "$R"
  refused 'kernel' --container --kernel K --rootfs "$R" -- true
  refused 'net' --container --rootfs "$R" --net nope -- true
  refused 'pids' --container --rootfs "$R" --pids 0 -- true
  refused 'volume' --container --rootfs "$R" --volume nonsense -- true
  refused 'volume|destination' --container --rootfs "$R" --volume /etc:relative -- true
  refused 'isolation' --isolation jail --rootfs "$R" -- true
  refused 'container' --kernel K --rootfs "$R" --pids 5 -- true
  refused 'name|ID' --container --rootfs "$R" --name ../x -- true
}
