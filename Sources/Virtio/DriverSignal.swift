import CLinux
import System

/// What a device can tell its driver: that it used buffers, and that it needs a reset. Shared by the device and its
/// transport, so that a device needs no way back to the transport. Its lock is the innermost: nothing is called under it.
public final class DriverSignal: @unchecked Sendable {
  private let interrupt: any Interrupt
  private let lock = Lock()
  /// InterruptStatus (virtio 1.2, section 4.2.2).
  private var causes: UInt32 = 0
  /// DRIVER_OK is set, so that interrupts may be sent (section 2.1.2).
  private var live = false
  private var error: QueueError?

  /// Interrupts go to `interrupt`.
  init(interrupt: any Interrupt) { self.interrupt = interrupt }

  /// Used buffers were returned, and the driver wants to know.
  public func usedBuffers() { send(VIRTIO_MMIO_INT_VRING) }

  /// The driver broke a rule, or the device cannot go on: nothing is processed until a reset (section 2.1.2).
  public func needsReset(_ error: QueueError) {
    lock.withLock { if self.error == nil { self.error = error } }
    send(VIRTIO_MMIO_INT_CONFIG)
  }

  private func send(_ cause: Int32) {
    let mayRaise = lock.withLock {
      if live { causes |= UInt32(cause) }
      return live
    }
    // Raised even when the cause was pending already: the driver may have read the causes before and not acknowledged yet.
    if mayRaise { interrupt.raise() }
  }

  // MARK: For the transport

  /// Why a reset is needed, if it is.
  var failure: QueueError? { lock.withLock { error } }
  /// The causes that the driver has not acknowledged.
  var pending: UInt32 { lock.withLock { causes } }
  /// The driver has handled these causes.
  func acknowledge(_ handled: UInt32) { lock.withLock { causes &= ~handled } }
  /// DRIVER_OK was set.
  func start() { lock.withLock { live = true } }
  /// The device was reset.
  func clear() {
    lock.withLock {
      causes = 0
      live = false
      error = nil
    }
  }
}
