import System

/// What the guest's init told over the payload channel.
public enum PayloadEvent: Equatable, Sendable {
  /// Init runs and speaks the protocol.
  case hello
  /// The command was executed.
  case started
  /// The command ended by exit(2) with `code` (0...255).
  case exited(code: UInt8)
  /// The command was killed by `signal` (1...64).
  case killed(signal: UInt8)
  /// The command could not be started: exit code 125, 126 or 127, and why; the text is safe to print.
  case failed(code: UInt8, message: String)
  /// The guest broke the protocol; the VM must be ended. The text says how.
  case violated(String)
}

/// Who is told of the payload's life. Called on vCPU threads with no lock held.
public protocol PayloadClient: AnyObject, Sendable {
  /// Output that came before the event has reached the sinks already.
  func payload(_ event: PayloadEvent)
  /// The guest takes standard input again.
  func payloadTakesInput()
}

/// The host's end of the payload channel: ports 0x610...0x61F.
public final class PayloadChannel: InputConsumer, @unchecked Sendable {
  public static let portBase: UInt16 = 0x610
  public static let portCount: UInt16 = 16

  public init(
    output: any CreditedSink, errors: any CreditedSink, doorbell: any Doorbell, client: any PayloadClient
  ) {}

  /// A string read of `port - portBase`.
  public func read(offset: UInt16, into bytes: inout MutableSpan<UInt8>) {}
  /// A string write to `port - portBase`.
  public func write(offset: UInt16, _ bytes: Span<UInt8>) {}

  /// Asks init to send signal `number` to the command; false when the guest has stopped reading its stream.
  @discardableResult
  public func send(signal number: Int32) -> Bool { false }
  /// Tells init the terminal's new size; false when the guest has stopped reading its stream.
  @discardableResult
  public func send(windowSize: WindowSize) -> Bool { false }

  public var inputRoom: Int { 0 }
  public func takeInput(_ bytes: Span<UInt8>) {}
  public func endInput() {}
}
