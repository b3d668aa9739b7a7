import CLinux

/// The sole owner of a memory mapping (mmap(2)); unmaps it when it goes out of scope.
@safe public struct Mapping: ~Copyable, @unchecked Sendable {
  /// The first byte; page aligned.
  public let base: UnsafeMutableRawPointer
  /// Bytes mapped.
  public let count: Int

  private init(base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  deinit {
    // unsafe: base and count are what mmap returned, and nobody else unmaps them.
    _ = unsafe munmap(base, count)
  }

  /// Private zeroed memory, not reserved against overcommit, aligned to `alignment` bytes (a power of two, at least a page).
  public static func anonymous(count: Int, alignment: Int = 4096) throws(SystemError) -> Mapping {
    let (padded, overflow) = count.addingReportingOverflow(alignment - 4096)
    guard count > 0, !overflow else { throw SystemError("mmap", "\(count) bytes", .invalid) }
    // unsafe: a fresh private mapping at an address that the kernel chooses.
    let raw = unsafe mmap(nil, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    // unsafe: raw is only compared with MAP_FAILED here.
    guard let raw = unsafe raw, unsafe !clinux_map_failed(raw) else {
      throw SystemError("mmap", "\(count) bytes", .current)
    }
    let lead = (alignment - (Int(bitPattern: raw) & (alignment - 1))) & (alignment - 1)
    // unsafe: the pages cut off lie inside the fresh mapping, before and behind the part that is kept.
    if lead > 0 { _ = unsafe munmap(raw, lead) }
    let tail = padded - lead - count
    // unsafe: as above; count is rounded up to the page that munmap starts from.
    if tail > 0 { _ = unsafe munmap(raw.advanced(by: lead + ((count + 4095) & ~4095)), tail & ~4095) }
    // unsafe: lead <= alignment - 4096, inside the mapping.
    return unsafe Mapping(base: raw.advanced(by: lead), count: count)
  }

  /// `count` bytes of `file` from `offset` (page aligned), with mmap(2) `protection` and `flags`.
  public static func file(
    _ file: borrowing FileDescriptor, offset: Int64 = 0, count: Int, protection: Int32, flags: Int32
  ) throws(SystemError) -> Mapping {
    // unsafe: a fresh mapping at an address that the kernel chooses.
    let raw = unsafe mmap(nil, count, protection, flags, file.rawValue, off_t(offset))
    // unsafe: raw is only compared with MAP_FAILED here.
    guard let raw = unsafe raw, unsafe !clinux_map_failed(raw) else {
      throw SystemError("mmap", "descriptor \(file.rawValue)", .current)
    }
    return unsafe Mapping(base: raw, count: count)
  }

  /// All bytes of `file`, read-only and private.
  public static func readOnly(_ file: borrowing FileDescriptor, count: Int) throws(SystemError) -> Mapping {
    try Mapping.file(file, count: count, protection: PROT_READ, flags: MAP_PRIVATE)
  }

  /// The bytes; valid only while the mapping lives.
  public var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: base, count: count) }
  /// The bytes, writable if the mapping is; valid only while the mapping lives.
  public var mutableBytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: base, count: count)
  }

  /// Advises the kernel about a page-aligned part (madvise(2)); a refusal is returned, not thrown: advice is optional.
  @discardableResult
  public borrowing func advise(_ advice: Int32, offset: Int = 0, count part: Int? = nil) -> Bool {
    let length = part ?? (count - offset)
    guard offset >= 0, length >= 0, offset <= count, length <= count - offset else { return false }
    // unsafe: offset and length were checked against the mapping.
    return unsafe madvise(base.advanced(by: offset), length, advice) == 0
  }

  /// Replaces `count` bytes at `offset` by a private copy-on-write view of `file` from `fileOffset`. All three must be
  /// multiples of a page, since mmap(2) would replace the rest of the last page too.
  /// - Throws: `.invalid` for a range that is not, or that does not lie inside the mapping.
  public borrowing func overlay(
    file: borrowing FileDescriptor, fileOffset: Int64, at offset: Int, count length: Int
  ) throws(SystemError) {
    guard offset >= 0, length > 0, offset <= count, length <= count - offset, offset & 4095 == 0, length & 4095 == 0,
      fileOffset >= 0, fileOffset & 4095 == 0
    else { throw SystemError("mmap", "overlay", .invalid) }
    // unsafe: MAP_FIXED replaces only pages inside this mapping, as checked above.
    let raw = unsafe mmap(
      base.advanced(by: offset), length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file.rawValue,
      off_t(fileOffset))
    // unsafe: raw is only compared with MAP_FAILED.
    if unsafe clinux_map_failed(raw) { throw SystemError("mmap", "descriptor \(file.rawValue)", .current) }
  }
}
