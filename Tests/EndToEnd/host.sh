# The built-in guest on this host's own KVM, whichever kind that is.

test_program_is_static_and_small() {
  within "the binary's bytes" "$(stat -Lc %s "$VMRUN")" 1 5242880
  readelf -lW "$VMRUN" >headers 2>&1
  has "readelf" headers 'LOAD'
  hasnot "a static program asks for no interpreter" headers 'INTERP'
  readelf -dW "$VMRUN" >dynamic 2>&1
  hasnot "a static program needs no library" dynamic 'NEEDED'
  readelf -SW "$VMRUN" >sections 2>&1
  hasnot "a stripped program has no symbols" sections '\.symtab'
}

test_help_and_version() {
  vm --help
  is "exit code" $code 0
  has "--help" out '^usage:'
  for option in kernel initrd append boot cpus memory disk timeout console rootfs env workdir user hostname tty timings; do
    has "--help names --$option" out "^ +--$option"
  done
  empty "standard error" err
  vm --version
  is "exit code" $code 0
  has "--version" out '^vmrun version [0-9]+\.[0-9]+'
  "$VMRUN" --help >/dev/full 2>err
  is "exit code of --help on a full disk" $? 125
}

test_description() {
  vm
  is "exit code" $code 0
  has "what it is" out "^vmrun's minimal guest"
  has "the hypervisor's signature" out 'KVMKVMKVM'
  has "memory" out '^memory +32 MiB, .* holds data$'
  has "CPUs" out '^CPUs +1$'
  vm --append 'echo=a exit=0' --append echo=b
  has "its command line" out '^command line +echo=a exit=0 echo=b$'
}

test_exit_codes() {
  for wanted_code in 0 1 2 7 42 100 119 120 124 125 126 127 128 137 200 254 255; do
    vm --append "quiet exit=$wanted_code"
    is "exit=$wanted_code" $code $wanted_code
    empty "standard output" out
    empty "standard error" err
  done
  vm --append 'exit=256'
  is "a code that does not exist" $code 125
  has "the guest says so" out 'not understood: exit=256'
  vm --append 'nonsense'
  is "a word it does not know" $code 125
  has "the guest says so" out 'not understood: nonsense'
}

test_echo() {
  vm --append 'quiet echo=hello exit=3'
  is "exit code" $code 3
  is "output" "$(cat out)" hello
  is "output's bytes" "$(wc -c <out)" 6
}

test_flood() {
  vm --append 'quiet flood=150001 exit=9'
  is "exit code" $code 9
  yes '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-' | head -c 150001 >expected
  same "flood" out expected
}

test_flood_into_a_slow_pipe() {
  yes '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-' | head -c 60000 >expected
  { timeout 60 "$VMRUN" --append 'quiet flood=60000 exit=9' 2>err; echo $? >ended; } | { sleep 1; cat; } >out
  is "exit code" "$(cat ended)" 9
  same "flood" out expected
}

test_cat_through_stdin() {
  head -c 32768 /dev/urandom | tr '\004' '\005' >data
  vm --append 'quiet cat exit=5' <data
  is "exit code" $code 5
  same "what came back" out data
  vm --append 'quiet cat exit=6' </dev/null
  is "exit code, /dev/null" $code 6
  empty "what came back from /dev/null" out
  # In pieces, with pauses: a guest that waits for input is not at its end.
  (printf one; sleep 0.3; printf two; sleep 0.3; printf three) | vm --append 'quiet cat'
  is "in pieces" "$(cat out)" onetwothree
}

test_poweroff() {
  vm --append 'quiet echo=x poweroff'
  is "output" "$(cat out)" x
  is "exit code" $code 0
  empty "standard error" err
}

test_reset() {
  vm --append 'quiet reset'
  is "exit code" $code 121
  has "message" err '^vmrun: .*restart'
}

test_fault() {
  vm --append 'quiet fault'
  is "exit code" $code 123
  has "message" err '^vmrun: .*triple fault'
}

test_halt() {
  vm --append 'quiet halt'
  is "exit code" $code 120
  has "message" err '^vmrun: .*hangs'
}

test_timeout() {
  start=$(now)
  vm --append 'quiet spin' --timeout 400ms
  took=$(($(now) - start))
  is "exit code" $code 124
  has "message" err '^vmrun: .*400 ms.*--timeout'
  within "hundredths of a second" $took 38 400
  start=$(now)
  mkfifo never
  sleep 20 >never &
  sleeper=$!
  vm --append 'quiet cat' --timeout 0.4 <never
  kill $sleeper
  is "exit code while it waits for input" $code 124
  within "hundredths of a second" $(($(now) - start)) 38 400
}

test_timeout_with_a_stopped_reader() {
  mkfifo pipe
  sleep 30 <pipe &
  reader=$!
  start=$(now)
  timeout -k 1 30 "$VMRUN" --append 'quiet flood=4000000' --timeout 1 >pipe 2>err
  code=$?
  kill $reader
  is "exit code" $code 124
  within "hundredths of a second" $(($(now) - start)) 95 1000
}

test_memory_sizes() {
  for size in 2M 3M 17M 64M 1G 3071M 3G 3073M 4G 5G 8G; do
    vm --memory $size
    is "exit code with $size" $code 0
    case $size in *G) mib=$((${size%G} * 1024)) ;; *) mib=${size%M} ;; esac
    has "memory of $size" out "^memory +$mib MiB, last page at 0x[0-9a-f]+ holds data\$"
  done
  vm --memory 8388608K
  has "the same in KiB" out '^memory +8192 MiB'
  vm --memory 2MiB
  has "MiB" out '^memory +2 MiB'
}

test_console_choices() {
  vm --console stderr --append 'quiet echo=x'
  is "on stderr" "$(cat err)" x
  empty "stdout then" out
  vm --console none --append 'quiet echo=x exit=4'
  is "exit code with none" $code 4
  empty "stdout with none" out
  empty "stderr with none" err
  echo "what was there before, and longer" >log
  vm --console log --append 'quiet echo=x'
  is "in a file" "$(cat log)" x
  empty "stdout with a file" out
  vm --console "$T/none/log"
  is "exit code with a file in no folder" $code 125
  has "message" err 'none/log.*No such file'
}

test_closed_streams() {
  timeout 20 "$VMRUN" --append 'quiet echo=x exit=5' 2>err >&-
  is "exit code with closed stdout" $? 5
  empty "stderr then" err
  timeout 20 "$VMRUN" --append 'quiet echo=x exit=6' >out 2>&-
  is "exit code with closed stderr" $? 6
  is "stdout then" "$(cat out)" x
  timeout 20 "$VMRUN" --append 'quiet cat echo=x exit=7' <&- >out 2>err
  is "exit code with closed stdin" $? 7
  is "stdout then" "$(cat out)" x
  timeout 20 "$VMRUN" --append 'quiet cat echo=x flood=1000 exit=8' <&- >&- 2>&-
  is "exit code with all three closed" $? 8
  timeout 20 "$VMRUN" --append 'reset' <&- >&- 2>&-
  is "exit code of a failing guest with all three closed" $? 121
  # Nothing that is not meant for it goes into a file that happens to get a closed descriptor's number.
  timeout 20 "$VMRUN" --console log --append 'quiet echo=y exit=9' >&- 2>&-
  is "exit code with a console file and closed streams" $? 9
  is "the console file" "$(cat log)" y
  timeout 20 "$VMRUN" --console stderr --append 'quiet echo=z reset' 2>err >&-
  is "exit code with the console on stderr" $? 121
  has "console on stderr" err '^z$'
}

test_full_disk() {
  timeout 20 "$VMRUN" --append 'quiet flood=100000' >/dev/full 2>err
  is "exit code" $? 125
  has "message" err 'No space left'
}

test_reader_goes_away() {
  { timeout 20 "$VMRUN" --append 'quiet flood=4000000' 2>err; echo $? >ended; } | head -c 100 >out
  is "bytes" "$(wc -c <out)" 100
  is "exit code, as with any program that loses its reader" "$(cat ended)" 141
}

test_timings_table() {
  vm --append 'quiet echo=x exit=3' --timings
  is "exit code" $code 3
  is "stdout stays the guest's" "$(cat out)" x
  for phase in parse 'open KVM' 'create VM' memory 'kernel load' vCPU 'first entry|kernel' 'first byte' exit teardown; do
    has "table" err "^($phase) +[0-9]+\.[0-9]{3} +[0-9]+\.[0-9]{3}\$"
  done
}

test_timings_json() {
  command -v python3 >/dev/null || { skip "python3 is not installed"; return; }
  for guest in exit=3 poweroff reset; do
    vm --append "quiet echo=x $guest" --timings=json
    wanted_code=$code
    tail -n 1 err >json
    CODE=$wanted_code python3 - json >python 2>&1 <<'PY'
import json, os, sys
text = open(sys.argv[1]).read()
value = json.loads(text)
assert value["exit_code"] == int(os.environ["CODE"]), value
ends = [phase["end_ns"] for phase in value["phases"]]
assert len(ends) >= 8 and ends == sorted(ends), ends
assert sum(phase["took_ns"] for phase in value["phases"]) == ends[-1]
assert 0 < ends[-1] < 60e9
names = [phase["phase"] for phase in value["phases"]]
assert len(set(names)) == len(names)
print("good")
PY
    is "JSON of $guest" "$(cat python)" good
  done
}

test_sigint_ends_it() {
  for pair in INT:130 TERM:143 HUP:129; do
    vm_background --append 'echo=up spin' </dev/null
    until_has out '^up$'
    kill -s "${pair%:*}" $vm
    end_of $vm 10
    is "exit code after SIG${pair%:*}" $code "${pair#*:}"
  done
  mkfifo never
  sleep 30 >never &
  sleeper=$!
  vm_background --append 'echo=up cat' <never
  until_has out '^up$'
  kill -s INT $vm
  end_of $vm 10
  kill $sleeper
  is "exit code after SIGINT while it waits for input" $code 130
}

test_kill_leaves_nothing() {
  mkdir tmp cache run
  TMPDIR=$T/tmp XDG_CACHE_HOME=$T/cache XDG_RUNTIME_DIR=$T/run
  export TMPDIR XDG_CACHE_HOME XDG_RUNTIME_DIR
  ls -A /dev/shm >before
  vm_background --append 'echo=up spin' </dev/null
  until_has out '^up$'
  is "child processes" "$(cat /proc/$vm/task/*/children)" ""
  kill -9 $vm
  wait $vm 2>/dev/null
  is "exit code" $? 137
  is "files" "$(find tmp cache run -type f -o -type s -o -type p)" ""
  ls -A /dev/shm >after
  same "/dev/shm" after before
  [ ! -e /proc/$vm ]
  is "the process is gone" $? 0
}

test_many_at_once() {
  i=0
  while [ $i -lt 20 ]; do
    i=$((i + 1))
    (
      timeout 60 "$VMRUN" --append "quiet echo=number-$i exit=$i" >out.$i 2>err.$i
      echo $? >code.$i
    ) &
  done
  wait
  i=0
  while [ $i -lt 20 ]; do
    i=$((i + 1))
    is "exit code of number $i" "$(cat code.$i)" $i
    is "output of number $i" "$(cat out.$i)" number-$i
    empty "errors of number $i" err.$i
  done
}

test_runs_from_anywhere() {
  cp "$VMRUN" copy
  (cd / && env -i "$T/copy" --append 'quiet exit=11')
  is "exit code with no environment, from /" $? 11
  chmod 111 copy
  ./copy --append 'quiet exit=12'
  is "exit code of a program that cannot be read" $? 12
  env -i HOME=/nonexistent XDG_CACHE_HOME=/proc/none "$VMRUN" --append 'quiet exit=13'
  is "exit code without a usable cache folder" $? 13
}

test_terminal_is_given_back() {
  "$PROBE" pty -t "$VMRUN" --append 'quiet echo=x exit=3' >out 2>err </dev/null
  is "exit code" $? 3
  has "output" out '^x'
  has "terminal" err 'settings are as before'
}
