import CContainer
import CLinux
import System

/// A file system that is being configured (fsopen(2), fsconfig(2)); it becomes a detached mount.
struct FileSystemContext: ~Copyable {
  private let context: FileDescriptor
  private let type: String

  /// Opens a context for file system `type`.
  init(_ type: String) throws(SystemError) {
    self.type = type
    // unsafe: the type is NUL-terminated for the call.
    let raw = unsafe fsopen(type, UInt32(FSOPEN_CLOEXEC))
    guard raw >= 0 else { throw SystemError("fsopen", type, .current) }
    context = FileDescriptor(owning: raw)
  }

  /// The longest value that fsconfig(2) takes as a string.
  static let longestValue = 255

  /// Sets a flag such as "newinstance".
  borrowing func set(_ key: String) throws(SystemError) {
    // unsafe: the key is NUL-terminated for the call.
    guard unsafe ccontainer_fsconfig_flag(context.rawValue, key) == 0 else { throw failure("option '\(key)' of") }
  }

  /// Sets `key` to `value`.
  borrowing func set(_ key: String, _ value: String) throws(SystemError) {
    // unsafe: both strings are NUL-terminated for the call.
    guard unsafe ccontainer_fsconfig_string(context.rawValue, key, value) == 0 else {
      throw failure("option '\(key)=\(value)' of")
    }
  }

  /// Sets an option in the form of mount(8): "key" or "key=value".
  borrowing func set(option: String) throws(SystemError) {
    guard let equals = option.utf8.firstIndex(of: 0x3d) else { return try set(option) }
    try set(String(option[..<equals]), String(option[option.utf8.index(after: equals)...]))
  }

  /// Creates the file system, and a detached mount of it with MOUNT_ATTR_ `attributes`.
  borrowing func mount(attributes: UInt64) throws(SystemError) -> FileDescriptor {
    guard ccontainer_fsconfig_create(context.rawValue) == 0 else { throw failure("mount") }
    let raw = fsmount(context.rawValue, UInt32(FSMOUNT_CLOEXEC), UInt32(attributes))
    guard raw >= 0 else { throw failure("mount") }
    return FileDescriptor(owning: raw)
  }

  /// The error that errno tells, with the kernel's own words where it left some.
  private borrowing func failure(_ operation: String) -> SystemError {
    let errno = Errno.current
    var text = [UInt8](repeating: 0, count: 512)
    let raw = context.rawValue
    // unsafe: the buffer is valid for its count.
    let count = unsafe text.withUnsafeMutableBytes { unsafe read(raw, $0.baseAddress, $0.count) }
    guard count > 2 else { return SystemError(operation, type, errno) }
    // A message is "e NAME: words" with a letter for its severity; the last byte is a newline.
    var message = text[2..<count]
    while let last = message.last, last < 0x20 { message.removeLast() }
    return SystemError(operation, "\(type) (\(String(decoding: message, as: UTF8.self)))", errno)
  }
}
