/// A guest-physical address.
public struct GuestAddress: Equatable, Comparable, Hashable, Sendable, CustomStringConvertible {
  /// Bytes from guest-physical zero.
  public let value: UInt64

  /// The address `value`.
  @inline(__always)
  public init(_ value: UInt64) { self.value = value }

  public static func < (left: GuestAddress, right: GuestAddress) -> Bool { left.value < right.value }

  /// The address `count` bytes further, or nil past the end of the address space.
  @inline(__always)
  public func advanced(by count: UInt64) -> GuestAddress? {
    let (sum, overflow) = value.addingReportingOverflow(count)
    return overflow ? nil : GuestAddress(sum)
  }

  /// "0x1000".
  public var description: String { "0x" + String(value, radix: 16) }
}

/// An access that does not lie wholly inside guest RAM.
public struct GuestMemoryError: Error, Equatable, CustomStringConvertible {
  /// Where the access began.
  public let address: GuestAddress
  /// How many bytes it wanted.
  public let count: UInt64

  init(_ address: GuestAddress, _ count: UInt64) {
    self.address = address
    self.count = count
  }

  public var description: String { "\(count) bytes at guest address \(address) are not in guest RAM" }
}
