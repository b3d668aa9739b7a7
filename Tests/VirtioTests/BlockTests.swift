import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

@Suite("Block device (5.2)")
struct BlockTests {
  private let file: TemporaryFile
  private let original: [UInt8]
  private static let sectors = 2048

  init() throws {
    file = try TemporaryFile(randomBytes: 512 * BlockTests.sectors)
    original = try file.bytes()
  }

  @Test("identity, features and configuration space")
  func configuration() throws {
    let guest = try BlockGuest(path: file.path)
    let driver = guest.driver
    #expect(driver.load(Registers.deviceID) == 2)
    #expect(driver.load(Registers.queueSizeMaximum) == 256)
    driver.store(Registers.deviceFeaturesSelect, 0)
    let offered = driver.load(Registers.deviceFeatures)
    // SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, DISCARD, WRITE_ZEROES; not RO.
    for bit in [2, 6, 9, 10, 13, 14, 28, 29] { #expect(offered & 1 << bit != 0, "bit \(bit)") }
    #expect(offered & Features.blockReadOnly == 0)
    func config(_ offset: UInt64, _ width: Int) -> UInt64 {
      driver.transport.read(offset: Registers.config + offset, width: width)
    }
    #expect(config(0, 8) == UInt64(BlockTests.sectors))
    #expect(config(4, 4) == 0)
    #expect(config(12, 4) == 254)
    #expect(config(20, 4) == 512)
    let exponent = config(24, 1)
    #expect(exponent <= 7)
    #expect(config(26, 2) == 1 << exponent)
    #expect(config(36, 4) == UInt64(BlockExecutor.discardMaximum))
    #expect(config(40, 4) == 16)
    #expect(config(44, 4) == 1 << exponent)
    #expect(config(48, 4) == UInt64(BlockExecutor.zeroesMaximum))
    #expect(config(52, 4) == 16)
    #expect(config(56, 1) == 1)
    #expect(config(57, 1) == 0)
  }

  @Test(
    "reads give the file's bytes and write nothing else", arguments: [(0, 1), (1, 8), (2040, 8), (2047, 1), (5, 0)])
  func reads(sector: Int, count: Int) throws {
    let guest = try BlockGuest(path: file.path)
    try guest.putHeader(Request.read, UInt64(sector))
    let bytes = UInt32(512 * count)
    try guest.guest.remember()
    let data: QueueDriver.Buffer? = count > 0 ? .writable(BlockGuest.data, bytes) : nil
    let (status, written) = try guest.request(Request.read, sector: UInt64(sector), data: data)
    #expect(status == Request.ok)
    #expect(written == bytes + 1)
    let got = try guest.guest.memory.read(GuestAddress(BlockGuest.data), count: Int(bytes))
    #expect(got == Array(original[512 * sector..<512 * (sector + count)]))
    let permitted = [
      QueueDriver.rings, BlockGuest.data..<BlockGuest.data + UInt64(bytes), BlockGuest.status..<BlockGuest.status + 1,
    ]
    #expect(try guest.guest.firstChange(outside: permitted) == nil)
  }

  @Test("writes reach the file, and no other part of it", arguments: [(0, 1), (100, 64), (2047, 1)])
  func writes(sector: Int, count: Int) throws {
    let guest = try BlockGuest(path: file.path)
    try guest.putData(0xA5, count: 512 * count)
    let (status, written) = try guest.request(
      Request.write, sector: UInt64(sector), data: .readable(BlockGuest.data, UInt32(512 * count)))
    #expect(status == Request.ok)
    #expect(written == 1)
    #expect(try guest.request(Request.flush).status == Request.ok)
    var expected = original
    for index in 512 * sector..<512 * (sector + count) { expected[index] = 0xA5 }
    #expect(try file.bytes() == expected)
  }

  @Test("header, data and status may be split and joined in any way (2.7.4.1)")
  func anyLayout() throws {
    let guest = try BlockGuest(path: file.path)
    let memory = guest.guest.memory
    // Data and status in one buffer.
    try guest.putHeader(Request.read, 3)
    #expect(
      guest.driver.perform([.readable(BlockGuest.header, 16), .writable(BlockGuest.data, 513)])?.written == 513)
    #expect(
      try memory.read(GuestAddress(BlockGuest.data), count: 513) == Array(original[512 * 3..<512 * 4]) + [Request.ok])
    // A header of three pieces, data of three odd pieces, the last with the status.
    try guest.putHeader(Request.read, 9)
    let pieces: [QueueDriver.Buffer] = [
      .readable(BlockGuest.header, 3), .readable(BlockGuest.header + 3, 9), .readable(BlockGuest.header + 12, 4),
      .writable(BlockGuest.data, 1), .writable(BlockGuest.data + 1, 1000), .writable(BlockGuest.data + 1001, 24),
    ]
    #expect(guest.driver.perform(pieces)?.written == 1025)
    #expect(
      try memory.read(GuestAddress(BlockGuest.data), count: 1025) == Array(original[512 * 9..<512 * 11]) + [Request.ok])
    // Header and data of a write in one buffer, through an indirect table.
    try guest.putHeader(Request.write, 20, at: BlockGuest.data)
    try memory.write(GuestAddress(BlockGuest.data + 16), [UInt8](repeating: 0x77, count: 512))
    guest.driver.submitIndirect(
      [.readable(BlockGuest.data, 528), .writable(BlockGuest.status, 1)], table: 0x9000)
    guest.driver.kick()
    #expect(guest.driver.waitUsed()?.written == 1)
    #expect(try memory.load8(GuestAddress(BlockGuest.status)) == Request.ok)
    #expect(try Array(file.bytes()[512 * 20..<512 * 21]) == [UInt8](repeating: 0x77, count: 512))
  }

  @Test("GET_ID gives the serial number, padded with zeros")
  func identity() throws {
    let guest = try BlockGuest(path: file.path)
    let (status, written) = try guest.request(Request.getID, data: .writable(BlockGuest.data, 20))
    #expect(status == Request.ok)
    #expect(written == 21)
    let id = try guest.guest.memory.read(GuestAddress(BlockGuest.data), count: 20)
    #expect(id == Array("vmrun-test".utf8) + [UInt8](repeating: 0, count: 10))
    // Only the first 20 bytes of a greater buffer are claimed to be written.
    #expect(try guest.request(Request.getID, data: .writable(BlockGuest.data, 64)).written == 20)
    #expect(try guest.request(Request.getID, data: .writable(BlockGuest.data, 19)).status == Request.ioError)
  }

  @Test("a read-only disk offers RO, refuses every change with an error and stays as it is (5.2.6.2)")
  func readOnly() throws {
    let guest = try BlockGuest(path: file.path, readOnly: true)
    guest.driver.store(Registers.deviceFeaturesSelect, 0)
    let offered = guest.driver.load(Registers.deviceFeatures)
    #expect(offered & Features.blockReadOnly != 0)
    #expect(offered & (Features.blockDiscard | Features.blockWriteZeroes) == 0)
    try guest.putData(0xA5, count: 512)
    #expect(try guest.request(Request.write, data: .readable(BlockGuest.data, 512)).status == Request.ioError)
    try guest.putSegment(0, first: 0, count: 1)
    for type in [Request.discard, Request.writeZeroes] {
      #expect(try guest.request(type, data: .readable(BlockGuest.data, 16)).status == Request.unsupported)
    }
    #expect(try guest.request(Request.flush).status == Request.ok)
    #expect(try guest.request(Request.read, data: .writable(BlockGuest.data, 512)).status == Request.ok)
    #expect(try file.bytes() == original)
  }

  @Test("discard gives space back to the host")
  func discard() throws {
    let guest = try BlockGuest(path: file.path)
    #expect(try guest.request(Request.flush).status == Request.ok)
    let before = try file.allocated()
    try guest.putSegment(0, first: 0, count: 1024)
    try guest.putSegment(1, first: 1024, count: 512)
    #expect(try guest.request(Request.discard, data: .readable(BlockGuest.data, 32)).status == Request.ok)
    #expect(try guest.request(Request.flush).status == Request.ok)
    #expect(try file.allocated() <= before - 512 * 1024)
    #expect(try Array(file.bytes()[(512 * 1536)...]) == Array(original[(512 * 1536)...]))
  }

  @Test("zeroed ranges read as zero, with and without unmap, and only they", arguments: [UInt32(0), 1])
  func writeZeroes(flags: UInt32) throws {
    let guest = try BlockGuest(path: file.path)
    try guest.putSegment(0, first: 3, count: 5, flags: flags)
    try guest.putSegment(1, first: 100, count: 1000, flags: flags)
    try guest.putSegment(2, first: 2047, count: 1, flags: flags)
    #expect(try guest.request(Request.writeZeroes, data: .readable(BlockGuest.data, 48)).status == Request.ok)
    var expected = original
    for range in [3..<8, 100..<1100, 2047..<2048] {
      for index in 512 * range.lowerBound..<512 * range.upperBound { expected[index] = 0 }
    }
    #expect(try file.bytes() == expected)
  }

  @Test("zeros are written as data where the host has no other way")
  func zeroBytes() throws {
    let image = try DiskImage(path: file.path, readOnly: false)
    #expect(image.writeZeroBytes(7, 300))
    var expected = original
    for index in 512 * 7..<512 * 307 { expected[index] = 0 }
    #expect(try file.bytes() == expected)
  }

  @Test("a segment may have as many sectors as the configuration space says, and no more")
  func segmentMaximum() throws {
    let file = try MemoryFile(count: 2 << 30)
    let guest = try BlockGuest(path: file.path)
    for (type, maximum) in [
      (Request.discard, BlockExecutor.discardMaximum), (Request.writeZeroes, BlockExecutor.zeroesMaximum),
    ] {
      try guest.putSegment(0, first: 0, count: maximum, flags: type == Request.discard ? 0 : 1)
      #expect(try guest.request(type, data: .readable(BlockGuest.data, 16)).status == Request.ok)
      try guest.putSegment(0, first: 0, count: maximum + 1, flags: type == Request.discard ? 0 : 1)
      #expect(try guest.request(type, data: .readable(BlockGuest.data, 16)).status == Request.ioError)
    }
    #expect(try file.written() == 0)
  }

  @Test("discard and write-zeroes are unsupported when they were not agreed on")
  func notNegotiated() throws {
    let guest = try BlockGuest(path: file.path, features: Features.blockFlush)
    try guest.putSegment(0, first: 0, count: 1)
    for type in [Request.discard, Request.writeZeroes] {
      #expect(try guest.request(type, data: .readable(BlockGuest.data, 16)).status == Request.unsupported)
    }
    #expect(try file.bytes() == original)
  }

  @Test(
    "after a flush, all that was written before is on the disk (5.2.6.2)",
    .enabled(if: BlockTests.seesUnwrittenPages, "needs cachestat(2) of Linux 6.5 and a file system with a disk"))
  func flushed() throws {
    let guest = try BlockGuest(path: file.path)
    #expect(try guest.request(Request.flush).status == Request.ok)
    #expect(PageCache.unwrittenPages(of: file.path) == 0)
    try guest.putData(0xA5, count: 64 << 10)
    let data = QueueDriver.Buffer.readable(BlockGuest.data, 64 << 10)
    #expect(try guest.request(Request.write, data: data).status == Request.ok)
    #expect(try guest.request(Request.flush).status == Request.ok)
    #expect(PageCache.unwrittenPages(of: file.path) == 0)
  }

  @Test(
    "for a driver that knows no flush, each write is on the disk when it completes (5.2.6.2)",
    .enabled(if: BlockTests.seesUnwrittenPages, "needs cachestat(2) of Linux 6.5 and a file system with a disk"))
  func writeThrough() throws {
    let guest = try BlockGuest(path: file.path, features: Features.blockWriteZeroes)
    try guest.putData(0xA5, count: 512)
    for sector in [0, 700, 3] as [UInt64] {
      let data = QueueDriver.Buffer.readable(BlockGuest.data, 512)
      #expect(try guest.request(Request.write, sector: sector, data: data).status == Request.ok)
      #expect(PageCache.unwrittenPages(of: file.path) == 0)
    }
    try guest.putSegment(0, first: 1, count: 100)
    #expect(try guest.request(Request.writeZeroes, data: .readable(BlockGuest.data, 16)).status == Request.ok)
    #expect(PageCache.unwrittenPages(of: file.path) == 0)
  }

  /// Whether a write that was not flushed can be seen: otherwise the two tests above could not fail.
  private static let seesUnwrittenPages: Bool = {
    guard let file = try? TemporaryFile(randomBytes: 512 * 2048) else { return false }
    return PageCache.unwrittenPages(of: file.path).map { $0 > 0 } ?? false
  }()

  @Test("a file that was cut off gives errors, is not made longer, and works again when it is whole")
  func truncated() throws {
    let guest = try BlockGuest(path: file.path)
    try file.resize(to: 512 * 100 + 100)
    #expect(
      try guest.request(Request.read, sector: 0, data: .writable(BlockGuest.data, 512)).status == Request.ok)
    // 100 is there in part, 200 not at all.
    for sector in [100, 200] as [UInt64] {
      #expect(
        try guest.request(Request.read, sector: sector, data: .writable(BlockGuest.data, 512))
          == (Request.ioError, 0))
      #expect(
        try guest.request(Request.write, sector: sector, data: .readable(BlockGuest.data, 512)).status
          == Request.ioError)
    }
    try guest.putSegment(0, first: 0, count: 8)
    for type in [Request.discard, Request.writeZeroes] {
      #expect(try guest.request(type, data: .readable(BlockGuest.data, 16)).status == Request.ioError)
    }
    #expect(try file.bytes() == Array(original[..<(512 * 100 + 100)]))
    try file.resize(to: 512 * BlockTests.sectors)
    #expect(
      try guest.request(Request.write, sector: 200, data: .readable(BlockGuest.data, 512)).status == Request.ok)
    #expect(guest.driver.transport.failure == nil)
  }

  @Test("a file that grew stays the disk that it was")
  func grown() throws {
    let guest = try BlockGuest(path: file.path)
    try file.resize(to: 1024 * BlockTests.sectors)
    let end = UInt64(BlockTests.sectors)
    #expect(
      try guest.request(Request.write, sector: end, data: .readable(BlockGuest.data, 512)).status == Request.ioError)
    #expect(
      try guest.request(Request.read, sector: end - 1, data: .writable(BlockGuest.data, 512)).status == Request.ok)
  }

  @Test("the host's refusal of a write is an error of the request, not of the device")
  func hostError() throws {
    let sealed = try SealedFile(count: 1 << 20)
    let guest = try BlockGuest(path: sealed.path)
    #expect(try guest.request(Request.write, data: .readable(BlockGuest.data, 512)).status == Request.ioError)
    try guest.putSegment(0, first: 0, count: 8)
    for type in [Request.discard, Request.writeZeroes] {
      #expect(try guest.request(type, data: .readable(BlockGuest.data, 16)).status == Request.ioError)
    }
    #expect(try guest.request(Request.read, data: .writable(BlockGuest.data, 512)).status == Request.ok)
    #expect(guest.driver.transport.failure == nil)
  }
}

/// A request that asks for what it may not, and the status that it must get.
struct HostileRequest: CustomTestStringConvertible, Sendable {
  let name: String
  /// Puts header and data into memory and gives the chain's buffers; the status byte is at `BlockGuest.status`.
  let arrange: @Sendable (BlockGuest) throws -> [QueueDriver.Buffer]
  let status: UInt8
  /// The used length: status bytes that the driver finds at its place.
  var written: UInt32 = 1
  var testDescription: String { name }
}

private let header = QueueDriver.Buffer.readable(BlockGuest.header, 16)
private let statusByte = QueueDriver.Buffer.writable(BlockGuest.status, 1)

private func transfer(
  _ name: String, _ type: UInt32, _ sector: UInt64, _ data: QueueDriver.Buffer?, _ status: UInt8, written: UInt32 = 1
) -> HostileRequest {
  HostileRequest(
    name: name,
    arrange: { guest in
      try guest.putHeader(type, sector)
      return [header] + (data.map { [$0] } ?? []) + [statusByte]
    }, status: status, written: written)
}

private func segments(
  _ name: String, _ type: UInt32, _ list: [(UInt64, UInt32, UInt32)], _ status: UInt8, bytes: UInt32? = nil
) -> HostileRequest {
  HostileRequest(
    name: name,
    arrange: { guest in
      try guest.putHeader(type, 0)
      for (index, segment) in list.enumerated() {
        try guest.putSegment(UInt64(index), first: segment.0, count: segment.1, flags: segment.2)
      }
      return [header, .readable(BlockGuest.data, bytes ?? UInt32(16 * list.count)), statusByte]
    }, status: status)
}

private let input = QueueDriver.Buffer.writable(BlockGuest.data, 512)
private let output = QueueDriver.Buffer.readable(BlockGuest.data, 512)
private let io = Request.ioError

private let hostileRequests: [HostileRequest] = [
  transfer("read behind the end", Request.read, 2048, input, io, written: 0),
  transfer("read across the end", Request.read, 2047, .writable(BlockGuest.data, 1024), io, written: 0),
  transfer("read at sector 2^64 - 1", Request.read, .max, input, io, written: 0),
  transfer("read at 2^55, whose byte offset wraps around", Request.read, 1 << 55, input, io, written: 0),
  transfer("read at 2^54, whose byte offset is negative", Request.read, 1 << 54, input, io, written: 0),
  transfer("read of 511 bytes", Request.read, 0, .writable(BlockGuest.data, 511), io, written: 0),
  transfer("read of 513 bytes", Request.read, 0, .writable(BlockGuest.data, 513), io, written: 0),
  transfer("read at the end of nothing", Request.read, 2049, nil, io, written: 1),
  transfer("write behind the end", Request.write, 2048, output, io),
  transfer("write across the end", Request.write, 2047, .readable(BlockGuest.data, 1024), io),
  transfer("write at sector 2^64 - 1", Request.write, .max, output, io),
  transfer("write at 2^55", Request.write, 1 << 55, output, io),
  transfer("write of 511 bytes", Request.write, 0, .readable(BlockGuest.data, 511), io),
  transfer("unknown type 2", 2, 0, output, Request.unsupported),
  transfer("unknown type 2^32 - 1", .max, 0, output, Request.unsupported),
  transfer("legacy barrier bit", 0x8000_0001, 0, output, Request.unsupported),
  transfer("secure erase", Request.secureErase, 0, output, Request.unsupported),
  HostileRequest(
    name: "no header at all", arrange: { _ in [statusByte] }, status: io),
  HostileRequest(
    name: "header of 15 bytes",
    arrange: { guest in
      try guest.putHeader(Request.read, 0)
      return [.readable(BlockGuest.header, 15), input, statusByte]
    }, status: io, written: 0),
  segments("discard of no segment", Request.discard, [], io, bytes: 15),
  segments("discard of a segment and a half", Request.discard, [(0, 8, 0), (8, 8, 0)], io, bytes: 24),
  segments(
    "discard of 17 segments", Request.discard, [(UInt64, UInt32, UInt32)](repeating: (0, 8, 0), count: 17), io),
  segments("discard behind the end", Request.discard, [(2048, 1, 0)], io),
  segments("discard across the end", Request.discard, [(2040, 9, 0)], io),
  segments("discard whose end wraps around", Request.discard, [(.max, 2, 0)], io),
  segments("discard of more than the maximum", Request.discard, [(0, .max, 0)], io),
  segments("discard with unmap", Request.discard, [(0, 8, 1)], Request.unsupported),
  segments("discard with an unknown flag", Request.discard, [(0, 8, 2)], Request.unsupported),
  segments("good segment before a bad one", Request.writeZeroes, [(0, 8, 0), (2048, 8, 0)], io),
  segments("zeroes behind the end", Request.writeZeroes, [(2048, 1, 0)], io),
  segments("zeroes whose end wraps around", Request.writeZeroes, [(0xFFFF_FFFF_FFFF_FFF8, 16, 1)], io),
  segments("zeroes of more than the maximum", Request.writeZeroes, [(0, 65537, 0)], io),
  segments("zeroes with an unknown flag", Request.writeZeroes, [(0, 8, 0x8000_0000)], Request.unsupported),
]

@Suite("Hostile block requests (5.2.6)")
struct HostileBlockRequestTests {
  @Test("get an error status and change neither the disk nor other memory", arguments: hostileRequests)
  func refused(_ row: HostileRequest) throws {
    let file = try TemporaryFile(randomBytes: 512 * 2048)
    let original = try file.bytes()
    let guest = try BlockGuest(path: file.path)
    let buffers = try row.arrange(guest)
    try guest.guest.memory.store8(GuestAddress(BlockGuest.status), 0xEE)
    guest.driver.submit(buffers)
    try guest.guest.remember()
    guest.driver.kick()
    let used = try #require(guest.driver.waitUsed())
    #expect(used.written == row.written)
    #expect(try guest.guest.memory.load8(GuestAddress(BlockGuest.status)) == row.status)
    // Nothing but the status: a refused read leaves its buffer alone.
    let permitted = [guest.driver.usedRing, BlockGuest.status..<BlockGuest.status + 1]
    #expect(try guest.guest.firstChange(outside: permitted) == nil)
    #expect(try file.bytes() == original)
    // The device goes on.
    #expect(guest.driver.transport.failure == nil)
    #expect(try guest.request(Request.read, data: input).status == Request.ok)
  }

  @Test("a chain without room for a status needs a reset")
  func noStatus() throws {
    let file = try TemporaryFile(randomBytes: 512 * 2048)
    let original = try file.bytes()
    let guest = try BlockGuest(path: file.path)
    try guest.putHeader(Request.write, 0)
    guest.driver.submit([header, output])
    try guest.guest.remember()
    guest.driver.kick()
    #expect(eventually { guest.driver.needsReset })
    #expect(guest.driver.transport.failure == .missing("a status byte"))
    #expect(try guest.guest.firstChange(outside: [guest.driver.usedRing]) == nil)
    #expect(try file.bytes() == original)
  }

  @Test("a broken chain needs a reset, and the disk works after it")
  func brokenChain() throws {
    let file = try TemporaryFile(randomBytes: 512 * 2048)
    let guest = try BlockGuest(path: file.path)
    guest.driver.describe(0, 0x8000, 16, QueueDriver.next, next: 0)
    guest.driver.offer(0)
    guest.driver.kick()
    #expect(eventually { guest.driver.needsReset })
    #expect(guest.driver.transport.failure == .chainTooLong)
    guest.driver.negotiate(Features.version1 | Features.blockFlush)
    try guest.driver.zeroRings()
    guest.driver.setUpQueue(size: UInt32(guest.driver.size))
    guest.driver.store(Registers.status, 0xf)
    #expect(try guest.request(Request.read, data: input).status == Request.ok)
  }
}
