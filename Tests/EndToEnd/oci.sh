# The OCI runtime: what config.json asks for is what the container has, and the verbs do what runc's do.
# Sourced: the harness reads and sets what looks unused here.
# shellcheck disable=SC2016,SC2034,SC2154

# ------------------------------------------------------------------------------------------------------------- life cycle

test_life_cycle() {
  bundle box 'sh("echo started >/data/started; trap \"exit 3\" TERM; while :; do sleep 0.05; done"); c["annotations"] = {"org.example.key": "a value"}
mount("/data", "bind", folder + "/data", "bind")'
  mkdir box/data
  create box
  is "exit code of create" $code 0
  rt state "$PREFIX-box"
  is "exit code of state" $code 0
  is "status" "$(json "d['status']" out)" created
  is "id" "$(json "d['id']" out)" "$PREFIX-box"
  is "the PID is the PID file's" "$(json "d['pid']" out)" "$pid"
  is "bundle" "$(json "d['bundle']" out)" "$(realpath box)"
  is "version" "$(json "d['ociVersion'][:2]" out)" 1.
  is "annotations" "$(json "d['annotations']['org.example.key']" out)" 'a value'
  [ ! -e box/data/started ]
  is "the command has not begun" $? 0
  [ -d "/proc/$pid" ]
  is "the process is there" $? 0
  rt start "$PREFIX-box"
  is "exit code of start" $code 0
  until_has box/data/started started 5
  is "status" "$(status box)" running
  rt start "$PREFIX-box"
  within "exit code of a second start" $code 1 127
  rt kill "$PREFIX-box" TERM
  is "exit code of kill" $code 0
  until_status box stopped
  rt delete "$PREFIX-box"
  is "exit code of delete" $code 0
  rt state "$PREFIX-box"
  within "exit code of state afterwards" $code 1 127
  has "it says that it is not there" err 'not exist|no such|unknown|not found'
}

test_delete_of_a_created_one() {
  bundle box
  create box
  is "exit code of create" $code 0
  rt delete "$PREFIX-box"
  is "exit code of delete" $code 0
  is "status" "$(status box)" gone
}

test_run_exit_codes() {
  runs "0" 'sh("exit 0")'
  runs "7" 'sh("exit 7")' 7
  runs "255" 'sh("exit 255")' 255
  runs "by SIGKILL" 'sh("kill -9 $$; sleep 5 & kill -9 $!; exit 9")' 9
  runs "by SIGTERM of the first process's child" 'sh("sh -c \"kill -TERM \\$\\$; sleep 9\"; exit $?")' 143
}

test_run_streams() {
  bundle b 'sh("cat; echo error >&2")'
  printf 'one\ntwo' | timeout 20 "$RT" --root "$STATE" run --bundle b "$PREFIX-b" >out 2>err
  is "exit code" $? 0
  is "stdout" "$(cat out)" "one
two"
  is "stderr" "$(cat err)" error
}

test_run_detached() {
  bundle b 'sh("exec sleep 100")'
  rt run --detach --pid-file "$T/pid" --bundle b "$PREFIX-b"
  is "exit code" $code 0
  is "status" "$(status b)" running
  is "the PID file" "$(cat pid)" "$(json "d['pid']" state.json)"
  rt delete --force "$PREFIX-b"
  is "exit code of delete --force" $code 0
}

test_missing_command_is_said_as_engines_expect() {
  bundle b 'args("no-such-command", "x")'
  rt --log "$T/log" --log-format json run --bundle b "$PREFIX-b"
  within "exit code" $code 1 127
  tail -n 1 log >last
  is "level" "$(json "d['level']" last)" error
  has "message" last 'executable file not found in \$PATH'
  has "it names the command" last 'no-such-command'
  has "time" last '"time":"20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9:.]+(Z|[+-][0-9:]+)"'
  has "standard error says it too" err 'executable file not found in \$PATH'
  rm log
  bundle c 'args("/etc/passwd")'
  rt --log "$T/log" --log-format json run --bundle c "$PREFIX-c"
  within "exit code" $code 1 127
  has "message" log 'permission denied'
  rm log
  bundle d 'args("no-such-command")'
  rt --log "$T/log" run --bundle d "$PREFIX-d"
  has "a log in text" log 'level=error msg=".*executable file not found in \$PATH'
}

test_version_and_features() {
  rt --version
  is "exit code" $code 0
  has "first line" out '^[a-z]+ version [^ ]+'
  has "commit" out '^commit: '
  has "spec" out '^spec: 1\.'
  rt features
  is "exit code of features" $code 0
  is "least version" "$(json "d['ociVersionMin'][:2]" out)" 1.
  within "mount options" "$(json "len(d['mountOptions'])" out)" 20 200
  is "hooks" "$(json "sorted(d['hooks'])" out)" "['createContainer', 'createRuntime', 'poststart', 'poststop', 'prestart', 'startContainer']"
  is "seccomp" "$(json "d['linux']['seccomp']['enabled']" out)" True
}

test_spec() {
  mkdir made && cd made || return
  rt spec
  is "exit code" $code 0
  is "args" "$(json "d['process']['args']" config.json)" "['sh']"
  rt spec
  within "exit code when there is one" $code 1 127
  cd "$T" || return
  "$PYTHON" - made/config.json "$R" <<'PY'
import json, sys
c = json.load(open(sys.argv[1]))
c["process"]["terminal"] = False
c["process"]["args"] = ["sh", "-c", "id -u; hostname"]
c["root"]["path"] = sys.argv[2]
json.dump(c, open(sys.argv[1], "w"))
PY
  rt run --bundle made "$PREFIX-made"
  is "exit code of the made one" $code 0
  is "its output" "$(wc -l <out)" 2
  rt spec --bundle "$T" --rootless
  is "exit code with --rootless" $code 0
  is "it has a user namespace" "$(json "'user' in [n['type'] for n in d['linux']['namespaces']]" config.json)" True
}

test_list() {
  up one 'sh("exec sleep 100")'
  bundle two
  create two
  rt list -q
  is "ids" "$(sort out | tr '\n' ' ')" "$PREFIX-one $PREFIX-two "
  rt list
  has "head" out '^ID +PID +STATUS +BUNDLE +CREATED'
  has "a running one" out "^$PREFIX-one +[0-9]+ +running"
  has "a created one" out "^$PREFIX-two +[0-9]+ +created"
  rt list --format json
  is "json" "$(json "sorted((x['id'][-3:], x['status']) for x in d)" out)" "[('one', 'running'), ('two', 'created')]"
}

test_ps() {
  up box 'sh("sleep 100 & exec sleep 101")'
  sleep 0.2
  rt ps --format json "$PREFIX-box"
  is "exit code" $code 0
  is "processes" "$(json "len(d)" out)" 2
  is "the first one among them" "$(json "$pid in d" out)" True
  rt ps "$PREFIX-box"
  is "exit code of the table" $code 0
  has "head" out 'PID'
  has "line" out 'sleep 101'
  is "lines" "$(wc -l <out)" 3
}

test_kill() {
  up box 'sh("trap \"echo usr1\" USR1; trap \"echo hup\" HUP; trap \"exit 4\" TERM; echo up; while :; do sleep 0.05; done")'
  until_has box.out up
  rt kill "$PREFIX-box" SIGUSR1
  is "by its whole name" $code 0
  until_has box.out usr1
  rt kill "$PREFIX-box" HUP
  is "by its name" $code 0
  until_has box.out hup
  rt kill "$PREFIX-box" 0
  is "signal 0" $code 0
  rt kill "$PREFIX-box"
  is "without one: SIGTERM" $code 0
  until_status box stopped
  # Without a PID namespace of its own, --all reaches every process.
  up all 'no_ns("pid"); sh("sleep 100 & sleep 101 & wait")'
  rt kill --all "$PREFIX-all" KILL
  is "exit code of --all" $code 0
  until_status all stopped
  clean_processes=$(leftovers | grep -c '^process')
  is "processes after --all" "$clean_processes" 0
}

test_pause_and_resume() {
  up box 'mount("/data", "bind", folder + "/data", "bind"); sh("while :; do echo x >>/data/file; sleep 0.02; done"); os.makedirs(folder + "/data", exist_ok=True)'
  until_has box/data/file x 5
  rt pause "$PREFIX-box"
  is "exit code of pause" $code 0
  is "status" "$(status box)" paused
  first=$(wc -l <box/data/file)
  sleep 0.5
  is "lines while it is paused" "$(wc -l <box/data/file)" "$first"
  rt resume "$PREFIX-box"
  is "exit code of resume" $code 0
  is "status" "$(status box)" running
  sleep 0.3
  within "lines afterwards" "$(wc -l <box/data/file)" $((first + 2)) 100000
  rt pause "$PREFIX-box"
  rt delete --force "$PREFIX-box"
  is "exit code of delete --force of a paused one" $code 0
}

test_update() {
  up box 'l["resources"]["memory"] = {"limit": 33554432}; l["resources"]["pids"] = {"limit": 30}; sh("exec sleep 100")'
  is "memory at first" "$(limits "$pid" memory memory.limit_in_bytes memory.max)" 33554432
  is "pids at first" "$(limits "$pid" pids pids.max pids.max)" 30
  rt update --memory 67108864 --pids-limit 40 "$PREFIX-box"
  is "exit code" $code 0
  is "memory" "$(limits "$pid" memory memory.limit_in_bytes memory.max)" 67108864
  is "pids" "$(limits "$pid" pids pids.max pids.max)" 40
  echo '{"memory": {"limit": 134217728}, "cpu": {"quota": 20000, "period": 100000}}' >resources
  timeout 20 "$RT" --root "$STATE" update --resources - "$PREFIX-box" <resources >out 2>err
  is "exit code with --resources -" $? 0
  is "memory" "$(limits "$pid" memory memory.limit_in_bytes memory.max)" 134217728
  has "CPU quota" <(limits "$pid" cpu cpu.cfs_quota_us cpu.max) '^20000'
  rt update --resources "$T/resources" "$PREFIX-box"
  is "exit code with a file" $code 0
}

test_limits_hold() {
  runs "processes" 'l["resources"]["pids"] = {"limit": 8}; sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo unreachable")' 2
  has "fork fails" err 'fork'
  hasnot "it does not go on" out unreachable
  runs "memory" 'l["resources"]["memory"] = {"limit": 33554432, "swap": 33554432}; sh("head -c 200000000 /dev/zero | tail -c 100000000 >/dev/null; echo ended $?")'
  has "the big one was killed" out 'ended 137'
}

test_events() {
  up box 'sh("exec sleep 100")'
  rt events --stats "$PREFIX-box"
  is "exit code" $code 0
  is "type" "$(json "d['type']" out)" stats
  is "id" "$(json "d['id']" out)" "$PREFIX-box"
  within "processes" "$(json "d['data']['pids']['current']" out)" 1 3
  within "memory" "$(json "d['data']['memory']['usage']['usage']" out)" 1000 100000000
  within "CPU" "$(json "d['data']['cpu']['usage']['total']" out)" 1 10000000000
  timeout -s INT 3 "$RT" --root "$STATE" events --interval 1s "$PREFIX-box" >out 2>err </dev/null
  within "events in 3 s, every second" "$(grep -c '"type":"stats"' out)" 2 4
}

test_checkpoint_and_restore_are_refused() {
  up box 'sh("exec sleep 100")'
  rt checkpoint --image-path "$T/image" "$PREFIX-box"
  within "exit code" $code 1 127
  has "it says so" err '(checkpoint|criu|CRIU)'
  is "it still runs" "$(status box)" running
}

# -------------------------------------------------------------------------------------------------------------------- exec

test_exec() {
  up box 'c["process"]["env"].append("FROM=config"); sh("exec sleep 100")'
  rt exec "$PREFIX-box" sh -c 'echo out; echo err >&2; exit 9'
  is "exit code" $code 9
  is "stdout" "$(cat out)" out
  is "stderr" "$(cat err)" err
  rt exec --env A=b --cwd /tmp --user 1000:1001 "$PREFIX-box" sh -c 'pwd; id -u; id -g; echo $A $FROM'
  is "options" "$(tr '\n' ' ' <out)" '/tmp 1000 1001 b config '
  for kind in pid net ipc uts mnt cgroup; do
    rt exec "$PREFIX-box" readlink /proc/self/ns/$kind
    is "namespace $kind" "$(cat out)" "$(readlink "/proc/$pid/ns/$kind")"
  done
  rt exec "$PREFIX-box" grep -E '^(CapBnd|CapEff|CapPrm|NoNewPrivs)' /proc/self/status
  has "capabilities are the container's" out 'CapBnd:.00000000a80425fb'
  has "effective too" out 'CapEff:.00000000a80425fb'
  has "no new privileges" out 'NoNewPrivs:.1'
  rt exec "$PREFIX-box" no-such-command
  within "exit code of a missing command" $code 1 255
  has "message" err 'executable file not found in \$PATH'
  may_be_killed=1
  rt exec "$PREFIX-box" sh -c 'kill -9 $$'
  may_be_killed=
  is "killed" $code 137
  rt exec "$PREFIX-box" grep -c . /proc/self/cgroup
  is "exit code" $code 0
  timeout 20 "$RT" --root "$STATE" exec "$PREFIX-box" cat <"$HERE/harness.sh" >out 2>err
  same "stdin to stdout" out "$HERE/harness.sh"
}

test_exec_by_process_json() {
  up box 'sh("exec sleep 100")'
  cat >process.json <<'JSON'
{"args": ["sh", "-c", "echo $MARK; id -u; pwd; grep CapEff /proc/self/status; cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn"], "cwd": "/etc",
 "env": ["PATH=/bin", "MARK=from-json"], "user": {"uid": 0, "gid": 0}, "oomScoreAdj": 77,
 "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
 "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}]}
JSON
  rt exec --process "$T/process.json" "$PREFIX-box"
  is "exit code" $code 0
  is "output" "$(tr '\n\t' '  ' <out)" 'from-json 0 /etc CapEff: 0000000000000020 77 123 456 '
  # The form that engines use.
  sed -i 's/"sh", "-c", "[^"]*"/"sleep", "98"/' process.json
  rt exec --process "$T/process.json" --detach --pid-file "$T/exec.pid" "$PREFIX-box"
  is "exit code detached" $code 0
  has "the PID file's process" "/proc/$(cat exec.pid)/cmdline" '^sleep'
  is "it is in the container" "$(readlink "/proc/$(cat exec.pid)/ns/pid")" "$(readlink "/proc/$pid/ns/pid")"
  is "and in its cgroup" "$(cgroup "$(cat exec.pid)" memory)" "$(cgroup "$pid" memory)"
}

test_exec_on_a_terminal() {
  up box 'sh("exec sleep 100")'
  "$PYTHON" "$HERE/oci.py" console "$T/socket" "$T/screen" 'echo typed-$((40+2))\nexit 6\n' &
  receiver=$!
  for i in $(seq 50); do [ -S socket ] && break; sleep 0.05; done
  rt exec --tty --console-socket "$T/socket" --detach --pid-file "$T/exec.pid" "$PREFIX-box" sh
  is "exit code" $code 0
  end_of $receiver 10
  has "what was typed" screen 'typed-42'
}

# --------------------------------------------------------------------------------------------------------------- terminals

test_console_socket() {
  bundle box 'p["terminal"] = True; p["consoleSize"] = {"height": 33, "width": 111}; sh("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo three; ls -l /dev/console; read line; echo got $line")'
  "$PYTHON" "$HERE/oci.py" console "$T/socket" "$T/screen" 'words\n' &
  receiver=$!
  for i in $(seq 50); do [ -S socket ] && break; sleep 0.05; done
  create box --console-socket "$T/socket"
  is "exit code of create" $code 0
  rt start "$PREFIX-box"
  is "exit code of start" $code 0
  end_of $receiver 10
  has "a terminal of its own" screen '/dev/(pts/0|console)'
  has "its size" screen '33 111'
  has "all three streams" screen 'three'
  has "/dev/console" screen '^c.* /dev/console'
  has "what was typed arrives" screen 'got words'
  until_status box stopped
}

test_terminal_of_run() {
  bundle box 'p["terminal"] = True; sh("tty; sleep 0.3; stty size; exit 5")'
  timeout -s KILL 20 "$PROBE" pty -t -s 33x111 "$RT" --root "$STATE" run --bundle "$T/box" "$PREFIX-box" >out 2>err </dev/null
  is "exit code" $? 5
  has "a terminal" out '/dev/(pts/0|console)'
  has "its size" out '33 111'
  has "the terminal is given back" err 'settings are as before'
}

test_terminal_without_a_socket_is_refused() {
  bundle box 'p["terminal"] = True'
  create box
  within "exit code" $code 1 127
  has "message" err 'console'
}

# ------------------------------------------------------------------------------------------------------------------- hooks

hook_script() { # hook_script FILE LOG: notes its stage (first argument), namespaces, the state that it gets and where it is
  cat >"$1" <<SH
#!$2
state=\$(cat)
echo "\$1 mnt=\$(readlink /proc/self/ns/mnt) net=\$(readlink /proc/self/ns/net) inside=\$([ -e /bin/inside ] && echo yes || echo no) env=\$HOOK \$state" >>$3
SH
  chmod 755 "$1"
}

test_hooks() {
  : >log
  hook_script hook /bin/sh "$T/log"
  bundle box 'for stage in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
    hook(stage, folder + "/../hook", stage, env=["PATH=/bin:/usr/bin", "HOOK=" + stage])
hook("startContainer", "/bin/hook", "startContainer", env=["PATH=/bin", "HOOK=start"])
mount("/bin/hook", "bind", folder + "/../hook-inside", "bind")
mount("/data", "bind", folder + "/..", "bind")
sh("echo payload >>/data/log; exec sleep 100")'
  hook_script hook-inside /bin/sh /data/log
  create box
  is "exit code of create" $code 0
  cp log after-create
  rt start "$PREFIX-box"
  is "exit code of start" $code 0
  until_has log '^poststart' 5
  until_has log '^payload' 5
  is "stages by the end of create" "$(sed 's/ .*//' after-create | tr '\n' ' ')" 'prestart createRuntime createContainer '
  mnt=$(readlink "/proc/$pid/ns/mnt") net=$(readlink "/proc/$pid/ns/net") own=$(readlink /proc/self/ns/mnt) ownnet=$(readlink /proc/self/ns/net)
  rt kill "$PREFIX-box" KILL
  until_status box stopped
  rt delete "$PREFIX-box"
  is "exit code of delete" $code 0
  is "all stages in their order" "$(sed 's/ .*//' log | grep -v payload | tr '\n' ' ')" \
    'prestart createRuntime createContainer startContainer poststart poststop '
  is "the command begins after startContainer" "$(sed 's/ .*//' log | grep -E 'startContainer|payload' | tr '\n' ' ')" 'startContainer payload '
  for stage in prestart createRuntime poststart poststop; do
    has "$stage runs on the host" <(sed -n "s/^$stage //p" log | sed 's/[][]/_/g') "^mnt=$(sed 's/[][]/_/g' <<<"$own") net=$(sed 's/[][]/_/g' <<<"$ownnet") inside=no env=$stage"
  done
  has "createContainer is in the container's namespaces, before the pivot" <(sed -n "s/^createContainer //p" log | sed 's/[][]/_/g') "^mnt=$(sed 's/[][]/_/g' <<<"$mnt") net=$(sed 's/[][]/_/g' <<<"$net") inside=no"
  has "startContainer is inside" <(sed -n "s/^startContainer //p" log | sed 's/[][]/_/g') "^mnt=$(sed 's/[][]/_/g' <<<"$mnt") net=$(sed 's/[][]/_/g' <<<"$net") inside=yes env=start"
  for pair in prestart:creating createRuntime:creating createContainer:creating startContainer:created poststart:running poststop:stopped; do
    grep "^${pair%%:*} " log | sed 's/^[^{]*//' >state
    is "the status that ${pair%%:*} is told" "$(json "d['status']" state)" "${pair##*:}"
    is "the id that ${pair%%:*} is told" "$(json "d['id']" state)" "$PREFIX-box"
    is "the bundle that ${pair%%:*} is told" "$(json "d['bundle']" state)" "$(realpath box)"
  done
  grep '^createRuntime ' log | sed 's/^[^{]*//' >state
  is "the PID that createRuntime is told" "$(json "d['pid']" state)" "$pid"
}

test_hooks_that_fail() {
  for stage in prestart createRuntime createContainer; do
    bundle "$stage" 'hook("'$stage'", "/bin/sh", "-c", "echo the-reason >&2; exit 3")'
    create "$stage"
    within "exit code of create with a failing $stage" $code 1 127
    has "it names the hook" err 'hook'
    has "what it said" err 'the-reason'
    is "status" "$(status "$stage")" gone
    clean "after a failing $stage"
  done
  bundle start 'hook("startContainer", "/bin/false", "x")'
  create start
  rt start "$PREFIX-start"
  within "exit code of start with a failing startContainer" $code 1 127
  bundle late 'hook("createRuntime", "/bin/sh", "-c", "sleep 30", timeout=1)'
  began_here=$(now)
  create late
  within "exit code with a late hook" $code 1 127
  within "hundredths of a second" $(($(now) - began_here)) 90 500
}

# -------------------------------------------------------------------------------------------------------------- namespaces

test_namespaces() {
  runs "all" 'sh("for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done")'
  for kind in pid net ipc uts mnt cgroup; do
    hasnot "namespace $kind is its own" <(sed 's/[][]/_/g' out) "$(readlink /proc/self/ns/$kind | sed 's/[][]/_/g')"
  done
  runs "the host's network and IPC" 'no_ns("network", "ipc"); sh("for n in net ipc; do readlink /proc/self/ns/$n; done"); l.pop("sysctl", None)'
  is "they are the host's" "$(tr '\n' ' ' <out)" "$(readlink /proc/self/ns/net) $(readlink /proc/self/ns/ipc) "
  runs "PID 1" 'sh("echo $$; ls /proc | grep -c ^[0-9]")'
  is "its PID" "$(sed -n 1p out)" 1
  within "processes that it sees" "$(sed -n 2p out)" 1 3
  runs "the loopback" 'sh("ifconfig lo | grep -c 127.0.0.1; ls /sys/class/net")'
  is "up, and alone" "$(tr '\n' ' ' <out)" '1 lo '
  runs "the cgroup namespace" 'sh("sed s/.*:// /proc/self/cgroup | sort -u")'
  is "its root" "$(cat out)" /
}

test_namespaces_by_path() {
  unshare -n -u -i sh -c 'hostname joined; exec sleep 100' &
  holder=$!
  sleep 0.3
  bundle box 'p["args"] = ["/bin/sh", "-c", "hostname; for n in net uts ipc; do readlink /proc/self/ns/$n; done"]; c.pop("hostname")
for kind, name in (("network", "net"), ("uts", "uts"), ("ipc", "ipc")): ns(kind, "/proc/'$holder'/ns/" + name)'
  rt run --bundle box "$PREFIX-box"
  is "exit code" $code 0
  is "namespaces" "$(tr '\n' ' ' <out)" "joined $(readlink /proc/$holder/ns/net) $(readlink /proc/$holder/ns/uts) $(readlink /proc/$holder/ns/ipc) "
  kill $holder
  wait $holder 2>/dev/null
  # A PID namespace of another container.
  up first 'sh("exec sleep 100")'
  bundle second 'ns("pid", "/proc/'"$pid"'/ns/pid"); sh("cat /proc/1/cmdline | tr \"\\\\0\" \" \"; readlink /proc/self/ns/pid")'
  rt run --bundle second "$PREFIX-second"
  is "exit code" $code 0
  has "the first process is the other's" out 'sleep 100'
}

test_user_namespace() {
  root=$T/tree
  cp -a "$R" tree
  chown -R 100000:100000 tree
  chmod 755 "$T" "$WORK" "$WORK/.."
  runs "mapped" 'ns("user"); l["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]; l["gidMappings"] = list(l["uidMappings"])
sh("id -u; cat /proc/self/uid_map; touch /made; stat -c %u /made; ls -l /dev/null | cut -c1; echo x >/dev/null && echo writable; mount -t tmpfs x /tmp 2>&1 | grep -c denied; hostname")'
  is "root inside" "$(sed -n 1p out)" 0
  has "the map" out '^ *0 +100000 +65536$'
  is "the file's owner inside" "$(sed -n 3p out)" 0
  is "the file's owner outside" "$(stat -c %u tree/made)" 100000
  is "device, writable, hostname" "$(sed -n '4,$p' out | tr '\n' ' ')" 'c writable 1 box '
  unset root
}

test_time_namespace() {
  runs "offsets" 'ns("time"); l["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0}, "monotonic": {"secs": 5000, "nanosecs": 0}}; sh("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets")'
  within "uptime" "$(sed -n 1p out)" 1000000 100000000
  has "offset" out 'monotonic +5000'
}

test_names() {
  runs "hostname and domainname" 'c["hostname"] = "some-host"; c["domainname"] = "some.domain"; sh("hostname; cat /proc/sys/kernel/domainname")'
  is "names" "$(tr '\n' ' ' <out)" 'some-host some.domain '
  hasnot "the host keeps its name" /proc/sys/kernel/hostname some-host
}

test_sysctl() {
  runs "sysctls" 'l["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.msgmax": "16384", "net/ipv4/ip_forward": "1", "fs.mqueue.msg_max": "9"}
sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/msg_max")'
  is "values" "$(tr '\n' ' ' <out)" '80 16384 1 9 '
  is "the host's" "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
}

test_net_devices() {
  command -v ip >/dev/null || { skip "there is no program ip (Debian package iproute2) to make a network device with"; return; }
  device=e$$
  ip link add "$device" type dummy 2>err || { skip "this kernel makes no dummy network device: $(cat err)"; return; }
  ip addr add 10.77.0.1/24 dev "$device" && ip link set "$device" up
  runs "a device" 'l["netDevices"] = {"'"$device"'": {"name": "inner0"}}; sh("ifconfig inner0")'
  has "it is inside, with its address" out '10\.77\.0\.1'
  ip link del "$device" 2>/dev/null
  return 0
}

# ------------------------------------------------------------------------------------------------------- process attributes

test_capabilities() {
  runs "docker's" 'sh("grep -E ^Cap /proc/self/status; grep NoNewPrivs /proc/self/status")'
  is "sets" "$(sed -n 's/^Cap\(...\):.0*/\1=/p' out | tr '\n' ' ')" 'Inh= Prm=a80425fb Eff=a80425fb Bnd=a80425fb Amb= '
  has "no new privileges" out 'NoNewPrivs:.1'
  runs "none" 'p["capabilities"] = {}; p["noNewPrivileges"] = False; sh("grep -E ^Cap /proc/self/status; grep NoNewPrivs /proc/self/status")'
  is "sets" "$(sed -n 's/^Cap\(...\):.0*/\1=/p' out | tr '\n' ' ')" 'Inh= Prm= Eff= Bnd= Amb= '
  has "new privileges" out 'NoNewPrivs:.0'
  runs "ambient, as another user" 'p["capabilities"] = {k: ["CAP_NET_BIND_SERVICE"] for k in ("bounding", "effective", "permitted", "inheritable", "ambient")}
p["user"] = {"uid": 1000, "gid": 1001}; sh("grep -E ^Cap /proc/self/status")'
  is "sets" "$(sed -n 's/^Cap\(...\):.0*/\1=/p' out | tr '\n' ' ')" 'Inh=400 Prm=400 Eff=400 Bnd=400 Amb=400 '
}

test_user() {
  runs "another user" 'p["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [2002, 3003], "umask": 63}; sh("id -u; id -g; id -G; umask; touch /denied")' 1
  is "who" "$(tr '\n' ' ' <out)" '1000 1001 1001 2002 3003 0077 '
  has "rights" err 'denied'
}

test_rlimits() {
  runs "rlimits" 'p["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]; sh("ulimit -Sn; ulimit -Hn; ulimit -Hc")'
  is "limits" "$(tr '\n' ' ' <out)" '100 200 0 '
}

test_oom_score_scheduler_and_personality() {
  runs "oom score" 'p["oomScoreAdj"] = 500; sh("cat /proc/self/oom_score_adj")'
  is "oom score" "$(cat out)" 500
  runs "scheduler" 'p["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}; p["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}; args("inside", "sched")'
  is "scheduler" "$(cat out)" 'policy 3 nice 5 io 2/6'
  runs "personality" 'l["personality"] = {"domain": "LINUX32"}; sh("uname -m")'
  is "personality" "$(cat out)" i686
}

test_environment_and_cwd() {
  runs "environment" 'p["env"] = ["PATH=/bin", "A=x y", "B=", "C=a=b"]; p["cwd"] = "/etc"; sh("env | sort; pwd")'
  has "a value with a space" out '^A=x y$'
  has "an empty value" out '^B=$'
  has "a value with =" out '^C=a=b$'
  has "the working directory" out '^/etc$'
}

# ------------------------------------------------------------------------------------------------------------------ seccomp

test_seccomp_actions() {
  runs "errno" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", errnoRet=71)); args("inside", "mkdir", "/x")'
  is "errno" "$(cat out)" 'errno 71'
  runs "errno by default 1" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat")); args("inside", "mkdir", "/x")'
  is "errno" "$(cat out)" 'errno 1'
  runs "errno 0" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=0)); args("inside", "mkdir", "/nowhere/x")'
  is "it seems to succeed" "$(cat out)" ok
  runs "kill process" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_KILL_PROCESS", "mkdir")); args("inside", "mkdir", "/x")' 159
  runs "trap" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_TRAP", "mkdir")); args("inside", "mkdir", "/x")' 159
  runs "log" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_LOG", "mkdir")); args("inside", "mkdir", "/tmp")'
  is "it goes on" "$(cat out)" 'errno 17'
  runs "a tracer that is not there" 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_TRACE", "mkdir", errnoRet=9)); args("inside", "mkdir", "/x")'
  is "ENOSYS" "$(cat out)" 'errno 38'
}

test_seccomp_arguments() {
  each='p["args"] = ["sh", "-c", "for a in 0 1 2 3 4 5 6 7 8; do inside call 200 999999 $a; done"]'
  # tkill(999999, a): the filter answers 40 where it matches, the kernel 3 (or 0 or 22) elsewhere.
  verdicts() { sed 's/errno 40/x/; s/errno 3$/./; s/errno 22/./; s/ok 0/./' out | tr -d '\n'; }
  for row in 'EQ 3 0 ...x.....' 'NE 3 0 xxx.xxxxx' 'LT 3 0 xxx......' 'LE 3 0 xxxx.....' 'GE 3 0 ...xxxxxx' 'GT 3 0 ....xxxxx' 'MASKED_EQ 3 2 ..x...x..'; do
    set -- $row
    runs "$1" "$each"'; seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "tkill", errnoRet=40, args=[{"index": 1, "value": '"$2"', "valueTwo": '"$3"', "op": "SCMP_CMP_'"$1"'"}]))'
    is "$1" "$(verdicts)" "$4"
  done
  # A filter that refuses everything, the end of the process too.
  bundle b 'seccomp("SCMP_ACT_ERRNO", defaultErrnoRet=1); sh("true")'
  rt run --bundle b "$PREFIX-b"
  within "exit code when everything is refused" $code 1 255
  # Two conditions on different arguments must both hold.
  runs "two arguments" 'p["args"] = ["sh", "-c", "inside call 200 999999 5; inside call 200 999998 5; inside call 200 999999 6"]
seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "tkill", errnoRet=40, args=[{"index": 0, "value": 999999, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}]))'
  is "only where both hold" "$(tr '\n' ' ' <out)" 'errno 40 errno 3 errno 3 '
}

test_seccomp_of_docker() {
  "$PYTHON" - "$HERE" >profile.json <<'PY' || { skip "docker's profile could not be fetched from Debian's archive"; return; }
import json, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1] + "/../../Scripts/lib")
import oci_bundle
cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vmrun/bench")
json.dump(oci_bundle.resolve(oci_bundle.fetch_profile(cache)), sys.stdout)
PY
  runs "docker's profile" 'import json; l["seccomp"] = json.load(open(folder + "/../profile.json")); sh("grep Seccomp: /proc/self/status; for n in 165 175 246 249 304 321; do inside call $n; done; inside call 39; inside call 135 0xffffffff; inside call 135 7; inside call 9999")'
  has "a filter is there" out 'Seccomp:.2'
  is "mount, init_module, kexec_load, request_key, open_by_handle_at, bpf are refused" "$(sed -n 2,7p out | tr '\n' ' ')" 'errno 1 errno 1 errno 1 errno 1 errno 1 errno 1 '
  has "getpid is not" <(sed -n 8p out) '^ok'
  has "personality's query is not" <(sed -n 9p out) '^ok'
  is "another personality is" "$(sed -n 10p out)" 'errno 1'
  has "a call that does not exist" <(sed -n 11p out) 'errno (1|38)'
}

test_seccomp_notify() {
  bundle box 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat"), listenerPath=folder + "/../socket", listenerMetadata="the metadata"); args("inside", "mkdir", "/x")'
  "$PYTHON" "$HERE/oci.py" agent "$T/socket" "$T/agent.log" 2>agent.err &
  agent=$!
  for i in $(seq 50); do [ -S socket ] && break; sleep 0.05; done
  rt run --bundle box "$PREFIX-box"
  is "exit code" $code 0
  is "the agent's answer reaches the process" "$(cat out)" 'errno 76'
  kill $agent 2>/dev/null
  wait $agent 2>/dev/null
  has "one descriptor" agent.log '^descriptors 1$'
  has "the state beside it" agent.log "^fds \['seccompFd'\] id $PREFIX-box status (creating|created|running) metadata the metadata pid yes"
  has "the call" agent.log '^call 83$'
}

# ---------------------------------------------------------------------------------------------------- mounts and the root

test_default_mounts_and_devices() {
  runs "mounts" 'sh("mount | sed \"s/ type / /\" | cut -d\" \" -f3,4; ls /dev | tr \"\\n\" \" \"; echo; for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; ls -ln /dev/null /dev/tty | cut -c1-10,20-60")'
  for line in '/proc proc' '/dev tmpfs' '/dev/pts devpts' '/sys sysfs' '/dev/mqueue mqueue' '/dev/shm tmpfs' '/sys/fs/cgroup '; do has "mount" out "^$line"; done
  for node in null zero full random urandom tty fd stdin stdout stderr ptmx pts shm mqueue; do has "/dev/$node" out "(^| )$node "; done
  has "link" out '^/proc/self/fd$'
  has "link" out '^pts/ptmx$'
  has "mode" out '^crw-rw-rw-'
  hasnot "nothing of the host's tree is mounted" out "$(dirname "$WORK")"
}

test_masked_and_read_only_paths() {
  echo secret >"$R/data/secret" && mkdir -p "$R/data/folder" && echo secret >"$R/data/folder/file"
  runs "masks" 'l["maskedPaths"] += ["/data/secret", "/data/folder", "/nowhere/at/all"]; l["readonlyPaths"] += ["/etc", "/nowhere/else"]
sh("cat /data/secret; ls /data/folder | wc -l; cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | grep -vc :; inside write /proc/sys/kernel/hostname /proc/irq/default_smp_affinity /etc/passwd; echo x >/data/folder/new || echo refused; touch /data/new && echo elsewhere")'
  hasnot "no secret" out secret$
  has "the masked folder is empty" <(sed -n 1p out) '^0$'
  has "masked files are empty" <(sed -n 2p out) '^0$'
  has "sys is read-only" out '^/proc/sys/kernel/hostname: Read-only'
  has "another too" out '^/etc/passwd: Read-only'
  has "a masked folder takes nothing" out '^refused'
  has "the rest is as it was" out '^elsewhere'
}

test_read_only_root() {
  runs "read-only" 'c["root"]["readonly"] = True; sh("touch /new; touch /etc/new; touch /dev/shm/x && echo shm; mount | grep \" on / \" | grep -c \"(ro\"")'
  is "what can be written" "$(tr '\n' ' ' <out)" 'shm 1 '
  has "refused" err 'Read-only'
}

test_bind_mounts() {
  mkdir source && echo content >source/file && echo alone >single
  runs "binds" 'mount("/mnt/a", "bind", folder + "/../source", "bind"); mount("/mnt/b", "bind", folder + "/../source", "bind", "ro", "nosuid", "nodev", "noexec")
mount("/etc/one", "bind", folder + "/../single", "bind", "ro"); mount("/deep/er/file", "bind", folder + "/../single", "rbind")
sh("cat /mnt/a/file /mnt/b/file /etc/one /deep/er/file; echo new >/mnt/a/new; touch /mnt/b/no; touch /etc/one; grep \" /mnt/b \" /proc/mounts")' 0
  is "contents" "$(sed -n 1,4p out | tr '\n' ' ')" 'content content alone alone '
  is "what was written" "$(cat source/new)" new
  has "a read-only one refuses" err '/mnt/b/no: Read-only'
  has "flags" out '/mnt/b .*ro,nosuid,nodev,noexec'
}

test_tmpfs_and_its_options() {
  mkdir "$R/copied" && echo kept >"$R/copied/file"
  runs "tmpfs" 'mount("/mnt/t", "tmpfs", "tmpfs", "size=64k", "mode=1750", "uid=1000", "noexec"); mount("/copied", "tmpfs", "tmpfs", "tmpcopyup")
sh("stat -c %a:%u /mnt/t; head -c 100000 /dev/zero >/mnt/t/big 2>/dev/null || echo full; grep -c \" /mnt/t .*noexec\" /proc/mounts; cat /copied/file; grep -c \" /copied tmpfs\" /proc/mounts")'
  is "mode, owner, size, flag, copy" "$(tr '\n' ' ' <out)" '1750:1000 full 1 kept 1 '
  rm -r "${R:?}/copied"
}

test_recursive_read_only() {
  mkdir -p tree/sub && mount -t tmpfs x tree/sub
  runs "ro and rro" 'mount("/ro", "bind", folder + "/../tree", "rbind", "ro"); mount("/rro", "bind", folder + "/../tree", "rbind", "rro")
sh("touch /ro/sub/a && echo sub-writable; touch /ro/b; touch /rro/sub/c; touch /rro/d; true")'
  is "with ro what is mounted below stays writable" "$(cat out)" sub-writable
  has "with rro not" err '/rro/sub/c: Read-only'
  has "nor itself" err '/rro/d: Read-only'
  umount tree/sub
}

test_propagation() {
  mkdir shared && mount --bind shared shared && mount --make-shared shared && mkdir shared/later shared/back
  up box 'mount("/slave", "bind", folder + "/../shared", "rbind", "rslave"); mount("/private", "bind", folder + "/../shared", "rbind", "rprivate")
sh("exec sleep 100")'
  mount -t tmpfs x shared/later && echo seen >shared/later/file
  rt exec "$PREFIX-box" sh -c 'cat /slave/later/file; cat /private/later/file'
  is "a slave sees a later mount, a private one does not" "$(cat out)" seen
  rt delete --force "$PREFIX-box"
  umount shared/later
  runs "rootfsPropagation" 'l["rootfsPropagation"] = "rshared"; sh("cut -d\" \" -f5,7 /proc/self/mountinfo | grep \"^/ \"")'
  has "shared" out '^/ shared:'
  umount shared
}

test_idmapped_mounts() {
  mkdir source && touch source/mine && chown 1000:1001 source/mine && chmod 755 "$T"
  runs "idmapped" 'm.append({"destination": "/mapped", "type": "bind", "source": folder + "/../source", "options": ["bind", "idmap"],
 "uidMappings": [{"containerID": 1000, "hostID": 2000, "size": 1}, {"containerID": 0, "hostID": 0, "size": 1}], "gidMappings": [{"containerID": 1001, "hostID": 2001, "size": 1}, {"containerID": 0, "hostID": 0, "size": 1}]})
sh("stat -c %u:%g /mapped/mine; touch /mapped/new; stat -c %u /mapped/new")'
  is "owners inside" "$(tr '\n' ' ' <out)" '2000:2001 0 '
  is "the host's file keeps its owner" "$(stat -c %u:%g source/mine)" 1000:1001
}

test_cgroup_mount() {
  runs "cgroup" 'sh("ls /sys/fs/cgroup | wc -l; touch /sys/fs/cgroup/x; mkdir /sys/fs/cgroup/memory/x /sys/fs/cgroup/x; true")'
  within "entries" "$(sed -n 1p out)" 1 200
  hasnot "nothing can be made there" err 'xxx'
  has "it is read-only" err 'Read-only'
}

test_devices() {
  runs "devices" 'l["devices"] = [{"path": "/dev/sub/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6}, {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]
sh("stat -c \"%A %t:%T %u:%g\" /dev/sub/fuse; stat -c %A /dev/pipe; mknod /dev/disk b 3 1 && echo made; head -c 1 /dev/disk; head -c 4 /dev/urandom | wc -c; cat /dev/sub/fuse")' 1
  is "the device" "$(sed -n 1p out)" 'crw-r----- a:e5 5:6'
  is "the pipe" "$(sed -n 2p out)" 'prw-------'
  has "a node that its rules forbid cannot be opened" err '/dev/disk: Operation not permitted'
  has "nor one that is denied by name" err '/dev/sub/fuse.*: Operation not permitted'
  has "the usual ones can" out '^4$'
}

# --------------------------------------------------------------------------------------------------------------- descriptors

test_preserve_fds() {
  echo three >three
  echo four >four
  bundle box 'sh("inside file 3; inside file 4; inside fds | tr \"\\n\" \" \"")'
  timeout 20 "$RT" --root "$STATE" run --preserve-fds 2 --bundle box "$PREFIX-box" 3<three 4<four 5<four 9<three >out 2>err </dev/null
  is "exit code" $? 0
  is "contents, and what is open" "$(tr '\n' ' ' <out)" 'three four 0 1 2 3 4 '
}

test_pid_file() {
  up box 'sh("exec sleep 100")'
  is "it holds the PID and nothing else" "$(cat box.pid)" "$pid"
  is "whose namespace is another" "$([ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] && echo same || echo other)" other
}
