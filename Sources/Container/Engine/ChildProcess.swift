import CContainer
import CLinux
import OCI
import System

/// A child of this process that becomes a container's process: its number, a descriptor for it, and the channel to it.
struct ChildProcess: ~Copyable {
  let pid: Int32
  let pidfd: FileDescriptor
  let channel: Channel

  /// Kills it and takes its status, so that nothing of it is left.
  borrowing func destroy() {
    _ = ccontainer_pidfd_send_signal(pidfd.rawValue, SIGKILL)
    _ = wait()
  }

  /// Waits for its end: the status as wait(2) gives it, or nil when it is no child of this process any more.
  @discardableResult
  borrowing func wait() -> Int32? {
    var status: Int32 = 0
    // The first process of a container may be a clone that signals nothing: __WALL waits for any kind.
    // unsafe: the status is written before the call returns.
    return unsafe ccontainer_wait(pid, Int32(bitPattern: UInt32(__WALL)), &status) == pid ? status : nil
  }

  /// The child's next message.
  /// - Throws: the child's own failure, or how it ended when it said nothing.
  borrowing func next() throws(ContainerError) -> (message: ChannelMessage, descriptor: Int32) {
    guard let packet = try channel.receive() else {
      guard let status = wait() else { throw ContainerError(.system, "the container's first process has gone") }
      if clinux_wifexited(status) {
        throw ContainerError(
          .system, "the container's first process ended with code \(clinux_wexitstatus(status)) before it was set up")
      }
      let signal = clinux_wtermsig(status)
      let hint = signal == SIGKILL ? "; is linux.resources.memory.limit too low?" : ""
      throw ContainerError(.system, "the container's first process was ended by signal \(signal) in its set-up\(hint)")
    }
    if case .failed(let error) = packet.message { throw error }
    return packet
  }

  /// Waits until the program is executed: the channel closes then.
  /// - Throws: why it could not be.
  borrowing func awaitExecution() throws(ContainerError) {
    guard let packet = try channel.receive() else { return }
    if case .failed(let error) = packet.message { throw error }
    throw ContainerError(.system, "the container's set-up sent a message out of order")
  }
}

/// Makes the child of a container, by way of an intermediate process where the namespaces need one.
enum Spawner {
  /// Clones. `body` runs in the child, with the child's end of the channel, and never returns.
  /// - Parameter cgroup: the descriptor of a cgroup v2 to be born in, or -1.
  static func spawn(
    _ namespaces: NamespacePlan, hostProc: borrowing FileDescriptor, cgroup: Int32,
    _ body: (Channel) -> Never
  ) throws(ContainerError) -> ChildProcess {
    let ends = try Channel.pair()
    if namespaces.needsIntermediate {
      return try throughIntermediate(namespaces, hostProc: hostProc, cgroup: cgroup, ends, body)
    }
    try namespaces.prepareParent(hostProc: hostProc)
    var pidfd: Int32 = -1
    // unsafe: the descriptor's number is written before the call returns.
    let pid = unsafe ccontainer_clone(namespaces.cloneFlags, cgroup, &pidfd)
    if pid == 0 {
      _ = close(ends.parent.descriptor)
      body(ends.child)
    }
    guard pid > 0 else { throw refusal(namespaces) }
    let child = ChildProcess(pid: pid, pidfd: FileDescriptor(owning: pidfd), channel: ends.parent)
    do throws(ContainerError) { try returnHome(namespaces.childrenFlags) } catch {
      child.destroy()
      throw error
    }
    return child
  }

  /// Takes back for the caller's later children and threads the PID and time namespaces of `flags` that it entered for the one child:
  /// in others than its own it could start no thread and no hook (clone(2), EINVAL).
  static func returnHome(_ flags: UInt64) throws(ContainerError) {
    let flags = flags & (Linux.NamespaceType.pid.flag | Linux.NamespaceType.time.flag)
    guard flags != 0 else { return }
    let raw = ccontainer_pidfd_open(getpid())
    guard raw >= 0 else { throw ContainerError("", SystemError("pidfd_open", "self", .current)) }
    let own = FileDescriptor(owning: raw)
    guard setns(own.rawValue, Int32(truncatingIfNeeded: flags)) == 0 else {
      throw ContainerError("return to the runtime's namespaces", SystemError("setns", "", .current))
    }
  }

  /// The intermediate process enters what must be entered first and clones the container's first process as its own
  /// sibling (CLONE_PARENT), so that this process is the parent of both.
  private static func throughIntermediate(
    _ namespaces: NamespacePlan, hostProc: borrowing FileDescriptor, cgroup: Int32, _ ends: ChannelEnds,
    _ body: (Channel) -> Never
  ) throws(ContainerError) -> ChildProcess {
    var pidfd: Int32 = -1
    // unsafe: the descriptor's number is written before the call returns.
    let first = unsafe ccontainer_clone(0, -1, &pidfd)
    if first == 0 {
      _ = close(ends.parent.descriptor)
      intermediate(namespaces, hostProc, cgroup, ends.child, body)
    }
    guard first > 0 else { throw ContainerError("", SystemError("clone3", "", .current)) }
    let stage = ChildProcess(pid: first, pidfd: FileDescriptor(owning: pidfd), channel: ends.parent)
    do throws(ContainerError) {
      while true {
        switch try stage.next().message {
        case .mapping(let pid) where pid == 0:
          try namespaces.writeMappings(pid: first, hostProc: hostProc)
          stage.channel.send(.proceed)
        case .mapping(let pid):
          // The container's first process, as its maker counted: a child of this process, so the number is taken.
          let raw = ccontainer_pidfd_open(pid)
          guard raw >= 0 else { throw ContainerError("", SystemError("pidfd_open", "\(pid)", .current)) }
          stage.wait()
          stage.channel.send(.proceed)
          return ChildProcess(pid: pid, pidfd: FileDescriptor(owning: raw), channel: stage.channel)
        default: throw ContainerError(.system, "the container's set-up sent a message out of order")
        }
      }
    } catch {
      stage.destroy()
      throw error
    }
  }

  private static func intermediate(
    _ namespaces: NamespacePlan, _ hostProc: borrowing FileDescriptor, _ cgroup: Int32, _ channel: Channel,
    _ body: (Channel) -> Never
  ) -> Never {
    do throws(ContainerError) {
      _ = ccontainer_die_with_parent(1)
      ContainerInit.hide(namespaces)
      for handle in namespaces.joined where handle.type == .user {
        try handle.enter()
        try ContainerInit.becomeRoot()
      }
      if namespaces.creates(.user) {
        // Those of a path first: from inside the new user namespace they could not be entered.
        try namespaces.joinRest()
        for handle in namespaces.joined where handle.type == .pid || handle.type == .time { try handle.enter() }
        guard unshare(Int32(truncatingIfNeeded: Linux.NamespaceType.user.flag)) == 0 else { throw refusal(namespaces) }
        try enterMapped(channel)
        try namespaces.makeTimeNamespace(hostProc: hostProc)
      } else {
        try namespaces.prepareParent(hostProc: hostProc)
      }
      var pidfd: Int32 = -1
      // unsafe: the descriptor's number is written before the call returns.
      let pid = unsafe ccontainer_clone(namespaces.cloneFlags | UInt64(CLONE_PARENT), cgroup, &pidfd)
      if pid == 0 {
        // Not before the parent knows of this process: its first message would overtake the one below.
        guard case .proceed? = try channel.receive()?.message else { _exit(1) }
        body(channel)
      }
      guard pid > 0 else { throw refusal(namespaces) }
      channel.send(.mapping(pid: pid))
      _exit(0)
    } catch {
      channel.send(.failed(error))
      _exit(1)
    }
  }

  private static func enterMapped(_ channel: Channel) throws(ContainerError) {
    // The parent sees this process under its own number: it needs none.
    try ContainerInit.enterNewUserNamespace(channel, pid: 0)
  }

  /// Why clone3(2) or unshare(2) of new namespaces was refused, with the setting that allows it.
  private static func refusal(_ namespaces: NamespacePlan) -> ContainerError {
    let reason = Errno.current
    let error = SystemError("clone3", "", reason)
    if reason == Errno(rawValue: ENOSYS) {
      return ContainerError(.notSupported, "this kernel has no clone3(2); Linux 5.12 or later is needed")
    }
    if reason == .noSpace || reason == Errno(rawValue: EUSERS) {
      return ContainerError(
        .system, "\(error): the limit of namespaces is reached; see the files max_*_namespaces in /proc/sys/user")
    }
    if reason == .notPermitted || reason == .accessDenied {
      if namespaces.creates(.user) {
        return ContainerError(
          .system,
          "\(error): this host does not let this user make user namespaces; the administrator allows it by "
            + "sysctl kernel.unprivileged_userns_clone=1 (Debian) or kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
        )
      }
      return ContainerError(
        .system, "\(error): making namespaces needs root (CAP_SYS_ADMIN), or a user namespace in the configuration")
    }
    return ContainerError("new namespaces", error)
  }
}
