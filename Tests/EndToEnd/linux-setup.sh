# Puts together what the tests with Linux guests need, and runs them: one machine, in which every test boots guests of its own,
# or two such machines side by side in the lab. Sourced by run (bash).

# skip_linux REASON: every test of the group.
skip_linux() {
  "$here/run" --list | sed -n "s,^\(linux/.*\),\1,p" | while read -r one; do echo "SKIP $one: $1"; done | tee -a "$WORK/log"
}

busybox_tree() { # busybox_tree FOLDER
  mkdir -p "$1/bin" "$1/etc" "$1/root"
  cp "$(command -v busybox)" "$1/bin/busybox"
  local applet
  for applet in $(busybox --list); do [ -e "$1/bin/$applet" ] || ln -s busybox "$1/bin/$applet"; done
  cp "$PROBE" "$1/bin/probe"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
}

# modules SERIES FOLDER: the modules for virtio devices, unpacked, in the order in which they must be loaded.
modules() {
  local from name file
  from=$("$root/Scripts/kernel" modules "$1") || return 1
  mkdir -p "$2"
  for name in virtio_ring virtio virtio_mmio virtio_blk virtio-rng; do
    file=$(find "$from/kernel" -name "$name.ko*" | head -n 1)
    case $file in
      '') continue ;; # built in
      *.xz) xz -dc "$file" >"$2/$name.ko" ;;
      *.zst) zstd -dcq "$file" >"$2/$name.ko" ;;
      *) cp "$file" "$2/$name.ko" ;;
    esac || return 1
    echo "$name" >>"$2/order"
  done
}

run_linux() {
  local stage=$WORK/e2e tree shards=1 shard code
  mkdir "$stage"
  K=$("$root/Scripts/kernel" fetch 6.1) || { skip_linux "Debian's kernel could not be fetched"; return; }
  cp "$K" "$stage/bz61" && chmod 644 "$stage/bz61"
  K=$("$root/Scripts/kernel" fetch 6.12) && cp "$K" "$stage/bz612" && chmod 644 "$stage/bz612"
  "$root/Scripts/kernel" elf "$stage/bz61" "$stage/vmlinux61" || fail "Scripts/kernel elf failed"
  cp "$VMRUN" "$stage/vmrun"
  cp "$PROBE" "$here/harness.sh" "$here/linux.sh" "$stage/"
  busybox_tree "$stage/rootfs"
  head -c 3000000 /dev/urandom >"$stage/rootfs/noise"
  modules 6.1 "$stage/rootfs/modules61" || fail "the modules of Debian's kernel could not be unpacked"
  [ ! -f "$stage/bz612" ] || modules 6.12 "$stage/rootfs/modules612" || fail "the modules of Debian's kernel 6.12 could not be unpacked"
  # An initramfs whose init runs the script that the kernel's command line names.
  tree=$WORK/initramfs
  busybox_tree "$tree"
  mkdir "$tree/proc" "$tree/dev"
  cp "$here/console-init.sh" "$tree/init" && chmod 755 "$tree/init"
  (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$stage/initramfs.cpio"

  [ "${place%%:*}" = lab ] && [ "$(nproc)" -ge 2 ] && shards=2
  for ((shard = 0; shard < shards; shard++)); do
    (
      "$root/Scripts/lab" --timeout 1200 --memory 3G --file "$stage:e2e" --env "ONLY=$only" --env "PLACE=${place%%:*}" -- sh e2e/linux.sh $shard $shards 2>&1 </dev/null
      code=$?
      [ $code = 0 ] || printf 'FAIL linux/the_machine_%d\n    it ended with exit code %d\n' $shard $code
    ) | tee "$WORK/linux.$shard" | grep --line-buffered -v '^END ' &
    children+=($!)
  done
  wait "${children[@]}"
  children=()
  for ((shard = 0; shard < shards; shard++)); do group_end linux "$WORK/linux.$shard"; done
  group_time
}
