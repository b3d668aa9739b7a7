import CContainer
import CLinux
import System

/// The user's wish to end: SIGINT, SIGTERM or SIGHUP. The first one is noted, so that what was measured is reported; from then on
/// the signals do what they do by default, so that a second one ends the bench at once.
public final class Interruption {
  /// A class, as an optional of what cannot be copied is consumed by looking at it.
  private final class Signals {
    let descriptor: SignalFD
    init() throws(SystemError) { descriptor = try SignalFD(Interruption.numbers) }
  }

  private let signals: Signals?
  /// Whether the end was asked for.
  public private(set) var isRequested = false

  /// Takes the signals over when `takesSignals`; without, only `request()` asks for the end.
  public init(takesSignals: Bool) throws(BenchError) {
    signals = takesSignals ? try naming("") { () throws(SystemError) in try Signals() } : nil
  }

  private static let numbers: [Int32] = [SIGINT, SIGTERM, SIGHUP]

  /// Becomes readable with a signal; -1 for none.
  var descriptor: Int32 { isRequested ? -1 : signals?.descriptor.descriptor.rawValue ?? -1 }

  /// Asks for the end.
  public func request() { isRequested = true }

  /// Whether the end was asked for by now.
  public func check() -> Bool {
    if !isRequested, signals?.descriptor.next() != nil { isRequested = true }
    return isRequested
  }

  /// Gives the signals their default actions back: to be called when children are ended.
  public func release() {
    for number in Self.numbers { clinux_default_signal(number) }
    ccontainer_unblock_signals()
  }
}
