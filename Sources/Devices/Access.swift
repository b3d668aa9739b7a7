/// The data of one port or memory access, as the guest's processor moves it: little-endian, 1 to 8 bytes.
extension Span where Element == UInt8 {
  /// The access's value; bytes beyond the fourth are ignored, missing ones are zero.
  var littleEndian32: UInt32 {
    var value: UInt32 = 0
    for index in 0..<Swift.min(count, 4) { value |= UInt32(self[index]) << UInt32(8 * index) }
    return value
  }
}

extension MutableSpan where Element == UInt8 {
  /// Sets the access's value; bytes beyond the fourth become zero.
  mutating func fill(littleEndian value: UInt32) {
    for index in 0..<count { self[index] = index < 4 ? UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) : 0 }
  }

  /// Sets every byte to `byte`.
  mutating func fill(repeating byte: UInt8) {
    for index in 0..<count { self[index] = byte }
  }
}
