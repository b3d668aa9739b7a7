# containerd: a private daemon (docker's, too), and the tests by ctr. Sourced by bash, never run.
#
# What is in single quotes is for the shell in the container; what is not assigned here comes from engines-inside.
# shellcheck shell=bash disable=SC2016,SC2154,SC2034,SC2015,SC2094

# The client's name space in containerd is the cgroup's parent, too.
ctr() { command ctr -a /run/engines-containerd.sock -n "$cgroup_parent-ctr" "$@"; }
ctr_options() {
  # With systemd the cgroup is SLICE:PREFIX:NAME, by default with a name space that is no slice.
  ctr_driver=()
  [ "$cgroup_manager" != systemd ] || ctr_driver=(--runc-systemd-cgroup --cgroup "$cgroup_parent.slice:ctr:$RANDOM$RANDOM")
}
ctr_run() {
  ctr_options
  ctr run --runc-binary "$runtime" "${ctr_driver[@]}" "$@"
}
# ctr_box NAME COMMAND...: a container in the background, with the options in $with.
with=()
ctr_box() { ctr_run -d "${with[@]}" $box "$@" >/dev/null; }
ctr_pid() { ctr task ls | awk -v name="$1" '$1 == name { print $2 }'; }
ctr_status() { is "$(ctr task ls | awk -v name="$1" '$1 == name { print $3 }')" "$2" "$1's status"; }
ctr_remove() {
  ctr task kill -s 9 "$1" || true
  soon ctr_status "$1" STOPPED
  ctr task delete "$1" || true
  ctr container delete "$1"
}

start_containerd() {
  cat >"$work/containerd.toml" <<TOML
version = 2
root = "$work/containerd"
state = "/run/engines-containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/engines-containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/opt"
TOML
  start_daemon containerd containerd --config "$work/containerd.toml" --log-level warn
  await_daemon containerd ctr version
}

# make_oci_archive FILE NAME [COMMAND]: the image as an OCI archive, one layer, made by hand.
make_oci_archive() {
  python3 - "$work/root.tar" "$1" "$2" "${3:-[\"sh\"]}" <<'PYTHON'
import hashlib, io, json, sys, tarfile
layer = open(sys.argv[1], "rb").read()
blobs = {}
def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    blobs["blobs/sha256/" + digest] = data
    return "sha256:" + digest
diff = blob(layer)
config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff]},
    "config": {"Cmd": json.loads(sys.argv[4]), "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}}).encode()
manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(config), "size": len(config)},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": diff, "size": len(layer)}]}).encode()
index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": blob(manifest), "size": len(manifest), "annotations": {"io.containerd.image.name": sys.argv[3],
    "org.opencontainers.image.ref.name": "latest"}}]}).encode()
blobs["index.json"] = index
blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
with tarfile.open(sys.argv[2], "w") as archive:
    for name, data in blobs.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
PYTHON
}

containerd_start() {
  make_oci_archive "$work/oci.tar" localhost/box:latest || fail "cannot make the OCI archive"
  ctr images import "$work/oci.tar" >/dev/null || fail "containerd cannot import the image"
}

box=localhost/box:latest

containerd_run() {
  expect 7 ctr_run --rm $box run sh -c 'echo to stdout; echo to stderr >&2; exit 7'
  is "$out|$err" "to stdout|to stderr"
}

containerd_stdin() {
  head -c 1048576 /dev/urandom >big
  expect 0 ctr_run --rm $box stdin sha256sum <big
  is "$out" "$(sha256sum <big)" "what came through stdin"
}

containerd_run_tty() {
  ctr_options
  expect 9 "$library/engines-pty" 'name? ' 'world\n' -- ctr -a /run/engines-containerd.sock -n "$cgroup_parent-ctr" run --rm -t \
    --runc-binary "$runtime" "${ctr_driver[@]}" $box run-tty sh -c 'tty; printf "name? "; read name; echo "hello $name"; sleep 0.3; stty size; exit 9'
  has "$out" "hello world"
  has "$out" "33 111"
  has "$out" /dev/pts/0
}

containerd_exec() {
  ctr_box exec sleep 1000
  expect 5 ctr task exec --exec-id e1 --cwd /tmp --user 1000:1001 exec sh -c 'echo "$PWD $(id -u):$(id -g)"; echo error >&2; exit 5'
  is "$out|$err" "/tmp 1000:1001|error"
  expect 0 ctr task exec --exec-id e2 exec cat <<<"through exec's stdin"
  is "$out" "through exec's stdin"
  expect 3 "$library/engines-pty" 'name? ' 'world\n' -- ctr -a /run/engines-containerd.sock -n "$cgroup_parent-ctr" task exec -t --exec-id e3 exec \
    sh -c 'tty; printf "name? "; read name; echo "hello $name"; exit 3'
  has "$out" "hello world"
  expect 1 ctr task exec --exec-id e4 exec no-such-command
  has "$err" "executable file not found in \$PATH"
  ctr_remove exec
}

containerd_failing_commands() {
  expect 1 ctr_run --rm $box fails-1 no-such-command
  has "$err" "executable file not found in \$PATH"
  expect 1 ctr_run --rm $box fails-2 /plain
  has "$err" "permission denied"
  expect 1 ctr_run --rm --cwd /plain $box fails-3 true
  lacks "$(ctr container ls)" fails-
}

containerd_kill() {
  ctr_box kill sh -c 'trap "exit 33" USR1; echo up >/up; while :; do sleep 0.1; done'
  soon ctr task exec --exec-id look kill test -s /up
  expect 0 ctr task kill -s USR1 kill
  soon ctr_status kill STOPPED
  expect 0 ctr task delete kill
  has "$err" "exit code 33"
  expect 0 ctr container delete kill
  ctr_box killed sleep 1000
  expect 0 ctr task kill -s SIGKILL --all killed
  soon ctr_status killed STOPPED
  expect 0 ctr task delete killed
  has "$err" "exit code 137"
  expect 0 ctr container delete killed
}

containerd_delete_running() {
  ctr_box delete-running sleep 1000
  expect 1 ctr task delete delete-running
  expect 0 ctr task delete --force delete-running
  has "$err" "exit code 137"
  expect 0 ctr container delete delete-running
}

containerd_pause() {
  need_controller freezer
  ctr_box pause sleep 1000
  expect 0 ctr task pause pause
  ctr_status pause PAUSED
  is "$(limit "$(ctr_pid pause)" frozen)" yes frozen
  expect 0 ctr task resume pause
  ctr_status pause RUNNING
  is "$(limit "$(ctr_pid pause)" frozen)" no frozen
  ctr_remove pause
}

containerd_metrics() {
  need_controller memory
  with=(--memory-limit 50331648)
  ctr_box metrics sleep 1000
  is "$(limit "$(ctr_pid metrics)" memory)" 50331648 memory
  expect 0 ctr task metrics metrics
  matches "$out" 'memory.usage(_in_bytes)? +[1-9]'
  matches "$out" 'pids.current +1'
  expect 0 ctr task ps metrics
  has "$out" "$(ctr_pid metrics)"
  ctr_remove metrics
}

containerd_security() {
  expect 0 ctr_run --rm --seccomp $box security grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status
  is "$(tr -d '\t' <out)" $'CapEff:00000000a80425fb\nNoNewPrivs:1\nSeccomp:2'
  expect 0 ctr_run --rm --read-only $box security-2 sh -c 'touch /file 2>&1; ls /sys/firmware; (echo x >/proc/sys/kernel/hostname) 2>&1; true'
  has "$out" "Read-only file system"
}

containerd_options() {
  mkdir -p host
  echo from the host >host/file
  expect 0 ctr_run --rm --env A=b --cwd /tmp --pid-file "$PWD/pid" --mount "type=bind,src=$PWD/host,dst=/volume,options=rbind:ro" $box options \
    sh -c 'echo "$A $PWD $(cat /volume/file)"; touch /volume/x 2>&1; true'
  has "$out" "b /tmp from the host"
  has "$out" "Read-only file system"
  matches "$(cat pid)" '^[0-9]+$'
}

containerd_rootfs() {
  # A folder as the root, and the host's network.
  cp -a "$work/root" own
  expect 0 ctr_run --rm --rootfs --net-host "$PWD/own" rootfs /bin/readlink /proc/self/ns/net
  is "$out" "$(readlink /proc/self/ns/net)"
}

containerd_namespace_by_path() {
  ctr_box with-ns sleep 1000
  local pid
  pid=$(ctr_pid with-ns)
  expect 0 ctr_run --rm --with-ns "network:/proc/$pid/ns/net" --with-ns "ipc:/proc/$pid/ns/ipc" $box with-ns-2 sh -c 'readlink /proc/self/ns/net; readlink /proc/self/ns/ipc'
  is "$out" "$(readlink "/proc/$pid/ns/net" "/proc/$pid/ns/ipc")"
  ctr_remove with-ns
}

containerd_privileged() {
  need_every_capability
  expect 0 ctr_run --rm --privileged $box privileged sh -c 'mount -t tmpfs x /tmp && echo mounted'
  is "$out" mounted
}

containerd_user_namespace() {
  need_user_namespaces
  # containerd makes a copy of the root folder whose files belong to the mapped users.
  mkdir -m 777 host
  chmod 755 .
  expect 0 ctr_run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 --mount "type=bind,src=$PWD/host,dst=/volume,options=rbind:rw" $box \
    user-namespace sh -c 'id -u; tr -s " " </proc/self/uid_map; touch /volume/owned /tmp/x'
  is "$out" $'0\n 0 100000 65536'
  is "$(stat -c %u host/owned)" 100000 "the owner outside"
}

containerd_checkpoint_refused() {
  ctr_box checkpoint sleep 1000
  expect 1 ctr task checkpoint checkpoint
  ctr_status checkpoint RUNNING
  ctr_remove checkpoint
}

containerd_registry() {
  need_command docker-registry docker-registry
  expect 0 ctr images tag $box "$registry/ctr/box:1"
  expect 0 ctr images push --plain-http "$registry/ctr/box:1"
  expect 0 ctr images rm "$registry/ctr/box:1"
  expect 0 ctr images pull --plain-http "$registry/ctr/box:1"
  expect 0 ctr_run --rm "$registry/ctr/box:1" pulled echo pulled
  is "$out" pulled
}

containerd_many() {
  local number
  for number in 1 2 3 4 5 6 7 8; do
    (ctr_run --rm $box "many$number" sh -c "echo $number; exit $number" >"many$number" || echo $? >>"many$number") &
  done
  wait
  for number in 1 2 3 4 5 6 7 8; do is "$(cat "many$number")" "$number"$'\n'"$number" "container $number"; done
}

# A kubelet's calls: a containerd with its CRI plugin, the runtime as the handler that a RuntimeClass names.
containerd_kubernetes() {
  /usr/bin/python3 -c 'import grpc' 2>/dev/null || skip "Python's gRPC is missing (Debian package python3-grpcio)"
  cat >cri.toml <<TOML
version = 2
root = "$PWD/root"
state = "/run/engines-cri"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/engines-cri.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$PWD/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "tested"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested.options]
    BinaryName = "$runtime"
    SystemdCgroup = $([ "$cgroup_manager" = systemd ] && echo true || echo false)
TOML
  containerd --config cri.toml --log-level warn >cri.log 2>&1 &
  local daemon=$! image code=0 parent=/$cgroup_parent/pods
  [ "$cgroup_manager" != systemd ] || parent=$cgroup_parent.slice
  soon command ctr -a /run/engines-cri.sock version
  make_oci_archive box.tar localhost/box:latest
  make_oci_archive pause.tar localhost/pause:latest '["sleep", "1000000"]'
  for image in box pause; do expect 0 command ctr -a /run/engines-cri.sock -n k8s.io images import $image.tar; done
  expect 0 /usr/bin/python3 "$library/engines-cri" /run/engines-cri.sock "$parent" "$PWD" || { code=1; tail -n 5 cri.log; }
  kill $daemon
  [ $code = 0 ] || return 1
  is "$out" $'sandbox ready\nexec: 3 from the pod\ncontainer exited: 7\nlogged\nremoved'
}

containerd_nothing_left() {
  local name
  for name in $(ctr container ls -q); do
    ctr task kill -s 9 "$name" || true
    ctr task delete --force "$name" || true
    ctr container delete "$name" || true
  done
  is "$(ctr container ls -q)" "" "containers"
  nothing_left '(-ctr/|/pods/|\.slice/(ctr|cri-containerd)-)'
}

containerd_tests() {
  check "containerd: run gives exit code, stdout and stderr" containerd_run
  check "containerd: stdin, 1 MiB byte for byte" containerd_stdin
  check "containerd: run -t on a real terminal" containerd_run_tty
  check "containerd: task exec, with and without -t, and of a missing command" containerd_exec
  check "containerd: commands that fail" containerd_failing_commands
  check "containerd: task kill, delete with the exit code" containerd_kill
  check "containerd: task delete --force of a running container" containerd_delete_running
  check "containerd: task pause, resume" containerd_pause
  check "containerd: task metrics, ps, memory limit" containerd_metrics
  check "containerd: seccomp, capabilities, read-only, user" containerd_security
  check "containerd: environment, work folder, host name, pid file, mounts" containerd_options
  check "containerd: a folder as the root, the host's network" containerd_rootfs
  check "containerd: namespaces by path" containerd_namespace_by_path
  check "containerd: user namespace with mappings" containerd_user_namespace
  check "containerd: --privileged" containerd_privileged
  check "containerd: checkpoint fails and harms nothing" containerd_checkpoint_refused
  check "containerd: push and pull with a registry on loopback" containerd_registry
  check "containerd: eight at once" containerd_many
  check "containerd: a Kubernetes pod by the CRI, the runtime as a RuntimeClass's handler" containerd_kubernetes
}
