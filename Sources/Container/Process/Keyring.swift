import CContainer
import CLinux
import System

/// The session keyring of a container (session-keyring(7)), so that it does not see the launcher's keys.
enum Keyring {
  /// KEY_USR_SEARCH of keyctl(2): the container's users may find keys in it.
  private static let userSearch: UInt32 = 0x0008_0000

  /// Replaces the caller's session keyring by a new one. It has no name: a name would let others join it, or have one of that name
  /// joined that they made before.
  static func join() throws(ContainerError) {
    let key = ccontainer_new_session_keyring()
    guard key >= 0 else {
      let errno = Errno.current
      // A kernel without keyrings has none to hide.
      if errno == Errno(rawValue: ENOSYS) { return }
      let hint =
        errno == Errno(rawValue: EDQUOT)
        ? ": raise sysctl kernel.keys.maxkeys and kernel.keys.maxbytes, or keep the session keyring with --no-new-keyring"
        : ""
      throw ContainerError(
        .system, "session keyring: \(errno)\(hint)")
    }
    guard let permissions = permissions(of: key), permissions & userSearch == 0 else { return }
    guard ccontainer_set_key_permissions(key, permissions | userSearch) == 0 else {
      throw ContainerError("session keyring", SystemError("setperm", "", .current))
    }
  }

  /// The fourth field of "type;uid;gid;permissions;description", in hexadecimal digits.
  private static func permissions(of key: Int) -> UInt32? {
    var text = [UInt8](repeating: 0, count: 256)
    // unsafe: the kernel writes at most the buffer's size, and tells the length that it would need.
    let length = unsafe text.withUnsafeMutableBytes { unsafe ccontainer_describe_key(key, $0.baseAddress, $0.count) }
    guard length > 0, length <= text.count else { return nil }
    let fields = text[..<length].split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    guard fields.count >= 4, !fields[3].isEmpty, fields[3].count <= 8 else { return nil }
    var value: UInt32 = 0
    for digit in fields[3] {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(digit - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(digit - UInt8(ascii: "a") + 10)
      default: return nil
      }
    }
    return value
  }
}
