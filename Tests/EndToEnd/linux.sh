# Linux guests: sourced by nobody, run by busybox's sh or any other in the machine where KVM works. `linux.sh SHARD OF`.
E=$(cd "$(dirname "$0")" && pwd)
VMRUN=$E/vmrun PROBE=$E/probe GROUP=linux WORK=$E/work
export XDG_CACHE_HOME=$WORK/cache
mkdir -p "$WORK"
. "$E/harness.sh"
K61=$E/bz61 K612=$E/bz612 R=$E/rootfs
# What these tests are about is KVM's rung: asked for, so that nothing is said about it. The runtime's verbs know no rungs.
OWN=$VMRUN VMRUN=$WORK/direct
printf '#!/bin/sh\ncase $1 in -*) exec "%s" --backend kvm "$@" ;; *) exec "%s" "$@" ;; esac\n' "$OWN" "$OWN" >"$VMRUN"
chmod 755 "$VMRUN"

# guest ARGS: a command in Debian's 6.1.
guest() { vm --kernel "$K61" --rootfs "$R" "$@"; }

# --------------------------------------------------------------------------------------------------- a command's streams

test_output_errors_and_exit_code() {
  guest -- sh -c 'echo out; echo err >&2; exit 7'
  is "exit code" $code 7
  is "stdout" "$(cat out)" out
  is "stderr" "$(cat err)" err
}

test_streams_are_exact() {
  head -c 3100000 /dev/urandom >data
  vm --kernel "$K61" --rootfs "$R" -- sh -c 'cat /noise >&2 & cat; wait' <data
  is "exit code" $code 0
  same "stdin to stdout" out data
  same "stderr" err "$R/noise"
}

test_streams_through_slow_pipes() {
  head -c 400000 "$R/noise" >data
  (head -c 200000 data; sleep 1; tail -c 200000 data) |
    { timeout -s KILL 60 "$VMRUN" --kernel "$K61" --rootfs "$R" -- sh -c 'cat; echo end >&2; exit 9' 2>err; echo $? >ended; } |
    (sleep 6; cat) >out
  is "exit code" "$(cat ended)" 9
  same "stdin to stdout" out data
  is "stderr" "$(cat err)" end
}

test_one_file_for_both_keeps_the_order() {
  timeout -s KILL 60 "$VMRUN" --kernel "$K61" --rootfs "$R" -- \
    sh -c 'for i in 1 2 3 4 5; do echo out$i; sleep 0.1; echo err$i >&2; sleep 0.1; done' >out 2>&1
  is "order" "$(tr '\n' ' ' <out)" 'out1 err1 out2 err2 out3 err3 out4 err4 out5 err5 '
}

test_stdin_closed_and_null() {
  vm --kernel "$K61" --rootfs "$R" -- sh -c 'wc -c; exit 3' </dev/null
  is "exit code, /dev/null" $code 3
  is "bytes of /dev/null" "$(cat out)" 0
  timeout -s KILL 60 "$VMRUN" --kernel "$K61" --rootfs "$R" -- sh -c 'wc -c; exit 4' >out 2>err <&-
  is "exit code, closed" $? 4
  is "bytes of a closed stdin" "$(cat out)" 0
}

test_output_closed() {
  timeout -s KILL 60 "$VMRUN" --kernel "$K61" --rootfs "$R" -- sh -c 'echo out; echo err >&2; exit 4' 2>err >&-
  is "exit code, closed stdout" $? 4
  is "stderr" "$(cat err)" err
  timeout -s KILL 60 "$VMRUN" --kernel "$K61" --rootfs "$R" -- sh -c 'echo out; exit 5' >out 2>&- <&-
  is "exit code, closed stderr and stdin" $? 5
  is "stdout" "$(cat out)" out
}

test_reader_goes_away() {
  { timeout -s KILL 60 "$VMRUN" --kernel "$K61" --rootfs "$R" -- yes 2>err; echo $? >ended; } | head -n 3 >out
  is "lines" "$(wc -l <out)" 3
  is "exit code" "$(cat ended)" 141
}

test_unread_input_does_not_hold_it() {
  vm --kernel "$K61" --rootfs "$R" -- sh -c 'head -c 5; exit 6' <"$R/noise"
  is "exit code" $code 6
  is "bytes" "$(wc -c <out)" 5
}

# ---------------------------------------------------------------------------------------------------- how a command ends

test_exit_codes() {
  guest -- true
  is "true" $code 0
  empty "stdout" out
  empty "stderr" err
  guest -- /etc/passwd
  is "a file that is no program" $code 126
  has "message" err '^vmrun: .*/etc/passwd'
  guest -- no-such-program
  is "a command that is not there" $code 127
  has "message" err '^vmrun: .*no-such-program'
}

test_signals_that_end_the_command() {
  guest -- sh -c 'echo before; kill -9 $$'
  is "killed by SIGKILL" $code 137
  is "what it said before" "$(cat out)" before
  guest -- sh -c 'kill -TERM $$'
  is "ended by SIGTERM" $code 143
}

test_signals_are_forwarded() {
  vm_background --kernel "$K61" --rootfs "$R" -- \
    sh -c 'trap "echo HUP" HUP; trap "echo INT" INT; trap "echo TERM; exit 3" TERM; echo up; while :; do sleep 0.1; done' </dev/null
  until_has out '^up$'
  kill -s HUP $vm
  until_has out '^HUP$' 10
  kill -s INT $vm
  until_has out '^INT$' 10
  kill -s TERM $vm
  end_of $vm 15
  is "exit code" $code 3
  is "output" "$(tr '\n' ' ' <out)" 'up HUP INT TERM '
}

test_signals_end_a_plain_command() {
  vm_background --kernel "$K61" --rootfs "$R" -- sh -c 'echo up; exec sleep 100' </dev/null
  until_has out '^up$'
  kill -s TERM $vm
  end_of $vm 15
  is "exit code" $code 143
}

test_third_interrupt_ends_it() {
  vm_background --kernel "$K61" --rootfs "$R" -- sh -c 'trap "" INT; echo up; sleep 100' </dev/null
  until_has out '^up$'
  for i in 1 2; do
    kill -s INT $vm
    sleep 0.5
    [ -e /proc/$vm/exe ]
    is "still running after SIGINT number $i" $? 0
  done
  kill -s INT $vm
  end_of $vm 10
  is "exit code" $code 130
}

test_interrupt_while_it_boots() {
  vm_background --kernel "$K61" --rootfs "$R" -- sleep 100 </dev/null
  sleep 1
  kill -s INT $vm
  end_of $vm 5
  is "exit code" $code 130
}

test_timeout() {
  start=$(now)
  guest --timeout 9 -- sh -c 'echo up; sleep 100'
  is "exit code" $code 124
  has "message" err '^vmrun: .*9 s.*--timeout'
  within "hundredths of a second" $(($(now) - start)) 890 1200
  has "it had started" out '^up$'
  start=$(now)
  guest --timeout 1s -- sh -c 'echo up'
  is "exit code in the middle of the boot" $code 124
  within "hundredths of a second" $(($(now) - start)) 95 400
}

test_children_do_not_hold_it() {
  guest -- sh -c 'sleep 1000 >/dev/null 2>&1 & echo done; exit 8'
  is "exit code" $code 8
  is "output" "$(cat out)" done
}

# -------------------------------------------------------------------------------------------------- what a command finds

test_environment() {
  guest --env 'A=x y' --env B= -e 'C=a=b' --workdir /root/new --hostname some-host --user 1000:1001 -- \
    sh -c 'echo "$A|$B|$C"; echo ${B-unset}; pwd; hostname; id -u; id -g; touch /denied'
  is "what it printed" "$(tr '\n' ' ' <out)" 'x y||a=b  /root/new some-host 1000 1001 '
  has "a user without rights" err 'denied'
  guest -- sh -c 'pwd; hostname; id -u; id -g; umask; ls /proc/self/fd | wc -l; grep -E "^Sig(Blk|Ign)" /proc/self/status; echo $PATH; cat /proc/1/comm'
  is "exit code" $code 0
  is "where, who, and the mask" "$(sed -n 1,5p out | tr '\n' ' ')" '/ vmrun 0 0 0022 '
  is "descriptors of ls: three and its folder" "$(sed -n 6p out)" 4
  has "no signal is blocked" out 'SigBlk:.0000000000000000'
  has "no signal is ignored" out 'SigIgn:.0000000000000000'
  has "a search path" out '/bin'
}

test_mounts_and_devices() {
  guest -- sh -c 'for f in /proc /sys /dev /dev/pts /tmp /run; do grep -q " $f " /proc/mounts && echo $f; done
    for n in null zero full random urandom tty; do [ -c /dev/$n ] && echo $n; done
    echo x >/tmp/file && echo x >/run/file && echo x >/dev/shm/file && echo x >/new && echo writable
    [ -L /dev/fd ] && echo fd; echo through >/dev/stdout; ls /vmrun 2>&1 | wc -l; ifconfig lo | grep -c 127.0.0.1
    head -c 16 /dev/urandom | wc -c'
  is "exit code" $code 0
  is "what is there" "$(sed '/No such file/d' out | tr '\n' ' ')" \
    '/proc /sys /dev /dev/pts /tmp /run null zero full random urandom tty writable fd through 1 1 16 '
}

test_rootfs_stays_and_is_copied_exactly() {
  cp -a "$R" tree
  rm tree/noise
  mkdir -p "tree/odd/with space" tree/odd/deep/er
  echo one >"tree/odd/with space/a file"
  printf 'two\n' >"$(printf 'tree/odd/new\nline')"
  echo three >"$(printf 'tree/odd/\377\376not-utf8')"
  : >tree/odd/empty
  ln tree/odd/empty tree/odd/empty-too
  echo shared >tree/odd/hard1
  ln tree/odd/hard1 tree/odd/deep/hard2
  ln -s hard1 tree/odd/soft
  ln -s /nowhere/at/all tree/odd/dangling
  ln -s ../../../../../../etc/passwd tree/odd/outside
  echo setuid >tree/odd/setuid
  chmod 4755 tree/odd/setuid
  chmod 1777 tree/odd/deep
  chmod 000 tree/odd/empty
  mkfifo tree/odd/fifo
  nodes=0
  if mknod tree/odd/null c 1 3 2>/dev/null && mknod tree/odd/block b 7 200; then nodes=2; fi
  chown 1234:5678 tree/odd/setuid 2>/dev/null && chmod 4755 tree/odd/setuid
  touch -d '2001-02-03 04:05:06' tree/odd/hard1
  cat >tree/look <<'SH'
cd $1/odd
find . -exec stat -c '%A %u:%g %h %s %t:%T %n' {} + | LC_ALL=C sort | sed 's/^\(d[^ ]* [^ ]*\) [0-9]* [0-9]*/\1 - -/'
readlink soft; readlink dangling; readlink outside
stat -c '%Y' hard1
find . -type f ! -name 'empty*' -exec md5sum {} + | LC_ALL=C sort
[ hard1 -ef deep/hard2 ] && echo one file
SH
  # Directories' sizes differ by file system, so they are left out; the whole tree's state on the host does not change.
  state() { (cd tree && find . -exec stat -c '%n %A %u:%g %h %s %Y %Z %i' {} + | LC_ALL=C sort; find . -type f -exec md5sum {} + | LC_ALL=C sort); }
  # By the same tools on both sides.
  PATH=$R/bin "$R/bin/sh" tree/look tree >expected 2>&1
  state >before
  vm --kernel "$K61" --rootfs tree -- sh -c 'sh /look ""; rm -rf /odd /etc; echo new >/bin/file; chmod 700 /bin'
  is "exit code" $code 0
  same "the copy" out expected
  empty "errors" err
  state >after
  same "the host's folder" after before
  within "lines that were compared" "$(wc -l <out)" $((17 + nodes)) 60
  has "the hard link is one file" out '^one file$'
}

test_program_of_another_user() {
  [ "$(id -u)" = 0 ] || { skip "only root can become another user"; return; }
  mkdir cache
  chmod 755 "$E" "$WORK" && chown 1000:1000 "$T" cache
  XDG_CACHE_HOME=$T/cache timeout -s KILL 60 "$PROBE" user 1000 "$VMRUN" --kernel "$K61" --rootfs "$R" -- id -u >out 2>err
  is "exit code" $? 0
  is "in the guest it is root all the same" "$(cat out)" 0
}

# -------------------------------------------------------------------------------------------------------------- terminals

test_terminal() {
  (sleep 12; printf 'echo typed\n'; sleep 1; printf '\003'; sleep 2; printf 'exit 5\n'; sleep 3) |
    timeout -s KILL 60 "$PROBE" pty -t -s 33x111 -r 11000:44x122 "$VMRUN" --kernel "$K61" --rootfs "$R" --tty -- \
      sh -c 'tty; stty size; trap "echo resized \$(stty size)" WINCH; trap "echo interrupted" INT; echo up; while :; do read -r line && eval "$line"; done' >out 2>err
  code=$?
  is "exit code" $code 5
  has "a terminal" out '^/dev/(pts/[0-9]+|console|tty)'
  has "its size" out '^33 111'
  has "its size after a change" out 'resized 44 122'
  has "what is typed arrives" out '^typed'
  has "Ctrl-C interrupts the command" out 'interrupted'
  has "vmrun's own terminal is given back" err 'settings are as before'
}

test_terminal_escape() {
  (sleep 12; printf '\001x'; sleep 5) |
    timeout -s KILL 60 "$PROBE" pty -t "$VMRUN" --kernel "$K61" --rootfs "$R" --tty -- sh -c 'echo up; exec sleep 100' >out 2>err
  code=$?
  is "exit code" $code 130
  has "it had started" out '^up'
  has "vmrun's own terminal is given back" err 'settings are as before'
}

test_no_terminal_without_asking() {
  guest -- sh -c 'for i in 0 1 2; do [ -t $i ] && echo $i; done; echo none' </dev/null
  is "exit code" $code 0
  is "terminals" "$(cat out)" none
}

# ---------------------------------------------------------------------------------------------- kernels and their machine

# cpus KERNEL SERIES N
cpus() {
  vm --kernel "$1" --rootfs "$R" --cpus "$3" -- sh -c 'nproc; grep -c ^processor /proc/cpuinfo; uname -r; grep -c hypervisor /proc/cpuinfo; cat /sys/devices/system/clocksource/clocksource0/current_clocksource; dmesg | grep -E "unregister_netdev|stall|BUG:|WARNING:|lockup|Spurious|irq .*nobody" | head -n 3'
  is "exit code with $3 CPUs" $code 0
  is "CPUs" "$(sed -n 1p out)" "$3"
  is "processors in /proc/cpuinfo" "$(sed -n 2p out)" "$3"
  case $(sed -n 3p out) in $2.*) is "kernel" "$2" "$2" ;; *) is "kernel" "$(sed -n 3p out)" "$2" ;; esac
  is "it knows that it is a guest, on every CPU" "$(sed -n 4p out)" "$3"
  has "clock source" out '^(kvm-clock|tsc)$'
  # In the lab the emulated CPU's XSAVE makes Debian's kernel complain, under every VMM.
  is "complaints in the kernel's log" "$(sed -n '6,$p' out | { [ "$PLACE" = lab ] && grep -v 'fpu/xstate\.c' || cat; })" ''
}

test_debian_6_1_one_and_two_cpus() { cpus "$K61" 6.1 1; cpus "$K61" 6.1 2; }
test_debian_6_1_three_and_four_cpus() { cpus "$K61" 6.1 3; cpus "$K61" 6.1 4; }
test_debian_6_12_one_and_two_cpus() {
  [ -f "$K612" ] || { skip "Debian's 6.12 kernel could not be fetched"; return; }
  cpus "$K612" 6.12 1
  cpus "$K612" 6.12 2
}
test_debian_6_12_three_and_four_cpus() {
  [ -f "$K612" ] || { skip "Debian's 6.12 kernel could not be fetched"; return; }
  cpus "$K612" 6.12 3
  cpus "$K612" 6.12 4
}

test_boot_modes() {
  XDG_CACHE_HOME=$T/cache
  vm --kernel "$K61" --rootfs "$R" --boot decompress -- uname -r
  is "exit code of decompress" $code 0
  has "kernel" out '^6\.1\.'
  is "nothing is kept in the cache" "$(find cache -type f 2>/dev/null | wc -l)" 0
  vm --kernel "$K61" --rootfs "$R" --boot direct -- uname -r
  is "exit code of direct" $code 0
  has "kernel" out '^6\.1\.'
  within "files in the cache then" "$(find cache -type f | wc -l)" 1 2
  vm --kernel "$E/vmlinux61" --rootfs "$R" -- uname -r
  is "exit code of an ELF vmlinux" $code 0
  has "kernel" out '^6\.1\.'
}

test_decompressed_by_the_6_12_kernel_itself() {
  [ -f "$K612" ] || { skip "Debian's 6.12 kernel could not be fetched"; return; }
  vm --kernel "$K612" --rootfs "$R" --boot decompress -- uname -r
  is "exit code" $code 0
  has "kernel" out '^6\.12\.'
}

test_cache() {
  XDG_CACHE_HOME=$T/cache
  guest --timings=json -- true
  is "exit code of the first start" $code 0
  first=$(sed -n 's/.*"kernel load",.*"end_ns":\([0-9]*\)},{"phase":"vCPU".*/\1/p' err)
  find cache -type f | sort >files
  within "files in the cache" "$(wc -l <files)" 1 3
  find cache -type f -exec stat -c '%n %i %Y' {} + | sort >before
  guest --timings=json -- true
  is "exit code of the second start" $code 0
  second=$(sed -n 's/.*"kernel load",.*"end_ns":\([0-9]*\)},{"phase":"vCPU".*/\1/p' err)
  find cache -type f -exec stat -c '%n %i %Y' {} + | sort >after
  same "the cache's files" after before
  checks=$((checks + 1))
  [ "$second" -lt "$first" ] || note "the kernel was loaded after $second ns in the second start, after $first in the first"
  # Damage: noticed, and made good.
  largest=$(find cache -type f -exec stat -c '%s %n' {} + | sort -n | tail -n 1 | cut -d' ' -f2-)
  chmod u+w "$largest"
  head -c 5000000 "$R/noise" | head -c 3000000 | dd of="$largest" bs=65536 seek=16 conv=notrunc 2>/dev/null
  guest -- uname -r
  is "exit code with a damaged cache" $code 0
  has "kernel" out '^6\.1\.'
}

test_memory_least() {
  # 80M is what --help promises for Debian's kernels. A command's root is copied, so it needs more.
  for kernel in "$K61" "$K612"; do
    [ -f "$kernel" ] || continue
    vm --kernel "$kernel" --initrd "$E/initramfs.cpio" --memory 80M --append 'quiet rdinit=/init e2e=hello' </dev/null
    is "exit code with 80M" $code 0
    has "it said hello" out '^hello from 6\.'
    vm --kernel "$kernel" --initrd "$E/initramfs.cpio" --memory 64M --append 'quiet rdinit=/init e2e=hello' </dev/null
    case $code in
      0) has "it said hello in 64M" out '^hello from 6\.' ;;
      *) has "with 64M it says what to do" err 'more (with )?--memory' ;;
    esac
  done
}

# memory SIZE LEAST MOST: in MiB, what the guest has of it.
memory() {
  guest --memory "$1" -- sh -c 'sed -n "s/^MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo
    head -c 100000000 /dev/zero >/tmp/zeros && md5sum </tmp/zeros; grep -c "^1[0-9a-f]*-.*System RAM" /proc/iomem || true'
  is "exit code with $1" $code 0
  within "MiB" $(($(sed -n 1p out) / 1024)) "$2" "$3"
  is "what was written and read" "$(sed -n 2p out)" "0f86d7c5a6180cf9584c1d21144d85b0  -"
}

test_memory_512M() { memory 512M 440 512; }

test_memory_across_the_hole() {
  memory 4G 3800 4096
  is "memory above 4 GiB" "$(sed -n 3p out)" 1
  memory 3G 2900 3072
  is "memory above 4 GiB with 3G" "$(sed -n 3p out)" 0
}

test_two_at_once() {
  for i in 1 2; do
    timeout -s KILL 90 "$VMRUN" --kernel "$K61" --rootfs "$R" -- sh -c "echo number-$i; md5sum </noise; exit 1$i" >out.$i 2>err.$i &
    eval "vm$i=\$!"
  done
  wait $vm1
  is "exit code of the first" $? 11
  wait $vm2
  is "exit code of the second" $? 12
  for i in 1 2; do
    is "output" "$(cat out.$i)" "number-$i
$(md5sum <"$R/noise")"
    empty "errors" err.$i
  done
}

test_timings() {
  guest --timings -- echo x
  is "exit code" $code 0
  is "output" "$(cat out)" x
  for phase in parse 'open KVM' 'create VM' memory 'kernel load' vCPU kernel init 'first byte' exit teardown; do
    has "table" err "^$phase +[0-9]+\.[0-9]{3} +[0-9]+\.[0-9]{3}\$"
  done
}

test_auto_proves_kvm_and_takes_it() {
  VMRUN=$OWN
  XDG_CACHE_HOME=$T/cache
  export XDG_CACHE_HOME
  for turn in proven remembered; do
    guest -- sh -c 'uname -r; exit 7'
    is "exit code ($turn)" $code 7
    is "standard error ($turn)" "$(cat err)" 'vmrun: backend kvm: the probe guest ran what stock kernels do'
  done
  has "what is remembered" cache/vmrun/kvm-probe '^verdict capable$'
  has "of this module" cache/vmrun/kvm-probe '^module kvm_(amd|intel)$'
  echo "probe: $(sed -n 's/^took //p' cache/vmrun/kvm-probe) ns"
  guest --quiet --timings=json -- true
  is "exit code" $code 0
  has "the rung in --timings=json" err '^\{.*"backend":\{"name":"kvm","acceleration":"kvm","machine":"microvm","reason":"the probe guest ran'
  has "the kernel in it" err '"kernel":"/.*/bz61"'
  is "and nothing else is said" "$(wc -l <err)" 1
}

test_own_memory_while_idle() {
  vm_background --kernel "$K61" --rootfs "$R" -- sh -c 'echo up; exec sleep 100' </dev/null
  until_has out '^up$'
  sleep 1
  cp /proc/$vm/smaps smaps
  kill -s TERM $vm
  end_of $vm 15
  # Guest RAM: mappings that follow each other without a gap to 256 MiB, the kernel's own among them.
  awk '/^[0-9a-f]+-[0-9a-f]+ / { split($1, a, "-"); if (a[1] != last) run++; last = a[2]; what = $6 }
    /^Size:/ { size[run] += $2 } /^Pss:/ { pss[run] += $2; if (what ~ /kernels/) kernel[run] = 1 }
    END { for (r in size) if (size[r] >= 262144) ram += pss[r]; else own += pss[r]; print own, ram }' smaps >sums
  own=$(cut -d' ' -f1 sums)
  within "KiB of its own" "$own" 1 2048
  within "KiB of guest RAM, to show that it is told apart" "$(cut -d' ' -f2 sums)" 10000 262144
  [ "$own" -le 2048 ] || awk '/^[0-9a-f]+-[0-9a-f]+ / { what = $0 } /^Pss:/ { if ($2 > 20) print $2 " KiB", what }' smaps | sort -rn | head -n 12 >>notes
  echo "     vmrun's own memory beside an idle guest's RAM: $own KiB (PSS)"
}

# ------------------------------------------------------------------------------------------------- how a guest ends

test_power_off() {
  guest -- sh -c 'echo up; sleep 1; poweroff -f; sleep 10; echo not-off'
  is "exit code" $code 0
  is "output" "$(cat out)" up
  empty "stderr" err
}

test_restart() {
  guest -- reboot -f
  is "exit code" $code 121
  has "message" err '^vmrun: .*restart'
}

test_halt() {
  guest -- halt -f
  is "exit code" $code 120
  has "message" err '^vmrun: .*hangs'
}

test_halt_with_four_cpus() {
  guest --cpus 4 -- halt -f
  is "exit code" $code 120
  has "message" err '^vmrun: .*hangs'
}

test_panic() {
  guest -- sh -c 'echo c >/proc/sysrq-trigger'
  is "exit code" $code 122
  has "message" err '^vmrun: .*panicked.*sysrq'
  guest --cpus 2 -- sh -c 'echo c >/proc/sysrq-trigger'
  is "exit code with two CPUs" $code 122
}

test_triple_fault() {
  guest --append reboot=t -- reboot -f
  is "exit code" $code 123
  has "message" err '^vmrun: .*triple fault'
}

test_no_init() {
  guest --append rdinit=/nowhere -- true
  is "exit code" $code 122
  has "message" err '^vmrun: .*panicked'
  has "what the kernel said is shown" err 'VFS|root'
}

test_exit_register() {
  guest -- sh -c 'probe port 0x604 7; sleep 10'
  is "exit code" $code 7
}

test_log_on_demand() {
  guest --verbose -- echo x
  is "exit code" $code 0
  is "stdout" "$(cat out)" x
  has "the kernel's log on stderr" err 'Linux version 6\.1'
  guest --console log -- echo y
  is "stdout" "$(cat out)" y
  empty "stderr" err
}

# ---------------------------------------------------------------------------------------------------- the serial console

console() { vm --kernel "$K61" --initrd "$E/initramfs.cpio" --append "quiet rdinit=/init e2e=$1"; }

test_console_flood() {
  console flood </dev/null
  is "exit code" $code 0
  yes 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ- | head -c 60000 >expected
  echo END >>expected
  # The kernel says something before and after; nothing may be lost or doubled in between.
  sed -n '/^0123/,/END$/p' out >flood
  same "flood" flood expected
}

test_console_input() {
  head -c 40000 /dev/urandom >data
  mkfifo pipe
  (until_has out READY 40; cat data; sleep 20) >pipe &
  feeder=$!
  console input <pipe
  kill $feeder 2>/dev/null
  is "exit code" $code 0
  has "its sum" out "$(md5 data)"
}

test_console_exit_code() {
  console exit </dev/null
  is "exit code" $code 42
}

test_console_panic() {
  console panic </dev/null
  is "exit code" $code 122
  has "message" err '^vmrun: .*panicked.*init'
  has "the log is on the console" out 'Kernel panic'
}

test_console_hang() {
  console hang </dev/null
  is "exit code" $code 120
}

test_console_closed_streams() {
  timeout -s KILL 60 "$VMRUN" --kernel "$K61" --initrd "$E/initramfs.cpio" --append 'quiet rdinit=/init e2e=exit' <&- >&- 2>&-
  is "exit code" $? 42
}

test_console_in_a_file() {
  vm --kernel "$K61" --initrd "$E/initramfs.cpio" --append 'quiet rdinit=/init e2e=hello' --console log
  is "exit code" $code 0
  has "file" log '^hello from 6\.1\.'
  empty "stdout" out
  vm --kernel "$K61" --initrd "$E/initramfs.cpio" --append 'rdinit=/init e2e=hello' --console none
  is "exit code" $code 0
  empty "stdout" out
  empty "stderr" err
}

test_console_shell_on_a_terminal() {
  (sleep 9; printf 'echo sum-$((40+2))\n'; sleep 1; printf '\001h'; sleep 1; printf '\001x'; sleep 5) |
    timeout -s KILL 60 "$PROBE" pty -t "$VMRUN" --kernel "$K61" --initrd "$E/initramfs.cpio" --append 'quiet rdinit=/init e2e=shell' >out 2>err
  code=$?
  is "exit code" $code 130
  has "the shell answers" out '^sum-42'
  has "the help of the escape" out 'Ctrl-A x'
  has "the terminal is given back" err 'settings are as before'
}

test_console_killed_on_a_terminal() {
  # SIGTERM to a vmrun that has the terminal in raw mode: the terminal comes back.
  cat >killed <<'SH'
"$1" --kernel "$2" --initrd "$3" --append 'quiet rdinit=/init e2e=shell' &
sleep 4
kill $!
wait $!
exit $?
SH
  timeout -s KILL 60 "$PROBE" pty -t sh killed "$VMRUN" "$K61" "$E/initramfs.cpio" >out 2>err </dev/null
  code=$?
  is "exit code" $code 143
  has "the terminal is given back" err 'settings are as before'
}

# ---------------------------------------------------------------------------------------------------------------- devices

LOAD='for m in $(cat /modules61/order); do insmod /modules61/$m.ko || exit 90; done'

test_disk() {
  truncate -s 64M disk.raw
  truncate -s 8M second.raw
  head -c 8388608 "$R/noise" | head -c 1000000 >content
  guest --disk disk.raw --disk second.raw -- sh -c "$LOAD"'
    [ -b /dev/vda ] || sleep 1
    cat /sys/block/vda/size /sys/block/vda/serial; echo; cat /sys/block/vda/ro /sys/block/vda/queue/write_cache
    mke2fs -q /dev/vda >/dev/null && mkdir /mnt && mount -t ext4 /dev/vda /mnt || exit 91
    cp /noise /mnt/noise && sync && umount /mnt && mount -t ext4 -o ro /dev/vda /mnt || exit 92
    md5sum </mnt/noise
    head -c 1000000 /noise | dd of=/dev/vdb bs=1000 seek=1 conv=fsync 2>/dev/null || exit 93
    printf "\377" | dd of=/dev/vdb bs=1 seek=8388607 conv=fsync 2>/dev/null || exit 94
    dd if=/dev/zero of=/dev/vdb bs=1 seek=8388608 count=1 conv=fsync 2>/dev/null && exit 95
    echo done'
  is "exit code" $code 0
  is "size, serial, rights" "$(sed -n 1,3p out | tr '\n' ' ')" '131072 vmrun-disk-0 0 '
  has "it has a cache that must be flushed" out '^write back$'
  is "what was read back" "$(sed -n 5p out)" "$(md5 "$R/noise")  -"
  dd if=second.raw bs=1000 skip=1 count=1000 2>/dev/null >written
  same "raw bytes on the host" written content
  is "the last byte on the host" "$(tail -c 1 second.raw | od -An -tx1 | tr -d ' ')" ff
  is "the file's size" "$(stat -c %s second.raw)" 8388608
  md5 disk.raw >before
  guest --disk disk.raw,ro -- sh -c "$LOAD"'
    cat /sys/block/vda/ro
    mkdir /mnt && mount -t ext4 -o ro /dev/vda /mnt || exit 91
    md5sum </mnt/noise
    dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync 2>/dev/null && exit 92; exit 0'
  is "exit code with ,ro" $code 0
  is "what is read from it" "$(tr '\n' ' ' <out)" "1 $(md5 "$R/noise")  - "
  is "a read-only disk's sum" "$(md5 disk.raw)" "$(cat before)"
}

test_disk_is_written_when_the_guest_is_killed() {
  truncate -s 8M disk.raw
  vm_background --kernel "$K61" --rootfs "$R" --disk disk.raw -- sh -c "$LOAD"'
    [ -b /dev/vda ] || sleep 1
    head -c 2000000 /noise | dd of=/dev/vda bs=4096 conv=fsync 2>/dev/null && echo synced; sleep 100' </dev/null
  until_has out '^synced$' 60
  kill -9 $vm
  wait $vm 2>/dev/null
  head -c 2000000 "$R/noise" >content
  head -c 2000000 disk.raw >written
  same "raw bytes on the host" written content
}

test_disk_load_from_many() {
  truncate -s 32M disk.raw
  guest --cpus 2 --disk disk.raw -- sh -c "$LOAD"'
    [ -b /dev/vda ] || sleep 1
    for i in 0 1 2 3; do head -c 3000000 /noise | dd of=/dev/vda bs=64k seek=$((i * 100)) conv=fsync 2>/dev/null & done; wait
    echo 3 >/proc/sys/vm/drop_caches
    for i in 0 1 2 3; do dd if=/dev/vda bs=64k skip=$((i * 100)) count=46 2>/dev/null | head -c 3000000 | md5sum & done; wait'
  is "exit code" $code 0
  is "four sums" "$(sort -u out)" "$(md5 "$R/noise")  -"
  is "how many" "$(wc -l <out)" 4
}

test_disk_with_6_12() {
  [ -f "$K612" ] || { skip "Debian's 6.12 kernel could not be fetched"; return; }
  truncate -s 16M disk.raw
  vm --kernel "$K612" --rootfs "$R" --disk disk.raw -- sh -c 'for m in $(cat /modules612/order); do insmod /modules612/$m.ko || exit 90; done
    [ -b /dev/vda ] || sleep 1
    head -c 1000000 /noise | dd of=/dev/vda bs=4096 conv=fsync 2>/dev/null || exit 91
    blkdiscard -o 0 -l 4096 /dev/vda 2>/dev/null; head -c 64 /dev/hwrng | wc -c'
  is "exit code" $code 0
  is "random bytes" "$(cat out)" 64
  head -c 1000000 "$R/noise" | tail -c +4097 >content
  head -c 1000000 disk.raw | tail -c +4097 >written
  same "raw bytes on the host" written content
}

test_entropy() {
  guest -- sh -c "$LOAD"'
    cat /sys/class/misc/hw_random/rng_current
    head -c 4096 /dev/hwrng >/a && head -c 4096 /dev/hwrng >/b && wc -c </a && gzip -c /a | wc -c; cmp -s /a /b || echo differ'
  is "exit code" $code 0
  has "the source" out '^virtio_rng'
  is "bytes" "$(sed -n 2p out)" 4096
  within "they cannot be compressed" "$(sed -n 3p out)" 4096 4300
  has "no two reads are alike" out '^differ$'
}

# ---------------------------------------------------------------------------------- containers on cgroup v2, as most hosts have it

# pure_v2: whether this machine has cgroup v2 alone; the lab's has.
pure_v2() {
  if ! [ -f /sys/fs/cgroup/cgroup.controllers ]; then skip "this machine's cgroups are not version 2 alone"; return 1; fi
  echo '+memory +pids +cpu' 2>/dev/null >/sys/fs/cgroup/cgroup.subtree_control
  grep -q memory /sys/fs/cgroup/cgroup.subtree_control || { skip "cgroup v2 hands no controllers down here"; return 1; }
}

test_container_on_cgroup_v2() {
  pure_v2 || return
  vm --container --rootfs "$R" --memory 64M --cpus 0.5 --pids 30 -- \
    sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /proc/self/cgroup; exit 7'
  is "exit code" $code 7
  is "its limits, at the root of its own cgroup namespace" "$(tr '\n' ' ' <out)" "67108864 50000 100000 0::/ "
  is "what is left" "$(find /sys/fs/cgroup -name 'vmrun-*')" ""
}

test_runtime_on_cgroup_v2() {
  pure_v2 || return
  mkdir bundle && cd bundle && ln -s "$R" rootfs || return
  "$VMRUN" spec
  sed -i 's/"terminal": true/"terminal": false/; s/^ *"sh"$/"sleep", "30"/; s/"readonly": true/"readonly": false/' config.json
  cg=/sys/fs/cgroup/v2-box
  "$VMRUN" run -d v2-box </dev/null >"$T/out" 2>"$T/err"
  is "run --detach" $? 0
  is "exec" "$("$VMRUN" exec v2-box cat /proc/self/cgroup)" 0::/
  has "its process" $cg/cgroup.procs '^[0-9]+$'
  "$VMRUN" pause v2-box
  is "pause" "$(cat $cg/cgroup.freeze)" 1
  "$VMRUN" resume v2-box
  is "resume" "$(cat $cg/cgroup.freeze)" 0
  "$VMRUN" update --memory 60M --pids-limit 33 --cpu-share 512 v2-box
  is "update" "$(cat $cg/memory.max) $(cat $cg/pids.max) $(cat $cg/cpu.weight)" "62914560 33 59"
  "$VMRUN" events --stats v2-box >stats
  has "events --stats" stats '"type":"stats","id":"v2-box"'
  # The device rules are a program of the kernel's here: the disk cannot be opened, /dev/null can.
  "$VMRUN" exec v2-box sh -c 'echo x >/dev/null && echo null; mknod /dev/disk b 254 0 && head -c 1 /dev/disk 2>&1' >devices
  has "an allowed device" devices '^null$'
  has "a denied device" devices 'not permitted'
  "$VMRUN" delete --force v2-box
  is "delete --force" $? 0
  is "what is left" "$(find /sys/fs/cgroup -name 'v2-box*')" ""
}

run_tests "$E/linux.sh" "${1:-0}" "${2:-1}"
echo "END linux"
