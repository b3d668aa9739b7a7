import CLinux
import System

/// What the pump tells besides bytes. Called on the event loop's thread.
public protocol InputPumpClient: AnyObject {
  /// The user typed the escape that ends the VM.
  func escapeTyped()
}

/// Reads standard input on the event loop, only as fast as its consumer takes it.
public final class InputPump: EventHandler, @unchecked Sendable {
  /// A pump from descriptor `number`, which stays open. Escapes are looked for when `escapes` and it is a terminal.
  public init(
    inherited number: Int32, loop: EventLoop, consumer: any InputConsumer, escapes: Bool, client: any InputPumpClient
  ) throws(SystemError) {}
  /// Reads what is there, and watches for more.
  public func start() {}
  /// Any thread: the consumer has room again.
  public func resume() {}
  /// Stops reading for good.
  public func stop() {}
  public func handle(events: UInt32, token: UInt32) {}
}
