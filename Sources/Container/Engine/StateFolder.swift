import CContainer
import CLinux
import System

/// The folder that all containers' states lie in: `--root`.
public struct StateRoot: Sendable {
  public let path: String

  /// The folder at absolute `path`; made when the first container is.
  public init(path: String) { self.path = path }

  /// Whether `id` may name a container: 1 to 1024 letters, digits, '_', '+', '-', '.', and neither "." nor "..".
  public static func isValid(id: String) -> Bool {
    guard (1...1024).contains(id.utf8.count), id != ".", id != ".." else { return false }
    return id.utf8.allSatisfy {
      ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x5F || $0 == 0x2B
        || $0 == 0x2D || $0 == 0x2E
    }
  }

  static func check(id: String) throws(ContainerError) {
    guard isValid(id: id) else {
      throw ContainerError(
        .invalid, "invalid container ID '\(id)': use 1 to 1024 letters, digits and _ + - . (and not . or ..)")
    }
  }

  /// Makes the folder of a new container, locked.
  /// - Throws: `.exists` when there is one of that name.
  func create(_ id: String) throws(ContainerError) -> StateFolder {
    try Self.check(id: id)
    let place = "\(path)/\(id)"
    var result = unsafe mkdir(place, 0o711)
    if result != 0, Errno.current == .notFound {
      try makeRoot()
      result = unsafe mkdir(place, 0o711)
    }
    guard result == 0 else {
      let reason = Errno.current
      if reason == .exists {
        throw ContainerError(.exists, "container with id '\(id)' exists already under \(path); vmrun delete \(id)")
      }
      throw ContainerError("state folder", SystemError("mkdir", place, reason))
    }
    guard let folder = try open(id) else {
      throw ContainerError(.wrongState, "container '\(id)' was deleted while it was created")
    }
    return folder
  }

  /// The root with its parents, for its owner only.
  private func makeRoot() throws(ContainerError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/\(part)"
      if unsafe mkdir(made, made.utf8.count == path.utf8.count ? 0o700 : 0o755) != 0, Errno.current != .exists {
        throw ContainerError("state folder (--root)", SystemError("mkdir", made, .current))
      }
    }
  }

  /// The folder of container `id`, not locked; nil when there is none.
  func open(_ id: String) throws(ContainerError) -> StateFolder? {
    try Self.check(id: id)
    let place = "\(path)/\(id)"
    do throws(SystemError) {
      return StateFolder(
        id: id, path: place, folder: try FileDescriptor.open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
    } catch {
      if error.errno == .notFound || error.errno == Errno(rawValue: ENOTDIR) { return nil }
      throw ContainerError("state folder", error)
    }
  }

  /// The folder of container `id`, not locked.
  /// - Throws: `.notFound`.
  func find(_ id: String) throws(ContainerError) -> StateFolder {
    guard let folder = try open(id) else {
      throw ContainerError(.notFound, "container '\(id)' does not exist under \(path); vmrun list shows those that do")
    }
    return folder
  }

  /// The IDs of all containers, sorted.
  func identifiers() throws(ContainerError) -> [String] {
    // unsafe: the path is NUL-terminated for the call.
    guard let stream = unsafe opendir(path) else {
      if Errno.current == .notFound { return [] }
      throw ContainerError("state folder (--root)", SystemError("opendir", path, .current))
    }
    defer { _ = unsafe closedir(stream) }
    var found: [String] = []
    // unsafe: the entry is valid until the next call.
    while let entry = unsafe readdir(stream) {
      let name = unsafe String(cString: clinux_dirent_name(entry))
      if Self.isValid(id: name),
        unsafe entry.pointee.d_type == UInt8(DT_DIR) || entry.pointee.d_type == UInt8(DT_UNKNOWN)
      {
        found.append(name)
      }
    }
    return found.sorted()
  }
}

/// One container's state folder: `state.json`, `config.json`, and `start`, a socket that stands while the container is created and not started.
///
/// The folder's flock(2) is held while a verb changes the container. A folder that was removed while its lock was awaited
/// counts as gone.
struct StateFolder: ~Copyable {
  let id: String
  let path: String
  let folder: FileDescriptor

  /// Waits for the lock.
  /// - Throws: `.notFound` when the container was deleted meanwhile.
  borrowing func lock() throws(ContainerError) {
    while flock(folder.rawValue, LOCK_EX) != 0 {
      guard Errno.current == .interrupted else {
        throw ContainerError("state folder", SystemError("flock", path, .current))
      }
    }
    guard let status = try? folder.status(), status.st_nlink > 0 else {
      throw ContainerError(.notFound, "container '\(id)' does not exist")
    }
  }

  /// Gives the lock back, also on behalf of a child that shares the descriptor.
  borrowing func unlock() { _ = flock(folder.rawValue, LOCK_UN) }

  /// Replaces file `name` in one step.
  borrowing func write(_ name: String, _ bytes: [UInt8]) throws(ContainerError) {
    let temporary = ".\(name).new"
    let number = folder.rawValue
    guard
      let raw = retryingInterrupts({
        unsafe clinux_openat(number, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
      })
    else { throw ContainerError("state folder", SystemError("create", "\(path)/\(temporary)", .current)) }
    let file = FileDescriptor(owning: raw)
    try naming("state folder: \(path)/\(name)") { () throws(SystemError) in try file.writeFully(bytes) }
    guard unsafe renameat(number, temporary, number, name) == 0 else {
      throw ContainerError("state folder", SystemError("rename", "\(path)/\(name)", .current))
    }
  }

  /// File `name` whole; nil when there is none.
  borrowing func read(_ name: String, limit: Int = 16 << 20) throws(ContainerError) -> [UInt8]? {
    let number = folder.rawValue
    guard let raw = retryingInterrupts({ unsafe clinux_openat(number, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0) })
    else {
      if Errno.current == .notFound { return nil }
      throw ContainerError("state folder", SystemError("open", "\(path)/\(name)", .current))
    }
    let file = FileDescriptor(owning: raw)
    return try naming("state folder: \(path)/\(name)") { () throws(SystemError) in try file.readAll(limit: limit) }
  }

  /// Removes file `name`, if it is there.
  borrowing func removeFile(_ name: String) { _ = unsafe unlinkat(folder.rawValue, name, 0) }

  /// The path of `name` by way of this process's descriptor: short enough for a socket, however long the real one.
  borrowing func alias(of name: String) -> String { "/proc/self/fd/\(folder.rawValue)/\(name)" }

  /// Removes the folder with all that is in it.
  borrowing func remove() throws(ContainerError) {
    try FolderRemoval.empty(folder.rawValue, path: path, depth: 0)
    guard unsafe rmdir(path) == 0 || Errno.current == .notFound else {
      throw ContainerError("state folder", SystemError("rmdir", path, .current))
    }
  }
}

/// Removes what is in a folder without following a symbolic link.
enum FolderRemoval {
  /// Deeper trees than this are refused.
  private static let depthLimit = 128

  static func empty(_ number: Int32, path: String, depth: Int) throws(ContainerError) {
    guard depth < depthLimit else { throw ContainerError(.system, "\(path): too deep to remove") }
    let copy = clinux_fcntl(number, F_DUPFD_CLOEXEC, 3)
    // unsafe: fdopendir takes the descriptor over, closedir below closes it.
    guard copy >= 0, let stream = unsafe fdopendir(copy) else {
      throw ContainerError("", SystemError("opendir", path, .current))
    }
    defer { _ = unsafe closedir(stream) }
    unsafe rewinddir(stream)
    // unsafe: the entry is valid until the next call.
    while let entry = unsafe readdir(stream) {
      guard let name = unsafe clinux_dirent_name(entry) else { break }
      let text = unsafe String(cString: name)
      if text == "." || text == ".." { continue }
      if unsafe unlinkat(number, name, 0) == 0 { continue }
      let reason = Errno.current
      guard reason == Errno(rawValue: EISDIR) || reason == .notPermitted else {
        if reason == .notFound { continue }
        throw ContainerError("", SystemError("unlink", "\(path)/\(text)", reason))
      }
      let below = unsafe clinux_openat(number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
      guard below >= 0 else { throw ContainerError("", SystemError("open", "\(path)/\(text)", .current)) }
      let folder = FileDescriptor(owning: below)
      try empty(folder.rawValue, path: "\(path)/\(text)", depth: depth + 1)
      guard unsafe unlinkat(number, name, AT_REMOVEDIR) == 0 || Errno.current == .notFound else {
        throw ContainerError("", SystemError("rmdir", "\(path)/\(text)", .current))
      }
    }
  }
}
