# Virtual machines by libvirt and QEMU, through vmrun-libvirt. Sourced by bash in a mount namespace of its own, in which /run is empty: no
# daemon of this machine is seen, and those that are started here go with the group.
# The harness reads and sets what looks unused here.
# shellcheck disable=SC2154

SESSION=/run/vmrun-libvirt/session
limit=120

# house: a root for commands, an initramfs for consoles, and a machine without libvirt daemons.
libvirt_house() {
  mount -t tmpfs run /run || return 1
  # A daemon asks for the name of its user.
  { cat /etc/passwd; echo "vmrun-test:x:64242:64242::$WORK/home:/bin/sh"; } >"$WORK/passwd"
  mount --bind "$WORK/passwd" /etc/passwd || return 1
  { cat /etc/group; echo "vmrun-test:x:64242:"; } >"$WORK/group"
  mount --bind "$WORK/group" /etc/group || return 1
  mkdir -p "$WORK/home" "$WORK/bin" && chown 64242:64242 "$WORK/home"
  chmod 755 "$WORK" "$WORK/.."
  cp "$VMRUN" "$WORK/bin/vmrun" && cp "$(dirname "$VMRUN")/vmrun-libvirt" "$WORK/bin/" && VMRUN=$WORK/bin/vmrun
  K=$KERNEL R=$WORK/rootfs
  cp "$K" "$WORK/kernel" && chmod 644 "$WORK/kernel" && K=$WORK/kernel
  tree "$R" && tree "$WORK/tree" && mkdir "$WORK/tree/proc" "$WORK/tree/dev" && cp "$here/console-init.sh" "$WORK/tree/init"
  chmod 755 "$WORK/tree/init" && (cd "$WORK/tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$WORK/initrd"
  chmod 644 "$WORK/initrd"
  unset XDG_RUNTIME_DIR
}

tree() { # tree FOLDER: a root of busybox
  mkdir -p "$1/bin" || return 1
  cp "$(command -v busybox)" "$1/bin/busybox" && cp "$PROBE" "$1/bin/probe"
  for applet in $(busybox --list); do [ -e "$1/bin/$applet" ] || ln -s busybox "$1/bin/$applet"; done
}

# libvirt_clean: ends the daemons that the tests have started.
libvirt_clean() {
  for file in $SESSION/runtime/libvirt/*.pid "$WORK"/home/.cache/libvirt/*.pid "$WORK"/home/run/libvirt/*.pid; do
    [ -s "$file" ] && kill "$(cat "$file")" 2>/dev/null
  done
  sleep 0.2
  umount /etc/passwd /etc/group
}

# guest ARGS: a command by libvirt.
guest() { vm --backend libvirt --kernel "$K" --rootfs "$R" "$@"; }

# virsh_session COMMAND: virsh in root's session.
virsh_session() {
  XDG_RUNTIME_DIR=$SESSION/runtime XDG_CONFIG_HOME=$SESSION/config XDG_CACHE_HOME=$SESSION/cache \
    timeout 20 unshare --user --map-user=65534 --map-group=65534 virsh -q -c qemu:///session "$@"
}

# left: every domain, file and process that runs of vmrun have left; what takes its time to go has some seconds for it.
left() {
  give_up=$(($(now) + 800))
  while :; do
    found=$(
      virsh_session list --name 2>/dev/null | grep . | sed 's/^/domain /'
      find /run/vmrun-libvirt $SESSION/cache/libvirt/qemu/log -mindepth 1 -maxdepth 1 ! -path $SESSION 2>/dev/null
      for process in /proc/[0-9]*; do
        { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -aE "guest=vmrun-|vmrun-libvirt --handover|^$WORK/bin/vmrun " | cut -c1-80
      done
    )
    [ -n "$found" ] && [ "$(now)" -lt $give_up ] || break
    sleep 0.2
  done
  printf '%s' "$found" | head -n 5
}

test_a_command_and_its_exit_code() {
  guest -- sh -c 'uname -r; echo err >&2; exit 7'
  is "exit code" $code 7
  is "stdout" "$(cat out)" "$RELEASE"
  is "stderr" "$(cat err)" err
  is "what is left" "$(left)" ""
}

test_the_reason_and_the_timings() {
  # Where KVM is not to be had, libvirt is taken without being asked for.
  cat >without <<'SH'
mkdir -p "$1/dev" && mount -t tmpfs -o mode=755 dev "$1/dev" && for n in null:3 zero:5 random:8 urandom:9; do mknod -m 666 "$1/dev/${n%:*}" c 1 "${n#*:}"; done
mknod -m 666 "$1/dev/ptmx" c 5 2 && mkdir "$1/dev/shm" && mount --move "$1/dev" /dev || exit 99
shift
exec "$@"
SH
  timeout -s KILL $limit unshare -m --propagation private sh "$T/without" "$T" \
    "$VMRUN" --kernel "$K" --rootfs "$R" --timings=json -- true >out 2>err </dev/null
  is "exit code" $? 0
  has "the reason" err '^vmrun: backend libvirt \(QEMU, emulation, qemu:///session\): /dev/kvm'
  has "the backend" err '"backend":\{"name":"libvirt","acceleration":"emulation","machine":"microvm","reason":"/dev/kvm'
  for phase in parse initramfs connect 'domain start' init exit teardown; do has "$phase" err "\"phase\":\"$phase\""; done
}

test_streams_both_ways() {
  head -c 1048576 /dev/urandom >data
  guest -- cat <data
  is "exit code" $code 0
  is "1 MiB there and back" "$(sha256sum <out)" "$(sha256sum <data)"
  guest -- sh -c 'head -c 4194304 /dev/zero; echo err >&2; exit 3' </dev/null
  is "exit code of 4 MiB" $code 3
  is "4 MiB" "$(sha256sum <out)" "$(head -c 4194304 /dev/zero | sha256sum)"
  is "stderr" "$(cat err)" err
}

test_how_a_command_ends() {
  guest -- sh -c 'kill -TERM $$'
  is "by a signal" $code 143
  guest -- /nosuch
  is "not there" $code 127
  guest -- /bin
  is "no program" $code 126
}

test_reader_goes_away() {
  { timeout -s KILL 60 "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" -- yes 2>err; echo $? >ended; } | head -n 3 >out
  is "lines" "$(wc -l <out)" 3
  is "exit code" "$(cat ended)" 141
}

test_signals() {
  vm_background --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c 'trap "echo caught; exit 5" TERM; echo up; while :; do sleep 0.1; done'
  until_has out '^up$'
  kill -TERM $vm
  end_of $vm
  is "exit code" $code 5
  has "the command's answer" out '^caught$'
  vm_background --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c 'trap "" INT; echo up; while :; do sleep 0.1; done'
  until_has out '^up$'
  for time in 1 2 3; do kill -INT $vm; sleep 0.3; done
  end_of $vm
  is "exit code of three interrupts" $code 130
  # Before there is a machine.
  vm_background --backend libvirt --kernel "$K" --rootfs "$R" -- true
  sleep 0.25
  kill -INT $vm
  end_of $vm
  is "exit code of an early interrupt" $code 130
  is "what is left" "$(left)" ""
}

test_terminal() {
  timeout -s KILL 60 "$PROBE" pty -t -s 33x111 -r 15000:44x122 "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" --tty -- \
    sh -c 'tty; stty size; trap "echo resized \$(stty size); exit 6" WINCH; echo up; while :; do sleep 0.1; done' >out 2>err
  is "exit code" $? 6
  has "a terminal" out '^/dev/(pts/[0-9]+|console|tty)'
  has "its size" out '^33 111'
  has "its new size" out '^resized 44 122'
}

test_timeout() {
  began_run=$(now)
  guest --timeout 6 -- sleep 100
  is "exit code" $code 124
  has "message" err '^vmrun: .*6 s.*--timeout'
  within "hundredths of a second" $(($(now) - began_run)) 590 1500
}

test_a_guest_that_switches_itself_off() {
  guest -- sh -c 'poweroff -f; sleep 20'
  is "exit code of a power-off" $code 0
  guest -- sh -c 'reboot -f; sleep 20'
  is "exit code of a restart" $code 121
  has "message" err '^vmrun: .*restart'
  guest -- sh -c 'echo c >/proc/sysrq-trigger; sleep 20'
  is "exit code of a panic" $code 122
  has "what the kernel said" err 'sysrq triggered crash'
}

test_consoles() {
  vm --backend libvirt --kernel "$K" --initrd "$WORK/initrd" --append 'quiet e2e=hello'
  is "exit code of a power-off" $code 0
  has "the guest's words" out "^hello from $RELEASE"
  vm --backend libvirt --kernel "$K" --initrd "$WORK/initrd" --append 'quiet e2e=panic'
  is "exit code of a panic" $code 122
  has "message" err '^vmrun: .*panicked: Attempted to kill init'
  vm --backend libvirt --kernel "$K" --initrd "$WORK/initrd" --append 'quiet e2e=flood' --console log
  is "exit code of a flood" $code 0
  yes '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-' | head -c 60000 >expected
  tr -d '\r' <log | sed -n '/^0123456789/,$p' | head -c 60000 >got
  same "a flood into a file" got expected
}

test_typed_input() {
  mkfifo typed
  (printf 'echo typed $((6 * 7))\npoweroff -f\n'; sleep 60) >typed &
  typist=$!
  vm --backend libvirt --kernel "$K" --initrd "$WORK/initrd" --append 'quiet e2e=shell' <typed
  kill $typist
  is "exit code" $code 0
  has "the shell's answer" out '^typed 42'
}

test_a_disk() {
  truncate -s 8M disk
  before=$(stat -c '%u:%g %a' disk)
  vm --backend libvirt --kernel "$K" --initrd "$WORK/initrd" --append 'quiet e2e=hello' --disk "$T/disk" --timings=json
  is "exit code" $code 0
  has "a PC" err '"machine":"q35"'
  is "the disk's owner" "$(stat -c '%u:%g %a' disk)" "$before"
  vm --backend libvirt --kernel "$K" --initrd "$WORK/initrd" --disk "$T/none"
  is "exit code without a disk" $code 125
  has "message" err '^vmrun: --disk .*/none: No such file'
}

test_hostile_names() {
  odd="a <&>\"'],=%s b"
  mkdir "$odd" && cp "$K" "$odd/k'&,\"" && cp "$WORK/initrd" "$odd/<initrd>"
  vm --backend libvirt --kernel "$T/$odd/k'&,\"" --initrd "$T/$odd/<initrd>" --append "quiet e2e=hello x='<&>\"'"
  is "exit code" $code 0
  has "the guest's words" out '^hello'
  printf 'no kernel' >text
  vm --backend libvirt --kernel "$T/text" --initrd "$WORK/initrd"
  is "exit code" $code 125
  has "message" err '^vmrun: --kernel: .*/text: a text file, not a kernel'
}

test_kill_9() {
  for moment in 0.15 0.5 up; do
    vm_background --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c 'echo up; sleep 100'
    if [ $moment = up ]; then until_has out '^up$'; else sleep $moment; fi
    kill -9 $vm
    wait $vm 2>/dev/null
    is "what is left, killed at $moment" "$(left)" ""
  done
}

test_ended_from_outside() {
  vm_background --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c 'echo up; sleep 100'
  until_has out '^up$'
  virsh_session destroy "$(virsh_session list --name | grep '^vmrun-')" >/dev/null
  end_of $vm
  is "exit code" $code 125
  has "message" err '^vmrun: .*ended from outside'
  vm_background --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c 'echo up; sleep 100'
  until_has out '^up$'
  kill -9 "$(cat $SESSION/runtime/libvirt/libvirtd.pid)"
  end_of $vm
  is "exit code without a daemon" $code 125
  has "message" err '^vmrun: the connection to libvirt .* was lost'
  # Without a daemon nobody but vmrun ends QEMU. What the next daemon makes of what the killed one was about (libvirt 9 may hang over it) is
  # not vmrun's: the tests after this begin with a new session.
  sleep 5
  is "folders left" "$(find /run/vmrun-libvirt -mindepth 1 -maxdepth 1 ! -path $SESSION)" ""
  is "QEMU" "$(for process in /proc/[0-9]*; do { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -ao 'guest=vmrun-[0-9]*'; done)" ""
  rm -rf $SESSION
}

test_many() {
  wrong=0
  for ((run = 0; run < MANY; run++)); do
    guest -- sh -c "exit $((run % 100))"
    [ $code = $((run % 100)) ] || wrong=$((wrong + 1))
  done
  is "runs of $MANY in a row that ended wrongly" $wrong 0
  runs=()
  for ((run = 1; run <= AT_ONCE; run++)); do
    (timeout -s KILL 120 "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c "echo $run; exit $run" >out.$run 2>err.$run) &
    runs+=($!)
  done
  for ((run = 1; run <= AT_ONCE; run++)); do
    wait "${runs[run - 1]}"
    is "exit code of $run of $AT_ONCE at once" $? $run
    is "output of $run of $AT_ONCE at once" "$(cat out.$run)" $run
  done
  is "what is left" "$(left)" ""
}

test_another_user() {
  mkdir -m 700 "$WORK/home/run" 2>/dev/null && chown 64242:64242 "$WORK/home/run"
  chmod 755 "$T"
  for runtime in "XDG_RUNTIME_DIR=$WORK/home/run" "LANG=C"; do
    (cd / && timeout -s KILL $limit setpriv --reuid 64242 --regid 64242 --clear-groups env -i PATH="$PATH" HOME="$WORK/home" "$runtime" \
      "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" -- sh -c 'id -u; exit 9' >"$T/out" 2>"$T/err" </dev/null)
    is "exit code with $runtime" $? 9
    is "output with $runtime" "$(cat out)" 0
  done
  sleep 3
  is "what is left" "$(find "$WORK/home" -name '*vmrun-[0-9]*' | head -n 3)$(find "$WORK/home/run/vmrun-libvirt" /tmp/vmrun-libvirt-64242 -mindepth 1 2>&1)" ""
  is "where it was" "$(stat -c %a "$WORK/home/run/vmrun-libvirt" /tmp/vmrun-libvirt-64242 | tr '\n' ' ')" '700 700 '
  rm -rf /tmp/vmrun-libvirt-64242
}

test_no_daemon() {
  cat >without <<'SH'
for daemon in libvirtd virtqemud; do [ ! -e /usr/sbin/$daemon ] || mount --bind /dev/null /usr/sbin/$daemon || exit 99; done
mount -t tmpfs run /run
exec "$@"
SH
  timeout -s KILL 30 unshare -m --propagation private sh "$T/without" "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" -- true >out 2>err
  is "exit code" $? 125
  has "message" err '^vmrun: .*no libvirt daemon here; install one: apt install libvirt-daemon'
  # Without KVM either, both causes are told.
  { echo '[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm || exit 99'; cat without; } >neither
  timeout -s KILL 30 unshare -m --propagation private sh "$T/neither" "$VMRUN" --kernel "$K" --rootfs "$R" -- true >out 2>err
  is "exit code without KVM" $? 125
  has "KVM's cause" err '^vmrun: backend libvirt: .*/dev/kvm'
  has "libvirt's cause" err '^vmrun: .*no libvirt daemon here'
  timeout -s KILL 30 unshare -m --propagation private sh "$T/without" "$WORK/bin/vmrun-libvirt" --check >out 2>err
  is "exit code of --check" $? 0
  has "the check" out '"connected":false,"error":"there is no libvirt daemon.*"fix":"apt install libvirt-daemon'
}

test_no_qemu() {
  cat >without <<'SH'
for qemu in /usr/bin/qemu-system-x86_64 /usr/bin/qemu-kvm /usr/bin/kvm /usr/libexec/qemu-kvm; do [ ! -e $qemu ] || mount --bind /dev/null $qemu || exit 99; done
mount -t tmpfs run /run
"$@"
code=$?
kill $(cat /run/vmrun-libvirt/session/runtime/libvirt/*.pid 2>/dev/null) 2>/dev/null
exit $code
SH
  timeout -s KILL 60 unshare -m --propagation private sh "$T/without" "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" -- true >out 2>err
  is "exit code" $? 125
  has "message" err '^vmrun: .*(qemu|emulator|capabilit)'
  hasnot "what was asked for needs no reason" err '^vmrun: backend libvirt'
}

test_no_library() {
  library=$(ldd "$WORK/bin/vmrun-libvirt" | sed -nE 's/.*=> (.*libvirt\.so\.0) .*/\1/p')
  folder=$(dirname "$(realpath "$library")")
  mkdir veil && mknod veil/libvirt.so.0 c 0 0
  # The folder of libraries as it is, but for this one.
  cat >without <<'SH'
mount -t overlay -o lowerdir="$1:$2" overlay "$2" && shift 2 && exec "$@"
SH
  timeout -s KILL 60 unshare -m --propagation private sh "$T/without" "$T/veil" "$folder" \
    "$VMRUN" --backend libvirt --kernel "$K" --rootfs "$R" -- true >out 2>err
  is "exit code" $? 125
  has "what is missing" err '^vmrun: .*vmrun-libvirt does not start: .*libvirt\.so\.0'
  has "what to install" err 'apt-get install libvirt0'
}

test_check() {
  timeout -s KILL 60 "$WORK/bin/vmrun-libvirt" --check >out 2>err
  is "exit code" $? 0
  has "what is there" out '^\{"library":"[0-9.]+","uri":"qemu:///session","connected":true,"error":null,"hypervisor":"QEMU [0-9.]+","kvm":(true|false),"emulation":true,"machines":\["microvm","q35"\],"fix":null\}$'
  timeout 5 "$WORK/bin/vmrun-libvirt" --help >out
  has "help" out '^usage: vmrun-libvirt'
  timeout 5 "$WORK/bin/vmrun-libvirt" --handover 3 --program 4 >out 2>err 3</dev/null 4</dev/null
  is "exit code of an empty hand-over" $? 125
  has "message" err '^vmrun: hand-over: truncated'
}
