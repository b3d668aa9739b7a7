import CContainer
import CLinux
import JSON
import System

/// Hands a filter's listener to the agent that answers for it (`linux.seccomp.listenerPath`).
public enum SeccompListener {
  /// Takes descriptor `number` out of process `pid`, which has just installed its filter.
  public static func take(_ number: Int32, from pid: Int32) throws(ContainerError) -> FileDescriptor {
    let process = ccontainer_pidfd_open(pid)
    guard process >= 0 else { throw ContainerError("seccomp listener", SystemError("pidfd_open", "\(pid)", .current)) }
    return try take(number, fromProcess: FileDescriptor(owning: process))
  }

  /// The same by the process's descriptor.
  public static func take(_ number: Int32, fromProcess process: borrowing FileDescriptor) throws(ContainerError)
    -> FileDescriptor
  {
    let raw = ccontainer_pidfd_getfd(process.rawValue, number)
    guard raw >= 0 else {
      throw ContainerError("seccomp listener", SystemError("pidfd_getfd", "descriptor \(number)", .current))
    }
    return FileDescriptor(owning: raw)
  }

  /// Sends the listener and the container process state (runtime specification, config-linux.md, "The Container Process State")
  /// in one message to the socket at `path`.
  /// - Parameters:
  ///   - state: the container's state as `state` prints it.
  ///   - metadata: `linux.seccomp.listenerMetadata`.
  public static func send(
    _ listener: borrowing FileDescriptor, to path: String, pid: Int32, metadata: String?, state: JSON
  ) throws(ContainerError) {
    // unsafe: the path lives for the call.
    let raw = unsafe CStrings.with(Array(path.utf8)) { unsafe ccontainer_connect_unix($0) }
    guard raw >= 0 else { throw ContainerError("linux.seccomp.listenerPath", SystemError("connect", path, .current)) }
    let socket = FileDescriptor(owning: raw)
    let message = processState(pid: pid, metadata: metadata, state: state).serialized(pretty: false)
    // unsafe: the bytes live for the call, which reads them.
    let count = unsafe message.withUnsafeBytes {
      unsafe ccontainer_send_descriptor(socket.rawValue, $0.baseAddress, $0.count, listener.rawValue)
    }
    guard count >= 0 else { throw ContainerError("linux.seccomp.listenerPath", SystemError("sendmsg", path, .current)) }
    // The descriptor went with the first bytes; a stream may have taken less than all.
    if count < message.count {
      try naming("linux.seccomp.listenerPath") { () throws(SystemError) in
        try socket.writeFully(Array(message[count...]))
      }
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
