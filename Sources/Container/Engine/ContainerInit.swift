import CContainer
import CLinux
import JSON
import Network
import OCI
import System

/// Everything that a container's first process needs, made by its parent before the clone and copied by it.
final class InitPlan {
  let spec: Spec
  let namespaces: NamespacePlan
  let rootfs: RootfsPlan
  let cgroup: Cgroup
  let process: ProcessPlan
  /// The host's /proc: the container's own is never trusted.
  let hostProc: FileDescriptor
  /// Listens until `start` says so; nil when the parent itself does.
  let gate: SharedFile?
  /// The state folder, whose lock must not outlive the parent here.
  let stateFolder: Int32
  /// Connected to `--console-socket`.
  let consoleSocket: SharedFile?
  /// What the hooks read. Their PID is filled in by whoever runs them.
  let status: ContainerStatus
  let options: InitOptions

  init(
    spec: Spec, namespaces: NamespacePlan, rootfs: consuming RootfsPlan, cgroup: consuming Cgroup,
    process: consuming ProcessPlan, hostProc: consuming FileDescriptor, gate: SharedFile?,
    stateFolder: Int32, consoleSocket: SharedFile?,
    status: ContainerStatus,
    options: InitOptions
  ) {
    self.spec = spec
    self.namespaces = namespaces
    self.rootfs = rootfs
    self.cgroup = cgroup
    self.process = process
    self.hostProc = hostProc
    self.gate = gate
    self.stateFolder = stateFolder
    self.consoleSocket = consoleSocket
    self.status = status
    self.options = options
  }
}

/// The choices of one start.
struct InitOptions {
  /// `--no-pivot`.
  var noPivot = false
  /// Whether the container ends when vmrun does, however it does.
  var diesWithParent = false
  /// Whether the parent has something to do before the program is executed.
  var parentAwaitsReady = true
  /// Whether a small process 1 starts the program.
  var hasReaper = false
  /// Whether the parent must do something once the process has its cgroup and its namespaces (systemd's scope, devices of the network).
  var parentAwaitsJoin = false
}

/// The life of a container's first process up to its program: what runs in the child of clone(2).
enum ContainerInit {
  /// Sets the container up and executes its program.
  static func run(_ plan: InitPlan, channel: Channel, clock: SetupClock?) -> Never {
    do throws(ContainerError) {
      try becomeContainer(plan, channel, clock)
    } catch {
      channel.send(.failed(error))
      _exit(1)
    }
  }

  private static func becomeContainer(
    _ plan: InitPlan, _ channel: Channel, _ clock: SetupClock?
  ) throws(ContainerError) -> Never {
    clock?.stamp(.clone)
    _ = close(plan.stateFolder)
    // Should the parent be killed now, this process must not be left over: until "ready" nobody knows it.
    _ = ccontainer_die_with_parent(1)
    hide(plan.namespaces)
    if plan.namespaces.creates(.user) && !plan.namespaces.needsIntermediate {
      try enterNewUserNamespace(channel, pid: 0)
    }
    _ = setsid()
    try plan.process.applyInitialAffinity()
    try plan.cgroup.joinSelf()
    try plan.namespaces.joinRest()
    if plan.options.parentAwaitsJoin { try channel.ask(.joined) }
    if plan.namespaces.creates(.cgroup) {
      guard unshare(Int32(truncatingIfNeeded: Linux.NamespaceType.cgroup.flag)) == 0 else {
        throw ContainerError("cgroup namespace", SystemError("unshare", "", .current))
      }
    }
    if plan.namespaces.creates(.network) {
      try naming("network namespace") { () throws(NetworkError) in try Loopback.up() }
    }
    clock?.stamp(.namespaces)

    var rootfs = try plan.rootfs.build(console: nil)
    clock?.stamp(.mounts)
    let hooks = plan.spec.hooks
    if !hooks.prestart.isEmpty || !hooks.createRuntime.isEmpty { try channel.ask(.mounted) }
    try runHooks("createContainer", hooks.createContainer, plan, .creating)
    if let process = plan.spec.process, process.terminal {
      let terminal = try rootfs.openTerminal()
      try hand(terminal, plan.consoleSocket?.descriptor.rawValue, channel)
      try terminal.adopt(size: process.consoleSize, user: process.user.uid)
    }
    try Identity.apply(spec: plan.spec, proc: plan.hostProc.rawValue)
    try rootfs.pivot(keepOldRoot: plan.options.noPivot)
    try rootfs.seal(spec: plan.spec)
    clock?.stamp(.pivot)

    try plan.process.applyEarly(proc: plan.hostProc.rawValue)
    try plan.process.apply()
    try plan.process.resolveExecutable()
    if plan.process.notifiesSeccomp { try installNotifyingFilter(plan.process, channel) }
    if !plan.options.diesWithParent { _ = ccontainer_die_with_parent(0) }
    try execute(plan, channel, clock)
  }

  /// The last steps: the word to start, the hooks of that moment, the filter, the program.
  private static func execute(_ plan: InitPlan, _ channel: Channel, _ clock: SetupClock?)
    throws(ContainerError) -> Never
  {
    guard let gate = plan.gate?.descriptor.rawValue else {
      if plan.options.parentAwaitsReady { try channel.ask(.ready) } else { channel.send(.ready) }
      try runProgram(plan, clock)
    }
    guard channel.send(.ready) else {
      throw ContainerError(.system, "the runtime ended while the container was set up")
    }
    _ = close(channel.descriptor)
    let starter = try awaitStart(gate)
    do throws(ContainerError) {
      try runProgram(plan, clock)
    } catch {
      // `start` is told, not `create`, which ended long ago.
      starter.send(.failed(error))
      _exit(1)
    }
  }

  private static func runProgram(_ plan: InitPlan, _ clock: SetupClock?) throws(ContainerError) -> Never {
    try runHooks("startContainer", plan.spec.hooks.startContainer, plan, .created)
    // Changing the credentials has cleared it.
    if plan.options.diesWithParent { _ = ccontainer_die_with_parent(1) }
    // Before the filter: what process 1 does is not what the profile was written for.
    if plan.options.hasReaper { try Reaper.fork(clock) }
    if !plan.process.notifiesSeccomp { _ = try plan.process.installSeccomp() }
    clock?.stamp(.seccomp)
    try plan.process.execute()
  }

  /// Waits until somebody who may open the state folder connects and says so. Others, who only look whether anybody listens, are let go.
  private static func awaitStart(_ gate: Int32) throws(ContainerError) -> Channel {
    while true {
      let raw = ccontainer_accept(gate)
      guard raw >= 0 else { throw ContainerError("", SystemError("accept", "start", .current)) }
      let connection = Channel(owning: FileDescriptor(owning: raw))
      if case .proceed? = try connection.receive()?.message { return connection }
    }
  }

  /// Keeps processes of a namespace that is entered from looking into this one. A parent without privileges could not map the IDs of
  /// a process that is hidden (proc_pid(5)): with a user namespace of its own it is hidden once it has become that one's root.
  static func hide(_ namespaces: NamespacePlan) {
    if geteuid() == 0 || !namespaces.creates(.user) { _ = ccontainer_set_dumpable(0) }
  }

  /// Waits until the parent has mapped this process's IDs, and becomes the namespace's root.
  static func enterNewUserNamespace(_ channel: Channel, pid: Int32) throws(ContainerError) {
    try channel.ask(.mapping(pid: pid))
    try becomeRoot()
  }

  /// Root of the user namespace that was entered; the groups of outside are dropped where that is allowed.
  static func becomeRoot() throws(ContainerError) {
    guard setresgid(0, 0, 0) == 0, setresuid(0, 0, 0) == 0 else {
      throw ContainerError(
        "user namespace: is container ID 0 mapped?", SystemError("setresuid", "0", .current))
    }
    _ = setgroups(0, nil)
    // The change of credentials has made both anew.
    _ = ccontainer_set_dumpable(0)
    _ = ccontainer_die_with_parent(1)
  }

  private static func runHooks(
    _ stage: String, _ hooks: [Spec.Hook], _ plan: InitPlan, _ state: ContainerState
  ) throws(ContainerError) {
    guard !hooks.isEmpty else { return }
    var status = plan.status
    // The PID as the process that runs the hook sees it.
    status.pid = getpid()
    try HookRunner(stage: stage, state: status.json(status: state).serialized(pretty: false)).run(hooks)
  }

  /// Installs a filter that asks an agent, and gives its listener away while the parent is there to take it.
  static func installNotifyingFilter(_ process: borrowing ProcessPlan, _ channel: Channel)
    throws(ContainerError)
  {
    if let number = try process.installSeccomp() {
      try channel.ask(.listener(number: number))
      _ = close(number)
    }
  }

  /// Gives the master to `--console-socket`, or to the parent, which relays it.
  static func hand(_ console: borrowing ContainerTerminal, _ socket: Int32?, _ channel: Channel) throws(ContainerError)
  {
    if let socket {
      try console.send(to: socket)
    } else {
      try channel.ask(.terminal, beside: console.master.rawValue)
    }
  }
}
