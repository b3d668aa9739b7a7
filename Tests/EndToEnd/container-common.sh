# What the groups container, oci and hostile share; sourced by container-main.sh (bash).
# shellcheck disable=SC2034,SC2120,SC2154

# The caller sets RT (the runtime under test), STRICT (1 when that is vmrun), INSIDE, PYTHON, HERE, and what harness.sh wants.
STATE=$WORK/state
PREFIX=e2e-$$
mkdir -p "$STATE"
R=$WORK/rootfs
mkdir -p "$R"/{bin,etc,proc,sys,dev,tmp,root,run,data}
cp "$(command -v busybox)" "$R/bin/busybox"
for applet in $(busybox --list); do [ -e "$R/bin/$applet" ] || ln -s busybox "$R/bin/$applet"; done
cp "$INSIDE" "$R/bin/inside"
printf 'root:x:0:0:root:/root:/bin/sh\nsomeone:x:1000:1001:someone:/home:/bin/sh\n' >"$R/etc/passwd"
printf 'root:x:0:\nsomeone:x:1001:\nmore:x:2002:someone\n' >"$R/etc/group"

# bundle NAME [CODE]: a bundle in the test's folder; its container is called $PREFIX-NAME. See oci.py.
bundle() { "$PYTHON" -S -E "$HERE/oci.py" bundle "$T/$1" "${root:-$R}" "${2:-}" || note "the bundle $1 cannot be made"; }

# json EXPRESSION FILE
json() { "$PYTHON" -S -E "$HERE/oci.py" get "$1" <"$2" 2>&1 | tail -n 1; }

limit=30
# rt ARGS: the runtime to its end. What it and the container print is in out and err, the exit code in $code.
rt() {
  timeout -s KILL "$limit" "$RT" --root "$STATE" "$@" >"$T/out" 2>"$T/err" </dev/null
  code=$?
  [ $code != 137 ] || [ "${may_be_killed:-}" = 1 ] || note "killed, perhaps after $limit s: $*"
}

# create NAME [OPTIONS]: its standard output and error go to the files NAME.out and NAME.err.
create() {
  local name=$1
  shift
  timeout -s KILL "$limit" "$RT" --root "$STATE" create --bundle "$T/$name" --pid-file "$T/$name.pid" "$@" "$PREFIX-$name" \
    >"$T/$name.out" 2>"$T/$name.err" </dev/null
  code=$?
  cp "$T/$name.err" "$T/err"
  pid=$(cat "$T/$name.pid" 2>/dev/null)
}

# up NAME [CODE]: a running container.
up() {
  bundle "$@"
  create "$1"
  is "exit code of create $1" $code 0
  rt start "$PREFIX-$1"
  is "exit code of start $1" $code 0
}

# runs WHAT CODE [EXPECTED_CODE]: makes a bundle and runs it; the output is in out.
runs() {
  bundle b "$2"
  may_be_killed=1
  rt run --bundle "$T/b" "$PREFIX-b"
  may_be_killed=
  is "exit code: $1" $code "${3:-0}"
}

status() { # status NAME: by the runtime
  timeout -s KILL "$limit" "$RT" --root "$STATE" state "$PREFIX-$1" >"$T/state.json" 2>"$T/state.err" || { echo gone; return; }
  json "d['status']" "$T/state.json"
}

until_status() { # until_status NAME STATUS [SECONDS]
  local end=$(($(now) + ${3:-10} * 100))
  until [ "$(status "$1")" = "$2" ]; do
    [ "$(now)" -lt $end ] || { note "$1 has not become $2: $(status "$1")"; return 1; }
    sleep 0.05
  done
}

# cgroup PID CONTROLLER: the folder of the process's cgroup.
cgroup() {
  local path
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
    echo "/sys/fs/cgroup$path"
  else
    path=$(sed -n "s/^[0-9]*:\([^:]*,\)*$2\(,[^:]*\)*://p" "/proc/$1/cgroup")
    echo "/sys/fs/cgroup/$2$path"
  fi
}

# limits PID CONTROLLER V1_FILE V2_FILE: a limit's value as the kernel has it.
limits() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then cat "$(cgroup "$1" x)/$4"; else cat "$(cgroup "$1" "$2")/$3"; fi 2>&1
}

# What is there of the tests' containers: cgroups, mounts, processes, state. Nothing, when all is well.
leftovers() {
  find /sys/fs/cgroup -type d -name "*$PREFIX*" 2>/dev/null | sed 's/^/cgroup /'
  grep -F "$PREFIX" /proc/self/mountinfo | sed 's/^/mount /'
  grep -F "$STATE" /proc/self/mountinfo | sed 's/^/mount /'
  local process
  for process in $(grep -lsF -- "$PREFIX" /proc/[0-9]*/cgroup; grep -lsF -- "$STATE" /proc/[0-9]*/cmdline); do
    process=${process#/proc/}
    process=${process%/*}
    # What has ended and waits for its parent is no longer the runtime's.
    case $(sed 's/.*) //' "/proc/$process/stat" 2>/dev/null) in Z* | X* | '') continue ;; esac
    [ "$process" = $$ ] || [ "$process" = "$BASHPID" ] || echo "process $process $(tr '\0' ' ' <"/proc/$process/cmdline" 2>/dev/null)"
  done
  find "$STATE" -mindepth 1 -name "*$PREFIX*" 2>/dev/null | sed 's/^/state /'
}

# sweep: removes every container, and notes what cannot be removed. After every test.
sweep() {
  local path
  for path in "$STATE/$PREFIX"*; do
    [ -e "$path" ] || continue
    timeout -s KILL 30 "$RT" --root "$STATE" delete --force "${path##*/}" >"$T/sweep" 2>&1 || note "delete --force ${path##*/}: $(cat "$T/sweep")"
  done
  clean
}

# clean WHAT: notes what is left, then removes it, so that one test's remains do not spoil the next.
clean() {
  local left process
  left=$(leftovers)
  [ -z "$left" ] || { sleep 0.3; left=$(leftovers); }
  checks=$((checks + 1))
  [ -n "$left" ] || return 0
  note "${1:-after the test} there is left: $(head -n 6 <<<"$left" | tr '\n' ';')"
  for process in $(sed -n 's/^process \([0-9]*\).*/\1/p' <<<"$left"); do kill -9 "$process" 2>/dev/null; done
  sleep 0.1
  find /sys/fs/cgroup -depth -type d -name "*$PREFIX*" -exec rmdir {} + 2>/dev/null
  rm -rf "${STATE:?}/$PREFIX"*
}
after_test() { sweep; }
