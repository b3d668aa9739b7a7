import OCI

/// The OCI configuration of a `vmrun --container`: docker's defaults, and what the command line asks for.
struct ContainerSpec {
  /// What of the host decides about the configuration.
  struct Host: Equatable {
    /// vmrun's own effective user and group.
    var user: UInt32
    var group: UInt32
    /// What the user may map besides itself; empty when there is nothing or no way to use it.
    var subordinateUsers: [SubordinateIDs.Range] = []
    var subordinateGroups: [SubordinateIDs.Range] = []

    var isRoot: Bool { user == 0 }
  }

  let configuration: ContainerConfiguration
  let host: Host

  /// The network namespace to enter; nil makes one (or uses the host's).
  var networkPath: String?
  /// The container's terminal when it starts; nil without one.
  var window: Process.ConsoleSize?
  /// Absolute path of the root, and of the volumes' sources in their order.
  var root: String
  var sources: [String] = []
  /// docker's own number of the processor bandwidth's period, in microseconds.
  private static let period: UInt64 = 100_000

  func make() throws(UsageError) -> Spec {
    var spec = Spec()
    spec.root = Spec.Root(path: root, isReadOnly: configuration.isReadOnly)
    spec.hostname = configuration.hostname
    spec.process = process()
    spec.mounts = mounts()
    spec.linux.maskedPaths = DockerDefaults.maskedPaths
    spec.linux.readonlyPaths = DockerDefaults.readonlyPaths
    spec.linux.seccomp = DockerDefaults.seccomp(capabilities: DockerDefaults.capabilities)
    spec.linux.namespaces = namespaces()
    if !host.isRoot { try mapUsers(&spec.linux) }
    spec.linux.resources = resources()
    return spec
  }

  private func process() -> Process {
    var process = Process()
    process.args = configuration.arguments
    process.env = environment()
    process.cwd = configuration.workingDirectory
    process.user.uid = configuration.user
    process.user.gid = configuration.group
    process.terminal = configuration.hasTerminal
    process.consoleSize = window
    process.noNewPrivileges = true
    var capabilities = Process.Capabilities(all: DockerDefaults.capabilities)
    if configuration.user != 0 {
      // As docker does: another user than root gets none, and none of them by a set-user-ID file either.
      capabilities.effective = 0
      capabilities.permitted = 0
    }
    process.capabilities = capabilities
    return process
  }

  /// The same variables as in a virtual machine; HOME is set when the user's entry in the container is known.
  private func environment() -> [[UInt8]] {
    var environment = DockerDefaults.environment.map { Array($0.utf8) }
    environment.append(Array("HOSTNAME=\(configuration.hostname)".utf8))
    if configuration.hasTerminal { environment.append(Array("TERM=xterm".utf8)) }
    // Of two with one name the later counts.
    return environment + configuration.environment
  }

  private func namespaces() -> [Linux.Namespace] {
    var namespaces: [Linux.Namespace] = []
    for type in DockerDefaults.namespaces {
      if type == .network {
        if configuration.network != .host { namespaces.append(Linux.Namespace(.network, path: networkPath)) }
      } else {
        namespaces.append(Linux.Namespace(type))
      }
    }
    if !host.isRoot { namespaces.append(Linux.Namespace(.user)) }
    return namespaces
  }

  private func mounts() -> [Spec.Mount] {
    var mounts = DockerDefaults.mounts
    if !host.isRoot {
      for index in mounts.indices {
        // Group 5 (tty) is mapped only with a range of subordinate IDs.
        if mounts[index].type == "devpts", host.subordinateGroups.isEmpty {
          mounts[index].options.removeAll { $0.hasPrefix("gid=") }
        }
      }
    }
    for (volume, source) in zip(configuration.volumes, sources) {
      mounts.append(
        Spec.Mount(
          destination: volume.destination, type: "bind", source: source,
          options: ["rbind", "rprivate"] + (volume.isReadOnly ? ["rro"] : [])))
    }
    return mounts
  }

  /// Root of the container is whoever started vmrun; the other IDs come from the ranges that the administrator gave.
  private func mapUsers(_ linux: inout Linux) throws(UsageError) {
    linux.uidMappings = Self.mappings(host.user, host.subordinateUsers)
    linux.gidMappings = Self.mappings(host.group, host.subordinateGroups)
    for (number, mappings, what, file) in [
      (configuration.user, linux.uidMappings, "user", "/etc/subuid"),
      (configuration.group, linux.gidMappings, "group", "/etc/subgid"),
    ] {
      let isMapped = mappings.contains { $0.containerID <= number && number - $0.containerID < $0.size }
      guard isMapped else {
        throw UsageError(
          "--user: without root, \(what) \(number) needs a range of IDs: a line for this user in \(file), and newuidmap and newgidmap installed (Debian: uidmap)"
        )
      }
    }
  }

  private static func mappings(_ own: UInt32, _ ranges: [SubordinateIDs.Range]) -> [IDMapping] {
    var mappings = [IDMapping(containerID: 0, hostID: own, size: 1)]
    var next: UInt32 = 1
    for range in ranges {
      let size = min(range.count, UInt32.max - next)
      if size == 0 { break }
      mappings.append(IDMapping(containerID: next, hostID: range.first, size: size))
      next += size
    }
    return mappings
  }

  /// nil without root and without limits: then no cgroup is needed.
  private func resources() -> Resources? {
    var resources = Resources()
    if host.isRoot { resources.devices = DockerDefaults.deviceRules }
    if let time = configuration.processorTime {
      var cpu = Resources.CPU()
      cpu.period = Self.period
      cpu.quota = Int64(UInt64(time) * Self.period / 1000)
      resources.cpu = cpu
    }
    if let bytes = configuration.memory {
      var memory = Resources.Memory()
      memory.limit = Int64(bytes)
      // Without swap, as in a virtual machine: memory is what it says.
      memory.swap = Int64(bytes)
      resources.memory = memory
    }
    if let most = configuration.processes {
      var pids = Resources.PIDs()
      // The small process 1 that starts the command is vmrun's own.
      pids.limit = Int64(most) + 1
      resources.pids = pids
    }
    return resources == Resources() ? nil : resources
  }
}
