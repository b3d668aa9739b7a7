import CContainer
import CLinux
import System

/// The kernel's mount interface by descriptors (Linux 5.12): each call throws what the kernel said.
enum MountCalls {
  /// Stands for "the descriptor itself".
  private static let itself = ""

  /// A detached copy of the mount at `path`, taken from `directory` on; with `recursive` also of those below it.
  static func cloneTree(
    _ path: String, from directory: Int32 = AT_FDCWD, recursive: Bool, followingLink: Bool = true
  ) throws(SystemError) -> FileDescriptor {
    var flags = UInt32(OPEN_TREE_CLONE) | UInt32(O_CLOEXEC)
    if recursive { flags |= UInt32(AT_RECURSIVE) }
    if !followingLink { flags |= UInt32(AT_SYMLINK_NOFOLLOW) }
    if path.isEmpty { flags |= UInt32(AT_EMPTY_PATH) }
    // unsafe: the path is NUL-terminated for the call.
    let raw = unsafe open_tree(directory, path, flags)
    guard raw >= 0 else { throw SystemError("open_tree", path, .current) }
    return FileDescriptor(owning: raw)
  }

  /// A detached copy of the mount that `descriptor` stands on, with it as the root.
  static func cloneTree(of descriptor: Int32, recursive: Bool) throws(SystemError) -> FileDescriptor {
    try cloneTree(itself, from: descriptor, recursive: recursive)
  }

  /// Attaches a detached mount on top of what `target` stands on.
  static func attach(_ tree: Int32, onto target: Int32) throws(SystemError) {
    // unsafe: both paths are NUL-terminated for the call.
    let result = unsafe move_mount(
      tree, itself, target, itself, UInt32(MOVE_MOUNT_F_EMPTY_PATH) | UInt32(MOVE_MOUNT_T_EMPTY_PATH))
    guard result == 0 else { throw SystemError("move_mount", "", .current) }
  }

  /// Attaches a detached mount at `name` of a folder, where a symbolic link is not followed.
  static func attach(_ tree: Int32, at name: String, of folder: Int32) throws(SystemError) {
    // unsafe: both paths are NUL-terminated for the call.
    let result = unsafe move_mount(tree, itself, folder, name, UInt32(MOVE_MOUNT_F_EMPTY_PATH))
    guard result == 0 else { throw SystemError("move_mount", name, .current) }
  }

  /// Changes attributes (MOUNT_ATTR_) and propagation (MS_, 0 for none) of the mount whose root `mount` stands on.
  static func change(
    _ mount: Int32, set: UInt64 = 0, clear: UInt64 = 0, propagation: UInt = 0, recursive: Bool = false,
    userNamespace: Int32 = 0
  ) throws(SystemError) {
    let flags = UInt32(AT_EMPTY_PATH) | (recursive ? UInt32(AT_RECURSIVE) : 0)
    // unsafe: the path is NUL-terminated for the call.
    let result = unsafe ccontainer_mount_setattr(mount, itself, flags, set, clear, UInt64(propagation), userNamespace)
    guard result == 0 else { throw SystemError("mount_setattr", "", .current) }
  }

  /// Changes the propagation of the mount at "/", and of all below it when `recursive`.
  static func changeRoot(propagation: UInt, recursive: Bool) throws(SystemError) {
    // unsafe: the path is NUL-terminated for the call.
    let result = unsafe ccontainer_mount_setattr(
      AT_FDCWD, "/", recursive ? UInt32(AT_RECURSIVE) : 0, 0, 0, UInt64(propagation), 0)
    guard result == 0 else { throw SystemError("mount_setattr", "/", .current) }
  }

  /// Makes `fd`'s root the process's root, with the old root stacked upon it.
  static func pivotHere() throws(SystemError) {
    // unsafe: both paths are NUL-terminated for the call.
    guard unsafe ccontainer_pivot_root(".", ".") == 0 else { throw SystemError("pivot_root", "", .current) }
  }

  /// The type (statfs(2) f_type) of the file system that `descriptor` stands on.
  static func fileSystemType(of descriptor: Int32) throws(SystemError) -> Int {
    var status = statfs()
    // unsafe: fstatfs fills the one struct it is given.
    guard unsafe fstatfs(descriptor, &status) == 0 else { throw SystemError("fstatfs", "", .current) }
    return Int(status.f_type)
  }

  /// The MOUNT_ATTR_ bits, access times aside, that the mount under `descriptor` has.
  static func attributes(of descriptor: Int32) throws(SystemError) -> UInt64 {
    var status = statvfs()
    // unsafe: fstatvfs fills the one struct it is given.
    guard unsafe fstatvfs(descriptor, &status) == 0 else { throw SystemError("fstatvfs", "", .current) }
    // ST_ flags have the values of the MS_ flags that they report (statvfs(3)); nosymfollow's is not in the header.
    var result: UInt64 = 0
    for (flag, attribute) in MountOptionTable.attributes {
      let bit = flag == MountFlag.noSymlinks ? 0x2000 : flag
      if UInt(status.f_flag) & bit != 0 { result |= attribute }
    }
    return result
  }

  /// fstat(2) of an open descriptor.
  static func status(of descriptor: Int32) throws(SystemError) -> stat {
    var status = stat()
    // unsafe: fstat fills the one struct it is given.
    guard unsafe fstat(descriptor, &status) == 0 else { throw SystemError("fstat", "", .current) }
    return status
  }

  /// Makes `descriptor`'s folder the working directory.
  static func enter(_ descriptor: Int32) throws(SystemError) {
    guard fchdir(descriptor) == 0 else { throw SystemError("fchdir", "", .current) }
  }
}
