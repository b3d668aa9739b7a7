# vmrun isolation on this machine: the host and a container, since a VM needs a kernel and more time (the lab has that).
# Sourced behind harness.sh.

# leftovers: what a run must not leave: processes, empty cgroups, folders, mounts, queues, a hostname. Whatever else runs on this
# machine meanwhile may have containers of its own, whose cgroups have processes.
leftovers() {
  {
    ps -eo args= | grep -E '[_]_isolation-probe|vc-[0-9a-f]{12}'
    ls -d "$T"/vmrun-isolation.*
    grep -o "$T/vmrun-isolation[^ ]*" /proc/mounts
    find /sys/fs/cgroup -maxdepth 4 -type d -name 'vmrun-*' | while read -r folder; do
      [ -s "$folder/cgroup.procs" ] || [ -n "$(cat "$folder/cgroup.procs" 2>/dev/null)" ] || echo "$folder"
    done
    tail -n +2 /proc/sysvipc/msg | awk '{ print "queue", $1 }'
    hostname
  } 2>/dev/null | sort -u
}

# nothing_new WHAT: leftovers are no more than in the file before; what others are just tidying away goes within 5 s.
nothing_new() {
  checks=$((checks + 1))
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    leftovers >"$T/after"
    comm -13 "$T/before" "$T/after" >"$T/new"
    [ -s "$T/new" ] || return 0
    sleep 0.5
  done
  note "$1: left behind: $(excerpt "$T/new")"
}

isolation() { # isolation ARGS: runs it to its end, with nothing left behind
  leftovers >"$T/before"
  TMPDIR=$T vm isolation "$@"
  nothing_new "after a run"
}

# says SECTION QUESTION: the findings of one row of the file json, one a line: "SIDE SHARED TEXT".
says() {
  python3 - "$T/json" "$1" "$2" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
report = report.get("isolation", report)
for section in report["sections"]:
    if section["number"] != int(sys.argv[2]): continue
    for row in section["rows"]:
        if not row["question"].startswith(sys.argv[3]): continue
        for side, finding, shared in zip(report["sides"], row["findings"], row.get("isShared", row.get("shared"))):
            text = finding.get("value", finding.get("unknown")) if isinstance(finding, dict) else finding
            print(side, "shared" if shared else "apart", text)
PY
}

# call SIDE NAME: class and detail of a system call in the file json.
call() {
  python3 - "$T/json" "$1" "$2" <<'PY'
import json, sys
for call in json.load(open(sys.argv[1]))["systemCalls"]:
    if call["name"] == sys.argv[3]: print(call[sys.argv[2]]["class"] + ": " + call[sys.argv[2]]["detail"])
PY
}

test_compares_host_and_container() {
  isolation --sides host,container --quick --json "$T/json" --markdown "$T/md" --html "$T/html"
  is "exit code" "$code" 0
  is "JSON" "$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["systemCalls"]) > 300)' "$T/json")" True
  has "the table" "$T/out" 'host'
  has "progress" "$T/err" 'vmrun isolation: container: looking around'
  has "Markdown" "$T/md" '\| '
  has "HTML" "$T/html" '</html>'
  says 1 "Is the kernel" >"$T/rows"
  is "whose kernel" "$(cat "$T/rows")" "host apart yes
container shared yes"
  says 1 "Boot ID" >"$T/rows"
  has "the boot ID" "$T/rows" "^container shared $(cat /proc/sys/kernel/random/boot_id)"
  is "getpid on the host" "$(call host getpid)" "reached: success"
  is "getpid in the container" "$(call container getpid)" "reached: success"
  is "mount in the container" "$(call container mount)" "filtered: a filter answers EPERM"
  is "clone3 in the container" "$(call container clone3)" "filtered: a filter answers ENOSYS"
  is "chroot in the container" "$(call container chroot | cut -d: -f1)" reached
  is "sync is not run" "$(call host sync)" "reached: permitted by the filters; not run"
  says 8 "Seccomp mode" >"$T/rows"
  has "seccomp" "$T/rows" '^container apart 2: filter'
  says 8 "no_new_privs" >"$T/rows"
  has "no_new_privs" "$T/rows" '^container apart 1$'
  says 4 "Namespaces that are the host's" >"$T/rows"
  hasnot "its PID namespace" "$T/rows" '^container .*pid'
  says 4 "Processes" >"$T/rows"
  within "processes in the container" "$(sed -n 's/^container apart //p' "$T/rows")" 1 4
  says 5 "Canary" >"$T/rows"
  is "canaries found in the container" "$(grep -c '^container shared' "$T/rows")" 0
  has "the control" "$T/rows" '^host apart found'
  says 6 "Set the hostname" >"$T/rows"
  has "the hostname" "$T/rows" '^container apart refused'
}

test_sections_alone() {
  isolation --sides container --only 8 --json "$T/json"
  is "exit code" "$code" 0
  is "sections" "$(python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); r = r.get("isolation", r); print([s["number"] for s in r["sections"]])' "$T/json")" "[8]"
  says 8 "Capabilities, effective" >"$T/rows"
  has "docker's capabilities" "$T/rows" '^container apart 14 '
}

test_limits_hold() {
  [ "$(id -u)" = 0 ] || { skip "needs root, for a container's cgroup"; return; }
  isolation --sides container --only 7 --json "$T/json"
  is "exit code" "$code" 0
  says 7 "Fork bomb" >"$T/rows"
  has "the fork bomb" "$T/rows" '^container apart [0-9]{2}, then EAGAIN'
  within "its size" "$(sed -n 's/^container apart \([0-9]*\),.*/\1/p' "$T/rows")" 50 64
  says 7 "Memory bomb" >"$T/rows"
  within "the memory bomb" "$(sed -n 's/^container apart \([0-9]*\), then signal 9/\1/p' "$T/rows")" 20 64
  says 7 "Processors' worth" >"$T/rows"
  within "hundredths of a processor" "$(sed -n 's/^container apart 0\.//p' "$T/rows" | sed 's/^0//')" 3 60
  says 7 "Launcher alive" >"$T/rows"
  has "the launcher" "$T/rows" '^container apart yes'
}

test_ctrl_c_cleans_up() {
  leftovers >"$T/before"
  export TMPDIR=$T
  vm_background isolation --sides host,container
  until_has "$T/err" 'container: looking around' 20
  sleep 0.3
  kill -INT "$vm"
  end_of "$vm" 10
  is "exit code" "$code" 130
  nothing_new "after Ctrl-C"
}

test_usage_errors() {
  for bad in "--only 9" "--only 1,,2" "--sides moon" "--kernel" "--loud" "--quick=1" "word"; do
    # shellcheck disable=SC2086
    vm isolation $bad
    is "exit code of $bad" "$code" 125
    has "help for $bad" "$T/err" 'see vmrun isolation --help'
    empty "output of $bad" "$T/out"
  done
  vm isolation --help
  is "exit code of --help" "$code" 0
  has "help" "$T/out" '--sides LIST'
}

test_a_missing_kernel_is_a_line() {
  limit=100
  HOME=$T XDG_CACHE_HOME=$T/cache isolation --sides vm --only 1
  is "exit code" "$code" 0
  has "the reason" "$T/err" 'VM: '
}
