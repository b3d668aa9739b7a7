import CLinux
import System

/// When the moments of one container's start were reached, on CLOCK_MONOTONIC. The parent and the container's first process write into
/// one shared page, each its own moments; it is read after both are done.
@safe public final class SetupClock {
  /// The moments, in the order in which they are reached.
  public enum Moment: Int, CaseIterable, Sendable {
    /// Parent: the cgroup stands. Child: it runs; it has its namespaces; the mounts stand; its root is the container's;
    /// filter and credentials are its last ones. Parent: the process is ready; the program is executed; it has ended.
    case cgroup, clone, namespaces, mounts, pivot, ready, seccomp, exec, payload, exit

    /// The name in tables and JSON.
    public var name: String {
      switch self {
      case .cgroup: return "cgroup"
      case .clone: return "clone"
      case .namespaces: return "namespaces"
      case .mounts: return "mounts"
      case .pivot: return "pivot"
      case .ready: return "ready"
      case .seccomp: return "seccomp"
      case .exec: return "exec"
      case .payload: return "payload"
      case .exit: return "exit"
      }
    }
  }

  private let page: UnsafeMutablePointer<UInt64>
  private static let size = 4096

  /// A page that children share.
  public init() throws(ContainerError) {
    // unsafe: a fresh mapping of the kernel's choice.
    let address = unsafe mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    guard let address = unsafe address, unsafe !clinux_map_failed(address) else {
      throw ContainerError("", SystemError("mmap", "\(Self.size) bytes", .current))
    }
    // unsafe: the page holds 512 of them, zeroed by the kernel, and is aligned.
    unsafe page = address.bindMemory(to: UInt64.self, capacity: Self.size / 8)
  }

  deinit { _ = unsafe munmap(page, Self.size) }

  /// Moment `moment` is now.
  func stamp(_ moment: Moment) {
    // unsafe: there are fewer moments than the page has numbers; each has one writer.
    unsafe page[moment.rawValue] = Clock.now()
  }

  /// When `moment` was, in nanoseconds of CLOCK_MONOTONIC; nil when it was not reached.
  public func time(of moment: Moment) -> UInt64? {
    // unsafe: as above.
    let time = unsafe page[moment.rawValue]
    return time == 0 ? nil : time
  }
}
