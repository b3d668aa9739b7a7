import CContainer
import CLinux
import System

/// A pseudo-terminal of the container.
public struct ContainerTerminal: ~Copyable {
  /// The end that the runtime keeps, or hands to the engine.
  public let master: FileDescriptor
  /// The end that becomes the container's standard streams.
  public let slave: FileDescriptor

  /// A new one of the devpts whose root is `folder`.
  static func open(in folder: Int32) throws(ContainerError) -> ContainerTerminal {
    return try naming("terminal") { () throws(SystemError) in
      // unsafe: the literal is NUL-terminated.
      let raw = unsafe clinux_openat(folder, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC, 0)
      guard raw >= 0 else { throw SystemError("open", "/dev/pts/ptmx", .current) }
      let master = FileDescriptor(owning: raw)
      guard ccontainer_terminal_unlock(raw) == 0 else { throw SystemError("unlock", "terminal", .current) }
      let slave = ccontainer_terminal_peer(raw)
      guard slave >= 0 else { throw SystemError("open", "the terminal's slave", .current) }
      return ContainerTerminal(master: master, slave: FileDescriptor(owning: slave))
    }
  }
}

extension Rootfs {
  /// Allocates a pseudo-terminal from the container's own devpts and binds its slave at /dev/console, so that its name is
  /// found inside (config.md, `process.terminal`). Call it after `build` and before `pivot`.
  /// - Throws: `.invalid` when the container has no devpts at /dev/pts.
  public mutating func openTerminal() throws(ContainerError) -> ContainerTerminal {
    guard let terminals else {
      throw ContainerError(.invalid, "process.terminal: the container has no mount of type devpts on /dev/pts")
    }
    let terminal = try ContainerTerminal.open(in: terminals.descriptor.rawValue)
    try bindConsole(terminal.slave.rawValue)
    return terminal
  }

  /// Binds a pseudo-terminal's slave at /dev/console.
  mutating func bindConsole(_ slave: Int32) throws(ContainerError) {
    let (dev, root) = (dev, root.descriptor.rawValue)
    try naming("/dev/console") { () throws(SystemError) in
      let tree = try Self.tree(ofTerminal: slave)
      let folder: SharedFile
      if let dev {
        folder = dev
      } else {
        folder = SharedFile(try ContainedPath.findOrMake("/dev", in: root, as: .folder))
      }
      let raw = folder.descriptor.rawValue
      // unsafe: the literal is NUL-terminated. What is there already is mounted over; a link is not followed.
      guard unsafe mknodat(raw, "console", UInt32(S_IFREG) | 0o600, 0) == 0 || Errno.current == .exists else {
        throw SystemError("create", "console", .current)
      }
      try MountCalls.attach(tree.rawValue, at: "console", of: raw)
    }
  }

  /// A detached mount of a terminal's node.
  private static func tree(ofTerminal slave: Int32) throws(SystemError) -> FileDescriptor {
    let wanted = try MountCalls.status(of: slave)
    guard clinux_s_ischr(wanted.st_mode) else { throw SystemError("bind", "terminal", .notTTY) }
    do throws(SystemError) {
      return try MountCalls.cloneTree(of: slave, recursive: false)
    } catch {
      // It was opened in another mount namespace: this one has the same devpts at the same place.
      guard error.errno == .invalid else { throw error }
    }
    // Slaves are character devices 136:0 to 143:255 (devices.txt of the kernel, "UNIX98 PTY slaves").
    let (major, minor) = (clinux_major(wanted.st_rdev), clinux_minor(wanted.st_rdev))
    guard (136...143).contains(major) else { throw SystemError("bind", "terminal", .notTTY) }
    let (index, overflow) = ((major - 136) << 8).addingReportingOverflow(minor)
    guard !overflow else { throw SystemError("bind", "terminal", .invalid) }
    let tree = try MountCalls.cloneTree("/dev/pts/\(index)", recursive: false)
    let found = try MountCalls.status(of: tree.rawValue)
    guard found.st_dev == wanted.st_dev, found.st_ino == wanted.st_ino else {
      throw SystemError("bind", "terminal", Errno(rawValue: ENODEV))
    }
    return tree
  }
}
