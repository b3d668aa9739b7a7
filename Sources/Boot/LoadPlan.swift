/// Which bytes of a file go where in guest RAM, and where the first instruction is.
public struct LoadPlan: Equatable, Sendable {
  /// One run of guest memory: `fileSize` bytes of the file, then zeros up to `memorySize`.
  public struct Segment: Equatable, Sendable {
    /// Where its bytes begin in the file.
    public let fileOffset: UInt64
    /// How many bytes come from the file; at most `memorySize`.
    public let fileSize: UInt64
    /// The guest-physical address.
    public let address: UInt64
    /// Bytes in guest memory.
    public let memorySize: UInt64

    /// A segment; the caller has checked that no sum wraps.
    public init(fileOffset: UInt64, fileSize: UInt64, address: UInt64, memorySize: UInt64) {
      self.fileOffset = fileOffset
      self.fileSize = fileSize
      self.address = address
      self.memorySize = memorySize
    }

    /// First byte behind the segment in guest memory.
    public var end: UInt64 { address &+ memorySize }
    /// Whether file and memory agree modulo the page size, so that the segment's pages can be mapped.
    public var isPageCongruent: Bool { (fileOffset ^ address) & 4095 == 0 }
  }

  /// Ascending, disjoint, between `Layout.highMemory` and `Layout.holeStart`; never empty.
  public let segments: [Segment]
  /// The guest-physical address of the first instruction, inside a segment.
  public let entry: UInt64

  /// A plan whose parts the caller has checked.
  public init(segments: [Segment], entry: UInt64) {
    self.segments = segments
    self.entry = entry
  }

  /// First byte of the kernel.
  public var start: UInt64 { segments.first?.address ?? 0 }
  /// First byte behind the kernel.
  public var end: UInt64 { segments.last?.end ?? 0 }

  /// Refuses a guest whose RAM of `ramSize` bytes does not hold the kernel.
  public func check(ramSize: UInt64) throws(KernelImageError) {
    guard end <= Layout.lowEnd(ramSize) else { throw .needsMemory(bytes: end) }
  }
}

/// How a bzImage is started.
public enum BootMode: Equatable, Sendable {
  /// Direct where the payload's compression has a library here, else decompress.
  case auto
  /// vmrun decompresses on the host and enters the kernel proper.
  case direct
  /// The kernel's own decompressor runs in the guest.
  case decompress

  /// The mode that a user calls `name`.
  public init?(name: String) {
    switch name {
    case "auto": self = .auto
    case "direct": self = .direct
    case "decompress": self = .decompress
    default: return nil
    }
  }
}
