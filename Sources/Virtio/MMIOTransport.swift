import GuestMemory
import System

/// A virtio-mmio device, register layout version 2 (virtio 1.2, section 4.2).
public final class MMIOTransport: @unchecked Sendable {
  /// Bytes of address space that the registers take.
  public static let windowSize: UInt64 = 0x1000
  /// Where a write of any value is a queue notification: the offset for an ioeventfd of 4 bytes, without data match.
  public static let notifyOffset: UInt64 = 0x50

  /// Becomes readable when queues wait to be served: hand it to an ioeventfd at `notifyOffset`, watch it in the loop
  /// and call `serveDoorbell`. To be watched even without an ioeventfd, since it also carries work left over.
  public let doorbell: EventFD

  /// The registers of `device`, whose rings lie in `memory`.
  /// - Throws: `SystemError` when there is no descriptor left for the doorbell.
  public init(device: any VirtioDevice, memory: GuestRAM, interrupt: any Interrupt) throws(SystemError) {
    doorbell = try EventFD()
  }

  /// A guest's load of `width` bytes at `offset` in the window.
  public func read(offset: UInt64, width: Int) -> UInt64 { 0 }

  /// A guest's store of `width` bytes at `offset` in the window.
  public func write(offset: UInt64, width: Int, value: UInt64) {}

  /// Drains the doorbell and serves every queue; for the thread that watches the doorbell.
  public func serveDoorbell() {}

  /// True: returns when no request is in flight, and none is started. False: goes on.
  public func setPaused(_ paused: Bool) {}

  /// Resets the device as the driver's write of 0 to Status does; for the end of the machine.
  public func reset() {}

  /// Why the device needs a reset, if it does.
  public var failure: QueueError? { nil }
}
