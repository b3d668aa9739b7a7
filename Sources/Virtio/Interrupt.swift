/// A line on which a device interrupts its driver. Edge triggered: every call is one interrupt.
///
/// Called from any thread, some of them holding the device's lock: an implementation neither blocks nor calls back into
/// the transport.
public protocol Interrupt: AnyObject, Sendable {
  /// Raises the line once.
  func raise()
}
