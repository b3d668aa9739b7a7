import GuestMemory
import System

/// The entropy device (virtio 1.2, section 5.4): random bytes of the host's kernel.
public final class Entropy: VirtioDevice, @unchecked Sendable {
  public let identity = DeviceIdentity(deviceID: 4, features: 0, queueSizes: [64])

  /// A device whose queue reads and writes `memory`.
  public init(memory: GuestRAM) {}
  public func readConfig(offset: UInt64, width: Int) -> UInt64 { 0 }
  public func activate(queues: [Queue?], features: UInt64, driver: DriverSignal) throws(SystemError) {}
  public func serve(queue: Int) -> Bool { false }
  public func setPaused(_ paused: Bool) {}
  public func reset() {}
}
