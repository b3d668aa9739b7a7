# What the engines' tests share: assertions, host checks, reading cgroups, bookkeeping. Sourced by bash, never run.
#
# shellcheck shell=bash disable=SC2154,SC2034,SC2015
#
# A test is a function that fails by its first command that fails (set -e). It runs as a process of its own, in a folder of its own,
# with its standard input at /dev/null; what it prints is shown only when it fails.

# ---------------------------------------------------------------------------------------------------------------- assertions

# expect CODE COMMAND...: runs it with this exit code, or one of "CODE|CODE"; its output is then in $out and $err, and exactly in the files out and err.
expect() {
  local want=$1 code=0
  shift
  printf '$ %s\n' "$*"
  "$@" >out 2>err || code=$?
  out=$(tr -d '\0' <out) err=$(tr -d '\0' <err)
  head -c 3000 out
  head -c 3000 err
  [[ $code =~ ^($want)$ ]] || { echo "-- exit code $code, expected $want"; return 1; }
}

# is ACTUAL EXPECTED [WHAT]
is() { [ "$1" = "$2" ] || { printf -- '-- %s: expected %q, got %q\n' "${3:-a value}" "$2" "$1"; return 1; }; }

# has TEXT PART; lacks TEXT PART
has() { case $1 in *"$2"*) ;; *) printf -- '-- expected the text %q in: %s\n' "$2" "$1"; return 1 ;; esac; }
lacks() { case $1 in *"$2"*) printf -- '-- did not expect the text %q in: %s\n' "$2" "$1"; return 1 ;; esac; }

# matches TEXT REGEX
matches() { [[ $1 =~ $2 ]] || { printf -- '-- expected a match of %s in: %s\n' "$2" "$1"; return 1; }; }

# soon COMMAND...: tries for up to 10 s (times --patience) until it succeeds.
soon() {
  local end=$((SECONDS + 10 * patience))
  until "$@" >soon.log 2>&1; do
    [ $SECONDS -lt $end ] || { echo "-- not within $((10 * patience)) s: $*"; cat soon.log; return 1; }
    sleep 0.05
  done
}

# fails COMMAND...: for conditions where a failure is what is waited for.
fails() { ! "$@"; }

# skip REASON: this test cannot be made on this host. REASON comes from a look at the host, not at the runtime.
skip() {
  printf '%s\n' "$*" >skip
  exit 0
}

# ------------------------------------------------------------------------------------------------------------------- the host

# has_capability NUMBER: this host's root can give this capability to a container.
has_capability() {
  local bounding
  bounding=$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)
  (((16#$bounding >> $1) & 1))
}

need_every_capability() {
  local number last
  read -r last </proc/sys/kernel/cap_last_cap
  for ((number = 0; number <= last; number++)); do
    has_capability $number || skip "this host's root lacks capability number $number, so nobody here can run a privileged container"
  done
}

need_resource_capability() {
  has_capability 24 || skip "this host's root lacks CAP_SYS_RESOURCE, so hard limits cannot be raised"
}

need_controller() { controller_root "$1" >/dev/null || skip "this host has no $1 controller"; }

need_user_namespaces() {
  unshare --user true 2>/dev/null || skip "this host does not allow user namespaces"
}

need_command() { command -v "$1" >/dev/null || skip "the command $1 is missing (Debian package $2)"; }

# Whether AppArmor or SELinux is there changes what engines ask of the runtime.
has_apparmor() { [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; }

# ---------------------------------------------------------------------------------------------------------------------- cgroups

# controller_root CONTROLLER: the folder of its hierarchy.
controller_root() {
  local folder
  for folder in "/sys/fs/cgroup/$1" "/sys/fs/cgroup/cpu,cpuacct" "/sys/fs/cgroup/net_cls,net_prio"; do
    case ,${folder##*/}, in *",$1,"*) [ -d "$folder" ] && echo "$folder" && return ;; esac
  done
  if [ "$1" = freezer ] || [ "$1" = devices ]; then # not named as controllers in v2
    [ -e /sys/fs/cgroup/cgroup.controllers ] && echo /sys/fs/cgroup && return
  fi
  grep -qw "$1" /sys/fs/cgroup/cgroup.controllers 2>/dev/null && echo /sys/fs/cgroup
}

# cgroup_of PID CONTROLLER: the folder of the process's cgroup in that controller's hierarchy.
cgroup_of() {
  local number controllers path root
  root=$(controller_root "$2") || return 1
  while IFS=: read -r number controllers path; do
    case ,$controllers, in
      *",$2,"*) echo "$root$path"; return ;;
      ,,) [ "$root" = /sys/fs/cgroup ] && echo "$root$path" && return ;;
    esac
  done <"/proc/$1/cgroup"
  return 1
}

# limit PID NAME: a limit of the process's cgroup, whatever the version: memory, pids, weight, quota, cpuset, frozen.
limit() {
  local folder file value
  case $2 in
    memory) folder=$(cgroup_of "$1" memory) && for file in memory.max memory.limit_in_bytes; do
      [ -e "$folder/$file" ] && cat "$folder/$file" && return
    done ;;
    pids) folder=$(cgroup_of "$1" pids) && cat "$folder/pids.max" && return ;;
    shares) # as v1 counts them
      folder=$(cgroup_of "$1" cpu) || return 1
      if [ -e "$folder/cpu.shares" ]; then cat "$folder/cpu.shares"; else
        value=$(cat "$folder/cpu.weight") && echo $((2 + ((value - 1) * 262142 + 9998) / 9999))
      fi
      return ;;
    quota) # "QUOTA PERIOD"
      folder=$(cgroup_of "$1" cpu) || return 1
      if [ -e "$folder/cpu.max" ]; then cat "$folder/cpu.max"; else echo "$(cat "$folder/cpu.cfs_quota_us") $(cat "$folder/cpu.cfs_period_us")"; fi
      return ;;
    cpuset) folder=$(cgroup_of "$1" cpuset) && cat "$folder/cpuset.cpus" && return ;;
    frozen) # "yes" or "no"
      folder=$(cgroup_of "$1" freezer) || return 1
      if [ -e "$folder/freezer.state" ]; then value=$(cat "$folder/freezer.state"); else value=$(sed -n 's/^frozen //p' "$folder/cgroup.events"); fi
      case $value in FROZEN | 1) echo yes ;; *) echo no ;; esac
      return ;;
  esac
  echo "no $2 for process $1" >&2
  return 1
}

# Where the engines put their containers' cgroups: below a folder of this run's, or in a slice of systemd's.
if [ "${cgroup_manager:-cgroupfs}" = systemd ]; then
  docker_parent=${cgroup_parent:-}.slice podman_parent=${cgroup_parent:-}.slice
else
  docker_parent=/${cgroup_parent:-}/docker podman_parent=/${cgroup_parent:-}/podman
fi

# ------------------------------------------------------------------------------------------------------- what must not be left

# nothing_left CGROUPS: no process of a container, no cgroup with a path that matches, no mount, no state folder of the runtime.
nothing_left() {
  soon no_process
  soon no_cgroup "$1"
  soon no_mount
  soon no_state
}
no_process() {
  local process own left=
  own=$(readlink /proc/self/ns/mnt)
  for process in /proc/[0-9]*; do
    # Without a process namespace of this run's own, the machine's processes are seen, too.
    [ "$cgroup_manager" != systemd ] || grep -q "$cgroup_parent" "$process/cgroup" 2>/dev/null || continue
    # A process that only waits to be reaped has no namespace any more.
    case $(readlink "$process/ns/mnt") in
      "$own" | '') ;;
      *) left+=" ${process#/proc/}:$(tr '\0' ' ' <"$process/cmdline")" ;;
    esac
  done
  [ -z "$left" ] || { echo "processes left:$left"; return 1; }
}
no_cgroup() {
  local left
  left=$(find /sys/fs/cgroup -mindepth 1 -type d 2>/dev/null | grep -E "/$cgroup_parent$1" | sort -u)
  [ -z "$left" ] || { printf 'cgroups left:\n%s\n' "$left"; return 1; }
}
no_mount() {
  local left
  left=$(awk '{ print $5 }' /proc/self/mountinfo | grep -E '/rootfs|/merged|/[0-9a-f]{64}')
  [ -z "$left" ] || { printf 'mounts left:\n%s\n' "$left"; return 1; }
}
# runc and vmrun keep ROOT/ID/state.json, crun ROOT/ID/status; engines name their own folders by the id, too.
no_state() {
  local left
  left=$(find /run '(' -name state.json -o -name status -o -regextype egrep -regex '.*/[0-9a-f]{64}' ')' 2>/dev/null)
  [ -z "$left" ] || { printf 'state left:\n%s\n' "$left"; return 1; }
}

# ----------------------------------------------------------------------------------------------------------------- bookkeeping

# check NAME FUNCTION [LIMIT-IN-SECONDS]: one test, as a process of its own; up to $jobs of them at a time.
check() {
  local name=$1 function=$2 limit=$((${3:-60} * ${patience:-1}))
  [[ "$name $function" =~ ${match:-} ]] || return 0
  if [ "${list:-0}" = 1 ]; then
    printf '%s\n' "$name"
    return
  fi
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n 2>/dev/null || true; done
  one_test "$name" "$function" "$limit" &
}

# barrier: everything before it has ended.
barrier() { wait; }

one_test() {
  local name=$1 function=$2 limit=$3 code=0 started=${EPOCHREALTIME/[.,]/} took folder
  folder=$work/tests/$function
  mkdir -p "$folder"
  (cd "$folder" && exec timeout --kill-after=3 "$limit" bash "$library/engines-inside" one "$function") >"$folder/log" 2>&1 </dev/null || code=$?
  printf -v took '%d.%d s' $((took = (${EPOCHREALTIME/[.,]/} - started) / 100000, took / 10)) $((took % 10))
  exec {lock}>"$work/lock"
  flock $lock
  if [ $code = 0 ] && [ -s "$folder/skip" ]; then
    printf 'skip: %s: %s\n' "$name" "$(cat "$folder/skip")"
    printf 'skip\t%s\n' "$name: $(cat "$folder/skip")" >>"$work/results"
  elif [ $code = 0 ]; then
    printf 'ok: %s (%s)\n' "$name" "$took"
    printf 'ok\t%s\n' "$name" >>"$work/results"
  else
    [ $code = 124 ] && echo "-- the test did not end within $limit s" >>"$folder/log"
    printf 'FAIL: %s (%s)\n' "$name" "$took"
    tail -n 25 "$folder/log" | cut -c 1-600 | sed 's/^/    /'
    printf 'FAIL\t%s\n' "$name" >>"$work/results"
  fi
  exec {lock}>&-
}

# start_daemon NAME COMMAND...: in the background, its output in $work/NAME.log.
start_daemon() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  disown # so that the tests alone are this shell's jobs
}

# await_daemon NAME COMMAND...: until the command succeeds, for up to 30 s.
await_daemon() {
  local name=$1 end=$((SECONDS + 30 * patience))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || {
      tail -n 20 "$work/$name.log" >&2
      fail "$name did not come up in time; its last messages are above"
    }
    sleep 0.05
  done
}
