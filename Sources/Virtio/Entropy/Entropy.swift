import CLinux
import GuestMemory
import System

/// The entropy device (virtio 1.2, section 5.4): random bytes of the host's kernel, by getrandom(2).
public final class Entropy: VirtioDevice, @unchecked Sendable {
  /// Bytes that one request gets at most; the used length tells the driver how many it got.
  static let bytesPerRequest = 4096
  /// Requests that one call of `serve` answers at most.
  static let requestsPerCall = 32

  public let identity = DeviceIdentity(deviceID: UInt32(VIRTIO_ID_RNG), features: 0, queueSizes: [64])

  private struct Active {
    let queue: Queue
    let driver: DriverSignal
  }

  private let lock = Lock()
  private let chain: DescriptorChain
  private var bytes = [UInt8](repeating: 0, count: bytesPerRequest)
  private var active: Active?
  private var paused = false

  /// A device whose buffers lie in `memory`.
  public init(memory: GuestRAM) { chain = DescriptorChain(memory: memory) }

  /// The device has no configuration space.
  public func readConfig(offset: UInt64, width: Int) -> UInt64 { 0 }

  public func activate(queues: [Queue?], features: UInt64, driver: DriverSignal) throws(SystemError) {
    lock.withLock {
      if let first = queues.first, let queue = first { active = Active(queue: queue, driver: driver) }
    }
  }

  public func serve(queue: Int) -> Bool {
    lock.withLock {
      guard queue == 0, !paused, let active else { return false }
      do throws(QueueError) { return try serve(active) } catch {
        self.active = nil
        active.driver.needsReset(error)
        return false
      }
    }
  }

  private func serve(_ active: Active) throws(QueueError) -> Bool {
    let queue = active.queue
    var budget = Entropy.requestsPerCall
    try queue.disableNotifications()
    while budget > 0 {
      while budget > 0, try queue.pop(into: chain) {
        budget -= 1
        try queue.push(head: chain.head, written: try fill())
      }
      if budget > 0, try !queue.enableNotifications() { break }
    }
    // Under the lock, so that no interrupt comes after a reset.
    if try queue.needsInterrupt() { active.driver.usedBuffers() }
    return budget == 0
  }

  /// Section 5.4.6.2: at least one random byte in each request.
  private func fill() throws(QueueError) -> UInt32 {
    var writer = chain.writer
    guard writer.remaining > 0 else { throw .missing("a device-writable buffer") }
    let count = Int(min(writer.remaining, UInt64(Entropy.bytesPerRequest)))
    // unsafe: getrandom and the copy stay within the first `count` bytes of the array.
    let written = try unsafe bytes.withUnsafeMutableBufferPointer { (bytes) throws(QueueError) in
      let random = unsafe getrandom(bytes.baseAddress, count, 0)
      guard random > 0 else { throw .host(SystemError("getrandom", "", .current)) }
      return try unsafe writer.write(UnsafeRawBufferPointer(start: bytes.baseAddress, count: random))
    }
    return UInt32(written)
  }

  public func setPaused(_ paused: Bool) { lock.withLock { self.paused = paused } }

  public func reset() {
    lock.withLock {
      active = nil
      paused = false
    }
  }
}
