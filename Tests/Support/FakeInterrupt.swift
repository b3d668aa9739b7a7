import System
import Virtio

/// An interrupt line that counts.
public final class FakeInterrupt: Interrupt, @unchecked Sendable {
  private let lock = Lock()
  private var raised = 0

  public init() {}
  public func raise() { lock.withLock { raised += 1 } }
  /// How often the line was raised so far.
  public var count: Int { lock.withLock { raised } }
}
