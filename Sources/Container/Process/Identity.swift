import CContainer
import CLinux
import OCI
import System

/// Names and kernel parameters of the namespaces that the caller is in: `hostname`, `domainname`, `linux.sysctl`.
public struct Identity {
  private let hostname: String?
  private let domainname: String?
  private let parameters: [Parameter]

  private struct Parameter {
    let key: String
    let path: String
    let value: String
  }

  /// - Throws: `.invalid` for a sysctl key that is no path below /proc/sys.
  public init(hostname: String?, domainname: String?, sysctl: [Spec.Annotation]) throws(ContainerError) {
    self.hostname = hostname
    self.domainname = domainname
    var parameters: [Parameter] = []
    for entry in sysctl {
      parameters.append(Parameter(key: entry.name, path: try Self.path(of: entry.name), value: entry.value))
    }
    self.parameters = parameters
  }

  /// Sets everything for the caller's namespaces. `proc` is a descriptor of the host's /proc.
  public func apply(proc: Int32) throws(ContainerError) {
    if var name = hostname {
      // unsafe: the bytes live for the call, which reads as many as it is told.
      let result = name.withUTF8 { name in
        unsafe CStrings.with(Array(name)) { unsafe sethostname($0, name.count) }
      }
      guard result == 0 else { throw ContainerError(.system, "hostname: '\(name)': \(Errno.current)") }
    }
    if var name = domainname {
      // unsafe: as above.
      let result = name.withUTF8 { name in
        unsafe CStrings.with(Array(name)) { unsafe setdomainname($0, name.count) }
      }
      guard result == 0 else { throw ContainerError(.system, "domainname: '\(name)': \(Errno.current)") }
    }
    for parameter in parameters { try set(parameter, proc) }
  }

  private func set(_ parameter: Parameter, _ proc: Int32) throws(ContainerError) {
    do throws(SystemError) {
      try HostProc(proc).write(parameter.value, to: "sys/\(parameter.path)")
    } catch {
      throw ContainerError(.system, "linux.sysctl: \(parameter.key) = '\(parameter.value)': \(error)")
    }
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
