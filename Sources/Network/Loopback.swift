import CContainer
import CLinux
import System

/// The interface `lo` of the caller's network namespace.
public enum Loopback {
  /// Switches it on; the kernel then gives it 127.0.0.1 and ::1. Three system calls, since every container does it.
  /// - Throws: `NetworkError` without CAP_NET_ADMIN over the namespace.
  public static func up() throws(NetworkError) {
    let raw = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw NetworkError("lo", SystemError("socket", "", .current)) }
    let socket = FileDescriptor(owning: raw)
    guard unsafe ccontainer_set_interface_flags(socket.rawValue, "lo", Int16(IFF_UP)) == 0 else {
      throw NetworkError("lo", SystemError("SIOCSIFFLAGS", "lo up", .current))
    }
  }
}
