"""The default OCI bundle of the bench and of the end-to-end tests: what docker sends for a plain `docker run`, without its own files.

Also docker's default seccomp profile out of Debian's source package of docker, resolved as docker resolves it for x86-64 and the
default capabilities, and compiled by libseccomp for programs that take a finished filter.
"""
import copy, ctypes, ctypes.util, glob, json, os, shutil, subprocess, tempfile

CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
                "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]
MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
NAMESPACES = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
PROFILE = "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json"
PROFILE_PACKAGE = "golang-github-docker-docker-dev"


def device(kind, major, minor):
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": "rwm"}


def configuration(args, seccomp=None):
    """config.json as a dictionary: docker's capabilities, masks, read-only paths, device rules and mounts."""
    mount = lambda destination, kind, source, options: {"destination": destination, "type": kind, "source": source, "options": options}
    quiet = ["nosuid", "noexec", "nodev"]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": list(args), "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=box"],
            "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True, "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            mount("/proc", "proc", "proc", quiet),
            mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/sys", "sysfs", "sysfs", quiet + ["ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"] + quiet),
            mount("/dev/mqueue", "mqueue", "mqueue", quiet),
            mount("/dev/shm", "tmpfs", "shm", quiet + ["mode=1777", "size=67108864"]),
        ],
        "linux": {
            "resources": {"devices": [
                {"allow": False, "access": "rwm"}, device("c", 1, 5), device("c", 1, 3), device("c", 1, 9), device("c", 1, 8),
                device("c", 5, 0), device("c", 5, 1), {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in NAMESPACES],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READONLY),
        },
    }
    if seccomp is not None:
        config["linux"]["seccomp"] = copy.deepcopy(seccomp)
    return config


def write(folder, config, rootfs=None):
    """Writes config.json, and makes or links the root directory. Returns the folder."""
    os.makedirs(folder, exist_ok=True)
    if rootfs and not os.path.lexists(f"{folder}/rootfs"):
        config = dict(config, root=dict(config["root"], path=os.path.abspath(rootfs)))
    with open(f"{folder}/config.json", "w") as file:
        json.dump(config, file, indent=1)
    return folder


def fetch_profile(cache):
    """docker's default.json, downloaded once from Debian's archive into `cache`. Returns its text as a dictionary."""
    kept = os.path.join(cache, "docker-seccomp.json")
    if not os.path.exists(kept):
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            got = subprocess.run(["apt-get", "-q", "download", PROFILE_PACKAGE], cwd=folder, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            packages = glob.glob(f"{folder}/*.deb")
            if got.returncode or not packages:
                raise RuntimeError(f"apt-get cannot download {PROFILE_PACKAGE}, which holds docker's seccomp profile:\n{got.stdout}")
            subprocess.run(["dpkg-deb", "-x", packages[0], f"{folder}/out"], check=True)
            shutil.copy(f"{folder}/out/{PROFILE}", kept + ".new")
            os.rename(kept + ".new", kept)
    with open(kept) as file:
        return json.load(file)


def resolve(profile, capabilities=CAPABILITIES):
    """The profile as docker writes it into config.json: conditions on architecture, capabilities and kernel are decided."""
    kernel = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    result = {"defaultAction": profile["defaultAction"], "architectures": [], "syscalls": []}
    if "defaultErrnoRet" in profile:
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    for entry in profile["archMap"]:
        if entry["architecture"] == "SCMP_ARCH_X86_64":
            result["architectures"] = [entry["architecture"]] + entry["subArchitectures"]
    for call in profile["syscalls"]:
        includes, excludes = call.get("includes") or {}, call.get("excludes") or {}
        minimum = includes.get("minKernel")
        if (includes.get("arches") and "amd64" not in includes["arches"]) or "amd64" in (excludes.get("arches") or []):
            continue
        if any(name not in capabilities for name in includes.get("caps") or []):
            continue
        if any(name in capabilities for name in excludes.get("caps") or []):
            continue
        if minimum and kernel < tuple(int(part) for part in minimum.split(".")):
            continue
        rule = {"names": call["names"], "action": call["action"]}
        if call.get("errnoRet") is not None:
            rule["errnoRet"] = call["errnoRet"]
        if call.get("args"):
            rule["args"] = [{key: value for key, value in argument.items()} for argument in call["args"]]
        result["syscalls"].append(rule)
    return result


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def compile_filter(seccomp, path):
    """Writes the filter that libseccomp makes of a resolved profile, as an array of struct sock_filter."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    errno_number = seccomp.get("defaultErrnoRet", 1)
    actions = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_KILL": 0, "SCMP_ACT_KILL_PROCESS": 0x80000000,
               "SCMP_ACT_TRAP": 0x00030000, "SCMP_ACT_LOG": 0x7FFC0000}
    operators = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]

    def action(name, number):
        return actions[name] | (number if name == "SCMP_ACT_ERRNO" else 0)

    def check(code, what):
        if code < 0:
            raise RuntimeError(f"libseccomp: {what}: {os.strerror(-code)}")

    default = action(seccomp["defaultAction"], errno_number)
    context = ctypes.c_void_p(library.seccomp_init(default))
    for name in seccomp["architectures"]:
        token = library.seccomp_arch_resolve_name(name[len("SCMP_ARCH_"):].lower().encode())
        code = library.seccomp_arch_add(context, ctypes.c_uint32(token))
        if code != -17:  # the native one is there already
            check(code, name)
    library.seccomp_attr_set(context, 3, 0)  # SCMP_FLTATR_CTL_NNP: the caller decides
    for call in seccomp["syscalls"]:
        verdict = action(call["action"], call.get("errnoRet", 1))
        if verdict == default:
            continue
        comparisons = (Comparison * 6)()
        for index, argument in enumerate(call.get("args", [])):
            comparisons[index] = Comparison(argument["index"], operators.index(argument["op"][len("SCMP_CMP_"):]),
                                            argument["value"], argument.get("valueTwo", 0))
        for name in call["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                continue  # newer than this libseccomp
            code = library.seccomp_rule_add_array(context, ctypes.c_uint32(verdict), number, len(call.get("args", [])), comparisons)
            if code != -22 and code != -33:  # no such call on one of the architectures
                check(code, name)
    with open(path, "wb") as file:
        check(library.seccomp_export_bpf(context, file.fileno()), "export")
    library.seccomp_release(context)
