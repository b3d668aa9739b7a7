import CLinux

/// A Linux error number (errno(3)) with the C library's text for it.
public struct Errno: Equatable, Sendable, CustomStringConvertible {
  /// The number, as errno(3) lists it; never 0.
  public let rawValue: Int32

  /// Wraps `rawValue`.
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The calling thread's errno.
  public static var current: Errno { Errno(rawValue: clinux_errno()) }

  public static let badAddress = Errno(rawValue: EFAULT)
  public static let again = Errno(rawValue: EAGAIN)
  public static let interrupted = Errno(rawValue: EINTR)
  public static let invalid = Errno(rawValue: EINVAL)
  public static let noMemory = Errno(rawValue: ENOMEM)
  public static let notFound = Errno(rawValue: ENOENT)
  public static let notPermitted = Errno(rawValue: EPERM)
  public static let accessDenied = Errno(rawValue: EACCES)
  public static let exists = Errno(rawValue: EEXIST)
  public static let busy = Errno(rawValue: EBUSY)
  public static let brokenPipe = Errno(rawValue: EPIPE)
  public static let ioError = Errno(rawValue: EIO)
  public static let noSpace = Errno(rawValue: ENOSPC)
  public static let notSupported = Errno(rawValue: EOPNOTSUPP)
  public static let notTTY = Errno(rawValue: ENOTTY)

  /// The C library's text, for example "No such file or directory".
  public var description: String {
    // unsafe: strerror returns a NUL-terminated string that stays valid until this thread's next strerror call.
    guard let text = unsafe strerror(rawValue) else { return "error \(rawValue)" }
    return unsafe String(cString: text)
  }
}

/// A system call that failed: what was tried, on what, and why.
public struct SystemError: Error, Equatable, CustomStringConvertible {
  /// The operation in the words of its manual page, for example "open".
  public let operation: String
  /// The file, descriptor or other object it was tried on; may be empty.
  public let object: String
  /// Why the kernel refused.
  public let errno: Errno

  /// An error of `operation` on `object`.
  public init(_ operation: String, _ object: String, _ errno: Errno) {
    self.operation = operation
    self.object = object
    self.errno = errno
  }

  /// "open /dev/kvm: Permission denied".
  public var description: String {
    object.isEmpty ? "\(operation): \(errno)" : "\(operation) \(object): \(errno)"
  }
}

/// Repeats `body` while a signal interrupts it; returns its value, or nil with errno set when it returned -1.
@inline(__always)
public func retryingInterrupts<Value: FixedWidthInteger & SignedInteger>(_ body: () -> Value) -> Value? {
  while true {
    let value = body()
    if value != -1 { return value }
    if clinux_errno() != EINTR { return nil }
  }
}

/// A broken invariant of vmrun itself: says so on standard error and ends the process with code 125, since a failed
/// `precondition` is mute in Embedded mode. Never called for anything that a guest, an image or a user did.
public func die(_ message: String) -> Never {
  var line = "vmrun: internal error: \(message)\n"
  // unsafe: the buffer is valid for the call and write(2) only reads it.
  line.withUTF8 { _ = unsafe write(2, $0.baseAddress, $0.count) }
  _exit(125)
}
