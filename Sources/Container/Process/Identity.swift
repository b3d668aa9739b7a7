import CContainer
import CLinux
import OCI
import System

/// Names and kernel parameters of the namespaces that the caller is in: `hostname`, `domainname`, `linux.sysctl`.
enum Identity {
  /// Sets everything for the caller's namespaces. `proc` is a descriptor of the host's /proc: the kernel looks at who writes.
  static func apply(spec: Spec, proc: Int32) throws(ContainerError) {
    // unsafe: `set` gives the call a terminated name and its length.
    if let name = spec.hostname, unsafe !set(name, sethostname) {
      throw ContainerError(.system, "hostname: '\(name)': \(Errno.current)")
    }
    // unsafe: as above.
    if let name = spec.domainname, unsafe !set(name, setdomainname) {
      throw ContainerError(.system, "domainname: '\(name)': \(Errno.current)")
    }
    for parameter in spec.linux.sysctl {
      let path = try path(of: parameter.name)
      do throws(SystemError) {
        try HostProcFile.write(parameter.value, to: "sys/\(path)", proc: proc)
      } catch {
        throw ContainerError(.system, "linux.sysctl: \(parameter.name) = '\(parameter.value)': \(error)")
      }
    }
  }

  private static func set(_ name: String, _ call: (UnsafePointer<CChar>, Int) -> Int32) -> Bool {
    let bytes = Array(name.utf8)
    // unsafe: the calls read as many bytes as they are told.
    return unsafe StringVector.withTerminated(bytes) { unsafe call($0, bytes.count) } == 0
  }

  /// The path below /proc/sys that `key` means, as sysctl(8) reads it: its first '.' or '/' is the separator, and the other
  /// of the two stands for it within a name.
  static func path(of key: String) throws(ContainerError) -> String {
    var bytes = Array(key.utf8)
    let dot = UInt8(ascii: "."), slash = UInt8(ascii: "/")
    if let first = bytes.first(where: { $0 == dot || $0 == slash }), first == dot {
      for index in bytes.indices {
        if bytes[index] == dot { bytes[index] = slash } else if bytes[index] == slash { bytes[index] = dot }
      }
    }
    for component in bytes.split(separator: slash, omittingEmptySubsequences: false) {
      let isDots = component.count <= 2 && component.allSatisfy { $0 == dot }  // so are "" and "."
      guard !isDots, !component.contains(0) else {
        throw ContainerError(.invalid, "linux.sysctl: '\(key)' is no name of a kernel parameter")
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
