# docker: a private dockerd with the runtime as its default, and the tests. Sourced by bash, never run.
#
# What is in single quotes is for the shell in the container; what is not assigned here comes from engines-inside.
# shellcheck shell=bash disable=SC2016,SC2154,SC2034,SC2015,SC2094

docker() { command "$docker_client" -H unix:///run/engines-docker.sock "$@"; }
# drun OPTIONS IMAGE COMMAND: a container of its own that is gone afterwards.
drun() { docker run --rm --network none "$@"; }
# dbox NAME OPTIONS...: a container in the background.
dbox() { docker run -d --network none --name "$@" >/dev/null; }
docker_pid() { docker inspect -f '{{.State.Pid}}' "$1"; }
docker_state() { is "$(docker inspect -f "{{.State.$2}}" "$1")" "$3" "$1's $2"; }

docker_start() {
  # Debian's own client beside Debian's daemon, when there are several.
  docker_client=$(PATH=/usr/bin:$PATH type -P docker)
  export docker_client
  mkdir -p /etc/docker
  printf '{"runtimes": {"tested": {"path": "%s"}}, "default-runtime": "tested"}\n' "$runtime" >/etc/docker/daemon.json
  start_daemon dockerd dockerd -H unix:///run/engines-docker.sock --containerd /run/engines-containerd.sock --data-root "$work/docker" \
    --exec-root /run/engines-docker --pidfile /run/engines-docker.pid --iptables=false --ip6tables=false --ip-masq=false \
    --userland-proxy=false --cgroup-parent "$docker_parent" --exec-opt "native.cgroupdriver=$cgroup_manager"
  await_daemon dockerd docker version
  docker import -c 'CMD ["sh"]' - box <"$work/root.tar" >/dev/null || fail "docker cannot import the image"
}

docker_registered() {
  expect 0 docker info -f '{{.DefaultRuntime}}'
  is "$out" tested
  # And a second name while the daemon runs.
  printf '{"runtimes": {"tested": {"path": "%s"}, "later": {"path": "%s"}}, "default-runtime": "tested"}\n' "$runtime" "$runtime" >/etc/docker/daemon.json
  kill -HUP "$(cat /run/engines-docker.pid)"
  soon eval "docker info -f '{{json .Runtimes}}' | grep -q later"
  expect 0 docker run --rm --network none --runtime later box echo hello
  is "$out" hello
}

docker_run() {
  expect 7 drun box sh -c 'echo to stdout; echo to stderr >&2; exit 7'
  is "$out|$err" "to stdout|to stderr"
}

docker_stdin() {
  head -c 1048576 /dev/urandom >big
  expect 0 drun -i box sha256sum <big
  is "$out" "$(sha256sum <big)" "what came through stdin"
}

docker_big_output() {
  expect 0 drun box sh -c 'yes 0123456789abcdef | head -c 33554432'
  is "$(sha256sum <out)" "$(yes 0123456789abcdef | head -c 33554432 | sha256sum)" "32 MiB of output"
}

docker_run_tty() {
  expect 9 "$library/engines-pty" 'name? ' 'wor\x7fld\n' -- \
    "$docker_client" -H unix:///run/engines-docker.sock run --rm -it --network none box sh -c 'tty; test -t 0 && test -t 2 && echo tty yes
      printf "name? "; read name; echo "hello $name"; sleep 0.3; stty size; exit 9'
  has "$out" "tty yes"
  has "$out" "/dev/pts/0"
  has "$out" "hello wold"
  has "$out" "33 111"
}

docker_tty_interrupt() {
  expect 42 "$library/engines-pty" ready '\x03' -- \
    "$docker_client" -H unix:///run/engines-docker.sock run --rm -it --network none box \
    sh -c 'trap "echo interrupted; exit 42" INT; echo ready; while :; do sleep 0.1; done'
  has "$out" interrupted
}

docker_exec() {
  dbox exec --env A=1 box sleep 1000
  expect 5 docker exec --env B=2 --workdir /tmp --user 1000:1001 exec sh -c 'echo "$A$B $PWD $(id -u):$(id -g)"; echo error >&2; exit 5'
  is "$out|$err" "12 /tmp 1000:1001|error"
  expect 0 docker exec -i exec cat <<<"through exec's stdin"
  is "$out" "through exec's stdin"
  expect 0 docker exec exec sh -c 'for p in 1 self; do readlink /proc/$p/ns/pid; done | uniq | wc -l; grep -E "Seccomp:|NoNewPrivs" /proc/self/status; cat /proc/self/cgroup | sort >/tmp/own; sort /proc/1/cgroup | cmp - /tmp/own && echo same cgroups'
  is "${out%%$'\n'*}" 1 "namespaces"
  has "$out" "same cgroups"
  matches "$out" "Seccomp:.2"
  expect 0 docker exec -d exec sh -c 'echo detached >/tmp/detached'
  soon docker exec exec grep -q detached /tmp/detached
}

docker_exec_tty() {
  dbox exec-tty box sleep 1000
  expect 3 "$library/engines-pty" 'name? ' 'world\n' -- "$docker_client" -H unix:///run/engines-docker.sock exec -it exec-tty \
    sh -c 'tty; printf "name? "; read name; echo "hello $name"; exit 3'
  has "$out" "hello world"
  has "$out" /dev/pts/
}

docker_exec_privileged() {
  need_every_capability
  dbox exec-privileged box sleep 1000
  expect 0 docker exec --privileged exec-privileged sed -n 's/^CapEff:\s*//p' /proc/self/status
  # All that this dockerd knows: up to CAP_AUDIT_READ, or up to the kernel's last.
  matches "$out" "^(0000003fffffffff|$(printf %016x $(((2 << $(cat /proc/sys/kernel/cap_last_cap)) - 1))))\$"
}

docker_failing_commands() {
  expect 127 drun box no-such-command
  has "$err" "executable file not found in \$PATH"
  expect 127 drun box /no/such/command
  has "$err" "no such file or directory"
  expect 126 drun box /plain
  has "$err" "permission denied"
  expect 126 drun box /etc
  has "$err" "permission denied"
  # The kernel says so only when the program is started: by then a runtime may have told the engine that all is well.
  expect '1|127' drun box no-interpreter
  has "$err" "no such file or directory"
}

docker_failing_exec() {
  dbox failing-exec box sh -c 'chmod 700 /root; exec sleep 1000'
  expect '126|127' docker exec failing-exec no-such-command # 20.10 has 126 for both
  has "$out$err" "executable file not found in \$PATH"
  expect 126 docker exec failing-exec /plain
  has "$out$err" "permission denied"
  expect '126|127' docker exec -w /no/such/folder failing-exec /no/such/command
  expect 0 docker exec failing-exec true
}

docker_scripts() {
  expect 0 drun box script a b
  is "$out" "script a b"
}

docker_stop() {
  dbox stop box sh -c 'trap "echo got TERM; exit 33" TERM; echo up; while :; do sleep 0.1; done'
  soon docker_logged stop up
  expect 0 docker stop -t 8 stop
  docker_state stop ExitCode 33
  has "$(docker logs stop)" "got TERM"
  dbox stop-ignoring box sh -c 'trap "" TERM; while :; do sleep 0.1; done'
  expect 0 docker stop -t 1 stop-ignoring
  docker_state stop-ignoring ExitCode 137
}

docker_kill() {
  dbox kill box sh -c 'trap "echo got USR1" USR1; trap "echo got HUP; exit 4" HUP; echo up; while :; do sleep 0.1; done'
  soon docker_logged kill up
  expect 0 docker kill -s USR1 kill
  soon docker_logged kill "got USR1"
  expect 0 docker kill -s 1 kill
  soon docker_logged kill "got HUP"
  expect 0 docker wait kill
  is "$out" 4
  dbox killed box sleep 1000
  expect 0 docker kill killed
  docker_state killed ExitCode 137
  expect 1 docker kill killed
  has "$err" "is not running"
}
docker_logged() { has "$(docker logs "$1" 2>&1)" "$2"; }

docker_host_pid_kill() {
  # In the host's process namespace nothing but the runtime's kill --all ends the second process.
  dbox host-pid --pid host box sh -c 'sleep 1234 & exec sleep 4321'
  soon pgrep -fx 'sleep 1234'
  expect 0 docker rm -f host-pid
  soon fails pgrep -fx 'sleep 1234'
}

docker_pause() {
  need_controller freezer
  dbox pause box sh -c 'while :; do echo x >>/tmp/ticks; sleep 0.02; done'
  soon docker exec pause test -s /tmp/ticks
  local pid ticks
  pid=$(docker_pid pause)
  expect 0 docker pause pause
  docker_state pause Status paused
  is "$(limit "$pid" frozen)" yes "frozen"
  ticks=$(wc -l <"/proc/$pid/root/tmp/ticks")
  sleep 0.3
  is "$(wc -l <"/proc/$pid/root/tmp/ticks")" "$ticks" "ticks while paused"
  expect 1 docker exec pause true
  has "$err" "is paused"
  expect 0 docker unpause pause
  is "$(limit "$pid" frozen)" no "frozen"
  soon eval "[ \$(wc -l <'/proc/$pid/root/tmp/ticks') -gt $ticks ]"
}

docker_rm_paused() {
  need_controller freezer
  dbox rm-paused box sleep 1000
  docker pause rm-paused
  expect 0 docker rm -f rm-paused
}

docker_update() {
  need_controller memory
  dbox update -m 64m box sleep 1000
  local pid
  pid=$(docker_pid update)
  is "$(limit "$pid" memory)" $((64 << 20)) "the first limit"
  expect 0 docker update -m 128m --memory-swap 256m update
  is "$(limit "$pid" memory)" $((128 << 20)) "the limit after update"
  expect 0 docker update --cpu-shares 512 --cpu-period 50000 --cpu-quota 25000 --pids-limit 77 update
  matches "$(limit "$pid" shares)" '^(512|501|1523)$' # weights 20 and 59, by runc's two formulas
  is "$(limit "$pid" quota)" "25000 50000" "cpu quota"
  is "$(limit "$pid" pids)" 77 "pids limit"
  is "$(limit "$pid" memory)" $((128 << 20)) "the memory limit after another update"
  expect 1 docker update -m 4k update
}

docker_top() {
  dbox top box sh -c 'sleep 1000 & exec sleep 2000'
  soon docker_top_has top 'sleep 1000'
  expect 0 docker top top
  has "$out" "sleep 2000"
  is "$(wc -l <out)" 3 "lines"
}
docker_top_has() { has "$(docker top "$1")" "$2"; }

docker_stats() {
  need_controller memory
  dbox stats -m 64m box sleep 1000
  expect 0 docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' stats
  matches "$out" '^stats [0-9.]+[kKM]i?B / 64MiB 1$'
}

docker_logs() {
  dbox logs box sh -c 'echo one; echo two >&2; sleep 0.2; echo three'
  expect 0 docker wait logs
  expect 0 docker logs logs
  is "$out|$err" $'one\nthree|two'
  dbox logs-follow box sh -c 'for i in 1 2 3; do echo $i; sleep 0.1; done'
  expect 0 docker logs -f logs-follow
  is "$out" $'1\n2\n3'
}

docker_rm_force() {
  dbox rm-force box sh -c 'trap "" TERM INT; sleep 1000 & wait'
  local pid
  pid=$(docker_pid rm-force)
  expect 1 docker rm rm-force
  expect 0 docker rm -f rm-force
  fails test -d "/proc/$pid"
  expect 1 docker inspect rm-force
}

docker_restart_policy() {
  dbox restart --restart on-failure:3 box sh -c 'echo again; exit 5'
  soon docker_state restart Status exited
  docker_state restart ExitCode 5
  is "$(docker inspect -f '{{.RestartCount}}' restart)" 3 "restarts"
  is "$(docker logs restart | grep -c again)" 4 "runs"
  dbox restart-always --restart always box sh -c 'echo up; exec sleep 1000'
  soon docker_logged restart-always up
  kill -9 "$(docker_pid restart-always)"
  soon docker_logged restart-always $'up\nup'
  soon docker_state restart-always Status running
  expect 0 docker rm -f restart-always
}

docker_restart() {
  dbox restarted box sh -c 'echo up; exec sleep 1000'
  expect 0 docker restart -t 1 restarted
  expect 0 docker stop -t 0 restarted
  expect 0 docker start restarted
  docker_state restarted Status running
  is "$(docker logs restarted | grep -c up)" 3 "starts"
}

docker_attach() {
  docker create -i --network none --name attach box sh -c 'read line; echo "got $line"; exit 6' >/dev/null
  expect 6 docker start -a -i attach <<<"a line"
  is "$out" "got a line"
}

docker_build() {
  mkdir context
  cp "$work/root.tar" context/root.tar
  cat >context/Dockerfile <<'DOCKERFILE'
FROM scratch
ADD root.tar /
ENV GREETING=hello
RUN echo "$GREETING from $(id -u)" >/greeting && mkdir -m 777 /data
WORKDIR /data
USER user
RUN ["/bin/sh", "-c", "id -un >/data/user; pwd >>/data/user"]
SHELL ["/bin/sh", "-e", "-c"]
RUN grep Seccomp: /proc/self/status >/data/seccomp
HEALTHCHECK --interval=300ms --retries=1 CMD test -e /data/user
CMD cat /greeting /data/user /data/seccomp
DOCKERFILE
  DOCKER_BUILDKIT=0 expect 0 docker build --network none -t built context
  expect 0 drun built
  is "$out" $'hello from 0\nuser\n/data\nSeccomp:\t2'
  printf 'FROM box\nRUN echo step; exit 23\n' >context/Dockerfile
  DOCKER_BUILDKIT=0 expect 23 docker build --network none context
  has "$out$err" "returned a non-zero code: 23"
}

docker_buildkit() {
  # BuildKit does not ask for the default runtime: it runs the runc on the PATH. So the tested runtime takes its place, for dockerd alone.
  local runc
  runc=$(command -v runc) || skip "there is no runc for the tested runtime to stand in for"
  mount --bind "$runtime" "$runc"
  mkdir context
  cp "$work/root.tar" context/root.tar
  printf 'FROM scratch\nADD root.tar /\nRUN echo built by $(id -u) >/file; grep Seccomp: /proc/self/status >>/file\nUSER user\nRUN id -un >/tmp/user\n' >context/Dockerfile
  local code=0
  DOCKER_BUILDKIT=1 expect 0 docker build --network none --progress plain -t kit context || code=1
  printf 'FROM box\nRUN exit 23\n' >context/Dockerfile
  [ $code != 0 ] || DOCKER_BUILDKIT=1 expect 1 docker build --network none --progress plain context || code=1
  umount -l "$runc"
  [ $code = 0 ] || return 1
  has "$err" "exit code: 23"
  expect 0 drun kit cat /file /tmp/user
  is "$out" $'built by 0\nSeccomp:\t2\nuser'
}

docker_registry() {
  need_command docker-registry docker-registry
  expect 0 docker tag box "$registry/docker/box:1"
  expect 0 docker push "$registry/docker/box:1"
  expect 0 docker rmi "$registry/docker/box:1"
  expect 0 docker pull "$registry/docker/box:1"
  expect 0 drun "$registry/docker/box:1" echo pulled
  is "$out" pulled
}

# Two containers that talk: by name on a bridge network of their own.
docker_pair() {
  expect 0 docker network create pair
  expect 0 docker run -d --name pair-server --network pair --network-alias db box sh -c 'mkdir /www; echo "answer from $(hostname -i)" >/www/index.html; exec httpd -f -p 8080 -h /www'
  expect 0 docker run --rm --network pair box sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O- http://db:8080/ && break; sleep 0.2; done; ping -c 1 -W 2 pair-server >/dev/null && echo pinged'
  is "$out" "answer from $(docker inspect -f '{{.NetworkSettings.Networks.pair.IPAddress}}' pair-server)"$'\npinged'
  # And one that shares the server's network namespace: a namespace by path.
  expect 0 docker run --rm --network container:pair-server box wget -q -O- http://127.0.0.1:8080/
  has "$out" "answer from"
}

docker_prestart_hook() {
  # dockerd hands the network over in a prestart hook: without it eth0 is missing.
  expect 0 docker run -d --name hook box sleep 1000
  local address
  address=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' hook)
  matches "$address" '^172\.'
  expect 0 docker exec hook ip -4 addr show eth0
  has "$out" "inet $address/"
  expect 0 docker exec hook cat /etc/hosts
  has "$out" "$address"
}

docker_many() {
  local number
  for number in 1 2 3 4 5 6 7 8 9 10 11 12; do
    (drun box sh -c "echo $number; exit $number" >"many$number" || echo $? >>"many$number") &
  done
  wait
  for number in 1 2 3 4 5 6 7 8 9 10 11 12; do is "$(cat "many$number")" "$number"$'\n'"$number" "container $number"; done
}

docker_copy() {
  dbox copy box sleep 1000
  echo in >in
  expect 0 docker cp in copy:/tmp/in
  expect 0 docker exec copy cat /tmp/in
  is "$out" in
  expect 0 docker cp copy:/tmp/in back
  is "$(cat back)" in
}

docker_checkpoint_refused() {
  dbox checkpoint box sleep 1000
  expect 1 docker checkpoint create checkpoint c1
  docker_state checkpoint Status running
  expect 0 docker exec checkpoint true
}

docker_nothing_left() {
  docker ps -aq | xargs -r "$docker_client" -H unix:///run/engines-docker.sock rm -f >/dev/null
  nothing_left '(/docker/|\.slice/).*[0-9a-z]{20}'
}

docker_tests() {
  check "docker: the runtime is registered by daemon.json, another one while it runs" docker_registered
  check "docker: run gives exit code, stdout and stderr" docker_run
  check "docker: stdin, 1 MiB byte for byte" docker_stdin
  check "docker: stdout, 32 MiB byte for byte" docker_big_output
  check "docker: run -it on a real terminal" docker_run_tty
  check "docker: Ctrl-C on the terminal" docker_tty_interrupt
  check "docker: exec" docker_exec
  check "docker: exec -it" docker_exec_tty
  check "docker: exec --privileged" docker_exec_privileged
  check "docker: commands that fail: 127, 126 and their texts" docker_failing_commands
  check "docker: exec of commands that fail" docker_failing_exec
  check "docker: a script with #!" docker_scripts
  check "docker: stop by TERM, then by KILL" docker_stop
  check "docker: kill by name and number" docker_kill
  check "docker: rm -f in the host's process namespace" docker_host_pid_kill
  check "docker: pause and unpause" docker_pause
  check "docker: rm -f of a paused container" docker_rm_paused
  check "docker: update --memory, --cpu-shares, --cpu-quota, --pids-limit" docker_update
  check "docker: limits at the start" docker_limits
  check "docker: --pids-limit holds" docker_pids_limit
  check "docker: out of memory is told" docker_oom
  check "docker: top" docker_top
  check "docker: stats" docker_stats
  check "docker: logs" docker_logs
  check "docker: rm -f" docker_rm_force
  check "docker: restart policy" docker_restart_policy
  check "docker: restart, stop, start" docker_restart
  check "docker: create, start -a -i" docker_attach
  check "docker: build with RUN steps" docker_build
  check "docker: build by BuildKit, the runtime in runc's place" docker_buildkit
  check "docker: push and pull with a registry on loopback" docker_registry
  check "docker: a pair that talks by name on a bridge, and one in its network namespace" docker_pair
  check "docker: the prestart hook brings the network" docker_prestart_hook
  check "docker: seccomp: default, off, own profile" docker_seccomp
  check "docker: no-new-privileges" docker_no_new_privileges
  check "docker: capabilities" docker_capabilities
  check "docker: masked and read-only paths" docker_masks
  check "docker: --user, --group-add" docker_user
  check "docker: --read-only, --tmpfs" docker_read_only
  check "docker: volumes and propagation" docker_volumes
  check "docker: links in the image do not lead a mount outside" docker_symlinked_targets
  check "docker: --ulimit" docker_ulimit
  check "docker: --ulimit above the host's hard limit" docker_ulimit_raised
  check "docker: health check" docker_health
  check "docker: --privileged" docker_privileged
  check "docker: host name, domain name, sysctl, shm size, oom score" docker_identity
  check "docker: namespaces: own, another container's, the host's" docker_namespaces
  check "docker: devices" docker_devices
  check "docker: --init" docker_init_process
  check "docker: no descriptor leaks in" docker_descriptors
  check "docker: environment and work folder" docker_environment
  check "docker: twelve at once" docker_many
  check "docker: cp in and out" docker_copy
  check "docker: checkpoint fails and harms nothing" docker_checkpoint_refused
}
