import CLinux
import GuestMemory
import System
import TestSupport
import Testing

private let holeStart: UInt64 = 3 << 30
private let holeEnd: UInt64 = 4 << 30

private func ram(_ count: UInt64, hole: Range<UInt64> = holeStart..<holeEnd) throws -> GuestRAM {
  try GuestRAM(count: count, holeStart: hole.lowerBound, holeEnd: hole.upperBound, hugePages: false)
}

/// A small RAM of two regions: 0..<0x3000 and 0x10000..<0x12000.
private func small() throws -> GuestRAM { try ram(0x5000, hole: 0x3000..<0x10000) }

@Suite struct GuestRAMTests {
  @Test(
    arguments: [
      (1 << 20, [(0, 1 << 20, 0)]),
      (holeStart - 4096, [(0, holeStart - 4096, 0)]),
      (holeStart, [(0, holeStart, 0)]),
      (holeStart + 4096, [(0, holeStart, 0), (holeEnd, 4096, holeStart)]),
      (holeEnd, [(0, holeStart, 0), (holeEnd, 1 << 30, holeStart)]),
      (6 << 30, [(0, holeStart, 0), (holeEnd, 3 << 30, holeStart)]),
    ] as [(UInt64, [(UInt64, UInt64, UInt64)])])
  func ramSkipsTheHole(count: UInt64, expected: [(UInt64, UInt64, UInt64)]) throws {
    let ram = try ram(count)
    #expect(ram.count == count)
    #expect(ram.regions.map(\.start.value) == expected.map(\.0))
    #expect(ram.regions.map(\.count) == expected.map(\.1))
    #expect(ram.regions.map(\.hostOffset) == expected.map(\.2))
    #expect(!ram.contains(GuestAddress(holeStart), count: 1))
    #expect(!ram.contains(GuestAddress(holeEnd - 1), count: 1))
    for region in ram.regions {
      let last = GuestAddress(region.start.value + region.count - 1)
      #expect(ram.contains(last, count: 1))
      #expect(!ram.contains(last, count: 2))
      #expect(ram.hostAddress(of: region) == ram.hostAddress(of: ram.regions[0]) + region.hostOffset)
      #expect(ram.hostAddress(of: region) % 4096 == 0)
      // Reached by the guest's address and by the host's alike.
      try ram.store8(last, 0x5A)
      let host = UnsafePointer<UInt8>(bitPattern: UInt(ram.hostAddress(of: region) + region.count - 1))
      #expect(host?.pointee == 0x5A)
    }
  }

  @Test(arguments: [0, 1, 4095, 4097, UInt64.max, UInt64.max & ~4095, 1 << 63])
  func impossibleSizesAreErrors(count: UInt64) {
    #expect(throws: SystemError.self) { _ = try ram(count) }
  }

  @Test func aHoleThatIsNoneIsAnError() {
    #expect(throws: SystemError.self) { _ = try ram(8192, hole: 4097..<8192) }
    #expect(throws: SystemError.self) { _ = try GuestRAM(count: 8192, holeStart: 8192, holeEnd: 4096) }
  }

  @Test(
    arguments: [
      (0, 0, true), (0, 0x3000, true), (0, 0x3001, false), (0x2FFF, 1, true), (0x2FFF, 2, false), (0x3000, 0, true),
      (0x3001, 0, false), (0x3000, 1, false), (0xFFFF, 0, false), (0xFFFF, 1, false), (0x10000, 0x2000, true),
      (0x10000, 0x2001, false), (0x12000, 0, true), (0x12001, 0, false), (.max, 0, false), (.max, 1, false),
      (0x2FFF, .max, false), (1, .max, false), (0x10000, .max - 0xFFFF, false),
    ] as [(UInt64, UInt64, Bool)])
  func accessesLieInOneRegion(address: UInt64, count: UInt64, expected: Bool) throws {
    #expect(try small().contains(GuestAddress(address), count: count) == expected)
  }

  @Test func badAccessesThrowAndTouchNothing() throws {
    let ram = try small()
    let bad = GuestAddress(0x2FFC)
    let error = GuestMemoryError.self
    #expect(throws: error) { _ = try ram.read(bad, count: 8) }
    #expect(throws: error) { _ = try ram.read(bad, count: -1) }
    #expect(throws: error) { _ = try ram.read(bad, count: .min) }
    #expect(throws: error) { try ram.write(bad, [UInt8](repeating: 1, count: 5)) }
    #expect(throws: error) { try ram.zero(bad, count: 5) }
    #expect(throws: error) { try ram.zero(bad, count: -1) }
    #expect(throws: error) { _ = try ram.load64(bad) }
    #expect(throws: error) { _ = try ram.load32(GuestAddress(0x2FFD)) }
    #expect(throws: error) { _ = try ram.load16(GuestAddress(0x2FFF)) }
    #expect(throws: error) { _ = try ram.load16Acquire(GuestAddress(0x2FFF)) }
    #expect(throws: error) { _ = try ram.load8(GuestAddress(0x3000)) }
    #expect(throws: error) { try ram.store64(bad, .max) }
    #expect(throws: error) { try ram.store32(GuestAddress(0x2FFD), .max) }
    #expect(throws: error) { try ram.store16(GuestAddress(0x2FFF), .max) }
    #expect(throws: error) { try ram.store16Release(GuestAddress(0x2FFF), .max) }
    #expect(throws: error) { try ram.store8(GuestAddress(0x3000), 1) }
    #expect(throws: error) { _ = try ram.ioVector(bad, count: 5) }
    #expect(throws: error) { _ = try ram.ioVector(bad, count: -1) }
    #expect(try ram.read(GuestAddress(0x2FFC), count: 4) == [0, 0, 0, 0])
    do { _ = try ram.load64(bad) } catch {
      #expect("\(error)" == "8 bytes at guest address 0x2ffc are not in guest RAM")
    }
  }

  @Test func numbersAreLittleEndian() throws {
    let ram = try small()
    let address = GuestAddress(0x10008)
    try ram.store64(address, 0x8877_6655_4433_2211)
    #expect(try ram.read(address, count: 8) == [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88])
    #expect(try ram.load8(address) == 0x11)
    #expect(try ram.load16(address) == 0x2211)
    #expect(try ram.load16Acquire(address) == 0x2211)
    #expect(try ram.load32(address) == 0x4433_2211)
    #expect(try ram.load64(address) == 0x8877_6655_4433_2211)
    try ram.store8(address, 1)
    try ram.store16(GuestAddress(0x1000A), 0xBEEF)
    try ram.store16Release(GuestAddress(0x1000E), 0xCAFE)
    #expect(try ram.load64(address) == 0xCAFE_6655_BEEF_2201)
    try ram.store32(address, 7)
    #expect(try ram.load64(address) == 0xCAFE_6655_0000_0007)
    // A guest chooses where its rings lie: odd addresses are read all the same.
    #expect(try ram.load32(GuestAddress(0x1000B)) == 0xFE66_5500)
  }

  @Test func ioVectorsPointIntoGuestRAM() throws {
    let ram = try small()
    let vector = try ram.ioVector(GuestAddress(0x10010), count: 16)
    #expect(vector.iov_len == 16)
    #expect(UInt64(UInt(bitPattern: vector.iov_base)) == ram.hostAddress(of: ram.regions[1]) + 0x10)
  }

  @Test func addressesDoNotWrap() {
    #expect(GuestAddress(.max).advanced(by: 1) == nil)
    #expect(GuestAddress(.max - 1).advanced(by: 1) == GuestAddress(.max))
    #expect(GuestAddress(1) < GuestAddress(2))
    #expect(GuestAddress(0x1F00).description == "0x1f00")
  }

  /// Every operation against an array of bytes that does the same.
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func behavesAsAnArrayOfBytes(seed: UInt64) throws {
    let ram = try small()
    var model = [UInt64: UInt8]()
    func inside(_ address: UInt64, _ count: UInt64) -> Bool {
      (address + count <= 0x3000) || (address >= 0x10000 && address + count <= 0x12000)
    }
    var random = SeededRandom(seed: seed)
    for _ in 0..<5000 {
      let address = [0, 0x2FE0, 0xFFE0, 0x11FE0][random.below(4)] + UInt64(random.below(64))
      let count = random.below(40)
      let valid = inside(address, UInt64(count))
      switch random.below(4) {
      case 0:
        let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        #expect(((try? ram.write(GuestAddress(address), bytes)) != nil) == valid)
        if valid { for (index, byte) in bytes.enumerated() { model[address + UInt64(index)] = byte } }
      case 1:
        #expect(((try? ram.zero(GuestAddress(address), count: count)) != nil) == valid)
        if valid { for index in 0..<count { model[address + UInt64(index)] = 0 } }
      case 2:
        let value = random.next()
        let fits = inside(address, 8)
        #expect(((try? ram.store64(GuestAddress(address), value)) != nil) == fits)
        if fits {
          for index in 0..<8 { model[address + UInt64(index)] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
        }
      default:
        let expected = valid ? (0..<count).map { model[address + UInt64($0)] ?? 0 } : nil
        #expect((try? ram.read(GuestAddress(address), count: count)) == expected)
      }
    }
    for region in ram.regions {
      let bytes = try ram.read(region.start, count: Int(region.count))
      #expect(bytes == (0..<region.count).map { model[region.start.value + $0] ?? 0 })
    }
  }
}

@Suite struct GuestFileTests {
  private func open(_ file: TemporaryFile) throws -> FileDescriptor { try FileDescriptor.open(file.path, O_RDONLY) }

  @Test func readFileTellsHowMuchThereWas() throws {
    let ram = try small()
    let file = try TemporaryFile(Array(1...10))
    let descriptor = try open(file)
    #expect(try ram.readFile(descriptor, offset: 2, to: GuestAddress(0x100), count: 4) == 4)
    #expect(try ram.read(GuestAddress(0xFF), count: 6) == [0, 3, 4, 5, 6, 0])
    #expect(try ram.readFile(descriptor, offset: 8, to: GuestAddress(0x200), count: 100) == 2)
    #expect(try ram.read(GuestAddress(0x200), count: 3) == [9, 10, 0])
    #expect(try ram.readFile(descriptor, offset: 10, to: GuestAddress(0x200), count: 5) == 0)
    #expect(try ram.readFile(descriptor, offset: 0, to: GuestAddress(0x3000), count: 0) == 0)
  }

  @Test func fillSaysWhatIsMissing() throws {
    let ram = try small()
    let descriptor = try open(TemporaryFile(Array(1...10)))
    #expect(throws: GuestFileError.self) { try ram.fill(from: descriptor, offset: 4, to: GuestAddress(0), count: 9) }
    do { try ram.fill(from: descriptor, offset: 4, to: GuestAddress(0), count: 9) } catch {
      #expect("\(error)" == "the file became 3 bytes shorter while it was read")
    }
    do { try ram.fill(from: descriptor, offset: 0, to: GuestAddress(0x2FFF), count: 2) } catch {
      #expect("\(error)" == "2 bytes at guest address 0x2fff are not in guest RAM")
    }
    do { try ram.fill(from: FileDescriptor.pipe().read, offset: 0, to: GuestAddress(0), count: 1) } catch {
      #expect("\(error)".hasSuffix("Illegal seek"))
    }
    try ram.fill(from: descriptor, offset: 0, to: GuestAddress(0x11FF6), count: 10)
    #expect(try ram.read(GuestAddress(0x11FF6), count: 10) == Array(1...10))
  }

  @Test func mappedFilesArePrivateAndKeepNeighbours() throws {
    let ram = try small()
    for region in ram.regions {
      try ram.write(region.start, [UInt8](repeating: 0x11, count: Int(region.count)))
    }
    let file = try TemporaryFile([UInt8](repeating: 0xAA, count: 8192))
    try ram.mapFile(open(file), offset: 4096, to: GuestAddress(0x1000), count: 4096)
    try ram.mapFile(open(file), offset: 0, to: GuestAddress(0x11000), count: 4096)
    for (address, byte) in [
      (0xFFF, 0x11), (0x1000, 0xAA), (0x1FFF, 0xAA), (0x2000, 0x11), (0x10FFF, 0x11), (0x11000, 0xAA), (0x11FFF, 0xAA),
    ] as [(UInt64, UInt8)] { #expect(try ram.load8(GuestAddress(address)) == byte, "\(address)") }
    try ram.store8(GuestAddress(0x1000), 1)
    #expect(try file.bytes().allSatisfy { $0 == 0xAA })
  }

  @Test(
    arguments: [
      (0, 0x800, 4096), (100, 0x1000, 4096), (0, 0x2000, 8192), (0, 0x3000, 4096), (0, 0x1000, -4096),
      (0, 0x1000, 100), (-4096, 0x1000, 4096), (0, 0x1000, 0),
    ] as [(Int64, UInt64, Int)])
  func badMappingsAreErrors(offset: Int64, address: UInt64, count: Int) throws {
    let ram = try small()
    let descriptor = try open(TemporaryFile([UInt8](repeating: 0xAA, count: 16384)))
    #expect(throws: GuestFileError.self) {
      try ram.mapFile(descriptor, offset: offset, to: GuestAddress(address), count: count)
    }
    #expect(try ram.read(GuestAddress(0), count: 0x3000).allSatisfy { $0 == 0 })
  }

  /// A page behind the end of a file would be a bus error for whoever touches it.
  @Test func aMappingPastTheEndOfTheFileIsAnError() throws {
    let ram = try small()
    let file = try TemporaryFile([UInt8](repeating: 0xAA, count: 5000))
    do {
      try ram.mapFile(open(file), offset: 4096, to: GuestAddress(0), count: 8192)
      Issue.record("mapped")
    } catch { #expect("\(error)" == "the file became 4096 bytes shorter while it was read") }
    // The last page may be a part of one: the rest of it is zero.
    try ram.mapFile(open(file), offset: 0, to: GuestAddress(0), count: 8192)
    #expect(try ram.load8(GuestAddress(4999)) == 0xAA)
    #expect(try ram.load8(GuestAddress(5000)) == 0)
  }
}
