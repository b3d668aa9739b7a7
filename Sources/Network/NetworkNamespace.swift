import CContainer
import CLinux
import System

/// A network namespace (network_namespaces(7)), kept alive by the descriptor.
public struct NetworkNamespace: ~Copyable {
  public let descriptor: FileDescriptor

  /// The namespace behind `descriptor`, a file of nsfs.
  public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// The calling thread's.
  public static func current() throws(NetworkError) -> NetworkNamespace {
    try open("/proc/thread-self/ns/net")
  }

  /// That of process `pid`, which must not have been waited for, so that its number is still its own.
  public static func of(process pid: Int32) throws(NetworkError) -> NetworkNamespace {
    try open("/proc/\(pid)/ns/net")
  }

  /// The one at `path`, for example /run/netns/NAME.
  public static func open(_ path: String) throws(NetworkError) -> NetworkNamespace {
    do throws(SystemError) {
      return NetworkNamespace(try FileDescriptor.open(path, O_RDONLY))
    } catch {
      throw NetworkError("network namespace", error)
    }
  }

  /// A new one, in which nothing but a `lo` that is down exists. The calling thread stays in its own.
  /// - Throws: `NetworkError` without CAP_SYS_ADMIN.
  public static func make() throws(NetworkError) -> NetworkNamespace {
    let own = try current()
    guard unshare(CLONE_NEWNET) == 0 else {
      throw NetworkError("network namespace", SystemError("unshare", "CLONE_NEWNET", .current))
    }
    defer { own.enterOrDie() }
    return try current()
  }

  /// Runs `body` with the calling thread inside. What `body` opens (a socket) stays inside.
  func inside<Value: ~Copyable>(_ body: () throws(NetworkError) -> Value) throws(NetworkError) -> Value {
    let own = try Self.current()
    guard setns(descriptor.rawValue, CLONE_NEWNET) == 0 else {
      throw NetworkError("network namespace", SystemError("setns", "CLONE_NEWNET", .current))
    }
    defer { own.enterOrDie() }
    return try body()
  }

  /// Everything later would be done in the wrong place.
  private func enterOrDie() {
    if setns(descriptor.rawValue, CLONE_NEWNET) != 0 {
      die("cannot return to the own network namespace: \(Errno.current)")
    }
  }
}
