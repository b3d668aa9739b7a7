import CLinux
import System

/// The cache's folder, held open: every name is looked up in it, whatever happens to the path meanwhile.
struct Folder: ~Copyable {
  private let descriptor: FileDescriptor
  let path: String

  /// Opens `path`, making it and its parents with mode 0700 where they are missing.
  /// - Throws: `SystemError`; `.notPermitted` when others own the folder or may write to it.
  init(_ path: String) throws(SystemError) {
    descriptor = try Folder.openOwn(path)
    self.path = path
  }

  private static func openOwn(_ path: String) throws(SystemError) -> FileDescriptor {
    let descriptor = try openOrMake(path)
    let status = try descriptor.status()
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw SystemError("use (others own it or may write to it)", path, .notPermitted)
    }
    return descriptor
  }

  private static func openOrMake(_ path: String) throws(SystemError) -> FileDescriptor {
    let flags = O_RDONLY | O_DIRECTORY
    do { return try FileDescriptor.open(path, flags) } catch {
      guard error.errno == .notFound else { throw error }
    }
    make(path)
    return try FileDescriptor.open(path, flags)
  }

  private static func make(_ path: String) {
    let bytes = Array(path.utf8)
    for index in 1...max(bytes.count, 1) where index == bytes.count || bytes[index] == UInt8(ascii: "/") {
      // A failure shows when the folder is opened: mkdir(2) of what is there already fails too.
      // unsafe: the string is NUL-terminated for the call.
      _ = unsafe mkdir(String(decoding: bytes[..<index], as: UTF8.self), 0o700)
    }
  }

  /// Opens a regular file that only this user can have written; nil when there is none.
  func open(_ name: String) -> FileDescriptor? {
    // unsafe: the name is NUL-terminated for the call.
    let raw = unsafe clinux_openat(descriptor.rawValue, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0)
    guard raw >= 0 else { return nil }
    let file = FileDescriptor(owning: raw)
    guard let status = try? file.status(), clinux_s_isreg(status.st_mode), status.st_uid == geteuid(),
      status.st_mode & 0o022 == 0
    else { return nil }
    return file
  }

  /// Makes a file of an unused temporary name.
  func createTemporary() throws(SystemError) -> TemporaryFile {
    for _ in 0..<16 {
      var random: UInt64 = 0
      // unsafe: getrandom fills the eight bytes it is given; a failure leaves a name that the next line tries all the same.
      _ = unsafe getrandom(&random, 8, 0)
      let name = Folder.temporaryPrefix + String(random, radix: 16)
      // unsafe: the name is NUL-terminated for the call.
      let raw = unsafe clinux_openat(descriptor.rawValue, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      if raw >= 0 { return TemporaryFile(file: FileDescriptor(owning: raw), name: name) }
      guard Errno.current == .exists else { throw SystemError("create a file in", path, .current) }
    }
    throw SystemError("create a file in", path, .exists)
  }

  static let temporaryPrefix = ".new-"

  /// Gives `temporary` its final name, replacing what had it.
  func rename(_ temporary: String, to name: String) throws(SystemError) {
    // unsafe: both names are NUL-terminated for the call.
    guard unsafe renameat(descriptor.rawValue, temporary, descriptor.rawValue, name) == 0 else {
      throw SystemError("rename", "\(path)/\(name)", .current)
    }
  }

  /// Removes a file; that it is gone already is fine.
  func remove(_ name: String) {
    // unsafe: the name is NUL-terminated for the call.
    _ = unsafe unlinkat(descriptor.rawValue, name, 0)
  }

  /// Makes renames last through a power failure.
  func synchronize() { _ = fsync(descriptor.rawValue) }

  /// A file in the folder, as eviction sees it.
  struct Item {
    let name: String
    let count: UInt64
    /// The later of atime and mtime, in seconds.
    let lastUse: Int64
  }

  /// The regular files, at most `limit`, in no order.
  func items(limit: Int = 4096) -> [Item] {
    var items: [Item] = []
    // unsafe: the name is NUL-terminated for the call.
    let raw = unsafe clinux_openat(descriptor.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard raw >= 0 else { return items }
    // unsafe: raw is a fresh descriptor of a folder; the stream owns it from here on and closedir closes it.
    guard let stream = unsafe fdopendir(raw) else {
      _ = close(raw)
      return items
    }
    defer { _ = unsafe closedir(stream) }
    // unsafe: an entry is valid until the next readdir, and its name is NUL-terminated.
    while items.count < limit, let entry = unsafe readdir(stream) {
      let name = unsafe String(cString: clinux_dirent_name(entry))
      var status = stat()
      // unsafe: fstatat fills the one struct it is given.
      guard unsafe fstatat(descriptor.rawValue, name, &status, AT_SYMLINK_NOFOLLOW) == 0, clinux_s_isreg(status.st_mode)
      else { continue }
      items.append(
        Item(
          name: name, count: UInt64(max(0, status.st_size)),
          lastUse: Int64(max(status.st_atim.tv_sec, status.st_mtim.tv_sec))))
    }
    return items
  }
}

/// A file that has no name that anyone looks for yet.
struct TemporaryFile: ~Copyable {
  let file: FileDescriptor
  let name: String
}

/// Seconds since 1970.
func wallClock() -> Int64 {
  var time = timespec()
  // unsafe: clock_gettime fills the one struct it is given.
  _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec)
}

extension FileDescriptor {
  /// Writes all of `buffer` at `offset`.
  borrowing func writeFully(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
    var done = 0
    while done < buffer.count {
      // unsafe: done < buffer.count, so the rest lies inside the caller's buffer.
      let count = unsafe pwrite(
        rawValue, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + done)
      if count < 0 && Errno.current == .interrupted { continue }
      guard count > 0 else { throw SystemError("write", "descriptor \(rawValue)", count == 0 ? .noSpace : .current) }
      done += count
    }
  }

  /// Writes all of `bytes` at `offset`.
  borrowing func writeFully(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
    // unsafe: the buffer stays inside the closure.
    let failure: SystemError? = unsafe bytes.withUnsafeBytes { buffer -> SystemError? in
      // unsafe: the buffer is valid inside the closure.
      do throws(SystemError) { try unsafe writeFully(buffer, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }

  /// At most `count` bytes from `offset`; fewer at the end of the file.
  borrowing func readBytes(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var failure: SystemError?
    // unsafe: the buffer stays inside the closure.
    let got = unsafe bytes.withUnsafeMutableBytes { buffer -> Int in
      // unsafe: the buffer is valid inside the closure.
      do throws(SystemError) { return try unsafe readFully(into: buffer, at: Int64(offset)) } catch { failure = error }
      return 0
    }
    if let failure { throw failure }
    if got < count { bytes.removeLast(count - got) }
    return bytes
  }

  /// Gives the file `count` bytes of zeros and, where the file system can, the room for them: then neither a write nor a touch
  /// of a mapping finds the disk full.
  borrowing func reserve(_ count: UInt64) throws(SystemError) {
    while fallocate(rawValue, 0, 0, off_t(count)) != 0 {
      switch Errno.current {
      case .interrupted: continue
      case .notSupported:
        guard ftruncate(rawValue, off_t(count)) == 0 else {
          throw SystemError("ftruncate", "descriptor \(rawValue)", .current)
        }
        return
      case let errno: throw SystemError("fallocate", "descriptor \(rawValue)", errno)
      }
    }
  }
}
