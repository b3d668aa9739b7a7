import GuestProtocol

/// Two byte streams between init and the host. Class bound, so that Embedded mode can hold it as an existential.
public protocol ChannelTransport: AnyObject {
  /// Asks the host how many bytes it takes now.
  func credit() -> Int
  /// Sends bytes, never more than the last `credit` allows.
  func send(_ bytes: UnsafeRawBufferPointer)
  /// Fills the buffer with what the host has sent, as far as there is something; returns how many bytes.
  func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int
  /// A descriptor that becomes readable when the host has more bytes or more credit than before; -1 to ask now and then.
  var doorbell: Int32 { get }
  /// Takes the rings that made `doorbell` readable. Comes before the streams are looked at.
  func silenceDoorbell()
  /// Whether what was sent waits for `doorbell` to become writable.
  var wantsOutput: Bool { get }
  /// Waits until the host has, or will have, everything that was sent. Comes before the machine is turned off.
  func settle()
  /// Bytes of standard input that the host may send ahead of the command.
  var inputWindow: Int { get }
  /// Tells the host how far the start has come.
  func mark(_ phase: Phase)
}
