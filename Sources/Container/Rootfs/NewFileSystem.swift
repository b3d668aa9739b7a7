import CContainer
import CLinux
import System

/// Mounts of a file system of its own: how the options are divided among the driver, the file system and the mount.
enum NewFileSystem {
  /// A detached mount of what `mount` asks for; `settings` is the driver's data.
  static func make(_ mount: PlannedMount, _ settings: [String]) throws(SystemError) -> FileDescriptor {
    let context = try FileSystemContext(mount.type)
    if !mount.source.isEmpty { try context.set("source", mount.source) }
    for setting in settings { try context.set(option: setting) }
    for (flag, name) in superblockNames where mount.options.flags & flag != 0 { try context.set(name) }
    if mount.options.isReadOnly, !isShared(mount.type), !isReadOnlyLate(mount) { try context.set("ro") }
    return try context.mount(attributes: attributes(of: mount))
  }

  /// Whether the mount is made writable first, because later mounts and devices may have to be made in it.
  static func isReadOnlyLate(_ mount: PlannedMount) -> Bool {
    mount.options.isReadOnly && (mount.type == "tmpfs" || mount.destination == "/dev")
  }

  /// Whether fsconfig(2) cannot say it: long values, and flags that have no name there.
  static func needsOldInterface(_ mount: PlannedMount, _ settings: [String]) -> Bool {
    let unnamed = MountFlag.inodeVersion | MountFlag.accessControlLists
    if mount.options.superblockFlags & unnamed != 0 { return true }
    return settings.contains { $0.utf8.count > FileSystemContext.longestValue }
  }

  /// mount(2) on the folder that `target` stands on; with "remount" among the flags it changes what is mounted there.
  static func mountByOldInterface(_ mount: PlannedMount, _ settings: [String], on target: Int32) throws(SystemError) {
    let before = try FileDescriptor.open(".", O_PATH)
    try MountCalls.enter(target)
    var flags = mount.options.flags & ~MountFlag.recursive
    if isReadOnlyLate(mount) { flags &= ~MountFlag.readOnly }
    let source = mount.source.isEmpty ? "none" : mount.source
    // unsafe: all strings are NUL-terminated for the call; the kernel reads the data up to its NUL.
    let result = unsafe settings.joined(separator: ",").withCString { data in
      unsafe CLinux.mount(source, ".", mount.type, flags, data)
    }
    let errno = Errno.current
    try MountCalls.enter(before.rawValue)
    guard result == 0 else { throw SystemError("mount", mount.type, errno) }
  }

  private static func attributes(of mount: PlannedMount) -> UInt64 {
    isReadOnlyLate(mount) ? mount.options.attributes & ~MountAttribute.readOnly : mount.options.attributes
  }

  /// Flags of the file system and their names for fsconfig(2).
  private static let superblockNames: [(flag: UInt, name: String)] = [
    (MountFlag.synchronous, "sync"), (MountFlag.synchronousFolders, "dirsync"), (MountFlag.lazyTime, "lazytime"),
    (MountFlag.mandatoryLocks, "mand"),
  ]

  /// File systems that others may have mounted as well: "ro" is for this mount, not for theirs.
  private static func isShared(_ type: String) -> Bool {
    switch type {
    case "proc", "sysfs", "mqueue", "devpts", "cgroup", "cgroup2", "bpf", "debugfs", "tracefs", "securityfs",
      "configfs":
      return true
    default: return false
    }
  }
}
