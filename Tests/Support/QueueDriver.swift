import CLinux
import GuestMemory
import System
import Virtio

/// The registers and status bits that a driver uses, as numbers of its own: a wrong constant of the device must not be
/// right in the test.
public enum Registers {
  public static let magic: UInt64 = 0x00, version: UInt64 = 0x04, deviceID: UInt64 = 0x08, vendorID: UInt64 = 0x0c
  public static let deviceFeatures: UInt64 = 0x10, deviceFeaturesSelect: UInt64 = 0x14
  public static let driverFeatures: UInt64 = 0x20, driverFeaturesSelect: UInt64 = 0x24
  public static let queueSelect: UInt64 = 0x30, queueSizeMaximum: UInt64 = 0x34, queueSize: UInt64 = 0x38
  public static let queueReady: UInt64 = 0x44, queueNotify: UInt64 = 0x50
  public static let interruptStatus: UInt64 = 0x60, interruptAcknowledge: UInt64 = 0x64, status: UInt64 = 0x70
  public static let descriptors: UInt64 = 0x80, available: UInt64 = 0x90, used: UInt64 = 0xa0
  public static let sharedMemoryLength: UInt64 = 0xb0, configGeneration: UInt64 = 0xfc, config: UInt64 = 0x100

  public static let acknowledge: UInt64 = 1, driver: UInt64 = 2, driverOK: UInt64 = 4, featuresOK: UInt64 = 8
  public static let needsReset: UInt64 = 0x40, failed: UInt64 = 0x80
}

/// Feature bits by their numbers in the standard.
public enum Features {
  public static let indirect: UInt64 = 1 << 28, eventIndex: UInt64 = 1 << 29, version1: UInt64 = 1 << 32
  public static let blockReadOnly: UInt64 = 1 << 5, blockFlush: UInt64 = 1 << 9
  public static let blockDiscard: UInt64 = 1 << 13, blockWriteZeroes: UInt64 = 1 << 14
}

/// Plays the driver of one virtqueue of one device behind a virtio-mmio transport. It does what a good driver does, and
/// lets a test write every field of the rings by hand.
public final class QueueDriver: @unchecked Sendable {
  /// One element of a request.
  public struct Buffer: Sendable {
    public let address: UInt64
    public let count: UInt32
    public let writable: Bool

    public init(address: UInt64, count: UInt32, writable: Bool) {
      self.address = address
      self.count = count
      self.writable = writable
    }

    public static func readable(_ address: UInt64, _ count: UInt32) -> Buffer {
      Buffer(address: address, count: count, writable: false)
    }
    public static func writable(_ address: UInt64, _ count: UInt32) -> Buffer {
      Buffer(address: address, count: count, writable: true)
    }
  }

  /// An entry of the used ring.
  public struct Used: Equatable, Sendable {
    public let head: UInt32
    public let written: UInt32

    public init(head: UInt32, written: UInt32) {
      self.head = head
      self.written = written
    }
  }

  /// Where the rings are, unless a test says otherwise.
  public static let descriptors: UInt64 = 0x1000, available: UInt64 = 0x5000, used: UInt64 = 0x6000
  public static let next: UInt16 = 1, write: UInt16 = 2, indirect: UInt16 = 4

  public let memory: GuestRAM
  public let transport: MMIOTransport
  public let interrupt: FakeInterrupt
  /// Entries of the queue.
  public let size: UInt16
  private let eventIndex: Bool
  /// Free-running: the next entry of the available ring to fill, and of the used ring to look at.
  public var nextAvailable: UInt16 = 0
  public var nextUsed: UInt16 = 0
  private var nextDescriptor: UInt16 = 0

  /// Initialises the device as section 3.1.1 says, with the features of `features` that it offers (VERSION_1 always) and
  /// one queue of `size` entries, whose rings are set to zero. `start` false leaves DRIVER_OK to the test.
  public init(
    device: any VirtioDevice, memory: GuestRAM, size: UInt16 = 64, features: UInt64 = 0, start: Bool = true
  ) throws {
    self.memory = memory
    self.size = size
    interrupt = FakeInterrupt()
    transport = try MMIOTransport(device: device, memory: memory, interrupt: interrupt)
    eventIndex = features & Features.eventIndex != 0
    try zeroRings()
    negotiate(features | Features.version1)
    setUpQueue(size: UInt32(size))
    if start { store(Registers.status, 0xf) }
  }

  /// The device's registers.
  public func load(_ register: UInt64) -> UInt64 { transport.read(offset: register, width: 4) }
  public func store(_ register: UInt64, _ value: UInt64) { transport.write(offset: register, width: 4, value: value) }
  public func store64(_ register: UInt64, _ value: UInt64) {
    store(register, value & 0xFFFF_FFFF)
    store(register + 4, value >> 32)
  }

  /// Resets the device and goes up to FEATURES_OK; returns whether the device accepted.
  @discardableResult
  public func negotiate(_ features: UInt64) -> Bool {
    store(Registers.status, 0)
    store(Registers.status, Registers.acknowledge)
    store(Registers.status, Registers.acknowledge | Registers.driver)
    store(Registers.driverFeaturesSelect, 0)
    store(Registers.driverFeatures, features & 0xFFFF_FFFF)
    store(Registers.driverFeaturesSelect, 1)
    store(Registers.driverFeatures, features >> 32)
    store(Registers.status, 0xb)
    return load(Registers.status) & Registers.featuresOK != 0
  }

  /// Gives queue `index` its size and addresses and sets it ready.
  public func setUpQueue(
    index: UInt64 = 0, size: UInt32, descriptors: UInt64 = QueueDriver.descriptors,
    available: UInt64 = QueueDriver.available, used: UInt64 = QueueDriver.used
  ) {
    store(Registers.queueSelect, index)
    store(Registers.queueSize, UInt64(size))
    store64(Registers.descriptors, descriptors)
    store64(Registers.available, available)
    store64(Registers.used, used)
    store(Registers.queueReady, 1)
  }

  /// What a driver does before it starts over after a reset.
  public func zeroRings() throws {
    try memory.zero(GuestAddress(QueueDriver.descriptors), count: 16 * Int(size))
    try memory.zero(GuestAddress(QueueDriver.available), count: 6 + 2 * Int(size))
    try memory.zero(GuestAddress(QueueDriver.used), count: 6 + 8 * Int(size))
    nextAvailable = 0
    nextUsed = 0
    nextDescriptor = 0
  }

  /// Whether the device says that it needs a reset.
  public var needsReset: Bool { load(Registers.status) & Registers.needsReset != 0 }

  /// The addresses of all three areas.
  public static let rings: Range<UInt64> = 0x1000..<0x8000
  /// The addresses of the used ring, the only one that a device may write to.
  public var usedRing: Range<UInt64> { QueueDriver.used..<QueueDriver.used + 6 + 8 * UInt64(size) }

  // MARK: By hand

  /// Writes descriptor `index` of the table at `table`.
  public func describe(
    _ index: UInt16, _ address: UInt64, _ count: UInt32, _ flags: UInt16 = 0, next: UInt16 = 0,
    table: UInt64 = QueueDriver.descriptors
  ) {
    let entry = table + 16 * UInt64(index)
    try? memory.store64(GuestAddress(entry), address)
    try? memory.store64(GuestAddress(entry + 8), UInt64(count) | UInt64(flags) << 32 | UInt64(next) << 48)
  }

  /// Puts `head` into the available ring without raising its index.
  public func place(_ head: UInt16) {
    try? memory.store16(GuestAddress(QueueDriver.available + 4 + 2 * UInt64(nextAvailable % size)), head)
    nextAvailable &+= 1
  }

  /// Sets the available ring's index.
  public func setAvailableIndex(_ index: UInt16) {
    try? memory.store16Release(GuestAddress(QueueDriver.available + 2), index)
  }

  /// Puts `head` into the available ring and raises its index.
  public func offer(_ head: UInt16) {
    place(head)
    setAvailableIndex(nextAvailable)
  }

  /// Writes QueueNotify.
  public func kick(_ queue: UInt64 = 0) { store(Registers.queueNotify, queue) }

  /// Serves the doorbell until it rings no more, as the main loop would.
  public func runDoorbell() { while transport.doorbell.drain() > 0 { transport.serveDoorbell() } }

  // MARK: As a good driver

  /// Offers a request of `buffers` in descriptors that follow each other in the table: from `first` on, or from where the
  /// last request ended. Returns its head. The caller sees to it that they are not in use.
  @discardableResult
  public func submit(_ buffers: [Buffer], first: UInt16? = nil) -> UInt16 {
    let head = first ?? nextDescriptor
    describe(buffers, first: head, count: size, table: QueueDriver.descriptors)
    if first == nil { nextDescriptor = (head + UInt16(buffers.count)) % size }
    offer(head)
    return head
  }

  /// Offers a request through an indirect table at `table`; `first` as in `submit`.
  @discardableResult
  public func submitIndirect(_ buffers: [Buffer], table: UInt64, first: UInt16? = nil) -> UInt16 {
    describe(buffers, first: 0, count: UInt16(buffers.count), table: table)
    let head = first ?? nextDescriptor
    if first == nil { nextDescriptor = (head + 1) % size }
    describe(head, table, UInt32(16 * buffers.count), QueueDriver.indirect)
    offer(head)
    return head
  }

  private func describe(_ buffers: [Buffer], first: UInt16, count: UInt16, table: UInt64) {
    for (number, buffer) in buffers.enumerated() {
      let isLast = number == buffers.count - 1
      let index = (first + UInt16(number)) % count
      describe(
        index, buffer.address, buffer.count,
        (buffer.writable ? QueueDriver.write : 0) | (isLast ? 0 : QueueDriver.next),
        next: isLast ? 0 : (index + 1) % count, table: table)
    }
  }

  /// Whether the device asked to be notified of the chains offered since its index was `old` (section 2.7.10).
  public func deviceWantsKick(since old: UInt16) -> Bool {
    clinux_fence()
    if eventIndex {
      guard let event = try? memory.load16(GuestAddress(QueueDriver.used + 4 + 8 * UInt64(size))) else { return true }
      return nextAvailable &- event &- 1 < nextAvailable &- old
    }
    return (try? memory.load16(GuestAddress(QueueDriver.used))) != 1
  }

  /// Says which used index the driver wants an interrupt at; with VIRTIO_F_EVENT_IDX.
  public func setUsedEvent(_ index: UInt16) {
    try? memory.store16(GuestAddress(QueueDriver.available + 4 + 2 * UInt64(size)), index)
    clinux_fence()
  }

  /// The used ring's index.
  public var usedIndex: UInt16 { (try? memory.load16Acquire(GuestAddress(QueueDriver.used + 2))) ?? 0 }

  /// The next entry of the used ring, if there is one.
  public func takeUsed() -> Used? {
    guard usedIndex != nextUsed else { return nil }
    let entry = QueueDriver.used + 4 + 8 * UInt64(nextUsed % size)
    guard let word = try? memory.load64(GuestAddress(entry)) else { return nil }
    nextUsed &+= 1
    return Used(head: UInt32(truncatingIfNeeded: word), written: UInt32(truncatingIfNeeded: word >> 32))
  }

  /// Waits for the next entry of the used ring.
  public func waitUsed(milliseconds: UInt64 = 5000) -> Used? {
    var used: Used?
    _ = eventually(milliseconds: milliseconds) {
      used = takeUsed()
      return used != nil || needsReset
    }
    return used
  }

  /// Submits a request, notifies the device, and waits until it is used.
  public func perform(_ buffers: [Buffer]) -> Used? {
    submit(buffers)
    kick()
    return waitUsed()
  }
}
