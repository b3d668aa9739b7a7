import CLinux
import CContainer
import System

/// A cgroup's folder by its absolute path, and the small texts in it. Each access is one open, one transfer, one close:
/// the kernel takes a cgroup file's content in one write(2).
struct CgroupFolder: Equatable {
  let path: String

  init(_ path: String) { self.path = path }

  /// The absolute path of `file`.
  func file(_ file: String) -> String { path == "/" ? "/" + file : path + "/" + file }

  /// Writes `text` as the whole content of `file`, which must exist.
  func write(_ file: String, _ text: String) throws(SystemError) {
    let name = self.file(file)
    let descriptor = try FileDescriptor.open(name, O_WRONLY)
    do throws(SystemError) { try descriptor.writeFully(Array(text.utf8)) } catch {
      throw SystemError("write \(text) to", name, error.errno)
    }
  }

  /// The content of `file`, without the line end; at most 1 MiB.
  func read(_ file: String) throws(SystemError) -> String {
    let name = self.file(file)
    let descriptor = try FileDescriptor.open(name, O_RDONLY)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while bytes.count < 1 << 20 {
      // unsafe: the array outlives the call and is as long as the buffer says.
      let raw = retrying { unsafe CLinux.read(descriptor.rawValue, &chunk, 4096) }
      guard raw >= 0 else { throw SystemError("read", name, .current) }
      if raw == 0 { break }
      bytes.append(contentsOf: chunk[..<raw])
    }
    while bytes.last == UInt8(ascii: "\n") || bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The content of `file`, or nil when it cannot be read.
  func readIfThere(_ file: String) -> String? { try? read(file) }

  /// Whether `file` is there.
  func has(_ file: String) -> Bool {
    // unsafe: the path is NUL-terminated for the call.
    unsafe access(self.file(file), F_OK) == 0
  }

  /// The number in `file`; nil when there is none, `Int64.max` for "max" and for what does not fit.
  func number(_ file: String) -> Int64? {
    guard let text = readIfThere(file) else { return nil }
    return CgroupFolder.number(text)
  }

  /// A number as cgroup files spell it.
  static func number(_ text: Substring) -> Int64? {
    if text == "max" { return .max }
    if let value = Int64(text) { return value }
    return UInt64(text) == nil ? nil : .max
  }

  /// As above.
  static func number(_ text: String) -> Int64? { number(text[...]) }

  /// Makes the folder; false when it was there already.
  func make() throws(SystemError) -> Bool {
    // unsafe: the path is NUL-terminated for the call.
    if unsafe mkdir(path, 0o755) == 0 { return true }
    if Errno.current == .exists { return false }
    throw SystemError("make the cgroup", path, .current)
  }

  /// The file system's type (statfs(2)) and whether it is mounted read-only; nil when the path is not there.
  var fileSystem: (type: UInt, readOnly: Bool)? {
    var status = statfs()
    // unsafe: the path is NUL-terminated and statfs fills the one struct it is given.
    guard unsafe statfs(path, &status) == 0 else { return nil }
    return (UInt(bitPattern: Int(status.f_type)), status.f_flags & 1 != 0)
  }

  /// Whether this process may make entries in the folder.
  var isWritable: Bool {
    // unsafe: the path is NUL-terminated for the call.
    unsafe faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0
  }
}

/// Repeats `body` while a signal interrupts it.
@inline(__always)
func retrying(_ body: () -> Int) -> Int {
  while true {
    let value = body()
    if value != -1 || clinux_errno() != EINTR { return value }
  }
}
