import GuestMemory
import System

/// Why a disk cannot be used; the text names the file.
public struct DiskError: Error, CustomStringConvertible {
  public var description: String
}

/// The block device (virtio 1.2, section 5.2) on a raw file or a block device of the host.
public final class Block: VirtioDevice, @unchecked Sendable {
  public let identity = DeviceIdentity(deviceID: 2, features: 0, queueSizes: [256])

  /// Opens and locks `path`. `serial` is what the guest reads as the disk's identity, at most 20 bytes of ASCII.
  public static func open(path: String, readOnly: Bool, serial: String, memory: GuestRAM) throws(DiskError) -> Block {
    Block()
  }

  private init() {}
  public func readConfig(offset: UInt64, width: Int) -> UInt64 { 0 }
  public func activate(queues: [Queue?], features: UInt64, driver: DriverSignal) throws(SystemError) {}
  public func serve(queue: Int) -> Bool { false }
  public func setPaused(_ paused: Bool) {}
  public func reset() {}
}
