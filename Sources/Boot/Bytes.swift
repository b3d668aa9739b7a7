/// Little-endian reads that answer nil outside the bytes, and writers into byte arrays.
extension RawSpan {
  /// The little-endian integer at `offset`, or nil when it does not lie wholly inside.
  @inline(__always)
  func load<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as: Value.Type = Value.self) -> Value? {
    guard offset >= 0, offset <= byteCount, MemoryLayout<Value>.size <= byteCount - offset else { return nil }
    // unsafe: the range was checked, and every bit pattern is a valid integer.
    return unsafe Value(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self))
  }

  /// Whether the bytes at `offset` are `magic`.
  func matches(_ magic: StaticString, at offset: Int) -> Bool {
    let count = magic.utf8CodeUnitCount
    guard offset >= 0, offset <= byteCount, count <= byteCount - offset else { return false }
    for index in 0..<count {
      // unsafe: index < count bytes of the literal; offset + index < byteCount as checked.
      if unsafe magic.utf8Start[index] != unsafeLoad(fromUncheckedByteOffset: offset + index, as: UInt8.self) {
        return false
      }
    }
    return true
  }

  /// Whether the bytes at `offset` are `magic`.
  func matches(_ magic: [UInt8], at offset: Int) -> Bool {
    for index in 0..<magic.count where load(offset &+ index, as: UInt8.self) != magic[index] { return false }
    return true
  }

  /// The bytes of `range`, which must lie inside.
  func bytes(_ range: Range<Int>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(range.count)
    for offset in range { if let byte = load(offset, as: UInt8.self) { result.append(byte) } }
    return result
  }
}

extension [UInt8] {
  /// Appends `value`, least significant byte first.
  @inline(__always)
  mutating func appendLittleEndian<Value: FixedWidthInteger>(_ value: Value) {
    for shift in stride(from: 0, to: Value.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  /// Overwrites the bytes from `offset` with `value`, least significant byte first. The caller owns the layout.
  @inline(__always)
  mutating func storeLittleEndian<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    for index in 0..<MemoryLayout<Value>.size {
      self[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8))
    }
  }
}

/// "0x1000".
func hexadecimal<Value: BinaryInteger>(_ value: Value) -> String { "0x" + String(value, radix: 16) }
