import CContainer
import CLinux
import System

/// Bind mounts: a copy of a mount of the host, changed while nobody can see it yet.
enum BindMount {
  /// A detached copy of the source's mount.
  static func open(_ mount: borrowing PlannedMount) throws(SystemError) -> FileDescriptor {
    try MountCalls.cloneTree(
      mount.source, recursive: mount.options.isRecursiveBind, followingLink: !mount.options.bindsSymlink)
  }

  /// Gives a detached copy the flags and the propagation of `options`.
  static func change(_ tree: Int32, _ options: MountOptions) throws(ContainerError) {
    if let change = options.bindChange {
      try changeFlags(tree, set: change.set, clear: change.clear, mustClear: options.explicitlyCleared)
    }
    try applyCommon(tree, options)
  }

  /// What bind mounts and new file systems have alike: recursive attributes and propagation.
  static func applyCommon(_ tree: Int32, _ options: MountOptions) throws(ContainerError) {
    if options.recursiveSet | options.recursiveClear != 0 {
      try naming { () throws(SystemError) in
        try MountCalls.change(tree, set: options.recursiveSet, clear: options.recursiveClear, recursive: true)
      }
    }
    for propagation in options.propagations {
      try naming { () throws(SystemError) in
        try MountCalls.change(tree, propagation: propagation.kind, recursive: propagation.isRecursive)
      }
    }
  }

  /// Sets and clears attributes of one mount.
  ///
  /// In a user namespace the flags that a mount came with are locked (mount_namespaces(7)): those stay, unless the
  /// configuration asked for one of them to be off.
  private static func changeFlags(_ tree: Int32, set: UInt64, clear: UInt64, mustClear: UInt64) throws(ContainerError) {
    let timeModes = MountAttribute.accessTimes | MountAttribute.noDirectoryAccessTime
    guard try isRefused(tree, set: set, clear: clear) else { return }
    let present: UInt64
    do throws(SystemError) { present = try MountCalls.attributes(of: tree) } catch { throw ContainerError("", error) }
    let kept = present & ~mustClear
    guard try isRefused(tree, set: set, clear: clear & ~kept) else { return }
    // The access time mode is locked as well.
    guard try isRefused(tree, set: set & ~timeModes, clear: clear & ~kept & ~timeModes) else { return }
    throw ContainerError(
      .system, "\(names(of: present & mustClear)): locked by the host's mount in this user namespace")
  }

  /// Sets and clears attributes; true when a lock is in the way.
  private static func isRefused(_ tree: Int32, set: UInt64, clear: UInt64) throws(ContainerError) -> Bool {
    do throws(SystemError) { try MountCalls.change(tree, set: set, clear: clear) } catch {
      guard error.errno == .notPermitted else { throw ContainerError("", error) }
      return true
    }
    return false
  }

  private static func names(of attributes: UInt64) -> String {
    var names: [String] = []
    if attributes & MountAttribute.readOnly != 0 { names.append("rw") }
    if attributes & MountAttribute.noSetUserID != 0 { names.append("suid") }
    if attributes & MountAttribute.noDevices != 0 { names.append("dev") }
    if attributes & MountAttribute.noExecution != 0 { names.append("exec") }
    if attributes & MountAttribute.noSymlinks != 0 { names.append("symfollow") }
    return names.joined(separator: ", ")
  }
}
