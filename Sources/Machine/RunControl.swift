import Devices
import Synchronization
import System

/// How the threads of one machine agree on its end: whoever sees it first says how, and everybody stops.
package final class RunControl: @unchecked Sendable {
  /// Readable when the machine has an outcome; for the main loop.
  package let ended: EventFD

  private let stopping = Atomic<Bool>(false)
  private let lock = Lock()
  private var first: Outcome?

  package init() throws(SystemError) { ended = try EventFD() }

  /// The first outcome that was told.
  package var outcome: Outcome? { lock.withLock { first } }

  /// Whether threads should return.
  package var isStopping: Bool { stopping.load(ordering: .acquiring) }

  /// Ends the machine with `outcome`, unless it has one. Callable from any thread.
  package func finish(_ outcome: Outcome) {
    let isFirst = lock.withLock {
      if first != nil { return false }
      first = outcome
      return true
    }
    guard isFirst else { return }
    stopping.store(true, ordering: .releasing)
    ended.signal()
  }

  /// Ends the machine when `pump`, which carries `what`, loses its output.
  package func endOnLoss(of pump: OutputPump, _ what: String) {
    pump.onLoss { [self] loss in
      switch loss {
      case .readerGone: finish(.outputClosed)
      case .failed(let errno): finish(.failure("cannot write \(what): \(errno)"))
      }
    }
  }
}
