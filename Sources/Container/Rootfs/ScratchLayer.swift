import CContainer
import CLinux
import System

/// A file that vmrun itself puts into a container's root, for example /etc/hosts.
public struct GeneratedFile: Equatable, Sendable {
  /// Its folder below the root, one component: "etc".
  public let folder: String
  public let name: String
  public let content: [UInt8]

  /// File `name` in `folder` of the root, with mode 0644.
  public init(folder: String, name: String, content: [UInt8]) {
    self.folder = folder
    self.name = name
    self.content = content
  }

  /// Writes it into `upper`, the empty upper layer of an overlay over `lower`. Its folder is made as it is below, since an
  /// overlay shows the upper one's mode and owner.
  func write(into upper: Int32, over lower: Int32) throws(SystemError) {
    // unsafe: the names are NUL-terminated for the calls.
    if unsafe mkdirat(upper, folder, 0o755) != 0, Errno.current != .exists {
      throw SystemError("mkdir", folder, .current)
    }
    let parent = unsafe clinux_openat(upper, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
    guard parent >= 0 else { throw SystemError("open", folder, .current) }
    let made = FileDescriptor(owning: parent)
    // unsafe: the names are NUL-terminated for the calls; the one struct is filled.
    let below = unsafe clinux_openat(lower, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
    if below >= 0 { try UpperLayer.adopt(FileDescriptor(owning: below), for: made) }
    let raw = unsafe clinux_openat(made.rawValue, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
    guard raw >= 0 else { throw SystemError("create", "\(folder)/\(name)", .current) }
    try FileDescriptor(owning: raw).writeFully(content)
  }
}

/// The upper layer of an overlay.
enum UpperLayer {
  /// Gives `folder` the mode and the owner of `model`; an owner that is not mapped in the caller's user namespace stays away.
  static func adopt(_ model: borrowing FileDescriptor, for folder: borrowing FileDescriptor) throws(SystemError) {
    let status = try model.status()
    if status.st_uid != geteuid() || status.st_gid != getegid() {
      _ = fchown(folder.rawValue, status.st_uid, status.st_gid)
    }
    guard fchmod(folder.rawValue, status.st_mode & 0o7777) == 0 else { throw SystemError("chmod", "", .current) }
  }
}

/// An upper layer in memory that nobody has to remove: a tmpfs that only the container's mount namespace knows, and that ends
/// with it, however it ends. What is written there counts as the container's memory.
enum ScratchLayer {
  /// Mounts the file system on `place`, which stays visible by its descriptor, and an overlay of both, detached.
  static func make(
    over place: borrowing FileDescriptor, files: [GeneratedFile], userNamespace: Bool
  ) throws(SystemError) -> FileDescriptor {
    let context = try FileSystemContext("tmpfs")
    try context.set("mode", "0700")
    let scratch = try context.mount(attributes: 0)
    // Before Linux 6.15 an overlay's layers must lie in the caller's mount namespace. Nobody looks there: the root comes on top.
    try MountCalls.attach(scratch.rawValue, onto: place.rawValue)
    let upper = try folder("upper", in: scratch)
    try UpperLayer.adopt(place, for: upper)
    for file in files { try file.write(into: upper.rawValue, over: place.rawValue) }
    let work = try folder("work", in: scratch)
    return try RootMount.overlay(lower: place, upper: upper, work: work, userNamespace: userNamespace)
  }

  private static func folder(_ name: String, in parent: borrowing FileDescriptor) throws(SystemError) -> FileDescriptor
  {
    // unsafe: the name is NUL-terminated for the calls.
    guard unsafe mkdirat(parent.rawValue, name, 0o755) == 0 else { throw SystemError("mkdir", name, .current) }
    let raw = unsafe clinux_openat(parent.rawValue, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard raw >= 0 else { throw SystemError("open", name, .current) }
    return FileDescriptor(owning: raw)
  }
}
