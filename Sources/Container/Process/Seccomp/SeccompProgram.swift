import CContainer
import CLinux
import OCI
import System

/// A seccomp profile as the kernel takes it: a classic BPF program and the flags to install it with (seccomp(2)).
struct SeccompProgram: Equatable, Sendable {
  /// Instructions as `struct sock_filter` lays them out, 8 bytes each.
  let code: [UInt8]
  /// SECCOMP_FILTER_FLAG_ bits.
  let flags: UInt32
  /// Whether some rule notifies; the flags then ask for a listener.
  let notifies: Bool

  /// Installs the program for the calling process. Needs no_new_privs or CAP_SYS_ADMIN.
  /// - Returns: the listener's descriptor, close-on-exec, when the program notifies.
  func install() throws(ContainerError) -> Int32? {
    let flags = flags | (notifies ? UInt32(SECCOMP_FILTER_FLAG_NEW_LISTENER) : 0)
    // unsafe: the kernel reads as many instructions as the array has.
    let result = unsafe code.withUnsafeBytes {
      unsafe ccontainer_seccomp_install($0.baseAddress, UInt16(truncatingIfNeeded: $0.count / 8), flags)
    }
    guard result >= 0 else { throw refusal(.current) }
    return notifies ? Int32(truncatingIfNeeded: result) : nil
  }

  private func refusal(_ errno: Errno) -> ContainerError {
    switch errno {
    case .accessDenied:
      return ContainerError(
        .system,
        "linux.seccomp: \(errno): a filter needs process.noNewPrivileges or CAP_SYS_ADMIN, and there is neither")
    case .invalid:
      return ContainerError(
        .notSupported, "linux.seccomp: \(errno): the kernel does not know a flag or an action of the profile")
    case .busy:
      return ContainerError(.system, "linux.seccomp: \(errno): a filter with a listener is there already")
    default: return ContainerError("linux.seccomp", SystemError("seccomp", "\(code.count / 8) instructions", errno))
    }
  }
}
