/// The operations of the OCI runtime, with runc's names.
enum OCIVerb: String, CaseIterable, Sendable {
  case create, start, run, state, kill, delete, exec, list, ps, pause, resume, update, events, spec, features,
    checkpoint
  case restore

  init?(word: [UInt8]) {
    for verb in OCIVerb.allCases where word.elementsEqual(verb.rawValue.utf8) {
      self = verb
      return
    }
    return nil
  }

  /// The options that stand before the verb.
  static let globalOptions = [
    OCIOption("--root", value: "DIR", "where containers' states are kept  [/run/vmrun, or $XDG_RUNTIME_DIR/vmrun]"),
    OCIOption("--log", value: "FILE", "appends messages to FILE, one a line  [standard error]"),
    OCIOption("--log-format", value: "FORMAT", "text or json  [text]"),
    OCIOption("--debug", "logs what is done, not only what fails"),
    OCIOption("--systemd-cgroup", "has systemd make the cgroups; cgroupsPath is SLICE:PREFIX:NAME then"),
    OCIOption(
      "--rootless", value: "MODE", "whether cgroups that cannot be made are done without: true, false or auto  [auto]"),
    OCIOption("--criu", value: "FILE", "taken for the sake of older callers; has no effect"),
    OCIOption("--help", short: "-h", "explains the verb behind which it stands"),
    OCIOption("--version", short: "-v", "the version"),
  ]

  /// Its options.
  var options: [OCIOption] {
    switch self {
    case .create: return Self.bundleOptions + Self.startOptions
    case .run:
      return Self.bundleOptions + Self.startOptions + [
        OCIOption("--detach", short: "-d", "returns once the program runs"),
        OCIOption("--keep", "leaves the stopped container's state; vmrun delete removes it"),
        OCIOption("--no-subreaper", "does not adopt processes that lose their parent"),
      ]
    case .exec:
      return [
        OCIOption("--process", short: "-p", value: "FILE", "the process as JSON, instead of CMD and the options below"),
        OCIOption("--tty", short: "-t", "gives the process a terminal"),
        OCIOption("--user", short: "-u", value: "UID[:GID]", "numeric user and group"),
        OCIOption("--additional-gids", short: "-g", value: "GID", "one more group (repeatable)"),
        OCIOption("--env", short: "-e", value: "NAME=VALUE", "a variable (repeatable)"),
        OCIOption("--cwd", value: "DIR", "where it starts, in the container"),
        OCIOption("--cap", short: "-c", value: "NAME", "one more capability (repeatable)"),
        OCIOption("--no-new-privs", "sets no_new_privs"),
        OCIOption("--apparmor", value: "PROFILE", "its AppArmor profile"),
        OCIOption("--process-label", value: "LABEL", "its SELinux label"),
        OCIOption("--detach", short: "-d", "returns once the program runs"),
        OCIOption("--pid-file", value: "FILE", "writes its process ID there"),
        OCIOption("--console-socket", value: "SOCKET", "a socket that receives the terminal's master"),
        OCIOption("--preserve-fds", value: "N", "passes descriptors 3 to 2 + N on  [0]"),
        OCIOption("--ignore-paused", "also in a paused container, where it waits until that is resumed"),
        OCIOption("--cgroup", value: "PATH", "in a cgroup below the container's, which must exist"),
      ]
    case .kill: return [OCIOption("--all", short: "-a", "to every process of the container, not only the first")]
    case .delete:
      return [OCIOption("--force", short: "-f", "also when it runs (it is killed), is damaged or does not exist")]
    case .list:
      return [
        OCIOption("--format", short: "-f", value: "FORMAT", "table or json  [table]"),
        OCIOption("--quiet", short: "-q", "only the IDs"),
      ]
    case .ps: return [OCIOption("--format", short: "-f", value: "FORMAT", "table or json  [table]")]
    case .update: return Self.updateOptions
    case .events:
      return [
        OCIOption("--stats", "prints the statistics once and returns"),
        OCIOption("--interval", value: "TIME", "how often statistics are printed: 5s, 500ms, 2m  [5s]"),
      ]
    case .spec:
      return [
        OCIOption("--bundle", short: "-b", value: "DIR", "where to write it  [the current directory]"),
        OCIOption("--rootless", "for a user who is not root"),
      ]
    case .start, .state, .pause, .resume, .features, .checkpoint, .restore: return []
    }
  }

  private static let bundleOptions = [
    OCIOption("--bundle", short: "-b", value: "DIR", "the folder with config.json  [the current directory]")
  ]

  private static let startOptions = [
    OCIOption("--pid-file", value: "FILE", "writes the process ID of the container's first process there"),
    OCIOption("--console-socket", value: "SOCKET", "a socket that receives the terminal's master"),
    OCIOption("--preserve-fds", value: "N", "passes descriptors 3 to 2 + N on, beside those of LISTEN_FDS  [0]"),
    OCIOption("--no-pivot", "enters the root without pivot_root, for a host whose root is the initramfs"),
    OCIOption("--no-new-keyring", "the container uses the caller's session keyring"),
  ]

  private static let updateOptions = [
    OCIOption(
      "--resources", short: "-r", value: "FILE",
      "linux.resources as JSON; - reads standard input. All else is ignored then"),
    OCIOption("--memory", value: "BYTES", "memory limit: 268435456 or 256M; -1 for none"),
    OCIOption("--memory-reservation", value: "BYTES", "soft memory limit"),
    OCIOption("--memory-swap", value: "BYTES", "memory and swap together; -1 for no limit"),
    OCIOption("--pids-limit", value: "N", "processes at most; -1 for no limit"),
    OCIOption("--cpu-quota", value: "USEC", "CPU time in each period; -1 for no limit"),
    OCIOption("--cpu-period", value: "USEC", "the period of the quota"),
    OCIOption("--cpu-burst", value: "USEC", "unused quota that may be saved up"),
    OCIOption("--cpu-share", value: "N", "weight against other containers, 1024 being usual"),
    OCIOption("--cpu-idle", value: "N", "1: runs only when nothing else wants to"),
    OCIOption("--cpu-rt-period", value: "USEC", "the period of the real-time budget"),
    OCIOption("--cpu-rt-runtime", value: "USEC", "the real-time budget"),
    OCIOption("--cpuset-cpus", value: "LIST", "the CPUs it may use: 0-2,5"),
    OCIOption("--cpuset-mems", value: "LIST", "the memory nodes it may use"),
    OCIOption("--blkio-weight", value: "N", "weight of its block I/O, 10 to 1000"),
    OCIOption("--l3-cache-schema", value: "TEXT", "refused: Intel RDT is set when the container is created"),
    OCIOption("--mem-bw-schema", value: "TEXT", "refused, too"),
  ]

  /// What stands behind the options in the help.
  var operands: String {
    switch self {
    case .list, .spec, .features: return ""
    case .kill: return "ID [SIGNAL]"
    case .exec: return "ID CMD [ARGS]"
    case .ps: return "ID [PS-OPTIONS]"
    default: return "ID"
    }
  }

  /// One line of `vmrun --help`.
  var summary: String {
    switch self {
    case .create: return "sets a container up from a bundle; its program waits for start"
    case .start: return "executes a created container's program"
    case .run: return "create, start, wait and delete in one; exits with the program's code"
    case .state: return "prints a container's state as JSON"
    case .kill: return "sends a signal to a container"
    case .delete: return "removes a stopped container, or with --force any"
    case .exec: return "runs one more process in a container; exits with its code"
    case .list: return "lists the containers"
    case .ps: return "lists a container's processes"
    case .pause: return "freezes all processes of a container"
    case .resume: return "lets them go on"
    case .update: return "changes a container's limits"
    case .events: return "prints a container's statistics and out-of-memory events as JSON"
    case .spec: return "writes a config.json to begin with"
    case .features: return "prints what this runtime supports as JSON"
    case .checkpoint: return "is refused: vmrun cannot save processes"
    case .restore: return "is refused, too"
    }
  }

  /// What its help says beside the options.
  var details: String {
    switch self {
    case .create:
      return """
        The bundle is a folder with config.json (OCI runtime specification 1.x) and, usually, the root file system. create
        returns once the container is set up: namespaces, cgroups, mounts, hooks. The program runs after vmrun start ID.
        Standard input, output and error are the container's, unless process.terminal is set: then --console-socket is needed.
        """
    case .start: return "The container must be in state created."
    case .run:
      return """
        Signals are forwarded to the program. Where process.terminal is set, this terminal is used. Exit code: the program's, or
        128 + n when signal n ended it; 1 when vmrun could not run it.
        """
    case .state: return "The status is creating, created, running, paused or stopped."
    case .kill: return "SIGNAL is a number or a name, with or without SIG: 15, TERM, SIGTERM, RTMIN+3.  [TERM]"
    case .delete: return "With --force it is no error when ID does not exist."
    case .exec:
      return """
        Without --process, the process is that of the container's configuration with CMD and the options put in. Exit code: the
        process's, or 128 + n when signal n ended it; 255 when vmrun could not run it.
        """
    case .list: return ""
    case .ps:
      return
        "As a table like that of ps -ef; other PS-OPTIONS than -e and -f are refused. As JSON, an array of process IDs."
    case .pause: return "By the cgroup freezer; vmrun resume ID lets them go on."
    case .resume: return ""
    case .update: return "What is not named is left as it is."
    case .events:
      return "One object a line, until the container ends: {\"type\":\"stats\" or \"oom\",\"id\":ID,\"data\":...}."
    case .spec:
      return "The configuration runs sh from the folder rootfs beside it. An existing config.json is not overwritten."
    case .features: return "The structure is that of features.md of the OCI runtime specification."
    case .checkpoint, .restore: return "No process's memory is saved or loaded; there is no CRIU in vmrun."
    }
  }

  /// How many operands it takes.
  var operandCount: ClosedRange<Int> {
    switch self {
    case .list, .spec, .features: return 0...0
    case .kill: return 1...2
    case .exec, .ps, .checkpoint, .restore: return 1...Int.max
    default: return 1...1
    }
  }
}
