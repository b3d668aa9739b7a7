import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

@Suite("Block device with several requests in flight")
struct BlockConcurrencyTests {
  private static let slowStatus: UInt64 = 0x12000, slowHeader: UInt64 = 0x13000

  /// A disk in memory, where zeroing takes as long as writing half a gigabyte.
  private func slowDisk() throws -> (MemoryFile, BlockGuest) {
    let file = try MemoryFile(count: 32 << 20)
    return (file, try BlockGuest(path: file.path))
  }

  /// Starts a request that takes a while, unless the caller notifies the device; returns its head.
  private func submitSlow(_ guest: BlockGuest, kick: Bool = true) throws -> UInt16 {
    try guest.putHeader(Request.writeZeroes, 0, at: BlockConcurrencyTests.slowHeader)
    for index in 0..<16 as Range<UInt64> { try guest.putSegment(index, first: 0, count: 65536) }
    try guest.guest.memory.store8(GuestAddress(BlockConcurrencyTests.slowStatus), 0xEE)
    let head = guest.driver.submit([
      .readable(BlockConcurrencyTests.slowHeader, 16), .readable(BlockGuest.data, 256),
      .writable(BlockConcurrencyTests.slowStatus, 1),
    ])
    if kick { guest.driver.kick() }
    return head
  }

  /// Returns when the slow request has begun; it has hundreds of megabytes to go then.
  private func waitUntilWriting(_ file: MemoryFile) {
    #expect(eventually { (try? file.written()) ?? 0 > 0 })
  }

  private func slowStatus(_ guest: BlockGuest) throws -> UInt8 {
    try guest.guest.memory.load8(GuestAddress(BlockConcurrencyTests.slowStatus))
  }

  @Test(
    "a quick request overtakes a slow one, with a notification of its own or with one for both",
    arguments: [true, false])
  func outOfOrder(twoKicks: Bool) throws {
    let (file, guest) = try slowDisk()
    // Until the worker threads have started and sleep.
    #expect(try guest.request(Request.flush).status == Request.ok)
    pause(milliseconds: 20)
    let slow = try submitSlow(guest, kick: twoKicks)
    try guest.putHeader(Request.read, 100)
    let quick = guest.driver.submit([
      .readable(BlockGuest.header, 16), .writable(BlockGuest.data + 0x1000, 512), .writable(BlockGuest.status, 1),
    ])
    guest.driver.kick()
    #expect(guest.driver.waitUsed()?.head == UInt32(quick))
    #expect(try slowStatus(guest) == 0xEE)
    #expect(guest.driver.waitUsed()?.head == UInt32(slow))
    #expect(try slowStatus(guest) == Request.ok)
    withExtendedLifetime(file) {}
  }

  @Test("a reset waits for requests in flight, and afterwards the device touches nothing")
  func resetInFlight() throws {
    let (file, guest) = try slowDisk()
    _ = try submitSlow(guest)
    waitUntilWriting(file)
    #expect(try slowStatus(guest) == 0xEE)
    guest.driver.store(Registers.status, 0)
    #expect(try slowStatus(guest) == Request.ok)
    #expect(guest.driver.load(Registers.status) == 0)
    #expect(guest.driver.load(Registers.interruptStatus) == 0)
    let interrupts = guest.driver.interrupt.count
    // A request of before the reset is none of after it.
    try guest.guest.remember()
    guest.driver.kick()
    guest.driver.runDoorbell()
    pause(milliseconds: 50)
    #expect(try guest.guest.firstChange(outside: []) == nil)
    #expect(guest.driver.interrupt.count == interrupts)

    guest.driver.negotiate(Features.version1 | Features.blockFlush)
    try guest.driver.zeroRings()
    guest.driver.setUpQueue(size: UInt32(guest.driver.size))
    guest.driver.store(Registers.status, 0xf)
    #expect(try guest.request(Request.flush).status == Request.ok)
    withExtendedLifetime(file) {}
  }

  @Test("QueueReady 0 waits for requests in flight too")
  func queueReadyInFlight() throws {
    let (file, guest) = try slowDisk()
    _ = try submitSlow(guest)
    waitUntilWriting(file)
    guest.driver.store(Registers.queueReady, 0)
    #expect(try slowStatus(guest) == Request.ok)
    guest.driver.submit([.readable(BlockGuest.header, 16), .writable(BlockGuest.status, 1)])
    try guest.guest.remember()
    guest.driver.kick()
    guest.driver.runDoorbell()
    pause(milliseconds: 20)
    #expect(try guest.guest.firstChange(outside: []) == nil)
    withExtendedLifetime(file) {}
  }

  @Test("pausing waits for requests in flight and starts none; resuming does")
  func paused() throws {
    let (file, guest) = try slowDisk()
    let slow = try submitSlow(guest)
    waitUntilWriting(file)
    guest.driver.transport.setPaused(true)
    #expect(try slowStatus(guest) == Request.ok)
    #expect(guest.driver.takeUsed()?.head == UInt32(slow))
    try guest.putHeader(Request.flush, 0)
    guest.driver.submit([.readable(BlockGuest.header, 16), .writable(BlockGuest.status, 1)])
    try guest.guest.remember()
    guest.driver.kick()
    guest.driver.runDoorbell()
    pause(milliseconds: 20)
    #expect(try guest.guest.firstChange(outside: []) == nil)
    guest.driver.transport.setPaused(false)
    guest.driver.runDoorbell()
    #expect(guest.driver.waitUsed() != nil)
    withExtendedLifetime(file) {}
  }

  /// One slot of the disk and of guest memory, which one request at a time uses.
  private struct Slot {
    var isWrite = false
    var byte: UInt8 = 0
  }

  @Test(
    "thousands of requests, many at a time, none lost and each with its own data",
    arguments: [
      BlockGuest.allFeatures, BlockGuest.allFeatures & ~Features.eventIndex, Features.eventIndex,
    ])
  func manyRequests(features: UInt64) throws {
    let slots = 16
    let file = try TemporaryFile([UInt8](repeating: 0, count: 4096 * slots))
    let guest = try BlockGuest(path: file.path, features: features, size: 64)
    let driver = guest.driver
    let memory = guest.guest.memory
    let hasEvents = features & Features.eventIndex != 0
    let hasIndirect = features & Features.indirect != 0
    var random = SeededRandom(seed: features)
    var states = [Slot](repeating: Slot(), count: slots)
    var free = Array(0..<slots)
    var owners: [UInt32: Int] = [:]
    // Without FLUSH each write is synchronous: fewer will do.
    let total = features & Features.blockFlush != 0 ? 20_000 : 500
    var submitted = 0
    var completed = 0

    func data(_ slot: Int) -> UInt64 { BlockGuest.data + 4096 * UInt64(slot) }
    func header(_ slot: Int) -> UInt64 { BlockGuest.header + 64 * UInt64(slot) }
    while completed < total {
      // A good driver: looks whether the device wants to be notified, once for what it has added.
      let old = driver.nextAvailable
      while submitted < total, let slot = free.popLast() {
        states[slot].isWrite = random.oneIn(2)
        if states[slot].isWrite {
          states[slot].byte = UInt8(truncatingIfNeeded: random.next())
          try memory.write(GuestAddress(data(slot)), [UInt8](repeating: states[slot].byte, count: 4096))
        }
        try guest.putHeader(states[slot].isWrite ? Request.write : Request.read, UInt64(8 * slot), at: header(slot))
        try memory.store8(GuestAddress(header(slot) + 32), 0xEE)
        let buffers: [QueueDriver.Buffer] = [
          .readable(header(slot), 16), .init(address: data(slot), count: 4096, writable: !states[slot].isWrite),
          .writable(header(slot) + 32, 1),
        ]
        let head =
          hasIndirect && random.oneIn(2)
          ? driver.submitIndirect(buffers, table: header(slot) + 0x8000, first: UInt16(3 * slot))
          : driver.submit(buffers, first: UInt16(3 * slot))
        owners[UInt32(head)] = slot
        submitted += 1
        if random.oneIn(4) { break }
      }
      if driver.nextAvailable != old, driver.deviceWantsKick(since: old) { driver.kick() }
      // Sleep until an interrupt comes, unless something has been used meanwhile.
      let interrupts = driver.interrupt.count
      if hasEvents { driver.setUsedEvent(driver.nextUsed) }
      if driver.usedIndex == driver.nextUsed, !free.isEmpty || submitted == total || owners.count == slots {
        if owners.isEmpty { continue }
        guard eventually({ driver.interrupt.count != interrupts || driver.usedIndex != driver.nextUsed }) else {
          Issue.record("stuck after \(completed) of \(total) requests")
          return
        }
      }
      while let used = driver.takeUsed() {
        let owner = owners.removeValue(forKey: used.head)
        let slot = try #require(owner)
        let status = try memory.load8(GuestAddress(header(slot) + 32))
        let bytes = try memory.read(GuestAddress(data(slot)), count: 4096)
        if status != Request.ok || bytes != [UInt8](repeating: states[slot].byte, count: 4096) {
          Issue.record("slot \(slot): status \(status), write \(states[slot].isWrite)")
          return
        }
        if !states[slot].isWrite { try memory.zero(GuestAddress(data(slot)), count: 4096) }
        free.append(slot)
        completed += 1
      }
    }
    #expect(driver.transport.failure == nil)
    let bytes = try file.bytes()
    for slot in 0..<slots {
      #expect(bytes[4096 * slot] == states[slot].byte && bytes[4096 * slot + 4095] == states[slot].byte)
    }
  }

  @Test("every completion that the driver wants to know of is an interrupt, and every wanted kick is enough")
  func sleepingDriver() throws {
    let file = try TemporaryFile([UInt8](repeating: 0, count: 4096))
    for features in [BlockGuest.allFeatures, Features.blockFlush] {
      let guest = try BlockGuest(path: file.path, features: features)
      try guest.putHeader(Request.read, 0)
      for round in 0..<2000 {
        let interrupts = guest.driver.interrupt.count
        if features & Features.eventIndex != 0 { guest.driver.setUsedEvent(guest.driver.nextUsed) }
        let old = guest.driver.nextAvailable
        guest.driver.submit([.readable(BlockGuest.header, 16), .writable(BlockGuest.status, 1)])
        if guest.driver.deviceWantsKick(since: old) { guest.driver.kick() }
        // Only an interrupt wakes it; the used ring is not looked at before.
        guard eventually({ guest.driver.interrupt.count > interrupts }) else {
          Issue.record("round \(round): no interrupt")
          return
        }
        #expect(guest.driver.takeUsed() != nil)
      }
    }
  }
}
