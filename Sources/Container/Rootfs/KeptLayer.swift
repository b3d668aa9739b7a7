import CContainer
import CLinux
import System

/// A directory of the host that keeps what a container changes: the upper layer of an overlay.
///
/// What the container creates or changes is there as it is; what it removes is a character device 0/0 of that name (a whiteout);
/// a directory that replaces another one has the attribute trusted.overlay.opaque (user.overlay.opaque without root).
public struct KeptLayer: ~Copyable {
  /// Absolute.
  public let path: String
  /// overlay's own folder, beside the layer, since both must lie on one file system.
  private let work: String
  /// Locked, so that no second container writes here.
  private let folder: FileDescriptor

  /// Takes `path`, which must be an empty directory or none yet, for changes of the tree at `lower`; it gets that tree's mode and owner.
  /// - Throws: `.invalid` when it holds something, `.exists` when another container uses it.
  public init(_ path: String, over lower: String, files: [GeneratedFile]) throws(ContainerError) {
    let opened = try Self.open(path)
    let absolute = try Self.absolute(path)
    let work = "\(absolute).work"
    try naming("--keep-changes \(path)") { () throws(SystemError) in
      let below = try FileDescriptor.open(lower, O_PATH | O_DIRECTORY)
      try UpperLayer.adopt(below, for: opened)
      for file in files { try file.write(into: opened.rawValue, over: below.rawValue) }
    }
    try Self.clear(work)
    // unsafe: the path is NUL-terminated for the call.
    guard unsafe mkdir(work, 0o700) == 0 else {
      throw ContainerError("--keep-changes", SystemError("mkdir", work, .current))
    }
    self.path = absolute
    self.work = work
    folder = opened
  }

  /// The root file system of a container over `lower`.
  public func source(over lower: String) -> RootSource { .overlay(lower: lower, upper: path, work: work) }

  /// Removes what only the running container needed.
  public consuming func finish() throws(ContainerError) { try Self.clear(work) }

  private static func open(_ path: String) throws(ContainerError) -> FileDescriptor {
    // unsafe: the path is NUL-terminated for the call.
    if unsafe mkdir(path, 0o755) != 0, Errno.current != .exists {
      throw ContainerError("--keep-changes", SystemError("mkdir", path, .current))
    }
    let folder = try naming("--keep-changes") { () throws(SystemError) in
      try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY)
    }
    guard flock(folder.rawValue, LOCK_EX | LOCK_NB) == 0 else {
      throw ContainerError(.exists, "--keep-changes \(path): another container uses it")
    }
    guard try isEmpty(folder) else {
      throw ContainerError(.invalid, "--keep-changes \(path): the directory is not empty; name a new or an empty one")
    }
    return folder
  }

  private static func isEmpty(_ folder: borrowing FileDescriptor) throws(ContainerError) -> Bool {
    let copy = clinux_fcntl(folder.rawValue, F_DUPFD_CLOEXEC, 3)
    // unsafe: fdopendir takes the descriptor over, closedir below closes it.
    guard copy >= 0, let stream = unsafe fdopendir(copy) else {
      throw ContainerError("--keep-changes", SystemError("opendir", "", .current))
    }
    defer { _ = unsafe closedir(stream) }
    // unsafe: the entry is valid until the next call.
    while let entry = unsafe readdir(stream) {
      let name = unsafe String(cString: clinux_dirent_name(entry))
      if name != ".", name != ".." { return false }
    }
    return true
  }

  private static func absolute(_ path: String) throws(ContainerError) -> String {
    // unsafe: realpath returns a string of its own, which is freed here.
    guard let found = unsafe realpath(path, nil) else {
      throw ContainerError("--keep-changes", SystemError("realpath", path, .current))
    }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  /// Removes overlay's folder, if there is one. The kernel leaves an empty folder in it that nobody but root may open.
  private static func clear(_ work: String) throws(ContainerError) {
    // unsafe: the paths are NUL-terminated for the calls.
    if unsafe rmdir("\(work)/work") != 0, unsafe rmdir(work) == 0 || Errno.current == .notFound { return }
    if unsafe rmdir(work) == 0 { return }
    let folder = try naming("--keep-changes") { () throws(SystemError) in
      try FileDescriptor.open(work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    }
    try FolderRemoval.empty(folder.rawValue, path: work, depth: 0)
    guard unsafe rmdir(work) == 0 else { throw ContainerError("--keep-changes", SystemError("rmdir", work, .current)) }
  }
}
