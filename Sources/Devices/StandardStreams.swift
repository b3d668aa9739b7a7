import CLinux
import System

/// Descriptors 0, 1 and 2 as they were inherited.
public enum StandardStreams {
  /// Occupies those of 0, 1 and 2 that are closed, so that no file opened later takes their place and is then read as the
  /// user's input or written over by the guest's output. Call before anything is opened.
  /// - Returns: which were closed; they behave like /dev/null now.
  @discardableResult
  public static func hold() -> [Int32] {
    var closed: [Int32] = []
    for number in Int32(0)...2 where clinux_fcntl(number, F_GETFD, 0) == -1 && clinux_errno() == EBADF {
      // open(2) takes the lowest free number. Without /dev the root folder keeps the place: it can be neither read nor written.
      // unsafe: the path is a constant string, valid for the call.
      if unsafe clinux_open("/dev/null", O_RDWR, 0) < 0 { _ = unsafe clinux_open("/", O_RDONLY, 0) }
      closed.append(number)
    }
    return closed
  }

  /// True when both descriptors are the same file (`2>&1`): one pump must serve both then, to keep the order.
  public static func same(_ first: Int32, _ second: Int32) -> Bool {
    var one = stat()
    var other = stat()
    // unsafe: fstat fills the one struct it is given.
    guard unsafe fstat(first, &one) == 0, unsafe fstat(second, &other) == 0 else { return false }
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino
  }
}
