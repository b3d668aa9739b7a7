import CContainer
import CLinux
import Foundation
import System
import Testing

@testable import Network

/// A body's result or error, carried out of a thread.
private final class Outcome<Value>: @unchecked Sendable { var result: Result<Value, any Error>? }

/// Runs `body` on a thread of its own in a network namespace of its own; nothing of it is left afterwards.
func inPrivateNetwork<Value>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
  try #require(geteuid() == 0, "network namespaces need root")
  let outcome = Outcome<Value>()
  let thread = try System.Thread(stackSize: 1 << 20) {
    guard unshare(CLONE_NEWNET) == 0 else {
      outcome.result = .failure(SystemError("unshare", "CLONE_NEWNET", .current))
      return
    }
    outcome.result = Result { try body() }
  }
  thread.join()
  return try #require(outcome.result).get()
}

/// A folder that goes with the object.
final class Folder: Sendable {
  let path: String
  init() throws {
    let url = FileManager.default.temporaryDirectory.appending(path: "vmrun-net-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A TCP exchange on the calling thread's namespaces: one listens, the other sends, the first says what came.
enum TCP {
  static func address(_ address: IPv4Address, _ port: UInt16) -> sockaddr_in {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    name.sin_addr.s_addr = address.value.bigEndian
    return name
  }

  /// Listens in `namespace`.
  static func listen(_ at: IPv4Address, _ port: UInt16, in namespace: borrowing NetworkNamespace) throws
    -> FileDescriptor
  {
    let listener = try socket(in: namespace)
    var name = address(at, port)
    let bound = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener.rawValue, .init(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard bound == 0, CContainer.listen(listener.rawValue, 8) == 0 else { throw SystemError("bind", "\(at)", .current) }
    return listener
  }

  static func socket(in namespace: borrowing NetworkNamespace) throws -> FileDescriptor {
    try namespace.inside { () throws(NetworkError) in
      FileDescriptor(
        owning: CContainer.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    }
  }

  /// Sends `text` to a listener and returns what arrives there; throws after two seconds.
  static func send(
    _ text: String, from client: borrowing FileDescriptor, to address: IPv4Address, _ port: UInt16,
    listener: borrowing FileDescriptor
  ) throws -> String {
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    for descriptor in [client.rawValue, listener.rawValue] {
      for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
      }
    }
    var name = Self.address(address, port)
    let connected = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(client.rawValue, .init(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw SystemError("connect", "\(address)", .current) }
    let accepted = accept(listener.rawValue, .init(__sockaddr__: nil), nil)
    guard accepted >= 0 else { throw SystemError("accept", "", .current) }
    let server = FileDescriptor(owning: accepted)
    try client.writeFully(Array(text.utf8))
    var buffer = [UInt8](repeating: 0, count: 100)
    let count = try buffer.withUnsafeMutableBytes { try server.read(into: $0) }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
