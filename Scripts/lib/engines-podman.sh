# podman: private storage and configuration, and the tests. Sourced by bash, never run.
#
# What is in single quotes is for the shell in the container; what is not assigned here comes from engines-inside.
# shellcheck shell=bash disable=SC2016,SC2154,SC2034,SC2015,SC2094

podman_options() {
  podman_command=(podman --runtime "$runtime" --root "$work/podman" --runroot /run/engines-podman --tmpdir /run/engines-libpod --cgroup-manager "$cgroup_manager")
}
# buildah takes the parent itself as the container's cgroup, except with systemd.
podman_build_parent=$podman_parent/libpod-build
[ "${cgroup_manager:-}" != systemd ] || podman_build_parent=$podman_parent
podman() {
  podman_options
  command "${podman_command[@]}" "$@"
}
# prun OPTIONS IMAGE COMMAND: a container of its own that is gone afterwards; pbox NAME OPTIONS...: one in the background.
prun() { podman run --rm --network none --cgroup-parent "$podman_parent" "$@"; }
pbox() { podman run -d --network none --cgroup-parent "$podman_parent" --name "$@" >/dev/null; }
podman_pid() { podman inspect -f '{{.State.Pid}}' "$1"; }
podman_state() { is "$(podman inspect -f "{{.State.$2}}" "$1")" "$3" "$1's $2"; }
podman_logged() { has "$(podman logs "$1" 2>&1)" "$2"; }

podman_start() {
  mkdir -p /etc/containers /run/engines-podman
  # podman's own default limits need CAP_SYS_RESOURCE, which not every host gives.
  cat >/etc/containers/containers.conf <<'CONF'
[containers]
default_ulimits = []
[engine]
events_logger = "file"
CONF
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "/run/engines-podman"\n' "$work/podman" >/etc/containers/storage.conf
  printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >/etc/containers/policy.json
  rm -rf /etc/containers/registries.conf.d
  printf 'unqualified-search-registries = []\n' >/etc/containers/registries.conf
  podman import -q -c 'CMD ["sh"]' "$work/root.tar" localhost/box >/dev/null || fail "podman cannot import the image"
}

podman_registered() {
  # By name, from the configuration file.
  printf '[containers]\ndefault_ulimits = []\n[engine]\nruntime = "tested"\nevents_logger = "file"\n[engine.runtimes]\ntested = ["%s"]\n' "$runtime" >own.conf
  expect 0 env CONTAINERS_CONF="$PWD/own.conf" podman --root "$work/podman" --runroot /run/engines-podman --tmpdir /run/engines-libpod \
    --cgroup-manager "$cgroup_manager" run --rm --network none --cgroup-parent "$podman_parent" box echo hello
  is "$out" hello
}

podman_run() {
  expect 7 prun box sh -c 'echo to stdout; echo to stderr >&2; exit 7'
  is "$out|$err" "to stdout|to stderr"
}

podman_stdin() {
  head -c 1048576 /dev/urandom >big
  expect 0 prun -i box sha256sum <big
  is "$out" "$(sha256sum <big)" "what came through stdin"
}

podman_run_tty() {
  podman_options
  expect 9 "$library/engines-pty" 'name? ' 'world\n' -- "${podman_command[@]}" run --rm -it --network none --cgroup-parent "$podman_parent" box \
    sh -c 'tty; printf "name? "; read name; echo "hello $name"; sleep 0.3; stty size; exit 9'
  has "$out" "hello world"
  has "$out" "33 111"
  has "$out" /dev/pts/0
}

podman_exec() {
  pbox exec --env A=1 box sleep 1000
  expect 5 podman exec --env B=2 --workdir /tmp --user 1000:1001 exec sh -c 'echo "$A$B $PWD $(id -u):$(id -g)"; echo error >&2; exit 5'
  is "$out|$err" "12 /tmp 1000:1001|error"
  expect 0 podman exec -i exec cat <<<"through exec's stdin"
  is "$out" "through exec's stdin"
  podman_options
  expect 3 "$library/engines-pty" 'name? ' 'world\n' -- "${podman_command[@]}" exec -it exec sh -c 'tty; printf "name? "; read name; echo "hello $name"; exit 3'
  has "$out" "hello world"
  expect 0 podman exec -d exec sh -c 'echo detached >/tmp/detached'
  soon podman exec exec grep -q detached /tmp/detached
}

podman_exec_preserved_descriptors() {
  pbox exec-fds box sleep 1000
  echo through descriptor 3 >file
  expect 0 podman exec --preserve-fds 1 exec-fds sh -c 'cat <&3' 3<file
  is "$out" "through descriptor 3"
}

podman_failing_commands() {
  expect 127 prun box no-such-command
  matches "$err" 'executable file .*not found'
  expect 127 prun box /no/such/command
  matches "$err" '[Nn]o such file or directory'
  expect 126 prun box /plain
  matches "$err" '[Pp]ermission denied'
  pbox failing-exec box sleep 1000
  expect 127 podman exec failing-exec no-such-command
  expect 126 podman exec failing-exec /plain
  expect 0 podman exec failing-exec true
}

podman_stop() {
  pbox stop box sh -c 'trap "echo got TERM; exit 33" TERM; echo up; while :; do sleep 0.1; done'
  soon podman_logged stop up
  expect 0 podman stop -t 8 stop
  podman_state stop ExitCode 33
  pbox stop-ignoring box sh -c 'trap "" TERM; while :; do sleep 0.1; done'
  expect 0 podman stop -t 1 stop-ignoring
  podman_state stop-ignoring ExitCode 137
}

podman_kill() {
  pbox kill box sh -c 'trap "echo got USR1" USR1; trap "echo got HUP; exit 4" HUP; echo up; while :; do sleep 0.1; done'
  soon podman_logged kill up
  expect 0 podman kill -s USR1 kill
  soon podman_logged kill "got USR1"
  expect 0 podman kill -s 1 kill
  expect 0 podman wait kill
  is "$out" 4
  pbox killed box sleep 1000
  expect 0 podman kill killed
  expect 0 podman wait killed
  is "$out" 137
}

podman_pause() {
  need_controller freezer
  pbox pause box sleep 1000
  expect 0 podman pause pause
  podman_state pause Status paused
  is "$(limit "$(podman_pid pause)" frozen)" yes frozen
  expect 0 podman unpause pause
  podman_state pause Status running
  is "$(limit "$(podman_pid pause)" frozen)" no frozen
}

podman_update() {
  need_controller memory
  pbox update -m 64m box sleep 1000
  local pid
  pid=$(podman_pid update)
  is "$(limit "$pid" memory)" $((64 << 20)) "the first limit"
  # Without --memory-swap podman 4.3 sends twice the old limit: name it.
  expect 0 podman update -m 128m --memory-swap 256m update
  is "$(limit "$pid" memory)" $((128 << 20)) "the limit after update"
}

podman_limits() {
  need_controller memory
  pbox limits -m 48m --cpus 0.5 --pids-limit 33 --cpuset-cpus 0 box sleep 1000
  local pid
  pid=$(podman_pid limits)
  is "$(limit "$pid" memory)" $((48 << 20)) memory
  is "$(limit "$pid" quota)" "50000 100000" quota
  is "$(limit "$pid" pids)" 33 pids
  is "$(limit "$pid" cpuset)" 0 cpuset
}

podman_oom() {
  need_controller memory
  pbox oom -m 24m --memory-swap 24m box sh -c 'sleep 0.5; dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 0.5; exit 9'
  expect 0 podman wait oom
  matches "$out" '^(9|137)$'
}

podman_top_stats_logs() {
  pbox top box sh -c 'echo one; echo two >&2; sleep 1000 & exec sleep 2000'
  soon podman_logged top two
  expect 0 podman top top pid args
  has "$out" "sleep 2000"
  expect 0 podman top top -- -o pid,args
  has "$out" "sleep 1000"
  if controller_root memory >/dev/null; then
    expect 0 podman stats --no-stream --format '{{.Name}} {{.PIDs}}' top
    is "$out" "top 2"
  fi
  expect 0 podman logs top
  is "$out|$err" "one|two"
}

podman_rm_force() {
  pbox rm-force box sh -c 'trap "" TERM; sleep 1000 & wait'
  expect 0 podman rm -f -t 0 rm-force
  expect 1 podman container exists rm-force
}

podman_restart() {
  pbox restart --restart on-failure:2 box sh -c 'echo again; exit 5'
  soon podman_logged restart $'again\nagain\nagain'
  soon podman_state restart Status exited
  is "$(podman logs restart | grep -c again)" 3 runs
  pbox restarted box sh -c 'echo up; exec sleep 1000'
  expect 0 podman restart -t 0 restarted
  is "$(podman logs restarted | grep -c up)" 2 starts
}

podman_build() {
  mkdir context
  cp "$work/root.tar" context/root.tar
  printf 'FROM scratch\nADD root.tar /\nRUN echo built by $(id -u) >/file && grep Seccomp: /proc/self/status >>/file\nUSER user\nRUN id -un >/tmp/user\nCMD cat /file /tmp/user\n' >context/Containerfile
  expect 0 podman build --network none --cgroup-parent "$podman_build_parent" -t built context
  expect 0 prun built
  is "$out" $'built by 0\nSeccomp:\t2\nuser'
  printf 'FROM localhost/box\nRUN exit 23\n' >context/Containerfile
  expect 23 podman build --network none --cgroup-parent "$podman_build_parent" context
}

podman_registry() {
  need_command docker-registry docker-registry
  expect 0 podman push --tls-verify=false box "$registry/podman/box:1"
  expect 0 podman pull --tls-verify=false "$registry/podman/box:1"
  expect 0 prun "$registry/podman/box:1" echo pulled
  is "$out" pulled
  need_command skopeo skopeo
  expect 0 skopeo copy --src-tls-verify=false "docker://$registry/podman/box:1" "oci:$PWD/layout:box"
  expect 0 test -s layout/index.json
}

podman_pod() {
  expect 0 podman pod create --name pod --network none --cgroup-parent "$podman_parent" --infra-image localhost/box --infra-command 'sleep 1000000' --share net,ipc,uts
  # Podman 4.3's cgroupfs manager lets nobody open a device in a pod's cgroup of version 2, whatever the runtime: seen by going there.
  local folder
  folder=$(find /sys/fs/cgroup -maxdepth 4 -type d -path "*$podman_parent/*" -name "$(podman pod inspect -f '{{.ID}}' pod)*" | head -n 1)
  [ ! -e "$folder/cgroup.controllers" ] || sh -c 'echo $$ >"$1/cgroup.procs" && exec cat /dev/null' sh "$folder" ||
    { podman pod rm -f pod; skip "podman's cgroupfs manager lets no process at all open a device in a pod's cgroup here"; }
  expect 0 podman run -d --pod pod --name pod-server box sh -c 'mkdir /www; echo answer >/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www'
  expect 0 podman run --rm --pod pod box sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O- http://127.0.0.1:8080/ && break; sleep 0.2; done; hostname'
  is "$out" $'answer\npod'
  expect 0 podman pod pause pod
  expect 0 podman pod unpause pod
  expect 0 podman pod stop -t 0 pod
  expect 0 podman pod rm -f -t 0 pod
}

podman_preserved_descriptors() {
  echo through descriptor 3 >file
  echo through descriptor 4 >file4
  expect 0 prun --preserve-fds 2 box sh -c 'cat <&3; cat <&4' 3<file 4<file4
  is "$out" $'through descriptor 3\nthrough descriptor 4'
  expect 0 prun box sh -c 'ls /proc/self/fd | tr "\n" " "' 5<file
  is "$out" "0 1 2 3 " "descriptors without the option"
}

podman_hooks() {
  mkdir hooks
  local stage
  for stage in prestart createRuntime createContainer startContainer poststart poststop; do
    printf '{"version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", "cat >%s; echo %s >>%s"], "timeout": 5}, "when": {"always": true}, "stages": ["%s"]}\n' \
      "$PWD/state-$stage" "$stage" "$PWD/order" "$stage" >"hooks/$stage.json"
  done
  # startContainer runs in the container, where the host's folders are not: its path is mounted.
  mkdir -p "$PWD/inside"
  printf '{"version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", "cat >/inside/state; echo startContainer $(cat /proc/1/comm) >/inside/order"]}, "when": {"always": true}, "stages": ["startContainer"]}\n' >hooks/startContainer.json
  expect 0 podman --hooks-dir "$PWD/hooks" run --name hooks --network none --cgroup-parent "$podman_parent" -v "$PWD/inside:/inside" box echo ran
  is "$out" ran
  expect 0 podman --hooks-dir "$PWD/hooks" rm -f hooks
  soon grep -q poststop order
  is "$(tr '\n' ' ' <order)" "prestart createRuntime createContainer poststart poststop " "the order of the hooks"
  has "$(cat inside/order)" startContainer
  has "$(cat state-prestart)" '"status":"creat'
  has "$(cat inside/state)" '"ociVersion"'
  has "$(cat state-poststop)" '"status":"stopped"'
}

podman_failing_hook() {
  mkdir hooks
  printf '{"version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", "echo the hook says no >&2; exit 3"]}, "when": {"always": true}, "stages": ["createRuntime"]}\n' >hooks/no.json
  expect 126 podman --hooks-dir "$PWD/hooks" run --name hook-no --network none --cgroup-parent "$podman_parent" box echo ran
  is "$out" ""
  podman rm -f hook-no
}

podman_security() {
  expect 0 prun box grep -E 'CapEff|Seccomp:' /proc/self/status
  matches "$out" 'Seccomp:.2'
  lacks "$out" ffffffffff
  expect 0 prun --cap-drop all --security-opt no-new-privileges --security-opt seccomp=unconfined box grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
  is "$(tr -d '\t' <out)" $'CapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:0'
  expect 0 prun --user 1000 --cap-add net_bind_service box grep -E 'CapAmb|CapEff' /proc/self/status
  is "$(tr -d '\t' <out)" $'CapEff:0000000000000400\nCapAmb:0000000000000400'
}

podman_file_systems() {
  mkdir host
  echo from the host >host/file
  expect 1 prun --read-only box touch /file
  has "$err" "Read-only file system"
  expect 0 prun --read-only --tmpfs /scratch:size=1m -v "$PWD/host:/volume:ro" box sh -c 'cat /volume/file; touch /scratch/x /tmp/y; touch /volume/x 2>&1; grep " /scratch " /proc/mounts'
  has "$out" "from the host"
  has "$out" "Read-only file system"
  has "$out" size=1024k
  # The image's content is copied up into a tmpfs.
  expect 0 prun --mount type=tmpfs,dst=/etc box cat /etc/group
  has "$out" extra
  mount --bind host host
  mount --make-shared host
  expect 0 prun -v "$PWD/host:/volume:rslave,nosuid,noexec,nodev" box grep ' /volume ' /proc/self/mountinfo
  umount host
  matches "$out" 'nosuid,nodev,noexec.* master:'
}

podman_masks() {
  expect 0 prun box sh -c 'for f in kcore keys timer_list; do test ! -e /proc/$f || test "$(head -c 10 /proc/$f 2>/dev/null | wc -c)" = 0 || echo $f is not masked; done
    test -z "$(ls /sys/firmware 2>/dev/null)" || echo firmware is not masked
    (echo x >/proc/sys/kernel/hostname) 2>&1 | grep -o "Read-only file system"'
  is "$out" "Read-only file system"
}

podman_identity() {
  expect 0 prun --user user --hostname name --sysctl net.ipv4.ip_unprivileged_port_start=7 --ulimit nofile=512:800 --ulimit nproc=1000:2000 --shm-size 3m --umask 0027 --env A=b --workdir /tmp box \
    sh -c 'id -un; hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -n; ulimit -Hn; umask; echo $A $PWD; df -k /dev/shm | tail -n 1 | awk "{print \$2}"'
  is "$out" $'user\nname\n7\n512\n800\n0027\nb /tmp\n3072'
}

podman_namespaces() {
  expect 0 podman run --rm --cgroup-parent "$podman_parent" --network host --pid host --ipc host --uts host --cgroupns host box sh -c 'for k in net pid ipc uts cgroup; do readlink /proc/self/ns/$k; done'
  is "$out" "$(for kind in net pid ipc uts cgroup; do readlink "/proc/self/ns/$kind"; done)" "the host's namespaces"
  pbox namespaces box sleep 1000
  expect 0 prun --pid container:namespaces box cat /proc/1/comm
  is "$out" sleep
}

podman_user_namespace() {
  need_user_namespaces
  chmod 755 "$work"
  mkdir host
  chown 100000:100000 host
  expect 0 prun --uidmap 0:100000:65536 --gidmap 0:100000:65536 -v "$PWD/host:/volume" box \
    sh -c 'id -u; tr -s " " </proc/self/uid_map; touch /volume/file /owned; echo x >/dev/null; mount -t tmpfs x /tmp 2>&1 | grep -oi "permission denied\|not permitted" | head -n 1 | tr P p; ls -l /dev/null | cut -c 1'
  is "$out" $'0\n 0 100000 65536\npermission denied\nc'
  is "$(stat -c %u host/file)" 100000 "the owner outside"
}

podman_health() {
  pbox health --health-cmd 'test -e /tmp/well' --health-interval disable box sleep 1000
  expect 1 podman healthcheck run health
  podman exec health touch /tmp/well
  expect 0 podman healthcheck run health
}

podman_privileged() {
  need_every_capability
  expect 0 prun --privileged box sh -c 'mkdir -p /mnt; mount -t tmpfs x /mnt && echo mounted; grep Seccomp: /proc/self/status; test -w /proc/sys/kernel/hostname && echo writable'
  has "$out" mounted
  has "$out" writable
}

podman_default_ulimits() {
  need_resource_capability
  expect 0 env CONTAINERS_CONF=/dev/null bash -c '. "$library/engines-podman.sh"; prun box sh -c "ulimit -Hn"'
  matches "$out" '^[0-9]+$|unlimited'
}

podman_init() {
  need_command catatonit catatonit
  expect 5 prun --init box sh -c 'exit 5'
}

podman_rootfs() {
  cp -a "$work/root" own
  expect 0 prun --rootfs "$PWD/own" sh -c 'echo folder >/made; cat /made'
  is "$out$(cat own/made)" folderfolder
}

podman_checkpoint_refused() {
  pbox checkpoint box sleep 1000
  expect 125 podman container checkpoint checkpoint
  expect 0 podman exec checkpoint true
}

podman_many() {
  local number
  for number in 1 2 3 4 5 6 7 8; do
    (prun box sh -c "echo $number; exit $number" >"many$number" || echo $? >>"many$number") &
  done
  wait
  for number in 1 2 3 4 5 6 7 8; do is "$(cat "many$number")" "$number"$'\n'"$number" "container $number"; done
}

podman_nothing_left() {
  podman pod rm -f -a -t 0
  podman rm -f -a -t 0
  nothing_left '(/podman|\.slice)/(.*/)?(libpod|buildah)-'
}

podman_tests() {
  check "podman: the runtime is registered by containers.conf" podman_registered
  check "podman: run gives exit code, stdout and stderr" podman_run
  check "podman: stdin, 1 MiB byte for byte" podman_stdin
  check "podman: run -it on a real terminal" podman_run_tty
  check "podman: exec, exec -i, exec -it, exec -d" podman_exec
  check "podman: exec with preserved descriptors" podman_exec_preserved_descriptors
  check "podman: commands that fail: 127, 126 and their texts" podman_failing_commands
  check "podman: stop by TERM, then by KILL" podman_stop
  check "podman: kill by name and number" podman_kill
  check "podman: pause and unpause" podman_pause
  check "podman: update --memory" podman_update
  check "podman: limits at the start" podman_limits
  check "podman: out of memory" podman_oom
  check "podman: top, stats, logs" podman_top_stats_logs
  check "podman: rm -f" podman_rm_force
  check "podman: restart policy and restart" podman_restart
  check "podman: build with RUN steps" podman_build
  check "podman: push and pull with a registry on loopback, skopeo" podman_registry
  check "podman: a pod whose containers talk" podman_pod
  check "podman: preserved descriptors, and none without" podman_preserved_descriptors
  check "podman: hooks of every stage, in order" podman_hooks
  check "podman: a hook that fails" podman_failing_hook
  check "podman: seccomp, capabilities, ambient, no-new-privileges" podman_security
  check "podman: read-only, tmpfs, volumes, propagation" podman_file_systems
  check "podman: masked and read-only paths" podman_masks
  check "podman: user, host name, sysctl, ulimit, umask, shm size" podman_identity
  check "podman: namespaces: the host's, another container's" podman_namespaces
  check "podman: user namespace with mappings" podman_user_namespace
  check "podman: health check" podman_health
  check "podman: --privileged" podman_privileged
  check "podman: podman's own default ulimits" podman_default_ulimits
  check "podman: --init" podman_init
  check "podman: --rootfs" podman_rootfs
  check "podman: checkpoint fails and harms nothing" podman_checkpoint_refused
  check "podman: eight at once" podman_many
}
