import CCodecs

/// A compression that Linux offers for its kernel (init/Kconfig, "Kernel compression mode").
public enum Codec: Equatable, Sendable {
  case none, gzip, bzip2, lzma, xz, lzo, lz4, zstd

  /// The codec whose magic number lies at `offset`: a look-up at that place, no scan. `.none` is an ELF file.
  public init?(magicAt offset: Int, of bytes: RawSpan) {
    // The magic numbers that the kernel's own lib/decompress.c looks up, and ELF.
    if bytes.matches([0x1F, 0x8B], at: offset) {
      self = .gzip
    } else if bytes.matches("BZh", at: offset) {
      self = .bzip2
    } else if bytes.matches([0x5D, 0, 0], at: offset) {
      self = .lzma
    } else if bytes.matches([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], at: offset) {
      self = .xz
    } else if bytes.matches([0x89, 0x4C, 0x5A, 0x4F, 0, 0x0D, 0x0A, 0x1A, 0x0A], at: offset) {
      self = .lzo
    } else if bytes.matches([0x02, 0x21, 0x4C, 0x18], at: offset)
      || bytes.matches([0x04, 0x22, 0x4D, 0x18], at: offset)
    {
      self = .lz4
    } else if bytes.matches([0x28, 0xB5, 0x2F, 0xFD], at: offset) {
      self = .zstd
    } else if bytes.matches("\u{7F}ELF", at: offset) {
      self = .none
    } else {
      return nil
    }
  }

  /// The name in CONFIG_KERNEL_*, lower case.
  public var name: String {
    switch self {
    case .none: return "uncompressed"
    case .gzip: return "gzip"
    case .bzip2: return "bzip2"
    case .lzma: return "lzma"
    case .xz: return "xz"
    case .lzo: return "lzo"
    case .lz4: return "lz4"
    case .zstd: return "zstd"
    }
  }

  /// The command that writes a file's decompressed contents to standard output.
  var unpackCommand: String {
    switch self {
    case .none: return "cat"
    case .gzip: return "gunzip -c <"
    case .bzip2: return "bunzip2 -c <"
    case .lzma: return "xz --format=lzma -dc <"
    case .xz: return "xz -dc <"
    case .lzo: return "lzop -dc <"
    case .lz4: return "lz4 -dc <"
    case .zstd: return "zstd -dc <"
    }
  }

  /// Whether vmrun decompresses it; otherwise the guest does.
  public var isSupported: Bool { self != .lzo }

  /// Decompresses the whole stream `input` into `output`, which it must fill exactly.
  /// - Throws: `CodecError` for a stream that is cut off, damaged, or of another size.
  public func decompress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) throws(CodecError)
  {
    // unsafe: the caller's buffers are valid for their counts.
    let result = unsafe run(input, output)
    switch result.status {
    case CODEC_OK:
      guard result.produced == output.count else {
        throw .wrongSize(codec: self, stated: output.count, actual: result.produced)
      }
    case CODEC_OVERFLOW: throw .tooLarge(codec: self, stated: output.count)
    case CODEC_TRUNCATED: throw .truncated(codec: self)
    case CODEC_NO_MEMORY: throw .noMemory(codec: self)
    case CODEC_UNSUPPORTED: throw .unsupported(codec: self)
    default: throw .corrupt(codec: self)
    }
  }

  /// At most the first `count` bytes of what `input` holds; empty when they cannot be had.
  func prefix(of input: RawSpan, count: Int) -> [UInt8] {
    // unsafe: only the bytes that the codec produced count as initialised.
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      // unsafe: both buffers live through the call, and the codec writes at most buffer.count bytes.
      unsafe input.withUnsafeBytes { input in
        initialized = unsafe min(run(input, UnsafeMutableRawBufferPointer(buffer)).produced, buffer.count)
      }
    }
  }

  private func run(_ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) -> codec_result {
    // An empty buffer may have no address, which the libraries do not expect.
    guard let source = input.baseAddress, let target = output.baseAddress, input.count > 0, output.count > 0 else {
      return codec_result(status: unsafe input.isEmpty ? CODEC_TRUNCATED : CODEC_OVERFLOW, produced: 0)
    }
    // unsafe: each function reads at most input.count and writes at most output.count bytes.
    switch self {
    case .gzip: return unsafe codec_gzip(source, input.count, target, output.count)
    case .bzip2: return unsafe codec_bzip2(source, input.count, target, output.count)
    case .lzma: return unsafe codec_lzma(source, input.count, target, output.count)
    case .xz: return unsafe codec_xz(source, input.count, target, output.count)
    case .lz4: return unsafe codec_lz4(source, input.count, target, output.count)
    case .zstd: return unsafe codec_zstd(source, input.count, target, output.count)
    case .none:
      let count = min(input.count, output.count)
      unsafe target.copyMemory(from: source, byteCount: count)
      return codec_result(status: input.count > output.count ? CODEC_OVERFLOW : CODEC_OK, produced: count)
    case .lzo: return codec_result(status: CODEC_UNSUPPORTED, produced: 0)
    }
  }
}

/// Why a stream did not decompress.
public enum CodecError: Error, Equatable, CustomStringConvertible {
  case truncated(codec: Codec)
  case corrupt(codec: Codec)
  case tooLarge(codec: Codec, stated: Int)
  case wrongSize(codec: Codec, stated: Int, actual: Int)
  case noMemory(codec: Codec)
  case unsupported(codec: Codec)

  public var description: String {
    switch self {
    case .truncated(let codec):
      return "its \(codec.name) data ends early. The file is truncated: copy, download or build it again."
    case .corrupt(let codec): return "its \(codec.name) data is damaged: copy, download or build the file again."
    case .tooLarge(let codec, let stated):
      return
        "its \(codec.name) data holds more than the \(stated) bytes that it states. The file is damaged: copy or build it again."
    case .wrongSize(let codec, let stated, let actual):
      return
        "its \(codec.name) data holds \(actual) bytes but states \(stated). The file is damaged: copy or build it again."
    case .noMemory(let codec):
      return "not enough memory to decompress its \(codec.name) data. Free some memory, or use --boot decompress."
    case .unsupported(let codec): return "vmrun has no library for \(codec.name). Use --boot decompress (or auto)."
    }
  }
}
