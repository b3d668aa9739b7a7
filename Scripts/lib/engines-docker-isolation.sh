# docker's tests of what a container is given and kept from: limits, users, security, file systems, namespaces. Sourced by bash, never run.
#
# What is in single quotes is for the shell in the container; what is not assigned here comes from engines-inside.
# shellcheck shell=bash disable=SC2016,SC2154,SC2034,SC2015,SC2094

docker_limits() {
  need_controller memory
  need_controller cpuset
  dbox limits -m 48m --cpus 0.5 --cpu-shares 256 --cpuset-cpus 0 --pids-limit 33 box sleep 1000
  local pid
  pid=$(docker_pid limits)
  is "$(limit "$pid" memory)" $((48 << 20)) memory
  is "$(limit "$pid" quota)" "50000 100000" quota
  # A v2 weight stands for it by runc's first formula (10) or its later one (35).
  matches "$(limit "$pid" shares)" '^(256|238|894)$'
  is "$(limit "$pid" cpuset)" 0 cpuset
  is "$(limit "$pid" pids)" 33 pids
  expect 0 docker exec limits nproc
  is "$out" 1 "processors"
}

docker_pids_limit() {
  need_controller pids
  expect '0|2' drun --pids-limit 12 box sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 2 & done; true'
  has "$err" "can't fork"
}

docker_oom() {
  need_controller memory
  dbox oom -m 24m --memory-swap 24m box sh -c 'sleep 0.5; dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 0.5; exit 9'
  expect 0 docker wait oom
  soon docker_state oom OOMKilled true
  # dd alone is killed, or the shell with it.
  matches "$out" '^(9|137)$'
}

docker_seccomp() {
  expect 0 drun box grep -E 'Seccomp:|NoNewPrivs' /proc/self/status
  matches "$out" 'Seccomp:.2'
  expect 1 drun --cap-add NET_ADMIN box unshare -U true
  has "$err" "not permitted"
  expect 0 drun --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status
  matches "$out" 'Seccomp:.0'
  cat >profile.json <<'JSON'
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
  {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
  {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 438, "op": "SCMP_CMP_EQ"}]}]}
JSON
  expect 1 drun --security-opt seccomp=profile.json box mkdir /x
  has "$err" "No space left"
  expect 1 drun --security-opt seccomp=profile.json box sh -c 'chmod 600 /plain && echo first; chmod 666 /plain'
  is "$out" first
}

docker_no_new_privileges() {
  expect 0 drun --security-opt no-new-privileges box grep NoNewPrivs: /proc/self/status
  matches "$out" 'NoNewPrivs:.1'
  expect 0 drun box grep NoNewPrivs: /proc/self/status
  matches "$out" 'NoNewPrivs:.0'
}

docker_capabilities() {
  expect 0 drun box grep Cap /proc/self/status
  is "$(tr -d '\t' <out)" $'CapInh:0000000000000000\nCapPrm:00000000a80425fb\nCapEff:00000000a80425fb\nCapBnd:00000000a80425fb\nCapAmb:0000000000000000'
  expect 0 drun --cap-drop ALL --cap-add NET_ADMIN --cap-add CHOWN box grep CapEff /proc/self/status
  matches "$out" '0000000000001001$'
  expect 0 drun --user 1000 box grep -E 'CapEff|CapBnd' /proc/self/status
  is "$(tr -d '\t' <out)" $'CapEff:0000000000000000\nCapBnd:00000000a80425fb'
}

docker_masks() {
  expect 0 drun box sh -c 'for f in kcore keys timer_list sched_debug latency_stats; do test ! -e /proc/$f || test ! -s /proc/$f && test "$(head -c 10 /proc/$f 2>/dev/null | wc -c)" = 0 || echo $f is not masked; done
    for d in /proc/acpi /proc/scsi /sys/firmware; do test ! -d $d || test -z "$(ls $d)" || echo $d is not masked; done
    for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/profiling; do test ! -e $f || { (echo x >$f) 2>&1 | grep -q "Read-only" || echo $f can be written; }; done
    (echo x >/proc/sys/kernel/hostname) 2>&1 | grep -o "Read-only file system"'
  is "$out" "Read-only file system"
}

docker_user() {
  expect 0 drun --user 1000:1002 --group-add 1005 --group-add 7 box sh -c 'id -u; id -g; id -G'
  is "$out" $'1000\n1002\n1002 7 1005'
  expect 0 drun --user user box sh -c 'id -un; id -G; echo $HOME; umask'
  is "$out" $'user\n1001 1005\n/home/user\n0022'
}

docker_read_only() {
  expect 1 drun --read-only box touch /file
  has "$err" "Read-only file system"
  expect 0 drun --read-only --tmpfs /scratch:size=1m,mode=1770,uid=1000,noexec box sh -c 'touch /scratch/file; stat -c "%a %u" /scratch; grep " /scratch " /proc/mounts; touch /dev/shm/x && echo shm'
  matches "$out" $'^1770 1000\n.* /scratch tmpfs rw,nosuid,nodev,noexec,.*size=1024k.*\nshm$'
}

docker_volumes() {
  mkdir -p host/sub
  echo from the host >host/file
  expect 0 drun -v "$PWD/host:/volume" box sh -c 'cat /volume/file; echo from inside >/volume/sub/new'
  is "$out$(cat host/sub/new)" "from the hostfrom inside"
  expect 1 drun -v "$PWD/host:/volume:ro" box touch /volume/x
  has "$err" "Read-only file system"
  expect 0 drun -v "$PWD/host/file:/etc/deep/er/file:ro" box cat /etc/deep/er/file
  is "$out" "from the host"
  expect 0 docker volume create keep
  expect 0 drun -v keep:/data box sh -c 'echo kept >/data/x'
  expect 0 drun --mount type=volume,src=keep,dst=/data,readonly box cat /data/x
  is "$out" kept
  expect 0 drun --mount type=tmpfs,dst=/scratch,tmpfs-size=65536 box grep ' /scratch ' /proc/mounts
  has "$out" size=64k
  # Under propagation rslave a later mount of the host arrives.
  mkdir -p shared/sub
  mount -t tmpfs engines shared
  mkdir shared/sub
  mount --make-shared shared
  dbox slave --mount "type=bind,src=$PWD/shared,dst=/shared,bind-propagation=rslave" box sleep 1000
  mount -t tmpfs engines shared/sub
  touch shared/sub/later
  expect 0 docker exec slave ls /shared/sub
  is "$out" later
  docker rm -f slave
  umount shared/sub shared
}

docker_symlinked_targets() {
  # A link in the image must not lead a mount out of the container.
  mkdir context
  printf 'FROM box\nRUN ln -s /../../../../../../tmp/escape /link && ln -s ../../../../../../../../etc /up\n' >context/Dockerfile
  DOCKER_BUILDKIT=0 expect 0 docker build --network none -t linked context
  mkdir host
  echo inside >host/file
  expect 0 drun -v "$PWD/host:/link/deep" -v "$PWD/host:/up/volume" linked sh -c 'cat /tmp/escape/deep/file /etc/volume/file'
  is "$out" $'inside\ninside'
  fails test -e /tmp/escape
  fails test -e /etc/volume
}

docker_ulimit() {
  expect 0 drun --ulimit nofile=512:800 --ulimit core=0 box sh -c 'ulimit -n; ulimit -Hn; ulimit -c'
  is "$out" $'512\n800\n0'
}

docker_ulimit_raised() {
  need_resource_capability
  local most
  read -r most </proc/sys/fs/nr_open # nobody may have more
  expect 0 drun --ulimit "nofile=$most:$most" box sh -c 'ulimit -Hn'
  is "$out" "$most"
}

docker_health() {
  dbox health --health-cmd 'test -e /tmp/well' --health-interval 200ms --health-retries 1 box sleep 1000
  soon docker_state health Health.Status unhealthy
  docker exec health touch /tmp/well
  soon docker_state health Health.Status healthy
}

docker_privileged() {
  need_every_capability
  expect 0 drun --privileged box sh -c 'sed -n "s/^CapEff:.*f/f/p" /proc/self/status; grep Seccomp: /proc/self/status; mount -t tmpfs x /mnt 2>/dev/null || { mkdir /mnt; mount -t tmpfs x /mnt; } && echo mounted; ls /dev | grep -c loop-control; test -w /proc/sys/kernel/hostname && echo writable'
  has "$out" mounted
  has "$out" writable
  matches "$out" 'Seccomp:.0'
}

docker_identity() {
  expect 0 drun --hostname name --domainname example.test --sysctl net.ipv4.ip_unprivileged_port_start=7 --shm-size 3m --oom-score-adj 500 box \
    sh -c 'hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj; df -k /dev/shm | tail -n 1 | awk "{print \$2}"'
  is "$out" $'name\nexample.test\n7\n500\n3072'
}

docker_namespaces() {
  dbox namespaces --ipc shareable box sleep 1000
  local kind
  for kind in pid net ipc uts mnt; do
    fails test "$(readlink "/proc/$(docker_pid namespaces)/ns/$kind")" = "$(readlink /proc/self/ns/$kind)"
  done
  expect 0 docker run --rm --pid container:namespaces --ipc container:namespaces --network container:namespaces box \
    sh -c 'for kind in pid ipc net; do test $(readlink /proc/1/ns/$kind) = $(readlink /proc/self/ns/$kind) && echo $kind; done; cat /proc/1/cmdline | tr "\0" " "'
  has "$out" "sleep 1000"
  is "$(grep -cE '^(pid|ipc|net)$' out)" 3 "shared namespaces"
  expect 0 docker run --rm --network host --uts host --pid host --ipc host --cgroupns host box sh -c 'for k in net uts pid ipc cgroup; do readlink /proc/self/ns/$k; done'
  is "$out" "$(for kind in net uts pid ipc cgroup; do readlink "/proc/self/ns/$kind"; done)" "the host's namespaces"
  expect 0 drun --cgroupns private box cat /proc/self/cgroup
  fails grep -v ':/$' out
}

docker_devices() {
  # A device node without a rule cannot be opened, one that was given can.
  expect 0 drun --device /dev/null:/dev/given:rw box sh -c 'ls -l /dev/given; echo x >/dev/given && echo written'
  matches "$out" '^c.* 1, *3 .*written$'
  expect 1 drun box sh -c 'mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg'
  has "$err" "not permitted"
  expect 0 drun box sh -c 'ls /dev | sort | grep -v core | tr "\n" " "; ls -l /dev/ptmx /dev/fd | sed "s/.*-> //"'
  is "$out" $'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero /proc/self/fd\npts/ptmx'
}

docker_init_process() {
  [ -x /usr/bin/docker-init ] && /usr/bin/docker-init --version >/dev/null 2>&1 || skip "this host has no docker-init (Debian package tini)"
  expect 5 drun --init box sh -c 'cat /proc/1/comm; exit 5'
  is "$out" docker-init
}

docker_descriptors() {
  # Whatever the engine holds open stays outside.
  expect 0 drun box sh -c 'ls /proc/self/fd | tr "\n" " "'
  is "$out" "0 1 2 3 " "descriptors" # 3 is ls's own
}

docker_environment() {
  expect 0 drun -e EMPTY= -e 'QUOTED=a "b" \ é' -e TERM=x --workdir /new/folder box sh -c 'pwd; env | grep -E "^(EMPTY|QUOTED|HOME|PATH|HOSTNAME)=" | sort | sed "s/HOSTNAME=.*/HOSTNAME/"'
  is "$out" $'/new/folder\nEMPTY=\nHOME=/root\nHOSTNAME\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nQUOTED=a "b" \\ é'
}
