import CCodecs
import CLinux
import TestSupport
import Testing

@testable import Boot

/// Two buffers that end where their memory does: a byte read or written too far kills the test process.
final class Fenced {
  private let mapping: UnsafeMutableRawPointer
  private let size: Int
  let bytes: UnsafeMutableRawBufferPointer

  init(_ count: Int) {
    let page = 4096
    let rounded = (count + page - 1) / page * page
    size = rounded + page
    mapping = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(mprotect(mapping + rounded, page, PROT_NONE) == 0)
    bytes = UnsafeMutableRawBufferPointer(start: mapping + (rounded - count), count: count)
  }

  convenience init(_ contents: [UInt8]) {
    self.init(contents.count)
    bytes.copyBytes(from: contents)
  }

  deinit { munmap(mapping, size) }
}

@Suite struct CodecTests {
  /// The stream as `Compression.stream` cuts it out: with gzip's own trailer, without the kernel's.
  static func stream(_ bytes: [UInt8], _ compressor: SyntheticKernel.Compressor) throws -> (
    codec: Codec, bytes: [UInt8]
  ) {
    let packed = try SyntheticKernel.filter(bytes, compressor.command)
    let codec = try #require(CodecTests.codec(of: packed))
    return (codec, packed)
  }

  static func codec(of bytes: [UInt8]) -> Codec? { Codec(magicAt: 0, of: bytes.span.bytes) }

  /// The decompressed bytes, or the error, of `input` into a buffer of `count` bytes with fences around both.
  static func unpack(_ codec: Codec, _ input: [UInt8], _ count: Int) -> Result<[UInt8], CodecError> {
    let source = Fenced(input)
    let target = Fenced(count)
    do throws(CodecError) {
      try codec.decompress(UnsafeRawBufferPointer(source.bytes), into: target.bytes)
      return .success(Array(target.bytes))
    } catch {
      return .failure(error)
    }
  }

  static let kernel = SyntheticKernel.vmlinux(seed: 5)

  @Test(arguments: SyntheticKernel.compressors)
  func roundTrip(_ compressor: SyntheticKernel.Compressor) throws {
    try #require(compressor.isInstalled, "\(compressor.tool) is not installed")
    let kernel = CodecTests.kernel
    let (codec, packed) = try CodecTests.stream(kernel, compressor)
    #expect(codec.name == compressor.name)
    #expect(codec.isSupported)
    #expect(CodecTests.unpack(codec, packed, kernel.count) == .success(kernel))
    #expect(
      CodecTests.unpack(codec, packed, kernel.count + 1)
        == .failure(.wrongSize(codec: codec, stated: kernel.count + 1, actual: kernel.count)))
    for less in [1, 2, 100, kernel.count - 1] {
      #expect(
        CodecTests.unpack(codec, packed, kernel.count - less)
          == .failure(.tooLarge(codec: codec, stated: kernel.count - less)))
    }
  }

  @Test(arguments: SyntheticKernel.compressors)
  func truncatedAnywhere(_ compressor: SyntheticKernel.Compressor) throws {
    try #require(compressor.isInstalled, "\(compressor.tool) is not installed")
    let kernel = CodecTests.kernel
    let (codec, packed) = try CodecTests.stream(kernel, compressor)
    var counts = Array(0..<64) + [packed.count / 2, packed.count / 3]
    counts += (1...40).map { packed.count - $0 }
    for count in counts where count >= 0 && count < packed.count {
      let result = CodecTests.unpack(codec, Array(packed.prefix(count)), kernel.count)
      // LZ4's legacy frame has neither an end mark nor a checksum: cut behind a block it is whole, but too short.
      switch result {
      case .success: Issue.record("\(count) of \(packed.count) bytes were enough")
      case .failure(let error):
        // zstd takes a checksum that is cut off for a wrong one.
        let isChecksum = compressor.name == "zstd" && count >= packed.count - 4
        if count > 64, compressor.name != "lz4", !isChecksum { #expect(error == .truncated(codec: codec)) }
      }
    }
  }

  @Test(arguments: SyntheticKernel.compressors)
  func seededDamage(_ compressor: SyntheticKernel.Compressor) throws {
    try #require(compressor.isInstalled, "\(compressor.tool) is not installed")
    let kernel = Array(CodecTests.kernel.prefix(12_000))
    let (codec, packed) = try CodecTests.stream(kernel, compressor)
    var random = SplitMix(9)
    var damaged = 0
    for round in 0..<300 {
      var bytes = packed
      for _ in 0...(random.next() % 3) {
        // The first bytes say how much memory and which form the stream wants.
        let limit = round % 2 == 0 ? min(24, bytes.count) : bytes.count
        bytes[Int(random.next() % UInt64(limit))] = UInt8(truncatingIfNeeded: random.next())
      }
      if round % 7 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
      switch CodecTests.unpack(codec, bytes, kernel.count) {
      case .success(let result): if result != kernel { damaged += 1 }
      case .failure(let error): #expect(!error.description.isEmpty)
      }
    }
    // lz4 -l and lzma-alone have no checksum; the others have one by default, bzip2 and xz in every block.
    if !["lz4", "lzma"].contains(compressor.name) { #expect(damaged == 0) }
  }

  @Test func lzoIsLeftToTheGuest() throws {
    try #require(SyntheticKernel.lzo.isInstalled, "lzop is not installed")
    let packed = try SyntheticKernel.filter([1, 2, 3, 4], SyntheticKernel.lzo.command)
    let codec = try #require(CodecTests.codec(of: packed))
    #expect(codec == .lzo)
    #expect(!codec.isSupported)
    #expect(CodecTests.unpack(codec, packed, 4) == .failure(.unsupported(codec: .lzo)))
  }

  @Test func emptyBuffers() {
    for codec: Codec in [.none, .gzip, .bzip2, .lzma, .xz, .lzo, .lz4, .zstd] {
      #expect(CodecTests.unpack(codec, [], 10) != .success([]))
      #expect(CodecTests.unpack(codec, [1, 2, 3], 0) != .success([]))
    }
    #expect(CodecTests.unpack(.none, [1, 2, 3], 3) == .success([1, 2, 3]))
  }

  @Test func secondLZ4FrameFollows() throws {
    let packed = try SyntheticKernel.filter(Array("first ".utf8), "lz4 -l - -")
    let second = try SyntheticKernel.filter(Array("second".utf8), "lz4 -l - -")
    #expect(CodecTests.unpack(.lz4, packed + second, 12) == .success(Array("first second".utf8)))
    // A block size of zero, or larger than any block, is no block.
    #expect(CodecTests.unpack(.lz4, [2, 0x21, 0x4C, 0x18, 0, 0, 0, 0], 12) == .failure(.corrupt(codec: .lz4)))
    #expect(
      CodecTests.unpack(.lz4, [2, 0x21, 0x4C, 0x18, 0xFF, 0xFF, 0xFF, 0x7F], 12) == .failure(.corrupt(codec: .lz4)))
    #expect(CodecTests.unpack(.lz4, [4, 0x22, 0x4D, 0x18, 0, 0, 0, 0], 12) == .failure(.unsupported(codec: .lz4)))
  }

  @Test func oldZstdFrameAfterAGoodOne() throws {
    let good = try SyntheticKernel.filter(Array("good".utf8), "zstd -3")
    for version: UInt8 in 0x22...0x27 {
      let bytes = good + [version, 0xB5, 0x2F, 0xFD] + [UInt8](repeating: 0x11, count: 64)
      switch CodecTests.unpack(.zstd, bytes, 4096) {
      case .success: Issue.record("version byte \(version) was decoded")
      case .failure: break
      }
      if case .success = CodecTests.unpack(.zstd, Array(bytes.dropFirst(good.count)), 4096) {
        Issue.record("version byte \(version) was decoded")
      }
    }
  }

  @Test func dictionaryBeyondTheLimitIsRefused() throws {
    var packed = try SyntheticKernel.filter([UInt8](repeating: 65, count: 5000), "xz --format=lzma -1")
    // lzma-alone: properties, then the dictionary's size.
    SyntheticKernel.patch(&packed, 1, UInt32(0xC000_0000))
    guard case .failure(let error) = CodecTests.unpack(.lzma, packed, 5000) else {
      Issue.record("3 GiB of dictionary were accepted")
      return
    }
    #expect(error == .noMemory(codec: .lzma) || error == .corrupt(codec: .lzma))
  }
}

@Suite(.serialized) struct SHA256Tests {
  func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  func digest(_ bytes: [UInt8], parts: Int = 1) -> [UInt8] {
    var hash = SHA256()
    var rest = bytes[...]
    for part in stride(from: parts, to: 0, by: -1) {
      let piece = rest.prefix(rest.count / part)
      hash.update(Array(piece))
      rest = rest.dropFirst(piece.count)
    }
    return hash.digest()
  }

  @Test func examplesOfTheStandard() {
    for extensions: Int32 in [0, 1] {
      codec_sha256_use_extensions(extensions)
      #expect(hex(digest([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
      #expect(hex(digest(Array("abc".utf8))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
      #expect(
        hex(digest(Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)))
          == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
      #expect(
        hex(digest([UInt8](repeating: 0x61, count: 1_000_000)))
          == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }
  }

  @Test func bothPathsAgreeForEveryLengthAndSplit() {
    var random = SplitMix(3)
    for count in 0..<300 {
      let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      codec_sha256_use_extensions(0)
      let portable = digest(bytes)
      codec_sha256_use_extensions(1)
      for parts in [1, 2, 3, 7] { #expect(digest(bytes, parts: parts) == portable) }
    }
  }
}
