import CContainer
import CLinux
import System

/// The host's /dev/null, which hides files of the container.
enum HostNull {
  /// A detached mount of /dev/null that is proved to be it. It is read-only, which does not keep anyone from writing to a
  /// device, but keeps the container's root from changing the mode or the owner of the host's own node.
  static func open() throws(ContainerError) -> SharedFile {
    try naming("/dev/null") { () throws(SystemError) in
      let tree = try MountCalls.cloneTree("/dev/null", recursive: false)
      guard isNull(try MountCalls.status(of: tree.rawValue)) else {
        throw SystemError("open", "the null device", Errno(rawValue: ENODEV))
      }
      try MountCalls.change(
        tree.rawValue, set: MountAttribute.readOnly | MountAttribute.noSetUserID | MountAttribute.noExecution)
      return SharedFile(tree)
    }
  }

  /// Whether `status` is that of the null device: character device 1:3.
  static func isNull(_ status: stat) -> Bool {
    clinux_s_ischr(status.st_mode) && clinux_major(status.st_rdev) == 1 && clinux_minor(status.st_rdev) == 3
  }
}
