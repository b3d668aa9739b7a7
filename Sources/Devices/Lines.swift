/// A wire from a device to an interrupt controller's edge-triggered input. Called from any thread; must not call back into
/// the device that raises it.
public protocol InterruptLine: AnyObject, Sendable {
  /// One rising edge.
  func raise()
}

/// Takes message-signalled interrupts (Intel SDM volume 3, 11.11 "Message Signalled Interrupts"). Called from any thread.
public protocol MSISink: AnyObject, Sendable {
  /// Delivers the message `data` to the interrupt address `address`.
  func deliver(address: UInt64, data: UInt32)
}

/// Takes bytes in order. Called from any thread; may block the caller until there is room.
public protocol ByteSink: AnyObject, Sendable {
  /// Takes all of `bytes`.
  func write(_ bytes: Span<UInt8>)
}

/// A byte sink with bounded room that its producer is told, so that the producer never has to wait.
public protocol CreditedSink: AnyObject, Sendable {
  /// How many bytes it takes now; only its own consumer makes this larger.
  var room: Int { get }
  /// Takes all of `bytes` without waiting.
  func append(_ bytes: Span<UInt8>)
  /// Registers what is called, from any thread and with no lock held, each time that `room` has grown.
  func onRoom(_ body: @escaping @Sendable () -> Void)
}

/// Where the bytes of vmrun's standard input go.
public protocol InputConsumer: AnyObject, Sendable {
  /// How many bytes it takes now; only the consumer itself makes this larger.
  var inputRoom: Int { get }
  /// Takes all of `bytes`, which are at most `inputRoom`.
  func takeInput(_ bytes: Span<UInt8>)
  /// No byte will follow.
  func endInput()
}

/// Tells the guest that something waits for it. Called from any thread.
public protocol Doorbell: AnyObject, Sendable {
  /// Rings once; rings that the guest has not looked at yet may merge.
  func ring()
}
