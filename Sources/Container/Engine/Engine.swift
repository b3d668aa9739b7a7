import CContainer
import CLinux
import JSON
import Network
import OCI
import System

/// What holds for all verbs: runc's global options.
public struct EngineOptions: Sendable {
  /// `--root`; absolute.
  public var root: String
  /// `--systemd-cgroup`.
  public var systemdCgroup = false
  /// `--rootless`: nil decides by who is running.
  public var rootless: Bool?

  public init(root: String = EngineOptions.defaultRoot()) { self.root = root }

  var isRootless: Bool { rootless ?? (geteuid() != 0) }

  /// /run/vmrun for root; else in the user's own runtime folder. An empty XDG_RUNTIME_DIR counts as unset.
  public static func defaultRoot() -> String {
    if geteuid() == 0 { return "/run/vmrun" }
    // unsafe: getenv returns a NUL-terminated string that stays valid, since vmrun never changes its environment.
    if let folder = unsafe getenv("XDG_RUNTIME_DIR"), unsafe folder.pointee == CChar(bitPattern: UInt8(ascii: "/")) {
      return unsafe String(cString: folder) + "/vmrun"
    }
    return "/tmp/vmrun-\(geteuid())"
  }
}

/// The container runtime: the verbs of the OCI runtime specification ("Operations") and of runc.
public struct Engine {
  let options: EngineOptions
  let root: StateRoot

  public init(_ options: EngineOptions) {
    self.options = options
    root = StateRoot(path: options.root)
  }

  /// `create`: everything but the start of the program.
  public func create(_ request: CreateRequest) throws(ContainerError) {
    _ = ccontainer_block_signals()
    let container = try Creation.make(request, RunOptions(), in: root, options, gate: true)
    container.folder.unlock()
  }

  /// `start`: the created container's program.
  /// - Throws: `.wrongState` unless it is created; why the program cannot be executed.
  public func start(_ id: String) throws(ContainerError) {
    let folder = try root.find(id)
    try folder.lock()
    let record = try folder.record()
    guard let process = record.process, process.isAlive else {
      throw ContainerError(.wrongState, "cannot start container '\(id)': it is stopped")
    }
    let raw = unsafe ccontainer_local_socket(folder.alias(of: "start"), Int32(SOCK_SEQPACKET.rawValue), 0)
    guard raw >= 0 else {
      throw ContainerError(
        .wrongState, "cannot start container '\(id)': it is \(try status(folder, record).status.name)")
    }
    let gate = Channel(owning: FileDescriptor(owning: raw))
    let observed = try? process.open()
    gate.send(.proceed)
    if case .failed(let error)? = try gate.receive()?.message {
      // An engine that hears of the failure deletes the container at once, which its shim refuses while the process is there.
      if let observed { observed.awaitReaping() }
      throw error
    }
    folder.removeFile("start")
    folder.unlock()
    try poststart(folder, record)
  }

  /// `run`: create, start, and unless detached wait and delete.
  public func run(_ request: CreateRequest, _ options: RunOptions) throws(ContainerError) -> ExitOutcome {
    _ = ccontainer_block_signals()
    if !options.noSubreaper && request.spec.linux.namespace(.pid) == nil { _ = ccontainer_set_subreaper() }
    let container = try Creation.make(request, options, in: root, self.options, gate: false)
    var outcome = ExitOutcome.detached
    do throws(ContainerError) {
      if let master = container.terminal, let relay = options.terminal {
        try relay.start(master: master.descriptor.rawValue)
        relay.resize()
      }
      options.clock?.stamp(.ready)
      container.child.channel.send(.proceed)
      try container.child.awaitExecution()
      options.clock?.stamp(.exec)
      container.folder.unlock()
      try poststart(container.folder, container.record)
      if !options.detach {
        var foreground = Foreground(
          container.child, relay: options.terminal, timeout: options.timeout, patience: options.patience)
        outcome = try foreground.run()
        options.clock?.stamp(.exit)
      }
    } catch {
      container.child.destroy()
      options.terminal?.finish()
      try? discard(container.folder, container.record)
      throw error
    }
    guard !options.detach else { return outcome }
    if !options.keep { try deleteEnded(container.folder, container.record) }
    return outcome
  }

  /// `state`.
  public func state(_ id: String) throws(ContainerError) -> ContainerStatus {
    let folder = try root.find(id)
    return try status(folder, folder.record())
  }

  /// `list`: all containers, by ID. One that is being deleted meanwhile is left out.
  public func list() throws(ContainerError) -> [ContainerStatus] {
    var all: [ContainerStatus] = []
    for id in try root.identifiers() {
      if let status = try? state(id) { all.append(status) }
    }
    return all
  }

  /// `kill`: sends `signal` to the first process, or with `all` to every process of the container.
  /// - Throws: `.wrongState` when it is stopped.
  public func kill(_ id: String, signal: Int32, all: Bool) throws(ContainerError) {
    let folder = try root.find(id)
    let record = try folder.record()
    // Without a PID namespace of its own nothing ends the others when the first process ends.
    let shared = !record.namespaces.contains { $0.type == .pid }
    if all || (shared && signal == SIGKILL) {
      if signal == SIGKILL {
        try record.placement.killAll()
        return
      }
      for pid in record.placement.processes() { _ = CLinux.kill(pid, signal) }
      return
    }
    guard let process = record.process else {
      throw ContainerError(.wrongState, "container '\(id)' is being created")
    }
    let pidfd = try process.open()
    guard ccontainer_pidfd_send_signal(pidfd.rawValue, signal) == 0 else {
      if Errno.current == Errno(rawValue: ESRCH) { throw ContainerError(.wrongState, "container not running") }
      throw ContainerError("kill container '\(id)'", SystemError("pidfd_send_signal", "\(process.pid)", .current))
    }
    // A frozen process takes its end only when it is thawed.
    if signal == SIGKILL { try? record.placement.thaw() }
  }

  /// `delete`: removes a stopped container, or with `force` any; an unknown one is no error then.
  public func delete(_ id: String, force: Bool) throws(ContainerError) {
    try StateRoot.check(id: id)
    guard let folder = try root.open(id) else {
      if force { return }
      throw ContainerError(.notFound, "container '\(id)' does not exist under \(root.path)")
    }
    do throws(ContainerError) {
      try folder.lock()
    } catch {
      if force && error.kind == .notFound { return }
      throw error
    }
    guard let bytes = try folder.read("state.json") else {
      // Cut off before anything but the folder was made.
      guard force else { _ = try folder.record(); return }
      return try folder.remove()
    }
    let record: StateRecord
    do throws(ContainerError) { record = try StateRecord(decoding: bytes, of: id) } catch {
      guard force else { throw error }
      return try folder.remove()
    }
    let status = try status(folder, record)
    switch status.status {
    case .stopped, .created: break
    case .creating where !force:
      throw ContainerError(.wrongState, "container '\(id)' was not created to its end; vmrun delete --force \(id)")
    case .running where !force, .paused where !force:
      throw ContainerError(
        .wrongState,
        "cannot delete container '\(id)' that is not stopped: \(status.status.name); "
          + "vmrun kill \(id) KILL, or vmrun delete --force \(id)")
    default: break
    }
    try discard(folder, record)
  }

  /// `ps`: the PIDs of the container's processes as this process sees them.
  public func processes(_ id: String) throws(ContainerError) -> [Int32] {
    try running(id).placement.processes()
  }

  /// `pause`.
  public func pause(_ id: String) throws(ContainerError) {
    let folder = try root.find(id)
    try folder.lock()
    let record = try folder.record()
    let status = try status(folder, record).status
    guard status == .running || status == .created else {
      throw ContainerError(.wrongState, "cannot pause container '\(id)': it is \(status.name), not running")
    }
    try record.placement.freeze()
  }

  /// `resume`.
  public func resume(_ id: String) throws(ContainerError) {
    let folder = try root.find(id)
    try folder.lock()
    let record = try folder.record()
    let status = try status(folder, record).status
    guard status == .paused else {
      throw ContainerError(.wrongState, "cannot resume container '\(id)': it is \(status.name), not paused")
    }
    try record.placement.thaw()
  }

  /// `update`.
  public func update(_ id: String, _ resources: Resources) throws(ContainerError) {
    try running(id).placement.update(resources)
  }

  /// Where a container that is not stopped has its cgroup: for `events`.
  public func placement(_ id: String) throws(ContainerError) -> CgroupPlacement { try running(id).placement }

  // MARK: -

  /// The record of a container that has a process.
  func running(_ id: String) throws(ContainerError) -> StateRecord {
    let folder = try root.find(id)
    let record = try folder.record()
    guard let process = record.process, process.isAlive else {
      throw ContainerError(.wrongState, "container '\(id)' is not running")
    }
    return record
  }

  func status(_ folder: borrowing StateFolder, _ record: StateRecord) throws(ContainerError) -> ContainerStatus {
    guard let process = record.process else {
      // Whoever creates it holds the lock; without that, nobody goes on with it.
      return ContainerStatus(record, .creating)
    }
    guard process.isAlive else { return ContainerStatus(record, .stopped) }
    if unsafe faccessat(folder.folder.rawValue, "start", F_OK, 0) == 0 {
      // The socket stands, but whether its owner still listens decides.
      let raw = unsafe ccontainer_local_socket(folder.alias(of: "start"), Int32(SOCK_SEQPACKET.rawValue), 0)
      if raw >= 0 {
        _ = close(raw)
        return ContainerStatus(record, record.placement.isFrozen ? .paused : .created)
      }
    }
    return ContainerStatus(record, record.placement.isFrozen ? .paused : .running)
  }

  /// The configuration that the container was made from.
  func configuration(_ folder: borrowing StateFolder) throws(ContainerError) -> Spec? {
    guard let bytes = try folder.read("config.json") else { return nil }
    return try Self.decode(bytes, "\(folder.path)/config.json")
  }

  static func decode(_ bytes: [UInt8], _ path: String) throws(ContainerError) -> Spec {
    let json = try naming(path) { () throws(JSONError) in try JSON.parse(bytes) }
    do throws(SpecError) { return try Spec(decoding: json) } catch {
      throw ContainerError(.invalid, "\(path): \(error)")
    }
  }

  private func poststart(_ folder: borrowing StateFolder, _ record: StateRecord) throws(ContainerError) {
    guard record.needsConfiguration, let spec = try configuration(folder), !spec.hooks.poststart.isEmpty else { return }
    let state = ContainerStatus(record, .running).json().serialized(pretty: false)
    try HookRunner(stage: "poststart", state: state).run(spec.hooks.poststart)
  }

  /// Removes a container of this process whose program has ended.
  private func deleteEnded(_ folder: borrowing StateFolder, _ record: StateRecord) throws(ContainerError) {
    do throws(ContainerError) { try folder.lock() } catch {
      // Somebody else has deleted it meanwhile.
      if error.kind == .notFound { return }
      throw error
    }
    try discard(folder, record)
  }

  /// Ends what still runs and removes everything; the folder is locked.
  private func discard(_ folder: borrowing StateFolder, _ record: StateRecord) throws(ContainerError) {
    if let process = record.process, let pidfd = try? process.open() {
      _ = ccontainer_pidfd_send_signal(pidfd.rawValue, SIGKILL)
      try? record.placement.thaw()
      var ended = pollfd(fd: pidfd.rawValue, events: Int16(POLLIN), revents: 0)
      // unsafe: one descriptor is polled.
      _ = unsafe poll(&ended, 1, 10_000)
    }
    // Processes that the record does not know, or that did not end with the first one.
    if record.process == nil || !record.namespaces.contains(where: { $0.type == .pid }) {
      try record.placement.killAll()
    }
    let spec = record.needsConfiguration ? (try? configuration(folder)) ?? nil : nil
    let hooks = spec?.hooks.poststop ?? []
    try record.placement.remove()
    if let rdt = spec?.linux.intelRdt { try IntelRDT.remove(rdt, id: record.id) }
    if !hooks.isEmpty {
      // Told, but not obeyed: the container is gone whatever they say (specification, "Lifecycle", step 13).
      let state = ContainerStatus(record, .stopped).json().serialized(pretty: false)
      do throws(ContainerError) { try HookRunner(stage: "poststop", state: state).run(hooks) } catch {
        Log.message("\(error)")
      }
    }
    if record.usesBridge {
      try naming("network") { () throws(NetworkError) in try BridgeNetwork(folder: root.path).sweep() }
    }
    try folder.remove()
  }
}
