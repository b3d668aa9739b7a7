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
    for number in 0..<request.preservedDescriptors where clinux_fcntl(3 + number, F_GETFD, 0) < 0 {
      throw ContainerError(
        .invalid, "--preserve-fds \(request.preservedDescriptors): descriptor \(3 + number) is not open")
    }
    if request.process.terminal && request.consoleSocket == nil && request.terminal == nil {
      throw ContainerError(
        .invalid, "the process wants a terminal, but nobody takes it: give --console-socket, or leave --detach out")
    }
    let linux = try configuration(folder)?.linux ?? Linux()
    let target = try process.open()
    let hostProc = try HostProc.open()
    let entry = ContainerEntry(
      target: target, record: record, ownUserNamespace: record.namespaces.contains { $0.type == .user })
    let plan = ExecPlan(
      process: try ProcessPlan.prepare(
        process: request.process, linux: linux, newKeyring: false, preservedDescriptors: request.preservedDescriptors,
        cache: root.path, inUserNamespace: entry.ownUserNamespace),
      request: request, cgroup: try CgroupEntry(record.placement, subgroup: request.cgroup), hostProc: hostProc,
      console: try Creation.connect(request.consoleSocket))
    let child = try entry.spawn(cgroup: plan.cgroup.cloneIntoDescriptor ?? -1) { channel in plan.run(channel, entry) }
    do throws(ContainerError) {
      var master: FileDescriptor?
      preparing: while true {
        let (message, descriptor) = try child.next()
        switch message {
        case .joined: try plan.cgroup.adopt(pid: child.pid)
        case .terminal: master = FileDescriptor(owning: descriptor)
        case .listener(let number):
          try SeccompListener.send(
            listenerOf: child.pidfd.rawValue, number: number, seccomp: linux.seccomp,
            status: ContainerStatus(record, status))
        case .ready: break preparing
        default: throw ContainerError(.system, "the process's set-up sent a message out of order")
        }
        child.channel.send(.proceed)
      }
      if let path = request.pidFile { try PIDFile.write(child.pid, to: path) }
      if let master, let relay = request.terminal { try relay.start(master: master.rawValue) }
      child.channel.send(.proceed)
      try child.awaitExecution()
      if request.detach { return .detached }
      var foreground = Foreground(child, relay: request.terminal, timeout: nil)
      return try foreground.run()
    } catch {
      child.destroy()
      request.terminal?.finish()
      throw error
    }
  }
}

/// The way into a running container.
private struct ContainerEntry: ~Copyable {
  /// A pidfd of the container's first process.
  let target: FileDescriptor
  let record: StateRecord
  let ownUserNamespace: Bool

  /// CLONE_NEW flags of all namespaces that the container does not share with the runtime.
  private var flags: UInt64 { record.namespaces.reduce(0) { $0 | $1.type.flag } }

  /// Clones the process. A PID or time namespace is entered by its parent beforehand; with a user namespace of its own only somebody who has
  /// entered that may do so, and that is a process in between.
  borrowing func spawn(cgroup: Int32, _ body: (borrowing Channel) -> Never) throws(ContainerError) -> ChildProcess {
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
      return ChildProcess(pid: pid, pidfd: FileDescriptor(owning: pidfd), channel: ends.takeParent())
    }
    var pidfd: Int32 = -1
    // unsafe: the descriptor's number is written before the call returns.
    let first = unsafe ccontainer_clone(0, -1, &pidfd)
    if first == 0 {
      _ = close(ends.parent.descriptor)
      intermediate(cgroup, ends.child, body)
    }
    guard first > 0 else { throw ContainerError("", SystemError("clone3", "", .current)) }
    let stage = ChildProcess(pid: first, pidfd: FileDescriptor(owning: pidfd), channel: ends.takeParent())
    do throws(ContainerError) {
      guard case .mapping(let pid) = try stage.next().message else {
        throw ContainerError(.system, "the process's set-up sent a message out of order")
      }
      let raw = ccontainer_pidfd_open(pid)
      guard raw >= 0 else { throw ContainerError("", SystemError("pidfd_open", "\(pid)", .current)) }
      stage.wait()
      stage.channel.send(.proceed)
      return ChildProcess(pid: pid, pidfd: FileDescriptor(owning: raw), channel: stage.takeChannel())
    } catch {
      stage.destroy()
      throw error
    }
  }

  private borrowing func intermediate(
    _ cgroup: Int32, _ channel: borrowing Channel, _ body: (borrowing Channel) -> Never
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
  borrowing func enterRest() throws(ContainerError) {
    try enter(
      flags & ~(Linux.NamespaceType.user.flag | Linux.NamespaceType.pid.flag | Linux.NamespaceType.time.flag))
    if ownUserNamespace { try ContainerInit.becomeRoot() }
  }

  private borrowing func enter(_ flags: UInt64) throws(ContainerError) {
    guard flags != 0 else { return }
    guard setns(target.rawValue, Int32(truncatingIfNeeded: flags)) == 0 else {
      throw ContainerError("enter the container's namespaces", SystemError("setns", "", .current))
    }
  }
}

/// Everything that one more process needs, made before the clone.
private struct ExecPlan: ~Copyable {
  let process: ProcessPlan
  let request: ExecRequest
  let cgroup: CgroupEntry
  let hostProc: FileDescriptor
  let console: FileDescriptor?

  /// The life of the process up to its program.
  borrowing func run(_ channel: borrowing Channel, _ entry: borrowing ContainerEntry) -> Never {
    do throws(ContainerError) {
      _ = ccontainer_die_with_parent(1)
      _ = ccontainer_set_dumpable(0)
      _ = setsid()
      try cgroup.joinSelf()
      if cgroup.needsPID { try channel.ask(.joined) }
      try process.applyEarly(proc: hostProc.rawValue)
      try entry.enterRest()
      if request.process.terminal {
        let terminal = try Console(root: nil)
        try ContainerInit.hand(terminal, console?.rawValue, channel)
        try terminal.adopt(size: request.process.consoleSize, user: request.process.user.uid)
      }
      try process.apply()
      if process.notifiesSeccomp, let number = try process.installSeccomp() {
        try channel.ask(.listener(number: number))
        _ = close(number)
      }
      try process.resolveExecutable()
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
