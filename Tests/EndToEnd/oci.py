"""What the container tests cannot say in shell: bundles, JSON answers, and the sockets that a runtime hands descriptors to.

  oci.py bundle FOLDER ROOTFS [CODE]   the default bundle, changed by Python CODE over the configuration: c, and its parts p (process),
                                       l (linux), m (mounts); sh('...') sets a shell's command line, args(...) another; ns(TYPE, PATH),
                                       no_ns(TYPE...), mount(DESTINATION, TYPE, SOURCE, OPTION...), hook(STAGE, PATH, *ARGS),
                                       seccomp(ACTION, RULE...), rule(ACTION, NAMES, ...)
  oci.py get EXPRESSION                reads JSON on standard input as d and prints an expression of it
  oci.py console SOCKET FILE [TEXT]    takes a terminal from a runtime, types TEXT, and writes what comes out of it to FILE
  oci.py agent SOCKET FILE             takes a seccomp listener, answers every mkdir with ENOTUNIQ (76) and lets the others go on; notes
                                       what came in FILE
  oci.py fuzz RUNTIME STATE FOLDER ROOTFS SEED COUNT   runs RUNTIME with configurations in which values were replaced by others
"""
import array, copy, ctypes, json, os, random, select, signal, socket, subprocess, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Scripts/lib"))
import oci_bundle


def bundle(folder, rootfs, code=""):
    c = oci_bundle.configuration(["/bin/true"])
    c["process"]["env"] = ["PATH=/bin:/usr/bin"]
    c["process"]["env"].append("HOME=/root")
    p, l, m = c["process"], c["linux"], c["mounts"]

    def args(*words):
        p["args"] = list(words)

    def sh(text):
        p["args"] = ["/bin/sh", "-c", text]

    def no_ns(*types):
        l["namespaces"] = [one for one in l["namespaces"] if one["type"] not in types]

    def ns(kind, path=None):
        no_ns(kind)
        l["namespaces"].append({"type": kind, "path": path} if path else {"type": kind})

    def mount(destination, kind, source, *options):
        m.append({"destination": destination, "type": kind, "source": source, "options": list(options)})

    def hook(stage, path, *words, **more):
        c.setdefault("hooks", {}).setdefault(stage, []).append({"path": path, **({"args": [path, *words]} if words else {}), **more})

    def seccomp(action, *rules, **more):
        l["seccomp"] = {"defaultAction": action, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more}

    def rule(action, *names, **more):
        return {"names": list(names), "action": action, **more}

    os.makedirs(folder, exist_ok=True)
    exec(code, {"c": c, "p": p, "l": l, "m": m, "args": args, "sh": sh, "ns": ns, "no_ns": no_ns, "mount": mount, "hook": hook,
                "seccomp": seccomp, "rule": rule, "os": os, "folder": os.path.abspath(folder)})
    if isinstance(c.get("root"), dict) and c["root"].get("path") == "rootfs":
        c["root"]["path"] = os.path.abspath(rootfs)
    with open(f"{folder}/config.json", "w") as file:
        json.dump(c, file, indent=1)


def listen(path):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(8)
    return server


def receive(server):
    """One connection's descriptors and its text. The text may follow in pieces."""
    connection, _ = server.accept()
    connection.settimeout(10)
    data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 8))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[:len(payload) // 4 * 4])
    return list(fds), data, connection


def console(path, output, text=""):
    server = listen(path)
    fds, data, connection = receive(server)
    connection.close()
    with open(output, "wb", buffering=0) as file:
        if not fds:
            file.write(b"no descriptor came\n")
            return
        typed = text.encode().decode("unicode_escape").encode()
        os.write(fds[0], typed)
        while True:
            try:
                got = os.read(fds[0], 65536)
            except OSError:
                break
            if not got:
                break
            file.write(got)


class Data(ctypes.Structure):
    _fields_ = [("nr", ctypes.c_int), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6)]


class Request(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("pid", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("data", Data)]


class Response(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("val", ctypes.c_int64), ("error", ctypes.c_int32), ("flags", ctypes.c_uint32)]


def agent(path, output):
    server = listen(path)
    fds, data, connection = receive(server)
    with open(output, "w", buffering=1) as file:
        file.write(f"descriptors {len(fds)}\n")
        state = json.loads(data)
        file.write(f"fds {state.get('fds')} id {state['state']['id']} status {state['state']['status']} metadata {state.get('metadata')} "
                   f"pid {'yes' if state.get('pid', 0) > 0 else 'no'}\n")
        libc = ctypes.CDLL(None, use_errno=True)
        while True:
            ready = select.poll()
            ready.register(fds[0], select.POLLIN)
            events = ready.poll(10000)
            if not events or not events[0][1] & select.POLLIN:
                break
            request = Request()
            if libc.ioctl(fds[0], ctypes.c_ulong(0xC0502100), ctypes.byref(request)):
                continue
            is_mkdir = request.data.nr in (83, 258)
            response = Response(id=request.id, error=-76 if is_mkdir else 0, flags=0 if is_mkdir else 1)
            file.write(f"call {request.data.nr}\n")
            libc.ioctl(fds[0], ctypes.c_ulong(0xC0182101), ctypes.byref(response))


OTHERS = [None, True, 0, 1, -1, 1.5, 2**31, 2**32, 2**63, 2**64, -2**63, 1e300, "", "x", "/", "..", "\x00", "\x7f\u20ac", "a" * 5000, [], {}, [[]],
          [None], [""], [0], [{}], {"": ""}, {"type": 5}, "SCMP_ACT_ERRNO", "rwm", "-1", "0-", "/proc/self/fd/7"]


def paths(value, at=()):
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from paths(value[key], at + (key,))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from paths(value[index], at + (index,))


def full_configuration():
    """Nearly every section, so that every reader is reached."""
    c = oci_bundle.configuration(["/bin/true"])
    c["process"].update({
        "terminal": False, "consoleSize": {"height": 10, "width": 20}, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4}, "scheduler": {"policy": "SCHED_OTHER", "nice": 5, "flags": []}})
    c["process"]["user"].update({"umask": 18, "additionalGids": [5]})
    c["process"]["capabilities"].update({"inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]})
    c["domainname"] = "domain"
    c["annotations"] = {"a": "b"}
    c["hooks"] = {stage: [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}] for stage in (
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")}
    l = c["linux"]
    l["sysctl"] = {"net.ipv4.ip_forward": "1"}
    l["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}]
    l["resources"].update({
        "memory": {"limit": 67108864, "reservation": 33554432, "swappiness": 60}, "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 100}, "blockIO": {"weight": 500}, "network": {"classID": 0, "priorities": []}, "hugepageLimits": []})
    l["rootfsPropagation"] = "rprivate"
    l["personality"] = {"domain": "LINUX", "flags": []}
    l["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "flags": [], "syscalls": [
        {"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ"}]}]}
    return c


def fuzz(runtime, state, folder, rootfs, seed, count):
    """A configuration may be refused, in words, or run. It may not crash the runtime, hang it or be refused in silence."""
    pick, base, bad, ran, refused = random.Random(int(seed)), full_configuration(), 0, 0, 0
    base["root"]["path"] = os.path.abspath(rootfs)
    places = [at for at in paths(base) if at]
    os.makedirs(folder, exist_ok=True)
    for number in range(int(count)):
        c = copy.deepcopy(base)
        changes = []
        for _ in range(pick.choice((1, 1, 1, 2))):
            at = pick.choice(places)
            where = c
            try:
                for step in at[:-1]:
                    where = where[step]
                value = pick.choice(OTHERS + ["remove"])
                if value == "remove":
                    del where[at[-1]]
                else:
                    where[at[-1]] = value
                changes.append((at, value))
            except (KeyError, IndexError, TypeError):
                pass
        text = json.dumps(c).encode()
        if pick.random() < .15:  # broken text as well
            position = pick.randrange(len(text))
            text = pick.choice((text[:position], text[:position] + bytes([pick.randrange(256)]) + text[position + 1:]))
            changes.append(("bytes at", position))
        with open(f"{folder}/config.json", "wb") as file:
            file.write(text)
        # What would run outside of the six namespaces, from another root or with other hooks is left out: this machine is not a
        # part of the test.
        try:
            parsed = json.loads(text)
            kinds = {one["type"] for one in parsed["linux"]["namespaces"] if not one.get("path")}
            hooks = [one["path"] for stage in parsed.get("hooks", {}).values() for one in stage]
            if not {"pid", "network", "ipc", "uts", "mount", "cgroup"} <= kinds or parsed["root"]["path"] != base["root"]["path"] or set(hooks) - {"/bin/true"}:
                continue
        except ValueError:
            pass  # no JSON at all: nothing can run
        except (KeyError, TypeError, AttributeError):
            continue
        name = f"e2e-{os.getpid()}-fuzz{number}"
        begun = time.monotonic()
        process = subprocess.Popen([runtime, "--root", state, "run", "--bundle", folder, name], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=15)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
            code = "still running after 15 s"
        problem = None
        if isinstance(code, str) or code < 0 or code in (132, 134, 135, 136, 139):
            problem = f"ended by {code}"
        elif code and not errors.strip():
            problem = f"exit code {code} in silence"
        elif b"cannot print value in embedded Swift" in errors:
            problem = "a message with a hole"
        if code == 0:
            ran += 1
        else:
            refused += 1
        if problem or os.path.exists(f"{state}/{name}"):
            left = subprocess.run([runtime, "--root", state, "delete", "--force", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            problem = problem or f"left its state behind; delete --force: {left.returncode} {left.stdout[:200]!r}"
        if problem:
            bad += 1
            print(f"{problem}: {changes}: {errors[-300:]!r}")
    print(f"ran {ran}, refused {refused}, bad {bad}")
    return 1 if bad else 0


def main():
    verb, rest = sys.argv[1], sys.argv[2:]
    if verb == "get":
        d = json.load(sys.stdin)
        print(eval(rest[0], {"d": d}))
        return 0
    return {"bundle": bundle, "console": console, "agent": agent, "fuzz": fuzz}[verb](*rest) or 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
