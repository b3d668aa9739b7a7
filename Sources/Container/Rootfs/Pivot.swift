import CContainer
import CLinux
import System

// From the host's root to the container's.
extension Rootfs {
  /// Step 6 of the child: makes the container's root the process's, and lets go of the host's.
  ///
  /// - Parameter keepOldRoot: `--no-pivot`: the root is moved over the host's and entered by chroot(2). The host's mounts stay
  ///   in the namespace, out of reach; it is for roots that pivot_root(2) refuses.
  public mutating func pivot(keepOldRoot: Bool) throws(ContainerError) {
    let raw = root.descriptor.rawValue
    if keepOldRoot {
      // What is taken away or mounted over there would be on the host as well.
      guard !isShared else {
        throw ContainerError(
          .notSupported, "--no-pivot with linux.rootfsPropagation 'shared' would change the host's mounts")
      }
      try naming("--no-pivot") { () throws(SystemError) in try Self.move(raw) }
    } else {
      try pivot(to: raw)
    }
    if finalPropagation != 0 {
      let kind = finalPropagation
      try naming("root propagation") { () throws(SystemError) in try MountCalls.change(raw, propagation: kind) }
    }
  }

  private func pivot(to raw: Int32) throws(ContainerError) {
    do throws(SystemError) {
      let host: SharedFile? = isShared ? SharedFile(try FileDescriptor.open("/", O_PATH | O_DIRECTORY)) : nil
      try MountCalls.enter(raw)
      do throws(SystemError) { try MountCalls.pivotHere() } catch {
        guard error.errno == .invalid, !isShared else { throw error }
        try Self.leaveInitialRoot(raw)
      }
      // What goes away here must not go away on the host, which is told of it as long as its mounts are shared.
      if let host { try MountCalls.change(host.descriptor.rawValue, propagation: MountFlag.slave, recursive: true) }
      // The old root is stacked upon the new one: "." leads to the topmost mount (pivot_root(2), "pivot_root(".", ".")").
      // unsafe: the literal is NUL-terminated.
      guard unsafe umount2(".", Int32(MNT_DETACH)) == 0 else {
        throw SystemError("umount", "the host's root", .current)
      }
    } catch {
      if error.operation == "pivot_root", error.errno == .invalid {
        throw ContainerError(
          .system, "\(error): the host's root may be an initial ramfs; --no-pivot does without pivot_root, at a price")
      }
      throw ContainerError("", error)
    }
  }

  /// The kernel's first root cannot be pivoted away from (pivot_root(2), section "ERRORS"). A copy of it upon itself can.
  private static func leaveInitialRoot(_ raw: Int32) throws(SystemError) {
    let host = try FileDescriptor.open("/", O_PATH | O_DIRECTORY)
    let type = try MountCalls.fileSystemType(of: host.rawValue)
    guard type == ccontainer_ramfs_magic() || type == ccontainer_tmpfs_magic() else {
      throw SystemError("pivot_root", "", .invalid)
    }
    let copy = try MountCalls.cloneTree(of: host.rawValue, recursive: false)
    try MountCalls.attach(copy.rawValue, onto: host.rawValue)
    try MountCalls.enter(copy.rawValue)
    // unsafe: the literal is NUL-terminated.
    guard unsafe chroot(".") == 0 else { throw SystemError("chroot", "", .current) }
    try MountCalls.attach(raw, onto: copy.rawValue)
    try MountCalls.enter(raw)
    try MountCalls.pivotHere()
  }

  private static func move(_ raw: Int32) throws(SystemError) {
    try HostMounts.hideKernelViews()
    let host = try FileDescriptor.open("/", O_PATH | O_DIRECTORY)
    try MountCalls.attach(raw, onto: host.rawValue)
    try MountCalls.enter(raw)
    // unsafe: the literal is NUL-terminated.
    guard unsafe chroot(".") == 0 else { throw SystemError("chroot", "", .current) }
  }
}
