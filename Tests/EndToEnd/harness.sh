# What the groups of end-to-end tests share; sourced by sh, also busybox's. A test is a function test_NAME. It looks at what
# vmrun did by is, has, hasnot and within, which note what is wrong; `conclude` turns the notes into one line:
#   PASS group/NAME (seconds)      FAIL group/NAME (seconds), then the evidence, indented      SKIP group/NAME: reason
# A test that has checked nothing fails.

# The caller sets: VMRUN (the binary), WORK (a folder that is its own), GROUP, ONLY (a shell pattern, * for all).

# Hundredths of a second since the machine's boot.
now() {
  read -r up _ </proc/uptime
  whole=${up%.*} part=${up#*.}
  echo $((whole * 100 + ${part#0}))
}

# wanted NAME: whether ONLY asks for this test.
wanted() {
  case $GROUP/$1 in $ONLY) return 0 ;; esac
  case $1 in $ONLY) return 0 ;; esac
  return 1
}

begin() { # begin NAME: a folder of its own, nothing noted yet
  name=$1 T=$WORK/$1 checks=0 reason=
  mkdir -p "$T"
  : >"$T/notes"
  cd "$T" || exit 1
  began=$(now)
}

note() { printf '%s\n' "$*" >>"$T/notes"; }

is() { # is WHAT GOT EXPECTED
  checks=$((checks + 1))
  [ "$2" = "$3" ] || note "$1: expected '$3', got '$2'"
}

within() { # within WHAT NUMBER LEAST MOST
  checks=$((checks + 1))
  if ! [ "$2" -ge "$3" ] 2>/dev/null || ! [ "$2" -le "$4" ]; then note "$1: expected $3 to $4, got '$2'"; fi
}

has() { # has WHAT FILE ERE
  checks=$((checks + 1))
  grep -aEq -- "$3" "$2" || note "$1: no line matches /$3/ in: $(excerpt "$2")"
}

hasnot() { # hasnot WHAT FILE ERE
  checks=$((checks + 1))
  if grep -aEq -- "$3" "$2"; then note "$1: /$3/ should not be there: $(grep -aE -- "$3" "$2" | head -n 3)"; fi
}

same() { # same WHAT FILE EXPECTED_FILE
  checks=$((checks + 1))
  cmp -s "$2" "$3" || note "$1: $(wc -c <"$2") bytes where $(wc -c <"$3") were expected, or others: $(cmp "$2" "$3" 2>&1 | head -n 1)"
}

empty() { # empty WHAT FILE
  checks=$((checks + 1))
  [ -s "$2" ] && note "$1: should be empty: $(excerpt "$2")"
  return 0
}

excerpt() { [ -s "$1" ] && { head -c 300 "$1" | tr -d '\000'; [ "$(wc -c <"$1")" -le 600 ] || echo ' [...] '; tail -c 300 "$1" | tr -d '\000'; } || echo "(nothing)"; }

skip() { reason=$*; }

conclude() {
  took=$(($(now) - began))
  took=$((took / 100)).$((took / 10 % 10))
  if [ -n "$reason" ]; then
    echo "SKIP $GROUP/$name: $reason"
  elif [ -s "$T/notes" ]; then
    echo "FAIL $GROUP/$name ($took s)"
    sed 's/^/    /' "$T/notes"
    if [ -f "$T/err" ]; then
      echo "    exit code ${code-none}; last run's standard error:"
      tail -n 12 "$T/err" | tr -d '\000\r' | sed 's/^/    | /'
    fi
  elif [ "$checks" = 0 ]; then
    echo "FAIL $GROUP/$name ($took s)"
    echo "    it checked nothing"
  else
    echo "PASS $GROUP/$name ($took s, $checks checks)"
  fi
  cd "$WORK" || exit 1
  # What a failed test left is kept for a look.
  [ -s "$T/notes" ] || rm -rf "$T"
}

# vm ARGS: runs vmrun to its end; its output is in the files out and err, its exit code in $code. Never longer than $limit.
limit=60
vm() {
  started=$(now)
  timeout -s KILL "$limit" "$VMRUN" "$@" >"$T/out" 2>"$T/err"
  code=$?
  [ $(($(now) - started)) -lt $((limit * 100)) ] || note "vmrun was still running after $limit s: $*"
}

# vm_background ARGS: starts vmrun with the default signal actions (a shell's background jobs ignore SIGINT, and get /dev/null for
# standard input unless it is given by another number); its process is $vm.
vm_background() {
  exec 8<&0
  "$PROBE" default "$VMRUN" "$@" >"$T/out" 2>"$T/err" <&8 8<&- &
  vm=$!
  exec 8<&-
}

# until_has FILE ERE [SECONDS]: waits for a line.
until_has() {
  give_up=$(($(now) + ${3:-40} * 100))
  until grep -aEq -- "$2" "$1" 2>/dev/null; do
    [ "$(now)" -lt $give_up ] || { note "no line with /$2/ after ${3:-40} s in: $(excerpt "$1")"; return 1; }
    sleep 0.1
  done
}

# end_of PID [SECONDS]: waits for it, kills it when that takes too long; its exit code is in $code.
end_of() {
  give_up=$(($(now) + ${2:-30} * 100))
  while [ -e "/proc/$1" ]; do
    read -r _ _ state _ <"/proc/$1/stat" || break
    [ "$state" != Z ] || break
    [ "$(now)" -lt $give_up ] || { note "process $1 did not end within ${2:-30} s, and was killed"; kill -9 "$1"; break; }
    sleep 0.05
  done 2>/dev/null
  wait "$1" 2>/dev/null
  code=$?
}

# run_tests FILE [SHARD OF]: runs every wanted test of FILE, or each OF-th beginning with SHARD (from 0).
run_tests() {
  number=0
  for test in $(sed -n 's/^test_\([A-Za-z0-9_]*\)().*/\1/p' "$1"); do
    number=$((number + 1))
    [ $((number % ${3:-1})) = "${2:-0}" ] || continue
    wanted "$test" || continue
    # In a shell of its own, so that one test cannot spoil another. One that ends early says so.
    (
      begin "$test"
      "test_$test"
      ! command -v after_test >/dev/null || after_test
      conclude
      : >"$WORK/concluded"
    )
    [ -e "$WORK/concluded" ] || printf 'FAIL %s\n    the test itself ended early\n' "$GROUP/$test"
    rm -f "$WORK/concluded"
  done
}

md5() { md5sum <"$1" | cut -d' ' -f1; }
