/// The text of `vmrun bench --help`.
enum BenchHelp {
  static let text = """
    vmrun bench starts the same small payload as a host process, in a container, in VMs and under the programs of others that are
    installed, and says what each costs to start, to run and to keep.

    usage: vmrun bench [options]

    What is measured is the same for all: the clock starts just before the launcher's process is made, stops once at the first
    byte of the payload's output, and once more when wait(2) returns, with everything torn down. The payload is vmrun's own static
    executable in another role; it prints one line and exits. (vm-builtin has no operating system to run it: its guest prints the line.)
    The arms run in rounds, each in a new random order, so that what the machine does meanwhile hits all alike.

    what to measure:
      --arms LIST           of host, container, vm-builtin, vm-linux, bwrap, crun, runc, podman, docker, qemu-microvm [all]; one
                            may stand twice (host,host): the difference is what chance alone makes. What is missing is named
      --kernel NAME|FILE    the Linux kernel of vm-linux and qemu-microvm: see vmrun kernel list   [the newest]
      --cache WHICH         warm; cold: the files of an arm are dropped from memory before each run (posix_fadvise(2)); both  [warm]
      --concurrency LIST    also several at once, such as 1,2,4,8: throughput and the times of each level
      --concurrency-runs N  runs of each arm at each level                                    [32]
      --density N           also 1, 2, 4 ... N instances that wait: their memory and the host's
      --isolation           also asks what vmrun isolation asks, and adds the answers to every output but --csv
      --times-only          leaves out what is looked at once for each arm: system calls and memory

    when it is enough:
      --precision PERCENT   when every arm's median is known to within this, with 95 % confidence [2]
      --time SECONDS        or when the rounds have taken so long                            [60]
      --runs N              in place of both: exactly N rounds
      --warm-ups N          runs of each arm that are made first and not counted              [2]
      --timeout TIME        what one run may take: 30, 1.5, 500ms, 2m ...                      [60]

    what to compare:
      --reference ARM       the arm that ratios refer to                                      [host]
      --baseline FILE       a report that --json saved: says which arms changed beyond their interval
      --fail-if CONDITION   exit code 1 when it holds (repeatable): ARM.METRIC<NUMBER, or > <= >=, with METRIC of median, p90, p99,
                            mean, min, max, first-byte.median and cpu (us, ms, s), memory (MiB); or ARM/ARM.METRIC>NUMBER, a ratio:
                            'vm-builtin.p99>12ms'  'container.memory>8MiB'  'container/host.median>6'

    outputs (- is standard output; the table then goes to standard error):
      --json FILE           everything, with all samples; laid out as hyperfine's where the fields mean the same
      --csv FILE            one line for each sample
      --markdown FILE       tables for GitHub
      --html FILE           one page with plots, which needs nothing beside it
      --folder DIR          works in DIR, which must be empty or absent, and keeps it: the commands of the report then work again
      --quiet, -q           no progress
      --seed N              of orders and intervals; printed, so that a run can be made again   [from the clock]
      --help, -h            this text

    how to read it: a median with its interval says where the true median lies with 95 % confidence. A ratio is of medians; an interval
    that holds 1 means that no difference was seen. Two humps (bimodal) mean that the arm does one of two things; drift means that
    the machine changed while it was measured, and that the run is better made again. CPU is the launcher's and its children's: a
    daemon's work is not in it. PSS counts a shared page by the number of its users, as RSS does not.

    Ctrl-C ends the measuring; what was measured so far is reported. A second one ends vmrun at once.

    exit codes: 0; 1 a --fail-if condition holds; 125 vmrun could not do it; 130 ended by Ctrl-C, with what was measured

    examples:
      vmrun bench
      vmrun bench --arms host,container,vm-builtin --concurrency 1,2,4,8 --density 16 --html report.html
      vmrun bench --json new.json --baseline old.json --fail-if 'vm-builtin/host.median>4'

    """
}
