import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

@Suite("Split virtqueue (2.7)")
struct QueueTests {
  private let guest: FakeGuest

  init() throws { guest = try FakeGuest() }

  private func driver(size: UInt16 = 8, features: UInt64 = 0) throws -> QueueDriver {
    try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory, size: size, features: features)
  }

  /// A queue of its own in the guest's memory, with zeroed rings at the driver's places.
  private func queue(size: UInt32 = 8, features: UInt64 = 0) throws -> Queue {
    try guest.memory.zero(GuestAddress(0x1000), count: 0x7000)
    return try Queue(
      memory: guest.memory, size: size, maximum: 256, descriptors: GuestAddress(QueueDriver.descriptors),
      available: GuestAddress(QueueDriver.available), used: GuestAddress(QueueDriver.used), features: features)
  }

  @Test("indices run through 65535 to 0, three times round", arguments: [UInt16(1), 2, 8, 64])
  func wrapsAround(size: UInt16) throws {
    let driver = try driver(size: size)
    for round in 0..<200_000 {
      let head = UInt16(truncatingIfNeeded: round) % size
      driver.describe(head, 0x8000, 4, QueueDriver.write)
      driver.offer(head)
      driver.kick()
      let used = driver.takeUsed()
      if used != .init(head: UInt32(head), written: 4) {
        Issue.record("round \(round): \(String(describing: used)), \(String(describing: driver.transport.failure))")
        return
      }
    }
  }

  @Test("a full queue is taken as a whole")
  func fullQueue() throws {
    let driver = try driver(size: 16)
    for index in 0..<16 { driver.submit([.writable(0x8000 + UInt64(index), 1)]) }
    driver.kick()
    for index in 0..<16 { #expect(driver.takeUsed() == .init(head: UInt32(index), written: 1)) }
    #expect(driver.takeUsed() == nil)
  }

  @Test("a chain as long as the queue is good, and buffers are filled in its order")
  func longestChain() throws {
    let driver = try driver()
    try guest.remember()
    let buffers = (0..<8).map { QueueDriver.Buffer.writable(0x8000 + 0x100 * UInt64($0), 32) }
    #expect(driver.perform(buffers) == .init(head: 0, written: 256))
    let permitted = buffers.map { $0.address..<$0.address + 32 }
    #expect(try guest.firstChange(outside: permitted + [QueueDriver.rings]) == nil)
  }

  @Test("buffers behind the hole are reached, and the first and last bytes of RAM regions")
  func edges() throws {
    let driver = try driver()
    try guest.remember()
    let buffers: [QueueDriver.Buffer] = [
      .writable(FakeGuest.lowEnd - 16, 16), .writable(FakeGuest.highStart, 16), .writable(FakeGuest.highEnd - 1, 1),
    ]
    #expect(driver.perform(buffers)?.written == 33)
    let permitted = buffers.map { $0.address..<$0.address + UInt64($0.count) }
    #expect(try guest.firstChange(outside: permitted + [QueueDriver.rings]) == nil)
  }

  @Test("indirect tables work, with direct descriptors before them, and their write flag is ignored (2.7.5.3.2)")
  func indirect() throws {
    let driver = try driver(features: Features.indirect)
    driver.submitIndirect([.writable(0x8000, 8), .writable(0x8100, 8)], table: 0x9000)
    driver.kick()
    #expect(driver.takeUsed()?.written == 16)

    driver.describe(0, 0x8000, 8, QueueDriver.write, table: 0x9000)
    driver.describe(2, 0x8100, 4, QueueDriver.write | QueueDriver.next, next: 3)
    driver.describe(3, 0x9000, 16, QueueDriver.indirect | QueueDriver.write)
    driver.offer(2)
    driver.kick()
    #expect(driver.takeUsed() == .init(head: 2, written: 12))
    #expect(driver.transport.failure == nil)
  }

  @Test("the same head twice is two requests, none of which leaves its buffer")
  func sameHeadTwice() throws {
    let driver = try driver()
    driver.describe(0, 0x8000, 16, QueueDriver.write)
    try guest.remember()
    driver.offer(0)
    driver.offer(0)
    driver.kick()
    #expect(driver.usedIndex == 2)
    #expect(try guest.firstChange(outside: [QueueDriver.rings, 0x8000..<0x8010]) == nil)
  }

  @Test("a driver cannot have more chains in flight than descriptors")
  func tooManyChains() throws {
    let queue = try queue(size: 2)
    let chain = DescriptorChain(memory: guest.memory)
    try guest.memory.store64(GuestAddress(QueueDriver.descriptors), 0x8000)
    try guest.memory.store64(GuestAddress(QueueDriver.descriptors + 8), 16)
    try guest.memory.store16(GuestAddress(QueueDriver.available + 2), 2)
    #expect(try queue.pop(into: chain))
    #expect(try queue.pop(into: chain))
    #expect(try !queue.pop(into: chain))
    try guest.memory.store16(GuestAddress(QueueDriver.available + 2), 3)
    #expect(throws: QueueError.tooManyChains) { try queue.pop(into: chain) }
  }

  @Test("a snapshot does not change with the descriptors")
  func snapshot() throws {
    let queue = try queue()
    let chain = DescriptorChain(memory: guest.memory)
    try guest.memory.store64(GuestAddress(QueueDriver.descriptors), 0x8000)
    try guest.memory.store64(GuestAddress(QueueDriver.descriptors + 8), 16 | UInt64(QueueDriver.write) << 32)
    try guest.memory.store16(GuestAddress(QueueDriver.available + 2), 1)
    #expect(try queue.pop(into: chain))
    try guest.memory.store64(GuestAddress(QueueDriver.descriptors), 0xFFFF_FFFF_FFFF_0000)
    try guest.memory.store64(GuestAddress(QueueDriver.descriptors + 8), 0xFFFF_FFFF)
    #expect(chain.buffers == [.init(address: GuestAddress(0x8000), count: 16)])
    #expect(chain.readableBuffers == 0)
    #expect(chain.writableCount == 16)
  }

  // MARK: Suppressed notifications

  @Test("without event indices: an interrupt unless the driver's flag says no (2.7.7.2)")
  func interruptFlag() throws {
    let driver = try driver()
    _ = driver.perform([.writable(0x8000, 1)])
    #expect(driver.interrupt.count == 1)
    try guest.memory.store16(GuestAddress(QueueDriver.available), 1)
    _ = driver.perform([.writable(0x8000, 1)])
    #expect(driver.interrupt.count == 1)
    // The event field is ignored, whatever it says.
    try guest.memory.store16(GuestAddress(QueueDriver.available), 0)
    driver.setUsedEvent(0x7777)
    _ = driver.perform([.writable(0x8000, 1)])
    #expect(driver.interrupt.count == 2)
  }

  @Test("with event indices: an interrupt when the used index passes the event, the flag is ignored (2.7.7.2)")
  func usedEvent() throws {
    let driver = try driver(features: Features.eventIndex)
    try guest.memory.store16(GuestAddress(QueueDriver.available), 1)
    driver.setUsedEvent(2)
    var counts: [Int] = []
    for _ in 0..<4 {
      _ = driver.perform([.writable(0x8000, 1)])
      counts.append(driver.interrupt.count)
    }
    // The entry with index 2 is the third one.
    #expect(counts == [0, 0, 1, 1])
    // A batch that passes the event is one interrupt.
    driver.setUsedEvent(5)
    for _ in 0..<4 { driver.submit([.writable(0x8000, 1)]) }
    driver.kick()
    #expect(driver.usedIndex == 8)
    #expect(driver.interrupt.count == 2)
  }

  @Test("the event is found wherever the indices wrap around")
  func usedEventWraps() throws {
    let queue = try queue(features: Features.eventIndex)
    let event = GuestAddress(QueueDriver.available + 4 + 2 * 8)
    var random = SeededRandom(seed: 3)
    var index: UInt16 = 0
    for _ in 0..<50_000 {
      let count = UInt16(1 + random.below(8))
      let wanted = index &+ UInt16(random.below(16)) &- 4
      for _ in 0..<count { try queue.push(head: 0, written: 0) }
      try guest.memory.store16(event, wanted)
      // The rule in plain words: is the entry with that index among those just written?
      let isAmong = (0..<count).contains { index &+ $0 == wanted }
      if try queue.needsInterrupt() != isAmong {
        Issue.record("index \(index), \(count) entries, event \(wanted)")
        return
      }
      index &+= count
    }
  }

  @Test("the device asks for a notification of the next chain, and only of that (2.7.10)")
  func availableEvent() throws {
    let driver = try driver(features: Features.eventIndex)
    driver.runDoorbell()
    for round in 0..<20 {
      let old = driver.nextAvailable
      driver.submit([.writable(0x8000, 1)])
      #expect(driver.deviceWantsKick(since: old), "round \(round)")
      // A second one before the device has seen the first needs no notification of its own.
      let middle = driver.nextAvailable
      driver.submit([.writable(0x8000, 1)])
      #expect(!driver.deviceWantsKick(since: middle), "round \(round)")
      driver.kick()
      #expect(driver.usedIndex == driver.nextAvailable)
    }
  }

  @Test("without event indices the flag is 0 whenever the device does not look")
  func notificationFlag() throws {
    let driver = try driver()
    for _ in 0..<3 {
      _ = driver.perform([.writable(0x8000, 1)])
      #expect(driver.deviceWantsKick(since: 0))
    }
  }

  @Test("enabling notifications reports a chain that came before")
  func enablingSeesChains() throws {
    for features in [0, Features.eventIndex] {
      let queue = try queue(features: features)
      try queue.disableNotifications()
      #expect(try guest.memory.load16(GuestAddress(QueueDriver.used)) == (features == 0 ? 1 : 0))
      #expect(try !queue.enableNotifications())
      #expect(try guest.memory.load16(GuestAddress(QueueDriver.used)) == 0)
      try guest.memory.store16(GuestAddress(QueueDriver.available + 2), 1)
      #expect(try queue.enableNotifications())
    }
  }
}

@Suite("Readers and writers of chains (2.7.4)")
struct ReaderWriterTests {
  private let guest: FakeGuest
  private let chain: DescriptorChain

  init() throws {
    guest = try FakeGuest()
    chain = DescriptorChain(memory: guest.memory)
  }

  /// A chain whose parts have these lengths, at places far from each other.
  private func build(readable: [UInt32], writable: [UInt32]) throws {
    chain.begin(head: 0)
    var address: UInt64 = 0x10000
    for count in readable {
      try chain.append(GuestAddress(address), count: count, writable: false)
      address += 0x1000
    }
    for count in writable {
      try chain.append(GuestAddress(address), count: count, writable: true)
      address += 0x1000
    }
  }

  @Test("integers are read across every split of their bytes")
  func splits() throws {
    for first in 1..<16 as Range<UInt32> {
      for second in 1...(16 - first) as ClosedRange<UInt32> {
        let third = 16 - first - second
        try build(readable: [first, second] + (third > 0 ? [third] : []), writable: [])
        var byte: UInt8 = 1
        for buffer in chain.buffers {
          for offset in 0..<UInt64(buffer.count) {
            try guest.memory.store8(GuestAddress(buffer.address.value + offset), byte)
            byte += 1
          }
        }
        var reader = chain.reader
        #expect(try reader.readInteger() == UInt32(0x0403_0201))
        #expect(try reader.readInteger() == UInt32(0x0807_0605))
        #expect(try reader.readInteger() == UInt64(0x100F_0E0D_0C0B_0A09))
        #expect(reader.remaining == 0)
        let none: UInt8? = try reader.readInteger()
        #expect(none == nil)
      }
    }
  }

  @Test("an integer that the chain does not hold in full is not read")
  func tooShort() throws {
    try build(readable: [2, 1], writable: [8])
    var reader = chain.reader
    let none: UInt32? = try reader.readInteger()
    #expect(none == nil)
    #expect(reader.remaining == 3)
  }

  @Test("the last bytes are parted off wherever the buffers end")
  func splitLast() throws {
    for count in 0...10 as ClosedRange<UInt64> {
      try build(readable: [5], writable: [3, 1, 4])
      var data = chain.writer
      var last = data.splitLast(count)
      #expect(last.remaining == min(count, 8))
      #expect(data.remaining == 8 - min(count, 8))
      let first = [UInt8](repeating: 0xAA, count: 20)
      #expect(try first.withUnsafeBytes { try data.write($0) } == Int(8 - min(count, 8)))
      while try last.write(0xBB) {}
      var bytes: [UInt8] = []
      for buffer in chain.buffers[1...] { bytes += try guest.memory.read(buffer.address, count: Int(buffer.count)) }
      #expect(bytes == Array((0..<8).map { $0 < 8 - min(count, 8) ? 0xAA : 0xBB }))
    }
  }

  @Test("iovecs cover exactly the bytes asked for, in order")
  func vectors() throws {
    try build(readable: [3, 10, 100], writable: [7])
    var reader = chain.reader
    let _: UInt32? = try reader.readInteger()
    var lengths: [Int] = []
    try withVectors(&reader, 50) { lengths = $0 }
    #expect(lengths == [9, 41])
    try withVectors(&reader, 1000) { lengths = $0 }
    #expect(lengths == [59])
    #expect(reader.remaining == 0)
  }

  private func withVectors(_ reader: inout Reader, _ count: UInt64, _ body: ([Int]) -> Void) throws {
    var vectors = Array(repeating: try guest.memory.ioVector(GuestAddress(0), count: 1), count: 0)
    let wanted = min(count, reader.remaining)
    #expect(try reader.appendVectors(count, to: &vectors) == wanted)
    body(vectors.map { Int($0.iov_len) })
  }
}
