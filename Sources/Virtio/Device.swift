import System

/// What never changes about a device.
public struct DeviceIdentity: Sendable {
  /// The device's type (virtio 1.2, section 5).
  public let deviceID: UInt32
  /// The feature bits 0...23 and 50... of its type; the transport adds those of the ring and of the transport (section 6).
  public let features: UInt64
  /// The greatest size of each virtqueue, a power of two up to 32768; their number is the number of queues.
  public let queueSizes: [UInt16]

  /// An identity of those parts.
  public init(deviceID: UInt32, features: UInt64, queueSizes: [UInt16]) {
    self.deviceID = deviceID
    self.features = features
    self.queueSizes = queueSizes
  }
}

/// A virtio device as its transport sees it: it does not know where it sits in the address space, nor on which bus.
///
/// `serve` comes from any thread at any time, and a device guards itself with a lock of its own. `activate`, `setPaused`
/// and `reset` come one at a time, since the transport's lock is held; the order is transport's lock, then device's lock.
public protocol VirtioDevice: AnyObject, Sendable {
  /// Type, features and queues.
  var identity: DeviceIdentity { get }

  /// `width` (1, 2, 4 or 8) bytes of the configuration space from `offset`, little-endian; bytes past its end are zero.
  func readConfig(offset: UInt64, width: Int) -> UInt64

  /// Changes a writable field of the configuration space; whatever is not one is ignored.
  func writeConfig(offset: UInt64, width: Int, value: UInt64)

  /// The driver is ready (DRIVER_OK): takes over the queues, nil for each that the driver left disabled, and the features
  /// that were agreed. From now on the device uses guest memory, until `reset` returns.
  /// - Throws: what kept the device from starting; it then needs a reset.
  func activate(queues: [Queue?], features: UInt64, driver: DriverSignal) throws(SystemError)

  /// The driver has put buffers into queue number `queue`, or may have. Ignores a number that is no active queue. Does a
  /// bounded amount of work, and returns whether some is left, so that the caller comes back.
  func serve(queue: Int) -> Bool

  /// True: starts no further request and returns when none is in flight. False: goes on.
  func setPaused(_ paused: Bool)

  /// Back to the state before `activate`, and not paused. When it returns, no request is in flight, and nothing of the device touches
  /// guest memory or signals the driver any more.
  func reset()
}

extension VirtioDevice {
  /// No field is writable.
  public func writeConfig(offset: UInt64, width: Int, value: UInt64) {}
}
