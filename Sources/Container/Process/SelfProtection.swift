import CContainer
import CLinux
import System

/// Keeps a container from overwriting the program that starts it (CVE-2019-5736).
///
/// Who gets hold of /proc/PID/exe while vmrun is in a container, or has vmrun executed there as an interpreter, has its file and
/// could write to it later, when it is not running. So vmrun runs from a file of which that is not possible: its own one behind a
/// read-only mount that is in no mount namespace, or a sealed copy in memory.
///
/// Executing the program again takes as long as its first start. It is left out where the file cannot be written to anyway: on a
/// read-only mount, with the immutable attribute (chattr(1) +i) or fs-verity, or when it belongs to somebody else than the
/// unprivileged user who runs it.
public enum SelfProtection {
  /// How the running program's file is protected.
  public enum State: Equatable, Sendable {
    /// The file lies on a mount or file system that is read-only.
    case readOnlyMount
    /// The file is in memory and sealed against writing.
    case sealedCopy
    /// The file is immutable, or fs-verity guards it.
    case immutable
    /// The user may not write to the file, and so nobody in a container of his.
    case notWritable
    /// The file can be overwritten.
    case unprotected
  }

  /// Returns when the running program is protected; otherwise executes it again, so that it is, with these arguments and
  /// variables as the C library gave them to it. To be called before anything else is opened or changed.
  /// - Throws: `.system` when neither way of protection works.
  public static func ensure(
    argv: UnsafePointer<UnsafeMutablePointer<CChar>?>, envp: UnsafePointer<UnsafeMutablePointer<CChar>?>
  ) throws(ContainerError) {
    if try state(of: own) != .unprotected { return }
    let copy = try protectedFile(of: own)
    // unsafe: the caller's arrays are the process's own, ended by null pointers.
    _ = unsafe ccontainer_execute_descriptor(copy.rawValue, argv, envp)
    throw ContainerError("self-protection", SystemError("execveat", own, .current))
  }

  private static let own = "/proc/self/exe"

  /// How the running program's file is protected.
  public static func state() throws(ContainerError) -> State { try state(of: own) }

  /// How the file at `path` is protected.
  static func state(of path: String) throws(ContainerError) -> State {
    let file = try naming("self-protection") { () throws(SystemError) in try FileDescriptor.open(path, O_PATH) }
    var system = statfs()
    // unsafe: fstatfs fills the one struct it is given.
    guard unsafe fstatfs(file.rawValue, &system) == 0 else {
      throw ContainerError("self-protection", SystemError("fstatfs", path, .current))
    }
    if system.f_flags & __fsword_t(ST_RDONLY) != 0 { return .readOnlyMount }
    if ccontainer_is_immutable(file.rawValue) == 1 { return .immutable }
    // unsafe: the path is terminated for the call.
    if unsafe geteuid() != 0 && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 { return .notWritable }
    if system.f_type == __fsword_t(TMPFS_MAGIC), let readable = try? FileDescriptor.open(path, O_RDONLY) {
      let seals = clinux_fcntl(readable.rawValue, F_GET_SEALS, 0)
      if seals >= 0 && seals & seal == seal { return .sealedCopy }
    }
    return .unprotected
  }

  private static let seal = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE

  /// The file as nobody can write to it: behind a mount where one can be made, otherwise a copy, which takes longer.
  static func protectedFile(of path: String) throws(ContainerError) -> FileDescriptor {
    // unsafe: the path is terminated for the call.
    let mount = unsafe ccontainer_clone_file_mount(path)
    if mount >= 0 {
      let owner = FileDescriptor(owning: mount)
      if ccontainer_make_mount_read_only(mount) == 0 { return owner }
    }
    return try sealedCopy(of: path)
  }

  static func sealedCopy(of path: String) throws(ContainerError) -> FileDescriptor {
    try naming("self-protection") { () throws(SystemError) in
      let source = try FileDescriptor.open(path, O_RDONLY)
      let size = try source.status().st_size
      // Kernels from 6.3 on may forbid executable memory files that do not say so (sysctl vm.memfd_noexec).
      // unsafe: the name is a literal.
      var raw = unsafe ccontainer_memfd_create("vmrun", UInt32(MFD_CLOEXEC | MFD_ALLOW_SEALING) | executableMemory)
      // unsafe: as above.
      if raw < 0 { raw = unsafe ccontainer_memfd_create("vmrun", UInt32(MFD_CLOEXEC | MFD_ALLOW_SEALING)) }
      guard raw >= 0 else { throw SystemError("memfd_create", "", .current) }
      let copy = FileDescriptor(owning: raw)
      var left = size
      while left > 0 {
        let count = sendfile(copy.rawValue, source.rawValue, nil, left)
        if count < 0 && Errno.current == .interrupted { continue }
        guard count > 0 else { throw SystemError("sendfile", path, count < 0 ? .current : .ioError) }
        left -= count
      }
      guard clinux_fcntl(copy.rawValue, F_ADD_SEALS, Int(seal)) == 0 else {
        throw SystemError("fcntl", "F_ADD_SEALS", .current)
      }
      return copy
    }
  }

  /// MFD_EXEC of memfd_create(2), which the C library's headers are too old for.
  private static let executableMemory: UInt32 = 0x10
}
