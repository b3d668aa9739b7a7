import CContainer
import CLinux
import JSON
import OCI
import System

/// How a container's process becomes what its configuration asks for (`process`, `linux.seccomp`, `linux.personality`,
/// `linux.memoryPolicy` of config.json).
///
/// The parent makes the plan before the clone; the child, in whose copied memory it lies too, carries it out:
///
///     parent  prepare
///     child   applyInitialAffinity  before it joins the cgroup
///     child   applyEarly            while the host's /proc is at hand
///     child   apply                 after the pivot: the working directory, the user, the privileges
///     child   installSeccomp        if `notifiesSeccomp`: gives a descriptor to hand over
///     child   resolveExecutable     as the container's user
///     parent  applyFromOutside      when the child is ready, if `needsOutside`: its user namespace lacks the privilege
///     child   installSeccomp        otherwise
///     child   execute
///
/// All descriptors of vmrun are close-on-exec: that is how `execute` tells a preserved one from its own.
public struct ProcessPlan: ~Copyable {
  /// What the configuration asks for and cannot be had, where the specification wants a warning and no error.
  public let warnings: [String]

  let process: Process
  let personality: Linux.Personality?
  let memoryPolicy: Linux.MemoryPolicy?
  let hasNewKeyring: Bool
  let preserved: Int32
  let inUserNamespace: Bool
  let launcher = geteuid()
  let labels: Labels
  let capabilities: CapabilityPlan
  let initialAffinity: CPUMask?
  let finalAffinity: CPUMask?
  let nodes: CPUMask?
  let seccomp: SeccompProgram?
  let arguments: StringVector
  let environment: Environment
  let variables: StringVector
  let pendingLabels = PendingLabels()
  let program = Executable()

  /// Everything that can be checked and computed without being the process.
  /// - Parameters:
  ///   - linux: where seccomp, personality and memory policy come from.
  ///   - newKeyring: whether the process gets a session keyring of its own instead of the launcher's.
  ///   - preservedDescriptors: how many descriptors from 3 on are the program's.
  ///   - cache: the folder under which compiled seccomp filters are kept; nil to keep none.
  ///   - inUserNamespace: whether the process will be in another user namespace than the launcher.
  /// - Throws: `.invalid` or `.notSupported`, naming the field.
  public static func prepare(
    process: Process, linux: Linux, newKeyring: Bool, preservedDescriptors: Int32 = 0, cache: String?,
    inUserNamespace: Bool
  ) throws(ContainerError) -> ProcessPlan {
    guard !process.args.isEmpty else { throw ContainerError(.invalid, "process.args: is empty") }
    // A file of an unprivileged user's process in a user namespace belongs to root while vmrun is in it: such a launcher takes
    // the score on itself, and its children have it from there.
    if inUserNamespace && geteuid() != 0 && process.oomScoreAdj != nil {
      let proc = try naming("process.oomScoreAdj") { () throws(SystemError) in
        try FileDescriptor.open("/proc", O_PATH | O_DIRECTORY)
      }
      try HostLimits(process).setOOMScore(pid: 0, proc: proc.rawValue)
    }
    var warnings: [String] = []
    let environment = Environment(process.env)
    return ProcessPlan(
      capabilities: try CapabilityPlan(
        process.capabilities ?? Process.Capabilities(), inUserNamespace: inUserNamespace, warnings: &warnings),
      labels: try Labels(apparmor: process.apparmorProfile, selinux: process.selinuxLabel),
      initialAffinity: try process.execCPUAffinity?.initial.map { list throws(ContainerError) in
        try CPUMask(list, of: "process.execCPUAffinity.initial")
      },
      finalAffinity: try process.execCPUAffinity?.final.map { list throws(ContainerError) in
        try CPUMask(list, of: "process.execCPUAffinity.final")
      },
      nodes: try linux.memoryPolicy.map { policy throws(ContainerError) in
        try CPUMask(policy.nodes, of: "linux.memoryPolicy.nodes", emptyAllowed: true)
      },
      seccomp: try linux.seccomp.map { profile throws(ContainerError) in
        try SeccompProgram.compiled(profile, cache: cache)
      },
      process: process, linux: linux, newKeyring: newKeyring, preserved: preservedDescriptors,
      inUserNamespace: inUserNamespace, environment: environment, warnings: warnings)
  }

  private init(
    capabilities: CapabilityPlan, labels: Labels, initialAffinity: CPUMask?, finalAffinity: CPUMask?, nodes: CPUMask?,
    seccomp: SeccompProgram?, process: Process, linux: Linux, newKeyring: Bool, preserved: Int32, inUserNamespace: Bool,
    environment: Environment, warnings: [String]
  ) {
    self.capabilities = capabilities
    self.labels = labels
    self.initialAffinity = initialAffinity
    self.finalAffinity = finalAffinity
    self.nodes = nodes
    self.seccomp = seccomp
    self.process = process
    personality = linux.personality
    memoryPolicy = linux.memoryPolicy
    hasNewKeyring = newKeyring
    self.preserved = preserved
    self.inUserNamespace = inUserNamespace
    self.environment = environment
    self.warnings = warnings
    arguments = StringVector(process.args)
    // HOME may be added by the child, who sees the container's passwd(5).
    variables = StringVector(environment.variables, spare: 1)
  }
}

extension ProcessPlan {
  /// Whether the parent must call `applyFromOutside`.
  public var needsOutside: Bool { isServedFromOutside && HostLimits(process).isNeeded }

  /// In another user namespace, the process has less privilege than a launcher that is root, and as much as any other.
  private var isServedFromOutside: Bool { inUserNamespace && launcher == 0 }

  /// Resource limits, out-of-memory score, scheduler and I/O priority of the child `pid`, for which its user namespace has no
  /// privilege. Called by the parent when the child says that it is ready; `proc` is the host's /proc.
  public func applyFromOutside(pid: Int32, proc: Int32) throws(ContainerError) {
    let limits = HostLimits(process)
    try limits.applyScheduling(pid: pid, proc: proc)
    try limits.applyResourceLimits(pid: pid)
  }

  /// `process.execCPUAffinity.initial`: before the child joins its cgroup.
  public func applyInitialAffinity() throws(ContainerError) {
    if let mask = initialAffinity { try Self.setAffinity(mask, "initial") }
  }

  /// What needs the host's /proc, or its privilege; `proc` is a descriptor of it.
  public func applyEarly(proc: Int32) throws(ContainerError) {
    if let mask = finalAffinity { try Self.setAffinity(mask, "final") }
    if !isServedFromOutside { try HostLimits(process).applyScheduling(pid: 0, proc: inUserNamespace ? nil : proc) }
    if hasNewKeyring {
      try labels.setForKeyring(proc: proc)
      try Keyring.join()
    }
    try pendingLabels.open(labels, proc: proc)
    try applyMemoryPolicy()
    if let personality, ccontainer_set_personality(UInt(personality.rawValue)) < 0 {
      throw ContainerError("linux.personality", SystemError("personality", "", .current))
    }
  }

  /// Working directory, umask, standard streams, user, capabilities, no_new_privs, signals: all but the filter. Afterwards
  /// the process is the container's user.
  public func apply() throws(ContainerError) {
    guard ccontainer_reset_signals() == 0 else { throw ContainerError("", SystemError("sigaction", "", .current)) }
    // From here on vmrun opens only close-on-exec descriptors.
    try Self.checkPreserved(preserved)
    guard ccontainer_close_on_exec_from(3 + UInt32(preserved)) == 0 else {
      throw ContainerError("", SystemError("close_range", "", .current))
    }
    let directory = WorkingDirectory(process.cwd)
    // Before the umask: what is missing of the path is made with its usual mode.
    let isThere = try directory.enter()
    _ = umask(process.user.umask ?? 0o022)
    addHome()
    if !isServedFromOutside { try HostLimits(process).applyResourceLimits(pid: 0) }
    try capabilities.limitBoundingSet()
    let user = UserChange(process.user, inUserNamespace: inUserNamespace)
    try user.takeOverStandardStreams()
    // execve(2) turns it off again.
    guard process.user.uid == 0 || ccontainer_prctl(PR_SET_KEEPCAPS, 1, 0) == 0 else {
      throw ContainerError("", SystemError("prctl", "PR_SET_KEEPCAPS", .current))
    }
    try user.change()
    try capabilities.set(keepingAdmin: filterNeedsPrivilege)
    if !isThere { try directory.enterAsUser() }
    try pendingLabels.write(labels)
    if process.noNewPrivileges {
      guard ccontainer_prctl(PR_SET_NO_NEW_PRIVS, 1, 0) == 0 else {
        throw ContainerError("process.noNewPrivileges", SystemError("prctl", "PR_SET_NO_NEW_PRIVS", .current))
      }
    }
  }

  /// Finds the program as the container's user, to whom it must be executable.
  /// - Throws: `.commandNotFound` or `.commandNotExecutable`.
  public func resolveExecutable() throws(ContainerError) {
    let fallback = Array(Environment.defaultPath.utf8)
    try program.resolve(process.args[0], search: environment.value(of: "PATH") ?? fallback[...])
  }

  /// Whether the filter has rules that notify: `installSeccomp` will give a descriptor, for `SeccompListener.send`.
  public var notifiesSeccomp: Bool { seccomp?.notifies ?? false }

  /// Installs the filter. Without a listener, best right before `execute`, so that the profile need not allow what vmrun does.
  /// - Returns: the listener's descriptor, which the caller owns, when the profile notifies. The filter must not notify about
  ///   the system call by which the caller then tells its parent: write(2), for which the configuration must not ask it.
  public func installSeccomp() throws(ContainerError) -> Int32? {
    guard let seccomp else { return nil }
    if filterNeedsPrivilege { try capabilities.raiseAdmin() }
    let listener = try seccomp.install()
    // With a listener, the next call may already wait for its answer.
    if listener == nil && filterNeedsPrivilege { try capabilities.finish() }
    return listener
  }

  /// Executes the program that `resolveExecutable` found.
  /// - Throws: what keeps it from being executed.
  public func execute() throws(ContainerError) -> Never {
    if notifiesSeccomp && filterNeedsPrivilege { try capabilities.finish() }
    try program.execute(arguments, variables)
  }

  /// Whether descriptors 3 up to 2 + `count` were handed to this program by who started it: those of its own are close-on-exec.
  static func checkPreserved(_ count: Int32) throws(ContainerError) {
    guard (0...1 << 20).contains(count) else { throw ContainerError(.invalid, "cannot preserve \(count) descriptors") }
    for number in 3..<(3 + count) {
      let flags = clinux_fcntl(number, F_GETFD, 0)
      guard flags >= 0, flags & FD_CLOEXEC == 0 else {
        throw ContainerError(
          .invalid, "descriptor \(number) is to be preserved (\(count) from 3 on), but vmrun was not given it")
      }
    }
  }

  /// seccomp(2): without no_new_privs, a filter needs CAP_SYS_ADMIN.
  private var filterNeedsPrivilege: Bool { seccomp != nil && !process.noNewPrivileges }

  private func addHome() {
    // Programs rely on it; without a value it counts as absent, as with other runtimes.
    if let home = environment.value(of: "HOME"), !home.isEmpty { return }
    variables.append(Array("HOME=".utf8) + UserDatabase.home(of: process.user.uid))
  }

  private func applyMemoryPolicy() throws(ContainerError) {
    guard let policy = memoryPolicy, let nodes else { return }
    let mode = policy.mode | Int32(bitPattern: policy.flags)
    let result = unsafe nodes.words.withUnsafeBufferPointer { words in
      // unsafe: the kernel reads `bits` bits, which the words have; it takes one off the number (mempolicy.c, get_nodes).
      unsafe nodes.isEmpty
        ? ccontainer_set_mempolicy(mode, nil, 0)
        : ccontainer_set_mempolicy(mode, words.baseAddress, UInt(nodes.bits) + 1)
    }
    guard result == 0 else {
      throw ContainerError(
        .system, "linux.memoryPolicy: mode \(policy.mode), nodes '\(policy.nodes)': \(Errno.current)")
    }
  }

  private static func setAffinity(_ mask: CPUMask, _ field: String) throws(ContainerError) {
    let result = unsafe mask.words.withUnsafeBufferPointer {
      // unsafe: the kernel reads as many bytes as it is told that there are.
      unsafe ccontainer_sched_setaffinity(0, $0.count * 8, $0.baseAddress)
    }
    guard result == 0 else {
      throw ContainerError("process.execCPUAffinity.\(field)", SystemError("sched_setaffinity", "", .current))
    }
  }
}
