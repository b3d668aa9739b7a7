import CContainer
import CLinux
import JSON
import OCI
import System

/// Hands a filter's listener to the agent that answers for it (`linux.seccomp.listenerPath`).
enum SeccompListener {
  /// Takes the listener, descriptor `number`, out of the process of `pidfd`, which has just installed its filter, and sends it
  /// with the container process state (config-linux.md, "The Container Process State") in one message to the profile's socket.
  /// - Parameters:
  ///   - pid: the process's; nil for the container's first one.
  ///   - status: the container's.
  static func send(
    listenerOf pidfd: Int32, number: Int32, pid: Int32? = nil, seccomp: Seccomp?, status: ContainerStatus
  ) throws(ContainerError) {
    guard let path = seccomp?.listenerPath else {
      throw ContainerError(.invalid, "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs one")
    }
    let raw = ccontainer_pidfd_getfd(pidfd, number)
    guard raw >= 0 else { throw ContainerError("linux.seccomp", SystemError("pidfd_getfd", "the listener", .current)) }
    let listener = FileDescriptor(owning: raw)
    let state = processState(pid: pid ?? status.pid, metadata: seccomp?.listenerMetadata, state: status.json())
    try send(listener, beside: state.serialized(pretty: false), to: path)
  }

  static func send(_ listener: borrowing FileDescriptor, beside message: [UInt8], to path: String)
    throws(ContainerError)
  {
    // unsafe: the path is terminated for the call.
    let raw = unsafe ccontainer_local_socket(path, Int32(SOCK_STREAM.rawValue), 0)
    guard raw >= 0 else { throw ContainerError("linux.seccomp.listenerPath", SystemError("connect", path, .current)) }
    let socket = FileDescriptor(owning: raw)
    let number = listener.rawValue
    // unsafe: the bytes live for the call, which reads them.
    let count = unsafe message.withUnsafeBytes { unsafe ccontainer_send(raw, $0.baseAddress, $0.count, number) }
    guard count >= 0 else { throw ContainerError("linux.seccomp.listenerPath", SystemError("sendmsg", path, .current)) }
    // The descriptor went with the first bytes; a stream may have taken less than all.
    if count < message.count {
      let rest = Array(message[count...])
      try naming("linux.seccomp.listenerPath") { () throws(SystemError) in try socket.writeFully(rest) }
    }
  }

  /// The specification's ContainerProcessState.
  static func processState(pid: Int32, metadata: String?, state: JSON) -> JSON {
    var members: [JSON.Member] = []
    if case .object(let fields) = state, let version = fields.first(where: { $0.name == "ociVersion" }) {
      members.append(version)
    }
    members.append(JSON.Member("fds", .array([.string("seccompFd")])))
    members.append(JSON.Member("pid", .integer(Int64(pid))))
    if let metadata { members.append(JSON.Member("metadata", .string(metadata))) }
    members.append(JSON.Member("state", state))
    return .object(members)
  }
}
