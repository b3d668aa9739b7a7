"""The container comparisons of Scripts/bench: one start from create to delete, single verbs, many at once, memory beside a payload."""
import ctypes, os, re, shutil, statistics, subprocess, time

import oci_bundle
from measure import fail, ratio, rounds, say, table

LIB = os.path.dirname(os.path.abspath(__file__))
# Does nothing and ends with the code that it is given; or stays until it is killed.
PAYLOAD = """#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc < 2) return 0;
  while (argv[1][0] == 'p') pause();
  return atoi(argv[1]);
}
"""
RUNTIMES = ("vmrun", "crun", "runc")


class Spawner:
    """Starts and measures programs out of a process much smaller than this one."""

    def __init__(self, folder):
        self.process = subprocess.Popen([f"{folder}/spawner"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask(self, kind, count, parallel, command):
        fields = [kind, count, parallel, len(command), *command]
        self.process.stdin.write(b"".join(os.fsencode(str(field)) + b"\0" for field in fields))
        answer = self.process.stdout.readline().split()
        if len(answer) != 4:
            fail("the spawner has ended")
        wall, cpu, peak, code = (int(number) for number in answer)
        return wall / 1e6, cpu / 1e3, peak, code

    def run(self, command, count=1, parallel=1):
        return self.ask("run", count, parallel, command)

    def reap(self):
        return self.ask("reap", 0, 0, [])


class Stage:
    """Everything that the arms need: helpers, root directory, bundles, a state folder of each runtime."""

    def __init__(self, options, folder, vmrun):
        self.options, self.folder = options, folder
        for name in ("container-floor", "spawner"):
            subprocess.run(["gcc", "-O2", "-static", "-o", f"{folder}/{name}", f"{LIB}/{name}.c"], check=True)
        self.rootfs = f"{folder}/container-rootfs"
        for name in ("bin", "proc", "sys", "dev"):
            os.makedirs(f"{self.rootfs}/{name}")
        with open(f"{folder}/payload.c", "w") as file:
            file.write(PAYLOAD)
        subprocess.run(["gcc", "-O2", "-static", "-o", f"{self.rootfs}/bin/true", f"{folder}/payload.c"], check=True)
        self.seccomp = oci_bundle.resolve(oci_bundle.fetch_profile(os.path.join(cache_folder(), "bench")))
        self.filter = f"{folder}/seccomp.bpf"
        oci_bundle.compile_filter(self.seccomp, self.filter)
        self.private_namespace()
        self.programs = {"vmrun": vmrun}
        for name in ("crun", "runc"):
            self.programs[name] = shutil.which(name)
        for peer in options.peer:
            name, _, path = peer.partition("=")
            if not os.access(path, os.X_OK):
                fail(f"--peer {peer}: NAME=PATH of an OCI runtime is wanted")
            self.programs[name] = os.path.abspath(path)
        self.bwrap = shutil.which("bwrap")
        self.missing = [name for name, path in [*self.programs.items(), ("bwrap", self.bwrap)] if not path or not os.access(path, os.X_OK)]
        for name in self.missing:
            say(f"{name} is not there: no comparison with it" + (" (Scripts/bench --setup installs the peers)" if name != "vmrun" else ""))
            self.programs.pop(name, None)
        self.spawner = Spawner(folder)
        self.prefix = f"vb{os.getpid()}"

    def private_namespace(self):
        """The same surroundings for every arm: a mount namespace of the bench's own with a tmpfs for states, as /run is one."""
        libc = ctypes.CDLL(None, use_errno=True)

        def mount(source, target, kind, flags, data=None):
            if libc.mount(source, target.encode(), kind, flags, data):
                fail(f"mount on {target}: {os.strerror(ctypes.get_errno())}")

        if libc.unshare(0x00020000):  # CLONE_NEWNS
            fail(f"unshare: {os.strerror(ctypes.get_errno())}")
        mount(None, "/", None, 0x4000 | 0x40000)  # MS_REC, MS_PRIVATE
        unified = "/sys/fs/cgroup/unified"
        if os.path.ismount(unified):
            # crun refuses a hybrid layout, whose version 2 has no controllers.
            if libc.umount2(unified.encode(), 2):
                fail(f"umount {unified}: {os.strerror(ctypes.get_errno())}")
            say("cgroups are hybrid here: every arm sees version 1 alone")
        self.states = f"{self.folder}/states"
        os.makedirs(self.states)
        mount(b"tmpfs", self.states, b"tmpfs", 0, b"mode=700")

    def bundle(self, seccomp, *arguments):
        name = f"{self.folder}/bundle-{'seccomp' if seccomp else 'plain'}-{'-'.join(arguments) or 'true'}"
        if not os.path.exists(name):
            oci_bundle.write(name, oci_bundle.configuration(["/bin/true", *arguments], self.seccomp if seccomp else None), self.rootfs)
        return name

    def close(self):
        self.spawner.process.stdin.close()
        self.spawner.process.wait()
        subprocess.run(["umount", self.states], check=True)

    def runtime(self, name, *words):
        return [self.programs[name], "--root", f"{self.states}/{name}", *words]

    def run_arms(self, seccomp, *arguments):
        """The commands that start the payload once and end with it, by arm."""
        floor = [f"{self.folder}/container-floor"] + (["--seccomp", self.filter] if seccomp else [])
        arms = {"C floor": [*floor, self.rootfs, f"{self.prefix}-{{}}", "/bin/true", *arguments]}
        for name in self.programs:
            arms[name] = self.runtime(name, "run", "--bundle", self.bundle(seccomp, *arguments), f"{self.prefix}-{{}}")
        if self.bwrap:
            arms["bwrap"] = [*([f"9<{self.filter}"] if seccomp else []), *self.bubblewrap(["--seccomp", "9"] if seccomp else []),
                             "/bin/true", *arguments]
        return arms

    def bubblewrap(self, more):
        """What comes nearest by bwrap: it has no cgroups and no read-only paths within /proc."""
        masks = []
        for path in oci_bundle.MASKED:
            if os.path.isdir(path):
                masks += ["--tmpfs", path]
            elif os.path.exists(path):
                masks += ["--ro-bind", "/dev/null", path]
        capabilities = [word for name in oci_bundle.CAPABILITIES for word in ("--cap-add", name)]
        return [self.bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--hostname", "box",
                "--bind", self.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "--mqueue", "/dev/mqueue", "--tmpfs", "/dev/shm",
                "--ro-bind", "/sys", "/sys", *masks, "--cap-drop", "ALL", *capabilities, "--clearenv", "--chdir", "/", "--new-session",
                *more, "--"]


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if base.startswith("/") else os.path.join(os.path.expanduser("~"), ".cache"), "vmrun")


def check_arms(stage, arms, code):
    """Every arm runs the payload and hands on its exit code, or the comparison is not worth its figures."""
    for name, command in arms.items():
        got = stage.spawner.run(command)[3]
        if got != code:
            output = subprocess.run([word.replace("{}", "check") for word in command if "<" not in word], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            fail(f"{name} ended with exit code {got} where {code} was expected; without standard streams of its own; it says:\n{output}\n"
                 f"  {' '.join(command)}")


def kibibytes(samples):
    return f"{statistics.median(samples) / 1024:.1f}"


def containers(stage):
    """One container from create to delete."""
    results = {}
    for seccomp in (False, True):
        title = "with docker's seccomp profile" if seccomp else "without seccomp"
        check_arms(stage, stage.run_arms(seccomp, "7"), 7)
        arms = stage.run_arms(seccomp)
        arms["the command alone"] = [f"{stage.rootfs}/bin/true"]
        if seccomp and "vmrun" in stage.programs and stage.options.container_form:
            arms["vmrun --container"] = [stage.programs["vmrun"], "--container", "--rootfs", stage.rootfs, "--", "/bin/true"]
        check_arms(stage, arms, 0)
        samples = rounds(arms, stage.options.runs, stage.options.seed, stage.spawner.run, warm_up=3)
        failed = [name for name, values in samples.items() if any(value[3] for value in values)]
        if failed:
            fail(f"not every run of these ended well: {', '.join(failed)}")
        column = lambda index: {name: [value[index] for value in values] for name, values in samples.items()}
        floor_cpu = column(1)["C floor"]
        table(f"Default OCI bundle, /bin/true, create to delete, {title}: wall time", column(0), "C floor", stage.options.seed, more={
            "CPU ms": {name: f"{statistics.median(values):.2f}" for name, values in column(1).items()},
            "CPU ratio": {name: "{:.2f} ({:.2f} - {:.2f})".format(*ratio(values, floor_cpu, stage.options.seed)) for name, values in column(1).items()},
            "peak RSS MiB": {name: kibibytes(values) for name, values in column(2).items()},
        })
        results["seccomp" if seccomp else "plain"] = {
            name: [{"wall_ms": w, "cpu_ms": c, "peak_rss_kib": p} for w, c, p, _ in values] for name, values in samples.items()}
    print("\nCPU time is of the whole tree that was waited for; peak RSS is the largest of any single process in it (ru_maxrss).")
    results["standing"] = standing(stage)
    if stage.options.phases:
        results["phases"] = phases(stage)
    return results


def children(pid):
    """Every descendant of a process, without itself."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found, wave = [], [pid]
    while wave:
        wave = [one for one, parent in parents.items() if parent in wave]
        found += wave
    return found


def standing(stage):
    """Memory of what stands beside a running payload: PSS and RSS of all processes of the launcher."""
    payload = os.stat(f"{stage.rootfs}/bin/true").st_ino
    rows = {}
    for name, command in stage.run_arms(False, "pause").items():
        number = len(rows)
        process = subprocess.Popen([word.replace("{}", f"m{number}") for word in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        inner, limit = [], time.monotonic() + 10
        while not inner and time.monotonic() < limit and process.poll() is None:
            time.sleep(.02)
            for pid in children(process.pid):
                try:
                    if os.stat(f"/proc/{pid}/exe").st_ino == payload:
                        inner.append(pid)
                except OSError:
                    pass
        if not inner:
            fail(f"{name}: the payload does not come up: {' '.join(command)}")
        time.sleep(.3)
        pss = rss = count = 0
        for pid in [process.pid, *children(process.pid)]:
            if pid in inner:
                continue
            with open(f"/proc/{pid}/smaps_rollup") as file:
                text = file.read()
            pss += int(re.search(r"^Pss: +(\d+)", text, re.M)[1])
            rss += int(re.search(r"^Rss: +(\d+)", text, re.M)[1])
            count += 1
        rows[name] = {"processes": count, "pss_kib": pss, "rss_kib": rss}
        os.kill(inner[0], 9)
        process.wait()
    print("\nMemory of the launcher while its payload runs\n\n| arm | processes | PSS KiB | RSS KiB |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['processes']} | {row['pss_kib']} | {row['rss_kib']} |")
    return rows


def phases(stage):
    """Where the floor's time goes: medians of its own stamps."""
    seen = {}
    command = stage.run_arms(True)["C floor"]
    command = [command[0], "--phases", *command[1:]]
    for number in range(stage.options.runs):
        text = subprocess.run([word.replace("{}", f"p{number}") for word in command], stderr=subprocess.PIPE, text=True, check=True).stderr
        for line in text.splitlines():
            time_us, _, name = line.strip().partition(" us  ")
            seen.setdefault(name, []).append(float(time_us))
    print("\nThe floor's phases, with docker's seccomp profile\n\n| until | median us |\n|---|---|")
    for name, values in seen.items():
        print(f"| {name} | {statistics.median(values):.0f} |")
    return seen


VERBS = ("create", "state", "ps", "start", "exec", "kill", "delete")


def verbs(stage):
    """Single verbs on containers prepared for them."""
    names = [name for name in stage.programs]
    if not names:
        fail("no OCI runtime is there")
    samples = {verb: {name: [] for name in names} for verb in VERBS}
    bundle = stage.bundle(True, "pause")
    count = 0

    def life(name):
        nonlocal count
        count += 1
        identifier = f"{stage.prefix}-v{count}"
        words = {
            "create": ["create", "--bundle", bundle, identifier], "state": ["state", identifier], "start": ["start", identifier],
            "ps": ["ps", "--format", "json", identifier], "exec": ["exec", identifier, "/bin/true"], "kill": ["kill", identifier, "KILL"],
            "delete": ["delete", identifier]}
        times = {}
        for verb in ("create", "start", "state", "ps", "exec", "kill", "delete"):
            times[verb] = stage.spawner.run(stage.runtime(name, *words[verb]))
            if times[verb][3]:
                detail = subprocess.run(stage.runtime(name, *words[verb]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True).stdout
                fail(f"{name} {verb} ended with exit code {times[verb][3]}; once more it says: {detail}")
            if verb == "kill":
                stage.spawner.reap()
        return name, times

    for name, lives in rounds({name: name for name in names}, stage.options.runs, stage.options.seed, life, warm_up=2).items():
        for _, times in lives:
            for verb in VERBS:
                samples[verb][name].append(times[verb])
    reference = "crun" if "crun" in names else names[0]
    for verb in VERBS:
        table(f"{verb}: wall time", {name: [value[0] for value in values] for name, values in samples[verb].items()}, reference,
              stage.options.seed, more={
                  "CPU ms": {name: f"{statistics.median(value[1] for value in values):.2f}" for name, values in samples[verb].items()},
                  "peak RSS MiB": {name: kibibytes([value[2] for value in values]) for name, values in samples[verb].items()}})
    print("\ncreate, start, state and exec with docker's seccomp profile. CPU time of create leaves out the container's own process, "
          "which is not waited for.")
    return samples


def many(stage):
    """Many containers, some at a time."""
    results = {}
    for seccomp in (False, True):
        arms = stage.run_arms(seccomp)
        check_arms(stage, arms, 0)
        samples = rounds(arms, stage.options.repeats, stage.options.seed,
                         lambda command: stage.spawner.run(command, stage.options.many, stage.options.parallel))
        for name, values in samples.items():
            if any(value[3] for value in values):
                fail(f"{name}: not every container ended well")
        table(f"{stage.options.many} containers, {stage.options.parallel} at a time, {'with' if seccomp else 'without'} docker's seccomp profile: "
              "total wall time", {name: [value[0] for value in values] for name, values in samples.items()}, "C floor", stage.options.seed,
              more={"CPU ms": {name: f"{statistics.median(value[1] for value in values):.0f}" for name, values in samples.items()}})
        results["seccomp" if seccomp else "plain"] = samples
    return results
