import CContainer
import CLinux
import OCI
import System

extension Engine {
  /// `exec`: one more process in a running container.
  ///
  /// It enters by the descriptor of the container's first process, not by files of a /proc, and is not dumpable until it
  /// executes its program: no process of the container can look into it or reach its files meanwhile.
  /// - Throws: `.wrongState` when the container is not running, or is paused.
  public func exec(_ id: String, _ request: ExecRequest) throws(ContainerError) -> ExitOutcome {
    _ = ccontainer_block_signals()
    let folder = try root.find(id)
    let record = try folder.record()
    let status = try status(folder, record).status
    switch status {
    case .running, .created: break
    case .paused where request.ignorePaused: break
    case .paused:
      throw ContainerError(
        .wrongState, "cannot exec in container '\(id)': it is paused; vmrun resume \(id), or give --ignore-paused")
    default: throw ContainerError(.wrongState, "cannot exec in container '\(id)': it is \(status.name)")
    }
    guard let process = record.process else { throw ContainerError(.wrongState, "container not running") }
    try ProcessPlan.checkPreserved(request.preservedDescriptors)
    if request.process.terminal && request.consoleSocket == nil && request.terminal == nil {
      throw ContainerError(
        .invalid, "the process wants a terminal, but nobody takes it: give --console-socket, or leave --detach out")
    }
    let linux = try configuration(folder)?.linux ?? Linux()
    let target = try process.open()
    let hostProc = try ProcFolder.open()
    let entry = ContainerEntry(
      target: target, record: record, ownUserNamespace: record.namespaces.contains { $0.type == .user })
    let plan = ExecPlan(
      process: try ProcessPlan.prepare(
        process: request.process, linux: linux, newKeyring: true, preservedDescriptors: request.preservedDescriptors,
        cache: root.path, inUserNamespace: entry.ownUserNamespace),
      request: request, cgroup: try Cgroup(joining: record.placement, initProcess: process.pid), hostProc: hostProc,
      console: try Creation.connect(request.consoleSocket))
    for warning in plan.process.warnings { request.onWarning?(warning) }
    let child = try entry.spawn(cgroup: plan.cgroup.cloneIntoDescriptor ?? -1) { channel in plan.run(channel, entry) }
    do throws(ContainerError) {
      var master: SharedFile?
      preparing: while true {
        let (message, descriptor) = try child.next()
        switch message {
        case .terminal: master = SharedFile(FileDescriptor(owning: descriptor))
        case .listener(let number):
          try SeccompListener.send(
            listenerOf: child.pidfd.rawValue, number: number, pid: child.pid, seccomp: linux.seccomp,
            status: ContainerStatus(record, status))
        case .ready:
          if plan.process.needsOutside {
            try plan.process.applyFromOutside(pid: child.pid, proc: plan.hostProc.rawValue)
          }
          break preparing
        default: throw ContainerError(.system, "the process's set-up sent a message out of order")
        }
        child.channel.send(.proceed)
      }
      if let path = request.pidFile { try PIDFile.write(child.pid, to: path) }
      if let master, let relay = request.terminal {
        try relay.start(master: master.descriptor.rawValue)
        relay.resize()
      }
      child.channel.send(.proceed)
      try child.awaitExecution()
      if request.detach { return .detached }
      return try withExtendedLifetime(master) { () throws(ContainerError) in
        var foreground = Foreground(child, relay: request.terminal, timeout: nil)
        return try foreground.run()
      }
    } catch {
      child.destroy()
      request.terminal?.finish()
      throw error
    }
  }
}

/// The way into a running container.
private final class ContainerEntry {
  /// A pidfd of the container's first process.
  let target: FileDescriptor
  let record: StateRecord
  let ownUserNamespace: Bool

  init(target: consuming FileDescriptor, record: StateRecord, ownUserNamespace: Bool) {
    self.target = target
    self.record = record
    self.ownUserNamespace = ownUserNamespace
  }

  /// CLONE_NEW flags of all namespaces that the container does not share with the runtime.
  private var flags: UInt64 { record.namespaces.reduce(0) { $0 | $1.type.flag } }

  /// Clones the process. A PID or time namespace is entered by its parent beforehand; with a user namespace of its own only somebody who has
  /// entered that may do so, and that is a process in between.
  func spawn(cgroup: Int32, _ body: (Channel) -> Never) throws(ContainerError) -> ChildProcess {
    let ends = try Channel.pair()
    guard ownUserNamespace else {
      try enter(flags & (Linux.NamespaceType.pid.flag | Linux.NamespaceType.time.flag))
      var pidfd: Int32 = -1
      // unsafe: the descriptor's number is written before the call returns.
      let pid = unsafe ccontainer_clone(0, cgroup, &pidfd)
      if pid == 0 {
        _ = close(ends.parent.descriptor)
        body(ends.child)
      }
      guard pid > 0 else { throw ContainerError("", SystemError("clone3", "", .current)) }
      let child = ChildProcess(pid: pid, pidfd: FileDescriptor(owning: pidfd), channel: ends.parent)
      do throws(ContainerError) { try Spawner.returnHome(flags) } catch {
        child.destroy()
        throw error
      }
      return child
    }
    var pidfd: Int32 = -1
    // unsafe: the descriptor's number is written before the call returns.
    let first = unsafe ccontainer_clone(0, -1, &pidfd)
    if first == 0 {
      _ = close(ends.parent.descriptor)
      intermediate(cgroup, ends.child, body)
    }
    guard first > 0 else { throw ContainerError("", SystemError("clone3", "", .current)) }
    let stage = ChildProcess(pid: first, pidfd: FileDescriptor(owning: pidfd), channel: ends.parent)
    do throws(ContainerError) {
      guard case .mapping(let pid) = try stage.next().message else {
        throw ContainerError(.system, "the process's set-up sent a message out of order")
      }
      let raw = ccontainer_pidfd_open(pid)
      guard raw >= 0 else { throw ContainerError("", SystemError("pidfd_open", "\(pid)", .current)) }
      stage.wait()
      stage.channel.send(.proceed)
      return ChildProcess(pid: pid, pidfd: FileDescriptor(owning: raw), channel: stage.channel)
    } catch {
      stage.destroy()
      throw error
    }
  }

  private func intermediate(
    _ cgroup: Int32, _ channel: Channel, _ body: (Channel) -> Never
  ) -> Never {
    do throws(ContainerError) {
      _ = ccontainer_die_with_parent(1)
      _ = ccontainer_set_dumpable(0)
      try enter(flags & (Linux.NamespaceType.user.flag | Linux.NamespaceType.pid.flag | Linux.NamespaceType.time.flag))
      var pidfd: Int32 = -1
      // unsafe: the descriptor's number is written before the call returns.
      let pid = unsafe ccontainer_clone(UInt64(CLONE_PARENT), cgroup, &pidfd)
      if pid == 0 {
        guard case .proceed? = try channel.receive()?.message else { _exit(1) }
        body(channel)
      }
      guard pid > 0 else { throw ContainerError("", SystemError("clone3", "", .current)) }
      channel.send(.mapping(pid: pid))
      _exit(0)
    } catch {
      channel.send(.failed(error))
      _exit(1)
    }
  }

  /// Enters the rest, in the process itself.
  func enterRest() throws(ContainerError) {
    try enter(
      flags & ~(Linux.NamespaceType.user.flag | Linux.NamespaceType.pid.flag | Linux.NamespaceType.time.flag))
    if ownUserNamespace { try ContainerInit.becomeRoot() }
  }

  private func enter(_ flags: UInt64) throws(ContainerError) {
    guard flags != 0 else { return }
    guard setns(target.rawValue, Int32(truncatingIfNeeded: flags)) == 0 else {
      throw ContainerError("enter the container's namespaces", SystemError("setns", "", .current))
    }
  }
}

/// Everything that one more process needs, made before the clone.
private final class ExecPlan {
  let process: ProcessPlan
  let request: ExecRequest
  let cgroup: Cgroup
  let hostProc: FileDescriptor
  let console: SharedFile?

  init(
    process: consuming ProcessPlan, request: ExecRequest, cgroup: consuming Cgroup, hostProc: consuming FileDescriptor,
    console: SharedFile?
  ) {
    self.process = process
    self.request = request
    self.cgroup = cgroup
    self.hostProc = hostProc
    self.console = console
  }

  /// The life of the process up to its program.
  func run(_ channel: Channel, _ entry: ContainerEntry) -> Never {
    do throws(ContainerError) {
      _ = ccontainer_die_with_parent(1)
      _ = ccontainer_set_dumpable(0)
      _ = setsid()
      try process.applyInitialAffinity()
      try cgroup.joinSelf()
      try process.applyEarly(proc: hostProc.rawValue)
      try entry.enterRest()
      if request.process.terminal {
        let terminal = try ContainerTerminal.open()
        try ContainerInit.hand(terminal, console?.descriptor.rawValue, channel)
        try terminal.adopt(size: request.process.consoleSize, user: request.process.user.uid)
      }
      try process.apply()
      try process.resolveExecutable()
      if process.notifiesSeccomp { try ContainerInit.installNotifyingFilter(process, channel) }
      _ = ccontainer_die_with_parent(0)
      try channel.ask(.ready)
      if !process.notifiesSeccomp { _ = try process.installSeccomp() }
      try process.execute()
    } catch {
      channel.send(.failed(error))
      _exit(1)
    }
  }
}
