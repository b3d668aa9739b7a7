# Which rung carries a VM out, and what is said about it. A stand-in for vmrun-libvirt says what it was handed.
# Sourced: the harness reads and sets what looks unused here.
# shellcheck disable=SC2154

# house: a copy of vmrun with a stand-in for the helper beside it, a kernel file that is none, and a cache of its own.
house() {
  cp "$VMRUN" vmrun && chmod 755 "$WORK" "$WORK/.." "$T" vmrun
  mkdir -p cache root && chmod 777 cache
  echo "no kernel" >kernel
  cat >vmrun-libvirt <<'SH'
#!/bin/sh
[ "$1" = --handover ] && [ "$3" = --program ] && [ $# = 4 ] || exit 99
echo "helper $$"
[ "$(head -c 4 "/proc/self/fd/$2")" = VMRH ] && echo "a hand-over"
tr -c '[:print:]' '\n' <"/proc/self/fd/$2" | grep -a . | sed 's/^/handed: /'
[ -z "$PROGRAM" ] || { cmp -s "/proc/self/fd/$4" "$PROGRAM" && echo "the program"; }
exit 42
SH
  chmod 755 vmrun-libvirt
  PROGRAM=$T/vmrun XDG_CACHE_HOME=$T/cache
  export PROGRAM XDG_CACHE_HOME
  record=cache/vmrun/kvm-probe
}

# own ARGS: the copy of vmrun.
own() {
  timeout -s KILL 30 "$T/vmrun" "$@" >"$T/out" 2>"$T/err" </dev/null
  code=$?
}

# forge VERDICT REASON: changes what is remembered.
forge() { sed -i "s/^verdict .*/verdict $1/; s/^reason .*/reason $2/" "$record" && chmod 600 "$record"; }

# without_kvm COMMAND: runs it where /dev has no kvm.
without_kvm() {
  cat >without <<'SH'
mkdir -p "$1/dev" && mount -t tmpfs -o mode=755 dev "$1/dev" && mknod -m 666 "$1/dev/null" c 1 3 && mount --move "$1/dev" /dev || exit 99
shift
exec "$@"
SH
  timeout -s KILL 30 unshare -m --propagation private sh "$T/without" "$T" "$@" >"$T/out" 2>"$T/err" </dev/null
  code=$?
}

can_hide() { unshare -m true 2>/dev/null || { skip "no mount namespace can be made here (needs root)"; return 1; }; }

# What is right here is decided by the KVM that is here: hardware, another one, or none.
test_auto_takes_what_is_proven() {
  house
  own --kernel "$T/kernel"
  if [ "$KVM" = 0 ]; then
    is "exit code: the helper's" $code 42
    is "nothing is remembered" "$(ls -A cache)" ""
  elif [ "${PLACE%%:*}" = host ]; then
    is "exit code: vmrun's own, for the kernel" $code 125
    has "the reason line" err '^vmrun: backend kvm: the probe guest ran what stock kernels do$'
    has "what is remembered" $record '^verdict capable$'
  else
    is "exit code: the helper's" $code 42
    empty "the helper tells the reason, not vmrun" err
    has "what it was handed" out '^handed: .*KVM here \(kvm_[a-z]+\) '
    has "what is remembered" $record '^verdict incapable$'
  fi
}

test_helper_takes_vmruns_place() {
  house
  "$PROBE" default "$T/vmrun" --backend libvirt --kernel "$T/kernel" --append 'one two' >out 2>err </dev/null &
  vm=$!
  wait $vm
  is "exit code" $? 42
  has "the same process" out "^helper $vm\$"
  has "hand-over" out '^a hand-over$'
  has "the reason" out '^handed: asked for by --backend'
  has "the kernel" out "^handed: $T/kernel"
  has "its command line" out '^handed: one two'
  has "vmrun's own file" out '^the program$'
  empty "errors" err
}

test_helper_with_closed_streams() {
  house
  timeout -s KILL 30 ./vmrun --backend libvirt --kernel "$T/kernel" <&- >out 2>&-
  is "exit code without stdin and stderr" $? 42
  has "hand-over" out '^a hand-over$'
  timeout -s KILL 30 ./vmrun --backend libvirt --kernel "$T/kernel" <&- >&- 2>&-
  is "exit code without any" $? 42
}

test_what_was_proven_is_remembered() {
  [ "$KVM" = 1 ] || { skip "this machine has no /dev/kvm that this user may open"; return; }
  house
  own --kernel "$T/kernel"
  same_but_time() { grep -v '^took\|^reason' $record; }
  first=$(same_but_time)
  forge capable 'as remembered'
  own --kernel "$T/kernel"
  has "believed" err '^vmrun: backend kvm: as remembered$'
  forge incapable 'as remembered too'
  own --kernel "$T/kernel"
  is "exit code" $code 42
  has "believed" out '^handed: as remembered too'
  # What does not fit is neither believed nor kept.
  for change in 's/^boot ./boot X/' 's/^module .*/module kvm_none/' 's/^generation /generation 1/' 's/^vmrun-kvm-probe 1/vmrun-kvm-probe 2/' '$d' 's/^verdict .*/verdict maybe/'; do
    forge capable 'not to be believed'
    sed -i "$change" $record
    own --kernel "$T/kernel"
    hasnot "after $change" err 'not to be believed'
    hasnot "the record after $change" $record 'not to be believed'
  done
  forge capable 'not to be believed'
  chmod 666 $record
  own --kernel "$T/kernel"
  hasnot "a file that others may write to" err 'not to be believed'
  if [ "$(id -u)" = 0 ]; then
    forge capable 'not to be believed'
    chown 65534 $record
    own --kernel "$T/kernel"
    hasnot "a file of another user" err 'not to be believed'
    is "its owner then" "$(stat -c %u $record)" 0
  fi
  is "files" "$(ls -A cache/vmrun | grep -v kernels)" kvm-probe
  is "the proof is the same again" "$(same_but_time)" "$first"
  rm -rf cache && : >cache
  own --kernel "$T/kernel"
  hasnot "a cache that cannot be written" err 'cache'
  within "exit code then" $code 42 125
}

test_asked_for_rungs_are_not_doubted() {
  house
  own --backend kvm --kernel "$T/kernel"
  is "exit code of --backend kvm" $code 125
  has "it is the kernel that is wrong" err '^vmrun: .*kernel'
  hasnot "no reason line" err '^vmrun: backend'
  is "nothing was probed" "$(ls -A cache/vmrun 2>/dev/null | grep -v kernels)" ""
  own --backend libvirt --kernel "$T/kernel"
  is "exit code of --backend libvirt" $code 42
  empty "no reason line of vmrun's" err
}

test_builtin_guest_asks_nobody() {
  [ "$KVM" = 1 ] || { skip "this machine has no /dev/kvm that this user may open"; return; }
  house
  own --append 'quiet exit=7'
  is "exit code" $code 7
  empty "no reason line" err
  own --append 'quiet exit=7' --timings=json
  has "the rung in --timings=json" err '"backend":\{"name":"kvm","acceleration":"kvm","machine":"microvm","reason":"[^"]+"\},"kernel":null,'
  own --append 'quiet exit=7' --timings
  has "the rung in --timings" err '^backend kvm \(microvm, kvm\): '
  is "nothing was probed or kept" "$(ls -A cache)" ""
}

test_container_asks_nobody() {
  house
  own --container --backend kvm --rootfs root -- true
  is "exit code" $code 125
  has "message" err 'backend is for a VM'
  own --container --rootfs /nonexistent -- true
  is "exit code" $code 125
  is "nothing was probed or kept" "$(ls -A cache)" ""
}

test_without_dev_kvm() {
  can_hide || return
  house
  without_kvm "$T/vmrun" --kernel "$T/kernel"
  is "exit code: the helper's" $code 42
  has "the reason" out '^handed: /dev/kvm is not there \(to mend it: modprobe'
  is "nothing is remembered" "$(ls -A cache)" ""
  without_kvm "$T/vmrun" --backend kvm --kernel "$T/kernel"
  is "exit code of --backend kvm" $code 125
  without_kvm "$T/vmrun" --append exit=0
  is "exit code of the built-in guest" $code 125
  has "its message" err '/dev/kvm is not there'
}

test_kvm_that_another_user_may_not_open() {
  can_hide || return
  house
  cat >closed <<'SH'
mkdir -p "$1/dev" && mount -t tmpfs -o mode=755 dev "$1/dev" && mknod -m 666 "$1/dev/null" c 1 3 && mknod -m 660 "$1/dev/kvm" c 10 232 && mount --move "$1/dev" /dev || exit 99
shift
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
SH
  timeout -s KILL 30 unshare -m --propagation private sh closed "$T" "$T/vmrun" --kernel "$T/kernel" >out 2>err </dev/null
  is "exit code: the helper's" $? 42
  has "the reason" out '^handed: /dev/kvm: permission denied \(to mend it: usermod -aG kvm'
  # What one user remembers is not the other's.
  is "nothing is remembered" "$(ls -A cache)" ""
}

# A VM request never becomes a container: where no VM can be had, nothing runs.
test_neither_rung() {
  can_hide || return
  house
  rm vmrun-libvirt
  mkdir -p root/bin && cp "$(command -v busybox)" root/bin/busybox && ln -s busybox root/bin/sh
  without_kvm "$T/vmrun" --kernel "$T/kernel" --rootfs "$T/root" -- sh -c 'echo ran'
  is "exit code" $code 125
  empty "nothing ran" out
  has "KVM's cause" err '^vmrun: no VM can run this kernel here: /dev/kvm is not there'
  has "what mends it" err 'modprobe'
  has "libvirt's cause" err 'vmrun-libvirt.* is not there'
  has "where it was looked for" err "$T/vmrun-libvirt, .*/libexec"
  has "how to build it" err 'swift build -c release --product vmrun-libvirt'
  within "lines" "$(wc -l <err)" 1 4
  own --backend libvirt --kernel "$T/kernel"
  is "exit code of --backend libvirt" $code 125
  has "its message" err '^vmrun: --backend libvirt: .*is not there'
  echo '#!/nonexistent/interpreter' >vmrun-libvirt && chmod 755 vmrun-libvirt
  own --backend libvirt --kernel "$T/kernel"
  is "exit code with a helper that cannot be executed" $code 125
  has "its message" err 'cannot execute .*/vmrun-libvirt: '
}

test_command_takes_the_default_kernel() {
  can_hide || return
  house
  mkdir -p cache/vmrun/debian/9/boot cache/vmrun/debian/10/boot boot
  : >cache/vmrun/debian/9/boot/vmlinuz-9.9.0-test
  : >cache/vmrun/debian/10/boot/vmlinuz-10.0.0-test
  own --backend libvirt --rootfs root -- true
  is "exit code" $code 42
  has "the newest of the cache" out '^handed: .*/debian/10/boot/vmlinuz-10.0.0-test'
  own --backend libvirt --kernel 9.9 --rootfs root -- true
  has "one by its name's beginning" out '^handed: .*/debian/9/boot/vmlinuz-9.9.0-test'
  own --backend libvirt --kernel nosuch --rootfs root -- true
  is "exit code with a name that is none" $code 125
  has "message" err '^vmrun: --kernel nosuch: .*10.0.0-test'
  rm -r cache/vmrun
  timeout -s KILL 30 unshare -m --propagation private sh -c 'mount --bind "$1/boot" /boot && shift && exec "$@"' sh "$T" \
    "$T/vmrun" --rootfs root -- true >out 2>err </dev/null
  is "exit code without any kernel" $? 125
  has "how to get one" err '^vmrun: .*vmrun kernel fetch debian'
}
