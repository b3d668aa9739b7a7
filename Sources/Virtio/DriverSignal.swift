import System

/// What a device can tell its driver: the two interrupt causes and DEVICE_NEEDS_RESET. Shared by the device and its
/// transport, so that a device needs no way back to the transport. Its lock is the innermost: nothing is called under it.
public final class DriverSignal: @unchecked Sendable {
  private let interrupt: any Interrupt
  private let lock = Lock()

  /// Interrupts go to `interrupt`.
  public init(interrupt: any Interrupt) { self.interrupt = interrupt }

  /// Used buffers were returned and the driver wants to know.
  public func usedBuffers() {}
  /// The driver broke the rules, or the device cannot go on: nothing is processed until a reset.
  public func needsReset(_ error: QueueError) {}
}
