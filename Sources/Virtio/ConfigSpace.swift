/// A device's read-only configuration space (virtio 1.2, section 2.5): little-endian bytes.
struct ConfigSpace {
  let bytes: [UInt8]

  /// `width` (up to 8) bytes from `offset`; those past the end are zero.
  func read(offset: UInt64, width: Int) -> UInt64 {
    guard offset < UInt64(bytes.count) else { return 0 }
    let first = Int(offset)
    var value: UInt64 = 0
    for index in 0..<min(width, 8, bytes.count - first) { value |= UInt64(bytes[first + index]) << (8 * UInt64(index)) }
    return value
  }
}
