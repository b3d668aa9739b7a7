import CContainer
import CLinux
import JSON
import Network
import OCI
import System

/// A container whose process is set up and waits for the word to execute its program.
///
/// What is made, and when: the state folder with its record first, so that whatever exists later is found by
/// `delete --force`; then the cgroup; then the process. A failure undoes everything.
final class Creation {
  let folder: StateFolder
  let record: StateRecord
  let child: ChildProcess
  /// The master of the container's terminal, when this process relays it.
  let terminal: SharedFile?

  init(
    folder: consuming StateFolder, record: StateRecord, child: consuming ChildProcess, terminal: SharedFile?
  ) {
    self.folder = folder
    self.record = record
    self.child = child
    self.terminal = terminal
  }

  /// Sets up the container of `request`. With `gate` its process waits for `start`, without for this process's `proceed`.
  static func make(
    _ request: CreateRequest, _ options: borrowing RunOptions, in root: StateRoot, _ engine: EngineOptions, gate: Bool
  ) throws(ContainerError) -> Creation {
    try check(request, gate: gate, relays: options.terminal != nil)
    let spec = request.spec
    let hostProc = try ProcFolder.open()
    let namespaces = try NamespacePlan(spec.linux)
    let placement = try CgroupPlacement.decide(
      cgroupsPath: spec.linux.cgroupsPath, id: request.id, systemd: engine.systemdCgroup, rootless: engine.isRootless)
    let source = request.source ?? .directory(rootPath(request))
    let rootfs = try RootfsPlan.prepare(
      spec: spec, bundle: request.bundle, source: source, userNamespace: namespaces.hasUserNamespace,
      cgroups: placement.view)
    let process = try ProcessPlan.prepare(
      process: spec.process ?? Process(), linux: spec.linux, newKeyring: !request.noNewKeyring,
      preservedDescriptors: request.preservedDescriptors, cache: root.path,
      inUserNamespace: namespaces.hasUserNamespace)
    for warning in process.warnings { request.onWarning?(warning) }
    if let reason = placement.reason { request.onWarning?(reason) }
    let needsOutside = process.needsOutside
    let console = try connect(request.consoleSocket)

    let folder = try root.create(request.id)
    try folder.lock()
    var record = StateRecord(
      id: request.id, version: spec.version, created: Timestamp.now(), bundle: request.bundle,
      rootfs: source.path, owner: geteuid(), annotations: spec.annotations, placement: placement,
      namespaces: spec.linux.namespaces)
    record.needsConfiguration =
      !spec.hooks.poststart.isEmpty || !spec.hooks.poststop.isEmpty || spec.linux.intelRdt != nil
    record.usesBridge = request.usesBridge
    var ownsCgroup = false
    do throws(ContainerError) {
      try folder.save(record)
      if let bytes = request.configuration { try folder.write("config.json", bytes) }
      let cgroup = try makeCgroup(placement, spec, &ownsCgroup)
      options.clock?.stamp(.cgroup)
      let plan = InitPlan(
        spec: spec, namespaces: namespaces, rootfs: rootfs, cgroup: cgroup, process: process, hostProc: hostProc,
        gate: gate ? try Self.gate(folder) : nil, stateFolder: folder.folder.rawValue, consoleSocket: console,
        status: ContainerStatus(record, .creating),
        options: InitOptions(
          noPivot: request.noPivot, diesWithParent: options.diesWithParent,
          // Otherwise the word that it is ready is enough: it goes on while the record is written. What is lost meanwhile is
          // found by its cgroup.
          parentAwaitsReady: gate || request.pidFile != nil || options.terminal != nil || options.detach
            || needsOutside || placement.view == .none, hasReaper: options.hasReaper,
          parentAwaitsJoin: placement.systemd != nil || !spec.linux.netDevices.isEmpty || spec.linux.intelRdt != nil))
      let clock = options.clock
      let child = try Spawner.spawn(
        namespaces, hostProc: plan.hostProc, cgroup: plan.cgroup.cloneIntoDescriptor ?? -1
      ) { channel in ContainerInit.run(plan, channel: channel, clock: clock) }
      do throws(ContainerError) {
        let terminal = try accompany(child, plan, request, options, folder, &record)
        return Creation(folder: folder, record: record, child: child, terminal: terminal)
      } catch {
        child.destroy()
        throw error
      }
    } catch {
      // What cannot be removed now is there for `delete --force`.
      do throws(ContainerError) {
        if ownsCgroup { try placement.remove() }
        try folder.remove()
      } catch {}
      throw error
    }
  }

  /// Makes the cgroup. One that is refused may be another's, and is left alone; what was made of it is gone again.
  private static func makeCgroup(_ placement: CgroupPlacement, _ spec: Spec, _ owns: inout Bool) throws(ContainerError)
    -> Cgroup
  {
    let cgroup = try Cgroup(creating: placement, resources: spec.linux.resources)
    owns = true
    return cgroup
  }

  /// The parent's side of the set-up: see `ChannelMessage`. Returns the terminal's master if this process relays it.
  private static func accompany(
    _ child: borrowing ChildProcess, _ plan: InitPlan, _ request: CreateRequest,
    _ options: borrowing RunOptions, _ folder: borrowing StateFolder, _ record: inout StateRecord
  ) throws(ContainerError) -> SharedFile? {
    // The record gets the process while that sets itself up, on another processor.
    record.process = ProcessIdentity(ofChild: child.pid)
    try folder.save(record)
    if request.configuration == nil {
      try folder.write("config.json", plan.spec.jsonForExec.serialized(pretty: false))
    }
    var terminal: SharedFile?
    while true {
      let (message, descriptor) = try child.next()
      switch message {
      case .mapping: try plan.namespaces.writeMappings(pid: child.pid, hostProc: plan.hostProc)
      case .joined: try complete(child, plan)
      case .mounted:
        var status = ContainerStatus(record, .creating)
        status.pid = child.pid
        let state = status.json().serialized(pretty: false)
        try HookRunner(stage: "prestart", state: state).run(plan.spec.hooks.prestart)
        try HookRunner(stage: "createRuntime", state: state).run(plan.spec.hooks.createRuntime)
      case .terminal: terminal = SharedFile(FileDescriptor(owning: descriptor))
      case .listener(let number):
        try SeccompListener.send(
          listenerOf: child.pidfd.rawValue, number: number, seccomp: plan.spec.linux.seccomp,
          status: ContainerStatus(record, .creating))
      case .ready:
        if plan.process.needsOutside { try plan.process.applyFromOutside(pid: child.pid, proc: plan.hostProc.rawValue) }
        if let path = request.pidFile { try PIDFile.write(child.pid, to: path) }
        return terminal
      case .failed, .proceed: throw ContainerError(.system, "the container's set-up sent a message out of order")
      }
      child.channel.send(.proceed)
    }
  }

  /// What only the parent can do, once the process has its cgroup and namespaces.
  private static func complete(
    _ child: borrowing ChildProcess, _ plan: InitPlan
  ) throws(ContainerError) {
    try plan.cgroup.adopt(pid: child.pid)
    if let rdt = plan.spec.linux.intelRdt { try IntelRDT.join(rdt, id: plan.status.id, pid: child.pid) }
    for device in plan.spec.linux.netDevices {
      try naming("linux.netDevices: \(device.hostName)") { () throws(NetworkError) in
        try NetworkDevices.move(
          hostName: device.hostName, name: device.name.isEmpty ? device.hostName : device.name,
          into: try NetworkNamespace.of(process: child.pid))
      }
    }
  }

  /// What can be told before anything is made.
  private static func check(_ request: CreateRequest, gate: Bool, relays: Bool) throws(ContainerError) {
    try StateRoot.check(id: request.id)
    try ProcessPlan.checkPreserved(request.preservedDescriptors)
    let terminal = request.spec.process?.terminal ?? false
    if terminal && request.consoleSocket == nil && !relays {
      throw ContainerError(
        .invalid,
        "process.terminal is true, but nobody takes the terminal: give --console-socket, or use vmrun run without --detach"
      )
    }
    if !terminal && request.consoleSocket != nil {
      throw ContainerError(.invalid, "--console-socket needs process.terminal to be true in the configuration")
    }
  }

  private static func rootPath(_ request: CreateRequest) -> String {
    let path = request.spec.root?.path ?? "rootfs"
    return path.utf8.first == UInt8(ascii: "/") ? path : "\(request.bundle)/\(path)"
  }

  private static func gate(_ folder: borrowing StateFolder) throws(ContainerError) -> SharedFile {
    let raw = unsafe ccontainer_local_socket(folder.alias(of: "start"), Int32(SOCK_SEQPACKET.rawValue), 1)
    guard raw >= 0 else { throw ContainerError("state folder", SystemError("bind", "\(folder.path)/start", .current)) }
    return SharedFile(FileDescriptor(owning: raw))
  }

  static func connect(_ consoleSocket: String?) throws(ContainerError) -> SharedFile? {
    guard let consoleSocket else { return nil }
    let raw = unsafe ccontainer_local_socket(consoleSocket, Int32(SOCK_STREAM.rawValue), 0)
    guard raw >= 0 else { throw ContainerError("--console-socket", SystemError("connect", consoleSocket, .current)) }
    return SharedFile(FileDescriptor(owning: raw))
  }
}

/// The host's /proc.
enum ProcFolder {
  /// Opens it, and makes sure that it is a procfs.
  static func open() throws(ContainerError) -> FileDescriptor {
    let folder = try naming { () throws(SystemError) in try FileDescriptor.open("/proc", O_PATH | O_DIRECTORY) }
    var file = statfs()
    // unsafe: fstatfs fills the one struct it is given.
    guard unsafe fstatfs(folder.rawValue, &file) == 0, file.f_type == 0x9FA0 else {  // PROC_SUPER_MAGIC
      throw ContainerError(.system, "/proc is no procfs; mount -t proc proc /proc")
    }
    return folder
  }
}

/// `--pid-file`.
enum PIDFile {
  /// Writes `pid` to `path` in one step: a reader sees the whole number or no file.
  static func write(_ pid: Int32, to path: String) throws(ContainerError) {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder = slash.map { String(path[...$0]) } ?? ""
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    let temporary = "\(folder).\(name).\(getpid())"
    try naming("--pid-file") { () throws(SystemError) in
      let file = try FileDescriptor.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
      try file.writeFully(Array("\(pid)".utf8))
    }
    guard unsafe rename(temporary, path) == 0 else {
      let reason = Errno.current
      _ = unsafe unlink(temporary)
      throw ContainerError("--pid-file", SystemError("rename", path, reason))
    }
  }
}
