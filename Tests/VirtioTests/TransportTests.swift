import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

/// A device that records what it is told.
private final class RecordingDevice: VirtioDevice, @unchecked Sendable {
  let identity: DeviceIdentity
  var log: [String] = []
  var activateError: SystemError?

  init(features: UInt64 = 0b11, queueSizes: [UInt16] = [16, 4]) {
    identity = DeviceIdentity(deviceID: 42, features: features, queueSizes: queueSizes)
  }

  func readConfig(offset: UInt64, width: Int) -> UInt64 {
    ConfigSpace(bytes: [1, 2, 3, 4, 5, 6, 7, 8, 9]).read(offset: offset, width: width)
  }
  func writeConfig(offset: UInt64, width: Int, value: UInt64) { log.append("config \(offset) \(width) \(value)") }
  func activate(queues: [Queue?], features: UInt64, driver: DriverSignal) throws(SystemError) {
    log.append("activate \(queues.map { $0?.size ?? 0 }) \(String(features, radix: 16))")
    if let activateError { throw activateError }
  }
  func serve(queue: Int) -> Bool {
    log.append("serve \(queue)")
    return false
  }
  func setPaused(_ paused: Bool) { log.append(paused ? "pause" : "resume") }
  func reset() { log.append("reset") }
}

@Suite("virtio-mmio transport (4.2)")
struct TransportTests {
  private let guest: FakeGuest
  private let device: RecordingDevice
  private let driver: QueueDriver

  init() throws {
    guest = try FakeGuest()
    device = RecordingDevice()
    driver = try QueueDriver(device: device, memory: guest.memory, size: 4, start: false)
    driver.store(Registers.status, 0)
    device.log = []
  }

  @Test("read-only registers have the values of table 4.2.2")
  func constants() {
    #expect(driver.load(Registers.magic) == 0x7472_6976)
    #expect(driver.load(Registers.version) == 2)
    #expect(driver.load(Registers.deviceID) == 42)
    #expect(driver.load(Registers.vendorID) != 0)
    #expect(driver.load(Registers.sharedMemoryLength) == 0xFFFF_FFFF)
    #expect(driver.load(Registers.sharedMemoryLength + 4) == 0xFFFF_FFFF)
    #expect(driver.load(Registers.configGeneration) == 0)
  }

  @Test("features are offered in two words, and no third")
  func features() {
    driver.store(Registers.deviceFeaturesSelect, 0)
    #expect(driver.load(Registers.deviceFeatures) == 0b11 | Features.indirect | Features.eventIndex)
    driver.store(Registers.deviceFeaturesSelect, 1)
    #expect(driver.load(Registers.deviceFeatures) == 1)
    for select in [2, 63, 0x8000_0000, 0xFFFF_FFFF] as [UInt64] {
      driver.store(Registers.deviceFeaturesSelect, select)
      #expect(driver.load(Registers.deviceFeatures) == 0)
    }
  }

  @Test("FEATURES_OK stays clear unless VERSION_1 and only offered bits are accepted (2.2.2, 6.1)")
  func negotiation() {
    #expect(!driver.negotiate(0))
    #expect(!driver.negotiate(0b1))
    #expect(!driver.negotiate(Features.version1 | 0b100))
    #expect(!driver.negotiate(Features.version1 | 1 << 34))
    #expect(!driver.negotiate(Features.version1 | 1 << 63))
    #expect(driver.negotiate(Features.version1))
    #expect(driver.negotiate(Features.version1 | 0b11 | Features.indirect | Features.eventIndex))
    #expect(driver.load(Registers.status) == 0xb)
    // A third word of features does not exist; it changes nothing.
    driver.store(Registers.status, 0)
    driver.store(Registers.status, 3)
    driver.store(Registers.driverFeaturesSelect, 1)
    driver.store(Registers.driverFeatures, 1)
    driver.store(Registers.driverFeaturesSelect, 2)
    driver.store(Registers.driverFeatures, 0xFFFF_FFFF)
    driver.store(Registers.driverFeaturesSelect, 0xFFFF_FFFF)
    driver.store(Registers.driverFeatures, 0xFFFF_FFFF)
    driver.store(Registers.status, 0xb)
    #expect(driver.load(Registers.status) == 0xb)
  }

  @Test("features cannot be changed before DRIVER nor after FEATURES_OK")
  func featuresAreSettled() {
    driver.store(Registers.driverFeaturesSelect, 1)
    driver.store(Registers.driverFeatures, 1)
    driver.store(Registers.status, 1)
    driver.store(Registers.status, 3)
    driver.store(Registers.status, 0xb)
    #expect(driver.load(Registers.status) == 3)
    driver.negotiate(Features.version1)
    driver.store(Registers.driverFeaturesSelect, 0)
    driver.store(Registers.driverFeatures, 0b11)
    driver.store(Registers.status, 0xf)
    #expect(device.log.last == "activate [0, 0] 100000000")
  }

  @Test(
    "a status is set only in the order of 3.1.1",
    arguments: [
      ([2], 0), ([8], 0), ([4], 0), ([1, 5], 1), ([1, 9], 1), ([1, 3, 7], 3), ([3], 3), ([1, 3, 1], 3), ([1, 3, 2], 3),
      ([0x80], 0x80), ([1, 0x81], 0x81), ([1, 3, 0x83], 0x83), ([0x40], 0), ([1, 0x43], 3),
      ([0x100], 0), ([0xFFFF_FF00], 0), ([1, 3, 0xb], 3),
    ] as [([UInt64], UInt64)])
  func statusOrder(writes: [UInt64], expected: UInt64) {
    for write in writes { driver.store(Registers.status, write) }
    #expect(driver.load(Registers.status) == expected)
  }

  @Test("DRIVER_OK activates once, with the queues that are ready and the agreed features")
  func activation() {
    driver.negotiate(Features.version1 | 1)
    driver.setUpQueue(index: 1, size: 4)
    driver.store(Registers.status, 0xf)
    driver.store(Registers.status, 0xf)
    #expect(device.log.filter { $0.hasPrefix("activate") } == ["activate [0, 4] 100000001"])
    // Buffers may have been offered before.
    #expect(driver.transport.doorbell.drain() > 0)
  }

  @Test("a device that cannot start needs a reset")
  func activationFails() {
    device.activateError = SystemError("pthread_create", "", .again)
    driver.negotiate(Features.version1)
    driver.store(Registers.status, 0xf)
    #expect(driver.load(Registers.status) == 0x4f)
    #expect(driver.transport.failure == .host(SystemError("pthread_create", "", .again)))
    #expect(driver.interrupt.count == 1)
  }

  @Test("queue registers belong to the selected queue, and to none that does not exist")
  func queueSelect() {
    driver.negotiate(Features.version1)
    #expect(driver.load(Registers.queueSizeMaximum) == 16)
    driver.store(Registers.queueSelect, 1)
    #expect(driver.load(Registers.queueSizeMaximum) == 4)
    for select in [2, 0x1_0000, 0x8000_0000, 0xFFFF_FFFF] as [UInt64] {
      driver.setUpQueue(index: select, size: 4)
      #expect(driver.load(Registers.queueSizeMaximum) == 0)
      #expect(driver.load(Registers.queueReady) == 0)
    }
    #expect(driver.transport.failure == nil)
  }

  @Test("a queue is set up only between FEATURES_OK and DRIVER_OK")
  func queueOrder() {
    driver.setUpQueue(size: 4)
    #expect(driver.load(Registers.queueReady) == 0)
    driver.store(Registers.status, 1)
    driver.store(Registers.status, 3)
    driver.setUpQueue(size: 4)
    #expect(driver.load(Registers.queueReady) == 0)
    driver.negotiate(Features.version1)
    driver.setUpQueue(size: 4)
    #expect(driver.load(Registers.queueReady) == 1)
    driver.store(Registers.status, 0xf)
    driver.setUpQueue(index: 1, size: 4)
    #expect(driver.load(Registers.queueReady) == 0)
    #expect(driver.transport.failure == nil)
  }

  @Test("sizes and addresses written before FEATURES_OK do not count")
  func earlyQueueRegisters() {
    driver.store(Registers.status, 1)
    driver.store(Registers.status, 3)
    driver.setUpQueue(size: 4)
    driver.store(Registers.driverFeaturesSelect, 1)
    driver.store(Registers.driverFeatures, 1)
    driver.store(Registers.status, 0xb)
    driver.store(Registers.queueReady, 1)
    #expect(driver.load(Registers.queueReady) == 0)
    #expect(driver.transport.failure == .queueSize(0, maximum: 16))
  }

  @Test("a ready queue keeps its size and addresses whatever is written (4.2.2.2)")
  func readyIsFixed() throws {
    let entropy = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, size: 4, start: false)
    entropy.store(Registers.queueSize, 0xFFFF)
    for register in [Registers.descriptors, Registers.available, Registers.used] {
      entropy.store64(register, 0xFFFF_FFFF_FFFF_FFF0)
    }
    entropy.store(Registers.queueReady, 1)
    entropy.store(Registers.status, 0xf)
    #expect(entropy.perform([.writable(0x8000, 16)])?.written == 16)
  }

  @Test("QueueReady 0 stops a queue: nothing of it is touched any more (4.2.2.1)")
  func queueNotReady() throws {
    let entropy = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, size: 4)
    #expect(entropy.perform([.writable(0x8000, 16)])?.written == 16)
    entropy.store(Registers.queueReady, 0)
    #expect(entropy.load(Registers.queueReady) == 0)
    entropy.submit([.writable(0x8000, 16)])
    try guest.remember()
    entropy.kick()
    entropy.runDoorbell()
    #expect(try guest.firstChange(outside: []) == nil)
    // Without VIRTIO_F_RING_RESET there is no way back but a device reset.
    entropy.store(Registers.queueReady, 1)
    #expect(entropy.load(Registers.queueReady) == 0)
  }

  @Test("notifications go to queues that exist, before DRIVER_OK to no avail")
  func notifications() throws {
    driver.kick(0)
    driver.kick(1)
    for queue in [2, 0xFFFF, 0x1_0000, 0x8000_0000, 0xFFFF_FFFF] as [UInt64] { driver.kick(queue) }
    #expect(device.log == ["serve 0", "serve 1"])

    let entropy = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, size: 4, start: false)
    entropy.submit([.writable(0x8000, 16)])
    try guest.remember()
    entropy.kick()
    #expect(try guest.firstChange(outside: []) == nil)
    // A queue that DRIVER_OK finds filled is served through the doorbell.
    entropy.store(Registers.status, 0xf)
    entropy.runDoorbell()
    #expect(entropy.takeUsed()?.written == 16)
  }

  @Test("a device whose driver enabled no queue does nothing")
  func noQueue() throws {
    for device in [Entropy(memory: guest.memory)] {
      let driver = try QueueDriver(device: device, memory: guest.memory, size: 4, start: false)
      driver.negotiate(Features.version1)
      driver.store(Registers.status, 0xf)
      try guest.remember()
      driver.kick()
      driver.runDoorbell()
      #expect(try guest.firstChange(outside: []) == nil)
      #expect(driver.transport.failure == nil)
    }
  }

  @Test("interrupt causes stay until they are acknowledged, each by itself")
  func interruptStatus() throws {
    let entropy = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, size: 4)
    _ = entropy.perform([.writable(0x8000, 16)])
    #expect(entropy.load(Registers.interruptStatus) == 1)
    entropy.store(Registers.interruptAcknowledge, 2)
    #expect(entropy.load(Registers.interruptStatus) == 1)
    entropy.setAvailableIndex(0x8000)
    entropy.kick()
    #expect(entropy.load(Registers.interruptStatus) == 3)
    entropy.store(Registers.interruptAcknowledge, 1)
    #expect(entropy.load(Registers.interruptStatus) == 2)
    entropy.store(Registers.interruptAcknowledge, 0xFFFF_FFFF)
    #expect(entropy.load(Registers.interruptStatus) == 0)
    entropy.store(Registers.status, 0)
    #expect(entropy.load(Registers.status) == 0)
    #expect(entropy.load(Registers.interruptStatus) == 0)
  }

  @Test("a reset forgets everything")
  func reset() {
    driver.negotiate(Features.version1)
    driver.setUpQueue(index: 1, size: 4)
    driver.store(Registers.status, 0xf)
    driver.store(Registers.status, 0)
    #expect(device.log.last == "reset")
    #expect(driver.load(Registers.status) == 0)
    driver.store(Registers.queueSelect, 1)
    #expect(driver.load(Registers.queueReady) == 0)
    // The features are gone too.
    driver.store(Registers.status, 1)
    driver.store(Registers.status, 3)
    driver.store(Registers.status, 0xb)
    #expect(driver.load(Registers.status) == 3)
  }

  @Test("registers answer aligned 32-bit accesses only (4.2.2.2)")
  func widths() {
    for (offset, width) in [(0, 1), (0, 2), (0, 8), (1, 4), (2, 4), (3, 1), (0, 0), (0, 3), (0, -1), (0, 1 << 40)] {
      #expect(driver.transport.read(offset: UInt64(offset), width: width) == 0)
    }
    for width in [1, 2, 8] { driver.transport.write(offset: Registers.status, width: width, value: 1) }
    driver.transport.write(offset: Registers.status + 1, width: 4, value: 1)
    #expect(driver.load(Registers.status) == 0)
  }

  @Test("every offset can be read and written in every width without an effect that is not there")
  func sweep() throws {
    try guest.remember()
    for offset in 0..<UInt64(0x1100) where offset & ~3 != Registers.status {
      for width in [1, 2, 4, 8] {
        _ = driver.transport.read(offset: offset, width: width)
        driver.transport.write(offset: offset, width: width, value: 0xFFFF_FFFF_FFFF_FFFF)
      }
    }
    for offset in [0x1000, 1 << 32, UInt64.max - 3, UInt64.max] {
      #expect(driver.transport.read(offset: offset, width: 4) == 0)
      driver.transport.write(offset: offset, width: 4, value: 1)
    }
    #expect(driver.load(Registers.status) == 0)
    #expect(!device.log.contains { $0.hasPrefix("activate") })
    #expect(try guest.firstChange(outside: []) == nil)
  }

  @Test("the configuration space is read in any width at any offset, with zeros behind its end")
  func config() {
    func read(_ offset: UInt64, _ width: Int) -> UInt64 {
      driver.transport.read(offset: Registers.config + offset, width: width)
    }
    #expect(read(0, 1) == 1)
    #expect(read(1, 2) == 0x0302)
    #expect(read(0, 4) == 0x0403_0201)
    #expect(read(0, 8) == 0x0807_0605_0403_0201)
    #expect(read(8, 4) == 9)
    #expect(read(7, 4) == 0x0908)
    #expect(read(9, 4) == 0)
    #expect(read(0xEFC, 4) == 0)
    #expect(read(0xEFF, 8) == 0)
    driver.transport.write(offset: Registers.config + 5, width: 2, value: 7)
    #expect(device.log.last == "config 5 2 7")
  }
}
