# The tools beside launching: vmrun kernel and vmrun doctor, on this machine and with parts of it hidden.

# json FILE EXPRESSION: what Python says about the JSON in FILE, called d.
json() { "$PYTHON" -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2" 2>&1; }

# state FILE ID: the state of a finding.
state() { json "$1" "next((f['state'] for f in d['findings'] if f['id'] == '$2'), 'not there')"; }

need_root() {
  [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null && return
  skip "no mount namespace can be made here (needs root)"
  return 1
}

# hidden SETUP ARGS: runs vmrun in a mount namespace of its own after the shell commands SETUP.
hidden() {
  setup=$1
  shift
  timeout -s KILL "$limit" unshare -m --propagation private sh -c "$setup"'
    exec "$@"' sh "$VMRUN" "$@" >"$T/out" 2>"$T/err"
  code=$?
}

# as_plain_user ARGS: runs a copy of vmrun as nobody.
as_plain_user() {
  cp "$VMRUN" "$WORK/vmrun" && chmod 755 "$WORK" "$WORK/.." "$WORK/vmrun"
  timeout -s KILL "$limit" setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_RUNTIME_DIR HOME="$T" "$WORK/vmrun" "$@" >"$T/out" 2>"$T/err"
  code=$?
}

# a_cache: an own cache with two kernels that are none.
a_cache() {
  mkdir -p cache/vmrun/debian/6.1/boot cache/vmrun/debian/6.12/boot
  echo one >cache/vmrun/debian/6.1/boot/vmlinuz-6.1.0-one
  echo two >cache/vmrun/debian/6.12/boot/vmlinuz-6.12.0-two
  XDG_CACHE_HOME=$T/cache
  export XDG_CACHE_HOME
}

# ---------------------------------------------------------------------------------------------------------------- kernel

test_kernel_usage() {
  vm kernel --help
  is "exit code" $code 0
  has "it has examples" out '^examples:'
  vm kernel
  is "exit code without a verb" $code 125
  has "verbs" err 'list, fetch or info'
  for wrong in 'frob' 'list x' 'list --frob' 'fetch' 'fetch arch' 'fetch debian 5.10' 'fetch debian 6.1 x' 'info a b' 'fetch --frob debian'; do
    vm kernel $wrong
    is "exit code of '$wrong'" $code 125
    empty "standard output of '$wrong'" out
    has "'$wrong' points to the help" err 'see vmrun kernel --help'
  done
}

test_kernel_list() {
  a_cache
  vm kernel list
  is "exit code" $code 0
  has "the newest is the default" out '^\* 6\.12\.0-two +cache '
  has "the other" out '^  6\.1\.0-one +cache '
  vm kernel list --json
  is "names" "$(json out "[k['name'] for k in d['kernels'] if k['source'] == 'cache']")" "['6.12.0-two', '6.1.0-one']"
  is "the default" "$(json out "[k['name'] for k in d['kernels'] if k['default']]")" "['6.12.0-two']"
  is "one that is no kernel has no version" "$(json out "d['kernels'][0]['version']")" None
  XDG_CACHE_HOME=$T/none HOME=$T/none
  export HOME
  if [ -z "$(ls /boot/vmlinuz-* 2>/dev/null)" ]; then
    vm kernel list
    is "exit code without kernels" $code 0
    has "how to get one" err 'vmrun kernel fetch debian'
    vm kernel info
    is "exit code of info without kernels" $code 125
    has "how to get one" err 'vmrun kernel fetch debian'
  fi
}

test_kernel_info() {
  a_cache
  vm kernel info 6.1
  is "a text is no kernel" $code 125
  has "what it is" err 'vmlinuz-6.1.0-one: '
  vm kernel info 6
  is "exit code of an ambiguous name" $code 125
  has "both are named" err 'several kernels: 6.12.0-two, 6.1.0-one'
  vm kernel info 7.1
  is "exit code of an unknown name" $code 125
  vm kernel info /
  is "exit code of a folder" $code 125
  vm kernel info "$VMRUN"
  is "exit code of a program" $code 125
  unset XDG_CACHE_HOME
  kernel=$("$VMRUN" kernel list --json | "$PYTHON" -c 'import json, sys; print(next((k["path"] for k in json.load(sys.stdin)["kernels"] if k["default"]), ""))')
  [ -n "$kernel" ] || return
  vm kernel info "$kernel"
  is "exit code" $code 0
  has "the verdict" out '^boots a command payload: yes'
  has "an option" out '^  built in +BLK_DEV_INITRD '
  has "its source" out '^  options from '
  vm kernel info "$kernel" --json
  is "the verdict in JSON" "$(json out "d['verdict']['boots_command']")" yes
  is "its options" "$(json out "d['options']['BLK_DEV_INITRD']['state']")" built-in
  head -c 100000 "$kernel" >short
  vm kernel info ./short
  is "exit code of a kernel cut short" $code 125
  has "what is wrong" err 'truncated|missing|ends'
  cp "$kernel" damaged
  printf 'XXXXXXXXXXXXXXXX' | dd of=damaged bs=1 seek=4000000 conv=notrunc status=none
  vm kernel info ./damaged
  is "exit code of a damaged kernel" $code 1
  has "the verdict" out '^boots a command payload: no, because '
}

# A Debian mirror that is not there, and no lists: apt for one test alone.
no_mirror() {
  mkdir -p etc lists/partial
  echo 'deb [trusted=yes] http://127.0.0.1:1/debian bookworm main' >etc/sources.list
  cat >etc/apt.conf <<END
Dir::Etc::sourcelist "$T/etc/sources.list";
Dir::Etc::sourceparts "$T/etc/none";
Dir::State::Lists "$T/lists";
Acquire::Retries "0";
Acquire::http::Proxy "false";
END
  APT_CONFIG=$T/etc/apt.conf XDG_CACHE_HOME=$T/cache
  export APT_CONFIG XDG_CACHE_HOME
}

nothing_half_fetched() {
  is "leftovers" "$(find "$T/cache/vmrun/debian" -name '.new.*' 2>/dev/null)" ""
}

test_kernel_fetch_without_network() {
  command -v apt-get >/dev/null || { skip "this machine has no apt-get"; return; }
  no_mirror
  vm kernel fetch debian
  is "exit code" $code 125
  empty "standard output" out
  has "what apt could not do" err 'apt-get update did not succeed'
  has "what is missing" err 'linux-image-cloud-amd64 is not in the package lists'
  has "what to do" err 'sources\.list|--kernel FILE'
  nothing_half_fetched
}

test_kernel_fetch_without_apt() {
  need_root || return
  [ -e /usr/bin/apt-get ] || { skip "this machine has no apt-get to hide"; return; }
  XDG_CACHE_HOME=$T/cache hidden 'mount --bind /dev/null /usr/bin/apt-get' kernel fetch debian
  is "exit code" $code 125
  has "the cause" err 'no apt-get'
  has "what to do" err '--kernel FILE'
  nothing_half_fetched
}

test_kernel_fetch_on_a_full_disk() {
  need_root || return
  mkdir cache
  XDG_CACHE_HOME=$T/cache hidden "mount -t tmpfs -o size=16M none '$T/cache'" kernel fetch debian
  is "exit code" $code 125
  has "the cause" err 'only [0-9]+ MiB free'
  has "what to do" err 'XDG_CACHE_HOME'
  XDG_CACHE_HOME=/proc/nowhere vm kernel fetch debian
  is "exit code of a folder that cannot be made" $code 125
  has "the cause" err 'make the folder /proc/nowhere'
  HOME= XDG_CACHE_HOME= vm kernel fetch debian
  is "exit code without a folder" $code 125
  has "the cause" err 'XDG_CACHE_HOME nor HOME'
}

# An apt that knows a kernel and gives out a package that holds one, after $1 seconds.
our_apt() {
  need dpkg-deb dpkg
  mkdir -p package/DEBIAN package/boot package/lib/modules/6.1.0-ours/kernel bin
  printf 'Package: linux-image-6.1.0-ours\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n' >package/DEBIAN/control
  echo kernel >package/boot/vmlinuz-6.1.0-ours
  echo 'CONFIG_X86=y' >package/boot/config-6.1.0-ours
  : >package/lib/modules/6.1.0-ours/modules.order
  : >package/lib/modules/6.1.0-ours/modules.builtin
  dpkg-deb --root-owner-group -b package ours.deb >/dev/null 2>&1 || note "dpkg-deb cannot build a package"
  cat >bin/apt-cache <<'END'
#!/bin/sh
printf 'linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-ours\n'
END
  cat >bin/apt-get <<END
#!/bin/sh
case "\$*" in
  *--print-uris*) echo "'http://mirror/x' ours.deb 1000000 SHA256:0" ;;
  *download*) echo x >>'$T/downloads'; sleep $1; cp '$T/ours.deb' . ;;
esac
END
  chmod 755 bin/apt-cache bin/apt-get
  PATH=$T/bin:$PATH XDG_CACHE_HOME=$T/cache
  export PATH XDG_CACHE_HOME
}

test_kernel_fetch() {
  our_apt 0
  folder=$T/cache/vmrun/debian/6.1
  vm kernel fetch debian
  is "exit code" $code 0
  is "the path" "$(cat out)" "$folder/boot/vmlinuz-6.1.0-ours"
  is "the kernel" "$(cat "$folder/boot/vmlinuz-6.1.0-ours")" kernel
  is "its mark" "$(cat "$folder/complete")" 6.1.0-ours
  is "its configuration" "$(cat "$folder/boot/config-6.1.0-ours")" CONFIG_X86=y
  if command -v depmod >/dev/null || command -v busybox >/dev/null; then
    is "the index of its modules" "$(ls "$folder/lib/modules/6.1.0-ours/modules.dep")" "$folder/lib/modules/6.1.0-ours/modules.dep"
  fi
  vm kernel fetch debian 6.1
  is "exit code of a second fetch" $code 0
  is "the path" "$(cat out)" "$folder/boot/vmlinuz-6.1.0-ours"
  has "it says so" err 'there already'
  is "downloads" "$(wc -l <"$T/downloads")" 1
  echo old >"$folder/boot/vmlinuz-6.1.0-ours"
  vm kernel fetch debian --again --quiet
  is "exit code of --again" $code 0
  empty "--quiet" err
  is "the kernel is the new one" "$(cat "$folder/boot/vmlinuz-6.1.0-ours")" kernel
  is "downloads" "$(wc -l <"$T/downloads")" 2
  vm kernel list
  has "it is listed" out '6\.1\.0-ours +cache '
  is "Scripts/kernel finds the same" "$("$here/../../Scripts/kernel" fetch 6.1 2>/dev/null)" "$folder/boot/vmlinuz-6.1.0-ours"
  rm "$folder/complete"
  vm kernel fetch debian
  is "exit code when the mark is missing" $code 0
  is "downloads" "$(wc -l <"$T/downloads")" 3
  nothing_half_fetched
}

test_kernel_fetch_two_at_once() {
  our_apt 1
  "$VMRUN" kernel fetch debian >first 2>first.err &
  first=$!
  sleep 0.3
  vm kernel fetch debian
  is "exit code" $code 0
  wait $first
  is "exit code of the other" $? 0
  same "both print the same" out first
  is "downloads" "$(wc -l <"$T/downloads")" 1
  nothing_half_fetched
}

test_kernel_fetch_interrupted() {
  our_apt 30
  for signal in INT TERM HUP; do
    rm -f downloads
    vm_background kernel fetch debian
    until_has downloads x
    kill -$signal $vm
    end_of $vm 10
    is "exit code after SIG$signal" $code $((128 + $(kill -l $signal)))
    nothing_half_fetched
    is "nothing seems to be there" "$(ls "$T/cache/vmrun/debian/6.1" 2>/dev/null)" ""
  done
  # What kill -9 leaves goes with the next fetch.
  rm -f downloads
  vm_background kernel fetch debian
  until_has downloads x
  kill -9 $vm
  end_of $vm 10
  sed -i 's/sleep 30/:/' bin/apt-get
  vm kernel fetch debian
  is "exit code after kill -9" $code 0
  nothing_half_fetched
}

test_kernel_fetch_broken_packages() {
  our_apt 0
  echo nonsense >ours.deb
  vm kernel fetch debian
  is "exit code of a package that is none" $code 125
  has "the cause" err 'dpkg-deb cannot unpack linux-image-6.1.0-ours'
  rm -r package/lib
  dpkg-deb --root-owner-group -b package ours.deb >/dev/null 2>&1
  vm kernel fetch debian
  is "exit code of a package without modules" $code 125
  has "the cause" err 'does not hold what kernel packages hold'
  nothing_half_fetched
}

test_kernel_fetch_from_debian() {
  command -v apt-get >/dev/null && command -v apt-cache >/dev/null || { skip "this machine has no apt-get"; return; }
  apt-get -qq --print-uris download "$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)" >uri 2>/dev/null
  [ -s uri ] || { skip "apt has no list with linux-image-cloud-amd64"; return; }
  url=$(sed "s/^'\([^']*\)'.*/\1/" uri)
  "$PYTHON" -c 'import sys, urllib.request; urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout=10)' "$url" 2>/dev/null ||
    { skip "Debian's mirror cannot be reached"; return; }
  XDG_CACHE_HOME=$T/cache vm kernel fetch debian
  is "exit code" $code 0
  vm kernel info "$(cat out)"
  has "it boots a command" out '^boots a command payload: yes$'
  nothing_half_fetched
}

# ---------------------------------------------------------------------------------------------------------------- doctor

limit=60

test_doctor_usage() {
  vm doctor --help
  is "exit code" $code 0
  has "it has exit codes" out '^exit codes:'
  vm doctor --frob
  is "exit code of an unknown argument" $code 125
  has "what to look at" err 'see vmrun doctor --help'
}

# Everything that a doctor could leave, as a list.
traces() {
  find /sys/fs/cgroup -name 'vmrun-doctor-*' 2>/dev/null
  cut -d' ' -f4- /proc/self/mountinfo
  ls /run /tmp/vmrun-65534 "${XDG_RUNTIME_DIR:-/nonexistent}" 2>/dev/null
  ip -o link 2>/dev/null | cut -d' ' -f2
}

test_doctor_screen() {
  traces >before
  vm doctor
  within "exit code" $code 0 1
  empty "standard error" err
  for line in device 'built-in guest' rootless container overlay seccomp tap 'memory lock' QEMU 'Linux in a VM' 'rootless container'; do
    has "a line" out "^  (ok|--|NO)  $line"
  done
  hasnot "colour in a file" out "$(printf '\033')"
  awk 'length > 100 && !/\// { print }' out >long
  empty "lines over 100 columns" long
  traces >after
  same "what is left behind" after before
  if [ "$KVM" = 1 ]; then has "the built-in guest ran" out '^  ok  built-in guest +booted'; fi
  [ "$(id -u)" != 0 ] || has "a container ran" out '^  ok  container +one was run in'
}

test_doctor_json() {
  vm doctor --json
  within "exit code" $code 0 1
  "$PYTHON" -m json.tool out >/dev/null 2>tool
  is "python3 -m json.tool" $? 0
  is "works" "$(json out "int(not d['works'])")" $code
  is "jobs" "$(json out "[j['id'] for j in d['jobs']]")" "['built-in-guest', 'linux-vm', 'container', 'rootless-container']"
  is "states" "$(json out "sorted(set(f['state'] for f in d['findings']) - {'ok', 'no', 'missing'})")" "[]"
  is "ids are unique" "$(json out "len(d['findings']) - len(set(f['id'] for f in d['findings']))")" 0
  is "what does not work says what it costs" "$(json out "[f['id'] for f in d['findings'] if (f['state'] == 'ok') != (f['costs'] == '')]")" "[]"
  is "every line has something to show" "$(json out "[f['id'] for f in d['findings'] if not f['text']]")" "[]"
}

test_doctor_without_kvm() {
  need_root || return
  [ -e /dev/kvm ] || { skip "this machine has no /dev/kvm to hide"; return; }
  hidden 'mount --bind /dev/null /dev/kvm' doctor --json
  is "a node that is not KVM's" "$(state out kvm.device)" no
  is "the built-in guest" "$(state out kvm.guest)" no
  is "containers" "$(state out container)" ok
  # A /dev without it.
  hidden "mkdir '$T/dev' && mount -t tmpfs none '$T/dev' && for f in null zero full random urandom tty; do touch '$T/dev/'\$f && mount --bind /dev/\$f '$T/dev/'\$f; done && mkdir '$T/dev/pts' '$T/dev/shm' && mount --rbind /dev/pts '$T/dev/pts' && mount --move '$T/dev' /dev" doctor
  has "it is not there" out '^  NO  device +/dev/kvm is not there'
  has "what to type" out 'modprobe -a kvm_intel kvm_amd'
  has "what it costs" out '^      costs  no virtual machine on KVM'
  has "what works all the same" out '^  ok  container '
}

test_doctor_as_a_plain_user() {
  [ "$(id -u)" = 0 ] || { skip "needs root, to become another user"; return; }
  chmod 777 "$T"
  traces >before
  as_plain_user doctor --json
  within "exit code" $code 0 1
  if [ "$(stat -c %a /dev/kvm 2>/dev/null)" = 600 ]; then
    is "/dev/kvm" "$(state out kvm.device)" no
    is "how to be allowed" "$(json out "'sudo chgrp kvm' in next(f['mend'] for f in d['findings'] if f['id'] == 'kvm.device')")" True
  fi
  is "namespaces without root" "$(state out namespace.user)" ok
  is "overlay without root" "$(state out overlay.rootless)" ok
  is "a container without root" "$(state out container)" ok
  traces >after
  same "what is left behind" after before
}

test_doctor_without_user_namespaces() {
  need_root || return
  # In a user namespace of its own, whose limit concerns nobody else.
  cp "$VMRUN" "$WORK/vmrun" && chmod 755 "$WORK" "$WORK/.." "$WORK/vmrun"
  timeout -s KILL "$limit" unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"' sh "$WORK/vmrun" doctor --json >out 2>err
  is "user namespaces" "$(state out namespace.user)" missing
  is "how to be allowed" "$(json out "next(f['mend'] for f in d['findings'] if f['id'] == 'namespace.user')")" "sysctl -w user.max_user_namespaces=10000"
}

test_doctor_without_cgroups() {
  need_root || return
  hidden 'umount -l /sys/fs/cgroup; ! mountpoint -q /sys/fs/cgroup' doctor --json
  is "version" "$(state out cgroup.layout)" no
  is "controllers are not asked for" "$(state out cgroup.memory)" "not there"
}

test_doctor_interrupted() {
  traces >before
  for pause in 0 0.05 0.1 0.2; do
    vm_background doctor
    sleep $pause
    kill -INT $vm 2>/dev/null
    end_of $vm 20
    case $code in 0 | 1 | 130) checks=$((checks + 1)) ;; *) note "exit code after SIGINT: $code" ;; esac
  done
  sleep 0.2
  traces >after
  same "what is left behind" after before
  pgrep -f "$VMRUN doctor" >left
  empty "processes left behind" left
}

test_doctor_is_quick() {
  vm doctor
  [ -x "$(dirname "$VMRUN")/vmrun-libvirt" ] && most=1500 || most=800
  began=$(now)
  vm doctor
  within "hundredths of a second" $(($(now) - began)) 0 $most
}
