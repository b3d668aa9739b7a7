import Boot
import CLinux
import System

/// A kernel's file, read and decompressed for a look.
struct KernelImageFile: ~Copyable {
  let size: UInt64
  /// The setup header of a bzImage.
  let header: SetupHeader?
  /// How the kernel inside is packed.
  let codec: Codec?
  /// The version text in a bzImage's setup.
  let version: String
  /// The ELF kernel, when it could be read.
  let kernel: ELFKernel?
  /// Its bytes; of one that could not be read, none.
  let content: SearchableBytes
  /// Why it could not be read.
  let problem: String?

  private init(
    size: UInt64, image: BzImage?, codec: Codec?, kernel: ELFKernel?, content: consuming SearchableBytes,
    problem: String?
  ) {
    self.size = size
    header = image?.header
    version = image?.kernelVersion ?? ""
    self.codec = codec
    self.kernel = kernel
    self.content = content
    self.problem = problem
  }

  /// Reads the file at `path`.
  /// - Throws: what the file is instead of a kernel; a bzImage whose kernel cannot be unpacked has a `problem` instead.
  static func load(_ path: String) throws(KernelImageError) -> KernelImageFile {
    let file = try open(path)
    let size = try regularSize(file)
    let head = try head(file, Int(min(size, UInt64(KernelImage.prefixCount))))
    // unsafe: bytes have no padding that could be uninitialised.
    switch try KernelImage.identify(unsafe head.span.bytes, fileSize: size) {
    case .elf(let first): return try loadELF(file, first, size)
    case .bzImage(let image): return try loadBzImage(file, image, size)
    }
  }

  private static func loadELF(
    _ file: borrowing FileDescriptor, _ first: ELFKernel, _ size: UInt64
  ) throws(KernelImageError) -> KernelImageFile {
    var end: UInt64 = 4096
    // ELFKernel has checked that segments end inside the file; debug information behind them is left alone.
    for segment in first.plan.segments { end = max(end, segment.fileOffset + segment.fileSize) }
    let memory = try read(file, min(end, size))
    // unsafe: the mapping lives through the call.
    let kernel = try ELFKernel(unsafe memory.bytes.bytes, fileSize: size)
    return KernelImageFile(
      size: size, image: nil, codec: Codec.none, kernel: kernel, content: SearchableBytes(memory), problem: nil)
  }

  private static func loadBzImage(
    _ file: borrowing FileDescriptor, _ image: BzImage, _ size: UInt64
  ) throws(KernelImageError) -> KernelImageFile {
    let packed = try read(file, size)
    // unsafe: the mapping outlives the use of its bytes in this function.
    let codec = Codec(magicAt: image.payload.lowerBound, of: unsafe packed.bytes.bytes)
    do throws(KernelImageError) {
      let unpacked = try unpack(packed)
      // unsafe: the mapping lives through the call.
      let kernel = try ELFKernel(unsafe unpacked.bytes.bytes)
      return KernelImageFile(
        size: size, image: image, codec: codec, kernel: kernel, content: SearchableBytes(unpacked), problem: nil)
    } catch {
      return KernelImageFile(
        size: size, image: image, codec: codec, kernel: nil, content: SearchableBytes(), problem: error.description)
    }
  }

  private static func open(_ path: String) throws(KernelImageError) -> FileDescriptor {
    // Non-blocking: a FIFO must be refused, not waited for.
    do { return try FileDescriptor.open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK) } catch {
      throw .host(error.errno.description)
    }
  }

  private static func regularSize(_ file: borrowing FileDescriptor) throws(KernelImageError) -> UInt64 {
    let status: stat
    do { status = try file.status() } catch { throw .host(error.description) }
    if clinux_s_isdir(status.st_mode) { throw .directory }
    guard clinux_s_isreg(status.st_mode) else { throw .notRegular }
    guard status.st_size > 0 else { throw .empty }
    return UInt64(status.st_size)
  }

  private static func head(_ file: borrowing FileDescriptor, _ count: Int) throws(KernelImageError) -> [UInt8] {
    do { return try file.readPrefix(count) } catch { throw .host(error.description) }
  }

  private static func read(_ file: borrowing FileDescriptor, _ count: UInt64) throws(KernelImageError) -> Mapping {
    guard count <= KernelInspection.fileLimit else { throw .damaged("it is larger than 1 GiB") }
    do throws(SystemError) {
      let memory = try Mapping.anonymous(count: Int(count))
      // unsafe: the mapping lives through the call.
      let got = try unsafe file.readFully(into: memory.mutableBytes, at: 0)
      guard got == Int(count) else { throw SystemError("read", "the file, which became shorter", .ioError) }
      return memory
    } catch {
      throw .host(error.description)
    }
  }

  private static func unpack(_ packed: borrowing Mapping) throws(KernelImageError) -> Mapping {
    // The bytes that were read count, not those that were looked at before.
    // unsafe: the mapping outlives the use of its bytes in this function.
    let bytes = unsafe packed.bytes
    let compression = try BzImage(unsafe bytes.bytes).compression(unsafe bytes.bytes)
    guard compression.codec.isSupported else { throw .unsupportedCodec(compression.codec) }
    guard compression.size <= KernelInspection.decompressionLimit else {
      throw .damaged("this bzImage says that its kernel is \(compression.size) bytes when decompressed")
    }
    let output: Mapping
    do throws(SystemError) { output = try Mapping.anonymous(count: compression.size) } catch {
      throw .host(error.description)
    }
    do throws(CodecError) {
      // unsafe: BzImage has checked that the stream lies inside the file; both mappings live through the call.
      try unsafe compression.codec.decompress(
        UnsafeRawBufferPointer(rebasing: bytes[compression.stream]), into: output.mutableBytes)
    } catch {
      throw .codec(error)
    }
    return output
  }
}
