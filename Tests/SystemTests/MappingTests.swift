import CLinux
import System
import TestSupport
import Testing

@Suite struct MappingTests {
  @Test(arguments: [4096, 8192, 2 << 20], [1, 100, 4096, 5000, 12288, (2 << 20) + 4096])
  func anonymousMemoryIsAlignedZeroAndWritable(alignment: Int, count: Int) throws {
    let mapping = try Mapping.anonymous(count: count, alignment: alignment)
    #expect(Int(bitPattern: mapping.base) % alignment == 0)
    #expect(mapping.count == count)
    let bytes = mapping.mutableBytes
    #expect(bytes.first == 0 && bytes.last == 0)
    bytes[0] = 1
    bytes[count - 1] = 2
    #expect(mapping.bytes[count - 1] == 2)
  }

  /// What alignment cuts off at both sides is given back, and the mapping when its owner goes.
  @Test func nothingOfTheMappingStays() throws {
    func mapped() -> Int {
      var pages = 0
      if let file = try? FileDescriptor.open("/proc/self/statm", O_RDONLY) {
        var text = [UInt8](repeating: 0, count: 100)
        let count = (try? text.withUnsafeMutableBytes { try file.read(into: $0) }) ?? 0
        pages = Int(String(decoding: text[..<count], as: UTF8.self).split(separator: " ")[0]) ?? 0
      }
      return pages * 4096
    }
    let before = mapped()
    for _ in 0..<64 {
      let mapping = try Mapping.anonymous(count: 64 << 20, alignment: 2 << 20)
      #expect(mapping.count == 64 << 20)
    }
    // Other tests map memory meanwhile; 64 leaks of 64 MiB would be 4 GiB.
    #expect(mapped() - before < 2 << 30)
  }

  @Test(arguments: [0, -1, Int.min, Int.max])
  func impossibleSizesAreErrors(count: Int) {
    #expect(throws: SystemError.self) { _ = try Mapping.anonymous(count: count, alignment: 2 << 20) }
  }

  @Test func readOnlyViewShowsTheFile() throws {
    let file = try TemporaryFile([7, 8, 9])
    let mapping = try Mapping.readOnly(FileDescriptor.open(file.path, O_RDONLY), count: 3)
    #expect(Array(mapping.bytes) == [7, 8, 9])
  }

  @Test func mappingAPipeIsAnError() throws {
    let ends = try FileDescriptor.pipe()
    #expect(throws: SystemError("mmap", "descriptor \(ends.read.rawValue)", Errno(rawValue: ENODEV))) {
      _ = try Mapping.readOnly(ends.read, count: 1)
    }
  }

  @Test func overlayIsPrivateAndKeepsNeighbours() throws {
    let file = try TemporaryFile([UInt8](repeating: 0xAA, count: 8192))
    let mapping = try Mapping.anonymous(count: 4 * 4096)
    for index in 0..<mapping.count { mapping.mutableBytes[index] = 0x11 }
    try mapping.overlay(file: FileDescriptor.open(file.path, O_RDONLY), fileOffset: 4096, at: 4096, count: 4096)
    #expect(mapping.bytes[4095] == 0x11)
    #expect(mapping.bytes[4096] == 0xAA)
    #expect(mapping.bytes[8191] == 0xAA)
    #expect(mapping.bytes[8192] == 0x11)
    mapping.mutableBytes[4096] = 0x22
    #expect(try file.bytes()[4096] == 0xAA)
  }

  @Test(
    arguments: [
      (0, -4096, 4096), (0, 0, 0), (0, 0, -4096), (0, 16384, 4096), (0, 12288, 8192), (0, 4096, Int.max - 4095),
      (0, 1, 4096),
      (1, 0, 4096), (-4096, 0, 4096), (0, 0, 100),
    ] as [(Int64, Int, Int)])
  func overlayStaysInside(fileOffset: Int64, offset: Int, count: Int) throws {
    let file = try TemporaryFile([UInt8](repeating: 0xAA, count: 32768))
    let mapping = try Mapping.anonymous(count: 4 * 4096)
    let descriptor = try FileDescriptor.open(file.path, O_RDONLY)
    #expect(throws: SystemError("mmap", "overlay", .invalid)) {
      try mapping.overlay(file: descriptor, fileOffset: fileOffset, at: offset, count: count)
    }
    #expect(mapping.bytes.allSatisfy { $0 == 0 })
  }

  @Test func adviceStaysInside() throws {
    let mapping = try Mapping.anonymous(count: 8192)
    mapping.mutableBytes[0] = 1
    mapping.mutableBytes[4096] = 2
    #expect(mapping.advise(MADV_DONTNEED, offset: 4096, count: 4096) == true)
    #expect(mapping.bytes[0] == 1 && mapping.bytes[4096] == 0)
    for (offset, count) in [(-4096, 4096), (0, 12288), (8192, 1), (4096, -1), (Int.max, Int.max)] {
      #expect(mapping.advise(MADV_DONTNEED, offset: offset, count: count) == false)
    }
    #expect(mapping.bytes[0] == 1)
  }
}
