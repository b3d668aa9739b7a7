/// An IPv4 address in the host's byte order.
public struct IPv4Address: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let value: UInt32

  public init(_ value: UInt32) { self.value = value }

  /// The address of four decimal parts.
  public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    value = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  /// In network byte order.
  var bytes: [UInt8] {
    [
      UInt8(truncatingIfNeeded: value >> 24), UInt8(truncatingIfNeeded: value >> 16),
      UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value),
    ]
  }

  /// The address in network byte order; nil when there are not four bytes.
  init?(networkOrder bytes: ArraySlice<UInt8>) {
    guard bytes.count == 4 else { return nil }
    value = bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  public static func < (left: IPv4Address, right: IPv4Address) -> Bool { left.value < right.value }

  /// "10.0.0.1".
  public var description: String {
    "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
  }
}

/// A range of addresses that agree in their first `length` bits.
public struct IPv4Prefix: Equatable, Sendable, CustomStringConvertible {
  /// Its first address.
  public let base: IPv4Address
  /// 0 to 32.
  public let length: UInt8

  /// The range of that length that `address` lies in; nil for a length above 32.
  public init?(_ address: IPv4Address, length: UInt8) {
    guard length <= 32 else { return nil }
    self.length = length
    base = IPv4Address(address.value & Self.mask(length))
  }

  /// How many addresses there are.
  var count: UInt64 { 1 << UInt64(32 - length) }

  /// Whether the ranges have an address in common.
  func overlaps(_ other: IPv4Prefix) -> Bool {
    let mask = Self.mask(min(length, other.length))
    return base.value & mask == other.base.value & mask
  }

  func contains(_ address: IPv4Address) -> Bool { address.value & Self.mask(length) == base.value }

  private static func mask(_ length: UInt8) -> UInt32 { length == 0 ? 0 : ~0 << UInt32(32 - length) }

  /// "10.0.0.0/8".
  public var description: String { "\(base)/\(length)" }
}
