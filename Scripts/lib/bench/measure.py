"""What the bench's comparisons share: rounds in random order, medians, intervals, tables, and the machine they ran on."""
import glob, os, random, shutil, statistics, subprocess, sys


def say(text):
    print("Scripts/bench: " + text, file=sys.stderr, flush=True)


def fail(text):
    say("error: " + text)
    sys.exit(1)


def rounds(arms, count, seed, measure, warm_up=1):
    """Runs every arm once a round, in a new order each time. Returns the samples by arm, without those of the warm-up."""
    shuffle = random.Random(seed)
    samples = {name: [] for name in arms}
    for index in range(-warm_up, count):
        names = list(arms)
        shuffle.shuffle(names)
        for name in names:
            value = measure(arms[name])
            if index >= 0:
                samples[name].append(value)
        if sys.stderr.isatty():
            print(f"\r{max(0, index + 1)}/{count}", end="", file=sys.stderr, flush=True)
    return samples


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def ratio(values, reference, seed):
    """Median and 95 % interval of the ratio of medians, by 4000 bootstrap resamples."""
    pick = random.Random(seed)
    ratios = sorted(statistics.median(pick.choices(values, k=len(values))) /
                    statistics.median(pick.choices(reference, k=len(reference))) for _ in range(4000))
    return statistics.median(values) / statistics.median(reference), ratios[100], ratios[3900]


def drifts(values, seed):
    """Whether the second half of the samples differs from the first by more than chance and 10 %."""
    if len(values) < 10:
        return False
    middle, low, high = ratio(values[len(values) // 2:], values[:len(values) // 2], seed)
    return abs(middle - 1) > .1 and (low > 1 or high < 1)


def table(title, samples, reference, seed, unit="ms", more=None):
    """Prints one comparison. `more` adds columns: their titles, each with its text by arm."""
    more = more or {}
    print(f"\n{title}\n")
    print(f"| arm | runs | median {unit} | p10 | p90 | ratio to {reference} | 95 % interval |" + "".join(f" {name} |" for name in more))
    print("|---|---|---|---|---|---|---|" + "---|" * len(more))
    for name, values in samples.items():
        r, low, high = ratio(values, samples[reference], seed)
        print(f"| {name} | {len(values)} | {statistics.median(values):.2f} | {percentile(values, .1):.2f} | "
              f"{percentile(values, .9):.2f} | {r:.3f} | {low:.3f} - {high:.3f} |" + "".join(f" {texts[name]} |" for texts in more.values()))
    drifting = [name for name, values in samples.items() if drifts(values, seed)]
    if drifting:
        print(f"\nNot steady, the second half of the runs differs from the first: {', '.join(drifting)}.")


def first_line(*command):
    """What a program says of its version, or nothing when it is not there."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return None


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def environment(peers):
    """The machine and the peers: what a figure means nothing without. `peers` are programs by name."""
    cpu = [line.split(":")[1].strip() for line in (read("/proc/cpuinfo") or "").splitlines() if line.startswith("model name")]
    modules = [module for module in ("kvm_intel", "kvm_amd", "kvm_pvm") if os.path.exists(f"/sys/module/{module}")]
    cgroups = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    if cgroups == "v1" and os.path.exists("/sys/fs/cgroup/unified/cgroup.controllers"):
        cgroups = "hybrid"
    return {
        "cpu": cpu[0] if cpu else None, "cpus": os.cpu_count(), "kernel": os.uname().release, "kvm": modules,
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "transparent_hugepage": read("/sys/kernel/mm/transparent_hugepage/enabled"), "cgroups": cgroups,
        "mitigations": {os.path.basename(path): read(path) for path in sorted(glob.glob("/sys/devices/system/cpu/vulnerabilities/*"))},
        "load": os.getloadavg(),
        "peers": {name: first_line(path, "--version") for name, path in peers.items() if path and shutil.which(path)},
    }
