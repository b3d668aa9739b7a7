import Boot
import CLinux
import System
import TestSupport
import Testing

@testable import KernelCache

@Suite struct FormatTests {
  static let key = (0..<32).map { UInt8($0) }

  static let record = IndexRecord(
    kernel: FileIdentity(words: [1, 2, 3, 4, 5, 6, 7]), entry: FileIdentity(words: [8, 9, 10, 11, 12, 13, 14]),
    recordedAt: 100, key: key)

  @Test func indexRecord() {
    let bytes = FormatTests.record.bytes()
    #expect(bytes.count == IndexRecord.count)
    #expect(IndexRecord(bytes) == FormatTests.record)
    for count in 0..<bytes.count { #expect(IndexRecord(Array(bytes.prefix(count))) == nil) }
    #expect(IndexRecord(bytes + [0]) == nil)
    for offset in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[offset] ^= 1 << UInt8(bit)
        #expect(IndexRecord(damaged) == nil)
      }
    }
  }

  @Test func trustNeedsAge() {
    func record(_ changed: Int64, _ recordedAt: Int64) -> IndexRecord {
      let seconds = UInt64(bitPattern: changed)
      return IndexRecord(
        kernel: FileIdentity(words: [1, 1, 1, 0, 0, seconds, 0]), entry: FormatTests.record.entry,
        recordedAt: recordedAt,
        key: FormatTests.key)
    }
    #expect(record(100, 103).isTrustworthy)
    #expect(!record(100, 102).isTrustworthy)
    #expect(!record(100, 50).isTrustworthy)
    #expect(!record(.max, .min).isTrustworthy)
    #expect(!record(-5, .max).isTrustworthy || record(-5, .max - 10).isTrustworthy)
  }

  @Test func trailer() {
    let trailer = EntryTrailer(
      key: FormatTests.key, imageCount: 8192, imageDigest: FormatTests.key.reversed(), header: SetupHeader(),
      kernelVersion: String(repeating: "v", count: 255), codec: "zstd")
    let page = trailer.bytes()
    #expect(page.count == 4096)
    #expect(EntryTrailer(page, fileCount: 8192 + 4096) == trailer)
    #expect(EntryTrailer(page, fileCount: 8192) == nil)
    #expect(EntryTrailer(page, fileCount: 4096) == nil)
    #expect(EntryTrailer(page, fileCount: 0) == nil)
    #expect(EntryTrailer(Array(page.dropLast()), fileCount: 8192 + 4096) == nil)
    for offset in page.indices {
      var damaged = page
      damaged[offset] ^= 1
      #expect(EntryTrailer(damaged, fileCount: 8192 + 4096) == nil)
    }
  }

  /// A page whose checksum is right, as a version with other fields would write it.
  @Test func trailerWithHostileFields() {
    let good = EntryTrailer(
      key: FormatTests.key, imageCount: 8192, imageDigest: FormatTests.key, header: SetupHeader(), kernelVersion: "v",
      codec: "c"
    ).bytes()
    func signed(_ page: [UInt8]) -> [UInt8] {
      let body = Array(page.prefix(4096 - 32))
      return body + digest(of: body)
    }
    #expect(EntryTrailer(signed(good), fileCount: 8192 + 4096) != nil)
    for offset in [80, 81, 86, 87] {
      for value: UInt8 in [0, 1, 0x7F, 0xFF] {
        var page = good
        page[offset] = value
        #expect(EntryTrailer(signed(page), fileCount: 8192 + 4096) == nil || page == good)
      }
    }
    var zeros = [UInt8](repeating: 0, count: 4096)
    #expect(EntryTrailer(signed(zeros), fileCount: 8192 + 4096) == nil)
    zeros.replaceSubrange(0..<16, with: good[0..<16])
    #expect(EntryTrailer(signed(zeros), fileCount: 8192 + 4096) == nil)
  }

  /// The joined plan of `elf` laid out anew, and the file that it refers to.
  func layOut(_ elf: [UInt8]) throws -> (plan: LoadPlan, file: [UInt8]) {
    let plan = try ELFKernel(elf.span.bytes).plan
    let layout = elf.withUnsafeBytes { ImageLayout(plan, source: $0) }
    var file = [UInt8](repeating: 0, count: Int(layout.count))
    file.replaceSubrange(0..<4096, with: layout.header)
    for copy in layout.copies {
      file.replaceSubrange(
        Int(copy.fileOffset)..<Int(copy.fileOffset) + copy.count,
        with: elf[copy.sourceOffset..<copy.sourceOffset + copy.count])
    }
    return (try ELFKernel(file.span.bytes).plan.joined(), file)
  }

  func kernel(_ plan: LoadPlan, _ file: [UInt8], _ folder: TemporaryFolder) throws -> PreparedKernel {
    PreparedKernel(
      file: try FileDescriptor.open(try folder.write("image", file), O_RDONLY), plan: plan, header: SetupHeader(),
      kernelVersion: "", codec: "", origin: .cache, warning: nil, publication: nil)
  }

  @Test func layoutKeepsDistances() throws {
    let (plan, file) = try layOut(SyntheticKernel.vmlinux())
    #expect(plan.segments.count == 1)
    #expect(plan.segments[0].fileOffset == 4096)
    #expect(plan.segments[0].address == 0x100_0000)
    #expect(file.count % 4096 == 0)
  }

  @Test func distantSegmentsStayApart() throws {
    let elf = SyntheticKernel.elf([
      .init(address: 0x100_0000, bytes: [1, 2, 3]),
      .init(address: 0x4000_0123, bytes: [4, 5, 6], memorySize: 0x1000_0000),
    ])
    let (plan, file) = try layOut(elf)
    #expect(plan.segments.count == 2)
    #expect(plan.segments[1].fileOffset & 4095 == 0x123)
    #expect(plan.segments[1].fileSize == 3 && plan.segments[1].memorySize == 0x1000_0000)
    #expect(file.count == 3 * 4096)
    #expect(Array(file[0x2123..<0x2126]) == [4, 5, 6])
  }

  @Test func onlyZerosNeedNoFile() throws {
    let (plan, file) = try layOut(
      SyntheticKernel.elf([.init(address: 0x100_0000, bytes: [UInt8](repeating: 0, count: 9000))]))
    #expect(plan.segments == [.init(fileOffset: 4096, fileSize: 0, address: 0x100_0000, memorySize: 9000)])
    #expect(file.count == 4096)
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func anyPlanLoadsAlike(seed: UInt64) throws {
    let folder = try TemporaryFolder()
    var random = SplitMix(seed)
    for _ in 0..<40 {
      var segments: [SyntheticKernel.Segment] = []
      var address: UInt64 = 0x100_0000 + random.next() % 8192
      let entry = address
      for _ in 0...(random.next() % 5) {
        var bytes = (0..<random.next() % 9000).map { _ in UInt8(truncatingIfNeeded: random.next() >> 8) }
        if random.next() % 2 == 0 { bytes += [UInt8](repeating: 0, count: Int(random.next() % 9000)) }
        let size = UInt64(bytes.count) + (random.next() % 2) * (random.next() % 20_000) + 1
        segments.append(.init(address: address, bytes: bytes, memorySize: size))
        address += size + (random.next() % 3) * (random.next() % 9000)
      }
      let elf = SyntheticKernel.elf(segments.shuffled(using: &random), entry: entry)
      let (plan, file) = try layOut(elf)
      for segment in plan.segments { #expect(segment.isPageCongruent) }
      #expect(try loaded(kernel(plan, file, folder)) == expected(elf))
    }
  }
}
