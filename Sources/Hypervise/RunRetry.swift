import CLinux
import System

/// What follows when KVM_RUN failed (api.rst, section 4.10): pure, so that errors that no test host produces are tested too.
struct RunRetry {
  /// What to do next.
  enum Step: Equatable {
    /// A signal or an exit request came: tell the caller.
    case interrupted
    /// Run again after `microseconds`; 0 for at once.
    case again(microseconds: UInt32)
    case fail(KVMError)
  }

  /// How often a passing error is tolerated in a row before it is an error: about a second in all.
  static let patience = 1000
  /// EAGAIN says that a waiting processor was woken, which happens a few times at its start; more than that is not normal.
  static let promptRetries = 10
  /// Pause before other attempts: memory comes back by reclaim, in the way of which a busy loop would only be.
  static let pause: UInt32 = 1000

  private var failures = 0

  /// Nothing has failed yet.
  init() {}

  /// Decides about `errno`.
  mutating func step(after errno: Errno) -> Step {
    switch errno {
    case .interrupted: return .interrupted
    case .again, .noMemory:
      failures += 1
      if failures > Self.patience { return .fail(.runStuck(errno, attempts: failures)) }
      return .again(microseconds: errno == .again && failures <= Self.promptRetries ? 0 : Self.pause)
    default: return .fail(.call("KVM_RUN", errno))
    }
  }
}
