import CContainer
import CLinux
import System

/// Names inside a container's tree, which is hostile: links in it may point anywhere and may change at any moment.
///
/// Every look-up goes through openat2(2) with RESOLVE_IN_ROOT, for which the tree's root is "/", or takes one component at a
/// time without following links. What is found is used through its descriptor only.
enum ContainedPath {
  /// How often a look-up that raced with a rename is tried again before it is an error.
  private static let attempts = 256
  /// As the kernel's own limit (path_resolution(7)).
  private static let linkLimit = 40
  private static let defaultFolderMode: UInt32 = 0o755

  /// An O_PATH descriptor of `path` inside `root`; nil when there is none.
  ///
  /// - Parameter followingLink: whether a last component that is a symbolic link is followed, inside the root.
  static func find(_ path: String, in root: Int32, followingLink: Bool = true) throws(SystemError) -> FileDescriptor? {
    try open(path, in: root, flags: O_PATH | (followingLink ? 0 : O_NOFOLLOW))
  }

  /// Opens `path` inside `root` with openat(2) flags; nil when there is none.
  static func open(
    _ path: String, in root: Int32, flags: Int32, resolve: Int32 = Int32(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
  ) throws(SystemError) -> FileDescriptor? {
    for _ in 0..<attempts {
      // unsafe: the path is NUL-terminated for the call.
      let raw = unsafe ccontainer_openat2(root, path, UInt64(flags | O_CLOEXEC), 0, UInt64(resolve))
      if raw >= 0 { return FileDescriptor(owning: raw) }
      switch Errno.current.rawValue {
      case EAGAIN, EINTR: continue
      case ENOENT: return nil
      case ENOTDIR where flags & O_DIRECTORY == 0: return nil
      default: throw SystemError("open", path, .current)
      }
    }
    throw SystemError("open", path, .again)
  }

  /// What a mount's destination has to be when it does not exist yet.
  enum Kind { case folder, file }

  /// An O_PATH descriptor of `path` inside `root`, made when it is missing: folders up to it, and itself as `kind`. Links,
  /// dangling ones too, are followed inside the root; nothing is ever made outside of it.
  static func findOrMake(_ path: String, in root: Int32, as kind: Kind) throws(SystemError) -> FileDescriptor {
    var pending: [Substring] = path.split(separator: "/").reversed()
    // Names from the root to where the walk stands; none of them is a link.
    var standing: [Substring] = []
    var current = try reopen(standing, in: root)
    var links = 0
    while let name = pending.popLast() {
      if name == "." { continue }
      if name == ".." {
        _ = standing.popLast()
        current = try reopen(standing, in: root)
        continue
      }
      let isLast = pending.isEmpty
      let next = try step(into: String(name), of: current.rawValue, as: isLast ? kind : .folder, path)
      let mode = try MountCalls.status(of: next.rawValue).st_mode
      guard clinux_s_islnk(mode) else {
        if !isLast, !clinux_s_isdir(mode) { throw SystemError("open", path, Errno(rawValue: ENOTDIR)) }
        standing.append(name)
        current = next
        continue
      }
      links += 1
      guard links <= linkLimit else { throw SystemError("open", path, Errno(rawValue: ELOOP)) }
      let target = try linkTarget(of: next.rawValue, path)
      if target.hasPrefix("/") {
        standing = []
        current = try reopen([], in: root)
      }
      for part in target.split(separator: "/").reversed() { pending.append(part) }
    }
    return current
  }

  /// The folder that holds the last component of `path`, made when it is missing, and that component's name.
  static func findOrMakeParent(of path: String, in root: Int32) throws(SystemError) -> FileDescriptor {
    let parts = path.split(separator: "/")
    guard parts.count > 1 else { return try FileDescriptor.duplicate(of: root) }
    let folder = parts.dropLast().joined(separator: "/")
    if let found = try open(folder, in: root, flags: O_PATH | O_DIRECTORY) { return found }
    return try findOrMake(folder, in: root, as: .folder)
  }

  /// The last component of `path`.
  static func name(of path: String) -> String {
    guard let last = path.split(separator: "/").last else { return "" }
    return String(last)
  }

  /// `path` without "//", "." and "..", as seen from "/", with a slash in front.
  static func cleaned(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") {
      switch part {
      case ".": break
      case "..": _ = parts.popLast()
      default: parts.append(part)
      }
    }
    return "/" + parts.joined(separator: "/")
  }

  // MARK: - One component

  private static func reopen(_ names: [Substring], in root: Int32) throws(SystemError) -> FileDescriptor {
    let path = names.isEmpty ? "." : names.joined(separator: "/")
    guard
      let found = try open(
        path, in: root, flags: O_PATH | O_DIRECTORY, resolve: Int32(RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS))
    else { throw SystemError("open", path, .notFound) }
    return found
  }

  /// Opens one component without following it, and makes it first when it is missing.
  private static func step(into name: String, of folder: Int32, as kind: Kind, _ path: String) throws(SystemError)
    -> FileDescriptor
  {
    for _ in 0..<attempts {
      // unsafe: the name is NUL-terminated for the call.
      let raw = unsafe clinux_openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)
      if raw >= 0 { return FileDescriptor(owning: raw) }
      guard Errno.current == .notFound else { throw SystemError("open", path, .current) }
      let made: Int32
      switch kind {
      // unsafe: the name is NUL-terminated for the calls.
      case .folder: made = unsafe mkdirat(folder, name, defaultFolderMode)
      case .file: made = unsafe mknodat(folder, name, UInt32(S_IFREG) | defaultFolderMode, 0)
      }
      guard made == 0 || Errno.current == .exists else { throw SystemError("create", path, .current) }
    }
    throw SystemError("create", path, .again)
  }

  private static func linkTarget(of link: Int32, _ path: String) throws(SystemError) -> String {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    // unsafe: the buffer is valid for its count, and the empty name stands for the descriptor.
    let count = unsafe bytes.withUnsafeMutableBufferPointer {
      unsafe clinux_readlinkat(link, "", $0.baseAddress, $0.count)
    }
    guard count > 0, count < bytes.count else { throw SystemError("readlink", path, count < 0 ? .current : .invalid) }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
