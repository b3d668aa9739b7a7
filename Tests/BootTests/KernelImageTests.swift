import TestSupport
import Testing

@testable import Boot

/// What `identify` says about `bytes`.
func identify(_ bytes: [UInt8], fileSize: UInt64? = nil) throws(KernelImageError) -> KernelImage {
  try KernelImage.identify(bytes.span.bytes, fileSize: fileSize)
}

/// The refusal of `bytes`, or nil when they are accepted.
func refusal(_ bytes: [UInt8], fileSize: UInt64? = nil) -> KernelImageError? {
  do throws(KernelImageError) {
    _ = try identify(bytes, fileSize: fileSize)
    return nil
  } catch {
    return error
  }
}

/// Spans cannot pass through the test library's macros.
func setupHeader(_ file: [UInt8]) -> SetupHeader? { SetupHeader(bzImage: file.span.bytes) }
func compression(of image: BzImage, in file: [UInt8]) throws(KernelImageError) -> Compression {
  try image.compression(file.span.bytes)
}

let smallPayload: [UInt8] =
  [0x28, 0xB5, 0x2F, 0xFD] + [UInt8](repeating: 7, count: 60) + SyntheticKernel.little(UInt32(999))

@Suite struct KernelImageTests {
  @Test func bzImage() throws {
    let file = SyntheticKernel.bzImage(payload: smallPayload)
    guard case .bzImage(let image) = try identify(file) else {
      Issue.record("not seen as a bzImage")
      return
    }
    #expect(image.kernelVersion == "6.1.0-test (someone@somewhere) #1 SMP")
    #expect(image.header.version == 0x020F)
    #expect(image.header.has64BitEntry)
    #expect(image.header.commandLineSize == 2047)
    #expect(image.header.initrdLimit == Layout.holeStart)
    #expect(image.protectedMode == 2560..<file.count)
    #expect(image.payload == 2560 + 0x400..<2560 + 0x400 + smallPayload.count)
    let packed = try compression(of: image, in: file)
    #expect(packed.codec == .zstd)
    #expect(packed.size == 999)
    #expect(packed.stream.count == smallPayload.count - 4)
    let plan = try image.loadPlan()
    #expect(plan.entry == 0x100_0200)
    #expect(plan.start == 0x100_0000)
    #expect(plan.end == 0x180_0000)
    #expect(plan.segments[0].fileOffset == 2560)
  }

  @Test func headerIsCopiedWhole() throws {
    let file = SyntheticKernel.bzImage(payload: smallPayload)
    let header = try #require(setupHeader(file))
    // 0x202 + the jump's 0x6A.
    #expect(header.bytes == Array(file[0x1F1..<0x26C]))
    #expect(SetupHeader(stored: header.bytes) == header)
    #expect(SetupHeader(stored: Array(header.bytes.prefix(20))) == nil)
    #expect(SetupHeader(stored: [UInt8](repeating: 0, count: 400)) == nil)
  }

  @Test func relocatableKernelIsAligned() throws {
    var file = SyntheticKernel.bzImage(payload: smallPayload)
    SyntheticKernel.patch(&file, 0x258, UInt64(0x101_0000))
    guard case .bzImage(let image) = try identify(file) else { return }
    #expect(try image.loadPlan().start == 0x120_0000)
    SyntheticKernel.patch(&file, 0x234, UInt8(0))
    guard case .bzImage(let fixed) = try identify(file) else { return }
    #expect(try fixed.loadPlan().start == 0x101_0000)
  }

  @Test(arguments: [
    (0x230, 0 as UInt64, 4), (0x230, 3, 4), (0x258, .max, 8), (0x258, 0xBFFF_FFFF, 8), (0x260, 0xFFFF_FFFF, 4),
    (0x258, 0x8000_0000_0000_0000, 8),
  ])
  func impossiblePlaceIsRefused(offset: Int, value: UInt64, width: Int) throws {
    var file = SyntheticKernel.bzImage(payload: smallPayload)
    if width == 4 {
      SyntheticKernel.patch(&file, offset, UInt32(value))
    } else {
      SyntheticKernel.patch(&file, offset, value)
    }
    guard case .bzImage(let image) = try identify(file) else { return }
    #expect(throws: KernelImageError.self) { try image.loadPlan() }
  }

  @Test func refusedHeaders() {
    var file = SyntheticKernel.bzImage(payload: smallPayload)
    #expect(refusal(Array(file.dropLast(100))) == .truncated("a bzImage", missing: 100))
    #expect(refusal(Array(file.prefix(2560)), fileSize: UInt64(file.count) - 7) == .truncated("a bzImage", missing: 7))
    #expect(refusal(SyntheticKernel.bzImage(payload: smallPayload, xloadflags: 0x7E)) == .kernel32("bzImage"))
    #expect(refusal(SyntheticKernel.bzImage(payload: smallPayload, version: 0x0207)) == .oldProtocol(version: 0x0207))
    #expect(refusal(SyntheticKernel.bzImage(payload: smallPayload, version: 0x020B, xloadflags: 0)) == nil)
    file[0x211] = 0
    #expect(refusal(file) == .zImage)
    file[0x211] = 1
    SyntheticKernel.patch(&file, 0x24C, UInt32(0))
    #expect(refusal(file)?.description.contains("payload_length is 0") == true)
    SyntheticKernel.patch(&file, 0x24C, UInt32.max)
    SyntheticKernel.patch(&file, 0x248, UInt32.max)
    #expect(refusal(file)?.description.contains("does not lie inside") == true)
  }

  @Test func payloadSizes() throws {
    for size in [0, UInt32(1 << 30) + 1, .max] {
      let payload = Array(smallPayload.dropLast(4)) + SyntheticKernel.little(size)
      let file = SyntheticKernel.bzImage(payload: payload)
      guard case .bzImage(let image) = try identify(file) else { return }
      #expect(throws: KernelImageError.self) { try compression(of: image, in: file) }
    }
    let strange = SyntheticKernel.bzImage(payload: [1, 2, 3, 0xAB] + [UInt8](repeating: 0, count: 20))
    guard case .bzImage(let image) = try identify(strange) else { return }
    #expect(throws: KernelImageError.unknownCompression(first: [1, 2, 3, 0xAB])) {
      try compression(of: image, in: strange)
    }
    #expect(KernelImageError.unknownCompression(first: [1, 0xAB]).description.contains("01 ab"))
  }

  /// A file, what it is called, and what is to be done about it.
  struct Refused: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    let says: [String]
    var testDescription: String { name }
  }

  static func pe(machine: UInt16, zboot: Bool = false) -> [UInt8] {
    var file = [UInt8](repeating: 0, count: 1024)
    file.replaceSubrange(0..<2, with: Array("MZ".utf8))
    if zboot { file.replaceSubrange(4..<8, with: Array("zimg".utf8)) }
    SyntheticKernel.patch(&file, 0x3C, UInt32(0x80))
    file.replaceSubrange(0x80..<0x84, with: Array("PE\0\0".utf8))
    SyntheticKernel.patch(&file, 0x84, machine)
    return file
  }

  static func arm64Image() -> [UInt8] {
    var file = pe(machine: 0xAA64)
    file.replaceSubrange(56..<60, with: Array("ARMd".utf8))
    return file
  }

  static let segment = SyntheticKernel.Segment(address: 0x100_0000, bytes: [UInt8](repeating: 0x90, count: 64))

  static let refused: [Refused] = {
    var elf32 = SyntheticKernel.elf([segment], machine: 3)
    elf32[4] = 1
    var bigEndian = SyntheticKernel.elf([segment], machine: 21)
    bigEndian[5] = 2
    let program = SyntheticKernel.elf([
      segment, SyntheticKernel.Segment(type: 3, address: 0, bytes: Array("/lib64/ld.so\0".utf8)),
    ])
    var tar = [UInt8](repeating: 0x61, count: 512)
    tar.replaceSubrange(257..<262, with: Array("ustar".utf8))
    var ext = [UInt8](repeating: 0, count: 4096)
    SyntheticKernel.patch(&ext, 0x438, UInt16(0xEF53))
    return [
      Refused(name: "empty", bytes: [], says: ["empty", "bzImage"]),
      Refused(name: "arm64 Image", bytes: arm64Image(), says: ["64-bit ARM", "amd64"]),
      Refused(name: "EFI application", bytes: pe(machine: 0x8664), says: ["EFI application for x86-64", "objcopy"]),
      Refused(name: "EFI zboot", bytes: pe(machine: 0xAA64, zboot: true), says: ["64-bit ARM", "zboot"]),
      Refused(name: "ELF32", bytes: elf32, says: ["32-bit x86 kernel", "CONFIG_64BIT"]),
      Refused(name: "arm64 ELF", bytes: SyntheticKernel.elf([segment], machine: 183), says: ["64-bit ARM", "x86-64"]),
      Refused(name: "big-endian ELF", bytes: bigEndian, says: ["big-endian"]),
      Refused(name: "shared object", bytes: SyntheticKernel.elf([segment], type: 3), says: ["shared object"]),
      Refused(name: "object file", bytes: SyntheticKernel.elf([segment], type: 1), says: [".ko", "vmlinux"]),
      Refused(name: "core dump", bytes: SyntheticKernel.elf([segment], type: 4), says: ["core dump"]),
      Refused(name: "program", bytes: program, says: ["user space", "behind --"]),
      Refused(
        name: "cpio", bytes: Array("070701".utf8) + [UInt8](repeating: 0x30, count: 200), says: ["cpio", "--initrd"]),
      Refused(name: "script", bytes: Array("#!/bin/sh\necho\n".utf8), says: ["script"]),
      Refused(name: "text", bytes: Array("hello, world\n".utf8), says: ["text file"]),
      Refused(name: "web page", bytes: Array("<!DOCTYPE html><p>404".utf8), says: ["web page"]),
      Refused(name: "tar", bytes: tar, says: ["tar archive"]),
      Refused(name: "ext4", bytes: ext, says: ["file system"]),
      Refused(name: "qcow2", bytes: [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3], says: ["disk image"]),
      Refused(name: "package", bytes: Array("!<arch>\ndebian-binary".utf8), says: ["dpkg -x"]),
      Refused(
        name: "boot sector", bytes: [UInt8](repeating: 0, count: 0x1FE) + [0x55, 0xAA], says: ["cut off", "truncated"]),
      Refused(name: "noise", bytes: [1, 2, 3, 0, 5, 6], says: ["none of the formats"]),
    ]
  }()

  @Test(arguments: refused)
  func refusedByName(_ file: Refused) throws {
    let error = try #require(refusal(file.bytes))
    for text in file.says { #expect(error.description.contains(text), "\(error)") }
  }

  @Test(arguments: SyntheticKernel.compressors)
  func compressedContentsAreNamed(_ compressor: SyntheticKernel.Compressor) throws {
    try #require(compressor.isInstalled, "\(compressor.tool) is not installed")
    let elf = SyntheticKernel.vmlinux()
    let cpio = Array("070701".utf8) + [UInt8](repeating: 0x30, count: 20_000)
    let inElf = try #require(refusal(try SyntheticKernel.filter(elf, compressor.command))).description
    let inCpio = try #require(refusal(try SyntheticKernel.filter(cpio, compressor.command))).description
    let inARM = try #require(refusal(try SyntheticKernel.filter(KernelImageTests.arm64Image(), compressor.command)))
      .description
    #expect(inElf.contains("\(compressor.name) file"))
    #expect(inCpio.contains("\(compressor.name) file"))
    // zstd decodes in one shot, so that nothing is known of what does not fit.
    if compressor.name == "zstd" {
      #expect(inElf.contains("zstd -dc"))
    } else {
      #expect(inElf.contains("an ELF file inside"))
      #expect(inCpio.contains("--initrd"))
    }
    #expect(inARM.contains("64-bit ARM"))
  }

  @Test func everyErrorSaysSomething() {
    let errors: [KernelImageError] = [
      .directory, .notRegular, .no64BitEntry(version: 0x020B), .unsupportedCodec(.lzo), .codec(.corrupt(codec: .xz)),
      .needsMemory(bytes: 65 << 20), .notCompressed, .oldProtocol(version: 0x0203), .host("read: no"),
    ]
    for error in errors { #expect(!error.description.isEmpty) }
    #expect(KernelImageError.oldProtocol(version: 0x0203).description.contains("2.03"))
    #expect(KernelImageError.needsMemory(bytes: (64 << 20) + 1).description.contains("65 MiB"))
    #expect(KernelImageError.unsupportedCodec(.lzo).description.contains("--boot decompress"))
  }

  @Test func truncationAtEveryOffsetOfTheHeaders() {
    let files = [SyntheticKernel.bzImage(payload: smallPayload), SyntheticKernel.elf([KernelImageTests.segment])]
    for file in files {
      for count in 0..<min(file.count, 4096 + 64) { #expect(refusal(Array(file.prefix(count))) != nil) }
    }
  }

  @Test func everyBitOfTheHeaders() throws {
    let bzImage = SyntheticKernel.bzImage(payload: smallPayload)
    let elf = SyntheticKernel.elf([KernelImageTests.segment])
    for (file, range) in [(bzImage, 0x1F0..<0x270), (elf, 0..<64 + 56)] {
      for offset in range {
        for bit in 0..<8 {
          var bytes = file
          bytes[offset] ^= 1 << UInt8(bit)
          exercise(bytes)
        }
      }
    }
  }

  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func seededMutations(seed: UInt64) {
    var random = SplitMix(seed)
    let files = [
      SyntheticKernel.bzImage(payload: smallPayload), SyntheticKernel.vmlinux(), KernelImageTests.arm64Image(),
    ]
    for _ in 0..<3000 {
      var bytes = Array(files[Int(random.next() % 3)].prefix(8192))
      for _ in 0..<(1 + random.next() % 6) {
        // Mostly in the headers, and mostly the values at which arithmetic breaks.
        let limit = random.next() % 4 == 0 ? bytes.count : 0x280
        let offset = Int(random.next() % UInt64(limit - 8))
        switch random.next() % 5 {
        case 0: bytes[offset] = UInt8(truncatingIfNeeded: random.next())
        case 1: SyntheticKernel.patch(&bytes, offset, UInt64.max)
        case 2: SyntheticKernel.patch(&bytes, offset, UInt64(1) << (random.next() % 64))
        case 3: SyntheticKernel.patch(&bytes, offset, UInt32.max >> UInt32(random.next() % 32))
        default: SyntheticKernel.patch(&bytes, offset, random.next())
        }
      }
      if random.next() % 3 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
      exercise(bytes, fileSize: random.next() % 2 == 0 ? nil : random.next())
    }
  }

  /// Everything that is done with a kernel that was accepted; a trap fails the test process.
  private func exercise(_ bytes: [UInt8], fileSize: UInt64? = nil) {
    do throws(KernelImageError) {
      switch try identify(bytes, fileSize: fileSize) {
      case .bzImage(let image):
        #expect(image.header.bytes.count <= SetupHeader.maximumCount)
        _ = BootParams(header: image.header, ramSize: 1 << 32).bytes()
        let compression = try image.compression(bytes.span.bytes)
        #expect(compression.stream.upperBound <= bytes.count)
        #expect(compression.size <= 1 << 30)
        check(try image.loadPlan(), fileSize ?? UInt64(bytes.count))
      case .elf(let kernel): check(kernel.plan, fileSize ?? UInt64(bytes.count))
      }
    } catch {
      #expect(!error.description.isEmpty)
    }
  }

  private func check(_ plan: LoadPlan, _ fileSize: UInt64) {
    #expect(!plan.segments.isEmpty)
    var end = Layout.highMemory
    for segment in plan.segments {
      #expect(segment.address >= end)
      #expect(segment.fileSize <= segment.memorySize)
      #expect(segment.fileSize <= fileSize && segment.fileOffset <= fileSize - segment.fileSize)
      end = segment.end
    }
    #expect(end <= Layout.holeStart)
    #expect(plan.segments.contains { plan.entry >= $0.address && plan.entry < $0.end })
  }
}
