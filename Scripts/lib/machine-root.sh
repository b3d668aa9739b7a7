# The disk of Scripts/machine: Debian with systemd, and container engines to try vmrun with. Sourced by Scripts/lab, never run.
# shellcheck shell=bash disable=SC2154,SC2015

machine_packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,procps,iproute2,util-linux,kmod,busybox-static,python3
machine_packages+=,runc,crun,bubblewrap,conmon,containerd,docker.io,tini,catatonit,podman,containernetworking-plugins,uidmap,iptables
machine_packages+=,skopeo,docker-registry,libcap2-bin,apparmor,python3-grpcio

# machine_image -> $machine_disk, the disk's path; made when it is not there (about three minutes and 900 MB, from Debian's mirror).
# Keyed by the packages, the kernel, and the scripts that go into it.
machine_image() {
  local folder identity image lock stage root mirror release modules_folder
  modules_folder=$("$here/kernel" modules 6.1 --quiet) || fail "there is no kernel" "type: Scripts/kernel fetch 6.1"
  folder=$(cache_folder)/machine || exit
  release=$(basename -- "$modules_folder")
  identity=$(printf '%s\n' "$machine_packages" "$release" | cat - "$here/lib/machine-root.sh" | sha256sum)
  image=$folder/debian-${identity:0:16}.img
  make_folder "$folder"
  exec {lock}>"$folder/lock" && flock "$lock" || fail "cannot lock $folder/lock"
  if [ ! -f "$image" ]; then
    [ "$(id -u)" = 0 ] || fail "the disk of Scripts/machine has to be made by root, once" "type: sudo Scripts/machine -- true"
    need debootstrap debootstrap
    need mkfs.ext4 e2fsprogs
    say "making the machine's disk by debootstrap (three minutes, once)"
    stage=$(mktemp -d "$folder/.new.XXXXXX") || fail "cannot create a folder in $folder"
    run=$stage # removed however this ends
    root=$stage/root
    # The mirror that this machine's apt uses, when it is Debian's own release.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 2>/dev/null | head -n 1)
    debootstrap --variant=minbase --include="$machine_packages" bookworm "$root" ${mirror:+"$mirror"} >"$stage/log" 2>&1 || {
      tail -n 5 "$stage/log" "$root/debootstrap/debootstrap.log" >&2
      fail "debootstrap could not make the machine's disk; its last messages are above" "is the network there? then type the same again"
    }
    furnish "$root" "$modules_folder" || fail "cannot furnish the machine's root folder"
    truncate -s 6G "$stage/image" && mkfs.ext4 -q -F -L machine -O ^has_journal -E lazy_itable_init=1,nodiscard -d "$root" "$stage/image" ||
      fail "mkfs.ext4 could not make the machine's disk"
    find "$folder" -maxdepth 1 -name 'debian-*.img' -exec rm -f -- {} +
    mv -- "$stage/image" "$image" || fail "cannot create $image"
    rm -rf --one-file-system -- "$stage"
    run=
    say "the disk is ready ($(du -sm -- "$image" | cut -f1) MiB)"
  fi
  exec {lock}>&-
  machine_disk=$image
}

# furnish ROOT MODULES: what makes it the lab's machine: modules, the agent, and nothing that starts by itself or waits.
furnish() {
  local root=$1 unit
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*
  mkdir -p "$root/lib/modules" "$root/lab"
  cp -a -- "$2" "$root/lib/modules/" && chroot "$root" depmod "${2##*/}" || return 1
  printf 'machine\n' >"$root/etc/hostname"
  printf '127.0.0.1 localhost machine\n' >"$root/etc/hosts"
  printf 'user:x:1000:1000:user:/home/user:/bin/bash\n' >>"$root/etc/passwd"
  printf 'user:x:1000:\n' >>"$root/etc/group"
  printf 'user:*:19000:0:99999:7:::\n' >>"$root/etc/shadow"
  printf 'user:100000:65536\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
  mkdir -p "$root/home/user" && chown 1000:1000 "$root/home/user" || return 1
  for unit in docker.service docker.socket containerd.service podman.socket podman.service podman-auto-update.timer podman-auto-update.service \
    podman-restart.service docker-registry.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-timesyncd.service getty@tty1.service apparmor.service systemd-networkd.service; do
    rm -f "$root"/etc/systemd/system/*.wants/$unit
  done
  # Its device never comes up without udev, and systemd would wait for it.
  ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
  : >"$root/etc/fstab"
  # A change of lab-init reaches the machine by its initramfs, without a new disk.
  cat >"$root/etc/systemd/system/agent.service" <<'UNIT'
[Unit]
Description=Runs the job that comes in from the host
After=multi-user.target dbus.service systemd-logind.service
[Service]
ExecStart=/bin/sh /run/lab-init agent
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Delegate=yes
OOMScoreAdjust=0
TasksMax=infinity
[Install]
WantedBy=default.target
UNIT
  mkdir -p "$root/etc/systemd/system/default.target.wants"
  ln -sf ../agent.service "$root/etc/systemd/system/default.target.wants/agent.service"
  ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
}
