import CContainer
import CLinux
import System

/// "tmpcopyup": a tmpfs begins with what the folder under it holds.
///
/// The folder is the image's, and hostile: nothing in it is followed, and other file systems mounted in it are not entered.
enum CopyUp {
  /// A name in a folder: bytes that need not be text, with the NUL at the end.
  private typealias Name = [CChar]
  /// Each level keeps two descriptors open.
  private static let depthLimit = 200

  /// Copies what `folder` holds, and its owner, to `copy`.
  static func copy(from folder: Int32, to copy: Int32) throws(SystemError) {
    let status = try MountCalls.status(of: folder)
    // unsafe: the literal is NUL-terminated.
    guard unsafe fchownat(copy, "", status.st_uid, status.st_gid, AT_EMPTY_PATH) == 0 else {
      throw SystemError("chown", "tmpfs", .current)
    }
    try copyContents(from: folder, to: copy, device: status.st_dev, depth: 0)
  }

  private static func copyContents(from folder: Int32, to copy: Int32, device: dev_t, depth: Int) throws(SystemError) {
    guard depth < depthLimit else { throw SystemError("copy", "a folder more than \(depthLimit) deep", .invalid) }
    for name in try names(in: folder) {
      var status = stat()
      // unsafe: fstatat fills the one struct it is given, and the name ends in a NUL.
      guard unsafe fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("stat", name) }
      switch status.st_mode & UInt32(S_IFMT) {
      case UInt32(S_IFDIR):
        // unsafe: the name ends in a NUL.
        guard unsafe mkdirat(copy, name, 0o700) == 0 else { throw failure("mkdir", name) }
        if status.st_dev == device {
          let from = try open(name, in: folder, O_PATH | O_DIRECTORY | O_NOFOLLOW)
          let to = try open(name, in: copy, O_PATH | O_DIRECTORY | O_NOFOLLOW)
          try copyContents(from: from.rawValue, to: to.rawValue, device: device, depth: depth + 1)
        }
      case UInt32(S_IFREG): try copyFile(name, from: folder, to: copy)
      case UInt32(S_IFLNK): try copyLink(name, from: folder, to: copy)
      default:
        // unsafe: the name ends in a NUL.
        guard unsafe mknodat(copy, name, status.st_mode, status.st_rdev) == 0 else { throw failure("mknod", name) }
      }
      try copyAttributes(status, of: name, in: copy)
    }
  }

  private static func copyFile(_ name: Name, from folder: Int32, to copy: Int32) throws(SystemError) {
    let from = try open(name, in: folder, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    let to = try open(name, in: copy, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
    while true {
      let count = sendfile(to.rawValue, from.rawValue, nil, 1 << 24)
      if count == 0 { return }
      if count < 0, Errno.current != .interrupted { throw failure("copy", name) }
    }
  }

  private static func copyLink(_ name: Name, from folder: Int32, to copy: Int32) throws(SystemError) {
    var target = Name(repeating: 0, count: Int(PATH_MAX))
    // unsafe: the buffer is valid for its count, and its last byte stays 0.
    let count = unsafe target.withUnsafeMutableBufferPointer {
      unsafe clinux_readlinkat(folder, name, $0.baseAddress, $0.count - 1)
    }
    // unsafe: both end in a NUL.
    guard count > 0, unsafe symlinkat(target, copy, name) == 0 else { throw failure("symlink", name) }
  }

  private static func copyAttributes(_ status: stat, of name: Name, in copy: Int32) throws(SystemError) {
    // unsafe: the name ends in a NUL.
    guard unsafe fchownat(copy, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) == 0 else {
      throw failure("chown", name)
    }
    if status.st_mode & UInt32(S_IFMT) != UInt32(S_IFLNK) {
      // After the owner, since a change of owner takes the set-user-ID bit away. unsafe: as above.
      guard unsafe fchmodat(copy, name, status.st_mode & 0o7777, 0) == 0 else { throw failure("chmod", name) }
    }
    let times = [status.st_atim, status.st_mtim]
    // unsafe: as above; utimensat reads two times from an array of two.
    guard unsafe utimensat(copy, name, times, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("utimensat", name) }
  }

  private static func names(in folder: Int32) throws(SystemError) -> [Name] {
    // unsafe: the literal is NUL-terminated.
    let raw = unsafe clinux_openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard raw >= 0 else { throw SystemError("open", "a folder", .current) }
    // unsafe: fdopendir takes the descriptor over when it succeeds.
    guard let stream = unsafe fdopendir(raw) else {
      let errno = Errno.current
      _ = close(raw)
      throw SystemError("opendir", "", errno)
    }
    // unsafe: the stream is open until here.
    defer { _ = unsafe closedir(stream) }
    var names: [Name] = []
    while true {
      clinux_set_errno(0)
      // unsafe: the stream is open, and an entry is valid until the next call.
      guard let entry = unsafe readdir(stream) else {
        let errno = clinux_errno()
        if errno != 0 { throw SystemError("readdir", "", Errno(rawValue: errno)) }
        return names
      }
      // unsafe: a name of the C library ends in a NUL.
      guard let first = unsafe clinux_dirent_name(entry) else { continue }
      let name = unsafe Name(UnsafeBufferPointer(start: first, count: strlen(first) + 1))
      if name != [0x2e, 0], name != [0x2e, 0x2e, 0] { names.append(name) }
    }
  }

  private static func open(_ name: Name, in folder: Int32, _ flags: Int32) throws(SystemError) -> FileDescriptor {
    // unsafe: the name ends in a NUL.
    let raw = unsafe clinux_openat(folder, name, flags | O_CLOEXEC, 0o600)
    guard raw >= 0 else { throw failure("open", name) }
    return FileDescriptor(owning: raw)
  }

  private static func failure(_ operation: String, _ name: Name) -> SystemError {
    let errno = Errno.current
    let bytes = name.dropLast().map { UInt8(bitPattern: $0) }
    return SystemError(operation, String(decoding: bytes, as: UTF8.self), errno)
  }
}
