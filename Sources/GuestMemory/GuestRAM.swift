import CLinux
import System

/// The guest's RAM: one host mapping, seen by the guest as one or two regions around the 32-bit hole for devices.
///
/// A running vCPU may change every byte at any moment, so bytes are copied in and copied out; no slice of guest RAM
/// leaves this file except as iovecs for the kernel to fill or read. Immutable after `init`, so it is shared by threads.
@safe public final class GuestRAM: @unchecked Sendable {
  /// A run of guest-physical addresses that is backed by RAM.
  public struct Region: Equatable, Sendable {
    /// The first address.
    public let start: GuestAddress
    /// Bytes; a multiple of a page.
    public let count: UInt64
    /// Where its first byte lies in the host mapping.
    public let hostOffset: UInt64
  }

  /// The regions in ascending order.
  public let regions: [Region]
  /// Bytes of RAM in all regions.
  public let count: UInt64

  private let mapping: Mapping

  /// Maps `count` bytes (a multiple of a page), of which those past `holeStart` appear from `holeEnd` on.
  /// The pages are private, zero and not yet touched. Huge pages suit a guest that touches most of its memory, small ones a
  /// guest that touches a handful.
  /// - Throws: `SystemError` when the kernel refuses the mapping.
  public init(count: UInt64, holeStart: UInt64, holeEnd: UInt64, hugePages: Bool = true) throws(SystemError) {
    guard count > 0, count & 4095 == 0, holeStart & 4095 == 0, holeEnd >= holeStart, count <= UInt64(Int.max) else {
      throw SystemError("map guest RAM", "\(count) bytes", .invalid)
    }
    // 2 MiB alignment on both sides lets KVM use huge pages for the stage-2 tables too.
    mapping = try Mapping.anonymous(count: Int(count), alignment: 2 << 20)
    mapping.advise(hugePages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE)
    let low = min(count, holeStart)
    var regions = [Region(start: GuestAddress(0), count: low, hostOffset: 0)]
    if count > low { regions.append(Region(start: GuestAddress(holeEnd), count: count - low, hostOffset: low)) }
    self.regions = regions
    self.count = count
  }

  /// Keeps guest RAM out of core dumps and child processes.
  public func markPrivate() {
    mapping.advise(MADV_DONTDUMP)
    mapping.advise(MADV_DONTFORK)
  }

  /// The host address of a region's first byte, for KVM_SET_USER_MEMORY_REGION.
  public func hostAddress(of region: Region) -> UInt64 {
    // unsafe: only the number leaves; hostOffset is inside the mapping by construction.
    unsafe UInt64(UInt(bitPattern: mapping.base)) + region.hostOffset
  }

  /// Whether `count` bytes from `address` lie wholly in one region.
  public func contains(_ address: GuestAddress, count: UInt64) -> Bool { hostOffset(address, count) != nil }

  @inline(__always)
  private func hostOffset(_ address: GuestAddress, _ count: UInt64) -> Int? {
    for region in regions where address >= region.start {
      let offset = address.value - region.start.value
      if offset <= region.count, count <= region.count - offset { return Int(region.hostOffset + offset) }
    }
    return nil
  }

  @inline(__always)
  private func pointer(_ address: GuestAddress, _ count: Int) throws(GuestMemoryError) -> UnsafeMutableRawPointer {
    guard count >= 0, let offset = hostOffset(address, UInt64(count)) else {
      throw GuestMemoryError(address, UInt64(truncatingIfNeeded: count))
    }
    // unsafe: offset + count was checked against the mapping.
    return unsafe mapping.base.advanced(by: offset)
  }

  // MARK: Copies

  /// Copies `bytes.count` guest bytes from `address` out to `bytes`.
  public func read(_ address: GuestAddress, into bytes: UnsafeMutableRawBufferPointer) throws(GuestMemoryError) {
    let source = try unsafe pointer(address, bytes.count)
    // unsafe: both ranges are valid for bytes.count; a racing guest can only tear the copy.
    if let target = bytes.baseAddress { unsafe memcpy(target, source, bytes.count) }
  }

  /// A copy of `count` guest bytes. The caller bounds `count`.
  public func read(_ address: GuestAddress, count: Int) throws(GuestMemoryError) -> [UInt8] {
    let source = try unsafe pointer(address, count)
    // unsafe: source is valid for count bytes, and the array is initialised by the copy.
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let target = buffer.baseAddress { unsafe memcpy(target, source, count) }
      initialized = count
    }
  }

  /// Copies `bytes` to guest memory at `address`.
  public func write(_ address: GuestAddress, _ bytes: UnsafeRawBufferPointer) throws(GuestMemoryError) {
    let target = try unsafe pointer(address, bytes.count)
    // unsafe: both ranges are valid for bytes.count.
    if let source = bytes.baseAddress { unsafe memcpy(target, source, bytes.count) }
  }

  /// Copies `bytes` to guest memory at `address`.
  public func write(_ address: GuestAddress, _ bytes: [UInt8]) throws(GuestMemoryError) {
    let target = try unsafe pointer(address, bytes.count)
    // unsafe: both ranges are valid for bytes.count.
    unsafe bytes.withUnsafeBytes { if let source = $0.baseAddress { unsafe memcpy(target, source, $0.count) } }
  }

  /// Sets `count` guest bytes from `address` to zero.
  public func zero(_ address: GuestAddress, count: Int) throws(GuestMemoryError) {
    let target = try unsafe pointer(address, count)
    // unsafe: target is valid for count bytes.
    unsafe memset(target, 0, count)
  }

  // MARK: Single-copy accesses

  /// Reads a little-endian integer in one access; `address` should be aligned to its size.
  public func load8(_ address: GuestAddress) throws(GuestMemoryError) -> UInt8 {
    unsafe clinux_load8(try pointer(address, 1))
  }
  public func load16(_ address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
    unsafe clinux_load16(try pointer(address, 2))
  }
  public func load32(_ address: GuestAddress) throws(GuestMemoryError) -> UInt32 {
    unsafe clinux_load32(try pointer(address, 4))
  }
  public func load64(_ address: GuestAddress) throws(GuestMemoryError) -> UInt64 {
    unsafe clinux_load64(try pointer(address, 8))
  }
  /// Reads a ring index; later reads are not moved before it.
  public func load16Acquire(_ address: GuestAddress) throws(GuestMemoryError) -> UInt16 {
    unsafe clinux_load16_acquire(try pointer(address, 2))
  }
  /// Writes a little-endian integer in one access.
  public func store8(_ address: GuestAddress, _ value: UInt8) throws(GuestMemoryError) {
    unsafe clinux_store8(try pointer(address, 1), value)
  }
  public func store16(_ address: GuestAddress, _ value: UInt16) throws(GuestMemoryError) {
    unsafe clinux_store16(try pointer(address, 2), value)
  }
  public func store32(_ address: GuestAddress, _ value: UInt32) throws(GuestMemoryError) {
    unsafe clinux_store32(try pointer(address, 4), value)
  }
  public func store64(_ address: GuestAddress, _ value: UInt64) throws(GuestMemoryError) {
    unsafe clinux_store64(try pointer(address, 8), value)
  }
  /// Writes a ring index; earlier writes are visible before it.
  public func store16Release(_ address: GuestAddress, _ value: UInt16) throws(GuestMemoryError) {
    unsafe clinux_store16_release(try pointer(address, 2), value)
  }

  // MARK: Bulk I/O by the kernel

  /// The iovec of a guest range, for preadv(2) and its like. Valid while this object lives.
  public func ioVector(_ address: GuestAddress, count: Int) throws(GuestMemoryError) -> iovec {
    // unsafe: the range was checked; the kernel's copy races with the guest only over the guest's own bytes.
    unsafe iovec(iov_base: try pointer(address, count), iov_len: count)
  }

  /// Fills `count` guest bytes from `file` at `offset`. Returns how many bytes the file still had.
  public func readFile(
    _ file: borrowing FileDescriptor, offset: Int64, to address: GuestAddress, count: Int
  ) throws(GuestFileError) -> Int {
    let target: UnsafeMutableRawPointer
    do { unsafe target = try unsafe pointer(address, count) } catch { throw .memory(error) }
    // unsafe: target is valid for count bytes.
    do {
      return try unsafe file.readFully(into: UnsafeMutableRawBufferPointer(start: target, count: count), at: offset)
    } catch {
      throw .system(error)
    }
  }

  /// Fills all of `count` guest bytes from `file` at `offset`.
  /// - Throws: `.truncated` when the file ends before.
  public func fill(
    from file: borrowing FileDescriptor, offset: Int64, to address: GuestAddress, count: Int
  ) throws(GuestFileError) {
    let done = try readFile(file, offset: offset, to: address, count: count)
    if done < count { throw .truncated(missing: count - done) }
  }

  /// Replaces a page-aligned guest range by a private copy-on-write view of `file`, so that VMs share its clean pages. What the
  /// last page has behind the end of the file is zero.
  /// - Throws: `.truncated` when whole pages lie behind it: whoever touched them would get SIGBUS.
  public func mapFile(
    _ file: borrowing FileDescriptor, offset: Int64, to address: GuestAddress, count: Int
  ) throws(GuestFileError) {
    guard count >= 0, let hostOffset = hostOffset(address, UInt64(count)) else {
      throw .memory(GuestMemoryError(address, UInt64(truncatingIfNeeded: count)))
    }
    let size: Int64
    do { size = Int64(try file.status().st_size) } catch { throw .system(error) }
    let (end, overflow) = offset.addingReportingOverflow(Int64(count))
    let mappable = (size &+ 4095) & ~4095
    if overflow || end > mappable { throw .truncated(missing: overflow ? count : Int(end - mappable)) }
    do { try mapping.overlay(file: file, fileOffset: offset, at: hostOffset, count: count) } catch {
      throw .system(error)
    }
  }
}

/// Why a file could not be brought into guest memory.
public enum GuestFileError: Error, CustomStringConvertible {
  case memory(GuestMemoryError)
  case system(SystemError)
  case truncated(missing: Int)

  public var description: String {
    switch self {
    case .memory(let error): return error.description
    case .system(let error): return error.description
    case .truncated(let missing): return "the file became \(missing) bytes shorter while it was read"
    }
  }
}
