# What vmrun must refuse: exit code 125, nothing on standard output, and a message that names the cause and what to do.

: >"$TABLE"
printf '| Input | What vmrun printed | Exit code |\n|---|---|---|\n' >>"$TABLE"
inputs=$WORK/inputs
mkdir -p "$inputs"
limit=20

# row SHOWN: the last run as a line of the table. Folders of this run are left out of it, and long lines are kept whole.
row() {
  printf '| %s | %s | %s |\n' "$(printf '%s' "$1" | sed 's/|/\\|/g')" \
    "$(sed -e "s,$inputs/,,g; s,$WORK/[a-z0-9_]*/,,g; s/|/\\\\|/g; s/^ */ /" err | tr -d '\r' | tr '\n' ' ' | sed 's/  */ /g; s/^ //; s/ $//')" "$code" >>"$TABLE"
}

judge() { # judge SHOWN CAUSE NEXT: after a run
  is "exit code" "$code" 125
  empty "standard output" out
  has "the message begins with the program's name" err '^vmrun: '
  has "it names the cause" err "$2"
  [ -z "$3" ] || has "it says what to do" err "$3"
  within "its lines" "$(wc -l <err)" 1 4
  row "$1"
}

# What each run gets before its own words: nothing, or the rung whose messages are meant.
rung=
# bad NAME SHOWN CAUSE NEXT ARGS: one input. CAUSE and NEXT are patterns that the message must match.
bad() {
  wanted "$1" || return 0
  begin "$1"
  shown=$2 cause=$3 next=$4
  shift 4
  # shellcheck disable=SC2086
  vm $rung "$@" </dev/null
  judge "$shown" "$cause" "$next"
  conclude
}

# bad_kvm: the same for inputs that are only looked at once KVM is open.
bad_kvm() {
  if [ "$KVM" = 1 ]; then bad "$@"; elif wanted "$1"; then echo "SKIP $GROUP/$1: this machine has no /dev/kvm that this user may open"; fi
}

# poke FILE OFFSET HEX: changes bytes.
poke() { printf '%b' "$(printf '%s' "$3" | sed 's/../\\x&/g')" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
bytes() { printf '%b' "$(printf '%s' "$1" | sed 's/../\\x&/g')"; }
zeros() { head -c "$1" /dev/zero; }

# ------------------------------------------------------------------------------------------------------------- arguments

usage='see vmrun --help'
bad no_such_option '`--frobnicate`' 'unknown option --frobnicate' "$usage" --frobnicate
bad misspelt_option '`--kernal bzImage`' 'unknown option --kernal' 'did you mean --kernel\?' --kernal bzImage
bad misspelt_memory '`--memroy 1G`' 'unknown option --memroy' 'did you mean --memory\?' --memroy 1G
bad bare_word '`bzImage`' "'bzImage' is not an option" '-- bzImage' bzImage
bad value_missing '`--kernel` (no value)' '--kernel needs a value' '--kernel FILE' --kernel
bad command_missing '`--kernel K --rootfs R --`' 'a command is missing' "$usage" --kernel K --rootfs R --
bad rootfs_missing '`--kernel K -- sh`' 'needs a root directory' '--rootfs DIR' --kernel K -- sh
bad backend_word '`--kernel K --backend qemu`' '--backend qemu: expected' 'auto, kvm or libvirt' --kernel K --backend qemu
bad backend_libvirt_without_kernel '`--backend libvirt` (built-in guest)' '--backend libvirt is for a Linux kernel' 'runs on KVM alone' --backend libvirt
bad backend_of_container '`--container --backend kvm`' 'means nothing for a container' "this host's kernel" --container --backend kvm --rootfs R -- sh
bad kernel_name_unknown '`--kernel no-such-name`' '--kernel no-such-name: there is no such file' 'vmrun kernel' --kernel no-such-name --rootfs R -- sh
bad rootfs_without_command '`--kernel K --rootfs R`' '--rootfs needs a command' '-- CMD' --kernel K --rootfs R
bad option_without_command '`--kernel K --env A=b`' '--env is for a command' '-- CMD' --kernel K --env A=b
bad initrd_without_kernel '`--initrd I`' '--initrd needs --kernel' 'built-in guest takes none' --initrd I
bad disk_without_kernel '`--disk D`' '--disk needs --kernel' 'no drivers' --disk D
bad cpus_without_kernel '`--cpus 2` (built-in guest)' '--cpus needs --kernel' 'runs on one' --cpus 2
bad initrd_and_rootfs '`--initrd` with `--rootfs`' 'exclude each other' 'from the directory' --kernel K --initrd I --rootfs R -- sh
bad cpus_zero '`--cpus 0`' '--cpus 0: expected' 'from 1 to 255' --cpus 0
bad cpus_many '`--cpus 999`' '--cpus 999: expected' 'from 1 to 255' --cpus 999
bad cpus_word '`--cpus two`' '--cpus two: expected' 'whole number' --cpus two
bad cpus_negative '`--cpus=-1`' '--cpus -1: expected' 'whole number' --cpus=-1
bad memory_without_unit '`--memory 512`' 'name the unit' '512M' --memory 512
bad memory_word '`--memory lots`' '--memory lots: expected' 'for example' --memory lots
bad memory_zero '`--memory 0M`' 'more than nothing' 'for example' --memory 0M
bad memory_fraction '`--memory 1.5G`' '--memory 1.5G: expected' 'for example' --memory 1.5G
bad memory_odd '`--memory 2049K`' 'multiple of 4K' "$usage" --memory 2049K
bad memory_absurd '`--memory 99999999T`' 'more than a machine can address' "$usage" --memory 99999999T
bad memory_overflow '`--memory 99999999999999999999G`' '--memory 9*G: ' "$usage" --memory 99999999999999999999G
bad memory_linux_little '`--kernel K --memory 32M`' 'below [0-9]+M' 'least' --kernel K --memory 32M
bad_kvm memory_little '`--memory 1M` (built-in guest)' 'needs at least 2M' '' --memory 1M
bad_kvm memory_huge '`--memory 60T`' 'cannot get [0-9]+ MiB' 'ask for less' --memory 60T
bad timeout_word '`--timeout soon`' '--timeout soon: expected' 'for example' --timeout soon
bad timeout_zero '`--timeout 0`' 'more than 0' "$usage" --timeout 0
bad timeout_negative '`--timeout=-5`' '--timeout -5: expected' 'for example' --timeout=-5
bad timeout_absurd '`--timeout 99999999999h`' '--timeout 9*h: expected' 'for example' --timeout 99999999999h
bad boot_word '`--boot fast`' '--boot fast: expected' 'auto, direct or decompress' --boot fast
bad console_empty '`--console ""`' '--console needs' 'stdio, stderr, none' --console ''
bad console_stdio_with_command '`--console stdio` with a command' 'would mix' 'stderr, none or a file' --kernel K --rootfs R --console stdio -- sh
bad_kvm console_folder '`--console /`' '--console: ' 'Is a directory|is a directory' --console /
bad timings_word '`--timings=xml`' '--timings=xml: expected' 'table or json' --timings=xml
bad flag_value '`--quiet=yes`' '--quiet takes no value' "$usage" --quiet=yes
bad workdir_relative '`--workdir tmp`' 'must be absolute' "$usage" --kernel K --rootfs R --workdir tmp -- sh
bad hostname_bad '`--hostname "a b"`' '--hostname a b: expected' 'letters, digits' --kernel K --rootfs R --hostname 'a b' -- sh
bad hostname_long '`--hostname` of 65 letters' 'expected 1 to 64' 'letters, digits' --kernel K --rootfs R --hostname "$(printf 'x%.0s' $(seq 65))" -- sh
bad user_name '`--user alice`' '--user alice: expected numbers' 'UID:GID' --kernel K --rootfs R --user alice -- sh
bad user_three '`--user 1:2:3`' '--user 1:2:3: expected numbers' 'UID:GID' --kernel K --rootfs R --user 1:2:3 -- sh
bad env_nameless '`--env =x`' '--env =x: expected' 'NAME=VALUE' --kernel K --rootfs R --env =x -- sh
bad env_unset '`--env NOT_SET_HERE`' 'is not set here' 'NOT_SET_HERE=VALUE' --kernel K --rootfs R --env NOT_SET_HERE -- sh
bad disk_empty '`--disk ,ro`' '--disk needs a file' '--disk FILE,ro' --kernel K --disk ,ro
bad disks_many '`--disk` nine times' 'at most 8 disks' "$usage" --kernel K $(printf -- '--disk D%s ' 1 2 3 4 5 6 7 8 9)

# --------------------------------------------------------------------------------------------------------------- kernels

# What vmrun itself says about them: on KVM's rung, whatever this machine's KVM can do.
rung='--backend kvm'
# A kernel that is right, to spoil copies of.
GOOD=$("$root/Scripts/kernel" fetch 6.1) || GOOD=
[ -f "$GOOD" ] || echo "SKIP bad/kernels: Scripts/kernel fetch gave no kernel to spoil"
k=$inputs
give='Give an x86-64 Linux kernel'
bad kernel_absent 'a file that does not exist' 'absent: .*[Nn]o such file|absent.* is not there|absent.*does not exist' '' --kernel "$k/absent"
mkdir -p "$k/folder"
bad kernel_folder 'a directory' 'is a directory' "$give" --kernel "$k/folder"
: >"$k/empty"
bad kernel_empty 'an empty file' 'is empty' "$give" --kernel "$k/empty"
bad kernel_device '`--kernel /dev/zero`' 'no regular file' "$give" --kernel /dev/zero
mkfifo "$k/fifo"
bad kernel_fifo 'a named pipe' 'no regular file' "$give" --kernel "$k/fifo"
printf 'not a kernel\n' >"$k/text"
bad kernel_text 'a text file' 'a text file' "$give" --kernel "$k/text"
printf '#!/bin/sh\nexit 0\n' >"$k/script"
bad kernel_script 'a script' 'a script' "$give" --kernel "$k/script"
printf '<!DOCTYPE html><html><body>404</body></html>\n' >"$k/page.html"
bad kernel_html 'a web page (a failed download)' 'a web page' "$give" --kernel "$k/page.html"
bytes 00 >"$k/one-byte"
bad kernel_one_byte 'a file of one zero byte' 'not a Linux kernel|truncated' '' --kernel "$k/one-byte"
head -c 100000 /dev/urandom >"$k/random"
bad kernel_random '100 000 random bytes' 'not a Linux kernel' "$give" --kernel "$k/random"
zeros 1000000 >"$k/zeros"
bad kernel_zeros 'a megabyte of zeros' 'not a Linux kernel' "$give" --kernel "$k/zeros"
printf 'hello\n' | gzip -n >"$k/text.gz"
bad kernel_gzip_of_text 'a gzip of a text' 'a gzip file with a text file inside' "$give" --kernel "$k/text.gz"
(cd "$inputs" && printf 'text\n' | busybox cpio -o -H newc >"$k/initramfs.cpio" 2>/dev/null)
bad kernel_cpio 'a cpio archive' 'a cpio archive' '--initrd' --kernel "$k/initramfs.cpio"
gzip -n <"$k/initramfs.cpio" >"$k/initramfs.cpio.gz"
bad kernel_gzip_of_cpio 'a gzip of a cpio archive' 'a gzip file with a cpio archive' '--initrd' --kernel "$k/initramfs.cpio.gz"
tar -C "$inputs" -cf "$k/files.tar" text
bad kernel_tar 'a tar archive' 'a tar archive' "$give" --kernel "$k/files.tar"
{ bytes 4d5a40fa; bytes ffffff14; zeros 48; printf 'ARM\144'; zeros 4096; } >"$k/Image"
bad kernel_arm64 'an arm64 Image' '64-bit ARM' 'x86-64 \(amd64\)' --kernel "$k/Image"
gzip -n <"$k/Image" >"$k/Image.gz"
bad kernel_gzip_of_arm64 'a gzip of an arm64 Image' '64-bit ARM' 'x86-64 \(amd64\)' --kernel "$k/Image.gz"
# ELF headers: class 2 and machine 62 are x86-64; 3 is i386, 183 arm64; types 2 program, 1 object, 3 shared, 4 core.
elf() { bytes "7f454c460${1}0101000000000000000000"; bytes "0${2}00${3}0001000000"; zeros 4072; }
elf 1 2 03 >"$k/elf32"
bad kernel_elf32 'a 32-bit ELF kernel' '32-bit x86' 'x86-64' --kernel "$k/elf32"
elf 2 2 b7 >"$k/elf-arm64"
bad kernel_elf_arm64 'an ELF file for arm64' '[Aa][Rr][Mm]' 'x86-64 \(amd64\)' --kernel "$k/elf-arm64"
elf 2 2 f3 >"$k/elf-riscv"
bad kernel_elf_riscv 'an ELF file for RISC-V' 'RISC-V' 'x86-64 \(amd64\)' --kernel "$k/elf-riscv"
elf 2 1 3e >"$k/object.o"
bad kernel_object 'an object file' 'object file' 'vmlinux' --kernel "$k/object.o"
elf 2 4 3e >"$k/core"
bad kernel_core 'a core dump' 'core dump' "$give" --kernel "$k/core"
cp "$(command -v busybox)" "$k/busybox"
bad kernel_program 'a program (busybox)' 'program for user space' 'behind --' --kernel "$k/busybox"
cp /bin/ls "$k/ls"
bad kernel_pie 'a position-independent program (ls)' 'not a kernel' '' --kernel "$k/ls"
{ bytes 4d5a; zeros 58; bytes 80000000; zeros 64; bytes 504500006486; zeros 4096; } >"$k/loader.efi"
bad kernel_efi 'an EFI application' 'EFI application' 'objcopy' --kernel "$k/loader.efi"
if [ -f "$GOOD" ]; then
  size=$(stat -Lc %s "$GOOD")
  sectors=$(od -An -v -tu1 -N1 -j497 "$GOOD" | tr -d ' ')
  payload=$(((sectors + 1) * 512 + $(od -An -v -tu4 -N4 -j584 "$GOOD" | tr -d ' ')))
  for cut in 100 512 600 1000 5000 100000 $((size / 2)) $((size - 100000)); do
    head -c $cut "$GOOD" >"$k/cut-$cut"
    bad kernel_cut_at_$cut "a bzImage cut off after $cut of $size bytes" 'truncated|not a Linux kernel' 'again|Give' --kernel "$k/cut-$cut"
  done
  cp "$GOOD" "$k/old" && chmod u+w "$k/old" && poke "$k/old" 518 0402 # version 2.04
  bad kernel_old_protocol 'a bzImage with boot protocol 2.04' '2\.04' 'newer kernel' --kernel "$k/old"
  cp "$GOOD" "$k/bzImage-i386" && chmod u+w "$k/bzImage-i386" && poke "$k/bzImage-i386" 566 0000 # XLF_KERNEL_64 cleared
  bad kernel_without_64bit 'a bzImage that announces no 64-bit entry, `--boot decompress`' '32-bit|64-bit entry' 'x86-64|direct' --kernel "$k/bzImage-i386" --boot decompress
  cp "$GOOD" "$k/zImage" && chmod u+w "$k/zImage" && poke "$k/zImage" 529 00 # LOADED_HIGH cleared
  bad kernel_zimage 'a zImage' 'zImage' 'bzImage' --kernel "$k/zImage"
  cp "$GOOD" "$k/flipped" && chmod u+w "$k/flipped"
  for i in 1 2 3 4 5 6 7 8; do poke "$k/flipped" $((payload + i * size / 12)) 5aa5005affff00000102; done
  bad kernel_flipped 'a bzImage with damaged bytes in its payload' 'compressed kernel|damaged|does not decompress' '' --kernel "$k/flipped"
  cp "$GOOD" "$k/magic" && chmod u+w "$k/magic" && poke "$k/magic" $payload deadbeef
  bad kernel_unknown_codec 'a bzImage with an unknown compression, `--boot direct`' 'does not know.*de ad be ef' '--boot decompress' --kernel "$k/magic" --boot direct
  cp "$GOOD" "$k/long" && chmod u+w "$k/long" && poke "$k/long" 588 ffffff7f
  bad kernel_payload_length 'a bzImage whose header lies about its length' 'truncated|damaged' 'again' --kernel "$k/long"
  cp "$GOOD" "$k/far" && chmod u+w "$k/far" && poke "$k/far" 584 ffffffff
  bad kernel_payload_offset 'a bzImage whose payload begins beyond the file' 'truncated|damaged' 'again' --kernel "$k/far"
  "$root/Scripts/kernel" elf "$GOOD" "$k/vmlinux" 2>/dev/null
  bad kernel_elf_decompress 'an ELF vmlinux with `--boot decompress`' 'uncompressed ELF' '--boot direct' --kernel "$k/vmlinux" --boot decompress
  head -c 3000000 "$k/vmlinux" >"$k/vmlinux-cut"
  bad kernel_elf_cut 'an ELF vmlinux cut off' 'truncated' 'again' --kernel "$k/vmlinux-cut"
  cp "$k/vmlinux" "$k/vmlinux-wild" && poke "$k/vmlinux-wild" $((64 + 24)) 000000000000ff7f # p_paddr of the first segment
  bad kernel_elf_wild 'an ELF vmlinux with a segment at an absurd address' 'damaged|needs|reaches|address' '' --kernel "$k/vmlinux-wild"
  cp "$k/vmlinux" "$k/vmlinux-phnum" && poke "$k/vmlinux-phnum" 56 ffff # more program headers than fit
  bad kernel_elf_headers 'an ELF vmlinux with an absurd number of program headers' 'damaged|truncated' 'again' --kernel "$k/vmlinux-phnum"
  gzip -1 -n <"$k/vmlinux" >"$k/vmlinux.gz"
  bad kernel_gzip_of_vmlinux 'a gzip of a vmlinux' 'a gzip file with an ELF' 'gzip -dc|gunzip|zcat' --kernel "$k/vmlinux.gz"
  gzip -1 -n <"$GOOD" >"$k/bzImage.gz"
  bad kernel_gzip_of_bzimage 'a gzip of a bzImage' 'a gzip file with a bzImage' 'gzip -dc|gunzip|zcat' --kernel "$k/bzImage.gz"
  NEW=$("$root/Scripts/kernel" fetch 6.12) && bad_kvm kernel_needs_memory "Debian's 6.12 kernel with \`--memory 64M\`" 'reaches up to [0-9]+ MiB' 'more with --memory' --kernel "$NEW" --memory 64M
  if [ "$(id -u)" = 0 ]; then
    cp "$GOOD" "$k/secret" && chmod 600 "$k/secret" && chmod 755 "$WORK" "$WORK/.." "$inputs"
    as_nobody() { # as_nobody NAME SHOWN CAUSE NEXT ARGS
      wanted "$1" || return 0
      begin "$1"
      shown=$2 cause=$3 next=$4
      shift 4
      cp "$VMRUN" "$WORK/vmrun" && chmod 755 "$WORK/vmrun"
      timeout -s KILL 20 setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent "$WORK/vmrun" $rung "$@" >out 2>err </dev/null
      code=$?
      judge "$shown" "$cause" "$next"
      conclude
    }
    as_nobody kernel_unreadable 'a kernel file that this user may not read' 'secret.*[Pp]ermission denied' '' --kernel "$k/secret"
  elif wanted kernel_unreadable; then
    echo "SKIP bad/kernel_unreadable: needs root, to become another user"
  fi

  # ------------------------------------------------------------------------------------------- what is beside the kernel

  bad_kvm initrd_absent '`--initrd` of a file that does not exist' 'initrd.*absent.*No such file' '' --kernel "$GOOD" --initrd "$k/absent"
  bad_kvm initrd_empty '`--initrd` of an empty file' 'initrd.*empty.*(expected|empty)' '' --kernel "$GOOD" --initrd "$k/empty"
  bad_kvm initrd_folder '`--initrd` of a directory' 'initrd.*folder.*(expected|directory)' '' --kernel "$GOOD" --initrd "$k/folder"
  truncate -s 300M "$k/large"
  bad_kvm initrd_large '`--initrd` of 300 MiB in 256 MiB' 'does not fit' 'more --memory' --kernel "$GOOD" --initrd "$k/large"
  bad_kvm append_long '`--append` of 3000 characters' 'append.*this kernel takes [0-9]+' 'Shorten' --kernel "$GOOD" --append "$(printf 'x%.0s' $(seq 3000))"
  bad rootfs_absent '`--rootfs` of a directory that does not exist' 'rootfs.*absent: no such directory' '' --kernel "$GOOD" --rootfs "$k/absent" -- sh
  bad rootfs_file '`--rootfs` of a file' 'rootfs.*text.*not a directory|rootfs.*text.*is no directory|rootfs.*text.*is a file' 'unpack' --kernel "$GOOD" --rootfs "$k/text" -- sh
  mkdir -p "$k/closed/inner" && chmod 700 "$k/closed" && chmod 000 "$k/closed/inner"
  if [ "$(id -u)" = 0 ]; then
    cp "$GOOD" "$k/readable" && chmod 644 "$k/readable"
    as_nobody rootfs_unreadable '`--rootfs` of a directory that this user may not read' 'closed.*[Pp]ermission denied' 'as root|as the owner' --kernel "$k/readable" --rootfs "$k/closed" -- sh
  elif wanted rootfs_unreadable; then
    echo "SKIP bad/rootfs_unreadable: needs root, to become another user"
  fi
  mkdir -p "$k/big" && truncate -s 400M "$k/big/file"
  bad rootfs_too_big '`--rootfs` of 400 MiB with `--memory 256M`' 'too little for the copy' 'give at least [0-9]+M' --kernel "$GOOD" --memory 256M --rootfs "$k/big" -- sh
  bad_kvm disk_absent '`--disk` of a file that does not exist' 'disk.*absent.*No such file' '' --kernel "$GOOD" --disk "$k/absent"
  bad_kvm disk_folder '`--disk` of a directory' 'disk.*folder.*(neither|directory)' '' --kernel "$GOOD" --disk "$k/folder"
  bad_kvm disk_empty_file '`--disk` of an empty file' 'disk.*empty' '' --kernel "$GOOD" --disk "$k/empty"
  head -c 1000 /dev/zero >"$k/odd"
  bad_kvm disk_odd '`--disk` of 1000 bytes' 'disk.*odd.*512' '' --kernel "$GOOD" --disk "$k/odd"
  truncate -s 1M "$k/disk.raw"
  bad_kvm disk_twice 'the same `--disk` twice' 'disk.raw.*(use|lock)' '' --kernel "$GOOD" --disk "$k/disk.raw" --disk "$k/disk.raw"
  "$PROBE" hold "$k/disk.raw" 20 >"$k/held" &
  holder=$!
  until grep -q held "$k/held"; do sleep 0.1; done
  bad_kvm disk_locked '`--disk` that another program has locked' 'disk.raw.*(use|lock)' '' --kernel "$GOOD" --disk "$k/disk.raw"
  kill $holder
  bad_kvm disk_device '`--disk /dev/null`' 'neither a regular file nor a block device' '' --kernel "$GOOD" --disk /dev/null
fi

# ------------------------------------------------------------------------------------------------------------------- KVM

rung=
# in_private_dev NAME SHOWN CAUSE NEXT SETUP [USER]: vmrun in a mount namespace of its own, where SETUP has changed /dev/kvm.
in_private_dev() {
  wanted "$1" || return 0
  if ! unshare -m true 2>/dev/null; then
    echo "SKIP $GROUP/$1: no mount namespace can be made here (needs root)"
    return
  fi
  begin "$1"
  cp "$VMRUN" "$WORK/vmrun" && chmod 755 "$WORK" "$WORK/.." "$WORK/vmrun"
  mkdir dev
  # A /dev of its own that holds only what the setup makes, and the streams.
  cat >setup <<'SETUP'
mount -t tmpfs -o mode=755 dev "$1/dev" || exit 99
mknod -m 666 "$1/dev/null" c 1 3
SETUP
  printf '%s\nmount --move "$1/dev" /dev || exit 99\nshift\nexec "$@"\n' "$5" >>setup
  set -- "$1" "$2" "$3" "$4" "${6:-}"
  # shellcheck disable=SC2086
  timeout -s KILL 20 unshare -m --propagation private sh "$T/setup" "$T" $5 "$WORK/vmrun" --append exit=0 >out 2>err </dev/null
  code=$?
  judge "$2" "$3" "$4"
  conclude
}
in_private_dev kvm_absent '/dev/kvm is not there' '/dev/kvm is not there' 'modprobe' ''
in_private_dev kvm_not_permitted '/dev/kvm with mode 0660 root:root, as another user' 'permission denied' 'usermod -aG kvm' \
  'mknod -m 660 "$1/dev/kvm" c 10 232' 'setpriv --reuid 65534 --regid 65534 --clear-groups'
in_private_dev kvm_other_node '/dev/kvm is another device node (/dev/null)' 'does not answer as KVM' '10, 232' 'mknod -m 666 "$1/dev/kvm" c 1 3'
in_private_dev kvm_no_driver '/dev/kvm without a driver behind it' '/dev/kvm' 'KVM|modprobe' 'mknod -m 666 "$1/dev/kvm" c 10 250'
in_private_dev kvm_folder '/dev/kvm is a directory' '/dev/kvm' '' 'mkdir "$1/dev/kvm"'
in_private_dev kvm_file '/dev/kvm is a file' '/dev/kvm.*(does not answer|not)' '' ': >"$1/dev/kvm"; chmod 666 "$1/dev/kvm"'
