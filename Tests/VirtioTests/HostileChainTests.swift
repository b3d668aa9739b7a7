import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

private typealias Driver = QueueDriver

/// A chain or a ring that breaks a rule, and the error that the device must find.
struct HostileChain: CustomTestStringConvertible, Sendable {
  let name: String
  var features: UInt64 = Features.indirect
  /// Writes the rings; the queue has 8 entries.
  let arrange: @Sendable (QueueDriver) -> Void
  let error: QueueError
  var testDescription: String { name }
}

private let next = Driver.next
private let write = Driver.write
private let indirect = Driver.indirect
private let table: UInt64 = 0x9000
private let data: UInt64 = 0x8000

private let hostileChains: [HostileChain] = [
  // The available ring.
  HostileChain(
    name: "head is the queue's size", arrange: { $0.offer(8) }, error: .headOutOfRange(8)),
  HostileChain(name: "head is 65535", arrange: { $0.offer(0xFFFF) }, error: .headOutOfRange(0xFFFF)),
  HostileChain(
    name: "available index jumps by size + 1", arrange: { $0.setAvailableIndex(9) }, error: .availableIndex(9, last: 0)),
  HostileChain(
    name: "available index jumps by 32768", arrange: { $0.setAvailableIndex(0x8000) },
    error: .availableIndex(0x8000, last: 0)),
  HostileChain(
    name: "available index goes back before the start", arrange: { $0.setAvailableIndex(0xFFFF) },
    error: .availableIndex(0xFFFF, last: 0)),
  HostileChain(
    name: "available index goes back after a request",
    arrange: {
      $0.describe(0, data, 16, write)
      $0.offer(0)
      $0.kick()
      _ = $0.waitUsed()
      $0.setAvailableIndex(0)
    }, error: .availableIndex(0, last: 1)),

  // Direct descriptors.
  HostileChain(
    name: "descriptor that is its own next",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 0)
      $0.offer(0)
    }, error: .chainTooLong),
  HostileChain(
    name: "loop of two descriptors",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 1)
      $0.describe(1, data, 16, next | write, next: 0)
      $0.offer(0)
    }, error: .chainTooLong),
  HostileChain(
    name: "loop over the whole table",
    arrange: {
      for index in 0..<8 { $0.describe(UInt16(index), data, 16, next | write, next: UInt16((index + 1) % 8)) }
      $0.offer(3)
    }, error: .chainTooLong),
  HostileChain(
    name: "loop that is entered from outside",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 5)
      $0.describe(5, data, 16, next | write, next: 6)
      $0.describe(6, data, 16, next | write, next: 5)
      $0.offer(0)
    }, error: .chainTooLong),
  HostileChain(
    name: "next is the queue's size",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 8)
      $0.offer(0)
    }, error: .nextOutOfRange(8)),
  HostileChain(
    name: "next is 65535",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 0xFFFF)
      $0.offer(0)
    }, error: .nextOutOfRange(0xFFFF)),
  HostileChain(
    name: "length 0",
    arrange: {
      $0.describe(0, data, 0, write)
      $0.offer(0)
    }, error: .emptyBuffer),
  HostileChain(
    name: "buffer in the hole",
    arrange: {
      $0.describe(0, FakeGuest.lowEnd + 0x1000, 16, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(FakeGuest.lowEnd + 0x1000), 16)),
  HostileChain(
    name: "buffer that ends one byte behind low RAM",
    arrange: {
      $0.describe(0, FakeGuest.lowEnd - 15, 16, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(FakeGuest.lowEnd - 15), 16)),
  HostileChain(
    name: "buffer that spans the hole",
    arrange: {
      $0.describe(0, FakeGuest.lowEnd - 16, UInt32(FakeGuest.highStart - FakeGuest.lowEnd + 32), write)
      $0.offer(0)
    },
    error: .bufferOutsideRAM(
      GuestAddress(FakeGuest.lowEnd - 16), UInt32(FakeGuest.highStart - FakeGuest.lowEnd + 32))),
  HostileChain(
    name: "buffer that begins one byte before high RAM",
    arrange: {
      $0.describe(0, FakeGuest.highStart - 1, 16, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(FakeGuest.highStart - 1), 16)),
  HostileChain(
    name: "buffer that ends one byte behind high RAM",
    arrange: {
      $0.describe(0, FakeGuest.highEnd - 15, 16, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(FakeGuest.highEnd - 15), 16)),
  HostileChain(
    name: "buffer at the end of RAM",
    arrange: {
      $0.describe(0, FakeGuest.highEnd, 1, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(FakeGuest.highEnd), 1)),
  HostileChain(
    name: "address + length wraps around 2^64",
    arrange: {
      $0.describe(0, 0xFFFF_FFFF_FFFF_FFF0, 0x20, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(0xFFFF_FFFF_FFFF_FFF0), 0x20)),
  HostileChain(
    name: "address with the sign bit",
    arrange: {
      $0.describe(0, 0x8000_0000_0000_0000, 16, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(0x8000_0000_0000_0000), 16)),
  HostileChain(
    name: "length 2^32 - 1",
    arrange: {
      $0.describe(0, data, 0xFFFF_FFFF, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(data), 0xFFFF_FFFF)),
  HostileChain(
    name: "second buffer is outside",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 1)
      $0.describe(1, FakeGuest.lowEnd, 16, write)
      $0.offer(0)
    }, error: .bufferOutsideRAM(GuestAddress(FakeGuest.lowEnd), 16)),
  HostileChain(
    name: "readable behind writable",
    arrange: {
      $0.describe(0, data, 16, next | write, next: 1)
      $0.describe(1, data + 0x100, 16)
      $0.offer(0)
    }, error: .readableAfterWritable),
  HostileChain(
    name: "no writable buffer",
    arrange: {
      $0.describe(0, data, 16)
      $0.offer(0)
    }, error: .missing("a device-writable buffer")),

  // Indirect descriptors.
  HostileChain(
    name: "indirect without the feature", features: 0,
    arrange: {
      $0.describe(0, data, 16, write, table: table)
      $0.describe(0, table, 16, indirect)
      $0.offer(0)
    }, error: .indirectNotNegotiated),
  HostileChain(
    name: "indirect within indirect",
    arrange: {
      $0.describe(0, table, 16, indirect, table: table)
      $0.describe(0, table, 16, indirect)
      $0.offer(0)
    }, error: .indirectNested),
  HostileChain(
    name: "indirect within indirect, with a next",
    arrange: {
      $0.describe(0, table, 32, indirect | next, next: 1, table: table)
      $0.describe(0, table, 32, indirect)
      $0.offer(0)
    }, error: .indirectNested),
  HostileChain(
    name: "indirect with a next",
    arrange: {
      $0.describe(0, data, 16, write, table: table)
      $0.describe(0, table, 16, indirect | next, next: 1)
      $0.offer(0)
    }, error: .indirectWithNext),
  HostileChain(
    name: "indirect of length 0",
    arrange: {
      $0.describe(0, table, 0, indirect)
      $0.offer(0)
    }, error: .indirectLength(0)),
  HostileChain(
    name: "indirect of length 15",
    arrange: {
      $0.describe(0, table, 15, indirect)
      $0.offer(0)
    }, error: .indirectLength(15)),
  HostileChain(
    name: "indirect of length 17",
    arrange: {
      $0.describe(0, table, 17, indirect)
      $0.offer(0)
    }, error: .indirectLength(17)),
  HostileChain(
    name: "indirect table that ends behind RAM",
    arrange: {
      $0.describe(0, FakeGuest.lowEnd - 16, 32, indirect)
      $0.offer(0)
    }, error: .indirectOutsideRAM(GuestAddress(FakeGuest.lowEnd - 16), 32)),
  HostileChain(
    name: "indirect table whose end wraps around",
    arrange: {
      $0.describe(0, 0xFFFF_FFFF_FFFF_FFF0, 0xFFFF_FFF0, indirect)
      $0.offer(0)
    }, error: .indirectOutsideRAM(GuestAddress(0xFFFF_FFFF_FFFF_FFF0), 0xFFFF_FFF0)),
  HostileChain(
    name: "indirect table of 4 GiB",
    arrange: {
      $0.describe(0, table, 0xFFFF_FFF0, indirect)
      $0.offer(0)
    }, error: .indirectOutsideRAM(GuestAddress(table), 0xFFFF_FFF0)),
  HostileChain(
    name: "next behind the indirect table",
    arrange: {
      $0.describe(0, data, 16, write | next, next: 2, table: table)
      $0.describe(0, table, 32, indirect)
      $0.offer(0)
    }, error: .nextOutOfRange(2)),
  HostileChain(
    name: "loop in an indirect table",
    arrange: {
      $0.describe(0, data, 16, write | next, next: 1, table: table)
      $0.describe(1, data, 16, write | next, next: 0, table: table)
      $0.describe(0, table, 32, indirect)
      $0.offer(0)
    }, error: .chainTooLong),
  HostileChain(
    name: "indirect chain that is longer than the queue",
    arrange: {
      for index in 0..<9 {
        let last = index == 8
        $0.describe(
          UInt16(index), data, 16, write | (last ? 0 : next), next: UInt16(last ? 0 : index + 1), table: table)
      }
      $0.describe(0, table, 9 * 16, indirect)
      $0.offer(0)
    }, error: .chainTooLong),
  HostileChain(
    name: "direct and indirect descriptors that are together longer than the queue",
    arrange: {
      for index in 0..<4 { $0.describe(UInt16(index), data, 16, write | next, next: UInt16(index + 1)) }
      for index in 0..<5 {
        let last = index == 4
        $0.describe(
          UInt16(index), data, 16, write | (last ? 0 : next), next: UInt16(last ? 0 : index + 1), table: table)
      }
      $0.describe(4, table, 5 * 16, indirect)
      $0.offer(0)
    }, error: .chainTooLong),
  HostileChain(
    name: "indirect table that is the descriptor table itself",
    arrange: {
      $0.describe(0, Driver.descriptors, 8 * 16, indirect)
      $0.offer(0)
    }, error: .indirectNested),
]

@Suite("Hostile chains and rings (2.7)")
struct HostileChainTests {
  @Test("end in DEVICE_NEEDS_RESET, with no other byte written, and a reset cures it", arguments: hostileChains)
  func needsReset(_ row: HostileChain) throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(
      device: Entropy(memory: guest.memory), memory: guest.memory, size: 8, features: row.features)
    row.arrange(driver)
    try guest.remember()
    let interrupts = driver.interrupt.count
    driver.kick()
    #expect(driver.needsReset)
    #expect(driver.transport.failure == row.error)
    // Section 2.1.2: a configuration change notification tells the driver.
    #expect(driver.interrupt.count == interrupts + 1)
    #expect(driver.load(Registers.interruptStatus) & 2 != 0)
    #expect(try guest.firstChange(outside: [driver.usedRing]) == nil)

    // Nothing is processed any more, not even a good request.
    let usedIndex = driver.usedIndex
    driver.describe(7, data, 16, write)
    driver.offer(7)
    driver.kick()
    driver.runDoorbell()
    #expect(driver.usedIndex == usedIndex)
    driver.store(Registers.status, 0xf)
    #expect(driver.load(Registers.status) & Registers.needsReset != 0)

    // After a reset the device works as if it were new.
    driver.negotiate(Features.version1)
    #expect(driver.transport.failure == nil)
    #expect(driver.load(Registers.interruptStatus) == 0)
    try driver.zeroRings()
    driver.setUpQueue(size: 8)
    driver.store(Registers.status, 0xf)
    #expect(driver.perform([.writable(data, 16)]) == .init(head: 0, written: 16))
  }

  @Test("a chain of more than 4 GiB is refused without an overflow (2.7.5.2)")
  func moreThan4GiB() throws {
    // Pages are only touched where the rings are.
    let memory = try GuestRAM(count: 3 << 30, holeStart: 3 << 30, holeEnd: 4 << 30, hugePages: false)
    let driver = try QueueDriver(device: Entropy(memory: memory), memory: memory, size: 8)
    driver.describe(0, 0, 3 << 30, next | write, next: 1)
    driver.describe(1, 0, 1 << 30, next | write, next: 2)
    driver.describe(2, 0, 1, write)
    driver.offer(0)
    driver.kick()
    #expect(driver.transport.failure == .tooManyBytes)
  }
}

/// A queue that a driver sets up wrongly.
struct HostileQueue: CustomTestStringConvertible, Sendable {
  let name: String
  var size: UInt32 = 8
  var descriptors = QueueDriver.descriptors
  var available = QueueDriver.available
  var used = QueueDriver.used
  let error: QueueError
  var testDescription: String { name }
}

private let lowEnd = FakeGuest.lowEnd

private let hostileQueues: [HostileQueue] = [
  HostileQueue(name: "size 0", size: 0, error: .queueSize(0, maximum: 64)),
  HostileQueue(name: "size 3", size: 3, error: .queueSize(3, maximum: 64)),
  HostileQueue(name: "size above the maximum", size: 128, error: .queueSize(128, maximum: 64)),
  HostileQueue(name: "size 65536", size: 65536, error: .queueSize(65536, maximum: 64)),
  HostileQueue(name: "size 65544, 8 in 16 bits", size: 65544, error: .queueSize(65544, maximum: 64)),
  HostileQueue(name: "size 2^31", size: 1 << 31, error: .queueSize(1 << 31, maximum: 64)),
  HostileQueue(
    name: "descriptor table not aligned to 16", descriptors: 0x1008,
    error: .misaligned(.descriptorTable, GuestAddress(0x1008))),
  HostileQueue(
    name: "available ring not aligned to 2", available: 0x5001, error: .misaligned(.availableRing, GuestAddress(0x5001))
  ),
  HostileQueue(name: "used ring not aligned to 4", used: 0x6002, error: .misaligned(.usedRing, GuestAddress(0x6002))),
  HostileQueue(
    name: "descriptor table in the hole", descriptors: lowEnd,
    error: .areaOutsideRAM(.descriptorTable, GuestAddress(lowEnd))),
  HostileQueue(
    name: "descriptor table that ends behind RAM", descriptors: lowEnd - 16 * 7,
    error: .areaOutsideRAM(.descriptorTable, GuestAddress(lowEnd - 16 * 7))),
  HostileQueue(
    name: "available ring whose event field is behind RAM", available: lowEnd - 20,
    error: .areaOutsideRAM(.availableRing, GuestAddress(lowEnd - 20))),
  HostileQueue(
    name: "used ring whose event field is behind RAM", used: lowEnd - 68,
    error: .areaOutsideRAM(.usedRing, GuestAddress(lowEnd - 68))),
  HostileQueue(
    name: "descriptor table at the end of the address space", descriptors: 0xFFFF_FFFF_FFFF_FFF0,
    error: .areaOutsideRAM(.descriptorTable, GuestAddress(0xFFFF_FFFF_FFFF_FFF0))),
  HostileQueue(
    name: "used ring at the end of the address space", used: 0xFFFF_FFFF_FFFF_FFFC,
    error: .areaOutsideRAM(.usedRing, GuestAddress(0xFFFF_FFFF_FFFF_FFFC))),
  HostileQueue(name: "used ring in the descriptor table", used: 0x1040, error: .areasOverlap),
  HostileQueue(name: "available ring in the used ring", available: 0x6010, error: .areasOverlap),
  HostileQueue(name: "all three at one place", available: 0x1000, used: 0x1000, error: .areasOverlap),
]

@Suite("Hostile queue set-up (2.7, 4.2.2)")
struct HostileQueueTests {
  @Test("leaves the queue disabled and the device in need of a reset", arguments: hostileQueues)
  func refused(_ row: HostileQueue) throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, start: false)
    driver.negotiate(Features.version1)
    try guest.remember()
    driver.setUpQueue(size: row.size, descriptors: row.descriptors, available: row.available, used: row.used)
    #expect(driver.load(Registers.queueReady) == 0)
    #expect(driver.transport.failure == row.error)
    #expect(driver.needsReset)
    // Section 2.1.2: no notification before DRIVER_OK; and there will be no DRIVER_OK.
    #expect(driver.interrupt.count == 0)
    #expect(driver.load(Registers.interruptStatus) == 0)
    driver.store(Registers.status, 0xf)
    #expect(driver.load(Registers.status) & Registers.driverOK == 0)
    driver.kick()
    driver.runDoorbell()
    #expect(try guest.firstChange(outside: []) == nil)
  }

  @Test("the last place in RAM where each area fits is good")
  func lastPlace() throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, start: false)
    for (descriptors, available, used) in [
      (lowEnd - 128, UInt64(0x5000), UInt64(0x6000)), (0x1000, lowEnd - 22, 0x6000), (0x1000, 0x5000, lowEnd - 72),
    ] {
      driver.negotiate(Features.version1)
      driver.setUpQueue(size: 8, descriptors: descriptors, available: available, used: used)
      #expect(driver.load(Registers.queueReady) == 1)
      #expect(driver.transport.failure == nil)
    }
  }
}
