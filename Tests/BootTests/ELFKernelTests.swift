import TestSupport
import Testing

@testable import Boot

@Suite struct ELFKernelTests {
  typealias Segment = SyntheticKernel.Segment

  func parse(_ file: [UInt8], fileSize: UInt64? = nil) throws(KernelImageError) -> ELFKernel {
    try ELFKernel(file.span.bytes, fileSize: fileSize)
  }

  func message(_ file: [UInt8]) -> String {
    do throws(KernelImageError) {
      _ = try parse(file)
      return ""
    } catch {
      return error.description
    }
  }

  let code = [UInt8](repeating: 0x90, count: 5000)

  @Test func planFollowsPhysicalAddresses() throws {
    let file = SyntheticKernel.elf(
      [
        Segment(address: 0x200_0000, bytes: code, memorySize: 9000),
        Segment(address: 0x100_0000, bytes: code),
        Segment(address: 0, bytes: [], memorySize: 0),
      ], entry: 0x100_0040)
    let kernel = try parse(file)
    #expect(kernel.plan.entry == 0x100_0040)
    #expect(kernel.plan.segments.map(\.address) == [0x100_0000, 0x200_0000])
    #expect(kernel.plan.segments.map(\.fileOffset) == [12288, 4096])
    #expect(kernel.plan.segments.map(\.memorySize) == [5000, 9000])
    #expect(kernel.plan.segments.filter(\.isPageCongruent).count == 2)
    #expect(kernel.pvhEntry == nil)
    #expect(throws: Never.self) { try kernel.plan.check(ramSize: 64 << 20) }
    #expect(throws: KernelImageError.needsMemory(bytes: 0x200_0000 + 9000)) { try kernel.plan.check(ramSize: 32 << 20) }
  }

  @Test func virtualEntryIsTranslated() throws {
    let file = SyntheticKernel.elf([Segment(address: 0x100_0000, bytes: code)], entry: 0xFFFF_FFFF_8100_0123)
    #expect(try parse(file).plan.entry == 0x100_0123)
  }

  @Test func pvhNote() throws {
    func note(_ name: String, _ type: UInt32, _ descriptor: [UInt8]) -> [UInt8] {
      let text = Array(name.utf8) + [0]
      return SyntheticKernel.little(UInt32(text.count)) + SyntheticKernel.little(UInt32(descriptor.count))
        + SyntheticKernel.little(type) + text + [UInt8](repeating: 0, count: -text.count & 3) + descriptor
        + [UInt8](repeating: 0, count: -descriptor.count & 3)
    }
    let notes = note("Linux", 1, [1, 2, 3]) + note("Xen", 18, SyntheticKernel.little(UInt64(0x100_0010)))
    for bytes in [notes, note("Xen", 18, SyntheticKernel.little(UInt32(0x100_0010)))] {
      let file = SyntheticKernel.elf([
        Segment(address: 0x100_0000, bytes: code), Segment(type: 4, address: 0, bytes: bytes),
      ])
      #expect(try parse(file).pvhEntry == 0x100_0010)
      // A note segment cut short anywhere is passed over.
      for count in 0..<bytes.count {
        let cut = SyntheticKernel.elf([
          Segment(address: 0x100_0000, bytes: code), Segment(type: 4, address: 0, bytes: Array(bytes.prefix(count))),
        ])
        #expect(throws: Never.self) { try parse(cut) }
      }
    }
    let outside = note("Xen", 18, SyntheticKernel.little(UInt64(0x900_0000)))
    let file = SyntheticKernel.elf([
      Segment(address: 0x100_0000, bytes: code), Segment(type: 4, address: 0, bytes: outside),
    ])
    #expect(try parse(file).pvhEntry == nil)
    let hostile =
      SyntheticKernel.little(UInt32.max) + SyntheticKernel.little(UInt32.max) + SyntheticKernel.little(UInt32(18))
    let file2 = SyntheticKernel.elf([
      Segment(address: 0x100_0000, bytes: code), Segment(type: 4, address: 0, bytes: hostile),
    ])
    #expect(try parse(file2).pvhEntry == nil)
  }

  @Test func hostileSegments() {
    func one(_ segment: Segment) -> String { message(SyntheticKernel.elf([segment], entry: segment.address)) }
    #expect(one(Segment(address: 0x100_0000, bytes: code, memorySize: 100)).contains("more than in memory"))
    #expect(one(Segment(address: 0x7000, bytes: code)).contains("outside"))
    #expect(one(Segment(address: 0xBFFF_FFFF, bytes: code)).contains("outside"))
    #expect(one(Segment(address: .max - 100, bytes: code)).contains("outside"))
    #expect(one(Segment(address: 0x100_0000, bytes: code, memorySize: .max)).contains("1 GiB"))
    #expect(one(Segment(address: 0x100_0000, bytes: code, memorySize: 1 << 30)) == "")
    #expect(
      message(
        SyntheticKernel.elf([
          Segment(address: 0x100_0000, bytes: code, memorySize: 1 << 29),
          Segment(address: 0x4000_0000, bytes: code, memorySize: (1 << 29) + 1),
        ])
      ).contains("together"))
    #expect(
      message(
        SyntheticKernel.elf([Segment(address: 0x100_0000, bytes: code), Segment(address: 0x100_1000, bytes: code)])
      ).contains("overlap"))
    #expect(
      message(SyntheticKernel.elf([Segment(address: 0x100_0000, bytes: code)], entry: 0x200_0000)).contains(
        "entry point"))
    #expect(message(SyntheticKernel.elf([Segment(type: 6, address: 0, bytes: [])])).contains("nothing to load"))
    #expect(message(SyntheticKernel.elf([])).contains("program headers"))
    let many = [Segment](repeating: Segment(address: 0x100_0000, bytes: []), count: 65)
    #expect(message(SyntheticKernel.elf(many)).contains("65 program headers"))
  }

  @Test func truncatedSegmentSaysHowMuchIsMissing() {
    let file = SyntheticKernel.elf([Segment(address: 0x100_0000, bytes: code)])
    #expect(message(Array(file.dropLast(123))).contains("123 bytes are missing"))
    #expect(throws: Never.self) { try parse(Array(file.prefix(4096)), fileSize: UInt64(file.count)) }
  }

  @Test func hostileProgramHeaderTable() {
    var file = SyntheticKernel.elf([Segment(address: 0x100_0000, bytes: code)])
    for offset: UInt64 in [.max, .max - 56, UInt64(file.count), UInt64(file.count) - 55, 1 << 63] {
      SyntheticKernel.patch(&file, 32, offset)
      #expect(message(file) != "")
    }
    SyntheticKernel.patch(&file, 32, UInt64(64))
    SyntheticKernel.patch(&file, 54, UInt16(57))
    #expect(message(file).contains("57 bytes"))
  }
}
