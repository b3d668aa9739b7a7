import Machine

/// What keeps a command apart from the host.
enum Isolation { case machine, container }

/// What the options of one command line say, before it is known how they go together.
struct LaunchOptions {
  /// Every option's name, in order.
  var given: [String] = []
  /// What is for a virtual machine only.
  var machine = Configuration()
  /// What a command gets in either isolation.
  var command = Configuration.Command(rootfs: "", arguments: [])
  var rootfs: String?
  /// As written: a machine has whole processors only.
  var cpus: String?
  var memory: UInt64?
  var timeout: UInt64?
  var timings: TimingsFormat?
  var backend = BackendChoice.auto
  // What is for a container only.
  var processes: UInt32?
  var volumes: [ContainerConfiguration.Volume] = []
  var network: ContainerConfiguration.Network?
  var isReadOnly = false
  var keptChanges: String?
  var name: String?

  private var isolation: Isolation?

  /// Options that mean nothing for a container, and what to do instead.
  private static let machineOnly: [(name: String, advice: String)] = [
    ("--kernel", "a container runs on this host's kernel"),
    ("--backend", "a container has none; it runs on this host's kernel"),
    ("--initrd", "a container starts from --rootfs alone"),
    ("--append", "a container has no kernel command line; give arguments behind '--'"),
    ("--boot", "a container does not boot"),
    ("--kernel-pages", "a container has no kernel of its own"),
    ("--console", "a container has no console; the command's output is vmrun's, and --tty gives it a terminal"),
    ("--disk", "give it a directory: --volume SRC:DST"),
    ("--verbose", "there is no kernel's log to show; --timings shows the steps of the start"),
    ("-v", "there is no kernel's log to show; a volume is --volume SRC:DST"),
  ]

  /// Options that mean nothing for a virtual machine, and what to do instead.
  private static let containerOnly: [(name: String, advice: String)] = [
    ("--pids", "a machine's processes are its own; --memory limits them"),
    ("--volume", "give it a disk: --disk FILE[,ro], or put the files into the --rootfs"),
    ("--read-only", "a machine has a copy of --rootfs, which it may change"),
    ("--keep-changes", "a machine's changes go with it; let the command write to a --disk"),
    ("--name", "a machine has no name; --hostname is what it calls itself"),
  ]

  /// Settles the isolation that option `name` asks for.
  mutating func choose(_ isolation: Isolation, _ name: String) throws(UsageError) {
    if let earlier = self.isolation, earlier != isolation {
      throw UsageError("\(name) contradicts what was chosen before: a command runs either in a VM or in a container")
    }
    self.isolation = isolation
  }

  /// Adds variable "K=V"; the last value of K counts, as with docker.
  mutating func set(variable: [UInt8]) {
    let name = variable.prefix { $0 != UInt8(ascii: "=") }
    command.environment.removeAll {
      $0.count > name.count && $0[name.count] == UInt8(ascii: "=") && $0.starts(with: name)
    }
    command.environment.append(variable)
  }

  /// What to start, with the words behind '--' if there were any.
  func invocation(_ words: [[UInt8]]?) throws(UsageError) -> Invocation {
    if let words, words.isEmpty { throw UsageError("a command is missing behind '--'") }
    switch isolation {
    case .container?: return .container(try container(words), timings: timings)
    case .machine?, nil: return .launch(try machine(words), backend: backend, timings: timings)
    }
  }

  // MARK: A container

  private func container(_ words: [[UInt8]]?) throws(UsageError) -> ContainerConfiguration {
    for (name, advice) in Self.machineOnly where given.contains(name) {
      throw UsageError("\(name) is for a VM and means nothing for a container: \(advice)")
    }
    guard let words else {
      throw UsageError("a container needs a command: vmrun --container --rootfs DIR -- CMD ARGS")
    }
    guard let rootfs else {
      throw UsageError("a container needs a root directory: --rootfs DIR (it is never changed)")
    }
    if isReadOnly, keptChanges != nil {
      throw UsageError("--read-only and --keep-changes exclude each other: nothing changes that could be kept")
    }
    var configuration = ContainerConfiguration(rootfs: rootfs, arguments: words)
    configuration.environment = command.environment
    configuration.workingDirectory = command.workingDirectory
    configuration.hostname = command.hostname
    (configuration.user, configuration.group) = (command.user, command.group)
    configuration.hasTerminal = command.terminal
    if let cpus { configuration.processorTime = try ArgumentParser.processorTime(cpus) }
    if let memory, memory < 6 << 20 { throw UsageError("--memory is below 6M, the least for a container") }
    configuration.memory = memory
    configuration.processes = processes
    configuration.volumes = volumes
    configuration.network = network ?? ContainerConfiguration.Network.none
    configuration.timeout = timeout
    configuration.isReadOnly = isReadOnly
    configuration.keptChanges = keptChanges
    configuration.name = name
    return configuration
  }

  // MARK: A machine

  private func machine(_ words: [[UInt8]]?) throws(UsageError) -> Configuration {
    for (name, advice) in Self.containerOnly where given.contains(name) {
      throw UsageError("\(name) is for a container (--container) and means nothing for a VM: \(advice)")
    }
    if let network, network != .none {
      throw UsageError("--net is for a container (--container): a VM has no network device")
    }
    var configuration = machine
    if let cpus { configuration.cpus = try ArgumentParser.count("--cpus", cpus, most: 255) }
    configuration.memory = memory
    configuration.timeout = timeout
    if let words {
      guard let rootfs else {
        throw UsageError(
          "a command needs a root directory for the guest: --rootfs DIR (the directory is copied, never changed)")
      }
      configuration.command = command
      configuration.command?.rootfs = rootfs
      configuration.command?.arguments = words
    } else if rootfs != nil {
      throw UsageError("--rootfs needs a command: ... --rootfs DIR -- CMD ARGS")
    } else if let option = given.last(where: { Self.commandOptions.contains($0) }) {
      throw UsageError("\(option) is for a command: ... --rootfs DIR -- CMD ARGS")
    }
    try Self.check(configuration)
    if configuration.isBuiltIn, backend == .libvirt {
      throw UsageError("--backend libvirt is for a Linux kernel (--kernel FILE): the built-in guest runs on KVM alone")
    }
    return configuration
  }

  private static let commandOptions = [
    "--env", "-e", "--workdir", "-w", "--hostname", "--user", "-u", "--tty", "-t",
  ]

  /// What no single option can know. A command without a kernel gets the default one.
  private static func check(_ configuration: Configuration) throws(UsageError) {
    if configuration.isBuiltIn {
      if configuration.initrd != nil { throw UsageError("--initrd needs --kernel FILE: the built-in guest takes none") }
      if !configuration.disks.isEmpty {
        throw UsageError("--disk needs --kernel FILE: the built-in guest has no drivers")
      }
      if configuration.cpus != 1 { throw UsageError("--cpus needs --kernel FILE: the built-in guest runs on one") }
    } else if let memory = configuration.memory, memory < Configuration.leastLinuxMemory {
      throw UsageError("--memory is below 64M, the least for a Linux kernel (Debian's need 80M)")
    }
    if configuration.command != nil, configuration.initrd != nil {
      throw UsageError("--initrd and --rootfs exclude each other: vmrun makes the initramfs from the directory")
    }
    if configuration.disks.count > Configuration.mostDisks {
      throw UsageError("at most \(Configuration.mostDisks) disks can be attached")
    }
    if configuration.command != nil, configuration.console == .stdio {
      throw UsageError(
        "--console stdio would mix the kernel's log with the command's output; use stderr, none or a file")
    }
  }
}

extension Configuration {
  /// Whether it is the built-in guest that runs.
  fileprivate var isBuiltIn: Bool { kernel == nil && command == nil }
}
