import Boot
import CLinux
import System

/// The bytes of an ELF kernel's segments, and the plan that refers to them.
struct LoadedSegments: ~Copyable {
  let plan: LoadPlan
  let memory: Mapping
}

/// The file that the user gave as a kernel, held open.
struct KernelSource: ~Copyable {
  private let file: FileDescriptor
  private let path: String
  private let count: UInt64
  let identity: FileIdentity
  /// Seconds since 1970, before anything of the file was read.
  let openedAt: Int64

  /// Opens the regular file at `path`.
  init(_ path: String) throws(KernelError) {
    let openedAt = wallClock()
    let file = try KernelSource.open(path)
    let status = try KernelSource.regularStatus(file, path)
    self.file = file
    self.path = path
    self.openedAt = openedAt
    count = UInt64(status.st_size)
    identity = FileIdentity(status)
  }

  private static func open(_ path: String) throws(KernelError) -> FileDescriptor {
    // Non-blocking: a FIFO must be refused, not waited for.
    do { return try FileDescriptor.open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK) } catch { throw .system(error) }
  }

  private static func regularStatus(_ file: borrowing FileDescriptor, _ path: String) throws(KernelError) -> stat {
    let status: stat
    do { status = try file.status() } catch { throw .system(error) }
    if clinux_s_isdir(status.st_mode) { throw .image(path: path, .directory) }
    guard clinux_s_isreg(status.st_mode) else { throw .image(path: path, .notRegular) }
    guard status.st_size > 0 else { throw .image(path: path, .empty) }
    return status
  }

  /// Whether the file is still the one that was opened.
  var isUnchanged: Bool { (try? file.status()).map { FileIdentity($0) } == identity }

  /// What the file is, from its beginning.
  func identify() throws(KernelImageError) -> KernelImage {
    let head = try bytes(min(Int(clamping: count), KernelImage.prefixCount), at: 0)
    // unsafe: bytes have no padding that could be uninitialised.
    return try KernelImage.identify(unsafe head.span.bytes, fileSize: count)
  }

  /// Another descriptor of the file.
  func duplicate() throws(KernelImageError) -> FileDescriptor {
    do { return try FileDescriptor.duplicate(of: file.rawValue) } catch { throw .host(error.description) }
  }

  /// A private copy of the whole file, so that what was hashed is what is decompressed whoever writes to the file.
  func readAll() throws(KernelImageError) -> Mapping {
    guard count <= UInt64(Compression.maximumSize) else {
      throw .damaged("this bzImage has \(count) bytes; vmrun takes at most 1 GiB")
    }
    let memory = try KernelSource.memory(Int(count))
    // unsafe: the mapping lives through the call.
    try unsafe fill(memory.mutableBytes, from: 0, "a bzImage")
    return memory
  }

  /// A private copy of the segments of an ELF kernel.
  func readSegments(of plan: LoadPlan) throws(KernelImageError) -> LoadedSegments {
    // ELFKernel bounds the sum of all segments to 1 GiB.
    let total = plan.segments.reduce(0) { $0 + Int($1.fileSize) }
    let memory = try KernelSource.memory(max(total, 1))
    var segments: [LoadPlan.Segment] = []
    var offset = 0
    for segment in plan.segments {
      let size = Int(segment.fileSize)
      // unsafe: offset + size is at most the sum of all sizes; the mapping lives through the call.
      try unsafe fill(
        UnsafeMutableRawBufferPointer(rebasing: memory.mutableBytes[offset..<offset + size]), from: segment.fileOffset,
        "an ELF kernel")
      segments.append(
        LoadPlan.Segment(
          fileOffset: UInt64(offset), fileSize: segment.fileSize, address: segment.address,
          memorySize: segment.memorySize))
      offset += size
    }
    return LoadedSegments(plan: LoadPlan(segments: segments, entry: plan.entry), memory: memory)
  }

  /// The content key of an ELF kernel: of what is loaded, wherever it lies in the file and whatever else is in it.
  static func key(_ loaded: borrowing LoadedSegments) -> [UInt8] {
    let plan = loaded.plan
    var head = Array("vmrun ELF kernel".utf8)
    appendLittleEndian(plan.entry, to: &head)
    for segment in plan.segments {
      appendLittleEndian(segment.address, to: &head)
      appendLittleEndian(segment.fileSize, to: &head)
      appendLittleEndian(segment.memorySize, to: &head)
    }
    var hash = SHA256()
    hash.update(head)
    // unsafe: the mapping lives through the call.
    unsafe hash.update(loaded.memory.bytes)
    return hash.digest()
  }

  private func fill(
    _ buffer: UnsafeMutableRawBufferPointer, from offset: UInt64, _ what: String
  ) throws(KernelImageError) {
    let got: Int
    // unsafe: the caller's buffer is valid for its count.
    do { got = try unsafe file.readFully(into: buffer, at: Int64(offset)) } catch { throw .host("\(path): \(error)") }
    guard got == buffer.count else { throw .truncated(what, missing: UInt64(buffer.count - got)) }
  }

  private func bytes(_ count: Int, at offset: UInt64) throws(KernelImageError) -> [UInt8] {
    do { return try file.readBytes(count, at: offset) } catch { throw .host(error.description) }
  }

  /// Zeroed memory in huge pages where there are any: it is filled once and given back soon.
  static func memory(_ count: Int) throws(KernelImageError) -> Mapping {
    do {
      let memory = try Mapping.anonymous(count: count, alignment: 2 << 20)
      memory.advise(MADV_HUGEPAGE)
      return memory
    } catch {
      throw .host(error.description)
    }
  }

  /// A file that exists only in memory.
  static func memoryFile() throws(KernelImageError) -> FileDescriptor {
    // unsafe: the name is a literal.
    let raw = unsafe memfd_create("vmrun-kernel", UInt32(MFD_CLOEXEC))
    guard raw >= 0 else { throw .host(SystemError("memfd_create", "", .current).description) }
    return FileDescriptor(owning: raw)
  }
}
