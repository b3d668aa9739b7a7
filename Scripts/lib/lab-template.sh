# The lab's machine: its QEMU command line, its initramfs and its kept template. Sourced by Scripts/lab.
#
# A template is a folder  lab/KEY/VARIANT  in the cache: `ram` is the machine's memory right after it said "ready", `state` its
# devices as QEMU migrates them (capability x-ignore-shared: all but the memory). A run maps `ram` privately and resumes. KEY
# covers what all variants share (kernel, QEMU, busybox, processor, these scripts), VARIANT the options.

# The processor: SVM with nested paging. erms and fsrm make Linux copy by `rep movsb`, which TCG does byte by byte.
lab_cpu=max,+svm,+npt,-erms,-fsrm,-la57

# The modules in the lab; what they depend on comes along.
lab_modules="virtio_pci virtio_blk virtio_console kvm-amd kvm-intel loop overlay fuse tun vhost_net vhost_vsock vsock_loopback"

# machine_arguments IN RESULTS OUT ERR CONSOLE -> $arguments: the same for the template and for every copy of it.
machine_arguments() {
  arguments=(
    -nodefaults -no-user-config -display none -no-reboot
    -machine pc,hpet=off,usb=off,vmport=off,graphics=off,memory-backend=ram
    -cpu "$lab_cpu" -smp "$cpus" -m "${memory}M"
    # Two ports, since a write to a port whose host side has closed its input would wait for ever.
    -chardev stdio,id=in,signal=off -chardev file,id=ctl,path=/proc/self/fd/1
    -chardev "file,id=out,path=$3" -chardev "file,id=err,path=$4"
    -chardev "file,id=console,path=$5" -serial chardev:console
    # The links lead to this process's own descriptors 200 and 201, so that no run needs pipes with names.
    -chardev "pipe,id=monitor,path=$key_folder/monitor" -mon chardev=monitor,mode=readline
    # Without ioeventfd a write to a port is complete when the guest goes on, so that "exit" comes after all output.
    -device virtio-serial-pci,ioeventfd=off,max_ports=5
    -device virtserialport,nr=1,chardev=ctl,name=ctl
    -device virtserialport,nr=2,chardev=in,name=in
    -device virtserialport,nr=3,chardev=out,name=out
    -device virtserialport,nr=4,chardev=err,name=err
    -drive "if=none,id=in,format=raw,cache=unsafe,file.locking=off,file=$1" -device virtio-blk-pci,drive=in
    -drive "if=none,id=results,format=raw,cache=unsafe,file.locking=off,file=$2" -device virtio-blk-pci,drive=results
  )
  if [ "$system" = debian ]; then
    arguments+=(-drive "if=none,id=root,$root_drive,cache=unsafe,file.locking=off" -device virtio-blk-pci,drive=root)
  fi
  if [ $icount = 1 ]; then
    arguments+=(-accel tcg,thread=single -icount shift=2,sleep=off)
  elif [ "$cpus" = 1 ]; then
    arguments+=(-accel tcg,thread=single)
  else
    arguments+=(-accel tcg,thread=multi)
  fi
}

# make_pipes FOLDER -> $from_vm, $to_vm, 200 (the monitor's input), and the ends for QEMU, $vm_in and $vm_out.
make_pipes() {
  local hold
  mkfifo "$1/monitor" "$1/to" "$1/from" || return 1
  # Open for both directions first, since opening one end alone would wait for the other.
  exec 200<>"$1/monitor" {to_vm}<>"$1/to" {vm_in}<"$1/to" {hold}<>"$1/from" {from_vm}<"$1/from" {vm_out}>"$1/from" || return 1
  exec {hold}>&-
}

# start_machine LOG: QEMU with $arguments, in $machine_folder; its errors go to the descriptor LOG. -> $vm, its process.
machine_folder=.
start_machine() {
  # It dies with this script, whatever kills that. Its own copies of our ends of the pipes would hide their closing.
  (cd -- "$machine_folder" && exec setpriv --pdeathsig KILL qemu-system-x86_64 "${arguments[@]}") \
    <&"$vm_in" >&"$vm_out" 2>&"$1" {vm_in}<&- {vm_out}>&- {to_vm}>&- {from_vm}<&- &
  vm=$!
  exec {vm_in}<&- {vm_out}>&-
}

# kept_module_files MODULES_FOLDER: the files of $lab_modules and all they depend on, relative to the folder.
kept_module_files() {
  awk -v wanted="$lab_modules" '
    { file = $1; sub(/:$/, "", file); name = file; sub(/.*\//, "", name); sub(/\.ko.*/, "", name); gsub(/-/, "_", name)
      path[name] = file; $1 = ""; needs[file] = $0 }
    END { count = split(wanted, names, " ")
      for (i = 1; i <= count; i++) { name = names[i]; gsub(/-/, "_", name); if (name in path) print path[name] needs[path[name]] }
    }' "$1/modules.dep" | tr ' ' '\n' | sort -u | sed '/^$/d'
}

# make_initramfs OUT: busybox, the modules and lab-init, uncompressed (unpacking costs more than reading under TCG).
make_initramfs() {
  local out=$1 tree modules release file
  modules=$("$here/kernel" modules 6.1 --quiet) || fail "the lab has no kernel" "type: Scripts/kernel fetch 6.1"
  release=$(basename -- "$modules")
  tree=$(mktemp -d "$(dirname -- "$out")/.tree.XXXXXX") || fail "cannot create a folder beside $out"
  run=$tree # removed however this ends
  mkdir -p "$tree/bin" "$tree/etc" "$tree/lib/modules/$release"
  cp -- "$(command -v busybox)" "$tree/bin/busybox" || fail "cannot copy busybox"
  ln -s busybox "$tree/bin/sh"
  install -m 755 "$here/lib/lab-init" "$tree/init" || fail "cannot copy lab-init"
  [ "$system" != debian ] || : >"$tree/machine"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >"$tree/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nkvm:x:104:\nnogroup:x:65534:\n' >"$tree/etc/group"
  printf '127.0.0.1 localhost lab\n' >"$tree/etc/hosts"
  while read -r file; do
    mkdir -p "$tree/lib/modules/$release/$(dirname -- "$file")"
    cp -- "$modules/$file" "$tree/lib/modules/$release/$file" || fail "cannot copy the module $file"
  done < <(kept_module_files "$modules")
  cp -- "$modules"/modules.builtin* "$modules/modules.order" "$tree/lib/modules/$release/"
  busybox depmod -b "$tree" "$release" || fail "busybox depmod failed"
  (cd "$tree" && find . | LC_ALL=C sort | busybox cpio -o -H newc -R 0:0 >"$out.part" 2>/dev/null) && mv -f "$out.part" "$out" ||
    fail "cannot write $out"
  rm -rf -- "$tree"
  run=
}

# make_qemu_archive OUT: a tar of qemu-system-x86_64, its shared libraries and the firmware that micro-VMs and PCs need.
make_qemu_archive() {
  local out=$1 binary list file
  binary=$(command -v qemu-system-x86_64)
  list=$(
    echo "$binary"
    # Lines are `name => /path (address)` and, for the loader, `/path (address)`.
    ldd "$binary" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'
    ls /usr/share/qemu/{bios-microvm.bin,qboot.rom,pvh.bin,linuxboot.bin,linuxboot_dma.bin,kvmvapic.bin,bios.bin,bios-256k.bin} \
      /usr/share/seabios/{bios-microvm.bin,bios-256k.bin,bios.bin} 2>/dev/null
  )
  # Each under its own name in its folder's real place (/lib is a link to /usr/lib), with the contents that links lead to.
  printf '%s\n' "$list" | while IFS= read -r file; do
    printf '%s/%s\n' "$(realpath -- "$(dirname -- "$file")")" "$(basename -- "$file")"
  done | sort -u | sed 's,^/,,' |
    tar -b1 -c -C / --format=gnu --numeric-owner --owner=0 --group=0 -h --hard-dereference -f "$out.part" -T - ||
    fail "cannot pack QEMU for the lab"
  mv -f -- "$out.part" "$out"
}

# What makes a template unusable when it changes, as text.
template_identity() {
  local qemu busybox
  qemu=$(command -v qemu-system-x86_64) busybox=$(command -v busybox)
  stat -Lc '%n %s %Y' -- "$kernel" "$qemu" "$busybox"
  # The time stamp counter of the template runs at the rate of the machine that made it.
  sed -n '/^model name/{p;q}' /proc/cpuinfo
  cat -- "$here/lib/lab-template.sh" "$here/lib/lab-init"
  printf '%s\n' "$system" ${machine_disk:+"$machine_disk"}
}

# prepare_template -> $key_folder, $boot_arguments and, with a template, $state and $ram: open descriptors. Without one, what it
# would have held beyond the initramfs is a tar to send with the files: $extra_with_files.
extra_with_files=
prepare_template() {
  local identity lock lab_folder vmlinux variant template extra=
  kernel=$("$here/kernel" fetch 6.1 $([ $quiet = 1 ] && echo --quiet)) || fail "the lab has no kernel" "type: Scripts/kernel fetch 6.1"
  vmlinux=$(dirname -- "$(dirname -- "$kernel")")/vmlinux
  lab_folder=$(cache_folder)/lab || exit
  [ "$system" != debian ] || machine_image
  identity=$(template_identity | sha256sum)
  key_folder=$lab_folder/${identity:0:16}
  variant=${memory}M-${cpus}cpu
  [ $icount = 1 ] && variant+=-icount
  [ $qemu_inside = 1 ] && variant+=-qemu
  template=$key_folder/$variant
  boot_arguments=(
    -kernel "$vmlinux" -initrd "$key_folder/initramfs"
    -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off audit=0 tsc=reliable no_timer_check"
  )
  boot_arguments[-1]+=" cryptomgr.notests random.trust_cpu=on nowatchdog"
  if [ "$system" = debian ]; then
    boot_arguments[-1]+=" systemd.show_status=0 systemd.log_level=warning"
    # What a run writes is its own: the disk (or the template's state of it) is never changed.
    root_drive="snapshot=on,format=raw,file=$machine_disk"
    [ $use_template = 0 ] || root_drive="snapshot=on,format=qcow2,file=$template/disk"
  fi
  make_folder "$key_folder"
  touch -c -- "$key_folder"
  exec {lock}>"$key_folder/$variant.lock" || fail "cannot create a lock file in $key_folder"
  if [ $rebuild = 0 ] && [ -f "$template/state" ]; then
    flock -s "$lock" || fail "cannot lock $template"
    if [ -f "$template/state" ]; then
      open_template
      return
    fi
  fi
  flock "$lock" || fail "cannot lock $template"
  if [ ! -f "$key_folder/complete" ] || [ ! -f "$vmlinux" ]; then
    exec {parts}>"$key_folder/parts.lock" && flock "$parts" || fail "cannot lock $key_folder"
    if [ ! -f "$key_folder/complete" ] || [ ! -f "$vmlinux" ]; then
      say "preparing the lab's kernel and initramfs"
      "$here/kernel" elf "$kernel" "$vmlinux" || exit 125
      make_initramfs "$key_folder/initramfs"
      ln -snf /proc/self/fd/200 "$key_folder/monitor.in"
      ln -snf /proc/self/fd/201 "$key_folder/monitor.out"
      : >"$key_folder/complete"
      forget_old_templates "$lab_folder"
    fi
    exec {parts}>&-
  fi
  if [ $qemu_inside = 1 ] && [ ! -f "$key_folder/qemu.tar" ]; then
    exec {parts}>"$key_folder/parts.lock" && flock "$parts" || fail "cannot lock $key_folder"
    [ -f "$key_folder/qemu.tar" ] || make_qemu_archive "$key_folder/qemu.tar"
    exec {parts}>&-
  fi
  if [ $qemu_inside = 1 ]; then
    if [ $use_template = 1 ]; then
      extra=$key_folder/qemu.tar
      boot_arguments[-1]+=" lab.extra=$(($(stat -c %s "$extra") / block + 1))"
    else
      extra_with_files=$key_folder/qemu.tar
    fi
  fi
  if [ $use_template = 1 ]; then
    if [ $rebuild = 1 ] || [ ! -f "$template/state" ]; then
      make_template
      rebuild=0
    fi
    open_template
  else
    exec {lock}>&-
  fi
}

open_template() {
  exec {state}<"$template/state" {ram}<>"$template/ram" || fail "cannot open the template in $template" \
    "type: Scripts/lab --rebuild"
  exec {lock}>&-
}

# Boots the machine until it says "ready", keeps its memory and its devices, and ends it. Needs the lock.
make_template() {
  local stage started=${EPOCHREALTIME/[.,]/} line= boot_limit=90
  [ "$system" != debian ] || boot_limit=300
  stage=$(mktemp -d "$key_folder/.new.XXXXXX") || fail "cannot create a folder in $key_folder"
  run=$stage # removed however this ends
  say "booting the lab's machine once, to keep it as a template"
  make_pipes "$stage" && mkfifo "$stage/answers" || fail "cannot create a pipe in $stage"
  : >"$stage/in"
  [ -z "$extra" ] || cp --reflink=auto -- "$extra" "$stage/in" || fail "cannot copy $extra"
  truncate -s $disk_size "$stage/in" "$stage/results" || fail "cannot write to $stage"
  truncate -s "${memory}M" "$stage/ram" || fail "cannot write to $stage"
  if [ "$system" = debian ]; then
    need qemu-img qemu-utils
    qemu-img create -q -f qcow2 -b "$machine_disk" -F raw "$stage/disk" || fail "qemu-img could not make the template's disk"
  fi
  root_drive="format=qcow2,file=disk" machine_arguments in results out err console
  arguments+=(
    -object "memory-backend-file,id=ram,size=${memory}M,mem-path=ram,share=on" "${boot_arguments[@]}"
  )
  exec {answers}<>"$stage/answers" {log}>"$stage/qemu.log" 201>&"$answers" || fail "cannot write to $stage"
  machine_folder=$stage
  start_machine "$log"
  machine_folder=.
  if IFS= read -r -t "$boot_limit" line <&"$from_vm" && [ "$line" = ready ]; then
    printf 'migrate_set_capability x-ignore-shared on\nmigrate "exec:cat >state.part"\ninfo migrate\nquit\n' >&200
    while IFS= read -r -t 30 line <&"$answers"; do
      case $line in *"Migration status: completed"*) mv -f "$stage/state.part" "$stage/state"; break ;; esac
      case $line in *"Migration status: "*) break ;; esac
    done
  else
    kill -KILL "$vm" 2>/dev/null
  fi
  IFS= read -r -t 10 line <&"$from_vm" # until its end, which closes the pipe
  kill -KILL "$vm" 2>/dev/null
  wait "$vm" 2>/dev/null
  vm=
  exec {from_vm}<&- {to_vm}>&- 200>&- 201>&- {answers}<&- {log}>&-
  if [ ! -s "$stage/state" ]; then
    tail -n 20 "$stage/console" "$stage/qemu.log" >&2 2>/dev/null
    fail "the lab's machine did not boot; its last messages are above" \
      "is this machine very busy? try again with --verbose, or with --no-template"
  fi
  rm -rf -- "$stage"/{in,results,out,err,console,qemu.log,monitor,to,from,answers}
  rm -rf -- "$template"
  mv -T -- "$stage" "$template" || fail "cannot create $template"
  run=
  say "the template is ready after $(((${EPOCHREALTIME/[.,]/} - started) / 1000)) ms ($(du -sm -- "$template" | cut -f1) MiB)"
}

# Templates of other kernels, QEMUs or scripts that nobody has used for two hours.
forget_old_templates() {
  find "$1" -mindepth 1 -maxdepth 1 -type d ! -path "$key_folder" -mmin +120 -exec rm -rf -- {} + 2>/dev/null
}
