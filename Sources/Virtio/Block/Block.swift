import CLinux
import GuestMemory
import System

/// The block device (virtio 1.2, section 5.2) on a raw file or a block device of the host.
///
/// A few worker threads take requests from the queue and execute them, each at its own pace, so that requests complete out
/// of order and a slow disk keeps neither a vCPU nor the main thread waiting. A thread is started when all others are
/// busy and there is more to do. Some worker looks at the queue again after the last notification, always: a worker that
/// takes a request wakes another one if there are more, or else asks the driver for a notification.
public final class Block: VirtioDevice, @unchecked Sendable {
  /// Worker threads at most, and so requests in flight.
  static let workersMaximum = 4
  private static let queueSize: UInt16 = 256

  public let identity: DeviceIdentity
  private let image: DiskImage
  private let serial: [UInt8]
  private let memory: GuestRAM
  private let config: ConfigSpace

  private struct Active {
    let queue: Queue
    let driver: DriverSignal
    let contract: BlockContract
  }

  private final class Worker: @unchecked Sendable {
    let executor: BlockExecutor
    let wakeUp = Condition()
    var thread: Thread?

    init(memory: GuestRAM) { executor = BlockExecutor(memory: memory) }

    func join() { thread.take()?.join() }
  }

  private let lock = Lock()
  /// Signalled when the last request in flight is done.
  private let drained = Condition()
  /// Nil before activation, after an error of the driver, and after a reset.
  private var active: Active?
  private var workers: [Worker] = []
  private var idle: [Worker] = []
  private var inFlight = 0
  private var paused = false
  private var stopping = false

  /// Opens and locks the image at `path`. A read-only image may be shared with other read-only users, any other is this
  /// machine's alone. `serial` is what the guest sees as the disk's serial number, up to 20 bytes of ASCII; the rest is cut.
  /// - Throws: `DiskError`, whose text names the file.
  public static func open(
    path: String, readOnly: Bool, serial: String, memory: GuestRAM
  ) throws(DiskError) -> Block {
    Block(image: try DiskImage(path: path, readOnly: readOnly), serial: serial, memory: memory)
  }

  init(image: DiskImage, serial: String, memory: GuestRAM) {
    self.image = image
    self.memory = memory
    var bytes = Array(serial.utf8.prefix(Int(VIRTIO_BLK_ID_BYTES)))
    while bytes.count < Int(VIRTIO_BLK_ID_BYTES) { bytes.append(0) }
    self.serial = bytes
    config = Block.configuration(of: image)
    var features = Feature.bit(VIRTIO_BLK_F_SEG_MAX) | Feature.bit(VIRTIO_BLK_F_BLK_SIZE)
    features |= Feature.bit(VIRTIO_BLK_F_TOPOLOGY) | Feature.bit(VIRTIO_BLK_F_FLUSH)
    if image.readOnly {
      features |= Feature.bit(VIRTIO_BLK_F_RO)
    } else {
      features |= Feature.bit(VIRTIO_BLK_F_DISCARD) | Feature.bit(VIRTIO_BLK_F_WRITE_ZEROES)
    }
    identity = DeviceIdentity(
      deviceID: UInt32(VIRTIO_ID_BLOCK), features: features, queueSizes: [Block.queueSize])
  }

  /// The disk's size in sectors of 512 bytes.
  public var sectors: UInt64 { image.sectors }

  /// Section 5.2.4.
  private static func configuration(of image: DiskImage) -> ConfigSpace {
    var config = virtio_blk_config()
    config.capacity = image.sectors
    // A request has a header and a status besides its data.
    config.seg_max = UInt32(queueSize) - 2
    config.blk_size = UInt32(DiskImage.sectorSize)
    config.physical_block_exp = UInt8(truncatingIfNeeded: (image.preferredSize / config.blk_size).trailingZeroBitCount)
    config.min_io_size = UInt16(truncatingIfNeeded: image.preferredSize / config.blk_size)
    if !image.readOnly {
      config.max_discard_sectors = BlockExecutor.discardMaximum
      config.max_discard_seg = UInt32(BlockExecutor.segmentsMaximum)
      config.discard_sector_alignment = image.preferredSize / config.blk_size
      config.max_write_zeroes_sectors = BlockExecutor.zeroesMaximum
      config.max_write_zeroes_seg = UInt32(BlockExecutor.segmentsMaximum)
      config.write_zeroes_may_unmap = 1
    }
    // unsafe: the struct is plain bytes without padding, little-endian like this host.
    return ConfigSpace(bytes: unsafe withUnsafeBytes(of: &config) { unsafe [UInt8]($0) })
  }

  public func readConfig(offset: UInt64, width: Int) -> UInt64 { config.read(offset: offset, width: width) }

  // MARK: Life cycle

  public func activate(queues: [Queue?], features: UInt64, driver: DriverSignal) throws(SystemError) {
    guard let first = queues.first, let queue = first else { return }
    let contract = BlockContract(
      image: image, serial: serial, hasFlush: features & Feature.bit(VIRTIO_BLK_F_FLUSH) != 0,
      hasDiscard: features & Feature.bit(VIRTIO_BLK_F_DISCARD) != 0,
      hasWriteZeroes: features & Feature.bit(VIRTIO_BLK_F_WRITE_ZEROES) != 0)
    try lock.withLock { () throws(SystemError) in
      // The thread begins by waiting for the lock.
      try startWorker()
      active = Active(queue: queue, driver: driver, contract: contract)
    }
  }

  public func setPaused(_ paused: Bool) {
    lock.withLock {
      self.paused = paused
      if paused {
        while inFlight > 0 { drained.wait(lock) }
      } else {
        wakeWorker()
      }
    }
  }

  public func reset() {
    let leaving = lock.withLock {
      stopping = true
      for worker in workers { worker.wakeUp.broadcast() }
      return workers
    }
    // Not under the lock, which the workers need to end what they have begun.
    for worker in leaving { worker.join() }
    lock.withLock {
      workers = []
      idle = []
      active = nil
      paused = false
      stopping = false
    }
  }

  // MARK: Work

  public func serve(queue: Int) -> Bool {
    lock.withLock { if queue == 0 { wakeWorker() } }
    return false
  }

  /// Makes one more worker look at the queue, if there can be one. The lock is held.
  private func wakeWorker() {
    guard active != nil, !paused, !stopping else { return }
    if let worker = idle.popLast() {
      worker.wakeUp.broadcast()
    } else if workers.count < Block.workersMaximum {
      // Without this thread the others do its work.
      try? startWorker()
    }
  }

  /// The lock is held.
  private func startWorker() throws(SystemError) {
    let worker = Worker(memory: memory)
    worker.thread = try Thread { [self] in run(worker) }
    workers.append(worker)
  }

  private func run(_ worker: Worker) {
    lock.lock()
    while !stopping {
      guard !paused, let active, take(active, worker) else {
        idle.append(worker)
        worker.wakeUp.wait(lock)
        // Still there when nobody woke it, as may happen.
        idle.removeAll { $0 === worker }
        continue
      }
      inFlight += 1
      lock.unlock()
      let outcome = execute(active, worker.executor)
      lock.lock()
      let wantsInterrupt = finish(active, worker.executor.chain.head, outcome)
      lock.unlock()
      // While the request still counts as in flight, so that no interrupt comes after a reset.
      if wantsInterrupt { active.driver.usedBuffers() }
      lock.lock()
      inFlight -= 1
      if inFlight == 0 { drained.broadcast() }
    }
    lock.unlock()
  }

  /// Takes the next request, and sees to it that somebody looks after the one behind it. The lock is held.
  private func take(_ active: Active, _ worker: Worker) -> Bool {
    do throws(QueueError) {
      repeat {
        if try active.queue.pop(into: worker.executor.chain) {
          if idle.isEmpty, workers.count == Block.workersMaximum {
            // All are busy; the first that is done looks again.
            try active.queue.disableNotifications()
          } else if try active.queue.enableNotifications() {
            wakeWorker()
          }
          return true
        }
      } while try active.queue.enableNotifications()
    } catch { fail(active, error) }
    return false
  }

  private func execute(_ active: Active, _ executor: BlockExecutor) -> Result<UInt32, QueueError> {
    do throws(QueueError) { return .success(try executor.execute(active.contract)) } catch { return .failure(error) }
  }

  /// Returns a request to the driver; the result says whether to interrupt it. The lock is held.
  private func finish(_ active: Active, _ head: UInt16, _ outcome: Result<UInt32, QueueError>) -> Bool {
    do throws(QueueError) {
      try active.queue.push(head: head, written: outcome.get())
      return try active.queue.needsInterrupt()
    } catch {
      fail(active, error)
      return false
    }
  }

  /// The driver broke a rule: nothing more is taken until a reset. The lock is held.
  private func fail(_ active: Active, _ error: QueueError) {
    self.active = nil
    active.driver.needsReset(error)
  }
}
