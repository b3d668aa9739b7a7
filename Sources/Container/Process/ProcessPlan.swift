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
///     parent  applyFromOutside      only when `needsOutside`: a user namespace lacks the privilege
///     child   applyInitialAffinity  before it joins the cgroup
///     child   applyEarly            after the pivot, while the host's /proc is open
///     child   apply                 the working directory, the user, the privileges
///     child   resolveExecutable     as that user
///     child   installSeccomp        gives a descriptor to hand over when the filter notifies
///     child   dropSetupPrivilege    after that descriptor has been handed over
///     child   execute
///
/// All descriptors of vmrun are close-on-exec: that is how `execute` tells a preserved one from its own.
public struct ProcessPlan: ~Copyable {
  /// What the configuration asks for and cannot be had, where the specification wants a warning and no error.
  public let warnings: [String]

  let process: Process
  let personality: Linux.Personality?
  let memoryPolicy: Linux.MemoryPolicy?
  let keyring: [UInt8]?
  let inUserNamespace: Bool
  let labels: Labels
  let capabilities: CapabilityPlan
  let initialAffinity: CPUMask?
  let finalAffinity: CPUMask?
  let nodes: CPUMask?
  let seccomp: SeccompProgram?
  let arguments: CStrings
  let environment: Environment
  let variables: CStrings
  let program = Program()

  /// Everything that can be checked and computed without being the process.
  /// - Parameters:
  ///   - keyring: the name of the new session keyring; nil to keep the launcher's (`--no-new-keyring`).
  ///   - cache: the folder for compiled seccomp filters; nil for none.
  ///   - inUserNamespace: whether the process will be in another user namespace than the launcher.
  /// - Throws: `.invalid` or `.notSupported`, naming the field.
  public static func prepare(
    process: Process, seccomp: Seccomp?, personality: Linux.Personality?, memoryPolicy: Linux.MemoryPolicy?,
    keyring: String?, cache: String?, inUserNamespace: Bool
  ) throws(ContainerError) -> ProcessPlan {
    guard !process.args.isEmpty else { throw ContainerError(.invalid, "process.args: is empty") }
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
      nodes: try memoryPolicy.map { policy throws(ContainerError) in
        try CPUMask(policy.nodes, of: "linux.memoryPolicy.nodes", emptyAllowed: true)
      },
      seccomp: try seccomp.map { profile throws(ContainerError) in
        try SeccompProgram.compiled(profile, cache: cache)
      },
      process: process, personality: personality, memoryPolicy: memoryPolicy, keyring: keyring.map { Array($0.utf8) },
      inUserNamespace: inUserNamespace, environment: environment, warnings: warnings)
  }

  private init(
    capabilities: CapabilityPlan, labels: Labels, initialAffinity: CPUMask?, finalAffinity: CPUMask?, nodes: CPUMask?,
    seccomp: SeccompProgram?, process: Process, personality: Linux.Personality?, memoryPolicy: Linux.MemoryPolicy?,
    keyring: [UInt8]?, inUserNamespace: Bool, environment: Environment, warnings: [String]
  ) {
    self.capabilities = capabilities
    self.labels = labels
    self.initialAffinity = initialAffinity
    self.finalAffinity = finalAffinity
    self.nodes = nodes
    self.seccomp = seccomp
    self.process = process
    self.personality = personality
    self.memoryPolicy = memoryPolicy
    self.keyring = keyring
    self.inUserNamespace = inUserNamespace
    self.environment = environment
    self.warnings = warnings
    arguments = CStrings(process.args)
    // HOME may be added by the child, who sees the container's passwd(5).
    variables = CStrings(environment.variables, spare: 1)
  }
}

extension ProcessPlan {
  /// Whether the parent must call `applyFromOutside`.
  public var needsOutside: Bool { inUserNamespace && HostLimits(process).isNeeded }

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
    if !inUserNamespace { try HostLimits(process).applyScheduling(pid: 0, proc: proc) }
    if let keyring {
      try labels.setForKeyring(proc: proc)
      try Keyring.join(keyring)
    }
    try labels.setForExecution(proc: proc)
    try applyMemoryPolicy()
    if let personality, ccontainer_set_personality(UInt(personality.rawValue)) < 0 {
      throw ContainerError("linux.personality", SystemError("personality", "", .current))
    }
  }

  /// Working directory, umask, standard streams, user, capabilities, no_new_privs, signals: all but the filter. Afterwards
  /// the process is the container's user.
  public func apply() throws(ContainerError) {
    guard ccontainer_reset_signals() == 0 else { throw ContainerError("", SystemError("sigaction", "", .current)) }
    let directory = WorkingDirectory(process.cwd)
    // Before the umask: what is missing of the path is made with its usual mode.
    let isThere = try directory.enter()
    _ = umask(process.user.umask ?? 0o022)
    addHome()
    if !inUserNamespace { try HostLimits(process).applyResourceLimits(pid: 0) }
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
  public var hasListener: Bool { seccomp?.notifies ?? false }

  /// Installs the filter. Without a listener, best right before `execute`, so that the profile need not allow what vmrun does.
  /// - Returns: the listener's descriptor, which the caller owns, when the profile notifies. The filter must not notify about
  ///   the system calls by which the caller tells its parent about it.
  public func installSeccomp() throws(ContainerError) -> Int32? {
    guard let seccomp else { return nil }
    if filterNeedsPrivilege { try capabilities.raiseAdmin() }
    return try seccomp.install()
  }

  /// Gives back the privilege that installing the filter needed. Called after `installSeccomp` and after its listener has been
  /// handed over, since the filter applies to this too.
  public func dropSetupPrivilege() throws(ContainerError) {
    if filterNeedsPrivilege { try capabilities.finish() }
  }

  /// Executes the program. Descriptors 3 up to 2 + `preserved` are the program's; no other one is.
  /// - Throws: `.invalid` when one of them was not handed to vmrun; otherwise what keeps the program from being executed.
  public func execute(preserved: UInt32 = 0) throws(ContainerError) -> Never {
    try Self.checkPreserved(preserved)
    guard ccontainer_close_on_exec_from(3 + preserved) == 0 else {
      throw ContainerError("", SystemError("close_range", "", .current))
    }
    try program.execute(arguments, variables)
  }

  /// Whether descriptors 3 up to 2 + `count` were handed to this program by who started it: those of its own are close-on-exec.
  public static func checkPreserved(_ count: UInt32) throws(ContainerError) {
    guard count > 0 else { return }
    guard count <= 1 << 20 else { throw ContainerError(.invalid, "\(count) preserved descriptors are too many") }
    for number in 3..<Int32(3 + count) {
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
        ? ccontainer_set_mempolicy(mode, nil, 0) : ccontainer_set_mempolicy(mode, words.baseAddress, UInt(nodes.bits) + 1)
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
