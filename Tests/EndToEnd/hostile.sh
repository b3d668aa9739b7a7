# What an OCI runtime must refuse in words, and what it must survive.
# Sourced: the harness reads and sets what looks unused here.
# shellcheck disable=SC2016,SC2034,SC2154

: >"$TABLE"
printf '| Input | What it printed | Exit code |\n|---|---|---|\n' >>"$TABLE"

row() { # row SHOWN: the last run as a line of the table
  printf '| %s | %s | %s |\n' "${1//|/\\|}" \
    "$(sed -e "s,$WORK/[A-Za-z0-9_]*/,,g; s,$WORK/,,g; s,$PREFIX-,,g; s/|/\\\\|/g; s/^ */ /" err | tr -d '\r' | tr '\n' ' ' | sed 's/  */ /g; s/^ //; s/ $//' | cut -c1-400)" "$code" >>"$TABLE"
}

judge() { # judge SHOWN WORDS: after a run that had to be refused
  checks=$((checks + 1))
  case $code in
    0) note "it was accepted" ;;
    12[89] | 1[3-9]? | 2[0-4]? | 25[0-4]) note "exit code $code: it was ended by a signal" ;;
  esac
  [ $code != 0 ] || sweep
  has "a message" err '[a-zA-Z]{3}'
  hasnot "a message without holes" err 'cannot print value|Fatal error'
  [ "$STRICT" = 0 ] || [ -z "$2" ] || has "it names the cause" err "$2"
  within "its lines" "$(wc -l <err)" 1 6
  row "$1"
  clean "after the refusal"
  conclude
}

# refuses NAME SHOWN WORDS CODE: a configuration (see oci.py), which must be refused by create or start. WORDS: a pattern for vmrun's message.
refuses() {
  wanted "$1" || return 0
  begin "$1"
  bundle box "$4"
  create box
  if [ $code = 0 ]; then
    rt start "$PREFIX-box"
    [ $code = 0 ] || timeout 20 "$RT" --root "$STATE" delete --force "$PREFIX-box" >/dev/null 2>&1
  fi
  judge "$2" "$3"
}

# refuses_text NAME SHOWN WORDS COMMAND: config.json is what COMMAND (in the bundle's folder) makes of the default one.
refuses_text() {
  wanted "$1" || return 0
  begin "$1"
  bundle box
  (cd box && eval "$4")
  create box
  judge "$2" "$3"
}

# refuses_name NAME SHOWN WORDS ID
refuses_name() {
  wanted "$1" || return 0
  begin "$1"
  bundle box
  find "$WORK" -path "$T" -prune -o -print | LC_ALL=C sort >"$T/before"
  rt create --bundle "$T/box" -- "$4"
  find "$WORK" -path "$T" -prune -o -print | LC_ALL=C sort >"$T/after"
  same "the files round about" after before
  judge "$2" "$3"
}

# refuses_verb NAME SHOWN WORDS PREPARE VERB ARGS: @ in PREPARE and ARGS is the container's ID.
refuses_verb() {
  wanted "$1" || return 0
  local shown=$2 words=$3 prepare=$4 word
  begin "$1"
  shift 4
  [ "$prepare" = - ] || { bundle box 'sh("exec sleep 100")'; create box; is "exit code of create" $code 0; }
  case $prepare in running | paused | stopped) rt start "$PREFIX-box"; is "exit code of start" $code 0 ;; esac
  case $prepare in
    paused) rt pause "$PREFIX-box" ;;
    stopped) rt kill "$PREFIX-box" KILL; until_status box stopped ;;
  esac
  was=$(status box)
  for word; do
    shift
    set -- "$@" "${word//@/$PREFIX-box}"
  done
  rt "$@"
  ended_by=$code
  cp err kept
  is "the container's status has not changed" "$(status box)" "$was"
  [ "$was" = gone ] || rt delete --force "$PREFIX-box"
  code=$ended_by
  cp kept err
  judge "$shown" "$words"
}

# -------------------------------------------------------------------------------------------------- config.json as a file

refuses_text config_missing 'no config.json' 'config\.json' 'rm config.json'
refuses_text config_empty 'an empty config.json' 'config\.json' ': >config.json'
refuses_text config_a_folder 'config.json is a directory' 'config\.json' 'rm config.json; mkdir config.json'
refuses_text config_a_fifo 'config.json is a FIFO that nobody writes' 'config\.json' 'rm config.json; mkfifo config.json'
refuses_text config_a_device 'config.json is /dev/zero' 'config\.json' 'ln -sf /dev/zero config.json'
refuses_text config_no_json 'config.json holds `hello`' 'config\.json' 'echo hello >config.json'
refuses_text config_cut 'config.json ends in the middle' 'config\.json' 'head -c 900 config.json >x; mv x config.json'
refuses_text config_more 'something after the JSON' 'config\.json' 'echo "{}" >>config.json'
refuses_text config_array 'an array instead of an object' 'config\.json|object' 'echo "[]" >config.json'
refuses_text config_deep '100,000 arrays in each other' 'config\.json|deep|nest' 'head -c 100000 /dev/zero | tr "\\0" "[" >config.json'
refuses_text config_not_utf8 'a name that is not UTF-8' 'config\.json|UTF-8' 'sed -i "s/\"box\"/\"b\\xff\\xfex\"/" config.json'
refuses_text config_large 'a config.json of 200 MB' 'config\.json|large|bytes|MiB' 'truncate -s 200M config.json'

# ------------------------------------------------------------------------------------------- what is wrong in config.json

refuses version_missing 'no ociVersion' 'ociVersion' 'del c["ociVersion"]'
refuses version_2 '`ociVersion: "2.0.0"`' 'ociVersion' 'c["ociVersion"] = "2.0.0"'
refuses version_number '`ociVersion: 1`' 'ociVersion' 'c["ociVersion"] = 1'
refuses version_word '`ociVersion: "one"`' 'ociVersion' 'c["ociVersion"] = "one"'
refuses process_missing 'no process, and start' 'process' 'del c["process"]'
refuses args_missing 'no args' 'args' 'del p["args"]'
refuses args_empty '`args: []`' 'args' 'p["args"] = []'
refuses args_first_empty '`args: [""]`' 'args|executable' 'p["args"] = [""]'
refuses args_number '`args: [1]`' 'args' 'p["args"] = [1]'
refuses args_text '`args: "sh"`' 'args' 'p["args"] = "sh"'
refuses args_with_nul 'a NUL in an argument' 'args|NUL|zero' 'p["args"] = ["/bin/true", "a\0b"]'
refuses args_too_long 'an argument of 200,000 bytes' 'args|too long|Argument list' 'p["args"] = ["/bin/true", "a" * 200000]'
refuses command_missing 'a command that is not there' 'no-such.*executable file not found in \$PATH' 'p["args"] = ["no-such"]'
refuses command_missing_by_path 'a path that is not there' '/bin/no-such.*(no such file|not found|does not exist)' 'p["args"] = ["/bin/no-such"]'
refuses command_a_folder 'a directory as the command' '/etc.*([Pp]ermission denied|is a directory)' 'p["args"] = ["/etc"]'
refuses cwd_missing 'no cwd' 'cwd' 'del p["cwd"]'
refuses cwd_relative '`cwd: "tmp"`' 'cwd' 'p["cwd"] = "tmp"'
refuses cwd_a_file '`cwd: "/etc/passwd"`' 'cwd|/etc/passwd' 'p["cwd"] = "/etc/passwd"'
refuses env_with_nul 'a NUL in a variable' 'env|NUL|zero' 'p["env"].append("A=a\0b")'
refuses env_number '`env: [5]`' 'env' 'p["env"] = [5]'
refuses root_missing 'no root' 'root' 'del c["root"]'
refuses root_path_missing 'no root.path' 'root\.path|root' 'c["root"] = {}'
refuses root_not_there 'a root directory that is not there' 'nowhere' 'c["root"]["path"] = folder + "/nowhere"'
refuses root_a_file 'a file as root directory' 'passwd' 'c["root"]["path"] = "/etc/passwd"'
refuses root_empty '`root.path: ""`' 'root\.path' 'c["root"]["path"] = ""'
refuses root_loop 'a symbolic link to itself as root directory' 'loop|symbolic' 'os.symlink("loop", folder + "/loop"); c["root"]["path"] = folder + "/loop"'
refuses hostname_without_uts 'hostname without a UTS namespace' 'hostname|uts' 'no_ns("uts")'
refuses hostname_long 'a hostname of 100 characters' 'hostname' 'c["hostname"] = "a" * 100'
refuses mount_without_destination 'a mount without destination' 'mounts\[7\]|destination' 'm.append({"type": "tmpfs"})'
refuses mount_unknown_type '`type: "nosuchfs"`' 'nosuchfs' 'mount("/x", "nosuchfs", "x")'
refuses mount_unknown_option 'an option that tmpfs does not know' 'frobnicate' 'mount("/x", "tmpfs", "x", "frobnicate")'
refuses mount_source_missing 'a bind mount of what is not there' '/nowhere/at/all' 'mount("/x", "bind", "/nowhere/at/all", "bind")'
refuses mount_bind_without_source 'a bind mount without source' 'source|mounts\[7\]' 'm.append({"destination": "/x", "type": "bind", "options": ["bind"]})'
refuses mount_folder_on_file 'a directory onto a file' '/etc/passwd' 'mount("/etc/passwd", "bind", "/usr", "bind")'
refuses mount_options_text '`options: "ro"`' 'options' 'm.append({"destination": "/x", "type": "tmpfs", "source": "x", "options": "ro"})'
refuses mount_idmap_without_mapping 'idmap without mappings and without a user namespace' 'idmap|[mM]apping' 'mount("/x", "bind", "/usr", "bind", "idmap")'
refuses namespace_unknown '`type: "nope"`' 'nope' 'ns("nope")'
refuses namespace_twice 'the PID namespace twice' 'pid|twice|duplicate' 'l["namespaces"].append({"type": "pid"})'
refuses namespace_path_missing 'a namespace path that is not there' '/nowhere' 'ns("network", "/nowhere")'
refuses namespace_path_no_namespace '/etc/passwd as a namespace' '/etc/passwd' 'ns("network", "/etc/passwd")'
refuses namespace_path_wrong_kind 'a UTS namespace as the network' 'network|/proc/1/ns/uts' 'ns("network", "/proc/1/ns/uts")'
refuses user_namespace_without_mappings 'a user namespace without mappings' '[mM]apping' 'ns("user")'
refuses mappings_without_user_namespace 'mappings without a user namespace' '[mM]apping|user' 'l["uidMappings"] = l["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]'
refuses mapping_size_zero 'a mapping of size 0' 'size|uidMappings' 'ns("user"); l["uidMappings"] = l["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 0}]'
refuses mapping_overflow 'a mapping beyond 2^32' 'uidMappings|[mM]apping' 'ns("user"); l["uidMappings"] = l["gidMappings"] = [{"containerID": 0, "hostID": 4294967290, "size": 100}]'
refuses mapping_overlap 'mappings that overlap' '[mM]apping|[oO]verlap|uid_map' 'ns("user"); l["uidMappings"] = l["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 10}, {"containerID": 5, "hostID": 100, "size": 10}]'
refuses rlimit_unknown '`RLIMIT_NOPE`' 'RLIMIT_NOPE' 'p["rlimits"] = [{"type": "RLIMIT_NOPE", "soft": 1, "hard": 1}]'
refuses rlimit_twice 'the same limit twice' 'RLIMIT_NOFILE' 'p["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}] * 2'
refuses rlimit_soft_above_hard 'soft above hard' 'RLIMIT_NOFILE|rlimits|soft' 'p["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 1}]'
refuses rlimit_negative 'a negative limit' 'rlimits' 'p["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": -9, "hard": 1}]'
refuses capabilities_list 'capabilities as one list' 'capabilities' 'p["capabilities"] = ["CAP_KILL"]'
refuses user_negative '`uid: -1`' 'uid' 'p["user"]["uid"] = -1'
refuses user_large '`uid: 4294967296`' 'uid' 'p["user"]["uid"] = 4294967296'
refuses umask_large '`umask: 4096`' 'umask' 'p["user"]["umask"] = 4096'
refuses groups_negative '`additionalGids: [-5]`' 'additionalGids' 'p["user"]["additionalGids"] = [-5]'
refuses oom_score_large '`oomScoreAdj: 2000`' 'oom' 'p["oomScoreAdj"] = 2000'
refuses scheduler_unknown '`SCHED_NOPE`' 'SCHED_NOPE' 'p["scheduler"] = {"policy": "SCHED_NOPE"}'
refuses scheduler_nice '`nice: 100`' 'nice' 'p["scheduler"] = {"policy": "SCHED_OTHER", "nice": 100}'
refuses io_priority_unknown '`IOPRIO_CLASS_NOPE`' 'IOPRIO_CLASS_NOPE' 'p["ioPriority"] = {"class": "IOPRIO_CLASS_NOPE", "priority": 1}'
refuses io_priority_large 'I/O priority 9' 'ioPriority|priority' 'p["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 9}'
refuses personality_unknown '`domain: "LINUX128"`' 'LINUX128' 'l["personality"] = {"domain": "LINUX128"}'
refuses time_without_namespace 'timeOffsets without a time namespace' 'time' 'l["timeOffsets"] = {"boottime": {"secs": 5}}'
refuses terminal_without_socket 'terminal without --console-socket' 'console' 'p["terminal"] = True'
refuses apparmor_absent 'an AppArmor profile on a host without AppArmor' '[aA]pp[aA]rmor' 'p["apparmorProfile"] = "some-profile"'
refuses selinux_absent 'an SELinux label on a host without SELinux' '[sS][eE][lL]inux' 'p["selinuxLabel"] = "system_u:system_r:container_t:s0"'
refuses rdt_absent 'Intel RDT on a host without it' '[rR][dD][tT]|resctrl' 'l["intelRdt"] = {"closID": "a", "l3CacheSchema": "L3:0=f"}'
refuses sysctl_of_the_host '`kernel.panic`, which is the whole host'"'"'s' 'kernel\.panic' 'l["sysctl"] = {"kernel.panic": "1"}'
refuses sysctl_without_namespace 'a network sysctl with the host'"'"'s network' 'net\.ipv4' 'no_ns("network"); l["sysctl"] = {"net.ipv4.ip_forward": "1"}'
refuses sysctl_outside '`net/../kernel/panic`' 'net' 'l["sysctl"] = {"net/../kernel/panic": "1"}'
refuses sysctl_outside_by_dots '`net.ipv4.conf/../../../kernel/panic`' 'net' 'l["sysctl"] = {"net.ipv4.conf/../../../kernel/panic": "1"}'
refuses sysctl_unknown 'a sysctl that is not there' 'net\.nope' 'l["sysctl"] = {"net.nope": "1"}'
refuses sysctl_value 'a value that the kernel refuses' 'ip_unprivileged_port_start' 'l["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "many"}'
refuses propagation_unknown '`rootfsPropagation: "nope"`' 'nope' 'l["rootfsPropagation"] = "nope"'
refuses device_type '`type: "x"`' 'devices' 'l["devices"] = [{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}]'
refuses device_without_path 'a device without path' 'path|devices' 'l["devices"] = [{"type": "c", "major": 1, "minor": 3}]'
refuses device_mode 'fileMode 0200000' 'fileMode' 'l["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 65536}]'
refuses device_rule_access '`access: "rwx"`' 'access|rwx' 'l["resources"]["devices"] = [{"allow": True, "access": "rwx"}]'
refuses memory_negative 'a memory limit of -5' 'memory' 'l["resources"]["memory"] = {"limit": -5}'
refuses memory_text '`limit: "64M"`' 'memory\.limit|limit' 'l["resources"]["memory"] = {"limit": "64M"}'
refuses swap_below_memory 'memory and swap below memory' 'swap' 'l["resources"]["memory"] = {"limit": 67108864, "swap": 33554432}'
refuses cpus_absent 'CPUs that the host does not have' 'cpu' 'l["resources"]["cpu"] = {"cpus": "800-900"}'
refuses cpu_quota_tiny 'a quota of 5 us' 'quota|cpu' 'l["resources"]["cpu"] = {"quota": 5, "period": 100000}'
refuses io_weight 'a block I/O weight of 5' 'weight|blockIO' 'l["resources"]["blockIO"] = {"weight": 5}'
refuses hugepage_size '`pageSize: "3KB"`' '3KB' 'l["resources"]["hugepageLimits"] = [{"pageSize": "3KB", "limit": 0}]'
refuses unified_outside '`unified: {"../x": "1"}`' 'unified|\.\./x' 'l["resources"]["unified"] = {"../x": "1"}'
refuses seccomp_action '`SCMP_ACT_NOPE`' 'SCMP_ACT_NOPE' 'seccomp("SCMP_ACT_NOPE")'
refuses seccomp_architecture '`SCMP_ARCH_NOPE`' 'SCMP_ARCH_NOPE' 'seccomp("SCMP_ACT_ALLOW"); l["seccomp"]["architectures"] = ["SCMP_ARCH_NOPE"]'
refuses seccomp_operator '`SCMP_CMP_NOPE`' 'SCMP_CMP_NOPE' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "mkdir", args=[{"index": 0, "value": 1, "op": "SCMP_CMP_NOPE"}]))'
refuses seccomp_index 'argument number 9' 'index' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "mkdir", args=[{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]))'
refuses seccomp_without_names 'a rule without names' 'names|syscalls\[0\]' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO"))'
refuses seccomp_flag 'a flag that is not known' 'SECCOMP_FILTER_FLAG_NOPE' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "mkdir"), flags=["SECCOMP_FILTER_FLAG_NOPE"])'
refuses seccomp_notify_without_listener 'notify without listenerPath' 'listenerPath' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_NOTIFY", "mkdir"))'
refuses seccomp_listener_absent 'a listener that is not there' 'nowhere' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_NOTIFY", "mkdir"), listenerPath="/nowhere")'
refuses seccomp_notify_write 'notify for write, which the hand-over itself needs' 'write' 'seccomp("SCMP_ACT_ALLOW", rule("SCMP_ACT_NOTIFY", "write"), listenerPath="/nowhere")'
refuses hook_relative 'a hook with a relative path' 'hooks?' 'hook("createRuntime", "bin/true")'
refuses hook_missing 'a hook that is not there' '/nowhere' 'hook("createRuntime", "/nowhere")'
refuses hook_timeout '`timeout: -1`' 'timeout' 'hook("createRuntime", "/bin/true", timeout=-1)'
refuses hook_fails 'a hook that fails' 'hook' 'hook("prestart", "/bin/false", "x")'
refuses net_devices_without_namespace 'netDevices with the host'"'"'s network' 'netDevices|network' 'no_ns("network"); l["netDevices"] = {"lo": {}}'
refuses net_device_absent 'a network device that is not there' 'nodev0' 'l["netDevices"] = {"nodev0": {}}'
refuses windows_section 'a Windows section' 'windows' 'c["windows"] = {"layerFolders": ["C:"]}'
refuses vm_section 'a virtual machine section' 'vm' 'c["vm"] = {"kernel": {"path": "/x"}}'
refuses solaris_section 'a Solaris section' 'solaris' 'c["solaris"] = {"limitpriv": "default"}'
refuses annotation_number 'an annotation that is a number' 'annotations' 'c["annotations"] = {"a": 5}'

# --------------------------------------------------------------------------------------------------------- names and verbs

refuses_name id_empty 'an empty ID' 'ID' ''
refuses_name id_up '`../x`' '\.\./x' '../x'
refuses_name id_slash '`a/b`' 'a/b' 'a/b'
refuses_name id_dot '`.`' "'\.'" '.'
refuses_name id_dots '`..`' '\.\.' '..'
refuses_name id_space '`a b`' 'a b' 'a b'
refuses_name id_newline 'a line feed in the ID' 'ID' $'a\nb'
refuses_name id_long '2,000 characters' 'ID|long' "$(head -c 2000 /dev/zero | tr '\0' a)"

absent='not exist|no such|unknown|not found|no container'
for verb in state start kill delete exec ps pause resume update events; do
  first=() last=()
  case $verb in
    exec) last=(true) ;;
    events) first=(--stats) ;;
    update) first=(--memory 67108864) ;;
  esac
  refuses_verb "unknown_$verb" "\`$verb\` of an ID that is not there" "$absent" - $verb "${first[@]}" nobody "${last[@]}"
  refuses_verb "outside_$verb" "\`$verb ../state/box\`" '\.\./' created $verb "${first[@]}" "../state/@" "${last[@]}"
done
refuses_verb create_twice 'create of an ID that is taken' 'exists|taken|in use|already' running create --bundle box @
refuses_verb start_twice 'start of a running one' 'running|created' running start @
refuses_verb start_stopped 'start of a stopped one' 'stopped|created' stopped start @
refuses_verb delete_running 'delete of a running one' 'running|stopped' running delete @
refuses_verb exec_stopped 'exec in a stopped one' 'stopped|running' stopped exec @ true
refuses_verb exec_created 'exec without a command' 'command|args|process|argument' running exec @
refuses_verb kill_stopped 'kill of a stopped one' 'stopped|running' stopped kill @ TERM
refuses_verb kill_unknown_signal 'kill with `SIGNOPE`' 'SIGNOPE' running kill @ SIGNOPE
refuses_verb kill_large_signal 'kill with 999' '999' running kill @ 999
refuses_verb pause_stopped 'pause of a stopped one' 'stopped|running' stopped pause @
refuses_verb resume_running 'resume of one that runs' 'running|paused' running resume @
refuses_verb update_bad_json 'update with what is no JSON' 'resources|JSON|passwd' running update --resources /etc/passwd @
refuses_verb exec_bad_process 'exec with a process.json that is none' 'passwd|JSON|process' running exec --process /etc/passwd @
refuses_verb unknown_option 'an option that is not known' 'frobnicate' created state --frobnicate @
refuses_verb id_missing 'state without an ID' 'ID|argument|container' - state
refuses_verb too_many_ids 'state with two IDs' 'too many' created state @ nobody

test_delete_force_of_an_unknown_one_is_nothing() {
  rt delete --force nobody
  is "exit code" $code 0
}

# --------------------------------------------------------------------------------------------------------- symbolic links

# links CODE COMMAND [EXIT]: the root directory is changed by COMMAND (run in it, $OUT is a folder outside), then a container is run. Outside nothing
# may change, whether it was refused or not.
links() {
  root=$T/tree OUT=$T/outside
  rm -rf "$root" "$OUT"
  cp -a "$R" "$root"
  mkdir "$OUT" && echo untouched >"$OUT/file" && mkdir "$OUT/folder"
  (cd "$root" && eval "$2")
  find "$OUT" -printf '%p %y %m %u %s %T@ %C@\n' >before
  bundle b "$1"
  rt run --bundle b "$PREFIX-b"
  find "$OUT" -printf '%p %y %m %u %s %T@ %C@\n' >after
  same "the folder outside" after before
  diff before after | grep '^[<>]' | head -n 4 >>notes
  hasnot "nothing is mounted there" /proc/self/mountinfo "$OUT"
  within "exit code" $code 0 127
  unset root
}

test_symbolic_links_in_mount_destinations() {
  for link in '$OUT' '../../../../../../../../$OUT' '/../..$OUT' '/proc/self/root/$OUT' '/proc/1/root/$OUT'; do
    links 'mount("/link/new/er", "tmpfs", "tmpfs"); mount("/link/file", "bind", "/etc/passwd", "bind"); mount("/link/folder", "tmpfs", "t"); sh("echo ran")' "ln -s \"$link\" link"
  done
  links 'mount("/etc/passwd", "bind", "/etc/hostname", "bind"); sh("echo ran")' 'rm etc/passwd; ln -s $OUT/file etc/passwd'
  links 'mount("/a/b/c", "tmpfs", "tmpfs"); sh("echo ran")' 'ln -s b a; ln -s a b'
}

test_symbolic_links_in_place_of_proc_sys_and_dev() {
  links 'sh("cat /proc/keys /proc/timer_list | wc -c; inside write /proc/sys/kernel/hostname")' 'rmdir proc; ln -s $OUT/folder proc'
  [ $code != 0 ] || { is "the masks are there all the same" "$(sed -n 1p out)" 0; hasnot "and the read-only paths" out opened; }
  links 'sh("ls /sys/firmware | wc -l")' 'rmdir sys; ln -s $OUT/folder sys'
  links 'sh("ls /dev | wc -l")' 'rmdir dev; ln -s $OUT/folder dev'
  links 'sh("cat /proc/keys | wc -c")' 'rmdir proc; mkdir real; ln -s real proc'
  [ $code != 0 ] || is "the masks are there all the same" "$(sed -n 1p out)" 0
}

test_symbolic_links_in_masks_and_devices() {
  links 'l["maskedPaths"] += ["/mask", "/mask/file", "/mask/folder"]; l["readonlyPaths"] += ["/mask", "/mask/folder"]; sh("echo ran")' 'ln -s $OUT mask'
  links 'l["devices"] = [{"path": "/link/file", "type": "c", "major": 1, "minor": 3}, {"path": "/link/new", "type": "c", "major": 1, "minor": 3}]; sh("echo ran")' 'ln -s $OUT link'
  links 'l["devices"] = [{"path": "/dev/../link/new", "type": "c", "major": 1, "minor": 3}]; sh("echo ran")' 'ln -s $OUT link'
  # /dev as the image has it: no tmpfs of its own, but links that lead outside.
  links 'm[:] = [x for x in m if not x["destination"].startswith("/dev")]; sh("echo ran")' \
    'for n in null zero full random urandom tty ptmx console fd stdin; do ln -s $OUT/$n dev/$n; done; ln -s $OUT/folder dev/pts'
  links 'm[:] = [x for x in m if not x["destination"].startswith("/dev")]; sh("echo ran")' 'ln -s $OUT/file dev/null; ln -s $OUT/file dev/ptmx'
}

test_links_that_change_while_mounts_are_made() {
  root=$T/tree
  cp -a "$R" tree
  mkdir outside outside/sub tree/swap tree/swap/sub tree/swapped
  ln -s "$T/outside" tree/link
  # One folder is exchanged for a link to the outside, again and again.
  "$PYTHON" - "$T/tree/swap" "$T/tree/link" <<'PY' &
import ctypes, os, sys
libc = ctypes.CDLL(None)
while True:
    for _ in range(1000):
        libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)
    if os.getppid() == 1:
        break
PY
  swapper=$!
  bundle b 'for i in range(5): mount("/swap/sub", "tmpfs", "tmpfs"); mount("/swap/new%d" % i, "bind", "/etc/hostname", "bind")
l["maskedPaths"] += ["/swap/sub", "/swap"]; l["devices"] = [{"path": "/swap/node", "type": "c", "major": 1, "minor": 3}]; sh("true")'
  for i in $(seq 40); do
    rt run --bundle b "$PREFIX-b$i"
    within "exit code" $code 0 127
  done
  kill $swapper
  wait $swapper 2>/dev/null
  is "what is outside" "$(find outside | sort | tr '\n' ' ')" 'outside outside/sub '
  unset root
}

# ------------------------------------------------------------------------------------ the way back: descriptors, cwd, exe

test_descriptors_do_not_leak() {
  bundle b 'args("inside", "fds")'
  exec 3<"$HERE" 4</etc/passwd 5>"$T/five" 6</ 7</ 8</ 9</ 10</sys/fs/cgroup 11</ 12</ 13</ 14</ 15</ 16</ 17</ 18</ 19</ 20</
  rt run --bundle b "$PREFIX-b"
  is "exit code" $code 0
  is "descriptors of run" "$(tr '\n' ' ' <out)" '0 1 2 '
  bundle box 'sh("inside fds; echo end; exec sleep 100")'
  create box
  rt start "$PREFIX-box"
  until_has box.out end
  is "descriptors of create and start" "$(tr '\n' ' ' <box.out)" '0 1 2 end '
  rt exec "$PREFIX-box" inside fds
  is "descriptors of exec" "$(tr '\n' ' ' <out)" '0 1 2 '
  exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- 10<&- 11<&- 12<&- 13<&- 14<&- 15<&- 16<&- 17<&- 18<&- 19<&- 20<&-
}

test_working_directory_by_a_descriptor() {
  # CVE-2024-21626: a working directory that is a descriptor of the runtime's leads out of the root.
  marker=marker-$$
  : >"/$marker"
  up box 'sh("exec sleep 100")'
  exec 3</ 4</ 5</ 6</ 7</ 8</ 9</ 10</
  for fd in 3 4 5 7 8 10 12; do
    for path in /proc/self/fd/$fd /proc/self/fd/$fd/../.. /proc/1/fd/$fd /dev/fd/$fd; do
      bundle b 'p["cwd"] = "'$path'"; args("inside", "outside", "'$marker'")'
      rt run --bundle b "$PREFIX-b"
      within "exit code of run in $path" $code 0 127
      hasnot "the host's root can be reached from $path" out '^found'
      [ "$path" = /proc/self/fd/$fd ] || continue
      rt exec --cwd "$path" "$PREFIX-box" inside outside $marker
      within "exit code of exec in $path" $code 0 255
      hasnot "the host's root can be reached from $path" out '^found'
    done
  done
  exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- 10<&-
  # A link that leads there.
  root=$T/tree
  cp -a "$R" tree
  ln -s /proc/self/fd/7 tree/cwd
  ln -s /proc/self/fd/8/../../../.. tree/cwd2
  for path in /cwd /cwd2 /cwd/../../..; do
    bundle b 'p["cwd"] = "'$path'"; args("inside", "outside", "'$marker'")'
    rt run --bundle b "$PREFIX-b" 7</ 8</tmp
    hasnot "the host's root can be reached from $path" out '^found'
  done
  unset root
  rm "/$marker"
}

test_the_runtime_cannot_be_overwritten() {
  # CVE-2019-5736. The runtime is a copy, in case that it can.
  cp "$RT" runtime
  before=$(md5 runtime)
  original=$RT
  RT=$T/runtime
  root=$T/tree
  cp -a "$R" tree
  printf '#!/proc/self/exe\n' >tree/bin/evil
  chmod 755 tree/bin/evil
  # All capabilities: the attacker that docker run --privileged lets in.
  every='p["capabilities"] = {k: [x for x in "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SYS_PTRACE CAP_SYS_ADMIN CAP_KILL".split()] for k in ("bounding", "effective", "permitted")}'
  bundle box "$every"'; args("inside", "overwrite", "6", "/bin/busybox")'
  create box
  rt start "$PREFIX-box"
  for i in 1 2 3 4 5 6; do
    rt exec "$PREFIX-box" /bin/evil
    rt exec "$PREFIX-box" true
    rt exec "$PREFIX-box" /proc/self/exe --version
    is "the runtime is as it was, after exec number $i" "$(md5 runtime)" "$before"
  done
  until_status box stopped 12
  has "the attacker ran to its end" box.out '^caught [0-9]+, wrote'
  hasnot "it wrote nothing" box.out 'overwrote'
  is "the runtime is as it was" "$(md5 runtime)" "$before"
  rt delete "$PREFIX-box"
  # By the first process itself.
  bundle first "$every"'; args("/bin/evil")'
  rt run --bundle first "$PREFIX-first"
  bundle second "$every"'; sh("inside write /proc/1/exe /proc/self/exe")'
  rt run --bundle second "$PREFIX-second"
  is "the runtime is as it was" "$(md5 runtime)" "$before"
  [ "$("$T/runtime" --version | head -n 1)" = "$("$original" --version | head -n 1)" ]
  is "and runs" $? 0
  RT=$original
  unset root
}

test_exec_into_a_container_with_a_false_proc() {
  # /proc in the container is the image's own folder: ordinary files where the runtime would read and write.
  root=$T/tree
  cp -a "$R" tree
  mkdir -p tree/proc/self/attr tree/proc/self/fd tree/proc/self/task/1 tree/proc/sys/kernel tree/proc/sys/net/ipv4 tree/proc/1/ns tree/proc/thread-self/attr
  for file in self/attr/exec self/attr/current self/attr/keycreate self/oom_score_adj self/setgroups self/uid_map self/gid_map self/timens_offsets self/loginuid self/status \
    self/cgroup self/mountinfo thread-self/attr/exec sys/kernel/hostname sys/kernel/domainname sys/net/ipv4/ip_unprivileged_port_start sys/kernel/cap_last_cap; do echo false >"tree/proc/$file"; done
  ln -s /etc/passwd tree/proc/self/exe
  find tree/proc tree/etc -type f -exec md5sum {} + | sort >before
  bundle box 'm[:] = [x for x in m if x["destination"] != "/proc"]; l["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "81"}; l["maskedPaths"] = []; l["readonlyPaths"] = []
p["oomScoreAdj"] = 300; sh("exec sleep 100")'
  create box
  if [ $code = 0 ]; then
    rt start "$PREFIX-box"
    is "the real oom score" "$(cat "/proc/$pid/oom_score_adj")" 300
    is "the real sysctl" "$(nsenter -t "$pid" -n cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" 81
    rt exec "$PREFIX-box" id -u
    within "exit code of exec" $code 0 255
    rt exec --user 1000:1000 "$PREFIX-box" id -u
    within "exit code of exec as another user" $code 0 255
  else
    has "it says why" err 'proc'
  fi
  find tree/proc tree/etc -type f -exec md5sum {} + | sort >after
  same "the false files" after before
  diff before after | grep '^[<>]' | head -n 4 >>notes
  # A tmpfs with links over a real one, made by the container itself.
  bundle second 'p["capabilities"] = {k: ["CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE"] for k in ("bounding", "effective", "permitted")}; l["readonlyPaths"] = []; l["maskedPaths"] = []
sh("mount -t tmpfs x /proc && mkdir -p /proc/self/attr /proc/self/fd /proc/1 && for f in self/attr/exec self/attr/current self/oom_score_adj; do ln -s /etc/passwd /proc/$f; done; echo ready; exec sleep 100")'
  create second
  rt start "$PREFIX-second"
  until_has second.out ready
  rt exec "$PREFIX-second" id -u
  within "exit code of exec" $code 0 255
  find tree/etc -type f -exec md5sum {} + | sort >after
  same "what the links lead to" after <(grep ' tree/etc/' before)
  unset root
}

test_cgroups_path_stays_below() {
  for path in "/../../../../tmp/x-$PREFIX" "../../x-$PREFIX" "/$PREFIX/../../../x-$PREFIX"; do
    bundle b 'c["linux"]["cgroupsPath"] = "'"$path"'"; sh("true")'
    rt run --bundle b "$PREFIX-b"
    within "exit code" $code 0 127
    is "what is made outside" "$(find /tmp /sys /sys/fs / -maxdepth 1 -name "x-$PREFIX" 2>/dev/null)" ''
  done
}

test_random_changes_of_a_configuration() {
  # What docker would never send: values of other types and sizes in the place of every value, and broken text.
  "$PYTHON" "$HERE/oci.py" fuzz "$RT" "$STATE" "$T/box" "$R" "${SEED:-1}" "$((RUNS * 2))" "$PREFIX-fuzz" >log 2>&1
  is "exit code of the attempts" $? 0
  has "they were made" log '^ran [0-9]+, refused [1-9]'
  [ "$(tail -n 1 log | sed 's/.*bad //')" = 0 ] || head -n 20 log >>notes
}

# --------------------------------------------------------------------------------------------------------------- survival

# stepped VERB CALLS PREPARE COMMAND...: kills the runtime with SIGKILL at each of its system calls, one after the other, until it comes to its end;
# after each, delete --force must clean up, and the ID must be free again.
stepped() {
  local what=$1 step=1 most=$2 stride=$3 trace=$4 prepare=$5 ended=0 killed=0
  shift 5
  while [ $step -le "$most" ]; do
    # shellcheck disable=SC2086
    case $prepare in
      created) timeout 20 "$RT" --root "$STATE" create --bundle box "$PREFIX-box" >/dev/null 2>&1 </dev/null || note "$what: create failed before step $step" ;;
      running) timeout 20 "$RT" --root "$STATE" run --detach --bundle box "$PREFIX-box" >/dev/null 2>&1 </dev/null || note "$what: run failed before step $step" ;;
    esac
    # shellcheck disable=SC2086
    timeout -s KILL 20 strace -q $trace -o /dev/null -e inject=all:signal=KILL:when=$step "$RT" --root "$STATE" "$@" >out 2>err </dev/null
    case $? in
      137) killed=$((killed + 1)) ;;
      *) ended=$((ended + 1)) ;;
    esac
    timeout -s KILL 20 "$RT" --root "$STATE" delete --force "$PREFIX-box" >out 2>err
    code=$?
    [ $code = 0 ] || note "$what, killed at call $step: delete --force ended with $code: $(cat err)"
    local left
    left=$(leftovers)
    [ -z "$left" ] || { sleep 0.5; left=$(leftovers); }
    [ -z "$left" ] || { note "$what, killed at call $step: left: $(head -n 4 <<<"$left" | tr '\n' ';')"; clean "$what"; }
    checks=$((checks + 2))
    [ "$ended" -lt 2 ] || break
    [ "$(wc -l <notes)" -lt 12 ] || { note "and no further steps"; break; }
    step=$((step + stride))
  done 2>/dev/null
  within "$what: how often it was killed in the middle" $killed 4 100000
  is "$what: it came to its end by step $step" "$((ended >= 2))" 1
  rt run --bundle short "$PREFIX-box"
  is "$what: the ID can be used again" $code 0
}

test_killed_at_every_step() {
  command -v strace >/dev/null || { skip "there is no strace (Debian package strace)"; return; }
  sh -c 'strace -q -o /dev/null -e inject=all:signal=KILL:when=1 true; echo $?' >out 2>err
  [ "$(cat out)" = 137 ] || { skip "strace cannot inject signals here: $(cat err)"; return; }
  bundle short
  bundle box 'sh("exec sleep 100")'
  # A thousand steps for a release; fewer of them for every day.
  local stride=$((RUNS >= 1000 ? 1 : 5)) most=4000
  stepped create $most $stride '' none create --bundle box "$PREFIX-box"
  stepped 'create, with the child' $most $stride -f none create --bundle box "$PREFIX-box"
  stepped run $most $stride '' none run --bundle short "$PREFIX-box"
  stepped start $most 1 '' created start "$PREFIX-box"
  stepped exec $most $((stride > 1 ? 6 : 1)) '' running exec "$PREFIX-box" true
  stepped delete $most $((stride > 1 ? 2 : 1)) '' created delete --force "$PREFIX-box"
}

test_killed_at_random_moments() {
  bundle box 'sh("exec sleep 100")'
  local killed=0 i
  for i in $(seq $((RUNS / 4))); do
    timeout -s KILL "0.0$((RANDOM % 40))$((RANDOM % 10))" "$RT" --root "$STATE" run --bundle box "$PREFIX-box" >out 2>err </dev/null
    [ $? != 137 ] || killed=$((killed + 1))
    timeout -s KILL 20 "$RT" --root "$STATE" delete --force "$PREFIX-box" >out 2>err
    code=$?
    [ $code = 0 ] || note "delete --force ended with $code: $(cat err)"
    left=$(leftovers)
    [ -z "$left" ] || { sleep 0.5; left=$(leftovers); }
    [ -z "$left" ] || { note "left in round $i: $(head -n 4 <<<"$left" | tr '\n' ';')"; clean; }
    [ "$(wc -l <notes)" -lt 8 ] || break
  done 2>/dev/null
  within "how often it was killed" $killed 5 100000
}

test_twenty_at_once() {
  bundle box 'sh("exec sleep 100")'
  one() { timeout -s KILL 60 "$RT" --root "$STATE" "$@" >/dev/null 2>"$T/err.$BASHPID" </dev/null; }
  # Different ones: every verb of every one succeeds.
  for i in $(seq 20); do
    (
      for verb in "create --bundle box" start "exec" "kill" delete; do
        # shellcheck disable=SC2086
        case $verb in
          exec) one exec "$PREFIX-$i" true ;;
          kill) one kill "$PREFIX-$i" KILL; until_status "$i" stopped ;;
          *) one $verb "$PREFIX-$i" ;;
        esac || echo "$verb of number $i: $(cat "$T/err.$BASHPID")" >>failures
      done
    ) &
    eval "p$i=\$!"
  done
  for i in $(seq 20); do eval "wait \$p$i"; done
  : >>failures
  empty "failures" failures
  clean "after twenty different ones"
  # The same one: exactly one wins, each time.
  for verb in "create --bundle box" start "delete --force"; do
    : >won
    for i in $(seq 20); do
      # shellcheck disable=SC2086
      (one $verb "$PREFIX-same" && echo won >>won) &
      eval "p$i=\$!"
    done
    for i in $(seq 20); do eval "wait \$p$i"; done
    case $verb in
      delete*) within "$verb: how many succeeded" "$(wc -l <won)" 1 20 ;;
      *) is "$verb: how many succeeded" "$(wc -l <won)" 1 ;;
    esac
    [ "$verb" != "create --bundle box" ] || is "status after create" "$(status same)" created
    [ "$verb" != start ] || is "status after start" "$(status same)" running
  done
  is "status after delete" "$(status same)" gone
  clean "after twenty times the same one"
  # Everything at once with one ID: whatever wins, nothing may be left that delete --force does not clean.
  for i in $(seq 8); do
    for verb in "create --bundle box" start "kill" "delete --force" "run --detach --bundle box"; do
      # shellcheck disable=SC2086
      (one $verb "$PREFIX-mixed") &
    done
  done
  wait
  one delete --force "$PREFIX-mixed"
  is "exit code of delete --force" $? 0
  clean "after a mix"
}

test_many_runs_leave_nothing() {
  bundle b
  snapshot() {
    find /sys/fs/cgroup -type d | LC_ALL=C sort
    wc -l </proc/self/mountinfo
    find "$STATE" /run/vmrun /run/runc /tmp -maxdepth 1 2>/dev/null | grep -v '/tmp/bash_jobs' | LC_ALL=C sort
    ls -l /proc/self/fd | wc -l
    find /dev/shm /dev/mqueue 2>/dev/null | LC_ALL=C sort
  }
  rt run --bundle b "$PREFIX-b0"
  snapshot >before
  seq "$RUNS" | xargs -P 8 -I '{}' sh -c '"$1" --root "$2" run --bundle "$3" "$4-b$5" >/dev/null 2>>"$6" </dev/null || echo "number $5 ended with $?"' \
    sh "$RT" "$STATE" "$T/b" "$PREFIX" '{}' "$T/errors" >failed
  empty "runs that failed" failed
  empty "their errors" errors
  snapshot >after
  checks=$((checks + 1))
  # Other programs use /tmp and cgroups too: what is new and carries the tests' name counts, everything else only when it grew with the runs.
  diff before after | grep '^[<>]' | grep -F "$PREFIX" >>notes
  within "lines of difference altogether" "$(diff before after | grep -c '^[<>]')" 0 $((RUNS / 20 + 10))
  sleep 0.2
}

run_tests "$HERE/hostile.sh"
